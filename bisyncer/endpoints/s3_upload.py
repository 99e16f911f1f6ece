"""Objects made of parts: begun, remembered, published by one request on a condition, or taken back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

from bisyncer.endpoints.backoff import persist
from bisyncer.endpoints.base import Source, Upload
from bisyncer.endpoints.s3_bucket import Bucket
from bisyncer.endpoints.s3_error import SDK_ERRORS, Kind
from bisyncer.endpoints.s3_object import attributes
from bisyncer.endpoints.s3_parts import Place, Sent, send
from bisyncer.endpoints.s3_write import condition, garbled, is_stale, placed
from bisyncer.errors import EndpointError
from bisyncer.model import Entry


def upload(bucket: Bucket, key: str, source: Source, expect: Entry | None) -> Entry:
    """Send all of `source` in parts; raises `Changed`, `Transient` or `Rejected`, and then leaves none."""
    fields = attributes(key, source.metadata, source.entry.mtime_ns)
    wanted = Entry(key, source.entry.size, source.entry.mtime_ns, "")
    return in_parts(bucket, wanted, fields, expect, lambda to: send(bucket, to, source))


def in_parts(
    bucket: Bucket,
    wanted: Entry,
    fields: Mapping[str, str],
    expect: Entry | None,
    send_all: Callable[[Place], Sent],
) -> Entry:
    """Make an object of the parts that `send_all` sends; `wanted` is what it will be, but for its stamp."""
    key = wanted.key
    name = bucket.name(key)
    created = bucket.answered(
        bucket.place(key), "create_multipart_upload", Key=name, **placed(bucket, fields)
    )
    begun = Upload(key, created["UploadId"])
    to = Place(bucket.place(key), {"Key": name, "UploadId": begun.id})
    try:
        bucket.uploads.began(begun)
        sent = send_all(to)
        published = _publish(bucket, to, sent, wanted._replace(stamp=sent.etag), expect)
        if not bucket.honoured.complete:
            published = _as_kept(bucket, published)
    except BaseException:
        # Where even this fails, the pair's next run aborts it.
        with contextlib.suppress(EndpointError):
            abort(bucket, begun)
            bucket.uploads.ended(begun)
        raise
    bucket.uploads.ended(begun)
    return published


def _as_kept(bucket: Bucket, published: Entry) -> Entry:
    """The entry of an object that was just published, as a store without conditions has it.

    That of `rclone serve s3` answers with the ETag of the parts, and has another one from then on.
    """
    found = persist(lambda: bucket.head(published.key))
    if (
        found is None
        or found.size != published.size
        or (found.stamp != published.stamp and found.mtime_ns != published.mtime_ns)
    ):
        raise bucket.changed(published.key, published)
    return published._replace(stamp=found.stamp, digests=found.digests)


def abort(bucket: Bucket, begun: Upload) -> None:
    """Take back an upload; one that isn't there any more is fine. Raises `Transient` or `Rejected`."""
    try:
        bucket.ask("abort_multipart_upload", Key=bucket.name(begun.key), UploadId=begun.id)
    except SDK_ERRORS as error:
        trouble = bucket.judge(error)
        if trouble.kind not in {Kind.MISSING, Kind.NO_UPLOAD}:
            raise trouble.error(bucket.place(begun.key)) from None


def _publish(bucket: Bucket, to: Place, sent: Sent, wanted: Entry, expect: Entry | None) -> Entry:
    """Make one object of the parts. Sending them again is dear, so only this request is repeated."""
    attempts = 0

    def publish() -> Entry:
        nonlocal attempts
        attempts += 1
        if not bucket.honoured.complete:
            bucket.look(wanted.key, expect)  # each time: somebody may have written since the last attempt
        try:
            answer = bucket.ask(
                "complete_multipart_upload",
                **to.arguments,
                MultipartUpload={"Parts": sent.parts},
                **condition(expect, honoured=bucket.honoured.complete),
            )
        except SDK_ERRORS as error:
            trouble = bucket.judge(error)
            stale = is_stale(trouble, expect)
            # A condition that fails the first time is somebody else's doing; later it may be our own.
            if (attempts > 1 or not stale) and (landed := bucket.landed(wanted)):
                return landed
            # Where our own version can't be told from another's, nobody knows that there was a change.
            if stale and (attempts == 1 or sent.digested):
                raise bucket.changed(wanted.key, expect) from None
            # An attempt before may yet happen, so who kept the version before must go on keeping it.
            raise (trouble.passing if stale or attempts > 1 else trouble.error)(to.place) from None
        etag: str = answer["ETag"].strip('"')
        if sent.digested and etag.endswith(f"-{len(sent.parts)}") and etag.lower() != sent.etag:
            raise garbled(bucket, wanted.key)
        return wanted._replace(stamp=etag)

    return persist(publish, wait=bucket.requests.pace.wait)
