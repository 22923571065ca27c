"""What layers of random weights are made of, with derivatives; see :mod:`theory.equivalents.random_features`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from theory.activations import Activation
from theory.activations.normal import Array
from theory.derivatives.activations import LayerRates, Rates, layer_rates
from theory.derivatives.dual import Dual, Vector
from theory.equivalents.random_features import SMALLEST_RESPONSE


@dataclass(frozen=True, kw_only=True)
class Layer:
    """See :class:`theory.equivalents.random_features.RandomLayer`; ``parameters`` are those of the activation."""

    activation: Activation
    weight_variance: Any
    bias_variance: Any
    width: Any = np.inf
    parameters: tuple[Any, ...] = ()


class Statistics(NamedTuple):
    """A layer's averages, and what they are functions of.

    Attributes:
        layer: which.
        rates: of the averages.
        variance, frozen: q and s.
    """

    layer: Layer
    rates: LayerRates
    variance: Dual
    frozen: Dual

    def number(self, rates: Rates) -> Dual:
        """Return an average of the layer."""
        return Dual(rates.value, self._tangent(rates))

    def nodes(self, rates: Rates) -> Vector:
        """Return averages at the layer's nodes."""
        left, right = [rates.by_variance, rates.by_frozen], [self.variance.tangent, self.frozen.tangent]
        for by_parameter, parameter in zip(rates.by_parameter, self.layer.parameters, strict=True):
            left.append(by_parameter)
            right.append(parameter.tangent)
        return Vector(rates.value, np.array(left), np.array(right))

    def _tangent(self, rates: Rates) -> Array:
        tangent: Array = rates.by_variance * self.variance.tangent + rates.by_frozen * self.frozen.tangent
        for by_parameter, parameter in zip(rates.by_parameter, self.layer.parameters, strict=True):
            tangent = tangent + by_parameter * parameter.tangent
        return tangent

    @property
    def blocks(self) -> bool:
        """Whether no neuron has a linear response worth the name."""
        linear = self.rates.slopes_squared.value * (self.variance.value - self.frozen.value)
        return not np.any(linear > SMALLEST_RESPONSE * self.rates.square.value)


def statistics(layers: Sequence[Layer], input_variance: Dual) -> list[Statistics]:
    """See :func:`theory.equivalents.random_features.layer_statistics`."""
    found = []
    square: Any = input_variance
    shared: Any = 0.0 * input_variance
    for layer in layers:
        variance = layer.weight_variance * square + layer.bias_variance
        frozen = layer.weight_variance * shared + layer.bias_variance
        rates = layer_rates(layer.activation, float(variance.value), float(frozen.value))
        one = Statistics(layer, rates, variance, frozen)
        square = one.number(rates.square)
        shared = one.number(rates.mean)
        found.append(one)
    return found
