"""Power laws fitted to a spectrum and the target's energies on it, with the standard errors of what follows from them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import logsumexp

from theory.covariance import InadmissibleProblem

Vector = npt.NDArray[np.float64]

GROUPS_PER_DECADE = 10
FEWEST_GROUPS = 4
STEEPEST = 200.0
"""Between this and its negative the exponent of energies is sought."""


@dataclass(frozen=True, kw_only=True)
class PowerLawFit:
    """Eigenvalues ``scale i^-exponent`` and energies ``energy i^-energy_exponent``.

    Attributes:
        exponent, energy_exponent: the two slopes between logarithms.
        scale, energy: the two values at i = 1.
        variances: of the two slopes.
        bends: by how much each slope changes from the first to the last mode, as a parabola fits it, each with its standard
            error.
        first, last: positions of the modes that were used, from 1, largest eigenvalue first.
        n_groups: of modes, between which the lines were drawn.
    """

    exponent: float
    energy_exponent: float
    scale: float
    energy: float
    variances: tuple[float, float]
    bends: tuple[tuple[float, float], tuple[float, float]]
    first: float
    last: float
    n_groups: int

    @property
    def source_exponent(self) -> float:
        """The r with ``energy_exponent = 1 + 2 exponent r``."""
        return (self.energy_exponent - 1.0) / (2.0 * self.exponent)

    def standard_error(self, quantity: Callable[[float, float], float]) -> float:
        """Return the standard error of a function of the two slopes, by its derivatives.

        Args:
            quantity: of exponent and energy exponent; where it has a kink, the mean of both sides' derivatives is taken.
        """
        step, total = 1e-6, 0.0
        slopes = (self.exponent, self.energy_exponent)
        for place, variance in enumerate(self.variances):
            up, down = list(slopes), list(slopes)
            up[place] += step
            down[place] -= step
            total += variance * ((quantity(*up) - quantity(*down)) / (2.0 * step)) ** 2
        return float(np.sqrt(total))


def fit_power_law(
    eigenvalues: npt.ArrayLike,
    energies: npt.ArrayLike,
    *,
    multiplicities: npt.ArrayLike | None = None,
    first: float = 1.0,
    last: float = np.inf,
) -> PowerLawFit:
    """Fit both power laws to groups of modes.

    Modes are sorted by eigenvalue and gathered in groups, ten a decade of their position i, which all weigh the same: a law is
    judged over its whole range rather than by its last decade, where most modes are.

    * Eigenvalues: least squares between logarithms, a group's eigenvalue the geometric mean.
    * Energies, which in a single draw of a target scatter by more than themselves, and may be 0: quasi-likelihood for a
      scatter in proportion to the mean, ``sum over groups (C / M - 1) d log M = 0`` with C a group's energy and M what the
      law gives it. Unlike logarithms of energies this is unbiased.

    Standard errors take the scatter about each law for independent, from group to group of the eigenvalues and from mode to
    mode of the energies. They say nothing of a law that bends; ``bends`` does.

    Args:
        eigenvalues: nonnegative; zeros are left out.
        energies: nonnegative, summed over each group of equal modes.
        multiplicities: positive, 1 each if not given.
        first: position of the first mode that the law is expected to hold for.
        last: position of the last.

    Raises:
        InadmissibleProblem: too few positive eigenvalues or energies are left to fit; the argument says which.

    Source: quasi-likelihood: Wedderburn (1974), Biometrika 61.
    """
    xi, c = np.asarray(eigenvalues, float), np.asarray(energies, float)
    m = np.ones_like(xi) if multiplicities is None else np.asarray(multiplicities, float)
    order = np.argsort(-xi, kind="stable")
    order = order[xi[order] > 0.0]
    # The middle of the positions that a group of equal modes takes: i itself for one mode.
    position = np.cumsum(m[order]) - m[order] / 2.0 + 0.5
    used = (position >= first) & (position <= last)
    order, position = order[used], position[used]
    xi, c, m = np.log(xi[order]), c[order], m[order]
    number = np.floor(GROUPS_PER_DECADE * np.log10(position) + 1e-9)
    starts = np.flatnonzero(np.diff(number, prepend=-1.0)) if number.size else np.empty(0, int)
    log_position = np.log(position)
    _enough(starts.size, "eigenvalues")
    counts = np.add.reduceat(m, starts)
    x, y = (np.add.reduceat(m * values, starts) / counts for values in (log_position, xi))
    slope, intercept = np.polynomial.polynomial.polyfit(x, y, 1)[::-1]
    left = y - (intercept + slope * x)
    variance = float(left @ left) / (x.size - 2) / float(np.sum((x - x.mean()) ** 2))
    law = _energy_law(log_position, c, m, starts)
    return PowerLawFit(
        exponent=-float(slope),
        energy_exponent=law.exponent,
        scale=float(np.exp(intercept)),
        energy=law.energy,
        variances=(variance, law.variance),
        bends=(_bend(x, left), law.bend),
        first=float(position[0]),
        last=float(position[-1]),
        n_groups=x.size,
    )


@dataclass(frozen=True, kw_only=True)
class _EnergyLaw:
    exponent: float
    energy: float
    variance: float
    bend: tuple[float, float]


def _energy_law(log_position: Vector, c: Vector, m: Vector, starts: npt.NDArray[np.intp]) -> _EnergyLaw:
    """Fit the energies of modes that stand in groups, each from one of ``starts`` to the next."""
    found = np.add.reduceat(c, starts)
    _enough(int(np.count_nonzero(found)), "energies")
    log_found = np.log(found, where=found > 0.0, out=np.full(found.shape, -np.inf))
    lead = log_position[starts]
    behind = log_position - np.repeat(lead, np.diff(starts, append=m.size))

    def ratios(exponent: float) -> tuple[Vector, Vector, Vector, float]:
        """Return C / M, the mean of log i, the share of M's square, by group; and the log of the first energy at its best."""
        shares = m * np.exp(-exponent * behind)  # relative to the first of the group
        totals = np.add.reduceat(shares, starts)
        means = lead + np.add.reduceat(shares * behind, starts) / totals
        logs = log_found - (np.log(totals) - exponent * lead)
        level = float(logsumexp(logs)) - float(np.log(logs.size))
        return np.exp(logs - level), means, np.add.reduceat(shares * shares / m, starts) / totals**2, level

    def score(exponent: float) -> float:
        ratio, means, _, _ = ratios(exponent)
        return float((ratio - 1.0) @ means)

    exponent = float(brentq(score, -STEEPEST, STEEPEST, xtol=1e-14, rtol=1e-14))
    ratio, means, share, level = ratios(exponent)
    # C / M has the variance of a mode relative to its mean, the dispersion, times the share.
    dispersion = float(np.sum((ratio - 1.0) ** 2 / share)) / (ratio.size - 2)
    centred = means - means.mean()
    variance = dispersion * float(share @ centred**2) / float(centred @ centred) ** 2
    return _EnergyLaw(exponent=exponent, energy=float(np.exp(level)), variance=variance, bend=_bend(means, ratio - 1.0))


def _enough(count: int, name: str) -> None:
    if count < FEWEST_GROUPS:
        raise InadmissibleProblem(
            f"a power law needs at least {FEWEST_GROUPS} groups of modes with positive {name}, ten a decade of positions, got"
            f" {count}; list more modes",
            argument=name,
        )


def _bend(x: Vector, left: Vector) -> tuple[float, float]:
    """Return the change of the exponent from end to end of a parabola through what a line leaves, and its standard error."""
    half = 0.5 * float(x[-1] - x[0])
    design = np.vander((x - x[0]) / half - 1.0, 3, increasing=True)
    inverse = np.linalg.inv(design.T @ design)
    parabola = inverse @ (design.T @ left)
    scatter = left - design @ parabola
    error = float(np.sqrt(scatter @ scatter / (x.size - 3) * inverse[2, 2]))
    return -4.0 * float(parabola[2]) / half, 4.0 * error / half
