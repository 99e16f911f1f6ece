"""Large bodies as blocks: sent one by one, seen by nobody, and made a blob by one request on a condition.

Blocks that nobody makes a blob vanish by themselves after a week.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping
from functools import partial

from bisyncer.endpoints.azure_container import Container, condition
from bisyncer.endpoints.azure_error import Failure, Kind, Trouble
from bisyncer.endpoints.azure_object import stamp
from bisyncer.endpoints.backoff import ATTEMPTS, pause_s, persist
from bisyncer.model import Algorithm, Entry

# https://learn.microsoft.com/azure/storage/blobs/scalability-targets
MOST_BLOCKS = 50_000
MOST_BLOCK_BYTES = 4000 << 20

_BLOCK_NAME = re.compile(rb"<Name>([^<]*)</Name>")


class Blocks:
    """The blocks of one upload. All that wait at a blob are one set: ids of our own keep uploads apart."""

    def __init__(self, container: Container, key: str) -> None:
        self._container = container
        self._key = key
        self._name = container.name(key)
        self._upload = secrets.token_hex(16)

    def send(self, number: int, data: bytes) -> str:
        """Send block `number`; return its id. Raises `Transient` or `Rejected`."""
        md5 = hashlib.md5(data, usedforsecurity=False).digest()
        try:
            return self._place(number, {"Content-MD5": base64.b64encode(md5).decode()}, data)
        except Failure as error:
            raise error.trouble.error(self._container.place(self._key)) from None

    def copy(self, number: int, source: Mapping[str, str]) -> str:
        """Have the store itself copy block `number` from where the headers `source` say; return its id.

        Raises `Transient`, or `Failure` where trying again is of no use.
        """
        return persist(partial(self._place, number, source, b""))

    def _place(self, number: int, headers: Mapping[str, str], data: bytes) -> str:
        block = base64.b64encode(f"{self._upload}-{number:015}".encode()).decode()
        query = {"comp": "block", "blockid": block}
        try:
            self._container.client.ask("PUT", self._name, kind="put", query=query, headers=headers, body=data)
        except Failure as error:
            if error.trouble.kind is Kind.PASSING:
                raise error.trouble.passing(self._container.place(self._key)) from None
            raise
        return block

    def publish(
        self, blocks: list[str], wanted: Entry, fields: Mapping[str, str], expect: Entry | None
    ) -> Entry:
        """Make one blob of the blocks, with `fields` as its headers; return `wanted` as the store has it.

        Sending them again is dear, so this request is repeated too: on its condition each time, and only
        when a look has found that it hasn't happened.
        """
        container = self._container
        body = f"<BlockList>{''.join(f'<Uncommitted>{block}</Uncommitted>' for block in blocks)}</BlockList>"
        headers = {**fields, **_md5(wanted), **condition(expect, honoured=container.honoured.complete)}
        for attempt in range(1, ATTEMPTS + 1):
            if not container.honoured.complete:
                container.look(self._key, expect)  # each time: somebody may have written meanwhile
            try:
                answer = container.client.ask(
                    "PUT",
                    self._name,
                    kind="put",
                    query={"comp": "blocklist"},
                    headers=headers,
                    body=body.encode(),
                )
            except Failure as error:
                trouble = error.trouble
                stale = is_stale(trouble, expect)
                # A condition that fails the first time is somebody else's doing; later it may be our own.
                unclear = attempt > 1 or not stale
                if unclear and (etag := persist(partial(self._published, blocks))):
                    return wanted._replace(stamp=stamp(etag))
                if stale:
                    raise container.changed(self._key, expect) from None
                if trouble.kind is Kind.BLOCKS:
                    container.look(self._key, expect)  # who publishes first takes all other blocks away
                if trouble.kind is not Kind.PASSING or attempt == ATTEMPTS:
                    # An attempt before may yet happen, so who kept the version before must go on keeping it.
                    raised = trouble.error if attempt == 1 else trouble.passing
                    raise raised(container.place(self._key)) from None
                failure = trouble.passing(container.place(self._key))
                if container.requests.pace.wait(pause_s(attempt, failure)):
                    raise failure from None
            else:
                return wanted._replace(stamp=stamp(answer.headers["ETag"]))
        raise AssertionError("the last attempt returns or raises")

    def _published(self, blocks: list[str]) -> str | None:
        """The ETag of the blob if it is made of exactly these blocks, whose names nobody else has."""
        try:
            answer = self._container.client.ask(
                "GET", self._name, kind="head", query={"comp": "blocklist", "blocklisttype": "committed"}
            )
        except Failure as error:
            if error.trouble.kind is Kind.MISSING:
                return None
            raise error.trouble.error(self._container.place(self._key)) from None
        made_of = [found.decode() for found in _BLOCK_NAME.findall(answer.body)]
        return answer.headers.get("ETag") if made_of == blocks else None


def is_stale(trouble: Trouble, expect: Entry | None) -> bool:
    """Whether a write was refused for its condition; a key that is to be replaced may be gone."""
    return trouble.kind is Kind.STALE or (trouble.kind is Kind.MISSING and expect is not None)


def _md5(wanted: Entry) -> dict[str, str]:
    """The MD5 that the blob is to be listed with, where one is known: the service computes none of blocks."""
    for digest in wanted.digests:
        if digest.algorithm in {Algorithm.MD5, Algorithm.ETAG_MD5}:
            return {"x-ms-blob-content-md5": base64.b64encode(bytes.fromhex(digest.value)).decode()}
    return {}
