"""One-pass SGD of neurons and two-layer networks on the labels of others of their kind: many replicates side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np
import numpy.typing as npt

from simulation.activations import evaluate
from simulation.arrays import dot, like, on_host, transposed
from simulation.batches import in_batches
from simulation.devices import HOST, Device, Streams
from simulation.domains import nonnegative, positive
from simulation.online import DRAWN_TOGETHER, checkpoints
from simulation.slopes import slope
from theory.activations import Activation
from theory.covariance import InadmissibleProblem

Array = npt.NDArray[np.float64]

N_TEST = 10_000
"""Fresh draws of the pre-activations on which each replicate measures its excess risk."""
ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class OnlineNetwork:
    """What to draw and how to train on it.

    The student is ``f(x) = sum_k v_k phi(scale w_k . x)``, labels are ``sum_n v*_n phi*(scale w*_n . x) + noise``, inputs are
    Gaussian in the eigenbasis of their covariance. Every sample gives ``w <- w - step_size grad (y - f)^2 / 2``, and the same
    for v with a step of its own. A single neuron has K = M = 1, ``scale = 1``; the committee machines of statistical
    physics have the activation erf and ``scale = 1 / sqrt(2 d)``.

    Weights at the start have the overlaps asked for, exactly, and directions that are otherwise random in every replicate.

    Attributes:
        eigenvalues: shape ``(d,)``, nonnegative: variance of each input.
        activation: phi of the student, continuous.
        teacher_activation: phi* of the teacher.
        n_samples: whole; or several, ascending, at each of which the same run is measured.
        step_size: positive, of the weights.
        self_overlaps: shape ``(K, K)``: ``w_k . w_l`` at the start.
        overlaps: shape ``(K, M)``: ``w_k . w*_n`` at the start.
        teacher_overlaps: shape ``(M, M)``: ``w*_n . w*_m``; directions are random.
        teacher_weights: shape ``(M, d)``, the same in every replicate, instead of ``teacher_overlaps``.
        readout: v at the start, shape ``(K,)``; ones by default.
        teacher_readout: v*, shape ``(M,)``; ones by default.
        readout_step_size: at least 0; 0 keeps the read-out.
        input_scale: positive.
        noise_variance: of the labels.

    Raises:
        InadmissibleProblem: a field is out of its domain, shapes do not fit together, or no weights have such overlaps.
    """

    eigenvalues: npt.ArrayLike
    activation: Activation
    teacher_activation: Activation
    n_samples: int | Sequence[int]
    step_size: float
    self_overlaps: npt.ArrayLike
    overlaps: npt.ArrayLike
    teacher_overlaps: npt.ArrayLike | None = None
    teacher_weights: npt.ArrayLike | None = None
    readout: npt.ArrayLike | None = None
    teacher_readout: npt.ArrayLike | None = None
    readout_step_size: float = 0.0
    input_scale: float = 1.0
    noise_variance: float = 0.0

    def __post_init__(self) -> None:
        positive("step_size", self.step_size)
        positive("input_scale", self.input_scale)
        nonnegative("readout_step_size", self.readout_step_size)
        nonnegative("noise_variance", self.noise_variance)
        nonnegative("eigenvalues", self.eigenvalues)
        for name in ("step_size", "input_scale", "readout_step_size", "noise_variance"):
            # Of NumPy, a number on the left would take arrays of other namespaces to its own.
            object.__setattr__(self, name, float(getattr(self, name)))
        checkpoints(self.n_samples)
        if (self.teacher_overlaps is None) == (self.teacher_weights is None):
            raise InadmissibleProblem(
                "one of teacher_overlaps and teacher_weights is needed", argument="teacher_overlaps"
            )
        overlaps = np.asarray(self.overlaps, float)
        if overlaps.ndim != 2:
            raise InadmissibleProblem(
                f"overlaps must be a K x M table, got shape {overlaps.shape}", argument="overlaps"
            )
        count, taught = overlaps.shape
        d = np.asarray(self.eigenvalues).size
        given = {
            "eigenvalues": (d,),
            "self_overlaps": (count, count),
            "readout": (count,),
            "teacher_readout": (taught,),
        }
        given |= {"teacher_overlaps": (taught, taught), "teacher_weights": (taught, d)}
        for name, shape in given.items():
            value = getattr(self, name)
            value = np.ones(shape) if value is None and name.endswith("readout") else value
            if value is not None and np.shape(value) != shape:
                raise InadmissibleProblem(f"{name} must have shape {shape}, got {np.shape(value)}", argument=name)
            object.__setattr__(self, name, None if value is None else np.asarray(value, float))
        object.__setattr__(self, "overlaps", overlaps)
        if d < count + taught:
            raise InadmissibleProblem(
                f"{count} + {taught} hidden units need as many inputs, got {d}", argument="eigenvalues"
            )
        _root(self.own_part)

    @property
    def taught_part(self) -> Array:
        """``w*_n . w*_m``, shape ``(M, M)``."""
        if self.teacher_weights is None:
            return np.asarray(self.teacher_overlaps)
        weights = np.asarray(self.teacher_weights)
        return np.asarray(weights @ weights.T)

    @property
    def shared_part(self) -> Array:
        """Coefficients of the teacher's weights in the student's, shape ``(K, M)``."""
        return np.asarray(np.asarray(self.overlaps) @ np.linalg.pinv(self.taught_part, hermitian=True))

    @property
    def own_part(self) -> Array:
        """Overlaps of what else the student's weights have, shape ``(K, K)``."""
        return np.asarray(np.asarray(self.self_overlaps) - self.shared_part @ np.asarray(self.overlaps).T)


@dataclass(frozen=True, kw_only=True)
class NetworkSamples:
    """What each replicate measured; with several ``n_samples`` all have a second axis of that length.

    Attributes:
        test_error: mean squared error against a fresh noisy label, shape ``(replicates,)``.
        excess_risk: ``test_error - noise_variance``.
        self_overlaps: shape ``(replicates, K, K)``: covariance of the student's pre-activations ``scale w . x``.
        overlaps: shape ``(replicates, K, M)``: the same with the teacher's.
        norms_squared: shape ``(replicates, K)``: ``w_k . w_k``.
        readout: v, shape ``(replicates, K)``.
    """

    test_error: Array
    excess_risk: Array
    self_overlaps: Array
    overlaps: Array
    norms_squared: Array
    readout: Array


def simulate_online_network(
    problem: OnlineNetwork,
    *,
    replicates: int,
    seed: int,
    first_replicate: int = 0,
    n_test: int = N_TEST,
    device: Device = HOST,
) -> NetworkSamples:
    """Draw, train and measure ``replicates`` independent runs.

    Streams, replicates and devices are those of :func:`simulation.online.simulate_online`. The excess risk is measured on
    ``n_test`` fresh draws of the pre-activations, which are Gaussian with the covariance that the weights give them.
    """
    measured_at = checkpoints(problem.n_samples)

    def run(numbers: Sequence[int]) -> dict[str, Array]:
        return _run(problem, seed, numbers, measured_at, n_test, device)

    found = in_batches(run, first=first_replicate, count=replicates, device=device)
    count, taught = np.asarray(problem.overlaps).shape
    shapes = {
        "excess_risk": (),
        "self_overlaps": (count, count),
        "overlaps": (count, taught),
        "norms_squared": (count,),
        "readout": (count,),
    }
    found = found or {name: np.empty((0, len(measured_at), *shape)) for name, shape in shapes.items()}
    if np.ndim(problem.n_samples) == 0:
        found = {name: values[:, 0] for name, values in found.items()}
    return NetworkSamples(test_error=found["excess_risk"] + problem.noise_variance, **found)


def _run(
    problem: OnlineNetwork, seed: int, numbers: Sequence[int], measured_at: list[int], n_test: int, device: Device
) -> dict[str, Array]:
    """Train replicates side by side; what they measured has them, then the times, as first axes."""
    streams = device.streams(seed, numbers)
    w, taught = draw_weights(problem, streams)
    v = 0.0 * w[..., 0] + like(w, problem.readout)
    v_teacher = like(w, problem.teacher_readout)
    phi, scale, noise = problem.activation, problem.input_scale, problem.noise_variance**0.5
    deviations = like(w, np.sqrt(np.asarray(problem.eigenvalues)))
    measured: list[dict[str, Array]] = []
    done = 0
    while True:
        inputs = streams.standard_normal((DRAWN_TOGETHER, int(deviations.shape[0]))) * deviations
        fields = scale * (inputs @ transposed(taught))
        errors = noise * streams.standard_normal((DRAWN_TOGETHER,))
        labels = dot(evaluate(problem.teacher_activation, fields), v_teacher) + errors
        for step in range(DRAWN_TOGETHER):
            if done == measured_at[len(measured)]:
                fresh = device.streams(seed, numbers, done)
                measured.append(_measured(problem, (w, v, taught, v_teacher), deviations, fresh, n_test))
                if len(measured) == len(measured_at):
                    return {name: np.stack([one[name] for one in measured], axis=1) for name in measured[0]}
            x = inputs[..., step, :][..., None, :]
            u = scale * dot(w, x)
            hidden = evaluate(phi, u)
            residual = (dot(v, hidden) - labels[..., step])[..., None]
            pull = residual * v * slope(phi, u)
            w = w - (problem.step_size * scale * pull)[..., None] * x
            v = v - problem.readout_step_size * residual * hidden
            done += 1


def draw_weights(problem: OnlineNetwork, streams: Streams) -> tuple[Any, Any]:
    """Draw weights of student and teacher with the overlaps asked for, shapes ``(K, d)`` and ``(M, d)``."""
    d = int(np.asarray(problem.eigenvalues).size)
    count, taught = np.asarray(problem.overlaps).shape
    rest = streams.standard_normal((d, count))
    xp = array_api_compat.array_namespace(rest)
    if problem.teacher_weights is None:
        frame = xp.linalg.qr(streams.standard_normal((d, taught)))[0]
        teacher = like(rest, _root(np.asarray(problem.teacher_overlaps))) @ transposed(frame)
    else:
        teacher = like(rest, problem.teacher_weights)
    along = xp.linalg.qr(transposed(teacher))[0]
    other = xp.linalg.qr(rest - along @ (transposed(along) @ rest))[0]
    own = like(rest, _root(problem.own_part)) @ transposed(other)
    return like(rest, problem.shared_part) @ teacher + own, teacher


def _root(overlaps: Array) -> Array:
    """Return A with ``A A' = overlaps``, refusing what is no table of overlaps."""
    values, vectors = np.linalg.eigh(0.5 * (overlaps + overlaps.T))
    if values[0] < -ROUNDING * max(float(values[-1]), 1.0):
        raise InadmissibleProblem(
            f"no weights have these overlaps: a combination of them has the square {values[0]:.3g}", argument="overlaps"
        )
    root: Array = vectors * np.sqrt(np.maximum(values, 0.0))
    return root


def _measured(
    problem: OnlineNetwork, network: tuple[Any, ...], deviations: Any, fresh: Streams, n_test: int
) -> dict[str, Array]:
    """Measure on fresh pre-activations ``R' z``, with R the triangular factor of the weights beside the inputs' deviations."""
    w, v, taught, v_teacher = network
    xp, count = array_api_compat.array_namespace(w), int(w.shape[-2])
    # Teachers whose weights are given are the same in every replicate.
    taught = xp.broadcast_to(taught, (*w.shape[:-2], *taught.shape[-2:]))
    stacked = problem.input_scale * xp.concat([w, taught], axis=-2) * deviations
    _, triangle = xp.linalg.qr(transposed(stacked))
    fields = fresh.standard_normal((n_test, count + int(taught.shape[-2]))) @ triangle
    student = dot(evaluate(problem.activation, fields[..., :count]), v[..., None, :])
    teacher = dot(evaluate(problem.teacher_activation, fields[..., count:]), v_teacher)
    covariance = transposed(triangle) @ triangle
    found = {
        "excess_risk": dot(student - teacher, student - teacher) / n_test,
        "self_overlaps": covariance[..., :count, :count],
        "overlaps": covariance[..., :count, count:],
        "norms_squared": dot(w, w),
        "readout": v,
    }
    return {name: on_host(values) for name, values in found.items()}
