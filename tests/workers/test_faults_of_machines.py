"""Faults of machines: a disk that is full, and clocks that jump, while jobs run and workers die."""

import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from tests.running import RunningService, wait_until
from tests.service.test_validations import submit
from tests.service.wire import assert_problem
from tests.workers.faults import (
    LONG,
    Server,
    assert_undisturbed,
    bodies,
    events,
    held,
    running_workers,
    signal_tree,
    submit_all,
)
from tests.workers.test_faults import count, running
from tests.workers.test_validations import children
from workers.queue import connect

__all__ = ["count"]  # a fixture
BYTES_A_JOB = 5_000
"""In the append-only file, or more."""


def test_a_full_disk(tmp_path: Path, count: int) -> None:
    requests = bodies(4 * count)
    accepted: list[str] = []
    with (
        Server(tmp_path / "server", file_limit=BYTES_A_JOB * count) as server,
        RunningService(tmp_path, "--redis-url", server.url) as service,
        running_workers(server.url, tmp_path) as worker,
    ):
        for request in requests:
            answer = submit(service, request)
            if answer.status_code != 202:
                break
            accepted.append(answer.json()["id"])
        assert accepted
        assert_problem(answer, 503, "unavailable")
        assert "full" in answer.json()["detail"]
        wait_until(lambda: events(tmp_path, "queue_unavailable"), what="a worker that notices")
        assert service.predict().status_code == 200
        assert server.process is not None
        limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limit)
        last = bodies(1, first=5000)

        def is_taken() -> bool:
            return submit(service, last[0]).status_code == 202

        wait_until(is_taken, what="room for another job")
        assert_undisturbed(service, server.url, accepted, requests[: len(accepted)])
        assert_undisturbed(service, server.url, submit_all(service, last), last)
        assert worker.poll() is None
        # What was accepted is on the disk, too.
        server.kill()
        server.start()
        assert_undisturbed(service, server.url, accepted, requests[: len(accepted)])


class Clocks:
    """Wall clocks of the processes that are started with this environment."""

    def __init__(self, folder: Path, compiler: str) -> None:
        library = folder / "clock_offset.so"
        source = Path(__file__).with_name("clock_offset.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True, timeout=60)
        self._file = folder / "offset"
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_OFFSET_FILE": str(self._file)}
        self.jump(0)

    def jump(self, seconds: int) -> None:
        """Have them so far ahead of the machine's from now on."""
        temporary = self._file.with_suffix(".new")
        temporary.write_text(str(seconds))
        temporary.replace(self._file)


@pytest.fixture
def clocks(tmp_path: Path) -> Iterator[Clocks]:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler, for a library that shifts the clocks of a process, and Linux to load it")
    return Clocks(tmp_path, compiler)


@pytest.mark.parametrize("seconds", [3600, -3600], ids=["forward", "back"])
def test_clocks_that_jump(tmp_path: Path, clocks: Clocks, count: int, seconds: int) -> None:
    requests = [LONG, *bodies(count)]
    # The service has the machine's clock, the others have one that jumps.
    with Server(tmp_path / "server", **clocks.environment) as server:
        with closing(connect(server.url, timeout=5.0)) as connection:
            clocks.jump(5000)
            assert int(connection.time()[0]) > time.time() + 4000
            clocks.jump(0)
        with RunningService(tmp_path, "--redis-url", server.url) as service:
            (tmp_path / "dying").mkdir()
            with running_workers(server.url, tmp_path, **clocks.environment) as living:
                wait_until(lambda: events(tmp_path, "worker_started"), what="the worker's start")
                with running_workers(server.url, tmp_path / "dying", **clocks.environment) as dying:
                    wait_until(lambda: events(tmp_path / "dying", "worker_started"), what="the other's start")
                    with held([*children(living.pid), *children(dying.pid)]):
                        ids = submit_all(service, requests)
                    running(service, ids[0])
                    clocks.jump(seconds)
                    signal_tree([*children(dying.pid), dying.pid], signal.SIGKILL)
                    dying.wait(timeout=10)
                assert_undisturbed(service, server.url, ids, requests)
                again = bodies(2, first=7000)
                clocks.jump(0)
                assert_undisturbed(service, server.url, submit_all(service, again), again)
                clocks.jump(seconds)
        assert events(tmp_path, "lease_was_lost") == []
        (stopped,) = events(tmp_path, "worker_stopped")
        assert abs(datetime.fromisoformat(stopped["timestamp"]).timestamp() - time.time() - seconds) < 600
