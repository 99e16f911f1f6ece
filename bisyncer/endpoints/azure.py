"""AzureEndpoint: a container of Azure Blob Storage, or a prefix of one.

No mutation goes out without a condition on what was seen. The work is done in rooms of their own:

    azure_container.py   connections, names, looks     azure_scan.py    listings
    azure_client.py      requests and credentials      azure_page.py    one page of a listing
    azure_error.py       what an error means           azure_read.py    bodies, received
    azure_object.py      a blob's headers              azure_write.py   bodies, sent
    azure_probe.py       what the store honours
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bisyncer.endpoints.azure_container import Container, condition
from bisyncer.endpoints.azure_error import Failure, Kind, Trouble
from bisyncer.endpoints.azure_probe import try_conditions
from bisyncer.endpoints.azure_read import Reading
from bisyncer.endpoints.azure_scan import Where, scan
from bisyncer.endpoints.azure_write import write
from bisyncer.endpoints.base import Capabilities, Endpoint, NameRules, Probe, Source
from bisyncer.endpoints.twin import Twin, twin_by_copy
from bisyncer.errors import AccessDenied, BisyncerError, Rejected, RootMissing, Transient
from bisyncer.model import ALL_CONDITIONS, Conditions, Entry, Item, Remote


class AzureEndpoint:
    """A container, or the keys of one below `prefix/`.

    `owner` would mark temporary objects; there are none, since a container shows a blob when it is whole.
    """

    def __init__(
        self,
        container: str,
        prefix: str,
        *,
        remote: Remote,
        owner: str,  # noqa: ARG002
        conditions: Conditions = ALL_CONDITIONS,
    ) -> None:
        self._container = Container(container, prefix, remote, conditions)

    @property
    def root(self) -> str:
        """`azure://container/prefix`, and the address of the storage account."""
        return self._container.root

    @property
    def capabilities(self) -> Capabilities:
        """What this store can promise: all of it, unless a probe has found that it can't."""
        honoured = self._container.honoured
        return Capabilities(
            names=NameRules.BUCKET,
            max_key_bytes=self._container.max_key_bytes,
            conditional_write=honoured.put and honoured.complete,
            conditional_delete=honoured.delete,
        )

    @property
    def requests(self) -> Mapping[str, int]:
        """Requests sent so far by kind: account, list, get, head, put, delete."""
        return self._container.requests.counts()

    def refusal(self, key: str) -> str | None:
        """Why this store can't hold `key`."""
        try:
            self._container.name(key)
        except Rejected as error:
            return str(error)
        return None

    def overlaps(self, other: Endpoint) -> bool:
        """Whether both are the same container of the same account, and one prefix holds the other."""
        if not isinstance(other, AzureEndpoint):
            return False
        one, two = self._container, other._container  # noqa: SLF001 -- of the same class
        return (one.server, one.container) == (two.server, two.container) and (
            one.prefix.startswith(two.prefix) or two.prefix.startswith(one.prefix)
        )

    def probe(self, *, scratch: bool = False) -> Probe:
        """Look whether the container is there and can be listed; with `scratch`, what it honours."""
        container = self._container
        query = {"restype": "container", "comp": "list", "prefix": container.prefix, "maxresults": "1"}
        try:
            container.client.ask("GET", kind="list", query=query)
            if scratch:
                container.honoured = try_conditions(container.client, container.prefix)
        except Failure as error:
            raise _unusable(container.root, error.trouble) from None
        capabilities = self.capabilities
        return Probe(
            mounted=None,
            filesystem="azure",
            conditional_write=capabilities.conditional_write,
            conditional_delete=capabilities.conditional_delete,
            conditions=container.honoured,
        )

    def scan(self, low: str = "", high: str | None = None) -> Iterator[Item]:
        """Yield every key below the prefix with low <= key < high; our own scratch blobs are left out."""
        container = self._container
        where = Where(container.prefix, container.root, container.ordered)
        return scan(container.client, where, low, high)

    def stat(self, key: str) -> Entry | None:
        """The entry of `key` as it is now."""
        return self._container.stat(key)

    @contextmanager
    def read(self, key: str, *, expect: Entry) -> Iterator[Source]:
        """Open the version of `key` that `expect` says."""
        reading = Reading(self._container, key, expect)
        try:
            yield reading
        finally:
            reading.close()

    def write(self, key: str, source: Source, *, expect: Entry | None) -> Entry:
        """Send all of `source`, in one request or in blocks by its size."""
        return write(self._container, key, source, expect)

    def delete(self, key: str, *, expect: Entry) -> None:
        """Delete `key` if it is as expected; one with snapshots stays, since they would go with it."""
        container = self._container
        name = container.name(key)
        if not container.honoured.delete:
            container.look(key, expect)
        headers = condition(expect, honoured=container.honoured.delete)
        try:
            container.client.ask("DELETE", name, kind="delete", headers=headers)
        except Failure as error:
            trouble = error.trouble
            if trouble.kind in {Kind.STALE, Kind.MISSING}:
                raise container.changed(key, expect) from None
            if trouble.kind is Kind.PASSING and container.stat(key) is None:
                return  # the answer was lost, or another deletion came first: what was wanted is so
            raise trouble.error(container.place(key)) from None

    def flush(self) -> None:
        """Nothing to wait for: the store answers when it has a blob for good."""

    def keep(self, key: str, new_key: str, *, expect: Entry) -> Twin:  # noqa: ARG002 -- it is in `expect`
        """Copy the version to its second name, inside the store."""
        return twin_by_copy(expect, self.copy_from(self, new_key, entry=expect, expect=None))

    def close(self) -> None:
        """Give back connections and threads."""
        self._container.close()


def _unusable(root: str, trouble: Trouble) -> BisyncerError:
    sentence = f"{root}: {trouble.sentence}"
    match trouble.kind:
        case Kind.PASSING:
            return Transient(sentence)
        case Kind.DENIED | Kind.KEYS:
            return AccessDenied(sentence)
        case _:
            return RootMissing(sentence)


if TYPE_CHECKING:
    _: type[Endpoint] = AzureEndpoint
