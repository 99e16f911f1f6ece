"""Renames: one step of the service's own, on conditions on both names."""

from __future__ import annotations

from bisyncer.endpoints.backoff import persist
from bisyncer.endpoints.oci_bucket import Bucket
from bisyncer.endpoints.oci_client import post
from bisyncer.endpoints.oci_error import Failed, Kind
from bisyncer.endpoints.oci_object import by_md5
from bisyncer.errors import Changed
from bisyncer.model import Entry


def move(bucket: Bucket, key: str, new_key: str, expect: Entry) -> Entry:
    """Give `key` the name `new_key`; raises `Changed`, `Transient` or `Rejected`."""
    name, new_name = bucket.name(key), bucket.name(new_key)
    if not (bucket.honoured.put and bucket.honoured.delete):
        bucket.look(key, expect)
        bucket.look(new_key, None)
    request = post(
        {
            "sourceName": name,
            "newName": new_name,
            "srcObjIfMatchETag": expect.stamp,
            "newObjIfNoneMatchETag": "*",
        }
    )
    try:
        bucket.client.send("move", "POST", f"{bucket.path}/actions/renameObject", **request)
    except Failed as error:
        if error.trouble.kind in {Kind.STALE, Kind.MISSING}:
            raise Changed(
                f"{bucket.place(key)}: changed since it was looked at, or {new_key!r} is taken. Run again."
            ) from None
        if error.trouble.kind is not Kind.PASSING or not (
            moved := persist(lambda: _moved(bucket, key, new_key, expect))
        ):
            raise error.trouble.error(bucket.place(key)) from None
        return moved
    return persist(lambda: _arrived(bucket, new_key, expect))


def _moved(bucket: Bucket, key: str, new_key: str, expect: Entry) -> Entry | None:
    """The entry of the new name where the rename, whose answer is unclear, has happened.

    Only an MD5 proves it. An object in parts has none, and the next run finds out by its content.
    """
    found = bucket.stat(new_key)
    if found is None or found.size != expect.size or by_md5(found, expect) is not True:
        return None
    return found if bucket.stat(key) is None else None


def _arrived(bucket: Bucket, new_key: str, expect: Entry) -> Entry:
    """The entry of the new name; raises `Changed` where somebody has written to it already."""
    found = bucket.stat(new_key)
    if found is None or found.size != expect.size or by_md5(found, expect) is False:
        raise Changed(f"{bucket.place(new_key)}: changed right after it was moved there. Run again.")
    return found
