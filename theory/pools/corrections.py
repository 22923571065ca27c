"""By how much transport from a pool misses what models on parts of it do: tables by size and penalty, with their errors."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theory.pools.pool import Pool
from theory.pools.transport import predict_pool
from theory.pools.trials import Trials

Array = NDArray[np.float64]
NEAR_THRESHOLD = 0.25
"""Where a smaller share of the samples is free the limit begins to diverge, and finite models stay below it for that reason."""


def corrected(pool: Pool, trials: Trials, *, below: Array, losses_below: Array, wrong_below: Array) -> Pool:
    """Add to a pool without corrections what trials on its rows show.

    The ratio r of what was tried and what is transported has a standard error s over the parts. So much of its distance from 1
    is kept as is likely to be real, ``(r - 1) (1 - s^2 / (r - 1)^2)``, or nothing where it is smaller than its error: the
    shrinkage of James and Stein. At the pool's own size leave-one-out is exact: there is no correction but below the first
    ridge of the pool's table.

    Args:
        pool: transported from.
        trials: on its rows.
        below: ridges below the first of the pool's table.
        losses_below: leave-one-out there.
        wrong_below: for classes, the rate of misclassification of leave-one-out there.
    """
    sizes = np.append(trials.sizes, pool.n_rows).astype(np.float64)
    if not trials.sizes.size:  # too few rows for parts
        sizes = np.array([0.5 * pool.n_rows, pool.n_rows])
    penalties = trials.penalties
    shape = (sizes.size, penalties.size)
    with np.errstate(all="ignore"):
        found = predict_pool(pool, sizes[:, None], penalties)
        df2, squared, rate = (
            np.reshape(values, shape) for values in (found.df2, found.squared_error, found.test_error)
        )
        free = 1.0 - df2 / sizes[:, None]
        squares = _tables(trials.losses, squared, free, penalties, below, losses_below, 0.0)
        rates: Any = np.empty((2, 0, 0))
        if pool.n_classes:
            rates = _tables(trials.wrong, rate, free, penalties, below, wrong_below, 0.5 / pool.n_rows)
    luck = np.zeros(shape)
    luck[: len(trials.luck)] = np.nan_to_num(trials.luck)
    return replace(
        pool,
        trial_sizes=sizes,
        trial_penalties=penalties,
        corrections=squares[0],
        correction_errors=squares[1],
        rate_corrections=rates[0],
        rate_correction_errors=rates[1],
        trial_luck=luck,
    )


def _tables(
    tried: list[Array], transported: Array, free: Array, penalties: Array, below: Array, at_pool: Array, least: float
) -> tuple[Array, Array]:
    """Return corrections and their errors: (T + 1, Q) each."""
    corrections, errors = np.zeros((2, *transported.shape))
    for place, losses in enumerate(tried):
        mean = np.maximum(losses.mean(axis=0), least)
        error = losses.std(axis=0, ddof=1) / np.sqrt(losses.shape[0]) / mean
        ratio = mean / np.maximum(transported[place], max(least, 1e-300))
        real = np.maximum(1.0 - (error * ratio / (ratio - 1.0)) ** 2, 0.0)
        # The mean over finite samples lies below a limit that diverges: no matter of these rows, and not of other sizes.
        real = np.where(ratio < 1.0, real * np.minimum((free[place] / NEAR_THRESHOLD) ** 2, 1.0), real)
        shift = np.log1p(real * (ratio - 1.0))
        fine = np.isfinite(shift) & np.isfinite(error)
        corrections[place] = np.where(fine, shift, 0.0)
        errors[place] = np.where(fine, error, 0.0)
    if below.size:
        known = np.exp(np.interp(np.log(penalties), np.log(below), np.log(np.maximum(at_pool, max(least, 1e-300)))))
        shift = np.log(known / np.maximum(transported[-1], least))
        corrections[-1] = np.where((penalties <= below[-1]) & np.isfinite(shift), shift, 0.0)
    return corrections, errors
