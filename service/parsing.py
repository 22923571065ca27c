"""From a raw body to a validated request, or the problem with it."""

import json
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from api_schemas.base import Schema
from api_schemas.problem import ProblemError
from service.problems import ProblemException, from_validation

MAX_FIELDS = 1000
"""More fields than any request has; each unknown one would cost an error record."""

_CONTAINERS = (dict, list)

Request = TypeVar("Request", bound=Schema)


def parse(body: bytes, schema: type[Request]) -> Request:
    """Parse and validate a raw body.

    Args:
        body: as it came.
        schema: of the request.

    Raises:
        ProblemException: not JSON, a field named twice, or outside the vocabulary.
    """
    data = _loaded(body)
    _refuse_repeated(body, _bounded(data))
    return _validated(data, schema)


def parsed(body: bytes) -> Any:
    """Parse a raw body of parts that are validated by themselves.

    Args:
        body: as it came.

    Raises:
        ProblemException: not JSON, or a field named twice.
    """
    data = _loaded(body)
    _refuse_repeated(body, _count_keys(data))
    return data


def validated(data: Any, schema: type[Request]) -> Request:
    """Validate such a part.

    Args:
        data: as it was parsed.
        schema: of the request.

    Raises:
        ProblemException: outside the vocabulary.
    """
    _bounded(data)
    return _validated(data, schema)


def _loaded(body: bytes) -> Any:
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise _not_json(body, error) from None


def _bounded(data: Any) -> int:
    """Return the number of fields, of which there may not be too many."""
    n_fields = _count_keys(data)
    if n_fields > MAX_FIELDS:
        reason = f"has {n_fields} fields, more than any request needs"
        raise ProblemException(
            "validation_error",
            f"the body {reason}; see /docs for the vocabulary",
            errors=[ProblemError(pointer="", detail=reason)],
        )
    return n_fields


def _refuse_repeated(body: bytes, n_fields: int) -> None:
    # Colons outside strings are as many as keys; only if the count is off can a key have come twice.
    if body.count(b":") != n_fields:
        _refuse_duplicates(body)


def _validated(data: Any, schema: type[Request]) -> Request:
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        raise from_validation(error, data) from None


def _count_keys(data: Any) -> int:
    """Count the keys of all objects but those in arrays that begin with a scalar, which no admissible body has."""
    count = 0
    pending = [data]
    while pending:
        value = pending.pop()
        if type(value) is dict:
            count += len(value)
            pending += [child for child in value.values() if type(child) in _CONTAINERS]
        elif type(value) is list and value and type(value[0]) in _CONTAINERS:
            pending += value
    return count


def _refuse_duplicates(body: bytes) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> None:
        names = set()
        for name, _ in pairs:
            if name in names:
                raise ProblemException(
                    "duplicate_key", f"the field {name[:60]!r} is given twice in one object; keep one"
                )
            names.add(name)

    json.loads(body, object_pairs_hook=unique)


def _not_json(body: bytes, error: ValueError) -> ProblemException:
    if not body.strip():
        return ProblemException("invalid_json", "the body is empty; send a request in JSON, see /docs")
    try:
        body.decode()
    except UnicodeDecodeError as invalid:
        return ProblemException("invalid_json", f"the body is not UTF-8: byte {invalid.start} cannot be decoded")
    reason = str(error)
    if "recursion limit" in reason:
        return ProblemException("invalid_json", f"the body is nested too deeply: {reason}")
    if any(name in body for name in (b"NaN", b"Infinity")):
        reason += "; NaN and Infinity are no JSON numbers"
    return ProblemException("invalid_json", f"the body is not JSON: {reason}")
