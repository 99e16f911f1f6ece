"""An endpoint around an endpoint, which refuses to be written: the side that a mode leaves as it is."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from bisyncer.endpoints.base import Capabilities, Endpoint, Probe, Source, Twin, Upload
from bisyncer.endpoints.outline import Folder
from bisyncer.endpoints.pace import Pace
from bisyncer.errors import Rejected
from bisyncer.model import Entry, Item


class ReadOnlyEndpoint:
    """`inner`, of which all that changes it is refused: whatever was decided, it keeps each byte."""

    def __init__(self, inner: Endpoint) -> None:
        self.inner = inner

    @property
    def root(self) -> str:
        """The root of the endpoint inside."""
        return self.inner.root

    @property
    def capabilities(self) -> Capabilities:
        """What the store inside can promise."""
        return self.inner.capabilities

    @property
    def requests(self) -> Mapping[str, int]:
        """Requests by kind."""
        return self.inner.requests

    def heed(self, pace: Pace) -> None:
        """Let the endpoint inside ask at this pace."""
        self.inner.heed(pace)

    def refusal(self, key: str) -> str | None:
        """Why the store inside can never hold `key`."""
        return self.inner.refusal(key)

    def overlaps(self, other: Endpoint) -> bool:
        """Whether one of the two roots is, or lies inside, the other."""
        return self.inner.overlaps(other)

    def probe(self, *, scratch: bool = False) -> Probe:  # noqa: ARG002 -- nothing is tried by writing
        """Look whether the root is there, and write nothing."""
        return self.inner.probe()

    def scan(self, low: str = "", high: str | None = None) -> Iterator[Item]:
        """Yield what the store inside lists."""
        return self.inner.scan(low, high)

    def outline(self) -> Sequence[Folder]:
        """The folders of the store inside."""
        return self.inner.outline()

    def stat(self, key: str) -> Entry | None:
        """The entry of `key` as it is now."""
        return self.inner.stat(key)

    def read(
        self, key: str, *, expect: Entry, start: int = 0, stop: int | None = None
    ) -> AbstractContextManager[Source]:
        """Open `key` for reading."""
        return self.inner.read(key, expect=expect, start=start, stop=stop)

    def read_many(self, expect: Sequence[Entry]) -> Generator[bytes | None]:
        """What the store inside has at hand."""
        return self.inner.read_many(expect)

    def write(self, key: str, source: Source, *, expect: Entry | None) -> Entry:  # noqa: ARG002 -- refused
        """Refused."""
        raise self._refused(key)

    def copy_from(self, source: Endpoint, key: str, *, entry: Entry, expect: Entry | None) -> Entry | None:  # noqa: ARG002 -- refused
        """Refused."""
        raise self._refused(key)

    def move(self, key: str, new_key: str, *, expect: Entry) -> Entry:  # noqa: ARG002 -- refused
        """Refused."""
        raise self._refused(key)

    def keep(self, key: str, new_key: str, *, expect: Entry) -> Twin:  # noqa: ARG002 -- refused
        """Refused."""
        raise self._refused(key)

    def delete(self, key: str, *, expect: Entry) -> None:  # noqa: ARG002 -- refused
        """Refused."""
        raise self._refused(key)

    def delete_many(self, expect: Sequence[Entry]) -> frozenset[str]:
        """Refused."""
        raise self._refused(expect[0].key)

    def abort(self, upload: Upload) -> None:
        """Refused: what an upload left waits for a mode that writes this side."""
        raise self._refused(upload.key)

    def flush(self) -> None:
        """Nothing was written by us; what was read may have been by somebody else, a moment before."""
        self.inner.flush()

    def close(self) -> None:
        """Close the endpoint inside."""
        self.inner.close()

    def _refused(self, key: str) -> Rejected:
        return Rejected(
            f"{self.root}: {key!r} is not changed there, since the mode of the pair only reads it."
        )


if TYPE_CHECKING:
    _: type[Endpoint] = ReadOnlyEndpoint
