"""Kernels of networks of infinite width at many cosines, differentiated by the variances and activations of their layers.

The recursions of :mod:`theory.equivalents.wide_networks` over numbers that carry derivatives by all parameters: by variance at
a fixed correlation, and by the correlation, whose own derivative vanishes on the diagonal however steep the dual is there.
"""

import numpy as np

from theory.activations.normal import Array
from theory.derivatives.activations import Rates, whole_averages
from theory.derivatives.dual import Dual, Space
from theory.derivatives.duals import DualRates, dual_rates, dual_slope_rates
from theory.derivatives.statistics import Layer
from theory.equivalents.random_features import RandomLayer
from theory.equivalents.wide_networks import ConjugateKernel, NeuralTangentKernel


def wide_rates(kernel: ConjugateKernel | NeuralTangentKernel, cosine: Array) -> tuple[Array, Array]:
    """Differentiate a kernel of inputs of length sqrt(d).

    Args:
        kernel: of a network's layers.
        cosine: of the inputs' angle, inside (-1, 1), shape ``(m,)``.

    Returns:
        Derivatives by every layer's weight_variance, bias_variance and activation's parameters, layer by layer: shape
        ``(parameters, m)``, and those of the diagonal, shape ``(parameters,)``.
    """
    space, layers = _numbered(kernel.layers)
    if isinstance(kernel, ConjugateKernel):
        values, diagonal = _conjugate(layers, space.constant(cosine))
    else:
        values, diagonal = _neural_tangent(layers, space.constant(cosine))
    return values.full_tangent.T.copy(), diagonal.full_tangent


def _numbered(layers: tuple[RandomLayer, ...]) -> tuple[Space, list[Layer]]:
    """Give every number of the layers a direction of its own."""
    names = [layer.activation.parameters() for layer in layers]
    space = Space(sum(2 + len(of_layer) for of_layer in names), n_unknowns=0)
    found, first = [], 0
    for layer, of_layer in zip(layers, names, strict=True):
        own = [getattr(layer.activation, name) for name in of_layer]
        weight, bias, *parameters = (
            space.along(value, first + place)
            for place, value in enumerate([layer.weight_variance, layer.bias_variance, *own])
        )
        found.append(
            Layer(
                activation=layer.activation,
                weight_variance=weight,
                bias_variance=bias,
                parameters=tuple(parameters),
            )
        )
        first += 2 + len(of_layer)
    return space, found


def _conjugate(layers: list[Layer], covariance: Dual) -> tuple[Dual, Dual]:
    variance = 1.0 + 0.0 * layers[0].weight_variance
    for layer in layers:
        variance = layer.weight_variance * variance + layer.bias_variance
        covariance = layer.weight_variance * covariance + layer.bias_variance
        correlation = _correlation(covariance, variance)
        rates = dual_rates(layer.activation, float(variance.value), correlation.value)
        covariance = _of_pair(rates, layer, variance, correlation)
        square, _ = whole_averages(layer.activation, float(variance.value))
        variance = _of_one(square, layer, variance)
    return covariance, variance


def _neural_tangent(layers: list[Layer], cosine: Dual) -> tuple[Dual, Dual]:
    first = layers[0]
    variance = first.weight_variance + first.bias_variance
    covariance = first.weight_variance * cosine + first.bias_variance
    tangent, total = covariance, variance
    for layer, above in zip(layers, [*layers[1:], layers[-1]], strict=True):
        q, correlation = float(variance.value), _correlation(covariance, variance)
        slopes = _of_pair(dual_slope_rates(layer.activation, q, correlation.value), layer, variance, correlation)
        values = _of_pair(dual_rates(layer.activation, q, correlation.value), layer, variance, correlation)
        square, square_slope = (_of_one(rates, layer, variance) for rates in whole_averages(layer.activation, q))
        covariance = above.weight_variance * values + above.bias_variance
        tangent = covariance + above.weight_variance * tangent * slopes
        variance = above.weight_variance * square + above.bias_variance
        total = variance + above.weight_variance * total * square_slope
    return tangent, total


def _correlation(covariance: Dual, variance: Dual) -> Dual:
    found = covariance / variance
    return Dual(np.clip(found.value, -1.0, 1.0), found.tangent)


def _of_pair(rates: DualRates, layer: Layer, variance: Dual, correlation: Dual) -> Dual:
    # Where a steep dual meets the diagonal by rounding it counts for nothing: such inputs have no weight to speak of.
    steep = np.where(np.isfinite(rates.by_correlation), rates.by_correlation, 0.0)
    tangent = steep[:, None] * correlation.full_tangent + rates.by_variance[:, None] * variance.tangent
    for by_parameter, parameter in zip(rates.by_parameter, layer.parameters, strict=True):
        tangent = tangent + by_parameter[:, None] * parameter.tangent
    return Dual(rates.value, tangent)


def _of_one(rates: Rates, layer: Layer, variance: Dual) -> Dual:
    tangent = rates.by_variance * variance.tangent
    for by_parameter, parameter in zip(rates.by_parameter, layer.parameters, strict=True):
        tangent = tangent + by_parameter * parameter.tangent
    return Dual(rates.value, tangent)
