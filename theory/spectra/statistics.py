"""Linear statistics sum f(eigenvalue) of a sample covariance: limit, finite-size mean correction, standard deviation.

For real Gaussian data the sum over all p eigenvalues is Gaussian with mean ``p * per_dimension + mean_correction``. In the
variable u of :mod:`theory.spectra.subordination`, with contours around the support,

    mean_correction = (1 / 4 pi i) ∮ f(x(u)) d log x'(u),
    variance        = -(1 / 2 pi^2) ∮∮ f(x(u1)) f(x(u2)) / (u1 - u2)^2 du1 du2.

Source: Bai and Silverstein, *CLT for linear spectral statistics of large-dimensional sample covariance matrices* (2004),
Theorem 1.1, whose companion transform is -1 / u here; the closed forms follow by residues.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from theory.covariance import InadmissibleProblem
from theory.spectra.contours import contour, sums_over
from theory.spectra.law import average, nodes
from theory.spectra.sample_covariance import SampleCovariance, covariance_law, gram_law

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

LARGEST_ORDER = 32
FIRST_NODES = 32
MOST_NODES = 4096
"""Points of the support in all, for the fluctuations of a function; their pairs are summed over."""
RESOLVED = 1e-5
"""By how much, relatively, doubling the points may change the mass of an interval, to begin with so many."""
SETTLED = 1e-8
"""By how much, relative to their size, doubling the points may change the fluctuations: little enough that a kink shows."""
TIGHTNESS = (1.0, 0.4, 0.15)
"""Contours that are tried for a function, from wide to close."""
CONTOUR_POINTS = (128, 256, 512, 1024)
CELLS = 1_000_000
ROUGH = "the function has a pole on the support, or is not finite there"
UNRESOLVED = (
    "its fluctuations were not resolved: the function is not smooth on the support, or the support too intricate"
)


@dataclass(frozen=True, kw_only=True)
class LinearStatistic:
    """What is known of sum f(eigenvalue), None where there is no number.

    Attributes:
        per_dimension: the limit of the sum divided by the dimension.
        mean_correction: by how much the mean of the sum exceeds dimension times that, for real Gaussian data.
        standard_deviation: of the sum, for real Gaussian data.
        reason: why a number is missing.
    """

    per_dimension: float | None
    mean_correction: float | None
    standard_deviation: float | None
    reason: str | None = None


def log_det(model: SampleCovariance, *, shift: float, gram: bool = False) -> LinearStatistic:
    """Describe sum log(x + shift).

    Args:
        model: the sample covariance.
        shift: 0 or more.
        gram: whether the eigenvalues are those of XX'/n instead of X'X/n, which differ in their zeros.

    Raises:
        InadmissibleProblem: shift is 0 and some eigenvalues are 0.
    """
    kappa = _effective_ridge(model, shift, "log_det", gram=gram)
    law, g = model.law, model.aspect
    with np.errstate(divide="ignore", invalid="ignore"):
        learned = g * float(law.weights @ (law.atoms / (law.atoms + kappa)))
        if gram:
            per_dimension = g * float(law.weights @ np.log1p(law.atoms / kappa)) + np.log(kappa) - learned
        else:
            # shift = kappa (1 - learned).
            null = model.null_share * np.log(kappa) if model.null_share else 0.0
            log_ratio = np.log(shift / model.unit / kappa) if learned > 0.5 and kappa > 0.0 else np.log1p(-learned)
            per_dimension = float(law.weights @ np.log(law.atoms + kappa)) + null
            per_dimension += log_ratio - (log_ratio + learned) / g
        slope = _slope(model, kappa)
        return _finite(per_dimension + np.log(model.unit), 0.5 * np.log(slope), np.sqrt(-2.0 * np.log(slope)))


def trace_inverse(model: SampleCovariance, *, shift: float, gram: bool = False) -> LinearStatistic:
    """Describe sum 1 / (x + shift); arguments and exceptions are those of :func:`log_det`."""
    kappa = _effective_ridge(model, shift, "trace_inverse", gram=gram)
    mean, variance = _inverse_fluctuations(model, kappa)
    law, unit = model.law, model.unit
    if gram:
        per_dimension = 1.0 / kappa if kappa > 0.0 else np.inf
    elif shift == 0.0:
        per_dimension = float(law.weights @ (1.0 / law.atoms)) / _slope(model, 0.0)
    else:
        per_dimension = float(law.weights @ (1.0 / (law.atoms + kappa))) * kappa / (shift / unit)
        per_dimension += model.null_share * unit / shift
    return _finite(per_dimension / unit, mean / unit, np.sqrt(variance) / unit)


def effective_dimension(model: SampleCovariance, *, ridge: float, gram: bool = False) -> LinearStatistic:
    """Describe sum x / (x + ridge), ridge 0 (which counts the positive eigenvalues) or more; ``gram`` as above."""
    g = model.aspect
    if ridge == 0.0:
        share = 1.0 - model.atom_at_zero
        return LinearStatistic(per_dimension=share * g if gram else share, mean_correction=0.0, standard_deviation=0.0)
    kappa = _effective_ridge(model, ridge, "effective_dimension", gram=gram)
    mean, variance = _inverse_fluctuations(model, kappa)
    scaled = ridge / model.unit
    share = float(model.law.weights @ (model.law.atoms / (model.law.atoms + kappa)))
    return _finite(share * g if gram else share, -scaled * mean, scaled * np.sqrt(variance))


def moment(model: SampleCovariance, *, order: int, gram: bool = False) -> LinearStatistic:
    """Describe sum x^order, order 1 to 32; ``gram`` as above.

    Raises:
        InadmissibleProblem: the order is out of range.
    """
    if not 1 <= order <= LARGEST_ORDER:
        raise InadmissibleProblem(f"order must lie in 1..{LARGEST_ORDER}, got {order}", argument="order")
    law, count = model.law, 2 * order + 1
    # x(u) = u (1 + sum_j c_j u^-j), c_j = g sum w t^j; all series below are in 1 / u and have no negative terms.
    powers = law.atoms[:, None] ** np.arange(1, count)
    series = np.concatenate([[1.0], law.aspect * (law.weights @ powers)])
    power = np.ones(1)
    for _ in range(order):
        power = np.convolve(power, series)[:count]
    per_dimension = float(np.convolve(power, series)[order]) / (order + 1) / (1.0 if gram else law.aspect)
    # -log x'(u) = -log(1 - sum_j (j - 1) c_j u^-j), by the recursion of a logarithm's series, times j.
    falling = (np.arange(count) - 1.0) * series
    falling[0] = 0.0
    logarithm = np.zeros(count)
    for j in range(1, count):
        logarithm[j] = j * falling[j] + logarithm[1:j] @ falling[j - 1 : 0 : -1]
    mean = 0.5 * float(power[: order + 1] @ logarithm[order::-1])
    steps = np.arange(1, order + 1)
    variance = 2.0 * float(np.sum(steps * power[order - steps] * power[order + steps]))
    with np.errstate(over="ignore"):
        scale = np.float64(model.unit) ** order
        return _finite(per_dimension * scale, mean * scale, np.sqrt(variance) * scale)


def linear_statistic(
    model: SampleCovariance, function: Callable[[Array], Array], *, gram: bool = False
) -> LinearStatistic:
    """Describe sum f(x) for a function that is analytic around the support.

    Args:
        model: the sample covariance.
        function: of arrays of eigenvalues, real.
        gram: whether the eigenvalues are those of XX'/n.
    """
    law = gram_law(model) if gram else covariance_law(model)
    with np.errstate(all="ignore"):
        limit = average(law, function)
        if limit is None:
            return LinearStatistic(per_dimension=None, mean_correction=None, standard_deviation=None, reason=ROUGH)
        atoms = sum(mass * float(function(np.array([at]))[0]) for at, mass in law.atoms)
        bulk = (limit - atoms) / (model.aspect if gram else 1.0)
        found = _around_support(model, function, bulk) or _along_support(model, function)
    if found is None:
        return LinearStatistic(per_dimension=limit, mean_correction=None, standard_deviation=None, reason=UNRESOLVED)
    mean, variance = found
    return _finite(limit, mean, np.sqrt(max(variance, 0.0)))


def _around_support(model: SampleCovariance, function: Callable[[Any], Any], bulk: float) -> tuple[float, float] | None:
    """Return mean correction and variance by a contour off the support, or None where none suits the function.

    Within the contour the function must be analytic: its mean over the support, found on the support itself, must come
    out of the same contour, and twice as many points must change nothing.
    """
    for tightness in TIGHTNESS:
        before = (np.inf, np.inf)
        for count in CONTOUR_POINTS:
            around = contour(model, count, tightness=tightness)
            if around is None:
                break
            mass, mean, variance, largest = sums_over(model, around, function)
            scale = abs(mean) + np.sqrt(abs(variance)) + 1e-5 * largest
            if not np.isfinite(mass + scale):
                break
            settled = abs(mean - before[0]) <= SETTLED * scale and abs(variance - before[1]) <= SETTLED * scale**2
            if settled and abs(mass - bulk) <= SETTLED * (abs(bulk) + 1e-3 * largest):
                return mean, variance
            before = (mean, variance)
    return None


def _along_support(model: SampleCovariance, function: Callable[[Any], Any]) -> tuple[float, float] | None:
    """Return mean correction and variance by sums over the support, or None where they do not settle."""
    counts = _resolving_counts(model, function)
    before = (np.inf, np.inf)
    while counts.sum() <= MOST_NODES:
        mean, variance, least = _fluctuations(model, function, counts)
        if not np.isfinite(mean + variance):
            return None
        scale = abs(mean) + np.sqrt(max(variance, 0.0)) + least
        if abs(mean - before[0]) <= SETTLED * scale and abs(variance - before[1]) <= SETTLED * scale**2:
            return mean, variance
        before, counts = (mean, variance), 2 * counts
    return None


def _resolving_counts(model: SampleCovariance, function: Callable[[Array], Array]) -> Indices:
    """Return how many points in each interval of the support resolve its mass and the function's mean."""
    law = covariance_law(model)
    counts = np.full(len(model.edges), FIRST_NODES)
    active = np.arange(counts.size)
    previous = np.full((2, counts.size), np.nan)
    while active.size and counts.sum() <= MOST_NODES:
        count = int(counts[active[0]])
        rule = nodes(law.stretch, np.repeat(active, count), count)
        weights = law.density_at(rule.x, rule.which) * rule.lengths
        with np.errstate(all="ignore"):
            values = function(rule.x)
            sums = np.stack([weights, weights * values]).reshape(2, active.size, count).sum(axis=2)
            sizes = np.stack([weights, weights * np.abs(values)]).reshape(2, active.size, count).sum(axis=2)
        settled = (np.abs(sums - previous) <= RESOLVED * sizes).all(axis=0)
        active, previous = active[~settled], sums[:, ~settled]
        counts[active] *= 2
    return counts


def _fluctuations(
    model: SampleCovariance, function: Callable[[Array], Array], counts: Indices
) -> tuple[float, float, float]:
    """Return mean correction and variance by sums over the support, the limit of all contours, and what is small of f.

    There f is real and x'(u) vanishes at the edges, which leaves a quarter of f there; the double pole of the variance
    goes if f(x(u1)) f(x(u2)) is completed to -(f(x(u1)) - f(x(u2)))^2 / 2, whose other terms integrate to 0.

    Args:
        model: the sample covariance.
        function: of arrays.
        counts: points in each interval.
    """
    edges = model.edges
    which = np.repeat(np.arange(counts.size), counts)
    rule = nodes(covariance_law(model).stretch, which, counts)
    u = model.solve(rule.x / model.unit, rule.which)
    slope, curvature = model.law.slope(u), model.law.curvature(u)
    values = np.broadcast_to(function(rule.x), rule.x.shape)
    steps = rule.lengths / model.unit / slope
    ends = np.broadcast_to(function(edges.ravel() * model.unit), edges.size)
    mean = 0.25 * float(np.sum(ends)) - float(np.sum(values * (curvature / slope * steps).imag)) / (2.0 * np.pi)
    # The lower half of each loop mirrors the upper: steps run back there.
    everywhere, all_steps, all_values = np.r_[u, u.conj()], np.r_[steps, -steps.conj()], np.r_[values, values]
    variance = 0.0
    rows = max(1, CELLS // everywhere.size)
    for start in range(0, u.size, rows):
        part = slice(start, start + rows)
        gap = u[part, None] - everywhere
        here = np.arange(start, min(start + rows, u.size))
        gap[here - start, here] = 1.0
        quotient = (values[part, None] - all_values) / gap
        variance += float(np.sum(((quotient * quotient) @ all_steps) * steps[part]).real)
    # On the diagonal the quotient is the derivative.
    for own in np.split(values, np.cumsum(counts)[:-1]):
        variance += float(np.sum(_derivative(own) ** 2)) * (np.pi / own.size) ** 2
    variance /= 2.0 * np.pi**2
    return mean, variance, 1e-5 * float(np.max(np.abs(values)))


def _derivative(values: Array) -> Array:
    """Differentiate an even periodic function of the angle, given at the midpoints of equal steps over (0, pi)."""
    whole = np.concatenate([values, values[::-1]])
    frequencies = np.arange(values.size + 1)
    spectrum = 1j * frequencies * np.fft.rfft(whole)
    spectrum[-1] = 0.0
    return np.asarray(np.fft.irfft(spectrum, whole.size)[: values.size])


def _effective_ridge(model: SampleCovariance, shift: float, name: str, *, gram: bool) -> float:
    """Return kappa >= 0 with x(-kappa) = -shift, in units of the largest eigenvalue."""
    full = model.aspect * (1.0 - model.null_share)
    singular = full <= 1.0 if gram else model.atom_at_zero > 0.0 or full >= 1.0
    if shift == 0.0 and singular:
        size = f"{model.n_samples:g}" if gram else f"{model.dimension:g}"
        rank = min(model.n_samples, model.dimension * (1.0 - model.null_share))
        raise InadmissibleProblem(
            f"{name} needs a positive shift where the smallest of the {size} eigenvalues is 0: the rank is {rank:g}",
            argument="shift",
        )
    if shift == 0.0 and not gram:
        return 0.0
    return -float(model.solve_outside(np.array([-shift / model.unit]))[0])


def _slope(model: SampleCovariance, kappa: float) -> float:
    """Return x'(-kappa) = 1 - df2 / n."""
    return float(model.law.slope(np.array([-kappa]))[0])


def _inverse_fluctuations(model: SampleCovariance, kappa: float) -> tuple[float, float]:
    """Mean correction and variance of sum 1 / (x + shift): derivatives of those of log_det by the shift."""
    law = model.law
    slope = _slope(model, kappa)
    inverse = 1.0 / (law.atoms + kappa)
    third = float((law.masses * inverse**2) @ inverse)
    fourth = float((law.masses * inverse**2) @ inverse**2)
    return third / slope**2, 2.0 / slope**2 * (fourth / slope + (third / slope) ** 2)


def _finite(*numbers: float) -> LinearStatistic:
    per_dimension, mean, deviation = (float(number) if np.isfinite(number) else None for number in numbers)
    missing = None in (per_dimension, mean, deviation)
    return LinearStatistic(
        per_dimension=per_dimension,
        mean_correction=mean,
        standard_deviation=deviation,
        reason="the number exceeds double precision" if missing else None,
    )
