"""Bodies sent on a condition: small ones in one request, large ones in blocks that one request publishes.

No write is sent twice by itself. Where an answer is lost or unclear, the store is asked what it has: the
same size, time and MD5 as what was sent, or the very blocks, means that the write has happened.
"""

from __future__ import annotations

import base64
import hashlib

from bisyncer.endpoints.azure_blocks import MOST_BLOCKS, Blocks, is_stale
from bisyncer.endpoints.azure_container import Container, condition
from bisyncer.endpoints.azure_error import Failure, Kind
from bisyncer.endpoints.azure_metadata import sent
from bisyncer.endpoints.azure_object import stamp
from bisyncer.endpoints.base import Source
from bisyncer.endpoints.body import PART_SIZE, part_size, whole
from bisyncer.model import Algorithm, Digest, Entry


def write(container: Container, key: str, source: Source, expect: Entry | None) -> Entry:
    """Send all of `source`; raises `Changed`, `Transient` or `Rejected`."""
    name = container.name(key)
    fields = {**sent(source, key), **container.tier}
    if source.entry.size > PART_SIZE:
        return _upload(container, key, source, fields, expect)
    body = whole(source)
    md5 = hashlib.md5(body, usedforsecurity=False).digest()
    wanted = _wanted(key, source, md5)
    if not container.honoured.put:
        container.look(key, expect)
    try:
        answer = container.client.ask(
            "PUT",
            name,
            kind="put",
            headers={
                "x-ms-blob-type": "BlockBlob",
                "Content-MD5": base64.b64encode(md5).decode(),  # a body that has another is refused
                **fields,
                **condition(expect, honoured=container.honoured.put),
            },
            body=body,
        )
    except Failure as error:
        # A condition that fails is somebody else's doing: this request went out once.
        if is_stale(error.trouble, expect):
            if expect is None and container.stat(key) is None:
                # Blocks that a cut upload left behind make the emulator say that there is a blob. A list of
                # blocks isn't refused for them, and takes them away.
                blocks = Blocks(container, key)
                return blocks.publish([blocks.send(1, body)], wanted, fields, expect)
            raise container.changed(key, expect) from None
        if error.trouble.kind is Kind.PASSING and (landed := container.landed(wanted)):
            return landed
        raise error.trouble.error(container.place(key)) from None
    return wanted._replace(stamp=stamp(answer.headers["ETag"]))


def _upload(
    container: Container, key: str, source: Source, fields: dict[str, str], expect: Entry | None
) -> Entry:
    """Send blocks and publish them."""
    blocks = Blocks(container, key)
    digesting = _Digesting(source)
    sent_blocks = container.parts.send(digesting, part_size(source.entry.size, MOST_BLOCKS), blocks.send)
    wanted = _wanted(key, source, digesting.md5.digest())
    return blocks.publish(sent_blocks, wanted, fields, expect)


class _Digesting:
    """A source of which the MD5 is taken as it is read."""

    def __init__(self, source: Source) -> None:
        self.entry = source.entry
        self.metadata = source.metadata
        self.md5 = hashlib.md5(usedforsecurity=False)
        self._source = source

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self.md5.update(data)
        return data


def _wanted(key: str, source: Source, md5: bytes) -> Entry:
    """What the store is to have; its MD5 is of bytes that the service has checked on their way."""
    return Entry(key, source.entry.size, source.entry.mtime_ns, "", (Digest(Algorithm.MD5, md5.hex()),))
