"""Validations under faults: real workers, killed in the middle of their work, on a real Valkey."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from api_schemas.validation import ValidationRequest
from service.data_folder import running_url
from tests.running import RunningService, wait_until
from tests.service.test_validations import LARGE, SMALL, in_process, queued, read, submit, validation
from tests.workers.test_worker import ended, running_worker, workers_started
from workers import chunks, validations
from workers.queue import CPU_QUEUE, GPU_QUEUE, RETRY_SECONDS, LeasedQueue, connect

SLOW = validation(LARGE, replicates=50)
"""Three chunks, two of the better part of a second."""


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    """What an undisturbed run in one process finds."""
    assert len(validations.chunks_of(ValidationRequest.model_validate(SLOW))) > 2
    return in_process(SLOW)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Any]:
    """A service without workers of its own, and its Valkey."""
    with RunningService(tmp_path) as service:
        url = running_url(service.data_dir)
        assert url is not None
        with closing(connect(url, timeout=5.0)) as connected:
            connected.service = service
            yield connected


def children(pid: int) -> list[int]:
    """The processes that any thread of a process has started."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:  # ended meanwhile
        return []


def horse_of(worker: subprocess.Popen[bytes]) -> int | None:
    """The process that a worker, which a supervisor has started, has forked for its job."""
    return next((horse for process in children(worker.pid) for horse in children(process)), None)


def computing(service: RunningService, job_id: str, worker: subprocess.Popen[bytes]) -> int:
    """Wait until a worker is in the middle of a chunk, and return the process that runs it."""
    wait_until(lambda: read(service, job_id)["status"] == "running", seconds=60, what="a running chunk")
    horse: int = wait_until(lambda: horse_of(worker), what="a work horse")
    return horse


def finished(service: RunningService, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = wait_until(lambda: ended(service, f"/v1/jobs/{job_id}"), seconds=120, what="the job's end")
    return job


def test_a_killed_work_horse_costs_its_chunk_alone(connection: Any, expected: dict[str, Any]) -> None:
    service: RunningService = connection.service
    with running_worker(service) as worker:
        job_id = submit(service, SLOW).json()["id"]
        os.kill(computing(service, job_id, worker), signal.SIGKILL)
        assert finished(service, job_id)["result"] == expected


def test_a_killed_worker_tree_is_replaced_and_two_share_the_work(connection: Any, expected: dict[str, Any]) -> None:
    service: RunningService = connection.service
    with running_worker(service) as first:
        job_id = submit(service, SLOW).json()["id"]
        horse = computing(service, job_id, first)
        first.kill()
        first.wait(timeout=10)
        # The kernel ends the horse with its parent.
        wait_until(lambda: not Path(f"/proc/{horse}").exists(), what="the end of the work horse")
    with running_worker(service), running_worker(service):
        assert finished(service, job_id)["result"] == expected
    assert queued(service) == 0


def test_a_chunk_counts_once_and_a_crash_before_the_conclusion_is_made_good(connection: Any) -> None:
    service: RunningService = connection.service
    body = validation(SMALL, replicates=2500, seed=3)
    request = ValidationRequest.model_validate(body)
    key = validations.key_of(request)
    plan = validations.chunks_of(request)
    assert len(plan) > 1
    # As if workers had recorded all chunks, each twice, and died before anyone concluded.
    connection.hset(chunks.record_key(key), "queue", CPU_QUEUE)
    for index, chunk in enumerate(plan):
        place = (chunks.RECORD_CHUNK, 2, chunks.record_key(key), chunks.results_key(key), index)
        values = validations.dumped(validations.run_chunk(request, chunk))
        result = json.dumps({"backend": "numpy", "device": "cpu", "values": values})
        assert connection.eval(*place, result, GPU_QUEUE) == 0
        assert connection.eval(*place, result, CPU_QUEUE) == 1
        assert connection.eval(*place, "{}", CPU_QUEUE) == 0
    job_id = submit(service, body).json()["id"]
    with running_worker(service, "--burst") as worker:
        assert worker.wait(timeout=60) == 0
    assert read(service, job_id)["result"] == in_process(body)


def test_a_chunk_that_fails_for_good_fails_the_job_and_says_why(connection: Any) -> None:
    service: RunningService = connection.service
    body = validation(SMALL, replicates=2500, seed=4)
    job_id = submit(service, body).json()["id"]
    key = job_id.removeprefix(chunks.ID_PREFIX)
    connection.hset(chunks.results_key(key), 1, "no JSON")
    waiting = LeasedQueue(CPU_QUEUE, connection).scheduled_job_registry.key

    def ended_after_all_attempts() -> bool:
        # As if the time between attempts had passed.
        for name, seconds in connection.zrange(waiting, 0, -1, withscores=True):
            assert seconds in (0, *RETRY_SECONDS)
            connection.zadd(waiting, {name: 0}, xx=True)
        return worker.poll() is not None

    with running_worker(service, "--burst") as worker:
        wait_until(ended_after_all_attempts, seconds=60, what="the last attempt")
        assert worker.wait() == 0
    job = read(service, job_id)
    assert job["status"] == "failed"
    assert job["result"] is None
    assert job["problem"]["code"] == "internal_error"
    assert "JSONDecodeError" in job["problem"]["detail"]
    assert workers_started(service) == 1


def test_nothing_of_a_validation_outlives_its_record(connection: Any) -> None:
    service: RunningService = connection.service
    job_id = submit(service, validation(SMALL, replicates=2500, seed=5)).json()["id"]
    key = job_id.removeprefix(chunks.ID_PREFIX)
    with running_worker(service, "--burst") as worker:
        assert worker.wait(timeout=60) == 0
    assert read(service, job_id)["status"] == "succeeded"
    assert not connection.exists(chunks.results_key(key))
    left = list(connection.scan_iter(f"*{key}*"))
    assert left
    assert all(0 < connection.ttl(name) <= 24 * 3600 for name in left), left
