"""One-pass SGD of linear regression on any features: many replicates side by side, a fresh sample a step."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from simulation.arrays import dot, like, on_host, times, transposed
from simulation.batches import in_batches
from simulation.devices import HOST, Device, Streams
from simulation.domains import positive, whole
from simulation.features import Features, LinearFeatures, is_linear
from theory.covariance import InadmissibleProblem

Array = npt.NDArray[np.float64]

N_TEST = 1000
"""Fresh inputs on which each replicate measures the excess risk of features that are not linear in the inputs."""
DRAWN_TOGETHER = 256
"""Samples that a replicate draws at once: part of its stream, and the same whatever the replicates beside it."""
LINEAR = LinearFeatures()


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
    device: Device = HOST,
) -> OnlineSamples:
    """Draw, train and measure ``replicates`` independent runs, each with features and a target of its own.

    Streams, replicates and devices are those of :func:`simulation.replicates.simulate`; a replicate also comes out the same
    at a number of samples whether or not the run goes on from there.

    Args:
        problem: what to draw and how to train.
        replicates: how many.
        seed: nonnegative.
        first_replicate: number of the first one, to carry on where an earlier call stopped.
        n_test: fresh inputs a replicate measures the excess risk on where the features are not linear; where they are, it is
            exact.
        device: that does the work.
    """
    measured_at = checkpoints(problem.n_samples)

    def run(numbers: Sequence[int]) -> dict[str, Array]:
        return _run(problem, seed, numbers, measured_at, n_test, device)

    found = in_batches(run, first=first_replicate, count=replicates, device=device)
    excess, norms = (
        found.get(name, np.empty((0, len(measured_at)))) for name in ("excess_risk", "estimator_norm_squared")
    )
    if np.ndim(problem.n_samples) == 0:
        excess, norms = excess[:, 0], norms[:, 0]
    return OnlineSamples(
        test_error=excess + problem.regime.noise_variance, excess_risk=excess, estimator_norm_squared=norms
    )


def checkpoints(n_samples: int | Sequence[int]) -> list[int]:
    """Return the numbers of samples at which to measure, refusing those that do not ascend.

    Raises:
        InadmissibleProblem: one is not whole and at least 0, or they do not ascend.
    """
    measured_at = [whole("n_samples", float(count), least=0) for count in np.atleast_1d(np.asarray(n_samples)).tolist()]
    if any(later <= earlier for earlier, later in pairwise(measured_at)):
        raise InadmissibleProblem(f"n_samples must ascend, got {measured_at!r}", argument="n_samples")
    return measured_at


def _run(
    problem: OnlineRegression, seed: int, numbers: Sequence[int], measured_at: list[int], n_test: int, device: Device
) -> dict[str, Array]:
    """Train replicates side by side; what they measured has shape ``(replicates, times)``."""
    regime, features = problem.regime, problem.features
    streams = device.streams(seed, numbers)
    target = regime.target(streams)
    weights = features.draw(streams, regime.n_features)
    noise = float(regime.noise_variance) ** 0.5
    theta = tail = None
    rate = float(problem.step_size) / problem.batch_size
    risks: list[Array] = []
    norms: list[Array] = []
    done, width = 0, problem.batch_size
    while True:
        # Batches never straddle two draws: as many whole ones as fit.
        drawn = max(DRAWN_TOGETHER // width, 1) * width
        raw, values = target.draw(streams, drawn)
        inputs = features.apply(weights, raw)
        labels = values + noise * streams.standard_normal((drawn,))
        if theta is None:
            theta, tail = 0.0 * inputs[..., 0, :], 0.0 * labels[..., 0]
        for start in range(0, drawn, width):
            if done == measured_at[len(risks)]:
                fresh = device.streams(seed, numbers, done)
                risks.append(on_host(_excess(problem, target, weights, theta, fresh, n_test)))
                norms.append(on_host(dot(theta, theta) + tail))
                if len(risks) == len(measured_at):
                    return {
                        "excess_risk": np.stack(risks, axis=-1),
                        "estimator_norm_squared": np.stack(norms, axis=-1),
                    }
            batch = inputs[..., start : start + width, :]
            residuals = dot(batch, theta[..., None, :]) - labels[..., start : start + width]
            theta = theta - rate * times(transposed(batch), residuals)
            # Directions of vanishing variance, of which every sample has its own.
            tail = tail + rate * rate * float(regime.tail_trace) * dot(residuals, residuals)
            done += width


def _excess(problem: OnlineRegression, target: Any, weights: list[Any], theta: Any, fresh: Streams, n_test: int) -> Any:
    """Measure the excess risks: exactly where features are linear in Gaussian inputs, on fresh inputs elsewhere."""
    features: Any = problem.features
    if is_linear(features) and target.weights is not None:
        missed = features.pull_back(weights, theta) - like(theta, target.weights)
        linear = dot(like(missed, problem.regime.eigenvalues), missed * missed)
        return linear + target.constant**2 + target.orthogonal_variance
    inputs, values = target.draw(fresh, n_test)
    missed = times(features.apply(weights, inputs), theta) - values
    return dot(missed, missed) / n_test
