"""What an optima request searches: its paths with their ranges, the test error over them, and what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from api_schemas.optima import OptimumRequest
from api_schemas.prediction import PredictionRequest
from theory import ModalEquivalent, Modes
from theory.solvers.box import Axis
from workers.answers import Built
from workers.building import build
from workers.objective import Cost, Objective
from workers.paths import Place, check_values, varied_place_of
from workers.refusals import Refused
from workers.registry import NUMBERS

PENALTY = "model.learner.penalty"


@dataclass(frozen=True, kw_only=True)
class Search:
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


def prepare(request: OptimumRequest) -> Search:
    """Find what is to be searched.

    Raises:
        Refused: a path, a range or the budget is not admissible, or the request has no theory.
    """
    places: list[Place] = []
    axes = []
    for i, searched in enumerate(request.over):
        pointer = f"/over/{i}"
        place = varied_place_of(request.request, searched.path, pointer=f"{pointer}/path")
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
    built = built_of(request.request)
    modes = _modes_of(request, places, built)
    for i, searched in enumerate(request.over):
        # Negative penalties are no part of the vocabulary of predictions, but have a theory here.
        least = max(searched.lower, 0.0) if modes is not None else searched.lower
        check_values(
            places[i],
            [least, searched.upper],
            pointer_of=lambda end, i=i: f"/over/{i}/{'upper' if end else 'lower'}",  # type: ignore[misc]
        )
    cost = None
    if request.budget is not None:
        cost = Cost(request.request, places, request.budget.expression, pointer="/budget/expression")
    return Search(
        request=request,
        places=tuple(places),
        axes=tuple(axes),
        objective=Objective(request.request, places),
        cost=cost,
        modes=modes,
    )


def _modes_of(request: OptimumRequest, places: Sequence[Place], built: Built) -> Modes | None:
    """Return the mode table where ridge regression's penalty alone is searched on one of infinite width."""
    learner, regime = request.request.model.learner.kind, request.request.regime
    alone = len(places) == 1 and places[0].path == PENALTY and request.budget is None
    if not alone or learner != "ridge" or regime.kind not in NUMBERS:
        return None
    equivalent = built.equivalent
    if not isinstance(equivalent, ModalEquivalent) or not np.isinf(equivalent.width):
        return None
    return equivalent.modes if regime.n_samples > equivalent.n_unpenalised else None


def built_of(request: PredictionRequest) -> Built:
    """Build a request; what is refused lies within the caller's ``request``."""
    try:
        return build(request)
    except Refused as refusal:
        raise type(refusal)(f"/request{refusal.pointer}", refusal.detail) from None
