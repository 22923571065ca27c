"""Features at finite size: maps of the inputs, drawn afresh in every replicate, written over the array API.

Shapes are those of one replicate; several side by side have a leading axis.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import array_api_compat

from simulation.activations import evaluate
from simulation.arrays import times, transposed
from simulation.devices import Streams
from simulation.domains import nonnegative, positive, whole
from theory.activations import Activation
from theory.covariance import InadmissibleProblem


class Features(Protocol):
    """A random map from inputs to features."""

    def draw(self, streams: Streams, n_features: int) -> list[Any]:
        """Draw the arrays that define the map on inputs of size ``n_features``, a map for each stream."""

    def apply(self, weights: Sequence[Any], inputs: Any) -> Any:
        """Return the features, shape ``(n, N)``, of inputs of shape ``(n, d)``, in their namespace."""


def is_linear(features: object) -> bool:
    """Whether features are linear in the inputs, so that a read-out of theirs amounts to weights on the inputs."""
    return hasattr(features, "pull_back")


@dataclass(frozen=True, kw_only=True)
class LinearFeatures:
    """The inputs themselves."""

    def draw(self, streams: Streams, n_features: int) -> list[Any]:  # noqa: ARG002  nothing is random
        """Return no arrays."""
        return []

    def apply(self, weights: Sequence[Any], inputs: Any) -> Any:  # noqa: ARG002  there are none
        """Return the inputs."""
        return inputs

    def pull_back(self, weights: Sequence[Any], readout: Any) -> Any:  # noqa: ARG002  there are none
        """Return the read-out itself."""
        return readout


@dataclass(frozen=True, kw_only=True)
class RandomProjection:
    """``A x / sqrt(width)``, A of shape ``(width, d)`` with standard normal entries.

    Attributes:
        width: number of features, whole.
    """

    width: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", whole("width", self.width))

    def draw(self, streams: Streams, n_features: int) -> list[Any]:
        """Draw A."""
        return [streams.standard_normal((self.width, n_features))]

    def apply(self, weights: Sequence[Any], inputs: Any) -> Any:
        """Project."""
        return inputs @ transposed(weights[0]) / self.width**0.5

    def pull_back(self, weights: Sequence[Any], readout: Any) -> Any:
        """Return the weights on the inputs, shape ``(d,)``, that a read-out of shape ``(width,)`` amounts to."""
        return times(transposed(weights[0]), readout) / self.width**0.5


@dataclass(frozen=True, kw_only=True)
class RandomFourier:
    """``(cos(w_j . x), sin(w_j . x)) / sqrt(2 frequencies)``, ``w_j`` normal with variance ``1 / (d length_scale^2)``.

    As all features they are divided by the square root of their number. The inner product of two such vectors is half
    the mean of ``cos(w_j . (x - x'))``, which tends to half of ``exp(-||x - x'||^2 / (2 length_scale^2 d))``.

    Attributes:
        frequencies: number of them, whole; there are twice as many features.
        length_scale: positive.
    """

    frequencies: int
    length_scale: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "frequencies", whole("frequencies", self.frequencies))
        positive("length_scale", self.length_scale)

    def draw(self, streams: Streams, n_features: int) -> list[Any]:
        """Draw the frequencies, shape ``(frequencies, d)``."""
        deviation = 1.0 / (self.length_scale * n_features**0.5)
        return [deviation * streams.standard_normal((self.frequencies, n_features))]

    def apply(self, weights: Sequence[Any], inputs: Any) -> Any:
        """Return cosines, then sines."""
        xp = array_api_compat.array_namespace(inputs)
        phases = inputs @ transposed(weights[0])
        return xp.concat([xp.cos(phases), xp.sin(phases)], axis=-1) / (2 * self.frequencies) ** 0.5


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer ``activation(sqrt(weight_variance) W h / sqrt(width below) + sqrt(bias_variance) b)``.

    Attributes:
        activation: of :data:`theory.activations.ACTIVATIONS`.
        width: number of neurons, whole.
        weight_variance: positive.
        bias_variance: nonnegative.
    """

    activation: Activation
    width: int
    weight_variance: float = 1.0
    bias_variance: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", whole("width", self.width))
        positive("weight_variance", self.weight_variance)
        nonnegative("bias_variance", self.bias_variance)


@dataclass(frozen=True, kw_only=True)
class RandomFeatures:
    """The last of a few layers of random, frozen weights, divided by the square root of its width.

    Attributes:
        layers: first to last, at least one.
    """

    layers: Sequence[Layer]

    def __post_init__(self) -> None:
        if not self.layers:
            raise InadmissibleProblem("random features need at least one layer", argument="layers")

    def draw(self, streams: Streams, n_features: int) -> list[Any]:
        """Draw W, its scale included, and the biases of every layer in turn."""
        arrays = []
        below = n_features
        for layer in self.layers:
            deviation = (layer.weight_variance / below) ** 0.5
            matrix = streams.standard_normal((layer.width, below))
            matrix *= deviation
            arrays.append(matrix)
            arrays.append(layer.bias_variance**0.5 * streams.standard_normal((layer.width,)))
            below = layer.width
        return arrays

    def apply(self, weights: Sequence[Any], inputs: Any) -> Any:
        """Propagate the inputs through the layers."""
        hidden = inputs
        for layer, matrix, biases in zip(self.layers, weights[::2], weights[1::2], strict=True):
            hidden = hidden @ transposed(matrix)
            if layer.bias_variance > 0.0:
                hidden += biases[..., None, :]
            hidden = evaluate(layer.activation, hidden)
        hidden /= self.layers[-1].width ** 0.5
        return hidden
