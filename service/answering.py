"""How a computation is answered: parsed, looked up, worked out once for all who ask, kept."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from math import inf
from typing import Any

import structlog

from api_schemas.base import Schema
from api_schemas.job import Job
from api_schemas.validation import ValidationRequest
from service import metrics
from service.cache import Entry, MemoryCache
from service.computations import BY_KIND, Computation, refusals
from service.jobs import Jobs
from service.parsing import parse
from service.problems import ProblemException
from service.settings import Settings
from service.shared_cache import SharedCache
from workers import chunks, validations
from workers.deadlines import OutOfTime, stopping_at
from workers.pools import EstimateTakesLong, estimates_within
from workers.works import work_of_job

log = structlog.get_logger("foretell.service")

LARGEST_KEPT = 8 * 2**20
"""Bytes of an answer; larger ones would drive hundreds of small ones out of the caches."""
NO_RESULT = b'"result":null'
Parsed = tuple[Any, str]
"""A request, and the key of its answer."""


class Later(Exception):
    """What is asked takes too long to wait for: it is work for a worker."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and where it came from: memory, redis, solved, solved but not kept, or shared with a concurrent request."""

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
        self._solving = ThreadPoolExecutor(settings.threads, thread_name_prefix="solve")
        # Apart: what took too long goes on in its thread to the end of a step, and must not keep others, or itself, from being
        # queued.
        self._checking = ThreadPoolExecutor(settings.threads, thread_name_prefix="check")
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
            ProblemException: the body is refused.
            Later: it takes long.
        """
        parsed = _parse_with_key(computation, body) if len(body) <= computation.inline_bytes else None
        if parsed is not None and computation.quick(parsed[0]):
            # Under two milliseconds of work that nothing could interrupt; Redis has a time limit of its own.
            answer = await self._find(computation, *parsed, fresh=fresh, inline=True)
        else:
            try:
                async with asyncio.timeout(self._time_limit):
                    with stopping_at(time.monotonic() + self._time_limit):
                        answer = await self._answer_in_thread(computation, body, parsed, fresh=fresh)
            except (TimeoutError, OutOfTime, EstimateTakesLong):
                raise Later from None
        if digest is not None:
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
        else:
            request, key = await self._checked(_parse_with_key, computation, body)
        if computation.quick(request):
            computation.check(request)
        else:
            await self._checked(computation.check, request)
        return await self._jobs.submit(computation.work, request, key=key, idempotency=idempotency)

    async def wait(self, job: Job, seconds: float) -> tuple[Job, Entry | None]:
        """Return a job once it has ended, or as it stands after so long, and its answer if it has one."""
        job = await self._jobs.wait(job, min(seconds, self._longest_wait))
        return job, await self._answer_of(job.id) if job.status == "succeeded" else None

    async def read(self, job_id: str) -> bytes:
        """Return a job as it stands, in JSON, with its result wherever that lies.

        Raises:
            ProblemException: there is none of that id, or its result is gone, or the queue's server is away.
        """
        job = await self._jobs.read(job_id)
        entry = await self._answer_of(job.id) if job.status == "succeeded" else None
        body = job.model_dump_json().encode()
        if job.status != "succeeded" or job.result is not None:
            return body
        if entry is None:
            raise ProblemException("not_found", f"the result of {job.id} is gone; post the request again")
        # Too large to be validated once more on its way out.
        return body.replace(NO_RESULT, b'"result":' + entry.body)

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
                with stopping_at(time.monotonic() + self._time_limit):
                    request, key = await self._solved(_parse_validation, body, self._inline_seconds)
        except EstimateTakesLong as reason:
            raise no_estimate(reason) from None
        except (TimeoutError, OutOfTime):
            raise ProblemException(
                "time_limit",
                f"the prediction to compare with took longer than {self._time_limit:g} s; use fewer modes",
                headers={"Retry-After": "1"},
            ) from None
        return await self._jobs.submit_validation(request, key=key, idempotency=idempotency)

    async def _answer_of(self, job_id: str) -> Entry | None:
        """Return the answer that a computation's job has found, and keep it, so that asking again finds it."""
        work = work_of_job(job_id)
        computation = None if work is None else BY_KIND.get(work.kind)
        if work is None or computation is None:
            return None
        key = work.key_of_job(job_id)
        found = await self._jobs.answer(work, key)
        if found is None:
            return None
        body, cacheable = found
        entry = Entry(key, body, computation.headers)
        if cacheable and len(body) <= LARGEST_KEPT and self._memory.by_key(key) is None:
            self._memory.put(entry)
            self._shared.put(key, body)
        return entry

    async def _answer_in_thread(
        self, computation: Computation, body: bytes, parsed: Parsed | None, *, fresh: bool
    ) -> Answer:
        request, key = parsed or await self._checked(_parse_with_key, computation, body)
        if computation.work.seconds_of is not None:
            known = None if fresh or not computation.cacheable(request) else await self._known(computation, key)
            if known is not None:
                return known
            if await self._checked(computation.expected_seconds, request) > self._inline_seconds:
                entry = await self._answer_of(computation.work.job_id(key))
                if entry is None:
                    raise Later
                return Answer(entry, "redis")
        return await self._find(computation, request, key, fresh=fresh, inline=False)

    async def _known(self, computation: Computation, key: str) -> Answer | None:
        """Return an answer that is in memory or in Redis."""
        entry = self._memory.by_key(key)
        if entry is not None:
            return Answer(entry, "memory")
        body = await self._shared.get(key)
        if body is None:
            return None
        entry = Entry(key, body, computation.headers)
        self._memory.put(entry)
        return Answer(entry, "redis")

    async def _find(self, computation: Computation, request: Schema, key: str, *, fresh: bool, inline: bool) -> Answer:
        fresh = fresh or not computation.cacheable(request)
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
                # Those who wait for this answer fail alike; a request that is cancelled, or takes too long, makes theirs a job.
                future.set_exception(error if isinstance(error, Exception) else Later())
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
            work = (computation, request, key, self._inline_seconds)
            body = solve(*work) if inline else await self._solved(solve, *work)
            if len(body) > LARGEST_KEPT or not computation.cacheable(request):
                source = "not kept" if computation.cacheable(request) else "never kept"
                return Answer(Entry(key, body, computation.headers), source)
            self._shared.put(key, body)
        entry = Entry(key, body, computation.headers)
        self._memory.put(entry)
        return Answer(self._memory.by_key(key) or entry, source)

    async def _checked(self, function: Any, *arguments: Any) -> Any:
        return await _in_thread(self._checking, function, *arguments)

    async def _solved(self, function: Any, *arguments: Any) -> Any:
        return await _in_thread(self._solving, function, *arguments)


async def _in_thread(threads: ThreadPoolExecutor, function: Any, *arguments: Any) -> Any:
    """Call a function in a thread, which knows when its time is up."""
    return await asyncio.get_running_loop().run_in_executor(threads, copy_context().run, function, *arguments)


def no_estimate(reason: EstimateTakesLong) -> ProblemException:
    """Say how to come by an estimate that is needed where nothing can wait for it."""
    return ProblemException(
        "time_limit",
        f"{reason}; post the prediction by itself first, which has a worker make it",
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
        answer = computation.work.work_out(request, key=key)
    body = computation.work.write(answer)
    metrics.SOLVE_SECONDS.observe(time.perf_counter() - started)
    metrics.labelled(computation.counter, answer.status).inc()
    if answer.status == "not_converged":
        log.warning("not_converged", what=computation.work.kind, key=key)
    return body


def _parse_validation(body: bytes, estimate_seconds: float) -> tuple[ValidationRequest, str]:
    request = parse(body, ValidationRequest)
    with refusals(), estimates_within(estimate_seconds):
        chunks.check(request)
    return request, validations.key_of(request)


def _parse_with_key(computation: Computation, body: bytes) -> Parsed:
    request = parse(body, computation.schema)
    return request, computation.key_of(request)
