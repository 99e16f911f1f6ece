"""Copies inside a store, of which no byte comes through here.

The source's version and the target's condition go with the request, and the store tests both in the same
step. https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from bisyncer.endpoints.all_or_none import insist, results
from bisyncer.endpoints.backoff import persist
from bisyncer.endpoints.s3_bucket import Bucket, quoted
from bisyncer.endpoints.s3_error import SDK_ERRORS, Kind
from bisyncer.endpoints.s3_object import attributes, entry, fields, is_md5, kept_mtime_ns, opaque
from bisyncer.endpoints.s3_parts import MOST_PARTS, Part, Place, Sent, together
from bisyncer.endpoints.s3_upload import in_parts
from bisyncer.endpoints.s3_write import condition, garbled, placed
from bisyncer.errors import Transient
from bisyncer.model import Entry

MOST_AT_ONCE: Final = 5 << 30  # bytes of an object that one request copies
PART_BYTES: Final = 512 << 20  # of a larger one, what each request copies
_THREADS: Final = 8

# What the store won't copy goes through here, where its sentence is about the request that matters.
_UNABLE: Final = {Kind.DENIED, Kind.KEYS, Kind.NO_BUCKET, Kind.REFUSED, Kind.UNSUPPORTED}


class _Unable(Exception):
    """The store won't copy part of a source into an upload."""


def copy(origin: Bucket, there: Entry, target: Bucket, key: str, expect: Entry | None) -> Entry | None:
    """Copy the version `there` of `origin` to `key` of `target`; None where these two can't.

    Raises `Changed`, `Transient` or `Rejected`.
    """
    honoured = target.honoured.copy and target.honoured.complete
    if not honoured or origin.server != target.server or origin.root in target.refusing:
        return None
    name = target.name(key)
    origin.name(there.key)
    found = origin.version(there)
    source = entry(there.key, found)
    if kept_mtime_ns(found) is None and there.mtime_ns is not None:
        source = source._replace(mtime_ns=there.mtime_ns)  # of a listing, which is finer than HEAD's
    wanted = source._replace(key=key)
    kept = attributes(key, fields(found), source.mtime_ns)
    if source.size > MOST_AT_ONCE:
        try:
            return in_parts(target, wanted, kept, expect, lambda to: _parts(origin, source, target, to))
        except _Unable:
            target.refusing.add(origin.root)
            return None
    try:
        answer = target.ask(
            "copy_object",
            Key=name,
            MetadataDirective="REPLACE",
            **_source(origin, there),
            **placed(target, kept),
            **condition(expect, honoured=True),
        )
    except SDK_ERRORS as error:
        trouble = target.judge(error)
        if trouble.kind in {Kind.STALE, Kind.MISSING}:
            # Where both conditions hold, it goes through here: SeaweedFS can't copy the marker of a folder.
            origin.look(there.key, there)
            target.look(key, expect)
            return None
        if trouble.kind in _UNABLE:
            target.refusing.add(origin.root)
            return None
        if trouble.kind in {Kind.PASSING, Kind.RACE} and (landed := _landed(target, wanted, expect)):
            return landed
        raise trouble.error(target.place(key)) from None
    return _verified(target, wanted, expect, answer)


def _verified(target: Bucket, wanted: Entry, expect: Entry | None, answer: Any) -> Entry:
    """The entry of a copy that was made, held against its source by what the store says of both."""
    etag: str = answer.get("CopyObjectResult", {}).get("ETag", "").strip('"')
    if not etag:
        if landed := _landed(target, wanted, expect):
            return landed
        raise Transient(f"{target.place(wanted.key)}: the answer doesn't tell what was copied. Run again.")
    if is_md5(etag) and not opaque(answer) and wanted.digests:
        if etag.lower() != wanted.digests[0].value:
            raise garbled(target, wanted.key)
        return wanted._replace(stamp=etag)
    made = persist(lambda: target.head(wanted.key))
    if made is None or made.stamp != etag:
        raise target.changed(wanted.key, expect)
    if made.size != wanted.size:
        raise garbled(target, wanted.key)
    return wanted._replace(stamp=etag)


def _source(origin: Bucket, there: Entry) -> dict[str, Any]:
    """The arguments that say which version is copied."""
    arguments: dict[str, Any] = {
        "CopySource": {"Bucket": origin.bucket, "Key": origin.name(there.key)},
        "CopySourceIfMatch": quoted(there.stamp),
    }
    if origin.clients.customer_key is not None:
        arguments |= {
            "CopySourceSSECustomerAlgorithm": "AES256",
            "CopySourceSSECustomerKey": origin.clients.customer_key,
        }
    return arguments


def _landed(target: Bucket, wanted: Entry, expect: Entry | None) -> Entry | None:
    """The entry of a key that holds a copy, whose answer is unclear, for sure, and didn't before.

    The same ETag is as good as the same MD5: stores without an ETag of the content give each object another.
    """
    found = persist(lambda: target.head(wanted.key))
    if found is None or found.stamp == (expect and expect.stamp):
        return None
    if (found.size, found.mtime_ns) != (wanted.size, wanted.mtime_ns):
        return None
    same = found.stamp == wanted.stamp or (wanted.digests and found.digests == wanted.digests)
    return found if same else None


def _parts(origin: Bucket, source: Entry, target: Bucket, to: Place) -> Sent:
    """Have the store copy part by part, several at once."""
    size = max(PART_BYTES, -(-source.size // MOST_PARTS))

    def one(number: int) -> Part:
        start = (number - 1) * size
        end = min(start + size, source.size) - 1
        part = {"PartNumber": number, "CopySourceRange": f"bytes={start}-{end}"}
        return _part(origin, source, target, to, part)

    over = threading.Event()
    with (
        target.requests.pace.share(_THREADS) as share,
        ThreadPoolExecutor(_THREADS, thread_name_prefix="s3-copy") as threads,
    ):
        numbers = range(1, -(-source.size // size) + 1)
        copied = [threads.submit(insist, partial(one, number), share, over) for number in numbers]
    return together(results(copied))


def _part(origin: Bucket, there: Entry, target: Bucket, to: Place, part: Mapping[str, Any]) -> Part:
    try:
        answer = target.ask("upload_part_copy", **to.arguments, **_source(origin, there), **part)
    except SDK_ERRORS as error:
        trouble = target.judge(error)
        if trouble.kind in {Kind.STALE, Kind.MISSING}:
            raise origin.changed(there.key, there) from None
        if trouble.kind in _UNABLE:
            raise _Unable from None
        raise trouble.error(to.place) from None
    etag: str | None = answer.get("CopyPartResult", {}).get("ETag")
    if etag is None:
        raise _Unable  # such a server copies no part that could be published
    return Part(etag, is_md5(etag.strip('"')) and not opaque(answer))
