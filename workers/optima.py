"""From an optima request to its answer: search, certify, and say what the optimum is worth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

import theory
from api_schemas.canonical import content_address
from api_schemas.optima import Optima, Optimum, OptimumRequest, SearchPrior
from api_schemas.prediction import Prediction, PredictionRequest, PredictionWarning
from theory import ModalEquivalent, Modes
from theory.covariance import Vector
from theory.functionals.optimal_penalty import optimal_penalty, penalty_minima, predict_at_ridge
from theory.solvers.box_search import Axis, Found, Minimum, search
from theory.solvers.curvature import Rise, gaussian_about, rise_at
from workers import optima_warnings
from workers.answers import Answer, Built
from workers.building import build
from workers.families import solved_together
from workers.objective import Cost, Objective
from workers.paths import Place, check_values, place_of
from workers.predictions import predict, prediction_of
from workers.publications import KOBAK
from workers.refusals import Refused
from workers.registry import NUMBERS

KEY_PREFIX = f"foretell/optima/{theory.SOLVER_VERSION}"

PENALTY = "model.learner.penalty"
VECTORISED = {1: 241, 2: 41, 3: 15, 4: 9}
ONE_BY_ONE = {1: 97, 2: 21, 3: 9, 4: 6}
INTEGRATED = {1: 33, 2: 9, 3: 5, 4: 4}
"""Points of the grid along each path, by the number of paths: where all are solved together, where each takes milliseconds,
and where each takes the integration of differential equations."""
MOST_TERMS = 40_000_000
"""Points of a vectorised grid times modes."""
NEGLIGIBLE = 1e-9
"""Of the largest test error on the grid: rises from an error of 0 are relative to this much."""


@dataclass(frozen=True, kw_only=True)
class _Search:
    """What a search is over.

    Attributes:
        request: as it came.
        places: of the searched numbers.
        axes: their ranges.
        objective: the test error over them.
        cost: by the budget, where there is one.
        modes: the mode table whose penalty alone is searched, where its stationarity is known.
    """

    request: OptimumRequest
    places: tuple[Place, ...]
    axes: tuple[Axis, ...]
    objective: Objective
    cost: Cost | None
    modes: Modes | None


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
    return content_address(request, solver_version=KEY_PREFIX)


def check(request: OptimumRequest) -> None:
    """Make sure that a request can be answered, short of answering it.

    Raises:
        Refused: a path, a range or the budget is not admissible, or the request has no theory.
    """
    _prepare(request)


def optima(request: OptimumRequest, *, key: str | None = None) -> Optima:
    """Answer a request.

    Args:
        request: validated against its schema.
        key: of the request, when the caller has it already.

    Raises:
        Refused: a path, a range or the budget is not admissible, no point has an answer, or none is within the budget.
    """
    prepared = _prepare(request)
    with np.errstate(all="ignore"):
        outcome = _stationary(prepared) if prepared.modes is not None else _searched(prepared)
        best = outcome.minima[0]
        scale = max(best.value, NEGLIGIBLE * outcome.largest) or 1.0
        function = _on_branch(prepared) if prepared.modes is not None else prepared.objective
        rise = rise_at(function, prepared.axes, best.point, best.value, scale=scale)
        covariance = gaussian_about(prepared.axes, rise, tolerance=request.tolerance * scale)
    found = [_optimum(prepared, minimum, ridge) for minimum, ridge in zip(outcome.minima, outcome.ridges, strict=True)]
    own = _own_error(request.request)
    unconstrained = _unconstrained(prepared)
    caveats = [
        *optima_warnings.of_optimum(request, best, found[0]),
        *optima_warnings.of_search(outcome.found, prepared.objective, len(outcome.minima)),
        *optima_warnings.of_penalty(best, unconstrained),
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


def _prepare(request: OptimumRequest) -> _Search:
    places: list[Place] = []
    axes = []
    for i, searched in enumerate(request.over):
        pointer = f"/over/{i}"
        place = place_of(request.request, searched.path, pointer=f"{pointer}/path")
        if any(place.steps == other.steps for other in places):
            raise Refused(f"{pointer}/path", f"{searched.path} is searched twice; keep one")
        if not searched.lower < searched.upper:
            raise Refused(f"{pointer}/upper", f"must exceed lower = {searched.lower:g}, got {searched.upper:g}")
        log = searched.scale == "log"
        if log and searched.lower <= 0.0:
            raise Refused(
                f"{pointer}/lower",
                f"must exceed 0 where scale = 'log', got {searched.lower:g}; raise it, or use scale = 'linear'",
            )
        places.append(place)
        axes.append(Axis(lower=searched.lower, upper=searched.upper, log=log, whole=place.whole))
    modes = _modes_of(request, places)
    for i, searched in enumerate(request.over):
        # Negative penalties are no part of the vocabulary of predictions, but have a theory here.
        least = max(searched.lower, 0.0) if modes is not None else searched.lower
        check_values(
            places[i], [least, searched.upper], pointers=[f"/over/{i}/lower", f"/over/{i}/upper"]
        )
    cost = None
    if request.budget is not None:
        cost = Cost(request.request, places, request.budget.expression, pointer="/budget/expression")
    return _Search(
        request=request,
        places=tuple(places),
        axes=tuple(axes),
        objective=Objective(request.request, places),
        cost=cost,
        modes=modes,
    )


def _modes_of(request: OptimumRequest, places: Sequence[Place]) -> Modes | None:
    """Return the mode table where ridge regression's penalty alone is searched on one of infinite width."""
    learner, regime = request.request.model.learner.kind, request.request.regime
    alone = len(places) == 1 and places[0].path == PENALTY and request.budget is None
    if not alone or learner != "ridge" or regime.kind not in NUMBERS:
        return None
    equivalent = _built(request.request).equivalent
    wide = isinstance(equivalent, ModalEquivalent) and bool(np.isinf(equivalent.width))
    if not wide or regime.n_samples <= equivalent.n_unpenalised:  # type: ignore[union-attr]
        return None
    return equivalent.modes  # type: ignore[union-attr]


def _built(request: PredictionRequest) -> Built:
    """Build a request; what is refused lies within the caller's ``request``."""
    try:
        return build(request)
    except Refused as refusal:
        raise type(refusal)(f"/request{refusal.pointer}", refusal.detail) from None


def _stationary(prepared: _Search) -> _Outcome:
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


def _on_branch(prepared: _Search) -> Any:
    """Return the test error over the penalty, negative ones included."""
    modes, [axis] = prepared.modes, prepared.axes
    assert modes is not None
    n_samples = prepared.request.request.regime.n_samples

    def error(penalty: float) -> float:
        if penalty >= 0.0:
            return float(theory.predict_ridge(modes, n_samples, penalty).test_error)
        [held] = [one for one in penalty_minima(modes, n_samples, lower=penalty, upper=penalty * 0.5)[0] if one.bound][:1]
        return held.test_error

    def errors(points: Vector) -> Vector:
        return np.array([error(float(point[0])) for point in points])

    return errors if axis.lower < 0.0 else prepared.objective
