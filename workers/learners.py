"""From a learner and what it is given to what it attains: one function a kind of learner and of labels."""

from typing import Any

import theory
from api_schemas.prediction import PredictionRequest
from workers.answers import Answer, Built


def ridge(request: PredictionRequest, built: Built) -> Answer:
    """Ridge regression on labels that are numbers."""
    learner: Any = request.model.learner
    found = theory.predict_ridge(built.equivalent, request.regime.n_samples, learner.penalty)
    return Answer(
        status=found.status,
        test_error=found.test_error,
        excess_risk=found.excess_risk,
        train_error=found.train_error,
        bias=found.bias,
        variance=found.variance,
        estimator_norm_squared=found.estimator_norm_squared,
        ridge=found.outer_ridge,
        target_ridge=found.effective_ridge,
        df1=found.df1,
        df2=found.df2,
        phase=found.phase,
        residual=found.residual,
        iterations=found.iterations,
    )


def gradient_flow(request: PredictionRequest, built: Built) -> Answer:
    """Gradient flow on labels that are numbers."""
    learner: Any = request.model.learner
    found = theory.predict_gradient_flow(
        built.equivalent, request.regime.n_samples, learner.time, penalty=learner.penalty
    )
    return _trained_for_a_while(found)


def gradient_descent(request: PredictionRequest, built: Built) -> Answer:
    """Gradient descent on labels that are numbers."""
    learner: Any = request.model.learner
    n_samples = request.regime.n_samples
    found = theory.predict_gradient_descent(
        built.equivalent, n_samples, learner.steps, step_size=learner.step_size, penalty=learner.penalty
    )
    return _trained_for_a_while(found, critical_step_size=found.critical_step_size)


def _trained_for_a_while(found: theory.GradientPrediction, **more: Any) -> Answer:
    return Answer(
        status=found.status,
        test_error=found.test_error,
        excess_risk=found.excess_risk,
        train_error=found.train_error,
        bias=found.bias,
        variance=found.variance,
        estimator_norm_squared=found.estimator_norm_squared,
        df1=found.df1,
        phase=found.phase,
        residual=found.residual,
        iterations=found.iterations,
        **more,
    )
