"""Derivatives of E phi(u) phi(v) and E phi'(u) phi'(v), u and v of one variance q, at a fixed correlation r.

Each is differentiated by q, by r and by the activation's own parameters. By r it is q times the next of the duals. At a fixed
correlation u and v grow in proportion, so that

    d/dq E phi(u) phi(v) = E[u phi'(u) phi(v)] / q,      d/dq E phi'(u) phi'(v) = E[u phi''(u) phi'(v)] / q,

which for a homogeneous phi is a multiple of the dual itself.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial.chebyshev import chebder, chebval
from scipy.special import ndtr

from theory.activations import Activation, dual, dual_slopes
from theory.activations.gates import Gelu
from theory.activations.normal import Array, density
from theory.activations.polynomials import Linear, Quadratic
from theory.activations.rectifiers import Abs, LeakyRelu, Relu
from theory.activations.sigmoids import Erf
from theory.activations.steps import Sign, Ternary
from theory.activations.waves import Wave
from theory.equivalents.wide_networks import chebyshev_coefficients


class DualRates(NamedTuple):
    """A dual at many correlations, each field of their shape.

    Attributes:
        value: the dual.
        by_correlation: its derivative by r; infinite at r = 1 where phi, or phi', jumps.
        by_variance: by q.
        by_parameter: by each parameter of the activation, in the order of its fields.
    """

    value: Array
    by_correlation: Array
    by_variance: Array
    by_parameter: tuple[Array, ...]


def dual_rates(activation: Activation, variance: float, correlation: Array) -> DualRates:
    """Differentiate E phi(u) phi(v).

    Args:
        activation: of :data:`theory.activations.ACTIVATIONS`.
        variance: q > 0.
        correlation: r, in [-1, 1].
    """
    if not activation.has_closed_dual:
        return _by_quadrature(activation, variance, correlation, slopes=False)
    q, c = np.full_like(correlation, variance), variance * correlation
    value, slopes = activation.dual(q, q, c), activation.dual_slopes(q, q, c)
    by_parameter: tuple[Array, ...] = ()
    if type(activation) is LeakyRelu:
        by_parameter = (c - 2.0 * (1.0 - activation.negative_slope) * Relu().dual(q, q, c),)
    if isinstance(activation, Ternary):
        by_threshold = _ternary(activation, variance, correlation)
        by_parameter = tuple(rate / np.sqrt(variance) for rate in by_threshold)
        by_variance = -0.5 / variance**1.5 * (by_threshold[0] * activation.low + by_threshold[1] * activation.high)
    elif type(activation) in DEGREES:
        by_variance = DEGREES[type(activation)] / variance * value
    else:
        by_variance = _closed(activation)(activation, variance, correlation, value, slopes)[0]
    return DualRates(value, variance * slopes, by_variance, by_parameter)


def dual_slope_rates(activation: Activation, variance: float, correlation: Array) -> DualRates:
    """Differentiate E phi'(u) phi'(v); arguments are those of :func:`dual_rates`, of a continuous activation."""
    if not activation.has_closed_dual:
        return _by_quadrature(activation, variance, correlation, slopes=True)
    q, c = np.full_like(correlation, variance), variance * correlation
    value, curvatures = activation.dual_slopes(q, q, c), activation.dual_curvatures(q, q, c)
    by_parameter: tuple[Array, ...] = ()
    if type(activation) is LeakyRelu:
        by_parameter = (1.0 - 2.0 * (1.0 - activation.negative_slope) * Relu().dual_slopes(q, q, c),)
    if type(activation) in DEGREES:
        by_variance = (DEGREES[type(activation)] - 1.0) / variance * value
    else:
        by_variance = _closed(activation)(activation, variance, correlation, activation.dual(q, q, c), value)[1]
    return DualRates(value, variance * curvatures, by_variance, by_parameter)


DEGREES: dict[type[Activation], float] = {Linear: 1.0, LeakyRelu: 1.0, Relu: 1.0, Abs: 1.0, Quadratic: 2.0, Sign: 0.0}
"""Of duals in the variance, where phi is homogeneous."""

ByVariance = Callable[[Any, float, Array, Array, Array], tuple[Array, Array]]


def _closed(activation: Activation) -> ByVariance:
    """Return what takes an activation, q, r and both duals to their derivatives by q."""
    if isinstance(activation, Wave):
        return _wave
    return _erf if isinstance(activation, Erf) else _gelu


def _wave(_: Wave, variance: float, correlation: Array, value: Array, slopes: Array) -> tuple[Array, Array]:  # noqa: ARG001
    """exp(-q) cosh(q r) and exp(-q) sinh(q r)."""
    return correlation * slopes - value, correlation * value - slopes


def _erf(_: Erf, variance: float, correlation: Array, value: Array, slopes: Array) -> tuple[Array, Array]:  # noqa: ARG001
    widened = 1.0 + 2.0 * variance
    # slopes = 4 / pi / sqrt(tilt).
    tilt = (4.0 / np.pi / slopes) ** 2
    by_variance = correlation / widened * slopes
    return by_variance, -2.0 * slopes / tilt * (widened - 2.0 * variance * correlation**2)


def _gelu(_: Gelu, variance: float, correlation: Array, value: Array, slopes: Array) -> tuple[Array, Array]:  # noqa: ARG001
    q, c, wide = variance, variance * correlation, 1.0 + variance
    tilt = 1.0 + 2.0 * q + q * q * (1.0 - correlation) * (1.0 + correlation)
    root = np.sqrt(tilt)
    tilt_q = 2.0 * (wide - c * correlation)
    angle, angle_q = np.arctan2(root, -c), correlation / (wide * root)
    top, top_q = q * q * tilt + c * c, 2.0 * q * tilt + q * q * tilt_q + 2.0 * c * correlation
    bottom, bottom_q = wide**2 * root, 2.0 * wide * root + 0.5 * wide**2 * tilt_q / root
    rest_q = (top_q - top / bottom * bottom_q) / bottom
    of_value = (correlation * angle + c * angle_q + rest_q) / (2.0 * np.pi)
    factor, factor_q = 2.0 / wide + 1.0 / tilt, -2.0 / wide**2 - tilt_q / tilt**2
    lean, lean_q = c / root, (correlation - 0.5 * c * tilt_q / tilt) / root
    return of_value, (angle_q + lean_q * factor + lean * factor_q) / (2.0 * np.pi)


def _ternary(activation: Ternary, variance: float, correlation: Array) -> tuple[Array, Array]:
    """Differentiate by the standardised thresholds; phi is a sum of two steps, and P(X > x, Y > y) has closed slopes."""
    deviation = np.sqrt(variance)
    apart = np.sqrt((1.0 - correlation) * (1.0 + correlation))
    thresholds = activation.low / deviation, activation.high / deviation
    found = []
    for x in thresholds:
        beyond = 0.0 * correlation
        for y in thresholds:
            with np.errstate(divide="ignore", invalid="ignore"):
                place = (correlation * x - y) / apart
            beyond = beyond + ndtr(np.where(np.isnan(place), 0.0, place))
        found.append(2.0 * float(density(np.asarray(x))) * (1.0 - beyond))
    return found[0], found[1]


def _by_quadrature(activation: Activation, variance: float, correlation: Array, *, slopes: bool) -> DualRates:
    """Differentiate Chebyshev polynomials in the correlation."""
    coefficients = chebyshev_coefficients(dual_slopes if slopes else dual, activation, variance)
    by_variance = chebyshev_coefficients(_grown_slopes if slopes else _grown, activation, variance) / variance
    return DualRates(
        np.asarray(chebval(correlation, coefficients)),
        np.asarray(chebval(correlation, chebder(coefficients))),
        np.asarray(chebval(correlation, by_variance)),
        (),
    )


def _grown(activation: Activation, variance_u: float, variance_v: float, covariance: Array) -> Array:
    """E u phi'(u) phi(v)."""

    def average(variance: Array, shift: Array) -> Array:
        return shift * activation.mean_slope(variance, shift) + variance * activation.mean_curvature(variance, shift)

    q_u, q_v = np.asarray(variance_u), np.asarray(variance_v)
    return activation.product_mean(average, activation.mean, q_u, q_v, covariance)


def _grown_slopes(activation: Activation, variance_u: float, variance_v: float, covariance: Array) -> Array:
    """E u phi''(u) phi'(v)."""

    def average(variance: Array, shift: Array) -> Array:
        grid = activation.grid(variance, shift)
        return grid.average(grid.u * activation.curvature(grid.u))

    q_u, q_v = np.asarray(variance_u), np.asarray(variance_v)
    return activation.product_mean(average, activation.mean_slope, q_u, q_v, covariance)
