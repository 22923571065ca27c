"""The continuous numbers of a request by their dotted paths, and the request with a derivative along each of them."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from api_schemas.activation import BY_NAME
from api_schemas.base import Schema
from api_schemas.prediction import PredictionRequest
from theory.derivatives.dual import Space

MOST_ENTRIES = 100
"""Entries of a longer list get no derivative each."""
WHOLE_FEATURES = ("power_law", "ar1", "explicit")
"""Covariances with one eigenvalue for each feature."""


KNOWN_ON_ROWS = frozenset(
    {"regime.n_samples", "model.learner.penalty", "model.features.width", "model.features.layers.0.width"}
)
"""Of which an estimate on rows is a function; it is one for each kernel, and knows no other."""


@dataclass(frozen=True, kw_only=True)
class Directions:
    """A request whose continuous numbers carry derivatives.

    Attributes:
        paths: dotted path of each parameter, in the order of their directions.
        space: the directions.
        model, regime: the request's parts, by the names of their fields; numbers that are continuous are
            :class:`theory.derivatives.dual.Dual`, lists of them vectors.
    """

    paths: tuple[str, ...]
    space: Space
    model: Any
    regime: Any


def directions_of(request: PredictionRequest, *, n_unknowns: int) -> Directions:
    """List a request's continuous numbers.

    Args:
        request: with its defaults filled in.
        n_unknowns: of the equations that are to be differentiated.
    """
    fixed = _fixed(request)
    leaves: list[tuple[str, int]] = []
    plans = [_plan(name, getattr(request, name), fixed, leaves) for name in ("model", "regime")]
    space = Space(len(leaves), n_unknowns)
    model, regime = (_view(plan, space) for plan in plans)
    return Directions(paths=tuple(path for path, _ in leaves), space=space, model=model, regime=regime)


def _fixed(request: PredictionRequest) -> set[str]:
    """Paths of numbers that the theory takes for whole, or for one value only."""
    regime: Any = request.regime
    if regime.kind == "dataset":
        leaves: list[tuple[str, int]] = []
        _plan("model", request.model, set(), leaves)
        return {path for path, _ in leaves} - KNOWN_ON_ROWS
    found = set()
    if regime.kind == "sphere" or getattr(getattr(regime, "covariance", None), "kind", "") in WHOLE_FEATURES:
        found.add("regime.n_features")
    if regime.kind == "teacher_classification":
        found |= {"regime.target.nonlinear_variance", "regime.target.mean"}
        if regime.link == "logistic":
            found.add("regime.noise_variance")
    if regime.kind == "teacher_network":
        features: Any = request.model.features
        if not features.activation == regime.activation == "erf":
            # A single neuron has the read-out 1, which is not trained.
            found |= {"model.features.readout", "model.features.readout_step_size", "regime.readout"}
        if features.initial_self_overlaps is not None:
            found.add("model.features.initial_variance")
    return found


class _Leaf:
    """A number, or a list of them, from a direction on."""

    __slots__ = ("first", "values")

    def __init__(self, values: Any, first: int) -> None:
        self.values, self.first = values, first


def _plan(path: str, value: Any, fixed: set[str], leaves: list[tuple[str, int]]) -> Any:
    """Mark the continuous numbers of a part, and list their paths."""
    if isinstance(value, Schema):
        return {name: _plan(f"{path}.{name}", part, fixed, leaves) for name, part in value.__dict__.items()}
    if path in fixed:
        return value
    if isinstance(value, float):
        leaves.append((path, 1))
        return _Leaf(value, len(leaves) - 1)
    if isinstance(value, list):
        return _plan_of_list(path, value, fixed, leaves)
    if value in BY_NAME and path.endswith(".activation"):
        return _plan(path, BY_NAME[value], fixed, leaves)
    return value


def _plan_of_list(path: str, values: list[Any], fixed: set[str], leaves: list[tuple[str, int]]) -> Any:
    if not all(isinstance(value, float) for value in values):
        return [_plan(f"{path}.{position}", value, fixed, leaves) for position, value in enumerate(values)]
    first = len(leaves)
    if len(values) > MOST_ENTRIES:
        return _Leaf(np.array(values), -1)
    leaves.extend((f"{path}.{position}", 1) for position in range(len(values)))
    return _Leaf(np.array(values), first)


def _view(plan: Any, space: Space) -> Any:
    if isinstance(plan, dict):
        return SimpleNamespace(**{name: _view(part, space) for name, part in plan.items()})
    if isinstance(plan, list):
        return [_view(part, space) for part in plan]
    if not isinstance(plan, _Leaf):
        return plan
    if not isinstance(plan.values, np.ndarray):
        return space.along(plan.values, plan.first)
    return space.constants(plan.values) if plan.first < 0 else space.vector(plan.values, plan.first)
