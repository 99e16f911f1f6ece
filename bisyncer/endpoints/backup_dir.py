"""An endpoint whose trash is at another place, the pair's backup_dir for that side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from bisyncer.endpoints.base import Capabilities, Endpoint, Probe, Source, Twin, Upload
from bisyncer.endpoints.by_copy import copied
from bisyncer.endpoints.outline import Folder
from bisyncer.endpoints.pace import Pace
from bisyncer.errors import Rejected, Transient
from bisyncer.model import TRASH, Entry, Item

_LOW: Final = TRASH + "/"
_HIGH: Final = TRASH + "0"  # the code point after '/'


class BackupDirEndpoint:
    """`inner`, but for the keys in its trash: those are keys of `apart`.

    Between the two nothing can be moved; what is kept in the other is a copy, which is durable then.
    """

    def __init__(self, inner: Endpoint, apart: Endpoint) -> None:
        self._inner = inner
        self._apart = apart

    @property
    def root(self) -> str:
        """The root of the side."""
        return self._inner.root

    @property
    def capabilities(self) -> Capabilities:
        """What the side's own store can promise."""
        return self._inner.capabilities

    @property
    def requests(self) -> Mapping[str, int]:
        """Requests to both places."""
        return Counter(self._inner.requests) + Counter(self._apart.requests)

    def heed(self, pace: Pace) -> None:
        """Let both places ask at this pace."""
        self._inner.heed(pace)
        self._apart.heed(pace)

    def refusal(self, key: str) -> str | None:
        """Why the place that `key` belongs to can never hold it."""
        return self._of(key).refusal(key)

    def overlaps(self, other: Endpoint) -> bool:
        """Whether the side's root and the other are, or lie inside, each other."""
        return self._inner.overlaps(beneath(other))

    def probe(self, *, scratch: bool = False) -> Probe:
        """Look at both places; what is found is told of the side's own."""
        found = self._inner.probe(scratch=scratch)
        self._apart.probe(scratch=scratch)
        return found

    def scan(self, low: str = "", high: str | None = None) -> Iterator[Item]:
        """Yield what lies in the range; of the place apart only where it is one in the trash."""
        in_trash = low.startswith(_LOW) and high is not None and high <= _HIGH
        return (self._apart if in_trash else self._inner).scan(low, high)

    def outline(self) -> Sequence[Folder]:
        """The folders of the store inside."""
        return self._inner.outline()

    def stat(self, key: str) -> Entry | None:
        """The entry of `key` as it is now."""
        return self._of(key).stat(key)

    def read(
        self, key: str, *, expect: Entry, start: int = 0, stop: int | None = None
    ) -> AbstractContextManager[Source]:
        """Open `key` for reading."""
        return self._of(key).read(key, expect=expect, start=start, stop=stop)

    def read_many(self, expect: Sequence[Entry]) -> Generator[bytes | None]:
        """What the store inside has at hand."""
        return self._inner.read_many(expect)

    def write(self, key: str, source: Source, *, expect: Entry | None) -> Entry:
        """Write all of `source` to `key`."""
        return self._of(key).write(key, source, expect=expect)

    def copy_from(self, source: Endpoint, key: str, *, entry: Entry, expect: Entry | None) -> Entry | None:
        """Copy inside the store."""
        return self._of(key).copy_from(beneath(source), key, entry=entry, expect=expect)

    def move(self, key: str, new_key: str, *, expect: Entry) -> Entry:
        """Move inside one place; raises `Rejected` from one to the other."""
        place, new_place = self._of(key), self._of(new_key)
        if place is not new_place:
            raise Rejected(f"{new_key}: lies in another place than {key}.")
        return place.move(key, new_key, expect=expect)

    def keep(self, key: str, new_key: str, *, expect: Entry) -> Twin:
        """Give a second name inside one place; in the other, have a copy."""
        place, new_place = self._of(key), self._of(new_key)
        if place is new_place:
            return place.keep(key, new_key, expect=expect)
        return Twin(expect, _copied(place, new_place, new_key, expect))

    def delete(self, key: str, *, expect: Entry) -> None:
        """Delete `key`."""
        self._of(key).delete(key, expect=expect)

    def delete_many(self, expect: Sequence[Entry]) -> frozenset[str]:
        """Delete what lies where the first of them does, as much as that place deletes at once."""
        place = self._of(expect[0].key)
        if place.capabilities.deletes_at_once == 1:
            return frozenset()
        there = [entry for entry in expect if self._of(entry.key) is place]
        return place.delete_many(there[: place.capabilities.deletes_at_once])

    def abort(self, upload: Upload) -> None:
        """Take back what a killed run left of an upload in parts."""
        self._of(upload.key).abort(upload)

    def flush(self) -> None:
        """Return when all that was written to either place would outlast a power cut."""
        self._apart.flush()
        self._inner.flush()

    def close(self) -> None:
        """Close both."""
        self._inner.close()
        self._apart.close()

    def _of(self, key: str) -> Endpoint:
        return self._apart if key.startswith(_LOW) else self._inner


def beneath(endpoint: Endpoint) -> Endpoint:
    """The store's own endpoint, which others of its kind know; `endpoint` itself where it is that."""
    return endpoint._inner if isinstance(endpoint, BackupDirEndpoint) else endpoint  # noqa: SLF001 -- of this module


def _copied(place: Endpoint, new_place: Endpoint, new_key: str, expect: Entry) -> Entry:
    """Copy a version to the other place, inside the store where that can be; it would outlast a power cut."""
    made = copied(place, expect, new_place, new_key)
    if made.size != expect.size:
        raise Transient(
            f"{new_place.root}: {new_key!r} arrived as {made.size} bytes and not as {expect.size}. "
            f"{expect.key!r} stays as it is; run again."
        )
    new_place.flush()
    return made


if TYPE_CHECKING:
    _: type[Endpoint] = BackupDirEndpoint
