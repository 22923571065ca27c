"""The population's spectrum behind a pool of rows: eigenvalues, the target's energy on them, and the noise.

At a ridge l on all N rows the eigenvalues of ``K / N`` give the ridge kappa that acts on the population and what it leaves,

    df1(kappa) = sum ev / (ev + l),   l = kappa (1 - (df1 + c) / N),   S(kappa) = risk (1 - (df2 + c) / N),

c = 1 where a constant is fitted. In the population ``df1 = sum_j m_j t_j / (t_j + kappa)`` is linear in the multiplicities
m_j of given eigenvalues t_j, and ``S = noise + sum_j e_j kappa^2 / (t_j + kappa)^2`` in the energies and the noise: two
nonnegative least squares, with the first two moments of the spectrum as further equations of the first.

Sources: El Karoui, *Spectrum estimation for large dimensional covariance matrices using random matrix theory* (2008), for the
spectrum; the second system is the omniscient risk of ridge regression read backwards.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from theory.covariance import InadmissibleProblem

Array = npt.NDArray[np.float64]

N_EIGENVALUES = 120
BEYOND = 4.0
"""How far the candidates for eigenvalues reach beyond the largest of the pool and below the smallest ridge identified."""
CERTAIN = 100.0
"""Weight of the moments beside that of each degree of freedom."""
SPREADING = 1e-4
"""Weight of unknowns beside equations, so that of all spectra that fit a smooth one is taken: the energies need its atoms. It
costs errors of 1e-3 in the degrees of freedom, less than what the luck of a thousand rows makes of them."""
NEGLIGIBLE = 1e-12
"""Of the largest eigenvalue: smaller ones of the pool are rounding."""
LOWEST = 1e-6
"""Share of the pool's mean eigenvalue from which ridges on."""


class PoolTables(Protocol):
    """What is asked of a pool.

    Attributes:
        n_rows: N.
        n_features: d where the kernel is linear, else 0.
        fit_intercept: whether a constant is fitted.
        eigenvalues: of ``K / N``, centred where a constant is fitted, zeros left out or not.
        ridges, loo: shape ``(L,)``, l and the leave-one-out risk there.
    """

    @property
    def n_rows(self) -> int:
        """Return it."""
        ...

    @property
    def n_features(self) -> int:
        """Return it."""
        ...

    @property
    def fit_intercept(self) -> bool:
        """Return it."""
        ...

    @property
    def eigenvalues(self) -> Array:
        """Return them."""
        ...

    @property
    def ridges(self) -> Array:
        """Return them."""
        ...

    @property
    def loo(self) -> Array:
        """Return it."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class PopulationSpectrum:
    """What a pool says of its population, as the regime ``eigenspectrum`` takes it, with ``fit_intercept`` as in the pool.

    Functionals of the spectrum are well determined, its single eigenvalues are not.

    Attributes:
        eigenvalues: shape ``(m,)``, positive, descending.
        multiplicities: shape ``(m,)``, positive.
        energies: shape ``(m,)``, nonnegative: of the target, summed over each group of modes and over the target's columns.
        tail_trace: trace of what is too small to be told apart from infinitely many infinitesimal modes.
        noise_variance: what no ridge that the pool identifies would learn, summed over the target's columns: noise, and
            energy on modes below that ridge.
        smallest_identified_ridge: kappa on all rows as the penalty goes to 0; nothing is known below.
        effective_rank: ``tr^2 / tr of the square``.
        stable_rank: ``tr / max``, the largest eigenvalue averaged over one mode.
        df1_error, level_error: largest relative misfit of the degrees of freedom and of S, at the ridges used.
    """

    eigenvalues: Array
    multiplicities: Array
    energies: Array
    tail_trace: float
    noise_variance: float
    smallest_identified_ridge: float
    effective_rank: float
    stable_rank: float
    df1_error: float
    level_error: float

    def df1(self, ridge: npt.ArrayLike) -> Array:
        """Return ``sum m t / (t + kappa)`` at ridges kappa > 0 of any shape."""
        kappa = np.asarray(ridge, float)[..., None]
        found: Array = np.sum(self.multiplicities * self.eigenvalues / (self.eigenvalues + kappa), axis=-1)
        return found + self.tail_trace / kappa[..., 0]

    def df2(self, ridge: npt.ArrayLike) -> Array:
        """Return ``sum m t^2 / (t + kappa)^2``, to which the tail adds nothing."""
        kappa = np.asarray(ridge, float)[..., None]
        found: Array = np.sum(self.multiplicities * (self.eigenvalues / (self.eigenvalues + kappa)) ** 2, axis=-1)
        return found


def population_spectrum(pool: PoolTables) -> PopulationSpectrum:
    """Estimate the population's spectrum, energies and noise from a pool.

    Raises:
        InadmissibleProblem: the rows do not vary, or the pool has hardly any.
    """
    constant = int(pool.fit_intercept)
    n_free = pool.n_rows - constant
    eigenvalues = np.asarray(pool.eigenvalues, float)
    if eigenvalues.size == 0 or not np.max(eigenvalues) > 0.0 or n_free < 2:
        raise InadmissibleProblem("the population's spectrum needs at least 2 rows that differ from each other")
    largest = float(np.max(eigenvalues))
    eigenvalues = eigenvalues[eigenvalues > NEGLIGIBLE * largest]
    wanted = pool.ridges >= LOWEST * np.sum(eigenvalues) / n_free
    ridges, risk = pool.ridges[wanted], pool.loo[wanted]
    shares = eigenvalues / (eigenvalues + ridges[:, None])
    df1 = np.sum(shares, axis=1)
    idle = np.maximum(n_free - eigenvalues.size, 0.0) + np.sum(1.0 - shares, axis=1)
    kappa = ridges * pool.n_rows / idle
    # d kappa / d l = 1 / (1 - (df2 + c) / N), from the derivative of what is idle.
    stretch = np.sum((1.0 - shares) * shares, axis=1)
    free = idle**2 / (idle - stretch) / pool.n_rows
    smallest = _smallest_ridge(eigenvalues, pool.n_rows, n_free)

    total = np.sum(eigenvalues) * pool.n_rows / n_free
    square = np.sum(eigenvalues**2) * (pool.n_rows / n_free) ** 2 - total**2 / n_free
    candidates = _candidates(eigenvalues, float(kappa[0]))
    multiplicities, tail = _multiplicities(
        candidates, kappa, df1, total=total, square=max(square, 0.0), n_features=pool.n_features
    )
    there = multiplicities > 0.0
    candidates, multiplicities = candidates[there][::-1], multiplicities[there][::-1]
    energies, noise, level_error = _energies(candidates, kappa, risk * free)
    spectrum_square = float(multiplicities @ candidates**2)
    trace = float(multiplicities @ candidates) + tail
    found = PopulationSpectrum(
        eigenvalues=candidates,
        multiplicities=multiplicities,
        energies=energies,
        tail_trace=tail,
        noise_variance=noise,
        smallest_identified_ridge=smallest,
        effective_rank=trace**2 / spectrum_square,
        stable_rank=trace / _largest(candidates, multiplicities),
        df1_error=0.0,
        level_error=level_error,
    )
    object.__setattr__(found, "df1_error", float(np.max(np.abs(found.df1(kappa) / df1 - 1.0))))
    return found


def _largest(eigenvalues: Array, multiplicities: Array) -> float:
    """Return the average over the first whole mode of eigenvalues in descending order: a share of a mode says little."""
    above = np.cumsum(multiplicities) - multiplicities
    shares = np.clip(1.0 - above, 0.0, multiplicities)
    return float(shares @ eigenvalues / np.sum(shares))


def _smallest_ridge(eigenvalues: Array, n_rows: int, n_free: int) -> float:
    """Return kappa on all rows as the penalty goes to 0: none where rows outnumber the directions in which they vary."""
    return n_rows / float(np.sum(1.0 / eigenvalues)) if eigenvalues.size >= n_free else 0.0


def _candidates(eigenvalues: Array, smallest: float) -> Array:
    """Return eigenvalues from where the ridges used hardly reach to beyond the largest of the pool, ascending."""
    lowest = max(min(smallest, float(np.min(eigenvalues))) / BEYOND, LOWEST**2 * float(np.max(eigenvalues)))
    return np.geomspace(lowest, BEYOND * float(np.max(eigenvalues)), N_EIGENVALUES)


def _multiplicities(
    candidates: Array, kappa: Array, df1: Array, *, total: float, square: float, n_features: int
) -> tuple[Array, float]:
    """Fit multiplicities, and the trace of a tail where there may be infinitely many modes."""
    shares = candidates / (candidates + kappa[:, None])
    tail = 1.0 / kappa
    rows = [np.column_stack([shares, tail]) / df1[:, None], CERTAIN * np.append(candidates, 1.0)[None] / total]
    sides = [np.ones(kappa.size), np.array([CERTAIN])]
    if square > 0.0:
        rows.append(CERTAIN * np.append(candidates**2, 0.0)[None] / square)
        sides.append(np.array([CERTAIN]))
    matrix = np.concatenate(rows)
    if n_features:
        # The last column is now that of directions without variance: there are so many features and no tail.
        count = np.append(np.ones(candidates.size), 1.0)[None]
        matrix[:, -1] = 0.0
        matrix = np.concatenate([matrix, CERTAIN * count / n_features])
        sides.append(np.array([CERTAIN]))
    found = _fit(matrix, np.concatenate(sides))
    return found[:-1], 0.0 if n_features else float(found[-1])


def _energies(eigenvalues: Array, kappa: Array, level: Array) -> tuple[Array, float, float]:
    """Fit energies and the noise to S, which is positive; return the largest relative misfit with them."""
    missed = np.column_stack([(kappa[:, None] / (eigenvalues + kappa[:, None])) ** 2, np.ones(kappa.size)])
    found = _fit(missed / level[:, None], np.ones(kappa.size))
    return found[:-1], float(found[-1]), float(np.max(np.abs(missed @ found / level - 1.0)))


def _fit(matrix: Array, side: Array) -> Array:
    """Return nonnegative least squares, its columns brought to one length first, of what fits alike the most even."""
    lengths = np.linalg.norm(matrix, axis=0)
    lengths[lengths == 0.0] = 1.0
    count = matrix.shape[1]
    found, _ = nnls(
        np.concatenate([matrix / lengths, SPREADING * np.eye(count)]),
        np.concatenate([side, np.zeros(count)]),
        maxiter=100 * count,
    )
    solution: Array = found / lengths
    return solution
