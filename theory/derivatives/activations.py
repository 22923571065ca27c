"""Derivatives of an activation's Gaussian averages, by the variances of its pre-activation and by its own parameters.

With ``m_k(r, x) = E phi^(k)(x + sqrt(r) z)`` one has ``d m_k / dx = m_(k+1)`` and ``d m_k / dr = m_(k+2) / 2`` (Stein). What
phi has beyond 1 and z, rho, is orthogonal to both, so that

    d mu_*^2 / dx = 2 E[rho phi'],      d mu_*^2 / dr = E[rho phi' z] / sqrt(r),      d mu_*^2 / dp = 2 E[rho d phi / dp].
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr

from theory.activations import Activation, bias_averages
from theory.activations.normal import Array, density
from theory.activations.rectifiers import LeakyRelu
from theory.activations.steps import Sign, Ternary
from theory.activations.waves import Wave, odd_rest

WIDEST_PHASES = 10.0
"""Deviation of the frozen part of an oscillating activation's pre-activation beyond which its phase is uniform."""


class Rates(NamedTuple):
    """An average and its derivatives.

    Attributes:
        value: the average.
        by_variance: by q, the variance of the pre-activation, at a fixed frozen part of it.
        by_frozen: by s, that part.
        by_parameter: by each parameter of the activation, in the order of its fields.
    """

    value: Any
    by_variance: Any
    by_frozen: Any
    by_parameter: tuple[Any, ...]


class LayerRates(NamedTuple):
    """What a layer is made of; see :class:`theory.activations.BiasAverages`.

    Attributes:
        weights: of the nodes over biases, as in the other attributes that have shape ``(m,)``.
        slopes_squared: a = m1^2 at the nodes.
        nonlinear_variances: c = mu_*^2 at the nodes.
        slopes_turn, variances_turn: derivatives of a and c by a node's shift, for what nothing frozen leaves a single node.
        square: D = E phi^2.
        mean: O.
        slope: O1.
        curvature: O2.
        square_slope: E phi'^2.
        mean_nonlinear: E_b mu_*^2.
    """

    weights: Array
    slopes_squared: Rates
    nonlinear_variances: Rates
    slopes_turn: Array
    variances_turn: Array
    square: Rates
    mean: Rates
    slope: Rates
    curvature: Rates
    square_slope: Rates
    mean_nonlinear: Rates


class _Nodes(NamedTuple):
    """Averages at variances r and shifts x, and variations by parameters: one row a parameter."""

    m: tuple[Array, Array, Array, Array, Array]
    rest: Array
    rest_by_shift: Array
    rest_by_variance: Array
    m_by_parameter: tuple[Array, Array, Array]
    rest_by_parameter: Array


@lru_cache(maxsize=1024)
def layer_rates(activation: Activation, variance: float, frozen: float) -> LayerRates:
    """Differentiate what :func:`theory.activations.bias_averages` returns, and E phi^2.

    Args:
        activation: of :data:`theory.activations.ACTIVATIONS`.
        variance: q > 0.
        frozen: s, in [0, q). At 0 derivatives by it are those from above.
    """
    found = bias_averages(activation, variance, frozen)
    residual = variance - frozen
    b, w, spread = found.biases, found.weights, np.sqrt(frozen)
    if isinstance(activation, Wave) and frozen > 0.0:
        # Their own rule folds phases, by which its weights depend on s; this one has nodes of a normal variable.
        # A normal of ten periods' width is uniform on the circle to exp(-200), and stays so as it widens.
        spread = min(spread, WIDEST_PHASES)
        b, w = Activation.bias_nodes(activation, spread**2, residual)
    at = _nodes(activation, np.full_like(b, residual), spread * b)
    m0, m1, m2, m3, m4 = at.m
    moved = b / (2.0 * spread) if frozen > 0.0 and spread == np.sqrt(frozen) else np.zeros_like(b)
    # An odd or even activation has nodes of one sign; a parameter may break that, and the mean over both signs counts.
    both = [at]
    if activation.parity is not None and frozen > 0.0:
        both.append(_nodes(activation, np.full_like(b, residual), -spread * b))
    mixed = [
        (one.m[0] * one.m_by_parameter[0], one.m[1] * one.m_by_parameter[1], one.m[2] * one.m_by_parameter[2])
        for one in both
    ]
    p00, p11, p22 = (np.mean([row[k] for row in mixed], axis=0) for k in range(3))
    rest_p = np.mean([one.rest_by_parameter for one in both], axis=0)
    slopes = Rates(m1 * m1, m1 * m3, 2.0 * m1 * m2 * moved - m1 * m3, tuple(2.0 * p11))
    variances = Rates(at.rest, at.rest_by_variance, at.rest_by_shift * moved - at.rest_by_variance, tuple(rest_p))
    if frozen == 0.0:
        # Half the second derivative by the shift less the derivative by r: m2^2, and -r m2^2.
        slopes = slopes._replace(by_frozen=m2 * m2)
        variances = variances._replace(by_frozen=-residual * m2 * m2)
    whole = whole_averages(activation, variance)
    return LayerRates(
        weights=w,
        slopes_squared=slopes,
        nonlinear_variances=variances,
        slopes_turn=2.0 * m1 * m2,
        variances_turn=at.rest_by_shift,
        square=whole[0],
        mean=Rates(found.mean, float(w @ (m0 * m2)), found.slope, tuple(2.0 * (p00 @ w))),
        slope=Rates(found.slope, float(w @ (m1 * m3)), found.curvature, tuple(2.0 * (p11 @ w))),
        curvature=Rates(found.curvature, float(w @ (m2 * m4)), float(w @ (m3 * m3)), tuple(2.0 * (p22 @ w))),
        square_slope=whole[1],
        mean_nonlinear=Rates(
            float(w @ at.rest),
            float(w @ at.rest_by_variance),
            -residual * found.curvature,
            tuple(rest_p @ w),
        ),
    )


@lru_cache(maxsize=1024)
def whole_averages(activation: Activation, variance: float) -> tuple[Rates, Rates]:
    """Return E phi^2 and E phi'^2 over a centred pre-activation, with derivatives.

    Args:
        activation: of :data:`theory.activations.ACTIVATIONS`.
        variance: of the pre-activation, positive.
    """
    q, zero = np.array([variance]), np.zeros(1)
    grid = activation.grid(q, zero)
    deviation = float(np.sqrt(variance))
    value, slope, curvature = activation.value(grid.u), activation.slope(grid.u), activation.curvature(grid.u)
    by_variance = float(grid.average(value * slope * grid.z)[0]) / deviation
    for place, jump in activation.discontinuities:
        z = place / deviation
        middle = 0.5 * float(
            activation.value(np.array([np.nextafter(place, -np.inf)]))[0]
            + activation.value(np.array([np.nextafter(place, np.inf)]))[0]
        )
        by_variance += middle * jump * z * float(density(np.asarray(z))) / variance
    square = Rates(
        float(activation.mean_square(q, zero)[0]), by_variance, 0.0, _square_by_parameter(activation, variance)
    )
    slopes_by_variance = float(grid.average(slope * curvature * grid.z)[0]) / deviation  # kinks at 0 add nothing
    of_slope = (
        (float(2.0 * activation.negative_slope * 0.5),)
        if type(activation) is LeakyRelu
        else (0.0,) * _count(activation)
    )
    return square, Rates(float(activation.mean_square_slope(q, zero)[0]), slopes_by_variance, 0.0, of_slope)


def _count(activation: Activation) -> int:
    """Number of parameters that a request can set."""
    return len(activation.parameters())


def _square_by_parameter(activation: Activation, variance: float) -> tuple[float, ...]:
    deviation = float(np.sqrt(variance))
    if isinstance(activation, Ternary):
        low, high = (float(density(np.asarray(at / deviation))) / deviation for at in (activation.low, activation.high))
        return low, -high
    if type(activation) is LeakyRelu:
        return (activation.negative_slope * variance,)
    return ()


def _nodes(activation: Activation, r: Array, x: Array) -> _Nodes:
    deviation = np.sqrt(r)
    m0, m1, m2 = activation.mean(r, x), activation.mean_slope(r, x), activation.mean_curvature(r, x)
    none = np.zeros((0, *r.shape))
    m_p, rest_p = (none, none, none), none
    if isinstance(activation, Wave):
        by_shift, by_variance = wave_rest(activation, r, x)
        rest = activation.nonlinear_variance(r, x)
        return _Nodes((m0, m1, m2, -m1, m0), rest, by_shift, by_variance, m_p, rest_p)
    grid = activation.grid(r, x)
    slope = activation.slope(grid.u)
    z = grid.z
    m3 = grid.average(slope * (z * z - 1.0)) / r
    m4 = grid.average(slope * (z * z - 3.0) * z) / (r * deviation)
    for place, jump in activation.discontinuities:
        at = (place - x) / deviation
        mass = jump * density(at) / deviation
        m3 = m3 + mass * (at * at - 1.0) / r
        m4 = m4 + mass * (at * at - 3.0) * at / (r * deviation)
    if isinstance(activation, Sign):
        by_shift, by_variance = sign_rest(r, x)
    elif isinstance(activation, Ternary):
        by_shift, by_variance, m_p, rest_p = ternary_rest(activation, r, x)
    else:
        rest = activation.nonlinear_part(grid)
        by_shift, by_variance = 2.0 * grid.average(rest * slope), grid.average(rest * slope * z) / deviation
        if type(activation) is LeakyRelu:
            below = np.minimum(grid.u, 0.0)
            at = density(x / deviation) / deviation
            m_p = (grid.average(below)[None], ndtr(-x / deviation)[None], -at[None])
            rest_p = 2.0 * grid.average(rest * below)[None]
    return _Nodes((m0, m1, m2, m3, m4), activation.nonlinear_variance(r, x), by_shift, by_variance, m_p, rest_p)


def wave_rest(activation: Wave, r: Array, x: Array) -> tuple[Array, Array]:
    """Differentiate the nonlinear variance of sin or cos by the shift x and the variance r; phi'' is -phi."""
    value, slope, decay = activation.value(x), activation.slope(x), np.exp(-r)
    even, odd = 0.5 * np.expm1(-r) ** 2, odd_rest(r)
    by_variance = decay * (-np.expm1(-r) * value**2 + (np.expm1(-r) + r) * slope**2)
    return 2.0 * value * slope * (even - odd), by_variance


def sign_rest(r: Array, x: Array) -> tuple[Array, Array]:
    """Differentiate the nonlinear variance of sign by the shift x and the variance r."""
    deviation = np.sqrt(r)
    at = x / deviation
    turn = 4.0 * density(at) * (ndtr(-at) - ndtr(at) + 2.0 * at * density(at))
    return turn / deviation, -0.5 * turn * at / r


def ternary_rest(activation: Ternary, r: Array, x: Array) -> tuple[Array, Array, tuple[Array, Array, Array], Array]:
    """Differentiate the nonlinear variance of ternary, a function of the two standardised thresholds.

    Returns:
        By the shift x; by the variance r; E phi, E phi' and E phi'' by the two parameters; the nonlinear variance by these.
    """
    deviation = np.sqrt(r)
    low, high = (activation.low - x) / deviation, (activation.high - x) / deviation
    at_low, at_high = density(low), density(high)
    below, above = ndtr(low), ndtr(-high)
    between = np.where(low > 0.0, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))
    both = at_low + at_high
    by_low = at_low * (between - below + 3.0 * above) + 2.0 * low * at_low * both
    by_high = at_high * (above - between - 3.0 * below) + 2.0 * high * at_high * both
    # d phi / d low is minus a point mass there.
    mass = np.stack([-at_low, -at_high]) / deviation
    at = np.stack([low, high])
    return (
        -(by_low + by_high) / deviation,
        -0.5 * (by_low * low + by_high * high) / r,
        (mass, mass * at / deviation, mass * (at * at - 1.0) / r),
        np.stack([by_low, by_high]) / deviation,
    )
