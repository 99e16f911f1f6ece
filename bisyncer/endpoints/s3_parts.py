"""Large bodies in parts, as S3 takes them: each with its MD5, and an ETag in return."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from bisyncer.endpoints import body
from bisyncer.endpoints.base import Source
from bisyncer.endpoints.body import Parts
from bisyncer.endpoints.s3_object import encrypted, is_md5
from bisyncer.errors import Transient

_MOST_PARTS = 10_000  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html


def part_size(size: int) -> int:
    """The size of each part but the last, for a body of `size` bytes."""
    return body.part_size(size, _MOST_PARTS)


class Place(NamedTuple):
    """Where parts go: the arguments that each request of one upload carries."""

    place: str  # as errors name it
    arguments: Mapping[str, str]  # Bucket, Key and UploadId


class Sent(NamedTuple):
    """All parts of an upload, and the ETag that the object will have if ETags are MD5s."""

    parts: list[dict[str, Any]]
    etag: str
    digested: bool  # whether each part's ETag was the MD5 of what was sent


class _Part(NamedTuple):
    """A part that the store has."""

    etag: str
    md5: bytes
    digested: bool


class PartSender:
    """Threads and memory that all uploads of one endpoint share."""

    def __init__(self) -> None:
        self._parts = Parts("s3-part")

    def close(self) -> None:
        """End the threads."""
        self._parts.close()

    def send(self, client: Any, to: Place, source: Source) -> Sent:
        """Send all of `source`; when it returns or raises, no request is under way any more.

        Raises `Changed` where the source isn't as long as its entry says, or says so itself; and
        whatever `client` raises.
        """
        done = self._parts.send(
            source, part_size(source.entry.size), lambda number, data: _sent(client, to, number, data)
        )
        whole = hashlib.md5(b"".join(part.md5 for part in done), usedforsecurity=False).hexdigest()
        return Sent(
            [{"PartNumber": number, "ETag": part.etag} for number, part in enumerate(done, 1)],
            f"{whole}-{len(done)}",
            all(part.digested for part in done),
        )


def _sent(client: Any, to: Place, number: int, data: bytes) -> _Part:
    digest = hashlib.md5(data, usedforsecurity=False)
    answer = client.upload_part(
        **to.arguments,
        PartNumber=number,
        Body=data,
        ContentMD5=base64.b64encode(digest.digest()).decode(),
    )
    etag = answer["ETag"].strip('"')
    digested = is_md5(etag) and not encrypted(answer)
    if digested and etag.lower() != digest.hexdigest():
        raise Transient(f"{to.place}: part {number} arrived with another MD5 than was sent. Run again.")
    return _Part(answer["ETag"], digest.digest(), digested)
