"""How one prediction is answered: parsed, looked up, worked out once for all who ask, kept."""

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import ValidationError
from pydantic_core import from_json

from api_schemas.job import Job
from api_schemas.prediction import Prediction, PredictionRequest
from api_schemas.problem import ProblemError
from service import metrics
from service.cache import Entry, MemoryCache
from service.jobs import Jobs
from service.problems import ProblemException, from_validation, refused
from service.settings import Settings
from service.shared_cache import SharedCache
from workers.predictions import equivalent_of, key_of, predict
from workers.refusals import Refused

log = structlog.get_logger("foretell.service")

INLINE_BYTES = 32 * 1024
"""Larger bodies, which may spell out more than some 10^4 modes, are parsed and solved in a thread."""
MAX_FIELDS = 1000
"""More fields than any request has; each unknown one would cost an error record."""


_CONTAINERS = (dict, list)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and where it came from: memory, redis, solved, or shared with a concurrent request."""

    entry: Entry
    source: str


class Predictor:
    """Answers prediction requests from raw bodies.

    Args:
        settings: of the service.
        memory: answers of this process.
        shared: answers of all processes.
        jobs: the queue, for those who would rather not wait.
    """

    def __init__(self, settings: Settings, memory: MemoryCache, shared: SharedCache, jobs: Jobs) -> None:
        self._time_limit = settings.time_limit
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="predict")
        self._memory = memory
        self._shared = shared
        self._jobs = jobs
        self._under_way: dict[str, asyncio.Future[Entry]] = {}

    async def answer(self, body: bytes, digest: bytes | None, *, fresh: bool = False) -> Answer:
        """Answer a raw request body.

        Args:
            body: as it came.
            digest: of the body, remembered for the next time.
            fresh: work it out even if the answer is known.

        Raises:
            ProblemException: the body is refused, or the answer took too long.
        """
        if len(body) <= INLINE_BYTES:
            # Under two milliseconds of work that nothing could interrupt; Redis has a time limit of its own.
            request, key = _parse_with_key(body)
            answer = await self._find(request, key, fresh=fresh, inline=True)
        else:
            answer = await self._answer_in_thread(body, fresh=fresh)
        if digest is not None:
            self._memory.remember(digest, answer.entry)
        return answer

    async def queue(self, body: bytes) -> Job:
        """Queue a raw request body to be answered later.

        Raises:
            ProblemException: the body is refused, or there is no queue at present.
        """
        if len(body) <= INLINE_BYTES:
            request, key = _parse_with_key(body)
            check(request)
        else:
            request, key = await self._in_thread(_parse_with_key, body)
            await self._in_thread(check, request)
        return await self._jobs.submit(request, key=key)

    def keep(self, prediction: Prediction) -> None:
        """Keep an answer that a worker found, so that asking again finds it."""
        if self._memory.by_key(prediction.key) is None:
            body: bytes = prediction.__pydantic_serializer__.to_json(prediction)
            self._memory.put(Entry(prediction.key, body))
            self._shared.put(prediction.key, body)

    async def _answer_in_thread(self, body: bytes, *, fresh: bool) -> Answer:
        try:
            async with asyncio.timeout(self._time_limit):
                request, key = await self._in_thread(_parse_with_key, body)
                return await self._find(request, key, fresh=fresh, inline=False)
        except TimeoutError:
            raise ProblemException(
                "time_limit",
                f"no answer within {self._time_limit:g} s; use fewer modes, or be answered later: Prefer: respond-async",
                headers={"Retry-After": "1"},
            ) from None

    async def _find(self, request: PredictionRequest, key: str, *, fresh: bool, inline: bool) -> Answer:
        if not fresh:
            entry = self._memory.by_key(key)
            if entry is not None:
                return Answer(entry, "memory")
            under_way = self._under_way.get(key)
            if under_way is not None:
                return Answer(await asyncio.shield(under_way), "concurrent")
        future: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        self._under_way[key] = future
        try:
            answer = await self._look_up_or_solve(request, key, fresh=fresh, inline=inline)
        except BaseException as error:
            if not future.done():
                # Those who wait for this answer fail alike; a cancelled request must not cancel theirs.
                cut_short = ProblemException(
                    "unavailable",
                    "an equal request that this one waited for was cut short; try again",
                    headers={"Retry-After": "1"},
                )
                future.set_exception(error if isinstance(error, Exception) else cut_short)
                future.exception()
            raise
        else:
            if not future.done():
                future.set_result(answer.entry)
            return answer
        finally:
            if self._under_way.get(key) is future:
                del self._under_way[key]

    async def _look_up_or_solve(self, request: PredictionRequest, key: str, *, fresh: bool, inline: bool) -> Answer:
        body = None if fresh else await self._shared.get(key)
        source = "redis"
        if body is None:
            source = "solved"
            body = solve(request, key) if inline else await self._in_thread(solve, request, key)
            self._shared.put(key, body)
        entry = Entry(key, body)
        self._memory.put(entry)
        return Answer(self._memory.by_key(key) or entry, source)

    async def _in_thread(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def parse(body: bytes) -> PredictionRequest:
    """Parse and validate a raw body.

    Raises:
        ProblemException: not JSON, a field named twice, or outside the vocabulary.
    """
    try:
        data = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise _not_json(body, error) from None
    n_fields = _count_keys(data)
    if n_fields > MAX_FIELDS:
        reason = f"has {n_fields} fields, more than any request needs"
        raise ProblemException(
            "validation_error",
            f"the body {reason}; see /docs for the vocabulary",
            errors=[ProblemError(pointer="", detail=reason)],
        )
    # Colons outside strings are as many as keys; only if the count is off can a key have come twice.
    if body.count(b":") != n_fields:
        _refuse_duplicates(body)
    try:
        return PredictionRequest.model_validate(data)
    except ValidationError as error:
        raise from_validation(error, data) from None


def solve(request: PredictionRequest, key: str) -> bytes:
    """Work out an answer, ready to send.

    Raises:
        ProblemException: the theory's assumptions do not hold.
    """
    started = time.perf_counter()
    with _refusals():
        prediction = predict(request, key=key)
    body: bytes = prediction.__pydantic_serializer__.to_json(prediction)
    metrics.SOLVE_SECONDS.observe(time.perf_counter() - started)
    metrics.labelled(metrics.PREDICTIONS, prediction.status).inc()
    if prediction.status == "not_converged":
        log.warning("not_converged", key=key, residual=prediction.numerics.residual)
    return body


def check(request: PredictionRequest) -> None:
    """Make sure that a request can be answered, short of answering it.

    Raises:
        ProblemException: the theory's assumptions do not hold.
    """
    with _refusals():
        equivalent_of(request)


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn the refusals of the theory into problems."""
    try:
        yield
    except Refused as refusal:
        raise refused(refusal) from None


def _parse_with_key(body: bytes) -> tuple[PredictionRequest, str]:
    request = parse(body)
    return request, key_of(request)


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
        return ProblemException("invalid_json", "the body is empty; send a prediction request, see /docs")
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
