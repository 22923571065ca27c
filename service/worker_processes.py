"""Worker processes and who starts them again: beside ``foretell serve``, and under ``foretell worker``."""

import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

import structlog

from service.asgi import PARENT_PID
from workers.lifetime import AGAIN, UNUSABLE

log = structlog.get_logger("foretell.server")

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 30.0


class WorkerProcesses:
    """Workers from ``__enter__`` to ``__exit__``, each a process that is started again when it ends by itself.

    Args:
        redis_url: of the queue's server.
        count: how many; as many as there are cores use a machine, since each computes with one thread.
        device: that they compute on.
        burst: whether they end once the queue is empty.
        stop_seconds: that their jobs have to finish at the end, None for as long as they take; one that is cut short is
            done after the next start.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        count: int = 1,
        device: str = "cpu",
        burst: bool = False,
        stop_seconds: float | None = None,
    ) -> None:
        command = [sys.executable, "-m", "service", "worker", "--redis-url", redis_url, "--device", device]
        self._workers = [Supervised([*command, "--burst"] if burst else command, burst=burst) for _ in range(count)]
        self._stop_seconds = stop_seconds

    def __enter__(self) -> Self:
        """Start them; whether they come up shows in the log."""
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Tell all to finish their jobs and to end; kill those that take too long."""
        self.tell_to_stop()
        deadline = None if self._stop_seconds is None else time.monotonic() + self._stop_seconds
        for worker in self._workers:
            worker.join(deadline)

    def tell_to_stop(self) -> None:
        """Have all finish their jobs and end; does not wait for it."""
        for worker in self._workers:
            worker.tell_to_stop()

    def wait(self) -> int:
        """Wait until all have ended for good; returns an exit code."""
        for worker in self._workers:
            worker.join(None)
        return UNUSABLE if any(worker.unusable for worker in self._workers) else 0

    def kill(self) -> None:
        """End all at once."""
        for worker in self._workers:
            worker.kill()


class Supervised:
    """One worker process, and the thread that starts it again.

    Args:
        command: that starts it.
        burst: whether it may end by itself.
    """

    def __init__(self, command: list[str], *, burst: bool) -> None:
        self.unusable = False
        self._command = command
        self._burst = burst
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        # Between starting a process and deciding to stop, which a signal may do in the middle of either.
        self._guard = threading.RLock()
        # The kernel takes the end of the thread that starts a process for that of the parent, so it stays until then.
        self._supervisor = threading.Thread(target=self._supervise, name="worker-supervisor", daemon=True)

    @property
    def pid(self) -> int:
        """Process id of the one that was started last; 0 if none was."""
        return 0 if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it."""
        self._supervisor.start()

    def tell_to_stop(self) -> None:
        """Have it finish its job and end."""
        with self._guard:
            told, process = self._stopping.is_set(), self._process
            self._stopping.set()
        if not told and process is not None and process.poll() is None:  # told twice, it would give up its job
            process.send_signal(signal.SIGTERM)

    def join(self, deadline: float | None) -> None:
        """Wait until it has ended for good; kill it at a deadline by `time.monotonic`."""
        self._supervisor.join(None if deadline is None else max(deadline - time.monotonic(), 0.0))
        if self._supervisor.is_alive():
            self.kill()
            self._supervisor.join()

    def kill(self) -> None:
        """End it at once."""
        process = self._process
        if process is not None and process.poll() is None:
            log.warning("worker_killed", pid=process.pid, consequence="its job is done after the next start")
            process.kill()

    def _supervise(self) -> None:
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            started = time.monotonic()
            try:
                process = self._start()
            except OSError as error:
                log.warning("worker_start_failed", error=str(error), retry_seconds=backoff)
            else:
                if process is None:
                    return
                returncode = process.wait()
                if returncode == UNUSABLE:
                    self.unusable = True
                if self._stopping.is_set() or self.unusable or (self._burst and returncode == 0):
                    return
                if returncode == AGAIN:  # it ended a job that was cancelled in the only way it can
                    continue
                log.warning("worker_exited", pid=process.pid, returncode=returncode, retry_seconds=backoff)
            if time.monotonic() - started > LONGEST_BACKOFF_SECONDS:
                backoff = FIRST_BACKOFF_SECONDS
            if self._stopping.wait(backoff):
                return
            backoff = min(2.0 * backoff, LONGEST_BACKOFF_SECONDS)

    def _start(self) -> Any:
        """Start the process; None if it was decided to stop meanwhile."""
        with self._guard:
            if self._stopping.is_set():
                return None
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                env={**os.environ, PARENT_PID: str(os.getpid())},
                start_new_session=True,  # Ctrl-C is for us; we stop the workers in order
            )
            log.info("worker_starting", pid=self._process.pid)
            return self._process


def run_workers(redis_url: str, *, count: int, device: str, burst: bool) -> int:
    """Keep workers running until told to stop; returns the exit code.

    SIGTERM or SIGINT lets all finish their jobs; a second one ends them at once.
    """
    processes = WorkerProcesses(redis_url, count=count, device=device, burst=burst)

    def kill(_: int, __: FrameType | None) -> None:
        processes.kill()

    def leave(_: int, __: FrameType | None) -> None:
        # Raises nothing: a `Thread.join` that is interrupted so takes its thread for ended in Python before 3.13, and the
        # workers' jobs would be cut short.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, kill)
        processes.tell_to_stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    with processes:
        return processes.wait()
