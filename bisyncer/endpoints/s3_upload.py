"""Large bodies: sent in parts, published by one request on a condition, or taken back."""

from __future__ import annotations

import contextlib
import random
import time

from bisyncer.endpoints.base import Source
from bisyncer.endpoints.s3_bucket import Bucket
from bisyncer.endpoints.s3_error import SDK_ERRORS, Kind
from bisyncer.endpoints.s3_parts import Place, Sent
from bisyncer.endpoints.s3_write import attributes, condition, garbled, is_stale
from bisyncer.model import Entry

_COMPLETE_ATTEMPTS = 4


def upload(bucket: Bucket, key: str, source: Source, expect: Entry | None) -> Entry:
    """Send all of `source` in parts; raises `Changed`, `Transient` or `Rejected`, and then leaves none."""
    name = bucket.name(key)
    created = bucket.asked(
        bucket.place(key),
        bucket.clients.mutations.create_multipart_upload,
        Bucket=bucket.bucket,
        Key=name,
        **attributes(bucket, key, source.entry.mtime_ns),
    )
    to = Place(bucket.place(key), {"Bucket": bucket.bucket, "Key": name, "UploadId": created["UploadId"]})
    try:
        sent = bucket.parts.send(bucket.clients.reads, to, source)
        if not bucket.honoured.complete:
            bucket.look(key, expect)
        wanted = Entry(key, source.entry.size, source.entry.mtime_ns, sent.etag)
        return _publish(bucket, to, sent, wanted, expect)
    except BaseException as error:
        # Where even this fails, the parts stay until the bucket's lifecycle rule removes them.
        with contextlib.suppress(*SDK_ERRORS):
            bucket.clients.reads.abort_multipart_upload(**to.arguments)
        if isinstance(error, SDK_ERRORS):
            raise bucket.judge(error).error(bucket.place(key)) from None
        raise


def _publish(bucket: Bucket, to: Place, sent: Sent, wanted: Entry, expect: Entry | None) -> Entry:
    """Make one object of the parts. Sending them again is dear, so only this request is repeated."""
    for attempt in range(1, _COMPLETE_ATTEMPTS + 1):
        try:
            answer = bucket.clients.mutations.complete_multipart_upload(
                **to.arguments,
                MultipartUpload={"Parts": sent.parts},
                **condition(expect, honoured=bucket.honoured.complete),
            )
        except SDK_ERRORS as error:
            trouble = bucket.judge(error)
            stale = is_stale(trouble, expect)
            # A condition that fails the first time is somebody else's doing; later it may be our own.
            if (attempt > 1 or not stale) and (
                landed := bucket.landed(wanted.key, to.arguments["Key"], wanted)
            ):
                return landed
            if stale:
                raise bucket.changed(wanted.key, expect) from None
            if trouble.kind is not Kind.PASSING or attempt == _COMPLETE_ATTEMPTS:
                raise trouble.error(to.place) from None
            time.sleep(random.uniform(0, 2**attempt / 4))  # noqa: S311 -- spreads clients, is no secret
        else:
            break
    etag: str = answer["ETag"].strip('"')
    if sent.digested and etag.endswith(f"-{len(sent.parts)}") and etag.lower() != sent.etag:
        raise garbled(bucket, wanted.key)
    return wanted._replace(stamp=etag)
