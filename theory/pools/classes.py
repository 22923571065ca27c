"""Misclassification on real rows: leave-one-out scores, and what more variance of the score does to them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]
SPREAD = np.concatenate([[0.0], np.geomspace(0.01, 1e3, 15)])
"""Extra variances at which rates are tabulated, in units of the leave-one-out risk."""
DRAWS = 20_000
"""Gaussian vectors over all rows, for more than two classes: a standard error of at most 0.0035."""


def rates(
    residual: Array, shape: Array, codes: Array, labels: NDArray[np.integer[Any]], lost: Array, seed: int
) -> tuple[Array, Array]:
    """Return rates of misclassification at one ridge by extra variance of the score: from rows, and from features, (X,) each.

    A model on fewer rows, or features, at the same kappa has the same mean score and more variance: over the rows in
    proportion to their leverages. Over the columns variance from fewer rows is as the residuals of the row's class have it,
    since a score is made of residuals of rows like its own; that from fewer random features is what the target loses to
    them, whatever the row's class. Exact for two classes, where there is one column; for more, averaged over Gaussian
    numbers which all entries share.

    Args:
        residual: (N, C), leave-one-out, code less score.
        shape: (N,), leverages over their mean.
        codes: (N, C): +-1 of two classes in one column, one-hot of more.
        labels: (N,), the column of each row's class.
        lost: (C, C), symmetric: products of what the columns lose to random features.
        seed: of the Gaussian numbers.
    """
    n_rows, n_columns = codes.shape
    scores = codes - residual
    total = np.square(residual).sum() / n_rows
    deviations = np.sqrt(total * shape)
    if n_columns == 1:
        margins = codes[:, 0] * scores[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            steepness = margins / (np.sqrt(SPREAD)[:, None] * deviations)
            found = np.where(np.isfinite(steepness), ndtr(-steepness), margins <= 0.0).mean(axis=1)
        return found, found
    n_draws = max(1, DRAWS // (2 * n_rows))
    numbers = np.random.default_rng(seed).standard_normal((n_draws, n_rows, n_columns))
    from_rows = np.empty_like(numbers)
    for label in range(n_columns):
        members = labels == label
        from_rows[:, members] = numbers[:, members] @ _root(residual[members].T @ residual[members])
    found = np.empty((2, SPREAD.size))
    for place, spread in enumerate((from_rows, numbers @ _root(lost))):
        # Columns first: the largest of a few is fast to find then.
        scattered = np.ascontiguousarray((spread * deviations[:, None]).transpose(2, 0, 1))
        found[place] = [_wrong(scores, scattered, float(extra), labels) for extra in np.sqrt(SPREAD)]
    return found[0], found[1]


def _root(moments: Array) -> Array:
    """Return R with ``R'R`` the moments over their trace, (C, C), without what rounding or noise makes negative."""
    values, vectors = np.linalg.eigh(moments)
    values = np.maximum(values, 0.0)
    return np.asarray((vectors * np.sqrt(values / max(values.sum(), 1e-300))).T)


def misclassified(scores: Array, labels: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Return which rows are misclassified by scores whose last axis is that of the codes' columns, (..., C): (...)."""
    guessed = scores[..., 0] > 0.0 if scores.shape[-1] == 1 else scores.argmax(axis=-1)
    return np.asarray(guessed != labels)


def _wrong(scores: Array, spread: Array, extra: float, labels: NDArray[np.integer[Any]]) -> float:
    """Return the rate among scores, (N, C), to which ``extra`` times each draw of the spread, (C, D, N), is added."""
    if extra == 0.0:
        return float(misclassified(scores, labels).mean())
    rows = np.arange(labels.size)
    own, own_spread = scores[rows, labels], spread[labels, :, rows].T
    found = []
    for sign in (extra, -extra):  # antithetic: each draw and its negative
        highest = (scores.T[:, None] + sign * spread).max(axis=0)
        found.append((highest > own + sign * own_spread).mean())
    return float(np.mean(found))
