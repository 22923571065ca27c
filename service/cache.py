"""Ready answers in memory: found by the digest of a raw body or by the canonical key, bounded in number and bytes."""

from collections import OrderedDict
from collections.abc import Iterable

from service import metrics

ENTRY_OVERHEAD = 700
"""Bytes that an entry takes beside its body: measured with 10^5 entries of one digest each."""
HIT = (b"cache-status", b"foretell; hit; detail=memory")
MAX_DIGESTS = 8
"""Spellings remembered for one answer; a client that writes a request in ever new ways does not grow the memory."""


def whole_head(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write the head of a 200 for an answer that is sent in one write."""
    return b"HTTP/1.1 200 OK\r\n" + b"".join([name + b": " + value + b"\r\n" for name, value in headers])


class Entry:
    """One answer, ready to send.

    Args:
        key: its content address.
        body: in JSON.
        more_headers: beside those that name its content.
    """

    __slots__ = ("body", "digests", "etag", "headers", "hit_head", "hit_headers", "key")

    def __init__(self, key: str, body: bytes, more_headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self.key = key
        self.body = body
        self.etag = f'"{key}"'.encode()
        self.headers = (
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"etag", self.etag),
            *more_headers,
        )
        self.hit_headers = (*self.headers, HIT)
        self.hit_head = whole_head(self.hit_headers)
        self.digests: list[bytes] = []

    @property
    def size(self) -> int:
        """Bytes taken, about."""
        return len(self.body) + ENTRY_OVERHEAD


class MemoryCache:
    """Least recently used answers of one process.

    Args:
        max_bytes: bound on the sum of the entries' sizes; 0 keeps nothing.
        max_entries: bound on their number.
    """

    def __init__(self, *, max_bytes: int, max_entries: int) -> None:
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._bytes = 0
        self._by_key: OrderedDict[str, Entry] = OrderedDict()
        self._by_digest: dict[bytes, Entry] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def by_digest(self, digest: bytes) -> Entry | None:
        """Find the answer to a body that was seen before, byte for byte."""
        entry = self._by_digest.get(digest)
        if entry is not None:
            self._by_key.move_to_end(entry.key)
        return entry

    def by_key(self, key: str) -> Entry | None:
        """Find the answer to an equivalent request."""
        entry = self._by_key.get(key)
        if entry is not None:
            self._by_key.move_to_end(key)
        return entry

    def put(self, entry: Entry) -> None:
        """Keep an answer, dropping the least recently used ones over the bounds."""
        if entry.size > self._max_bytes or entry.key in self._by_key:
            return
        self._by_key[entry.key] = entry
        self._bytes += entry.size
        while self._bytes > self._max_bytes or len(self._by_key) > self._max_entries:
            _, dropped = self._by_key.popitem(last=False)
            self._bytes -= dropped.size
            for digest in dropped.digests:
                self._by_digest.pop(digest, None)
        metrics.MEMORY_CACHE_BYTES.set(self._bytes)
        metrics.MEMORY_CACHE_ENTRIES.set(len(self._by_key))

    def remember(self, digest: bytes, entry: Entry) -> None:
        """Note that a body with this digest has this answer."""
        if self._by_key.get(entry.key) is not entry or digest in self._by_digest:
            return
        if len(entry.digests) >= MAX_DIGESTS:
            self._by_digest.pop(entry.digests.pop(0), None)
        entry.digests.append(digest)
        self._by_digest[digest] = entry
