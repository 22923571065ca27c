"""From training sets to trained predictors, over the array API."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import array_api_compat

from simulation.arrays import dot, times
from simulation.designs import Fit, KernelMatrix, ListedFeatures
from simulation.features import LinearFeatures, is_linear
from simulation.kernels import Kernel
from simulation.learners import beside_raw_features
from simulation.problem import Problem, TrainingSet


class Predictor(NamedTuple):
    """A trained predictor; those of several replicates have a leading axis.

    Attributes:
        fit: the read-out, and what it makes of the training set.
        intercept: beside features that are not centred.
        mapped: from inputs, shape ``(m, d)``, to what the read-out multiplies.
        on_inputs: where the map is linear, the weights on the inputs that the read-out amounts to, shape ``(d,)``; else None.
        tail_variance: what a tail of unit trace adds to the variance of the score of a new input.
    """

    fit: Fit
    intercept: Any
    mapped: Callable[[Any], Any]
    on_inputs: Any
    tail_variance: Any

    def scores(self, inputs: Any) -> Any:
        """Predict on new inputs."""
        return times(self.mapped(inputs), self.fit.readout) + self.intercept[..., None]


def train(problem: Problem, draw: TrainingSet) -> Predictor:
    """Draw the features of replicates and train on them.

    Args:
        problem: how to train.
        draw: what on; its streams give the features.
    """
    features: Any = problem.features
    if isinstance(features, Kernel):
        matrix = KernelMatrix.of(features.matrix(draw.inputs), fit_intercept=problem.fit_intercept)
        fit = problem.learner.fit(matrix, draw.labels)
        mapped = partial(_kernel_values, features, draw.inputs)
        return Predictor(fit, beside_raw_features(fit, matrix), mapped, None, 0.0)
    weights = features.draw(draw.streams, problem.regime.n_features)
    listed = features.apply(weights, draw.inputs)
    if problem.regime.tail_trace > 0.0:
        listed = _with_tail(features, listed, draw, problem.regime.tail_trace)
    design = ListedFeatures.of(listed, fit_intercept=problem.fit_intercept)
    fit = problem.learner.fit(design, draw.labels)
    on_inputs, tail_variance = _on_inputs(features, weights, fit.readout, problem.regime.n_features)
    return Predictor(fit, beside_raw_features(fit, design), partial(features.apply, weights), on_inputs, tail_variance)


def _kernel_values(kernel: Kernel, trained_on: Any, inputs: Any) -> Any:
    return kernel.matrix(inputs, trained_on)


def _with_tail(features: Any, mapped: Any, draw: TrainingSet, trace: float) -> Any:
    """Add the features of infinitely many directions of vanishing variance: orthogonal between different inputs."""
    xp, count = array_api_compat.array_namespace(mapped), int(mapped.shape[-2])
    if isinstance(features, LinearFeatures):
        own = trace**0.5 * xp.eye(count, dtype=mapped.dtype)
        return xp.concat([mapped, xp.broadcast_to(own, (*mapped.shape[:-1], count))], axis=-1)
    # Projected on independent normal vectors, each input's share of the tail is normal and independent of the others'.
    return mapped + (trace / features.width) ** 0.5 * draw.streams.standard_normal((count, features.width))


def _on_inputs(features: Any, weights: Any, readout: Any, n_features: int) -> tuple[Any, Any]:
    """Return the weights on the inputs that a read-out amounts to, and what it makes of a tail of unit trace."""
    if not is_linear(features):
        return None, 0.0
    if isinstance(features, LinearFeatures):
        # What a tail taught of each training input is orthogonal to every new one.
        return readout[..., :n_features], 0.0
    return features.pull_back(weights, readout), dot(readout, readout) / features.width
