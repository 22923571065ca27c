"""CSV files by pyarrow, row by row, with what is wrong said in the terms of the file."""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from workers.arrow_files import block_of
from workers.file_formats import BLOCK_BYTES, BadFile, Block, Column, echo, missing

SEPARATORS = ",;\t|"
LONGEST_HEADER = 16 * 2**20
CONVERSION_ERROR = re.compile(
    r"In CSV column #(\d+): (?:Row #(\d+): )?CSV conversion error to (\w+): (?:invalid value '(.*)'|.*)", re.S
)
PARSE_ERROR = re.compile(r"CSV parse error: (?:Row #(\d+): )?Expected (\d+) columns, got (\d+)", re.S)


class CsvFile:
    """Text in UTF-8, separated by commas, semicolons, tabs or bars, whichever the first line has most of.

    The first line is a header unless it has numbers alone that do not count the columns; these are named by their positions
    then.

    Args:
        path: of the file.

    Raises:
        BadFile: it has no header that can be read.
    """

    own_targets: Sequence[int] = ()

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            start = file.read(LONGEST_HEADER)
        start = start.removeprefix(b"\xef\xbb\xbf")
        line = re.match(rb"[\r\n]*([^\r\n]*)", start)
        assert line is not None  # it matches nothing too
        try:
            text = line.group(1).decode()
        except UnicodeDecodeError as error:
            raise BadFile(
                "/file", f"is not in UTF-8: byte {error.start + 1} of the header is none; save it in UTF-8"
            ) from None
        if not text.strip():
            raise BadFile("/file", "has no header line; CSV begins with the names of the columns")
        if "\x00" in text:
            raise BadFile("/file", "is no text; send CSV, NPY, NPZ, Parquet or Arrow")
        if text.count('"') % 2:
            raise BadFile("/file", "has a quote in its first line that does not end there; names take one line")
        if len(text) >= LONGEST_HEADER - 8:
            raise BadFile("/file", "begins with a line of 16 MB; CSV begins with the names of the columns")
        self._separator = max(SEPARATORS, key=lambda separator: (_outside_quotes(text, separator), separator == ","))
        names = _cells(text, self._separator)
        positions = [str(position) for position in range(len(names))]
        # Data frames without names are written with a header of positions.
        self._header = names == positions or not all(_is_number(name) for name in names)
        self.warnings: list[tuple[str, str]] = []
        if names == positions:
            detail = "the first line counts the columns from 0 and was read as their names; if it is a row, name them"
            self.warnings.append(("numbered_header", detail))
        elif not self._header:
            names = positions
            detail = (
                "the first line has numbers alone and was read as a row; columns are named by their positions from 0"
            )
            self.warnings.append(("no_header", detail))
        self.columns = [Column(name, None, "text") for name in names]

    def blocks(self, features: Sequence[int], targets: Sequence[int], *, labels: bool) -> Iterator[Block]:
        """Return the rows in their order."""
        import pyarrow  # noqa: PLC0415 - takes a tenth of a second and 60 MB, where a file is read and nowhere else
        import pyarrow.csv  # noqa: PLC0415

        places = [str(position) for position in range(len(self.columns))]
        types = dict.fromkeys(places, pyarrow.float64())
        if labels:
            types |= {places[position]: pyarrow.string() for position in targets}
        options = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=False)
        empty = frozenset(options.null_values)
        row = 0
        try:
            reader = pyarrow.csv.open_csv(
                self._path,
                read_options=pyarrow.csv.ReadOptions(
                    column_names=places, skip_rows=int(self._header), use_threads=False, block_size=BLOCK_BYTES
                ),
                parse_options=pyarrow.csv.ParseOptions(delimiter=self._separator),
                convert_options=options,
            )
            for batch in reader:
                for position in (*features, *(() if labels else targets)):
                    if batch.column(position).null_count:
                        place = batch.column(position).is_null().index(True).as_py()
                        raise missing(self.columns[position].name, row + place + 1)
                block = block_of(batch, features, targets, labels=labels)
                if labels:
                    for position, values in zip(targets, block.targets, strict=True):
                        for place, value in enumerate(values):
                            if value in empty:
                                raise missing(self.columns[position].name, row + place + 1)
                yield block
                row += batch.num_rows
        except pyarrow.ArrowInvalid as error:
            raise self._explained(str(error)) from None

    def _explained(self, message: str) -> BadFile:
        """Say what pyarrow found in the terms of the file."""
        first = int(self._header)
        if found := CONVERSION_ERROR.match(message):
            column, row, kind, value = found.groups()
            place = f"column {echo(self.columns[int(column)].name)}" + (f" in row {int(row) - first}" if row else "")
            if kind == "string" or value is None:
                return BadFile("/file", f"{place} is not in UTF-8; save it in UTF-8")
            return BadFile(
                "/file",
                f"{place} has {echo(value)}, and features and regression targets must be numbers like -1.5e3; leave the column"
                " out, or code its values as numbers",
            )
        if found := PARSE_ERROR.match(message):
            row, expected, got = found.groups()
            place = f"row {int(row) - first}" if row else "a row"
            return BadFile(
                "/file", f"{place} has {got} cells, and the first line has {expected}; every row needs as many"
            )
        if "straddles" in message:
            return BadFile("/file", f"has a row of more than {BLOCK_BYTES} bytes, or a quote that does not end")
        if "Empty CSV" in message:
            return BadFile("/file", "has no rows below its header")
        return BadFile("/file", f"cannot be read as CSV: {message[:200]}")


def _outside_quotes(line: str, separator: str) -> int:
    return re.sub(r'"[^"]*"', "", line).count(separator)


def _cells(line: str, separator: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]
    except csv.Error as error:
        raise BadFile("/file", f"has a first line that cannot be read as CSV: {error}") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
