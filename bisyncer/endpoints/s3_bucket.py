"""One bucket, or a prefix of one: its connections, its names, a look at a key, and errors in words."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bisyncer.endpoints import s3_direct
from bisyncer.endpoints.s3_client import Clients, Requests, connect
from bisyncer.endpoints.s3_error import SDK_ERRORS, Kind, Trouble, judge
from bisyncer.endpoints.s3_object import entry
from bisyncer.endpoints.s3_parts import PartSender
from bisyncer.endpoints.s3_scan import keeps_a_tree
from bisyncer.errors import Changed, Rejected
from bisyncer.model import Conditions, Entry, Remote

if TYPE_CHECKING:
    from obstore.store import S3Store

MAX_NAME_BYTES = 1024  # of a whole name in a bucket

_AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")


class Bucket:
    """The keys of `bucket` below `prefix/`, all of them where the prefix is empty.

    `honoured` says which conditions the store tests itself: all, unless a probe found otherwise.
    """

    def __init__(self, bucket: str, prefix: str, remote: Remote, honoured: Conditions) -> None:
        self.bucket = bucket
        self.prefix = f"{prefix}/" if prefix else ""
        self.remote = remote
        self.requests = Requests()
        self.honoured = honoured
        self._lock = threading.Lock()
        self._clients: Clients | None = None
        self._parts: PartSender | None = None
        self._direct: list[S3Store | None] = []  # of one item, once it is known

    # Connections: made when they are first needed, by one thread.

    @property
    def clients(self) -> Clients:
        """The SDK's clients."""
        with self._lock:
            if self._clients is None:
                self._clients = connect(self.remote, self.requests)
            return self._clients

    @property
    def parts(self) -> PartSender:
        """The threads that send the parts of large bodies."""
        with self._lock:
            if self._parts is None:
                self._parts = PartSender()
            return self._parts

    def direct(self, name: str) -> S3Store | None:
        """The way through obstore, where it can be gone for this name."""
        if not s3_direct.can_name(name):
            return None
        clients = self.clients
        with self._lock:
            if not self._direct:
                self._direct = [s3_direct.store(self.bucket, self.remote, clients)]
            return self._direct[0]

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
        url = urlsplit(self.remote.endpoint_url or self.clients.reads.meta.endpoint_url)
        host = (url.hostname or "").lower()
        if host.endswith(_AWS_HOSTS):
            return None
        default_port = {"http": 80, "https": 443}.get(url.scheme)
        port = "" if url.port in {None, default_port} else f":{url.port}"
        return f"{url.scheme}://{host}{port}{url.path.rstrip('/')}"

    @cached_property
    def root(self) -> str:
        """The root as a canonical URL."""
        place = f"s3://{self.bucket}/{self.prefix}".rstrip("/")
        return f"{place}?endpoint={self.server}" if self.server else place

    @cached_property
    def keeps_a_tree(self) -> bool:
        """Whether the store takes some keys for others; each of its answers says what store it is."""
        if self.server is None:
            return False
        answer = self.asked(self.root, self.clients.reads.head_bucket, Bucket=self.bucket)
        return keeps_a_tree(answer["ResponseMetadata"]["HTTPHeaders"])

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

    # Requests that change nothing, and errors.

    def judge(self, error: Exception) -> Trouble:
        """What an error of the SDK means."""
        return judge(error, self.clients.reads.meta.endpoint_url)

    def asked(self, place: str, request: Callable[..., Any], **arguments: object) -> Any:
        """The answer to a request for which no error is good news."""
        try:
            return request(**arguments)
        except SDK_ERRORS as error:
            raise self.judge(error).error(place) from None

    def head(self, key: str, name: str) -> Entry | None:
        """The entry of a key; None where the store says that it, or the bucket, isn't there."""
        try:
            return entry(key, self.clients.reads.head_object(Bucket=self.bucket, Key=name))
        except SDK_ERRORS as error:
            trouble = self.judge(error)
            if trouble.kind is Kind.MISSING:
                return None
            raise trouble.error(self.place(key)) from None

    def stat(self, key: str) -> Entry | None:
        """The entry of a key as it is now."""
        found = self.head(key, self.name(key))
        if found is None:
            # The answer to HEAD has no body, so a bucket that isn't there looks like a key that isn't.
            self.asked(self.place(key), self.clients.reads.head_bucket, Bucket=self.bucket)
        return found

    def look(self, key: str, expect: Entry | None) -> None:
        """The condition for a store that tests none itself; a window remains until the deed."""
        found = self.stat(key)
        if (found and found.stamp) != (expect and expect.stamp):
            raise self.changed(key, expect)

    def landed(self, key: str, name: str, wanted: Entry) -> Entry | None:
        """The entry of a key where the store has exactly what a write, whose answer is unclear, had sent."""
        found = self.head(key, name)
        if found is None or (found.stamp, found.size) != (wanted.stamp, wanted.size):
            return None
        return found

    def changed(self, key: str, expect: Entry | None) -> Changed:
        """The exception for a condition that didn't hold."""
        seen = "exists, and was expected not to" if expect is None else "changed since it was looked at"
        return Changed(f"{self.place(key)}: {seen}. Run again.")
