"""Requests a client may make: counted in Redis for all API processes together, in memory while Redis is away."""

import math
import time
from contextlib import suppress

from limits import RateLimitItem, parse_many
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter, SlidingWindowCounterRateLimiter

RETRY_REDIS_SECONDS = 2.0


class RateLimits:
    """Enforces limits such as "20/second;600/minute" for each client.

    Args:
        specification: limits in the notation of the ``limits`` package, separated by semicolons.
        url: of Redis.
        timeout: seconds for a command to Redis.
    """

    def __init__(self, specification: str, *, url: str, timeout: float) -> None:
        self.items: list[RateLimitItem] = parse_many(specification)
        options = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
        scheme = "async+redis+unix" if url.startswith("unix:") else "async+" + url.split("://", 1)[0]
        storage = RedisStorage(
            f"{scheme}://{url.split('://', 1)[1]}",
            implementation="redispy",
            wrap_exceptions=False,
            key_prefix="foretell:rate",
            **options,
        )
        self._shared = SlidingWindowCounterRateLimiter(storage)
        self._local = MovingWindowRateLimiter(MemoryStorage())
        self._local_until = 0.0

    async def retry_after(self, client: str) -> int | None:
        """Count a request; returns None if it may pass, or after how many seconds to try again."""
        if time.monotonic() >= self._local_until:
            try:
                return await self._hit(self._shared, client)
            except Exception:  # whatever fails, limit locally
                self._local_until = time.monotonic() + RETRY_REDIS_SECONDS
        return await self._hit(self._local, client)

    async def _hit(self, limiter: MovingWindowRateLimiter | SlidingWindowCounterRateLimiter, client: str) -> int | None:
        for item in self.items:
            if not await limiter.hit(item, client):
                stats = await limiter.get_window_stats(item, client)
                return max(1, math.ceil(stats.reset_time - time.time()))
        return None

    async def close(self) -> None:
        """Disconnect."""
        with suppress(Exception):
            await self._shared.storage.storage.connection_pool.disconnect()  # type: ignore[attr-defined]
