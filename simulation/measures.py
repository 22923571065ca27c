"""What a trained predictor attains: exactly where it is linear in Gaussian inputs, on fresh inputs otherwise."""

import math
from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np
import numpy.typing as npt

from simulation.arrays import dot, like, on_host
from simulation.losses import mistake
from simulation.problem import Problem, TrainingSet
from simulation.scores import average
from simulation.training import Predictor

Loss = Callable[[Any], Any]


def measure(
    predictor: Predictor, problem: Problem, draw: TrainingSet, *, n_test: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the quantities of :class:`simulation.replicates.Samples`, on the host.

    Args:
        predictor: trained.
        problem: that it solves.
        draw: what it was trained on; its streams give fresh inputs.
        n_test: how many of them, where there is no formula.
    """
    measures = _squared_errors if problem.regime.metric == "squared_error" else _misclassifications
    found = measures(predictor, problem, draw, n_test) | {"estimator_norm_squared": predictor.fit.norm_squared}
    return {name: on_host(values) for name, values in found.items()}


def _squared_errors(predictor: Predictor, problem: Problem, draw: TrainingSet, n_test: int) -> dict[str, Any]:
    if predictor.on_inputs is not None and draw.target.weights is not None:
        excess = _exact_excess(predictor, problem.regime, draw.target)
    else:
        inputs, values = draw.target.draw(draw.streams, n_test)
        excess = _mean_square(values - predictor.scores(inputs))
    return {
        "test_error": excess + problem.regime.noise_variance,
        "excess_risk": excess,
        "train_error": _mean_square(draw.labels - predictor.fit.scores),
    }


def _exact_excess(predictor: Predictor, regime: Any, target: Any) -> Any:
    """Constants, linear functions and the nonlinear part are uncorrelated, so their errors add up."""
    missed = predictor.on_inputs - like(predictor.on_inputs, target.weights)
    linear = dot(like(missed, regime.eigenvalues), missed * missed)
    constant = predictor.intercept - target.constant
    return linear + constant**2 + float(target.orthogonal_variance) + regime.tail_trace * predictor.tail_variance


def _misclassifications(predictor: Predictor, problem: Problem, draw: TrainingSet, n_test: int) -> dict[str, Any]:
    margins = draw.labels * predictor.fit.scores
    at_test, loss = _average_at_test(predictor, draw, n_test), problem.learner.loss
    measured = {"test_error": at_test(mistake), "train_error": _mean(mistake(margins))}
    if loss is None:
        return measured
    return measured | {"test_loss": at_test(loss), "train_loss": _mean(loss(margins))}


def _average_at_test(predictor: Predictor, draw: TrainingSet, n_test: int) -> Callable[[Loss], Any]:
    """Return what averages a loss of the margin over new inputs and their labels, the same inputs for every loss."""
    if predictor.on_inputs is not None:
        return _exact_average(predictor, draw)
    inputs, chances = draw.target.draw(draw.streams, n_test)
    scores = predictor.scores(inputs)
    return lambda loss: _mean(chances * loss(scores) + (1.0 - chances) * loss(-scores))


def _exact_average(predictor: Predictor, draw: TrainingSet) -> Callable[[Loss], Any]:
    weights, intercepts = on_host(predictor.on_inputs), on_host(predictor.intercept)
    places = list(np.ndindex(intercepts.shape))
    # Weights are NaN where training has no answer.
    laws = {
        place: draw.target.score_laws(weights[place], place)
        for place in places
        if math.isfinite(float(np.sum(weights[place])))
    }

    def averaged(loss: Loss) -> Any:
        means = np.full(intercepts.shape, np.nan)
        for place, own in laws.items():
            means[place] = sum(law.share * average(law, float(intercepts[place]), loss) for law in own)
        return means

    return averaged


def _mean(values: Any) -> Any:
    return array_api_compat.array_namespace(values).mean(values, axis=-1)


def _mean_square(residuals: Any) -> Any:
    return dot(residuals, residuals) / int(residuals.shape[-1])
