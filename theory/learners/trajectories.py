"""Integration of the order parameters of online learning, with a status for what does not end well.

LSODA changes by itself between a method for smooth stretches and one for stiff ones: plateaus and late times are slow beside
the fastest modes. Many eigenvalues are first replaced by few, by Gauss rules: the state of a mode is an entire function of its
eigenvalue, so that sums over modes converge as fast as such rules do.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.integrate import LSODA, DenseOutput, OdeSolution

Vector = npt.NDArray[np.float64]
Slope = Callable[[Vector], Vector]

RELATIVE = 1e-9
ABSOLUTE = 1e-12
"""Tolerances of a step; the second in units of the state's scale."""
OUTGROWN = 100.0
"""Growth by this factor makes a new scale."""
MOST_EVALUATIONS = 20_000
"""Of the slope; thousands are usual where slow modes follow fast ones."""
FEW = 48
"""Up to so many eigenvalues are taken as they are."""
NODES_PER_PANEL = 8
PANEL_RATIO = 2.0
"""Panels in which the largest eigenvalue is at most this many times the least take a Gauss rule: means of exp(-s t) over one
are good to 1e-12 at any t."""


class Trajectory(NamedTuple):
    """States at the times asked for.

    Attributes:
        states: shape ``(times, size)``; the last one reached where there is none.
        status: shape ``(times,)``: "converged", "divergent" or "not_converged".
        evaluations: of the slope.
        path: takes a time to the state, up to the last one asked for; None if it was not recorded, or not reached.
    """

    states: Vector
    status: npt.NDArray[np.str_]
    evaluations: int
    path: Callable[[Any], Vector] | None = None


class _UnboundedError(ArithmeticError):
    """A slope is no longer finite."""


def integrate(
    slope: Slope,
    start: Vector,
    times: Vector,
    *,
    jacobian: Slope,
    scale: float,
    bound: float,
    record: bool = False,
) -> Trajectory:
    """Follow ``dy/dt = slope(y)`` from time 0.

    Args:
        slope: of the state; may be infinite or NaN where the state is out of bounds.
        start: shape ``(size,)``.
        times: shape ``(times,)``, nonnegative, in any order.
        jacobian: of the slope, shape ``(size, size)``. The state of every mode meets those of the others in a few sums only,
            so that few differences give all of it; Newton's method forgives their rounding.
        scale: positive, what the entries of the state are of the order of.
        bound: where an entry exceeds this, the state has diverged.
        record: whether the way there is kept, too.
    """
    ascending, place = np.unique(times, return_inverse=True)
    states = np.tile(start, (ascending.size, 1))
    status = np.full(ascending.size, "converged", dtype="<U13")
    counted = _Counted(slope, jacobian)
    done = int(ascending.size > 0 and ascending[0] == 0.0)
    steps: list[DenseOutput] | None = [] if record else None
    if done < ascending.size:
        done, ending = _march(counted, ascending, states, done, scale, bound, steps)
        status[done:] = ending
    path = OdeSolution([0.0, *(step.t for step in steps)], steps) if steps and done == ascending.size else None
    return Trajectory(states[place], status[place], counted.evaluations, path)


class _Counted:
    """The equations as LSODA asks for them."""

    def __init__(self, slope: Slope, jacobian: Slope) -> None:
        self._slope, self._jacobian, self.evaluations = slope, jacobian, 0

    def slope(self, _: float, state: Vector) -> Vector:
        """Return the slope, refusing what is not finite."""
        self.evaluations += 1
        with np.errstate(all="ignore"):
            found = self._slope(state)
        if not np.all(np.isfinite(found)):
            raise _UnboundedError
        return found

    def jacobian(self, _: float, state: Vector) -> Vector:
        """Return the slope's derivatives."""
        with np.errstate(all="ignore"):
            return self._jacobian(state)


def _march(
    equations: _Counted,
    times: Vector,
    states: Vector,
    done: int,
    scale: float,
    bound: float,
    steps: list[DenseOutput] | None,
) -> tuple[int, str]:
    """Fill in ``states`` from position ``done`` on, and ``steps``; return up to where, and how it ended."""

    def solver_from(time: float, state: Vector) -> LSODA:
        return LSODA(
            equations.slope,
            time,
            state,
            float(times[-1]),
            jac=equations.jacobian,
            rtol=RELATIVE,
            atol=ABSOLUTE * scale,
        )

    try:
        solver = solver_from(0.0, states[0])
        while equations.evaluations < MOST_EVALUATIONS:
            solver.step()
            if solver.status == "failed":
                break
            if steps is not None:
                steps.append(solver.dense_output())
            upto = int(np.searchsorted(times, solver.t, side="right"))
            if upto > done:
                states[done:upto] = solver.dense_output()(times[done:upto]).T
                done = upto
            if solver.status == "finished":
                return times.size, "converged"
            largest = float(np.max(np.abs(solver.y)))
            states[done:] = solver.y
            if largest > bound:
                return done, "divergent"
            if largest > OUTGROWN * scale:
                # Rounding grows with the largest entries, and with it what can be asked of the small ones.
                scale = largest
                solver = solver_from(solver.t, solver.y)
    except _UnboundedError:
        return done, "divergent"
    except UserWarning:
        # LSODA gives up with a warning, where warnings are errors.
        return done, "not_converged"
    return done, "not_converged"


def gathered(eigenvalues: Vector, weights: Vector) -> tuple[Vector, Vector]:
    """Replace many eigenvalues by fewer with the same low moments in every octave.

    Args:
        eigenvalues: shape ``(m,)``, positive.
        weights: shape ``(m,)``, nonnegative.

    Returns:
        Eigenvalues and weights, those of positive weight as they were where they are few.

    Source: Gauss rules of a discrete measure by the Lanczos recurrence; Gautschi, *Orthogonal Polynomials* (2004), 2.2.
    """
    seen = weights > 0.0
    values, where = np.unique(eigenvalues[seen], return_inverse=True)
    masses: Vector = np.bincount(where, weights=weights[seen], minlength=values.size).astype(float)
    if values.size <= FEW:
        return values, masses
    panel = panels_of(values)
    pieces: list[Any] = []
    for number in np.unique(panel):
        inside = panel == number
        pieces.append(gauss(values[inside], masses[inside]))
    return np.concatenate([x for x, _ in pieces]), np.concatenate([w for _, w in pieces])


def panels_of(eigenvalues: Vector) -> npt.NDArray[np.int_]:
    """Return the number of the panel that each of ascending, positive eigenvalues lies in."""
    found: npt.NDArray[np.int_] = np.floor(np.log(eigenvalues / eigenvalues[0]) / np.log(PANEL_RATIO)).astype(int)
    return found


def gauss(values: Vector, masses: Vector) -> tuple[Vector, Vector]:
    """Return the Gauss rule of few nodes for a discrete measure: positions and positive masses."""
    if values.size <= NODES_PER_PANEL:
        return values, masses
    centre, half = 0.5 * (values[0] + values[-1]), 0.5 * (values[-1] - values[0])
    x, total = (values - centre) / half, float(np.sum(masses))
    basis = [np.sqrt(masses / total)]
    diagonal, off = np.empty(NODES_PER_PANEL), np.empty(NODES_PER_PANEL - 1)
    for k in range(NODES_PER_PANEL):
        following = x * basis[-1]
        diagonal[k] = following @ basis[-1]
        if k == NODES_PER_PANEL - 1:
            break
        known = np.array(basis)
        for _ in range(2):  # against rounding
            following = following - (known @ following) @ known
        off[k] = np.linalg.norm(following)
        basis.append(following / off[k])
    nodes, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1))
    return centre + half * nodes, total * vectors[0] ** 2
