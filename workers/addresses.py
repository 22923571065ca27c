"""The content address of an answer: of the canonical request, of what answers it and, on a data set, of how it estimates."""

from typing import Any

from api_schemas.base import Schema
from api_schemas.canonical import content_address
from workers import pools


def address_of(request: Schema, *, solver: str) -> str:
    """Return the content address of a request's answer.

    Args:
        request: of a computation or of a validation.
        solver: what answers it, with its version.
    """
    if dataset_of(request) is not None:
        # Of which rows an estimate is made, and so the answer's numbers, depend on it.
        solver = f"{solver}\n{pools.memory()}"
    return content_address(request, solver_version=solver)


def dataset_of(request: Any) -> str | None:
    """Return the id of the data set that a request rests on, if it does.

    Args:
        request: of a computation or of a validation, that was checked.
    """
    regime = getattr(getattr(request, "request", request), "regime", None)
    dataset_id: str | None = getattr(regime, "dataset_id", None)
    return dataset_id
