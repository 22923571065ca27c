"""What a linear classifier with a convex loss attains on any features, penalty 0 included."""

from dataclasses import dataclass, replace
from math import inf, isfinite, nan, sqrt
from typing import Literal

import numpy as np

from theory.classification.collapse import collapses
from theory.classification.fixed_point import FixedPoint, Solution
from theory.classification.hinge import HardMargin, Hinge
from theory.classification.labels import Labels, MixtureLabels, Scores
from theory.classification.loss import Loss
from theory.classification.losses import Square
from theory.classification.ridge import ridge_of
from theory.classification.separability import separability
from theory.classification.teacher import TeacherLabels
from theory.covariance import InadmissibleProblem
from theory.equivalents.population import Population, Traces

RESIDUAL_TOLERANCE = 1e-6
QUADRATURE_TOLERANCE = 1e-9
ENERGY_TOLERANCE = 1e-8
ROUNDING = 1e-14
PROX_TOLERANCE = 1e-10
REACH = 10.0
"""Standard deviations over which the proximal operator is checked."""

SMALLEST_PENALTY, LARGEST_PENALTY = 1e-20, 1e20
"""In units of the trace. Limits are reached to rounding beyond either, but for logistic regression of separable classes."""

AT_THRESHOLD = 1e-9
"""Relative distance from separability within which rounding would decide; weights are unbounded there, at penalty 0."""

Status = Literal["converged", "divergent", "not_converged"]


@dataclass(frozen=True, kw_only=True)
class ClassificationPrediction:
    """What a classifier attains. Errors, losses and norm are infinite where ``status`` is "divergent".

    Attributes:
        test_error: misclassification of fresh samples.
        train_error: misclassification of the training set.
        test_loss, train_loss: the mean loss on either, without the penalty; that of the hinge for a hard margin.
        estimator_norm_squared: ``|w|^2``, the intercept left out.
        mean_margin: m, of fresh samples without the intercept.
        score_variance: q, of the score of fresh samples: within a class, or for a teacher altogether.
        proximal: V, by which fitting a sample moves its margin; infinite where all samples are interpolated.
        intercept: b.
        outer_ridge: kappa, ``penalty / Vh``: the ridge that acts on the population of features.
        df1, df2: traces of the population at ``outer_ridge``.
        status: "converged"; "divergent" where no finite weights are optimal; "not_converged", the best iterate, or nan where
            there is none, as for penalties near the end of the range of doubles.
        residual: largest relative change that another round of the fixed point makes.
        quadrature_error: by how much twice the nodes change the averages, relatively.
        energy_error: mismatch of ``E gamma p`` and ``penalty |w|^2``, relative to their parts.
        iterations: evaluations of the labels' averages.
    """

    test_error: float
    train_error: float
    test_loss: float
    train_loss: float
    estimator_norm_squared: float
    mean_margin: float
    score_variance: float
    proximal: float
    intercept: float
    outer_ridge: float
    df1: float
    df2: float
    status: Status
    residual: float
    quadrature_error: float = 0.0
    energy_error: float = 0.0
    iterations: int = 0


def predict_classifier(
    population: Population, labels: MixtureLabels | TeacherLabels, loss: Loss, *, n_samples: float, penalty: float
) -> ClassificationPrediction:
    """Predict ``argmin (1/n) sum_i l(y_i (x_i . w + b)) + (penalty / 2) |w|^2``, b fitted where the labels say so.

    Args:
        population: of the features, whose coupling is the class mean or, for a teacher, ``E x nu``.
        labels: where labels come from.
        loss: square, logistic or hinge.
        n_samples: n > 0.
        penalty: nonnegative. At 0: least squares or the interpolator of least norm; the maximum-likelihood estimate, which
            exists up to the separability threshold and diverges beyond; the hinge's minimum, beyond the threshold that of
            the largest margin.

    Returns:
        The exact limit of large sizes at these sizes, and a status. A small residual is not enough for "converged":
        doubled nodes, the equation of the proximal operator, ``E gamma p = penalty |w|^2`` and bounds are checked too.

    Raises:
        InadmissibleProblem: a size is not positive, the penalty is negative, the features do not vary, or they are more
            correlated with the latent than its variance allows.

    Source: see :mod:`theory.classification.fixed_point`.
    """
    with np.errstate(all="ignore"):
        _check(population, labels, n_samples, penalty)
        return _predict(population, labels, loss, n_samples, penalty)


def _predict(
    population: Population, labels: MixtureLabels | TeacherLabels, loss: Loss, n_samples: float, penalty: float
) -> ClassificationPrediction:
    largest = LARGEST_PENALTY * population.trace
    if penalty > largest:
        return _scaled(_predict(population, labels, loss, n_samples, largest), largest / penalty, population.trace)
    if isinstance(loss, Square):
        return _least_squares(population, labels, loss, n_samples, penalty)
    vanishing = penalty < SMALLEST_PENALTY * population.trace
    if vanishing:
        found = separability(population, labels, n_samples=n_samples)
        if abs(found.distance) <= AT_THRESHOLD * found.threshold and penalty == 0.0:
            return _unanswered(inf, "divergent", iterations=0, ridge=inf, traces=population.traces(population.trace))
        if not found.separable:
            penalty = 0.0
        elif isinstance(loss, Hinge) or penalty == 0.0:
            return _largest_margin(population, labels, loss, n_samples)
    if isinstance(loss, Hinge) and isinstance(labels, MixtureLabels) and collapses(population, labels, n_samples):
        return _collapsed(population, labels, loss)
    problem = FixedPoint(population=population, labels=labels, loss=loss, n_samples=n_samples, penalty=penalty)
    return _read(problem, problem.solve())


def _largest_margin(population: Population, labels: Labels, loss: Loss, n_samples: float) -> ClassificationPrediction:
    """Separable classes without a penalty: the hinge leads to the largest margin, other weights grow in its direction."""
    problem = FixedPoint(
        population=population, labels=labels, loss=HardMargin(), n_samples=n_samples, penalty=population.trace
    )
    limit = problem.solve()
    if isinstance(loss, Hinge):
        return _read(problem, limit, interpolates=True)
    return _unanswered(inf, "divergent", iterations=limit.iterations, ridge=limit.ridge, traces=limit.traces)


def _scaled(found: ClassificationPrediction, factor: float, trace: float) -> ClassificationPrediction:
    """Return the answer for a penalty larger by 1 / factor: weights are in inverse proportion to penalties so large."""
    return replace(
        found,
        estimator_norm_squared=found.estimator_norm_squared * factor * factor,
        mean_margin=found.mean_margin * factor,
        score_variance=found.score_variance * factor * factor,
        proximal=found.proximal * factor,
        # So is the curvature, unless it is what keeps a class on the hinge's kink.
        outer_ridge=found.outer_ridge / factor if found.outer_ridge > trace else found.outer_ridge,
        df1=found.df1 * factor if found.outer_ridge > trace else found.df1,
        df2=found.df2 * factor * factor if found.outer_ridge > trace else found.df2,
    )


def _check(population: Population, labels: MixtureLabels | TeacherLabels, n_samples: float, penalty: float) -> None:
    if not (n_samples > 0.0 and isfinite(n_samples)):
        raise InadmissibleProblem(f"n_samples must exceed 0 and be finite, got {n_samples:g}", argument="n_samples")
    if not (penalty >= 0.0 and isfinite(penalty)):
        raise InadmissibleProblem(f"penalty must be at least 0 and finite, got {penalty:g}", argument="penalty")
    if not population.trace > 0.0:
        raise InadmissibleProblem("the features have no variance: raise an eigenvalue of the covariance")
    if isinstance(labels, TeacherLabels):
        labels.check(population.traces(0.0).coupling)


def _least_squares(
    population: Population, labels: Labels, loss: Square, n_samples: float, penalty: float
) -> ClassificationPrediction:
    """Ridge regression on the labels, in closed form but for the ridge."""
    found = ridge_of(population, n_samples, penalty)
    traces, curvature = found.traces, found.curvature
    moments = labels.square_moments(traces.coupling)
    mean_margin = moments.pull * traces.coupling
    # T - kappa T' of the theory of least squares, and the test loss, twice.
    unfitted = moments.squared + moments.pull**2 * traces.coupling_variance
    if found.free == 0.0 or not isfinite(mean_margin + unfitted):
        return _unanswered(inf, "divergent", iterations=found.iterations, ridge=found.ridge, traces=traces)
    squared = unfitted / found.free
    variance = moments.pull**2 * traces.coupling_variance + squared * traces.df2 / n_samples
    proximal = traces.df1 / (n_samples * curvature) if curvature > 0.0 else inf
    scores = Scores(mean_margin, sqrt(variance), proximal, moments.offset)
    return ClassificationPrediction(
        test_error=labels.test_error(loss, scores),
        train_error=labels.train_error(loss, scores),
        test_loss=0.5 * squared,
        train_loss=0.5 * curvature * curvature * squared,
        estimator_norm_squared=moments.pull**2 * traces.coupling_norm + squared * traces.df_norm / n_samples,
        mean_margin=mean_margin,
        score_variance=variance,
        proximal=proximal,
        intercept=labels.intercept(loss, scores),
        outer_ridge=found.ridge,
        df1=traces.df1,
        df2=traces.df2,
        status="converged" if found.converged else "not_converged",
        residual=found.residual,
        iterations=found.iterations,
    )


def _read(problem: FixedPoint, solution: Solution, *, interpolates: bool = False) -> ClassificationPrediction:
    """Read everything off a solution, and check it."""
    if not isfinite(solution.residual):
        return _unanswered(nan, "not_converged", iterations=solution.iterations)
    loss, labels, scores, traces = problem.loss, problem.labels, solution.scores, solution.traces
    # The largest margin is where the hinge's minimum goes, whose loss is finite on fresh samples.
    reported = Hinge() if interpolates else loss
    mean, variance, curvature = solution.conjugates
    norm = (mean / curvature) ** 2 * traces.coupling_norm + variance * traces.df_norm / (
        problem.n_samples * curvature**2
    )
    train_loss = labels.train_loss(loss, scores)
    quadrature_error, energy_error = _quadrature_error(problem, solution), _energy_error(problem, solution, norm)
    bounded = (
        scores.proximal * curvature <= 1.0 + QUADRATURE_TOLERANCE
        # At no weights and no intercept the objective is the loss at 0.
        and train_loss + 0.5 * problem.penalty * norm
        <= float(loss.value(np.zeros(1))[0]) * (1.0 + QUADRATURE_TOLERANCE)
    )
    certified = (
        solution.residual <= RESIDUAL_TOLERANCE
        and quadrature_error <= QUADRATURE_TOLERANCE
        and energy_error <= ENERGY_TOLERANCE
        and loss.prox_error(REACH * scores.deviation + abs(scores.mean_margin), scores.proximal) <= PROX_TOLERANCE
        and bounded
    )
    return ClassificationPrediction(
        test_error=labels.test_error(loss, scores),
        train_error=labels.train_error(loss, scores),
        test_loss=labels.test_loss(reported, scores),
        train_loss=train_loss,
        estimator_norm_squared=norm,
        mean_margin=scores.mean_margin,
        score_variance=scores.variance,
        proximal=inf if interpolates else scores.proximal,
        intercept=labels.intercept(loss, scores),
        outer_ridge=solution.ridge,
        df1=traces.df1,
        df2=traces.df2,
        status="converged" if certified else "not_converged",
        residual=solution.residual,
        quadrature_error=quadrature_error,
        energy_error=energy_error,
        iterations=solution.iterations,
    )


def _quadrature_error(problem: FixedPoint, solution: Solution) -> float:
    """Return by how much averages over twice the nodes differ from the solution."""
    scores, expected = solution.scores, solution.conjugates
    found = problem.labels.conjugates(problem.loss, *scores[:3], offset=scores.offset, refinement=2)
    return max(
        abs(found.mean / expected[0] - 1.0),
        abs(found.variance / expected[1] - 1.0),
        abs(found.curvature - expected[2]) / (expected[2] + problem.softening),
    )


def _energy_error(problem: FixedPoint, solution: Solution, norm: float) -> float:
    """Return the relative mismatch of ``E gamma p`` and ``penalty |w|^2``, equal where the gradient along w vanishes.

    By integration by parts either is ``m mh - q Vh + V qh``: the identity fails where the dual variable or its slope is not
    what the proximal operator says, however small the residual.
    """
    scores, (mean, variance, curvature) = solution.scores, solution.conjugates
    parts = scores.mean_margin * mean + scores.variance * curvature + scores.proximal * variance
    mismatch = abs(problem.labels.energy(problem.loss, scores) - problem.penalty * norm)
    # At large penalties E gamma p is a small difference, of terms of the size of E gamma.
    rounding = ROUNDING * mean * (1.0 + abs(problem.labels.intercept(problem.loss, scores)))
    return max(mismatch - rounding, 0.0) / parts


def _unanswered(
    value: float, status: Status, *, iterations: int, ridge: float = nan, traces: Traces | None = None
) -> ClassificationPrediction:
    """Return infinite errors, or none."""
    return ClassificationPrediction(
        test_error=value,
        train_error=value,
        test_loss=value,
        train_loss=value,
        estimator_norm_squared=value,
        mean_margin=value,
        score_variance=value,
        proximal=value,
        intercept=value,
        outer_ridge=ridge,
        df1=traces.df1 if traces else nan,
        df2=traces.df2 if traces else nan,
        status=status,
        residual=0.0 if status == "divergent" else inf,
        iterations=iterations,
    )


def _collapsed(population: Population, labels: MixtureLabels, loss: Hinge) -> ClassificationPrediction:
    """Return the answer "always the larger class": no weights, and an intercept of +-1."""
    scores, traces = Scores(0.0, 0.0, 0.0, 0.0), population.traces(0.0)
    smaller = float(labels.shares[1])
    return ClassificationPrediction(
        test_error=smaller,
        train_error=smaller,
        test_loss=2.0 * smaller,
        train_loss=2.0 * smaller,
        estimator_norm_squared=0.0,
        mean_margin=0.0,
        score_variance=0.0,
        proximal=0.0,
        intercept=labels.intercept(loss, scores),
        outer_ridge=0.0,
        df1=traces.df1,
        df2=traces.df2,
        status="converged",
        residual=0.0,
        iterations=0,
    )
