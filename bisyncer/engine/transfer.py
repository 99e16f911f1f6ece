"""One object from one endpoint to another, hashed on its way."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from bisyncer.core.compare import by_digest
from bisyncer.endpoints.base import Endpoint, Source
from bisyncer.errors import Changed, Transient
from bisyncer.model import Agreement, Algorithm, Ancestor, Digest, Entry

CHUNK = 1 << 20


class Landed(NamedTuple):
    """What both stores returned for one transfer; both entries carry the digests of what passed."""

    source: Entry
    target: Entry


def transfer(source: Endpoint, entry: Entry, target: Endpoint, key: str, *, expect: Entry | None) -> Landed:
    """Copy the version `entry` of `source` to `key` of `target`, where `expect` must be what is there.

    Where the target can, it is copied inside the store, and what the store says of both is compared; else it
    goes through here. Raises `Changed`, `Transient` or `Rejected`.
    """
    if target.capabilities.server_copy:
        copied = target.copy_from(source, key, entry=entry, expect=expect)
        if copied is not None:
            return _copied(target, entry, copied)
    return stream(source, entry, target, key, expect=expect)


def stream(source: Endpoint, entry: Entry, target: Endpoint, key: str, *, expect: Entry | None) -> Landed:
    """Copy as `transfer` does, through here: both entries then have digests of what passed.

    Nothing is published unless the whole of that one version was read.
    """
    with source.read(entry.key, expect=entry) as opened:
        passing = Hashing(opened)
        written = target.write(key, passing, expect=expect)
    digests = passing.digests()
    if written.size != passing.size or by_digest(digests, written.digests) is Agreement.DIFFERENT:
        raise Transient(
            f"{target.root}: {key!r} arrived as {written.size} bytes with another digest than the "
            f"{passing.size} bytes that were sent. It is sent again."
        )
    return Landed(
        passing.entry._replace(key=entry.key, digests=digests), written._replace(key=key, digests=digests)
    )


def _copied(target: Endpoint, entry: Entry, copied: Entry) -> Landed:
    if copied.size != entry.size or by_digest(entry.digests, copied.digests) is Agreement.DIFFERENT:
        raise Transient(
            f"{target.root}: {copied.key!r} was copied inside the store, and has another size or digest than "
            f"{entry.key!r}. The next run looks at it again."
        )
    digests = tuple(dict.fromkeys(entry.digests + copied.digests))
    return Landed(entry._replace(digests=digests), copied._replace(digests=digests))


def content(endpoint: Endpoint, entry: Entry) -> Entry:
    """Read one version to its end and return its entry with digests; raises as `Endpoint.read` does."""
    with endpoint.read(entry.key, expect=entry) as opened:
        passing = Hashing(opened)
        while passing.read(CHUNK):
            pass
    if passing.size != entry.size:
        raise Changed(f"{endpoint.root}: {entry.key!r} was not {entry.size} bytes long when it was read.")
    return passing.entry._replace(digests=passing.digests())


def agreed(key: str, path1: Entry, path2: Entry) -> Ancestor:
    """The ancestor of two entries that hold the same content: each gets the digests that either has."""
    digests = tuple(dict.fromkeys(path1.digests + path2.digests))
    return Ancestor(key, path1._replace(digests=digests), path2._replace(digests=digests))


class Hashing:
    """A source that hashes what is read from it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.size = 0

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
        self._sha256.update(data)
        self._md5.update(data)
        self.size += len(data)
        return data

    def digests(self) -> tuple[Digest, ...]:
        """The digests of what has been read."""
        return (
            Digest(Algorithm.SHA256, self._sha256.hexdigest()),
            Digest(Algorithm.MD5, self._md5.hexdigest()),
        )
