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
from bisyncer.endpoints.s3_object import is_md5, opaque
from bisyncer.errors import Transient

MOST_PARTS = 10_000  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html


class Place(NamedTuple):
    """Where parts go: the arguments that each request of one upload carries."""

    place: str  # as errors name it
    arguments: Mapping[str, str]  # Key and UploadId


class Part(NamedTuple):
    """A part that the store has; `digested` says whether its ETag is known to be the MD5 of its content."""

    etag: str
    digested: bool


class Sent(NamedTuple):
    """All parts of an upload, and the ETag that an object of these parts has, as far as that is known.

    It is the MD5 of the parts' ETags. Where these aren't MD5s, many stores reckon it all the same; SeaweedFS
    without the number that follows the ETag of a part that it copied.
    """

    parts: list[dict[str, Any]]
    etag: str
    digested: bool  # whether the object's ETag can't be another one


def send(bucket: Bucket, to: Place, source: Source) -> Sent:
    """Send all of `source`; when it returns or raises, no request is under way any more.

    Raises `Changed` where the source isn't as long as its entry says, or says so itself; `Transient` and
    `Rejected`.
    """
    size = body.part_size(source.entry.size, MOST_PARTS)
    return together(bucket.parts.send(source, size, lambda number, data: _sent(bucket, to, number, data)))


def together(parts: Sequence[Part]) -> Sent:
    """What an object is made of, from its parts in order."""
    bare = [part.etag.strip('"').partition("-")[0] for part in parts]
    raw = b"".join(bytes.fromhex(etag) for etag in bare if is_md5(etag))
    whole = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    return Sent(
        [{"PartNumber": number, "ETag": part.etag} for number, part in enumerate(parts, 1)],
        f"{whole}-{len(parts)}",
        all(part.digested for part in parts),
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
    digested = is_md5(etag) and not opaque(answer)
    if digested and etag.lower() != digest.hexdigest():
        raise Transient(f"{to.place}: part {number} arrived with another MD5 than was sent. Run again.")
    return Part(answer["ETag"], digested)
