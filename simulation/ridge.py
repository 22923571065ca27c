"""Ridge regression at finite size, on any features or kernel in any regime: draw, map, fit, measure."""

from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np
import numpy.typing as npt

from simulation.domains import nonnegative, whole
from simulation.features import Features, LinearFeatures
from simulation.fit import fit_ridge
from simulation.kernels import Kernel
from simulation.regime import Regime, Target
from theory.covariance import InadmissibleProblem

Array = npt.NDArray[np.float64]

N_TEST = 1000
"""Fresh inputs on which each replicate measures the excess risk of features that are not linear in the inputs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RidgeProblem:
    """What to draw and how to train on it.

    Attributes:
        regime: of :mod:`simulation.gaussian` or :mod:`simulation.sphere`.
        features: of :mod:`simulation.features`, or a kernel, of :mod:`simulation.kernels` or
            :mod:`simulation.infinite_width`.
        n_samples: whole, at least 1.
        penalty: nonnegative, of ``(1/n) ||y - f||^2 + penalty ||theta||^2``; 0 is the solution of least norm. For a kernel
            the norm is that of its Hilbert space.
        fit_intercept: fit an unpenalised constant.

    Raises:
        InadmissibleProblem: a field is out of its domain, or the features do not see the regime's tail.
    """

    regime: Regime
    features: Features | Kernel
    n_samples: int
    penalty: float
    fit_intercept: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_samples", whole("n_samples", self.n_samples))
        nonnegative("penalty", self.penalty)
        if self.regime.tail_trace > 0.0 and not _is_linear(self.features):
            raise InadmissibleProblem(
                f"a tail of trace {self.regime.tail_trace:g} is seen by linear features and projections only,"
                f" not by {type(self.features).__name__}",
                argument="tail_trace",
            )


@dataclass(frozen=True, kw_only=True)
class RidgeSamples:
    """What each replicate measured; arrays of shape ``(replicates,)`` in the order of the replicates.

    Attributes:
        test_error: mean squared error against a fresh noisy label.
        excess_risk: ``test_error - noise_variance``.
        train_error: mean squared error on the training set, without the penalty.
        estimator_norm_squared: ``||theta||^2``, for a kernel the squared norm in its Hilbert space; the intercept left out.
    """

    test_error: Array
    excess_risk: Array
    train_error: Array
    estimator_norm_squared: Array


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """What one replicate draws before it trains.

    Attributes:
        inputs: shape ``(n, d)``.
        labels: shape ``(n,)``, noisy.
        target: of this replicate.
        generator: where its stream stands now: features and test inputs come next.
    """

    inputs: Array
    labels: Array
    target: Target
    generator: np.random.Generator


def simulate(
    problem: RidgeProblem,
    *,
    replicates: int,
    seed: int,
    first_replicate: int = 0,
    n_test: int = N_TEST,
    xp: Any = np,
) -> RidgeSamples:
    """Draw, train and measure ``replicates`` independent training sets, each with features and a target of its own.

    Replicate r has its own random stream, keyed by ``(seed, r)`` and drawn by NumPy whatever the namespace: it comes
    out the same alone or among others, here or on another machine.

    Args:
        problem: what to draw and how to train.
        replicates: how many.
        seed: nonnegative.
        first_replicate: number of the first one, to carry on where an earlier call stopped.
        n_test: fresh inputs a replicate measures the excess risk on, against noiseless labels, where the features are not
            linear; where they are, it is exact. The scatter of a finite test set is part of that over replicates.
        xp: array namespace that does the linear algebra: NumPy, CuPy, or another that follows the array API standard.
    """
    # The standard's names also where a library spells some differently.
    xp = array_api_compat.array_namespace(xp.zeros(1))
    rows = [_measured(problem, seed, first_replicate + offset, n_test, xp) for offset in range(replicates)]
    excess, train, norm = np.asarray(rows, float).reshape(replicates, 3).T
    return RidgeSamples(
        test_error=excess + problem.regime.noise_variance,
        excess_risk=excess,
        train_error=train,
        estimator_norm_squared=norm,
    )


def draw_training_set(problem: RidgeProblem, *, seed: int, replicate: int) -> TrainingSet:
    """Draw what one replicate trains on, on the host."""
    stream = np.random.SeedSequence(seed, spawn_key=(replicate,))
    generator = np.random.Generator(np.random.Philox(stream))
    target = problem.regime.target(generator)
    inputs, values = target.draw(generator, problem.n_samples)
    noise = np.sqrt(problem.regime.noise_variance) * generator.standard_normal(problem.n_samples)
    return TrainingSet(inputs=inputs, labels=values + noise, target=target, generator=generator)


def _measured(problem: RidgeProblem, seed: int, replicate: int, n_test: int, xp: Any) -> tuple[float, float, float]:
    """Train on one replicate; return excess risk, train error and squared norm."""
    draw = draw_training_set(problem, seed=seed, replicate=replicate)
    if isinstance(problem.features, Kernel):
        return _with_kernel(problem, problem.features, draw, n_test, xp)
    return _with_features(problem, problem.features, draw, n_test, xp)


def _with_features(
    problem: RidgeProblem, features: Features, draw: TrainingSet, n_test: int, xp: Any
) -> tuple[float, float, float]:
    weights = [xp.asarray(array) for array in features.draw(draw.generator, problem.regime.n_features)]
    mapped = features.apply(weights, xp.asarray(draw.inputs))
    if problem.regime.tail_trace > 0.0:
        mapped = _with_tail(problem, features, draw, mapped, xp)
    labels = xp.asarray(draw.labels)
    readout, intercept = fit_ridge(mapped, labels, penalty=problem.penalty, fit_intercept=problem.fit_intercept)
    if _is_linear(features) and draw.target.weights is not None:
        excess = _exact_excess(problem, features, draw.target, weights, readout, intercept, xp)
    else:
        inputs, values = draw.target.draw(draw.generator, n_test)
        predicted = features.apply(weights, xp.asarray(inputs)) @ readout + intercept
        excess = _mean_square(xp.asarray(values) - predicted)
    return excess, _mean_square(labels - mapped @ readout - intercept), float(readout @ readout)


def _with_kernel(
    problem: RidgeProblem, kernel: Kernel, draw: TrainingSet, n_test: int, xp: Any
) -> tuple[float, float, float]:
    """Ridge regression on a square root of the kernel matrix: V sqrt(s), without eigenvalues at rounding level."""
    gram = kernel.matrix(draw.inputs, xp=xp)
    eigenvalues, vectors = xp.linalg.eigh(gram)
    count = int(eigenvalues.shape[0])
    rounding = count * float(xp.finfo(gram.dtype).eps) * float(eigenvalues[-1])
    first = int(xp.sum(xp.astype(eigenvalues <= rounding, xp.int64)))
    roots, vectors = xp.sqrt(eigenvalues[first:]), vectors[:, first:]
    mapped, labels = vectors * roots, xp.asarray(draw.labels)
    readout, intercept = fit_ridge(mapped, labels, penalty=problem.penalty, fit_intercept=problem.fit_intercept)
    inputs, values = draw.target.draw(draw.generator, n_test)
    predicted = kernel.matrix(inputs, draw.inputs, xp=xp) @ (vectors @ (readout / roots)) + intercept
    excess = _mean_square(xp.asarray(values) - predicted)
    return excess, _mean_square(labels - mapped @ readout - intercept), float(readout @ readout)


def _with_tail(problem: RidgeProblem, features: Any, draw: TrainingSet, mapped: Any, xp: Any) -> Any:
    """Add the features of infinitely many directions of vanishing variance: orthogonal between different inputs."""
    count, root = problem.n_samples, problem.regime.tail_trace**0.5
    if isinstance(features, LinearFeatures):
        return xp.concat([mapped, root * xp.eye(count, dtype=mapped.dtype)], axis=1)
    # Projected on independent normal vectors, each input's share of the tail is normal and independent of the others'.
    normal = xp.asarray(draw.generator.standard_normal((count, features.width)))
    return mapped + root / features.width**0.5 * normal


def _exact_excess(
    problem: RidgeProblem, features: Any, target: Target, weights: Any, readout: Any, intercept: Any, xp: Any
) -> float:
    """Constants, linear functions and the nonlinear part are uncorrelated, so their errors add up."""
    regime: Any = problem.regime
    if problem.regime.tail_trace > 0.0 and isinstance(features, LinearFeatures):
        # What the tail learned of each training input is orthogonal to every new one.
        on_inputs, on_tail = readout[: regime.n_features], 0.0
    else:
        on_inputs = features.pull_back(weights, readout)
        on_tail = float(regime.tail_trace) * float(readout @ readout) / getattr(features, "width", 1)
    missed = on_inputs - xp.asarray(target.weights)
    linear = float(xp.asarray(np.asarray(regime.eigenvalues)) @ (missed * missed))
    return linear + on_tail + (float(intercept) - target.constant) ** 2 + target.orthogonal_variance


def _is_linear(features: Features | Kernel) -> bool:
    return hasattr(features, "pull_back")


def _mean_square(residuals: Any) -> float:
    return float(residuals @ residuals) / int(residuals.shape[0])
