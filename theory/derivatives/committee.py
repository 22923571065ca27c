"""The test error of a committee machine with derivatives; see :mod:`theory.learners.committee`."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from theory.derivatives.committee_averages import gradients_pulled, half_square_pulled
from theory.derivatives.costates import carried_back
from theory.derivatives.dual import Dual, Vector
from theory.learners.committee import Motion
from theory.learners.committee_averages import Gradients
from theory.learners.trajectories import Trajectory

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What the equations are made of, with derivatives.

    Attributes:
        eigenvalues, shares: of the directions of the inputs, those that the motion follows; the eigenvalue 0, if there is
            one, comes last.
        start: overlaps of the students with all units at the start, shape ``(K, K + M)``.
        taught: of the teachers, shape ``(M, M)``. An entry and its mirror image share a derivative, as the start's do.
        readout, teacher_readout: shapes ``(K,)`` and ``(M,)``.
        step_size, readout_step_size, noise_variance: as of student and teacher.
        time: n / d.
    """

    eigenvalues: Vector
    shares: Vector
    start: Dual
    taught: Dual
    readout: Dual
    teacher_readout: Dual
    step_size: Any
    readout_step_size: Any
    noise_variance: Any
    time: Dual


def committee(motion: Motion, followed: Trajectory, numbers: Numbers, test_error: float) -> Dual:
    """Return the test error with its derivatives.

    Args:
        motion: the equations.
        followed: the recorded way, of a single time.
        numbers: what the equations are made of.
        test_error: at its end.

    Raises:
        ArithmeticError: derivatives cannot be followed along the trajectory.
    """
    if numbers.eigenvalues.value.size > motion.problem.eigenvalues.size:
        motion, followed = _with_still(motion, followed, float(numbers.shares.value[-1]))
    back = _Back(motion)
    time, state = float(numbers.time.value), followed.states[-1]
    on_state, at_end = back.end(state)
    by_time = float(on_state @ motion.slope(state))
    carried = np.concatenate([on_state, np.zeros(at_end.size)])
    if time > 0.0:
        assert followed.path is not None
        carried = carried_back(
            followed.path,
            time,
            on_state,
            slope=motion.slope,
            pull=back.pull,
            jacobian=motion.jacobian,
            size=max(test_error, motion.noise_variance),
        )
    on_start, on_numbers = carried[: state.size], carried[state.size :] + at_end
    on_shares = on_numbers[back.places["shares"]].copy()
    on_own, on_readout = motion.parts(on_start)
    own = motion.problem.overlaps[: motion.problem.n_students]
    on_shares += np.sum(on_own * own, axis=(1, 2))
    weights = np.einsum("e,ekb->kb", motion.problem.shares, on_own)
    on_eigenvalues, on_taught, on_teacher, (on_step, on_readout_step, on_noise) = (
        on_numbers[back.places[name]] for name in ("eigenvalues", "taught", "teacher_readout", "steps")
    )
    on_taught = on_taught.reshape(numbers.taught.shape)
    weights[:, : on_readout.size] = _symmetric(weights[:, : on_readout.size])
    tangent = numbers.eigenvalues.weighted(on_eigenvalues) + numbers.shares.weighted(on_shares)
    parts: list[tuple[Any, Any]] = [
        (numbers.start, weights),
        (numbers.taught, _symmetric(on_taught)),
        (numbers.readout, on_readout),
        (numbers.teacher_readout, on_teacher),
        (numbers.step_size, on_step),
        (numbers.readout_step_size, on_readout_step),
        (numbers.noise_variance, on_noise + 1.0),
        (numbers.time, by_time),
    ]
    for one, found in parts:
        by_entry = np.asarray(found)
        # What does not depend on an entry leaves it out, infinite though the entry's own derivative may be.
        moving = np.where(by_entry[..., None] != 0.0, one.full_tangent, 0.0)
        tangent = tangent + np.tensordot(by_entry, moving, by_entry.ndim)
    return Dual(test_error, tangent)


def _with_still(motion: Motion, followed: Trajectory, share: float) -> tuple[Motion, Trajectory]:
    """Add the directions in which inputs do not vary: weights stay there as they were."""
    problem = motion.problem
    edge = motion.start.size - problem.n_students
    stay = share * problem.overlaps[: problem.n_students].ravel()
    problem = problem._replace(eigenvalues=np.append(problem.eigenvalues, 0.0), shares=np.append(problem.shares, share))
    path = followed.path

    def added(state: Array) -> Array:
        return np.concatenate([state[:edge], stay, state[edge:]])

    return replace(motion, problem=problem), followed._replace(
        states=np.array([added(state) for state in followed.states]),
        path=None if path is None else lambda time: added(path(time)),
    )


def _symmetric(table: Array) -> Array:
    """Share the derivative by two entries that are one number between them."""
    found: Array = 0.5 * (table + table.T)
    return found


class _Back:
    """Derivatives pulled back from the slope of the state, and from the error, to the state and the equations' numbers."""

    def __init__(self, motion: Motion) -> None:
        self.motion, problem = motion, motion.problem
        m, taught = problem.eigenvalues.size, problem.n_teachers
        edges = np.cumsum([0, m, m, taught * taught, taught, 3])
        names = ("eigenvalues", "shares", "taught", "teacher_readout", "steps")
        self.places = {name: slice(*ends) for name, *ends in zip(names, edges[:-1], edges[1:], strict=True)}
        self.count = problem.n_students
        self.of_teacher = problem.overlaps[self.count :, self.count :]

    def end(self, state: Array) -> tuple[Array, Array]:
        """Return the derivatives of the excess risk by the state and by the numbers."""
        motion, problem = self.motion, self.motion.problem
        own, readout = motion.parts(state)
        covariance = motion.covariance(motion.fields(own))
        signs = np.concatenate([readout, -problem.teacher_readout])
        on_covariance, on_signs = (2.0 * found for found in half_square_pulled(covariance, signs))
        on_own, on_readout = np.zeros_like(own), np.zeros_like(readout)
        on_numbers = np.zeros(self.places["steps"].stop)
        self._through_fields(own, on_covariance, on_signs, on_own, on_readout, on_numbers)
        return np.concatenate([on_own.ravel(), on_readout]), on_numbers

    def pull(self, state: Array, costate: Array) -> Array:
        """Return what a costate pulls back from the slope: derivatives by the state, then by the numbers."""
        motion, problem, count = self.motion, self.motion.problem, self.count
        (own, readout), (on_slope, on_residuals) = motion.parts(state), motion.parts(costate)
        signs = np.concatenate([readout, -problem.teacher_readout])
        covariance = motion.covariance(motion.fields(own))
        found, pulled = gradients_pulled(covariance, signs, count)
        on_numbers = np.zeros(self.places["steps"].stop)

        # drift S, and its transpose where both are students.
        drift = -motion.step_size * readout[:, None] * found.drift
        below = np.concatenate([own[:, :, count:].swapaxes(1, 2), motion.taught], axis=2)
        whole = np.concatenate([own, below], axis=1)
        on_change = on_slope.copy()
        on_change[:, :, :count] += on_slope[:, :, :count].swapaxes(1, 2)
        driven = problem.eigenvalues[:, None, None] * on_change
        on_drift = (driven @ whole.swapaxes(1, 2)).sum(axis=0)
        on_whole = drift.T @ driven
        on_own = on_whole[:, :count]
        on_own[:, :, count:] += on_whole[:, count:, :count].swapaxes(1, 2)
        on_taught = on_whole[:, count:, count:].reshape(driven.shape[0], -1)
        on_numbers[self.places["taught"]] = problem.shares @ on_taught
        on_shares = on_taught @ self.of_teacher.ravel()

        # step_size^2 v v' s p (I4 + noise J2).
        on_kick = on_slope[:, :, :count]
        rate = problem.eigenvalues * problem.shares
        flat = on_kick.reshape(rate.size, -1)
        on_kicks = (rate @ flat).reshape(count, count)
        base = (motion.step_size * motion.step_size) * (readout[:, None] * readout)
        noisy = found.kicks + motion.noise_variance * found.slopes
        per_share = flat @ (base * noisy).ravel()
        on_numbers[self.places["eigenvalues"]] = (on_change * (drift @ whole)).sum(
            axis=(1, 2)
        ) + problem.shares * per_share
        on_numbers[self.places["shares"]] = on_shares + problem.eigenvalues * per_share
        pairs = (motion.step_size * motion.step_size) * on_kicks * noisy
        drifting, kicking = on_drift * found.drift, on_kicks * base
        on_readout = -motion.step_size * drifting.sum(axis=1) + (pairs + pairs.T) @ readout
        on_numbers[self.places["steps"]] = (
            2.0 * (kicking * noisy).sum() / motion.step_size - readout @ drifting.sum(axis=1),
            -on_residuals @ found.residuals,
            (kicking * found.slopes).sum(),
        )
        weights = Gradients(
            drift=-motion.step_size * readout[:, None] * on_drift,
            kicks=kicking,
            slopes=motion.noise_variance * kicking,
            residuals=-motion.readout_step_size * on_residuals,
        )
        self._through_fields(own, *pulled(weights), on_own, on_readout, on_numbers)
        return np.concatenate([on_own.ravel(), on_readout, on_numbers])

    def _through_fields(
        self, own: Array, on_covariance: Array, on_signs: Array, on_own: Array, on_readout: Array, on_numbers: Array
    ) -> None:
        """Add what comes by the covariance of all fields and by the read-outs."""
        problem, count = self.motion.problem, self.count
        on_fields = on_covariance[:count].copy()
        on_fields[:, count:] += on_covariance[count:, :count].T
        on_own += problem.eigenvalues[:, None, None] * on_fields
        on_readout += on_signs[:count]
        on_taught = on_covariance[count:, count:]
        at_once = on_taught.ravel() @ self.of_teacher.ravel()
        of_own = own.reshape(own.shape[0], -1) @ on_fields.ravel()
        on_numbers[self.places["eigenvalues"]] += of_own + problem.shares * at_once
        on_numbers[self.places["shares"]] += problem.eigenvalues * at_once
        on_numbers[self.places["taught"]] += (problem.eigenvalues @ problem.shares) * on_taught.ravel()
        on_numbers[self.places["teacher_readout"]] -= on_signs[count:]
