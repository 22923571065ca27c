"""One-pass SGD of linear regression on any features: many replicates side by side, a fresh sample a step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import array_api_compat
import numpy as np
import numpy.typing as npt

from simulation.domains import positive, whole
from simulation.features import Features, LinearFeatures
from theory.covariance import InadmissibleProblem

Array = npt.NDArray[np.float64]

N_TEST = 1000
"""Fresh inputs on which each replicate measures the excess risk of features that are not linear in the inputs."""
DRAWN_TOGETHER = 256
"""Samples that a replicate draws at once: part of its stream, and the same whatever the replicates beside it."""
LINEAR = LinearFeatures()
ENTRIES = 8_000_000
"""Numbers that are drawn at once for all replicates that are trained together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OnlineRegression:
    """What to draw and how to train on it.

    Attributes:
        regime: of :mod:`simulation.gaussian` or :mod:`simulation.sphere`, its labels numbers.
        n_samples: whole; or several, ascending, at each of which the same run is measured.
        step_size: positive, of ``theta <- theta - step_size grad (y - theta . phi)^2 / 2`` from theta = 0.
        batch_size: samples whose gradients a step averages; divides every one of ``n_samples``.
        features: of :mod:`simulation.features`.

    Raises:
        InadmissibleProblem: a field is out of its domain, or the features do not see the regime's tail.
    """

    regime: Any
    n_samples: int | Sequence[int]
    step_size: float
    batch_size: int = 1
    features: Features = LINEAR

    def __post_init__(self) -> None:
        positive("step_size", self.step_size)
        object.__setattr__(self, "batch_size", whole("batch_size", self.batch_size))
        for count in checkpoints(self.n_samples):
            if count % self.batch_size:
                raise InadmissibleProblem(
                    f"n_samples must be a multiple of batch_size = {self.batch_size}, got {count}", argument="n_samples"
                )
        if self.regime.tail_trace > 0.0 and not isinstance(self.features, LinearFeatures):
            raise InadmissibleProblem(
                f"a tail of trace {self.regime.tail_trace:g} is seen by linear features only, not by"
                f" {type(self.features).__name__}",
                argument="tail_trace",
            )


@dataclass(frozen=True, kw_only=True)
class OnlineSamples:
    """What each replicate measured, of shape ``(replicates,)``, or ``(replicates, times)`` for several ``n_samples``.

    Attributes:
        test_error: mean squared error against a fresh noisy label.
        excess_risk: ``test_error - noise_variance``.
        estimator_norm_squared: ``||theta||^2``.
    """

    test_error: Array
    excess_risk: Array
    estimator_norm_squared: Array


def simulate_online(
    problem: OnlineRegression,
    *,
    replicates: int,
    seed: int,
    first_replicate: int = 0,
    n_test: int = N_TEST,
    xp: Any = np,
) -> OnlineSamples:
    """Draw, train and measure ``replicates`` independent runs, each with features and a target of its own.

    Replicate r has its own random streams, keyed by ``(seed, r)`` and drawn by NumPy whatever the namespace: it comes out the
    same alone or among others, and at a number of samples whether or not the run goes on from there.

    Args:
        problem: what to draw and how to train.
        replicates: how many.
        seed: nonnegative.
        first_replicate: number of the first one, to carry on where an earlier call stopped.
        n_test: fresh inputs a replicate measures the excess risk on where the features are not linear; where they are, it is
            exact.
        xp: array namespace that does the arithmetic: NumPy, CuPy, or another that follows the array API standard.
    """
    xp = array_api_compat.array_namespace(xp.zeros(1))
    times = checkpoints(problem.n_samples)
    pieces = [
        _run(problem, seed, numbers, times, n_test, xp)
        for numbers in groups(first_replicate, replicates, problem.regime.n_features)
    ]
    shape = (0, len(times), 2)
    rows = np.concatenate([np.empty(shape), *pieces])
    rows = rows if np.ndim(problem.n_samples) else rows[:, 0]
    return OnlineSamples(
        test_error=rows[..., 0] + problem.regime.noise_variance,
        excess_risk=rows[..., 0],
        estimator_norm_squared=rows[..., 1],
    )


def checkpoints(n_samples: int | Sequence[int]) -> list[int]:
    """Return the numbers of samples at which to measure, refusing those that do not ascend.

    Raises:
        InadmissibleProblem: one is not whole and at least 0, or they do not ascend.
    """
    times = [whole("n_samples", float(count), least=0) for count in np.atleast_1d(np.asarray(n_samples)).tolist()]
    if any(later <= earlier for earlier, later in pairwise(times)):
        raise InadmissibleProblem(f"n_samples must ascend, got {times!r}", argument="n_samples")
    return times


def groups(first: int, replicates: int, n_features: int) -> Iterator[range]:
    """Cut replicates into groups that are trained together."""
    together = max(1, ENTRIES // (DRAWN_TOGETHER * n_features))
    for start in range(first, first + replicates, together):
        yield range(start, min(start + together, first + replicates))


def stream(seed: int, replicate: int, *purpose: int) -> np.random.Generator:
    """Return a replicate's own generator; one for every purpose."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(replicate, *purpose))))


def _run(problem: OnlineRegression, seed: int, numbers: range, times: list[int], n_test: int, xp: Any) -> Array:
    """Train a group of replicates; return excess risks and squared norms, shape ``(group, times, 2)``."""
    regime, features = problem.regime, problem.features
    generators = [stream(seed, number) for number in numbers]
    targets = [regime.target(generator) for generator in generators]
    weights = [[xp.asarray(array) for array in features.draw(generator, regime.n_features)] for generator in generators]
    noise = float(regime.noise_variance) ** 0.5
    theta, tail = None, xp.zeros(len(numbers), dtype=xp.float64)
    rate = float(problem.step_size) / problem.batch_size
    measured: list[Array] = []
    done, width = 0, problem.batch_size
    while True:
        # Batches never straddle two draws: as many whole ones as fit.
        drawn = max(DRAWN_TOGETHER // width, 1) * width
        pairs = [target.draw(generator, drawn) for target, generator in zip(targets, generators, strict=True)]
        errors = [noise * generator.standard_normal(drawn) for generator in generators]
        inputs = xp.stack([features.apply(own, xp.asarray(pair[0])) for own, pair in zip(weights, pairs, strict=True)])
        labels = xp.asarray(np.stack([pair[1] + error for pair, error in zip(pairs, errors, strict=True)]))
        if theta is None:
            theta = xp.zeros_like(inputs[:, 0, :])
        for start in range(0, drawn, width):
            if done == times[len(measured)]:
                risks = _excess(problem, seed, numbers, targets, weights, theta, done, n_test, xp)
                measured.append(np.stack([risks, np.asarray(xp.vecdot(theta, theta) + tail)], axis=-1))
                if len(measured) == len(times):
                    return np.stack(measured, axis=1)
            batch = inputs[:, start : start + width, :]
            residuals = xp.vecdot(batch, theta[:, None, :]) - labels[:, start : start + width]
            theta = theta - rate * xp.sum(residuals[:, :, None] * batch, axis=1)
            # Directions of vanishing variance, of which every sample has its own.
            tail = tail + rate * rate * float(regime.tail_trace) * xp.sum(residuals * residuals, axis=1)
            done += width


def _excess(
    problem: OnlineRegression,
    seed: int,
    numbers: range,
    targets: list[Any],
    weights: list[list[Any]],
    theta: Any,
    done: int,
    n_test: int,
    xp: Any,
) -> Array:
    """Measure the excess risks: exactly where features are linear in Gaussian inputs, on fresh inputs elsewhere."""
    found = []
    features: Any = problem.features
    for position, (number, target, own) in enumerate(zip(numbers, targets, weights, strict=True)):
        readout = theta[position, :]
        if hasattr(features, "pull_back") and target.weights is not None:
            missed = features.pull_back(own, readout) - xp.asarray(target.weights)
            linear = xp.vecdot(xp.asarray(np.asarray(problem.regime.eigenvalues)), missed * missed)
            found.append(float(linear) + target.constant**2 + target.orthogonal_variance)
        else:
            inputs, values = target.draw(stream(seed, number, done), n_test)
            missed = features.apply(own, xp.asarray(inputs)) @ readout - xp.asarray(values)
            found.append(float(xp.mean(missed * missed)))
    return np.array(found)
