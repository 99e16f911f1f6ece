"""Bodies sent in one request, on a condition: by obstore where it can name the key, else by boto3.

Neither repeats a write by itself. Where an answer is lost or unclear, the store is asked what it has: the
same size and the MD5 of what was sent means that the write has happened.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from bisyncer.endpoints import s3_direct
from bisyncer.endpoints.base import Source
from bisyncer.endpoints.body import content_type, whole
from bisyncer.endpoints.mtime import metadata
from bisyncer.endpoints.s3_bucket import Bucket
from bisyncer.endpoints.s3_error import SDK_ERRORS, Kind, Trouble
from bisyncer.endpoints.s3_object import encrypted, is_md5
from bisyncer.errors import Transient
from bisyncer.model import Algorithm, Digest, Entry

if TYPE_CHECKING:
    from obstore import PutMode


def write(bucket: Bucket, key: str, source: Source, expect: Entry | None) -> Entry:
    """Send all of `source`; raises `Changed`, `Transient` or `Rejected`."""
    name = bucket.name(key)
    body = whole(source)
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    wanted = Entry(key, len(body), source.entry.mtime_ns, md5, (Digest(Algorithm.MD5, md5),))
    if not bucket.honoured.put:
        bucket.look(key, expect)
    repeated = False
    if bucket.direct(name) is not None:
        written = _direct(bucket, name, body, wanted, expect)
        if written is not None:
            return written
        repeated = True  # boto3 tries again, and its answer says what is wrong
    return _through_sdk(bucket, name, body, wanted, expect, repeated=repeated)


def attributes(bucket: Bucket, key: str, mtime_ns: int | None) -> dict[str, Any]:
    """What an object is to have besides its body, as arguments for boto3."""
    optional = {
        "StorageClass": bucket.remote.storage_class,
        "ServerSideEncryption": bucket.remote.sse,
        "SSEKMSKeyId": bucket.remote.sse_kms_key_id,
    }
    return {
        "ContentType": content_type(key),
        "Metadata": metadata(mtime_ns),
        **{name: value for name, value in optional.items() if value},
    }


def condition(expect: Entry | None, *, honoured: bool) -> dict[str, str]:
    """The condition of a write, as arguments for boto3; none where the store wouldn't test it."""
    if not honoured:
        return {}
    return {"IfNoneMatch": "*"} if expect is None else {"IfMatch": quoted(expect.stamp)}


def quoted(stamp: str) -> str:
    """A stamp as the ETag that conditions are written with."""
    return f'"{stamp}"'


def is_stale(trouble: Trouble, expect: Entry | None) -> bool:
    """Whether a write was refused for its condition; a key that is to be replaced may be gone."""
    return trouble.kind is Kind.STALE or (trouble.kind is Kind.MISSING and expect is not None)


def garbled(bucket: Bucket, key: str) -> Transient:
    """The exception for a body that arrived as something else."""
    return Transient(
        f"{bucket.place(key)}: the store has another MD5 than what was sent. The next run looks at it again."
    )


def _direct(bucket: Bucket, name: str, body: bytes, wanted: Entry, expect: Entry | None) -> Entry | None:
    """Send through obstore; None where it is unclear what went wrong, and the write has not happened."""
    store = bucket.direct(name)
    assert store is not None
    mode: PutMode = "overwrite"
    if bucket.honoured.put:
        mode = "create" if expect is None else {"e_tag": quoted(expect.stamp)}
    headers = {"Content-Type": content_type(wanted.key), **metadata(wanted.mtime_ns)}
    bucket.requests.count("put")
    try:
        etag = s3_direct.put(store, name, body, headers, mode)
    except s3_direct.Stale:
        raise bucket.changed(wanted.key, expect) from None
    except s3_direct.Unclear:
        return bucket.landed(wanted.key, name, wanted)
    if etag != wanted.stamp:
        # obstore doesn't tell whether the bucket encrypts, which gives ETags that aren't MD5s.
        place = bucket.place(wanted.key)
        answer = bucket.asked(place, bucket.clients.reads.head_object, Bucket=bucket.bucket, Key=name)
        if is_md5(etag) and not encrypted(answer):
            raise garbled(bucket, wanted.key)
        bucket.close_direct()  # boto3's answers tell it at once
    return wanted._replace(stamp=etag)


def _through_sdk(
    bucket: Bucket, name: str, body: bytes, wanted: Entry, expect: Entry | None, *, repeated: bool
) -> Entry:
    try:
        answer = bucket.clients.mutations.put_object(
            Bucket=bucket.bucket,
            Key=name,
            Body=body,
            ContentMD5=base64.b64encode(bytes.fromhex(wanted.digests[0].value)).decode(),
            **attributes(bucket, wanted.key, wanted.mtime_ns),
            **condition(expect, honoured=bucket.honoured.put),
        )
    except SDK_ERRORS as error:
        trouble = bucket.judge(error)
        stale = is_stale(trouble, expect)
        # A condition that fails the first time is somebody else's doing; later it may be our own.
        if (repeated or not stale) and (landed := bucket.landed(wanted.key, name, wanted)):
            return landed
        if stale:
            raise bucket.changed(wanted.key, expect) from None
        raise trouble.error(bucket.place(wanted.key)) from None
    etag = answer["ETag"].strip('"')
    if is_md5(etag) and not encrypted(answer) and etag.lower() != wanted.stamp:
        raise garbled(bucket, wanted.key)
    return wanted._replace(stamp=etag)
