"""From a learner and what it is given to what it attains: one function a kind of learner and of labels."""

from dataclasses import fields
from typing import Any

import numpy as np

import theory
from api_schemas.prediction import PredictionRequest
from theory.classification.clusters import predict_clusters
from theory.classification.convex import ClassificationPrediction, predict_classifier
from theory.classification.discriminant import predict_discriminant
from theory.classification.gaussian_clusters import Clusters
from theory.classification.gradient import MixtureRates
from theory.classification.losses import Hinge, Logistic, Square
from theory.classification.separability import separability
from theory.equivalents.point import phase_of
from theory.learners.sgd import predict_sgd
from theory.namespace import single
from theory.solvers.effective_ridge import THRESHOLD_TOLERANCE
from workers.answers import Answer, Built, Classes
from workers.pools import predict
from workers.refusals import Unsupported

LINEAR_BEYOND = 100.0
"""Ridge, in units of the constant's eigenvalue, from which a hinge is its linear part for all samples."""
FOR_EVER = 1e300
"""A time after which nothing moves: gradient flow is ridge regression then."""


def ridge(request: PredictionRequest, built: Built) -> Answer:
    """Ridge regression on labels that are numbers."""
    learner: Any = request.model.learner
    found = theory.predict_ridge(_equivalent(built), request.regime.n_samples, learner.penalty)
    return Answer.of(found, ridge=found.outer_ridge, target_ridge=found.effective_ridge)


def ridge_of_pool(request: PredictionRequest, built: Built) -> Answer:
    """Ridge regression on rows, on the codes of classes as on numbers."""
    learner: Any = request.model.learner
    assert built.pool is not None
    found = predict(built.pool, request.regime.n_samples, learner.penalty, built.pool.width)
    return Answer.of(None, **{field.name: found[field.name] for field in fields(Answer) if field.name in found})


def gradient_flow(request: PredictionRequest, built: Built) -> Answer:
    """Gradient flow of square loss."""
    learner: Any = request.model.learner
    return _after_a_while(request, built, _flow(request, built, learner.time))


def gradient_descent(request: PredictionRequest, built: Built) -> Answer:
    """Gradient descent of square loss."""
    learner: Any = request.model.learner
    found = theory.predict_gradient_descent(
        _equivalent(built),
        request.regime.n_samples,
        learner.steps,
        step_size=learner.step_size,
        penalty=learner.penalty,
    )
    return _after_a_while(request, built, found)


def _flow(request: PredictionRequest, built: Built, time: float) -> theory.GradientPrediction:
    learner: Any = request.model.learner
    return theory.predict_gradient_flow(_equivalent(built), request.regime.n_samples, time, penalty=learner.penalty)


def _after_a_while(request: PredictionRequest, built: Built, found: theory.GradientPrediction) -> Answer:
    return Answer.of(found) if built.classes is None else _classified(request, built.classes, found)


def sgd(request: PredictionRequest, built: Built) -> Answer:
    """One pass of stochastic gradient descent on labels that are numbers."""
    learner: Any = request.model.learner
    if request.model.fit_intercept:
        raise Unsupported(
            "/model/fit_intercept",
            "must be false: one-pass sgd has a theory for centred features, without an intercept",
        )
    return Answer.of(predict_sgd(_equivalent(built), request.regime.n_samples, learner.step_size))


def _classified(request: PredictionRequest, classes: Classes, found: theory.GradientPrediction) -> Answer:
    """Return the rates of a predictor of the labels by its sign; square loss is half the squared error."""
    rates = classes.rates
    test_error, train_error = rates.rates(found)
    noise = 0.0
    if request.model.fit_intercept:
        within = found.score_square
        if isinstance(rates, MixtureRates):
            within -= found.score_mean**2 / (1.0 - rates.mean_label**2)
        noise = found.test_error / (request.regime.n_samples * within) if within > 0.0 else np.inf
    return Answer.of(
        found,
        test_error=test_error,
        train_error=train_error,
        test_loss=0.5 * found.test_error,
        train_loss=0.5 * found.train_error,
        intercept_noise=noise,
        excess_risk=None,
        bias=None,
        variance=None,
    )


def ridge_of_classes(request: PredictionRequest, built: Built) -> Answer:
    """Ridge regression on labels that are classes."""
    if _penalised_constant(built):
        learner: Any = request.model.learner
        found = _flow(request, built, FOR_EVER)
        if learner.penalty > 0.0 or found.phase != "threshold":
            return _classified(request, _classes(built), found)
    return _by_loss(request, built, Square())


def logistic(request: PredictionRequest, built: Built) -> Answer:
    """Logistic regression."""
    if built.clusters is not None:
        return _on_clusters(request, built.clusters, Logistic())
    _refuse_penalised_constant(built)
    return _by_loss(request, built, Logistic())


def hinge(request: PredictionRequest, built: Built) -> Answer:
    """The support vector machine."""
    if built.clusters is not None:
        return _on_clusters(request, built.clusters, Hinge())
    _refuse_penalised_constant(built)
    return _by_loss(request, built, Hinge())


def _on_clusters(request: PredictionRequest, clusters: Clusters, loss: Logistic | Hinge) -> Answer:
    """A classifier of rows, which are taken for Gaussian within each class."""
    learner: Any = request.model.learner
    n_samples = request.regime.n_samples
    found = predict_clusters(
        clusters,
        loss,
        n_samples=n_samples,
        penalty=learner.penalty,
        fit_intercept=request.model.fit_intercept,
    )
    return Answer.of(found, phase=_phase(n_samples, clusters.means.shape[1]))


def _penalised_constant(built: Built) -> bool:
    """Whether features with a mean are to make up for classes of different sizes, at the price of a penalty."""
    return getattr(built.equivalent, "level", 0.0) != 0.0


def _refuse_penalised_constant(built: Built) -> None:
    if _penalised_constant(built):
        raise Unsupported(
            "/model/fit_intercept",
            "must be true: these features have a mean, which without an intercept makes up for classes of different sizes at"
            " the price of a penalty, and that has a theory for square loss alone; or set regime.positive_fraction to 0.5",
        )


def _by_loss(request: PredictionRequest, built: Built, loss: Any) -> Answer:
    learner: Any = request.model.learner
    classes, n_samples = _classes(built), request.regime.n_samples
    found = predict_classifier(classes.population, classes.labels, loss, n_samples=n_samples, penalty=learner.penalty)
    return Answer.of(
        found,
        ridge=found.outer_ridge,
        classifier=found,
        intercept_noise=_intercept_noise(found, n_samples) if request.model.fit_intercept else 0.0,
        common_noise=_common_noise(built, found) if isinstance(loss, Hinge) else 0.0,
        separability=None
        if isinstance(loss, Square)
        else separability(classes.population, classes.labels, n_samples=n_samples),
        phase=_phase(n_samples, classes.population.rank),
    )


def _intercept_noise(found: ClassificationPrediction, n_samples: float) -> float:
    """Estimate from the squared error of the scores, of which the constant averages n."""
    if found.status != "converged":
        return 0.0
    error = (1.0 - found.mean_margin) ** 2 + found.score_variance
    return error / (n_samples * found.score_variance) if found.score_variance > 0.0 else np.inf


def _common_noise(built: Built, found: ClassificationPrediction) -> float:
    """Return the constant's part of df2, of which every part scatters the scores alike; 0 where the loss has no kink left.

    Far beyond the constant's eigenvalue no sample reaches the kink, the loss is linear, and so is what noise does.
    """
    constant = float(getattr(built.equivalent, "constant", 0.0))
    if constant == 0.0 or found.df2 == 0.0 or found.outer_ridge > LINEAR_BEYOND * constant:
        return 0.0
    return (constant / (constant + found.outer_ridge)) ** 2 / found.df2


def lda(request: PredictionRequest, built: Built) -> Answer:
    """Regularised linear discriminant analysis of a mixture."""
    learner: Any = request.model.learner
    regime: Any = request.regime
    population: Any = _classes(built).population
    found = predict_discriminant(
        population,
        n_samples=regime.n_samples,
        positive_fraction=regime.positive_fraction,
        penalty=learner.penalty,
    )
    return Answer.of(found, phase=_phase(regime.n_samples, population.rank))


def _equivalent(built: Built) -> theory.Equivalent:
    assert built.equivalent is not None
    return built.equivalent


def _classes(built: Built) -> Classes:
    assert built.classes is not None
    return built.classes


def _phase(n_samples: float, rank: float) -> str:
    return str(phase_of(single, n_samples, rank, THRESHOLD_TOLERANCE))
