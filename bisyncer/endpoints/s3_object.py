"""What S3 says about an object, as an Entry; and the time of the content, which S3 doesn't keep itself.

The time is kept in the metadata field `mtime` as rclone writes and reads it: seconds since the epoch in
decimal, up to nine places.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bisyncer.model import Algorithm, Digest, Entry

MTIME = "mtime"

_MD5 = re.compile("[0-9a-fA-F]{32}")
_SECONDS = re.compile(r"(-?)([0-9]+)(?:\.([0-9]*))?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_S_NS = 1_000_000_000
# Python's own table only: with the system's, two hosts would give one object two types.
_TYPES = mimetypes.MimeTypes()


def is_md5(etag: str) -> bool:
    """Whether `etag` has the shape of an MD5."""
    return len(etag) == 32 and _MD5.fullmatch(etag) is not None


def listed_digests(etag: str) -> tuple[Digest, ...]:
    """The digests that an ETag alone is good for."""
    return (Digest(Algorithm.ETAG_MD5, etag.lower()),) if is_md5(etag) else ()


def listed_time_ns(text: str) -> int:
    """LastModified of a listing, as '2026-11-21T08:00:00.000Z'."""
    return time_ns(datetime.fromisoformat(text))


def time_ns(instant: datetime) -> int:
    """An instant in ns since the epoch, without going through a float."""
    passed = instant - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * _S_NS + passed.microseconds * 1_000


def entry(key: str, response: Mapping[str, Any]) -> Entry:
    """The entry of an object from the SDK's answer to HEAD or GET."""
    etag = response["ETag"].strip('"')
    mtime_ns = parse_mtime(response.get("Metadata", {}).get(MTIME))
    return Entry(
        key,
        response["ContentLength"],
        time_ns(response["LastModified"]) if mtime_ns is None else mtime_ns,
        etag,
        (Digest(Algorithm.MD5, etag.lower()),) if is_md5(etag) and not encrypted(response) else (),
    )


def encrypted(response: Mapping[str, Any]) -> bool:
    """Whether an object is encrypted in a way that makes its ETag something else than an MD5."""
    return response.get("ServerSideEncryption", "").startswith("aws:kms") or bool(
        response.get("SSECustomerAlgorithm")
    )


def parse_mtime(text: str | None) -> int | None:
    """The time that a `mtime` metadata field tells, in ns; None where it tells none."""
    match = _SECONDS.fullmatch(text or "")
    if match is None:
        return None
    sign, seconds, fraction = match.groups()
    value = int(seconds) * _S_NS + int((fraction or "")[:9].ljust(9, "0"))
    return -value if sign else value


def metadata(mtime_ns: int | None) -> dict[str, str]:
    """The metadata fields of an object whose content has that time."""
    if mtime_ns is None:
        return {}
    seconds, fraction = divmod(abs(mtime_ns), _S_NS)
    sign = "-" if mtime_ns < 0 else ""
    return {MTIME: f"{sign}{seconds}.{fraction:09}".rstrip("0").rstrip(".")}


def content_type(key: str) -> str:
    """The media type that browsers are to be told, by the end of the name."""
    return _TYPES.guess_type(key)[0] or "application/octet-stream"
