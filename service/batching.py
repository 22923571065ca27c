"""Batches of predictions: each request is looked up, checked and answered by itself, those that remain are solved together."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from api_schemas.batch import MOST_REQUESTS
from api_schemas.prediction import PredictionRequest
from api_schemas.problem import ProblemError
from service import metrics
from service.answering import no_estimate
from service.cache import Entry, MemoryCache
from service.computations import PREDICTIONS
from service.forms import JSON_TYPE, Form, preferred
from service.parsing import parse, parsed, validated
from service.problems import ProblemException, refused
from service.replying import check_content
from service.settings import Settings
from service.shared_cache import SharedCache
from workers.batches import predict_all
from workers.deadlines import OutOfTime, stopping_at
from workers.pools import EstimateTakesLong, estimates_within
from workers.predictions import key_of
from workers.refusals import Refused
from workers.works import written

PATH = "/v1/predictions/batch"
LINES_TYPE = "application/x-ndjson"
LINES = {LINES_TYPE: Form(content_type=LINES_TYPE, suffix="", write=bytes)}
SLICE = 1000
"""Requests that are solved together, and whose results are sent together."""

Item = PredictionRequest | ProblemException


class Batches:
    """Answers batches.

    Args:
        settings: of the service.
        memory: answers of this process.
        shared: answers of all processes.
    """

    def __init__(self, settings: Settings, memory: MemoryCache, shared: SharedCache) -> None:
        self._time_limit = settings.time_limit
        self._inline_seconds = settings.inline_seconds
        # One thread: a batch takes its time, and single requests should not wait for theirs.
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="batch")
        self._memory = memory
        self._shared = shared

    async def read(self, body: bytes, *, lines: bool) -> list[Any]:
        """Take a body apart into requests, each still to be validated.

        Args:
            body: as it came.
            lines: whether it is a request a line, rather than one JSON document.

        Raises:
            ProblemException: it is no batch, or too large a one.
        """
        items: list[Any] = await self._in_thread(_of_lines if lines else _of_document, body)
        return items

    async def results(self, items: Sequence[Any], *, request_id: str | None) -> AsyncIterator[list[bytes]]:
        """Answer requests, a slice after the other, in their order.

        Args:
            items: of :meth:`read`.
            request_id: for problems.

        Yields:
            ``{"prediction": ...}`` or ``{"problem": ...}`` of each request of a slice.
        """
        deadline = time.monotonic() + self._time_limit
        for start in range(0, len(items), SLICE):
            yield await self._slice(items[start : start + SLICE], deadline, request_id)

    async def _slice(self, items: Sequence[Any], deadline: float, request_id: str | None) -> list[bytes]:
        requests: list[Item]
        requests, keys = await self._in_thread(_requests, items)
        kept = {key for key, request in zip(keys, requests, strict=True) if key and PREDICTIONS.cacheable(request)}
        bodies = await self._known(kept)
        # A request that comes twice is solved once.
        unknown = {key: request for key, request in zip(keys, requests, strict=True) if key and key not in bodies}
        problems: dict[str, ProblemException] = {}
        if unknown:
            work = (list(unknown.values()), list(unknown), deadline, self._inline_seconds)
            solved, problems = await self._in_thread(_solved, *work)
            for key, body in solved.items():
                if key not in kept:
                    continue
                self._memory.put(Entry(key, body, PREDICTIONS.headers))
                self._shared.put(key, body)
            bodies |= solved
        found = []
        for request, key in zip(requests, keys, strict=True):
            if key in bodies:
                found.append(b'{"prediction":' + bodies[key] + b"}")
                continue
            problem = request if isinstance(request, ProblemException) else problems.get(key) or self._late()
            found.append(b'{"problem":' + problem.body(request_id) + b"}")
        return found

    def _late(self) -> ProblemException:
        return ProblemException(
            "time_limit",
            f"not answered within the {self._time_limit:g} s that a batch has; ask again, what was answered is cached",
        )

    async def _known(self, keys: set[str]) -> dict[str, bytes]:
        """Return answers that are in memory or in Redis."""
        bodies: dict[str, bytes] = {}
        for key in keys:
            entry = self._memory.by_key(key)
            if entry is not None:
                bodies[key] = entry.body
        missing = [key for key in keys if key not in bodies]
        for key, body in zip(missing, await asyncio.gather(*map(self._shared.get, missing)), strict=True):
            if body is not None:
                bodies[key] = body
                self._memory.put(Entry(key, body, PREDICTIONS.headers))
        return bodies

    async def _in_thread(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def wants_lines(headers: Mapping[bytes, bytes]) -> tuple[bool, bool]:
    """Return whether a batch comes as lines, and whether it is to be answered so.

    Raises:
        ProblemException: it comes as neither lines nor JSON.
    """
    media_type = headers.get(b"content-type", b"").decode("latin-1").lower().partition(";")[0].strip()
    comes = media_type == LINES_TYPE
    check_content({**headers, b"content-type": JSON_TYPE.encode()} if comes else headers)
    accept = headers.get(b"accept", b"*/*")
    if LINES_TYPE.encode() in accept.lower() or JSON_TYPE.encode() in accept.lower():
        return comes, preferred(accept, LINES) is not None
    return comes, comes


def _of_document(body: bytes) -> list[Any]:
    data = parsed(body)
    if not isinstance(data, dict) or not isinstance(data.get("requests"), list):
        detail = "is required, an array of prediction requests"
        raise _refused("/requests", detail)
    for name in data:
        if name != "requests":
            raise _refused(f"/{name[:100]}", "is not a field here; a batch has 'requests' alone")
    _check_count(len(data["requests"]), "/requests")
    return list(data["requests"])


def _of_lines(body: bytes) -> list[Any]:
    lines = [line for line in body.split(b"\n") if line.strip()]
    _check_count(len(lines), "")
    return lines


def _check_count(count: int, pointer: str) -> None:
    if count == 0:
        raise _refused(pointer, "needs at least one request")
    if count > MOST_REQUESTS:
        detail = f"{count} requests are more than the {MOST_REQUESTS} of a batch; send several batches"
        raise ProblemException("too_large", detail, errors=[ProblemError(pointer=pointer, detail=detail)])


def _refused(pointer: str, detail: str) -> ProblemException:
    where = pointer or "the body"
    return ProblemException(
        "validation_error", f"{where}: {detail}", errors=[ProblemError(pointer=pointer, detail=detail)]
    )


def _requests(items: Sequence[Any]) -> tuple[list[Item], list[str]]:
    """Validate requests, each by itself; those that fail have no key."""
    requests: list[Item] = []
    keys: list[str] = []
    for item in items:
        try:
            request = parse(item, PredictionRequest) if isinstance(item, bytes) else validated(item, PredictionRequest)
        except ProblemException as problem:
            requests.append(problem)
            keys.append("")
        else:
            requests.append(request)
            keys.append(key_of(request))
    return requests, keys


def _solved(
    requests: list[PredictionRequest], keys: list[str], deadline: float, estimate_seconds: float
) -> tuple[dict[str, bytes], dict[str, ProblemException]]:
    """Answer requests; those that are in neither had no time."""
    bodies: dict[str, bytes] = {}
    problems: dict[str, ProblemException] = {}
    with estimates_within(estimate_seconds), stopping_at(deadline), suppress(OutOfTime):
        for position, answer in predict_all(requests, keys, deadline=deadline):
            if isinstance(answer, EstimateTakesLong):
                problems[keys[position]] = no_estimate(answer)
            elif isinstance(answer, Refused):
                problems[keys[position]] = refused(answer)
            else:
                bodies[keys[position]] = written(answer)
                metrics.labelled(metrics.PREDICTIONS, answer.status).inc()
    return bodies, problems
