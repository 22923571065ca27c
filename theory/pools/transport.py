"""From a pool to the errors of ridge regression at other sizes, penalties and widths, by transport along kappa."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theory.pools.intervals import CLASSES, FEATURES, interval
from theory.pools.pool import Corrections, Pool

Array = NDArray[np.float64]
FAR = 80.0
"""How far beyond the table roots are sought, in units of log kappa; further, nothing changes in double precision."""
BITS, CLASSICAL_BITS, FEW = 56, 28, 64
FLAT = 1e-3
"""Where df1 rises by a smaller power of kappa than this, the pool shows all directions there are."""
SMALLEST_FREE = 1e-6
"""Errors above a million times the level are called divergent."""
TINY = 1e-300
LOWEST, LOWEST_OF_FEATURES = 1e-25, 1e-13
"""A penalty of 0 is a limit, taken at this share of the largest eigenvalue; at the second where the number of random features
is finite, since the root then nears the place where they run out, and must be told from it in double precision."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolPrediction:
    """What ridge regression attains on rows like the pool's; floats for one problem, arrays of shape ``(batch,)`` for a batch.

    Attributes:
        test_error: mean squared error against a fresh label, summed over the target's columns; for classes the rate of
            misclassification.
        low, high: the 90 % interval of what ``test_error`` means: an average over training sets and fresh rows of the
            population from which the pool is a sample.
        train_error: on the training set, without the penalty; for classes not estimated (not a number): see ``train_loss``.
        test_loss, train_loss: for classes, half the squared error of the codes, summed over columns; else not a number.
        squared_error: of fresh rows, summed over columns, whatever the task.
        squared_low, squared_high: its 90 % interval.
        variance: of the squared error: what the randomness of rows, noise and features adds.
        df1, df2: trace of the hat matrix and ``df1 + kappa d df1 / d kappa`` at the rows' level, the constant included.
        effective_ridge: kappa, in units of the eigenvalues of ``K / N``.
        phase: "underparameterized", "threshold" or "overparameterized".
        status: "converged" or "divergent" (errors are infinite).
        residual, iterations: of the root: the relative error of the number of rows.
        reliability: leave-one-out over generalised cross-validation at this kappa, less 1.
        extrapolated: whether n is beyond the pool, or kappa below what the pool identifies.
        correction: the factor by which ``squared_error`` was corrected for what transport misses on parts of the rows.
        correction_error: relative standard error of such models' mean loss: by which parts, and by which rows.
    """

    test_error: Any
    low: Any
    high: Any
    train_error: Any
    test_loss: Any
    train_loss: Any
    squared_error: Any
    squared_low: Any
    squared_high: Any
    variance: Any
    df1: Any
    df2: Any
    effective_ridge: Any
    phase: Any
    status: Any
    residual: Any
    iterations: Any
    reliability: Any
    extrapolated: Any
    correction: Any
    correction_error: Any


@dataclass(frozen=True, slots=True)
class State:
    """Where on the table a problem lies, all (batch,): at ``log l``, its level ``scale`` times that of the table's end.

    ``place`` is ``log l`` too, and log kappa counted from the table's ends beyond.
    """

    place: Array
    at: Array
    effective_ridge: Array
    df1: Array
    df2: Array
    scale: Array


def predict_pool(pool: Pool, n_samples: Any, penalty: Any, *, width: Any = np.inf) -> PoolPrediction:
    """Predict the errors of ``argmin (1/n) ||y - f||^2 + penalty ||theta||^2`` trained on n rows like the pool's.

    Args:
        pool: of the kernel, or of the kernel of infinitely many random features.
        n_samples: n > 1 (n > 0 without an intercept); scalar or ``(batch,)``.
        penalty: nonnegative, as above, in units of the pool's kernel; 0 is the limit. Scalar or ``(batch,)``.
        width: number of random features over the kernel; infinite by default. Scalar or ``(batch,)``.

    Returns:
        Errors with intervals, and a status for each problem.

    Raises:
        ValueError: a size is not positive, or a penalty is negative or not finite.

    Source: docs/theory.md, "Real rows".
    """
    shape = np.broadcast_shapes(np.shape(n_samples), np.shape(penalty), np.shape(width))
    n, penalty, width = (
        np.broadcast_to(np.asarray(value, dtype=np.float64), shape).reshape(-1) for value in (n_samples, penalty, width)
    )
    if not ((n > pool.n_unpenalised) & np.isfinite(n)).all():
        raise ValueError(f"n_samples must be finite and exceed {pool.n_unpenalised}, got {n.min():g}")
    if not ((penalty >= 0.0) & np.isfinite(penalty)).all():
        raise ValueError(f"penalty must be finite and not negative, got {penalty.min():g}")
    if not (width > 0.0).all():
        raise ValueError(f"width must exceed 0, got {width.min():g}")
    found = _predict(pool, n, penalty, width)
    if shape == ():
        return PoolPrediction(**{name: value[0].item() for name, value in found.items()})
    return PoolPrediction(**found)


def _state(pool: Pool, place: Array) -> State:
    """Read the table at ``place``, log l within it, and log kappa counted from its ends beyond."""
    curves = pool.curves
    at = np.clip(place, curves.logarithms[0], curves.logarithms[-1])
    beyond = place - at
    kappa, df1, df2, *_ = curves.positive(at)
    below, above = np.minimum(beyond, 0.0), np.maximum(beyond, 0.0)
    fall_of_df1, rise_of_level = pool.curves.ends
    return State(
        place=place,
        at=at,
        effective_ridge=kappa * np.exp(beyond),
        df1=df1 * np.exp(-fall_of_df1 * below - above),
        df2=np.where(below < 0.0, (1.0 - fall_of_df1) * df1 * np.exp(-fall_of_df1 * below), df2 * np.exp(-2.0 * above)),
        scale=np.exp(rise_of_level * below),
    )


def _excess_rows(pool: Pool, place: Array, n_free: Array, ridge: Array, width: Array) -> tuple[Array, Array, State]:
    """Return how many more rows than needed there are at this place, increasing in it, with log rho and the state."""
    state = _state(pool, place)
    spare = np.maximum(1.0 - state.df1 / width, 1e-300)
    load = np.log(state.effective_ridge) + np.log(state.df1) + np.log(spare) - np.log(ridge)
    return n_free * pool.curves.used(state.at, load) - state.df1, load, state


def smallest_penalty(pool: Pool, width: Array) -> Array:
    """Return the penalty at which the limit of smaller ones is read."""
    return np.asarray(np.where(np.isfinite(width), LOWEST_OF_FEATURES, LOWEST) * pool.eigenvalues[0])


def solve(pool: Pool, n: Array, penalty: Array, width: Array) -> tuple[Array, State, Array]:
    """Solve ``df1 = n' mean(rho s / (1 + rho s))`` with ``rho = kappa df1 (1 - df1/k) / (n penalty)`` for kappa.

    Returns:
        log rho, the state, and the residual in units of n'.
    """
    curves = pool.curves
    n_free = n - pool.n_unpenalised
    ridge = n * np.maximum(penalty, smallest_penalty(pool, width))
    first, last = curves.logarithms[0] - FAR, curves.logarithms[-1] + FAR
    place = _first(lambda at, *rest: _excess_rows(pool, at, *rest)[0] > 0.0, first, last, BITS, n_free, ridge, width)
    excess, load, state = _excess_rows(pool, place, n_free, ridge, width)
    return load, state, np.abs(excess) / n_free


def _first(holds: Callable[..., Any], low: float, high: float, bits: int, *problems: Array) -> Array:
    """Return where a condition that stays true once it is begins to hold, for every problem; ``high`` where it never does.

    By bisection; few problems are cut into sixteen at once, since calls cost more than numbers then.

    Args:
        holds: of places and the problems' arrays, elementwise.
        low: where the search begins.
        high: where it ends.
        bits: bisections.
        problems: arrays of shape (batch,).
    """
    batch = problems[0].size
    power = 4 if batch <= FEW else 1
    cuts = np.arange(1, 2**power)[:, None] / 2**power
    lows, width = np.full(batch, low), high - low
    for _ in range(bits // power):
        places = lows + cuts * width
        repeated = (np.broadcast_to(problem, places.shape).ravel() for problem in problems)
        passed = holds(places.ravel(), *repeated).reshape(places.shape)
        width /= 2**power
        lows = lows + width * (cuts.size - passed.sum(axis=0))
    return lows + width


def _predict(pool: Pool, n: Array, penalty: Array, width: Array) -> dict[str, Array]:
    curves, n_pool, constant = pool.curves, pool.n_rows, pool.n_unpenalised
    load, state, residual = solve(pool, n, penalty, width)
    df1, df2 = state.df1, state.df2
    _, _, _, loo, gcv, deviation, effective_rows = curves.positive(state.at)
    estimation, cross = curves.signed(state.at)
    weighted, second, first, plain, none = curves.moments(state.at, load)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        finite = np.isfinite(width)
        room = np.where(finite, width - df2, 1.0)
        narrowed = np.where(finite, (df1 - df2) / room, 0.0)
        seen = np.where(finite, (df2 * (width - 2.0 * df1) + df1**2) / room, df2)
        level = loo * (1.0 - constant / n_pool) - estimation
        lost = np.maximum(cross - level, 0.0) * narrowed
        share = curves.used(state.at, load) / np.exp(load)
        gain = seen / (n * share**2)
        # Squared residuals grow by ``change`` times a row's s, and where a constant is fitted all by ``grown``, which is
        # R(n)/n - R(N)/N; ``change`` is linear in itself.
        mean_of_one = constant / np.maximum(n - constant, 1e-300)
        shift = loo * (1.0 - 1.0 / n_pool) * mean_of_one - loo * constant / n_pool
        free = 1.0 - gain * (second + first * mean_of_one)
        change = (gain * (weighted + first * shift) - estimation + lost) / free
        risk = state.scale * np.maximum(loo + change + shift + change * mean_of_one, level)
        grown = shift + change * mean_of_one
        kept = (1.0 - constant / n) ** 2
        train = state.scale * kept * (plain + change * first + grown * none)
    phase = _phase(pool, n - constant, width)
    divergent = ~(free > SMALLEST_FREE) | ~np.isfinite(risk) | ((penalty == 0.0) & (phase == "threshold"))
    left = (state.at <= curves.logarithms[0]) & (curves.ends[0] > FLAT)
    extrapolated = (n > n_pool) | left
    spread = (risk / state.scale) / loo - 1.0
    # At this kappa infinitely many features have the penalty ``equal``: what transport misses there it is taken to miss here.
    size, equal = np.log(n), np.log(state.effective_ridge) + np.log(df1) - np.log(n) - load
    missed = np.exp(curves.corrections(size, equal))
    # Of few features it is not known whether their own penalty is not where to read it: the difference is an error.
    own = np.where(np.isfinite(width), np.log(np.maximum(penalty, smallest_penalty(pool, width))), equal)
    missed_error, rows_luck = _correction_error(curves.corrections, size, equal, own), curves.trial_luck(size, equal)
    risk = np.where(divergent, np.inf, risk)
    train = np.where(divergent, np.inf, np.maximum(train, 0.0))
    classical = _classical(pool, n, penalty, width, risk)
    luck = deviation / loo / np.sqrt(effective_rows)
    unequal = FEATURES * df1 / width
    risk, classical = risk * missed, classical * missed
    low, high = interval(pool, risk, classical, n, np.hypot(np.maximum(luck, rows_luck), missed_error), left, unequal)
    absent = np.full_like(n, np.nan)
    rate, rate_low, rate_high = absent, absent, absent
    if pool.n_classes:
        ratio = np.divide(classical, risk, out=np.ones_like(n), where=~divergent)
        found = _rates(pool, state, n, spread, lost / loo, ratio, (size, equal, own), left, unequal)
        rate, rate_low, rate_high = (np.where(divergent, np.inf, value) for value in found)
    classes = bool(pool.n_classes)
    return {
        "test_error": rate if classes else risk,
        "low": rate_low if classes else low,
        "high": rate_high if classes else high,
        "train_error": absent if classes else train,
        "test_loss": 0.5 * risk if classes else absent,
        "train_loss": 0.5 * train if classes else absent,
        "squared_error": risk,
        "squared_low": low,
        "squared_high": high,
        "variance": np.where(divergent, np.inf, np.maximum(risk - state.scale * level, 0.0)),
        "df1": df1 + constant,
        "df2": seen + constant,
        "effective_ridge": state.effective_ridge,
        "phase": phase,
        "status": np.where(divergent, "divergent", "converged"),
        "residual": residual,
        "iterations": np.full(n.shape, BITS),
        "reliability": loo / gcv - 1.0,
        "extrapolated": extrapolated,
        "correction": missed,
        "correction_error": np.hypot(missed_error, rows_luck),
    }


def _correction_error(corrections: Corrections, size: Array, equal: Array, own: Array) -> Array:
    return np.asarray(np.hypot(corrections.error(size, equal), corrections(size, own) - corrections(size, equal)))


def _rates(
    pool: Pool,
    state: State,
    n: Array,
    spread: Array,
    from_features: Array,
    ratio: Array,
    place: tuple[Array, Array, Array],
    left: Array,
    unequal: Array,
) -> tuple[Array, Array, Array]:
    """Return the rate of misclassification and the ends of its interval.

    Args:
        pool: of classes.
        state: on its table.
        n: samples.
        spread: extra variance of the score in units of loo.
        from_features: what of it comes from the finite number of random features.
        ratio: the classical square error over the one transported.
        place: of the corrections: ``log n``, and the logarithms of the penalty of infinitely many features and of the own one.
        left: whether the table was left.
        unequal: relative error by random features that are unequal.
    """
    curves = pool.curves
    spread = np.clip(np.nan_to_num(spread, nan=0.0, posinf=1e6), -0.99, 1e6)
    share = np.clip(from_features / np.maximum(spread, np.maximum(from_features, TINY)), 0.0, 1.0)
    rate = curves.rates(state.at, spread, share) * state.scale ** curves.power(state.at)
    rate = np.minimum(rate * np.exp(curves.rate_corrections(*place[:2])), 1.0)
    effective_rows = curves.positive(state.at)[-1]
    luck = np.sqrt((1.0 - rate) / np.maximum(rate, 1.0 / pool.n_rows) / effective_rows)
    luck = np.hypot(luck, _correction_error(curves.rate_corrections, *place))
    low, high = interval(pool, rate, rate * ratio, n, luck, left, unequal + CLASSES * np.abs(np.log1p(spread)))
    # None wrong of N still leaves 3/N, at 95 %.
    return rate, low, np.clip(high, 3.0 / pool.n_rows, 1.0)


def _classical(pool: Pool, n: Array, penalty: Array, width: Array, risk: Array) -> Array:
    """Return the risk by generalised cross-validation, transported as if leverages were alike; ``risk`` where it diverges."""
    curves, n_pool, constant = pool.curves, pool.n_rows, pool.n_unpenalised

    def enough(at: Array, n: Array, ridge: Array, width: Array) -> Array:
        df1 = curves.positive(at)[1]
        free = (n - constant - df1) * np.maximum(1.0 - df1 / width, 0.0)
        return np.asarray((free > 0.0) & (curves.classical(at)[0] * free >= ridge))

    low, high = curves.logarithms[[0, -1]]
    place = _first(enough, float(low), float(high), CLASSICAL_BITS, n, n * penalty, width)
    _, df1, _, loo, gcv, *_ = curves.positive(place)
    _, df2 = curves.classical(place)
    estimation, cross = curves.signed(place)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        room = np.where(np.isfinite(width), width - df2, 1.0)
        narrowed = np.where(np.isfinite(width), (df1 - df2) / room, 0.0)
        seen = np.where(np.isfinite(width), (df2 * (width - 2.0 * df1) + df1**2) / room, df2)
        level = gcv * (1.0 - (df2 + constant) / n_pool)
        hidden = np.maximum(cross - loo * (1.0 - constant / n_pool) + estimation, 0.0)
        found = (level + hidden * narrowed) / (1.0 - (seen + constant) / n)
    return np.asarray(np.where(np.isfinite(found) & (found > 0.0), found, risk))


def _phase(pool: Pool, n_free: Array, width: Array) -> Array:
    """Compare the rows with the directions that can be fitted: features, or a kernel's rank where it is below the pool's."""
    directions = np.minimum(pool.rank, width)
    return np.where(
        n_free > directions, "underparameterized", np.where(n_free < directions, "overparameterized", "threshold")
    )
