"""One-pass SGD of a single neuron, or generalised linear model, on the labels of another.

The student ``f = phi(w . x)`` and the teacher ``y = phi*(w* . x) + noise`` have Gaussian pre-activations r and r*, whose joint
covariance is all that the error depends on. With l' = (phi(r) - y) phi'(r) the derivative of the loss, H1 and H2 the means of
its derivatives by r and r*, and I its mean square, the weights in the directions of an eigenvalue s follow, per sample,

    d(w.w)/dn = -2 step_size s (H1 w.w + H2 w.w*) + step_size^2 s m I,     d(w.w*)/dn = -step_size s (H1 w.w* + H2 w*.w*).

What is integrated is ``s (w - w*)^2`` and ``s (w* - w) . w*``, so that an error keeps its digits as it vanishes.

Sources: Collins-Woodfin, Paquette, Paquette, Seroussi, arXiv:2308.08977; Saad and Solla, doi:10.1103/PhysRevE.52.4225.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from theory.activations.activation import Activation
from theory.covariance import InadmissibleProblem
from theory.learners.neuron_averages import NeuronAverages, is_lattice_summed, neuron_averages, standard_panels
from theory.learners.trajectories import FEW, Trajectory, gathered, integrate
from theory.modes import Modes

Vector = npt.NDArray[np.float64]


class Averages(Protocol):
    """The averages at a state of the order parameters."""

    def __call__(self, state: Vector, *, finer: bool = False) -> NeuronAverages:
        """Return them."""
        ...


ROUNDING, TINY = 1e-12, float(np.finfo(float).tiny)
ACCURACY = 1e-7
"""Relative difference of the averages on a finer quadrature up to which that is confirmed."""
DIFFERENCE = 1e-6
"""Of differences in place of derivatives, relative."""
UNBOUNDED = 1e12
"""Growth by this factor is divergence."""
MOST_PHASES = 2500.0
"""Of an oscillating student's pre-activation, whose variance is followed up to here in units of its wavelength's square: its
error is that of a random phase by then."""
MOST_VARIANCE = 400.0
"""Of the teacher's pre-activation where its activation saturates: averages take ever finer quadratures beyond."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SingleIndexPrediction:
    """What a neuron attains; floats for one number of samples, arrays of the shape of ``n_samples`` for a trajectory.

    Attributes:
        test_error: mean squared error against a fresh noisy label; infinite where ``status`` is "divergent".
        excess_risk: ``test_error - noise_variance``.
        norm_squared: ``||w||^2``.
        overlap: correlation of the student's and the teacher's pre-activations; 0 for a student at 0.
        critical_step_size: where student and teacher have the same activation, the step from which on the teacher's own
            weights are unstable; None otherwise.
        status: "converged", "divergent" where the weights grow without bound, or "not_converged".
        residual: relative change of what the integration reads at the end on a finer quadrature.
        iterations: evaluations of the averages.
        followed: the equations and the way that the state took, where that was recorded.
    """

    test_error: Any
    excess_risk: Any
    norm_squared: Any
    overlap: Any
    critical_step_size: float | None
    status: Any
    residual: float
    iterations: int
    followed: "tuple[Motion, Trajectory] | None" = None


def predict_single_index(
    modes: Modes,
    n_samples: npt.ArrayLike,
    step_size: float,
    *,
    activation: Activation,
    teacher_activation: Activation | None = None,
    initial_norm_squared: float = 0.0,
    initial_overlap: float = 0.0,
    record: bool = False,
) -> SingleIndexPrediction:
    """Predict the errors after ``w <- w - step_size grad (y - phi(w . x))^2 / 2`` on n_samples fresh samples.

    The limit of many comparable modes at ``n_samples`` and ``1 / step_size`` of their order; corrections are O(1/d).

    Args:
        modes: covariance of the inputs, with energies those of ``w* . x``: E[(P_i w* . x)^2]; what is unlearnable acts as
            noise.
        n_samples: at least 0, real; any shape. A trajectory costs no more than its last point.
        step_size: positive.
        activation: phi of the student, continuous.
        teacher_activation: phi* of the teacher, any; that of the student by default.
        initial_norm_squared: ``||w(0)||^2``; 0 by default. Apart from its overlap the start is a random direction.
        initial_overlap: cosine of the angle between w(0) and w*, in [-1, 1].
        record: whether to return what derivatives are taken along.

    Returns:
        Errors along the way, by LSODA to a relative 1e-9 a step.

    Raises:
        InadmissibleProblem: an argument is out of its domain; the student's activation has jumps, so that its gradient
            vanishes, or a kink at 0 where it starts; or the start is one that symmetry keeps from learning.

    Source: see :mod:`theory.learners.single_index`.
    """
    teacher = teacher_activation or activation
    times = np.asarray(n_samples, float)
    _check(modes, times, step_size, activation, teacher, initial_norm_squared, initial_overlap)
    xi, counts, energies = _atoms(modes)
    signal, noise = float(np.sum(energies)), float(modes.noise_variance + modes.unlearnable_variance)
    start = _start(xi, counts, energies, float(modes.n_modes), initial_norm_squared, initial_overlap)
    size = xi.size
    most = MOST_PHASES * activation.finest**2
    if float(np.sum(start[:size])) > most:
        raise InadmissibleProblem(
            f"the student's pre-activation starts with a variance above {most:g}, where {activation.kind} is all but noise;"
            " start closer to 0",
            argument="initial_norm_squared",
        )

    motion = Motion(
        eigenvalues=xi,
        multiplicities=counts,
        energies=energies,
        noise_variance=noise,
        step_size=step_size,
        activation=activation,
        teacher=teacher,
    )
    scale = signal + float(np.sum(start[:size]))
    path = integrate(
        motion.slope,
        start,
        step_size * times.ravel(),
        jacobian=motion.jacobian,
        scale=scale,
        bound=min(UNBOUNDED * scale, most),
        record=record,
    )
    if np.isfinite(most):
        path.status[path.status == "divergent"] = "not_converged"
    states = path.states
    finite = path.status != "divergent"
    errors = [motion.averages(state) for state in states]
    excess = np.where(finite, [found.risk for found in errors], np.inf) + float(modes.unlearnable_variance)
    settled = states[path.status == "converged"]
    residual = _residual(motion.averages, [start, *settled[-1:]], noise)
    status = np.where((path.status == "converged") & (residual > ACCURACY), "not_converged", path.status)
    norm = (states[:, :size] - 2.0 * states[:, size:] + energies) @ (1.0 / xi)
    columns: dict[str, Any] = {
        "test_error": excess + float(modes.noise_variance),
        "excess_risk": excess,
        "norm_squared": np.where(finite, np.maximum(norm, 0.0), np.inf),
        "overlap": np.array([found.correlation for found in errors]),
        "status": status,
    }
    columns = {name: values.reshape(times.shape) for name, values in columns.items()}
    if times.ndim == 0:
        columns = {name: values.item() for name, values in columns.items()}
    return SingleIndexPrediction(
        **columns,
        critical_step_size=_critical(activation, teacher, signal, float(modes.trace)),
        residual=residual,
        iterations=path.evaluations,
        followed=(motion, path) if record else None,
    )


@dataclass(frozen=True, kw_only=True)
class Motion:
    """The equations of motion by ``step_size * n``. The state is ``s (w - w*)^2`` of every mode, then ``s (w* - w) . w*``.

    Attributes:
        eigenvalues, multiplicities, energies: of the modes, shape ``(m,)``.
        noise_variance: of the labels, what is unlearnable included.
        step_size: of SGD.
        activation, teacher: phi and phi*.
    """

    eigenvalues: Vector
    multiplicities: Vector
    energies: Vector
    noise_variance: float
    step_size: float
    activation: Activation
    teacher: Activation

    def sums(self, state: Vector) -> tuple[float, float, float]:
        """Return E r*^2, E (r - r*)^2 and E (r* - r) r*."""
        size = self.eigenvalues.size
        return float(np.sum(self.energies)), float(np.sum(state[:size])), float(np.sum(state[size:]))

    def averages(self, state: Vector, *, finer: bool = False) -> NeuronAverages:
        """Return the averages at a state."""
        signal, apart, short = self.sums(state)
        return neuron_averages(self.activation, self.teacher, signal=signal, apart=apart, short=short, finer=finer)

    def slope(self, state: Vector) -> Vector:
        """Return the slope of the state."""
        xi, size = self.eigenvalues, self.eigenvalues.size
        restoring, mismatch, kick = _read(self.averages(state), self.noise_variance)
        apart, short = state[:size], state[size:]
        return np.concatenate(
            [
                -2.0 * xi * (restoring * apart - mismatch * short)
                + self.step_size * xi * xi * self.multiplicities * kick,
                xi * (mismatch * self.energies - restoring * short),
            ]
        )

    def jacobian(self, state: Vector) -> Vector:
        """Return the slope's, which is linear in the state and in the three averages that it takes from its sums."""
        xi, size, noise = self.eigenvalues, self.eigenvalues.size, self.noise_variance
        apart, short = state[:size], state[size:]
        signal, *sums_of_state = self.sums(state)
        sums = np.array(sums_of_state)
        steps = DIFFERENCE * (np.abs(sums) + DIFFERENCE * signal)
        shifted = (sums, *(sums + np.diag(steps)))
        read = [_read(self.averages(np.repeat(one / size, size)), noise) for one in shifted]
        restoring, mismatch, _ = read[0]
        by_average = np.stack(
            [
                np.concatenate([-2.0 * xi * apart, -xi * short]),
                np.concatenate([2.0 * xi * short, xi * self.energies]),
                np.concatenate([self.step_size * xi * xi * self.multiplicities, np.zeros(size)]),
            ],
            axis=1,
        )
        by_sum = by_average @ ((np.array(read[1:]) - read[0]) / steps[:, None]).T
        whole = np.repeat(by_sum, size, axis=1)
        place = np.arange(size)
        whole[place, place] -= 2.0 * xi * restoring
        whole[place, size + place] += 2.0 * xi * mismatch
        whole[size + place, size + place] -= xi * restoring
        return whole


def _atoms(modes: Modes) -> tuple[Vector, Vector, Vector]:
    """Return eigenvalues, multiplicities and energies; where they are many, Gauss rules for the two apart."""
    if modes.eigenvalues.size <= FEW:
        return modes.eigenvalues, modes.multiplicities, modes.energies
    of_counts, counts = gathered(modes.eigenvalues, modes.multiplicities)
    of_energies, energies = gathered(modes.eigenvalues, modes.energies)
    return (
        np.concatenate([of_counts, of_energies]),
        np.concatenate([counts, np.zeros_like(energies)]),
        np.concatenate([np.zeros_like(counts), energies]),
    )


def _start(xi: Vector, counts: Vector, energies: Vector, n_modes: float, norm_squared: float, overlap: float) -> Vector:
    """Return ``s (w - w*)^2`` and ``s (w* - w) . w*`` at the start."""
    along = overlap * np.sqrt(norm_squared / float(np.sum(energies / xi)))
    across = (1.0 - overlap * overlap) * norm_squared * xi * counts / n_modes
    return np.concatenate([(1.0 - along) ** 2 * energies + across, (1.0 - along) * energies])


def _read(mean: NeuronAverages, noise: float) -> tuple[float, float, float]:
    """Return what the slope depends on."""
    return mean.restoring, mean.mismatch, mean.gradient_square + noise * mean.slope_square


def _residual(averages: Averages, ends: list[Vector], noise: float) -> float:
    """Compare what the integration reads with a finer quadrature, at the start and at the end.

    What has become small beside what it was is compared with that: it is rounding.
    """
    found, largest = 0.0, np.zeros(3)
    for state in ends:
        coarse, fine = averages(state, finer=False), averages(state, finer=True)
        (restoring, _, kick), (fine_restoring, _, fine_kick) = _read(coarse, noise), _read(fine, noise)
        scale = np.array([fine.risk + noise, fine_kick, fine.slope_square])
        largest = np.maximum(largest, scale)
        gaps = np.abs([coarse.risk - fine.risk, kick - fine_kick, restoring - fine_restoring])
        found = max(found, float(np.max(gaps / np.maximum(scale, ROUNDING * largest + TINY))))
    return found


def _critical(student: Activation, teacher: Activation, signal: float, trace: float) -> float | None:
    """``2 E phi'^2 / (E phi'^4 trace)``: where the noise of gradients undoes what they gain, beside the teacher's weights."""
    if student != teacher:
        return None
    z, weights = standard_panels(student, np.sqrt(signal))
    squared = student.slope(np.sqrt(signal) * z) ** 2
    return float(2.0 * (weights @ squared) / ((weights @ squared**2) * trace))


def _check(
    modes: Modes,
    n_samples: Vector,
    step_size: float,
    student: Activation,
    teacher: Activation,
    norm_squared: float,
    overlap: float,
) -> None:
    if modes.eigenvalues.ndim != 1:
        raise InadmissibleProblem("neurons are trained one at a time: pass a mode table of shape (m,)")
    if not (np.all(n_samples >= 0.0) and np.all(np.isfinite(n_samples))):
        raise InadmissibleProblem(f"n_samples must be finite and at least 0, got {n_samples!r}", argument="n_samples")
    if not 0.0 < step_size < np.inf:
        raise InadmissibleProblem(f"step_size must be positive and finite, got {step_size!r}", argument="step_size")
    if not 0.0 <= norm_squared < np.inf:
        raise InadmissibleProblem(
            f"initial_norm_squared must be finite and at least 0, got {norm_squared!r}", argument="initial_norm_squared"
        )
    if not -1.0 <= overlap <= 1.0:
        raise InadmissibleProblem(
            f"initial_overlap is a cosine, in [-1, 1], got {overlap!r}", argument="initial_overlap"
        )
    if modes.tail_trace > 0.0 or modes.n_unpenalised:
        raise InadmissibleProblem(
            "a neuron sees inputs: neither infinitely many infinitesimal directions nor a constant that is fitted apart",
            argument="tail_trace" if modes.tail_trace > 0.0 else "fit_intercept",
        )
    if not modes.signal_variance > 0.0:
        raise InadmissibleProblem(
            "the teacher's pre-activation must vary: give signal_variance a positive value", argument="signal_variance"
        )
    if is_lattice_summed(teacher) and modes.signal_variance > MOST_VARIANCE:
        raise InadmissibleProblem(
            f"the teacher's pre-activation has variance {modes.signal_variance:g}, above {MOST_VARIANCE:g}: {teacher.kind} is"
            " all but piecewise linear there; scale it down, or use sign, relu or abs",
            argument="signal_variance",
        )
    if modes.signal_variance > MOST_PHASES * teacher.finest**2:
        raise InadmissibleProblem(
            f"the teacher's pre-activation has variance {modes.signal_variance:g}, above {MOST_PHASES * teacher.finest**2:g}:"
            f" {teacher.kind} is all but noise there; scale it down",
            argument="signal_variance",
        )
    _check_start(modes, student, teacher, norm_squared, overlap)


def _check_start(modes: Modes, student: Activation, teacher: Activation, norm_squared: float, overlap: float) -> None:
    if student.discontinuities:
        raise InadmissibleProblem(
            f"{student.kind} has no slope almost everywhere, so that its gradient vanishes; train erf or tanh instead",
            argument="activation",
        )
    if norm_squared == 0.0 and overlap != 0.0:
        raise InadmissibleProblem(
            "a start at 0 has no direction: give initial_norm_squared a positive value, or initial_overlap the value 0",
            argument="initial_overlap",
        )
    typical = 1.0 / np.sqrt(modes.n_modes)
    if norm_squared == 0.0 and (student.kinks or float(student.slope(np.zeros(1))[0]) == 0.0):
        raise InadmissibleProblem(
            f"{student.kind} has no slope at 0, where this start leaves all pre-activations: set initial_norm_squared, for"
            f" example to 1, and initial_overlap, for example to the {typical:.2g} of a random start",
            argument="initial_norm_squared",
        )
    even = [one.parity == "even" for one in (student, teacher)]
    blind = {student.parity, teacher.parity} == {"even", "odd"}
    if overlap == 0.0 and any(even) and not blind:
        raise InadmissibleProblem(
            f"a start without overlap stays without it where an activation is even, {student.kind} or {teacher.kind}: set"
            f" initial_overlap, for example to the {typical:.2g} = 1 / sqrt(n_features) of a random start",
            argument="initial_overlap",
        )
