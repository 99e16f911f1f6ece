"""Bodies sent on a condition: small ones in one request, large ones in blocks that one request publishes.

No write is sent twice by itself. Where an answer is lost or unclear, the store is asked what it has: the
same size, time and MD5 as what was sent means that the write has happened.
"""

from __future__ import annotations

import base64
import hashlib
import random
import secrets
import time

from bisyncer.endpoints.azure_container import Container, condition
from bisyncer.endpoints.azure_error import Failure, Kind, Trouble
from bisyncer.endpoints.azure_object import metadata, stamp
from bisyncer.endpoints.base import Source
from bisyncer.endpoints.body import PART_SIZE, content_type, part_size, whole
from bisyncer.model import Algorithm, Digest, Entry

# https://learn.microsoft.com/azure/storage/blobs/scalability-targets
_MOST_BLOCKS = 50_000
_PUBLISH_ATTEMPTS = 4


def write(container: Container, key: str, source: Source, expect: Entry | None) -> Entry:
    """Send all of `source`; raises `Changed`, `Transient` or `Rejected`."""
    name = container.name(key)
    if source.entry.size > PART_SIZE:
        return _upload(container, key, name, source, expect)
    body = whole(source)
    wanted = _wanted(key, source, hashlib.md5(body, usedforsecurity=False).digest())
    if not container.honoured.put:
        container.look(key, expect)
    try:
        answer = container.client.ask(
            "PUT",
            name,
            kind="put",
            headers={
                "x-ms-blob-type": "BlockBlob",
                "x-ms-blob-content-type": content_type(key),
                "Content-MD5": _base64(wanted),  # the service refuses a body that has another
                **metadata(wanted.mtime_ns),
                **condition(expect, honoured=container.honoured.put),
            },
            body=body,
        )
    except Failure as error:
        # A condition that fails the first time is somebody else's doing.
        if _is_stale(error.trouble, expect):
            if expect is None and container.stat(key) is None:
                # Blocks that a cut upload left behind make the emulator say that there is a blob. A list of
                # blocks isn't refused for them, and takes them away.
                block = _send_block(container, key, secrets.token_hex(16), 1, body)
                return _publish(container, name, [block], wanted, expect)
            raise container.changed(key, expect) from None
        if error.trouble.kind is Kind.PASSING and (landed := container.landed(wanted)):
            return landed
        raise error.trouble.error(container.place(key)) from None
    return wanted._replace(stamp=stamp(answer.headers["ETag"]))


def _upload(container: Container, key: str, name: str, source: Source, expect: Entry | None) -> Entry:
    """Send blocks and publish them. Blocks that nobody publishes vanish by themselves after a week."""
    # All blocks that wait at one blob are one set: ids that no other upload has keep two uploads apart.
    upload = secrets.token_hex(16)
    digesting = _Digesting(source)

    blocks = container.parts.send(
        digesting,
        part_size(source.entry.size, _MOST_BLOCKS),
        lambda number, data: _send_block(container, key, upload, number, data),
    )
    wanted = _wanted(key, source, digesting.md5.digest())
    if not container.honoured.complete:
        container.look(key, expect)
    return _publish(container, name, blocks, wanted, expect)


def _send_block(container: Container, key: str, upload: str, number: int, data: bytes) -> str:
    """Send one block; return its id."""
    block = base64.b64encode(f"{upload}-{number:015}".encode()).decode()
    md5 = hashlib.md5(data, usedforsecurity=False).digest()
    try:
        container.client.ask(
            "PUT",
            container.name(key),
            kind="put",
            query={"comp": "block", "blockid": block},
            headers={"Content-MD5": base64.b64encode(md5).decode()},
            body=data,
            repeat=True,  # nothing can be seen of a block, and one sent twice is one
        )
    except Failure as error:
        raise error.trouble.error(container.place(key)) from None
    return block


def _publish(
    container: Container, name: str, blocks: list[str], wanted: Entry, expect: Entry | None
) -> Entry:
    """Make one blob of the blocks. Sending them again is dear, so only this request is repeated."""
    body = f"<BlockList>{''.join(f'<Uncommitted>{block}</Uncommitted>' for block in blocks)}</BlockList>"
    headers = {
        "x-ms-blob-content-type": content_type(wanted.key),
        "x-ms-blob-content-md5": _base64(wanted),
        **metadata(wanted.mtime_ns),
        **condition(expect, honoured=container.honoured.complete),
    }
    attempt = 1
    while True:
        try:
            answer = container.client.ask(
                "PUT", name, kind="put", query={"comp": "blocklist"}, headers=headers, body=body.encode()
            )
        except Failure as error:
            trouble = error.trouble
            stale = _is_stale(trouble, expect)
            # A condition that fails the first time is somebody else's doing; later it may be our own.
            if (attempt > 1 or not stale) and (landed := container.landed(wanted)):
                return landed
            if stale:
                raise container.changed(wanted.key, expect) from None
            if trouble.kind is Kind.BLOCKS:
                container.look(wanted.key, expect)  # who publishes first takes all other blocks away
            if trouble.kind is not Kind.PASSING or attempt == _PUBLISH_ATTEMPTS:
                raise trouble.error(container.place(wanted.key)) from None
            time.sleep(random.uniform(0, 2**attempt / 4))  # noqa: S311 -- spreads clients, is no secret
            attempt += 1
        else:
            return wanted._replace(stamp=stamp(answer.headers["ETag"]))


class _Digesting:
    """A source of which the MD5 is taken as it is read."""

    def __init__(self, source: Source) -> None:
        self.entry = source.entry
        self.md5 = hashlib.md5(usedforsecurity=False)
        self._source = source

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self.md5.update(data)
        return data


def _wanted(key: str, source: Source, md5: bytes) -> Entry:
    """What the store is to have; its MD5 is of bytes that the service has checked on their way."""
    return Entry(key, source.entry.size, source.entry.mtime_ns, "", (Digest(Algorithm.MD5, md5.hex()),))


def _base64(wanted: Entry) -> str:
    return base64.b64encode(bytes.fromhex(wanted.digests[0].value)).decode()


def _is_stale(trouble: Trouble, expect: Entry | None) -> bool:
    """Whether a write was refused for its condition; a key that is to be replaced may be gone."""
    return trouble.kind is Kind.STALE or (trouble.kind is Kind.MISSING and expect is not None)
