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


def rates(residual: Array, shape: Array, codes: Array, labels: NDArray[np.integer[Any]], seed: int) -> Array:
    """Return the rate of misclassification at one ridge by extra variance of the score: (X,).

    A model on fewer rows at the same kappa has the same mean score and more variance over training sets: over the rows in
    proportion to their leverages; over the columns as the residuals of the row's class have it, since a score is made of
    residuals of rows like its own. Exact for two classes; for more, averaged over Gaussian numbers which all entries share.

    Args:
        residual: (N, C), leave-one-out, code less score.
        shape: (N,), leverages over their mean.
        codes: (N, C): +-1 of two classes in one column, one-hot of more.
        labels: (N,), the column of each row's class.
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
            return np.asarray(np.where(np.isfinite(steepness), ndtr(-steepness), margins <= 0.0).mean(axis=1))
    n_draws = max(1, DRAWS // (2 * n_rows))
    spread = np.random.default_rng(seed).standard_normal((n_draws, n_rows, n_columns))
    for label in range(n_columns):
        members = labels == label
        moments = residual[members].T @ residual[members]
        values, vectors = np.linalg.eigh(moments / max(np.trace(moments), 1e-300))
        spread[:, members] = spread[:, members] @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    spread *= deviations[:, None]
    return np.array([_wrong(scores, spread, float(extra), labels) for extra in np.sqrt(SPREAD)])


def _wrong(scores: Array, spread: Array, extra: float, labels: NDArray[np.integer[Any]]) -> float:
    if extra == 0.0:
        return float((scores.argmax(axis=1) != labels).mean())
    # Antithetic: each draw and its negative.
    rows = np.arange(labels.size)
    found = []
    for sign in (1.0, -1.0):
        drawn = scores + sign * extra * spread
        found.append((drawn.max(axis=2) > drawn[:, rows, labels]).mean())
    return float(np.mean(found))
