"""One object from one endpoint to another, hashed on its way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from bisyncer.core.compare import by_digest
from bisyncer.core.parts import PartsHash
from bisyncer.endpoints.base import Endpoint, Source, Twin
from bisyncer.endpoints.body import PART_SIZE
from bisyncer.errors import Changed, EndpointError, Transient
from bisyncer.model import Agreement, Algorithm, Ancestor, Digest, Entry

CHUNK = 1 << 20


class Keeper(Protocol):
    """Who keeps the versions that are replaced."""

    def keep(self, entry: Entry) -> Twin:
        """Give the version a second name; raises as `Endpoint.keep` does."""
        ...

    def take_back(self, twin: Twin) -> None:
        """Take the second name away again, if the version still has its first one."""
        ...


class Landed(NamedTuple):
    """What both stores returned for one transfer; both entries carry the digests of what passed.

    `trashed` is the name under which the version that was replaced is kept.
    """

    source: Entry
    target: Entry
    trashed: str | None = None


def transfer(
    source: Endpoint,
    entry: Entry,
    target: Endpoint,
    key: str,
    *,
    expect: Entry | None,
    keeper: Keeper | None = None,
    passed: Callable[[int], None] | None = None,
) -> Landed:
    """Copy the version `entry` of `source` to `key` of `target`, where `expect` must be what is there.

    Where the target can, it is copied inside the store, and what the store says of both is compared; else it
    goes through here; of a large body `passed` is told how many bytes have. Raises `Changed`, `Transient` or
    `Rejected`.
    """
    with _Kept(keeper, expect) as kept:
        if target.capabilities.server_copy:
            expect = kept.keep()
            kept.published = lambda: True
            copied = target.copy_from(source, key, entry=entry, expect=expect)
            if copied is not None:
                return _copied(target, entry, copied, kept.name)
        return _streamed(source, entry, target, key, kept=kept, passed=passed)


def stream(
    source: Endpoint,
    entry: Entry,
    target: Endpoint,
    key: str,
    *,
    expect: Entry | None,
    keeper: Keeper | None = None,
) -> Landed:
    """Copy as `transfer` does, through here: both entries then have digests of what passed.

    Nothing is published unless the whole of that one version was read.
    """
    with _Kept(keeper, expect) as kept:
        return _streamed(source, entry, target, key, kept=kept)


def _streamed(
    source: Endpoint,
    entry: Entry,
    target: Endpoint,
    key: str,
    *,
    kept: _Kept,
    passed: Callable[[int], None] | None = None,
) -> Landed:
    kept.published = lambda: False
    with source.read(entry.key, expect=entry) as opened:
        # The MD5 takes longer than all else here. Of a body in parts it is left to stores that keep one.
        is_large = opened.entry.size > PART_SIZE
        passing = Hashing(opened, md5=not is_large, passed=passed if is_large else None)
        expect = kept.keep()
        kept.published = lambda: passing.ended
        written = target.write(key, passing, expect=expect)
    digests = passing.digests()
    if written.size != passing.size or by_digest(digests, written.digests) is Agreement.DIFFERENT:
        raise Transient(
            f"{target.root}: {key!r} arrived as {written.size} bytes with another digest than the "
            f"{passing.size} bytes that were sent. It is sent again."
        )
    digests = tuple(dict.fromkeys(digests + written.digests))
    sent = passing.entry
    return Landed(
        Entry(entry.key, sent.size, sent.mtime_ns, sent.stamp, digests),
        Entry(key, written.size, written.mtime_ns, written.stamp, digests),
        kept.name,
    )


class _Kept:
    """Keeps the version that is replaced inside the block, once that is asked for.

    Where the block fails and nothing can have been published, it is taken back: else a key that fails in
    every run would be kept by every run.
    """

    __slots__ = ("_expect", "_keeper", "_twin", "published")

    def __init__(self, keeper: Keeper | None, expect: Entry | None) -> None:
        self._keeper = keeper
        self._expect = expect
        self._twin: Twin | None = None
        self.published: Callable[[], bool] = lambda: False

    def __enter__(self) -> Self:
        return self

    def keep(self) -> Entry | None:
        """Keep it, unless it is kept already; return what is to be expected at its name then."""
        if self._keeper is None or self._expect is None:
            return self._expect
        self._twin = self._twin or self._keeper.keep(self._expect)
        return self._twin.entry

    @property
    def name(self) -> str | None:
        """The name under which it is kept."""
        return None if self._twin is None else self._twin.copy.key

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeper is None or self._twin is None or not isinstance(error, EndpointError):
            return
        if not isinstance(error, Transient) or not self.published():
            self._keeper.take_back(self._twin)


def _copied(target: Endpoint, entry: Entry, copied: Entry, trashed: str | None) -> Landed:
    if copied.size != entry.size or by_digest(entry.digests, copied.digests) is Agreement.DIFFERENT:
        raise Transient(
            f"{target.root}: {copied.key!r} was copied inside the store, and has another size or digest than "
            f"{entry.key!r}. The next run looks at it again."
        )
    digests = tuple(dict.fromkeys(entry.digests + copied.digests))
    return Landed(entry._replace(digests=digests), copied._replace(digests=digests), trashed)


def content(endpoint: Endpoint, entry: Entry, also: Sequence[PartsHash] = ()) -> Entry:
    """Read one version to its end and return its entry with digests; raises as `Endpoint.read` does.

    `also` are given what is read too.
    """
    with endpoint.read(entry.key, expect=entry) as opened:
        passing = Hashing(opened, also)
        while passing.read(CHUNK):
            pass
    if passing.size != entry.size:
        raise Changed(f"{endpoint.root}: {entry.key!r} was not {entry.size} bytes long when it was read.")
    return passing.entry._replace(digests=passing.digests())


def hashed(entry: Entry, data: bytes) -> Entry:
    """The entry with digests of `data`, which is its whole content."""
    sha256, md5 = hashlib.sha256(data), hashlib.md5(data, usedforsecurity=False)
    digests = (Digest(Algorithm.SHA256, sha256.hexdigest()), Digest(Algorithm.MD5, md5.hexdigest()))
    return Entry(entry.key, entry.size, entry.mtime_ns, entry.stamp, digests)


def agreed(key: str, path1: Entry, path2: Entry) -> Ancestor:
    """The ancestor of two entries that hold the same content: each gets the digests that either has."""
    if path1.digests == path2.digests:
        return Ancestor(key, path1, path2)
    digests = tuple(dict.fromkeys(path1.digests + path2.digests))
    return Ancestor(key, path1._replace(digests=digests), path2._replace(digests=digests))


class Hashing:
    """A source that hashes what is read from it."""

    def __init__(
        self,
        source: Source,
        also: Sequence[PartsHash] = (),
        *,
        md5: bool = True,
        passed: Callable[[int], None] | None = None,
    ) -> None:
        self._source = source
        self._passed = passed
        self._also = also
        self._hashes = {Algorithm.SHA256: hashlib.sha256()}
        if md5:
            self._hashes[Algorithm.MD5] = hashlib.md5(usedforsecurity=False)
        self.size = 0
        self.ended = False  # whether all was read, without which nothing is published

    @property
    def entry(self) -> Entry:
        """The entry of the source."""
        return self._source.entry

    @property
    def metadata(self) -> Mapping[str, str]:
        """What travels beside the content of the source."""
        return self._source.metadata

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes of the source; b'' at the end."""
        data = self._source.read(size)
        if not data:
            self.ended = self.ended or size != 0
            return data
        for each in self._hashes.values():
            each.update(data)
        for parts in self._also:
            parts.update(data)
        self.size += len(data)
        if self._passed is not None:
            self._passed(self.size)
        return data

    def digests(self) -> tuple[Digest, ...]:
        """The digests of what has been read."""
        return tuple(Digest(algorithm, each.hexdigest()) for algorithm, each in self._hashes.items())
