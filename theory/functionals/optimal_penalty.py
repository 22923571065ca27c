"""The ridge penalty of least test error, by stationarity in the effective ridge; it may be negative."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from theory.equivalents.modal import point_at
from theory.learners.ridge import RidgePrediction, risks
from theory.modes import Modes
from theory.solvers.effective_ridge import EffectiveRidge, solve_effective_ridge

GRID_DECADES = 12
GRID_POINTS_PER_DECADE = 24
ENTRIES = 1_000_000
"""Ridges times modes that are worked off together."""
SMALLEST = 1e-300
"""Ridges are sought from here to its inverse."""


@dataclass(frozen=True, kw_only=True)
class PenaltyMinimum:
    """A local minimum of the test error over an interval of penalties.

    Attributes:
        penalty, effective_ridge: where it is.
        test_error: there, against a fresh noisy label.
        bound: "lower" or "upper" where it lies at that end of the interval, None where it is stationary.
    """

    penalty: float
    effective_ridge: float
    test_error: float
    bound: str | None


@dataclass(frozen=True, kw_only=True)
class OptimalPenalty:
    """Where the test error of ridge regression is least.

    Attributes:
        penalty: in the units of the eigenvalues; infinite when predicting nothing is best; negative only on request.
        effective_ridge: k at the optimum.
        test_error: at the optimum, against a fresh noisy label.
        at_bound: the unrestricted optimum is negative and the penalty was held at 0.
    """

    penalty: float
    effective_ridge: float
    test_error: float
    at_bound: bool


def optimal_penalty(modes: Modes, n_samples: float, *, allow_negative: bool = False) -> OptimalPenalty:
    """Minimise the test error of infinite-width ridge regression over its penalty.

    The error ``E(k) = (B(k) + s2) / (1 - df2(k) / n)`` is minimised over the effective ridge k, of which the penalty
    ``k (1 - df1(k) / n)`` is an increasing function wherever ``df2(k) < n``. Stationary points are bracketed on a grid of
    24 points a decade, so that several minima are told apart, and refined to rounding.

    Args:
        modes: one mode table (no batch axis).
        n_samples: n, in the units of the multiplicities, above ``n_unpenalised``.
        allow_negative: admit negative penalties, which are best when the signal lies along the leading
            eigenvectors and there is little noise.

    Returns:
        The optimum; for an isotropic target the penalty is ``noise_variance * d / (n * ||w||^2)`` for every covariance.

    Raises:
        ValueError: the table has a batch axis, or too few samples for the unpenalised constant.

    Source: regression in the proportional regime, Hastie et al., arXiv:1903.08560, section 6; negative optima: Kobak,
        Lomond, Sanchez, arXiv:1805.10939, and Wu and Xu, arXiv:2006.05800.
    """
    if modes.eigenvalues.ndim != 1:
        raise ValueError("optimal_penalty takes one mode table; call it for each problem of a batch")
    available = n_samples - modes.n_unpenalised
    if not available > 0.0:
        raise ValueError(f"n_samples must exceed n_unpenalised = {modes.n_unpenalised}, got {n_samples!r}")
    nothing = OptimalPenalty(
        penalty=np.inf, effective_ridge=np.inf, test_error=_null_error(modes, n_samples), at_bound=False
    )
    if modes.trace == 0.0 or modes.signal_variance == 0.0:
        return nothing

    floor = float(modes.unlearnable_variance + modes.noise_variance)
    ridgeless = float(solve_effective_ridge(modes, n_samples, 0.0).ridge)
    if floor == 0.0 and available >= modes.n_modes and (allow_negative or ridgeless == 0.0):
        # No noise and enough samples: the target is recovered exactly as k -> 0, where k df1 -> tail_trace.
        penalty = 0.0 - float(modes.tail_trace) / n_samples
        return OptimalPenalty(penalty=penalty, effective_ridge=0.0, test_error=0.0, at_bound=False)

    least, upper = _search_range(modes, available, floor)
    lower = _least_ridge(modes, available, ridgeless, least) if allow_negative else (ridgeless or least)
    decades = float(np.log10(upper) - np.log10(lower))
    n_points = max(GRID_DECADES * 4, int(GRID_POINTS_PER_DECADE * decades))
    grid = np.geomspace(lower, upper, n_points)
    slopes = _slopes(modes, available, grid)
    # Ridgeless is a minimum of the restricted problem where the error rises from there; at k = 0 noise makes it fall.
    candidates = [ridgeless] if not allow_negative and ridgeless > 0.0 and slopes[0] >= 0.0 else []
    n_held = len(candidates)
    turns = np.flatnonzero((slopes[:-1] < 0.0) & (slopes[1:] >= 0.0))
    candidates.extend(_stationary(modes, available, grid[i : i + 2], slopes[i : i + 2]) for i in turns)
    if not candidates:  # beyond the reach of doubles
        return nothing
    errors = [_error(modes, available, n_samples, ridge) for ridge in candidates]
    best = int(np.argmin(errors))
    ridge = candidates[best]
    held = best < n_held
    margin = _margin(modes, available, ridge)
    return OptimalPenalty(
        penalty=0.0 if held else ridge * margin / n_samples,
        effective_ridge=ridge,
        test_error=errors[best],
        at_bound=held,
    )


def penalty_minima(modes: Modes, n_samples: float, *, lower: float, upper: float) -> tuple[list[PenaltyMinimum], int]:
    """Return every local minimum of the test error over an interval of penalties, the least error first, and the work.

    As in :func:`optimal_penalty` stationary points are bracketed over the effective ridge on a grid of 24 points a decade. An
    end of the interval counts where the error rises from there.

    Args:
        modes: one mode table (no batch axis).
        n_samples: n, in the units of the multiplicities, above ``n_unpenalised``.
        lower: least penalty; it may be negative. Below the least one for which there is an estimator, the range of test
            errors that are finite, it is taken for that.
        upper: largest penalty, above ``lower``.

    Returns:
        The minima, and at how many ridges the slope was worked out on the grid.
    """
    available = n_samples - modes.n_unpenalised
    floor = float(modes.unlearnable_variance + modes.noise_variance)
    ridgeless = float(solve_effective_ridge(modes, n_samples, 0.0).ridge)
    least, greatest = _search_range(modes, available, floor)
    if lower < 0.0:
        edge = _least_ridge(modes, available, ridgeless, least)
        lower = max(lower, edge * _margin(modes, available, edge) / n_samples)
    low = ridge_of_penalty(modes, n_samples, lower)
    high = float(solve_effective_ridge(modes, n_samples, upper).ridge) if upper < np.inf else max(greatest, 2.0 * low)
    start = low or min(least, 1e-3 * high)
    decades = float(np.log10(high / start))
    grid = np.geomspace(start, high, max(3, int(GRID_POINTS_PER_DECADE * decades) + 2))
    slopes = _slopes(modes, available, grid)
    found = []

    def add(ridge: float, penalty: float | None, bound: str | None) -> None:
        error = _error(modes, available, n_samples, ridge)
        at = ridge * _margin(modes, available, ridge) / n_samples if penalty is None else penalty
        found.append(PenaltyMinimum(penalty=at, effective_ridge=ridge, test_error=error, bound=bound))

    if slopes[0] >= 0.0:
        add(low, lower, "lower")
    for i in np.flatnonzero((slopes[:-1] < 0.0) & (slopes[1:] >= 0.0)):
        if i + 1 < grid.size:
            add(_stationary(modes, available, grid[i : i + 2], slopes[i : i + 2]), None, None)
    if slopes[-1] < 0.0:
        add(high, upper, "upper")
    return sorted(found, key=lambda minimum: minimum.test_error), grid.size


def ridge_of_penalty(modes: Modes, n_samples: float, penalty: float) -> float:
    """Return the effective ridge of a penalty, which may be negative; NaN below the least penalty that has one.

    Args:
        modes: one mode table (no batch axis).
        n_samples: n, in the units of the multiplicities, above ``n_unpenalised``.
        penalty: of the branch ``df2 < n``, along which it increases with the ridge.
    """
    if penalty >= 0.0:
        return float(solve_effective_ridge(modes, n_samples, penalty).ridge)
    available = n_samples - modes.n_unpenalised
    ridgeless = float(solve_effective_ridge(modes, n_samples, 0.0).ridge)
    floor = float(modes.unlearnable_variance + modes.noise_variance)
    least = _least_ridge(modes, available, ridgeless, _search_range(modes, available, floor)[0])

    def excess(log_ridge: float) -> float:
        ridge = float(np.exp(log_ridge))
        return ridge * _margin(modes, available, ridge) / n_samples - penalty

    at_least = excess(float(np.log(least)))
    if at_least >= 0.0:
        # The least one itself, give or take its rounding.
        return least if at_least <= 1e-12 * abs(penalty) else np.nan
    top = max(float(modes.trace) / available, least) * 2.0
    return float(np.exp(brentq(excess, np.log(least), np.log(top), xtol=1e-15)))


def predict_at_ridge(modes: Modes, n_samples: float, ridge: float) -> RidgePrediction:
    """Predict the errors of infinite-width ridge regression at an effective ridge, which may be that of a negative penalty.

    Args:
        modes: one mode table (no batch axis).
        n_samples: n, in the units of the multiplicities, above ``n_unpenalised``.
        ridge: positive, with ``df2 < n_samples``.

    Source: Hastie et al., arXiv:1903.08560; the equations hold on the whole branch ``df2 < n`` (Kobak, Lomond, Sanchez,
        arXiv:1805.10939).
    """
    margin = _margin(modes, n_samples - modes.n_unpenalised, ridge)
    root = EffectiveRidge(
        ridge=ridge, sample_margin=margin, width_margin=1.0, residual=0.0, iterations=0, converged=True
    )
    return risks(point_at(modes, root, n_samples), n_samples)


def _shares(modes: Modes, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    resolvent = 1.0 / (modes.eigenvalues + ridge)
    return modes.eigenvalues * resolvent, ridge * resolvent


def _margin(modes: Modes, available: float, ridge: float) -> float:
    """``available - df1``."""
    kept, shrunk = _shares(modes, ridge)
    return _remaining(modes, available, kept, shrunk) - (float(modes.tail_trace) / ridge if modes.tail_trace else 0.0)


def _free(modes: Modes, available: float, ridge: float) -> float:
    """``available - df2``, positive on the admissible branch."""
    kept, shrunk = _shares(modes, ridge)
    return _remaining(modes, available, kept * kept, shrunk * (1.0 + kept))


def _remaining(modes: Modes, available: float, share: np.ndarray, complement: np.ndarray) -> float:
    """``available`` less the sum of m times ``share``; modes that mostly count are taken whole, so no digit is lost."""
    whole = share > complement
    rest = modes.multiplicities @ np.where(whole, complement, -share)
    return float((available - modes.multiplicities @ whole) + rest)


def _slopes(modes: Modes, available: float, ridges: np.ndarray) -> np.ndarray:
    """The same as :func:`_slope` at many ridges."""
    found = []
    per_piece = max(1, ENTRIES // modes.eigenvalues.size)
    for start in range(0, ridges.size, per_piece):
        column = ridges[start : start + per_piece, None]
        resolvent = 1.0 / (modes.eigenvalues + column)
        kept, shrunk = modes.eigenvalues * resolvent, column * resolvent
        share, complement = kept * kept, shrunk * (1.0 + kept)
        whole = share > complement
        rest = np.where(whole, complement, -share) @ modes.multiplicities
        free = (available - whole @ modes.multiplicities) + rest
        label = (shrunk * shrunk) @ modes.energies + modes.unlearnable_variance + modes.noise_variance
        growth, decay = (shrunk * shrunk * kept) @ modes.energies, (share * shrunk) @ modes.multiplicities
        found.append(growth * free - label * decay)
    return np.concatenate(found)


def _slope(modes: Modes, available: float, ridge: float) -> float:
    """Half of d E / d log k, times a positive factor."""
    kept, shrunk = _shares(modes, ridge)
    label = float(modes.energies @ (shrunk * shrunk)) + modes.unlearnable_variance + modes.noise_variance
    bias_growth = float(modes.energies @ (shrunk * shrunk * kept))
    df2_decay = float(modes.multiplicities @ (kept * kept * shrunk))
    return float(bias_growth * _free(modes, available, ridge) - label * df2_decay)


def _error(modes: Modes, available: float, n_samples: float, ridge: float) -> float:
    _, shrunk = _shares(modes, ridge)
    label = float(modes.energies @ (shrunk * shrunk)) + modes.unlearnable_variance + modes.noise_variance
    free = _free(modes, available, ridge)
    if free <= 0.0:
        return np.inf if label > 0.0 else 0.0
    return float(label * n_samples / free)


def _null_error(modes: Modes, n_samples: float) -> float:
    total = modes.signal_variance + modes.unlearnable_variance + modes.noise_variance
    return float(total * n_samples / (n_samples - modes.n_unpenalised))


def _stationary(modes: Modes, available: float, ends: np.ndarray, slopes: np.ndarray) -> float:
    """The ridge between two grid points at which the slope, negative at the first and not at the second, vanishes."""
    low, high = float(ends[0]), float(ends[1])
    span, unit = float(np.log(high / low)), float(np.abs(slopes).max())
    known = {0.0: float(slopes[0]), span: float(slopes[1])}  # exp need not hit the second point, where the sign counts

    def slope(step: float) -> float:
        return (known[step] if step in known else _slope(modes, available, low * float(np.exp(step)))) / unit

    eps = float(np.finfo(float).eps)
    return low * float(np.exp(brentq(slope, 0.0, span, xtol=eps / 2.0, rtol=4.0 * eps)))


def _search_range(modes: Modes, available: float, floor: float) -> tuple[float, float]:
    """Ridges far below and far above every stationary point.

    Far below the least eigenvalue the error is ``(floor + k^2 C) / (available - n_modes + 2 k M)`` with
    ``C = sum c / xi^2`` and ``M = sum m / xi``, whose stationary point solves a quadratic; far above the greatest,
    where B and df2 are expanded in 1 / k, the stationary point is ``total sum m xi^2 / (available sum c xi)``.
    """
    eigenvalues, least, top = modes.eigenvalues, float(modes.eigenvalues.min()), float(modes.eigenvalues.max())
    below, above = least / eigenvalues, eigenvalues / top
    curvature, growth = float(modes.energies @ (below * below)), float(modes.multiplicities @ below)
    lowest = 1e-6
    if curvature > 0.0 and growth > 0.0 and floor / curvature < np.inf:
        linear = (available - float(modes.n_modes)) / growth
        root = float(np.hypot(linear, 2.0 * np.sqrt(floor / curvature)))
        stationary = 2.0 * (floor / curvature / (root + linear)) if linear > 0.0 else (root - linear) / 2.0
        lowest = min(lowest, 1e-3 * stationary) if stationary > 0.0 else lowest
    signal = float(modes.energies @ above)
    total = floor + float(modes.signal_variance)
    weak = total * float(modes.multiplicities @ (above * above)) / (available * signal) if signal > 0.0 else 0.0
    highest = max(top * max(1e6, 1e3 * weak), float(modes.trace) / available * 1e6)
    return max(least * lowest, SMALLEST), min(highest, 1.0 / SMALLEST)


def _least_ridge(modes: Modes, available: float, ridgeless: float, least: float) -> float:
    """The edge df2(k) = n of the admissible branch, or a ridge far below every eigenvalue where there is none."""
    if available > modes.n_modes or _free(modes, available, least) > 0.0:
        return least
    top = max(ridgeless, least) * 2.0
    log_edge = brentq(lambda u: _free(modes, available, float(np.exp(u))) / available, np.log(least), np.log(top))
    return float(np.exp(log_edge)) * (1.0 + 1e-9)
