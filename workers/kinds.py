"""What a row of the tables holds: a kind's schema, what works it out, and where that comes from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from api_schemas.base import Schema
from api_schemas.prediction import Source


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One admissible ``kind``: its schema and the publications it comes from."""

    schema: type[Schema]
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Evaluated(Kind):
    """A kind with the function of :mod:`theory` that its parameters are passed to, by name."""

    evaluate: Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class FeatureMap(Kind):
    """A kind of features, with how it turns each sort of regime into an equivalent; None where there is no theory.

    Attributes:
        inputs: of regimes that have inputs; takes the schema, a spectrum, energies and what else is known of the target, by
            name.
        modes: of regimes that are mode tables; takes the schema and the table.
        sphere: takes the schema and the regime's fields, by name.
        network: of labels that a network makes, for features that are trained; they are built with their learner.
        dataset: of stored rows; takes the schema, returns the features of infinite width whose kernel is estimated.
        nonlinear: whether the inputs pass through a nonlinearity, whose equivalent needs inputs of many directions.
    """

    inputs: Callable[..., Any] | None = None
    modes: Callable[..., Any] | None = None
    sphere: Callable[..., Any] | None = None
    network: Callable[..., Any] | None = None
    dataset: Callable[..., Any] | None = None
    nonlinear: bool = True


@dataclass(frozen=True, kw_only=True)
class RegimeKind(Kind):
    """A kind of regime.

    Attributes:
        stage: the attribute of :class:`FeatureMap` that takes it.
        metric: what ``test_error`` measures in it; None where that is up to the data.
    """

    stage: str
    metric: Literal["squared_error", "misclassification"] | None = "squared_error"


@dataclass(frozen=True, kw_only=True)
class LearnerKind(Kind):
    """A kind of learner.

    Attributes:
        answers: by kind of regime, what it attains; takes the request and what was built of it.
        features: the kinds that it has a theory with, where not with all.
        features_in: the same in some regimes.
    """

    answers: Mapping[str, Callable[..., Any]]
    features: tuple[str, ...] | None = None
    features_in: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
