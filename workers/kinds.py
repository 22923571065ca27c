"""What a row of the tables holds: a kind's schema, what works it out, and where that comes from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
    """A kind of features, with how it turns each regime into an equivalent; None where there is no theory.

    Attributes:
        regression: takes the schema, a spectrum, energies and what else is known of the target, by name.
        eigenspectrum: takes the schema and a mode table.
        sphere: takes the schema and the regime's fields, by name.
        nonlinear: whether the inputs pass through a nonlinearity, whose equivalent needs inputs of many directions.
    """

    regression: Callable[..., Any] | None = None
    eigenspectrum: Callable[..., Any] | None = None
    sphere: Callable[..., Any] | None = None
    nonlinear: bool = True
