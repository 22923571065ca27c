"""Two-layer networks that learn from others, as problems: what is given, what stands for the rest, and what is refused."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from theory.covariance import InadmissibleProblem, Spectrum
from theory.learners.trajectories import gathered

Vector = npt.NDArray[np.float64]

ROUNDING = 1e-12
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


class Committee(NamedTuple):
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
    def of(cls, student: TwoLayerStudent, teacher: TeacherNetwork, n_samples: Vector) -> "Committee":
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
        for owner in (student, teacher):
            if owner.hidden_units != int(owner.hidden_units):
                raise InadmissibleProblem(
                    f"hidden_units must be a whole number, got {owner.hidden_units!r}", argument="hidden_units"
                )
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
    if n_features < count + taught:
        raise InadmissibleProblem(
            f"{count} + {taught} hidden units are apart in as many dimensions, got n_features = {n_features:g}: use fewer"
            " units or more features",
            argument="n_features",
        )
    of_teacher = np.eye(taught) if teacher.overlaps is None else _matrix("overlaps", teacher.overlaps, taught, taught)
    if student.initial_self_overlaps is None:
        own = student.initial_variance * np.eye(count)
    else:
        own = _matrix("initial_self_overlaps", student.initial_self_overlaps, count, count)
    if student.initial_overlaps is None:
        size = np.sqrt(np.outer(np.diagonal(own), np.diagonal(of_teacher)).clip(0.0) / n_features)
        shared = size * typical_overlaps(count, taught)
    else:
        shared = _matrix("initial_overlaps", student.initial_overlaps, count, taught)
    for name, square in (("initial_self_overlaps", own), ("overlaps", of_teacher)):
        if not np.allclose(square, square.T, rtol=ROUNDING, atol=0.0):
            raise InadmissibleProblem(f"{name} must be symmetric, got {square.tolist()!r}", argument=name)
        least = float(np.linalg.eigvalsh(square)[0])
        if least < -ROUNDING * max(float(np.max(np.abs(square))), 1.0):
            raise InadmissibleProblem(
                f"{name} must be those of some weights: a combination of these has the square {least:.3g}",
                argument=name,
            )
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


def _refuse_symmetry(problem: Committee) -> None:
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


def _check_number(name: str, value: float, least: float | None) -> None:
    """Refuse what is not finite, below ``least`` or, where that is None, not positive."""
    if not (value > 0.0 if least is None else value >= least) or not np.isfinite(value):
        rule = "positive" if least is None else f"at least {least:g}"
        raise InadmissibleProblem(f"{name} must be finite and {rule}, got {value!r}", argument=name)


def _vector(name: str, values: npt.ArrayLike, count: int) -> Vector:
    array = np.asarray(values, float)
    if array.ndim > 1 or (array.ndim == 1 and array.size != count) or not np.all(np.isfinite(array)):
        raise InadmissibleProblem(
            f"{name} must be a finite number for each of the {count} hidden units, got {values!r}",
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
