"""Errors as RFC 9457 problem details: one exception class that carries its status, one table of kinds, the handlers.

Exception
└── ProblemException    any failure that a client should see, with the code of a row in KINDS
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api_schemas.problem import Problem, ProblemError
from workers.refusals import Refused

log = structlog.get_logger("foretell.service")

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 20
MAX_ECHO = 60


@dataclass(frozen=True)
class ProblemKind:
    """A kind of problem: its HTTP status and its title."""

    status: int
    title: str


KINDS = {
    "invalid_json": ProblemKind(400, "The body is not JSON"),
    "duplicate_key": ProblemKind(400, "An object names a field twice"),
    "invalid_http": ProblemKind(400, "The request is not HTTP"),
    "bad_request": ProblemKind(400, "The request cannot be understood"),
    "unauthorized": ProblemKind(401, "An API key is needed"),
    "not_found": ProblemKind(404, "There is nothing here"),
    "method_not_allowed": ProblemKind(405, "The method is not allowed here"),
    "request_timeout": ProblemKind(408, "The request did not arrive in time"),
    "idempotency_conflict": ProblemKind(409, "The idempotency key was used for another request"),
    "dataset_not_ready": ProblemKind(409, "The data set is being read in"),
    "body_too_large": ProblemKind(413, "The body is too large"),
    "too_large": ProblemKind(413, "More is asked for than the limits allow"),
    "unsupported_media_type": ProblemKind(415, "The body has the wrong content type"),
    "validation_error": ProblemKind(422, "The request does not fit the vocabulary"),
    "inadmissible_problem": ProblemKind(422, "The theory does not cover this request"),
    "unsupported_combination": ProblemKind(422, "These parts have no theory together"),
    "unknown_dataset": ProblemKind(422, "There is no such data set"),
    "invalid_dataset": ProblemKind(422, "The file is no data set"),
    "headers_too_large": ProblemKind(431, "The headers are too large"),
    "rate_limited": ProblemKind(429, "Too many requests"),
    "internal_error": ProblemKind(500, "foretell has a bug"),
    "unavailable": ProblemKind(503, "Not available now"),
    "queue_full": ProblemKind(503, "Too many jobs wait"),
    "time_limit": ProblemKind(503, "The answer took too long"),
    "insufficient_storage": ProblemKind(507, "There is no room to store it"),
}


class ProblemException(Exception):
    """A failure that the client should see.

    Args:
        code: a row of ``KINDS``.
        detail: what happened and what to do.
        errors: for refused bodies, what is wrong and where.
        headers: to send along, such as ``Retry-After``.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[ProblemError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})

    @property
    def status(self) -> int:
        """The HTTP status."""
        return KINDS[self.code].status

    def problem(self, request_id: str | None = None) -> Problem:
        """Return the body to send."""
        kind = KINDS[self.code]
        return Problem(
            type=f"urn:foretell:problem:{self.code}",
            title=kind.title,
            status=kind.status,
            detail=self.detail,
            code=self.code,
            instance=f"urn:foretell:request:{request_id}" if request_id else None,
            errors=list(self.errors) or None,
        )

    def body(self, request_id: str | None = None) -> bytes:
        """Return the body to send, as bytes."""
        return self.problem(request_id).model_dump_json(exclude_none=True).encode()

    def response(self, request_id: str | None = None) -> Response:
        """Return the response to send."""
        return Response(self.body(request_id), status_code=self.status, media_type=MEDIA_TYPE, headers=self.headers)


def from_validation(error: ValidationError, body: Any) -> ProblemException:
    """Turn pydantic's errors into a problem whose pointers lead into the body as it was sent."""
    found = error.errors(include_url=False, include_context=True)
    errors = [
        ProblemError(pointer=_pointer(_place(item), body, absent=item["type"] == "missing"), detail=_sentence(item))
        for item in found[:MAX_ERRORS]
    ]
    first = errors[0]
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return ProblemException(
        "validation_error",
        f"{first.pointer or 'the body'}: {first.detail}{more}",
        errors=errors,
    )


def refused(refusal: Refused) -> ProblemException:
    """Return the problem for a request that fits the schema but not the theory's assumptions."""
    pointer, detail = refusal.pointer, refusal.detail
    return ProblemException(refusal.code, f"{pointer}: {detail}", errors=[ProblemError(pointer=pointer, detail=detail)])


async def handle_problem(request: Request, exc: Exception) -> Response:
    """Answer a :class:`ProblemException`."""
    assert isinstance(exc, ProblemException)
    return exc.response(request.scope.get("request_id"))


async def handle_http_exception(request: Request, exc: Exception) -> Response:
    """Answer what the router raises: unknown paths and methods."""
    assert isinstance(exc, HTTPException)
    headers = dict(exc.headers or {})
    if exc.status_code == 404:
        problem = ProblemException("not_found", f"no resource at {request.url.path[:200]}; /docs lists those there are")
    elif exc.status_code == 405:
        # The router names the methods of the first of its routes alone.
        allowed = ", ".join(sorted(_methods(request))) or headers.get("Allow", headers.get("allow", "another method"))
        headers = {**{name: value for name, value in headers.items() if name.lower() != "allow"}, "Allow": allowed}
        detail = f"{request.method} is not allowed at {request.url.path[:200]}; use {allowed}"
        problem = ProblemException("method_not_allowed", detail, headers=headers)
    else:
        codes = {kind.status: code for code, kind in reversed(KINDS.items())}
        problem = ProblemException(codes.get(exc.status_code, "bad_request"), str(exc.detail), headers=headers)
    return problem.response(request.scope.get("request_id"))


def _methods(request: Request) -> set[str]:
    """Return the methods that some route has for this path."""
    routes: Any = request.app.state.routes
    return {method for route in routes if route.path_regex.match(request.url.path) for method in route.methods}


async def handle_unexpected(request: Request, exc: Exception) -> Response:
    """Answer a bug."""
    return unexpected(exc, request.scope).response(request.scope.get("request_id"))


def unexpected(error: Exception, scope: Mapping[str, Any]) -> ProblemException:
    """Log a bug with its traceback; the client is told the request's id and nothing else."""
    request_id = scope.get("request_id")
    log.error("unexpected_error", request_id=request_id, path=scope["path"], exc_info=error)
    return ProblemException("internal_error", f"this is our fault; please report it with the request id {request_id}")


def _place(item: Any) -> tuple[str | int, ...]:
    """Return where an error lies; one about which member of a union is meant lies at the field that tells."""
    location: tuple[str | int, ...] = item["loc"]
    return (*location, _discriminator(item)) if item["type"] == "union_tag_invalid" else location


def _discriminator(item: Any) -> str:
    """Return the name of the field by which the members of a union are told apart."""
    return str(item.get("ctx", {}).get("discriminator", "kind")).strip("'").removesuffix("()")


def _pointer(location: tuple[str | int, ...], body: Any, *, absent: bool) -> str:
    """Write a pydantic location as a JSON pointer, leaving out the names of union members it passes through.

    Args:
        location: the steps.
        body: as it was sent.
        absent: whether the last step is a field that is not there, rather than such a name.
    """
    parts: list[str] = []
    here = body
    for position, step in enumerate(location):
        found = step in here if isinstance(here, dict) else isinstance(here, list) and step in range(len(here))
        if found:
            here = here[step]
        elif position < len(location) - 1 or not absent:
            continue
        parts.append(str(step).replace("~", "~0").replace("/", "~1"))
    return "".join(f"/{part}" for part in parts)


def _sentence(item: Any) -> str:
    """Say what is wrong, what would be right, and what came instead; long or nested input is not echoed."""
    context = item.get("ctx", {})
    got = _echo(item["input"])
    rules = {
        "missing": "is required",
        "extra_forbidden": "is not a field here; check its spelling against /docs",
        "greater_than": f"must exceed {_number(context.get('gt'))}{got}",
        "greater_than_equal": f"must be at least {_number(context.get('ge'))}{got}",
        "less_than": f"must be below {_number(context.get('lt'))}{got}",
        "less_than_equal": f"must be at most {_number(context.get('le'))}{got}",
        "float_type": "is too large a number" if type(item["input"]) is int else f"must be a number{got}",
        "finite_number": "must be a finite number",
        "bool_type": f"must be true or false{got}",
        "list_type": f"must be an array{got}",
        "string_type": f"must be a string{got}",
        "model_type": f"must be an object{got}",
        "model_attributes_type": f"must be an object{got}",
        "dict_type": f"must be an object{got}",
        "too_short": f"must have at least {_count(context.get('min_length'), 'entry', 'entries')}",
        "too_long": f"must have at most {_count(context.get('max_length'), 'entry', 'entries')}",
        "string_too_short": f"must have at least {_count(context.get('min_length'), 'character', 'characters')}",
        "string_too_long": f"must have at most {_count(context.get('max_length'), 'character', 'characters')}",
        "literal_error": f"must be {context.get('expected')}{got}",
        "union_tag_invalid": f"must be one of {context.get('expected_tags')}, got '{str(context.get('tag'))[:MAX_ECHO]}'",
        "union_tag_not_found": f"must be an object with a field '{_discriminator(item)}'",
    }
    return rules.get(item["type"], str(item["msg"]))


def _count(number: Any, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _echo(value: Any) -> str:
    if isinstance(value, str | float | bool) or value is None:
        text = (
            {True: "true", False: "false", None: "null"}.get(value)
            if not isinstance(value, str | float)
            else repr(value)
        )
        return f", got {text}" if text is not None and len(text) <= MAX_ECHO else ""
    if isinstance(value, int):
        return f", got {value}" if abs(value) < 10**15 else f", got {value:.6g}" if abs(value) < 10**300 else ""
    if isinstance(value, dict):
        return ", got an object"
    return ", got an array" if isinstance(value, list) else ""
