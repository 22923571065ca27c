"""From a request and its solution to the exact derivatives of ``test_error`` by everything continuous in it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from api_schemas.prediction import PredictionRequest
from theory.classification.gradient import MixtureRates
from theory.classification.losses import HardMargin, Hinge, Logistic, Loss
from theory.derivatives import classification, learners, pools
from theory.derivatives.dual import Dual, value_of
from theory.derivatives.equivalents import ModalEquivalent, Solved
from theory.derivatives.gradient_methods import FAR, Filter, at_rest, descent_filter, flow_filter, moments
from theory.derivatives.mixture import MixtureEquivalent
from theory.equivalents.blocks import BlockEquivalent
from theory.equivalents.point import Continued, Point
from theory.equivalents.point import Equivalent as PlainEquivalent
from theory.equivalents.population import ABUNDANT, EquivalentPopulation, trace_of
from theory.equivalents.population import FAR as FAR_RIDGE
from theory.learners.filtered import Contours, of_flow
from theory.learners.gradient_methods import EARLY, Problem, descent_contours, flow_contours
from workers.answers import Answer, Built, Classes
from workers.differentiable import energies_of, equivalent_of, features_of, mean_energies_of, spectrum_of
from workers.directions import Directions, directions_of
from workers.learners import FOR_EVER
from workers.refusals import Unsupported
from workers.registry import CLASSES, NUMBERS
from workers.trained import trained

Gradient = dict[str, float | None]
N_UNKNOWNS = 6
"""Ridge and conjugates of a loss, and two ridges of features: no more are eliminated together."""


AGREEMENT = 1e-6
"""Relative difference of the differentiated error and the predicted one beyond which its derivatives have no digits either."""


def gradient_of(request: PredictionRequest, built: Built, answer: Answer) -> Gradient:
    """Differentiate the test error of a request that was answered.

    Args:
        request: as it was asked.
        built: what was solved.
        answer: what was found.

    Returns:
        Derivatives by dotted path, None where there is none: the error is not finite there, or has a kink.

    Raises:
        Unsupported: derivatives of this combination are not known.
    """
    differentiate = LEARNERS.get((request.model.learner.kind, request.regime.kind))
    if differentiate is None:
        raise _unsupported(request)
    directions = directions_of(request, n_unknowns=N_UNKNOWNS)
    if answer.status != "converged":
        return dict.fromkeys(directions.paths)
    try:
        with np.errstate(all="ignore"):
            error = differentiate(request, built, answer, directions)
    except (ArithmeticError, np.linalg.LinAlgError):
        # The equations are singular: an interpolation threshold without noise, or numbers too far apart.
        return dict.fromkeys(directions.paths)
    if not abs(error.value - answer.test_error) <= AGREEMENT * abs(answer.test_error):
        return dict.fromkeys(directions.paths)
    values = error.tangent[: len(directions.paths)].tolist()
    return {
        path: value + 0.0 if -np.inf < value < np.inf else None
        for path, value in zip(directions.paths, values, strict=True)
    }


def _unsupported(request: PredictionRequest) -> Unsupported:
    features, learner, regime = request.model.features.kind, request.model.learner.kind, request.regime.kind
    return Unsupported(
        "/include",
        f"'gradient' is not available for features.kind = '{features}', learner.kind = '{learner}' and regime.kind ="
        f" '{regime}'; leave it out",
    )


def _ridge(request: PredictionRequest, built: Built, answer: Answer, directions: Directions) -> Dual:
    learner: Any = request.model.learner
    plain, n_samples = _plain(built), request.regime.n_samples
    if learner.penalty > 0.0:
        # The answer says it all: penalty n = kappa (n - df).
        outer, target = float(answer.ridge or 0.0), float(answer.target_ridge or 0.0)
        solved, margin = _of_ridges(plain, outer, target), learner.penalty * n_samples / outer
    else:
        point = plain.solve(n_samples, 0.0)
        solved, margin = _solved(plain, point), float(point.sample_margin)
    return learners.ridge(
        equivalent_of(request, built, directions),
        solved,
        margin=margin,
        n_unpenalised=plain.n_unpenalised,
        n_samples=directions.regime.n_samples,
        penalty=directions.model.learner.penalty,
    )


def _ridge_on_rows(request: PredictionRequest, built: Built, _: Answer, directions: Directions) -> Dual:
    assert built.pool is not None
    features: Any = directions.model.features
    kind = request.model.features.kind
    width: Any = np.inf
    if kind == "random_projection":
        width = features.width
    elif kind == "random_features":
        width = features.layers[0].width
    return pools.ridge(
        built.pool.pool,
        n_samples=directions.regime.n_samples,
        penalty=directions.model.learner.penalty,
        width=width,
        space=directions.space,
    )


def _gradient_method(request: PredictionRequest, built: Built, answer: Answer, directions: Directions) -> Dual:
    """Gradient flow and descent, on numbers and on classes."""
    learner: Any = directions.model.learner
    equivalent: Any = equivalent_of(request, built, directions) if built.classes is None else None
    if built.classes is not None:
        equivalent = _labels_as_numbers(request, built, directions)
    plain, n_samples = _plain(built), directions.regime.n_samples
    penalty = learner.penalty
    problem = Problem.of(plain, n_samples.value, penalty.value)
    available = n_samples - float(plain.n_unpenalised)
    share = available / n_samples
    plan, changing = _filtered(problem, learner, answer, share)
    if plan is None and built.classes is not None:
        return _undecided(request, built.classes, answer, directions)
    if plan is None:
        far = FAR * trace_of(plain)
        solved = _solved(plain, plain.solve(ABUNDANT, far))
        time = getattr(learner, "time", None)
        rested: Dual = at_rest(equivalent, solved, time=time, share=share, space=directions.space) / share
        return rested
    if built.classes is not None and plan.time < (early := EARLY / problem.mean_eigenvalue):
        # Until then scores grow in proportion, and their signs stay.
        plan, changing = of_flow(early), None
    found = moments(
        equivalent,
        _solved_continued,
        problem,
        plan,
        changing,
        available=available,
        penalty=penalty * n_samples / available,
    )
    if built.classes is None:
        error: Dual = found.test_error / share
        return error
    rates: Any = built.classes.rates
    if request.regime.kind == "mixture":
        return classification.rates_of_mixture(
            found,
            positive_fraction=directions.regime.positive_fraction,
            fit_intercept=rates.fit_intercept,
            has_constant=rates.has_constant,
        )
    teacher = _teacher(built.classes, directions)
    return teacher.misclassification(found.score_mean / teacher.pull(), found.score_square)


def _sgd(request: PredictionRequest, built: Built, _: Answer, directions: Directions) -> Dual:
    learner: Any = directions.model.learner
    equivalent: Any = equivalent_of(request, built, directions)
    plain, n_samples = _plain(built), directions.regime.n_samples
    ridges = learners.CONTOUR.points / (2.0 * learner.step_size.value * n_samples.value)
    if isinstance(equivalent, ModalEquivalent) and np.isinf(value_of(equivalent.width)):
        table = replace(equivalent.table, tail_trace=0.0)
        trace = table.multiplicities.dot(table.eigenvalues)
        equivalent, solved = replace(equivalent, table=table), Solved(outer=ridges, inner=(ridges,))
    else:
        found = plain.continued(ABUNDANT, ridges)
        solved = Solved(outer=ridges, inner=_solved_continued(found).inner)
        far = FAR_RIDGE * trace_of(plain)
        trace = learners.trace_of(equivalent, _solved(plain, plain.solve(ABUNDANT, far)))
    return learners.sgd(equivalent, solved, n_samples=n_samples, step_size=learner.step_size, trace=trace)


def _filtered(problem: Problem, learner: Any, answer: Answer, share: Any) -> tuple[Contours | None, Filter | None]:
    """Return the contours at the time asked for, and how the filter depends on it."""
    if learner.kind == "ridge":
        return flow_contours(problem, FOR_EVER), None
    if learner.kind == "gradient_flow":
        plan = flow_contours(problem, learner.time.value)
        settled = learner.time.value * problem.share >= problem.last_time
        return plan, None if settled else flow_filter(learner.time * share)
    assert answer.critical_step_size is not None
    plan = descent_contours(problem, learner.steps, step_size=learner.step_size.value, bound=answer.critical_step_size)
    settled = plan is not None and plan.time == problem.last_time
    return plan, None if settled else descent_filter(learner.step_size * share, learner.steps)


def _undecided(request: PredictionRequest, classes: Classes, answer: Answer, directions: Directions) -> Dual:
    """Before the first step all scores are the fitted constant; with the first step of a flow the error jumps."""
    space, tangent = directions.space, np.zeros(directions.space.size)
    if isinstance(classes.rates, MixtureRates) and request.model.fit_intercept:
        # The smaller class is wrong.
        fraction = directions.regime.positive_fraction
        side = np.sign(0.5 - fraction.value) or np.nan
        tangent = np.where(fraction.tangent != 0.0, side, 0.0)
    time = getattr(directions.model.learner, "time", None)
    if time is not None:
        tangent = np.where(time.tangent != 0.0, np.nan, tangent)
    return Dual(answer.test_error, tangent[: space.size])


def _base(request: PredictionRequest, directions: Directions) -> Any:
    """Return the features, coupled to a class mean or to the latent; an intercept takes the place of their mean."""
    spectrum = spectrum_of(request, directions)
    energies = mean_energies_of if request.regime.kind == "mixture" else energies_of
    return features_of(directions, spectrum, energies(spectrum, directions), fit_intercept=request.model.fit_intercept)


def _labels_as_numbers(request: PredictionRequest, built: Built, directions: Directions) -> Any:
    """Return the equivalent that square loss on classes sees."""
    assert built.classes is not None
    if request.regime.kind == "mixture":
        rates: Any = built.classes.rates
        fraction = directions.regime.positive_fraction
        plain: Any = built.equivalent
        base = _base(request, directions)
        has_level = plain.level != 0.0
        return MixtureEquivalent(
            base=base,
            label_variance=4.0 * fraction * (1.0 - fraction) if rates.fit_intercept else 1.0,
            level=2.0 * fraction - 1.0 if has_level else None,
            constant=_constant(base) if has_level else None,
        )
    spectrum = spectrum_of(request, directions)
    pull = _teacher(built.classes, directions).pull()
    explained = pull * pull
    noise = 1.0 - explained * directions.regime.target.signal_variance
    return features_of(
        directions,
        spectrum,
        energies_of(spectrum, directions) * explained,
        noise_variance=noise if noise.value > 0.0 else 0.0,
        fit_intercept=request.model.fit_intercept,
    )


def _constant(base: Any) -> Dual:
    """Return the eigenvalue of the constant that features form."""
    if isinstance(base.constant, Dual):
        return base.constant
    table = base.families[-1] if hasattr(base, "families") else base.table
    found: Dual = table.eigenvalues.entry(base.constant)
    return found


def _teacher(classes: Classes, directions: Directions) -> classification.Teacher:
    labels: Any = classes.labels
    variance, noise = directions.regime.target.signal_variance, directions.regime.noise_variance
    if labels.link == "sign" and variance.value + noise.value == 0.0:
        variance = variance * 0.0 + 1.0
        noise = 0.0
    return classification.Teacher(labels, variance + noise if labels.link == "sign" else variance)


def _labels(request: PredictionRequest, classes: Classes, directions: Directions) -> Any:
    if request.regime.kind == "mixture":
        return classification.Mixture(classes.labels, directions.regime.positive_fraction)  # type: ignore[arg-type]
    return _teacher(classes, directions)


def _ridge_of_classes(request: PredictionRequest, built: Built, answer: Answer, directions: Directions) -> Dual:
    assert built.classes is not None
    if answer.classifier is None:
        return _gradient_method(request, built, answer, directions)
    return classification.least_squares(
        _base(request, directions),
        _solved_population(built.classes, answer),
        _labels(request, built.classes, directions),
        n_samples=directions.regime.n_samples,
        penalty=directions.model.learner.penalty,
    )


def _classifier(request: PredictionRequest, built: Built, answer: Answer, directions: Directions) -> Dual:
    classes, solution = built.classes, answer.classifier
    assert classes is not None
    assert solution is not None
    penalty: Dual = directions.model.learner.penalty
    trace = float(classes.population.trace)
    loss: Loss = Logistic() if request.model.learner.kind == "logistic" else Hinge()
    if solution.score_variance == 0.0:
        # Always the larger class.
        fraction = directions.regime.positive_fraction
        return Dual(solution.test_error, fraction.tangent * (1.0 if fraction.value < 0.5 else -1.0))
    if np.isinf(solution.proximal):
        # The largest margin, which small penalties only approach beyond all orders.
        loss, penalty = HardMargin(), directions.space.constant(trace)
    solved = _solved_population(classes, answer)
    if isinstance(loss, HardMargin):
        solution = _proximal_of(classes, solution, float(request.regime.n_samples), penalty.value)
    return classification.convex(
        _base(request, directions),
        solved,
        _labels(request, classes, directions),
        loss,
        solution,
        n_samples=directions.regime.n_samples,
        penalty=penalty,
    )


def _proximal_of(classes: Classes, solution: Any, n_samples: float, penalty: float) -> Any:
    """Return the solution with the proximal parameter that a hard margin has at a penalty."""
    curvature = penalty / solution.outer_ridge
    return solution.__class__(
        **{
            **solution.__dict__,
            "proximal": classes.population.traces(solution.outer_ridge).df1 / (n_samples * curvature),
        }
    )


def _discriminant(request: PredictionRequest, built: Built, answer: Answer, directions: Directions) -> Dual:
    assert built.classes is not None
    regime = directions.regime
    return classification.discriminant(
        _base(request, directions),
        _solved_population(built.classes, answer),
        n_samples=regime.n_samples,
        positive_fraction=regime.positive_fraction,
        penalty=directions.model.learner.penalty,
    )


def _solved(plain: PlainEquivalent, point: Point) -> Solved:
    """Return the ridges of a solved point."""
    return _of_ridges(plain, point.outer_ridge, point.target_ridge)


def _of_ridges(plain: PlainEquivalent, outer: float, target: float) -> Solved:
    return Solved(outer=outer, inner=plain.inner_ridges(outer) if isinstance(plain, BlockEquivalent) else (target,))


def _solved_continued(found: Continued) -> Solved:
    """Return the ridges at complex penalties."""
    own: tuple[Any, ...] = getattr(found, "inner", ())
    return Solved(outer=found.ridge, inner=own or tuple(share.ridge for share in found.shares))


def _solved_population(classes: Classes, answer: Answer) -> Solved:
    """Return the ridges at the one that acts on the population."""
    ridge, population = float(answer.outer_ridge or 0.0), classes.population
    if not isinstance(population, EquivalentPopulation):
        return Solved(outer=ridge, inner=(ridge,))
    plain = population.equivalent
    found = _solved(plain, plain.solve(ABUNDANT, ridge))
    return Solved(outer=ridge, inner=found.inner)


def _plain(built: Built) -> PlainEquivalent:
    assert built.equivalent is not None
    return built.equivalent


Differentiate = Callable[[PredictionRequest, Built, Answer, Directions], Dual]
LEARNERS: dict[tuple[str, str], Differentiate] = {
    **{("ridge", regime): _ridge for regime in NUMBERS},
    **{("ridge", regime): _ridge_of_classes for regime in CLASSES},
    **{("gradient_flow", regime): _gradient_method for regime in (*NUMBERS, *CLASSES)},
    **{("gradient_descent", regime): _gradient_method for regime in (*NUMBERS, *CLASSES)},
    **{("logistic", regime): _classifier for regime in CLASSES},
    **{("hinge", regime): _classifier for regime in CLASSES},
    **{("sgd", regime): _sgd for regime in ("regression", "eigenspectrum")},
    ("sgd", "teacher_network"): trained,
    ("lda", "mixture"): _discriminant,
    ("ridge", "dataset"): _ridge_on_rows,
}
"""How errors of a learner are differentiated, by the kind of labels."""
