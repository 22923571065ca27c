"""Predictions answered later: a real worker process on the service's own Valkey."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import pytest
import redis

from service.data_folder import running_url
from tests.running import EXAMPLE, RunningService, wait_until
from workers.queue import CPU_QUEUE, LeasedQueue

LATER = {"Prefer": "respond-async"}


def unseen(penalty: float) -> dict[str, Any]:
    return {**EXAMPLE, "model": {"learner": {"kind": "ridge", "penalty": penalty}}}


@contextmanager
def running_worker(service: RunningService, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "service", "worker", "--data-dir", str(service.data_dir), *arguments]
    with (service.folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "FORETELL_LOG_FORMAT": "json"})
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(timeout=60)


def ended(service: RunningService, location: str) -> dict[str, Any] | None:
    with service.client() as client:
        job: dict[str, Any] = client.get(location).json()
    return job if job["status"] not in ("queued", "running") else None


def workers_started(service: RunningService) -> int:
    log = service.folder / "worker.log"
    return log.read_bytes().count(b"worker_started") if log.exists() else 0


def test_a_queued_prediction_has_the_answer_of_an_immediate_one(service: RunningService) -> None:
    accepted = service.predict(unseen(0.2), headers=LATER)
    assert accepted.status_code == 202
    assert accepted.headers["retry-after"] == "1"
    assert accepted.headers["preference-applied"] == "respond-async"
    job = accepted.json()
    assert job["status"] == "queued"
    assert (job["result"], job["problem"], job["progress"]) == (None, None, 0.0)
    location = accepted.headers["location"]
    assert location == f"/v1/jobs/{job['id']}"
    with running_worker(service):
        done = wait_until(lambda: ended(service, location), seconds=60)
    assert done["status"] == "succeeded"
    assert done["progress"] == 1.0
    assert done["result"] == service.predict(unseen(0.2)).json()


def test_the_same_work_is_the_same_job(service: RunningService) -> None:
    first = service.predict(unseen(0.3), headers=LATER).json()
    assert service.predict(unseen(0.3), headers=LATER).json()["id"] == first["id"]
    assert service.predict(unseen(0.31), headers=LATER).json()["id"] != first["id"]


def test_what_cannot_be_answered_is_refused_at_once(service: RunningService) -> None:
    request = {**EXAMPLE, "regime": {**EXAMPLE["regime"], "covariance": {"kind": "explicit", "eigenvalues": [1.0]}}}
    refusal = service.predict(request, headers=LATER)
    assert refusal.status_code == 422
    assert refusal.json()["errors"][0]["pointer"] == "/regime/covariance/eigenvalues"


def test_an_unknown_job_is_not_found(service: RunningService) -> None:
    with service.client() as client:
        answer = client.get("/v1/jobs/prediction-none")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


def test_jobs_outlive_the_service_and_need_no_worker_to_be_accepted(tmp_path: Any) -> None:
    with RunningService(tmp_path) as service:
        location = service.predict(unseen(0.4), headers=LATER).headers["location"]
        service.stop()
        service.start()
        with running_worker(service, "--burst") as worker:
            assert worker.wait(timeout=60) == 0
        done = wait_until(lambda: ended(service, location), seconds=10)
        assert done["status"] == "succeeded"


def test_a_killed_worker_loses_no_job(tmp_path: Any) -> None:
    with RunningService(tmp_path) as service:
        with running_worker(service) as first:
            wait_until(lambda: workers_started(service), what="the worker's start")
            locations = [service.predict(unseen(1 + i / 100), headers=LATER).headers["location"] for i in range(20)]
            wait_until(lambda: ended(service, locations[0]), seconds=60)
            first.send_signal(signal.SIGKILL)
            first.wait(timeout=10)
        with running_worker(service):
            for location in locations:
                assert wait_until(lambda at=location: ended(service, at), seconds=60)["status"] == "succeeded"


def test_sigterm_ends_an_idle_worker(service: RunningService) -> None:
    before = workers_started(service)
    with running_worker(service) as worker:
        wait_until(lambda: workers_started(service) > before, what="the worker's start")
        worker.terminate()
        assert worker.wait(timeout=30) == 0


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_told_to_stop_while_it_starts_ends_in_order(service: RunningService, stop: signal.Signals) -> None:
    for _ in range(3):
        before = workers_started(service)
        with running_worker(service) as worker:
            # The line is logged just before RQ starts its listening thread and installs its own handlers.
            while workers_started(service) == before:
                assert worker.poll() is None
            worker.send_signal(stop)
            assert worker.wait(timeout=30) == 0


def test_without_a_queue_a_worker_says_what_to_do(tmp_path: Any) -> None:
    command = [sys.executable, "-m", "service", "worker", "--data-dir", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert result.returncode == 3
    assert b"--redis-url" in result.stderr


@pytest.mark.parametrize("device", ["gpu", "cuda:x"])
def test_a_device_that_is_none_is_refused(tmp_path: Any, device: str) -> None:
    command = [sys.executable, "-m", "service", "worker", "--redis-url", "redis://127.0.0.1:1/0", "--device", device]
    result = subprocess.run(command, capture_output=True, timeout=60, check=False, cwd=tmp_path)
    assert result.returncode == 2
    assert b"cuda:0" in result.stderr


@pytest.mark.skipif(find_spec("cupy") is not None, reason="CuPy is there")
def test_without_cupy_a_worker_for_a_gpu_says_what_to_do(service: RunningService) -> None:
    command = [sys.executable, "-m", "service", "worker", "--data-dir", str(service.data_dir), "--device", "cuda:0"]
    result = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert result.returncode == 3
    assert b"pip install 'foretell[cuda13]'" in result.stderr


def test_without_redis_jobs_are_refused_and_predictions_are_not(tmp_path: Any) -> None:
    with RunningService(tmp_path, "--redis-url", "redis://127.0.0.1:1/0") as service:
        refusal = service.predict(headers=LATER)
        assert refusal.status_code == 503
        assert refusal.json()["code"] == "unavailable"
        assert refusal.headers["retry-after"] == "1"
        assert service.predict().status_code == 200


@pytest.mark.parametrize("header", ["respond-async, wait=5", "RESPOND-ASYNC", 'handling=lenient, respond-async; x="y"'])
def test_the_preference_is_read_as_rfc_7240_writes_it(service: RunningService, header: str) -> None:
    assert service.predict(unseen(0.5), headers={"Prefer": header}).status_code == 202


def test_other_preferences_change_nothing(service: RunningService) -> None:
    assert service.predict(headers={"Prefer": "return=minimal"}).status_code == 200


def test_a_job_whose_worker_died_between_taking_and_starting_it_is_done(tmp_path: Any) -> None:
    with RunningService(tmp_path) as service:
        location = service.predict(unseen(0.6), headers=LATER).headers["location"]
        url = running_url(service.data_dir)
        assert url is not None
        with redis.Redis.from_url(url) as connection:
            queue = LeasedQueue(CPU_QUEUE, connection)
            taken = connection.lmove(queue.key, queue.intermediate_queue_key, "LEFT", "RIGHT")
            assert taken.decode() in location
        with running_worker(service):
            assert wait_until(lambda: ended(service, location), seconds=90)["status"] == "succeeded"


def test_an_answer_that_a_worker_found_is_cached_once_it_was_read(service: RunningService) -> None:
    location = service.predict(unseen(0.7), headers=LATER).headers["location"]
    with running_worker(service):
        done = wait_until(lambda: ended(service, location), seconds=60)
    again = service.predict(unseen(0.7))
    assert again.headers["cache-status"] == "foretell; hit; detail=memory"
    assert again.json() == done["result"]
