"""Where data sets are kept: a folder for each, of plain arrays that any worker maps into memory.

    <folder>/<dataset_id>/     rows.npy, targets.npy, labels.npy, dataset.json, pools/<name>.npz
    <folder>/.uploads/<id>/    a file that waits to be read in
    <folder>/.making-...       a data set that is being written; it appears under its id in one step

Nothing is pickled. What appears does so by renaming, and so does what disappears: no reader sees a part of a data set.
"""

import errno
import os
import re
import shutil
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from api_schemas.dataset import Dataset
from theory.pools import Pool

MOST_POOLS = 200
"""Estimates kept of a data set; the one that was used least recently makes room for another."""
DATASET_ID = re.compile(r"[0-9a-f]{64}")
POOL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")
UPLOADS = ".uploads"
UPLOAD = "file"
"""Name of the file in an upload's folder."""
MAKING = ".making-"
DELETED = ".deleted-"
ABANDONED_SECONDS = 7 * 24 * 3600
"""After which what was begun and never finished is removed."""


class UnknownDataset(KeyError):
    """There is no data set of that id, or none any more."""


class NoRoom(OSError):
    """All data sets together would take more bytes than they may.

    Args:
        used: bytes that they take.
        more: bytes that are to come on top, at least.
        quota: bytes that they may take.
    """

    def __init__(self, used: int, more: int, quota: int) -> None:
        super().__init__(
            errno.EDQUOT,
            f"data sets take {used} bytes and at least {more} more were to come, and FORETELL_DATASETS_QUOTA allows {quota} for"
            " all of them together: delete some (GET /v1/datasets lists them with their stored_bytes), or have it raised",
        )

    def __str__(self) -> str:
        """Return what there is to say, without the number of the error."""
        return str(self.strerror)


class NotReady(Exception):
    """The data set has been sent and not been read in yet."""


class Rows(NamedTuple):
    """The numbers of a data set, mapped into memory and read-only.

    Attributes:
        rows: (N, d) features, standardised as was asked for.
        targets: (N, C) labels; of classes their codes, -1 and +1 in one column for two, one-hot for more.
        labels: (N,) index of each row's class, None for a regression.
    """

    rows: npt.NDArray[np.float64]
    targets: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64] | None


class DataStore:
    """Data sets in a folder, which all processes that are to know them must see.

    Args:
        folder: made when the first is kept.
        quota: bytes that everything in it may take together; 0 for no bound.
    """

    def __init__(self, folder: Path, *, quota: int = 0) -> None:
        self.folder = folder
        self._quota = quota

    @property
    def used_bytes(self) -> int:
        """What everything takes: data sets, estimates, files that wait to be read in, and what is being written."""
        return self._size(self.folder)

    def check_room(self, more: int, *, begun: int = 0) -> float:
        """Make sure that so many bytes may come on top of what there is; returns how many may.

        Args:
            more: bytes.
            begun: how many of what they belong to are there already, which the refusal does not count as used.

        Raises:
            NoRoom: they may not.
        """
        if not self._quota:
            return inf
        left = self._quota - self.used_bytes
        if more > left:
            raise NoRoom(self._quota - left - begun, begun + more, self._quota)
        return left

    def dataset(self, dataset_id: str) -> Dataset:
        """Return the description of a data set.

        Raises:
            UnknownDataset: there is none of that id.
            NotReady: it has not been read in yet.
        """
        folder = self._folder(dataset_id)
        try:
            text = (folder / "dataset.json").read_bytes()
        except FileNotFoundError:
            raise self._missing(dataset_id) from None
        found = Dataset.model_validate_json(text)
        kept = {"stored_bytes": self._size(folder), "estimates": self.pool_names(dataset_id)}
        return found.model_copy(update=kept)

    def rows(self, dataset_id: str) -> Rows:
        """Return the numbers of a data set; they stay readable for whoever has them when it is deleted.

        Raises:
            UnknownDataset: there is none of that id.
            NotReady: it has not been read in yet.
        """
        folder = self._folder(dataset_id)
        try:
            rows, targets = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("rows", "targets"))
            labels = np.load(folder / "labels.npy", mmap_mode="r") if (folder / "labels.npy").exists() else None
        except FileNotFoundError:
            raise self._missing(dataset_id) from None
        return Rows(rows, targets, labels)

    def pool(self, dataset_id: str, name: str) -> Pool | None:
        """Return an estimate that was kept, None if there is none of that name.

        Raises:
            UnknownDataset: there is no such data set.
        """
        path = self._pool_path(dataset_id, name)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                found = Pool.of_arrays({key: arrays[key] for key in arrays.files})
            os.utime(path)
        except FileNotFoundError:
            self._folder(dataset_id)
            return None
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):  # damaged: it is estimated again
            path.unlink(missing_ok=True)
            return None
        return found

    def keep_pool(self, dataset_id: str, name: str, pool: Pool) -> None:
        """Keep an estimate.

        Raises:
            UnknownDataset: the data set has been deleted meanwhile.
            OSError: the disk is full, or data sets take as much as they may.
        """
        path = self._pool_path(dataset_id, name)
        unfinished = path.with_name(f".{uuid4().hex}")
        arrays: dict[str, Any] = pool.arrays()
        self.check_room(sum(array.nbytes for array in arrays.values()))
        try:
            with unfinished.open("xb") as file:
                np.savez(file, **arrays)
            unfinished.replace(path)
        except FileNotFoundError:
            raise self._missing(dataset_id) from None
        finally:
            with suppress(FileNotFoundError):
                unfinished.unlink()
        self._make_room(path.parent)

    def pool_names(self, dataset_id: str) -> list[str]:
        """Return the names of the estimates that are kept."""
        with suppress(FileNotFoundError):
            return sorted(file.stem for file in (self._folder(dataset_id) / "pools").glob("*.npz"))
        return []

    def delete(self, dataset_id: str) -> None:
        """Delete a data set with all estimates, and its upload if that has not been read in yet.

        Raises:
            UnknownDataset: there is neither.
        """
        _check(dataset_id)
        found = False
        for folder in (self.folder / dataset_id, self.folder / UPLOADS / dataset_id):
            gone = self.folder / f"{DELETED}{uuid4().hex}"
            with suppress(FileNotFoundError):
                folder.rename(gone)
                found = True
                shutil.rmtree(gone)
        self.clear_unfinished(dataset_id)
        if not found:
            raise UnknownDataset(dataset_id)

    def exists(self, dataset_id: str) -> bool:
        """Whether there is a data set of that id, or an upload that will be one."""
        known = DATASET_ID.fullmatch(dataset_id) is not None
        return known and any(
            folder.is_dir() for folder in (self.folder / dataset_id, self.folder / UPLOADS / dataset_id)
        )

    def is_ready(self, dataset_id: str) -> bool:
        """Whether there is a data set of that id, which has been read in."""
        return DATASET_ID.fullmatch(dataset_id) is not None and (self.folder / dataset_id).is_dir()

    def ids(self) -> list[tuple[int, str]]:
        """Return when data sets were read in, in microseconds since 1970, and their ids; the newest first."""
        found = []
        with suppress(FileNotFoundError):
            for entry in os.scandir(self.folder):
                if DATASET_ID.fullmatch(entry.name):
                    with suppress(FileNotFoundError):
                        found.append(
                            ((self.folder / entry.name / "targets.npy").stat().st_mtime_ns // 1000, entry.name)
                        )
        return sorted(found, reverse=True)

    def new_upload(self) -> Path:
        """Return a folder of its own for a file that is being sent."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.clear_abandoned()
        folder = self.folder / UPLOADS / f".{uuid4().hex}"
        folder.mkdir(parents=True)
        return folder

    def keep_upload(self, folder: Path, dataset_id: str) -> bool:
        """Have a file that was sent wait under its id; whether it does, as the same one may wait there already.

        Args:
            folder: of :meth:`new_upload`; it is gone afterwards.
            dataset_id: of the file and of how it is to be read.
        """
        _check(dataset_id)
        try:
            folder.rename(self.folder / UPLOADS / dataset_id)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
        return True

    def upload_folder(self, dataset_id: str) -> Path:
        """Return where an upload waits, if it does."""
        _check(dataset_id)
        return self.folder / UPLOADS / dataset_id

    def drop_upload(self, dataset_id: str) -> None:
        """Remove an upload that was read in, or that cannot be."""
        shutil.rmtree(self.upload_folder(dataset_id), ignore_errors=True)

    @contextmanager
    def making(self, dataset_id: str) -> Iterator[Path]:
        """Make a data set in a folder that appears under its id, as a whole, if all goes well.

        What earlier attempts left behind is removed; if another one was faster, its data set stays.
        """
        _check(dataset_id)
        self.clear_unfinished(dataset_id)
        folder = self.folder / f"{MAKING}{dataset_id}-{uuid4().hex}"
        (folder / "pools").mkdir(parents=True)
        try:
            yield folder
            for file in folder.iterdir():
                if file.is_file():
                    _sync(file)
            try:
                folder.rename(self.folder / dataset_id)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            _sync(self.folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def describe(self, dataset: Dataset) -> None:
        """Write the description of a data set anew.

        Raises:
            UnknownDataset: it has been deleted meanwhile.
        """
        try:
            write_description(self._folder(dataset.dataset_id), dataset)
        except FileNotFoundError:
            raise UnknownDataset(dataset.dataset_id) from None

    def clear_unfinished(self, dataset_id: str) -> None:
        """Remove what attempts at a data set left behind whose process was killed."""
        for entry in self._entries(self.folder):
            if entry.name.startswith(f"{MAKING}{dataset_id}-"):
                shutil.rmtree(entry, ignore_errors=True)

    def clear_abandoned(self) -> None:
        """Remove what was begun more than a week ago and never finished: uploads, and what killed processes left."""
        unfinished = [entry for entry in self._entries(self.folder) if entry.name.startswith((MAKING, DELETED))]
        for entry in [*unfinished, *self._entries(self.folder / UPLOADS)]:
            if _age(entry) > ABANDONED_SECONDS:
                shutil.rmtree(entry, ignore_errors=True)

    def _entries(self, folder: Path) -> list[Path]:
        try:
            return list(folder.iterdir())
        except FileNotFoundError:
            return []

    def _folder(self, dataset_id: str) -> Path:
        _check(dataset_id)
        folder = self.folder / dataset_id
        if not folder.is_dir():
            raise self._missing(dataset_id)
        return folder

    def _missing(self, dataset_id: str) -> Exception:
        waiting = (self.folder / UPLOADS / dataset_id).is_dir()
        return NotReady(dataset_id) if waiting else UnknownDataset(dataset_id)

    def _pool_path(self, dataset_id: str, name: str) -> Path:
        _check(dataset_id)
        if not POOL_NAME.fullmatch(name) or name.startswith("."):
            raise ValueError(f"{name!r} cannot name an estimate: it takes letters, digits, '_', '-' and '.'")
        return self.folder / dataset_id / "pools" / f"{name}.npz"

    def _make_room(self, pools: Path) -> None:
        with suppress(FileNotFoundError):
            files = sorted(pools.glob("*.npz"), key=lambda file: file.stat().st_mtime_ns)
            for file in files[: -MOST_POOLS or None]:
                file.unlink(missing_ok=True)

    def _size(self, folder: Path) -> int:
        size = 0
        for place, _, names in os.walk(folder):  # which goes on where folders disappear meanwhile
            for name in names:
                with suppress(FileNotFoundError):
                    size += (Path(place) / name).stat().st_size
        return size


def write_description(folder: Path, dataset: Dataset) -> None:
    """Write a description into the folder of its data set, in one step."""
    unfinished = folder / f".{uuid4().hex}"
    unfinished.write_text(dataset.model_dump_json())
    unfinished.replace(folder / "dataset.json")


class NoStore(RuntimeError):
    """This process has not been told where data sets are."""


_opened: list[DataStore] = []


def open_store(folder: Path, *, quota: int = 0) -> DataStore:
    """Say where this process finds data sets and how many bytes they may take; to be called once, when it starts."""
    _opened[:] = [DataStore(folder, quota=quota)]
    return _opened[0]


def store() -> DataStore:
    """Return the store of this process.

    Raises:
        NoStore: :func:`open_store` was not called.
    """
    if not _opened:
        raise NoStore("data sets are looked for in FORETELL_DATASETS_DIR; call workers.data_store.open_store first")
    return _opened[0]


def _check(dataset_id: str) -> None:
    """Let nothing through that could lead elsewhere in the file system."""
    if not DATASET_ID.fullmatch(dataset_id):
        raise UnknownDataset(dataset_id)


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _sync(path: Path) -> None:
    """Have the disk write what it was given, so that what appears stays even after a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
