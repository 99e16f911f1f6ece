"""What S3 says about an object: its entry, and the fields beside its content, read and written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any, Final

from bisyncer.endpoints.body import content_type
from bisyncer.endpoints.fields import STANDARD, sendable
from bisyncer.endpoints.mtime import MTIME, metadata, parse_mtime, time_ns
from bisyncer.model import Algorithm, Digest, Entry

_MD5 = re.compile("[0-9a-fA-F]{32}")
_MD5S = re.compile("[0-9a-f]{32}(?: [0-9a-f]{32})*")
_OF_PARTS = re.compile("[0-9a-fA-F]{32}-[1-9][0-9]{0,4}")
_MOST_BYTES: Final = 2 << 10  # of all names and values of metadata
_ARGUMENTS: Final[Mapping[str, str]] = {
    name: "".join(word.title() for word in name.split("-")) for name in STANDARD
}
OPAQUE: Final = "Opaque"  # our own mark in an answer of the SDK: no ETag of this bucket is an MD5

_new = tuple.__new__  # builds a named tuple without going through a call of Python's

# How some clients sign a body that they stream, which some servers keep as if it were the content's.
_NO_ENCODING: Final = "aws-chunked"


def is_md5(etag: str) -> bool:
    """Whether `etag` has the shape of an MD5."""
    return len(etag) == 32 and _MD5.fullmatch(etag) is not None


def listed_digests(etag: str) -> tuple[Digest, ...]:
    """The digests that an ETag alone is good for."""
    if is_md5(etag):
        return (Digest(Algorithm.ETAG_MD5, etag.lower()),)
    return (Digest(Algorithm.ETAG_PARTS, etag.lower()),) if _OF_PARTS.fullmatch(etag) else ()


def digests_of_page(etags: Sequence[str]) -> Iterable[tuple[Digest, ...]]:
    """The digests that each of some ETags alone is good for."""
    joined = " ".join(etags)
    if len(joined) + 1 == 33 * len(etags) and _MD5S.fullmatch(joined):  # so none has a space of its own
        return zip(
            map(_new, repeat(Digest), zip(repeat(Algorithm.ETAG_MD5), etags, strict=False)), strict=True
        )
    return map(listed_digests, etags)


def entry(key: str, response: Mapping[str, Any]) -> Entry:
    """The entry of an object from the SDK's answer to HEAD or GET, whose range may leave a part of it out."""
    etag = response["ETag"].strip('"')
    mtime_ns = kept_mtime_ns(response)
    whole = response.get("ContentRange", "").rpartition("/")[2]
    return Entry(
        key,
        int(whole) if whole.isdecimal() else response["ContentLength"],
        time_ns(response["LastModified"]) if mtime_ns is None else mtime_ns,
        etag,
        (Digest(Algorithm.MD5, etag.lower()),) if is_md5(etag) and not opaque(response) else (),
    )


def kept_mtime_ns(response: Mapping[str, Any]) -> int | None:
    """The time of the content that an object keeps beside it; None where it keeps none.

    Some servers write the names of metadata with a capital.
    """
    own = {name.lower(): value for name, value in response.get("Metadata", {}).items()}
    return parse_mtime(own.get(MTIME))


def opaque(response: Mapping[str, Any]) -> bool:
    """Whether an object's ETag is something else than an MD5, by its encryption or its kind of bucket."""
    return response.get("ServerSideEncryption", "").startswith("aws:kms") or bool(
        response.get("SSECustomerAlgorithm") or response.get(OPAQUE)
    )


def fields(response: Mapping[str, Any]) -> dict[str, str]:
    """The fields beside the content, but for its time, by rclone's names; of an answer to HEAD or GET."""
    standard = {name: response[ours] for name, ours in _ARGUMENTS.items() if response.get(ours)}
    return told({**response.get("Metadata", {}), **standard})


def told(attributes: Mapping[str, str]) -> dict[str, str]:
    """The same from attributes of which each has its name as a header."""
    found = {name.lower(): value for name, value in attributes.items() if name.lower() != MTIME}
    if found.get("content-encoding") == _NO_ENCODING:
        del found["content-encoding"]
    return found


def attributes(key: str, given: Mapping[str, str], mtime_ns: int | None) -> dict[str, str]:
    """What an object is to have beside its content, each by its name as a header; what can't be is left out.

    S3 takes 2 KiB of metadata. https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
    """
    standard, sent = _apart(tuple(given.items()))
    own = metadata(mtime_ns)
    room = _MOST_BYTES - sum(len(name) + len(value) for name, value in own.items())
    for name, value in sent.items():
        size = len(name) + len(value)
        if name != MTIME and size <= room:
            own[name] = value
            room -= size
    return {"content-type": content_type(key), **standard, **own}


@lru_cache(maxsize=256)
def _apart(given: tuple[tuple[str, str], ...]) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """What can be sent of some fields: those that HTTP has, and all others. Most files share theirs."""
    sent = sendable(dict(given))
    return {name: sent.pop(name) for name in STANDARD if name in sent}, sent


def arguments(attributes: Mapping[str, str]) -> dict[str, Any]:
    """The same attributes as arguments of the SDK."""
    standard = {ours: attributes[name] for name, ours in _ARGUMENTS.items() if name in attributes}
    own = {name: value for name, value in attributes.items() if name not in _ARGUMENTS}
    return {**standard, "Metadata": own}
