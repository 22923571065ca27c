"""From a file that was sent to the arrays of a data set, each defect refused with its place."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from api_schemas.canonical import canonical_json
from api_schemas.dataset import Dataset, DatasetForm, DatasetReading, Standardize
from api_schemas.prediction import PredictionWarning
from workers.array_files import npy_file, npz_file
from workers.arrow_files import ArrowFile, ParquetFile
from workers.class_labels import ClassLabels, codes_of
from workers.csv_files import CsvFile
from workers.data_store import write_description
from workers.file_formats import BLOCK_BYTES, BadFile, Column, Source, echo
from workers.refusals import TooLarge
from workers.row_checks import RowChecks, findings

FEWEST_ROWS = 20
MOST_COLUMNS = 20_000
MOST_TARGETS = 100
ROOM_BYTES = 2**29
"""Of memory for what reading takes beside the numbers themselves."""

Numbers = npt.NDArray[np.float64]


def dataset_id_of(digest: str, form: DatasetForm) -> str:
    """Return the id of the data set that a file becomes.

    Args:
        digest: of its bytes, SHA-256 in hexadecimal.
        form: how it is to be read, with its format.
    """
    return hashlib.sha256(f"{digest}\n".encode() + canonical_json(form)).hexdigest()


def read(
    upload: Path, reading: DatasetReading, folder: Path, *, check_room: Callable[[int], object] = lambda _: None
) -> Dataset:
    """Read a file into the arrays of a data set and describe it.

    Args:
        upload: the file.
        reading: how it is to be read.
        folder: where ``rows.npy``, ``targets.npy``, ``labels.npy`` and ``dataset.json`` are written.
        check_room: called with the bytes that are about to be written; raises where they may not be.

    Raises:
        Refused: it cannot be read, or is no data set.
        OSError: the disk is full, or data sets take as much as they may.
    """
    with _bounded_memory(2 * reading.limit + ROOM_BYTES):
        try:
            return _read(upload, reading, folder, check_room)
        except MemoryError:
            raise TooLarge(
                "/file", f"expands to more memory than a file may here, whose numbers are at most {reading.limit} bytes"
            ) from None


def _read(upload: Path, reading: DatasetReading, folder: Path, check_room: Callable[[int], object]) -> Dataset:
    form, limit = reading.form, reading.limit
    format_ = form.format
    assert format_ is not None, "told before the file was accepted"
    source, features, targets = _columns(upload, form, limit)
    labels = form.task == "classification"
    names = [column.name for column in source.columns]
    checks = RowChecks([names[place] for place in features], [names[place] for place in targets])
    codes = ClassLabels(names[targets[0]]) if labels else None
    width = len(features) + (1 if labels else len(targets))
    with (
        _appended(folder / "rows.npy", len(features)) as rows,
        _appended(folder / "targets.raw", 1 if labels else len(targets)) as kept,
    ):
        for block in source.blocks(features, targets, labels=labels):
            if 8 * width * (checks.rows + len(block.features)) > limit:
                raise TooLarge("/file", f"has more than {limit} bytes of numbers; send fewer rows or columns")
            values = codes.coded(block.targets[0], checks.rows) if codes else np.column_stack(block.targets)
            checks.add(block, values)
            check_room(8 * width * len(block.features))
            rows.append(block.features)
            kept.append(values.astype(np.float64).reshape(len(block.features), -1))
    _check_rows(checks, codes)
    check_room(8 * checks.rows * (width - len(features)))
    given = np.load(folder / "targets.raw", mmap_mode="r")
    if codes is None:
        np.save(folder / "targets.npy", np.ascontiguousarray(given))
        classes = None
    else:
        index, classes = codes.sorted(given[:, 0].astype(np.int64))
        if 8 * len(index) * len(classes) > limit:
            raise TooLarge(
                "/file", f"has {len(classes)} classes, whose codes take more than {limit} bytes; send fewer rows"
            )
        check_room(8 * len(index) * len(classes))
        np.save(folder / "labels.npy", index)
        np.save(folder / "targets.npy", codes_of(index, len(classes)))
    (folder / "targets.raw").unlink()
    matrix = np.load(folder / "rows.npy", mmap_mode="r+")
    deviations = _standardized(matrix, form.standardize, checks.constant)
    warnings = [PredictionWarning(code=code, detail=detail) for code, detail in source.warnings]
    warnings += [
        PredictionWarning(code=code, detail=detail)
        for code, detail in findings(checks, classes, deviations, form.standardize)
    ]
    found = Dataset(
        dataset_id=reading.dataset_id,
        created_at=time.time(),
        name=reading.name,
        format=format_,
        task=form.task,
        standardize=form.standardize,
        rows=checks.rows,
        features=checks.features,
        targets=checks.targets,
        classes=classes,
        upload_bytes=upload.stat().st_size,
        warnings=warnings,
    )
    write_description(folder, found)
    return found


def _columns(upload: Path, form: DatasetForm, limit: int) -> tuple[Source, list[int], list[int]]:
    """Open a file and decide which of its columns are features, and which are targets."""
    whole_array = None
    wanted = list(form.target)
    if form.format == "npz" and len(wanted) == 1 and not _is_position(wanted[0]):
        whole_array, wanted = wanted[0], []
    source = _opened(upload, form, target_array=whole_array, limit=limit)
    columns = source.columns
    if not columns:
        raise BadFile("/file", "has no columns")
    named = _names(columns)
    of_array = list(source.own_targets)
    if of_array and wanted:
        raise BadFile("/target", "must be left out, or name an array: the file has an array 'y', which has the targets")
    if not of_array and not wanted:
        raise BadFile("/target", "is needed: the name or the position of a column")
    targets = of_array or list(dict.fromkeys(_place(text, named, len(columns)) for text in wanted))
    if form.task == "classification" and len(targets) != 1:
        raise BadFile("/target", f"must be one column for a classification, got {len(targets)}")
    features = [place for place in range(len(columns)) if place not in set(targets)]
    if not features:
        raise BadFile("/file", "has no columns beside the targets; at least one must be a feature")
    if len(features) > MOST_COLUMNS or len(targets) > MOST_TARGETS:
        raise TooLarge(
            "/file",
            f"has {len(features)} features and {len(targets)} targets, and at most {MOST_COLUMNS} and {MOST_TARGETS} are"
            " admissible",
        )
    for place in features:
        _check_kind(columns[place], "a feature", ("number",))
    for place in targets:
        if form.task == "regression":
            _check_kind(columns[place], "a regression target", ("number",))
        else:
            _check_kind(columns[place], "a class", ("number", "text"))
    return source, features, targets


def _names(columns: Sequence[Column]) -> dict[str, int]:
    """Return the position of each name.

    Raises:
        BadFile: a column has none, or that of another.
    """
    named: dict[str, int] = {}
    for place, column in enumerate(columns):
        if not column.name:
            raise BadFile("/file", f"column {place} has no name (an index, perhaps); name it, or leave it out")
        if column.name in named:
            detail = f"columns {named[column.name]} and {place} have the same name {echo(column.name)}; rename one"
            raise BadFile("/file", detail)
        named[column.name] = place
    return named


def _opened(path: Path, form: DatasetForm, *, target_array: str | None, limit: int) -> Source:
    """Open a file, by the library for its format."""
    if form.format == "csv":
        return CsvFile(path)
    if form.format == "parquet":
        return ParquetFile(path, limit=limit)
    if form.format == "arrow":
        return ArrowFile(path)
    if form.format == "npy":
        return npy_file(path)
    return npz_file(path, array=form.array, target_array=target_array, limit=limit)


def _is_position(text: str) -> bool:
    return text.removeprefix("-").isdecimal() and text.isascii()


def _place(text: str, named: dict[str, int], count: int) -> int:
    """Return where a column is that is given by its name or, if there is none of that name, by its position."""
    if text in named:
        return named[text]
    if _is_position(text) and len(text) < 10:
        if -count <= int(text) < count:
            return int(text) % count
        raise BadFile(
            "/target", f"{text} is no position among {count} columns; they are 0 to {count - 1}, -1 is the last"
        )
    some = ", ".join(echo(name) for name in list(named)[:10]) + (", …" if count > 10 else "")
    raise BadFile("/target", f"{echo(text)} names no column; there are {some}")


def _check_kind(column: Column, what: str, admissible: Sequence[str]) -> None:
    if column.kind is not None and column.kind not in admissible:
        rule = "a number" if len(admissible) == 1 else "a number, text or true or false"
        raise BadFile(
            "/file",
            f"column {echo(column.name)} is {column.declared}, and {what} must be {rule}; leave it out, or code its values",
        )


def _check_rows(checks: RowChecks, codes: ClassLabels | None) -> None:
    if checks.rows < FEWEST_ROWS:
        raise BadFile("/file", f"has {checks.rows} rows, and at least {FEWEST_ROWS} are needed")
    if checks.constant.all():
        raise BadFile("/file", "has features that are constant, all of them; at least one must vary")
    if codes is None and checks.constant_targets.any():
        name = checks.targets[int(np.argmax(checks.constant_targets))]
        raise BadFile("/file", f"target {echo(name)} has one value in all rows; there is nothing to predict")


def _standardized(matrix: Numbers, how: Standardize, constant: npt.NDArray[np.bool_]) -> Numbers:
    """Standardise features in place, a block at a time; returns the standard deviations that they have afterwards."""
    rows = max(BLOCK_BYTES // (8 * matrix.shape[1]), 1)
    blocks = [slice(first, first + rows) for first in range(0, len(matrix), rows)]
    means = sum(matrix[block].sum(axis=0) for block in blocks) / len(matrix)
    squares = sum(((matrix[block] - means) ** 2).sum(axis=0) for block in blocks)
    deviations: Numbers = np.where(constant, 0.0, np.sqrt(squares / len(matrix)))
    if how == "none":
        return deviations
    scales = np.where(deviations > 0.0, deviations, 1.0) if how == "scale" else np.ones_like(deviations)
    for block in blocks:
        matrix[block] -= means
        matrix[block] /= scales
        matrix[block, constant] = 0.0
    if isinstance(matrix, np.memmap):
        matrix.flush()
    return np.asarray(deviations / scales)


class _Rows:
    """An NPY file that grows by rows."""

    def __init__(self, file: Any, columns: int) -> None:
        self._file = file
        self._columns = columns
        self._count = 0
        self.finish()

    def append(self, rows: Numbers) -> None:
        """Write some more."""
        self._file.write(np.ascontiguousarray(rows).data)
        self._count += len(rows)

    def finish(self) -> None:
        """Write the header, which NumPy pads so that another number of rows fits."""
        self._file.seek(0)
        shape = (self._count, self._columns)
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)


@contextmanager
def _appended(path: Path, columns: int) -> Iterator[_Rows]:
    with path.open("wb") as file:
        rows = _Rows(file, columns)
        yield rows
        file.flush()
        rows.finish()


@contextmanager
def _bounded_memory(size: int) -> Iterator[None]:
    """Let this process take no more than so many bytes beyond what it has, where the system can (Linux).

    What a compressed file expands to is not known before; a bomb ends in a MemoryError instead of taking the machine down.
    """
    import resource  # noqa: PLC0415 - not on every system

    taken = _data_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if taken is None:
        yield
        return
    bound = taken + size if hard == resource.RLIM_INFINITY else min(taken + size, hard)
    _system_memory_for_arrow()
    resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int | None:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmData:"):
                return 1024 * int(line.split()[1])
    return None


def _system_memory_for_arrow() -> None:
    """Have Arrow take memory piece by piece; its own allocator would set some aside beforehand."""
    import pyarrow  # noqa: PLC0415 - see workers.table_files

    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
