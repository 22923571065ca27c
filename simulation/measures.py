"""What a trained predictor attains: exactly where it is linear in Gaussian inputs, on fresh inputs otherwise."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from simulation.losses import mistake
from simulation.problem import Problem, TrainingSet
from simulation.scores import average
from simulation.training import Predictor

Loss = Callable[[Any], Any]


def measure(predictor: Predictor, problem: Problem, draw: TrainingSet, *, n_test: int, xp: Any) -> dict[str, float]:
    """Return the quantities of :class:`simulation.replicates.Samples` for one replicate.

    Args:
        predictor: trained.
        problem: that it solves.
        draw: what it was trained on; its stream gives fresh inputs.
        n_test: how many of them, where there is no formula.
        xp: array namespace.
    """
    measures = _squared_errors if problem.regime.metric == "squared_error" else _misclassifications
    norm = float(predictor.fit.norm_squared)
    return {"estimator_norm_squared": norm, **measures(predictor, problem, draw, n_test, xp)}


def _squared_errors(
    predictor: Predictor, problem: Problem, draw: TrainingSet, n_test: int, xp: Any
) -> dict[str, float]:
    if predictor.on_inputs is not None and draw.target.weights is not None:
        excess = _exact_excess(predictor, problem.regime, draw.target, xp)
    else:
        inputs, values = draw.target.draw(draw.generator, n_test)
        excess = _mean_square(xp.asarray(values) - predictor.scores(inputs))
    return {
        "test_error": excess + problem.regime.noise_variance,
        "excess_risk": excess,
        "train_error": _mean_square(xp.asarray(draw.labels) - predictor.fit.scores),
    }


def _exact_excess(predictor: Predictor, regime: Any, target: Any, xp: Any) -> float:
    """Constants, linear functions and the nonlinear part are uncorrelated, so their errors add up."""
    missed = predictor.on_inputs - xp.asarray(target.weights)
    linear: float = float(xp.asarray(np.asarray(regime.eigenvalues)) @ (missed * missed))
    constant: float = float(predictor.intercept) - target.constant
    unseen: float = float(target.orthogonal_variance) + float(regime.tail_trace) * predictor.tail_variance
    return linear + constant**2 + unseen


def _misclassifications(
    predictor: Predictor, problem: Problem, draw: TrainingSet, n_test: int, xp: Any
) -> dict[str, float]:
    margins = xp.asarray(draw.labels) * predictor.fit.scores
    at_test, loss = _average_at_test(predictor, draw, n_test, xp), problem.learner.loss
    measured = {"test_error": at_test(mistake), "train_error": float(xp.mean(mistake(margins)))}
    if loss is None:
        return measured
    return measured | {"test_loss": at_test(loss), "train_loss": float(xp.mean(loss(margins)))}


def _average_at_test(predictor: Predictor, draw: TrainingSet, n_test: int, xp: Any) -> Callable[[Loss], float]:
    """Return what averages a loss of the margin over new inputs and their labels, the same inputs for every loss."""
    if predictor.on_inputs is not None:
        laws, shift = draw.target.score_laws(predictor.on_inputs), float(predictor.intercept)
        return lambda loss: math.fsum(law.share * average(law, shift, loss) for law in laws)
    inputs, values = draw.target.draw(draw.generator, n_test)
    scores, chance = predictor.scores(inputs), xp.asarray(values)
    return lambda loss: float(xp.mean(chance * loss(scores) + (1.0 - chance) * loss(-scores)))


def _mean_square(residuals: Any) -> float:
    return float(residuals @ residuals) / int(residuals.shape[0])
