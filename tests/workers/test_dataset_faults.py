"""Faults while a data set is read in: workers killed, jobs cancelled, a data set deleted under its reader."""

import hashlib
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
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
from tests.workers.files import csv_of, npy_of, with_row
from tests.workers.test_validations import horse_of
from workers import data_store
from workers.data_store import UPLOAD, UPLOADS, DataStore
from workers.dataset_jobs import HALF_ESTIMATED, read_in
from workers.file_formats import LONGEST_MAGIC, format_of
from workers.reading import dataset_id_of
from workers.refusals import Refused

ROWS, COLUMNS = 2500, 100
"""A second of work: long enough to be in the middle of it."""


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


def file_of(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((ROWS, COLUMNS)) * np.linspace(1.0, 3.0, COLUMNS)
    return npy_of(np.column_stack([rows, rows[:, 0] + rng.standard_normal(ROWS)]))


def upload(service: RunningService, seed: int) -> Any:
    file = file_of(seed)
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


def test_killed_again_and_again_it_is_read_in_all_the_same(house: House, store: DataStore) -> None:
    service = house.service
    job = upload(service, 1)
    path = f"/v1/jobs/{job['id']}"
    for _ in range(2):
        horse: int = wait_until(lambda: horse_of(house.worker), what="a work horse")
        os.kill(horse, signal.SIGKILL)
        wait_until(lambda pid=horse: not is_alive(pid), what="its end")
    wait_until(lambda: read(service, path)["status"] == "succeeded", seconds=90, what="the end")
    result = read(service, path)["result"]
    folder = store_of(service).folder
    assert {entry.name for entry in folder.iterdir()} == {UPLOADS, job["dataset_id"]}
    assert not list((folder / UPLOADS).iterdir())
    undisturbed = read_in(reading_of(store, file_of(1), "-1", standardize="scale"), key=job["dataset_id"])
    assert undisturbed.estimate is not None
    assert result["estimate"] == undisturbed.estimate.model_dump()
    assert result["estimates"] == undisturbed.estimates
    for mine, theirs in zip(
        store.rows(job["dataset_id"])[:2], store_of(service).rows(job["dataset_id"])[:2], strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("how", ["cancelled", "deleted"])
def test_nothing_is_left_of_what_was_given_up(house: House, how: str) -> None:
    service = house.service
    job = upload(service, 2 if how == "cancelled" else 3)
    running(service, job)
    if how == "cancelled":
        assert httpx.delete(f"{service.url}/v1/jobs/{job['id']}", timeout=30.0).status_code == 200
        wait_until(lambda: read(service, f"/v1/jobs/{job['id']}")["status"] == "cancelled", what="its end")
    else:
        assert httpx.delete(f"{service.url}/v1/datasets/{job['dataset_id']}", timeout=30.0).status_code == 204
        assert_problem(httpx.get(f"{service.url}/v1/jobs/{job['id']}"), 404, "not_found")
    assert left_of(service, job["dataset_id"]) == []
    assert_problem(httpx.get(f"{service.url}/v1/datasets/{job['dataset_id']}"), 404, "not_found")


def reading_of(store: DataStore, content: bytes, target: str, **fields: Any) -> DatasetReading:
    """Have a file wait, as the service does."""
    folder = store.new_upload()
    (folder / UPLOAD).write_bytes(content)
    form = DatasetForm(task="regression", target=[target], format=format_of(content[:LONGEST_MAGIC]), **fields)
    dataset_id = dataset_id_of(hashlib.sha256(content).hexdigest(), form)
    reading = DatasetReading(dataset_id=dataset_id, name="pool", limit=2**24, form=form)
    store.keep_upload(folder, reading.dataset_id)
    return reading


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """No file that is written inside may exceed this: a write fails then, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataStore:
    """The store of this process, which is a worker in these tests."""
    own = DataStore(tmp_path)
    monkeypatch.setattr(data_store, "_opened", [own])
    return own


def test_a_full_disk_is_said_and_nothing_is_left(store: DataStore) -> None:
    # Small as a file, large as numbers.
    reading = reading_of(store, npy_of(np.arange(300_000, dtype=np.int8).reshape(-1, 4) % 7), "3")
    with file_limit(400_000), pytest.raises(Refused) as refusal:
        read_in(reading, key=reading.dataset_id)
    assert refusal.value.code == "insufficient_storage"
    assert not store.exists(reading.dataset_id)
    assert [path for path in store.folder.rglob("*") if reading.dataset_id in str(path)] == []


def test_estimates_that_find_no_room_are_made_again(store: DataStore) -> None:
    reading = reading_of(store, csv_of().encode(), "y")
    with file_limit(20_000):
        found = read_in(reading, key=reading.dataset_id)
    assert found.estimates == []
    assert found.estimate is not None
    assert store.is_ready(reading.dataset_id)


def test_what_expands_too_much_is_refused_and_its_upload_deleted(store: DataStore) -> None:
    reading = reading_of(store, npy_of(np.zeros((300_000, 8), np.int8)), "3")
    with pytest.raises(Refused) as refusal:
        read_in(reading, key=reading.dataset_id)
    assert refusal.value.code == "too_large"
    assert not store.exists(reading.dataset_id)


def test_reading_in_again_makes_nothing_anew(store: DataStore) -> None:
    reading = reading_of(store, csv_of().encode(), "y")
    shares: list[float] = []
    first = read_in(reading, key=reading.dataset_id, progress=shares.append)
    assert shares == sorted(shares)
    files = {path: path.stat().st_mtime_ns for path in store.folder.rglob("*.npy")}
    assert read_in(reading_of(store, csv_of().encode(), "y"), key=reading.dataset_id) == first
    assert {path: path.stat().st_mtime_ns for path in store.folder.rglob("*.npy")} == files
    assert not list((store.folder / UPLOADS).iterdir())


def test_rows_whose_scale_leaves_double_precision_are_stored_and_not_estimated(store: DataStore) -> None:
    lines = [f"{number * 37 % 101}e-200,{number * 53 % 97}e-200,{number % 7}" for number in range(50)]
    reading = reading_of(store, "\n".join(["a,b,y", *lines, ""]).encode(), "y")
    found = read_in(reading, key=reading.dataset_id)
    assert (found.rows, found.estimate, found.estimates) == (50, None, [])
    assert "no_estimate" in {warning.code for warning in found.warnings}


def test_what_would_take_too_long_is_stored_and_not_estimated(
    store: DataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = reading_of(store, with_row("1,2,3,4"), "y")
    with monkeypatch.context() as patch:
        patch.setattr("workers.pools.MOST_SECONDS", 0.0)
        for _ in range(2):
            found = read_in(reading, key=reading.dataset_id)
            assert (found.rows, found.estimate, found.estimates) == (31, None, [])
            assert [warning.code for warning in found.warnings] == ["few_rows", "no_estimate"]
    assert read_in(reading, key=reading.dataset_id).estimate is not None


def test_deleted_under_its_reader_it_does_not_come_back(store: DataStore) -> None:
    reading = reading_of(store, csv_of().encode(), "y")

    def delete(share: float) -> None:
        if share == HALF_ESTIMATED:
            store.delete(reading.dataset_id)

    with pytest.raises(Refused) as refusal:
        read_in(reading, key=reading.dataset_id, progress=delete)
    assert refusal.value.code == "unknown_dataset"
    assert [path for path in store.folder.rglob("*") if path.name != UPLOADS] == []


def test_a_worker_that_looks_elsewhere_says_so(store: DataStore) -> None:
    form = DatasetForm(task="regression", target=["y"], format="csv")
    reading = DatasetReading(dataset_id="0" * 64, name="pool.csv", limit=2**20, form=form)
    with pytest.raises(Refused, match="the same FORETELL_DATASETS_DIR"):
        read_in(reading, key=reading.dataset_id)
