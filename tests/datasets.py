"""Real data sets, stored as the service stores them, for tests of what is predicted on them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_diabetes, load_digits

from api_schemas.dataset import Dataset, DatasetClass
from workers.data_store import DataStore, write_description

Array = npt.NDArray[np.float64]

DIABETES = "d1" * 32
DIGITS = "d2" * 32
BINARY = "d3" * 32
MISSING = "00" * 32
HARD = (3, 5, 8, 9)
"""Digits that look alike; rates of misclassification among few classes are estimated sooner."""


def diabetes() -> tuple[Array, Array]:
    """442 rows of 10 features, and a progression; both of unit variance."""
    rows, progression = load_diabetes(return_X_y=True)
    return rows / rows.std(axis=0), ((progression - progression.mean()) / progression.std())[:, None]


def digits(n_rows: int = 500, shown: Sequence[int] = HARD) -> tuple[Array, npt.NDArray[np.int64]]:
    """Pictures of 64 points from 0 to 1, and which of some digits they show."""
    rows, labels = load_digits(return_X_y=True)
    chosen = np.flatnonzero(np.isin(labels, shown))[:n_rows]
    return rows[chosen] / 16.0, np.searchsorted(shown, labels[chosen]).astype(np.int64)


def codes(labels: npt.NDArray[np.int64]) -> Array:
    """The targets of classes: -1 and +1 in one column for two, one-hot for more."""
    count = int(labels.max()) + 1
    return 2.0 * labels[:, None] - 1.0 if count == 2 else np.eye(count)[labels]


def keep(
    folder: Path, dataset_id: str, rows: Array, targets: Array, labels: npt.NDArray[np.int64] | None = None
) -> DataStore:
    """Store a data set."""
    store = DataStore(folder)
    counts = [] if labels is None else np.bincount(labels).tolist()
    classes: Any = [DatasetClass(name=str(name), rows=count) for name, count in enumerate(counts)] or None
    with store.making(dataset_id) as place:
        np.save(place / "rows.npy", np.ascontiguousarray(rows))
        np.save(place / "targets.npy", np.ascontiguousarray(targets))
        if labels is not None:
            np.save(place / "labels.npy", labels)
        description = Dataset(
            dataset_id=dataset_id,
            created_at=0.0,
            name="data.npz",
            format="npz",
            task="regression" if labels is None else "classification",
            standardize="none",
            rows=len(rows),
            features=[f"x{position}" for position in range(rows.shape[1])],
            targets=["y"],
            classes=classes,
            upload_bytes=0,
        )
        write_description(place, description)
    return store


def keep_all(folder: Path) -> None:
    """Store diabetes, digits that look alike, and whether any digit is at least 5."""
    keep(folder, DIABETES, *diabetes())
    rows, labels = digits()
    keep(folder, DIGITS, rows, codes(labels), labels)
    rows, labels = digits(shown=range(10))
    large = (labels >= 5).astype(np.int64)
    keep(folder, BINARY, rows, codes(large), large)
