"""From an optima request to its answer: search, certify, and say what the optimum is worth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np

import theory
from api_schemas.optima import Optima, Optimum, OptimumRequest, SearchPrior
from api_schemas.prediction import Prediction, PredictionRequest, PredictionWarning
from theory import ModalEquivalent
from theory.covariance import Vector
from theory.functionals.optimal_penalty import (
    OptimalPenalty,
    optimal_penalty,
    penalty_minima,
    predict_at_ridge,
    ridge_of_penalty,
)
from theory.solvers.box_search import Found, Minimum, search
from theory.solvers.curvature import gaussian_about, rise_at
from workers import optima_warnings
from workers.addresses import address_of
from workers.answers import Answer
from workers.families import solved_together
from workers.predictions import predict, prediction_of
from workers.publications import KOBAK
from workers.refusals import Refused, TooLarge
from workers.searches import Search, built_of, prepare

KEY_PREFIX = f"foretell/optima/{theory.SOLVER_VERSION}"

VECTORISED = {1: 241, 2: 41, 3: 15, 4: 9}
ONE_BY_ONE = {1: 97, 2: 21, 3: 9, 4: 6}
INTEGRATED = {1: 25, 2: 7, 3: 4, 4: 3}
"""Points of the grid along each path, by the number of paths: where all are solved together, where each takes milliseconds,
and where each takes the integration of differential equations."""
FINE, COARSE = 1e-10, 1e-5
"""Accuracy of minima in cells of the grid; of trained networks, whose equations are integrated to 1e-9, the latter."""
MOST_TERMS = 40_000_000
"""Points of a vectorised grid times modes; half of it where ridge regression is solved one by one."""
MOST_FOLLOWED = 1_000_000
"""Points times modes of what takes more than one solve each, some ten microseconds."""
SCANNED, SEARCHED = 0.5, 0.9
"""Shares of the work that count as done once the grid is answered, and once the descents are."""
NEGLIGIBLE = 1e-9
"""Of the largest test error on the grid: rises from an error of 0 are relative to this much."""


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """Minima, how they were found, and what was needed for it."""

    minima: list[Minimum]
    ridges: list[float | None]
    certificate: Literal["stationary", "exhaustive", "grid"]
    detail: str
    largest: float
    found: Found | None
    evaluations: int


def key_of(request: OptimumRequest) -> str:
    """Return the content address of a request's answer."""
    return address_of(request, solver=KEY_PREFIX)


def check(request: OptimumRequest) -> None:
    """Make sure that a request can be answered, short of answering it.

    Raises:
        Refused: a path, a range or the budget is not admissible, or the request has no theory.
    """
    prepare(request)


def optima(
    request: OptimumRequest, *, key: str | None = None, progress: Callable[[float], object] = lambda _: None
) -> Optima:
    """Answer a request.

    Args:
        request: validated against its schema.
        key: of the request, when the caller has it already.
        progress: called with the share that is done, as far as it can be told.

    Raises:
        Refused: a path, a range or the budget is not admissible, no point has an answer, or none is within the budget.
    """
    prepared = prepare(request)
    with np.errstate(all="ignore"):
        outcome = _stationary(prepared) if prepared.modes is not None else _searched(prepared, progress)
        progress(SEARCHED)
        best = outcome.minima[0]
        scale = max(best.value, NEGLIGIBLE * outcome.largest) or 1.0
        function = _on_branch(prepared) if prepared.modes is not None else prepared.objective
        rise = rise_at(function, prepared.axes, best.point, best.value, scale=scale)
        covariance = gaussian_about(prepared.axes, rise, tolerance=request.tolerance * scale)
    found = [_optimum(prepared, minimum, ridge) for minimum, ridge in zip(outcome.minima, outcome.ridges, strict=True)]
    own = _own_error(request.request)
    unconstrained = _unconstrained(prepared)
    caveats = [
        *optima_warnings.of_optimum(found[0]),
        *optima_warnings.of_search(outcome.found, prepared.objective),
        *optima_warnings.of_penalty(best, unconstrained, implicit_ridge=_implicit_ridge(prepared)),
    ]
    sources = [*found[0].prediction.sources, *([KOBAK] if unconstrained is not None else [])]
    return Optima(
        key=key or key_of(request),
        status="converged" if found[0].prediction.status == "converged" else "not_converged",
        optimum=found[0],
        local_optima=found[1:],
        certificate=outcome.certificate,
        certificate_detail=outcome.detail,
        regret_of_request=_regret(own, best.value),
        gradient=rise.gradient.tolist(),
        curvature=rise.curvature.tolist(),
        prior=_prior(prepared, best, covariance),
        unconstrained_penalty=None if unconstrained is None else _finite(unconstrained.penalty),
        unconstrained_test_error=None if unconstrained is None else _finite(unconstrained.test_error),
        evaluations=outcome.evaluations + rise.evaluations,
        warnings=[PredictionWarning(code=code, detail=detail) for code, detail in caveats],
        sources=list({source.reference: source for source in sources}.values()),
    )


def _stationary(prepared: Search) -> _Outcome:
    """Minimise over the penalty alone, by its stationarity."""
    modes, [axis] = prepared.modes, prepared.axes
    assert modes is not None
    n_samples = prepared.request.request.regime.n_samples
    found, evaluations = penalty_minima(modes, n_samples, lower=axis.lower, upper=axis.upper)
    minima = [
        Minimum(
            point=np.array([one.penalty]),
            value=one.test_error,
            at_lower=np.array([one.bound == "lower"]),
            at_upper=np.array([one.bound == "upper"]),
            on_budget=False,
        )
        for one in found
        if np.isfinite(one.test_error)
    ]
    if not minima:
        raise _nowhere_finite(prepared)
    return _Outcome(
        minima=minima,
        ridges=[one.effective_ridge for one in found if np.isfinite(one.test_error)],
        certificate="stationary",
        detail=f"the slope of the test error over the effective ridge changes its sign from - to + at {len(minima)} of"
        f" {evaluations} points, 24 a decade, each of which was refined to rounding; ends of the range count where the error"
        " rises from there",
        largest=max(minimum.value for minimum in minima),
        found=None,
        evaluations=evaluations,
    )


def _on_branch(prepared: Search) -> Any:
    """Return the test error over the penalty, negative ones included."""
    modes, [axis] = prepared.modes, prepared.axes
    assert modes is not None
    n_samples = prepared.request.request.regime.n_samples

    def errors(points: Vector) -> Vector:
        ridges = [ridge_of_penalty(modes, n_samples, float(point[0])) for point in points]
        return np.array(
            [predict_at_ridge(modes, n_samples, ridge).test_error if ridge > 0.0 else np.inf for ridge in ridges]
        )

    return errors if axis.lower < 0.0 else prepared.objective


def _searched(prepared: Search, progress: Callable[[float], object]) -> _Outcome:
    """Minimise by a grid and descent."""
    request, axes, objective, cost = prepared.request, prepared.axes, prepared.objective, prepared.cost
    sizes, basins, accuracy = _plan(prepared)
    objective.on_answers = lambda count: progress(SCANNED * min(count / prod(sizes), 1.0))

    def descended(share: float) -> None:
        objective.on_answers = lambda _: None  # the grid is done
        progress(SCANNED + (SEARCHED - SCANNED) * share)

    at_most = request.budget.at_most if request.budget is not None else np.inf

    def room(points: Vector) -> Vector:
        assert cost is not None
        spent = cost(points)
        safe = np.maximum(spent, 1e-300)
        with np.errstate(over="ignore"):
            # Near the budget by the difference, which is exact: nothing beyond it counts as within.
            near, far = np.log1p((at_most - safe) / safe), np.log(at_most) - np.log(safe)
        left = np.where(np.abs(far) < 0.1, near, far)
        return np.where(spent > 0.0, left, np.where(spent <= 0.0, 1e3, np.nan))

    own = [place.value for place in prepared.places]
    within = all(axis.lower <= value <= axis.upper for axis, value in zip(axes, own, strict=True))
    try:
        found = search(
            objective,
            axes,
            sizes=sizes,
            room=None if cost is None else room,
            starts=[own] if within else [],
            most_basins=basins,
            accuracy=accuracy,
            progress=descended,
        )
    except ValueError:
        assert request.budget is not None
        least = _least_cost(prepared, sizes)
        if not np.isfinite(least):
            raise Refused(
                "/budget/expression",
                f"has no finite value anywhere on a grid of {_times(sizes)} points, got {request.budget.expression!r:.100};"
                " correct it, or move the ranges",
            ) from None
        raise Refused(
            "/budget/at_most",
            f"no point of a grid of {_times(sizes)} points costs so little: the least is {least:g}, got {at_most:g};"
            " raise it, or widen the ranges",
        ) from None
    if not found.minima:
        raise _nowhere_finite(prepared)
    exhaustive = all(
        axis.whole and axis.upper - axis.lower + 1.0 <= size for axis, size in zip(axes, found.shape, strict=True)
    )
    detail = (
        f"all {found.shape[0]} whole numbers were tried"
        if exhaustive and len(axes) == 1
        else f"the best of a grid of {_times(found.shape)} points, with {found.n_basins}"
        f" {'basin' if found.n_basins == 1 else 'basins'}, refined in the best {min(found.n_basins, basins)}"
    )
    return _Outcome(
        minima=found.minima,
        ridges=[None] * len(found.minima),
        certificate="exhaustive" if exhaustive else "grid",
        detail=detail,
        largest=found.largest,
        found=found,
        evaluations=found.evaluations,
    )


def _plan(prepared: Search) -> tuple[list[int], int, float]:
    """Return the points of the grid along each path, how many basins are descended into, and how far."""
    request, count = prepared.request.request, len(prepared.places)
    if request.regime.kind == "teacher_network":
        return [INTEGRATED[count]] * count, 3, COARSE
    together = solved_together(request, varied=[place.path for place in prepared.places])
    equivalent, ridge = built_of(request).equivalent, request.model.learner.kind == "ridge"
    n_modes = sum(modes.eigenvalues.size for modes in equivalent.tables) if equivalent is not None else 1
    if (
        ridge
        and (isinstance(equivalent, ModalEquivalent) or request.regime.kind == "dataset")
        and all(place.path in together for place in prepared.places)
        and VECTORISED[count] ** count * n_modes <= MOST_TERMS
    ):
        return [VECTORISED[count]] * count, 12, FINE
    terms, most = ONE_BY_ONE[count] ** count * n_modes, MOST_TERMS // 2 if ridge else MOST_FOLLOWED
    if terms > most:
        raise TooLarge(
            "/over",
            f"{_times([ONE_BY_ONE[count]] * count)} points on {n_modes} distinct eigenvalues are more than one request may ask"
            f" for; {most // ONE_BY_ONE[count] ** count} eigenvalues are not: search fewer paths, or list fewer",
        )
    return [ONE_BY_ONE[count]] * count, 6, FINE


def _least_cost(prepared: Search, sizes: Sequence[int]) -> float:
    assert prepared.cost is not None
    grids = [axis.natural(axis.grid(size)) for axis, size in zip(prepared.axes, sizes, strict=True)]
    points = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, len(grids))
    costs = prepared.cost(points)
    return float(np.nanmin(costs)) if np.isfinite(costs).any() else np.inf


def _nowhere_finite(prepared: Search) -> Refused:
    """Say why no point has a finite test error."""
    refusal = prepared.objective.refusal
    if refusal is None:
        return Refused("/over", "there is no finite test error anywhere on a grid of these ranges; widen them")
    for i, place in enumerate(prepared.places):
        if refusal.pointer == place.pointer:
            return type(refusal)(f"/over/{i}/path", refusal.detail)
    return type(refusal)(f"/request{refusal.pointer}", refusal.detail)


def _optimum(prepared: Search, minimum: Minimum, ridge: float | None) -> Optimum:
    request = prepared.objective.request_at(minimum.point)
    paths = [place.path for place in prepared.places]
    ends: dict[str, Literal["lower", "upper"]] = {}
    for path, lower, upper in zip(paths, minimum.at_lower, minimum.at_upper, strict=True):
        if lower or upper:
            ends[path] = "lower" if lower else "upper"
    values = [
        int(value) if place.whole else value
        for place, value in zip(prepared.places, minimum.point.tolist(), strict=True)
    ]
    return Optimum(
        values=dict(zip(paths, values, strict=True)),
        prediction=_prediction(prepared, request, minimum, ridge),
        at_bounds=ends,
        cost=None if prepared.cost is None else float(prepared.cost(minimum.point[None])[0]),
    )


def _prediction(prepared: Search, request: PredictionRequest, minimum: Minimum, ridge: float | None) -> Prediction:
    """Predict at a minimum; of a negative penalty, which predictions refuse, by its ridge."""
    if ridge is None or minimum.point[0] >= 0.0:
        return predict(request)
    assert prepared.modes is not None
    found = predict_at_ridge(prepared.modes, request.regime.n_samples, ridge)
    answer = Answer.of(found, ridge=found.outer_ridge, target_ridge=found.effective_ridge)
    return prediction_of(request, built_of(prepared.request.request), answer)


def _own_error(request: PredictionRequest) -> float:
    """Return the test error of the request's own values; infinite where it has none."""
    try:
        found = predict(request).test_error
    except Refused:
        return np.inf
    return np.inf if found is None else found


def _regret(own: float, least: float) -> float | None:
    if least > 0.0:
        return _finite(own / least - 1.0)
    return 0.0 if own == least else None


def _unconstrained(prepared: Search) -> OptimalPenalty | None:
    if prepared.modes is None:
        return None
    with np.errstate(all="ignore"):
        return optimal_penalty(prepared.modes, prepared.request.request.regime.n_samples, allow_negative=True)


def _implicit_ridge(prepared: Search) -> float:
    modes, n_samples = prepared.modes, prepared.request.request.regime.n_samples
    return 0.0 if modes is None else float(modes.tail_trace) / n_samples


def _prior(prepared: Search, best: Minimum, covariance: Vector) -> SearchPrior:
    mean = [float(axis.scaled(value)) for axis, value in zip(prepared.axes, best.point, strict=True)]
    return SearchPrior(
        paths=[place.path for place in prepared.places],
        scales=[searched.scale for searched in prepared.request.over],
        mean=mean,
        covariance=covariance.tolist(),
    )


def _times(sizes: Sequence[int]) -> str:
    return " x ".join(str(size) for size in sizes)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
