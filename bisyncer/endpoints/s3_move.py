"""Deletions on a condition; and moves, which are a copy to a free name and then such a deletion."""

from __future__ import annotations

from contextlib import closing, suppress

from bisyncer.endpoints.backoff import persist
from bisyncer.endpoints.s3_bucket import Bucket, quoted
from bisyncer.endpoints.s3_copy import copy
from bisyncer.endpoints.s3_error import SDK_ERRORS, Kind
from bisyncer.endpoints.s3_read import open_reading
from bisyncer.endpoints.s3_send import send
from bisyncer.errors import Changed, EndpointError, Rejected
from bisyncer.model import Entry


def remove(bucket: Bucket, key: str, expect: Entry) -> None:
    """Delete the version `expect` of `key`; in a bucket with versions its content stays behind.

    Raises `Changed`, `Transient` or `Rejected`.
    """
    name = bucket.name(key)
    condition = {"IfMatch": quoted(expect.stamp)} if bucket.honoured.delete else {}
    if not condition:
        bucket.look(key, expect)
    try:
        bucket.ask("delete_object", Key=name, **condition)
    except SDK_ERRORS as error:
        trouble = bucket.judge(error)
        if trouble.kind in {Kind.STALE, Kind.MISSING}:
            raise bucket.changed(key, expect) from None
        if trouble.kind in {Kind.PASSING, Kind.RACE} and persist(lambda: bucket.stat(key)) is None:
            return  # the answer was lost, or another deletion came first: what was wanted is so
        raise trouble.error(bucket.place(key)) from None


def move(bucket: Bucket, key: str, new_key: str, expect: Entry) -> Entry:
    """Copy the version `expect` of `key` to `new_key`, which must be free, then delete it; return the copy.

    A crash in between leaves both. So does whatever leaves it open whether the deletion has happened: of a
    request that arrives twice, the second answer says that the condition failed, and then the copy may be
    all that is left.
    """
    moved = copy(bucket, expect, bucket, new_key, None)
    if moved is None:  # through here
        with closing(open_reading(bucket, key, expect, 0, None)) as source:
            moved = send(bucket, new_key, source, None)
    try:
        remove(bucket, key, expect)
    except Changed:
        if persist(lambda: bucket.stat(key)) is not None:
            raise
    except Rejected:
        # It was refused for good, so the copy is one too many; if somebody wrote to it, it stays.
        with suppress(EndpointError):
            remove(bucket, new_key, moved)
        raise
    return moved
