"""What is learned of rows while they pass: whether all numbers are admissible, what is constant, what is there twice."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from api_schemas.base import LARGEST_ROOT
from api_schemas.dataset import DatasetClass
from workers.file_formats import BadFile, Block, echo

FEW_ROWS = 100
FEW_OF_A_CLASS = 10
UNLIKE_SCALES = 1e3
"""Ratio of the largest to the smallest standard deviation of features from which the choice of units decides much."""
Numbers = npt.NDArray[np.float64]


@dataclass
class RowChecks:
    """What is learned of the columns while they pass."""

    features: list[str]
    targets: list[str]
    rows: int = 0
    _low: Any = np.inf
    _high: Any = -np.inf
    _low_target: Any = np.inf
    _high_target: Any = -np.inf
    _hashes: list[npt.NDArray[np.uint64]] = field(default_factory=list)

    def add(self, block: Block, targets: npt.NDArray[Any]) -> None:
        """Take account of some rows.

        Raises:
            BadFile: one of their numbers is not admissible.
        """
        given = targets.reshape(len(block.features), -1)
        _check_numbers(block.features, self.features, self.rows)
        _check_numbers(given, self.targets, self.rows)
        if len(block.features):
            self._low = np.minimum(self._low, block.features.min(axis=0))
            self._high = np.maximum(self._high, block.features.max(axis=0))
            self._low_target = np.minimum(self._low_target, given.min(axis=0))
            self._high_target = np.maximum(self._high_target, given.max(axis=0))
        self._hashes.append(_hashes(block.features) * np.uint64(3) + _hashes(given.astype(np.float64)))
        self.rows += len(block.features)

    @property
    def constant(self) -> npt.NDArray[np.bool_]:
        """Which features have one value in all rows."""
        return np.asarray(self._low == self._high)

    @property
    def constant_targets(self) -> npt.NDArray[np.bool_]:
        """Which targets have."""
        return np.asarray(self._low_target == self._high_target)

    @property
    def repeated(self) -> int:
        """How many rows are the same as one before them, targets included."""
        return self.rows - int(np.unique(np.concatenate(self._hashes)).size)


def _hashes(values: Numbers) -> npt.NDArray[np.uint64]:
    """Return a hash of 64 bits for each row; of 10^6 different rows two have the same once in 10^7 times."""
    bits = np.ascontiguousarray(values + 0.0).view(np.uint64)  # -0 becomes 0
    mixed = (bits ^ (bits >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(32)
    weights = np.random.default_rng(7).integers(1, 2**63, bits.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    found: npt.NDArray[np.uint64] = (mixed * weights).sum(axis=1, dtype=np.uint64)
    return found


def _check_numbers(values: npt.NDArray[Any], names: Sequence[str], before: int) -> None:
    bad = ~(np.abs(values) <= LARGEST_ROOT)
    if bad.any():
        row, column = (int(place) for place in np.argwhere(bad)[0])
        raise BadFile(
            "/file",
            f"column {echo(names[column])} has {float(values[row, column])!r} in row {before + row + 1}, and numbers must be"
            f" finite and at most {LARGEST_ROOT:g} in size; leave the row out, or change units",
        )


def findings(
    reading: RowChecks, classes: list[DatasetClass] | None, deviations: Numbers, standardize: str
) -> Iterator[tuple[str, str]]:
    """Return codes and details of what to know about a data set.

    Args:
        reading: of all rows.
        classes: of a classification.
        deviations: standard deviations of the features, as they are kept.
        standardize: what was done to them.
    """
    if reading.repeated:
        yield (
            "duplicate_rows",
            f"{reading.repeated} of {reading.rows} rows are the same as one before them; a model that has seen one predicts"
            " the other, which makes estimates from these rows too low",
        )
    if reading.constant.any():
        some = ", ".join(echo(reading.features[place]) for place in np.flatnonzero(reading.constant)[:5])
        count = int(reading.constant.sum())
        yield "constant_columns", f"{count} features have one value in all rows and carry nothing, as {some}"
    if reading.rows < FEW_ROWS:
        yield "few_rows", f"{reading.rows} rows are few; intervals will be wide"
    if classes is not None:
        rare = [one for one in classes if one.rows < FEW_OF_A_CLASS]
        if rare:
            detail = f"{len(rare)} classes have fewer than {FEW_OF_A_CLASS} rows, as {echo(rare[0].name)} with {rare[0].rows}"
            yield "rare_classes", detail
    positive = deviations[deviations > 0.0]
    if standardize != "scale" and positive.size and positive.max() > UNLIKE_SCALES * positive.min():
        yield (
            "unlike_scales",
            f"standard deviations of the features differ by a factor of {positive.max() / positive.min():.1e}, so that units"
            " decide which of them count; consider standardize 'scale'",
        )
