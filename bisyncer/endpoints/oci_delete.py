"""A deletion on its condition."""

from __future__ import annotations

from bisyncer.endpoints.backoff import persist
from bisyncer.endpoints.oci_bucket import Bucket
from bisyncer.endpoints.oci_error import Failed, Kind
from bisyncer.model import Entry


def delete(bucket: Bucket, key: str, expect: Entry) -> None:
    """Delete the version `expect` of `key`; in a bucket with versions its content stays behind.

    Raises `Changed`, `Transient` or `Rejected`.
    """
    name = bucket.name(key)
    if not bucket.honoured.delete:
        bucket.look(key, expect)
    condition = bucket.condition(expect, honoured=bucket.honoured.delete)
    try:
        bucket.client.send("delete", "DELETE", bucket.object(name), headers=condition)
    except Failed as error:
        if error.trouble.kind in {Kind.STALE, Kind.MISSING}:
            raise bucket.changed(key, expect) from None
        if error.trouble.kind is Kind.PASSING and persist(lambda: bucket.stat(key)) is None:
            return  # the answer was lost, or another deletion came first: what was wanted is so
        raise error.trouble.error(bucket.place(key)) from None
