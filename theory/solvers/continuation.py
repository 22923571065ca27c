"""Following a root from a positive penalty to a complex one of the same modulus, by rotating the penalty's phase."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Complex = npt.NDArray[np.complex128]
Equation = Callable[[Complex], tuple[Complex, Complex]]

WIDEST_TURN = 0.2
"""Radians of phase in one step; halved where Newton's method does not settle."""
NARROWEST_TURN = 1e-9
MAX_NEWTON = 12
TOLERANCE = 1e-13
ACCEPTED = 1e-9


def follow(equation: Equation, start: Complex, penalty: Complex) -> tuple[Complex, npt.NDArray[np.bool_]]:
    """Solve ``equation(ridge) = penalty`` on the branch that starts at ``equation(start) = |penalty|``.

    Each step turns the phase, extrapolates ``log ridge`` along its derivative and corrects it by Newton's method
    between logarithms; a step that does not settle, or that leaves the half plane of the penalty, is halved.

    Args:
        equation: takes ridges of shape ``(batch,)`` to penalties and to ``d log penalty / d log ridge``.
        start: positive real roots at the moduli, shape ``(batch,)``.
        penalty: where to go, shape ``(batch,)``.

    Returns:
        ``(ridge, converged)``, both of shape ``(batch,)``.
    """
    modulus, turn = np.abs(penalty), np.angle(penalty)
    ridge = np.array(start, complex)
    done = np.zeros(penalty.shape)
    step = np.minimum(WIDEST_TURN / np.maximum(np.abs(turn), WIDEST_TURN), 1.0)
    lost = np.zeros(penalty.shape, bool)
    with np.errstate(all="ignore"):
        _, slope = equation(ridge)
        while np.any(active := (done < 1.0) & ~lost):
            goal = np.where(active, np.minimum(done + step, 1.0), done)
            wanted = modulus * np.exp(1j * turn * goal)
            proposal = ridge * np.exp(1j * turn * (goal - done) / slope)
            proposal, proposal_slope, error = _corrected(equation, proposal, wanted)
            wrong_side = proposal.imag * turn < -ACCEPTED * np.abs(proposal)
            settled = (error <= ACCEPTED) & ~wrong_side & np.isfinite(proposal)
            moved = active & settled
            ridge, slope = np.where(moved, proposal, ridge), np.where(moved, proposal_slope, slope)
            done = np.where(moved, goal, done)
            step = np.where(moved, np.minimum(2.0 * step, WIDEST_TURN / np.maximum(np.abs(turn), WIDEST_TURN)), step)
            step = np.where(active & ~settled, 0.5 * step, step)
            lost |= active & ~settled & (step * np.abs(turn) < NARROWEST_TURN)
    return ridge, ~lost


def _corrected(equation: Equation, ridge: Complex, wanted: Complex) -> tuple[Complex, Complex, npt.NDArray[np.float64]]:
    """Newton's method from a nearby ridge; the error is that of the last step, between logarithms."""
    for _ in range(MAX_NEWTON):
        value, slope = equation(ridge)
        change = np.log(wanted / value) / slope
        # A long step would leave the branch.
        change = change / np.maximum(np.abs(change) / 0.5, 1.0)
        ridge = ridge * np.exp(change)
        if np.all(~(np.abs(change) > TOLERANCE)):
            break
    value, slope = equation(ridge)
    return ridge, slope, np.abs(np.log(wanted / value) / slope)
