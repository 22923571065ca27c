"""The queue: jobs of RQ, of which a crash of any process loses none.

Jobs and results are JSON, never pickle. A job's id is content-addressed, so that the same work is queued once.
:mod:`workers.leases` says what becomes of a job whose worker dies, :mod:`workers.worker` who executes it.
"""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry as ConnectionRetry
from rq import Queue, Retry, worker_registration
from rq.command import send_stop_execution_command
from rq.exceptions import DuplicateJobError, InvalidJobOperation, NoSuchJobError
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from workers.leases import ask_to_stop

CPU_QUEUE = "cpu"
GPU_QUEUE = "gpu"
JOB_ID = re.compile(r"[A-Za-z0-9_-]+")
"""What RQ allows; it raises an error about anything else."""
HEALTH_CHECK_SECONDS = 5
TIME_LIMIT_SECONDS = 600
RESULT_TTL_SECONDS = 24 * 3600
RETRY_SECONDS = (1, 5, 25)
"""A job that failed is tried again after so long. One whose worker was lost is tried again at once, and as often."""
LISTED_KEY = "foretell:jobs"
OPEN_KEY = "foretell:jobs:open"
"""Jobs that have not ended as far as :mod:`workers.reconciliation` knows."""
LISTED_SECONDS = 7 * 24 * 3600


def connect(url: str, *, timeout: float | None = None) -> "Redis":
    """Connect to the queue's server.

    Args:
        url: of Redis or Valkey.
        timeout: seconds for a command; None, for a worker, waits and retries until the server is back.
    """
    if timeout is not None:
        return Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout)
    patience = ConnectionRetry(ExponentialBackoff(cap=2.0, base=0.1), 60, (RedisConnectionError, RedisTimeoutError))
    options: dict[str, Any] = {} if url.startswith("unix:") else {"socket_keepalive": True}
    return Redis.from_url(url, health_check_interval=HEALTH_CHECK_SECONDS, retry=patience, **options)


class QueueFull(Exception):
    """As many jobs wait as may; the caller should come back later."""


def enqueue_once(
    connection: "Redis",
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    *,
    job_id: str,
    queue_name: str = CPU_QUEUE,
    most_queued: int | None = None,
    result_ttl: int = RESULT_TTL_SECONDS,
) -> Job:
    """Queue a function call under an id, or return the job of that id unless it has failed or was cancelled.

    Args:
        connection: to the queue's server.
        function: that a worker executes.
        arguments: for it; JSON.
        job_id: names the work, so that the same work is queued once.
        queue_name: whose workers execute it.
        most_queued: no more than so many jobs may wait; None for what is a part of a job, and neither refused nor listed.
        result_ttl: seconds that the job is kept after its success.

    Raises:
        QueueFull: there are as many jobs already.
    """
    queue = LeasedQueue(queue_name, connection)
    for _ in range(3):
        job = find(connection, job_id)
        if job is not None:
            if job.get_status(refresh=False) not in (JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED):
                return job
            discard(job)
        if most_queued is not None:
            if queue.count >= most_queued:
                raise QueueFull(f"{queue.count} jobs wait, as many as may")
            _enlist(connection, job_id)
        try:
            return queue.enqueue_call(
                function,
                args=arguments,
                job_id=job_id,
                unique=True,
                timeout=TIME_LIMIT_SECONDS,
                result_ttl=result_ttl,
                failure_ttl=RESULT_TTL_SECONDS,
                retry=Retry(max=len(RETRY_SECONDS), interval=RETRY_SECONDS),
                description=job_id,
            )
        except DuplicateJobError:
            continue
    raise RuntimeError(f"{job_id} can be neither queued nor found")


def _enlist(connection: "Redis", job_id: str) -> None:
    """Put a job at the head of the list; before it is queued, so that none is ever missing there."""
    now = time.time_ns() // 1000
    pipeline = connection.pipeline()
    pipeline.zadd(LISTED_KEY, {job_id: now})
    pipeline.sadd(OPEN_KEY, job_id)
    pipeline.zremrangebyscore(LISTED_KEY, 0, now - LISTED_SECONDS * 1_000_000)
    pipeline.execute()


def newest(connection: "Redis", *, count: int, before: tuple[int, str] | None = None) -> list[tuple[int, str]]:
    """Return times, in microseconds, and ids of jobs, the newest first; some may be gone.

    Args:
        connection: to the queue's server.
        count: how many at most.
        before: the last that is known already.
    """
    latest = "+inf" if before is None else before[0]
    found: list[tuple[int, str]] = []
    skipped = 0
    while len(found) < count:
        rows: Any = connection.zrevrangebyscore(LISTED_KEY, latest, "-inf", start=skipped, num=count, withscores=True)
        places = [(int(score), name.decode()) for name, score in rows]
        found += [place for place in places if before is None or place < before]
        skipped += len(places)
        if len(places) < count:
            break
    return found[:count]


def unlist(connection: "Redis", job_ids: list[str]) -> None:
    """Forget jobs that are gone."""
    connection.zrem(LISTED_KEY, *job_ids)


def reason_of(job: Job) -> str:
    """Return why a job failed: the last line of what was raised."""
    latest = job.latest_result()
    lines = (latest.exc_string or "").strip().splitlines() if latest else []
    return lines[-1] if lines else "its worker was lost"


def find(connection: "Redis", job_id: str) -> Job | None:
    """Return a job by its id."""
    if not JOB_ID.fullmatch(job_id):
        return None
    try:
        return Job.fetch(job_id, connection=connection, serializer=JSONSerializer)
    except NoSuchJobError:
        return None


def live_workers(connection: "Redis", queue_name: str) -> int:
    """Return how many workers of a queue have given a sign of life lately."""
    keys = worker_registration.get_keys(LeasedQueue(queue_name, connection))
    return int(connection.exists(*keys)) if keys else 0


def discard(job: Job) -> None:
    """Delete a job that no worker should execute; one that is gone already is gone."""
    for _ in range(3):
        try:
            job.delete()
        except InvalidJobOperation:
            return
        except ValueError:  # an execution of it ended just now, between RQ's look at the list and at the entry
            continue
        else:
            return


def stop(connection: "Redis", job: Job) -> None:
    """End a job that a worker executes; one that ended by itself meanwhile is left alone."""
    for execution_id in job.execution_registry.get_execution_ids():
        ask_to_stop(connection, Execution(execution_id, job.id, connection))
        with suppress(InvalidJobOperation):
            send_stop_execution_command(connection, job.id, execution_id)


class LeasedQueue(Queue):
    """A queue whose jobs and results are JSON."""

    def __init__(self, name: str, connection: "Redis", **options: Any) -> None:
        super().__init__(name, connection=connection, **{**options, "serializer": JSONSerializer})
