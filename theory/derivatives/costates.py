"""Derivatives of the end of a trajectory, carried backwards along it: by its start and by all parameters of its equations.

Where ``dy/dt = f(y, p)`` the costate, the derivative of what is asked for at the end by the state at t, follows
``dc/dt = -(df/dy)' c`` from the end to the start, and every parameter collects ``c . df/dp`` on the way. One system of the
state's size serves all parameters; it is integrated as the state was, by LSODA along the recorded path. ``c . f``, the
derivative by the time, is the same all along, which is what certifies the result.

Source: Pontryagin et al., *The Mathematical Theory of Optimal Processes* (1962).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy.integrate import LSODA

from theory.learners.trajectories import MOST_EVALUATIONS, RELATIVE, Trajectory

Vector = npt.NDArray[np.float64]
Pull = Callable[[Vector], Vector]
"""From a costate c to ``(df/dy)' c`` and ``c . df/dp``, one after the other; shape ``(n + parameters,)``."""
ABSOLUTE = 1e-12
"""Tolerance of a step, in units of what is asked for."""
AGREEMENT = 1e-4
"""Difference of ``c . f`` between start and end, times the time and in units of what is asked for, beyond which digits are
missing."""


class Equations(Protocol):
    """What is followed, ``dy/dt = f(y, p)``, and what is asked for of the state at the end."""

    def slope(self, state: Vector) -> Vector:
        """Return f, shape ``(n,)``."""

    def jacobian(self, state: Vector) -> Vector:
        """Return df/dy, shape ``(n, n)``, for Newton's method: digits of it do not matter."""

    def linearised(self, state: Vector) -> Pull:
        """Return what pulls costates back from f."""

    def end(self, state: Vector) -> Vector:
        """Return the derivatives of what is asked for by the state and, where it is made of them itself, by the parameters."""


class Carried(NamedTuple):
    """Derivatives of what is asked for.

    Attributes:
        by_start: shape ``(n,)``.
        by_parameters: shape ``(parameters,)``.
        by_time: that of the end.
    """

    by_start: Vector
    by_parameters: Vector
    by_time: float


def carried_back(followed: Trajectory, time: float, equations: Equations, *, size: float) -> Carried:
    """Carry derivatives from the end of a trajectory to its start.

    Args:
        followed: the recorded way, of a single time.
        time: of the end, nonnegative.
        equations: that were followed.
        size: of what is asked for, positive; below a small part of this derivatives are not told from 0.

    Raises:
        ArithmeticError: it cannot be followed, or not precisely enough.
    """
    n = followed.states.shape[1]
    at_end = equations.end(followed.states[-1])
    by_time = float(at_end[:n] @ equations.slope(followed.states[-1]))
    if time == 0.0:
        return Carried(at_end[:n], at_end[n:], by_time)
    assert followed.path is not None
    path = followed.path

    # LSODA corrects where it predicted: one linearisation serves both.
    @lru_cache(maxsize=1)
    def pull_at(elapsed: float) -> Pull:
        return equations.linearised(path(max(time - elapsed, 0.0)))

    def backwards(elapsed: float, carried: Vector) -> Vector:
        return pull_at(elapsed)(carried[:n])

    def slopes(elapsed: float, _: Vector) -> Vector:
        whole = np.zeros((at_end.size, at_end.size))
        whole[:n, :n] = equations.jacobian(path(max(time - elapsed, 0.0))).T
        return whole

    start = np.concatenate([at_end[:n], np.zeros(at_end.size - n)])
    solver = LSODA(backwards, 0.0, start, time, jac=slopes, rtol=RELATIVE, atol=ABSOLUTE * size)
    try:
        for _ in range(MOST_EVALUATIONS):
            if solver.status != "running" or not np.all(np.isfinite(solver.y)):
                break
            solver.step()
    except UserWarning:
        # LSODA gives up with a warning, where warnings are errors.
        pass
    if solver.status != "finished" or not np.all(np.isfinite(solver.y)):
        raise ArithmeticError("derivatives could not be followed along the trajectory")
    at_start = float(solver.y[:n] @ equations.slope(path(0.0)))
    if not abs(at_start - by_time) * time <= AGREEMENT * size:
        raise ArithmeticError("derivatives lost their digits along the trajectory")
    return Carried(solver.y[:n], solver.y[n:] + at_end[n:], by_time)
