"""A load generator light enough not to be what is measured: raw keep-alive sockets on one epoll loop."""

import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """What a run of requests showed: requests a second and latencies in milliseconds."""

    per_second: float
    p50: float
    p99: float
    errors: int


def request_bytes(path: str, body: bytes, *, port: int) -> bytes:
    """Write a POST request of JSON."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def drive(port: int, requests: Sequence[bytes], *, count: int, connections: int = 16) -> Load:
    """Send ``count`` requests, cycling through ``requests``, over keep-alive connections, one at a time on each.

    Every answer is read whole by its Content-Length; an answer other than 200 counts as an error.
    """
    selector = selectors.DefaultSelector()
    source = _cycle(requests, count)
    latencies: list[float] = []
    errors = 0
    open_connections = 0
    began = time.perf_counter()
    for _ in range(connections):
        first = next(source, None)
        if first is None:
            break
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(first)
        selector.register(connection, selectors.EVENT_READ, [time.perf_counter(), b""])
        open_connections += 1
    while open_connections:
        for key, _ in selector.select(timeout=30):
            state, connection = key.data, key.fileobj
            state[1] += connection.recv(65536)  # type: ignore[union-attr]
            status = _complete(state[1])
            if status is None:
                continue
            latencies.append(time.perf_counter() - state[0])
            errors += status != 200
            following = next(source, None)
            if following is None:
                selector.unregister(connection)
                connection.close()  # type: ignore[union-attr]
                open_connections -= 1
                continue
            state[0], state[1] = time.perf_counter(), b""
            connection.sendall(following)  # type: ignore[union-attr]
    elapsed = time.perf_counter() - began
    latencies.sort()
    return Load(
        per_second=len(latencies) / elapsed,
        p50=1e3 * latencies[len(latencies) // 2],
        p99=1e3 * latencies[int(0.99 * len(latencies))],
        errors=errors,
    )


def _cycle(requests: Sequence[bytes], count: int) -> Iterator[bytes]:
    for index in range(count):
        yield requests[index % len(requests)]


def _complete(answer: bytes) -> int | None:
    """Return the status of a whole answer, None while some of it is missing."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return None
    start = answer.lower().find(b"content-length: ", 0, end) + 16
    length = int(answer[start : answer.find(b"\r\n", start)])
    return int(answer[9:12]) if len(answer) >= end + 4 + length else None
