"""API keys: random tokens of which only the SHA-256 is kept; looked up by name, compared in constant time."""

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

log = structlog.get_logger("foretell.keys")

TOKEN = re.compile(r"ftl_([a-z0-9]{8})_([A-Za-z0-9_-]{43})")
RELOAD_SECONDS = 1.0


class UnreadableKeys(OSError):
    """The file of keys cannot be read; the message says why and what to do."""


class KeyStore:
    """The keys in a file, re-read when it changes, so that a key can be added or revoked while the service runs.

    A token is ``ftl_<id>_<secret>`` with 256 random bits; a fast hash suffices for it, there is no password to guess.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._checked = 0.0
        self._stamp: tuple[int, int] | None = None
        self._hashes: dict[str, tuple[str, str]] = {}
        self._load()

    def __len__(self) -> int:
        self._load()
        return len(self._hashes)

    def names(self) -> dict[str, str]:
        """Return the name of each key by its id."""
        self._load()
        return {key_id: name for key_id, (name, _) in self._hashes.items()}

    def add(self, name: str) -> str:
        """Create a key; returns the token, which is shown once and kept nowhere.

        Raises:
            ValueError: the name is empty, long or not printable.
        """
        if not (0 < len(name) <= 100 and name.isprintable()):
            raise ValueError("a key's name must have 1 to 100 printable characters, on one line")
        key_id = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(8))
        token = f"ftl_{key_id}_{secrets.token_urlsafe(32)}"
        with self._exclusively():
            self._save({**self._hashes, key_id: (name, _hash(token))})
        return token

    def revoke(self, key_id: str) -> bool:
        """Forget a key; returns whether there was one."""
        with self._exclusively():
            remaining = {known: value for known, value in self._hashes.items() if known != key_id}
            found = len(remaining) < len(self._hashes)
            if found:
                self._save(remaining)
        return found

    def verify(self, token: str) -> str | None:
        """Return the id of the key that a token opens with, or None."""
        now = time.monotonic()
        if now - self._checked > RELOAD_SECONDS:
            try:
                self._load()
            except UnreadableKeys as error:
                # The keys that were read before stay good, and no others.
                log.warning("keys_unreadable", error=str(error))
        match = TOKEN.fullmatch(token)
        key_id = match.group(1) if match else ""
        _, expected = self._hashes.get(key_id, ("", "0" * 64))
        # The comparison takes the same time for an unknown key as for a wrong secret.
        valid = hmac.compare_digest(_hash(token), expected)
        return key_id if valid and match else None

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """Read the file and keep other processes from changing it until the change is made."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._stamp = None
            self._load()
            yield
        finally:
            os.close(descriptor)

    def _load(self) -> None:
        self._checked = time.monotonic()
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp != self._stamp:
                rows = json.loads(self._path.read_text())
                self._hashes = {row["id"]: (row["name"], row["sha256"]) for row in rows}
                self._stamp = stamp
        except FileNotFoundError:
            self._stamp, self._hashes = None, {}
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UnreadableKeys(
                f"cannot read the API keys in {self._path}: {error}; restore the file, or remove it and add keys anew"
            ) from None

    def _save(self, hashes: dict[str, tuple[str, str]]) -> None:
        rows = [{"id": key_id, "name": name, "sha256": digest} for key_id, (name, digest) in hashes.items()]
        # mkstemp's file is readable by its owner alone; the rename makes the change appear whole.
        descriptor, temporary = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name)
        with os.fdopen(descriptor, "w") as file:
            json.dump(rows, file, indent=1)
        Path(temporary).replace(self._path)
        self._load()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
