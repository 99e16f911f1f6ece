"""Copies inside a storage account, of which no byte comes through here.

Only requests that are done when they are answered are used: Copy Blob From URL up to 256 MiB, and beyond that
Put Block From URL for each block and then the list of blocks. The other kind, Copy Blob, puts an empty blob
in the target's place at once and fills it later, or never.
https://learn.microsoft.com/rest/api/storageservices/copy-blob-from-url
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from bisyncer.endpoints.azure_blocks import MOST_BLOCKS, Blocks
from bisyncer.endpoints.azure_container import Container, condition, quoted
from bisyncer.endpoints.azure_error import Failure, Kind
from bisyncer.endpoints.azure_metadata import http_fields, kept
from bisyncer.endpoints.azure_object import MTIME, entry, parse_mtime, stamp
from bisyncer.errors import Transient
from bisyncer.model import Entry

MOST_AT_ONCE: Final = 256 << 20  # bytes of a blob, or of a block, that one request copies

_LONGEST_URL: Final = 2 << 10
_TIERS: Final = {"Hot", "Cool", "Cold"}  # those that a copy may keep


def copy(source: Container, there: Entry, target: Container, key: str, expect: Entry | None) -> Entry | None:
    """Copy the version `there` of `source` to `key` of `target`; None where these two can't.

    Raises `Changed`, `Transient` or `Rejected`.
    """
    name = target.name(key)
    if source.server != target.server or not (target.honoured.copy and target.honoured.complete):
        return None
    found = source.properties(there)
    reader = _reader(source, there)
    if found.get("x-ms-blob-type") != "BlockBlob" or len(reader["x-ms-copy-source"]) > _LONGEST_URL:
        return None
    fields = {**kept(found, there.mtime_ns), **_tier(found), **target.tier}
    wanted = entry(key, found)._replace(mtime_ns=parse_mtime(fields.get(MTIME)))
    try:
        if wanted.size > MOST_AT_ONCE:
            parts = _parts(source, there, wanted.size)
            return _in_blocks(target, parts, wanted, {**http_fields(found), **fields}, expect)
        headers = {"x-ms-requires-sync": "true", **reader, **fields, **condition(expect)}
        answer = target.client.ask("PUT", name, kind="copy", headers=headers, body=b"")
    except Failure as error:
        trouble = error.trouble
        if trouble.kind in {Kind.STALE, Kind.SOURCE_STALE, Kind.MISSING}:
            _tell_which(source, there, target, key, expect)
        if trouble.kind in {Kind.STALE, Kind.UNABLE}:
            return None
        if trouble.kind is Kind.PASSING and (landed := target.landed(wanted)):
            return landed
        raise trouble.error(target.place(key)) from None
    if answer.headers.get("x-ms-copy-status", "success") != "success":
        raise Transient(f"{target.place(key)}: the store hasn't finished the copy. Run again.")
    return wanted._replace(stamp=stamp(answer.headers["ETag"]))


def _tell_which(source: Container, there: Entry, target: Container, key: str, expect: Entry | None) -> None:
    """Raise `Changed` for the one of two blobs whose condition didn't hold.

    Returns where both hold: blocks that a cut upload left behind make the emulator say that there is a blob.
    """
    source.look(there.key, there)
    target.look(key, expect)


def _in_blocks(
    target: Container,
    parts: Iterable[Mapping[str, str]],
    wanted: Entry,
    fields: Mapping[str, str],
    expect: Entry | None,
) -> Entry:
    """Have the store copy block by block, which nobody sees, and publish them; raises `Failure` too."""
    blocks = Blocks(target, wanted.key)
    placed = [blocks.copy(number, part) for number, part in enumerate(parts, start=1)]
    return blocks.publish(placed, wanted, fields, expect)


def _parts(source: Container, there: Entry, total: int) -> Iterator[Mapping[str, str]]:
    """The headers of each block: which part of a version it is, and what lets the store read that."""
    size = max(MOST_AT_ONCE, -(-total // MOST_BLOCKS))
    for start in range(0, total, size):
        # What lets the store in is made anew each time: it lasts an hour, and all of the copy may not.
        part = f"bytes={start}-{min(start + size, total) - 1}"
        yield {**_reader(source, there), "x-ms-source-range": part}


def _reader(source: Container, there: Entry) -> Mapping[str, str]:
    """The headers that say which version is copied, and let the store read it."""
    return {**source.reader(there.key), "x-ms-source-if-match": quoted(there.stamp)}


def _tier(found: Mapping[str, str]) -> dict[str, str]:
    """The access tier of a blob for its copy, where it isn't just the account's."""
    tier = found.get("x-ms-access-tier", "")
    own = found.get("x-ms-access-tier-inferred", "").lower() != "true"
    return {"x-ms-access-tier": tier} if own and tier in _TIERS else {}
