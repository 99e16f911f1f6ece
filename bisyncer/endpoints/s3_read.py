"""Bodies received: by obstore where it can name the key, else by boto3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from urllib3.exceptions import HTTPError

from bisyncer.endpoints import s3_direct
from bisyncer.endpoints.mtime import MTIME, parse_mtime, time_ns
from bisyncer.endpoints.s3_bucket import Bucket, quoted
from bisyncer.endpoints.s3_error import SDK_ERRORS, Kind
from bisyncer.endpoints.s3_object import entry, fields, listed_digests, told
from bisyncer.errors import NoRanges, Transient
from bisyncer.model import Entry

if TYPE_CHECKING:
    from obstore import GetResult

_PIECE = 1 << 20


class Found(NamedTuple):
    """What was opened, and what travels beside its content."""

    entry: Entry
    metadata: Mapping[str, str]


class _Span(NamedTuple):
    """The bytes that are asked for: from `start` on, and before `stop`, if that is not None."""

    start: int
    stop: int | None

    def size(self, found: Entry) -> int:
        return (found.size if self.stop is None else self.stop) - self.start


class Reading:
    """A body being read; it is its own context, at whose end the connection is given back."""

    def __init__(
        self, place: str, found: Found, unread: int, pieces: Iterator[Any], body: Any = None
    ) -> None:
        self.entry, self.metadata = found
        self._place = place
        self._pieces = pieces
        self._body = body
        self._piece = memoryview(b"")
        self._unread = unread

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; raises `Transient` instead of an end that comes too early."""
        if size < 0:
            return b"".join(iter(lambda: self.read(_PIECE), b""))
        while not self._piece:
            try:
                following = next(self._pieces, None)
            except (*s3_direct.Unclear, HTTPError) as error:  # urllib3's own where TLS breaks off
                raise self._cut(" ".join(str(error).split())) from None
            if following is None:
                if self._unread:
                    raise self._cut(f"{self._unread} bytes are missing")
                return b""
            self._piece = memoryview(following)
        given, self._piece = self._piece[:size], self._piece[size:]
        self._unread -= len(given)
        return bytes(given)

    def close(self) -> None:
        """Give back the connection; one with unread bytes is closed."""
        self._pieces = iter(())
        if self._body is not None:
            self._body.close()

    def _cut(self, reason: str) -> Transient:
        return Transient(
            f"{self._place}: the store stopped in the middle of the object ({reason}). Run again."
        )


def open_reading(bucket: Bucket, key: str, expect: Entry, start: int, stop: int | None) -> Reading:
    """Open the version of `key` that `expect` says; raises `Changed`, `Transient` or `Rejected`."""
    if start and start >= expect.size:  # a range that begins at the end is an error to a store
        answer = bucket.version(expect)
        return Reading(bucket.place(key), Found(entry(key, answer), fields(answer)), 0, iter(()))
    name = bucket.name(key)
    span = _Span(start, None if stop is None or stop >= expect.size else stop)
    store = bucket.direct(name)
    if store is None:
        return _through_sdk(bucket, key, name, expect, span)
    bucket.requests.count("get")
    got: GetResult | None = None
    try:
        got = s3_direct.get(store, name, expect.stamp, *span)
    except s3_direct.Stale:
        raise bucket.changed(key, expect) from None
    except s3_direct.Unclear:
        reading = _through_sdk(bucket, key, name, expect, span)  # its answer says what is wrong, if anything
    else:
        reading = _direct(bucket, key, expect, span, got)
    bucket.note_direct(worked=got is not None)
    return reading


def _direct(bucket: Bucket, key: str, expect: Entry, span: _Span, got: GetResult) -> Reading:
    meta = got.meta
    etag = (meta["e_tag"] or "").strip('"')
    if etag != expect.stamp:  # there are stores that ignore the condition
        raise bucket.changed(key, expect)
    attributes = got.attributes  # made anew each time it is asked for
    mtime_ns = parse_mtime(attributes.get(MTIME))
    if mtime_ns is None:
        mtime_ns = time_ns(meta["last_modified"])
    found = Entry(key, meta["size"], mtime_ns, etag, listed_digests(etag))
    size = span.size(found)
    return Reading(bucket.place(key), Found(found, told(attributes)), size, _pieces(got, size))


def _pieces(got: GetResult, size: int) -> Iterator[Any]:
    """The body, of which `size` bytes are to come: a small one in one piece."""
    if size > _PIECE:
        yield from got.stream(_PIECE)
    elif size:
        yield got.bytes()


def _through_sdk(bucket: Bucket, key: str, name: str, expect: Entry, span: _Span) -> Reading:
    start, stop = span
    end = "" if stop is None else str(stop - 1)
    part = {"Range": f"bytes={start}-{end}"} if start or end else {}
    try:
        got = bucket.ask("get_object", Key=name, IfMatch=quoted(expect.stamp), **part)
    except SDK_ERRORS as error:
        trouble = bucket.judge(error)
        if trouble.kind in {Kind.STALE, Kind.MISSING}:
            raise bucket.changed(key, expect) from None
        raise trouble.error(bucket.place(key)) from None
    body = got["Body"]
    found = Found(entry(key, got), fields(got))
    if found.entry.stamp != expect.stamp:  # there are stores that ignore the condition
        body.close()
        raise bucket.changed(key, expect)
    if part and not got.get("ContentRange", "").startswith(f"bytes {start}-{end}"):
        body.close()
        raise NoRanges(
            f"{bucket.place(key)}: the store gives another part of the object than was asked for, so it "
            "can't be read in ranges, nor continued where it breaks off. Run again."
        )
    size = span.size(found.entry)
    return Reading(bucket.place(key), found, size, body.iter_chunks(_PIECE), body)
