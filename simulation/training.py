"""From a training set to a trained predictor, over the array API."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from simulation.designs import Fit, KernelMatrix, ListedFeatures
from simulation.features import Features, LinearFeatures, is_linear
from simulation.kernels import Kernel
from simulation.learners import beside_raw_features
from simulation.problem import Problem, TrainingSet

Array = npt.NDArray[np.float64]


class Predictor(NamedTuple):
    """A trained predictor.

    Attributes:
        fit: the read-out, and what it makes of the training set.
        intercept: beside features that are not centred.
        mapped: from inputs, shape ``(m, d)`` on the host, to what the read-out multiplies.
        on_inputs: where the map is linear, the weights on the inputs that the read-out amounts to, shape ``(d,)``; else None.
        tail_variance: what a tail of unit trace adds to the variance of the score of a new input.
    """

    fit: Fit
    intercept: Any
    mapped: Callable[[Array], Any]
    on_inputs: Any
    tail_variance: float

    def scores(self, inputs: Array) -> Any:
        """Predict on new inputs."""
        return self.mapped(inputs) @ self.fit.readout + self.intercept


def train(problem: Problem, draw: TrainingSet, *, xp: Any) -> Predictor:
    """Draw the features of a replicate and train on them.

    Args:
        problem: how to train.
        draw: what on; its stream gives the features.
        xp: array namespace of the linear algebra, by the names of the standard.
    """
    features, labels = problem.features, xp.asarray(draw.labels)
    if isinstance(features, Kernel):
        matrix = KernelMatrix.of(features.matrix(draw.inputs, xp=xp), fit_intercept=problem.fit_intercept)
        fit = problem.learner.fit(matrix, labels)
        mapped = partial(_kernel_values, features, draw.inputs, xp)
        return Predictor(fit, beside_raw_features(fit, matrix), mapped, None, 0.0)
    weights = [xp.asarray(array) for array in features.draw(draw.generator, problem.regime.n_features)]
    listed = features.apply(weights, xp.asarray(draw.inputs))
    if problem.regime.tail_trace > 0.0:
        listed = _with_tail(features, listed, draw.generator, problem.regime.tail_trace, xp)
    design = ListedFeatures.of(listed, fit_intercept=problem.fit_intercept)
    fit = problem.learner.fit(design, labels)
    mapped = partial(_feature_values, features, weights, xp)
    on_inputs, tail_variance = _on_inputs(features, weights, fit.readout, problem.regime.n_features)
    return Predictor(fit, beside_raw_features(fit, design), mapped, on_inputs, tail_variance)


def _kernel_values(kernel: Kernel, trained_on: Array, xp: Any, inputs: Array) -> Any:
    return kernel.matrix(inputs, trained_on, xp=xp)


def _feature_values(features: Features, weights: Any, xp: Any, inputs: Array) -> Any:
    return features.apply(weights, xp.asarray(inputs))


def _with_tail(features: Any, mapped: Any, generator: np.random.Generator, trace: float, xp: Any) -> Any:
    """Add the features of infinitely many directions of vanishing variance: orthogonal between different inputs."""
    count = int(mapped.shape[0])
    if isinstance(features, LinearFeatures):
        return xp.concat([mapped, trace**0.5 * xp.eye(count, dtype=mapped.dtype)], axis=1)
    # Projected on independent normal vectors, each input's share of the tail is normal and independent of the others'.
    normal = xp.asarray(generator.standard_normal((count, features.width)))
    return mapped + (trace / features.width) ** 0.5 * normal


def _on_inputs(features: Any, weights: Any, readout: Any, n_features: int) -> tuple[Any, float]:
    """Return the weights on the inputs that a read-out amounts to, and what it makes of a tail of unit trace."""
    if not is_linear(features):
        return None, 0.0
    if isinstance(features, LinearFeatures):
        # What a tail taught of each training input is orthogonal to every new one.
        return readout[:n_features], 0.0
    return features.pull_back(weights, readout), float(readout @ readout) / features.width
