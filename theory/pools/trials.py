"""Ridge regression trained on parts of a pool and tried on the rest of it, at many penalties at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theory.pools.classes import misclassified
from theory.pools.resolvents import solve, tridiagonalise

Array = NDArray[np.float64]
LOWEST, HIGHEST, PER_DECADE = 1e-11, 1e3, 2
"""Penalties that are tried, in units of the trace of ``K / N``."""
SMALLEST = 8
"""Rows that a part has at least."""
MOST_HALVINGS = 7
FEWEST_PARTS, MOST_PARTS, MANY_ROWS = 4, 16, 4000
"""Models of a size: as many as keep their number times the rows below the last, between the first two; of the smallest sizes
parts cost nothing, and there are as many as there are in two partitions of the pool, up to the second."""
COLUMNS, BLOCK = 512, 256
"""Scores that are in memory together: of so many penalties times columns, and rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trials:
    """What models on parts of a pool lose on its other rows.

    Attributes:
        sizes: (T,), of the parts, ascending: the pool's halves, quarters, ...
        penalties: (Q,), ascending.
        losses: T arrays (R, Q), the mean squared error of each part's model on the rows outside, summed over columns.
        wrong: likewise, the rate of misclassification; empty for regression.
        luck: (T, Q), the relative standard error of the mean loss by which rows are in the pool: from how differently single
            rows fare, each averaged over the models that it is outside of.
    """

    sizes: NDArray[np.intp]
    penalties: Array
    losses: list[Array]
    wrong: list[Array]
    luck: Array


class Rows:
    """Rows, of which linear features are trained through the smaller of covariance and kernel."""

    def __init__(self, rows: Array) -> None:
        """Keep the rows, (N, d)."""
        self._rows = rows
        self.trace = float(np.square(rows).sum()) / rows.shape[0]

    def fit(
        self, training: NDArray[np.intp], targets: Array, penalties: Array, *, centred: bool
    ) -> Callable[[slice, NDArray[np.intp]], Array]:
        """Train at all penalties.

        Args:
            training: places of the n training rows.
            targets: (n, C), centred where an intercept is fitted.
            penalties: (Q,).
            centred: whether an intercept is fitted.

        Returns:
            What scores rows at some of the penalties: (m, q * C), without the constant.
        """
        rows = self._rows[training]
        mean = rows.mean(axis=0) if centred else 0.0
        rows = rows - mean
        n, n_features = rows.shape
        dual = n_features > n
        form = tridiagonalise(np.asfortranarray((rows @ rows.T if dual else rows.T @ rows) / n))
        right = np.asfortranarray(form.basis.T @ (targets if dual else rows.T @ targets) / n)

        def scores(which: slice, tested: NDArray[np.intp]) -> Array:
            weights = form.basis @ np.hstack([solve(factor, right) for factor in form.factors(penalties[which])])
            weights = rows.T @ weights if dual else weights
            return np.asarray((self._rows[tested] - mean) @ weights)

        return scores


class Kernel:
    """A kernel between all rows; it is only read."""

    def __init__(self, matrix: Array) -> None:
        """Keep the kernel over N, (N, N), up to constants of rows and columns where an intercept is fitted."""
        self._matrix = matrix
        self.trace = float(np.trace(matrix))

    def fit(
        self, training: NDArray[np.intp], targets: Array, penalties: Array, *, centred: bool
    ) -> Callable[[slice, NDArray[np.intp]], Array]:
        """Train at all penalties; see :meth:`Rows.fit`."""
        n = training.size
        scale = self._matrix.shape[0] / n
        matrix = self._matrix[np.ix_(training, training)]
        matrix = matrix if matrix.flags.f_contiguous else matrix.T
        matrix *= scale
        means = np.zeros(n)
        if centred:
            means = matrix.mean(axis=0)
            matrix -= means
            matrix -= means[:, None]
            matrix += means.mean()
        form = tridiagonalise(matrix)
        right = np.asfortranarray(form.basis.T @ targets)

        def scores(which: slice, tested: NDArray[np.intp]) -> Array:
            dual = form.basis @ np.hstack([solve(factor, right) for factor in form.factors(penalties[which])])
            if centred:  # which they are but for rounding, which small penalties enlarge
                dual -= dual.mean(axis=0)
            found = np.empty((tested.size, dual.shape[1]))
            for start in range(0, tested.size, BLOCK):
                rows = slice(start, start + BLOCK)
                found[rows] = self._matrix[np.ix_(tested[rows], training)] @ dual
            found *= scale
            return found - means @ dual

        return scores


def hold_out(
    source: Rows | Kernel,
    targets: Array,
    *,
    fit_intercept: bool,
    labels: NDArray[np.integer[Any]] | None,
    seed: int,
) -> Trials:
    """Train on halves, quarters, ... of the rows, at many penalties, and try each model on all rows outside its part.

    Args:
        source: of the N rows.
        targets: (N, C), or codes of classes.
        fit_intercept: whether models fit a constant that is not penalised.
        labels: (N,), the column of each row's class.
        seed: of the partitions.
    """
    n_rows = targets.shape[0]
    decades = np.log10(HIGHEST / LOWEST)
    penalties = source.trace * np.geomspace(LOWEST, HIGHEST, round(decades * PER_DECADE) + 1)
    halvings = [power for power in range(MOST_HALVINGS, 0, -1) if n_rows >> power >= SMALLEST]
    rng = np.random.default_rng([seed, 1])
    losses, wrong, luck = [], [], []
    for power in halvings:
        size = n_rows >> power
        n_parts = min(max(FEWEST_PARTS, MANY_ROWS // n_rows, 2 << power), MOST_PARTS)
        parts: list[NDArray[np.intp]] = []
        while len(parts) < n_parts:  # parts of one partition have no row in common
            order = rng.permutation(n_rows)
            parts += [order[start : start + size] for start in range(0, n_rows - size + 1, size)]
        by_row, times = np.zeros((n_rows, penalties.size)), np.zeros(n_rows)
        found = []
        for part in parts[:n_parts]:
            outside = np.ones(n_rows, dtype=bool)
            outside[part] = False
            tested = np.flatnonzero(outside)
            squared, rate = _losses(source, part, tested, targets, penalties, labels, fit_intercept=fit_intercept)
            by_row[tested] += squared
            times[tested] += 1.0
            found.append((squared.mean(axis=0), rate))
        losses.append(np.array([squared for squared, _ in found]))
        if labels is not None:
            wrong.append(np.array([rate for _, rate in found]))
        by_row = by_row[times > 0.0] / times[times > 0.0, None]
        luck.append(by_row.std(axis=0) / by_row.mean(axis=0) / np.sqrt(n_rows))
    sizes = np.array([n_rows >> power for power in halvings], dtype=np.intp)
    return Trials(
        sizes=sizes,
        penalties=penalties,
        losses=losses,
        wrong=wrong,
        luck=np.reshape(luck, (sizes.size, penalties.size)),
    )


def _losses(
    source: Rows | Kernel,
    part: NDArray[np.intp],
    tested: NDArray[np.intp],
    targets: Array,
    penalties: Array,
    labels: NDArray[np.integer[Any]] | None,
    *,
    fit_intercept: bool,
) -> tuple[Array, Array]:
    """Return the squared errors of the rows tested, (m, Q), and the rate of misclassification, (Q,)."""
    level = targets[part].mean(axis=0) if fit_intercept else np.zeros(targets.shape[1])
    scores = source.fit(part, targets[part] - level, penalties, centred=fit_intercept)
    squared, rates = np.empty((tested.size, penalties.size)), np.empty(penalties.size)
    together = max(1, COLUMNS // targets.shape[1])
    for start in range(0, penalties.size, together):
        which = slice(start, min(start + together, penalties.size))
        found = level + scores(which, tested).reshape(tested.size, -1, targets.shape[1])
        squared[:, which] = np.square(targets[tested, None] - found).sum(axis=2)
        if labels is not None:
            rates[which] = misclassified(found, labels[tested, None]).mean(axis=0)
    return squared, rates
