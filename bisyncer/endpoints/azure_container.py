"""One container, or a prefix of one: its connections, its names, a look at a key, and errors in words."""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Mapping
from functools import cached_property, partial

from bisyncer.endpoints.address import one_spelling
from bisyncer.endpoints.azure_client import Answer, Client, connect
from bisyncer.endpoints.azure_error import Failure, Kind, archived
from bisyncer.endpoints.azure_object import entry, is_folder
from bisyncer.endpoints.backoff import persist
from bisyncer.endpoints.body import Parts
from bisyncer.endpoints.counts import Requests
from bisyncer.errors import Changed, Rejected, Transient
from bisyncer.job import Remote
from bisyncer.model import Conditions, Entry

MAX_NAME_LENGTH = 1024  # of a whole name, in UTF-16 units
MAX_NAME_BYTES = 3 * MAX_NAME_LENGTH  # a UTF-16 unit has 3 bytes of UTF-8 at most
_MAX_SEGMENTS = 254


class Container:
    """The keys of `container` below `prefix/`, all of them where the prefix is empty.

    `honoured` says which conditions the store tests itself: all, unless a probe found otherwise.
    """

    def __init__(self, container: str, prefix: str, remote: Remote, honoured: Conditions) -> None:
        self.container = container
        self.prefix = f"{prefix}/" if prefix else ""
        self.remote = remote
        self.requests = Requests()
        self.honoured = honoured
        self.starts_anywhere = True  # a listing begins where it is asked to, until the store says who it is
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._parts: Parts | None = None

    # Connections: made when they are first needed, by one thread.

    @property
    def client(self) -> Client:
        """The way to the store."""
        with self._lock:
            if self._client is None:
                self._client = connect(self.container, self.remote, self.requests)
            return self._client

    @property
    def parts(self) -> Parts:
        """The threads that send the blocks of large bodies."""
        with self._lock:
            if self._parts is None:
                self._parts = Parts("azure-block", self.requests)
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
    def server(self) -> str:
        """The address of the storage account in one spelling."""
        return one_spelling(self.client.endpoint_url)

    @cached_property
    def root(self) -> str:
        """The root as a canonical URL."""
        return f"azure://{self.container}/{self.prefix}".rstrip("/") + f"?endpoint={self.server}"

    @cached_property
    def hierarchical(self) -> bool | None:
        """Whether the account has a hierarchical namespace; None where it won't say so to us.

        Raises `Transient`.
        """
        try:
            answer = self.client.ask(
                "GET", kind="account", query={"restype": "account", "comp": "properties"}
            )
        except Failure as error:
            if error.trouble.kind is Kind.PASSING:
                raise error.trouble.passing(self.root) from None
            return None
        self.starts_anywhere = not answer.headers.get("server", "").startswith("Azurite")
        return answer.headers.get("x-ms-is-hns-enabled", "false") == "true"

    @property
    def ordered(self) -> bool:
        """Whether the namespace is known to be flat; else each listing is sorted, right for either kind."""
        return self.hierarchical is False

    @property
    def known_unordered(self) -> bool:
        """Whether the account was asked already, and isn't known to be flat."""
        return self.__dict__.get("hierarchical", False) is not False

    @property
    def tier(self) -> Mapping[str, str]:
        """The access tier of what is written, as a header."""
        tier = self.remote.access_tier
        return {"x-ms-access-tier": tier} if tier else {}

    @property
    def max_key_bytes(self) -> int:
        """More bytes than this no key has, its prefix taken off; the service counts characters."""
        return MAX_NAME_BYTES - len(self.prefix.encode())

    def name(self, key: str) -> str:
        """The blob's whole name; raises `Rejected` where Azure can't hold it, or takes it for another."""
        name = self.prefix + key
        try:
            length = len(name.encode("utf-16-le")) // 2
        except UnicodeEncodeError:
            raise Rejected(f"{key!r}: is not valid text, so no container can hold it. Rename it.") from None
        segments = name.split("/")
        if not key or length > MAX_NAME_LENGTH or len(segments) > _MAX_SEGMENTS:
            raise Rejected(
                f"{key!r}: a name in {self.root} has 1 to {MAX_NAME_LENGTH} characters, with the prefix, in "
                f"at most {_MAX_SEGMENTS} segments. Rename it."
            )
        if key.endswith("/") and self.hierarchical:
            raise Rejected(
                f"{self.place(key)}: is a directory, and listings of a hierarchical namespace tell of none. "
                "Leave create_empty_dirs out."
            )
        # https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
        if "\\" in key or any(segment.endswith(".") for segment in segments):
            raise Rejected(
                f"{self.place(key)}: Azure takes a backslash for '/', and may drop dots at the end of a "
                "segment. Rename it."
            )
        if not key.isprintable() and any(unicodedata.category(char) == "Cc" for char in key):
            raise Rejected(f"{self.place(key)}: Azure takes no control characters in names. Rename it.")
        return name

    def place(self, key: str) -> str:
        """A key as errors name it."""
        return f"{self.root}: {key!r}"

    # Looks, and errors.

    def head(self, key: str, name: str) -> Entry | None:
        """The entry of a key; None where the store says that it isn't there, or a directory is."""
        try:
            found = self.client.ask("HEAD", name, kind="head").headers
        except Failure as error:
            if error.trouble.kind is Kind.MISSING:
                return None
            raise error.trouble.error(self.place(key)) from None
        # As listings have it: of an account that is known to be flat they tell no fields.
        return None if is_folder(found) and not self.ordered else entry(key, found)

    def stat(self, key: str) -> Entry | None:
        """The entry of a key as it is now."""
        return self.head(key, self.name(key))

    def properties(self, expect: Entry) -> Mapping[str, str]:
        """The headers of the version that `expect` says, which is whole and can be read."""
        try:
            found = self.client.ask(
                "HEAD", self.name(expect.key), kind="head", headers={"If-Match": quoted(expect.stamp)}
            ).headers
        except Failure as error:
            if error.trouble.kind in {Kind.STALE, Kind.MISSING}:
                raise self.changed(expect.key, expect) from None
            raise error.trouble.error(self.place(expect.key)) from None
        if found.get("x-ms-access-tier") == "Archive":
            raise archived(f"access tier {found['x-ms-access-tier']}").error(self.place(expect.key))
        self.check_filled(expect.key, found)
        self._check_folder(expect.key, found)
        return found

    def reader(self, key: str) -> Mapping[str, str]:
        """The headers that let the store read `key` for a copy."""
        try:
            return self.client.as_source(self.name(key))
        except Failure as error:
            raise error.trouble.error(self.place(key)) from None

    def check_filled(self, key: str, headers: Mapping[str, str]) -> None:
        """Raise where a blob is the target of another program's copy that isn't done: then it is empty."""
        status = headers.get("x-ms-copy-status", "success")
        if status == "pending":
            raise Transient(f"{self.place(key)}: is still being copied there. Run again when that is done.")
        if status != "success":
            raise Rejected(
                f"{self.place(key)}: a copy to it has {status}, so it is empty. Copy it again, or delete it."
            )

    def look(self, key: str, expect: Entry | None) -> None:
        """The condition for a store that tests none itself; a window remains until the deed."""
        found = self.stat(key)
        if (found and found.stamp) != (expect and expect.stamp):
            raise self.changed(key, expect)

    def landed(self, wanted: Entry) -> Entry | None:
        """`wanted` with its stamp, where the store has exactly what a write of unclear outcome had sent."""
        found = persist(partial(self.stat, wanted.key))
        if found is None or found.size != wanted.size or wanted.mtime_ns not in {None, found.mtime_ns}:
            return None
        same = {digest.value for digest in found.digests} & {digest.value for digest in wanted.digests}
        return wanted._replace(stamp=found.stamp) if same else None

    def opened(self, key: str, expect: Entry, start: int = 0, stop: int | None = None) -> Answer:
        """The body of the version of `key` that `expect` says, from byte `start` on, before `stop`."""
        headers = {"If-Match": quoted(expect.stamp)}
        # A range that begins at the end is an error to the service, so the end is only looked at.
        empty = start >= expect.size > 0
        end = "" if stop is None or stop >= expect.size else str(stop - 1)
        if (start or end) and not empty:
            headers["x-ms-range"] = f"bytes={start}-{end}"
        try:
            answer = self.client.ask(
                "HEAD" if empty else "GET",
                self.name(key),
                kind="head" if empty else "get",
                headers=headers,
                stream=not empty,
            )
        except Failure as error:
            if error.trouble.kind in {Kind.STALE, Kind.MISSING}:
                raise self.changed(key, expect) from None
            raise error.trouble.error(self.place(key)) from None
        self._check_folder(key, answer.headers)
        return answer

    def _check_folder(self, key: str, headers: Mapping[str, str]) -> None:
        """Raise where a blob is the mark of a folder: a file of its name would stand in the folder's way."""
        if is_folder(headers):
            raise Rejected(
                f"{self.place(key)}: is the mark of a folder (hdi_isfolder), as blobfuse and Hadoop leave "
                "one, and is not copied. Exclude it."
            )

    def changed(self, key: str, expect: Entry | None) -> Changed:
        """The exception for a condition that didn't hold."""
        seen = "exists, and was expected not to" if expect is None else "changed since it was looked at"
        return Changed(f"{self.place(key)}: {seen}. Run again.")


def quoted(stamp: str) -> str:
    """A stamp as the ETag that conditions are written with."""
    return f'"{stamp}"'


def condition(expect: Entry | None, *, honoured: bool = True) -> dict[str, str]:
    """The condition of a write, as headers; none where the store wouldn't test it."""
    if not honoured:
        return {}
    return {"If-None-Match": "*"} if expect is None else {"If-Match": quoted(expect.stamp)}
