"""The test error of a committee machine with derivatives; see :mod:`theory.learners.committee`."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from theory.derivatives.committee_averages import gradients_pulled, half_square_pulled
from theory.derivatives.costates import Pull, carried_back
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
    equations = _Equations(motion)
    size = max(test_error, motion.noise_variance)
    carried = carried_back(followed, float(numbers.time.value), equations, size=size)
    on_eigenvalues, on_shares, on_taught, on_teacher, (on_step, on_readout_step, on_noise) = np.split(
        carried.by_parameters, equations.edges
    )
    on_own, on_readout = motion.parts(carried.by_start)
    own = motion.problem.overlaps[: motion.problem.n_students]
    on_shares = on_shares + own.ravel() @ on_own.reshape(own.size, -1)
    on_taught = on_taught.reshape(numbers.taught.shape)
    weights = on_own @ motion.problem.shares
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
        (numbers.time, carried.by_time),
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
    stay = share * problem.overlaps[: problem.n_students, :, None]
    problem = problem._replace(eigenvalues=np.append(problem.eigenvalues, 0.0), shares=np.append(problem.shares, share))
    path = followed.path

    def added(state: Array) -> Array:
        own, readout = motion.parts(state)
        return np.concatenate([np.concatenate([own, stay], axis=2).ravel(), readout])

    return replace(motion, problem=problem), followed._replace(
        states=np.array([added(state) for state in followed.states]),
        path=None if path is None else lambda time: added(path(time)),
    )


def _symmetric(table: Array) -> Array:
    """Share the derivative by two entries that are one number between them."""
    found: Array = 0.5 * (table + table.T)
    return found


class _Equations:
    """The equations, with derivatives pulled back from the slope of the state, and from the error.

    Of the numbers eigenvalues and shares come first, then the overlaps of teachers and their read-out, the two step sizes and
    the noise.
    """

    def __init__(self, motion: Motion) -> None:
        self.slope, self.jacobian = motion.slope, motion.jacobian
        self.motion, problem = motion, motion.problem
        m, taught = problem.eigenvalues.size, problem.n_teachers
        self.edges = np.cumsum([m, m, taught * taught, taught])
        self.of_teacher = problem.overlaps[problem.n_students :, problem.n_students :].ravel()
        self.rates = problem.eigenvalues * problem.shares

    def end(self, state: Array) -> Array:
        """Return the derivatives of the excess risk by the state and by the numbers."""
        problem, count = self.motion.problem, self.motion.problem.n_students
        own, readout = self.motion.parts(state)
        covariance = self.motion.covariance(self.motion.fields(own))
        signs = np.concatenate([readout, -problem.teacher_readout])
        on_covariance, on_signs = (2.0 * found for found in half_square_pulled(covariance, signs))
        on_fields = on_covariance[:count].copy()
        on_fields[:, count:] += on_covariance[count:, :count].T
        on_taught = on_covariance[count:, count:].ravel()
        per_share = self.of_teacher @ on_taught
        return np.concatenate(
            [
                (on_fields[:, :, None] * problem.eigenvalues).ravel(),
                on_signs[:count],
                on_fields.ravel() @ own.reshape(on_fields.size, -1) + problem.shares * per_share,
                problem.eigenvalues * per_share,
                self.rates.sum() * on_taught,
                -on_signs[count:],
                np.zeros(3),
            ]
        )

    def linearised(self, state: Array) -> Pull:
        """Return what pulls costates back from the slope at a state: to the state, then to the numbers."""
        motion, problem, count = self.motion, self.motion.problem, self.motion.problem.n_students
        step_size, noise, eigenvalues = motion.step_size, motion.noise_variance, problem.eigenvalues
        own, readout = motion.parts(state)
        whole = motion.completed(own)
        total, modes = whole.shape[1:]
        signs = np.concatenate([readout, -problem.teacher_readout])
        found, averages_pulled = gradients_pulled(motion.covariance(motion.fields(own)), signs, count)
        # The slope is made of drift S and of step_size^2 v v' (I4 + noise J2).
        stepped = -step_size * readout[:, None]
        driven_back = (stepped * found.drift).T
        noisy = step_size**2 * (found.kicks + noise * found.slopes)
        base = stepped * stepped.T
        kicks, slopes = (readout[:, None] * readout * noisy).ravel(), found.slopes.ravel()
        flat_own, flat_whole = own.reshape(-1, modes), whole.reshape(total, -1).T

        def pull(costate: Array) -> Array:
            on_slope, on_residuals = motion.parts(costate)

            # drift S, and its transpose where both are students.
            on_change = on_slope.copy()
            between = on_slope[:, :count]
            on_change[:, :count] += between.swapaxes(0, 1)
            on_drift = (on_change * eigenvalues).reshape(count, -1) @ flat_whole
            on_whole = (driven_back @ on_change.reshape(count, -1)).reshape(whole.shape)

            # Kicks, and all that averages depend on.
            between = between.reshape(count * count, modes)
            on_kicks = (between @ self.rates).reshape(count, count)
            drifting, kicking = (on_drift * found.drift).sum(axis=1), on_kicks * base
            on_covariance, on_signs = averages_pulled(
                Gradients(
                    drift=stepped * on_drift,
                    kicks=kicking,
                    slopes=noise * kicking,
                    residuals=-motion.readout_step_size * on_residuals,
                )
            )
            pairs = on_kicks * noisy
            kicked = (pairs + pairs.T) @ readout
            on_readout = on_signs[:count] - step_size * drifting + kicked

            # By S in units of each eigenvalue, and by the overlaps of the teachers in units of it and of its share.
            on_whole += on_covariance[:, :, None]
            on_own = on_whole[:count]
            on_own[:, count:] += on_whole[count:, :count].swapaxes(0, 1)
            on_taught = on_whole[count:, count:].reshape(self.of_teacher.size, modes)
            per_share = self.of_teacher @ on_taught + kicks @ between
            return np.concatenate(
                [
                    (on_own * eigenvalues).ravel(),
                    on_readout,
                    (on_own.reshape(flat_own.shape) * flat_own).sum(axis=0) + problem.shares * per_share,
                    eigenvalues * per_share,
                    on_taught @ self.rates,
                    -on_signs[count:],
                    (
                        readout @ (kicked / step_size - drifting),
                        -on_residuals @ found.residuals,
                        kicking.ravel() @ slopes,
                    ),
                ]
            )

        return pull
