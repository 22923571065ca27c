"""Dotted paths to the numbers of a request, as ``model.features.layers.0.width``: what is there, and the request with another.

A path names a number that the request has, given or by default; an activation with parameters has them by its name, too.
Everything that varies requests over a path (sweeps, requirements, optima) finds, checks and replaces its numbers here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, get_args, get_origin

import numpy as np
from pydantic import ConfigDict, FailFast, TypeAdapter, ValidationError

from api_schemas.activation import BY_NAME, shortest
from api_schemas.base import Schema
from api_schemas.prediction import PredictionRequest
from theory.covariance import Vector
from workers.building import SCALES, out_of_scale
from workers.refusals import OutsideVocabulary, Refused

MOST_NAMES = 30
"""Fields that a refusal lists."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A number in a request.

    Attributes:
        path: dotted, as the caller wrote it.
        steps: names of fields, and positions in lists.
        value: what the request has there.
        whole: whether it must be a whole number.
        schema: of the object or list that holds it, and the field's name there.
    """

    path: str
    steps: tuple[str | int, ...]
    value: float
    whole: bool
    schema: tuple[type[Schema], str]

    @property
    def pointer(self) -> str:
        """JSON pointer into the request."""
        return "".join(f"/{step}" for step in self.steps)

    @property
    def name(self) -> str:
        """The last part of the path that is a name."""
        return next(str(step) for step in reversed(self.steps) if isinstance(step, str))


def place_of(request: PredictionRequest, path: str, *, pointer: str) -> Place:
    """Find a number in a request.

    Args:
        request: validated, so that defaults are filled in.
        path: dotted.
        pointer: of the path in the caller's body, for refusals.

    Raises:
        Refused: there is no such field, or no number in it.
    """
    here: Any = request
    steps: list[str | int] = []
    holder: tuple[type[Schema], str] = (PredictionRequest, "")
    for part in path.split("."):
        where = ".".join(map(str, steps)) or "the request"
        here = _spelled(here, steps)
        if isinstance(here, Schema):
            names = type(here).model_fields
            if part not in names:
                raise Refused(pointer, f"{where} has no field '{part[:60]}'; it has {_listed(list(names))}")
            holder, here = (type(here), part), getattr(here, part)
            steps.append(part)
        elif isinstance(here, list):
            if not (part.isascii() and part.isdigit() and len(part) < 10 and int(part) < len(here)):
                raise Refused(pointer, f"{where} has the positions 0 to {len(here) - 1}, got '{part[:60]}'")
            here = here[int(part)]
            steps.append(int(part))
        else:
            raise Refused(pointer, f"{where} is {_what(here)}, with nothing inside it that '{part[:60]}' could name")
    if isinstance(here, bool) or not isinstance(here, int | float):
        inside = f"; go on with one of {_listed(list(type(here).model_fields))}" if isinstance(here, Schema) else ""
        raise Refused(pointer, f"must name a number, and {path} is {_what(here)}{inside}")
    schema, name = holder
    annotation = schema.model_fields[name].annotation
    return Place(path=path, steps=tuple(steps), value=float(here), whole=annotation is int, schema=holder)


def varied_place_of(request: PredictionRequest, path: str, *, pointer: str) -> Place:
    """Find a number in a request that may be another while all others stay; arguments as for :func:`place_of`.

    Raises:
        Refused: there is none, or it is a share of a whole.
    """
    place = place_of(request, path, pointer=pointer)
    if place.name == "weights":
        raise Refused(
            pointer,
            f"must name a number that can vary by itself, and {path} is a share: weights sum to 1; ask for each set of weights"
            " in a request of its own",
        )
    return place


def value_at(request: PredictionRequest, path: str) -> float:
    """Return the number at a path.

    Raises:
        Refused: there is no such number.
    """
    return place_of(request, path, pointer="").value


def check_values(place: Place, values: Sequence[float] | Vector, *, pointer_of: Callable[[int], str]) -> None:
    """Make sure that numbers are admissible at a place, each by itself.

    Args:
        place: where they are to stand.
        values: shape ``(n,)``.
        pointer_of: takes the position of a value to the pointer to it in the caller's body.

    Raises:
        Refused: one is outside the domain of the field, or too small or large for double precision.
    """
    numbers = np.asarray(values, float)
    try:
        _domain(place.schema).validate_python(numbers.tolist())
    except ValidationError as error:
        [item] = error.errors(include_url=False)
        first = int(item["loc"][0])
        raise OutsideVocabulary(pointer_of(first), f"{place.path} {_rule(item, numbers[first])}") from None
    if place.pointer == "/regime/n_samples" or place.pointer.startswith("/model/learner/"):
        least, most = SCALES
        for index in np.flatnonzero((numbers != 0.0) & ~((numbers >= least) & (numbers <= most))):
            raise out_of_scale(pointer_of(int(index)), place.path, float(numbers[index]))


def replaced(request: PredictionRequest, values: Mapping[Place, float]) -> PredictionRequest:
    """Return a request with other numbers, which :func:`check_values` has admitted."""
    for place, value in values.items():
        request = _with(request, place.steps, int(value) if place.whole else float(value))
    return request


def _with(here: Any, steps: Sequence[str | int], value: float) -> Any:
    if not steps:
        return value
    first, *others = steps
    if isinstance(here, list):
        position = int(first)
        return [*here[:position], _with(here[position], others, value), *here[position + 1 :]]
    part = _with(_spelled(getattr(here, str(first)), [first]) if others else None, others, value)
    return here.model_copy(update={str(first): shortest(part) if first == "activation" else part})


def _spelled(here: Any, steps: Sequence[str | int]) -> Any:
    """Return what an activation's name stands for, where it has parameters; all else as it is."""
    return BY_NAME.get(here, here) if isinstance(here, str) and steps[-1:] == ["activation"] else here


@lru_cache(maxsize=256)
def _domain(holder: tuple[type[Schema], str]) -> TypeAdapter[Any]:
    """Return what validates lists of values of a field, or of the entries of one that is a list."""
    schema, name = holder
    field = schema.model_fields[name]
    one: Any = field.annotation
    lists = [one, *get_args(one)]
    while any(get_origin(part) is list for part in lists):
        [one] = next(get_args(part) for part in lists if get_origin(part) is list)
        lists = [one]
    if one is field.annotation:
        one = Annotated[one, *field.metadata]
    return TypeAdapter(Annotated[list[one], FailFast()], config=ConfigDict(strict=True, allow_inf_nan=False))


def _rule(item: Any, value: float) -> str:
    """Say what is wrong with a number."""
    context = item.get("ctx", {})
    rules = {
        "greater_than": f"must exceed {context.get('gt')}",
        "greater_than_equal": f"must be at least {context.get('ge')}",
        "less_than": f"must be below {context.get('lt')}",
        "less_than_equal": f"must be at most {context.get('le')}",
        "finite_number": "must be a finite number",
    }
    return f"{rules.get(item['type'], 'must be a whole number; list the values that are meant')}, got {value:g}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _what(value: Any) -> str:
    if value is None:
        return "not given"
    if isinstance(value, Schema):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else "a number"
