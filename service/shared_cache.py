"""Answers shared between processes through Redis: batched reads and writes, and life goes on without it."""

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
FIRST_RETRY = 0.1
LAST_RETRY = 2.0


class SharedCache:
    """Reads and writes answers in Redis; never fails and never waits longer than its timeout.

    Reads that arrive in one turn of the event loop share one MGET; writes are queued and pipelined behind the answers.
    After an error nothing is asked of Redis until a background PING succeeds again.

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
            max_connections=4,
            client_name="foretell-api",
        )
        self._ttl = ttl
        self._reads: dict[str, asyncio.Future[bytes | None]] = {}
        self._writes: OrderedDict[str, bytes] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing = False
        self._reconnecting = False
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
                await self._write_batch()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(Exception):
            await self._client.aclose()

    async def get(self, key: str) -> bytes | None:
        """Return the answer under ``key``, or None if there is none or Redis is away."""
        if not self.up:
            return None
        future = self._reads.get(key)
        if future is None:
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            if not self._reads:
                loop.call_soon(self._spawn_read)
            self._reads[key] = future
        return await asyncio.shield(future)

    def put(self, key: str, body: bytes) -> None:
        """Queue an answer to be written."""
        if not self.up or len(self._writes) >= MAX_PENDING_WRITES:
            metrics.REDIS_DROPPED.inc()
            return
        self._writes[key] = body
        if not self._writing:
            self._writing = True
            self._spawn(self._write())

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _spawn_read(self) -> None:
        self._spawn(self._read())

    async def _read(self) -> None:
        reads, self._reads = self._reads, {}
        values: list[Any] = [None] * len(reads)
        try:
            values = await self._client.mget([PREFIX + key for key in reads])
        except (RedisError, OSError, TimeoutError) as error:
            self._lost(error)
        finally:
            for (key, future), value in zip(reads.items(), values, strict=True):
                if not future.done():
                    future.set_result(value if value is not None and _is_answer(key, value) else None)

    async def _write(self) -> None:
        try:
            while self._writes and self.up:
                await self._write_batch()
        except (RedisError, OSError, TimeoutError) as error:
            self._lost(error)
        finally:
            self._writing = False

    async def _write_batch(self) -> None:
        batch = [self._writes.popitem(last=False) for _ in range(min(len(self._writes), MAX_WRITE_BATCH))]
        pipeline = self._client.pipeline(transaction=False)
        for key, body in batch:
            pipeline.set(PREFIX + key, body, ex=self._ttl)
        # A server at its memory limit answers OOM to each write; that is a full cache, not an absent one.
        results = await pipeline.execute(raise_on_error=False)
        failed = sum(isinstance(result, Exception) for result in results)
        if failed:
            metrics.REDIS_DROPPED.inc(failed)

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
            while True:
                await asyncio.sleep(delay)
                try:
                    await self._client.ping()
                except (RedisError, OSError, TimeoutError):
                    delay = min(2 * delay, LAST_RETRY)
                else:
                    break
            log.info("redis_back")
            self._set_up(True)
        finally:
            self._reconnecting = False

    def _set_up(self, up: bool) -> None:
        self.up = up
        metrics.REDIS_UP.set(1 if up else 0)


def _is_answer(key: str, value: bytes) -> bool:
    """Whether what lies under a key can be its answer: something else may write to the same server."""
    return value.startswith(b'{"key":"' + key.encode() + b'"') and value.endswith(b"}")
