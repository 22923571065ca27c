"""How a computation is answered over HTTP: content types, revalidation, where the answer came from, later if asked."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response

from api_schemas.job import Job
from service import metrics
from service.answering import Answerer, Later
from service.cache import HIT, Entry
from service.computations import Computation
from service.forms import preferred
from service.problems import ProblemException
from service.responses import Reply

JSON_TYPES = frozenset({b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"})
MOST_IDEMPOTENCY_BYTES = 255
INLINE_TABLE = 64 * 1024
"""Larger answers, of some 1,500 points, are written as tables in a thread."""
CACHE_STATUS = {
    "memory": HIT[1],
    "redis": b"foretell; hit; detail=redis",
    "concurrent": b"foretell; fwd=uri-miss; collapsed",
    "solved": b"foretell; fwd=uri-miss; stored",
    "not kept": b"foretell; fwd=uri-miss",
    "never kept": b"foretell; fwd=bypass",
    "refreshed": b"foretell; fwd=request; stored",
}


async def reply(
    answerer: Answerer, computation: Computation, headers: Mapping[bytes, bytes], body: bytes, digest: bytes | None
) -> Reply:
    """Answer a request.

    Args:
        answerer: of the process.
        computation: that is asked for.
        headers: of the request, names in lower case.
        body: as it came.
        digest: of the body, by which the answer will be found next time.

    Raises:
        ProblemException: the request is refused, or takes long while there is no queue.
    """
    check_content(headers)
    if _prefers_later(headers.get(b"prefer", b"")):
        return await _later(answerer, computation, headers, body, asked=True)
    directives = headers.get(b"cache-control", b"").lower()
    fresh = b"no-cache" in directives or b"no-store" in directives
    try:
        answer = await answerer.answer(computation, body, digest, fresh=fresh)
    except Later:
        return await _later(answerer, computation, headers, body, asked=False)
    source = "refreshed" if fresh and answer.source == "solved" else answer.source
    metrics.labelled(metrics.CACHE, source).inc()
    return await _sent(computation, headers, answer.entry, source)


async def _later(
    answerer: Answerer, computation: Computation, headers: Mapping[bytes, bytes], body: bytes, *, asked: bool
) -> Reply:
    """Queue what takes long, or what is to be answered later, and wait for it if asked to."""
    try:
        job = await answerer.queue(computation, body, idempotency=idempotency_of(headers))
    except ProblemException as problem:
        if asked or problem.status != HTTPStatus.SERVICE_UNAVAILABLE:
            raise
        detail = f"this takes long, and {problem.detail}; or {computation.work.way_out}"
        raise ProblemException(problem.code, detail, headers=problem.headers) from None
    source = "redis" if job.status == "succeeded" else "solved"
    waits = waits_of(headers)
    if waits is not None or not asked:
        job, entry = await answerer.wait(job, float(waits or 0))
        if entry is not None:
            return await _sent(computation, headers, entry, source if job.dataset_id is None else "never kept")
        if job.problem is not None:
            raise ProblemException(job.problem.code, job.problem.detail, errors=job.problem.errors or ())
    return _accepted(job, asked=asked)


async def _sent(computation: Computation, headers: Mapping[bytes, bytes], entry: Entry, source: str) -> Reply:
    """Send an answer in the form that is preferred, or say that it is known."""
    cache_status = (b"cache-status", CACHE_STATUS[source])
    form = preferred(headers.get(b"accept", b""), computation.forms) if computation.forms else None
    if form is not None:
        small = len(entry.body) < INLINE_TABLE
        table = form.write(entry.body) if small else await asyncio.to_thread(form.write, entry.body)
        entry = Entry(entry.key + form.suffix, table, computation.headers)
        entry.headers = ((b"content-type", form.content_type.encode()), *entry.headers[1:])
    if_none_match = headers.get(b"if-none-match")
    if if_none_match is not None and (if_none_match.strip() == b"*" or entry.etag in if_none_match):
        return Reply(304, [(b"etag", entry.etag), *computation.headers, cache_status], b"", source)
    return Reply(200, [*entry.headers, cache_status], entry.body, source)


async def respond(request: Request, computation: Computation) -> Any:
    """Answer a request that came through the router; the edge answers these paths itself, by the same function."""
    answer = await reply(
        request.app.state.answerer, computation, dict(request.scope["headers"]), await request.body(), None
    )
    response = Response(answer.body, status_code=answer.status)
    response.raw_headers = answer.headers
    return response


def idempotency_of(headers: Mapping[bytes, bytes]) -> str | None:
    """Return what the client calls its request, unlike what others call theirs.

    Raises:
        ProblemException: the name is empty or too long.
    """
    given = headers.get(b"idempotency-key")
    if given is None:
        return None
    if not 0 < len(given) <= MOST_IDEMPOTENCY_BYTES:
        raise ProblemException(
            "bad_request", f"Idempotency-Key must have 1 to {MOST_IDEMPOTENCY_BYTES} bytes, got {len(given)}"
        )
    return (headers.get(b"authorization", b"") + b"\n" + given).decode("latin-1")


def waits_of(headers: Mapping[bytes, bytes]) -> int | None:
    """Return how many seconds ``Prefer: wait`` (RFC 7240) asks to wait, None if it does not."""
    for preference in headers.get(b"prefer", b"").replace(b";", b",").split(b","):
        name, _, value = preference.partition(b"=")
        digits = value.strip().strip(b'"')
        if name.strip().lower() == b"wait" and digits.isdigit() and len(digits) < 10:
            return int(digits)
    return None


def _prefers_later(prefer: bytes) -> bool:
    """Whether ``Prefer`` (RFC 7240) asks for an answer later."""
    return b"respond-async" in (preference.strip().lower() for preference in prefer.replace(b";", b",").split(b","))


def _accepted(job: Job, *, asked: bool) -> Reply:
    content = job.model_dump_json().encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"location", f"/v1/jobs/{job.id}".encode()),
        (b"retry-after", b"1"),
        *([(b"preference-applied", b"respond-async")] if asked else []),
    ]
    return Reply(202, headers, content, "queued")


def check_content(headers: Mapping[bytes, bytes]) -> None:
    """Make sure that a body is JSON in UTF-8, sent as it is.

    Raises:
        ProblemException: it is not.
    """
    given = headers.get(b"content-type", b"")
    if given not in JSON_TYPES:
        media_type, _, parameters = given.decode("latin-1").lower().partition(";")
        charset = parameters.strip().replace('"', "").removeprefix("charset=")
        if media_type.strip() != "application/json" or charset not in ("", "utf-8"):
            got = f"got {given.decode('latin-1')[:60]!r}" if given else "none was given"
            raise ProblemException("unsupported_media_type", f"send Content-Type: application/json in UTF-8; {got}")
    encoding = headers.get(b"content-encoding", b"identity")
    if encoding != b"identity":
        name = encoding.decode("latin-1")[:60]
        raise ProblemException("unsupported_media_type", f"send the body as it is, not encoded as {name!r}")
