"""What a computation's row says of keeping answers and of the time they take, in this process, with a real server."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.answering import Answerer, Later
from service.cache import MemoryCache
from service.computations import PREDICTIONS, Computation
from service.embedded import EmbeddedValkey
from service.jobs import Jobs
from service.problems import ProblemException
from service.settings import Settings
from service.shared_cache import SharedCache
from tests.running import EXAMPLE
from workers.queue import TIME_LIMIT_SECONDS

BODY = json.dumps(EXAMPLE).encode()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as valkey:
        yield valkey.url


def answering(
    url: str, tmp_path: Path, ask: Callable[[Answerer, MemoryCache], Awaitable[None]], **options: Any
) -> None:
    """Have an answerer asked."""
    settings = Settings(data_dir=tmp_path, **options)
    memory = MemoryCache(max_bytes=2**20, max_entries=10)

    async def run() -> None:
        shared = SharedCache(url, timeout=1.0, ttl=60)
        await shared.start()
        try:
            await ask(Answerer(settings, memory, shared, Jobs(url, timeout=1.0, most_queued=10)), memory)
        finally:
            await shared.stop()

    asyncio.run(run())


def expecting(seconds: float) -> Computation:
    """Return predictions that none is expected to take less than so many seconds for."""
    work = replace(PREDICTIONS.work, seconds_of=lambda _: seconds, pointer="/regime")
    return replace(PREDICTIONS, work=work, quick=lambda _: False)


@pytest.mark.parametrize("quick", [True, False])
def test_what_is_not_to_be_kept_is_worked_out_each_time(url: str, tmp_path: Path, quick: bool) -> None:
    work = replace(PREDICTIONS.work, cacheable=lambda _: False)
    changing = replace(PREDICTIONS, work=work, quick=lambda _: quick)
    body = BODY.replace(b"800", b"810" if quick else b"811")
    digest = PREDICTIONS.digest(body)

    async def ask(answerer: Answerer, memory: MemoryCache) -> None:
        first = await answerer.answer(changing, body, digest)
        again = await answerer.answer(changing, body, digest)
        assert (first.source, again.source) == ("never kept", "never kept")
        assert first.entry.body == again.entry.body
        assert len(memory) == 0
        assert memory.by_digest(digest) is None
        kept = await answerer.answer(PREDICTIONS, body, digest)
        assert kept.source == "solved"
        assert memory.by_digest(digest) is memory.by_key(kept.entry.key)
        # Nor is it found, if another request has had it kept.
        assert (await answerer.answer(changing, body, None)).source == "never kept"

    answering(url, tmp_path, ask)


def test_what_is_expected_to_take_long_is_left_to_a_worker(url: str, tmp_path: Path) -> None:
    async def ask(answerer: Answerer, memory: MemoryCache) -> None:
        dear, body = expecting(60.0), BODY.replace(b"800", b"801")
        with pytest.raises(Later):
            await answerer.answer(dear, body, None)
        assert (await answerer.queue(dear, body)).status == "queued"
        assert len(memory) == 0
        # Known, it costs nothing.
        assert (await answerer.answer(PREDICTIONS, body, None)).source == "solved"
        assert (await answerer.answer(dear, body, None)).source == "memory"
        with pytest.raises(Later):
            await answerer.answer(dear, body, None, fresh=True)

    answering(url, tmp_path, ask)


def test_what_is_expected_to_be_quick_is_answered(url: str, tmp_path: Path) -> None:
    async def ask(answerer: Answerer, _: MemoryCache) -> None:
        body = BODY.replace(b"800", b"802")
        assert (await answerer.answer(expecting(0.5), body, None)).source == "solved"

    answering(url, tmp_path, ask)


def test_what_no_job_has_time_for_is_refused(url: str, tmp_path: Path) -> None:
    async def ask(answerer: Answerer, _: MemoryCache) -> None:
        endless, body = expecting(TIME_LIMIT_SECONDS + 60.0), BODY.replace(b"800", b"803")
        attempts: list[Any] = [answerer.answer(endless, body, None), answerer.queue(endless, body)]
        for attempt in attempts:
            with pytest.raises(ProblemException) as refusal:
                await attempt
            assert (refusal.value.code, refusal.value.errors[0].pointer) == ("too_large", "/regime")
            assert "11 minutes" in refusal.value.detail
            assert PREDICTIONS.work.way_out in refusal.value.detail

    answering(url, tmp_path, ask)


def test_what_goes_on_too_long_keeps_no_one_from_the_queue(url: str, tmp_path: Path) -> None:
    """One thread works out answers, and is not free before this ends."""
    over = threading.Event()

    async def ask(answerer: Answerer, _: MemoryCache) -> None:
        work = replace(PREDICTIONS.work, work_out=lambda *_, **__: over.wait())
        endless = replace(PREDICTIONS, work=work, quick=lambda _: False)
        for n_samples in (b"804", b"805"):
            body = BODY.replace(b"800", n_samples)
            with pytest.raises(Later):
                await answerer.answer(endless, body, None)
            assert (await answerer.queue(endless, body)).status == "queued"

    try:
        answering(url, tmp_path, ask, threads=1, time_limit=0.05)
    finally:
        over.set()
