"""What a pool keeps of its rows at one ridge: means of squared residuals and leverages, never the rows themselves."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from theory.pools.classes import SPREAD, rates

Array = NDArray[np.float64]
LOADS = np.geomspace(1e-7, 1e9, 106)
EVERY = 3
"""Misclassification rates are tabulated at every third ridge."""


class RowTable:
    """Fills in, one ridge after another, the tables that are means over rows; the attributes are those of a pool."""

    def __init__(
        self,
        n_ridges: int,
        codes: Array,
        *,
        kept: float,
        labels: NDArray[np.integer[Any]] | None,
        n_groups: int,
        seed: int,
    ) -> None:
        """Make room.

        Args:
            n_ridges: L.
            codes: (N, C), targets before centring.
            kept: 1 - 1/N with an intercept, else 1.
            labels: (N,) or None.
            n_groups: of rows.
            seed: of the groups and of Gaussian numbers.
        """
        self._codes, self._kept, self._labels, self._seed = codes, kept, labels, seed
        n_rows = codes.shape[0]
        order = np.random.default_rng(seed).permutation(n_rows)
        self._groups = np.array_split(order, min(n_groups, n_rows))
        self.train, self.loo, self.loo_deviation, self.cross, self.estimation = np.empty((5, n_ridges))
        self.group_losses = np.empty((len(self._groups), n_ridges))
        self.used = np.empty((n_ridges, LOADS.size))
        self.moments = np.empty((5, n_ridges, LOADS.size))
        self.rates, self.feature_rates = np.empty((2, 0, SPREAD.size))
        self.rated = np.empty(0, dtype=np.intp)
        if labels is not None:
            self.rated = np.arange(0, n_ridges, EVERY)
            self.rates, self.feature_rates = np.empty((2, self.rated.size, SPREAD.size))

    def fill(self, index: int, residual: Array, free: Array, target: Array, df2: float) -> None:
        """Add a ridge.

        Args:
            index: of the ridge.
            residual: (N, C), of the training set.
            free: (N,), 1 - h.
            target: (N, C), centred where an intercept is fitted.
            df2: at this ridge.
        """
        n_rows = target.shape[0]
        left_out = residual / free[:, None]
        squared = np.square(left_out).sum(axis=1)
        leverage = self._kept / free - 1.0
        mean = leverage.mean()
        shape = leverage / mean
        self.train[index] = np.square(residual).sum(axis=1).mean()
        self.loo[index], self.loo_deviation[index] = squared.mean(), squared.std()
        self.cross[index] = np.vdot(target, left_out) / n_rows
        self.group_losses[:, index] = [squared[group].mean() for group in self._groups]
        shares = 1.0 / (1.0 + leverage)
        self.estimation[index] = (shape * squared * shares**2).mean() / (shape * shares).mean() ** 2
        falling = 1.0 / (1.0 + LOADS[:, None] * shape)
        self.used[index] = LOADS * (falling * shape).mean(axis=1)
        weights = np.stack([shape * squared, shape**2, shape, squared, np.ones_like(shape)])
        self.moments[:, index] = weights @ np.square(falling).T / n_rows
        place = np.flatnonzero(self.rated == index)
        if self._labels is not None and place.size:
            # As the transport has it, for each pair of columns: what is learned of them with all features, less the level.
            weighted = left_out * ((shape * shares**2)[:, None] / (shape * shares).mean() ** 2)
            level = (self._kept * left_out - df2 / n_rows * weighted).T @ left_out
            learned = target.T @ left_out
            lost = 0.5 * (learned + learned.T) - level
            self.rates[place[0]], self.feature_rates[place[0]] = rates(
                left_out, shape, self._codes, self._labels, lost, self._seed
            )
