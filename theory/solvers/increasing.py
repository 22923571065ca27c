"""The root of an increasing function of a ridge that may not exist below some point, by Newton's method in a bracket."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

MAX_ITERATIONS = 300
PATIENCE = 40
STEP_TOLERANCE = 1e-9
ROUNDING = 4e-16
SETTLED = 1e-14
LOWEST = 1e-100
"""Ridges are sought down to this share of where the search begins; below it everything has reached its limit."""


class Root(NamedTuple):
    """A root and how it was found.

    Attributes:
        ridge: positive; 0 where the function stays above the level all the way down.
        residual: relative error of the ridge, estimated by one more Newton step.
        iterations: evaluations.
        converged: whether the steps became short inside a bracket with a sign change.
    """

    ridge: float
    residual: float
    iterations: int
    converged: bool


def solve_increasing(
    function: Callable[[float], tuple[float, float] | None], level: float, *, start: float, vanishing: bool
) -> Root:
    """Solve ``function(ridge) = level``.

    Args:
        function: takes a ridge to a value and its derivative by the logarithm of the ridge, or to None where the ridge
            is too small to be admissible.
        level: nonnegative.
        start: positive; where to begin.
        vanishing: whether a function that stays above the level means that the ridge is 0, rather than a failure.
    """
    low, high, ridge = 0.0, np.inf, start
    residual, before, settled = np.inf, np.inf, False
    for iteration in range(1, MAX_ITERATIONS + 1):
        found = function(ridge)
        if settled and found is None:
            # The root is where the function ceases to exist: close in on that from above.
            return _edge(function, ridge, high, iteration)
        value, relative, power_like = -1.0, np.nan, False
        if found is not None:
            value, slope = found
            relative = (value - level) / slope
            power_like = level > 0.0 and value > 0.0 and slope < 3.0 * value
            residual = abs(relative)
        # Newton's method is quadratic, so after a short step the next is rounding; where it is not, at a root that is an edge
        # too, it goes on while that brings anything.
        if residual <= ROUNDING or (settled and (residual <= SETTLED or residual >= 0.9 * before)):
            return Root(ridge, residual, iteration, converged=True)
        before = residual
        low, high = (low, ridge) if value > level else (ridge, high)
        if ridge < LOWEST * start:
            return Root(0.0, 0.0, iteration, converged=vanishing and value > level)
        proposal = ridge * (1.0 - relative)
        if power_like:
            proposal = ridge * np.exp(np.log(level / value) * value / slope)
        settled = bool(abs(proposal - ridge) <= STEP_TOLERANCE * ridge)
        stuck = iteration > PATIENCE and iteration % 2 == 0
        if not settled and (stuck or not low < proposal < high):
            proposal = _between(low, high)
        ridge = float(proposal)
    return Root(ridge, float(residual), MAX_ITERATIONS, converged=False)


def _edge(function: Callable[[float], tuple[float, float] | None], low: float, high: float, iteration: int) -> Root:
    """Return the smallest ridge at which the function exists, to rounding."""
    while high - low > ROUNDING * high:
        iteration += 1
        middle = low + 0.5 * (high - low)
        low, high = (middle, high) if function(middle) is None else (low, middle)
        if iteration > MAX_ITERATIONS:
            return Root(high, (high - low) / high, iteration, converged=False)
    return Root(high, (high - low) / high, iteration, converged=True)


def _between(low: float, high: float) -> float:
    """Return a ridge inside the bracket, many decades away while one end of it is not known."""
    if low == 0.0:
        return high * 1e-4
    return low * 1e4 if high == np.inf else float(np.sqrt(low) * np.sqrt(high))
