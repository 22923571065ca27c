"""The queue: RQ with the settings under which a crash of any process loses nothing.

Jobs and results are JSON, never pickle. A job's id is content-addressed, so that the same work is queued once. A worker
renews a lease on the job it executes; when it dies, another one takes the job over once the lease has run out.
"""

import os
import re
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

import structlog
from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry as ConnectionRetry
from rq import Queue, Retry, Worker
from rq.command import send_stop_job_command
from rq.exceptions import DuplicateJobError, InvalidJobOperation, NoSuchJobError
from rq.executions import Execution
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from api_schemas.canonical import canonical_json
from api_schemas.prediction import PredictionRequest
from workers.lifetime import ends_with_parent
from workers.predictions import predict

log = structlog.get_logger("foretell.worker")

CPU_QUEUE = "cpu"
JOB_ID = re.compile(r"[A-Za-z0-9_-]+")
"""What RQ allows; it raises an error about anything else."""
LEASE_SECONDS = 15
RENEWAL_SECONDS = 5
SWEEP_SECONDS = 2
WORKER_TTL_SECONDS = 20
"""An idle worker looks for abandoned jobs every 5 s: RQ wakes it 15 s before this runs out."""
TIME_LIMIT_SECONDS = 600
KILL_AFTER_SECONDS = 2
RESULT_TTL_SECONDS = 24 * 3600
MAX_RETRIES = 3
LISTED_KEY = "foretell:jobs"
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
    return Redis.from_url(url, health_check_interval=RENEWAL_SECONDS, retry=patience, **options)


class QueueFull(Exception):
    """As many jobs wait as may; the caller should come back later."""


def submit_prediction(connection: "Redis", request: PredictionRequest, *, key: str, most_queued: int) -> Job:
    """Queue a prediction, or return the job that is doing it or has done it already.

    Raises:
        QueueFull: there are as many jobs already.
    """
    arguments = (canonical_json(request).decode(), key)
    return enqueue_once(connection, run_prediction, arguments, job_id=f"prediction-{key}", most_queued=most_queued)


def enqueue_once(
    connection: "Redis",
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    *,
    job_id: str,
    most_queued: int | None = None,
    result_ttl: int = RESULT_TTL_SECONDS,
) -> Job:
    """Queue a function call under an id, or return the job of that id unless it has failed or was cancelled.

    Args:
        connection: to the queue's server.
        function: that a worker executes.
        arguments: for it; JSON.
        job_id: names the work, so that the same work is queued once.
        most_queued: no more than so many jobs may wait; None for what is a part of a job, and neither refused nor listed.
        result_ttl: seconds that the job is kept after its success.

    Raises:
        QueueFull: there are as many jobs already.
    """
    queue = LeasedQueue(CPU_QUEUE, connection)
    for _ in range(3):
        job = find(connection, job_id)
        if job is not None:
            if job.get_status(refresh=False) not in (JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED):
                return job
            job.delete()
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
                retry=Retry(max=MAX_RETRIES),
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


def stop(connection: "Redis", job: Job) -> None:
    """End a job that a worker executes; one that ended by itself meanwhile is left alone."""
    with suppress(InvalidJobOperation, NoSuchJobError):
        send_stop_job_command(connection, job.id, serializer=JSONSerializer)


def run_prediction(canonical_request: str, key: str) -> str:
    """Work out a prediction; this is what a worker executes.

    Args:
        canonical_request: validated when it was queued.
        key: of the request.
    """
    request = PredictionRequest.model_validate_json(canonical_request)
    return predict(request, key=key).model_dump_json()


class _Handover(IntermediateQueue):
    """Where a job is between the queue and a worker's start on it; a worker killed just then leaves it there."""

    def should_be_cleaned_up(self, job_id: str) -> bool:
        """Whether a job has been there for longer than a lease, where RQ would wait for a minute."""
        first_seen = self.get_first_seen(job_id)
        return first_seen is not None and time.time() - first_seen.timestamp() > LEASE_SECONDS


class LeasedQueue(Queue):
    """A queue that gives up on workers after a lease wherever they were killed; jobs and results are JSON."""

    def __init__(self, name: str, connection: "Redis", **options: Any) -> None:
        super().__init__(name, connection=connection, **{**options, "serializer": JSONSerializer})

    @property
    def intermediate_queue(self) -> IntermediateQueue:
        """Return the jobs that were taken but not started."""
        return _Handover(self.key, connection=self.connection)


class LeasedWorker(Worker):
    """A worker that forks for each job, renews a short lease while it runs, and leaves no orphan behind."""

    def __init__(self, queues: list[str], *, connection: "Redis") -> None:
        super().__init__(
            [LeasedQueue(name, connection) for name in queues],
            connection=connection,
            queue_class=LeasedQueue,
            serializer=JSONSerializer,
            worker_ttl=WORKER_TTL_SECONDS,
            maintenance_interval=SWEEP_SECONDS,
            job_monitoring_interval=RENEWAL_SECONDS,
            log_job_description=False,
        )

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:  # noqa: ARG002 - RQ's signature
        """Return the length of the lease, where RQ would add a minute."""
        return LEASE_SECONDS

    def maintain_heartbeats(self, job: Job, execution: Execution) -> None:
        """Renew the lease; end a job beyond its time limit here, since a long call into C ignores the alarm."""
        super().maintain_heartbeats(job, execution)
        if job.started_at is not None and job.timeout:
            started = job.started_at.timestamp()
            elapsed = execution.last_heartbeat.timestamp() - started
            if elapsed > float(job.timeout) + KILL_AFTER_SECONDS:
                self.kill_horse()

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        """Execute a job in the forked process, which the kernel ends with its parent (Linux)."""
        if self.pid is not None and not ends_with_parent(self.pid, signal.SIGKILL):
            os._exit(1)
        super().main_work_horse(job, queue)


def work(url: str, *, burst: bool = False) -> NoReturn:
    """Execute jobs until told to stop; SIGTERM lets the current one finish.

    Ends the process; it does not return.

    Args:
        url: of the queue's server.
        burst: stop once the queue is empty.
    """
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, _leave)  # until RQ installs its own handlers, which finish the current job
    import workers.chunks  # noqa: F401, PLC0415 - loaded once, for all that is forked

    connection: Any = connect(url)
    worker = LeasedWorker([CPU_QUEUE], connection=connection)
    log.info("worker_started", name=worker.name, queues=[CPU_QUEUE])
    worker.work(burst=burst, logging_level="WARNING")
    log.info("worker_stopped", name=worker.name)
    _leave()


def _leave(*_: object) -> NoReturn:
    """End a process that has nothing under way, without taking the interpreter down around RQ's listening thread.

    That thread is a daemon, and may be starting or waiting in C: a process that was told to stop while it started was
    once seen to end by a segmentation fault instead of its exit code.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
