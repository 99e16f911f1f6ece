"""Which conditions a store tests: tried on a scratch object of our own, which is removed again.

Some stores that speak the API of S3 ignore conditions and answer as if they had held.
"""

from __future__ import annotations

import contextlib
from typing import Any

from botocore.exceptions import ClientError

from bisyncer.endpoints.s3_error import SDK_ERRORS, Kind, judge
from bisyncer.endpoints.scratch import scratch_name
from bisyncer.model import Conditions

_WRONG = '"00000000000000000000000000000000"'


def try_conditions(client: Any, bucket: str, prefix: str) -> Conditions:
    """Try each condition where it must fail, and where it must not; raises what `client` raises."""
    scratch = {"Bucket": bucket, "Key": prefix + scratch_name()}
    try:
        put = (
            _holds(client.put_object, Body=b"1", IfNoneMatch="*", **scratch)
            and _fails(client.put_object, Body=b"22", IfNoneMatch="*", **scratch)
            and _fails(client.put_object, Body=b"333", IfMatch=_WRONG, **scratch)
            and _holds(client.put_object, Body=b"4444", IfMatch=_etag(client, scratch), **scratch)
        )
        if not put:
            client.put_object(Body=b"1", **scratch)
        complete = _completes(client, scratch, IfNoneMatch="*") and _completes(
            client, scratch, IfMatch=_WRONG
        )
        if not complete:
            client.put_object(Body=b"1", **scratch)
        delete = _fails(client.delete_object, IfMatch=_WRONG, **scratch) and _holds(
            client.delete_object, IfMatch=_etag(client, scratch), **scratch
        )
    except BaseException:
        with contextlib.suppress(*SDK_ERRORS):
            client.delete_object(**scratch)
        raise
    if not delete:
        client.delete_object(**scratch)
    return Conditions(put, complete, delete)


def _etag(client: Any, scratch: dict[str, str]) -> str:
    etag: str = client.head_object(**scratch)["ETag"]
    return etag


def _completes(client: Any, scratch: dict[str, str], **condition: str) -> bool:
    """Whether a multipart upload isn't published over the scratch object on a condition that fails."""
    upload = {**scratch, "UploadId": client.create_multipart_upload(**scratch)["UploadId"]}
    part = client.upload_part(PartNumber=1, Body=b"55555", **upload)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    if not _fails(client.complete_multipart_upload, MultipartUpload=parts, **upload, **condition):
        return False
    client.abort_multipart_upload(**upload)
    return True


def _holds(request: Any, **arguments: object) -> bool:
    """Whether a request whose condition is met is carried out."""
    return _answer(request, **arguments) is None


def _fails(request: Any, **arguments: object) -> bool:
    """Whether a request whose condition is not met is refused for that."""
    return _answer(request, **arguments) in {Kind.STALE, Kind.RACE}


def _answer(request: Any, **arguments: object) -> Kind | None:
    """None where a request was carried out, else how its condition was answered."""
    try:
        request(**arguments)
    except ClientError as error:
        kind = judge(error, "").kind
        if kind in {Kind.STALE, Kind.RACE, Kind.UNSUPPORTED}:
            return kind
        raise
    return None
