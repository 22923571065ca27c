"""How a computation is answered: parsed, looked up, worked out once for all who ask, kept."""

import asyncio
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import inf
from typing import Any

import structlog

from api_schemas.base import Schema
from api_schemas.job import Job
from api_schemas.prediction import Prediction
from api_schemas.sweep import SweepRequest
from api_schemas.validation import ValidationRequest
from service import metrics
from service.cache import Entry, MemoryCache
from service.computations import PREDICTIONS, SWEEPS, Computation, dataset_of, refusals
from service.jobs import Jobs
from service.parsing import parse
from service.problems import ProblemException
from service.settings import Settings
from service.shared_cache import SharedCache
from workers import chunks, sweep_jobs, validations
from workers.pools import EstimateTakesLong, estimates_within

log = structlog.get_logger("foretell.service")

LARGEST_KEPT = 8 * 2**20
"""Bytes of an answer; larger ones would drive hundreds of small ones out of the caches."""


class Later(Exception):
    """What is asked takes too long to wait for: it is work for a worker."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and where it came from: memory, redis, solved, or shared with a concurrent request."""

    entry: Entry
    source: str


class Answerer:
    """Answers requests for any computation from raw bodies.

    Args:
        settings: of the service.
        memory: answers of this process.
        shared: answers of all processes.
        jobs: the queue, for those who would rather not wait.
    """

    def __init__(self, settings: Settings, memory: MemoryCache, shared: SharedCache, jobs: Jobs) -> None:
        self._time_limit = settings.time_limit
        self._inline_seconds = settings.inline_seconds
        self._longest_wait = settings.longest_wait
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="solve")
        self._memory = memory
        self._shared = shared
        self._jobs = jobs
        self._under_way: dict[str, asyncio.Future[Entry]] = {}

    async def answer(
        self, computation: Computation, body: bytes, digest: bytes | None, *, fresh: bool = False
    ) -> Answer:
        """Answer a raw request body.

        Args:
            computation: that is asked for.
            body: as it came.
            digest: of the body, remembered for the next time.
            fresh: work it out even if the answer is known.

        Raises:
            ProblemException: the body is refused, or the answer took too long.
        """
        try:
            if len(body) <= computation.inline_bytes:
                request, key = _parse_with_key(computation, body)
                if computation.quick(request):
                    # Under two milliseconds of work that nothing could interrupt; Redis has a time limit of its own.
                    answer = await self._find(computation, request, key, fresh=fresh, inline=True)
                else:
                    answer = await self._in_time(
                        computation, self._find(computation, request, key, fresh=fresh, inline=False)
                    )
            else:
                answer = await self._in_time(computation, self._answer_in_thread(computation, body, fresh=fresh))
        except EstimateTakesLong as reason:
            if computation.queued:
                raise Later from None
            raise no_estimate(reason) from None
        if digest is not None and answer.source != "not kept":
            self._memory.remember(digest, answer.entry)
        return answer

    async def queue(self, computation: Computation, body: bytes, *, idempotency: str | None = None) -> Job:
        """Queue a raw request body, to be answered later.

        Args:
            computation: that is asked for.
            body: as it came.
            idempotency: what the client calls this request, if it does.

        Raises:
            ProblemException: the body is refused, or there is no queue at present.
        """
        if len(body) <= computation.inline_bytes:
            request, key = _parse_with_key(computation, body)
            computation.check(request)
        else:
            request, key = await self._in_thread(_parse_with_key, computation, body)
            await self._in_thread(computation.check, request)
        if computation is SWEEPS:
            return await self._jobs.submit_sweep(request, key=key, idempotency=idempotency)
        return await self._jobs.submit(request, key=key, idempotency=idempotency)

    async def wait(self, job: Job, seconds: float) -> tuple[Job, Entry | None]:
        """Return a job once it has ended, or as it stands after so long, and its answer if it has one."""
        job = await self._jobs.wait(job, min(seconds, self._longest_wait))
        if job.status != "succeeded":
            return job, None
        if isinstance(job.result, Prediction):
            return job, Entry(job.result.key, PREDICTIONS.write(job.result), PREDICTIONS.headers)
        key = job.id.removeprefix(sweep_jobs.ID_PREFIX)
        body = await self._jobs.sweep_result(key)
        return job, None if body is None else Entry(key, body, SWEEPS.headers)

    async def validate(self, body: bytes, *, idempotency: str | None = None) -> Job:
        """Queue the raw body of a validation request.

        Args:
            body: as it came.
            idempotency: what the client calls this request, if it does.

        Raises:
            ProblemException: the body is refused, there is no queue at present, or no worker of the kind asked for.
        """
        try:
            async with asyncio.timeout(self._time_limit):
                request, key = await self._in_thread(_parse_validation, body, self._inline_seconds)
        except EstimateTakesLong as reason:
            raise no_estimate(reason) from None
        except TimeoutError:
            raise ProblemException(
                "time_limit",
                f"the prediction to compare with took longer than {self._time_limit:g} s; use fewer modes",
                headers={"Retry-After": "1"},
            ) from None
        return await self._jobs.submit_validation(request, key=key, idempotency=idempotency)

    def keep(self, prediction: Prediction) -> None:
        """Keep an answer that a worker found, so that asking again finds it; what is about a data set is kept nowhere."""
        if prediction.pool is None and self._memory.by_key(prediction.key) is None:
            body: bytes = prediction.__pydantic_serializer__.to_json(prediction)
            self._memory.put(Entry(prediction.key, body, PREDICTIONS.headers))
            self._shared.put(prediction.key, body)

    async def _answer_in_thread(self, computation: Computation, body: bytes, *, fresh: bool) -> Answer:
        request, key = await self._in_thread(_parse_with_key, computation, body)
        if computation is SWEEPS and self._memory.by_key(key) is None:
            found = await self._shared.get(key) if not fresh and dataset_of(request) is None else None
            if found is None and await self._in_thread(_is_large, request, self._inline_seconds):
                found = await self._jobs.sweep_result(key)
                if found is None:
                    raise Later
            if found is not None:
                return Answer(Entry(key, found, computation.headers), "redis")
        return await self._find(computation, request, key, fresh=fresh, inline=False)

    async def _in_time(self, computation: Computation, answer: Coroutine[Any, Any, Answer]) -> Answer:
        try:
            async with asyncio.timeout(self._time_limit):
                return await answer
        except TimeoutError:
            if computation.queued:
                raise Later from None
            raise ProblemException(
                "time_limit",
                f"no answer within {self._time_limit:g} s; {computation.way_out}",
                headers={"Retry-After": "1"},
            ) from None

    async def _find(self, computation: Computation, request: Schema, key: str, *, fresh: bool, inline: bool) -> Answer:
        if dataset_of(request) is not None:
            # Kept nowhere: it must be gone with the data set.
            work = (computation, request, key, self._inline_seconds)
            body = solve(*work) if inline else await self._in_thread(solve, *work)
            return Answer(Entry(key, body, computation.headers), "not kept")
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
            answer = await self._look_up_or_solve(computation, request, key, fresh=fresh, inline=inline)
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

    async def _look_up_or_solve(
        self, computation: Computation, request: Schema, key: str, *, fresh: bool, inline: bool
    ) -> Answer:
        body = None if fresh else await self._shared.get(key)
        source = "redis"
        if body is None:
            source = "solved"
            work = (computation, request, key)
            body = solve(*work) if inline else await self._in_thread(solve, *work)
            if len(body) > LARGEST_KEPT:
                return Answer(Entry(key, body, computation.headers), "too large to keep")
            self._shared.put(key, body)
        entry = Entry(key, body, computation.headers)
        self._memory.put(entry)
        return Answer(self._memory.by_key(key) or entry, source)

    async def _in_thread(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def no_estimate(reason: EstimateTakesLong) -> ProblemException:
    """Say how to come by an estimate that an answer needs, where the answer itself cannot be a job."""
    return ProblemException(
        "time_limit",
        f"{reason}; ask for the prediction alone with Prefer: respond-async first, which has a worker make it",
        headers={"Retry-After": str(max(1, round(reason.seconds)))},
    )


def solve(computation: Computation, request: Schema, key: str, estimate_seconds: float = inf) -> bytes:
    """Work out an answer, ready to send.

    Args:
        computation: that is asked for.
        request: parsed.
        key: of the request.
        estimate_seconds: that estimates on a data set may take which are not there yet.

    Raises:
        ProblemException: the theory's assumptions do not hold.
        EstimateTakesLong: an estimate is not there, and would take longer.
    """
    started = time.perf_counter()
    with refusals(), estimates_within(estimate_seconds):
        answer = computation.work_out(request, key=key)
    body = computation.write(answer)
    metrics.SOLVE_SECONDS.observe(time.perf_counter() - started)
    metrics.labelled(computation.counter, answer.status).inc()
    if answer.status == "not_converged":
        log.warning("not_converged", what=computation.name, key=key)
    return body


def _parse_validation(body: bytes, estimate_seconds: float) -> tuple[ValidationRequest, str]:
    request = parse(body, ValidationRequest)
    with refusals(), estimates_within(estimate_seconds):
        chunks.check(request)
    return request, validations.key_of(request)


def _is_large(request: SweepRequest, seconds: float) -> bool:
    with refusals():
        return sweep_jobs.is_large(request, seconds=seconds)


def _parse_with_key(computation: Computation, body: bytes) -> tuple[Any, str]:
    request = parse(body, computation.schema)
    return request, computation.key_of(request)
