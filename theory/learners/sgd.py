"""One-pass stochastic gradient descent of square loss, one fresh sample a step, on any features.

In high dimension the error of every mode decays by itself and is fed by the noise of the gradients, which knows only the
test error P: with e_i the excess risk in mode i, per sample,

    d e_i / dn = -2 step_size xi_i e_i + step_size^2 m_i xi_i^2 P,      P = sum_i e_i + everything that acts as noise,

a Volterra equation for P. In the time ``t = 2 step_size n`` and its Laplace variable kappa, which is a ridge,

    P = F / (1 - K),    F = T(kappa) / kappa,    K = (step_size / 2) sum_i m_i xi_i^2 / (xi_i + kappa),

with T that of the population problem, so that a contour of complex ridges gives P at any time without stepping there. The
sum in K is ``trace - kappa df1(kappa)``: any equivalent will do. K(0) = 1 is where the step is too long for its trace.

Sources: Paquette, Lee, Pedregosa, Paquette, arXiv:2102.04396; Paquette, Paquette, Adlam, Pennington, arXiv:2205.07069;
Collins-Woodfin and Paquette, arXiv:2304.06847.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from theory.covariance import InadmissibleProblem
from theory.equivalents.modal import ModalEquivalent
from theory.equivalents.point import Equivalent, phase_of
from theory.learners.contours import Contour, flow_contour
from theory.learners.resolvents import ContinuedPopulation, ModalPopulation, Population, Vector
from theory.modes import Modes
from theory.namespace import batch as arrays
from theory.solvers.effective_ridge import THRESHOLD_TOLERANCE

FIRST, SECOND = flow_contour(1.0), flow_contour(1.0, between=False)
"""Two opinions on every inverse Laplace transform, at the time 1."""
ACCURACY = 1e-8
"""Relative difference of two contours up to which they confirm each other."""
REMEMBERED = 1e-5
"""Share of the most that an error may have been that is added to it before it is the measure of its accuracy."""
EARLIEST, LATEST = 1e-30, 1e250
"""Times in units of the inverse trace: before, nothing has happened, and after, nothing is left to happen."""
EARLY = 3.0
"""Decay by more than this many e-folds is followed by its own rate."""
ENTRIES = 2_000_000
"""Times, nodes and modes that are worked off together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SgdPrediction:
    """What one-pass SGD attains from theta = 0; floats for one problem, arrays of the broadcast shape of the sizes for more.

    Attributes:
        test_error: mean squared error against a fresh noisy label.
        excess_risk: ``test_error - noise_variance``, equal to ``bias + variance``.
        bias: squared bias of the predictor averaged over data and features, with what the features cannot express.
        variance: what the randomness of data, noise and features adds.
        estimator_norm_squared: ``E ||theta||^2``.
        critical_step_size: ``2 batch_size / trace`` of the features, from which on the error grows without bound.
        steady_error: the test error after infinitely many samples, ``noise / (1 - step_size trace / (2 batch_size))`` with
            all that acts as noise. Of a tail of infinitely many infinitesimal modes no finite number of samples takes note.
        phase: "underparameterized", "threshold" or "overparameterized": n_samples against the rank.
        status: "converged" or "not_converged".
        residual: difference of the test error on two contours, relative to it and 1e-5 of the most that it may have been on
            the way, that before training over ``1 - step_size / critical_step_size``.
        iterations: complex ridges at which the features were asked.
    """

    test_error: Any
    excess_risk: Any
    bias: Any
    variance: Any
    estimator_norm_squared: Any
    critical_step_size: Any
    steady_error: Any
    phase: Any
    status: Any
    residual: Any
    iterations: int


class _Moments(NamedTuple):
    """What is read at each time, each of shape ``(times,)``."""

    bias: Vector
    variance: Vector
    estimator_norm_squared: Vector
    residual: Vector


def predict_sgd(
    features: Equivalent | Modes, n_samples: npt.ArrayLike, step_size: npt.ArrayLike, *, batch_size: float = 1.0
) -> SgdPrediction:
    """Predict the errors after ``theta <- theta - step_size grad (y - theta . phi)^2 / 2`` on n_samples fresh samples.

    This is the limit of many comparable modes. With Gaussian features of finite effective rank trace / xi_max, each step
    shrinks the error of a mode by the factor ``1 - 2 step_size xi + 2 (step_size xi)^2``, where the limit has
    ``exp(-2 step_size xi)``: relative corrections are of the order of ``step_size xi``, which is O(1/d) where d modes are
    comparable.

    Args:
        features: an equivalent of :mod:`theory.equivalents`, or a mode table, which may hold a batch.
        n_samples: at least 0, real; its shape broadcasts with that of ``step_size`` and of the batch. A trajectory costs
            little more than its last point.
        step_size: positive, below the critical one; ``theta`` in the units in which the features have their eigenvalues.
        batch_size: samples whose gradients a step averages, at least 1 and far fewer than there are modes. The same as
            single samples with the step ``step_size / batch_size``.

    Returns:
        Errors and their decomposition, to 1e-12 of the most that the error may have been on the way. Where modes that have no
        part in the signal are not far slower than those that have, what is left of it keeps its own digits, however little.

    Raises:
        InadmissibleProblem: ``step_size`` is not positive or reaches ``2 batch_size / trace``, ``n_samples`` is negative,
            ``batch_size`` is below 1, or an unpenalised constant is fitted.

    Source: see :mod:`theory.learners.sgd`.
    """
    n, steps = np.asarray(n_samples, float), np.asarray(step_size, float)
    _check(n, steps, batch_size)
    population = _population(features)
    with np.errstate(divide="ignore"):
        critical = 2.0 * batch_size / np.asarray(population.trace, float)
    _check_stable(steps, critical)
    shape = np.broadcast_shapes(n.shape, steps.shape, population.shape)
    n, single_step = (np.broadcast_to(values, shape).ravel() for values in (n, steps / batch_size))
    rows = np.broadcast_to(np.arange(int(np.prod(population.shape))), shape).ravel() if population.shape else None
    moments = _along(population, n, single_step, rows)
    of_rows = ... if rows is None else rows
    noise, floor, trace = (
        values[of_rows] for values in (population.noise_variance, population.floor, population.reached_trace)
    )
    columns: dict[str, Any] = {
        "test_error": moments.bias + moments.variance + noise,
        "excess_risk": moments.bias + moments.variance,
        "bias": moments.bias,
        "variance": moments.variance,
        "estimator_norm_squared": moments.estimator_norm_squared,
        "critical_step_size": critical[of_rows],
        "steady_error": floor / (1.0 - 0.5 * single_step * trace),
        "phase": phase_of(arrays, n, np.asarray(population.rank)[of_rows], THRESHOLD_TOLERANCE),
        "status": np.where(moments.residual <= ACCURACY, "converged", "not_converged"),
        "residual": moments.residual,
    }
    columns = {name: np.broadcast_to(values, n.shape).reshape(shape) for name, values in columns.items()}
    if not shape:
        columns = {name: values.item() for name, values in columns.items()}
    return SgdPrediction(**columns, iterations=FIRST.points.size + SECOND.points.size)


def _population(features: Equivalent | Modes) -> Population:
    if isinstance(features, ModalEquivalent) and np.all(np.isinf(features.width)):
        features = features.modes
    population: Population = ModalPopulation(features) if isinstance(features, Modes) else ContinuedPopulation(features)
    if population.n_unpenalised:
        raise InadmissibleProblem(
            "one-pass SGD fits no unpenalised constant: centre the labels and set fit_intercept to false",
            argument="fit_intercept",
        )
    return population


def _along(population: Population, n_samples: Vector, step_size: Vector, rows: Any) -> _Moments:
    """Work off sizes in pieces."""
    per_piece = max(1, ENTRIES // (population.size * (FIRST.points.size + SECOND.points.size)))
    starts = range(0, max(n_samples.size, 1), per_piece)
    pieces = [
        _moments(
            population,
            n_samples[start : start + per_piece],
            step_size[start : start + per_piece],
            ... if rows is None else rows[start : start + per_piece],
        )
        for start in starts
    ]
    return _Moments(*(np.concatenate(values) for values in zip(*pieces, strict=True)))


def _moments(population: Population, n_samples: Vector, step_size: Vector, rows: Any) -> _Moments:
    unit = 1.0 / np.maximum(population.trace[rows], np.finfo(float).tiny)
    times = np.clip(2.0 * step_size * n_samples, EARLIEST * unit, LATEST * unit)
    feedback = 0.5 * step_size
    floor = population.floor[rows][..., None]
    drift = population.drift(times, rows)

    points = np.concatenate([FIRST.points, SECOND.points])
    ridges = np.asarray(points / times[:, None], complex)
    sums = population.sums(ridges, rows)
    memory = feedback[:, None] * sums.memory
    amplified = 1.0 / (1.0 - memory)
    noisy = memory * amplified * floor / ridges
    signal = memory * amplified * sums.lost
    spread = feedback[:, None] * sums.df1 * amplified * (sums.lost + floor / ridges)
    rate = population.slowest(feedback, times, rows)
    # Noise feeds on its level, a pole at 0; what is left of the signal is read behind its own decay.
    shifted = rate * times > EARLY
    decay = np.where(shifted, np.exp(-rate * times), 1.0)
    if np.any(shifted):
        some = ... if rows is ... else rows[shifted]
        later = population.sums(np.asarray(ridges[shifted] - rate[shifted, None], complex), some)
        memory = feedback[shifted, None] * later.memory
        signal[shifted] = memory / (1.0 - memory) * later.lost
    # What features' randomness makes of the average over data, and what the noise of gradients adds.
    scatter = np.maximum(drift.risk - drift.bias, 0.0)
    first, second = (
        scatter
        + np.maximum(_integral(contour, noisy[:, part], times), 0.0)
        + decay * np.maximum(_integral(contour, signal[:, part], times), 0.0)
        for contour, part in ((FIRST, slice(FIRST.points.size)), (SECOND, slice(FIRST.points.size, None)))
    )
    norm = drift.norm_squared + np.maximum(_integral(FIRST, spread[:, : FIRST.points.size], times), 0.0)
    error = drift.bias + first + population.noise_variance[rows]
    most = population.null_error[rows] / (1.0 - feedback * population.trace[rows])
    scale = error + REMEMBERED * most + np.finfo(float).tiny
    residual = np.where(np.all(sums.converged, axis=-1), np.abs(first - second) / scale, 1.0)
    return _Moments(
        bias=drift.bias,
        variance=np.where(n_samples > 0.0, first, 0.0),
        estimator_norm_squared=np.where(n_samples > 0.0, norm, 0.0),
        residual=residual,
    )


def _integral(contour: Contour, values: Any, times: Vector) -> Vector:
    """Invert Laplace transforms at ``times``, given their values at the contour's points over the times."""
    inverse: Vector = 2.0 * np.sum((contour.weights * values).real, axis=-1) / times
    return inverse


def _check(n_samples: Vector, step_size: Vector, batch_size: float) -> None:
    if not np.all((n_samples >= 0.0) & np.isfinite(n_samples)):
        raise InadmissibleProblem(f"n_samples must be finite and at least 0, got {n_samples!r}", argument="n_samples")
    if not np.all((step_size > 0.0) & np.isfinite(step_size)):
        raise InadmissibleProblem(
            f"step_size must be positive and finite, got {step_size!r}; with no step theta stays 0",
            argument="step_size",
        )
    if not 1.0 <= batch_size < np.inf:
        raise InadmissibleProblem(
            f"batch_size must be at least 1, got {batch_size!r}; 1 takes a step a sample", argument="batch_size"
        )


def _check_stable(step_size: Vector, critical: Vector) -> None:
    """Refuse steps that the trace does not allow, however many samples there are."""
    if np.any(step_size >= critical):
        least, largest = float(np.min(critical)), float(np.max(step_size))
        raise InadmissibleProblem(
            f"step_size must be below {least:.6g} = 2 / (trace of the features' covariance), times the samples of a step, for"
            f" one-pass SGD to be stable, got {largest:g}; the noise of single samples sets this bound, not the largest"
            " eigenvalue alone: shorten the step",
            argument="step_size",
        )
