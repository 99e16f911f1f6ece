"""Large bodies: sent in parts, published by one request on a condition, or taken back."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from bisyncer.endpoints.backoff import persist
from bisyncer.endpoints.base import Source, Upload, Uploads
from bisyncer.endpoints.body import part_size
from bisyncer.endpoints.oci_bucket import Bucket, is_stale
from bisyncer.endpoints.oci_client import object_path, post
from bisyncer.endpoints.oci_error import Failed, Kind, puzzling
from bisyncer.endpoints.oci_object import as_json, attributes
from bisyncer.errors import EndpointError, Transient
from bisyncer.model import Entry

_MOST_PARTS = 10_000


class _Place(NamedTuple):
    """Where parts go."""

    path: str
    query: dict[str, str]


class _Sent(NamedTuple):
    """All parts of an upload, and the MD5 that the store will tell of them."""

    parts: list[dict[str, object]]
    md5: str


def upload(bucket: Bucket, key: str, source: Source, expect: Entry | None, uploads: Uploads) -> Entry:
    """Send all of `source` in parts; raises `Changed`, `Transient` or `Rejected`, and then leaves none."""
    begun = Upload(key, _begin(bucket, key, source, expect))
    to = _place(bucket, begun)
    try:
        uploads.began(begun)
        sent = _send(bucket, key, to, source)
        wanted = Entry(key, source.entry.size, source.entry.mtime_ns, "")
        made = _Publishing(bucket, to, sent, wanted, expect).publish()
    except BaseException:
        # Where this fails, the upload stays remembered, and the next run aborts it.
        with contextlib.suppress(EndpointError):
            abort(bucket, begun)
            uploads.ended(begun)
        raise
    uploads.ended(begun)
    return made


def abort(bucket: Bucket, begun: Upload) -> None:
    """Take back an upload and its parts; one that is gone already is fine."""
    to = _place(bucket, begun)
    try:
        bucket.client.send("delete", "DELETE", to.path, query=to.query)
    except Failed as error:
        if error.trouble.kind is not Kind.MISSING:
            raise error.trouble.error(bucket.place(begun.key)) from None


def _place(bucket: Bucket, begun: Upload) -> _Place:
    return _Place(object_path(bucket.path, "u", bucket.name(begun.key)), {"uploadId": begun.id})


def _begin(bucket: Bucket, key: str, source: Source, expect: Entry | None) -> str:
    """Begin an upload. Where the answer is lost nobody knows its id: it stays, without parts."""
    details = {"object": bucket.name(key), **as_json(attributes(key, source))}
    if bucket.remote.storage_class:
        details["storageTier"] = bucket.remote.storage_class
    condition = bucket.condition(expect, honoured=bucket.honoured.complete)
    request = post(details, condition | bucket.encryption)
    try:
        return begin(bucket, request)
    except Failed as error:
        if is_stale(error.trouble, expect):
            raise bucket.changed(key, expect) from None
        raise error.trouble.error(bucket.place(key)) from None


def begin(bucket: Bucket, request: Mapping[str, Any]) -> str:
    """Ask for an upload; return the service's name for it. Raises `Failed`."""
    answer = bucket.client.send("put", "POST", f"{bucket.path}/u", **request)
    try:
        return str(answer.json()["uploadId"])
    except (ValueError, KeyError, TypeError):
        raise puzzling("it doesn't tell the name of an upload") from None


def _send(bucket: Bucket, key: str, to: _Place, source: Source) -> _Sent:
    def part(number: int, data: bytes) -> tuple[str, bytes]:
        md5 = hashlib.md5(data, usedforsecurity=False).digest()
        headers = {
            "content-md5": base64.b64encode(md5).decode(),
            "content-type": "application/octet-stream",
        }
        query = {**to.query, "uploadPartNum": str(number)}
        try:
            answer = bucket.client.send(
                "put", "PUT", to.path, query=query, headers=headers, body=data, tells=("etag",)
            )
        except Failed as error:
            if error.trouble.kind is Kind.MISSING:
                raise _ended(bucket, key) from None
            raise error.trouble.error(bucket.place(key)) from None
        return answer.headers["etag"], md5

    done = bucket.parts.send(source, part_size(source.entry.size, _MOST_PARTS), part)
    whole = hashlib.md5(b"".join(md5 for _, md5 in done), usedforsecurity=False).digest()
    return _Sent(
        [{"partNum": number, "etag": etag} for number, (etag, _) in enumerate(done, 1)],
        f"{base64.b64encode(whole).decode()}-{len(done)}",
    )


def _ended(bucket: Bucket, key: str) -> Transient:
    return Transient(f"{bucket.place(key)}: somebody has ended the upload in parts. Run again.")


class _Publishing:
    """One object being made of the parts of an upload, on a condition.

    Sending the parts again is dear, so this request is repeated as they are.
    """

    def __init__(self, bucket: Bucket, to: _Place, sent: _Sent, wanted: Entry, expect: Entry | None) -> None:
        self._bucket = bucket
        self._to = to
        self._sent = sent
        self._wanted = wanted
        self._expect = expect
        self._unclear = False  # whether an earlier attempt may have happened

    def publish(self) -> Entry:
        """Return the entry of the new object; raises `Changed`, `Transient` or `Rejected`."""
        made, md5 = persist(self._attempt, wait=self._bucket.requests.pace.wait)
        if md5 != self._sent.md5:
            raise self._bucket.garbled(made.key)
        return made

    def _attempt(self) -> tuple[Entry, str]:
        """The new object and the MD5 that the store tells of its parts."""
        bucket, wanted, expect = self._bucket, self._wanted, self._expect
        if not bucket.honoured.complete:
            bucket.look(wanted.key, expect)  # each time: somebody may have written since the last attempt
        condition = bucket.condition(expect, honoured=bucket.honoured.complete)
        request = post({"partsToCommit": self._sent.parts}, condition)
        try:
            answer = bucket.client.send(
                "put", "POST", self._to.path, query=self._to.query, tells=("etag",), **request
            )
        except Failed as error:
            trouble = error.trouble
            # A condition that fails the first time is somebody else's doing; later it may be our own.
            self._unclear |= trouble.kind is Kind.PASSING
            if self._unclear and (landed := persist(self._landed)):
                return landed, self._sent.md5
            if is_stale(trouble, expect):
                raise bucket.changed(wanted.key, expect) from None
            if trouble.kind is Kind.MISSING:
                raise _ended(bucket, wanted.key) from None
            # An attempt before may yet happen, so who kept the version before must go on keeping it.
            if self._unclear and trouble.kind is not Kind.PASSING:
                raise Transient(f"{bucket.place(wanted.key)}: {trouble.sentence}") from None
            raise trouble.error(bucket.place(wanted.key)) from None
        made = wanted._replace(stamp=answer.headers["etag"])
        return made, answer.headers.get("opc-multipart-md5", self._sent.md5)

    def _landed(self) -> Entry | None:
        """The entry of the key where the store has exactly what the upload had sent."""
        key, expect = self._wanted.key, self._expect
        found = self._bucket.head(key, self._bucket.name(key))
        if found is None:
            return None
        seen = found.entry
        same = (seen.size, found.parts_md5) == (self._wanted.size, self._sent.md5)
        return seen if same and seen.stamp != (expect and expect.stamp) else None
