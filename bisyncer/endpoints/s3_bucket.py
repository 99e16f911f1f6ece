"""One bucket, or a prefix of one: its connections, its names, a look at a key, and errors in words."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bisyncer.endpoints import s3_direct
from bisyncer.endpoints.address import one_spelling
from bisyncer.endpoints.backoff import persist
from bisyncer.endpoints.base import Uploads
from bisyncer.endpoints.body import Parts
from bisyncer.endpoints.s3_client import Clients, Requests, connect
from bisyncer.endpoints.s3_error import SDK_ERRORS, Kind, NoETag, Trouble, judge
from bisyncer.endpoints.s3_object import OPAQUE, entry
from bisyncer.endpoints.s3_page import Known, keeps_a_tree
from bisyncer.errors import Changed, Rejected
from bisyncer.job import Remote
from bisyncer.model import Conditions, Entry

if TYPE_CHECKING:
    from obstore.store import S3Store

_MOST_UNCLEAR = 20  # requests that obstore couldn't carry out, one after the other

MAX_NAME_BYTES = 1024  # of a whole name in a bucket

# The requests that carry the key of SSE-C.
_ENCRYPTED = {
    "copy_object",
    "create_multipart_upload",
    "get_object",
    "head_object",
    "put_object",
    "upload_part",
    "upload_part_copy",
}
# The requests whose answers tell which version it is.
_TAGGED = {"complete_multipart_upload", "get_object", "head_object", "put_object", "upload_part"}
_DIRECTORY_BUCKET = (
    "--x-s3"  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/directory-bucket-naming-rules.html
)

_AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")


class Bucket:
    """The keys of `bucket` below `prefix/`, all of them where the prefix is empty.

    `honoured` says which conditions the store tests itself: all, unless a probe found otherwise.
    """

    def __init__(
        self, bucket: str, prefix: str, remote: Remote, honoured: Conditions, uploads: Uploads
    ) -> None:
        self.bucket = bucket
        self.prefix = f"{prefix}/" if prefix else ""
        self.remote = remote
        self.requests = Requests()
        self.honoured = honoured
        self.uploads = uploads
        self.refusing: set[str] = set()  # roots that may not be copied from inside the store
        # One that wasn't found to keep a tree may never have been tried: its answers can still tell.
        self.known = Known(tree=honoured.tree or None)
        self._lock = threading.Lock()
        self._clients: Clients | None = None
        self._parts: Parts | None = None
        self._direct: list[S3Store | None] = []  # of one item, once it is known
        self._unclear = 0  # times in a row that boto3 did what obstore couldn't

    # Connections: made when they are first needed, by one thread.

    @property
    def clients(self) -> Clients:
        """The SDK's client, and what it was made with."""
        with self._lock:
            if self._clients is None:
                self._clients = connect(self.remote, self.requests)
            return self._clients

    @property
    def parts(self) -> Parts:
        """The threads that send the parts of large bodies."""
        with self._lock:
            if self._parts is None:
                self._parts = Parts("s3-part", self.requests)
            return self._parts

    def direct(self, name: str) -> S3Store | None:
        """The way through obstore, where it can be gone for this name."""
        if self.is_directory_bucket or not s3_direct.can_name(name):
            return None  # obstore doesn't sign in the way of directory buckets
        if known := self._direct:
            return known[0]
        clients = self.clients
        with self._lock:
            if not self._direct:
                self._direct = [s3_direct.store(self.bucket, self.remote, clients)]
            return self._direct[0]

    def note_direct(self, *, worked: bool) -> None:
        """Take note of whether obstore carried out a request, or boto3 did after it couldn't.

        What never works costs each body a request more: a region that only boto3 finds, or an authority that
        only it knows.
        """
        self._unclear = 0 if worked else self._unclear + 1
        if self._unclear >= _MOST_UNCLEAR:
            self.close_direct()

    def close_direct(self) -> None:
        """Go through the SDK from now on."""
        with self._lock:
            self._direct = [None]

    def close(self) -> None:
        """Give back connections and threads; what is asked next makes new ones."""
        with self._lock:
            if self._parts is not None:
                self._parts.close()
            if self._clients is not None:
                self._clients.close()
            self._clients = self._parts = None
            self._direct = []

    # Names.

    @cached_property
    def server(self) -> str | None:
        """The address of the store in one spelling; None for Amazon S3, where a bucket's name is enough."""
        url = self.remote.endpoint_url or self.clients.client.meta.endpoint_url
        if (urlsplit(url).hostname or "").endswith(_AWS_HOSTS):
            return None
        return one_spelling(url)

    @cached_property
    def root(self) -> str:
        """The root as a canonical URL."""
        place = f"s3://{self.bucket}/{self.prefix}".rstrip("/")
        return f"{place}?endpoint={self.server}" if self.server else place

    @property
    def keeps_a_tree(self) -> bool:
        """Whether the store takes some keys for others: a probe found it, or its answers say what it is."""
        if self.server is None:
            return False
        if self.known.tree is None:
            # Every server knows this request, and it costs no more than one about the bucket itself.
            self.answered(self.root, "list_objects", Prefix=self.prefix, MaxKeys=1)
        return bool(self.known.tree)

    @property
    def is_directory_bucket(self) -> bool:
        """Whether it is one of Amazon's directory buckets, which list in an order of their own."""
        return self.bucket.endswith(_DIRECTORY_BUCKET)

    @property
    def max_key_bytes(self) -> int:
        """The longest key, its prefix taken off."""
        return MAX_NAME_BYTES - len(self.prefix.encode())

    def name(self, key: str) -> str:
        """The object's whole name; raises `Rejected` where no bucket, or not this one, can hold it."""
        name = self.prefix + key
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            raise Rejected(f"{key!r}: is not valid text, so no bucket can hold it. Rename it.") from None
        if not key or "\0" in key or size > MAX_NAME_BYTES:
            raise Rejected(
                f"{key!r}: a key in {self.root} has 1 to {self.max_key_bytes} bytes and no NUL. Rename it."
            )
        if self.keeps_a_tree and ("\\" in key or not s3_direct.has_plain_segments(key.removesuffix("/"))):
            raise Rejected(
                f"{self.place(key)}: this store keeps keys as directories, and takes '//', '.', '..' and "
                "backslashes for something else. Rename it."
            )
        return name

    def place(self, key: str) -> str:
        """A key as errors name it."""
        return f"{self.root}: {key!r}"

    # Requests, and errors.

    def ask(self, operation: str, **arguments: object) -> Any:
        """Send one request of the SDK about this bucket, once; raises `SDK_ERRORS`."""
        clients = self.clients
        extra: dict[str, object] = {}
        if clients.customer_key is not None and operation in _ENCRYPTED:
            extra = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": clients.customer_key}
        if self.is_directory_bucket:  # it has no MD5s, neither sent nor as ETags
            arguments.pop("ContentMD5", None)
        try:
            answer = getattr(clients.client, operation)(Bucket=self.bucket, **extra, **arguments)
            if operation in _TAGGED and "ETag" not in answer:
                if operation == "get_object":
                    answer["Body"].close()
                raise NoETag
        except SDK_ERRORS as error:
            trouble = self.judge(error)
            if trouble.heard:
                self.requests.pace.failed(throttled=trouble.throttled, retry_after_s=trouble.retry_after_s)
            raise
        if self.known.tree is None:
            self.known.tree = keeps_a_tree(answer["ResponseMetadata"]["HTTPHeaders"])
        if self.is_directory_bucket:
            answer[OPAQUE] = True
        return answer

    def judge(self, error: Exception) -> Trouble:
        """What an error of the SDK means; one that may pass was heard of when it came."""
        trouble = judge(error, self.clients.client.meta.endpoint_url)
        return trouble._replace(heard=trouble.kind is Kind.PASSING)

    def answered(self, place: str, operation: str, **arguments: object) -> Any:
        """The answer to a request for which no error is good news."""
        try:
            return self.ask(operation, **arguments)
        except SDK_ERRORS as error:
            raise self.judge(error).error(place) from None

    def found(self, key: str, **condition: str) -> Any:
        """The SDK's answer to a HEAD; None where the store says that the key, or the bucket, isn't there."""
        try:
            return self.ask("head_object", Key=self.name(key), **condition)
        except SDK_ERRORS as error:
            trouble = self.judge(error)
            if trouble.kind is Kind.MISSING:
                return None
            if trouble.kind is Kind.STALE:
                raise Changed(f"{self.place(key)}: changed since it was looked at. Run again.") from None
            raise trouble.error(self.place(key)) from None

    def version(self, expect: Entry) -> Any:
        """The SDK's answer to a HEAD of the version that `expect` says; raises `Changed`."""
        answer = self.found(expect.key, IfMatch=quoted(expect.stamp))
        if answer is None or entry(expect.key, answer).stamp != expect.stamp:
            raise self.changed(expect.key, expect)
        return answer

    def head(self, key: str) -> Entry | None:
        """The entry of a key; None where the store says that it, or the bucket, isn't there."""
        answer = self.found(key)
        return None if answer is None else entry(key, answer)

    def stat(self, key: str) -> Entry | None:
        """The entry of a key as it is now."""
        found = self.head(key)
        if found is None:
            # The answer to HEAD has no body, so a bucket that isn't there looks like a key that isn't.
            self.answered(self.place(key), "head_bucket")
        return found

    def look(self, key: str, expect: Entry | None) -> None:
        """The condition for a store that tests none itself; a window remains until the deed."""
        found = self.stat(key)
        if (found and found.stamp) != (expect and expect.stamp):
            raise self.changed(key, expect)

    def landed(self, wanted: Entry) -> Entry | None:
        """The entry of a key where the store has exactly what a write, whose answer is unclear, had sent.

        The same bytes under another time are those that were there before.
        """
        found = persist(lambda: self.head(wanted.key))
        if found is None or (found.stamp.lower(), found.size) != (wanted.stamp, wanted.size):
            return None
        return found if wanted.mtime_ns in {None, found.mtime_ns} else None

    def changed(self, key: str, expect: Entry | None) -> Changed:
        """The exception for a condition that didn't hold."""
        seen = "exists, and was expected not to" if expect is None else "changed since it was looked at"
        return Changed(f"{self.place(key)}: {seen}. Run again.")


def quoted(stamp: str) -> str:
    """A stamp as the ETag that conditions are written with."""
    return f'"{stamp}"'
