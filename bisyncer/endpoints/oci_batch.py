"""Many deletions in one request, each on its own condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bisyncer.endpoints.oci_bucket import Bucket
from bisyncer.endpoints.oci_client import post
from bisyncer.endpoints.oci_error import Failed
from bisyncer.model import Entry

MOST_DELETES: Final = 1000  # https://docs.oracle.com/iaas/Content/Object/Tasks/batch-delete-objects.htm


def delete_many(bucket: Bucket, expect: Sequence[Entry]) -> frozenset[str]:
    """Delete the versions `expect`; return the keys that the service says it has deleted.

    Raises `Transient` or `Rejected`.
    """
    keys = {bucket.name(entry.key): entry.key for entry in expect}
    try:
        gone = deleted(bucket, {bucket.name(entry.key): entry.stamp for entry in expect})
    except Failed as error:
        raise error.trouble.error(bucket.root) from None
    return frozenset(keys[name] for name in gone & keys.keys())


def deleted(bucket: Bucket, etags: dict[str, str]) -> frozenset[str]:
    """Delete objects by name and ETag; return the names that are said to be deleted. Raises `Failed`."""
    objects = [{"objectName": name, "ifMatch": etag} for name, etag in etags.items()]
    answer = bucket.client.send(
        "delete", "POST", f"{bucket.path}/actions/batchDeleteObjects", **post({"objects": objects})
    )
    try:
        return frozenset(str(each["objectName"]) for each in answer.json()["deleted"])
    except (ValueError, KeyError, TypeError):
        return frozenset()
