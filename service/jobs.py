"""Jobs as the wire shows them, over the queue; without Redis there are none, and the client is told so."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import structlog
from redis.exceptions import RedisError, ResponseError
from rq.job import Job as QueuedJob
from rq.job import JobStatus

from api_schemas.job import Job
from api_schemas.prediction import Prediction, PredictionRequest
from service.problems import ProblemException
from workers import queue

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
RETRY_AFTER = {"Retry-After": "1"}


class Jobs:
    """Submits and reads jobs.

    Args:
        url: of the queue's server.
        timeout: seconds to wait for it.
    """

    def __init__(self, url: str, *, timeout: float) -> None:
        # RQ is synchronous: its half millisecond is spent in a thread.
        self._connection = queue.connect(url, timeout=max(timeout, 1.0))
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="jobs")

    async def submit(self, request: PredictionRequest, *, key: str) -> Job:
        """Queue a prediction; the same one is queued once.

        Raises:
            ProblemException: the queue's server is away.
        """
        return await self._with_redis(lambda: _on_wire(queue.submit_prediction(self._connection, request, key=key)))

    async def read(self, job_id: str) -> Job:
        """Return a job as it stands.

        Raises:
            ProblemException: there is none of that id, or the queue's server is away.
        """

        def find() -> Job | None:
            job = queue.find(self._connection, job_id)
            return None if job is None else _on_wire(job)

        job = await self._with_redis(find)
        if job is None:
            raise ProblemException("not_found", f"no job {job_id[:100]!r}; results are kept for a day")
        return job

    async def _with_redis(self, function: Callable[[], Value]) -> Value:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function)
        except ResponseError as error:
            log.warning("queue_refuses", error=str(error))
            detail = "the queue's server takes no more work, its memory or disk is full; try again later"
            raise ProblemException("unavailable", detail, headers=RETRY_AFTER) from None
        except (RedisError, OSError) as error:
            log.warning("queue_unavailable", error=str(error))
            raise ProblemException(
                "unavailable",
                "jobs need Redis, which is away; predictions without Prefer still work",
                headers=RETRY_AFTER,
            ) from None


def _on_wire(job: QueuedJob) -> Job:
    status = STATUSES[job.get_status(refresh=True) or JobStatus.QUEUED]
    result = problem = None
    if status == "succeeded":
        result = Prediction.model_validate_json(job.return_value() or "")
    elif status == "failed":
        latest = job.latest_result()
        reason = (latest.exc_string or "").strip().splitlines()[-1:] if latest else []
        log.error("job_failed", job=job.id, reason=reason)
        problem = ProblemException(
            "internal_error", f"the job failed: {'; '.join(reason) or 'its worker was lost'}"
        ).problem()
    done = status in ("succeeded", "failed", "cancelled")
    return Job(id=job.id, kind="prediction", status=status, progress=float(done), result=result, problem=problem)
