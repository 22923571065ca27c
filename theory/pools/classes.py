"""Misclassification on real rows: leave-one-out scores, and what more variance of the score does to them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]
SPREAD = np.concatenate([[0.0], np.geomspace(0.01, 1e3, 15)])
"""Extra variances at which rates are tabulated, in units of the leave-one-out risk."""
DRAWS = 40_000
"""Gaussian vectors over all rows, for more than two classes: a standard error of at most 0.0025."""


def rate_table(residual: Array, shape: Array, codes: Array, labels: NDArray[np.integer[Any]], seed: int) -> Array:
    """Return the rate of misclassification at one ridge by extra variance of the score: (X,).

    A model on fewer rows at the same kappa has the same mean score and more variance over training sets: over the columns in
    proportion to the residuals' second moments, over the rows in proportion to their leverages. Exact for two classes; for
    more, averaged over Gaussian numbers which all entries share.

    Args:
        residual: (N, C), leave-one-out, code less score.
        shape: (N,), leverages over their mean.
        codes: (N, C): +-1 of two classes, one-hot of more.
        labels: (N,).
        seed: of the Gaussian numbers.
    """
    n_rows, n_columns = codes.shape
    scores = codes - residual
    moments = residual.T @ residual / n_rows
    if n_columns == 1:
        margins = codes[:, 0] * scores[:, 0]
        deviations = np.sqrt(SPREAD * moments[0, 0])[:, None] * np.sqrt(shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            wrong = np.where(deviations > 0.0, ndtr(-margins / deviations), margins <= 0.0)
        return np.asarray(wrong.mean(axis=1))
    n_draws = max(1, DRAWS // (2 * n_rows))
    noise = np.random.default_rng(seed).standard_normal((n_draws, n_rows, n_columns))
    values, vectors = np.linalg.eigh(moments)
    spread = noise * np.sqrt(shape)[:, None] @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    return np.array([_wrong(scores, spread, float(extra), labels) for extra in np.sqrt(SPREAD)])


def _wrong(scores: Array, spread: Array, extra: float, labels: NDArray[np.integer[Any]]) -> float:
    if extra == 0.0:
        return float((scores.argmax(axis=1) != labels).mean())
    # Antithetic: each draw and its negative.
    found = [((scores + sign * extra * spread).argmax(axis=2) != labels).mean() for sign in (1.0, -1.0)]
    return float(np.mean(found))
