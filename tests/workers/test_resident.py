"""Workers that execute jobs in their own process, on the queue for GPUs, with the processor in a GPU's place."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import pytest
from rq.job import JobStatus

from service.data_folder import is_alive
from service.worker_processes import Supervised
from tests.running import RunningService, wait_until
from tests.service.test_validations import SMALL, read, submit, validation
from tests.service.wire import assert_problem
from tests.workers import faults
from tests.workers.faults import LONG, Server, signal_tree, submit_all
from workers.queue import CPU_QUEUE, GPU_QUEUE, LeasedQueue, connect, find, live_workers, reason_of

WORKER = """
import os, sys
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as the command line does
from workers.worker import work
work(sys.argv[1], queue=sys.argv[2], lease_seconds=4.0)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[RunningService]:
    with RunningService(tmp_path_factory.mktemp("service"), "--redis-url", server.url) as running:
        yield running


@pytest.fixture
def connection(server: Server) -> Iterator[Any]:
    with closing(connect(server.url, timeout=5.0)) as connected:
        connected.flushall()
        yield connected


@contextmanager
def running_worker(connection: Any, server: Server, queue: str = GPU_QUEUE) -> Iterator[Supervised]:
    worker = Supervised([sys.executable, "-c", WORKER, server.url, queue], burst=False)
    worker.start()
    try:
        wait_until(lambda: live_workers(connection, queue), what="the worker's start")
        yield worker
    finally:
        worker.tell_to_stop()
        worker.join(None)


def assert_undisturbed(service: RunningService, url: str, ids: Sequence[str], requests: Sequence[Any]) -> None:
    faults.assert_undisturbed(service, url, ids, requests, queue_name=GPU_QUEUE)


def gpu(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "backend": "cupy"}


def running(service: RunningService, job_id: str) -> None:
    wait_until(lambda: read(service, job_id)["status"] == "running", seconds=60, what="a running chunk")


class TestRouting:
    def test_a_gpu_is_refused_while_no_worker_has_one(self, service: RunningService, connection: Any) -> None:
        answer = submit(service, gpu(validation(SMALL)))
        problem = assert_problem(answer, 503, "unavailable")
        assert "foretell worker --device cuda:0" in problem["detail"]
        assert int(answer.headers["retry-after"]) > 0
        assert connection.keys("foretell:validation*") == []

    def test_each_backend_has_its_queue(self, service: RunningService, connection: Any, server: Server) -> None:
        def queue_of(backend: str, seed: int) -> str | None:
            job = find(connection, submit(service, validation(SMALL, backend=backend, seed=seed)).json()["id"])
            assert job is not None
            return job.origin

        assert queue_of("auto", 1) == CPU_QUEUE
        with running_worker(connection, server):
            requests = [validation(SMALL, backend=backend, seed=2) for backend in ("auto", "cupy")]
            assert_undisturbed(service, server.url, submit_all(service, requests), requests)
            assert queue_of("numpy", 3) == CPU_QUEUE
            assert queue_of("cupy", 4) == GPU_QUEUE
            assert queue_of("auto", 5) == GPU_QUEUE
            assert queue_of("auto", 1) == CPU_QUEUE  # the same job as before
            with running_worker(connection, server, CPU_QUEUE):
                wait_until(lambda: not LeasedQueue(CPU_QUEUE, connection).count, what="an empty queue")


class TestFaults:
    def test_a_cancelled_job_takes_the_process_with_it(
        self, service: RunningService, connection: Any, server: Server
    ) -> None:
        with running_worker(connection, server) as worker:
            (job_id,) = submit_all(service, [gpu(LONG)])
            running(service, job_id)
            pid = worker.pid
            with service.client() as client:
                assert client.delete(f"/v1/jobs/{job_id}").json()["status"] == "cancelled"
            wait_until(lambda: not is_alive(pid), what="the end of the process")
            requests = [gpu(validation(SMALL, seed=6))]
            assert_undisturbed(service, server.url, submit_all(service, requests), requests)
            # Asked for again, it goes on.
            assert_undisturbed(service, server.url, submit_all(service, [gpu(LONG)]), [LONG])

    def test_a_killed_one_loses_nothing_and_sigterm_lets_it_finish(
        self, service: RunningService, connection: Any, server: Server
    ) -> None:
        requests = [gpu(validation(LONG["request"], replicates=26, seed=7)), gpu(validation(SMALL, seed=8))]
        with running_worker(connection, server) as worker:
            ids = submit_all(service, requests)
            running(service, ids[0])
            signal_tree([worker.pid], signal.SIGKILL)
            assert_undisturbed(service, server.url, ids, requests)
            (last,) = submit_all(service, [gpu({**LONG, "seed": 9})])
            running(service, last)
        assert connection.zcard(LeasedQueue(GPU_QUEUE, connection).started_job_registry.key) == 0
        assert read(service, last)["progress"] > 0.0


def test_after_an_error_the_next_job_has_another_process(connection: Any, server: Server) -> None:
    with running_worker(connection, server) as worker:
        pid = worker.pid
        queue = LeasedQueue(GPU_QUEUE, connection)
        job = queue.enqueue_call("math.sqrt", args=(-1,), job_id="impossible")
        wait_until(lambda: job.get_status() == JobStatus.FAILED, what="the end of the job")
        assert "ValueError" in reason_of(job)
        wait_until(lambda: worker.pid != pid, what="another process")
        following = queue.enqueue_call("math.sqrt", args=(4,), job_id="possible")
        wait_until(lambda: following.get_status() == JobStatus.FINISHED, what="the end of the next job")


@pytest.mark.parametrize("queue", [CPU_QUEUE, GPU_QUEUE], ids=["forking", "resident"])
def test_a_job_that_ignores_its_time_limit_is_ended(connection: Any, server: Server, queue: str) -> None:
    with running_worker(connection, server, queue) as worker:
        job = LeasedQueue(queue, connection).enqueue_call(
            "tests.workers.stubborn.sleep_on", args=(600,), timeout=1, job_id="stubborn"
        )
        pid = worker.pid
        wait_until(lambda: job.get_status() == JobStatus.FAILED, seconds=60, what="the end of the job")
        assert "longer than the 1 s" in reason_of(job)
        if queue == GPU_QUEUE:
            wait_until(lambda: not is_alive(pid), what="the end of the process")
            wait_until(lambda: worker.pid != pid, what="another process")
        wait_until(lambda: live_workers(connection, queue), what="a worker for the next job")
