"""Speaking to the service: requests changed in one place, raw bytes on a socket, and what every problem must look like."""

import contextlib
import copy
import json
import select
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from service.problems import KINDS
from tests.running import EXAMPLE, RunningService

PREDICTIONS = "/v1/predictions"
JSON = "Content-Type: application/json\r\n"
EIGENSPECTRUM: dict[str, Any] = {
    "model": {"learner": {"kind": "ridge", "penalty": 0.01}},
    "regime": {
        "kind": "eigenspectrum",
        "n_samples": 60,
        "eigenvalues": [1.0, 0.1],
        "multiplicities": [10, 90],
        "energies": [0.8, 0.2],
        "noise_variance": 0.05,
    },
}


def changed(pointer: str, value: Any, *, request: Any = EXAMPLE) -> Any:
    """Return the request with one place set to a value; missing objects on the way are created."""
    whole = here = copy.deepcopy(request)
    *steps, last = pointer.strip("/").split("/")
    for step in steps:
        here = here[int(step)] if isinstance(here, list) else here.setdefault(step, {})
    here[int(last) if isinstance(here, list) else last] = value
    return whole


def without(pointer: str, *, request: Any = EXAMPLE) -> Any:
    """Return the request without one of its fields."""
    whole = here = copy.deepcopy(request)
    *steps, last = pointer.strip("/").split("/")
    for step in steps:
        here = here[step]
    del here[last]
    return whole


def regression(covariance: Any, **fields: Any) -> Any:
    """Return the example with another covariance, and other fields of the regime."""
    request = changed("/regime/covariance", covariance)
    request["regime"].update(fields)
    return request


def finite(text: str | bytes) -> Any:
    """Parse JSON that may hold no NaN and no Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON number")

    return json.loads(text, parse_constant=refuse)


class Answer(NamedTuple):
    """An HTTP response as it stood on the wire, names of headers in lower case."""

    status_code: int
    headers: dict[str, str]
    content: bytes


def assert_problem(answer: Any, status: int, code: str, *, pointer: str | None = None) -> Any:
    """Check that an answer is a problem document (RFC 9457) of this kind, about this place, and return it."""
    assert answer.status_code == status, f"{answer.status_code} instead of {status}: {answer.content[:500]!r}"
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = finite(answer.content)
    assert problem["code"] == code, problem
    assert problem["status"] == status
    assert problem["type"] == f"urn:foretell:problem:{code}"
    assert problem["title"] == KINDS[code].title
    assert problem["detail"]
    assert KINDS[code].status == status
    if pointer is not None:
        pointers = [error["pointer"] for error in problem["errors"]]
        assert pointer in pointers, problem
        assert all(error["detail"] for error in problem["errors"])
    return problem


class Wire:
    """A connection on which any bytes may be sent."""

    def __init__(self, service: RunningService, *, timeout: float = 30.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", service.port), timeout=timeout)
        self._incoming = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._incoming.close()
        self.socket.close()

    def send(self, data: bytes | str) -> None:
        """Send bytes."""
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def pump(self, pieces: Iterable[bytes], *, heed_answer: bool = True) -> int:
        """Send pieces until the other side answers (or, not heeding that, closes); returns how many bytes it took."""
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                if heed_answer and select.select([self.socket], [], [], 0)[0]:
                    break
                self.socket.sendall(piece)
                sent += len(piece)
        return sent

    def answer(self) -> Answer:
        """Read one response; fails if there is none."""
        status_line = self._incoming.readline().decode("latin-1")
        assert status_line.startswith("HTTP/1.1 "), f"no HTTP response: {status_line!r}"
        headers: dict[str, str] = {}
        while (line := self._incoming.readline().decode("latin-1").strip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = self._incoming.read(int(headers.get("content-length", "0")))
        return Answer(int(status_line.split(" ")[1]), headers, body)

    def closed(self) -> bool:
        """Wait for the other side to close; whether it did, without sending anything more."""
        try:
            return self._incoming.read(1) == b""
        except ConnectionResetError:
            return True


def exchange(service: RunningService, data: bytes | str) -> Answer:
    """Send bytes on a new connection and read one response."""
    with Wire(service) as wire:
        wire.send(data)
        return wire.answer()


def post_head(*headers: str, path: str = PREDICTIONS, version: str = "1.1") -> str:
    """Return the head of a POST."""
    return "\r\n".join([f"POST {path} HTTP/{version}", "Host: localhost", *headers, "", ""])


class Memory(NamedTuple):
    """Resident memory of a process in bytes: now, and at its peak since the last :func:`forget_peak`."""

    resident: int
    peak: int


def memory(service: RunningService) -> Memory:
    """Read the memory of the service's process."""
    assert service.process is not None
    sizes = {}
    for line in Path(f"/proc/{service.process.pid}/status").read_text().splitlines():
        if line.startswith(("VmRSS", "VmHWM")):
            name, size, _ = line.split()
            sizes[name] = int(size) * 1024
    return Memory(sizes["VmRSS:"], sizes["VmHWM:"])


@contextlib.contextmanager
def memory_stays(service: RunningService, *, within: int = 40 * 2**20) -> Iterator[None]:
    """Check that what happens inside takes the service no more memory than this, not even for a moment."""
    assert service.process is not None
    Path(f"/proc/{service.process.pid}/clear_refs").write_text("5")  # forget the peak
    before = memory(service).resident
    yield
    grown = memory(service).peak - before
    assert grown < within, f"the service grew by {grown / 2**20:.1f} MiB"
