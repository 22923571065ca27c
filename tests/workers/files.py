"""Files of one small data set in every format, for the tests of reading and of uploading."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow
import pyarrow.ipc
import pyarrow.parquet

_RNG = np.random.default_rng(0)
ROWS = _RNG.standard_normal((30, 3))
LABELS = ROWS @ [1.0, 2.0, 3.0] + 0.1 * _RNG.standard_normal(30)
CLASSES = np.where(LABELS > 0.0, "yes", "no")
NAMES = ("a", "b", "c", "y")
TABLE = np.column_stack([ROWS, LABELS])


def csv_of(*, labels: Sequence[Any] | npt.NDArray[Any] = LABELS, names: Sequence[str] | None = NAMES) -> str:
    """The data set as CSV, with other labels, other names or no header."""
    lines = [] if names is None else [",".join(names)]
    lines += [",".join(map(str, [*row, label])) for row, label in zip(ROWS.tolist(), labels, strict=True)]
    return "\n".join([*lines, ""])


def with_row(row: str, place: int = 5) -> bytes:
    """The CSV with another row at a place, 1 the first."""
    lines = csv_of().split("\n")
    lines.insert(place, row)
    return "\n".join(lines).encode()


def npy_of(values: npt.NDArray[Any]) -> bytes:
    """An NPY."""
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def npz_of(*, compressed: bool = False, **arrays: npt.NDArray[Any]) -> bytes:
    """An NPZ."""
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, allow_pickle=True, **arrays)
    return file.getvalue()


def table_of(**columns: Any) -> Any:
    """An Arrow table; the data set where no columns are given."""
    return pyarrow.table(columns or dict(zip(NAMES, TABLE.T, strict=True)))


def parquet_of(table: Any, **options: Any) -> bytes:
    """A Parquet file."""
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file, **options)
    return file.getvalue()


def arrow_of(table: Any, *, stream: bool = False) -> bytes:
    """An Arrow file, or an Arrow stream."""
    file = io.BytesIO()
    make = pyarrow.ipc.new_stream if stream else pyarrow.ipc.new_file
    with make(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


FILES: dict[str, tuple[bytes, list[str]]] = {
    "csv": (csv_of().encode(), ["y"]),
    "csv with semicolons": (csv_of().replace(",", ";").encode(), ["y"]),
    "csv with tabs": (csv_of().replace(",", "\t").encode(), ["y"]),
    "csv with a byte order mark": (b"\xef\xbb\xbf" + csv_of().encode(), ["y"]),
    "csv of Windows": (csv_of().replace("\n", "\r\n").encode(), ["3"]),
    "csv without a header": (csv_of(names=None).encode(), ["-1"]),
    "csv with quotes": (csv_of(names=['"a"', '"b, or not"', "c", '"y"']).encode(), ["y"]),
    "npy": (npy_of(TABLE), ["3"]),
    "npy in Fortran's order": (npy_of(np.asfortranarray(TABLE)), ["-1"]),
    "npy, big-endian": (npy_of(TABLE.astype(">f8")), ["3"]),
    "npz": (npz_of(X=ROWS, y=LABELS), []),
    "npz, compressed, other names": (npz_of(compressed=True, data=ROWS, t=LABELS[:, None]), ["t"]),
    "npz of one array": (npz_of(X=TABLE), ["3"]),
    "parquet": (parquet_of(table_of()), ["y"]),
    "parquet by zstd in groups": (parquet_of(table_of(), compression="zstd", row_group_size=7), ["y"]),
    "arrow": (arrow_of(table_of()), ["y"]),
    "arrow stream": (arrow_of(table_of(), stream=True), ["y"]),
}
"""Content and targets: the same numbers in each."""
