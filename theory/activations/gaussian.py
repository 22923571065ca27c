"""Averages of activations under Gaussian pre-activations, with their arguments checked: what layers are made of."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from theory.activations.activation import Activation
from theory.activations.normal import Array
from theory.covariance import InadmissibleProblem

CORRELATION_SLACK = 1e-9
"""A covariance that exceeds what its variances allow by no more than this share is rounded to them."""


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Averages of phi at u = shift + sqrt(variance) z, z standard normal; each has the shape of the arguments.

    Attributes:
        mean: m0 = E phi.
        slope: m1 = E phi' = E[phi z] / s.
        curvature: m2 = E phi'' = E[phi (z^2 - 1)] / s^2.
        square: E phi^2.
        square_slope: E phi'^2, infinite for a discontinuous activation.
        nonlinear_variance: mu_*^2 = E phi^2 - m0^2 - s^2 m1^2, at least 0.
    """

    mean: Array
    slope: Array
    curvature: Array
    square: Array
    square_slope: Array
    nonlinear_variance: Array


@dataclass(frozen=True, kw_only=True)
class BiasAverages:
    """Averages over the frozen part of u = sqrt(frozen) b + sqrt(variance - frozen) z, and its law itself.

    Attributes:
        mean: O = E_b m0(b)^2, a number.
        slope: O1 = E_b m1(b)^2.
        curvature: O2 = E_b m2(b)^2.
        biases: nodes b_j of a quadrature over the standard normal b, shape ``(m,)``: a single 0 if nothing is frozen, and
            b >= 0 only if phi is odd or even, because a and c are then even in b.
        weights: theirs, shape ``(m,)``, positive, with sum 1.
        slopes_squared: a_j = m1(b_j)^2, shape ``(m,)``.
        nonlinear_variances: c_j = mu_*^2(b_j), shape ``(m,)``.
    """

    mean: float
    slope: float
    curvature: float
    biases: Array
    weights: Array
    slopes_squared: Array
    nonlinear_variances: Array


def moments(activation: Activation, variance: npt.ArrayLike, shift: npt.ArrayLike = 0.0) -> Moments:
    """Average an activation, its derivatives and their squares over a Gaussian pre-activation.

    Args:
        activation: of :data:`theory.activations.ACTIVATIONS`.
        variance: of the pre-activation, positive; any shape.
        shift: its mean; broadcasts against ``variance``.

    Returns:
        The averages, to a relative 1e-12 for variances from 1e-3 to 1e3.

    Raises:
        InadmissibleProblem: a variance is not positive and finite, or a shift not finite.

    Source: the Hermite coefficients of an activation; Daniely, Frostig, Singer, arXiv:1602.05897; by Stein's lemma.
    """
    variances, shifts = np.broadcast_arrays(_positive(variance, "variance"), _finite(shift, "shift"))
    return Moments(
        mean=activation.mean(variances, shifts),
        slope=activation.mean_slope(variances, shifts),
        curvature=activation.mean_curvature(variances, shifts),
        square=activation.mean_square(variances, shifts),
        square_slope=activation.mean_square_slope(variances, shifts),
        nonlinear_variance=activation.nonlinear_variance(variances, shifts),
    )


def hermite_coefficients(activation: Activation, variance: float, count: int) -> Array:
    """Return c_k = E phi(sqrt(variance) z) he_k(z) for k < ``count``, he_k the orthonormal Hermite polynomials.

    Args:
        activation: of :data:`theory.activations.ACTIVATIONS`.
        variance: positive.
        count: from 1 to 64.

    Returns:
        Shape ``(count,)``, with absolute errors at the rounding of the largest.

    Raises:
        InadmissibleProblem: ``variance`` is not positive and finite, or ``count`` is out of range.
    """
    if not 1 <= count <= 64:
        raise InadmissibleProblem(
            f"count must lie in 1..64, got {count}; use theory.activations.dual for what a longer series would sum to",
            argument="count",
        )
    grid = activation.grid(_positive(variance, "variance"), np.zeros(()))
    values = activation.value(grid.u)
    before, polynomial = np.zeros_like(grid.z), np.ones_like(grid.z)
    coefficients = np.empty(count)
    for k in range(count):
        coefficients[k] = grid.average(values * polynomial)
        before, polynomial = polynomial, (grid.z * polynomial - np.sqrt(k) * before) / np.sqrt(k + 1.0)
    return coefficients


def dual(
    activation: Activation, variance_u: npt.ArrayLike, variance_v: npt.ArrayLike, covariance: npt.ArrayLike
) -> Array:
    """Return E phi(u) phi(v) for centred Gaussian (u, v).

    Args:
        activation: of :data:`theory.activations.ACTIVATIONS`.
        variance_u: of u, positive.
        variance_v: of v, positive; broadcasts.
        covariance: of u and v, at most ``sqrt(variance_u * variance_v)`` in absolute value; broadcasts.

    Returns:
        Of the common shape. tanh, sigmoid and softplus have no closed form and take some milliseconds an element.

    Raises:
        InadmissibleProblem: a variance is not positive and finite, or the covariance exceeds what they allow.

    Source: Daniely, Frostig, Singer, arXiv:1602.05897; closed forms in the modules of the activations.
    """
    return activation.dual(*_pair(variance_u, variance_v, covariance))


def dual_slopes(
    activation: Activation, variance_u: npt.ArrayLike, variance_v: npt.ArrayLike, covariance: npt.ArrayLike
) -> Array:
    """Return E phi'(u) phi'(v), the derivative of :func:`dual` by the covariance.

    For a discontinuous activation the jumps count, and the value is infinite at perfect correlation. Arguments,
    exceptions and source are those of :func:`dual`.
    """
    return activation.dual_slopes(*_pair(variance_u, variance_v, covariance))


def dual_curvatures(
    activation: Activation, variance_u: npt.ArrayLike, variance_v: npt.ArrayLike, covariance: npt.ArrayLike
) -> Array:
    """Return E phi''(u) phi''(v), the second derivative of :func:`dual` by the covariance.

    Kinks and jumps count, and with them the value is infinite at perfect correlation. Arguments, exceptions and source
    are those of :func:`dual`.
    """
    return activation.dual_curvatures(*_pair(variance_u, variance_v, covariance))


def bias_averages(activation: Activation, variance: float, frozen: float = 0.0) -> BiasAverages:
    """Average over the part of a pre-activation that its neuron keeps for every input: its bias, and features' means.

    Args:
        activation: of :data:`theory.activations.ACTIVATIONS`.
        variance: of the pre-activation over neurons and inputs, positive.
        frozen: the part of it that is the same for every input, at least 0 and below ``variance``.

    Raises:
        InadmissibleProblem: ``variance`` is not positive and finite, or ``frozen`` not in [0, variance).

    Source: Piccolo and Schröder, arXiv:2105.05115, for one layer with bias; the averages of m0, m1, m2 are duals at
        covariance ``frozen``, because two inputs share no more of their pre-activations than that.
    """
    _positive(variance, "variance")
    if not 0.0 <= frozen < variance:
        raise InadmissibleProblem(
            f"frozen must lie in [0, variance), got {frozen!r} for variance = {variance!r};"
            " a neuron whose input does not vary is a constant: leave it out",
            argument="frozen",
        )
    return _bias_averages(activation, float(variance), float(frozen))


@lru_cache(maxsize=1024)
def _bias_averages(activation: Activation, variance: float, frozen: float) -> BiasAverages:
    """Compute them once for the many problems that differ in sample size or penalty only."""
    total, shared = np.asarray(variance), np.asarray(frozen)
    if frozen > 0.0:
        biases, weights = activation.bias_nodes(frozen, variance - frozen)
    else:
        biases, weights = np.zeros(1), np.ones(1)
    residual, shifts = np.full_like(biases, variance - frozen), np.sqrt(frozen) * biases
    slopes_squared, nonlinear = (
        activation.mean_slope(residual, shifts) ** 2,
        activation.nonlinear_variance(residual, shifts),
    )
    for array in (biases, weights, slopes_squared, nonlinear):
        array.setflags(write=False)
    return BiasAverages(
        mean=float(activation.dual(total, total, shared)),
        slope=float(activation.dual_slopes(total, total, shared)),
        curvature=float(activation.dual_curvatures(total, total, shared)),
        biases=biases,
        weights=weights,
        slopes_squared=slopes_squared,
        nonlinear_variances=nonlinear,
    )


def _positive(values: npt.ArrayLike, name: str) -> Array:
    array = np.asarray(values, dtype=np.float64)
    bad = array[~((array > 0.0) & np.isfinite(array))]
    if bad.size:
        raise InadmissibleProblem(
            f"{name} must be positive and finite, got {float(bad[0])!r}; give a layer a positive weight_variance or"
            " bias_variance",
            argument=name,
        )
    return array


def _finite(values: npt.ArrayLike, name: str) -> Array:
    array = np.asarray(values, dtype=np.float64)
    bad = array[~np.isfinite(array)]
    if bad.size:
        raise InadmissibleProblem(f"{name} must be finite, got {float(bad[0])!r}; 0 is no shift", argument=name)
    return array


def _pair(
    variance_u: npt.ArrayLike, variance_v: npt.ArrayLike, covariance: npt.ArrayLike
) -> tuple[Array, Array, Array]:
    """Check and broadcast, rounding the covariance to what the variances allow."""
    u, v, c = np.broadcast_arrays(
        _positive(variance_u, "variance_u"), _positive(variance_v, "variance_v"), _finite(covariance, "covariance")
    )
    largest = np.sqrt(u * v)
    beyond = np.abs(c) > largest * (1.0 + CORRELATION_SLACK)
    if np.any(beyond):
        raise InadmissibleProblem(
            f"covariance must lie within ±sqrt(variance_u * variance_v) = ±{float(largest[beyond][0])!r},"
            f" got {float(c[beyond][0])!r}; clip it if it is rounding",
            argument="covariance",
        )
    return u, v, np.clip(c, -largest, largest)
