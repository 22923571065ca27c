"""Averages over the joint pre-activations of two neurons, a student and its teacher, for gradients of square loss.

Given the student's pre-activation r, that of the teacher is Gaussian, and what is needed of ``phi*`` are three conditional
averages: its mean, its mean slope and its variance. They are closed forms, or for a smooth phi* sums over a lattice; what is
left is an integral over r, on panels that end where phi or the averages of phi* break.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from theory.activations.activation import Activation
from theory.activations.normal import density
from theory.activations.panels import BIAS_RANGE, WIDEST, legendre

Vector = npt.NDArray[np.float64]

LATTICE = 0.33
"""Distance of lattice points in units of phi*'s scale; the poles of tanh leave 1e-13 there."""
LATTICE_RANGE = 8.5
LEAST_VARIANCE = 1e-30
"""A teacher that the student determines is given this share of its variance to itself."""
TINY = float(np.finfo(float).tiny)
FIRST_BREAK, GROWTH = 4.0, 3.0
"""Panels end at this many widths of a smooth feature, and at as many times more from there on."""


class NeuronAverages(NamedTuple):
    """With l' = (phi(r) - phi*(r*)) phi'(r), averaged over r and r*.

    Attributes:
        risk: E (phi - phi*)^2.
        gradient_square: E l'^2.
        slope_square: E phi'^2, by which label noise is multiplied in the gradient.
        restoring: H1 = E dl'/dr, kinks included.
        mismatch: H1 + H2 with H2 = E dl'/dr*, which vanishes where student and teacher are the same.
        correlation: of r and r*.
    """

    risk: float
    gradient_square: float
    slope_square: float
    restoring: float
    mismatch: float
    correlation: float


def neuron_averages(
    student: Activation, teacher: Activation, *, signal: float, apart: float, short: float, finer: bool = False
) -> NeuronAverages:
    """Average over Gaussian (r, r*).

    Args:
        student: phi, continuous.
        teacher: phi*.
        signal: E r*^2, positive.
        apart: E (r - r*)^2.
        short: E (r* - r) r*.
        finer: halve every panel and lattice constant, for a second opinion.
    """
    square = max(signal - 2.0 * short + apart, 0.0)
    spread = np.sqrt(square)
    shared, own = split(signal, apart, short, square)
    z, weights = shared_nodes(student, teacher, spread, shared, own, finer=finer)
    u = spread * z
    mean, mean_slope, variance = _given(teacher, own, shared * z, finer=finer)
    value, slope = student.value(u), student.slope(u)
    gap = value - mean
    loss = gap * gap + variance
    sharp = 0.0
    for place, jump in student.kinks if spread > 0.0 else ():
        there = np.array([place / spread])
        expected, _, _ = _given(teacher, own, shared * there, finer=finer)
        bend = (student.value(np.array([place])) - expected) * density(there) / spread
        sharp += jump * float(bend[0])
    bent = float(weights @ (gap * student.curvature(u))) + sharp
    return NeuronAverages(
        risk=float(weights @ loss),
        gradient_square=float(weights @ (loss * slope * slope)),
        slope_square=float(weights @ (slope * slope)),
        restoring=float(weights @ (slope * slope)) + bent,
        mismatch=float(weights @ (slope * (slope - mean_slope))) + bent,
        correlation=float(shared / np.sqrt(signal)) if spread > 0.0 else 0.0,
    )


def shared_nodes(
    student: Activation, teacher: Activation, spread: float, shared: float, own: float, *, finer: bool = False
) -> tuple[Vector, Vector]:
    """Return nodes and weights for averages over the standardised r.

    Args:
        student: phi.
        teacher: phi*.
        spread: deviation of r.
        shared: covariance of the standardised r with r*.
        own: variance of r* at a given r.
        finer: halve every panel.
    """
    finest = min(student.finest / max(spread, TINY), teacher.finest / max(abs(shared), TINY))
    return _panels(_breaks(student, spread, 0.0) + _breaks(teacher, shared, own), finest, finer=finer)


def split(signal: float, apart: float, short: float, square: float) -> tuple[float, float]:
    """Write r* = shared z + sqrt(own) z', with z the standardised r; return ``shared`` and ``own``.

    Args:
        signal: E r*^2.
        apart: E (r - r*)^2.
        short: E (r* - r) r*.
        square: E r^2.
    """
    if square == 0.0:
        return 0.0, signal
    shared = (signal - short) / np.sqrt(square)
    if shared * shared < 0.5 * signal:
        return shared, signal - shared * shared
    # Near the teacher the determinant of the covariance is that of r - r* and r*, without cancellation.
    own = min(max((signal * apart - short * short) / square, 0.0), 0.5 * signal)
    return float(np.sign(shared) * np.sqrt(signal - own)), max(own, LEAST_VARIANCE * signal)


def _given(teacher: Activation, variance: float, shift: Vector, *, finer: bool) -> tuple[Vector, Vector, Vector]:
    """Mean, mean slope and variance of phi*(shift + sqrt(variance) z)."""
    if is_lattice_summed(teacher):
        z, weights = lattice(float(np.sqrt(variance)) / (teacher.scale or 1.0), finer=finer)
        u = shift[:, None] + np.sqrt(variance) * z
        values = teacher.value(u)
        mean = values @ weights
        rest = values - mean[:, None]
        return mean, teacher.slope(u) @ weights, (rest * rest) @ weights
    if teacher.kinks:
        return _given_kinked(teacher, variance, shift)
    variances = np.full_like(shift, variance)
    mean = teacher.mean(variances, shift)
    if teacher.discontinuities:
        # Between its jumps it is flat.
        root = np.sqrt(variance)
        jumps = [jump * density((place - shift) / root) / root for place, jump in teacher.discontinuities]
        slope = np.sum(jumps, axis=0)
    else:
        slope = teacher.mean_slope(variances, shift)
    return mean, slope, teacher.nonlinear_variance(variances, shift) + variance * slope * slope


def _given_kinked(teacher: Activation, variance: float, shift: Vector) -> tuple[Vector, Vector, Vector]:
    """The same for ``left u + jump max(u, 0)``, as all that have a kink are: relu, leaky_relu and abs.

    Far in the tails only absolute digits are kept, which is what averages over r need and takes a fraction of the time.
    """
    (_, jump), left = teacher.kinks[0], float(teacher.slope(np.array([-1.0]))[0])
    root = np.sqrt(variance)
    h = shift / root
    mass, peak, y = ndtr(h), density(h), np.abs(h)
    # What max(z + h, 0) has beside 1 and z, an even function of h.
    zeroth = ndtr(-y)
    first = peak - y * zeroth
    rest = np.maximum(zeroth - y * first - first * first - zeroth * zeroth, 0.0)
    slope = left + jump * mass
    return left * shift + jump * (shift * mass + root * peak), slope, variance * (slope * slope + jump**2 * rest)


def is_lattice_summed(teacher: Activation) -> bool:
    """Whether an activation is smooth, without closed forms for all of its averages."""
    closed = type(teacher).nonlinear_variance is not Activation.nonlinear_variance
    return not (closed or teacher.discontinuities or teacher.kinks)


def lattice(steepness: float, *, finer: bool = False) -> tuple[Vector, Vector]:
    """Return a trapezoidal rule for the normal density, exponentially accurate for analytic functions.

    Args:
        steepness: how many of the function's scales fit into a deviation.
        finer: halve its spacing.
    """
    spacing = LATTICE / max(steepness, 1.0) * (0.5 if finer else 1.0)
    count = int(np.ceil(LATTICE_RANGE / spacing))
    z = np.asarray(spacing * np.arange(-count, count + 1), float)
    weights = density(z)
    return z, weights / np.sum(weights)


def standard_panels(activation: Activation, spread: float) -> tuple[Vector, Vector]:
    """Nodes and weights for averages of functions of phi(spread z) over a standard normal z."""
    return _panels(_breaks(activation, spread, 0.0), activation.finest / max(spread, TINY), finer=False)


def _panels(breaks: list[float], finest: float, *, finer: bool) -> tuple[Vector, Vector]:
    """Nodes and weights for averages over a standard normal."""
    count = int(np.ceil(BIAS_RANGE / min(WIDEST, finest)))
    edges = np.concatenate(
        [np.linspace(-BIAS_RANGE, BIAS_RANGE, 2 * count + 1), np.clip(breaks, -BIAS_RANGE, BIAS_RANGE)]
    )
    edges = np.unique(edges)
    if finer:
        edges = np.sort(np.concatenate([edges, 0.5 * (edges[1:] + edges[:-1])]))
    z, widths = legendre(np.asarray(edges, float))
    weights = widths * density(z)
    return z, weights / np.sum(weights)


def _breaks(activation: Activation, spread: float, smoothed: float) -> list[float]:
    """Where panels in z end for the sake of phi(spread z + sqrt(smoothed) z'), averaged over z'."""
    if spread == 0.0:
        return []
    centres = [place for place, _ in (*activation.kinks, *activation.discontinuities)]
    centres += [] if activation.scale is None else [0.0]
    width = float(np.hypot(np.sqrt(smoothed), activation.scale or 0.0))
    breaks = [centre / spread for centre in centres]
    for centre in centres:
        distance, furthest = FIRST_BREAK * width, BIAS_RANGE * abs(spread) + abs(centre)
        while 0.0 < distance < furthest:
            breaks += [(centre - distance) / spread, (centre + distance) / spread]
            distance *= GROWTH
    return breaks
