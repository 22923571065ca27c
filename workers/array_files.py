"""NPY and NPZ files by NumPy, of which nothing is unpickled and no header is believed."""

import io
import lzma
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.file_formats import BLOCK_BYTES, BadFile, Block, Column, Kind, check_size, echo

NUMERIC = "biuf"
MOST_MEMBERS = 100
BAD_HEADERS = (ValueError, SyntaxError, TypeError, OverflowError, tokenize.TokenError)
"""What NumPy raises about a header, which is a literal of Python's."""
BAD_ARCHIVES = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,  # ways to compress
    RuntimeError,  # passwords
    EOFError,
    OSError,
)


@dataclass(frozen=True)
class ArrayFile:
    """A matrix of features, and columns of targets that may be another array."""

    columns: list[Column]
    matrix: npt.NDArray[Any]
    targets: npt.NDArray[Any] | None = None
    warnings: tuple[tuple[str, str], ...] = ()

    @property
    def own_targets(self) -> Sequence[int]:
        """Positions of the columns that are no part of the matrix."""
        return range(self.matrix.shape[1], len(self.columns))

    def blocks(self, features: Sequence[int], targets: Sequence[int], *, labels: bool) -> Iterator[Block]:
        """Return the rows in their order."""
        width = self.matrix.shape[1]
        rows = max(BLOCK_BYTES // (8 * max(width, 1)), 1)
        all_features = list(features) == list(range(width))
        for first in range(0, self.matrix.shape[0], rows):
            here = self.matrix[first : first + rows]
            columns = [
                here[:, position] if position < width else self.targets[first : first + rows, position - width]  # type: ignore[index] # positions beyond the matrix are of the targets
                for position in targets
            ]
            yield Block(
                np.asarray(here if all_features else here[:, list(features)], dtype=np.float64),
                [column.tolist() if labels else np.asarray(column, dtype=np.float64) for column in columns],
            )


def npy_file(path: Path) -> ArrayFile:
    """Open an NPY, mapped into memory."""
    try:
        found: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    except (EOFError, OSError, *BAD_HEADERS) as error:
        raise BadFile("/file", f"cannot be read as NPY: {_numpy_reason(error)}") from None
    beyond = path.stat().st_size - found.offset - found.nbytes
    if beyond > 0:
        raise BadFile("/file", f"has {beyond} bytes after the numbers that its header announces; send one array alone")
    return _array_file(found, None, "the array")


def _numpy_reason(error: Exception) -> str:
    if "allow_pickle" in str(error) or "Python objects" in str(error):
        return "it has Python objects, which are pickled, and what is pickled is not read; save an array of numbers"
    if "mmap length" in str(error):
        return "it ends before all of its numbers have come"
    return str(error)[:200] or type(error).__name__


def _array_file(matrix: npt.NDArray[Any], targets: npt.NDArray[Any] | None, name: str) -> ArrayFile:
    if matrix.dtype.names is not None:
        raise BadFile("/file", f"{name} is structured; send a plain matrix, or Parquet, which has names")
    if matrix.ndim != 2:
        raise BadFile("/file", f"{name} must have two dimensions, rows and columns, got {matrix.ndim}")
    if matrix.dtype.kind not in NUMERIC:
        raise BadFile("/file", f"{name} must be of real numbers, got {matrix.dtype}")
    columns = [Column(str(position), "number", str(matrix.dtype)) for position in range(matrix.shape[1])]
    return ArrayFile(columns, matrix, targets)


def npz_file(path: Path, *, array: str | None, target_array: str | None, limit: int) -> ArrayFile:
    """Open an NPZ: ``X``, or the array that is named, or the only one there is, beside ``y``, or the one that is named."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [member.filename.removesuffix(".npy") for member in members]
            if len(members) > MOST_MEMBERS or len(set(names)) < len(names):
                raise BadFile(
                    "/file", f"must be an NPZ with at most {MOST_MEMBERS} arrays, each with a name of its own"
                )
            if not any(member.filename.endswith(".npy") for member in members):
                raise BadFile("/file", "is a zip archive without arrays; of a workbook, save the sheet as CSV")
            by_name = dict(zip(names, members, strict=True))
            target_name = target_array if target_array is not None else "y" if "y" in by_name else None
            if target_name is not None and target_name not in by_name:
                raise BadFile("/target", _no_array(target_name, names))
            others = [name for name in names if name != target_name]
            name = array or ("X" if "X" in others else others[0] if len(others) == 1 else None)
            if name is None:
                raise BadFile("/array", f"is needed to choose one of the arrays {_listed(others)}")
            if name not in others:
                raise BadFile("/array", _no_array(name, others))
            wanted = [by_name[chosen] for chosen in (name, target_name) if chosen is not None]
            check_size(sum(member.file_size for member in wanted), limit)
            arrays = [_member(archive, member) for member in wanted]
    except BAD_ARCHIVES as error:
        raise BadFile("/file", f"cannot be read as NPZ: {str(error)[:200]}") from None
    file = _array_file(arrays[0], None, f"array {echo(name)}")
    if target_name is None:
        return file
    targets = arrays[1][:, None] if arrays[1].ndim == 1 else arrays[1]
    if targets.ndim != 2 or targets.dtype.names is not None or targets.dtype.kind not in NUMERIC + "US":
        detail = (
            f"array {echo(target_name)} must be a vector or a matrix of numbers or class names, got {arrays[1].dtype}"
        )
        raise BadFile("/target", f"{detail} in {arrays[1].ndim} dimensions")
    if targets.shape[0] != arrays[0].shape[0]:
        raise BadFile(
            "/target",
            f"array {echo(target_name)} has {targets.shape[0]} rows, and {echo(name)} has {arrays[0].shape[0]}",
        )
    if targets.dtype.kind == "S":
        targets = np.char.decode(targets, "utf-8", "replace")
    kind: Kind = "text" if targets.dtype.kind == "U" else "number"
    own = [target_name] if targets.shape[1] == 1 else [f"{target_name}[{place}]" for place in range(targets.shape[1])]
    return ArrayFile([*file.columns, *(Column(title, kind, str(targets.dtype)) for title in own)], file.matrix, targets)


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> npt.NDArray[Any]:
    """Read an array, whose size is known to be admissible, without believing what its header says about that."""
    with archive.open(member) as file:
        content = file.read()
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(stream)
        if dtype.hasobject:
            raise ValueError("Python objects")
        start = stream.tell()
        if math.prod(shape) * dtype.itemsize != len(content) - start:
            raise ValueError(f"its header speaks of another size than the {len(content) - start} bytes there are")
        found = np.frombuffer(content, dtype, offset=start)
    except BAD_HEADERS as error:
        raise BadFile("/file", f"array {echo(member.filename)} cannot be read: {_numpy_reason(error)}") from None
    return found.reshape(shape[::-1]).T if fortran else found.reshape(shape)


def _no_array(name: str, names: Sequence[str]) -> str:
    return f"names an array {echo(name)}, and the arrays there are {_listed(names)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(echo(name) for name in names[:10]) + (", …" if len(names) > 10 else "")
