"""How far a prediction from a pool may be off: the luck of the pool's rows, and what the method is known to miss."""

import numpy as np
from numpy.typing import NDArray

from theory.pools.pool import Pool

Array = NDArray[np.float64]
NORMAL = 1.6448536269514722
"""Standard deviations either side of the mean that hold 90 % of a Gaussian variable."""
GAP, FLOOR, BEYOND = 0.5, 0.02, 0.1
"""The method's relative error, a standard deviation: a share of the difference between leave-one-out and generalised
cross-validation, a floor, and what each doubling of the rows beyond the pool adds."""


def interval(pool: Pool, risk: Array, other: Array, n: Array, deviation: Array) -> tuple[Array, Array]:
    """Return the ends of the 90 % interval, symmetric in the logarithm.

    Args:
        pool: the prediction's.
        risk: predicted, (batch,).
        other: the same by generalised cross-validation.
        n: samples.
        deviation: of a row's loss, in units of its mean.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.abs(np.log(other / risk))
        beyond = np.log2(np.maximum(n / pool.n_rows, 1.0))
        method = GAP * np.where(np.isfinite(gap), gap, 1.0) + FLOOR + BEYOND * beyond
        error = NORMAL * np.sqrt(deviation**2 / pool.n_rows + method**2)
        low, high = risk * np.exp(-error), risk * np.exp(error)
    lost = ~np.isfinite(risk)
    return np.where(lost, np.inf, low), np.where(lost, np.inf, high)
