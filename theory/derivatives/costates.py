"""Derivatives of the end of a trajectory, carried backwards along it: by its start and by all parameters of its equations.

Where ``dy/dt = f(y, p)`` the costate, the derivative of what is asked for at the end by the state at t, follows
``dc/dt = -(df/dy)' c`` from the end to the start, and every parameter collects ``c . df/dp`` on the way. One system of the
state's size serves all parameters; it is integrated as the state was, by LSODA along the recorded path. ``c . f``, the
derivative by the time, is the same all along, which is what certifies the result.

Source: Pontryagin et al., *The Mathematical Theory of Optimal Processes* (1962).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.integrate import LSODA

from theory.learners.trajectories import MOST_EVALUATIONS, RELATIVE, Slope

Vector = npt.NDArray[np.float64]
ABSOLUTE = 1e-12
"""Tolerance of a step, in units of what is asked for."""


AGREEMENT = 1e-4
"""Difference of ``c . f`` between start and end, times the time and in units of what is asked for, beyond which digits are
missing."""


def carried_back(
    path: Callable[[Any], Vector],
    time: float,
    costate: Vector,
    *,
    slope: Slope,
    pull: Callable[[Vector, Vector], Vector],
    jacobian: Slope,
    size: float,
) -> Vector:
    """Follow a costate from the end of a path to its start.

    Args:
        path: takes a time to the state.
        time: of the end, positive.
        costate: derivatives of what is asked for by the state at the end, shape ``(n,)``.
        slope: f of a state.
        pull: takes a state and a costate to ``(df/dy)' c`` and ``c . df/dp``, one after the other, shape ``(n + parameters,)``.
        jacobian: df/dy of a state, shape ``(n, n)``, for Newton's method: digits of it do not matter.
        size: of what is asked for, positive; below a small part of this derivatives are not told from 0.

    Returns:
        Derivatives by the start, and by the parameters as far as they act on the way; shape ``(n + parameters,)``.

    Raises:
        ArithmeticError: it cannot be followed, or not precisely enough.
    """
    n = costate.size
    count = pull(path(time), costate).size

    def backwards(elapsed: float, carried: Vector) -> Vector:
        return pull(path(max(time - elapsed, 0.0)), carried[:n])

    def slopes(elapsed: float, _: Vector) -> Vector:
        whole = np.zeros((count, count))
        whole[:n, :n] = jacobian(path(max(time - elapsed, 0.0))).T
        return whole

    start = np.concatenate([costate, np.zeros(count - n)])
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
    found: Vector = solver.y
    at_start, at_end = float(found[:n] @ slope(path(0.0))), float(costate @ slope(path(time)))
    if not abs(at_start - at_end) * time <= AGREEMENT * size:
        raise ArithmeticError("derivatives lost their digits along the trajectory")
    return found
