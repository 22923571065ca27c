"""One-pass SGD of a two-layer network on the labels of another: soft committee machines, a student and its teacher.

The student is ``f(x) = sum_k v_k erf(w_k . x / sqrt(2 d))``, the teacher the same with hidden units of its own, and noise. The
fields ``w . x / sqrt(d)`` of all units are Gaussian with a covariance C. In the directions of an eigenvalue s, a share p of
all, the units have overlaps S, ``C = sum s S``, and with eta the step size and alpha = n / d

    dS_kb/dalpha = -eta v_k s sum_c H_kc S_cb + (k <-> b, for a student b) + eta^2 v_k v_b s p (I4_kb + noise_variance J2_kb),

H, I4 and J2 being Gaussian averages in closed form. Read-outs that are trained follow ``dv_k/dalpha = -eta_v E g(u_k) Delta``.

Sources: Saad and Solla, doi:10.1103/PhysRevE.52.4225; trained read-outs and several sizes: Goldt, Advani, Saxe, Krzakala,
Zdeborova, arXiv:1906.08632; inputs of any covariance: Yoshida and Okada, arXiv:2001.03371.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from theory.covariance import InadmissibleProblem, Spectrum
from theory.learners.committee_averages import gradients, half_square
from theory.learners.trajectories import Trajectory, gathered, integrate

Vector = npt.NDArray[np.float64]

MOST_OVERLAP = 1e8
"""Of a unit with itself; from there on closed forms lose the digits that the integration asks for."""
ROUNDING = 1e-12
ACCURACY = 1e-6
IRRATIONAL = float(np.sqrt(190.0))


@dataclass(frozen=True, kw_only=True, eq=False)
class TeacherNetwork:
    """What makes the labels: ``sum_n readout_n erf(w*_n . x / sqrt(2 d)) + noise``, x Gaussian.

    Attributes:
        hidden_units: M, at least 1.
        spectrum: covariance of the inputs, with multiplicities that sum to d; see :mod:`theory.covariance`.
        readout: one number for all units, or M of them; 1 by default.
        overlaps: T, shape ``(M, M)``, ``w*_n . w*_m / d``, the same in every direction of the inputs; 1 on the diagonal and 0
            off it by default, random directions with weights of variance 1.
        noise_variance: of the labels, at least 0.
    """

    hidden_units: int
    spectrum: Spectrum
    readout: npt.ArrayLike = 1.0
    overlaps: npt.ArrayLike | None = None
    noise_variance: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class TwoLayerStudent:
    """What learns: ``sum_k readout_k erf(w_k . x / sqrt(2 d))``, by ``w <- w - step_size grad (y - f)^2 / 2``.

    The start is that of a random one unless its overlaps are given: weights of variance ``initial_variance``, so that units are
    orthogonal up to 1 / sqrt(d). What little a student k has of a teacher n decides when and as what it specialises; it is
    set to ``sqrt(initial_variance T_nn / d)`` times the entry of :func:`typical_overlaps`.

    Attributes:
        hidden_units: K, at least 1.
        step_size: eta > 0, of order 1: that of Saad and Solla.
        readout: one number for all units, or K of them; at the start, where it is trained. 1 by default.
        readout_step_size: eta_v, at least 0: ``v <- v - (readout_step_size / d) grad (y - f)^2 / 2``. 0, by default, keeps the
            read-out.
        initial_variance: Q_kk, at least 0; 0.25 by default, the mean of the uniform draws of Saad and Solla.
        initial_overlaps: R, shape ``(K, M)``: ``w_k . w*_n / d`` at the start.
        initial_self_overlaps: Q, shape ``(K, K)``: ``w_k . w_l / d`` at the start, instead of ``initial_variance``.
    """

    hidden_units: int
    step_size: float
    readout: npt.ArrayLike = 1.0
    readout_step_size: float = 0.0
    initial_variance: float = 0.25
    initial_overlaps: npt.ArrayLike | None = None
    initial_self_overlaps: npt.ArrayLike | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitteePrediction:
    """What the student attains; for a trajectory every field but the last two has the shape of ``n_samples`` in front.

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


def predict_committee(
    student: TwoLayerStudent, teacher: TeacherNetwork, n_samples: npt.ArrayLike
) -> CommitteePrediction:
    """Predict the errors of a student after n_samples fresh samples, a step each.

    The limit of many inputs d at ``n_samples`` of their order and finitely many hidden units; corrections are O(1/d), and
    beside a plateau a start that differs by the usual 1 / sqrt(d) leaves it at a somewhat different time.

    Args:
        student: what learns, and how it starts.
        teacher: what makes the labels, and the inputs.
        n_samples: at least 0, real; any shape. A trajectory costs no more than its last point.

    Returns:
        Errors and overlaps along the way, by LSODA to a relative 1e-9 a step.

    Raises:
        InadmissibleProblem: an argument is out of its domain, overlaps are not those of any weights, or symmetry keeps the
            student from telling hidden units apart.

    Source: see :mod:`theory.learners.committee`.
    """
    times = np.asarray(n_samples, float)
    problem = _Problem.of(student, teacher, times)
    count, total = problem.n_students, problem.n_students + problem.n_teachers
    eigenvalues, shares = problem.eigenvalues, problem.shares
    eta, eta_readout, noise = student.step_size, student.readout_step_size, teacher.noise_variance
    taught = shares[:, None, None] * problem.overlaps[count:, count:]
    fixed = np.tensordot(eigenvalues, taught, 1)

    def unpacked(state: Vector) -> tuple[Vector, Vector, Vector]:
        """Return the students' overlaps by eigenvalue, the fields' covariance, and the signs."""
        own = state[: eigenvalues.size * count * total].reshape(eigenvalues.size, count, total)
        covariance = np.empty((total, total))
        covariance[:count] = np.tensordot(eigenvalues, own, 1)
        covariance[count:, :count] = covariance[:count, count:].T
        covariance[count:, count:] = fixed
        readout = state[own.size :]
        return own, covariance, np.concatenate([readout, -problem.teacher_readout])

    def slope(state: Vector) -> Vector:
        """By alpha."""
        own, covariance, signs = unpacked(state)
        found = gradients(covariance, signs, count)
        readout = signs[:count]
        whole = np.empty((eigenvalues.size, total, total))
        whole[:, :count] = own
        whole[:, count:, :count] = np.swapaxes(own[:, :, count:], 1, 2)
        whole[:, count:, count:] = taught
        change = (-eta * readout[:, None] * found.drift) @ whole
        change *= eigenvalues[:, None, None]
        change[:, :, :count] += np.swapaxes(change[:, :, :count], 1, 2).copy()
        kicks = eta**2 * np.outer(readout, readout) * (found.kicks + noise * found.slopes)
        change[:, :, :count] += (eigenvalues * shares)[:, None, None] * kicks
        return np.concatenate([change.ravel(), -eta_readout * found.residuals])

    start = np.concatenate([(shares[:, None, None] * problem.overlaps[:count]).ravel(), problem.readout])
    path = integrate(slope, start, times.ravel() / problem.n_features, scale=1.0, bound=MOST_OVERLAP)
    covariances, readouts = [], []
    for state in path.states:
        _, covariance, signs = unpacked(state)
        covariances.append(covariance)
        readouts.append(signs)
    return _read(problem, teacher, times, path, np.array(covariances), np.array(readouts))


class _Problem(NamedTuple):
    """Checked and completed.

    Attributes:
        eigenvalues, shares: shape ``(m,)``; shares of all directions, those without variance left out.
        overlaps: shape ``(K + M, K + M)``, at the start: w . w / d.
        readout, teacher_readout: shapes ``(K,)`` and ``(M,)``.
    """

    eigenvalues: Vector
    shares: Vector
    n_features: float
    n_students: int
    n_teachers: int
    overlaps: Vector
    readout: Vector
    teacher_readout: Vector

    @classmethod
    def of(cls, student: TwoLayerStudent, teacher: TeacherNetwork, n_samples: Vector) -> "_Problem":
        """Check and complete."""
        if not (np.all(n_samples >= 0.0) and np.all(np.isfinite(n_samples))):
            raise InadmissibleProblem(
                f"n_samples must be finite and at least 0, got {n_samples!r}", argument="n_samples"
            )
        for owner, name, least in (
            (student, "hidden_units", 1),
            (teacher, "hidden_units", 1),
            (student, "step_size", None),
            (student, "readout_step_size", 0.0),
            (student, "initial_variance", 0.0),
            (teacher, "noise_variance", 0.0),
        ):
            _check_number(name, float(getattr(owner, name)), least)
        spectrum = teacher.spectrum
        eigenvalues, multiplicities = (
            np.asarray(spectrum.eigenvalues, float),
            np.asarray(spectrum.multiplicities, float),
        )
        n_features = float(np.sum(multiplicities)) if spectrum.count is None else spectrum.count
        varying = eigenvalues > 0.0
        if not np.any(varying & (multiplicities > 0.0)):
            raise InadmissibleProblem(
                "the inputs must vary: give an eigenvalue a positive value", argument="covariance"
            )
        eigenvalues, counts = gathered(eigenvalues[varying], multiplicities[varying])
        overlaps = _initial_overlaps(student, teacher, n_features)
        problem = cls(
            eigenvalues=eigenvalues,
            shares=counts / n_features,
            n_features=n_features,
            n_students=student.hidden_units,
            n_teachers=teacher.hidden_units,
            overlaps=overlaps,
            readout=_vector("readout", student.readout, student.hidden_units),
            teacher_readout=_vector("readout", teacher.readout, teacher.hidden_units),
        )
        _refuse_symmetry(problem)
        return problem


def typical_overlaps(n_students: int, n_teachers: int) -> Vector:
    """Return a table that stands for K x M independent standard normal numbers, the same whenever it is asked for.

    Entry j in reading order, from 1, is the normal quantile of the fractional part of ``sqrt(190) j (j + 1) / 2``. What
    decides when students choose teachers is the table less the means of its rows and columns. Of the square roots up to 200,
    this one makes the norm and the least singular value of that most typical: for 2 to 6 units on either side both lie within
    the middle 76 % of what random tables have.
    """
    order = np.arange(1.0, n_students * n_teachers + 1.0)
    quantiles: Vector = ndtri(np.mod(IRRATIONAL * order * (order + 1.0) / 2.0, 1.0))
    return quantiles.reshape(n_students, n_teachers)


def _initial_overlaps(student: TwoLayerStudent, teacher: TeacherNetwork, n_features: float) -> Vector:
    count, taught = student.hidden_units, teacher.hidden_units
    of_teacher = np.eye(taught) if teacher.overlaps is None else _matrix("overlaps", teacher.overlaps, taught, taught)
    if student.initial_self_overlaps is None:
        own = student.initial_variance * np.eye(count)
    else:
        own = _matrix("initial_self_overlaps", student.initial_self_overlaps, count, count)
    if student.initial_overlaps is None:
        size = np.sqrt(np.outer(np.diagonal(own), np.diagonal(of_teacher)) / n_features)
        shared = size * typical_overlaps(count, taught)
    else:
        shared = _matrix("initial_overlaps", student.initial_overlaps, count, taught)
    for name, square in (("initial_self_overlaps", own), ("overlaps", of_teacher)):
        if not np.allclose(square, square.T, rtol=ROUNDING, atol=0.0):
            raise InadmissibleProblem(f"{name} must be symmetric, got {square.tolist()!r}", argument=name)
    whole = np.block([[own, shared], [shared.T, of_teacher]])
    least, most = np.linalg.eigvalsh(whole)[[0, -1]]
    if least < -ROUNDING * max(most, 1.0):
        name = (
            "n_features"
            if student.initial_overlaps is None and student.initial_self_overlaps is None
            else "initial_overlaps"
        )
        raise InadmissibleProblem(
            f"no weights have these overlaps, of which a combination has the square {least:.3g}: take overlaps that are smaller"
            " beside the norms, or more features",
            argument=name,
        )
    return whole


def _refuse_symmetry(problem: _Problem) -> None:
    """Refuse starts at which two hidden units could be exchanged without any difference: they stay like that."""
    count, total = problem.n_students, problem.n_students + problem.n_teachers
    readout = np.concatenate([problem.readout, problem.teacher_readout])
    groups = ((0, count, "students"), (count, total, "teachers"))
    for first, last, name in groups:
        if name == "teachers" and count == 1:
            continue  # A single student does not choose.
        for one in range(first, last):
            for other in range(one + 1, last):
                order = np.arange(total)
                order[[one, other]] = other, one
                swapped = problem.overlaps[np.ix_(order, order)]
                if readout[one] == readout[other] and np.array_equal(swapped, problem.overlaps):
                    raise InadmissibleProblem(
                        f"the start does not distinguish the {name} {one - first} and {other - first}, and learning never"
                        " will: give initial_overlaps entries that differ, of the order of"
                        f" {1.0 / np.sqrt(problem.n_features):.2g} = 1 / sqrt(n_features) as random starts have, or leave"
                        " them out",
                        argument="initial_overlaps",
                    )


def _read(
    problem: _Problem, teacher: TeacherNetwork, times: Vector, path: Trajectory, covariances: Vector, signs: Vector
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


def _check_number(name: str, value: float, least: float | None) -> None:
    """Refuse what is not finite, below ``least`` or, where that is None, not positive."""
    if not (value > 0.0 if least is None else value >= least) or not np.isfinite(value):
        rule = "positive" if least is None else f"at least {least:g}"
        raise InadmissibleProblem(f"{name} must be finite and {rule}, got {value!r}", argument=name)


def _vector(name: str, values: npt.ArrayLike, count: int) -> Vector:
    array = np.asarray(values, float)
    if array.ndim > 1 or (array.ndim == 1 and array.size != count) or not np.all(np.isfinite(array)):
        raise InadmissibleProblem(
            f"{name} must be one finite number, or one for each of the {count} hidden units, got {values!r}",
            argument=name,
        )
    return np.broadcast_to(array, (count,)).astype(float)


def _matrix(name: str, values: npt.ArrayLike, rows: int, columns: int) -> Vector:
    array = np.asarray(values, float)
    if array.shape != (rows, columns) or not np.all(np.isfinite(array)):
        raise InadmissibleProblem(
            f"{name} must be a {rows} x {columns} table of finite numbers, got shape {array.shape}", argument=name
        )
    return array
