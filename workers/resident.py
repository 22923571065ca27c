"""A worker that executes jobs in its own process, as a GPU wants it: CUDA does not survive a fork, and starts in seconds."""

import os
import signal
import sys
import threading
import time
from typing import Any

import structlog
from redis.exceptions import RedisError
from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue
from rq.worker import SimpleWorker, WorkerStatus

from workers.lifetime import AGAIN
from workers.queue import TIME_LIMIT_SECONDS
from workers.worker import KILL_AFTER_SECONDS, TICK_SECONDS, LeasedWorker

log = structlog.get_logger("foretell.worker")


class ResidentWorker(LeasedWorker, SimpleWorker):
    """Executes one job after the other in its main thread, while another thread holds the lease.

    A job that is cancelled, or takes too long, ends with the whole process, which its supervisor starts anew: that is the only
    way to be rid of a call that does not come back.
    """

    def __init__(self, queue: str, **options: Any) -> None:
        super().__init__(queue, **options)
        self._settling = threading.RLock()
        self._ended = threading.Event()
        self._current: tuple[Job, Queue, Execution] | None = None

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Execute a job here; a thread watches over it."""
        self._stopped_job_id = None
        execution = self.prepare_execution(job)
        if self.begins(job, queue, execution):
            self._ended.clear()
            self._current = (job, queue, execution)
            keeper = threading.Thread(target=self._keep, args=(job, execution), name="lease-keeper", daemon=True)
            keeper.start()
            try:
                self.perform_job(job, queue, execution)
            finally:
                self._current = None
                self._ended.set()
                keeper.join()
        self.set_state(WorkerStatus.IDLE)

    def _keep(self, job: Job, execution: Execution) -> None:
        """Renew the lease, and end the process when its job must end."""
        limit = float(job.timeout or TIME_LIMIT_SECONDS)
        started = renewed = time.monotonic()
        while not self._ended.wait(TICK_SECONDS):
            moment = time.monotonic()
            if moment - started > limit + KILL_AFTER_SECONDS:
                self._end(execution, f"took longer than the {limit:g} s that a job may")
            if moment - renewed >= self.renewal_seconds:
                renewed = moment
                verdict = self.renewed(execution)
                if verdict == "stop":
                    self._stopped_job_id = job.id
                if verdict != "held":
                    self._end(execution, "its lease was lost")
            try:
                self.look_after_the_queue()
            except (RedisError, OSError) as error:
                log.warning("queue_unavailable", error=str(error))

    def kill_horse(self, sig: signal.Signals = signal.SIGKILL) -> None:  # noqa: ARG002 - RQ's signature
        """End the job that was stopped, and the process with it; called in the thread that listens."""
        current = self._current
        if current is not None:
            self._end(current[2], "stopped")

    def give_up(self) -> None:
        """Leave the job to another worker, which puts it back once the lease has run out."""

    def _finalize_success(self, *arguments: Any, **options: Any) -> None:
        with self._settling:
            super()._finalize_success(*arguments, **options)
            self._current = None

    def _finalize_failure(self, *arguments: Any, **options: Any) -> None:
        with self._settling:
            super()._finalize_failure(*arguments, **options)
            self._current = None
        # An error may have left the device's context in a state in which everything fails: the next job gets a new one.
        self.exit_code = AGAIN
        self._stop_requested = True

    def _end(self, execution: Execution, reason: str) -> None:
        """Settle a job that has not ended by itself, and end the process."""
        with self._settling:
            current = self._current
            if current is None or current[2] is not execution:
                return
            job, queue, _ = current
            log.warning("worker_ends_with_its_job", job=job.id, reason=reason)
            # It stays registered until that runs out: meanwhile its successor is there, and new jobs are not refused.
            try:
                self.handle_job_failure(job, queue, exc_string=reason, execution=execution)
            except (RedisError, OSError) as error:  # then the lease runs out
                log.warning("queue_unavailable", error=str(error))
            sys.stderr.flush()
            os._exit(AGAIN)
