"""The cache: which requests share an answer, where it is found, and that nothing wrong ever comes out of it."""

import asyncio
import json
import random
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from service import answering
from service.app import create_app
from service.cache import ENTRY_OVERHEAD, MAX_DIGESTS, Entry, MemoryCache
from service.embedded import EmbeddedValkey
from service.keys import KeyStore
from service.settings import Settings
from service.shared_cache import PREFIX
from tests.running import EXAMPLE, RunningService, wait_until
from tests.service.wire import PREDICTIONS, assert_problem, changed, regression

MISS = "foretell; fwd=uri-miss; stored"
HIT_MEMORY = "foretell; hit; detail=memory"
HIT_REDIS = "foretell; hit; detail=redis"
REFRESHED = "foretell; fwd=request; stored"
COLLAPSED = "foretell; fwd=uri-miss; collapsed"


def unseen() -> Any:
    """Return a request that nobody has sent before."""
    return changed("/model/learner/penalty", random.uniform(0.1, 0.2))


def large(n_eigenvalues: int = 200_000) -> Any:
    """Return a new request that takes a moment to solve."""
    eigenvalues = [1.0 + index / n_eigenvalues for index in range(n_eigenvalues)]
    request = regression({"kind": "explicit", "eigenvalues": eigenvalues}, n_features=n_eigenvalues)
    return changed("/model/learner/penalty", unseen()["model"]["learner"]["penalty"], request=request)


def stage(answer: httpx.Response) -> str:
    """Return where an answer came from."""
    assert answer.status_code == 200, answer.content
    return answer.headers["cache-status"]


class TestRevalidation:
    def test_the_etag_is_the_key(self, service: RunningService) -> None:
        answer = service.predict()
        assert answer.headers["etag"] == f'"{answer.json()["key"]}"'
        assert len(answer.json()["key"]) == 64

    @pytest.mark.parametrize(
        "condition", ["{etag}", "W/{etag}", '"other", {etag}', '{etag},"other"', '"a", W/{etag} , "b"', "*"]
    )
    def test_the_same_etag_is_304_without_a_body(self, service: RunningService, condition: str) -> None:
        etag = service.predict().headers["etag"]
        answer = service.predict(headers={"If-None-Match": condition.format(etag=etag)})
        assert answer.status_code == 304
        assert answer.content == b""
        assert answer.headers["etag"] == etag
        assert "content-type" not in answer.headers

    @pytest.mark.parametrize("condition", ['"other"', "", "{bare}", '"{bare}x"', "W/"])
    def test_another_is_200(self, service: RunningService, condition: str) -> None:
        key = service.predict().json()["key"]
        answer = service.predict(headers={"If-None-Match": condition.format(bare=key)})
        assert answer.status_code == 200
        assert answer.json()["key"] == key

    def test_a_connection_is_in_step_after_a_304(self, service: RunningService) -> None:
        with service.client() as client:
            for _ in range(3):
                assert client.post(PREDICTIONS, json=EXAMPLE, headers={"If-None-Match": "*"}).status_code == 304
                assert client.post(PREDICTIONS, json=EXAMPLE).status_code == 200


class TestStages:
    def test_first_solved_then_from_memory(self, service: RunningService) -> None:
        request = unseen()
        answers = [service.predict(request) for _ in range(3)]
        assert [stage(answer) for answer in answers] == [MISS, HIT_MEMORY, HIT_MEMORY]
        assert len({answer.content for answer in answers}) == 1

    @pytest.mark.parametrize("directive", ["no-cache", "no-store", "max-age=0, no-cache", "No-Cache"])
    def test_a_client_may_insist_on_a_new_answer(self, service: RunningService, directive: str) -> None:
        request = unseen()
        first = service.predict(request)
        solved = service.metric("foretell_solve_seconds_count")
        again = service.predict(request, headers={"Cache-Control": directive})
        assert stage(again) == REFRESHED
        assert service.metric("foretell_solve_seconds_count") == solved + 1
        assert again.content == first.content

    def test_after_a_restart_from_redis(self, tmp_path: Path) -> None:
        request = unseen()
        with RunningService(tmp_path) as running:
            first = running.predict(request)
            assert stage(first) == MISS
            assert running.stop() == 0
            running.start()
            second, third = running.predict(request), running.predict(request)
            assert [stage(second), stage(third)] == [HIT_REDIS, HIT_MEMORY]
            assert first.content == second.content == third.content
            assert running.metric("foretell_solve_seconds_count") == 0

    def test_the_metrics_count_them(self, service: RunningService) -> None:
        request = unseen()
        before = {
            source: service.metric(f'foretell_cache_total{{source="{source}"}}') for source in ("solved", "memory")
        }
        for _ in range(5):
            service.predict(request)
        assert service.metric('foretell_cache_total{source="solved"}') == before["solved"] + 1
        assert service.metric('foretell_cache_total{source="memory"}') == before["memory"] + 4


class TestEquivalentRequests:
    """What means the same is answered by the same bytes, however it is written."""

    @pytest.mark.parametrize(
        "spelling",
        [
            '{"regime": {"noise_variance": 0.25, "n_features": 400, "n_samples": 800, "kind": "regression"},'
            ' "model": {"learner": {"penalty": 0.1, "kind": "ridge"}, "features": {"kind": "linear"}}}',
            '{"model":{"learner":{"penalty":0.1}},"regime":{"kind":"regression","n_samples":800,"n_features":400,"noise_variance":0.25}}',
            '{"model": {"features": {"kind": "linear"}, "fit_intercept": false, "learner": {"kind": "ridge", "penalty": 1e-1}},'
            ' "regime": {"kind": "regression", "n_samples": 8.0e2, "n_features": 400.0, "covariance": {"kind": "isotropic"},'
            ' "target": {"mean": -0.0, "alignment": {"kind": "isotropic"}, "signal_variance": 1}, "noise_variance": 0.250}}',
            '\n\t{"\\u006dodel": {"learner": {"kind": "r\\u0069dge", "penalty": 0.1}}, "regime": {"kind": "regression",'
            ' "n_samples": 800, "n_features": 400, "noise_variance": 25e-2}}\r\n ',
        ],
        ids=["order", "defaults and spaces left out", "defaults and floats", "escapes"],
    )
    def test_have_one_answer(self, service: RunningService, spelling: str) -> None:
        expected = service.predict()
        answer = httpx.post(
            service.url + PREDICTIONS, content=spelling, headers={"Content-Type": "application/json"}, timeout=30
        )
        assert stage(answer) == HIT_MEMORY
        assert answer.content == expected.content
        assert answer.headers["etag"] == expected.headers["etag"]

    @pytest.mark.parametrize(
        ("pointer", "value"),
        [
            ("/model/learner/penalty", 0.1000000000000001),
            ("/model/fit_intercept", True),
            ("/regime/n_samples", 800.0000001),
            ("/regime/noise_variance", 0),
            ("/regime/target/mean", 1e-300),
            ("/regime/covariance", {"kind": "explicit", "eigenvalues": [1] * 400}),
        ],
    )
    def test_what_means_something_else_has_another(self, service: RunningService, pointer: str, value: Any) -> None:
        assert service.predict(changed(pointer, value)).json()["key"] != service.predict().json()["key"]


class TestRepeatedBodies:
    """A body that came before is found by its digest, in this process, so that its parsing can be counted."""

    @pytest.fixture
    def parsed(self, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
        """Every body that the service has parsed."""
        bodies: list[bytes] = []
        parse = answering.parse

        def noting(body: bytes, *schema: Any) -> Any:
            bodies.append(body)
            return parse(body, *schema)

        monkeypatch.setattr(answering, "parse", noting)
        return bodies

    @staticmethod
    def exchange(folder: Path, requests: list[tuple[bytes, dict[str, str]]], **settings: Any) -> list[httpx.Response]:
        nowhere = f"unix://{folder}/no.sock"
        app = create_app(Settings(data_dir=folder, access_log="off", **settings), cache_url=nowhere, queue_url=nowhere)

        async def exchange() -> list[httpx.Response]:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://foretell") as client:
                return [
                    await client.post(PREDICTIONS, content=body, headers={"Content-Type": "application/json"} | headers)
                    for body, headers in requests
                ]

        return asyncio.run(exchange())

    def test_are_not_parsed_again(self, tmp_path: Path, parsed: list[bytes]) -> None:
        body = json.dumps(EXAMPLE).encode()
        answers = self.exchange(tmp_path, [(body, {})] * 5)
        assert parsed == [body]
        assert [stage(answer) for answer in answers] == [MISS] + 4 * [HIT_MEMORY]
        assert len({answer.content for answer in answers}) == 1

    def test_another_spelling_is_parsed_once_and_not_solved(self, tmp_path: Path, parsed: list[bytes]) -> None:
        body, spaced = json.dumps(EXAMPLE).encode(), json.dumps(EXAMPLE, indent=3).encode()
        answers = self.exchange(tmp_path, [(body, {}), (spaced, {}), (spaced, {}), (body, {})])
        assert parsed == [body, spaced]
        assert [stage(answer) for answer in answers] == [MISS] + 3 * [HIT_MEMORY]

    def test_refused_ones_are_not_remembered(self, tmp_path: Path, parsed: list[bytes]) -> None:
        answers = self.exchange(tmp_path, [(b"{}", {})] * 2)
        assert [answer.status_code for answer in answers] == [422, 422]
        assert parsed == [b"{}", b"{}"]

    @pytest.mark.parametrize(
        "headers",
        [{"Content-Type": "text/plain"}, {"Content-Encoding": "gzip"}, {"Content-Type": "application/json; charset=x"}],
    )
    def test_still_need_the_right_content_type(self, tmp_path: Path, headers: dict[str, str]) -> None:
        body = json.dumps(EXAMPLE).encode()
        first, second, third = self.exchange(tmp_path, [(body, {}), (body, headers), (body, {})])
        assert first.status_code == third.status_code == 200
        assert_problem(second, 415, "unsupported_media_type")

    def test_still_need_a_key(self, tmp_path: Path) -> None:
        key = {"Authorization": "Bearer " + KeyStore(Settings(data_dir=tmp_path).keys_file).add("test")}
        body = json.dumps(EXAMPLE).encode()
        known, unknown, again = self.exchange(tmp_path, [(body, key), (body, {}), (body, key)], auth="required")
        assert stage(known) == MISS
        assert_problem(unknown, 401, "unauthorized")
        assert stage(again) == HIT_MEMORY

    def test_still_count_against_the_limit(self, tmp_path: Path) -> None:
        body = json.dumps(EXAMPLE).encode()
        answers = self.exchange(tmp_path, [(body, {})] * 4, rate_limit="3/hour")
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]


class TestMemory:
    """The bounds of the answers kept in memory."""

    @staticmethod
    def entry(name: str, n_bytes: int = 100) -> Entry:
        return Entry(name, b"x" * n_bytes)

    def test_the_number_of_entries_is_bounded(self) -> None:
        cache = MemoryCache(max_bytes=10**9, max_entries=3)
        for name in "abcd":
            cache.put(self.entry(name))
        assert len(cache) == 3
        assert cache.by_key("a") is None
        assert cache.by_key("d") is not None

    def test_the_bytes_are_bounded(self) -> None:
        cache = MemoryCache(max_bytes=10 * (1000 + ENTRY_OVERHEAD), max_entries=10**6)
        for index in range(1000):
            cache.put(self.entry(str(index), 1000))
        assert len(cache) == 10
        assert cache.by_key("989") is None
        assert cache.by_key("990") is not None

    def test_the_least_recently_used_goes_first(self) -> None:
        cache = MemoryCache(max_bytes=10**9, max_entries=3)
        for name in "abc":
            cache.put(self.entry(name))
        cache.by_key("a")
        cache.put(self.entry("d"))
        assert [cache.by_key(name) is not None for name in "abcd"] == [True, False, True, True]

    def test_being_found_by_digest_is_use_too(self) -> None:
        cache = MemoryCache(max_bytes=10**9, max_entries=2)
        first, second = self.entry("a"), self.entry("b")
        cache.put(first)
        cache.remember(b"digest", first)
        cache.put(second)
        assert cache.by_digest(b"digest") is first
        cache.put(self.entry("c"))
        assert cache.by_digest(b"digest") is first
        assert cache.by_key("b") is None

    def test_an_entry_that_goes_takes_its_digests_along(self) -> None:
        cache = MemoryCache(max_bytes=10**9, max_entries=1)
        first = self.entry("a")
        cache.put(first)
        for index in range(MAX_DIGESTS):
            cache.remember(str(index).encode(), first)
        cache.put(self.entry("b"))
        assert [cache.by_digest(str(index).encode()) for index in range(MAX_DIGESTS)] == [None] * MAX_DIGESTS

    def test_ever_new_spellings_do_not_add_up(self) -> None:
        cache = MemoryCache(max_bytes=10**9, max_entries=10)
        entry = self.entry("a")
        cache.put(entry)
        for index in range(1000):
            cache.remember(str(index).encode(), entry)
        found = [index for index in range(1000) if cache.by_digest(str(index).encode())]
        assert found == list(range(1000 - MAX_DIGESTS, 1000))

    def test_what_is_larger_than_the_bound_is_not_kept(self) -> None:
        cache = MemoryCache(max_bytes=5000, max_entries=10)
        kept, large = self.entry("a"), self.entry("b", 5000)
        cache.put(kept)
        cache.put(large)
        cache.remember(b"digest", large)
        assert cache.by_key("a") is kept
        assert cache.by_key("b") is None
        assert cache.by_digest(b"digest") is None

    def test_a_bound_of_zero_keeps_nothing(self) -> None:
        cache = MemoryCache(max_bytes=0, max_entries=10)
        cache.put(self.entry("a", 0))
        assert len(cache) == 0

    def test_a_service_with_small_bounds_answers_all_the_same(self, tmp_path: Path) -> None:
        requests = [unseen() for _ in range(10)]
        with RunningService(tmp_path, memory_cache_entries="3") as running:
            first = [running.predict(request).content for request in requests]
            assert running.metric("foretell_memory_cache_entries") == 3
            assert [running.predict(request).content for request in requests] == first
            assert running.metric("foretell_solve_seconds_count") == 10  # the others came from Redis


class TestConcurrentRequests:
    def test_equal_ones_are_solved_once(self, service: RunningService) -> None:
        request, n_clients = large(), 12
        solved = service.metric("foretell_solve_seconds_count")
        with ThreadPoolExecutor(n_clients) as pool:
            answers = list(pool.map(service.predict, [request] * n_clients))
        stages = [stage(answer) for answer in answers]
        assert service.metric("foretell_solve_seconds_count") == solved + 1
        assert stages.count(MISS) == 1
        assert set(stages) <= {MISS, COLLAPSED, HIT_MEMORY}
        assert len({answer.content for answer in answers}) == 1

    def test_equal_ones_that_are_refused_are_all_told_why(self, service: RunningService) -> None:
        request = changed("/regime/n_features", 199_999, request=large())
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(service.predict, [request] * 8))
        for answer in answers:
            assert_problem(answer, 422, "inadmissible_problem", pointer="/regime/covariance/eigenvalues")


class TestSharing:
    """Two services on one Redis, whose content the tests can see and spoil."""

    @pytest.fixture(scope="class")
    @classmethod
    def valkey(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
        with EmbeddedValkey(tmp_path_factory.mktemp("valkey") / "data") as running:
            yield running

    @pytest.fixture(scope="class")
    @classmethod
    def one(cls, valkey: EmbeddedValkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
        with RunningService(tmp_path_factory.mktemp("one"), "--redis-url", valkey.url) as running:
            yield running

    @pytest.fixture(scope="class")
    @classmethod
    def other(cls, valkey: EmbeddedValkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
        with RunningService(tmp_path_factory.mktemp("other"), "--redis-url", valkey.url) as running:
            yield running

    @pytest.fixture
    def store(self, valkey: EmbeddedValkey) -> Iterator[redis.Redis]:
        with redis.Redis.from_url(valkey.url) as connection:
            yield connection

    @staticmethod
    def stored(store: redis.Redis, answer: httpx.Response) -> str:
        """Wait until an answer is in Redis, which is written to behind it; returns where it is."""
        place = PREFIX + answer.json()["key"]
        wait_until(lambda: store.exists(place), what="the answer in Redis")
        return place

    def test_what_one_process_solved_the_other_finds(
        self, one: RunningService, other: RunningService, store: redis.Redis
    ) -> None:
        request = unseen()
        first = one.predict(request)
        assert stage(first) == MISS
        self.stored(store, first)
        second = other.predict(request)
        assert stage(second) == HIT_REDIS
        assert second.content == first.content

    def test_answers_in_redis_expire(self, one: RunningService, store: redis.Redis) -> None:
        place = self.stored(store, one.predict(unseen()))
        assert 0 < int(store.ttl(place)) <= 7 * 24 * 3600

    @pytest.mark.parametrize(
        ("pattern", "value"),
        [
            (rb".*", b""),
            (rb".*", b"garbage"),
            (rb".*", b"null"),
            (rb".*", b"\x80\x04K*."),
            (rb"}$", b""),
            (rb'^{"key":"\w{64}"', b'{"key":"' + b"0" * 64 + b'"'),
        ],
        ids=["empty", "garbage", "null", "pickle", "truncated", "of another key"],
    )
    def test_a_spoilt_answer_is_ignored_and_replaced(
        self, one: RunningService, other: RunningService, store: redis.Redis, pattern: bytes, value: bytes
    ) -> None:
        request = unseen()
        first = one.predict(request)
        place = self.stored(store, first)
        store.set(place, re.sub(pattern, lambda _: value, first.content, count=1))
        second = other.predict(request)
        assert stage(second) == MISS
        assert second.content == first.content
        wait_until(lambda: store.get(place) == first.content, what="the replacement")

    def test_a_value_of_another_type_is_ignored(
        self, one: RunningService, other: RunningService, store: redis.Redis
    ) -> None:
        request = unseen()
        first = one.predict(request)
        place = self.stored(store, first)
        store.delete(place)
        store.rpush(place, "a", "b")
        second = other.predict(request)
        assert stage(second) == MISS
        assert second.content == first.content

    def test_a_full_redis_is_no_error(self, one: RunningService, other: RunningService, store: redis.Redis) -> None:
        policy = store.config_get("maxmemory-policy")["maxmemory-policy"]
        store.config_set("maxmemory-policy", "noeviction")
        store.config_set("maxmemory", "1")
        try:
            dropped = one.metric("foretell_redis_dropped_writes_total")
            requests = [unseen() for _ in range(5)]
            assert [stage(one.predict(request)) for request in requests] == [MISS] * 5
            wait_until(lambda: one.metric("foretell_redis_dropped_writes_total") == dropped + 5)
            assert [stage(other.predict(request)) for request in requests] == [MISS] * 5
            assert one.metric("foretell_redis_up") == 1
            assert one.logged("redis_lost") == []
        finally:
            store.config_set("maxmemory", "0")
            store.config_set("maxmemory-policy", policy)
        first = one.predict(request := unseen())
        self.stored(store, first)
        assert stage(other.predict(request)) == HIT_REDIS

    def test_a_redis_that_pauses_for_a_moment_is_not_lost(self, one: RunningService, store: redis.Redis) -> None:
        lost = len(one.logged("redis_lost"))
        with ThreadPoolExecutor(15) as pool, one.client() as client:
            for _ in range(3):
                store.client_pause(100)  # milliseconds, fewer than the timeout
                for answer in pool.map(lambda _: client.post(PREDICTIONS, json=unseen()), range(30)):
                    assert answer.status_code == 200
        assert len(one.logged("redis_lost")) == lost

    def test_the_processes_of_one_service_share_too(
        self, tmp_path: Path, valkey: EmbeddedValkey, store: redis.Redis
    ) -> None:
        with (
            RunningService(tmp_path, "--redis-url", valkey.url, "--api-processes", "2") as running,
            ThreadPoolExecutor(8) as pool,
        ):
            answers: list[httpx.Response] = []

            def one_has_found_the_answer_of_the_other() -> bool:
                request = unseen()
                first = running.predict(request)
                self.stored(store, first)
                again = list(pool.map(running.predict, [request] * 16))  # each on a connection of its own
                assert {answer.content for answer in again} == {first.content}
                answers.extend([first, *again])
                return HIT_REDIS in map(stage, again)

            wait_until(one_has_found_the_answer_of_the_other, seconds=120)  # the kernel chooses who accepts
            solved = [stage(answer) for answer in answers].count(MISS)
            requests = 'foretell_requests_total{method="POST",route="/v1/predictions",status="200"}'
            wait_until(lambda: running.metric(requests) == len(answers), what="the count of both processes")
            assert running.metric("foretell_solve_seconds_count") == solved


def test_pipelined_repeats_are_answered_in_order(service: RunningService) -> None:
    bodies = [json.dumps(unseen()).encode() for _ in range(2)]
    expected = [httpx.post(f"{service.url}/v1/predictions", json=json.loads(body)).json()["key"] for body in bodies]
    order = [0, 1, 1, 0, 1]
    head = "POST /v1/predictions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        for position, index in enumerate([*order, *order]):
            last = "Connection: close\r\n" if position == 2 * len(order) - 1 else ""
            connection.sendall(head.format(len(bodies[index]), last).encode() + bodies[index])
        received = b""
        while piece := connection.recv(65536):
            received += piece
    keys = re.findall(rb'\{"key":"(\w+)"', received)
    assert [key.decode() for key in keys] == [expected[index] for index in [*order, *order]]
    assert received.count(b"HTTP/1.1 200 OK\r\n") == received.count(b"\r\ndate: ") == 2 * len(order)


@pytest.mark.parametrize("pieces", ["all at once", "head and body apart", "byte by byte"])
def test_repeats_are_hits_however_their_bytes_arrive(service: RunningService, pieces: str) -> None:
    known, new = (json.dumps(unseen()).encode() for _ in range(2))
    httpx.post(f"{service.url}/v1/predictions", json=json.loads(known))
    head = "POST /v1/predictions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}\r\n"
    bodies = [known, known, new, known]
    sent = b"".join(
        head.format(len(body), "Connection: close\r\n" if index == len(bodies) - 1 else "").encode() + body
        for index, body in enumerate(bodies)
    )
    cuts = {"all at once": len(sent), "head and body apart": sent.index(b"{"), "byte by byte": 1}
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(sent), cuts[pieces]):
            connection.sendall(sent[start : start + cuts[pieces]])
        received = b""
        while piece := connection.recv(65536):
            received += piece
    stages = re.findall(rb"cache-status: ([^\r]+)", received)
    assert stages == [HIT_MEMORY.encode(), HIT_MEMORY.encode(), MISS.encode(), HIT_MEMORY.encode()]
    assert len(set(re.findall(rb"x-request-id: (\w+)", received))) == len(bodies)
