"""Which conditions a store tests: tried on a scratch object of our own, which is removed again.

OCI tests them all. What else speaks its API is believed only after this.
"""

from __future__ import annotations

import contextlib
from typing import Any

from bisyncer.endpoints.oci_bucket import Bucket
from bisyncer.endpoints.oci_client import object_path, post
from bisyncer.endpoints.oci_error import Failed, Kind
from bisyncer.endpoints.scratch import scratch_name
from bisyncer.model import Conditions

_NEW = {"if-none-match": "*"}
_WRONG = {"if-match": "00000000-0000-0000-0000-000000000000"}


def try_conditions(bucket: Bucket) -> Conditions:
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
    finally:
        with contextlib.suppress(Failed):
            bucket.client.ask("delete", "DELETE", bucket.object(name))
    return Conditions(put, complete, delete)


def _put(bucket: Bucket, name: str, body: bytes, condition: dict[str, str]) -> str | None:
    """The ETag of what was written; None where the condition was answered with a refusal."""
    try:
        answer = bucket.client.send("put", "PUT", bucket.object(name), headers=condition, body=body)
    except Failed as error:
        if error.trouble.kind is Kind.STALE:
            return None
        raise
    return str(answer.headers["etag"])


def _begins_not(bucket: Bucket, name: str, condition: dict[str, str]) -> bool:
    request = post({"object": name})
    request["headers"] = {**request["headers"], **condition}
    return _fails(bucket, "put", "POST", f"{bucket.path}/u", **request)


def _commits_not(bucket: Bucket, name: str, condition: dict[str, str]) -> bool:
    """Whether an upload isn't published over the scratch object on a condition that fails."""
    created = bucket.client.send("put", "POST", f"{bucket.path}/u", **post({"object": name})).json()
    path, query = object_path(bucket.path, "u", name), {"uploadId": created["uploadId"]}
    try:
        part = bucket.client.send("put", "PUT", path, query={**query, "uploadPartNum": "1"}, body=b"55555")
        request = post({"partsToCommit": [{"partNum": 1, "etag": part.headers["etag"]}]})
        request["headers"] = {**request["headers"], **condition}
        return _fails(bucket, "put", "POST", path, query=query, **request)
    finally:
        with contextlib.suppress(Failed):
            bucket.client.ask("delete", "DELETE", path, query=query)


def _fails(bucket: Bucket, kind: str, method: str, path: str, **request: Any) -> bool:
    """Whether a request whose condition is not met is refused for that."""
    try:
        bucket.client.send(kind, method, path, **request)
    except Failed as error:
        if error.trouble.kind is Kind.STALE:
            return True
        raise
    return False
