"""The store of data sets: what appears and disappears in one step, and that no name leads out of it."""

import errno
import os
import shutil
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api_schemas.dataset import DatasetForm, DatasetReading
from tests.workers.files import csv_of
from theory.pools import pool_of_rows
from workers import data_store
from workers.data_store import (
    ABANDONED_SECONDS,
    DELETED,
    MAKING,
    UPLOAD,
    UPLOADS,
    DataStore,
    NoRoom,
    NotReady,
    UnknownDataset,
)
from workers.reading import read

ID = "ab" * 32
OTHER = "cd" * 32


@pytest.fixture
def store(tmp_path: Path) -> DataStore:
    return DataStore(tmp_path / "datasets")


def sent(store: DataStore, dataset_id: str = ID) -> DatasetReading:
    """Have a file wait."""
    folder = store.new_upload()
    (folder / UPLOAD).write_text(csv_of())
    assert store.keep_upload(folder, dataset_id)
    form = DatasetForm(task="regression", target=["y"], format="csv")
    return DatasetReading(dataset_id=dataset_id, name="pool.csv", limit=2**20, form=form)


def made(store: DataStore, dataset_id: str = ID) -> None:
    """Read a data set in."""
    reading = sent(store, dataset_id)
    with store.making(dataset_id) as folder:
        read(store.upload_folder(dataset_id) / UPLOAD, reading, folder)
    store.drop_upload(dataset_id)


def pool_of(store: DataStore) -> Any:
    found = store.rows(ID)
    return pool_of_rows(np.asarray(found.rows), np.asarray(found.targets), fit_intercept=True)


def left(store: DataStore) -> set[str]:
    return {str(path.relative_to(store.folder)) for path in store.folder.rglob("*")} - {UPLOADS}


def test_from_an_upload_to_a_data_set_and_to_nothing(store: DataStore) -> None:
    with pytest.raises(UnknownDataset):
        store.dataset(ID)
    reading = sent(store)
    for ask in (store.dataset, store.rows):
        with pytest.raises(NotReady):
            ask(ID)
    assert store.exists(ID)
    assert not store.is_ready(ID)
    with store.making(ID) as folder:
        read(store.upload_folder(ID) / UPLOAD, reading, folder)
        with pytest.raises(NotReady):  # not before it is whole
            store.dataset(ID)
    found = store.dataset(ID)
    assert (found.rows, found.estimates) == (30, [])
    assert found.stored_bytes > 30 * 4 * 8
    rows = store.rows(ID)
    assert (rows.rows.shape, rows.targets.shape, rows.labels) == ((30, 3), (30, 1), None)
    with pytest.raises(ValueError, match="read-only"):
        rows.rows[0, 0] = 1.0
    before = np.array(rows.rows)
    store.delete(ID)
    assert left(store) == set()
    np.testing.assert_array_equal(rows.rows, before)  # who reads, reads on
    for ask in (store.dataset, store.rows, store.delete):
        with pytest.raises(UnknownDataset):
            ask(ID)


def test_estimates_are_kept_and_found(store: DataStore) -> None:
    made(store)
    assert store.pool(ID, "linear") is None
    pool = pool_of(store)
    store.keep_pool(ID, "linear", pool)
    found = store.pool(ID, "linear")
    assert found is not None
    for name, values in pool.arrays().items():
        np.testing.assert_array_equal(found.arrays()[name], values)
    assert store.dataset(ID).estimates == ["linear"]


@pytest.mark.parametrize("spoilt", [b"", b"PK\x03\x04 spoilt", b"\x80\x04\x95"])
def test_a_spoilt_estimate_is_none(store: DataStore, spoilt: bytes) -> None:
    made(store)
    (store.folder / ID / "pools" / "linear.npz").write_bytes(spoilt)
    assert store.pool(ID, "linear") is None
    assert store.pool_names(ID) == []


def test_the_least_recently_used_estimate_makes_room(store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_store, "MOST_POOLS", 2)
    made(store)
    pool = pool_of(store)
    for age, name in enumerate(("first", "second")):
        store.keep_pool(ID, name, pool)
        os.utime(store.folder / ID / "pools" / f"{name}.npz", (1000 + age, 1000 + age))
    assert store.pool(ID, "first") is not None  # used
    store.keep_pool(ID, "third", pool)
    assert store.pool_names(ID) == ["first", "third"]


def test_what_is_kept_of_a_deleted_data_set_does_not_bring_it_back(store: DataStore) -> None:
    made(store)
    pool, description = pool_of(store), store.dataset(ID)
    store.delete(ID)
    with pytest.raises(UnknownDataset):
        store.keep_pool(ID, "linear", pool)
    with pytest.raises(UnknownDataset):
        store.describe(description)
    assert left(store) == set()


def test_the_first_of_two_that_make_it_stays(store: DataStore) -> None:
    made(store)
    stamp = (store.folder / ID / "rows.npy").stat().st_ino
    made(store)
    assert (store.folder / ID / "rows.npy").stat().st_ino == stamp
    assert not [name for name in left(store) if name.startswith(MAKING)]


def test_the_same_upload_twice_waits_once(store: DataStore) -> None:
    sent(store)
    folder = store.new_upload()
    (folder / UPLOAD).write_text("another")
    assert not store.keep_upload(folder, ID)
    assert (store.upload_folder(ID) / UPLOAD).read_text() == csv_of()
    assert left(store) == {f"{UPLOADS}/{ID}", f"{UPLOADS}/{ID}/{UPLOAD}"}


def test_what_a_killed_process_left_goes_with_the_next_attempt(store: DataStore) -> None:
    made(store, OTHER)
    for name in (f"{MAKING}{ID}-1", f"{MAKING}{OTHER}-2"):
        (store.folder / name).mkdir()
    made(store)
    assert not (store.folder / f"{MAKING}{ID}-1").exists()
    assert (store.folder / f"{MAKING}{OTHER}-2").exists()


def test_what_was_abandoned_goes_after_a_week(store: DataStore) -> None:
    made(store)
    sent(store, OTHER)
    old = [store.folder / f"{MAKING}1", store.folder / f"{DELETED}1", store.folder / UPLOADS / ("ef" * 32)]
    for folder in old:
        folder.mkdir()
        os.utime(folder, (0, folder.stat().st_mtime - ABANDONED_SECONDS - 60))
    os.utime(store.folder / ID, (0, 0))  # a data set stays however old it is
    store.clear_abandoned()
    assert not any(folder.exists() for folder in old)
    assert store.is_ready(ID)
    assert store.exists(OTHER)


def test_all_together_take_no_more_than_their_quota(store: DataStore) -> None:
    reading = sent(store)
    full = DataStore(store.folder, quota=store.used_bytes + 1500)  # 30 rows of 4 numbers take 960, and their copy
    assert full.check_room(1500) == 1500.0
    with full.making(ID) as folder:
        read(store.upload_folder(ID) / UPLOAD, reading, folder, check_room=full.check_room)
    full.drop_upload(ID)
    used = sum(path.stat().st_size for path in store.folder.rglob("*") if path.is_file())
    assert full.used_bytes == used == store.dataset(ID).stored_bytes
    with pytest.raises(NoRoom, match=rf"take {used} bytes .* FORETELL_DATASETS_QUOTA allows .* delete some") as refusal:
        full.keep_pool(ID, "linear", pool_of(store))
    assert refusal.value.errno == errno.EDQUOT
    assert full.pool_names(ID) == []
    sent(store, OTHER)
    with pytest.raises(NoRoom), full.making(OTHER) as folder:
        read(store.upload_folder(OTHER) / UPLOAD, reading, folder, check_room=full.check_room)
    full.delete(OTHER)
    assert full.used_bytes == used
    store.keep_pool(ID, "linear", pool_of(store))
    assert store.check_room(2**60) == inf


def test_what_disappears_while_it_is_counted_is_not(store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made(store)
    used, doomed, listed = store.used_bytes, store.new_upload(), os.scandir
    (doomed / UPLOAD).write_bytes(b"1,2")

    def remove_and_list(path: Any) -> Any:
        if path in (doomed, str(doomed)) and doomed.exists():
            shutil.rmtree(doomed)
        return listed(path)

    monkeypatch.setattr(os, "scandir", remove_and_list)
    assert store.used_bytes == used
    assert not doomed.exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../x", ".uploads", "a" * 63, "A" * 64, "a" * 64 + "\n", "a" * 65])
def test_no_id_leads_out_of_the_folder(store: DataStore, name: str) -> None:
    made(store)
    for ask in (store.dataset, store.rows, store.delete, store.upload_folder, store.drop_upload):
        with pytest.raises(UnknownDataset):
            ask(name)
    assert not store.exists(name)
    assert store.is_ready(ID)


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".hidden", "x" * 300])
def test_no_name_of_an_estimate_does(store: DataStore, name: str) -> None:
    made(store)
    with pytest.raises(ValueError, match="cannot name an estimate"):
        store.pool(ID, name)


def test_a_process_that_was_not_told_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(data_store, "_opened", [])
    with pytest.raises(data_store.NoStore, match="FORETELL_DATASETS_DIR"):
        data_store.store()
    assert data_store.open_store(tmp_path) is data_store.store()
