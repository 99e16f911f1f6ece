"""S3Endpoint: a bucket on Amazon S3 or on any store that speaks its API, or a prefix of one.

No mutation goes out without a condition on what was seen. boto3 signs, lists, looks and deletes, and says
why a request failed; obstore moves the bodies whose keys it can name. `s3_scan.py` reads listings,
`s3_multipart.py` sends large bodies, `s3_probe.py` learns what the store honours.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bisyncer.endpoints import s3_direct
from bisyncer.endpoints.base import Capabilities, Endpoint, NameRules, Probe, Source
from bisyncer.endpoints.s3_client import Clients, Requests, connect
from bisyncer.endpoints.s3_error import SDK_ERRORS, Kind, Trouble, judge
from bisyncer.endpoints.s3_multipart import PART_SIZE, PartSender, Place, Sent
from bisyncer.endpoints.s3_object import (
    MTIME,
    content_type,
    encrypted,
    entry,
    is_md5,
    listed_digests,
    metadata,
    parse_mtime,
    time_ns,
)
from bisyncer.endpoints.s3_probe import Honoured, try_conditions
from bisyncer.endpoints.s3_scan import Where, keeps_a_tree, scan
from bisyncer.errors import AccessDenied, Changed, Rejected, RootMissing, Transient
from bisyncer.model import Algorithm, Digest, Entry, Item, Remote

if TYPE_CHECKING:
    from obstore.store import S3Store

MAX_NAME_BYTES = 1024  # of a whole name in a bucket

_PIECE = 1 << 20
_COMPLETE_ATTEMPTS = 4
_AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")


class S3Endpoint:
    """A bucket, or the keys of one below `prefix/`."""

    def __init__(self, bucket: str, prefix: str, *, remote: Remote, owner: str) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._remote = remote
        self._owner = owner
        self._requests = Requests()
        self._honoured = Honoured()
        self._lock = threading.Lock()
        self._connected: Clients | None = None
        self._part_sender: PartSender | None = None
        self._direct: S3Store | None = None
        self._direct_tried = False

    @property
    def root(self) -> str:
        """`s3://bucket/prefix`, and where the store is unless it is Amazon's."""
        place = f"s3://{self._bucket}/{self._prefix}".rstrip("/")
        return f"{place}?endpoint={self._server}" if self._server else place

    @property
    def capabilities(self) -> Capabilities:
        """What this store can promise: all of it, unless a probe has found that it can't."""
        return Capabilities(
            names=NameRules.BUCKET,
            max_key_bytes=MAX_NAME_BYTES - len(self._prefix.encode()),
            conditional_write=self._honoured.put and self._honoured.complete,
            conditional_delete=self._honoured.delete,
        )

    @property
    def requests(self) -> Mapping[str, int]:
        """Requests sent so far by kind: list, get, head, put, delete."""
        return self._requests.counts()

    def overlaps(self, other: Endpoint) -> bool:
        """Whether both are the same bucket of the same store, and one prefix holds the other."""
        if not isinstance(other, S3Endpoint):
            return False
        return (
            self._server == other._server
            and self._bucket == other._bucket
            and (self._prefix.startswith(other._prefix) or other._prefix.startswith(self._prefix))
        )

    def probe(self, *, scratch: bool = False) -> Probe:
        """Look whether the bucket is there and can be listed; with `scratch`, what it honours."""
        clients = self._clients
        try:
            # A listing needs the same right as HeadBucket, and says in its answer what is wrong.
            clients.mutations.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)
            if scratch:
                self._honoured = try_conditions(clients.mutations, self._bucket, self._prefix)
        except SDK_ERRORS as error:
            trouble = self._judge(error)
            sentence = f"{self.root}: {trouble.sentence}"
            match trouble.kind:
                case Kind.MISSING | Kind.NO_BUCKET:
                    raise RootMissing(sentence) from None
                case Kind.PASSING | Kind.RACE:
                    raise Transient(sentence) from None
                case _:
                    raise AccessDenied(sentence) from None
        capabilities = self.capabilities
        return Probe(
            mounted=None,
            filesystem="s3",
            conditional_write=capabilities.conditional_write,
            conditional_delete=capabilities.conditional_delete,
        )

    def scan(self, low: str = "", high: str | None = None) -> Iterator[Item]:
        """Yield every key below the prefix with low <= key < high; our own scratch objects are left out."""
        return scan(self._clients.reads, Where(self._bucket, self._prefix, self.root), low, high)

    def stat(self, key: str) -> Entry | None:
        """The entry of `key` as it is now."""
        name = self._name(key)
        try:
            return self._head(key, name)
        except SDK_ERRORS as error:
            trouble = self._judge(error)
            if trouble.kind is not Kind.MISSING:
                raise trouble.error(self._place(key)) from None
        # The answer to HEAD has no body, so a bucket that isn't there looks like a key that isn't.
        try:
            self._clients.reads.head_bucket(Bucket=self._bucket)
        except SDK_ERRORS as error:
            trouble = self._judge(error)
            if trouble.kind is Kind.MISSING:
                raise Rejected(f"{self.root}: the bucket isn't there any more. Run again.") from None
            raise trouble.error(self._place(key)) from None
        return None

    @contextmanager
    def read(self, key: str, *, expect: Entry) -> Iterator[Source]:
        """Open the version of `key` that `expect` says; it stays whole whatever becomes of the key."""
        name = self._name(key)
        reading = self._read_direct(key, name, expect) or self._read(key, name, expect)
        try:
            yield reading
        finally:
            reading.close()

    def write(self, key: str, source: Source, *, expect: Entry | None) -> Entry:
        """Send all of `source`, in one request or in parts by its size."""
        name = self._name(key)
        if key.endswith("/") and source.entry.size and self._keeps_a_tree:
            raise Rejected(
                f"{self._place(key)}: is a directory to this store, which would drop its "
                f"{source.entry.size} bytes. Rename it."
            )
        if source.entry.size > PART_SIZE:
            return self._write_parts(key, name, source, expect)
        return self._write_whole(key, name, source, expect)

    def delete(self, key: str, *, expect: Entry) -> None:
        """Delete `key` if it is as expected; in a bucket with versions its content stays behind."""
        name = self._name(key)
        condition = {}
        if self._honoured.delete:
            condition = {"IfMatch": _quoted(expect.stamp)}
        else:
            self._look(key, expect)
        try:
            self._clients.mutations.delete_object(Bucket=self._bucket, Key=name, **condition)
        except SDK_ERRORS as error:
            trouble = self._judge(error)
            if trouble.kind in {Kind.STALE, Kind.MISSING}:
                raise Changed(f"{self._place(key)}: {trouble.sentence}") from None
            if trouble.kind in {Kind.PASSING, Kind.RACE} and self.stat(key) is None:
                return  # the answer was lost, or another deletion came first: what was wanted is so
            raise trouble.error(self._place(key)) from None

    def flush(self) -> None:
        """Nothing to wait for: a store answers when it has an object for good."""

    def close(self) -> None:
        """Give back connections and threads."""
        with self._lock:
            if self._part_sender is not None:
                self._part_sender.close()
            if self._connected is not None:
                self._connected.close()
            self._connected = self._part_sender = self._direct = None
            self._direct_tried = False

    # Connections. All are made when they are first needed, by one thread.

    @property
    def _clients(self) -> Clients:
        with self._lock:
            if self._connected is None:
                self._connected = connect(self._remote, self._requests)
            return self._connected

    @property
    def _parts(self) -> PartSender:
        with self._lock:
            if self._part_sender is None:
                self._part_sender = PartSender()
            return self._part_sender

    def _direct_store(self, name: str) -> S3Store | None:
        """obstore's way to the bucket, where it can be used for this name."""
        clients = self._clients
        with self._lock:
            if not self._direct_tried:
                self._direct_tried = True
                self._direct = s3_direct.store(self._bucket, self._remote, clients)
            return self._direct if s3_direct.can_name(name) else None

    @cached_property
    def _server(self) -> str | None:
        """The address of the store in one spelling; None for Amazon S3, where buckets have one name space."""
        url = urlsplit(self._remote.endpoint_url or self._clients.reads.meta.endpoint_url)
        host = (url.hostname or "").lower()
        if host.endswith(_AWS_HOSTS):
            return None
        default_port = {"http": 80, "https": 443}.get(url.scheme)
        port = "" if url.port in {None, default_port} else f":{url.port}"
        return f"{url.scheme}://{host}{port}{url.path.rstrip('/')}"

    @cached_property
    def _keeps_a_tree(self) -> bool:
        """Whether the store takes some keys for others; each of its answers says what store it is."""
        if self._server is None:
            return False
        try:
            answer = self._clients.reads.head_bucket(Bucket=self._bucket)
        except SDK_ERRORS as error:
            raise self._judge(error).error(self.root) from None
        return keeps_a_tree(answer["ResponseMetadata"]["HTTPHeaders"])

    # Names, looks and errors.

    def _name(self, key: str) -> str:
        """The object's whole name; raises `Rejected` where no bucket can hold it."""
        name = self._prefix + key
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            raise Rejected(f"{key!r}: is not valid text, so no bucket can hold it. Rename it.") from None
        if self._keeps_a_tree and ("\\" in key or not s3_direct.has_plain_segments(key.removesuffix("/"))):
            raise Rejected(
                f"{key!r}: {self.root} is kept as directories, and takes '//', '\\', '.' and '..' for something "
                "else. Rename it."
            )
        if not key or "\0" in key or size > MAX_NAME_BYTES:
            raise Rejected(
                f"{key!r}: a key in {self.root} has 1 to {self.capabilities.max_key_bytes} bytes and no NUL. "
                "Rename it."
            )
        return name

    def _place(self, key: str) -> str:
        return f"{self.root}: {key!r}"

    def _judge(self, error: Exception) -> Trouble:
        return judge(error, self._clients.reads.meta.endpoint_url)

    def _head(self, key: str, name: str) -> Entry:
        return entry(key, self._clients.reads.head_object(Bucket=self._bucket, Key=name))

    def _look(self, key: str, expect: Entry | None) -> None:
        """The condition of a store that tests none itself; a window remains until the deed."""
        found = self.stat(key)
        if (found and found.stamp) != (expect and expect.stamp):
            raise self._changed(key, expect)

    def _changed(self, key: str, expect: Entry | None) -> Changed:
        seen = (
            "exists already, and was expected not to" if expect is None else "changed since it was looked at"
        )
        return Changed(f"{self._place(key)}: {seen}. Run again.")

    # Reading.

    def _read_direct(self, key: str, name: str, expect: Entry) -> _Reading | None:
        store = self._direct_store(name)
        if store is None:
            return None
        self._requests.count("get")
        try:
            got = s3_direct.get(store, name, expect.stamp)
        except s3_direct.Stale:
            raise self._changed(key, expect) from None
        except s3_direct.Unclear:
            return None  # boto3 asks again, and says what is wrong
        meta = got.meta
        mtime_ns = parse_mtime(got.attributes.get(MTIME))
        etag = (meta["e_tag"] or "").strip('"')
        found = Entry(
            key,
            meta["size"],
            time_ns(meta["last_modified"]) if mtime_ns is None else mtime_ns,
            etag,
            listed_digests(etag),
        )
        return _Reading(self._place(key), found, iter(got.stream(_PIECE)))

    def _read(self, key: str, name: str, expect: Entry) -> _Reading:
        try:
            got = self._clients.reads.get_object(Bucket=self._bucket, Key=name, IfMatch=_quoted(expect.stamp))
        except SDK_ERRORS as error:
            trouble = self._judge(error)
            if trouble.kind in {Kind.STALE, Kind.MISSING}:
                raise self._changed(key, expect) from None
            raise trouble.error(self._place(key)) from None
        body = got["Body"]
        return _Reading(self._place(key), entry(key, got), body.iter_chunks(_PIECE), body)

    # Writing in one request.

    def _write_whole(self, key: str, name: str, source: Source, expect: Entry | None) -> Entry:
        body = _whole(source)
        md5 = hashlib.md5(body, usedforsecurity=False)
        wanted = Entry(
            key,
            len(body),
            source.entry.mtime_ns,
            md5.hexdigest(),
            (Digest(Algorithm.MD5, md5.hexdigest()),),
        )
        if not self._honoured.put:
            self._look(key, expect)
        repeated = False
        store = self._direct_store(name)
        if store is not None:
            self._requests.count("put")
            try:
                etag = s3_direct.put(
                    store,
                    name,
                    body,
                    {"Content-Type": content_type(key), **metadata(wanted.mtime_ns)},
                    self._direct_mode(expect),
                )
            except s3_direct.Stale:
                raise self._changed(key, expect) from None
            except s3_direct.Unclear:
                if landed := self._landed(key, name, wanted):
                    return landed
                repeated = True  # by boto3, whose answer says what is wrong
            else:
                if etag == wanted.stamp:
                    return wanted
                return self._verified(key, name, wanted, etag)
        try:
            answer = self._clients.mutations.put_object(
                Bucket=self._bucket,
                Key=name,
                Body=body,
                ContentMD5=base64.b64encode(md5.digest()).decode(),
                **self._attributes(key, wanted.mtime_ns),
                **self._condition(expect, honoured=self._honoured.put),
            )
        except SDK_ERRORS as error:
            trouble = self._judge(error)
            stale = trouble.kind in {Kind.STALE, Kind.MISSING}
            if (repeated or not stale) and (landed := self._landed(key, name, wanted)):
                return landed
            if stale:
                raise self._changed(key, expect) from None
            raise trouble.error(self._place(key)) from None
        etag = answer["ETag"].strip('"')
        if is_md5(etag) and not encrypted(answer) and etag.lower() != wanted.stamp:
            raise self._garbled(key)
        return wanted._replace(stamp=etag)

    def _direct_mode(self, expect: Entry | None) -> Any:
        if not self._honoured.put:
            return "overwrite"
        return "create" if expect is None else {"e_tag": _quoted(expect.stamp)}

    def _verified(self, key: str, name: str, wanted: Entry, etag: str) -> Entry:
        """Judge an ETag that isn't the MD5 of what was sent, where the answer doesn't tell why."""
        try:
            answer = self._clients.reads.head_object(Bucket=self._bucket, Key=name)
        except SDK_ERRORS as error:
            raise self._judge(error).error(self._place(key)) from None
        if answer["ETag"].strip('"') != etag:
            raise self._changed(key, wanted)
        if is_md5(etag) and not encrypted(answer):
            raise self._garbled(key)
        with self._lock:
            self._direct = None  # this bucket encrypts: boto3's answers say so at once
        return wanted._replace(stamp=etag)

    def _garbled(self, key: str) -> Transient:
        return Transient(
            f"{self._place(key)}: the store has another MD5 than what was sent. It is sent again next run."
        )

    def _landed(self, key: str, name: str, wanted: Entry) -> Entry | None:
        """Whether a write whose answer is unclear has happened: the store has exactly what was to be sent."""
        try:
            found = self._head(key, name)
        except SDK_ERRORS as error:
            trouble = self._judge(error)
            if trouble.kind is Kind.MISSING:
                return None
            raise trouble.error(self._place(key)) from None
        if (found.stamp, found.size) != (wanted.stamp, wanted.size):
            return None
        return wanted

    def _attributes(self, key: str, mtime_ns: int | None) -> dict[str, Any]:
        """What an object is to have besides its body."""
        remote = self._remote
        optional = {
            "StorageClass": remote.storage_class,
            "ServerSideEncryption": remote.sse,
            "SSEKMSKeyId": remote.sse_kms_key_id,
        }
        return {
            "ContentType": content_type(key),
            "Metadata": metadata(mtime_ns),
            **{name: value for name, value in optional.items() if value},
        }

    def _condition(self, expect: Entry | None, *, honoured: bool) -> dict[str, str]:
        if not honoured:
            return {}
        return {"IfNoneMatch": "*"} if expect is None else {"IfMatch": _quoted(expect.stamp)}

    # Writing in parts.

    def _write_parts(self, key: str, name: str, source: Source, expect: Entry | None) -> Entry:
        clients = self._clients
        try:
            created = clients.mutations.create_multipart_upload(
                Bucket=self._bucket, Key=name, **self._attributes(key, source.entry.mtime_ns)
            )
        except SDK_ERRORS as error:
            raise self._judge(error).error(self._place(key)) from None
        upload = Place(
            self._place(key), {"Bucket": self._bucket, "Key": name, "UploadId": created["UploadId"]}
        )
        try:
            sent = self._parts.send(clients.reads, upload, source)
            if not self._honoured.complete:
                self._look(key, expect)
            return self._complete(key, name, upload, sent, source.entry, expect)
        except BaseException as error:
            # Where even this fails, the parts stay until the bucket's lifecycle rule removes them.
            with contextlib.suppress(*SDK_ERRORS):
                clients.reads.abort_multipart_upload(**upload.arguments)
            if isinstance(error, SDK_ERRORS):
                raise self._judge(error).error(self._place(key)) from None
            raise

    def _complete(
        self, key: str, name: str, upload: Place, sent: Sent, source: Entry, expect: Entry | None
    ) -> Entry:
        """Publish the parts. Sending them all again is dear, so this request is repeated here."""
        wanted = Entry(key, source.size, source.mtime_ns, sent.etag)
        for attempt in range(1, _COMPLETE_ATTEMPTS + 1):
            try:
                answer = self._clients.mutations.complete_multipart_upload(
                    **upload.arguments,
                    MultipartUpload={"Parts": sent.parts},
                    **self._condition(expect, honoured=self._honoured.complete),
                )
            except SDK_ERRORS as error:
                trouble = self._judge(error)
                stale = trouble.kind in {Kind.STALE, Kind.MISSING}
                if (attempt > 1 or not stale) and (landed := self._landed(key, name, wanted)):
                    return landed
                if stale:
                    raise self._changed(key, expect) from None
                if trouble.kind is not Kind.PASSING or attempt == _COMPLETE_ATTEMPTS:
                    raise trouble.error(self._place(key)) from None
                time.sleep(random.uniform(0, 2**attempt / 4))  # noqa: S311 -- spreads clients, no secret
            else:
                etag = answer["ETag"].strip('"')
                if sent.digested and etag.lower() != sent.etag and etag.endswith(f"-{len(sent.parts)}"):
                    raise self._garbled(key)
                return wanted._replace(stamp=etag)
        raise AssertionError


class _Reading:
    """A body being read."""

    def __init__(self, place: str, found: Entry, pieces: Iterator[Any], body: Any = None) -> None:
        self.entry = found
        self._place = place
        self._pieces = pieces
        self._body = body
        self._piece = memoryview(b"")
        self._unread = found.size

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(_PIECE), b""))
        while not self._piece:
            try:
                following = next(self._pieces, None)
            except (*SDK_ERRORS, s3_direct.Unclear) as error:
                raise self._cut(" ".join(str(error).split())) from None
            if following is None:
                if self._unread:
                    raise self._cut(f"{self._unread} bytes are missing")
                return b""
            self._piece = memoryview(following)
        given, self._piece = self._piece[:size], self._piece[size:]
        self._unread -= len(given)
        return bytes(given)

    def close(self) -> None:
        """Give back the connection; one with unread bytes is closed."""
        self._pieces = iter(())
        if self._body is not None:
            self._body.close()

    def _cut(self, reason: str) -> Transient:
        return Transient(
            f"{self._place}: the store stopped in the middle of the object ({reason}). Run again."
        )


def _whole(source: Source) -> bytes:
    """All bytes of `source`, which must be as many as its entry says."""
    size = source.entry.size
    pieces: list[bytes] = []
    held = 0
    while held <= size and (piece := source.read(_PIECE)):
        pieces.append(piece)
        held += len(piece)
    if held != size:
        raise Changed(
            f"{source.entry.key!r} has another size than the {size} bytes that were listed. Run again."
        )
    return b"".join(pieces)


def _quoted(stamp: str) -> str:
    """A stamp as the ETag that conditions are written with."""
    return f'"{stamp}"'


if TYPE_CHECKING:
    _: type[Endpoint] = S3Endpoint
