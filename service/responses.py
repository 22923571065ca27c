"""What a request is answered with, and how problem responses are declared in the OpenAPI document."""

from typing import Any, NamedTuple

from api_schemas.problem import Problem
from service.problems import KINDS, MEDIA_TYPE


class Reply(NamedTuple):
    """An answer, ready to send: its headers name its content; ``source`` says where it came from, for the log."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    source: str


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Declare that a route may answer with problems of these statuses."""
    declared: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        titles = dict.fromkeys(f"{kind.title} (`{code}`)" for code, kind in KINDS.items() if kind.status == status)
        declared[status] = {
            "description": "; ".join(titles),
            "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}},
        }
        if status in (429, 503):
            declared[status]["headers"] = {
                "Retry-After": {"description": "Seconds to wait before trying again.", "schema": {"type": "integer"}}
            }
    return declared
