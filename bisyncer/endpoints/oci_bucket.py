"""One bucket, or a prefix of one: its connections, its names, and a look at a key."""

from __future__ import annotations

import threading
from functools import cached_property
from urllib.parse import quote

from bisyncer.endpoints.body import Parts
from bisyncer.endpoints.counts import Requests
from bisyncer.endpoints.oci_client import Client, object_path
from bisyncer.endpoints.oci_error import Failed, Kind, Trouble
from bisyncer.endpoints.oci_object import TELLS, Found, entry
from bisyncer.errors import AccessDenied, BisyncerError, Changed, Rejected, RootMissing, Transient
from bisyncer.job import Remote
from bisyncer.model import Conditions, Entry

MAX_NAME_BYTES = 1024  # of a whole name in a bucket

_NEVER = frozenset("\0\n\r")


class Bucket:
    """The keys of `bucket` below `prefix/`, all of them where the prefix is empty.

    `honoured` says which conditions the store tests itself: all, unless a probe found otherwise.
    """

    def __init__(
        self, bucket: str, prefix: str, namespace: str | None, remote: Remote, honoured: Conditions
    ) -> None:
        self.bucket = bucket
        self.prefix = f"{prefix}/" if prefix else ""
        self.remote = remote
        self.requests = Requests()
        self.honoured = honoured
        self._given_namespace = namespace or remote.namespace
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._parts: Parts | None = None

    # Connections: made when they are first needed, by one thread.

    @property
    def client(self) -> Client:
        """The way to the service."""
        with self._lock:
            if self._client is None:
                self._client = Client(self.remote, self.requests)
            return self._client

    @property
    def parts(self) -> Parts:
        """The threads that send the parts of large bodies."""
        with self._lock:
            if self._parts is None:
                self._parts = Parts("oci-part", self.requests)
            return self._parts

    def close(self) -> None:
        """Give back connections and threads; what is asked next makes new ones."""
        with self._lock:
            if self._parts is not None:
                self._parts.close()
            if self._client is not None:
                self._client.close()
            self._client = self._parts = None

    # Names.

    @cached_property
    def namespace(self) -> str:
        """The namespace of the tenancy: as it was given, else as the service tells it."""
        if self._given_namespace:
            return self._given_namespace
        try:
            return str(self.client.send("get", "GET", "/n/").json())
        except Failed as error:
            raise unusable(f"oci://{self.bucket}", error.trouble) from None
        except ValueError:
            raise Transient(
                f"oci://{self.bucket}: {self.client.service.endpoint_url} doesn't tell the namespace. Give "
                "it in the root, as in oci://bucket@namespace, or correct the address."
            ) from None

    @cached_property
    def path(self) -> str:
        """The path of the bucket in the service."""
        return f"/n/{quote(self.namespace, safe='')}/b/{quote(self.bucket, safe='')}"

    @cached_property
    def root(self) -> str:
        """The root as a canonical URL. Each region has buckets of its own, so it says which one."""
        place = f"oci://{self.bucket}@{self.namespace}/{self.prefix}".rstrip("/")
        service = self.client.service
        return place + (f"?region={service.region}" if service.own else f"?endpoint={service.endpoint_url}")

    @property
    def max_key_bytes(self) -> int:
        """The longest key, its prefix taken off."""
        return MAX_NAME_BYTES - len(self.prefix.encode())

    def name(self, key: str) -> str:
        """The object's whole name; raises `Rejected` where no bucket can hold it."""
        name = self.prefix + key
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            raise Rejected(f"{key!r}: is not valid text, so no bucket can hold it. Rename it.") from None
        # A URL can't end in '.' or '..': it would be taken for the bucket itself.
        if not key or size > MAX_NAME_BYTES or not _NEVER.isdisjoint(key) or name in {".", ".."}:
            raise Rejected(
                f"{key!r}: a key in {self.root} has 1 to {self.max_key_bytes} bytes, no NUL and no line "
                "break, and isn't '.' or '..'. Rename it."
            )
        return name

    def object(self, name: str) -> str:
        """The path of an object in the service."""
        return object_path(self.path, "o", name)

    def place(self, key: str) -> str:
        """A key as errors name it."""
        return f"{self.root}: {key!r}"

    # Requests that change nothing, and what writes are sent with.

    def head(self, key: str, name: str) -> Found | None:
        """What the store tells of a key; None where it says that it isn't there."""
        try:
            headers = self.client.send("head", "HEAD", self.object(name), tells=TELLS).headers
        except Failed as error:
            if error.trouble.kind is Kind.MISSING:
                return None
            raise error.trouble.error(self.place(key)) from None
        return Found(entry(key, headers), headers)

    def stat(self, key: str) -> Entry | None:
        """The entry of a key as it is now."""
        found = self.head(key, self.name(key))
        if found is not None:
            return found.entry
        # The answer to HEAD has no body, so a bucket that isn't there, or that may not be seen for a moment,
        # looks like a key that isn't there. A listing that begins with the key tells them apart.
        name = self.name(key)
        query = {"prefix": name, "limit": "1"}
        try:
            rows = self.client.send("list", "GET", f"{self.path}/o", query=query).json()["objects"]
            listed = any(row["name"] == name for row in rows)
        except Failed as error:
            raise error.trouble.error(self.place(key)) from None
        except (ValueError, KeyError, TypeError):
            listed = True
        if listed:
            raise Transient(f"{self.place(key)}: the store doesn't say whether it is there. Run again later.")
        return None

    def peek(self) -> str | None:
        """List one key, which fails where the bucket can't be listed; the date of the answer."""
        answer = self.client.send(
            "list", "GET", f"{self.path}/o", query={"prefix": self.prefix, "limit": "1"}
        )
        date: str | None = answer.headers.get("date")
        return date

    def look(self, key: str, expect: Entry | None) -> None:
        """The condition for a store that tests none itself; a window remains until the deed."""
        found = self.stat(key)
        if (found and found.stamp) != (expect and expect.stamp):
            raise self.changed(key, expect)

    def condition(self, expect: Entry | None, *, honoured: bool) -> dict[str, str]:
        """The condition of a write, as headers; none where the store wouldn't test it."""
        if not honoured:
            return {}
        return {"if-none-match": "*"} if expect is None else {"if-match": expect.stamp}

    @property
    def tier(self) -> dict[str, str]:
        """The storage tier of what is written, as a header; none where it is the bucket's."""
        tier = self.remote.storage_class
        return {"storage-tier": tier} if tier else {}

    @property
    def encryption(self) -> dict[str, str]:
        """The key of the service's own that encrypts what is written, as a header."""
        key_id = self.remote.sse_kms_key_id
        return {"opc-sse-kms-key-id": key_id} if key_id else {}

    def changed(self, key: str, expect: Entry | None) -> Changed:
        """The exception for a condition that didn't hold."""
        seen = "exists, and was expected not to" if expect is None else "changed since it was looked at"
        return Changed(f"{self.place(key)}: {seen}. Run again.")

    def garbled(self, key: str) -> Transient:
        """The exception for a body that arrived as something else."""
        return Transient(
            f"{self.place(key)}: the store has another MD5 than what was sent. The next run looks at it "
            "again."
        )


def is_stale(trouble: Trouble, expect: Entry | None) -> bool:
    """Whether a write was refused for its condition; a key that is to be replaced may be gone."""
    return trouble.kind is Kind.STALE or (trouble.kind is Kind.MISSING and expect is not None)


def unusable(root: str, trouble: Trouble) -> BisyncerError:
    """The exception for a root that can't be used."""
    sentence = f"{root}: {trouble.sentence}"
    match trouble.kind:
        case Kind.PASSING:
            return trouble.error(root)
        case Kind.DENIED | Kind.KEYS:
            return AccessDenied(sentence)
        case _:
            return RootMissing(sentence)
