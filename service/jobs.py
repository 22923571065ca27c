"""Jobs as the wire shows them, over the queue; without Redis there are none, and the client is told so."""

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import structlog
from redis.exceptions import RedisError, ResponseError
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job as QueuedJob
from rq.job import JobStatus

from api_schemas.dataset import DatasetReading
from api_schemas.job import Job, JobList
from api_schemas.validation import Validation, ValidationRequest
from service import metrics
from service.problems import ProblemException, refused
from workers import answered_jobs, chunks, data_store, dataset_jobs, queue
from workers.data_store import DataStore, UnknownDataset
from workers.works import DATASET, Work, work_of_job

log = structlog.get_logger("foretell.jobs")

Value = TypeVar("Value")

STATUSES: dict[JobStatus, Any] = {
    JobStatus.CREATED: "queued",
    JobStatus.QUEUED: "queued",
    JobStatus.DEFERRED: "queued",
    JobStatus.SCHEDULED: "queued",
    JobStatus.STARTED: "running",
    JobStatus.FINISHED: "succeeded",
    JobStatus.FAILED: "failed",
    JobStatus.STOPPED: "cancelled",
    JobStatus.CANCELED: "cancelled",
}
ENDED = frozenset({"succeeded", "failed", "cancelled"})
RETRY_AFTER = {"Retry-After": "1"}
RETRY_WITHOUT_GPU = {"Retry-After": "60"}
RETRY_WHEN_FULL = {"Retry-After": "10"}
IDEMPOTENCY_SECONDS = 24 * 3600
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.25
STOP_SECONDS = 1.0
DELETE_SECONDS = 5.0
"""For what rests on a data set to end, when that is deleted."""


class Jobs:
    """Submits, reads, lists and cancels jobs.

    Args:
        url: of the queue's server.
        timeout: seconds to wait for it.
        most_queued: jobs that may wait.
    """

    def __init__(self, url: str, *, timeout: float, most_queued: int) -> None:
        # RQ is synchronous: its half millisecond is spent in a thread.
        self._connection: Any = queue.connect(url, timeout=max(timeout, 1.0))
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="jobs")
        self._most_queued = most_queued

    async def submit(self, work: Work, request: Any, *, key: str, idempotency: str | None = None) -> Job:
        """Queue a request for an answer; the same one is queued once.

        Args:
            work: that answers it.
            request: that was checked.
            key: of the request.
            idempotency: what the client calls this request, if it does.

        Raises:
            ProblemException: the queue or its server is away or full, or the client called another request so.
        """

        def submit() -> Job:
            self._claim(idempotency, work.job_id(key))
            dataset_jobs.note_job(self._connection, request, work.job_id(key))
            return _answered(
                work, answered_jobs.submit(self._connection, work, request, key=key, most_queued=self._most_queued)
            )

        return await self._with_redis(submit)

    async def submit_validation(self, request: ValidationRequest, *, key: str, idempotency: str | None = None) -> Job:
        """Queue a validation, likewise."""

        def submit() -> Job:
            self._claim(idempotency, chunks.ID_PREFIX + key)
            dataset_jobs.note_job(self._connection, request, chunks.ID_PREFIX + key)
            chunks.submit_validation(self._connection, request, key=key, most_queued=self._most_queued)
            return self._validation(key) or Job(
                id=chunks.ID_PREFIX + key, kind="validation", status="queued", progress=0.0
            )

        return await self._with_redis(submit)

    async def submit_dataset(self, reading: DatasetReading, store: DataStore, *, idempotency: str | None = None) -> Job:
        """Queue the reading of an upload, likewise; a data set that has gone is read in anew."""

        def submit() -> Job:
            key = reading.dataset_id
            job_id = DATASET.job_id(key)
            self._claim(idempotency, job_id)
            job = queue.find(self._connection, job_id)
            if job is not None and job.is_finished and not store.is_ready(key):
                queue.discard(job)
            if job is not None and store.is_ready(key):
                store.drop_upload(key)
            return _answered(
                DATASET,
                answered_jobs.submit(self._connection, DATASET, reading, key=key, most_queued=self._most_queued),
            )

        return await self._with_redis(submit)

    async def delete_dataset(self, dataset_id: str, store: DataStore) -> None:
        """Delete a data set, and the jobs that rest on it with their results; those that have not ended are cancelled.

        Raises:
            ProblemException: the queue's server is away, and nothing is deleted.
        """
        own = DATASET.job_id(dataset_id)

        def cancel() -> list[str]:
            job_ids = [own, *dataset_jobs.jobs_of(self._connection, dataset_id)]
            for job_id in job_ids:
                self._cancel(job_id)
            with suppress(UnknownDataset):
                store.delete(dataset_id)
            return job_ids

        def forget() -> bool:
            job_ids = [own, *dataset_jobs.jobs_of(self._connection, dataset_id)]
            gone = [self._forget(job_id) for job_id in job_ids]
            if all(gone):
                self._connection.delete(dataset_jobs.index_key(dataset_id))
            return all(gone)

        await self._with_redis(cancel)
        deadline = asyncio.get_running_loop().time() + DELETE_SECONDS
        while not await self._with_redis(forget) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(FIRST_PAUSE)
        with suppress(UnknownDataset):  # what a worker that was being stopped still wrote
            await asyncio.to_thread(store.delete, dataset_id)

    def _forget(self, job_id: str) -> bool:
        """Delete a job that has ended, and its result; whether it is gone."""
        found = self._find(job_id)
        if found is None:
            return True
        if found.status not in ENDED:
            self._cancel(job_id)
            return False
        if job_id.startswith(chunks.ID_PREFIX):
            if not chunks.delete_validation(self._connection, job_id.removeprefix(chunks.ID_PREFIX)):
                return False
        else:
            answered_jobs.delete(self._connection, job_id)
        queue.unlist(self._connection, [job_id])
        return True

    async def answer(self, work: Work, key: str) -> tuple[bytes, bool] | None:
        """Return the answer that a job has found, in JSON, and whether it may be kept; None where there is none.

        Raises:
            ProblemException: the queue's server is away.
        """
        return await self._with_redis(lambda: answered_jobs.answer_of(self._connection, work, key))

    async def find(self, job_id: str) -> Job | None:
        """Return a job as it stands, None where there is none of that id.

        Raises:
            ProblemException: the queue's server is away.
        """
        return await self._with_redis(lambda: self._find(job_id))

    async def read(self, job_id: str) -> Job:
        """Return a job as it stands.

        Raises:
            ProblemException: there is none of that id, or the queue's server is away.
        """
        job = await self.find(job_id)
        if job is None:
            raise ProblemException("not_found", f"no job {job_id[:100]!r}; results are kept for a day")
        return job

    async def wait(self, job: Job, seconds: float) -> Job:
        """Return a job once it has ended, or as it stands after so long."""
        deadline, pause = asyncio.get_running_loop().time() + seconds, FIRST_PAUSE
        while job.status not in ENDED:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0.0:
                break
            await asyncio.sleep(min(pause, left))
            pause = min(2.0 * pause, LONGEST_PAUSE)
            job = await self.read(job.id)
        return job

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job; one that has ended stays as it is.

        Raises:
            ProblemException: there is none of that id, or the queue's server is away.
        """
        await self._with_redis(lambda: self._cancel(job_id))
        job = await self.wait(await self.read(job_id), STOP_SECONDS)
        if job.kind == "dataset" and job.dataset_id is not None and job.status == "cancelled":
            with suppress(UnknownDataset):
                await asyncio.to_thread(data_store.store().delete, job.dataset_id)
        return job

    async def list(self, *, limit: int, cursor: str | None) -> JobList:
        """Return jobs, the newest first.

        Args:
            limit: how many at most.
            cursor: of the page before.

        Raises:
            ProblemException: the cursor is none of ours, or the queue's server is away.
        """
        before = None if cursor is None else place_of(cursor)
        return await self._with_redis(lambda: self._page(limit, before))

    def _page(self, limit: int, before: tuple[int, str] | None) -> JobList:
        found: list[Job] = []
        while len(found) < limit:
            places = queue.newest(self._connection, count=limit - len(found), before=before)
            if not places:
                before = None
                break
            before = places[-1]
            jobs = {job_id: self._find(job_id) for _, job_id in places}
            gone = [job_id for job_id, job in jobs.items() if job is None]
            if gone:
                queue.unlist(self._connection, gone)
            found += [job for job in jobs.values() if job is not None]
        more = before is not None and queue.newest(self._connection, count=1, before=before)
        return JobList(jobs=found, next_cursor=cursor_of(before) if before is not None and more else None)

    def _find(self, job_id: str) -> Job | None:
        work = work_of_job(job_id)
        if work is not None:
            job = queue.find(self._connection, job_id)
            return None if job is None else _answered(work, job)
        if job_id.startswith(chunks.ID_PREFIX):
            return self._validation(job_id.removeprefix(chunks.ID_PREFIX))
        return None

    def _validation(self, key: str) -> Job | None:
        standing = chunks.standing_of(self._connection, key)
        if standing is None:
            return None
        result = problem = None
        outcome: str = standing.status
        if standing.status == "succeeded":
            result = Validation.model_validate_json(standing.value)
            outcome = "agrees" if result.agrees else "disagrees"
        elif standing.status == "failed":
            problem = _failure(chunks.ID_PREFIX + key, standing.value)
        if standing.status in ENDED and not standing.counted and chunks.count_once(self._connection, key):
            metrics.labelled(metrics.VALIDATIONS, outcome).inc()
        return Job(
            id=chunks.ID_PREFIX + key,
            kind="validation",
            status=standing.status,
            progress=standing.progress,
            result=result,
            problem=problem,
        )

    def _cancel(self, job_id: str) -> None:
        if job_id.startswith(chunks.ID_PREFIX):
            chunks.cancel_validation(self._connection, job_id.removeprefix(chunks.ID_PREFIX))
            return
        job = queue.find(self._connection, job_id) if work_of_job(job_id) is not None else None
        if job is None:
            return
        status = STATUSES[job.get_status(refresh=False) or JobStatus.QUEUED]
        if status == "queued":
            with suppress(InvalidJobOperation, NoSuchJobError):  # it has ended by itself
                job.cancel()
        elif status == "running":
            queue.stop(self._connection, job)

    def _claim(self, idempotency: str | None, job_id: str) -> None:
        """Note what a client calls its request, for a day; refuse a name that it gave to another one."""
        if idempotency is None:
            return
        name = f"foretell:idempotency:{hashlib.sha256(idempotency.encode()).hexdigest()}"
        if self._connection.set(name, job_id, nx=True, ex=IDEMPOTENCY_SECONDS):
            return
        if (self._connection.get(name) or job_id.encode()) != job_id.encode():
            raise ProblemException(
                "idempotency_conflict",
                "this Idempotency-Key came with another request within the last day; take a new one for a new request",
            )

    async def _with_redis(self, function: Callable[[], Value]) -> Value:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function)
        except queue.QueueFull as error:
            detail = f"{error}; try again later, or start more workers"
            raise ProblemException("queue_full", detail, headers=RETRY_WHEN_FULL) from None
        except chunks.NoGpu:
            detail = (
                "no worker with a GPU runs; start one with 'foretell worker --device cuda:0' on a machine that has one, or"
                " choose backend 'numpy', or 'auto', which run without"
            )
            raise ProblemException("unavailable", detail, headers=RETRY_WITHOUT_GPU) from None
        except ResponseError as error:
            log.warning("queue_refuses", error=str(error))
            detail = "the queue's server takes no more work, its memory or disk is full; try again later"
            raise ProblemException("unavailable", detail, headers=RETRY_AFTER) from None
        except (RedisError, OSError) as error:
            log.warning("queue_unavailable", error=str(error))
            raise ProblemException(
                "unavailable",
                "jobs need Redis, which is away; what is worked out at once needs none",
                headers=RETRY_AFTER,
            ) from None


def _answered(work: Work, job: QueuedJob) -> Job:
    """Return a job, without a result that lies beside it."""
    status = STATUSES[job.get_status(refresh=True) or JobStatus.QUEUED]
    result: Any = None
    problem = None
    if status == "succeeded":
        outcome = answered_jobs.outcome_of(job)
        if outcome.refusal is not None:
            status = "failed"
            problem = refused(outcome.refusal).problem()
        elif outcome.result is not None:
            result = work.result.model_validate_json(outcome.result)
    elif status == "failed":
        problem = _failure(job.id, queue.reason_of(job))
    progress = float(job.get_meta(refresh=True).get("progress", 0.0)) if status == "running" else float(status in ENDED)
    kind: Any = work.kind
    return Job(
        id=job.id,
        kind=kind,
        dataset_id=work.key_of_job(job.id) if work is DATASET else answered_jobs.dataset_of(job),
        status=status,
        progress=progress,
        result=result,
        problem=problem,
    )


def _failure(job_id: str, reason: str) -> Any:
    log.error("job_failed", job=job_id, reason=reason)
    return ProblemException("internal_error", f"the job failed: {reason}").problem()


def cursor_of(place: tuple[int, str]) -> str:
    """Return where a page ended, for the client to come back with."""
    return base64.urlsafe_b64encode(f"{place[0]} {place[1]}".encode()).decode().rstrip("=")


def place_of(cursor: str) -> tuple[int, str]:
    """Return where the page before ended.

    Raises:
        ProblemException: the cursor is none of ours.
    """
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        time, _, job_id = text.partition(" ")
        return int(time), job_id
    except (binascii.Error, ValueError):
        raise ProblemException("bad_request", "the cursor is none that this service gave; start without one") from None
