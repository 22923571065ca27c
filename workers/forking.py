"""A worker that executes each job in a process forked for it, which can be ended at any time."""

import os
import signal
import threading
import time
from contextlib import suppress

import structlog
from redis.exceptions import RedisError
from rq import Worker
from rq.exceptions import InvalidJobOperation
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.utils import now
from rq.worker import WorkerStatus

from simulation.devices import keep_freed_memory
from workers.lifetime import ends_with_parent
from workers.queue import TIME_LIMIT_SECONDS
from workers.worker import KILL_AFTER_SECONDS, TICK_SECONDS, LeasedWorker

log = structlog.get_logger("foretell.worker")


class ForkingWorker(LeasedWorker, Worker):
    """A worker that forks for each job: it can be stopped inside a call into C, and its memory comes back."""

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Execute a job in a process of its own, and watch over it."""
        self._stopped_job_id = None
        execution = self.prepare_execution(job)
        if self.begins(job, queue, execution):
            self.fork_work_horse(job, queue)
            self.monitor_work_horse(job, queue, execution)
        self.set_state(WorkerStatus.IDLE)

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        """Execute a job in the forked process, which the kernel ends with its parent (Linux)."""
        if self.pid is not None and not ends_with_parent(self.pid, signal.SIGKILL):
            os._exit(1)
        keep_freed_memory()
        super().main_work_horse(job, queue)

    def kill_horse(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """End the work horse; RQ would end this process's own group if there is none yet."""
        if self.horse_pid:
            with suppress(ProcessLookupError):
                os.kill(self.horse_pid, sig)

    give_up = kill_horse

    def monitor_work_horse(self, job: Job, queue: Queue, execution: Execution) -> None:
        """Renew the lease while the work horse runs, end it when it must, and settle what it leaves behind."""
        limit = float(job.timeout or TIME_LIMIT_SECONDS)
        waiting = _Waiting(self.horse_pid)
        started = renewed = time.monotonic()
        reason = ""
        lost = False
        while not waiting.ended(TICK_SECONDS):
            moment = time.monotonic()
            if self._stopped_job_id == job.id:  # said before there was a horse, or not heard by it
                self.kill_horse()
            elif moment - started > limit + KILL_AFTER_SECONDS and not reason:
                # Here, as a long call into C ignores the alarm.
                reason = f"took longer than the {limit:g} s that a job may"
                self.kill_horse()
            if moment - renewed >= self.renewal_seconds:
                renewed = moment
                verdict = self.renewed(execution)
                lost = verdict == "lost"
                if verdict == "stop":
                    self._stopped_job_id = job.id
                if verdict != "held":
                    self.kill_horse()
            try:
                self.look_after_the_queue()
            except (RedisError, OSError) as error:
                log.warning("queue_unavailable", error=str(error))
        self._horse_pid = 0
        self.executions.pop(execution.id, None)
        if lost:
            log.warning("lease_was_lost", job=job.id)
        elif waiting.status != os.EX_OK:
            self._settle(job, queue, execution, reason or f"its process ended with wait status {waiting.status}")

    def _settle(self, job: Job, queue: Queue, execution: Execution, reason: str) -> None:
        """Settle a job whose process did not do it itself; if the server does not take it now, the lease runs out."""
        stopped = self._stopped_job_id == job.id
        try:
            if stopped:
                self._handle_stopped_job(job, queue, execution)
            elif job.get_status() not in (JobStatus.FINISHED, JobStatus.FAILED):
                log.warning("work_horse_lost", job=job.id, reason=reason)
                job.ended_at = now()
                self.handle_job_failure(job, queue, exc_string=reason, execution=execution)
        except InvalidJobOperation:
            pass  # it had ended, and is not kept


class _Waiting:
    """Waits for a child process in a thread of its own, where neither clocks nor signals disturb it."""

    def __init__(self, pid: int) -> None:
        self.status: int | None = None
        self._pid = pid
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        with suppress(ChildProcessError):
            _, self.status = os.waitpid(self._pid, 0)

    def ended(self, seconds: float) -> bool:
        """Whether it ends within so many seconds."""
        self._thread.join(seconds)
        return not self._thread.is_alive()
