"""How far a prediction from a pool may be off: the luck of the pool's rows, and what the method is known to miss."""

import numpy as np
from numpy.typing import NDArray

from theory.pools.pool import Pool

Array = NDArray[np.float64]
NORMAL = 1.6448536269514722
"""Standard deviations either side of the mean that hold 90 % of a Gaussian variable."""
WIDEST = 5.0
"""Standard deviations of the logarithm are not said to be larger than this: nothing is known then."""
GAP, FLOOR, BEYOND, CLASSES, FEATURES = 0.5, 0.02, 0.2, 0.1, 0.1
"""The method's relative error, a standard deviation: a share of the difference between leave-one-out and generalised
cross-validation, a floor, what each doubling of the rows beyond the pool adds, what each e-folding of the square error adds
to the error of a rate of misclassification, and what random features add that are used up: they are unequal, which their
kernel does not show."""


def interval(
    pool: Pool, risk: Array, other: Array, n: Array, luck: Array, left: Array, further: Array | float = 0.0
) -> tuple[Array, Array]:
    """Return the ends of the 90 % interval, symmetric in the logarithm.

    Args:
        pool: the prediction's.
        risk: predicted, (batch,).
        other: the same by generalised cross-validation.
        n: samples.
        luck: relative standard error of the pool's mean loss.
        left: whether the pool's table was left for its powers; within it more rows are no step into the unknown.
        further: relative error of the method that is known elsewhere.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.abs(np.log(other / risk))
        beyond = np.log2(np.maximum(n / pool.n_rows, 1.0))
        beyond = np.where(left, beyond, np.minimum(beyond, 1.0))
        method = GAP * np.where(np.isfinite(gap), gap, 1.0) + FLOOR + BEYOND * beyond + further
        error = NORMAL * np.minimum(np.sqrt(luck**2 + method**2), WIDEST)
        low, high = risk * np.exp(-error), risk * np.exp(error)
    lost = ~np.isfinite(risk)
    return np.where(lost, np.inf, low), np.where(lost, np.inf, high)
