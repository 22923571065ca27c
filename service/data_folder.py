"""Who owns a data folder: its lock, and the socket of the server that runs on it."""

import contextlib
import fcntl
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

LOCK_SECONDS: Final = 10.0
"""How long to wait for a predecessor that is going away to release the folder."""
MAX_SOCKET_PATH_BYTES: Final = 103
"""`sockaddr_un.sun_path` holds 104 bytes on macOS and 108 on Linux, the closing NUL included."""
DIES_WITH_PARENT: Final = sys.platform == "linux"
"""Whether the kernel ends Valkey when this process is killed."""

SOCKET_NAME: Final = "valkey.sock"
SOCKET_FOLDER_PREFIX: Final = "foretell-"
WAYS_OUT: Final = (
    "choose another folder with --data-dir or FORETELL_DATA_DIR, or set FORETELL_REDIS_URL to a running Redis or Valkey"
)


class EmbeddedError(RuntimeError):
    """The embedded server cannot be started; the message says why and what to do."""


def running_url(data_dir: Path) -> str | None:
    """Return the URL of the Valkey that a running instance keeps on a data folder, None where none runs.

    Args:
        data_dir: as given to :class:`EmbeddedValkey`.
    """
    try:
        holder = json.loads((data_dir.expanduser().absolute() / "foretell.lock").read_bytes())
        path = Path(holder["socket"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return socket_url(path) if ask(path, "PING").startswith(b"+PONG") else None


class FolderLock:
    """The lock on a data folder, held from construction to `release` and by every process that inherits `fd`.

    The lock file holds one JSON object for people and for the next instance: the pid and host of the holder, its
    Valkey's pid and socket, and whether it is stopping.
    """

    def __init__(self, data_dir: Path, *, on_wait: Callable[..., None]) -> None:
        """Take the lock, waiting up to `LOCK_SECONDS` if its holder is going away."""
        self._data_dir = data_dir
        self.fd = os.open(data_dir / "foretell.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            self._take(on_wait)
            left_behind = self._read().get("socket")
            if isinstance(left_behind, str):
                remove_socket(Path(left_behind), data_dir)
            self._record: dict[str, Any] = {}
            self.note(pid=os.getpid(), host=socket.gethostname())
        except BaseException:
            os.close(self.fd)
            raise

    def note(self, **fields: Any) -> None:
        """Add fields to what the lock file says about its holder."""
        self._record.update(fields)
        text = json.dumps(self._record).encode() + b"\n"
        os.pwrite(self.fd, text, 0)
        os.ftruncate(self.fd, len(text))

    def release(self) -> None:
        """Empty the file and drop the lock; the file stays, as removing it would let two instances lock two files."""
        with contextlib.suppress(OSError):
            os.ftruncate(self.fd, 0)
        os.close(self.fd)

    def _take(self, on_wait: Callable[..., None]) -> None:
        waiting_since: float | None = None
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                holder = self._read()
            local = holder.get("host") == socket.gethostname()
            runs = local and not holder.get("stopping") and is_alive(holder.get("pid"))
            waited = 0.0 if waiting_since is None else time.monotonic() - waiting_since
            if runs or waited > LOCK_SECONDS:
                raise EmbeddedError(self._in_use(holder, runs=runs))
            if waiting_since is None:
                waiting_since = time.monotonic()
                on_wait("valkey_waiting", data_dir=str(self._data_dir), seconds=LOCK_SECONDS)
                if local and not DIES_WITH_PARENT and isinstance(holder.get("socket"), str):
                    ask(Path(holder["socket"]), "SHUTDOWN")  # an orphan, or on its way out already
            time.sleep(0.05)

    def _in_use(self, holder: dict[str, Any], *, runs: bool) -> str:
        who = f"foretell with pid {holder.get('pid', 'unknown')} on host {holder.get('host', 'unknown')}"
        if runs and isinstance(holder.get("socket"), str):
            return (
                f"{self._data_dir} is in use by {who}: stop that one (kill {holder['pid']}), choose another folder "
                "with --data-dir or FORETELL_DATA_DIR, or share its queue and cache with "
                f"FORETELL_REDIS_URL={socket_url(Path(holder['socket']))}"
            )
        if runs:
            return f"{self._data_dir} is in use by {who}, which is just starting: stop that one, or {WAYS_OUT}"
        return (
            f"{self._data_dir} is still locked after {LOCK_SECONDS:g} s, by {who} or its Valkey with pid "
            f"{holder.get('valkey_pid', 'unknown')}: stop what is left of them, or {WAYS_OUT}"
        )

    def _read(self) -> dict[str, Any]:
        try:
            record = json.loads(os.pread(self.fd, 10_000, 0))
        except ValueError:  # just taken and not written yet, or written on a full disk
            return {}
        return record if isinstance(record, dict) else {}


def is_alive(pid: object) -> bool:
    """Say whether a process of this host runs; one that has ended and waits for its parent to notice does not."""
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it exists and is another user's
    with contextlib.suppress(OSError):  # no /proc on macOS
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    return True


def choose_socket(data_dir: Path) -> Path:
    """Return the path of the socket: in the data folder, or in a new private folder if that path is too long."""
    path = data_dir / SOCKET_NAME
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    for temporary in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - mkdtemp makes a private folder in it
        folder = Path(tempfile.mkdtemp(prefix=SOCKET_FOLDER_PREFIX, dir=temporary))  # mode 0700
        if len(os.fsencode(folder / SOCKET_NAME)) <= MAX_SOCKET_PATH_BYTES:
            return folder / SOCKET_NAME
        folder.rmdir()
    raise OSError(f"no folder has a path short enough for a unix socket ({MAX_SOCKET_PATH_BYTES} bytes)")


def remove_socket(path: Path, data_dir: Path) -> None:
    """Remove a socket whose server is gone, and its folder if that was made for it."""
    in_data_dir = path.parent == data_dir
    if path.name != SOCKET_NAME or not (in_data_dir or path.parent.name.startswith(SOCKET_FOLDER_PREFIX)):
        return  # not a path that we chose
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        if not in_data_dir:
            path.parent.rmdir()


def socket_url(path: Path) -> str:
    """Return the URL of the server on a socket; append ?db=1 for another database."""
    return "unix://" + quote(os.fsencode(path))


def ask(path: Path, command: str) -> bytes:
    """Send one command to the server on a socket; empty if there is no answer."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            connection.connect(os.fspath(path))
            connection.sendall(command.encode() + b"\r\n")
            return connection.recv(1024)
    except OSError:
        return b""
