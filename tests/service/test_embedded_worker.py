"""The worker beside an embedded service: there from the start, again after a crash, gone at the end."""

import os
import signal
from pathlib import Path

import pytest

from service.data_folder import is_alive
from tests.running import RunningService, wait_until
from tests.service.test_validations import SMALL, submit, validation


def workers(service: RunningService) -> list[int]:
    return [int(record["pid"]) for record in service.logged("worker_starting")]


def test_it_does_the_jobs_survives_a_crash_and_ends_with_the_service(tmp_path: Path) -> None:
    with RunningService(tmp_path, embedded_worker="on") as service:
        first = submit(service, validation(SMALL), Prefer="wait=30")
        assert (first.status_code, first.json()["status"]) == (200, "succeeded")
        os.kill(workers(service)[0], signal.SIGKILL)
        wait_until(lambda: len(workers(service)) == 2, what="another worker")
        second = submit(service, validation(SMALL, seed=1), Prefer="wait=30")
        assert second.json()["status"] == "succeeded"
        assert service.stop() == 0
        assert not any(is_alive(pid) for pid in workers(service))
        assert service.logged("worker_killed") == []
        assert len(service.logged("worker_stopped")) == 1


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_service_told_to_stop_while_its_worker_starts_ends_in_order(tmp_path: Path, stop: signal.Signals) -> None:
    with RunningService(tmp_path, embedded_worker="on") as service:
        assert service.stop(with_signal=stop) in (0, -stop)
        assert not any(is_alive(pid) for pid in workers(service))


def test_it_does_not_outlive_a_killed_service(tmp_path: Path) -> None:
    with RunningService(tmp_path, embedded_worker="on") as service:
        wait_until(lambda: service.logged("worker_started"), what="the worker's start")
        (pid,) = workers(service)
        service.stop(with_signal=signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), what="the worker's end", seconds=60)


def test_there_is_none_beside_a_server_of_ones_own(tmp_path: Path) -> None:
    with RunningService(tmp_path, "--redis-url", "redis://127.0.0.1:1/0", embedded_worker="on") as service:
        assert workers(service) == []
