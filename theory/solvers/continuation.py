"""Following a root from a positive penalty to complex ones, along a spiral about 0 that stays off the negative axis."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Complex = npt.NDArray[np.complex128]
Vector = npt.NDArray[np.float64]
Equation = Callable[[Complex], tuple[Complex, Complex]]

LONGEST_STEP = 0.25
"""Of log penalty; halved where Newton's method does not settle."""
SHORTEST_STEP = 1e-9
MAX_NEWTON = 12
TOLERANCE = 1e-13
ACCEPTED = 1e-9
NEIGHBOURS = 8
"""How many penalties share an anchor."""


def follow(
    equation: Equation, start: Complex, reference: Complex | Vector | float, penalty: Complex
) -> tuple[Complex, npt.NDArray[np.bool_]]:
    """Solve ``equation(ridge) = penalty`` on the branch that begins at ``equation(start) = reference``.

    The path is straight in log penalty. Each step extrapolates ``log ridge`` along its derivative and corrects it by
    Newton's method between logarithms; a step that does not settle, or that leaves the half plane of the penalty, is halved.

    Args:
        equation: takes ridges of shape ``(batch,)`` to penalties and to ``d log penalty / d log ridge``.
        start: the root at the reference, shape ``(batch,)``.
        reference: a positive penalty, or one for each in the half plane of where to go.
        penalty: where to go, shape ``(batch,)``; nonzero.

    Returns:
        ``(ridge, converged)``, both of shape ``(batch,)``.
    """
    way = np.log(penalty / reference)
    ridge = np.array(start, complex)
    done = np.zeros(penalty.shape)
    longest = np.minimum(LONGEST_STEP / np.maximum(np.abs(way), LONGEST_STEP), 1.0)
    step, lost = longest.copy(), np.zeros(penalty.shape, bool)
    with np.errstate(all="ignore"):
        _, slope = equation(ridge)
        while np.any(active := (done < 1.0) & ~lost):
            goal = np.where(active, np.minimum(done + step, 1.0), done)
            proposal = ridge * np.exp(way * (goal - done) / slope)
            wanted = reference * np.exp(way * goal)
            proposal, proposal_slope, error = _corrected(equation, proposal, wanted)
            wrong_side = proposal.imag * np.sign(wanted.imag) < -ACCEPTED * np.abs(proposal)
            settled = (error <= ACCEPTED) & ~wrong_side & np.isfinite(proposal)
            moved, failed = active & settled, active & ~settled
            ridge, slope = np.where(moved, proposal, ridge), np.where(moved, proposal_slope, slope)
            done = np.where(moved, goal, done)
            step = np.where(moved, np.minimum(2.0 * step, longest), np.where(failed, 0.5 * step, step))
            lost |= failed & (step * np.abs(way) < SHORTEST_STEP)
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


def anchors(penalty: Complex) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Choose penalties to continue to first, from which the way to their neighbours is short.

    Args:
        penalty: shape ``(batch,)``.

    Returns:
        Indices of the anchors, and for each penalty the position of its own among them, in the same half plane.
    """
    order = np.lexsort((np.abs(penalty), penalty.imag < 0.0))
    lower = int(np.sum(penalty.imag >= 0.0))
    places = np.arange(order.size)
    # Groups of neighbours in modulus begin anew in the other half plane.
    group = np.where(places < lower, places // NEIGHBOURS, -(-lower // NEIGHBOURS) + (places - lower) // NEIGHBOURS)
    _, first, sizes = np.unique(group, return_index=True, return_counts=True)
    own = np.empty(order.size, dtype=np.intp)
    own[order] = group
    return order[first + sizes // 2], own
