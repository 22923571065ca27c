"""A file that is posted as ``multipart/form-data``, streamed to the disk while it is digested; the fields beside it."""

import asyncio
import csv
import hashlib
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from api_schemas.dataset import DatasetForm
from api_schemas.problem import ProblemError
from service.problems import ProblemException
from workers.data_store import UPLOAD, DataStore
from workers.file_formats import LONGEST_MAGIC

FILE = "file"
SEVERAL = frozenset({"target"})
"""Fields that may come more than once, and that may list values as a line of CSV does."""
FIELDS = frozenset(DatasetForm.model_fields)
MOST_PARTS = 200
LONGEST_FIELD = 64 * 1024
LONGEST_BOUNDARY = 200
"""RFC 2046 allows 70."""
LONGEST_NAME = 100
WRITTEN_BYTES = 2**20
"""Are gathered before a thread writes them."""
GRANTED_BYTES = 16 * 2**20
"""Are written at most before it is looked up anew how much room there is, which others take too."""


@dataclass
class Upload:
    """What was posted.

    Attributes:
        folder: with the file in it.
        name: of the file, without folders, as it may be shown.
        digest: of its bytes, SHA-256 in hexadecimal.
        start: its first bytes.
        fields: values by name, in the order in which they came.
    """

    folder: Path
    name: str = ""
    digest: str = ""
    start: bytes = b""
    fields: dict[str, list[str]] = field(default_factory=dict)

    @property
    def form(self) -> dict[str, Any]:
        """The fields as :class:`DatasetForm` has them; empty ones count as left out, as browsers send them.

        Raises:
            ProblemException: a list is none.
        """
        found: dict[str, Any] = {}
        for name, values in self.fields.items():
            if name in SEVERAL:
                found[name] = [part for value in values for part in _listed(name, value)]
            elif values[-1].strip():
                found[name] = values[-1].strip()
        return found


@asynccontextmanager
async def received(request: Request, store: DataStore) -> AsyncIterator[Upload]:
    """Receive a file and the fields beside it; what was received is removed unless it is taken away.

    Args:
        request: whose body has not been read.
        store: where files may wait.

    Raises:
        ProblemException: the body is no form with one file, or something in it is not admissible.
        OSError: the disk is full, or data sets take as much of it as they may.
    """
    boundary = _boundary(request.headers.get("content-type", ""))
    # Before anything is read: a file has at least one byte.
    await asyncio.to_thread(store.check_room, 1)
    folder = await asyncio.to_thread(store.new_upload)
    upload = Upload(folder)
    try:
        with (folder / UPLOAD).open("wb") as file:
            await _Form(upload, file, store).read(request, boundary)
        yield upload
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _boundary(content_type: str) -> bytes:
    media_type, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if media_type != b"multipart/form-data" or not 0 < len(boundary) <= LONGEST_BOUNDARY:
        got = f"got {content_type[:60]!r}" if content_type else "none was given"
        raise ProblemException(
            "unsupported_media_type",
            f"send Content-Type: multipart/form-data with a part 'file', as curl -F does; {got}",
        )
    return boundary


class _Form:
    """Reads a form: parts that are fields into memory, the one that is the file to the disk.

    Args:
        upload: to fill.
        file: to write to.
        store: that it lies in, which says how much may be written.
    """

    def __init__(self, upload: Upload, file: BinaryIO, store: DataStore) -> None:
        self._upload = upload
        self._file = file
        self._store = store
        self._granted = 0.0
        self._digest = hashlib.sha256()
        self._unwritten = bytearray()
        self._header = b"", b""
        self._disposition = b""
        self._name = ""
        self._value = bytearray()
        self._parts = 0
        self._has_file = False
        self._before: bytes | None = b"\n"
        self._ended = False

    async def read(self, request: Request, boundary: bytes) -> None:
        """Read the body to its end."""
        events: Any = {
            name: getattr(self, f"_{name}")
            for name in ("on_part_begin", "on_header_field", "on_header_value", "on_header_end")
        }
        events |= {
            name: getattr(self, f"_{name}") for name in ("on_headers_finished", "on_part_data", "on_part_end", "on_end")
        }
        parser = MultipartParser(boundary, events)
        try:
            async for chunk in request.stream():
                parser.write(self._after_preamble(chunk, b"--" + boundary))
                if len(self._unwritten) >= WRITTEN_BYTES:
                    await self._write()
        except FormParserError as error:
            raise ProblemException("bad_request", f"the form cannot be read: {str(error)[:200]}") from None
        if self._before is not None:
            detail = "the body has no line '--' with the boundary that Content-Type names; send it as curl -F does"
            raise ProblemException("bad_request", detail)
        if not self._ended:
            raise ProblemException("bad_request", "the form ends before its last boundary; send it again")
        if not self._has_file:
            raise _refused(FILE, "is required: the file with the rows")
        await self._write()
        self._upload.digest = self._digest.hexdigest()

    def _after_preamble(self, chunk: bytes, delimiter: bytes) -> bytes:
        """Return what of the body comes after the text that may stand before the first boundary (RFC 2046, 5.1.1)."""
        if self._before is None:
            return chunk
        # The first line is one too.
        before = self._before + chunk
        found = before.find(b"\n" + delimiter)
        if found < 0:
            self._before = before[-len(delimiter) :]
            return b""
        self._before = None
        return before[found + 1 :]

    async def _write(self) -> None:
        data, self._unwritten = bytes(self._unwritten), bytearray()
        await asyncio.to_thread(self._take, data)

    def _take(self, data: bytes) -> None:
        if len(data) > self._granted:
            self._granted = min(self._store.check_room(len(data), begun=self._file.tell()), GRANTED_BYTES)
        self._granted -= len(data)
        self._digest.update(data)
        self._file.write(data)
        self._file.flush()

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise ProblemException("bad_request", f"the form has more than {MOST_PARTS} parts")
        self._disposition = b""
        self._value = bytearray()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header = self._header[0] + data[start:end], self._header[1]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = self._header[0], self._header[1] + data[start:end]

    def _on_header_end(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = value
        self._header = b"", b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        try:
            self._name = options.get(b"name", b"").decode()
            file_name = options.get(b"filename", b"").decode()
        except UnicodeDecodeError:
            raise ProblemException("bad_request", "a part of the form has a name that is not in UTF-8") from None
        if self._name == FILE:
            if self._has_file:
                raise _refused(FILE, "came twice; send one file")
            self._has_file = True
            self._upload.name = shown(file_name)
        elif self._name not in FIELDS:
            raise _refused(
                self._name[:LONGEST_NAME], f"is not a field here; there are {FILE}, {', '.join(sorted(FIELDS))}"
            )

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == FILE:
            self._unwritten += data[start:end]
            if len(self._upload.start) < LONGEST_MAGIC:
                self._upload.start += data[start : min(end, start + LONGEST_MAGIC - len(self._upload.start))]
            return
        self._value += data[start:end]
        if len(self._value) > LONGEST_FIELD:
            raise _refused(self._name, f"must have at most {LONGEST_FIELD} bytes")

    def _on_part_end(self) -> None:
        if self._name == FILE:
            return
        try:
            value = self._value.decode()
        except UnicodeDecodeError:
            raise _refused(self._name, "must be text in UTF-8") from None
        values = self._upload.fields.setdefault(self._name, [])
        if values and self._name not in SEVERAL:
            raise _refused(self._name, "came twice; send one value")
        values.append(value)

    def _on_end(self) -> None:
        self._ended = True


def shown(name: str) -> str:
    """Return the name of a file as it may be shown: without folders, of either system, and without control characters."""
    last = PurePosixPath(name.replace("\\", "/")).name
    return re.sub(r"[^\w .()+@-]", "_", last)[:LONGEST_NAME] or "unnamed"


def _listed(name: str, value: str) -> list[str]:
    """Read a line of CSV."""
    try:
        rows = list(csv.reader([value], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise _refused(name, f"must be a line of CSV: {error}") from None
    return [part.strip() for row in rows for part in row if part.strip()]


def _refused(name: str, detail: str) -> ProblemException:
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    error = ProblemError(pointer=pointer, detail=detail)
    return ProblemException("validation_error", f"{pointer}: {detail}", errors=[error])
