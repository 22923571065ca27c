"""What the files of data sets have in common: how each format is told, a stream of blocks of rows, what is refused.

None of them is trusted. A source says which columns it has and of what kinds; then it gives the chosen ones, a block of rows
at a time, so that no file is in memory as a whole.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from api_schemas.dataset import DatasetForm, Format
from workers.refusals import Refused, TooLarge

MAGIC: tuple[tuple[bytes, Format], ...] = (
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"\xff\xff\xff\xff", "arrow"),
    (b"\x93NUMPY", "npy"),
    (b"PK\x03\x04", "npz"),
    (b"PK\x05\x06", "npz"),
)
"""How files of each format begin; any other is CSV."""
NO_FORMAT: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "is compressed by gzip; send it uncompressed"),
    (b"BZh", "is compressed by bzip2; send it uncompressed"),
    (b"\xfd7zXZ", "is compressed by xz; send it uncompressed"),
    (b"\x28\xb5\x2f\xfd", "is compressed by Zstandard; send it uncompressed"),
    (b"FEA1", "is in version 1 of Feather; write it in version 2, which is Arrow"),
    (b"PARE", "is encrypted; send it unencrypted"),
    (b"\x89HDF", "is in HDF5; write the arrays by numpy.savez"),
    (b"\xff\xfe", "is in UTF-16; save it in UTF-8"),
    (b"\xfe\xff", "is in UTF-16; save it in UTF-8"),
    (b"\xd0\xcf\x11\xe0", "is a workbook; save it as CSV"),
    (b"\x80\x04", "is pickled, and what is pickled is not read; use numpy.save"),
    (b"\x80\x05", "is pickled, and what is pickled is not read; use numpy.save"),
)
LONGEST_MAGIC = 8
BLOCK_BYTES = 8 * 2**20
"""Of a block of rows, about."""
LONGEST_ECHO = 40

Kind = Literal["number", "text", "other"]
Numbers = npt.NDArray[np.float64]


class BadFile(Refused):
    """A file is none that can be read, or its contents are no data set."""

    code = "invalid_dataset"


class Column(NamedTuple):
    """A column as the file declares it; ``kind`` is None where only its values will tell."""

    name: str
    kind: Kind | None
    declared: str


class Block(NamedTuple):
    """Some rows: features (m, d), and each target as numbers (m,), or as a list of text, numbers and truth values."""

    features: Numbers
    targets: list[Any]


class Source(Protocol):
    """A file that was opened."""

    @property
    def columns(self) -> Sequence[Column]:
        """All columns, in their order."""

    @property
    def own_targets(self) -> Sequence[int]:
        """Positions of those that the file itself says are targets."""

    @property
    def warnings(self) -> Sequence[tuple[str, str]]:
        """Codes and details of what to know about how it was read."""

    def blocks(self, features: Sequence[int], targets: Sequence[int], *, labels: bool) -> Iterator[Block]:
        """Return the rows in their order.

        Args:
            features: positions of the columns that are features.
            targets: of those that are targets.
            labels: whether these are classes, which are given as they are.

        Raises:
            Refused: the file cannot be read on.
        """


def format_of(start: bytes, *, asked: str | None = None) -> Format:
    """Return the format of a file by how it begins.

    Args:
        start: the first :data:`LONGEST_MAGIC` bytes.
        asked: for a format, which must be that one.

    Raises:
        BadFile: it is none that is read, or another than was said.
    """
    if not start:
        raise BadFile("/file", "is empty; send rows of numbers")
    for magic, reason in NO_FORMAT:
        if start.startswith(magic):
            raise BadFile("/file", reason)
    found: Format = next((name for magic, name in MAGIC if start.startswith(magic)), "csv")
    if asked is not None and asked != found:
        seems = (
            f"begins as a file of format {found!r} does" if found != "csv" else f"does not begin as one of {asked!r}"
        )
        raise BadFile("/format", f"is {asked!r}, and the file {seems}; leave the format out, or send the other file")
    return found


def with_format(form: DatasetForm, start: bytes) -> DatasetForm:
    """Return a form with the format of its file, of which the fields must make sense.

    Args:
        form: as it was sent.
        start: the first :data:`LONGEST_MAGIC` bytes of the file.

    Raises:
        BadFile: the file is in no format that is read, or in another than was said, or a field is for another.
    """
    found = format_of(start, asked=form.format)
    if form.array is not None and found != "npz":
        raise BadFile("/array", f"names an array of an NPZ, and the file is {found!r}, which has none; leave it out")
    return form.model_copy(update={"format": found})


def echo(value: Any) -> str:
    """Return a value as it may be shown: short, and on one line."""
    text = repr(value if isinstance(value, str) else str(value))
    return text if len(text) <= LONGEST_ECHO else f"{text[:LONGEST_ECHO]}…'"


def missing(name: str, row: int) -> BadFile:
    """Return the refusal of a cell without a value."""
    return BadFile(
        "/file",
        f"column {echo(name)} is empty in row {row}; every cell needs a value: fill it in, or leave the row out",
    )


def check_size(size: int, limit: int) -> None:
    """Refuse what would take too much memory.

    Raises:
        TooLarge: it would.
    """
    if size > limit:
        raise TooLarge(
            "/file", f"expands to {size} bytes of numbers, and the limit is {limit}; send fewer rows or columns"
        )
