"""Large bodies in parts, as S3 takes them: each with its MD5, and an ETag in return."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bisyncer.endpoints import body
from bisyncer.endpoints.base import Source
from bisyncer.endpoints.s3_bucket import Bucket
from bisyncer.endpoints.s3_error import SDK_ERRORS
from bisyncer.endpoints.s3_object import encrypted, is_md5
from bisyncer.errors import Transient

MOST_PARTS = 10_000  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html


class Place(NamedTuple):
    """Where parts go: the arguments that each request of one upload carries."""

    place: str  # as errors name it
    arguments: Mapping[str, str]  # Key and UploadId


class Part(NamedTuple):
    """A part that the store has; `md5` is None where its ETag isn't known to be one."""

    etag: str
    md5: bytes | None


class Sent(NamedTuple):
    """All parts of an upload, and the ETag that the object will have if ETags are MD5s."""

    parts: list[dict[str, Any]]
    etag: str
    digested: bool  # whether each part's ETag was the MD5 of what was sent


def send(bucket: Bucket, to: Place, source: Source) -> Sent:
    """Send all of `source`; when it returns or raises, no request is under way any more.

    Raises `Changed` where the source isn't as long as its entry says, or says so itself; `Transient` and
    `Rejected`.
    """
    size = body.part_size(source.entry.size, MOST_PARTS)
    return together(bucket.parts.send(source, size, lambda number, data: _sent(bucket, to, number, data)))


def together(parts: Sequence[Part]) -> Sent:
    """What an object is made of, from its parts in order."""
    digested = [part.md5 for part in parts if part.md5 is not None]
    whole = hashlib.md5(b"".join(digested), usedforsecurity=False).hexdigest()
    return Sent(
        [{"PartNumber": number, "ETag": part.etag} for number, part in enumerate(parts, 1)],
        f"{whole}-{len(parts)}",
        len(digested) == len(parts),
    )


def _sent(bucket: Bucket, to: Place, number: int, data: bytes) -> Part:
    digest = hashlib.md5(data, usedforsecurity=False)
    try:
        answer = bucket.ask(
            "upload_part",
            **to.arguments,
            PartNumber=number,
            Body=data,
            ContentMD5=base64.b64encode(digest.digest()).decode(),
        )
    except SDK_ERRORS as error:
        raise bucket.judge(error).error(to.place) from None
    etag = answer["ETag"].strip('"')
    digested = is_md5(etag) and not encrypted(answer)
    if digested and etag.lower() != digest.hexdigest():
        raise Transient(f"{to.place}: part {number} arrived with another MD5 than was sent. Run again.")
    return Part(answer["ETag"], digest.digest() if digested else None)
