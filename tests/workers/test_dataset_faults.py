"""Faults while a data set is read in: workers killed, jobs cancelled, a data set deleted under its reader."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.data_folder import is_alive
from tests.running import RunningService, wait_until
from tests.service.wire import assert_problem
from tests.workers.faults import Server, running_workers
from tests.workers.files import npy_of
from tests.workers.test_validations import horse_of
from workers.data_store import DataStore

ROWS, COLUMNS = 6000, 200
"""Some seconds of work: long enough to be in the middle of it."""


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, RunningService]]:
    folder = tmp_path_factory.mktemp("house")
    with Server(folder / "server") as server, RunningService(folder, "--redis-url", server.url) as service:
        yield server, service


def upload(service: RunningService, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((ROWS, COLUMNS)) * np.linspace(1.0, 3.0, COLUMNS)
    file = npy_of(np.column_stack([rows, rows[:, 0] + rng.standard_normal(ROWS)]))
    form = {"task": "regression", "target": "-1", "standardize": "scale"}
    answer = httpx.post(f"{service.url}/v1/datasets", data=form, files={"file": ("pool.npy", file)}, timeout=60.0)
    assert answer.status_code == 202, answer.text
    return answer.json()


def read(service: RunningService, path: str) -> Any:
    return httpx.get(service.url + path).json()


def running(service: RunningService, job: Any) -> None:
    wait_until(lambda: read(service, f"/v1/jobs/{job['id']}")["status"] == "running", what="the job's start")


def store_of(service: RunningService) -> DataStore:
    return DataStore(service.data_dir / "datasets")


def left_of(service: RunningService, dataset_id: str) -> list[Path]:
    folder = service.data_dir / "datasets"
    return [path for path in folder.rglob("*") if dataset_id in str(path)]


def test_killed_again_and_again_it_is_read_in_all_the_same(
    started: tuple[Server, RunningService], tmp_path: Path
) -> None:
    server, service = started
    environment = {"FORETELL_DATASETS_DIR": str(service.data_dir / "datasets")}
    job = upload(service, 1)
    with running_workers(server.url, tmp_path, **environment) as worker:
        for _ in range(2):
            horse: int = wait_until(lambda: horse_of(worker), what="a work horse")
            os.kill(horse, signal.SIGKILL)
            wait_until(lambda pid=horse: not is_alive(pid), what="its end")
        path = f"/v1/jobs/{job['id']}"
        wait_until(lambda: read(service, path)["status"] == "succeeded", seconds=90, what="the end")
        result = read(service, path)["result"]
        found = store_of(service).rows(job["dataset_id"])
        np.testing.assert_allclose(found.rows.std(axis=0), 1.0, rtol=1e-12)
        estimates = result["estimate"], len(result["estimates"])
        # Undisturbed, the same comes out.
        assert httpx.delete(f"{service.url}/v1/datasets/{job['dataset_id']}").status_code == 204
        again = upload(service, 1)
        assert again["id"] == job["id"]
        wait_until(lambda: read(service, path)["status"] == "succeeded", seconds=90, what="the end")
        result = read(service, path)["result"]
        assert (result["estimate"], len(result["estimates"])) == estimates
        names = {path.name for path in (service.data_dir / "datasets").iterdir()}
        assert names == {".uploads", job["dataset_id"]}
        assert not list((service.data_dir / "datasets" / ".uploads").iterdir())


@pytest.mark.parametrize("how", ["cancelled", "deleted"])
def test_nothing_is_left_of_what_was_given_up(started: tuple[Server, RunningService], tmp_path: Path, how: str) -> None:
    server, service = started
    environment = {"FORETELL_DATASETS_DIR": str(service.data_dir / "datasets")}
    job = upload(service, 2 if how == "cancelled" else 3)
    with running_workers(server.url, tmp_path, **environment):
        running(service, job)
        if how == "cancelled":
            ended = httpx.delete(f"{service.url}/v1/jobs/{job['id']}", timeout=30.0).json()
            assert ended["status"] == "cancelled"
        else:
            assert httpx.delete(f"{service.url}/v1/datasets/{job['dataset_id']}", timeout=30.0).status_code == 204
            assert_problem(httpx.get(f"{service.url}/v1/jobs/{job['id']}"), 404, "not_found")
        assert left_of(service, job["dataset_id"]) == []
        assert_problem(httpx.get(f"{service.url}/v1/datasets/{job['dataset_id']}"), 404, "not_found")


def test_a_worker_that_looks_elsewhere_says_so(started: tuple[Server, RunningService], tmp_path: Path) -> None:
    server, service = started
    job = upload(service, 4)
    with running_workers(server.url, tmp_path, FORETELL_DATASETS_DIR=str(tmp_path / "elsewhere")):
        path = f"/v1/jobs/{job['id']}"
        wait_until(lambda: read(service, path)["status"] == "failed", what="the end")
        problem = read(service, path)["problem"]
    assert "FORETELL_DATASETS_DIR" in problem["detail"]
