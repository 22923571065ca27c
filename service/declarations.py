"""What the routes of computations and jobs say of themselves in the OpenAPI document."""

from collections.abc import Mapping
from typing import Any

from api_schemas.job import Job
from service.computations import Computation
from service.responses import problem_responses

JSON_TYPE = "application/json"
ANSWER_HEADERS = {
    "ETag": {"description": "The answer's key, quoted.", "schema": {"type": "string"}},
    "Cache-Status": {"description": "Where the answer came from (RFC 9211).", "schema": {"type": "string"}},
    "X-Request-Id": {"description": "Given by the client or made up.", "schema": {"type": "string"}},
}
JOB_HEADERS = {
    "Location": {"description": "Where to read the job.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait before reading it.", "schema": {"type": "integer"}},
}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "An ETag; if the answer still has it, 304 without a body.",
    "schema": {"type": "string"},
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Your name for this request: with the same one, within a day, another request is refused (409).",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
IDEMPOTENCY_KEY_OF_LATER_ANSWERS = {
    **IDEMPOTENCY_KEY,
    "description": "As for validations, where the request is queued; of no effect otherwise.",
    "schema": {"type": "string"},
}


def prefer(description: str) -> dict[str, Any]:
    """Declare the header ``Prefer`` (RFC 7240)."""
    return {
        "name": "Prefer",
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string"},
    }


def request_body(schema: type) -> dict[str, Any]:
    """Declare a body in JSON that a route reads by itself."""
    return {"required": True, "content": {JSON_TYPE: {"schema": {"$ref": f"#/components/schemas/{schema.__name__}"}}}}


def declared(computation: Computation, *, tables: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Declare a computation's body, headers and answers: at once, later, unchanged, or a problem.

    Args:
        computation: that is posted.
        tables: other forms of the answer than JSON, by media type.

    Returns:
        Arguments of the router's decorator.
    """
    at_once: dict[str, Any] = {"headers": ANSWER_HEADERS}
    if tables:
        at_once["content"] = tables
    return {
        "responses": {
            200: at_once,
            202: {
                "model": Job,
                "description": "Queued, because it takes long or because of Prefer: respond-async; a worker will answer.",
                "headers": JOB_HEADERS,
            },
            304: {"description": "The answer has the key given in If-None-Match."},
            **problem_responses(400, 401, 408, 409, 413, 415, 422, 429, 500, 503),
        },
        "openapi_extra": {
            "requestBody": request_body(computation.schema),
            "parameters": [
                IF_NONE_MATCH,
                IDEMPOTENCY_KEY_OF_LATER_ANSWERS,
                prefer(
                    "respond-async queues the request and answers 202 with a job; wait=N waits up to N seconds for what is"
                    " queued, asked for or because it takes long."
                ),
            ],
        },
    }
