"""What there is to know of a bucket: whether it can be listed, and which conditions its store tests.

They are tried on a scratch object of our own, which is removed again. OCI tests them all. What else speaks
its API is believed only after this.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from bisyncer.endpoints.base import Probe
from bisyncer.endpoints.clock import clock_skew_ns
from bisyncer.endpoints.oci_batch import deleted
from bisyncer.endpoints.oci_bucket import Bucket, unusable
from bisyncer.endpoints.oci_client import object_path, post
from bisyncer.endpoints.oci_error import Failed, Kind
from bisyncer.endpoints.oci_upload import begin
from bisyncer.endpoints.scratch import scratch_name
from bisyncer.model import Conditions

_NEW = {"if-none-match": "*"}
_WRONG = {"if-match": "00000000-0000-0000-0000-000000000000"}


def probe(bucket: Bucket, *, scratch: bool) -> Probe:
    """Look whether the bucket can be listed; with `scratch`, learn and remember what it honours.

    Raises `RootMissing`, `AccessDenied` or `Transient`.
    """
    remarks: tuple[str, ...] = ()
    try:
        skew_ns = _skew_ns(bucket)
        if scratch:
            remarks = (*_learnt(bucket), *_described(bucket))
        elif bucket.honoured.versions:  # somebody may have suspended that since
            bucket.honoured = bucket.honoured._replace(versions=_keeps_versions(_told(bucket, bucket.path)))
    except Failed as error:
        raise unusable(bucket.root, error.trouble) from None
    honoured = bucket.honoured
    return Probe(
        mount=None,
        filesystem="oci",
        conditional_write=honoured.put and honoured.complete,
        conditional_delete=honoured.delete,
        conditions=honoured,
        skew_ns=skew_ns,
        versioned=honoured.versions,
        remarks=remarks,
    )


def _skew_ns(bucket: Bucket) -> int | None:
    """How far the service's clock is ahead, to a second or so; None where its answer has no date."""
    sent_ns = time.time_ns()
    date = bucket.peek()
    return clock_skew_ns(date, sent_ns, time.time_ns())


def _learnt(bucket: Bucket) -> Iterator[str]:
    """Learn what the store honours; a remark where it honours less than all, or can't be tried."""
    # Under a retention rule the scratch object couldn't be removed again.
    retained = bool(_told(bucket, f"{bucket.path}/retentionRules").get("items"))
    try:
        bucket.honoured = bucket.honoured if retained else _try_conditions(bucket)
    except Failed as error:
        if error.trouble.kind is not Kind.RETAINED:
            raise
        retained = True
    if retained:
        yield (
            "The bucket has retention rules. Until they allow it, no object can be replaced, "
            "renamed or deleted, and each that should be is a problem. Conditions weren't tried."
        )
    honoured = bucket.honoured
    deeds = {
        "a write": honoured.put,
        "the publishing of a body in parts": honoured.complete,
        "a deletion": honoured.delete,
    }
    ignored = " and ".join(deed for deed, kept in deeds.items() if not kept)
    if ignored:
        yield (
            f"The store ignores the condition of {ignored}. A window remains in which another "
            "writer's version can be lost."
        )


def _described(bucket: Bucket) -> Iterator[str]:
    """Learn whether it keeps versions, and remark on its settings; none where they may not be read."""
    told = _told(bucket, bucket.path)
    bucket.honoured = bucket.honoured._replace(versions=_keeps_versions(told))
    if bucket.honoured.versions:
        yield (
            "The bucket keeps versions. What is replaced or deleted stays behind, and costs "
            "storage until a lifecycle rule removes it."
        )
    if (bucket.remote.storage_class or told.get("storageTier")) == "Archive":
        yield (
            "What is written is archived, and can't be read before it is restored. Write to "
            "the tier Standard."
        )
    if told.get("isReadOnly"):
        yield "The bucket is the target of a replication, and can't be written to."


def _keeps_versions(told: dict[str, Any]) -> bool:
    """Whether what is replaced stays; not where nothing is told, so that there is a trash."""
    return bool(told.get("versioning") == "Enabled")


def _told(bucket: Bucket, path: str) -> dict[str, Any]:
    """What the service tells of a bucket; nothing where it may not be read."""
    try:
        told = bucket.client.send("get", "GET", path).json()
    except (Failed, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _try_conditions(bucket: Bucket) -> Conditions:
    """Try each condition where it must fail, and where it must not; raises `Failed`."""
    name = bucket.prefix + scratch_name()
    try:
        first = _put(bucket, name, b"1", _NEW)
        put = (
            first is not None
            and _put(bucket, name, b"22", _NEW) is None
            and _put(bucket, name, b"333", _WRONG) is None
            and _put(bucket, name, b"4444", {"if-match": first}) is not None
        )
        complete = _begins_not(bucket, name, _NEW) and _commits_not(bucket, name, _NEW)
        complete = complete and _commits_not(bucket, name, _WRONG)
        delete = _fails(bucket, "delete", "DELETE", bucket.object(name), headers=_WRONG)
        batch = delete and _deletes_many(bucket, name)
    finally:
        with contextlib.suppress(Failed):
            bucket.client.send("delete", "DELETE", bucket.object(name))
    return Conditions(put, complete, delete, batch=batch)


def _deletes_many(bucket: Bucket, name: str) -> bool:
    """Whether the store takes deletions in batches, and tests the condition of each."""
    try:
        etag = str(bucket.client.send("head", "HEAD", bucket.object(name), tells=("etag",)).headers["etag"])
        return not deleted(bucket, {name: _WRONG["if-match"]}) and bool(deleted(bucket, {name: etag}))
    except Failed as error:
        if error.trouble.kind is Kind.PASSING:
            raise
        return False


def _put(bucket: Bucket, name: str, body: bytes, condition: dict[str, str]) -> str | None:
    """The ETag of what was written; None where the condition was answered with a refusal."""
    try:
        answer = bucket.client.send(
            "put", "PUT", bucket.object(name), headers=condition, body=body, tells=("etag",)
        )
    except Failed as error:
        if error.trouble.kind is Kind.STALE:
            return None
        raise
    return str(answer.headers["etag"])


def _begins_not(bucket: Bucket, name: str, condition: dict[str, str]) -> bool:
    try:
        begun = begin(bucket, post({"object": name}, condition))
    except Failed as error:
        if error.trouble.kind is Kind.STALE:
            return True
        raise
    path, query = object_path(bucket.path, "u", name), {"uploadId": begun}
    with contextlib.suppress(Failed):
        bucket.client.send("delete", "DELETE", path, query=query)
    return False


def _commits_not(bucket: Bucket, name: str, condition: dict[str, str]) -> bool:
    """Whether an upload isn't published over the scratch object on a condition that fails."""
    begun = begin(bucket, post({"object": name}))
    path, query = object_path(bucket.path, "u", name), {"uploadId": begun}
    try:
        part = bucket.client.send(
            "put", "PUT", path, query={**query, "uploadPartNum": "1"}, body=b"55555", tells=("etag",)
        )
        request = post({"partsToCommit": [{"partNum": 1, "etag": part.headers["etag"]}]}, condition)
        return _fails(bucket, "put", "POST", path, query=query, **request)
    finally:
        with contextlib.suppress(Failed):
            bucket.client.send("delete", "DELETE", path, query=query)


def _fails(bucket: Bucket, kind: str, method: str, path: str, **request: Any) -> bool:
    """Whether a request whose condition is not met is refused for that."""
    try:
        bucket.client.send(kind, method, path, **request)
    except Failed as error:
        if error.trouble.kind is Kind.STALE:
            return True
        raise
    return False
