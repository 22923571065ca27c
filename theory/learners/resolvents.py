"""The population problem at complex ridges: the sums over modes that online learning reads, in times and Laplace variables.

A time t is that of gradient flow on twice the population loss: after it a mode of eigenvalue xi has kept ``exp(-xi t / 2)`` of
its error. A Laplace variable of t is a ridge kappa.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from theory.equivalents.point import Equivalent
from theory.equivalents.population import ABUNDANT, FAR, trace_of
from theory.learners.contours import flow_contour
from theory.modes import Modes

Vector = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]

MAX_NEWTON = 60
NEARLY = 1e-6
"""Relative error of the slowest rate that is good enough for it: a contour keeps away from what it goes around."""
SAMPLES_PER_DEGREE = 300.0
"""Samples for each degree of freedom at which an equivalent is asked, so that its answer tells how many there are."""
MAX_SECANT = 12
SETTLED = 1e-11
ACCEPTED = 1e-9
EPSILON = float(np.finfo(float).eps)
TINY = float(np.finfo(float).tiny)
LARGE = float(np.finfo(float).max)


class Sums(NamedTuple):
    """Sums over the modes at ridges kappa, each of their shape.

    Attributes:
        memory: ``sum m xi^2 / (xi + kappa)``.
        df1: ``sum m xi / (xi + kappa)``, and ``tail / kappa``.
        lost: ``sum c / (xi + kappa)``.
        converged: whether the ridges were reached.
    """

    memory: Complex
    df1: Complex
    lost: Complex
    converged: npt.NDArray[np.bool_]


class Drift(NamedTuple):
    """What the predictor averaged over data does by a time; each of the times' shape.

    Attributes:
        risk: its excess risk.
        bias: that of its average over features too.
        norm_squared: of its parameters.
    """

    risk: Vector
    bias: Vector
    norm_squared: Vector


class Population(Protocol):
    """Features and a target, or a batch of them.

    Attributes:
        shape: of the batch, ``()`` for a single problem.
        trace: of the features' second moments, a tail included.
        reached_trace: without the tail.
        noise_variance: of the labels.
        null_error: test error without any training, E y^2.
        floor: test error of the best linear function of the features.
        rank: number of directions.
        size: number of modes.
        n_unpenalised: constants fitted beside the features.
    """

    shape: tuple[int, ...]
    trace: Any
    reached_trace: Any
    noise_variance: Any
    null_error: Any
    floor: Any
    rank: Any
    size: int
    n_unpenalised: int

    def sums(self, ridges: Complex, rows: Any) -> Sums:
        """Return the sums at ridges of shape ``(times, nodes)``, of problems ``rows`` of the batch."""
        ...

    def drift(self, times: Vector, rows: Any) -> Drift:
        """Return what the average over data does by positive times."""
        ...

    def slowest(self, feedback: Vector, times: Vector, rows: Any) -> Vector:
        """Return a rate at which everything decays that has no noise to feed on, given the factor before the memory."""
        ...


class ModalPopulation:
    """A mode table, or a batch of them; see :class:`Population`."""

    def __init__(self, modes: Modes) -> None:
        self.eigenvalues, self.energies = modes.eigenvalues, modes.energies
        xi, m = modes.eigenvalues, modes.multiplicities
        self.weights = np.stack([m * xi * xi, m * xi, modes.energies], axis=-1)
        self.shape: tuple[int, ...] = xi.shape[:-1]
        self.tail, self.unlearnable, self.noise_variance = (
            np.broadcast_to(np.asarray(value, float), self.shape)
            for value in (modes.tail_trace, modes.unlearnable_variance, modes.noise_variance)
        )
        self.trace, self.reached_trace = np.asarray(modes.trace, float), np.vecdot(m, xi)
        self.floor = self.unlearnable + self.noise_variance
        self.null_error = self.floor + np.sum(modes.energies, axis=-1)
        self.rank, self.size = modes.rank, int(xi.shape[-1])
        self.n_unpenalised = modes.n_unpenalised

    def sums(self, ridges: Complex, rows: Any) -> Sums:
        """Return the sums at ridges."""
        tail = self.tail[rows][..., None]
        if self.shape:
            found = (1.0 / (ridges[..., None] + self.eigenvalues[rows][:, None, :])) @ self.weights[rows]
        else:
            flat = (1.0 / (ridges.reshape(-1, 1) + self.eigenvalues)) @ self.weights
            found = flat.reshape(*ridges.shape, 3)
        memory, df1, lost = np.moveaxis(found, -1, 0)
        return Sums(memory, df1 + tail / ridges, lost, np.ones(ridges.shape, bool))

    def drift(self, times: Vector, rows: Any) -> Drift:
        """Return what the average over data does."""
        xi, c = self.eigenvalues[rows], self.energies[rows]
        columns = times[:, None]
        learned = np.expm1(-0.5 * columns * xi)
        risk = np.vecdot(np.exp(-columns * xi), c) + self.unlearnable[rows]
        with np.errstate(over="ignore"):
            norm = np.vecdot(learned * learned, c / xi)
        return Drift(risk, risk, norm)

    def slowest(self, feedback: Vector, times: Vector, rows: Any) -> Vector:
        """Return the root of ``1 = feedback * memory(-rate)`` below all eigenvalues, or 0 where times are too short for it."""
        xi, weight, c = self.eigenvalues[rows], self.weights[rows][..., 0], self.energies[rows]
        lowest = np.min(xi, axis=-1, where=weight > 0.0, initial=LARGE)
        if not np.any(lowest * times > 1.0):
            return np.zeros_like(times)
        values, where = (feedback, slice(None)) if self.shape else np.unique(feedback, return_inverse=True)
        rate = _least_root(xi, weight, lowest, values)[where]
        slowest: Vector = np.minimum(rate, np.min(xi, axis=-1, where=c > 0.0, initial=LARGE))
        return slowest


def _least_root(xi: Vector, weight: Vector, lowest: Vector, feedback: Vector) -> Vector:
    """Solve ``1 = feedback * sum weight / (xi - rate)`` below ``lowest``.

    The inverse of the sum is concave there, so that Newton's method comes down to the root from the least eigenvalue.
    """
    # At the least eigenvalue itself only its own pole counts.
    pole = np.sum(weight, axis=-1, where=xi == lowest[..., None])
    rate: Vector = np.maximum(lowest - feedback * pole, 0.0)
    for _ in range(MAX_NEWTON):
        over = 1.0 / np.maximum(xi - rate[:, None], EPSILON * xi)
        memory, slope = feedback * np.vecdot(over, weight), feedback * np.vecdot(over * over, weight)
        rate, before = np.clip(rate + memory * (1.0 - memory) / np.maximum(slope, TINY), 0.0, lowest), rate
        if np.all(np.abs(rate - before) <= NEARLY * rate):
            break
    return rate


class ContinuedPopulation:
    """Any equivalent, by its continuation to complex penalties; see :class:`Population`."""

    def __init__(self, equivalent: Equivalent) -> None:
        self.equivalent = equivalent
        scale = trace_of(equivalent)
        far = equivalent.solve(ABUNDANT, FAR * scale)
        # df1 = trace / ridge - tr Omega^2 / ridge^2 + ..., df2 = tr Omega^2 / ridge^2 - ...
        self.trace = np.asarray(FAR * scale * (far.df1 + far.df2), float)
        self.reached_trace = self.trace
        bottom = equivalent.solve(ABUNDANT, 0.0)
        self.noise_variance = np.asarray(bottom.noise_variance, float)
        self.floor = np.asarray(bottom.total, float)
        self.null_error = np.asarray(bottom.total + bottom.learned, float)
        self.rank, self.size = equivalent.rank, 1
        self.shape: tuple[int, ...] = ()
        self.n_unpenalised = int(bottom.n_unpenalised)

    def sums(self, ridges: Complex, rows: Any) -> Sums:  # noqa: ARG002  there is one row
        """Return the sums at ridges, one time after the other: those of a time have similar degrees of freedom."""
        found = [self._sums(row) for row in ridges]
        return Sums(*(np.array(values) for values in zip(*found, strict=True)))

    def _sums(self, wanted: Complex) -> Sums:
        """Find the penalties at which few samples have the ridges wanted: ``ridge (1 - df1 / samples) = penalty`` tells df1."""
        samples = SAMPLES_PER_DEGREE * float(self.equivalent.solve(ABUNDANT, float(np.min(np.abs(wanted)))).df1)
        found = self.equivalent.continued(samples, wanted)
        gap = wanted / found.ridge * wanted - wanted
        before, penalty = wanted, wanted + gap
        for _ in range(MAX_SECANT):
            found, gap_before = self.equivalent.continued(samples, penalty), gap
            gap = wanted / found.ridge * penalty - penalty
            if np.all(np.abs(gap) <= SETTLED * np.abs(penalty)):
                break
            change = gap - gap_before
            step = np.where(change == 0.0, 0.0, -gap * (penalty - before) / np.where(change == 0.0, 1.0, change))
            before, penalty = penalty, penalty + step
        df1 = samples * (1.0 - penalty / found.ridge)
        reached = np.abs(found.ridge - wanted) <= ACCEPTED * np.abs(wanted)
        memory = self.trace - wanted * df1
        return Sums(memory, df1, (found.total - self.floor) / wanted, found.converged & reached)

    def drift(self, times: Vector, rows: Any) -> Drift:  # noqa: ARG002  there is one row
        """Return what the average over data does."""
        contour = flow_contour(1.0)
        points, weights = contour.points, contour.weights
        whole, half = points / times[:, None], 2.0 * points / times[:, None]
        found = self.equivalent.continued(ABUNDANT, np.concatenate([whole, half]))
        above = found.total[: times.size] - self.floor
        above_half = found.total[times.size :] - self.floor
        # Laplace transforms in t: of the risk T / kappa, of sum (c / xi) (1 - exp(-xi t)) the same over kappa.
        risk = 2.0 * np.sum((weights / points * above).real, axis=-1) + self.floor - self.noise_variance
        norm_whole = times * 2.0 * np.sum((weights / points**2 * above).real, axis=-1)
        norm_half = 0.5 * times * 2.0 * np.sum((weights / points**2 * above_half).real, axis=-1)
        bias = np.full(times.shape, found.unlearnable_variance)
        for share in found.shares:
            ridge = share.ridge[times.size :, :, None]
            left = 2.0 * np.sum((weights / points)[:, None] * ridge / (share.eigenvalues + ridge), axis=1).real
            bias += np.vecdot(left * left, share.energies)
        return Drift(risk, bias, np.maximum(2.0 * norm_half - norm_whole, 0.0))

    def slowest(self, feedback: Vector, times: Vector, rows: Any) -> Vector:  # noqa: ARG002  no rate is known
        """Return 0: decay is followed to 1e-12 of where it began."""
        return np.zeros_like(times)
