"""Answers shared between processes through Redis, in batches; and life goes on without it."""

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from service import metrics

log = structlog.get_logger("foretell.redis")

PREFIX = "foretell:prediction:"
MAX_PENDING_WRITES = 10_000
MAX_WRITE_BATCH = 256
WRITE_ALL = """
for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[i + 1], 'EX', ARGV[1]) end
"""
"""Sets all keys in one command with one reply; replies are what costs the client time."""
FIRST_RETRY = 0.1
LAST_RETRY = 2.0
STOP_SECONDS = 2.0


class SharedCache:
    """Reads and writes answers in Redis; never fails and never waits longer than its timeout.

    One exchange with Redis is under way at a time; what is asked meanwhile is gathered into the next one, whose cost it
    then shares. After an error nothing is asked of Redis until a background PING succeeds again.

    Args:
        url: of the Redis or Valkey server.
        timeout: seconds for any command.
        ttl: seconds that an answer is kept.
    """

    def __init__(self, url: str, *, timeout: float, ttl: int) -> None:
        self._client = Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            client_name="foretell-api",
        )
        self._ttl = ttl
        self._reads: dict[str, asyncio.Future[bytes | None]] = {}
        self._writes: OrderedDict[str, bytes] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._exchanging = False
        self._reconnecting = False
        self._stopping = False
        self.up = False

    async def start(self) -> None:
        """Connect; without Redis, start anyway and keep trying."""
        try:
            await self._client.ping()
            self._set_up(True)
        except (RedisError, OSError, TimeoutError) as error:
            self._lost(error)

    async def stop(self) -> None:
        """Write what is queued, as far as Redis is there, and disconnect."""
        with suppress(Exception):
            while self.up and self._writes:
                await self._exchange_once()
        self._stopping = True
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
        with suppress(Exception):
            await self._client.aclose()

    async def get(self, key: str) -> bytes | None:
        """Return the answer under ``key``, or None if there is none or Redis is away."""
        if not self.up:
            return None
        future = self._reads.get(key)
        if future is not None:
            return await asyncio.shield(future)
        future = self._reads[key] = asyncio.get_running_loop().create_future()
        self._exchange_soon()
        return await future

    def put(self, key: str, body: bytes) -> None:
        """Queue an answer to be written."""
        if not self.up or len(self._writes) >= MAX_PENDING_WRITES:
            metrics.REDIS_DROPPED.inc()
            return
        self._writes[key] = body
        self._exchange_soon()

    def _exchange_soon(self) -> None:
        if not self._exchanging:
            self._exchanging = True
            self._spawn(self._exchange())

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _exchange(self) -> None:
        try:
            while self.up and (self._reads or self._writes):
                await self._exchange_once()
        finally:
            self._exchanging = False
            for future in self._reads.values():
                if not future.done():
                    future.set_result(None)
            self._reads.clear()

    async def _exchange_once(self) -> None:
        reads, self._reads = self._reads, {}
        writes = [self._writes.popitem(last=False) for _ in range(min(len(self._writes), MAX_WRITE_BATCH))]
        pipeline = self._client.pipeline(transaction=False)
        if writes:
            pipeline.eval(
                WRITE_ALL, len(writes), *(PREFIX + key for key, _ in writes), self._ttl, *(body for _, body in writes)
            )
        if reads:
            pipeline.mget([PREFIX + key for key in reads])
        values: list[Any] = [None] * len(reads)
        try:
            results = await pipeline.execute(raise_on_error=False)
            # A server at its memory limit refuses writes; that is a full cache, not an absent one.
            if writes and isinstance(results[0], Exception):
                metrics.REDIS_DROPPED.inc(len(writes))
            if reads and isinstance(results[-1], list):
                values = results[-1]
        except (RedisError, OSError, TimeoutError) as error:
            metrics.REDIS_DROPPED.inc(len(writes))
            self._lost(error)
        finally:
            for (key, future), value in zip(reads.items(), values, strict=True):
                if not future.done():
                    future.set_result(value if value is not None and _is_answer(key, value) else None)

    def _lost(self, error: Exception) -> None:
        metrics.REDIS_ERRORS.inc()
        metrics.REDIS_DROPPED.inc(len(self._writes))
        self._writes.clear()
        if not self._reconnecting:
            self._reconnecting = True
            log.warning(
                "redis_lost", error=str(error) or type(error).__name__, consequence="answers are not shared or kept"
            )
            self._set_up(False)
            self._spawn(self._reconnect())

    async def _reconnect(self) -> None:
        delay = FIRST_RETRY
        try:
            # A cancellation that coincides with an error of the connection may get lost in the client, hence the flag.
            while not self._stopping:
                await asyncio.sleep(delay)
                try:
                    await self._client.ping()
                except (RedisError, OSError, TimeoutError):
                    delay = min(2 * delay, LAST_RETRY)
                else:
                    log.info("redis_back")
                    self._set_up(True)
                    return
        finally:
            self._reconnecting = False

    def _set_up(self, up: bool) -> None:
        self.up = up
        metrics.REDIS_UP.set(1 if up else 0)


def _is_answer(key: str, value: bytes) -> bool:
    """Whether what lies under a key can be its answer: something else may write to the same server."""
    return value.startswith(b'{"key":"' + key.encode() + b'"') and value.endswith(b"}")
