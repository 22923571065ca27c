"""Workers: processes that take jobs from a queue, hold leases on them, and outlive whatever their server does."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

import structlog
from redis.exceptions import RedisError
from rq import worker_registration
from rq.exceptions import DequeueTimeout, StopRequested
from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker import BaseWorker, WorkerStatus

from simulation.devices import DeviceUnavailable
from workers import leases
from workers.device import choose
from workers.leases import LEASE_SECONDS, RENEWALS, SWEEP_SECONDS
from workers.lifetime import UNUSABLE
from workers.queue import CPU_QUEUE, GPU_QUEUE, RESULT_TTL_SECONDS, LeasedQueue, connect

log = structlog.get_logger("foretell.worker")

WORKER_TTL_SECONDS = 20
"""After so long without a sign of life the service counts a worker no more."""
TICK_SECONDS = 0.5
KILL_AFTER_SECONDS = 2.0
"""Beyond its time limit, a job has so long to notice by itself."""
TIDY_SECONDS = 60.0
FIRST_BACKOFF_SECONDS = 0.1
LONGEST_BACKOFF_SECONDS = 2.0
Reconcile = Callable[[Any], object]


class Backoff:
    """Seconds to wait before the next attempt, more each time."""

    def __init__(self) -> None:
        self._next = FIRST_BACKOFF_SECONDS

    def seconds(self) -> float:
        """Return how long to wait now."""
        seconds = self._next
        self._next = min(2.0 * seconds, LONGEST_BACKOFF_SECONDS)
        return seconds


class LeasedJob(Job):
    """A job that is tried again after a while, however clocks jump."""

    def retry(self, queue: Queue, pipeline: Any) -> None:  # noqa: ARG002 - RQ's signature
        """Have it tried again, with one attempt less."""
        seconds = self.get_retry_interval()
        self.retries_left = (self.retries_left or 1) - 1
        leases.try_later(pipeline, self, seconds=seconds, retries_left=self.retries_left)


class LeasedWorker(BaseWorker):
    """The loop of a worker: takes jobs one after the other, looks after the queue, and waits out what its server does.

    How a job is executed is left to the subclasses. Beside RQ's own command `stop-execution` nothing is listened to.

    Args:
        queue: that it works on, by name.
        connection: to the server.
        lease_seconds: without a sign of life after which its job is another's; the same for all workers of a queue.
        reconcile: called with the connection every time it looks after the queue.
    """

    def __init__(
        self,
        queue: str,
        *,
        connection: Any,
        lease_seconds: float = LEASE_SECONDS,
        reconcile: Reconcile = lambda _: None,
    ) -> None:
        super().__init__(
            [LeasedQueue(queue, connection, job_class=LeasedJob)],
            connection=connection,
            queue_class=LeasedQueue,
            job_class=LeasedJob,
            serializer=JSONSerializer,
            worker_ttl=WORKER_TTL_SECONDS,
            log_job_description=False,
        )
        self._queue = self.queues[0]
        self._held = self._queue.started_job_registry
        self._sweeper = leases.Sweeper(self._queue, lease_seconds=lease_seconds)
        self.renewal_seconds = lease_seconds / RENEWALS
        self._sweep_seconds = min(SWEEP_SECONDS, lease_seconds / 7.5)
        self._reconcile = reconcile
        self._swept = self._tidied = -TIDY_SECONDS
        self._may_leave = False
        self.exit_code = 0

    @property
    def connection_timeout(self) -> int:
        """Seconds to wait for the server: longer than for a job, whose wait a server whose clock jumped may not end."""
        return int(SWEEP_SECONDS) + 5

    def run(self, *, burst: bool = False) -> None:
        """Execute jobs until told to stop, or until none is left."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.request_stop)
        backoff = Backoff()
        registered = False
        with suppress(StopRequested):
            while not self._stop_requested:
                try:
                    if not registered:
                        self.bootstrap("WARNING")
                        registered = True
                    self.heartbeat()
                    self.look_after_the_queue()
                    found = self._take(burst=burst)
                    if found is not None:
                        self.execute_job(*found)
                        backoff = Backoff()
                    elif burst and not self._waiting():
                        break
                except DequeueTimeout:
                    backoff = Backoff()
                except (RedisError, OSError) as error:
                    self._wait_out(error, backoff.seconds())
                except StopRequested:
                    raise
                except Exception as error:  # a defect must not take the worker away from the other jobs
                    log.exception("worker_failed")
                    self._wait_out(error, backoff.seconds())
        if self.exit_code == 0:
            with suppress(RedisError, OSError):
                self.teardown()  # type: ignore[no-untyped-call] # RQ's

    def _wait_out(self, error: Exception, seconds: float) -> None:
        self.executions.clear()
        log.warning("queue_unavailable", error=str(error), retry_seconds=seconds)
        with self._interruptible():
            time.sleep(seconds)

    def _take(self, *, burst: bool) -> Any:
        self.set_state(WorkerStatus.IDLE)
        seconds: Any = None if burst else self._sweep_seconds  # RQ says int, the server takes any
        with self._interruptible():
            return LeasedQueue.dequeue_any(
                self.queues,
                seconds,
                connection=self.connection,
                job_class=LeasedJob,
                serializer=JSONSerializer,
            )

    def _waiting(self) -> bool:
        """Whether something waits to be tried again; time passes before the next look."""
        if not self.connection.zcard(self._queue.scheduled_job_registry.key):
            return False
        with self._interruptible():
            time.sleep(TICK_SECONDS)
        return True

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Where a signal to stop need not wait: nothing is under way, or only what another worker puts back."""
        self._may_leave = True
        try:
            if self._stop_requested:
                raise StopRequested
            yield
        finally:
            self._may_leave = False

    def request_stop(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler
        """Finish the current job and stop; told a second time, give it up."""
        if self._stop_requested:
            self.give_up()
            _leave()
        self._stop_requested = True
        if self._may_leave:
            raise StopRequested

    def give_up(self) -> None:
        """End what is under way; another worker does it again."""

    def bootstrap(self, logging_level: Any = "WARNING", *_: Any) -> None:
        """Register, and listen to commands; again, if it failed half-way."""
        self.connection.delete(self.key)
        super().bootstrap(logging_level)

    def look_after_the_queue(self) -> None:
        """Put back what was abandoned, if it is time to look."""
        moment = time.monotonic()
        if moment - self._swept < self._sweep_seconds:
            return
        self._swept = moment
        self._sweeper.sweep()
        self._reconcile(self.connection)
        listening: threading.Thread | None = self.pubsub_thread
        if listening is not None and not listening.is_alive():
            self.subscribe()  # type: ignore[no-untyped-call] # RQ's
        if moment - self._tidied >= TIDY_SECONDS:
            self._tidied = moment
            worker_registration.clean_worker_registry(self._queue)
            self._queue.finished_job_registry.cleanup()
            self._queue.failed_job_registry.cleanup()

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:  # noqa: ARG002 - RQ's signature
        """Say that this worker lives; registered anew, in case that the server has lost or dropped it."""
        with self.connection.pipeline() as own:
            chosen = own if pipeline is None else pipeline
            super().heartbeat(WORKER_TTL_SECONDS, pipeline=chosen)
            worker_registration.register(self, chosen)
            if pipeline is None:
                own.execute()

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:  # noqa: ARG002 - RQ's signature
        """Return how long RQ keeps what it knows of an execution, which :func:`leases.lease` makes for ever."""
        return RESULT_TTL_SECONDS

    def prepare_execution(self, job: Job) -> Execution:
        """Take a lease on a job."""
        execution = super().prepare_execution(job)
        with self.connection.pipeline() as pipeline:
            leases.lease(execution, self._held, pipeline)
            pipeline.execute()
        return execution

    def begins(self, job: Job, queue: Queue, execution: Execution) -> bool:
        """Whether a job is to be executed; one that was delivered twice, or cancelled meanwhile, is not."""
        if leases.begin(self.connection, queue, job, execution):
            return True
        self.executions.pop(execution.id, None)
        log.info("job_dropped", job=job.id, reason="ended, cancelled or in other hands")
        return False

    def renewed(self, execution: Execution) -> leases.Verdict:
        """Renew the lease; while the server is away no one else can take it either."""
        try:
            self.heartbeat()
            return leases.renew(self.connection, execution, self._held)
        except (RedisError, OSError) as error:
            log.warning("lease_not_renewed", job=execution.job_id, error=str(error))
            return "held"

    def handle_execution_ended(self, job: Job, queue: Queue, heartbeat_ttl: int) -> None:  # noqa: ARG002 - RQ's signature
        """Note the end, without RQ's sign of life in the job's hash, which would come back if it was deleted."""
        job.ended_at = now()

    def handle_job_failure(
        self,
        job: Job,
        queue: Queue,
        started_job_registry: Any = None,
        exc_string: str = "",
        execution: Execution | None = None,
    ) -> None:
        """Have a job tried again or fail, unless its lease is lost: then that is another's to decide."""
        if execution is not None and not leases.is_held(self.connection, execution, self._held):
            self.executions.pop(execution.id, None)
            log.warning("lease_was_lost", job=job.id)
            return
        super().handle_job_failure(job, queue, started_job_registry, exc_string, execution)


def work(
    url: str,
    *,
    device: str = "cpu",
    queue: str | None = None,
    lease_seconds: float = LEASE_SECONDS,
    burst: bool = False,
) -> NoReturn:
    """Execute jobs until told to stop; SIGTERM lets the current one finish.

    Ends the process; it does not return.

    Args:
        url: of the queue's server.
        device: to compute on. With a GPU, jobs are executed in this process; without one, each in a process forked for it.
        queue: to work on; that of the device if None. One that is not the device's is worked on as the GPU's is.
        lease_seconds: without a sign of life after which a job is another worker's.
        burst: stop once the queue is empty.
    """
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, _leave)  # until there is a worker, which finishes its job
    # Loads all that a job needs, once for all that is forked.
    from workers import answered_jobs  # noqa: F401, PLC0415
    from workers.forking import ForkingWorker  # noqa: PLC0415
    from workers.reconciliation import Reconciler  # noqa: PLC0415
    from workers.resident import ResidentWorker  # noqa: PLC0415

    try:
        chosen = choose(device)
    except DeviceUnavailable as error:
        sys.stderr.write(
            f"foretell: {device} cannot be used here: {error}; without --device a worker computes on the processor\n"
        )
        sys.stderr.flush()
        os._exit(UNUSABLE)
    own_queue = CPU_QUEUE if device == "cpu" else GPU_QUEUE
    kind: type[LeasedWorker] = ForkingWorker if (queue or own_queue) == CPU_QUEUE else ResidentWorker
    connection = connect(url)
    backoff = Backoff()
    while True:
        try:
            worker = kind(
                queue or own_queue, connection=connection, lease_seconds=lease_seconds, reconcile=Reconciler()
            )
            break
        except (RedisError, OSError) as error:
            seconds = backoff.seconds()
            log.warning("queue_unavailable", error=str(error), retry_seconds=seconds)
            time.sleep(seconds)
    log.info("worker_started", name=worker.name, queues=worker.queue_names(), device=chosen.name)
    worker.run(burst=burst)
    log.info("worker_stopped", name=worker.name)
    _end(worker.exit_code)


def _leave(*_: object) -> NoReturn:
    _end(0)


def _end(exit_code: int) -> NoReturn:
    """End a process that has nothing under way, without taking the interpreter down around RQ's listening thread.

    That thread is a daemon, and may be starting or waiting in C: a process that was told to stop while it started was
    once seen to end by a segmentation fault instead of its exit code.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
