"""Parquet and Arrow files by pyarrow."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.file_formats import BLOCK_BYTES, LONGEST_ECHO, BadFile, Block, Column, Kind, check_size, echo, missing
from workers.refusals import Refused

CHECKSUM = "CRC checksum verification failed"
PANDAS_INDEX = re.compile(r"__index_level_\d+__")
Numbers = npt.NDArray[np.float64]


def block_of(batch: Any, features: Sequence[int], targets: Sequence[int], *, labels: bool) -> Block:
    """Return a record batch that has no nulls as numbers.

    Args:
        batch: of pyarrow.
        features: positions of the columns that are features.
        targets: of those that are targets.
        labels: whether these are classes, which are given as they are.
    """
    numbers = np.empty((batch.num_rows, len(features)))
    for place, position in enumerate(features):
        numbers[:, place] = _floats(batch.column(position))
    columns = [batch.column(position) for position in targets]
    return Block(numbers, [column.to_pylist() if labels else _floats(column) for column in columns])


def _floats(column: Any) -> Numbers:
    import pyarrow  # noqa: PLC0415

    found: Numbers = column.cast(pyarrow.float64(), safe=False).to_numpy(zero_copy_only=False)
    return found


def _arrow_columns(schema: Any) -> list[Column]:
    import pyarrow  # noqa: PLC0415

    types = pyarrow.types
    numbers = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal)
    texts = (types.is_string, types.is_large_string, types.is_string_view)
    columns = []
    for field in schema:
        type_ = field.type.value_type if types.is_dictionary(field.type) else field.type
        kind: Kind = "other"
        if any(is_one(type_) for is_one in texts):
            kind = "text"
        elif any(is_one(type_) for is_one in numbers):
            # Codes of categories are no numbers; their names are text.
            kind = "text" if types.is_dictionary(field.type) else "number"
        if PANDAS_INDEX.fullmatch(field.name):
            detail = f"column {echo(field.name)} is the index of a pandas data frame; write the file with index=False"
            raise BadFile("/file", detail)
        columns.append(Column(field.name, kind, str(field.type)[:LONGEST_ECHO]))
    return columns


class _ArrowTable:
    """What Parquet and Arrow have in common: a schema, and record batches."""

    columns: list[Column]
    own_targets: Sequence[int] = ()
    warnings: Sequence[tuple[str, str]] = ()
    _name: str

    def _batches(self, names: list[str]) -> Iterator[Any]:
        raise NotImplementedError

    def blocks(self, features: Sequence[int], targets: Sequence[int], *, labels: bool) -> Iterator[Block]:
        """Return the rows in their order."""
        row = 0
        positions = (*features, *targets)
        names = [self.columns[position].name for position in positions]
        places = range(len(positions))
        with _readable(self._name):
            for batch in self._batches(names):
                chosen = batch.select(names)
                for name, column in zip(names, chosen.columns, strict=True):
                    if column.null_count:
                        raise missing(name, row + column.is_null().index(True).as_py() + 1)
                yield block_of(chosen, places[: len(features)], places[len(features) :], labels=labels)
                row += batch.num_rows


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn what pyarrow raises about a file into its refusal."""
    import pyarrow  # noqa: PLC0415

    try:
        yield
    except (Refused, MemoryError):
        raise
    except (pyarrow.ArrowException, ValueError, OSError) as error:  # names that are not in UTF-8 are a ValueError
        if getattr(error, "errno", None) is not None:
            raise
        reason = " ".join(str(error).split())[:200]
        if CHECKSUM in reason:
            raise BadFile("/file", f"is damaged, as a checksum in it says; write or send it again ({reason})") from None
        raise BadFile("/file", f"cannot be read as {name}: {reason}") from None


class ParquetFile(_ArrowTable):
    """Parquet, with any compression."""

    _name = "Parquet"

    def __init__(self, path: Path, *, limit: int) -> None:
        import pyarrow.parquet  # noqa: PLC0415

        with _readable(self._name):
            self._file = pyarrow.parquet.ParquetFile(path, page_checksum_verification=True)
            about = self._file.metadata
            expanded = sum(about.row_group(group).total_byte_size for group in range(about.num_row_groups))
            check_size(max(8 * about.num_rows * about.num_columns, expanded), limit)
            self.columns = _arrow_columns(self._file.schema_arrow)

    def _batches(self, names: list[str]) -> Iterator[Any]:
        rows = max(BLOCK_BYTES // (8 * len(names)), 1)
        yield from self._file.iter_batches(batch_size=rows, columns=names, use_threads=False)


class ArrowFile(_ArrowTable):
    """Arrow IPC, as a file (Feather of version 2) or as a stream."""

    _name = "Arrow"

    def __init__(self, path: Path) -> None:
        import pyarrow  # noqa: PLC0415
        import pyarrow.ipc  # noqa: PLC0415

        with path.open("rb") as file:
            self._is_file = file.read(6) == b"ARROW1"
        with _readable(self._name):
            self._mapped = pyarrow.memory_map(str(path))
            opened = pyarrow.ipc.open_file if self._is_file else pyarrow.ipc.open_stream
            self._reader: Any = opened(self._mapped)
            self.columns = _arrow_columns(self._reader.schema)

    def _batches(self, names: list[str]) -> Iterator[Any]:  # noqa: ARG002 - all columns of a batch lie together
        if self._is_file:
            for index in range(self._reader.num_record_batches):
                yield self._checked(self._reader.get_batch(index))
        else:
            for batch in self._reader:
                yield self._checked(batch)
            beyond = self._mapped.size() - self._mapped.tell()
            if beyond > 0:
                raise BadFile("/file", f"has {beyond} bytes after the end of its stream; send one stream alone")

    def _checked(self, batch: Any) -> Any:
        batch.validate(full=True)  # offsets that lead out of a buffer would be followed
        return batch
