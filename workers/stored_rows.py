"""Rows of stored data sets: what there is to know of them, and what is said where they are not there, or not any more."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from workers import data_store
from workers.refusals import DatasetNotReady, UnknownDataset

_descriptions: dict[str, "Described"] = {}
_told: list[Callable[[str], None]] = []


@dataclass(frozen=True, kw_only=True)
class Described:
    """What there is to know of a data set before its rows are read.

    Attributes:
        n_rows, n_features, n_targets: their numbers; of more than two classes there is a target each.
        classes: whether labels are classes.
        stamp: of the description that this was read from.
    """

    n_rows: int
    n_features: int
    n_targets: int
    classes: bool
    stamp: tuple[str, int, int] | None


def described(dataset_id: str) -> Described:
    """Return what there is to know of a data set before its rows are read.

    Raises:
        UnknownDataset: there is no such data set, or not any more.
        DatasetNotReady: it is being read in.
    """
    with refused_if_gone(dataset_id):
        store = data_store.store()
        try:
            status = (store.folder / dataset_id / "dataset.json").stat()
            stamp = (str(store.folder), status.st_ino, status.st_mtime_ns)
        except FileNotFoundError:
            stamp = None
        stored = _descriptions.get(dataset_id)
        if stamp is None or stored is None or stored.stamp != stamp:
            found = store.dataset(dataset_id)
            stored = _descriptions[dataset_id] = Described(
                n_rows=found.rows,
                n_features=len(found.features),
                n_targets=len(found.classes) if found.classes and len(found.classes) > 2 else len(found.targets),
                classes=found.task == "classification",
                stamp=stamp,
            )
        return stored


@contextmanager
def refused_if_gone(dataset_id: str) -> Iterator[None]:
    """Refuse a request on a data set that is not there, whenever that is noticed."""
    try:
        yield
    except (data_store.UnknownDataset, data_store.NoStore):
        _descriptions.pop(dataset_id, None)
        for forget in _told:
            forget(dataset_id)
        raise UnknownDataset(
            "/regime/dataset_id",
            f"there is no data set {dataset_id}, or not any more; POST /v1/datasets stores one and says its id",
        ) from None
    except data_store.NotReady:
        raise DatasetNotReady(
            "/regime/dataset_id",
            f"the data set {dataset_id} is being read in; ask again when its job has succeeded",
        ) from None


def rows_of(dataset_id: str) -> data_store.Rows:
    """Return the rows of a data set, mapped into memory.

    Raises:
        UnknownDataset: there is no such data set, or not any more.
        DatasetNotReady: it is being read in.
    """
    with refused_if_gone(dataset_id):
        return data_store.store().rows(dataset_id)


def when_gone(forget: Callable[[str], None]) -> None:
    """Have a function called with the id of each data set that is found to be gone."""
    _told.append(forget)
