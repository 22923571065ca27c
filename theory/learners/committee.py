"""One-pass SGD of a two-layer network on the labels of another: soft committee machines, a student and its teacher.

The student is ``f(x) = sum_k v_k erf(w_k . x / sqrt(2 d))``, the teacher the same with hidden units of its own, and noise. The
fields ``w . x / sqrt(d)`` of all units are Gaussian with a covariance C. In the directions of an eigenvalue s, a share p of
all, the units have overlaps S, ``C = sum s S``, and with eta the step size and alpha = n / d

    dS_kb/dalpha = -eta v_k s sum_c H_kc S_cb + (k <-> b, for a student b) + eta^2 v_k v_b s p (I4_kb + noise_variance J2_kb),

H, I4 and J2 being Gaussian averages in closed form. Read-outs that are trained follow ``dv_k/dalpha = -eta_v E g(u_k) Delta``.

Sources: Saad and Solla, doi:10.1103/PhysRevE.52.4225; trained read-outs and several sizes: Goldt, Advani, Saxe, Krzakala,
Zdeborova, arXiv:1906.08632; inputs of any covariance: Yoshida and Okada, arXiv:2001.03371.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from theory.learners.committee_averages import Gradients, gradients, half_square
from theory.learners.networks import Committee, TeacherNetwork, TwoLayerStudent
from theory.learners.trajectories import Trajectory, integrate

Vector = npt.NDArray[np.float64]

MOST_OVERLAP = 1e5
"""Of a unit with itself; from there on closed forms lose the digits that the integration asks for."""
DIFFERENCE = 1e-7
"""Of differences in place of derivatives, relative to the units' norms."""
ACCURACY = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitteePrediction:
    """What the student attains; for a trajectory every field but the last three has the shape of ``n_samples`` in front.

    Attributes:
        test_error: mean squared error against a fresh noisy label, twice the generalisation error of Saad and Solla and the
            noise.
        excess_risk: ``test_error - noise_variance``.
        self_overlaps: Q, shape ``(K, K)``, the covariance of the students' fields.
        overlaps: R, shape ``(K, M)``, that of the students' fields with the teachers'.
        readout: v, shape ``(K,)``.
        specialisation: how far students have chosen a teacher each: the mean over students of the largest less the second
            largest absolute correlation of their field with one of the teacher's; 0 on the symmetric plateau, 1 where each
            has the weights of one teacher. With a single teacher the mean of the correlations.
        status: "converged" or "not_converged", of the integration. Errors are bounded, because erf is.
        residual: how far the final overlaps are from those of real weights, relative to them; rounding.
        iterations: evaluations of the averages.
        followed: the equations and the way that the state took, where that was recorded.
    """

    test_error: Any
    excess_risk: Any
    self_overlaps: Vector
    overlaps: Vector
    readout: Vector
    specialisation: Any
    status: Any
    residual: float
    iterations: int
    followed: "tuple[Motion, Trajectory] | None" = None


def predict_committee(
    student: TwoLayerStudent, teacher: TeacherNetwork, n_samples: npt.ArrayLike, *, record: bool = False
) -> CommitteePrediction:
    """Predict the errors of a student after n_samples fresh samples, a step each.

    The limit of many inputs d at ``n_samples`` of their order and finitely many hidden units; corrections are O(1/d), and
    beside a plateau a start that differs by the usual 1 / sqrt(d) leaves it at a somewhat different time.

    Args:
        student: what learns, and how it starts.
        teacher: what makes the labels, and the inputs.
        n_samples: at least 0, real; any shape. A trajectory costs no more than its last point.
        record: whether to return what derivatives are taken along.

    Returns:
        Errors and overlaps along the way, by LSODA to a relative 1e-9 a step.

    Raises:
        InadmissibleProblem: an argument is out of its domain, overlaps are not those of any weights, or symmetry keeps the
            student from telling hidden units apart.

    Source: see :mod:`theory.learners.committee`.
    """
    times = np.asarray(n_samples, float)
    problem = Committee.of(student, teacher, times)
    motion = Motion(
        problem=problem,
        step_size=student.step_size,
        readout_step_size=student.readout_step_size,
        noise_variance=teacher.noise_variance,
    )
    path = integrate(
        motion.slope,
        motion.start,
        times.ravel() / problem.n_features,
        jacobian=motion.jacobian,
        scale=1.0,
        bound=MOST_OVERLAP,
        record=record,
    )
    found = _read(problem, teacher, times, path, *motion.read(path.states))
    return replace(found, followed=(motion, path)) if record else found


@dataclass(frozen=True, kw_only=True)
class Motion:
    """The equations of motion by alpha. The state is S_kb of every eigenvalue, which runs fastest, then the read-out."""

    problem: Committee
    step_size: float
    readout_step_size: float
    noise_variance: float

    @cached_property
    def taught(self) -> Vector:
        """Overlaps of the teachers in the directions of each eigenvalue, shape ``(M, M, m)``."""
        count = self.problem.n_students
        return self.problem.overlaps[count:, count:, None] * self.problem.shares

    def fields(self, own: Vector) -> Vector:
        """Return the covariances of the students' fields with all, shape ``(K, K + M)``, of S."""
        found: Vector = (own.reshape(-1, own.shape[2]) @ self.problem.eigenvalues).reshape(own.shape[:2])
        return found

    @property
    def start(self) -> Vector:
        """The state at the start."""
        own = self.problem.overlaps[: self.problem.n_students, :, None] * self.problem.shares
        return np.concatenate([own.ravel(), self.problem.readout])

    def slope(self, state: Vector) -> Vector:
        """Return the slope of the state."""
        own, readout = self.parts(state)
        return self._slope(self.completed(own), self.fields(own), readout)

    def jacobian(self, state: Vector) -> Vector:
        """Return the slope's: what it is at fixed covariance of the fields, and what reaches it through that."""
        own, readout = self.parts(state)
        eigenvalues, whole_own = self.problem.eigenvalues, self.completed(own)
        fields = self.fields(own)
        size, edge = fields.size, own.size
        base = self._slope(whole_own, fields, readout)
        widened = 1.0 + np.diagonal(self.covariance(fields))
        steps = DIFFERENCE * np.sqrt(widened[: readout.size, None] * widened)
        whole = np.zeros((state.size, state.size))
        for place in range(size):
            moved = fields.copy()
            moved.flat[place] += steps.flat[place]
            through = (self._slope(whole_own, moved, readout) - base) / steps.flat[place]
            whole[:, place * eigenvalues.size : (place + 1) * eigenvalues.size] = np.outer(through, eigenvalues)
        for place in range(readout.size):
            moved = readout.copy()
            moved[place] += DIFFERENCE
            whole[:, edge + place] = (self._slope(whole_own, fields, moved) - base) / DIFFERENCE
        # At fixed averages the slope is linear in S, and the same for each eigenvalue up to its factor.
        drift = -self.step_size * readout[:, None] * self._averages(fields, readout).drift
        direct = np.empty((size, size))
        for place in range(size):
            unit = np.zeros((*fields.shape, 1))
            unit.flat[place] = 1.0
            direct[:, place] = _driven(drift, _completed(unit, np.zeros_like(self.taught[:, :, :1]))).ravel()
        for index, eigenvalue in enumerate(eigenvalues):
            block = slice(index, edge, eigenvalues.size)
            whole[block, block] += eigenvalue * direct
        return whole

    def read(self, states: Vector) -> tuple[Vector, Vector]:
        """Return the covariances of all fields, and the signs of all units, at several states."""
        covariances, signs = [], []
        for state in states:
            own, readout = self.parts(state)
            covariances.append(self.covariance(self.fields(own)))
            signs.append(np.concatenate([readout, -self.problem.teacher_readout]))
        total = self.problem.overlaps.shape[0]
        return np.reshape(covariances, (-1, total, total)), np.reshape(signs, (-1, total))

    def parts(self, state: Vector) -> tuple[Vector, Vector]:
        """Return S, shape ``(K, K + M, m)``, and the read-out of a state."""
        count, total = self.problem.n_students, self.problem.overlaps.shape[0]
        edge = state.size - count
        return state[:edge].reshape(count, total, -1), state[edge:]

    def completed(self, own: Vector) -> Vector:
        """Return the overlaps of all units with all, shape ``(K + M, K + M, m)``, of S."""
        return _completed(own, self.taught)

    def covariance(self, fields: Vector) -> Vector:
        """Complete the students' rows of the covariance of all fields."""
        count, total = fields.shape
        covariance = np.empty((total, total))
        covariance[:count] = fields
        covariance[count:, :count] = fields[:, count:].T
        covariance[count:, count:] = self._of_teachers
        return covariance

    @cached_property
    def _of_teachers(self) -> Vector:
        """Covariance of the teachers' fields."""
        found: Vector = self.taught @ self.problem.eigenvalues
        return found

    def _averages(self, fields: Vector, readout: Vector) -> Gradients:
        signs = np.concatenate([readout, -self.problem.teacher_readout])
        return gradients(self.covariance(fields), signs, readout.size)

    def _slope(self, whole: Vector, fields: Vector, readout: Vector) -> Vector:
        """Return the slope, given the overlaps of all units and the covariance of fields apart."""
        problem, found = self.problem, self._averages(fields, readout)
        change = _driven(-self.step_size * readout[:, None] * found.drift, whole)
        kicks = self.step_size**2 * (readout[:, None] * readout) * (found.kicks + self.noise_variance * found.slopes)
        change[:, : readout.size] += kicks[:, :, None] * problem.shares
        change *= problem.eigenvalues
        return np.concatenate([change.ravel(), -self.readout_step_size * found.residuals])


def _completed(own: Vector, taught: Vector) -> Vector:
    """Return the overlaps of all units, of those of students with all and of teachers with each other."""
    count, total, modes = own.shape
    whole = np.empty((total, total, modes))
    whole[:count] = own
    whole[count:, :count] = own[:, count:].swapaxes(0, 1)
    whole[count:, count:] = taught
    return whole


def _driven(drift: Vector, whole: Vector) -> Vector:
    """Return ``drift S`` for students with all, and its transpose added where both are students."""
    count = drift.shape[0]
    change: Vector = (drift @ whole.reshape(whole.shape[0], -1)).reshape(count, *whole.shape[1:])
    between = change[:, :count]
    between += between.swapaxes(0, 1).copy()
    return change


def _read(
    problem: Committee, teacher: TeacherNetwork, times: Vector, path: Trajectory, covariances: Vector, signs: Vector
) -> CommitteePrediction:
    count = problem.n_students
    excess = np.array([2.0 * half_square(c, s) for c, s in zip(covariances, signs, strict=True)]).clip(0.0)
    roots = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    scale = roots[:, :count, None] * roots[:, None, count:]
    correlations = np.abs(covariances[:, :count, count:]) / np.where(scale > 0.0, scale, 1.0)
    ranked = np.sort(correlations, axis=-1)
    chosen = ranked[..., -1] - (ranked[..., -2] if problem.n_teachers > 1 else 0.0)
    spectra = np.linalg.eigvalsh(covariances)
    violated = float(np.max(-spectra[:, 0] / spectra[:, -1], initial=0.0))
    # Beyond the bound it is the closed forms that fail: erf is bounded, and so are the errors.
    failed = (path.status != "converged") | (violated > ACCURACY)
    shape = times.shape
    columns: dict[str, Any] = {
        "test_error": excess + teacher.noise_variance,
        "excess_risk": excess,
        "specialisation": np.mean(chosen, axis=-1),
        "status": np.where(failed, "not_converged", "converged"),
    }
    columns = {name: values.reshape(shape) for name, values in columns.items()}
    if not shape:
        columns = {name: values.item() for name, values in columns.items()}
    return CommitteePrediction(
        **columns,
        self_overlaps=covariances[:, :count, :count].reshape(*shape, count, count),
        overlaps=covariances[:, :count, count:].reshape(*shape, count, problem.n_teachers),
        readout=signs[:, :count].reshape(*shape, count),
        residual=violated,
        iterations=path.evaluations,
    )
