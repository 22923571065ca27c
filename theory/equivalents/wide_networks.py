"""Networks of infinite width as kernels: the conjugate kernel of frozen layers, and the neural tangent kernel of trained ones.

Notation of the recursion, per layer: q the variance of the pre-activation, s its part that all inputs share, a its
derivative by ``x.x'/d``; O, O1, O2 the averages over shared parts of the squared means of the activation and its first two
derivatives. The part of q that neither a constant nor a linear function explains is ``r = q - s - a tau``, propagated as
such, not as that difference.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.polynomial.chebyshev import chebval
from scipy.fft import dct

from theory.activations import Activation, dual, dual_slopes, moments
from theory.covariance import InadmissibleProblem, Vector
from theory.equivalents.kernels import LinearCoefficients
from theory.equivalents.random_features import LayerStatistics, RandomLayer, layer_statistics

Average = Callable[[Activation, float, float, Vector], Vector]

CHEBYSHEV_POINTS = (32, 64, 128)
CHEBYSHEV_TOLERANCE = 1e-12


@dataclass(frozen=True, kw_only=True)
class ConjugateKernel:
    """Kernel of ``h_L / sqrt(width_L)`` as all widths grow.

    Attributes:
        layers: first to last; their widths are not looked at.

    Sources: Lee et al., arXiv:1711.00165; in the linear regime Fan and Wang, arXiv:2005.11879.
    """

    layers: tuple[RandomLayer, ...]

    def linearised(self, input_variance: float, squared_share: float) -> LinearCoefficients:  # noqa: ARG002 - of the protocol
        """See :class:`theory.equivalents.kernels.Kernel`."""
        slope, rest = 1.0, 0.0
        statistics = layer_statistics(self.layers, input_variance)
        for layer, found in zip(self.layers, statistics, strict=True):
            slope, rest = _activated(layer, found, slope, rest)
        return LinearCoefficients(constant=statistics[-1].averages.mean, slope=slope, tail=rest)

    def on_sphere(self, cosine: Vector) -> Vector:
        """See :class:`theory.equivalents.kernels.Kernel`."""
        covariance, variance = np.asarray(cosine, float), 1.0
        for layer in self.layers:
            variance = layer.weight_variance * variance + layer.bias_variance
            covariance = layer.weight_variance * covariance + layer.bias_variance
            covariance = on_correlations(dual, layer.activation, variance, covariance)
            variance = float(moments(layer.activation, variance).square)
        return covariance

    def derivative_on_sphere(self, order: int, cosine: Vector) -> Vector | None:  # noqa: ARG002 - of the protocol
        """See :class:`theory.equivalents.kernels.Kernel`; left to quadrature."""
        return None


@dataclass(frozen=True, kw_only=True)
class NeuralTangentKernel:
    """Tangent kernel at initialisation, all layers trained, with a read-out of the last layer's variances.

    Attributes:
        layers: first to last, of continuous activations; their widths are not looked at.

    Raises:
        InadmissibleProblem: an activation jumps: the squared slopes on the kernel's diagonal have no mean.

    Sources: Jacot, Gabriel, Hongler, arXiv:1806.07572; in the linear regime Fan and Wang, arXiv:2005.11879.
    """

    layers: tuple[RandomLayer, ...]

    def __post_init__(self) -> None:
        for position, layer in enumerate(self.layers):
            if not layer.activation.is_continuous:
                raise InadmissibleProblem(
                    f"the neural tangent kernel does not exist for the activation {layer.activation.kind!r}, which jumps:"
                    " E phi'^2 is infinite; use kernel.kind = 'ck'",
                    argument=f"layers/{position}/activation",
                )

    def linearised(self, input_variance: float, squared_share: float) -> LinearCoefficients:  # noqa: ARG002 - of the protocol
        """See :class:`theory.equivalents.kernels.Kernel`."""
        first = self.layers[0]
        statistics = layer_statistics(self.layers, input_variance)
        # Theta = shared 11' + linear X X' / d + tail I, total its diagonal; slope and rest are those of the activations below.
        slope, rest = 1.0, 0.0
        shared, linear, tail = first.bias_variance, first.weight_variance, 0.0
        total = statistics[0].variance
        for position, (layer, found) in enumerate(zip(self.layers, statistics, strict=True)):
            averages = found.averages
            squared_slope = float(moments(layer.activation, found.variance).square_slope)
            pre_slope = layer.weight_variance * slope  # a of this layer's pre-activation
            slope, rest = _activated(layer, found, slope, rest)
            above = self.layers[min(position + 1, len(self.layers) - 1)]
            weight = above.weight_variance
            bent = shared * pre_slope * averages.curvature
            tail = weight * (
                rest + tail * averages.slope + total * (squared_slope - averages.slope) - bent * input_variance
            )
            linear = weight * (slope + linear * averages.slope + bent)
            shared = weight * averages.mean + above.bias_variance + weight * shared * averages.slope
            total = weight * found.square + above.bias_variance + weight * total * squared_slope
        return LinearCoefficients(constant=shared, slope=linear, tail=max(tail, 0.0))

    def on_sphere(self, cosine: Vector) -> Vector:
        """See :class:`theory.equivalents.kernels.Kernel`."""
        first = self.layers[0]
        variance = first.weight_variance + first.bias_variance
        covariance = first.weight_variance * np.asarray(cosine, float) + first.bias_variance
        tangent = covariance
        for position, layer in enumerate(self.layers):
            above = self.layers[min(position + 1, len(self.layers) - 1)]
            slopes = on_correlations(dual_slopes, layer.activation, variance, covariance)
            covariance = on_correlations(dual, layer.activation, variance, covariance)
            covariance = above.weight_variance * covariance + above.bias_variance
            tangent = covariance + above.weight_variance * tangent * slopes
            variance = above.weight_variance * float(moments(layer.activation, variance).square) + above.bias_variance
        return tangent

    def derivative_on_sphere(self, order: int, cosine: Vector) -> Vector | None:  # noqa: ARG002 - of the protocol
        """See :class:`theory.equivalents.kernels.Kernel`; left to quadrature."""
        return None


def _activated(layer: RandomLayer, found: LayerStatistics, slope: float, rest: float) -> tuple[float, float]:
    """Take the slope and the rest of what lies below a layer to those of its activations: A, and D - O - A tau."""
    averages = found.averages
    own = float(averages.weights @ averages.nonlinear_variances)
    return (
        layer.weight_variance * slope * averages.slope,
        own + averages.slope * layer.weight_variance * rest,
    )


def on_correlations(average: Average, activation: Activation, variance: float, covariance: Vector) -> Vector:
    """Return a dual at many covariances; where it is a quadrature, by its Chebyshev polynomial in the correlation.

    Args:
        average: :func:`theory.activations.dual` or another function with its arguments.
        activation: of both pre-activations.
        variance: of both.
        covariance: of the two, any shape.
    """
    if activation.has_closed_dual:
        return average(activation, variance, variance, covariance)
    return np.asarray(chebval(covariance / variance, chebyshev_coefficients(average, activation, variance)))


@lru_cache(maxsize=256)
def chebyshev_coefficients(average: Average, activation: Activation, variance: float) -> Vector:
    """Return a dual's Chebyshev coefficients in the correlation, for :func:`on_correlations`.

    Points are doubled until the last coefficients are rounding; the activations without closed duals are smooth.
    """
    coefficients = np.zeros(1)
    for count in CHEBYSHEV_POINTS:
        angles = np.pi * (np.arange(count) + 0.5) / count
        values = average(activation, variance, variance, variance * np.cos(angles))
        coefficients = np.asarray(dct(values, type=2)) / count
        coefficients[0] /= 2.0
        if np.max(np.abs(coefficients[-3:])) <= CHEBYSHEV_TOLERANCE * np.max(np.abs(coefficients)):
            break
    return coefficients
