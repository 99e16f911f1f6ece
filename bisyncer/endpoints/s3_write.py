"""Bodies sent in one request, on a condition: by obstore where it can name the key, else by boto3.

Neither repeats a write by itself. Where an answer is lost or unclear, the store is asked what it has: the
same size and the MD5 of what was sent means that the write has happened.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bisyncer.endpoints import s3_direct
from bisyncer.endpoints.backoff import persist
from bisyncer.endpoints.base import Source
from bisyncer.endpoints.body import whole
from bisyncer.endpoints.s3_bucket import Bucket, quoted
from bisyncer.endpoints.s3_error import SDK_ERRORS, Kind, Trouble
from bisyncer.endpoints.s3_object import arguments, attributes, is_md5, opaque
from bisyncer.errors import Transient
from bisyncer.model import Algorithm, Digest, Entry

if TYPE_CHECKING:
    from obstore import PutMode
    from obstore.store import S3Store


class _NotWritten(Exception):
    """A first attempt that has written nothing so far; one that is `unclear` may yet."""

    def __init__(self, *, unclear: bool) -> None:
        super().__init__()
        self.unclear = unclear


class _Sending(NamedTuple):
    """A body on its way, with what the object is to have beside it, and what it will be."""

    name: str
    body: bytes
    fields: Mapping[str, str]
    wanted: Entry
    expect: Entry | None


def write(bucket: Bucket, key: str, source: Source, expect: Entry | None) -> Entry:
    """Send all of `source`; raises `Changed`, `Transient` or `Rejected`."""
    name = bucket.name(key)
    fields = attributes(key, source.metadata, source.entry.mtime_ns)
    body = whole(source)
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    wanted = Entry(key, len(body), source.entry.mtime_ns, md5, (Digest(Algorithm.MD5, md5),))
    if not bucket.honoured.put:
        bucket.look(key, expect)
    sending = _Sending(name, body, fields, wanted, expect)
    store = bucket.direct(name) if s3_direct.can_send(body, fields) else None
    if store is None:
        return _through_sdk(bucket, sending)
    try:
        return _direct(bucket, store, sending)
    except _NotWritten as first:  # boto3 tries again, and its answer says what is wrong
        sent = _through_sdk(bucket, sending, first)
    bucket.note_direct(worked=False)
    return sent


def placed(bucket: Bucket, fields: Mapping[str, str]) -> dict[str, Any]:
    """The arguments for boto3 that say what an object is to have besides its body, and how it is stored."""
    optional = {
        "StorageClass": bucket.remote.storage_class,
        "ServerSideEncryption": bucket.remote.sse,
        "SSEKMSKeyId": bucket.remote.sse_kms_key_id,
    }
    return {**arguments(fields), **{name: value for name, value in optional.items() if value}}


def condition(expect: Entry | None, *, honoured: bool) -> dict[str, str]:
    """The condition of a write, as arguments for boto3; none where the store wouldn't test it."""
    if not honoured:
        return {}
    return {"IfNoneMatch": "*"} if expect is None else {"IfMatch": quoted(expect.stamp)}


def is_stale(trouble: Trouble, expect: Entry | None) -> bool:
    """Whether a write was refused for its condition; a key that is to be replaced may be gone."""
    return trouble.kind is Kind.STALE or (trouble.kind is Kind.MISSING and expect is not None)


def garbled(bucket: Bucket, key: str) -> Transient:
    """The exception for a body that arrived as something else."""
    return Transient(
        f"{bucket.place(key)}: the store has another MD5 than what was sent. The next run looks at it again."
    )


def _direct(bucket: Bucket, store: S3Store, sending: _Sending) -> Entry:
    """Send through obstore; raises `_NotWritten` where the store hasn't the body, and it isn't said why."""
    name, body, fields, wanted, expect = sending
    mode: PutMode = "overwrite"
    if bucket.honoured.put:
        mode = "create" if expect is None else {"e_tag": quoted(expect.stamp)}
    bucket.requests.count("put")
    try:
        etag = s3_direct.put(store, name, body, fields, mode)
    except s3_direct.Stale:
        raise bucket.changed(wanted.key, expect) from None
    except s3_direct.Unclear as error:
        if (landed := bucket.landed(wanted)) is not None:
            return landed
        raise _NotWritten(unclear=not s3_direct.is_refusal(error)) from None
    bucket.note_direct(worked=True)
    if etag != wanted.stamp:
        # obstore doesn't tell whether the bucket encrypts, which gives ETags that aren't MD5s.
        # Where somebody has deleted it meanwhile, it was written all the same.
        answer = persist(lambda: bucket.found(wanted.key))
        if answer is not None and is_md5(etag) and not opaque(answer) and etag.lower() != wanted.stamp:
            raise garbled(bucket, wanted.key)
        bucket.close_direct()  # boto3's answers tell it at once
        return wanted._replace(stamp=etag)
    return wanted


def _through_sdk(bucket: Bucket, sending: _Sending, first: _NotWritten | None = None) -> Entry:
    name, body, fields, wanted, expect = sending
    if first and not bucket.honoured.put:
        bucket.look(wanted.key, expect)  # the first look was before the first attempt
    try:
        answer = bucket.ask(
            "put_object",
            Key=name,
            Body=body,
            ContentMD5=base64.b64encode(bytes.fromhex(wanted.digests[0].value)).decode(),
            **placed(bucket, fields),
            **condition(expect, honoured=bucket.honoured.put),
        )
    except SDK_ERRORS as error:
        trouble = bucket.judge(error)
        stale = is_stale(trouble, expect)
        # A condition that fails the first time is somebody else's doing; later it may be our own.
        if (first or not stale) and (landed := bucket.landed(wanted)):
            return landed
        if stale:
            raise bucket.changed(wanted.key, expect) from None
        # What may yet happen isn't refused: who kept the version before must go on keeping it.
        unclear = first is not None and first.unclear
        raise (trouble.passing if unclear else trouble.error)(bucket.place(wanted.key)) from None
    etag = answer["ETag"].strip('"')
    if is_md5(etag) and not opaque(answer) and etag.lower() != wanted.stamp:
        raise garbled(bucket, wanted.key)
    return wanted._replace(stamp=etag)
