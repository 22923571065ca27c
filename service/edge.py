"""The outermost ASGI layer: request ids, keys, limits, body bounds, metrics and logs, and the answers to computations.

A request for a computation whose body was answered before is found by the body's digest and answered without being parsed;
authorisation and rate limits come first. Other such requests are answered here too, past the machinery of routes, which
would take longer than to solve a prediction. Everything else goes on to FastAPI, with the body read and bounded.
"""

import itertools
import secrets
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import metrics
from service.answering import Answerer
from service.batching import PATH as BATCH_PATH
from service.cache import Entry, MemoryCache, whole_head
from service.computations import COMPUTATIONS, Computation
from service.http_protocol import SEND_WHOLE
from service.keys import KeyStore
from service.logs import AccessLog
from service.problems import MEDIA_TYPE, ProblemException, unexpected
from service.rate_limits import RateLimits
from service.replying import JSON_TYPES, reply
from service.settings import Settings
from service.streaming import BoundedStream, check_declared, drain, too_large

OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/openapi.json", "/docs"})
"""Answered without a key and without limits: for load balancers, and for browsers, which cannot send a key."""
OPEN_FOLDER = "/docs/assets/"
PLAIN_ACCEPT = frozenset({b"*/*", b"application/json"})
"""Where there are other forms, what else is accepted is looked at more closely."""
DATASETS_PATH = "/v1/datasets"
FORM_BYTES = 2**20
"""Of a form beside the file in it."""


class Edge:
    """Pure ASGI middleware, once around the whole application.

    Args:
        app: the FastAPI application.
        settings: of the service.
        cache: answers in memory.
        answerer: answers what is not there.
        keys: API keys, or None when none are asked for.
        limits: rate limits, or None.
        access_log: where requests are noted.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings,
        cache: MemoryCache,
        answerer: Answerer,
        keys: KeyStore | None,
        limits: RateLimits | None,
        access_log: AccessLog,
    ) -> None:
        self._app = app
        self._cache = cache
        self._answerer = answerer
        self._keys = keys
        self._limits = limits
        self._guarded = keys is not None or limits is not None
        self._body_limit = settings.body_limit
        self._batch_body_limit = settings.batch_body_limit
        self._upload_limit = settings.dataset_limit + FORM_BYTES
        self._access_log = access_log
        quiet = settings.log_level in ("warning", "error")
        self._log_hits = settings.access_log == "all" and not quiet
        self._log_others = settings.access_log != "off" and not quiet
        self._id_prefix = secrets.token_hex(6)
        self._id_counter = itertools.count()
        self._hits = {path: metrics.HitMeter("POST", path) for path in COMPUTATIONS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        scope["request_id"] = self._request_id(headers)
        path = scope["path"]
        if self._guarded:
            refusal = await self._admit(scope, headers, path)
            if refusal is not None:
                has_body = headers.keys() & {b"content-length", b"transfer-encoding"}
                await self._refuse(refusal, scope, receive, send, started, unread=bool(has_body))
                return
        if path == DATASETS_PATH and scope["method"] == "POST":
            await self._stream(scope, headers, receive, send, started)
            return
        try:
            body = await self._whole_body(path, headers, receive)
        except ProblemException as problem:
            await self._refuse(problem, scope, receive, send, started, unread=True)
            return
        except _Disconnected:
            return
        computation = COMPUTATIONS.get(path)
        if computation is not None and scope["method"] == "POST":
            digest = computation.digest(body)
            entry = self._cache.by_digest(digest)
            if entry is not None and _plain(headers, computation):
                await self._send_hit(entry, scope, send, started)
            else:
                await self._answer(computation, scope, headers, body, digest, receive, send, started)
            return
        await self._pass_on(scope, receive, send, body, started)

    def ready(self, scope: Scope, body: bytes) -> tuple[bytes, bytes] | None:
        """Return the head and body of an answer that is in memory, for a server that asks before it calls.

        Args:
            scope: of an HTTP request.
            body: all of it.

        Returns:
            None where there is none, or where keys or limits, which may have to be asked for elsewhere, come first.
        """
        computation = COMPUTATIONS.get(scope["path"])
        if computation is None or scope["method"] != "POST" or self._guarded:
            return None
        started = time.perf_counter()
        entry = self._cache.by_digest(computation.digest(body))
        if entry is None:
            return None
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if not _plain(headers, computation):
            return None
        scope["request_id"] = self._request_id(headers)
        self._account_hit(scope, started)
        return _hit_head(entry, scope), entry.body

    async def _send_hit(self, entry: Entry, scope: Scope, send: Send, started: float) -> None:
        if not _sent_whole(scope, _hit_head(entry, scope), entry.body):
            headers = [*entry.hit_headers, (b"x-request-id", scope["request_id"].encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": entry.body})
        self._account_hit(scope, started)

    def _account_hit(self, scope: Scope, started: float) -> None:
        self._hits[scope["path"]].add(time.perf_counter() - started)
        if self._log_hits:
            self._log_request(scope, 200, started, source="memory")

    def _request_id(self, headers: dict[bytes, bytes]) -> str:
        return _given_id(headers) or f"{self._id_prefix}{next(self._id_counter):08x}"

    async def _answer(
        self,
        computation: Computation,
        scope: Scope,
        headers: dict[bytes, bytes],
        body: bytes,
        digest: bytes,
        receive: Receive,
        send: Send,
        started: float,
    ) -> None:
        try:
            answer = await reply(self._answerer, computation, headers, body, digest)
        except ProblemException as problem:
            await self._refuse(problem, scope, receive, send, started)
        except Exception as error:
            await self._refuse(unexpected(error, scope), scope, receive, send, started)
        else:
            answer.headers.append((b"x-request-id", scope["request_id"].encode()))
            if answer.status != 200 or not _sent_whole(scope, whole_head(answer.headers), answer.body):
                await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
                await send({"type": "http.response.body", "body": answer.body})
            self._account(scope, "POST", answer.status, started, route=computation.path, source=answer.source)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, body: bytes, started: float) -> None:
        delivered = False

        async def replay() -> Message:
            nonlocal delivered
            if delivered:
                return await receive()
            delivered = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._forward(scope, replay, send, started)

    async def _forward(self, scope: Scope, receive: Receive, send: Send, started: float) -> None:
        method = scope["method"]
        if method == "HEAD":
            # The server drops the body of an answer to HEAD; the routes need not know.
            scope = {**scope, "method": "GET"}
        answered = False
        status = 500

        async def tagged(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], True
                message["headers"] = [*message["headers"], (b"x-request-id", scope["request_id"].encode())]
            await send(message)

        try:
            await self._app(scope, receive, tagged)
        except Exception:
            # The handler of unexpected errors has logged and answered it; only what it could not answer goes on.
            if not answered:
                raise
        finally:
            self._account(scope, method, status, started)

    async def _stream(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send, started: float
    ) -> None:
        """Pass on a request whose body is a file: not read here, but bounded all the same."""
        try:
            stream = BoundedStream(headers, receive, send, limit=self._upload_limit)
        except ProblemException as problem:
            await self._refuse(problem, scope, receive, send, started, unread=True)
            return
        await self._forward(scope, stream.receive, stream.send, started)

    async def _admit(self, scope: Scope, headers: dict[bytes, bytes], path: str) -> ProblemException | None:
        if path in OPEN_PATHS or path.startswith(OPEN_FOLDER):
            return None
        client = (scope["client"] or ("unknown",))[0]
        if self._keys is not None:
            scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
            key_id = self._keys.verify(token.strip()) if scheme.lower() == "bearer" else None
            if key_id is None:
                detail = "the API key is not valid" if token else "send an API key as 'Authorization: Bearer <key>'"
                return ProblemException("unauthorized", detail, headers={"WWW-Authenticate": 'Bearer realm="foretell"'})
            client = key_id
        scope["client_id"] = client
        if self._limits is not None:
            wait = await self._limits.retry_after(client)
            if wait is not None:
                limit = "; ".join(str(item) for item in self._limits.items)
                return ProblemException(
                    "rate_limited", f"the limit is {limit}; try again in {wait} s", headers={"Retry-After": str(wait)}
                )
        return None

    async def _whole_body(self, path: str, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """Read a body, if there is one.

        Raises:
            ProblemException: it is too large.
        """
        if not headers.keys() & {b"content-length", b"transfer-encoding"}:
            return b""
        limit = self._batch_body_limit if path == BATCH_PATH else self._body_limit
        check_declared(headers, limit)
        message = await receive()
        if message.get("more_body") or message["type"] == "http.disconnect":
            body = await self._rest(message, receive, limit)
        else:
            body = message["body"]
        if len(body) > limit:
            raise too_large("more came", limit)
        return body

    async def _rest(self, message: Message, receive: Receive, limit: int) -> bytes:
        """Read a body that comes in pieces, up to the first beyond the limit."""
        pieces: list[bytes] = []
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                raise _Disconnected
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > limit or not message.get("more_body", False):
                return b"".join(pieces)
            message = await receive()

    async def _refuse(
        self,
        problem: ProblemException,
        scope: Scope,
        receive: Receive,
        send: Send,
        started: float,
        *,
        unread: bool = False,
    ) -> None:
        """Answer with a problem; where the body was not read, close the connection after it."""
        content = problem.body(scope["request_id"])
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(content)).encode()),
            (b"x-request-id", scope["request_id"].encode()),
            *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
        ]
        if unread:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await send({"type": "http.response.body", "body": content, "more_body": unread})
        if unread:
            # The answer is complete for the client; reading on for a moment lets it notice before the connection closes.
            await drain(receive)
            await send({"type": "http.response.body", "body": b""})
        self._account(scope, scope["method"], problem.status, started)

    def _account(
        self,
        scope: Scope,
        method: str,
        status: int,
        started: float,
        *,
        route: str | None = None,
        source: str | None = None,
    ) -> None:
        if route is None:
            path = scope["path"]
            route = path if path in COMPUTATIONS else getattr(scope.get("route"), "path", None) or "other"
        metrics.labelled(metrics.REQUESTS, method if method in _METHODS else "other", route, str(status)).inc()
        metrics.labelled(metrics.LATENCY, route).observe(time.perf_counter() - started)
        if self._log_others:
            self._log_request(scope, status, started, source=source)

    def _log_request(self, scope: Scope, status: int, started: float, *, source: str | None) -> None:
        self._access_log.write(
            {
                "method": scope["method"],
                "path": scope["path"][:200],
                "status": status,
                "milliseconds": round(1e3 * (time.perf_counter() - started), 3),
                "request_id": scope["request_id"],
                "client": scope.get("client_id"),
                "source": source,
            }
        )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Disconnected(Exception):
    """The client went away before its request was complete."""


def _hit_head(entry: Entry, scope: Scope) -> bytes:
    return b"%bx-request-id: %b\r\n" % (entry.hit_head, scope["request_id"].encode())


def _sent_whole(scope: Scope, head: bytes, body: bytes) -> bool:
    """Send an answer in one write, if the server offers that and the connection allows it."""
    send_whole = scope.get("extensions", {}).get(SEND_WHOLE)
    return send_whole is not None and send_whole(head, body)


def _plain(headers: dict[bytes, bytes], computation: Computation) -> bool:
    """Whether a request asks for nothing but the answer: no revalidation, no bypass, the usual content types."""
    return (
        headers.get(b"content-type") in JSON_TYPES
        and b"if-none-match" not in headers
        and b"cache-control" not in headers
        and b"prefer" not in headers
        and b"content-encoding" not in headers
        and (not computation.forms or headers.get(b"accept", b"*/*") in PLAIN_ACCEPT)
    )


def _given_id(headers: dict[bytes, bytes]) -> str | None:
    given = headers.get(b"x-request-id")
    if given is None or not 0 < len(given) <= 128:
        return None
    text = given.decode("latin-1")
    return text if text.isascii() and text.isprintable() and '"' not in text else None
