"""MemoryEndpoint: a bucket in this process's memory, for tests without disk or network.

It ships, so that users' own tests of jobs and hooks can run against `memory://` roots. All endpoints
that were opened with one name see the same store, as two clients of one bucket do; the store lives as
long as the process, or until `discard` is called.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from bisyncer.endpoints import by_copy
from bisyncer.endpoints.base import Capabilities, Endpoint, NameRules, Probe, Source, Twin, Upload
from bisyncer.endpoints.outline import Folder
from bisyncer.endpoints.pace import Pace
from bisyncer.errors import Changed, EndpointError, Rejected
from bisyncer.model import Entry

MAX_KEY_BYTES = 1024  # as S3 has it, so that tests meet the same limit
MOST_DELETES = 1000
CAPABILITIES = Capabilities(
    names=NameRules.BUCKET,
    max_key_bytes=MAX_KEY_BYTES,
    conditional_write=True,
    conditional_delete=True,
    listed_mtime=True,
    server_copy=True,
    atomic_move=True,
    one_process=True,
    deletes_at_once=MOST_DELETES,
)

_PIECE = 1 << 20  # bytes taken from a source at a time
_NONE: Mapping[str, str] = {}


class _Object(NamedTuple):
    """One version of one object."""

    entry: Entry
    data: bytes
    metadata: Mapping[str, str]


class MemoryStore:
    """What one name holds. `put`, `remove` and `contents` are for tests: another client of the bucket."""

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._objects: dict[str, _Object] = {}
        self._version = 0

    def put(self, key: str, data: bytes, *, mtime_ns: int | None = None) -> Entry:
        """Store `data` under `key` whatever is there; its mtime is now unless given."""
        with self._lock:
            return self._store(key, data, self._now_ns() if mtime_ns is None else mtime_ns)

    def put_if(self, key: str, data: bytes, source: Source, *, expect: Entry | None) -> Entry:
        """Store `data` under `key`, with what travels beside it, if `key` is as expected; in one step."""
        with self._lock:
            self._check(key, expect)
            return self._store(key, data, source.entry.mtime_ns, source.metadata)

    def copy_if(self, source: _Object, key: str, *, expect: Entry | None) -> Entry:
        """Store what `source` is under `key` if `key` is as expected, in one step."""
        with self._lock:
            self._check(key, expect)
            return self._store(key, source.data, source.entry.mtime_ns, source.metadata)

    def move_if(self, key: str, new_key: str, *, expect: Entry) -> Entry:
        """Give `key` the name `new_key` if it is as expected and that is free, in one step."""
        with self._lock:
            found = self._found(key, expect)
            self._check(new_key, None)
            del self._objects[key]
            return self._store(new_key, found.data, found.entry.mtime_ns, found.metadata)

    def remove(self, key: str) -> None:
        """Remove `key`, which must be there."""
        with self._lock:
            del self._objects[key]

    def remove_if(self, key: str, *, expect: Entry) -> None:
        """Remove `key` if it is as expected, in one step."""
        with self._lock:
            self._found(key, expect)
            del self._objects[key]

    def get_if(self, key: str, *, expect: Entry) -> _Object:
        """The object under `key`, if it is as expected."""
        with self._lock:
            return self._found(key, expect)

    def entry(self, key: str) -> Entry | None:
        """The entry of `key`; None where there is none."""
        with self._lock:
            found = self._objects.get(key)
        return None if found is None else found.entry

    def entries(self) -> list[Entry]:
        """All entries in order of key, as they are at one instant."""
        with self._lock:
            return [found.entry for _, found in sorted(self._objects.items())]

    def contents(self) -> dict[str, bytes]:
        """All keys and their bytes, in order of key."""
        with self._lock:
            return {key: found.data for key, found in sorted(self._objects.items())}

    def _check(self, key: str, expect: Entry | None) -> None:
        if expect is not None:
            self._found(key, expect)
        elif key in self._objects:
            raise Changed(f"{key}: exists already, and was expected not to. Run again.")

    def _found(self, key: str, expect: Entry) -> _Object:
        found = self._objects.get(key)
        if found is None:
            raise Changed(f"{key}: is gone, and was expected to be there. Run again.")
        if found.entry.stamp != expect.stamp:
            raise Changed(f"{key}: changed since it was looked at. Run again.")
        return found

    def _store(
        self, key: str, data: bytes, mtime_ns: int | None, metadata: Mapping[str, str] = _NONE
    ) -> Entry:
        self._version += 1
        entry = Entry(key, len(data), mtime_ns, f"v{self._version}")
        self._objects[key] = _Object(entry, data, dict(metadata))
        return entry


_stores: dict[str, MemoryStore] = {}
_stores_lock = threading.Lock()


def store(name: str) -> MemoryStore:
    """The store of `memory://name`; it is made where it isn't there yet."""
    with _stores_lock:
        return _stores.setdefault(name, MemoryStore())


def discard(name: str) -> None:
    """Forget the store of `memory://name` and all that it holds."""
    with _stores_lock:
        _stores.pop(name, None)


class _Reading:
    """An object being read; its bytes can't change any more."""

    def __init__(self, found: _Object, start: int, stop: int | None) -> None:
        self.entry = found.entry
        self.metadata = found.metadata
        self._data = memoryview(found.data)[start:stop]

    def read(self, size: int = -1, /) -> bytes:
        end = len(self._data) if size < 0 else size
        piece, self._data = self._data[:end], self._data[end:]
        return bytes(piece)


class MemoryEndpoint:
    """A bucket in memory; `name` is what stands after `memory://`."""

    def __init__(self, name: str) -> None:
        self.root = f"memory://{name}"
        self.capabilities = CAPABILITIES
        self.requests: Mapping[str, int] = {}
        self._store = store(name)

    def heed(self, pace: Pace) -> None:
        """Nothing is requested, so nothing is too much."""

    def refusal(self, key: str) -> str | None:
        """Why no bucket can hold `key`."""
        return _refusal(key)

    def overlaps(self, other: Endpoint) -> bool:
        """Only with itself: a name in memory has nothing inside."""
        return self.root == other.root

    def probe(self, *, scratch: bool = False) -> Probe:  # noqa: ARG002 -- nothing is to be learnt by writing
        """Always there, always writable, and conditions always hold."""
        return Probe(
            mount=None, filesystem="memory", conditional_write=True, conditional_delete=True, skew_ns=0
        )

    def scan(self, low: str = "", high: str | None = None) -> Iterator[Entry]:
        """Yield the entries of one instant with low <= key < high."""
        for entry in self._store.entries():
            if high is not None and entry.key >= high:
                return
            if entry.key >= low:
                yield entry

    def outline(self) -> Sequence[Folder]:
        """Nothing is known of a bucket's folders without a listing."""
        return ()

    def stat(self, key: str) -> Entry | None:
        """The entry of `key` as it is now."""
        _check(key)
        return self._store.entry(key)

    @contextmanager
    def read(self, key: str, *, expect: Entry, start: int = 0, stop: int | None = None) -> Iterator[Source]:
        """Open one version of `key`, which stays whole whatever becomes of the key."""
        _check(key)
        yield _Reading(self._store.get_if(key, expect=expect), start, stop)

    def read_many(self, expect: Sequence[Entry]) -> Generator[bytes | None]:
        """All is at hand."""
        for entry in expect:
            try:
                yield self._store.get_if(entry.key, expect=entry).data
            except Changed:
                yield None

    def write(self, key: str, source: Source, *, expect: Entry | None) -> Entry:
        """Take all of `source`, then store it in one step."""
        _check(key)
        data = bytearray()
        while piece := source.read(_PIECE):
            data += piece
        size = source.entry.size
        if len(data) != size:
            raise Changed(f"{key}: gave {len(data)} bytes where {size} were listed. Run again.")
        return self._store.put_if(key, bytes(data), source, expect=expect)

    def copy_from(self, source: Endpoint, key: str, *, entry: Entry, expect: Entry | None) -> Entry | None:
        """Copy inside one name, in one step; two names are two accounts."""
        if not isinstance(source, MemoryEndpoint) or source.root != self.root:
            return None
        _check(key)
        found = source._store.get_if(entry.key, expect=entry)  # noqa: SLF001 -- of the same class
        return self._store.copy_if(found, key, expect=expect)

    def move(self, key: str, new_key: str, *, expect: Entry) -> Entry:
        """Give `key` another name, in one step."""
        _check(key)
        _check(new_key)
        return self._store.move_if(key, new_key, expect=expect)

    def keep(self, key: str, new_key: str, *, expect: Entry) -> Twin:  # noqa: ARG002 -- it is in `expect`
        """Copy the version to its second name."""
        return by_copy.keep(self, new_key, expect)

    def delete(self, key: str, *, expect: Entry) -> None:
        """Delete `key` if it is as expected."""
        _check(key)
        self._store.remove_if(key, expect=expect)

    def delete_many(self, expect: Sequence[Entry]) -> frozenset[str]:
        """Delete each that is as expected, in steps of their own."""
        gone = set()
        for entry in expect:
            with suppress(EndpointError):
                self.delete(entry.key, expect=entry)
                gone.add(entry.key)
        return frozenset(gone)

    def abort(self, upload: Upload) -> None:
        """Nothing is ever sent in parts."""

    def flush(self) -> None:
        """Nothing here outlasts the process, let alone a power cut."""

    def close(self) -> None:
        """Nothing is held; the store stays for others that opened its name."""


def _refusal(key: str) -> str | None:
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return f"{key!r}: is not valid text, so no bucket can hold it. Rename it."
    if not 0 < size <= MAX_KEY_BYTES:
        return f"{key!r}: {size} bytes; a key has 1 to {MAX_KEY_BYTES}. Rename it."
    return None


def _check(key: str) -> None:
    if refusal := _refusal(key):
        raise Rejected(refusal)


if TYPE_CHECKING:
    _: type[Endpoint] = MemoryEndpoint
