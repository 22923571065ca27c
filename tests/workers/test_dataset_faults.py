"""Faults while a data set is read in: workers killed, jobs cancelled, a data set deleted under its reader."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest

from api_schemas.dataset import DatasetForm, DatasetReading
from service.data_folder import is_alive
from tests.running import RunningService, wait_until
from tests.service.wire import assert_problem
from tests.workers.faults import Server, running_workers
from tests.workers.files import npy_of
from tests.workers.test_validations import horse_of
from workers import data_store
from workers.data_store import UPLOADS, DataStore
from workers.dataset_jobs import read_in
from workers.refusals import Refused

ROWS, COLUMNS = 4000, 150
"""A second or two of work: long enough to be in the middle of it."""


class House(NamedTuple):
    """A service, and a worker for it with short leases."""

    service: RunningService
    worker: subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    environment = {"FORETELL_DATASETS_DIR": str(folder / "datasets")}
    with (
        Server(folder / "server") as server,
        RunningService(folder, "--redis-url", server.url, datasets_dir=str(folder / "datasets")) as service,
        running_workers(server.url, folder, **environment) as worker,
    ):
        yield House(service, worker)


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
    return DataStore(service.folder / "datasets")


def left_of(service: RunningService, dataset_id: str) -> list[Path]:
    return [path for path in store_of(service).folder.rglob("*") if dataset_id in str(path)]


def test_killed_again_and_again_it_is_read_in_all_the_same(house: House) -> None:
    service = house.service
    job = upload(service, 1)
    path = f"/v1/jobs/{job['id']}"
    for _ in range(2):
        horse: int = wait_until(lambda: horse_of(house.worker), what="a work horse")
        os.kill(horse, signal.SIGKILL)
        wait_until(lambda pid=horse: not is_alive(pid), what="its end")
    wait_until(lambda: read(service, path)["status"] == "succeeded", seconds=90, what="the end")
    result = read(service, path)["result"]
    found = store_of(service).rows(job["dataset_id"])
    np.testing.assert_allclose(found.rows.std(axis=0), 1.0, rtol=1e-12)
    estimates = result["estimate"], result["estimates"]
    assert len(result["estimates"]) == 2
    # Undisturbed, the same comes out.
    assert httpx.delete(f"{service.url}/v1/datasets/{job['dataset_id']}").status_code == 204
    assert upload(service, 1)["id"] == job["id"]
    wait_until(lambda: read(service, path)["status"] == "succeeded", seconds=90, what="the end")
    result = read(service, path)["result"]
    assert (result["estimate"], result["estimates"]) == estimates
    folder = store_of(service).folder
    assert {entry.name for entry in folder.iterdir()} == {UPLOADS, job["dataset_id"]}
    assert not list((folder / UPLOADS).iterdir())


@pytest.mark.parametrize("how", ["cancelled", "deleted"])
def test_nothing_is_left_of_what_was_given_up(house: House, how: str) -> None:
    service = house.service
    job = upload(service, 2 if how == "cancelled" else 3)
    running(service, job)
    if how == "cancelled":
        ended = httpx.delete(f"{service.url}/v1/jobs/{job['id']}", timeout=30.0).json()
        assert ended["status"] == "cancelled"
    else:
        assert httpx.delete(f"{service.url}/v1/datasets/{job['dataset_id']}", timeout=30.0).status_code == 204
        assert_problem(httpx.get(f"{service.url}/v1/jobs/{job['id']}"), 404, "not_found")
    assert left_of(service, job["dataset_id"]) == []
    assert_problem(httpx.get(f"{service.url}/v1/datasets/{job['dataset_id']}"), 404, "not_found")


def test_a_worker_that_looks_elsewhere_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_store, "_opened", [DataStore(tmp_path)])
    form = DatasetForm(task="regression", target=["y"], format="csv")
    reading = DatasetReading(dataset_id="0" * 64, name="pool.csv", limit=2**20, form=form)
    with pytest.raises(Refused, match="the same FORETELL_DATASETS_DIR"):
        read_in(reading, key=reading.dataset_id)
