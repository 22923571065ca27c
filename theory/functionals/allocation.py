"""How to split a budget between width and samples, or width and time: by the equations themselves, at any size.

The exponents of :mod:`theory.functionals.scaling_laws` are those of the best split as budgets grow; here the error itself is
minimised.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import zeta

from theory.covariance import power_law
from theory.equivalents.modal import ModalEquivalent
from theory.equivalents.population import ABUNDANT
from theory.functionals.scaling_laws import PowerLaw
from theory.learners.contours import flow_contour
from theory.modes import Modes
from theory.solvers.effective_ridge import solve_effective_ridge

Vector = npt.NDArray[np.float64]

MOST_MODES = 10**12
DECADES = 100.0
"""Between the largest and the smallest eigenvalue that is listed."""
POINTS_PER_DECADE = 12
"""Of a size, and of the ridge, on the grid from which the search starts."""
FLOWS_PER_DECADE = 1.5
"""The same, of gradient flow, whose error takes a contour a point and bends once in several decades."""
ABOVE_THE_SPECTRUM = 1e8
"""Ridges are sought up to so many times the trace, or the largest ridge that noise asks for."""
ENTRIES = 1_000_000
"""Ridges times modes of the sums that are worked off together."""
CLOSE = 1e-7
"""Accuracy of the logarithm of a size; the error is flat at its minimum, and good to the square of what is reached."""
OPINIONS = 1e-7
"""Relative difference of two contours from which an error of gradient flow does not count as found."""


def infinite_power_law(law: PowerLaw) -> Modes:
    """Return the mode table of infinitely many modes.

    The first of them, up to 10^12, are listed; the rest are infinitesimal beside every ridge that sizes below a tenth of that
    number lead to, so that their eigenvalues are the table's tail and their energy is out of reach.
    """
    alpha, beta = law.exponent, 1.0 + 2.0 * law.exponent * law.source_exponent
    listed = int(min(MOST_MODES, 10.0 ** (DECADES / alpha)))
    spectrum = power_law(listed, exponent=alpha, scale=law.scale)
    assert spectrum.index is not None
    return Modes(
        eigenvalues=spectrum.eigenvalues,
        multiplicities=spectrum.multiplicities,
        energies=law.energy * spectrum.index**-beta * spectrum.multiplicities,
        tail_trace=float(law.scale * zeta(alpha, listed + 1.0)),
        unlearnable_variance=float(law.energy * zeta(beta, listed + 1.0)),
        noise_variance=law.noise_variance,
        count=spectrum.count,
    )


@dataclass(frozen=True, kw_only=True)
class RidgeAllocation:
    """The split of ``n_samples * width`` with the least test error of ridge regression on random combinations of the modes.

    Attributes:
        width, n_samples: the split.
        penalty: the best there, at least 0.
        test_error: against a fresh noisy label.
        excess_risk: ``test_error`` less the noise's variance, not formed as a difference.
    """

    width: float
    n_samples: float
    penalty: float
    test_error: float
    excess_risk: float


@dataclass(frozen=True, kw_only=True)
class FlowAllocation:
    """The split of ``width * time`` with the least test error of gradient flow with samples to spare.

    Attributes:
        width, time: the split.
        test_error: against a fresh noisy label.
        excess_risk: ``test_error`` less the noise's variance.
        converged: whether two contours agree.
    """

    width: float
    time: float
    test_error: float
    excess_risk: float
    converged: bool


def allocate_ridge(modes: Modes, budget: float) -> RidgeAllocation:
    """Minimise the test error over width, samples and penalty at ``n_samples * width = budget``.

    At given sizes the error is an explicit function of the effective ridge, whose sums over modes are tabulated once; the best
    point of a grid in the logarithms of ridge and width is refined. Sizes are at least 1.

    Args:
        modes: one mode table.
        budget: at least 1.

    Source: the error: Simon et al., arXiv:2311.14646, in the notation of :mod:`theory.equivalents.modal`.
    """
    size = float(np.sqrt(budget))
    if float(modes.noise_variance) + float(modes.unlearnable_variance) == 0.0 and size > modes.rank:
        # Nothing acts as noise, and there are samples and features for every mode: one of many splits without error.
        return RidgeAllocation(width=size, n_samples=size, penalty=0.0, test_error=0.0, excess_risk=0.0)
    problem = _RidgeProblem(modes, budget)
    widths, ridges, errors = problem.tabulate()
    row, column = np.unravel_index(int(np.argmin(errors)), errors.shape)
    cell = float(np.log(widths[1] / widths[0])) if widths.size > 1 else 0.0
    ridge_cell = float(np.log(ridges[1] / ridges[0]))
    near, at = float(np.log(ridges[column])), float(np.log(widths[row]))
    reach = (near - 6.0 * ridge_cell, near + 6.0 * ridge_cell)
    # Where several splits do equally well, the one on the grid is as good as any.
    place = _minimum(lambda u: problem.best_ridge(float(np.exp(u)), reach)[1], at, cell, 0.0, float(np.log(budget)))
    width = float(np.exp(place))
    ridge, excess = problem.best_ridge(width, reach)
    n_samples = budget / width
    return RidgeAllocation(
        width=width,
        n_samples=n_samples,
        penalty=problem.penalty(ridge, width),
        test_error=excess + float(modes.noise_variance),
        excess_risk=excess,
    )


class _RidgeProblem:
    """The excess risk over the effective ridge and the width."""

    def __init__(self, modes: Modes, budget: float) -> None:
        self._modes, self._budget = modes, budget

    def tabulate(self) -> tuple[Vector, Vector, Vector]:
        """Return widths, ridges, and the excess risk at each pair; infinite where no penalty leads there."""
        n_widths = max(2, int(np.ceil(np.log10(self._budget) * POINTS_PER_DECADE)) + 1)
        widths = np.geomspace(1.0, self._budget, n_widths) if self._budget > 1.0 else np.ones(1)
        lowest = self._least_ridge(float(np.sqrt(self._budget)))
        highest = self._highest()
        n_ridges = max(2, int(np.log10(highest / lowest) * POINTS_PER_DECADE))
        ridges = np.geomspace(lowest, highest, n_ridges)
        sums = self._sums(ridges)
        errors = self._excess(sums, widths[:, None])
        # Ridgeless where the grid does not hit it.
        for row, width in enumerate(widths):
            least = self._least_ridge(min(float(width), self._budget / float(width)))
            column = int(np.searchsorted(ridges, least))
            if column < n_ridges:
                at_least = float(self._excess(self._sums(np.array([least])), width)[0])
                errors[row, column] = min(errors[row, column], at_least)
        return widths, ridges, errors

    def best_ridge(self, width: float, reach: tuple[float, float]) -> tuple[float, float]:
        """Return the ridge of least excess risk at a width, and that risk."""
        bound = float(np.log(self._least_ridge(min(width, self._budget / width))))
        low, high = max(reach[0], bound), max(reach[1], bound + 1.0)

        def excess(u: float) -> float:
            return float(self._excess(self._sums(np.exp(np.array([u]))), width)[0])

        inner = minimize_scalar(excess, bounds=(low, high), method="bounded", options={"xatol": CLOSE})
        at_bound = excess(low)
        return (float(np.exp(low)), at_bound) if at_bound <= inner.fun else (float(np.exp(inner.x)), float(inner.fun))

    def penalty(self, ridge: float, width: float) -> float:
        """Return the penalty that leads to a ridge: 0 at the least one."""
        n_samples = self._budget / width
        if ridge <= self._least_ridge(min(width, n_samples)) * (1.0 + 1e-9):
            return 0.0
        df2, spread, *_ = self._sums(np.array([ridge]))
        df1 = float(df2[0] + spread[0])
        return ridge * max(1.0 - df1 / n_samples, 0.0) * max(1.0 - df1 / width, 0.0)

    def _highest(self) -> float:
        """Return a ridge above every stationary point.

        Where B and df2 are expanded in 1 / k, more noise than a sample's worth of signal asks for
        ``k = total sum m xi^2 / (n sum c xi)``; n is at least 1.
        """
        modes = self._modes
        total = float(modes.noise_variance + modes.unlearnable_variance + modes.signal_variance)
        top = float(modes.eigenvalues.max())
        relative = modes.eigenvalues / top
        signal = float(modes.energies @ relative)
        weak = total * float(modes.multiplicities @ (relative * relative)) / signal if signal > 0.0 else 0.0
        return ABOVE_THE_SPECTRUM * max(float(modes.trace), top * weak)

    def _least_ridge(self, size: float) -> float:
        """Return the ridge at penalty 0; far below the spectrum where there are modes for all."""
        ridge = float(solve_effective_ridge(self._modes, size, 0.0).ridge)
        return ridge or float(self._modes.eigenvalues.min()) * 1e-6

    def _sums(self, ridges: Vector) -> tuple[Vector, ...]:
        """Return df2, df1 - df2, B, T - B, each of the ridges' shape."""
        modes = self._modes
        per_piece = max(1, ENTRIES // modes.eigenvalues.size)
        pieces = []
        for start in range(0, ridges.size, per_piece):
            column = ridges[start : start + per_piece, None]
            resolvent = 1.0 / (modes.eigenvalues + column)
            kept, shrunk = modes.eigenvalues * resolvent, column * resolvent
            mixed = kept * shrunk
            sums = ((kept * kept) @ modes.multiplicities, mixed @ modes.multiplicities)
            pieces.append((*sums, (shrunk * shrunk) @ modes.energies, mixed @ modes.energies))
        df2, spread, bias, mixed_energy = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
        tail = float(modes.tail_trace) / ridges
        return df2, spread + tail, bias + float(modes.unlearnable_variance), mixed_energy

    def _excess(self, sums: tuple[Vector, ...], width: npt.ArrayLike) -> Vector:
        """Return the excess risk; infinite where df1 exceeds a size by more than rounding."""
        df2, spread, bias, mixed = sums
        df1 = df2 + spread
        widths = np.asarray(width, float)
        n_samples = self._budget / widths
        slack = 1e-9
        admissible = df1 <= np.minimum(widths, n_samples) * (1.0 + slack)
        width_margin = np.maximum(1.0 - df1 / widths, 0.0)
        sample_margin = np.maximum(1.0 - df1 / n_samples, 0.0)
        width_left = width_margin + spread / widths
        share = width_margin / width_left
        rest = spread / widths / width_left
        numerator = bias + rest * mixed
        free = sample_margin + share * spread / n_samples
        # 1 - free is what the degrees of freedom take: noise / free - noise without the difference.
        taken = (df2 + rest * spread) / n_samples
        noise = float(self._modes.noise_variance)
        with np.errstate(all="ignore"):
            excess = (numerator + noise * taken) / free
        return np.where(admissible & (free > 0.0), excess, np.inf)


def allocate_flow(modes: Modes, budget: float) -> FlowAllocation:
    """Minimise the test error of gradient flow over width and time at ``width * time = budget``, samples being abundant.

    Args:
        modes: one mode table.
        budget: positive, in units of inverse eigenvalues.
    """

    def excess(u: float) -> float:
        width = float(np.exp(u))
        return _flow_excess(modes, width, budget / width, between=True)[0]

    # From one random feature, and from where no time is left for it.
    low, high = 0.0, max(float(np.log(budget * modes.eigenvalues.max())), 0.0) + np.log(10.0)
    grid = np.linspace(low, high, max(3, int((high - low) / np.log(10.0) * FLOWS_PER_DECADE) + 1))
    best = int(np.argmin([excess(u) for u in grid]))
    place = _minimum(excess, float(grid[best]), float(grid[1] - grid[0]), low, high)
    width = float(np.exp(place))
    risk, difference = flow_excess(modes, width, budget / width)
    return FlowAllocation(
        width=width,
        time=budget / width,
        test_error=risk + float(modes.noise_variance),
        excess_risk=risk,
        converged=difference <= OPINIONS,
    )


def flow_excess(modes: Modes, width: float, time: float) -> tuple[float, float]:
    """Return the excess risk of gradient flow with samples to spare, and the relative difference of two contours.

    With A the kernel operator of the random features the flow leaves ``exp(-time A)`` of the target f, whose energy
    ``<f, exp(-2 time A) f>`` is the inverse Laplace transform of ``T(p) / p``. At infinite width that is the sum of
    ``c exp(-2 xi time)``; the contour is left with the difference,
    ``T(p) - sum c p / (xi + p) = (k - p) sum c xi / ((xi + k) (xi + p))`` with ``k - p = k df1(k) / width``, in which nothing
    cancels.

    Args:
        modes: one mode table.
        width: positive.
        time: positive.

    Source: [D] from the two-point equivalent at infinitely many samples, Atanasov, Zavatone-Veth, Pehlevan, arXiv:2405.00592.
    """
    first, one_converged = _flow_excess(modes, width, time, between=True)
    second, other_converged = _flow_excess(modes, width, time, between=False)
    difference = abs(first - second) / first if first > 0.0 else 0.0
    return max(first, 0.0), difference if one_converged and other_converged else np.inf


def _flow_excess(modes: Modes, width: float, time: float, *, between: bool) -> tuple[float, bool]:
    """Return the excess risk by one of two contours, and whether the ridges along it were found."""
    xi = modes.eigenvalues
    wide = float(modes.energies @ np.exp(-2.0 * time * xi)) + float(modes.unlearnable_variance)
    contour = flow_contour(2.0 * time, between=between)
    solved = ModalEquivalent(modes=modes, width=width).continued(ABUNDANT, contour.points)
    ridge = solved.shares[0].ridge[:, None]
    df1 = (xi / (xi + ridge)) @ modes.multiplicities + modes.tail_trace / ridge[:, 0]
    lost = (xi / ((xi + ridge) * (xi + contour.points[:, None]))) @ modes.energies
    excess = wide + contour.integral(ridge[:, 0] * df1 / width * lost / contour.points)
    return excess, bool(np.all(solved.converged))


def _minimum(function: Callable[[float], float], at: float, cell: float, low: float, high: float) -> float:
    """Refine the best point of a grid."""
    if cell == 0.0 or low == high:
        return at
    bounds = (max(at - cell, low), min(at + cell, high))
    found = minimize_scalar(function, bounds=bounds, method="bounded", options={"xatol": CLOSE})
    return float(found.x) if found.fun <= function(at) else at
