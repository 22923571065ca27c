"""Without Redis, or with one that misbehaves: every prediction is answered, and all heals by itself when it is back."""

import itertools
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import redis

from service.embedded import find_binary
from service.shared_cache import PREFIX
from tests.running import EXAMPLE, RunningService, wait_until
from tests.service.wire import PREDICTIONS, assert_problem, changed

PENALTIES = itertools.count(1)
LATER = {"Prefer": "respond-async"}


def unseen() -> Any:
    """Return a request that nobody has sent before."""
    return changed("/model/learner/penalty", next(PENALTIES) / 1000)


class Valkey:
    """A Valkey server that the test itself starts, stops and mistreats.

    Args:
        folder: for its socket; it keeps nothing else.
        options: of the server, as ``requirepass="secret"``.
    """

    def __init__(self, folder: Path, **options: str) -> None:
        self.socket = folder / "v.sock"
        self.url = f"unix://{self.socket}"
        self._options = {"port": "0", "unixsocket": str(self.socket), "dir": str(folder), "save": ""} | options
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        words = [word for name, value in self._options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen([find_binary(), *words], stdout=subprocess.DEVNULL)
        wait_until(self.socket.exists, what="Valkey's socket")

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=30)


def is_up(service: RunningService) -> bool:
    """Whether the service says that it has Redis, in all places where it says so."""
    ready = httpx.get(service.url + "/readyz")
    assert ready.status_code == 200
    return ready.json() == {"status": "ready", "redis": "up"} and service.metric("foretell_redis_up") == 1


def is_down(service: RunningService) -> bool:
    """The opposite."""
    ready = httpx.get(service.url + "/readyz")
    assert ready.status_code == 200
    return ready.json() == {"status": "degraded", "redis": "down"} and service.metric("foretell_redis_up") == 0


def assert_answers(service: RunningService, n_requests: int = 3) -> None:
    """Check that new and repeated requests are answered, and jobs refused with a time to come back."""
    for _ in range(n_requests):
        request = unseen()
        first, second = service.predict(request), service.predict(request)
        assert (first.status_code, second.status_code) == (200, 200)
        assert first.content == second.content
        assert second.headers["cache-status"] == "foretell; hit; detail=memory"
    refusal = service.predict(unseen(), headers=LATER)
    assert_problem(refusal, 503, "unavailable")
    assert int(refusal.headers["retry-after"]) > 0


def assert_shares(service: RunningService, url: str) -> None:
    """Check that answers go to Redis again."""
    place = PREFIX + service.predict(unseen()).json()["key"]
    with redis.Redis.from_url(url) as store:
        wait_until(lambda: store.exists(place), what="the answer in Redis")


class Load:
    """Clients that post without a pause, half of it new, half repeated; what went wrong is in ``failures``."""

    def __init__(self, service: RunningService, n_clients: int = 6) -> None:
        self.failures: list[str] = []
        self.n_answers = 0
        self._expected = service.predict().content
        self._url = service.url + PREDICTIONS
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._post) for _ in range(n_clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def goes_on(self, n_answers: int = 50) -> None:
        """Wait until so many more answers have come."""
        enough = self.n_answers + n_answers
        wait_until(lambda: self.n_answers >= enough or self.failures, what=f"{n_answers} more answers")

    def _post(self) -> None:
        with httpx.Client(timeout=30) as client:
            while not self._enough.is_set():
                try:
                    repeated = client.post(self._url, json=EXAMPLE)
                    new = client.post(self._url, json=unseen())
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    continue
                if repeated.content != self._expected:
                    self.failures.append(f"{repeated.status_code}: {repeated.text[:300]}")
                if new.status_code != 200 or new.json()["status"] != "converged":
                    self.failures.append(f"{new.status_code}: {new.text[:300]}")
                self.n_answers += 2


def embedded_pid(service: RunningService) -> int:
    """Return the process id of the service's own Valkey."""
    return int(json.loads((service.data_dir / "foretell.lock").read_text())["valkey_pid"])


class TestUnderLoad:
    def test_killing_the_embedded_valkey_fails_no_request(self, tmp_path: Path) -> None:
        with RunningService(tmp_path) as running, Load(running) as load:
            load.goes_on()
            for n_kills in (1, 2, 3):
                os.kill(embedded_pid(running), signal.SIGKILL)
                load.goes_on()
                wait_until(lambda: len(running.logged("valkey_restarted")) == n_kills)  # noqa: B023 - called here only
                wait_until(lambda: is_up(running))
                load.goes_on()
            assert load.failures == []
            lost, back = running.logged("redis_lost"), running.logged("redis_back")
            assert len(lost) == len(back) >= 3
            assert all(line["level"] == "warning" and line["error"] and line["consequence"] for line in lost)
            assert running.metric("foretell_redis_errors_total") >= 3
            socket = json.loads((running.data_dir / "foretell.lock").read_text())["socket"]
            assert_shares(running, f"unix://{socket}?db=1")
            assert running.logged("unexpected_error") == []

    def test_answers_from_before_the_kill_are_found_after_it(self, tmp_path: Path) -> None:
        request = unseen()
        with RunningService(tmp_path, memory_cache_bytes="0") as running:
            first = running.predict(request)
            wait_until(lambda: "hit" in running.predict(request).headers["cache-status"])
            pid = embedded_pid(running)
            with redis.Redis(unix_socket_path=str(running.data_dir / "valkey.sock")) as store:
                store.waitaof(1, 0, 10_000)  # appendfsync everysec may lose the last second
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: running.logged("valkey_restarted"))
            wait_until(lambda: is_up(running))
            again = wait_until(
                lambda: (answer := running.predict(request)).headers["cache-status"].endswith("redis") and answer
            )
            assert again.content == first.content

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=lambda number: number.name)
    def test_an_external_one_that_dies_or_hangs_fails_no_request(self, tmp_path: Path, number: signal.Signals) -> None:
        with (
            Valkey(tmp_path) as valkey,
            RunningService(tmp_path / "service", "--redis-url", valkey.url) as running,
            Load(running) as load,
        ):
            load.goes_on()
            assert is_up(running)
            valkey.send(number)
            wait_until(lambda: is_down(running), what="the loss being noticed")
            load.goes_on()
            if number == signal.SIGKILL:
                valkey.kill()
                valkey.start()
            else:
                valkey.send(signal.SIGCONT)
            wait_until(lambda: is_up(running), what="the return being noticed")
            load.goes_on()
            assert load.failures == []
            assert_shares(running, valkey.url)
            assert running.logged("unexpected_error") == []


class TestFromTheStart:
    def test_one_that_appears_later_is_found(self, tmp_path: Path) -> None:
        valkey = Valkey(tmp_path)
        with RunningService(tmp_path / "service", "--redis-url", valkey.url) as running:
            assert is_down(running)
            assert_answers(running)
            with valkey:
                wait_until(lambda: is_up(running), what="Redis being found")
                assert_shares(running, valkey.url)
                assert running.predict(unseen(), headers=LATER).status_code == 202
            wait_until(lambda: running.predict(unseen()).status_code == 200 and is_down(running))
            assert_answers(running)
            assert running.stop() == 0

    @contextmanager
    def without_redis(self, folder: Path, url: str) -> Iterator[RunningService]:
        """A service on a Redis that does not work; checks that it serves all the same, and ends."""
        with RunningService(folder / "service", "--redis-url", url) as running:
            assert is_down(running)
            assert_answers(running)
            yield running
            assert running.stop() == 0
            assert running.logged("unexpected_error") == []
            assert len(running.logged("redis_lost")) == 1  # said once, not at every attempt

    def test_one_that_refuses_connections(self, tmp_path: Path) -> None:
        with self.without_redis(tmp_path, "redis://127.0.0.1:1/0") as running:
            assert "127.0.0.1:1" in running.logged("redis_lost")[0]["error"]

    def test_one_whose_name_is_unknown(self, tmp_path: Path) -> None:
        with self.without_redis(tmp_path, "redis://no-such-host.invalid/0"):
            pass

    def test_one_that_hangs(self, tmp_path: Path) -> None:
        with Valkey(tmp_path) as valkey:
            valkey.send(signal.SIGSTOP)
            with self.without_redis(tmp_path, valkey.url):
                pass
            valkey.send(signal.SIGCONT)

    def test_one_that_asks_for_another_password(self, tmp_path: Path) -> None:
        with Valkey(tmp_path, requirepass="right") as valkey:
            url = f"unix://default:wr0ng-secret@{valkey.socket}"
            with self.without_redis(tmp_path, url) as running:
                assert "invalid username-password" in running.logged("redis_lost")[0]["error"]
                assert "wr0ng-secret" not in running.log_file.read_text()

    def test_one_that_asks_for_a_password_and_gets_it(self, tmp_path: Path) -> None:
        with Valkey(tmp_path, requirepass="right") as valkey:
            url = f"unix://default:right@{valkey.socket}"
            with RunningService(tmp_path / "service", "--redis-url", url) as running:
                assert is_up(running)
                assert_shares(running, url)

    def test_one_that_is_something_else(self, tmp_path: Path, service: RunningService) -> None:
        with self.without_redis(tmp_path, f"redis://127.0.0.1:{service.port}/0"):
            pass

    def test_one_that_is_read_only(self, tmp_path: Path) -> None:
        with Valkey(tmp_path) as valkey, redis.Redis(unix_socket_path=str(valkey.socket)) as store:
            store.replicaof("127.0.0.1", "1")  # of a primary that is not there
            with RunningService(tmp_path / "service", "--redis-url", valkey.url) as running:
                request = unseen()
                assert [running.predict(request).status_code for _ in range(2)] == [200, 200]
                assert_problem(running.predict(request, headers=LATER), 503, "unavailable")
                assert running.logged("unexpected_error") == []
