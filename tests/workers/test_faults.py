"""Faults of processes: whatever is killed or stopped, no job is lost, none counts twice, and the numbers stay the same."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from service.data_folder import is_alive, running_url
from tests.running import RunningService, wait_until
from tests.service.test_validations import read, submit
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
    statuses,
    submit_all,
)
from tests.workers.test_validations import children, horse_of
from workers.queue import CPU_QUEUE, LeasedQueue, connect


@pytest.fixture(params=[8, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def count(request: pytest.FixtureRequest) -> int:
    """Jobs of a test beside the long one."""
    number: int = request.param
    return number


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, RunningService]]:
    folder = tmp_path_factory.mktemp("house")
    with Server(folder / "server") as server, RunningService(folder, "--redis-url", server.url) as service:
        yield server, service


@pytest.fixture
def server(started: tuple[Server, RunningService]) -> Server:
    """A server with nothing on it."""
    with closing(connect(started[0].url, timeout=5.0)) as connection:
        connection.flushall()
    return started[0]


@pytest.fixture
def service(started: tuple[Server, RunningService]) -> RunningService:
    """A service on that server, without workers."""
    return started[1]


def running(service: RunningService, job_id: str) -> None:
    """Wait until chunks of a job are executed."""
    wait_until(lambda: read(service, job_id)["status"] == "running", seconds=150, what="a running chunk")


def sleeps(pid: int) -> bool:
    """Whether a process waits for something, instead of computing."""
    return "State:\tS" in Path(f"/proc/{pid}/status").read_text()


class TestWorkers:
    def test_work_horses_killed(self, server: Server, service: RunningService, tmp_path: Path, count: int) -> None:
        requests = [LONG, *bodies(count)]
        ids = submit_all(service, requests)
        with running_workers(server.url, tmp_path) as worker:
            running(service, ids[0])
            for _ in range(3):
                horse: int = wait_until(lambda: horse_of(worker), what="a work horse")
                signal_tree([horse], signal.SIGKILL)
                wait_until(lambda pid=horse: not is_alive(pid), what="its end")
            assert_undisturbed(service, server.url, ids, requests)
        assert events(tmp_path, "work_horse_lost")

    def test_a_whole_tree_killed(self, server: Server, service: RunningService, tmp_path: Path, count: int) -> None:
        requests = [LONG, *bodies(count)]
        ids = submit_all(service, requests)
        with running_workers(server.url, tmp_path, "--concurrency", "2") as first:
            running(service, ids[0])
            workers = children(first.pid)
            assert len(workers) == 2
            horses = [horse for pid in workers for horse in children(pid)]
            first.kill()
            first.wait(timeout=10)
            wait_until(lambda: not any(is_alive(pid) for pid in workers + horses), what="the end of the whole tree")
            assert "running" in statuses(service, ids)
        with running_workers(server.url, tmp_path):
            assert_undisturbed(service, server.url, ids, requests)
        assert events(tmp_path, "job_redelivered")

    def test_a_worker_killed_is_replaced(
        self, server: Server, service: RunningService, tmp_path: Path, count: int
    ) -> None:
        requests = [LONG, *bodies(count)]
        ids = submit_all(service, requests)
        with running_workers(server.url, tmp_path, "--concurrency", "2") as workers:
            running(service, ids[0])
            before = children(workers.pid)
            signal_tree([before[0]], signal.SIGKILL)
            wait_until(lambda: len(set(children(workers.pid)) - set(before)) == 1, what="another worker")
            assert_undisturbed(service, server.url, ids, requests)

    def test_a_slow_one_loses_its_job_and_does_no_harm(
        self, server: Server, service: RunningService, tmp_path: Path, count: int
    ) -> None:
        requests = [LONG, *bodies(count)]
        (tmp_path / "slow").mkdir()
        ids = submit_all(service, requests)
        with running_workers(server.url, tmp_path / "slow") as slow:
            running(service, ids[0])
            (process,) = children(slow.pid)
            frozen = [process, wait_until(lambda: horse_of(slow), what="a work horse")]
            signal_tree(frozen, signal.SIGSTOP)
            try:
                with running_workers(server.url, tmp_path):
                    wait_until(lambda: events(tmp_path, "job_redelivered"), seconds=60, what="the redelivery")
                    signal_tree(frozen, signal.SIGCONT)
                    assert_undisturbed(service, server.url, ids, requests)
            finally:
                signal_tree(frozen, signal.SIGCONT)

    def test_a_job_delivered_twice_counts_once(
        self, server: Server, service: RunningService, tmp_path: Path, count: int
    ) -> None:
        requests = [LONG, *bodies(count)]
        ids = submit_all(service, requests)
        with closing(connect(server.url, timeout=5.0)) as connection:
            queue = LeasedQueue(CPU_QUEUE, connection)
            connection.rpush(queue.key, *ids)
            with running_workers(server.url, tmp_path, "--concurrency", "2"):
                running(service, ids[0])
                # The chunks of the long job, again and again, while they run and when they are done.
                for _ in range(4):
                    connection.lpush(queue.key, *(f"{ids[0]}-{index}" for index in range(2)))
                assert_undisturbed(service, server.url, ids, requests)

    @pytest.mark.parametrize("concurrency", [1, 2])
    def test_sigterm_drains(self, server: Server, service: RunningService, tmp_path: Path, concurrency: int) -> None:
        requests = [{**LONG, "replicates": 100}, *bodies(2)]
        with running_workers(server.url, tmp_path, "--concurrency", str(concurrency)) as workers:
            wait_until(lambda: len(events(tmp_path, "worker_started")) == concurrency, what="the start of all")
            ids = submit_all(service, requests)
            # One of its five chunks is done, and another under way.
            wait_until(lambda: 0.0 < read(service, ids[0])["progress"] < 1.0, seconds=60, what="a chunk's end")
            workers.terminate()
            assert workers.wait(timeout=120) == 0
        assert len(events(tmp_path, "worker_stopped")) == concurrency
        with closing(connect(server.url, timeout=5.0)) as connection:
            assert connection.zcard(LeasedQueue(CPU_QUEUE, connection).started_job_registry.key) == 0
        with running_workers(server.url, tmp_path):
            assert_undisturbed(service, server.url, ids, requests)


class TestService:
    def test_killed_beside_a_server_of_ones_own(
        self, server: Server, service: RunningService, tmp_path: Path, count: int
    ) -> None:
        requests = [LONG, *bodies(count)]
        ids = submit_all(service, requests)
        with running_workers(server.url, tmp_path):
            running(service, ids[0])
            service.stop(with_signal=signal.SIGKILL)
            service.start()
            assert_undisturbed(service, server.url, ids, requests)

    def test_killed_with_its_server_and_its_worker(self, tmp_path: Path, count: int) -> None:
        requests = [LONG, *bodies(count)]
        with RunningService(tmp_path, embedded_worker="on", worker_lease="4") as service:
            wait_until(lambda: service.logged("worker_started"), what="the worker's start")
            with held([service.logged("worker_starting")[-1]["pid"]]):
                ids = submit_all(service, requests)
            running(service, ids[0])
            service.stop(with_signal=signal.SIGKILL)
            service.start()
            url = running_url(service.data_dir)
            assert url is not None
            assert_undisturbed(service, url, ids, requests)


class TestServer:
    def test_the_embedded_one_killed(self, tmp_path: Path, count: int) -> None:
        requests = [LONG, *bodies(count)]
        with RunningService(tmp_path, embedded_worker="on", worker_lease="4") as service:
            wait_until(lambda: service.logged("worker_started"), what="the worker's start")
            with held([service.logged("worker_starting")[-1]["pid"]]):
                ids = submit_all(service, requests)
            running(service, ids[0])
            url = running_url(service.data_dir)
            assert url is not None
            with closing(connect(url, timeout=5.0)) as connection:
                pid = int(connection.info("server")["process_id"])
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: service.logged("valkey_restarted"), what="the server's restart")
            assert_undisturbed(service, url, ids, requests)

    def test_another_killed_and_away_for_a_while(
        self, server: Server, service: RunningService, tmp_path: Path, count: int
    ) -> None:
        requests = [LONG, *bodies(count)]
        ids = submit_all(service, requests)
        with running_workers(server.url, tmp_path) as worker:
            running(service, ids[0])
            horse: int = wait_until(lambda: horse_of(worker), what="a work horse")
            server.kill()
            assert_problem(submit(service, bodies(1, first=500)[0]), 503, "unavailable")
            # Away for longer than a chunk takes: what was computed meanwhile waits to be recorded.
            wait_until(lambda: not is_alive(horse) or sleeps(horse), what="the end of the computation")
            server.start()
            assert_undisturbed(service, server.url, ids, requests)
            assert worker.poll() is None


def test_what_is_cancelled_stops_at_once(server: Server, service: RunningService, tmp_path: Path) -> None:
    with running_workers(server.url, tmp_path) as worker:
        (job_id,) = submit_all(service, [LONG])
        running(service, job_id)
        horse: Any = wait_until(lambda: horse_of(worker), what="a work horse")
        with service.client() as client:
            assert client.delete(f"/v1/jobs/{job_id}").json()["status"] == "cancelled"
        wait_until(lambda: not is_alive(horse), what="the end of the work horse")
        requests = bodies(1)
        assert_undisturbed(service, server.url, submit_all(service, requests), requests)
