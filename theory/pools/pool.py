"""What is kept of a pool of rows: tables along the ridge from which every size, penalty and width is predicted."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, PchipInterpolator, RectBivariateSpline

Array = NDArray[np.float64]
POOL_VERSION = 2
"""Changes with the meaning of a stored array, so that an old file is refused rather than misread."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """A pool of N rows under one kernel, with N' = N - 1 where an intercept is fitted and N where it is not.

    ``l`` runs over ``ridges`` (L of them), penalties of a model trained on all N rows, whose hat matrix has the diagonal h.
    ``e`` are leave-one-out residuals, ``g = h / (1 - h)`` the leverages of the rows and ``s = g / mean(g)``.

    Attributes:
        n_rows, n_features, n_classes: N; the number of features, or 0 where a kernel was given; the number of classes, or 0.
        fit_intercept: whether a constant is fitted and not penalised.
        ridges: (L,), log-spaced, in units of the eigenvalues of ``K / N``.
        eigenvalues: (N',) or fewer, of ``K / N``, descending, the intercept's left out.
        effective_ridge: (L,), kappa.
        df1, df2: (L,), ``sum xi / (xi + kappa)`` and ``sum (xi / (xi + kappa))^2`` over the population's eigenvalues xi,
            without the constant.
        loo, gcv: (L,), risk at N rows by exact leave-one-out and by generalised cross-validation, summed over the columns.
        loo_deviation: (L,), the standard deviation over the rows of the squared leave-one-out residual.
        group_losses: (G, L), ``loo`` on G random groups of the rows.
        estimation: (L,), the part of ``loo`` that comes from estimating the coefficients on N rows.
        effective_rows: (L,), ``tr(A^2)^2 / tr(A^4)`` of ``A = 1 - hat matrix``: the squared residuals average like so many
            independent ones, fewer and fewer as the model interpolates.
        cross: (L,), the mean over the rows of ``y . e``.
        classical_effective_ridge, classical_df2: (L,), the same were all leverages alike, which is what ``gcv`` assumes.
        loads: (R,), values of rho, log-spaced.
        used: (L, R), the mean of ``rho s / (1 + rho s)``.
        moments: (5, L, R), the means of ``s e^2, s^2, s, e^2, 1`` times ``1 / (1 + rho s)^2``.
        spread, rates, feature_rates, rate_ridges: (X,), (L', X) twice, (L',): rates of misclassification at ``rate_ridges``
            after an extra variance of the score of ``spread * loo``, which fewer rows add, or fewer random features; the last
            three empty for regression.
        target_variance: mean squared target over the rows, centred where an intercept is fitted, summed over the columns.
        trial_sizes, trial_penalties: (T,), (Q,), sizes and penalties at which models on parts of the rows were tried; the last
            size is N.
        corrections, correction_errors: (T, Q), the logarithm of what was tried over what is transported, of the squared error,
            and its standard error.
        rate_corrections, rate_correction_errors: likewise of the rate of misclassification; empty for regression.
        trial_luck: (T, Q), the relative standard error of such models' mean loss by which rows are in the pool; 0 at N.
    """

    n_rows: int
    n_features: int
    n_classes: int
    fit_intercept: bool
    ridges: Array
    eigenvalues: Array
    effective_ridge: Array
    df1: Array
    df2: Array
    loo: Array
    gcv: Array
    loo_deviation: Array
    group_losses: Array
    estimation: Array
    effective_rows: Array
    cross: Array
    classical_effective_ridge: Array
    classical_df2: Array
    loads: Array
    used: Array
    moments: Array
    spread: Array
    rates: Array
    feature_rates: Array
    rate_ridges: Array
    target_variance: float
    trial_sizes: Array
    trial_penalties: Array
    corrections: Array
    correction_errors: Array
    rate_corrections: Array
    rate_correction_errors: Array
    trial_luck: Array

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as plain arrays, which ``np.savez`` writes and ``np.load(allow_pickle=False)`` reads."""
        found = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        return found | {"version": np.asarray(POOL_VERSION)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the pool that :meth:`arrays` took apart.

        Raises:
            ValueError: the arrays are of another version, or some are missing.
        """
        names = [field.name for field in fields(cls)]
        missing = sorted({*names, "version"} - set(arrays))
        if missing:
            raise ValueError(f"these arrays are no pool: {', '.join(missing)} missing; estimate it again")
        if int(arrays["version"]) != POOL_VERSION:
            raise ValueError(
                f"the pool has version {int(arrays['version'])}, this program reads {POOL_VERSION}; estimate it again"
            )
        # A field without an axis is a number.
        values: dict[str, Any] = {name: np.asarray(arrays[name]) for name in names}
        return cls(**{name: value.item() if value.ndim == 0 else value for name, value in values.items()})

    @property
    def n_unpenalised(self) -> int:
        """1 where a constant is fitted."""
        return int(self.fit_intercept)

    @property
    def n_targets(self) -> int:
        """Columns of the codes of classes; of a regression it is not kept."""
        return 1 if self.n_classes == 2 else self.n_classes

    @property
    def reliability(self) -> Array:
        """Leave-one-out over generalised cross-validation, less 1: (L,); 0 where the rows' leverages are alike."""
        return np.asarray(self.loo / self.gcv - 1.0)

    @property
    def level(self) -> Array:
        """``noise_variance + bias`` at every ridge: what infinitely many rows would leave at this kappa. (L,)."""
        return np.asarray(self.loo * (1.0 - self.n_unpenalised / self.n_rows) - self.estimation)

    @property
    def smallest_identified_ridge(self) -> float:
        """Below this kappa the pool says nothing: its value as the penalty goes to 0."""
        return float(self.effective_ridge[0])

    @property
    def noise_variance(self) -> float:
        """An estimate of the noise: the smallest level at any kappa, so an upper bound which small pools do not reach."""
        return float(max(self.level.min(), 0.0))

    @property
    def effective_ranks(self) -> tuple[float, float]:
        """``tr / max`` and ``tr^2 / tr of the square`` of the eigenvalues of ``K / N``; 0 where there are none."""
        values = self.eigenvalues[self.eigenvalues > 0.0]
        if values.size == 0:
            return 0.0, 0.0
        scaled = values / values.max()
        return float(scaled.sum()), float(scaled.sum() ** 2 / (scaled**2).sum())

    @cached_property
    def rank(self) -> float:
        """Directions beside the constant that can be fitted; infinite where the rows show no end of them."""
        found = np.count_nonzero(self.eigenvalues > RANK_TOLERANCE * self.eigenvalues[0])
        return float(found) if found < self.n_rows - self.n_unpenalised else np.inf

    @cached_property
    def curves(self) -> "Curves":
        """Interpolants of the tables; not stored."""
        return Curves(self)


RANK_TOLERANCE = 1e-12
"""Of the largest eigenvalue: smaller ones are rounding."""
FINE = 8
"""Places to a halving of the size at which corrections are read off."""
END, FEWEST = 4.0, 4
"""Powers of kappa below the table are read off its lowest part: this factor of kappa, but no fewer ridges."""


class Curves:
    """Interpolants along ``log l`` and ``log rho``: cubic splines of smooth functions."""

    def __init__(self, pool: Pool) -> None:
        self.logarithms = np.log(pool.ridges)
        self.loads = np.log(pool.loads)
        positive = np.stack(
            [pool.effective_ridge, pool.df1, pool.df2, pool.loo, pool.gcv, pool.loo_deviation, pool.effective_rows]
        )
        self._positive = CubicSpline(self.logarithms, _log(positive), axis=1)
        self._signed = CubicSpline(self.logarithms, np.stack([pool.estimation, pool.cross]), axis=1)
        self._classical = CubicSpline(
            self.logarithms, _log(np.stack([pool.classical_effective_ridge, pool.classical_df2])), axis=1
        )
        self._used = RectBivariateSpline(self.logarithms, self.loads, _log(pool.used), s=0)
        self._moments = [RectBivariateSpline(self.logarithms, self.loads, _log(moment), s=0) for moment in pool.moments]
        self.ends = _ends(pool)
        self._rates: tuple[RectBivariateSpline, ...] = ()
        if pool.n_classes:
            nodes = np.log1p(pool.spread)
            self.spreads = nodes
            self._rates = tuple(
                RectBivariateSpline(np.log(pool.rate_ridges), nodes, table, kx=3, ky=3, s=0)
                for table in (pool.rates, pool.feature_rates)
            )
            self._rate_range = np.log(pool.rate_ridges[[0, -1]])
        self.corrections = Corrections(pool.trial_sizes, pool.trial_penalties, pool.corrections, pool.correction_errors)
        self.trial_luck = Corrections(pool.trial_sizes, pool.trial_penalties, pool.trial_luck, 0.0 * pool.trial_luck)
        self.rate_corrections = self.corrections
        if pool.n_classes:
            self.rate_corrections = Corrections(
                pool.trial_sizes, pool.trial_penalties, pool.rate_corrections, pool.rate_correction_errors
            )

    def positive(self, at: Array) -> Array:
        """Return kappa, df1, df2, loo, gcv, loo_deviation, effective_rows: (7, batch), at ``log l`` within the table."""
        return np.asarray(np.exp(self._positive(at)))

    def positive_slopes(self, at: Array) -> Array:
        """Return the derivatives of the logarithms of :meth:`positive` by ``log l``."""
        return np.asarray(self._positive(at, 1))

    def signed(self, at: Array) -> Array:
        """Return estimation and cross: (2, batch)."""
        return np.asarray(self._signed(at))

    def signed_slopes(self, at: Array) -> Array:
        """Return the derivatives of :meth:`signed` by ``log l``."""
        return np.asarray(self._signed(at, 1))

    def classical(self, at: Array) -> Array:
        """Return the classical kappa and df2: (2, batch)."""
        return np.asarray(np.exp(self._classical(at)))

    def used(self, at: Array, load: Array) -> Array:
        """Return the mean of ``rho s / (1 + rho s)`` at ``log l`` and ``log rho``, wherever the latter lies."""
        inside = np.clip(load, self.loads[0], self.loads[-1])
        return np.exp(self._used.ev(at, inside) + np.minimum(load - inside, 0.0))

    def moments(self, at: Array, load: Array) -> Array:
        """Return the five means over ``(1 + rho s)^2``: (5, batch)."""
        inside = np.clip(load, self.loads[0], self.loads[-1])
        falling = -2.0 * np.maximum(load - inside, 0.0)
        return np.stack([np.exp(spline.ev(at, inside) + falling) for spline in self._moments])

    def load_slopes(self, at: Array, load: Array) -> Array:
        """Return slopes of the logarithms of :meth:`used` and :meth:`moments` by ``log l`` and ``log rho``: (2, 6, batch)."""
        inside = np.clip(load, self.loads[0], self.loads[-1])
        splines = [self._used, *self._moments]
        by_ridge = np.stack([spline.ev(at, inside, dx=1) for spline in splines])
        by_load = np.stack([spline.ev(at, inside, dy=1) for spline in splines])
        # Beyond its ends the table is left along powers of rho.
        by_load = np.where(load == inside, by_load, 0.0)
        by_load[0] += load < inside
        by_load[1:] -= 2.0 * (load > inside)
        return np.stack([by_ridge, by_load])

    def rates(self, at: Array, spread: Array, share: Array) -> Array:
        """Return misclassification rates at ``log l`` after an extra variance of ``spread`` times loo, which may be negative.

        Between extra variance from rows and from features, ``share`` of it, rates are interpolated linearly. A smaller variance
        than the pool's own is outside the table: there the rate follows the square error by a power.
        """
        at = np.clip(at, *self._rate_range)
        added = np.clip(np.log1p(np.maximum(spread, 0.0)), 0.0, self.spreads[-1])
        from_rows, from_features = self.table_of_rates(at, added)[:, 0]
        rate = np.clip(from_rows + share * (from_features - from_rows), 0.0, 1.0)
        return np.asarray(np.where(spread < 0.0, rate * (1.0 + np.maximum(spread, -0.99)) ** self.power(at), rate))

    def table_of_rates(self, at: Array, spread: Array) -> Array:
        """Return the rates after extra variance from rows and from features, within the table: (2, 3, batch).

        Each comes with its derivatives by ``log l`` and by ``log(1 + spread)``.
        """
        derivatives = ((0, 0), (1, 0), (0, 1))
        return np.array([[one.ev(at, spread, dx=dx, dy=dy) for dx, dy in derivatives] for one in self._rates])

    @property
    def rate_range(self) -> tuple[float, float]:
        """Where ``log l`` of the table of rates begins and ends."""
        return float(self._rate_range[0]), float(self._rate_range[1])

    def power(self, at: Array) -> Array:
        """Return d log rate / d log of the square error at no extra variance, between 0 and 1."""
        at = np.clip(at, *self._rate_range)
        step = self.spreads[2]
        here, there = (self._rates[0].ev(at, np.full_like(at, added)) for added in (0.0, step))
        with np.errstate(divide="ignore", invalid="ignore"):
            power = np.log(there / here) / step
        return np.asarray(np.clip(np.nan_to_num(power, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0))


class Corrections:
    """Interpolants of what transport misses, along ``log n`` and the logarithm of the penalty; constant beyond the table."""

    def __init__(self, sizes: Array, penalties: Array, corrections: Array, errors: Array) -> None:
        self._sizes, self._penalties = np.log(sizes), np.log(penalties)
        # Through the few sizes monotone pieces, which do not swing, read off again so finely that a cubic spline follows them.
        fine = np.unique(np.concatenate([np.linspace(*pair, FINE + 1) for pair in pairwise(self._sizes)]))
        order = min(3, fine.size - 1)
        self._spline, self._errors = (
            RectBivariateSpline(fine, self._penalties, PchipInterpolator(self._sizes, table)(fine), kx=order, ky=3, s=0)
            for table in (corrections, errors)
        )
        self._slopes = np.abs(corrections[[0, -2]] - corrections[[1, -1]])

    def _inside(self, size: Array, penalty: Array) -> tuple[Array, Array]:
        return np.clip(size, *self._sizes[[0, -1]]), np.clip(penalty, *self._penalties[[0, -1]])

    def __call__(self, size: Array, penalty: Array) -> Array:
        """Return the correction of the logarithm at ``log n`` and the logarithm of the penalty: (batch,)."""
        return np.asarray(self._spline.ev(*self._inside(size, penalty)))

    def slopes(self, size: Array, penalty: Array) -> Array:
        """Return its derivatives by both: (2, batch)."""
        n, at = self._inside(size, penalty)
        return np.stack([self._spline.ev(n, at, dx=1) * (n == size), self._spline.ev(n, at, dy=1) * (at == penalty)])

    def error(self, size: Array, penalty: Array) -> Array:
        """Return its standard error; beyond the sizes tried with what it changes by in the next halving or doubling."""
        n, at = self._inside(size, penalty)
        below, above = (np.interp(at, self._penalties, slope) for slope in self._slopes)
        halvings, doublings = np.maximum(n - size, 0.0) / np.log(2.0), np.maximum(size - n, 0.0) / np.log(2.0)
        return np.asarray(np.hypot(np.maximum(self._errors.ev(n, at), 0.0), below * halvings + above * doublings))


def _ends(pool: Pool) -> tuple[float, float]:
    """Return the powers of kappa by which df1 falls and the level rises at the low end of the table.

    Of fewer directions than rows all have been seen at that end, and what is left of the target no more rows would take away.
    """
    if pool.rank < np.inf:
        return 0.0, 0.0
    kappa = np.log(pool.effective_ridge)
    near = kappa <= kappa[0] + np.log(END)
    near[:FEWEST] = True
    slopes = [np.polyfit(kappa[near], _log(values[near]), 1)[0] for values in (pool.df1, pool.level)]
    lowest_level = pool.level[near].min()
    return float(np.clip(-slopes[0], 0.0, 1.0)), float(np.clip(slopes[1], 0.0, 2.0)) if lowest_level > 0.0 else 0.0


def _log(values: Array) -> Array:
    return np.log(np.maximum(values, 1e-300))
