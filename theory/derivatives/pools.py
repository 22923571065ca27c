"""Errors of ridge regression on real rows with derivatives by size, penalty and width, read off a pool where it was solved."""

from typing import Any

import numpy as np

from theory.derivatives.dual import Dual, Space, chained, eliminated_together, exp, log, value_of
from theory.pools.pool import Corrections, Curves, Pool
from theory.pools.transport import smallest_penalty, solve

ACCURATE = 1e-6
"""Relative error of the number of rows beyond which the root has no digits to differentiate at."""
LARGEST_SPREAD, SMALLEST_SPREAD = 1e6, -0.99


def ridge(pool: Pool, *, n_samples: Dual, penalty: Dual, width: Any, space: Space) -> Dual:
    """Return the test error of ridge regression; see :func:`theory.pools.transport.predict_pool`.

    Its unknowns are the place on the table and log rho, both of one equation each: kept apart, neither loses digits where
    the number of random features is nearly used up.

    Args:
        pool: of the kernel.
        n_samples: n, more than an unpenalised constant takes.
        penalty: nonnegative; at 0, a limit which is read at a tiny one, there is no derivative by it.
        width: of random features, or infinite.
        space: the directions, two unknowns among them.

    Returns:
        The mean squared error, or of classes the rate of misclassification. Derivatives are not numbers where there are none.
    """
    curves, constant = pool.curves, float(pool.n_unpenalised)
    sizes = [np.array([float(value_of(number))]) for number in (n_samples, penalty, width)]
    load_found, found_at, residual = solve(pool, *sizes)
    if not residual[0] <= ACCURATE:
        raise ArithmeticError("the root is not accurate enough to be differentiated at")
    place = space.along(float(found_at.place[0]), space.n_parameters)
    load = space.along(float(load_found[0]), space.n_parameters + 1)
    lowest = float(smallest_penalty(pool, sizes[2])[0])
    ridges = n_samples * (penalty if penalty.value > lowest else lowest)

    state = _State(curves, place, load)
    # Exact where features run out: the share that is left is small there, and known from its own equation.
    spare = 1.0 - state.df1 / width
    needed = state.used * (n_samples - constant) - state.df1
    balance = spare - exp(log(ridges) + load - log(state.effective_ridge) - log(state.df1))
    squared, lost = _squared_error(pool, state, n_samples, load, width)
    size, equal = log(n_samples), log(state.effective_ridge) + log(state.df1) - log(n_samples) - load
    if pool.n_classes:
        rate = _rate(curves, state, squared, lost) * exp(_corrected(curves.rate_corrections, size, equal))
        error = clipped(rate, -np.inf, 1.0)
    else:
        error = squared * exp(_corrected(curves.corrections, size, equal))
    found = eliminated_together(error, [needed, balance], [space.n_parameters, space.n_parameters + 1])
    if penalty.value <= lowest:
        found.tangent[penalty.tangent != 0.0] = np.nan
    return found


class _State:
    """Tables where a problem lies, as :class:`theory.pools.transport.State`, with derivatives by its place and log rho."""

    def __init__(self, curves: Curves, place: Dual, load: Dual) -> None:
        first, last = float(curves.logarithms[0]), float(curves.logarithms[-1])
        self.at = clipped(place, first, last)
        beyond = place - self.at
        below, above = clipped(beyond, -np.inf, 0.0), clipped(beyond, 0.0, np.inf)
        where = np.array([self.at.value])
        values, slopes = curves.positive(where)[:, 0].tolist(), curves.positive_slopes(where)[:, 0].tolist()
        kappa, df1, df2, self.loo = (
            chained(self.at, value, value * slope) for value, slope in zip(values[:4], slopes[:4], strict=True)
        )
        fall_of_df1, rise_of_level = curves.ends
        self.effective_ridge = kappa * exp(beyond)
        falling = exp(below * -fall_of_df1)
        self.df1 = df1 * falling * exp(-above)
        self.df2 = df1 * falling * (1.0 - fall_of_df1) if beyond.value < 0.0 else df2 * exp(above * -2.0)
        self.scale = exp(below * rise_of_level)
        values, slopes = curves.signed(where)[:, 0].tolist(), curves.signed_slopes(where)[:, 0].tolist()
        self.estimation, self.cross = (
            chained(self.at, value, slope) for value, slope in zip(values, slopes, strict=True)
        )
        loads = np.array([load.value])
        means = [float(curves.used(where, loads)[0]), *curves.moments(where, loads)[:, 0].tolist()]
        by_ridge, by_load = curves.load_slopes(where, loads)[..., 0].tolist()
        self.used, self.weighted, self.second, self.first, *_ = (
            Dual(mean, mean * (one * self.at.tangent + other * load.tangent))
            for mean, one, other in zip(means, by_ridge, by_load, strict=True)
        )


def _corrected(corrections: Corrections, size: Dual, penalty: Dual) -> Dual:
    places = np.array([size.value]), np.array([penalty.value])
    by_size, by_penalty = corrections.slopes(*places)[:, 0].tolist()
    return Dual(float(corrections(*places)[0]), by_size * size.tangent + by_penalty * penalty.tangent)


def _squared_error(pool: Pool, state: _State, n_samples: Dual, load: Dual, width: Any) -> tuple[Dual, Dual]:
    """Return the mean squared error as :mod:`theory.pools.transport` has it, uncorrected, and what features lose at the end."""
    n_pool, constant = pool.n_rows, float(pool.n_unpenalised)
    df1, df2, loo = state.df1, state.df2, state.loo
    level = loo * (1.0 - constant / n_pool) - state.estimation
    seen, lost = df2, 0.0 * df2
    if np.isfinite(value_of(width)):
        room = width - df2
        seen = (df2 * (width - 2.0 * df1) + df1 * df1) / room
        lost = clipped(state.cross - level, 0.0, np.inf) * ((df1 - df2) / room)
    share = state.used * exp(-load)
    gain = seen / (n_samples * share * share)
    mean_of_one = constant / (n_samples - constant)
    shift = loo * (1.0 - 1.0 / n_pool) * mean_of_one - loo * (constant / n_pool)
    free = 1.0 - gain * (state.second + state.first * mean_of_one)
    change = (gain * (state.weighted + state.first * shift) - state.estimation + lost) / free
    risk = loo + change + shift + change * mean_of_one
    whole = state.scale * (level + clipped(risk - level, 0.0, np.inf)).with_value(max(risk.value, level.value))
    return whole, lost


def _rate(curves: Curves, state: _State, squared: Dual, lost: Dual) -> Dual:
    """Return the rate of misclassification, as :meth:`theory.pools.pool.Curves.rates` reads it."""
    spread = clipped(squared / state.scale / state.loo - 1.0, SMALLEST_SPREAD, LARGEST_SPREAD)
    at = clipped(state.at, *curves.rate_range)
    added = clipped(log(1.0 + clipped(spread, 0.0, np.inf)), -np.inf, float(curves.spreads[-1]))
    from_rows, from_features = _tabulated(curves, at, added)
    share = 0.0 * lost
    if lost.value > 0.0:
        extra = spread * state.loo
        share = lost / extra if extra.value > lost.value else share + 1.0
    rate = clipped(from_rows + share * (from_features - from_rows), 0.0, 1.0)
    power = _power(curves, at)
    if spread.value < 0.0:
        rate = rate * exp(power * log(1.0 + spread))
    return rate * exp(power * log(state.scale))


def _tabulated(curves: Curves, at: Dual, added: Dual) -> tuple[Dual, Dual]:
    """Return the rates after extra variance from rows and from features."""
    tables = curves.table_of_rates(np.array([at.value]), np.array([added.value]))[..., 0].tolist()
    first, second = (
        Dual(value, by_ridge * at.tangent + by_spread * added.tangent) for value, by_ridge, by_spread in tables
    )
    return first, second


def _power(curves: Curves, at: Dual) -> Dual:
    """Return d log rate / d log of the square error at no extra variance, between 0 and 1."""
    step = float(curves.spreads[2])
    none = 0.0 * at
    here, there = _tabulated(curves, at, none)[0], _tabulated(curves, at, none + step)[0]
    if here.value == 0.0 or not there.value / here.value > 0.0:
        # Nothing is wrong at no extra variance, or the spline undershoots: one of the ends.
        return none + float(curves.power(np.array([at.value]))[0])
    return clipped(log(there / here) / step, 0.0, 1.0)


def clipped(number: Dual, low: float, high: float) -> Dual:
    """Return the nearest number between two ends; at an end itself there is a kink, unless the number is constant there."""
    value = min(max(number.value, low), high)
    if low < number.value < high:
        return number
    slope = 0.0 if number.value != value else np.nan
    return Dual(value, np.where(number.tangent != 0.0, slope, 0.0))
