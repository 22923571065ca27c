"""The worker that ``foretell serve`` keeps beside itself, so that jobs are done on one machine without more ado."""

import os
import signal
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Any, Self

import structlog

from service.asgi import PARENT_PID

log = structlog.get_logger("foretell.server")

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 30.0


class EmbeddedWorker:
    """A ``foretell worker`` from ``__enter__`` to ``__exit__``, started again when it ends by itself.

    Args:
        redis_url: of the queue's server.
        stop_seconds: that its job has to finish at the end; one that is cut short is done after the next start.
    """

    def __init__(self, redis_url: str, *, stop_seconds: float) -> None:
        self._command = [sys.executable, "-m", "service", "worker", "--redis-url", redis_url]
        self._stop_seconds = stop_seconds
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._guard = threading.Lock()  # between starting a process and deciding to stop
        # The kernel takes the end of the thread that starts a process for that of the parent, so it stays until then.
        self._supervisor = threading.Thread(target=self._supervise, name="worker-supervisor", daemon=True)

    def __enter__(self) -> Self:
        """Start it; whether it comes up shows in the log."""
        self._supervisor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Tell it to finish its job and to end; kill it if that takes too long."""
        with self._guard:
            self._stopping.set()
            process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            self._supervisor.join(self._stop_seconds)
            if self._supervisor.is_alive():
                log.warning("worker_killed", pid=process.pid, consequence="its job is done after the next start")
                process.kill()
        self._supervisor.join()

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
                if self._stopping.is_set():
                    return
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
                start_new_session=True,  # Ctrl-C is for us; we stop the worker in order
            )
            log.info("worker_starting", pid=self._process.pid)
            return self._process
