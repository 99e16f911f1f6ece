"""Large bodies in parts: read in order, sent by a few threads, in a bounded amount of memory."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import Any, NamedTuple

from bisyncer.endpoints.base import Source
from bisyncer.endpoints.s3_object import encrypted, is_md5
from bisyncer.errors import Changed, Transient

PART_SIZE = 8 << 20
_MOST_PARTS = 10_000  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
_THREADS = 8
_MEMORY = 64 << 20
_PIECE = 1 << 20


def part_size(size: int) -> int:
    """The size of each part but the last, for a body of `size` bytes."""
    least = -(-size // _MOST_PARTS)
    return max(PART_SIZE, -(-least // _PIECE) * _PIECE)


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
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3-part")
        self._free = _MEMORY
        self._freed = threading.Condition()

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    def send(self, client: Any, to: Place, source: Source) -> Sent:
        """Send all of `source`; when it returns or raises, no request is under way any more.

        Raises `Changed` where the source isn't as long as its entry says, or says so itself; and
        whatever `client` raises.
        """
        size = part_size(source.entry.size)
        sending: list[Future[_Part]] = []
        unsent = source.entry.size
        try:
            while not any(part.done() and part.exception() for part in sending):
                with ExitStack() as memory:
                    memory.callback(self._give, self._take(size))
                    data = _read(source, size)
                    unsent -= len(data)
                    if unsent < 0 or (unsent > 0 and len(data) < size):
                        raise Changed(
                            f"{source.entry.key!r} has another size than the {source.entry.size} bytes that "
                            "were listed. Run again."
                        )
                    if not data:
                        break
                    number = len(sending) + 1
                    sending.append(
                        self._threads.submit(self._part, client, to, number, data, memory.pop_all())
                    )
        finally:
            wait(sending)
        done = [part.result() for part in sending]
        whole = hashlib.md5(b"".join(part.md5 for part in done), usedforsecurity=False).hexdigest()
        return Sent(
            [{"PartNumber": number, "ETag": part.etag} for number, part in enumerate(done, 1)],
            f"{whole}-{len(done)}",
            all(part.digested for part in done),
        )

    def _part(self, client: Any, to: Place, number: int, data: bytes, memory: ExitStack) -> _Part:
        with memory:
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

    def _take(self, size: int) -> int:
        """Wait for memory for a part of `size` bytes; one that is larger than all there is goes alone."""
        size = min(size, _MEMORY)
        with self._freed:
            self._freed.wait_for(lambda: self._free >= size)
            self._free -= size
        return size

    def _give(self, size: int) -> None:
        with self._freed:
            self._free += size
            self._freed.notify_all()


def _read(source: Source, size: int) -> bytes:
    """Read `size` bytes, or fewer at the end."""
    pieces = []
    while size > 0 and (piece := source.read(min(size, _PIECE))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
