"""Classes from the values of a column: numbered as they come, put in order at the end."""

import re
from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from api_schemas.dataset import DatasetClass
from workers.file_formats import BadFile, echo

MOST_CLASSES = 100
PLAIN = re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
FEWEST_OF_A_CLASS = 2


def codes_of(labels: npt.NDArray[np.int64], n_classes: int) -> npt.NDArray[np.float64]:
    """Return what is fitted to classes: -1 and +1 in one column for two, one-hot columns for more.

    Args:
        labels: (N,) index of each row's class.
        n_classes: how many there are.
    """
    if n_classes == 2:
        return np.where(labels[:, None] == 1, 1.0, -1.0)
    return np.eye(n_classes, dtype=np.float64)[labels]


class ClassLabels:
    """Numbers classes as they come, and puts them in order at the end.

    Args:
        name: of the column.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._found: dict[Any, int] = {}

    def coded(self, values: Sequence[Any], before: int) -> npt.NDArray[np.int64]:
        """Return the number of each row's class.

        Raises:
            BadFile: a value names no class, or there are too many.
        """
        found = np.empty(len(values), np.int64)
        for place, value in enumerate(values):
            key = value.strip() if isinstance(value, str) else value
            if isinstance(key, float) and not key.is_integer():  # nor is what is not finite
                raise BadFile("/file", self._fraction(key, before + place + 1))
            if key is None or key == "":  # of a dictionary a value itself may be null
                raise BadFile(
                    "/file", f"column {echo(self._name)} is empty in row {before + place + 1}; leave the row out"
                )
            found[place] = self._found.setdefault(key, len(self._found))
            if len(self._found) > MOST_CLASSES:
                raise BadFile(
                    "/task",
                    f"column {echo(self._name)} has more than {MOST_CLASSES} classes by row {before + place + 1}; is the task"
                    " a regression?",
                )
        return found

    def _fraction(self, value: Any, row: int) -> str:
        return (
            f"column {echo(self._name)} has {value!r} in row {row}, and classes must be whole numbers, text or true or false;"
            " is the task a regression?"
        )

    def sorted(self, labels: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], list[DatasetClass]]:
        """Return each row's class, and the classes in order: by number if all are numbers, else by name.

        Raises:
            BadFile: there are too few, or one has too few rows.
        """
        values = list(self._found)
        numbers = [_whole(value) for value in values]
        if any(isinstance(number, float) for number in numbers) and not any(number is None for number in numbers):
            place = next(place for place, number in enumerate(numbers) if isinstance(number, float))
            raise BadFile("/file", self._fraction(values[place], int(np.argmax(labels == place)) + 1))
        if all(isinstance(number, int) for number in numbers):
            names: list[Any] = numbers
        else:
            names = [_title(value) for value in values]
        order = sorted(set(names))
        position = np.array([order.index(name) for name in names], np.int64)
        found = position[labels]
        counts = np.bincount(found, minlength=len(order))
        if len(order) < 2:
            raise BadFile(
                "/file", f"column {echo(self._name)} has the one class {echo(order[0])}; at least two are needed"
            )
        if counts.min() < FEWEST_OF_A_CLASS:
            rare = order[int(counts.argmin())]
            raise BadFile(
                "/file",
                f"class {echo(rare)} has {counts.min()} row, and each needs at least {FEWEST_OF_A_CLASS}; leave it out",
            )
        return found, [DatasetClass(name=str(name), rows=int(rows)) for name, rows in zip(order, counts, strict=True)]


def _whole(value: Any) -> int | float | None:
    """Return the whole number that a class is, a fraction as a float, None for what is no number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and not PLAIN.fullmatch(value):  # Python would read '1_000' and other scripts' digits too
        return None
    try:
        return int(value)
    except ValueError:
        pass
    try:
        number = float(value)
    except ValueError:
        return None
    return int(number) if number.is_integer() else number if isfinite(number) else None


def _title(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
