"""What :mod:`theory.learners.neuron_averages` returns, with derivatives by all that it is a function of.

With ``r = spread z`` and ``r* = shared z + sqrt(own) z'`` averages over z' are functions m, m1 and V of ``shared z`` and own:
their derivatives are averages of higher derivatives of phi*, by Stein's lemma. What is averaged over z is differentiated under
the integral; kinks, all of them at 0, stay where they are in z.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, ndtr

from theory.activations.activation import Activation
from theory.activations.gates import Gelu, Softplus
from theory.activations.normal import density
from theory.activations.rectifiers import LeakyRelu
from theory.activations.sigmoids import Erf, Sigmoid, Tanh
from theory.activations.steps import Sign, Ternary
from theory.activations.waves import Wave
from theory.derivatives.activations import sign_rest, ternary_rest, wave_rest
from theory.learners.neuron_averages import is_lattice_summed, lattice, shared_nodes, split

Array = npt.NDArray[np.float64]
SMALLEST_SQUARE = 1e-10
"""Share of the teacher's variance below which the student's is read here: averages are smooth functions of both there."""


class NeuronRates(NamedTuple):
    """Averages and their derivatives; see :class:`theory.learners.neuron_averages.NeuronAverages`.

    Attributes:
        values: risk, gradient_square, slope_square, restoring, mismatch.
        rates: shape ``(5, 3 + parameters)``: by signal, apart and short, then by the parameters of the student's activation and
            of the teacher's.
    """

    values: Array
    rates: Array


class _Given(NamedTuple):
    """Averages of phi* over what is its own: mean, mean slope and curvature, variance; and their variations.

    Attributes:
        variance_by_shift: the mean's is the slope, and the slope's the curvature.
        by_own: of mean, slope and variance.
        by_parameter: one (mean, slope, variance) for each of its parameters.
    """

    mean: Array
    slope: Array
    curvature: Array
    variance: Array
    variance_by_shift: Array
    by_own: tuple[Array, Array, Array]
    by_parameter: tuple[tuple[Array, Array, Array], ...] = ()


def neuron_rates(student: Activation, teacher: Activation, *, signal: float, apart: float, short: float) -> NeuronRates:
    """Differentiate averages over Gaussian (r, r*).

    Args:
        student: phi, continuous.
        teacher: phi*.
        signal: E r*^2, positive.
        apart: E (r - r*)^2.
        short: E (r* - r) r*.
    """
    apart += max(SMALLEST_SQUARE * signal - (signal - 2.0 * short + apart), 0.0)
    square = signal - 2.0 * short + apart
    spread = np.sqrt(square)
    shared, own = split(signal, apart, short, square)
    z, weights = shared_nodes(student, teacher, spread, shared, own)
    # The last place is that of kinks.
    *given, by_own, by_parameter = _given(teacher, own, shared * np.append(z, 0.0))
    (mean, mean_slope, mean_curvature, variance, variance_by_shift) = (one[:-1] for one in given)
    kink_mean = float(given[0][-1])
    u = spread * z
    value, slope, bend, jerk = _derivatives(student, u)
    gap, squared = value - mean, slope * slope
    loss = gap * gap + variance
    at_kink = float(density(np.zeros(1))[0]) / spread
    kinks = sum(jump for _, jump in student.kinks)
    sharp = -kinks * at_kink * kink_mean
    bent = float(weights @ (gap * bend)) + sharp
    slope_square = float(weights @ squared)
    mismatch = float(weights @ (squared - slope * mean_slope)) + bent
    values = np.array([weights @ loss, weights @ (loss * squared), slope_square, slope_square + bent, mismatch])

    rows = []
    # By the spread.
    turned = float(weights @ (z * (slope * bend + gap * jerk))) - sharp / spread
    steeper = 2.0 * float(weights @ (z * slope * bend))
    rows.append(
        [
            2.0 * float(weights @ (gap * slope * z)),
            2.0 * float(weights @ ((gap * squared * slope + loss * slope * bend) * z)),
            steeper,
            steeper + turned,
            steeper - float(weights @ (z * bend * mean_slope)) + turned,
        ]
    )
    # By what changes the averages of phi*: shared, own, and its parameters.
    changes: list[Any] = [(mean_slope * z, mean_curvature * z, variance_by_shift * z, 0.0)]
    changes += [(*(one[:-1] for one in change), float(change[0][-1])) for change in (by_own, *by_parameter)]
    of_teacher = []
    for of_mean, of_slope, of_variance, of_kink in changes:
        of_loss = of_variance - 2.0 * gap * of_mean
        of_bent = -float(weights @ (of_mean * bend)) - kinks * at_kink * of_kink
        of_teacher.append(
            [
                float(weights @ of_loss),
                float(weights @ (of_loss * squared)),
                0.0,
                of_bent,
                of_bent - float(weights @ (slope * of_slope)),
            ]
        )
    rows += of_teacher[:2]
    by_variance = np.array(rows).T @ _split_rates(signal, apart, short, spread, shared, own)
    of_student = []
    if type(student) is LeakyRelu:
        below = u < 0.0
        flat, of_sharp = np.minimum(u, 0.0), at_kink * kink_mean
        steeper = 2.0 * float(weights @ (slope * below))
        of_student.append(
            [
                2.0 * float(weights @ (gap * flat)),
                2.0 * float(weights @ (gap * flat * squared + loss * slope * below)),
                steeper,
                steeper + of_sharp,
                steeper - float(weights @ (mean_slope * below)) + of_sharp,
            ]
        )
    parameters = [*of_student, *of_teacher[2:]]
    return NeuronRates(values, np.concatenate([by_variance, np.reshape(parameters, (-1, 5)).T], axis=1))


def _split_rates(signal: float, apart: float, short: float, spread: float, shared: float, own: float) -> Array:
    """Differentiate spread, shared and own, a row each, by signal, apart and short."""
    of_square = np.array([1.0, 1.0, -2.0])
    of_spread = of_square / (2.0 * spread)
    of_shared = np.array([1.0, 0.0, -1.0]) / spread - shared / spread * of_spread
    of_own = (np.array([apart, signal, -2.0 * short]) - own * of_square) / spread**2
    return np.array([of_spread, of_shared, of_own])


def _derivatives(activation: Activation, u: Array) -> tuple[Array, Array, Array, Array]:
    """Return phi and its first three derivatives, which share most of their work; kinks apart."""
    if isinstance(activation, Tanh):
        value = np.tanh(u)
        slope = 1.0 - value * value
        return value, slope, -2.0 * value * slope, (6.0 * value * value - 2.0) * slope
    if isinstance(activation, Sigmoid | Softplus):
        p = expit(u)
        slope, odd = p * (1.0 - p), 2.0 * p - 1.0
        if isinstance(activation, Softplus):
            return activation.value(u), p, slope, -odd * slope
        return p, slope, -odd * slope, (1.5 * odd * odd - 0.5) * slope
    value, slope = activation.value(u), activation.slope(u)
    if isinstance(activation, Wave):
        return value, slope, -value, -slope
    if isinstance(activation, Erf):
        return value, slope, -2.0 * u * slope, (4.0 * u * u - 2.0) * slope
    third = (u * u - 4.0) * u * density(u) if isinstance(activation, Gelu) else np.zeros_like(u)
    return value, slope, activation.curvature(u), third


def _given(teacher: Activation, own: float, shift: Array) -> _Given:
    """Averages of phi*(shift + sqrt(own) z')."""
    if is_lattice_summed(teacher):
        return _given_smooth(teacher, own, shift)
    if teacher.kinks:
        return _given_kinked(teacher, own, shift)
    return _given_closed(teacher, own, shift)


def _given_smooth(teacher: Activation, own: float, shift: Array) -> _Given:
    root = float(np.sqrt(own))
    z, weights = lattice(root / (teacher.scale or 1.0))
    u = shift[:, None] + root * z
    values, slopes, curvatures, thirds = _derivatives(teacher, u)
    mean, slope, curvature = values @ weights, slopes @ weights, curvatures @ weights
    rest = values - mean[:, None]
    return _Given(
        mean,
        slope,
        curvature,
        (rest * rest) @ weights,
        2.0 * ((rest * slopes) @ weights),
        (0.5 * curvature, 0.5 * (thirds @ weights), (slopes * slopes + rest * curvatures) @ weights),
    )


def _given_kinked(teacher: Activation, own: float, shift: Array) -> _Given:
    """Of ``left u + jump max(u, 0)``; variances are differentiated as E phi^2 - m^2, which keeps absolute digits."""
    (_, jump), left = teacher.kinks[0], float(teacher.slope(np.array([-1.0]))[0])
    root = np.sqrt(own)
    h = shift / root
    mass, peak, y = ndtr(h), density(h), np.abs(h)
    # What max(z + h, 0) has beside 1 and z, an even function of h.
    zeroth = ndtr(-y)
    first = peak - y * zeroth
    rest = np.maximum(zeroth - y * first - first * first - zeroth * zeroth, 0.0)
    above = shift * mass + root * peak
    mean, slope = left * shift + jump * above, left + jump * mass
    curvature = jump * peak / root
    square_slope = left * left + jump * (2.0 * left + jump) * mass
    by_parameter: tuple[tuple[Array, Array, Array], ...] = ()
    if type(teacher) is LeakyRelu:
        below = shift - above
        square = (shift * shift + own) * (1.0 - mass) - shift * root * peak
        by_parameter = ((below, 1.0 - mass, 2.0 * (left * square - mean * below)),)
    return _Given(
        mean,
        slope,
        curvature,
        own * (slope * slope + jump**2 * rest),
        2.0 * jump * ((left + jump) * above - mean * mass),
        (0.5 * curvature, -0.5 * curvature * h / root, square_slope - mean * curvature),
        by_parameter,
    )


def _given_closed(teacher: Activation, own: float, shift: Array) -> _Given:
    """Of steps, waves and powers, by what they have beside 1 and z."""
    variances, root = np.full_like(shift, own), np.sqrt(own)
    mean = teacher.mean(variances, shift)
    slope, curvature, third = (np.zeros_like(shift) for _ in range(3))
    parameters: Any = ()
    if teacher.discontinuities:
        # Between its jumps it is flat.
        for place, jump in teacher.discontinuities:
            at = (place - shift) / root
            mass = jump * density(at) / root
            slope, curvature, third = slope + mass, curvature + mass * at / root, third + mass * (at * at - 1.0) / own
        if isinstance(teacher, Ternary):
            by_shift, by_variance, (of_mean, of_slope, _), of_rest = ternary_rest(teacher, variances, shift)
            of_variance = of_rest + 2.0 * own * slope * of_slope
            parameters = tuple(zip(of_mean, of_slope, of_variance, strict=True))
        else:
            assert isinstance(teacher, Sign)
            by_shift, by_variance = sign_rest(variances, shift)
    elif isinstance(teacher, Wave):
        slope = teacher.mean_slope(variances, shift)
        curvature, third = -mean, -slope
        by_shift, by_variance = wave_rest(teacher, variances, shift)
    else:
        # Powers: rest does not depend on the shift, and is at most a square of the variance.
        slope, curvature = teacher.mean_slope(variances, shift), teacher.mean_curvature(variances, shift)
        by_shift, by_variance = np.zeros_like(shift), 2.0 * teacher.nonlinear_variance(variances, shift) / own
    return _Given(
        mean,
        slope,
        curvature,
        teacher.nonlinear_variance(variances, shift) + own * slope * slope,
        by_shift + 2.0 * own * slope * curvature,
        (0.5 * curvature, 0.5 * third, by_variance + slope * slope + own * slope * third),
        parameters,
    )
