"""Large bodies: sent in parts, published by one request on a condition, or taken back."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import random
import time
from typing import NamedTuple

from bisyncer.endpoints.base import Source
from bisyncer.endpoints.body import content_type, part_size
from bisyncer.endpoints.oci_bucket import Bucket, is_stale, own_metadata
from bisyncer.endpoints.oci_client import object_path, post
from bisyncer.endpoints.oci_error import Failed, Kind
from bisyncer.model import Entry

_COMMIT_ATTEMPTS = 4
_MOST_PARTS = 10_000


class _Place(NamedTuple):
    """Where parts go."""

    path: str
    query: dict[str, str]


class _Sent(NamedTuple):
    """All parts of an upload, and the MD5 that the store will tell of them."""

    parts: list[dict[str, object]]
    md5: str


def upload(bucket: Bucket, key: str, source: Source, expect: Entry | None) -> Entry:
    """Send all of `source` in parts; raises `Changed`, `Transient` or `Rejected`, and then leaves none."""
    name = bucket.name(key)
    to = _begin(bucket, key, name, source, expect)
    try:
        sent = _send(bucket, to, source)
        if not bucket.honoured.complete:
            bucket.look(key, expect)
        return _publish(bucket, to, sent, Entry(key, source.entry.size, source.entry.mtime_ns, ""), expect)
    except BaseException as error:
        # Where even this fails, the parts stay until a lifecycle rule of the bucket removes them.
        with contextlib.suppress(Failed):
            bucket.client.ask("delete", "DELETE", to.path, query=to.query)
        if isinstance(error, Failed):
            raise error.trouble.error(bucket.place(key)) from None
        raise


def _begin(bucket: Bucket, key: str, name: str, source: Source, expect: Entry | None) -> _Place:
    request = post(
        {
            "object": name,
            "contentType": content_type(key),
            "metadata": own_metadata(source.entry.mtime_ns),
            **({"storageTier": bucket.remote.storage_class} if bucket.remote.storage_class else {}),
        }
    )
    encryption = {"opc-sse-kms-key-id": bucket.remote.sse_kms_key_id} if bucket.remote.sse_kms_key_id else {}
    request["headers"] = {
        **request["headers"],
        **encryption,
        **bucket.condition(expect, honoured=bucket.honoured.complete),
    }
    try:
        created = bucket.client.send("put", "POST", f"{bucket.path}/u", **request).json()
    except Failed as error:
        if is_stale(error.trouble, expect):
            raise bucket.changed(key, expect) from None
        raise error.trouble.error(bucket.place(key)) from None
    return _Place(object_path(bucket.path, "u", name), {"uploadId": created["uploadId"]})


def _send(bucket: Bucket, to: _Place, source: Source) -> _Sent:
    def part(number: int, data: bytes) -> tuple[str, bytes]:
        md5 = hashlib.md5(data, usedforsecurity=False).digest()
        answer = bucket.client.ask(
            "put",
            "PUT",
            to.path,
            query={**to.query, "uploadPartNum": str(number)},
            headers={
                "content-md5": base64.b64encode(md5).decode(),
                "content-type": "application/octet-stream",
            },
            body=data,
        )
        return answer.headers["etag"], md5

    done = bucket.parts.send(source, part_size(source.entry.size, _MOST_PARTS), part)
    whole = hashlib.md5(b"".join(md5 for _, md5 in done), usedforsecurity=False).digest()
    return _Sent(
        [{"partNum": number, "etag": etag} for number, (etag, _) in enumerate(done, 1)],
        f"{base64.b64encode(whole).decode()}-{len(done)}",
    )


def _publish(bucket: Bucket, to: _Place, sent: _Sent, wanted: Entry, expect: Entry | None) -> Entry:
    """Make one object of the parts. Sending them again is dear, so only this request is repeated."""
    request = post({"partsToCommit": sent.parts})
    request["headers"] = {
        **request["headers"],
        **bucket.condition(expect, honoured=bucket.honoured.complete),
    }
    for attempt in range(1, _COMMIT_ATTEMPTS + 1):
        try:
            answer = bucket.client.send("put", "POST", to.path, query=to.query, **request)
        except Failed as error:
            trouble = error.trouble
            # A condition that fails the first time is somebody else's doing; later it may be our own.
            if (attempt > 1 or trouble.kind is Kind.PASSING) and (
                landed := _landed(bucket, sent, wanted, expect)
            ):
                return landed
            if is_stale(trouble, expect):
                raise bucket.changed(wanted.key, expect) from None
            if trouble.kind is not Kind.PASSING or attempt == _COMMIT_ATTEMPTS:
                raise
            time.sleep(random.uniform(0, 2**attempt / 4))  # noqa: S311 -- spreads clients, is no secret
        else:
            break
    if answer.headers.get("opc-multipart-md5", sent.md5) != sent.md5:
        raise bucket.garbled(wanted.key)
    return wanted._replace(stamp=answer.headers["etag"])


def _landed(bucket: Bucket, sent: _Sent, wanted: Entry, expect: Entry | None) -> Entry | None:
    """The entry of a key where the store has exactly what an upload, whose answer is unclear, had sent."""
    found = bucket.head(wanted.key, bucket.name(wanted.key))
    if found is None:
        return None
    seen, md5 = found
    same = (seen.size, md5) == (wanted.size, sent.md5) and seen.stamp != (expect and expect.stamp)
    return seen if same else None
