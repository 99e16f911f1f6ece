"""What OCI says about an object: its entry, and the fields beside its content, read and written."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from bisyncer.endpoints.base import Source
from bisyncer.endpoints.base64_md5 import digests
from bisyncer.endpoints.body import content_type
from bisyncer.endpoints.fields import sendable
from bisyncer.endpoints.mtime import MTIME, metadata, parse_mtime, time_ns
from bisyncer.model import Algorithm, Entry

TELLS = ("etag", "content-length")  # without these no entry can be made of headers
PREFIX = "opc-meta-"  # of the names of an object's own metadata fields

# The fields that every object has room for, by their headers, and what JSON calls them.
_STANDARD = {
    "content-type": "contentType",
    "cache-control": "cacheControl",
    "content-disposition": "contentDisposition",
    "content-encoding": "contentEncoding",
    "content-language": "contentLanguage",
}


class Found(NamedTuple):
    """An object that was looked at, and the headers that told of it."""

    entry: Entry
    headers: Mapping[str, str]

    @property
    def parts_md5(self) -> str | None:
        """The MD5 of the MD5s of its parts, and their number; None where it was sent in one request."""
        return self.headers.get("opc-multipart-md5")

    def holds(self, other: Found) -> bool | None:
        """Whether its content is the same as another's; None where their MD5s can't tell."""
        if self.entry.size != other.entry.size:
            return False
        if self.entry.digests and other.entry.digests:
            return self.entry.digests == other.entry.digests
        # Unequal ones may be of the same bytes, cut into other parts.
        return True if self.parts_md5 is not None and self.parts_md5 == other.parts_md5 else None


def entry(key: str, headers: Mapping[str, str]) -> Entry:
    """The entry of an object from the headers of HEAD or GET."""
    mtime_ns = parse_mtime(headers.get(PREFIX + MTIME))
    if mtime_ns is None:
        mtime_ns = dated_ns(headers.get("last-modified"))
    # The service documents the first, and gives the second too.
    md5 = headers.get("content-md5") or headers.get("opc-content-md5")
    return Entry(key, int(headers["content-length"]), mtime_ns, headers["etag"], digests(Algorithm.MD5, md5))


def fields(headers: Mapping[str, str]) -> dict[str, str]:
    """The fields beside the content, but for its time, by rclone's names."""
    by_name = {name.lower(): value for name, value in headers.items()}
    own = {
        name.removeprefix(PREFIX): value
        for name, value in by_name.items()
        if name.startswith(PREFIX) and name != PREFIX + MTIME
    }
    return own | {name: by_name[name] for name in _STANDARD if name in by_name}


def attributes(key: str, source: Source) -> dict[str, str]:
    """What an object is to have beside its content, as headers; what no header can hold is left out."""
    given = sendable(source.metadata)
    standard = {name: given.pop(name) for name in _STANDARD if name in given}
    own = given | metadata(source.entry.mtime_ns)
    return {"content-type": content_type(key), **standard, **as_own(own)}


def as_own(own: Mapping[str, str]) -> dict[str, str]:
    """An object's own fields, by the names that the service has for them."""
    return {PREFIX + name: value for name, value in own.items()}


def timed(found: Found) -> dict[str, str] | None:
    """An object's own fields with its time; None where they tell it already."""
    if parse_mtime(found.headers.get(PREFIX + MTIME)) is not None:
        return None
    own = {name: value for name, value in fields(found.headers).items() if name not in _STANDARD}
    return as_own(own | metadata(found.entry.mtime_ns))


def as_json(headers: Mapping[str, str]) -> dict[str, object]:
    """The same `attributes` as they are told in the body of a request."""
    return {
        **{ours: headers[name] for name, ours in _STANDARD.items() if name in headers},
        "metadata": {name: value for name, value in headers.items() if name.startswith(PREFIX)},
    }


def by_md5(one: Entry, two: Entry) -> bool | None:
    """Whether two entries have the same MD5; None where one of them has none."""
    md5s = [dict(entry.digests).get(Algorithm.MD5) for entry in (one, two)]
    return None if None in md5s else md5s[0] == md5s[1]


def dated_ns(date: str | None) -> int | None:
    """The time that a header tells; None where it tells none."""
    try:
        return time_ns(parsedate_to_datetime(date)) if date else None
    except (TypeError, ValueError):  # TypeError: a date without a zone
        return None
