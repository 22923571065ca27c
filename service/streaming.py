"""Bodies that come in pieces: bounded, and answered before their end where they are refused."""

import asyncio
from contextlib import suppress
from typing import Any

from starlette.types import Message, Receive, Send

from service.problems import ProblemException

LINGER_SECONDS = 1.0
LINGER_BYTES = 64 * 2**20
BODY_ADVICE = "describe large spectra by weights or multiplicities"
UPLOAD_ADVICE = "send fewer rows or columns, or have FORETELL_DATASET_LIMIT raised"


class BoundedStream:
    """A body that is passed on as it comes, up to a limit.

    Args:
        headers: of the request, names in lower case.
        receive: of the server.
        send: likewise.
        limit: bytes that the body may have.

    Raises:
        ProblemException: it is announced to be larger, or encoded.
    """

    def __init__(self, headers: dict[bytes, bytes], receive: Receive, send: Send, *, limit: int) -> None:
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise ProblemException("unsupported_media_type", "send the form as it is, not encoded")
        check_declared(headers, limit, UPLOAD_ADVICE)
        self._receive = receive
        self._send = send
        self._limit = limit
        self._size = 0
        self._whole = not headers.keys() & {b"content-length", b"transfer-encoding"}

    async def receive(self) -> Message:
        """Return the next piece.

        Raises:
            ProblemException: the limit is exceeded.
        """
        message = await self._receive()
        if message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self._size > self._limit:
                raise too_large("more came", self._limit, UPLOAD_ADVICE)
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer; where the body was not read to its end, the connection closes after it."""
        if self._whole:
            await self._send(message)
        elif message["type"] == "http.response.start":
            await self._send({**message, "headers": [*message["headers"], (b"connection", b"close")]})
        else:
            await self._send({**message, "more_body": True})
            if not message.get("more_body", False):
                # The answer is complete for the client; reading on for a moment lets it notice before the connection closes.
                await drain(self._receive)
                await self._send({"type": "http.response.body", "body": b""})


def check_declared(headers: dict[bytes, bytes], limit: int, advice: str = BODY_ADVICE) -> None:
    """Make sure that no more bytes are announced than may come.

    Raises:
        ProblemException: there are, or their number is none.
    """
    declared = headers.get(b"content-length", b"0")
    if not declared.isdigit():
        raise ProblemException("bad_request", "Content-Length must be a whole number")
    if len(declared) > 18 or int(declared) > limit:
        raise too_large(f"{declared.decode()[:30]} bytes were announced", limit, advice)


def too_large(came: str, limit: int, advice: str = BODY_ADVICE) -> ProblemException:
    """Return the refusal of a body."""
    return ProblemException("body_too_large", f"the limit is {limit} bytes and {came}; {advice}")


async def drain(receive: Receive) -> None:
    """Read on for a moment, and drop what comes."""
    size = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while size < LINGER_BYTES:
                message: dict[str, Any] = dict(await receive())
                size += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
