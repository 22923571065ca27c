"""The HTTP/1.1 protocol of uvicorn with bounds on how slowly and how largely a request may arrive."""

import asyncio
import re
import secrets
from functools import partial
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.problems import MEDIA_TYPE, ProblemException

MAX_HEADER_BYTES = 64 * 1024
DEFAULT_RECEIVE_TIMEOUT = 20.0
SEND_WHOLE = "foretell.send_whole"
UPLOADS = b"/v1/datasets"
"""Where requests may be so large that the time for them goes by what has arrived: the clock starts anew with each step."""
UPLOAD_STEP_BYTES = 2**20
UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


class BoundedProtocol(HttpToolsProtocol):
    """Answers 408 to requests that take longer to arrive than the configuration's ``receive_timeout`` seconds.

    The clock starts when a connection opens or the first byte of a request arrives, and stops with its last byte; a
    request that arrives in one piece costs no timer. Of an upload each MiB may take as long. Headers beyond 64 KiB are
    answered 431, and what is not HTTP 400. So are 64 KiB of anything else that is no body: the framing of chunks, and headers
    after the last one.
    """

    _arrival: asyncio.TimerHandle | None = None
    _arriving = False
    _in_headers = False
    _bytes_without_body = 0
    _bytes_in_step = 0
    _parsing = False
    _begun: tuple[RequestResponseCycle, Any] | None = None

    @property
    def _receive_timeout(self) -> float:
        return getattr(self.config, "receive_timeout", DEFAULT_RECEIVE_TIMEOUT)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock: a connection that never sends anything is closed."""
        super().connection_made(transport)
        self._arrival = self.loop.call_later(self._receive_timeout, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bound what is not body, and start the clock of a request that is not whole yet."""
        if not self._arriving:
            self._in_headers = True
            self._bytes_without_body = 0
            self._arriving = True
        if self._in_headers and b"pgrade:" in data:
            # Java's HttpClient offers HTTP/2 this way with its first request. Declining is to ignore the header, but the
            # parser takes it that no body follows; so it is not shown it. In a JSON body this cannot match.
            data = UPGRADE.sub(b"\r\nignored:", data)
        self._bytes_without_body += len(data)
        self._parsing = True
        HttpToolsProtocol.data_received(self, data)
        self._parsing = False
        if self._begun is not None:
            begun, self._begun = self._begun, None
            self._start(*begun)
        if self._arriving and self._bytes_without_body > MAX_HEADER_BYTES:
            self._end(_headers_too_large())
        elif self._arriving and self._arrival is None and not self.transport.is_closing():
            self._arrival = self.loop.call_later(self._receive_timeout, self._too_slow)

    def on_message_begin(self) -> None:
        """Note that a request has begun, the first of this piece or another."""
        if not self._arriving:
            self._in_headers = True
            self._bytes_without_body = 0
            self._arriving = True
        HttpToolsProtocol.on_message_begin(self)

    def on_headers_complete(self) -> None:
        """Note that the headers are whole."""
        self._in_headers = False
        if self._bytes_without_body > MAX_HEADER_BYTES:
            # They may share the piece with a body: count what they take themselves.
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > MAX_HEADER_BYTES:
                self._end(_headers_too_large())
                raise ValueError("ends the parsing")
        HttpToolsProtocol.on_headers_complete(self)

    def on_body(self, body: bytes) -> None:
        """Note that this piece carries some of the body."""
        self._bytes_without_body = 0
        if self.url.partition(b"?")[0] == UPLOADS:
            self._bytes_in_step += len(body)
            if self._bytes_in_step >= UPLOAD_STEP_BYTES:
                self._bytes_in_step = 0
                self._stop_clock()
        HttpToolsProtocol.on_body(self, body)

    def on_message_complete(self) -> None:
        """Note that the request is whole."""
        self._arriving = False
        if self._arrival is not None:
            self._stop_clock()
        HttpToolsProtocol.on_message_complete(self)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Start on a request; one whose headers are just being parsed waits for what else came in the same piece."""
        if self._parsing:
            self._begun = (cycle, app)
        else:
            self._start(cycle, app)

    def _start(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Answer a request that is whole from what the application has ready, without a task of its own, or start one.

        An application that can has a method ``ready(scope, body)``, which returns the head and body to send, or None.
        Otherwise the request goes on by ASGI, with an extension by which it can be answered in one write.
        """
        ready = getattr(app, "ready", None)
        if ready is not None and not cycle.more_body and self._can_send_whole(cycle):
            answer = ready(cycle.scope, bytes(cycle.body))
            if answer is not None:
                self._send_whole(cycle, *answer)
                return
        extensions: Any = {SEND_WHOLE: partial(self._send_whole, cycle)}
        cycle.scope["extensions"] = extensions
        HttpToolsProtocol._start_asgi_task(self, cycle, app)

    def _can_send_whole(self, cycle: RequestResponseCycle) -> bool:
        """Whether nothing of the answer is sent yet, and the connection stays, is not slow and has not gone."""
        unwritable = cycle.disconnected or self.flow.write_paused or self.transport.is_closing()
        return cycle.keep_alive and not cycle.response_started and not unwritable

    def _send_whole(self, cycle: RequestResponseCycle, head: bytes, body: bytes) -> bool:
        """Send a ready answer in one write: an ASGI extension that spares the server its work on each header.

        Args:
            cycle: of the request that is answered.
            head: status line and headers but for the date, each line ended, without the empty line.
            body: as its Content-Length in the head says.

        Returns:
            False, with nothing sent, where the usual way is needed.
        """
        if not self._can_send_whole(cycle):
            return False
        date = b"".join([name + b": " + value + b"\r\n" for name, value in self.server_state.default_headers])
        cycle.response_started = cycle.response_complete = True
        self.transport.write(b"".join((head, date, b"\r\n", body)))
        cycle.message_event.set()
        cycle.on_response()
        return True

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP with a problem."""
        self._end(ProblemException("invalid_http", msg))

    def _stop_clock(self) -> None:
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None

    def _too_slow(self) -> None:
        self._arrival = None
        if not self._arriving:
            # An idle connection that never sent anything: nothing to answer.
            self.transport.close()
            return
        detail = f"the request did not arrive within {self._receive_timeout:g} s; send it faster or in smaller pieces"
        self._end(ProblemException("request_timeout", detail))

    def _end(self, problem: ProblemException) -> None:
        self._stop_clock()
        if self.transport.is_closing():
            return
        cycle: Any = self.cycle
        if cycle is None or not cycle.response_started or cycle.response_complete:
            request_id = secrets.token_hex(10)
            content = problem.body(request_id)
            head = (
                f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
                f"content-length: {len(content)}\r\nx-request-id: {request_id}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + content)
        self.transport.close()


def _headers_too_large() -> ProblemException:
    return ProblemException("headers_too_large", f"headers may take {MAX_HEADER_BYTES} bytes")
