"""Starting the service as a user does, for tests, the demo's checks and benchmarks."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

EXAMPLE = {
    "model": {"features": {"kind": "linear"}, "learner": {"kind": "ridge", "penalty": 0.1}},
    "regime": {"kind": "regression", "n_samples": 800, "n_features": 400, "noise_variance": 0.25},
}


def wait_until(predicate: Callable[[], Any], *, seconds: float = 30.0, what: str = "the condition") -> Any:
    """Poll until the predicate holds and return its value; fail with a sentence otherwise."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = predicate()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come about within {seconds:g} s")


class RunningService:
    """``foretell serve`` in a process of its own, on a free port, with its log in a file.

    Args:
        folder: for its data and its log.
        arguments: of ``foretell serve`` beside the port and the data folder.
        environment: settings for it, without the prefix, as ``body_limit="4096"``.
    """

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.data_dir = folder / "data"
        self.log_file = folder / "service.log"
        self._arguments = arguments
        # Tests start the workers they need.
        given = {"embedded_worker": "off", **environment}
        self._environment = {f"FORETELL_{name.upper()}": value for name, value in given.items()}
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            if self.process is not None:  # it must not outlive a test that gave up on it
                self.process.kill()
                self.process.wait()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "service", "serve", "--port", str(self.port), "--data-dir", str(self.data_dir)]
        already = len(self.logged("serving"))
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self._arguments],
                env={**os.environ, "FORETELL_LOG_FORMAT": "json", **self._environment},
                stdout=log,
                stderr=log,
            )

        def serving() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the service ended with {self.process.returncode}:\n{self.log_file.read_text()}")
            return len(self.logged("serving")) > already

        wait_until(serving, what="the service's start")
        self.port = int(self.logged("serving")[-1]["url"].rsplit(":", 1)[1])
        wait_until(self._answers, what="an answer to /healthz")

    def stop(self, *, with_signal: signal.Signals = signal.SIGTERM, seconds: float = 30.0) -> int:
        """End it and return its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        return self.process.wait(timeout=seconds)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the log's lines of one kind."""
        if not self.log_file.exists():
            return []
        lines = []
        for line in self.log_file.read_text().split("\n"):
            if line.startswith("{"):
                record = json.loads(line)
                if record.get("event") == event:
                    lines.append(record)
        return lines

    def client(self, **options: Any) -> httpx.Client:
        """Return an HTTP client for it."""
        return httpx.Client(base_url=self.url, timeout=30.0, **options)

    def predict(self, request: Any = EXAMPLE, **options: Any) -> httpx.Response:
        """Post one prediction request."""
        return httpx.post(f"{self.url}/v1/predictions", json=request, timeout=30.0, **options)

    def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((name + " ", name + "{")))

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz").status_code == 200
        except httpx.TransportError:
            return False
