"""Bodies sent in one request, on a condition, and never sent again by themselves.

Where an answer is lost or unclear, the store is asked what it has: the same size and the MD5 of what was
sent, under another ETag than before, means that the write has happened.
"""

from __future__ import annotations

import base64
import hashlib

from bisyncer.endpoints.backoff import persist
from bisyncer.endpoints.base import Source
from bisyncer.endpoints.body import whole
from bisyncer.endpoints.oci_bucket import Bucket, is_stale
from bisyncer.endpoints.oci_error import Failed, Kind
from bisyncer.endpoints.oci_object import attributes
from bisyncer.model import Algorithm, Digest, Entry


def write(bucket: Bucket, key: str, source: Source, expect: Entry | None) -> Entry:
    """Send all of `source`; raises `Changed`, `Transient` or `Rejected`."""
    name = bucket.name(key)
    body = whole(source)
    md5 = hashlib.md5(body, usedforsecurity=False).digest()
    digests = (Digest(Algorithm.MD5, md5.hex()),)
    if not bucket.honoured.put:
        bucket.look(key, expect)
    try:
        answer = bucket.client.send(
            "put",
            "PUT",
            bucket.object(name),
            headers={
                "content-md5": base64.b64encode(md5).decode(),
                **attributes(key, source),
                **bucket.tier,
                **bucket.encryption,
                **bucket.condition(expect, honoured=bucket.honoured.put),
            },
            body=body,
            tells=("etag",),
        )
    except Failed as error:
        if is_stale(error.trouble, expect):
            raise bucket.changed(key, expect) from None
        if error.trouble.kind is Kind.PASSING and (found := persist(lambda: bucket.head(key, name))):
            seen = found.entry
            if (seen.size, seen.digests) == (len(body), digests) and seen.stamp != (expect and expect.stamp):
                return seen
        raise error.trouble.error(bucket.place(key)) from None
    return Entry(key, len(body), source.entry.mtime_ns, answer.headers["etag"], digests)
