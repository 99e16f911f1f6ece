"""A deletion on its condition."""

from __future__ import annotations

from bisyncer.endpoints.backoff import persist
from bisyncer.endpoints.s3_bucket import Bucket, quoted
from bisyncer.endpoints.s3_error import SDK_ERRORS, Kind
from bisyncer.model import Entry


def delete(bucket: Bucket, key: str, expect: Entry) -> None:
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
