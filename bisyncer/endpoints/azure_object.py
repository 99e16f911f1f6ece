"""What Azure says about a blob, as an Entry; and the time of the content, which Azure doesn't keep itself.

The time is kept in the metadata field `mtime` as rclone writes it to Azure: RFC 3339 with nine places.
The form that rclone uses on S3, seconds since the epoch, is read as well.

A Content-MD5 is computed by the service when a body comes in one request. Blocks and pages come with
whatever their uploader claims, and nobody corrects it when a page is written or a block appended later.
So one that is found counts as an ETag in the shape of an MD5 does: equal to an MD5 it is taken to prove
equal content, unequal it proves nothing; and one of a blob that can be changed in place isn't looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from bisyncer.endpoints import base64_md5
from bisyncer.model import Algorithm, Digest, Entry

MTIME = "x-ms-meta-mtime"

_SECONDS = re.compile(r"(-?)([0-9]{1,100})(?:\.([0-9]*))?")
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9:]{8})(?:\.([0-9]+))?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_S_NS = 1_000_000_000
_YEARS_NS = (-62_135_596_800 * _S_NS, 253_402_300_800 * _S_NS)  # from the year 1 until before 10000
_BLOCK_BLOB = "BlockBlob"
_ETAG_MD5 = Algorithm.ETAG_MD5  # an enum looks its members up slowly, and this is done once a blob


def is_folder(headers: Mapping[str, str]) -> bool:
    """Whether a blob is the mark of a folder.

    So a directory of a hierarchical namespace is told, and so blobfuse and Hadoop mark folders of a flat one:
    https://github.com/Azure/azure-storage-fuse/issues/363
    """
    return headers.get("x-ms-meta-hdi_isfolder", "").lower() == "true"


def stamp(etag: str) -> str:
    """An ETag without the quotes that headers have and listings don't."""
    return etag.strip('"')


def digests(md5: str | None, blob_type: str) -> tuple[Digest, ...]:
    """The digests that a Content-MD5 is good for."""
    return base64_md5.digests(_ETAG_MD5, md5) if blob_type == _BLOCK_BLOB else ()


def digests_of_page(md5s: Sequence[str], blob_types: Sequence[str]) -> Iterable[tuple[Digest, ...]]:
    """The same for all blobs of a page."""
    if set(blob_types) == {_BLOCK_BLOB}:
        return base64_md5.digests_of_page(_ETAG_MD5, md5s)
    return map(digests, md5s, blob_types)


@lru_cache(maxsize=65_536)
def http_time_ns(text: str) -> int:
    """A time as 'Sat, 21 Nov 2026 08:00:00 GMT', in ns since the epoch; raises `ValueError`."""
    day, month, year, clock, zone = text.partition(", ")[2].split(" ")
    if zone != "GMT":
        raise ValueError(text)
    number = "JanFebMarAprMayJunJulAugSepOctNovDec".index(month) // 3 + 1
    hour, minute, second = map(int, clock.split(":"))
    instant = datetime(int(year), number, int(day), hour, minute, second, tzinfo=UTC)
    return int((instant - _EPOCH).total_seconds()) * _S_NS


def entry(key: str, headers: Mapping[str, str]) -> Entry:
    """The entry of a blob from the headers of the answer to HEAD or GET."""
    mtime_ns = parse_mtime(headers.get(MTIME))
    return Entry(
        key,
        _size(headers),
        http_time_ns(headers["Last-Modified"]) if mtime_ns is None else mtime_ns,
        stamp(headers["ETag"]),
        digests(_md5(headers), headers.get("x-ms-blob-type", "")),
    )


def _size(headers: Mapping[str, str]) -> int:
    """The size of the whole blob; an answer with a part of it tells that beside the part's."""
    whole = headers.get("Content-Range", "").rpartition("/")[2]
    return int(whole or headers["Content-Length"])


def _md5(headers: Mapping[str, str]) -> str | None:
    """The MD5 of the whole blob."""
    return headers.get("x-ms-blob-content-md5") if "Content-Range" in headers else headers.get("Content-MD5")


def parse_mtime(text: str | None) -> int | None:
    """The time that a `mtime` metadata field tells, in ns; None where it tells none."""
    text = text or ""
    if match := _SECONDS.fullmatch(text):
        sign, seconds, fraction = match.groups()
        value = int(seconds) * _S_NS + _fraction(fraction)
        return -value if sign else value
    if match := _RFC3339.fullmatch(text):
        day, clock, fraction, zone = match.groups()
        try:
            instant = datetime.fromisoformat(f"{day}T{clock}{zone.upper()}")
        except ValueError:
            return None
        passed = instant - _EPOCH
        return (passed.days * 86_400 + passed.seconds) * _S_NS + _fraction(fraction)
    return None


def metadata(mtime_ns: int | None) -> dict[str, str]:
    """The metadata of a blob whose content has that time, as headers."""
    if mtime_ns is None:
        return {}
    if not _YEARS_NS[0] <= mtime_ns < _YEARS_NS[1]:  # no year that RFC 3339 can write
        sign = "-" if mtime_ns < 0 else ""
        seconds, fraction = divmod(abs(mtime_ns), _S_NS)
        return {MTIME: f"{sign}{seconds}.{fraction:09}"}
    seconds, fraction = divmod(mtime_ns, _S_NS)
    days, second = divmod(seconds, 86_400)
    day = datetime.fromordinal(_EPOCH.toordinal() + days).date().isoformat()
    hour, minute = divmod(second // 60, 60)
    return {MTIME: f"{day}T{hour:02}:{minute:02}:{second % 60:02}.{fraction:09}Z"}


def _fraction(text: str | None) -> int:
    return int((text or "")[:9].ljust(9, "0"))
