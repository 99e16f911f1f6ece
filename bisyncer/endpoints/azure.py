"""AzureEndpoint: a container of Azure Blob Storage, or a prefix of one.

Every mutation names what it expects to find; what the store can't test itself is looked at before.
The work is done in rooms of their own:

    azure_container.py   connections, names, looks     azure_scan.py    listings
    azure_client.py      requests                      azure_page.py    one page of a listing
    azure_auth.py        credentials                   azure_read.py    bodies, received
    azure_error.py       what an error means           azure_write.py   bodies, sent
    azure_object.py      a blob as an entry            azure_blocks.py  large ones
    azure_metadata.py    what travels beside it        azure_copy.py    copies inside an account
    azure_probe.py       what the store honours        azure_delete.py  deletions: one,
                                                       azure_batch.py   many in one request
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from bisyncer.endpoints import by_copy
from bisyncer.endpoints.azure_batch import MOST_DELETES, delete_many
from bisyncer.endpoints.azure_blocks import MOST_BLOCK_BYTES, MOST_BLOCKS
from bisyncer.endpoints.azure_container import MAX_NAME_BYTES, Container
from bisyncer.endpoints.azure_copy import copy
from bisyncer.endpoints.azure_delete import delete
from bisyncer.endpoints.azure_error import Failure, Kind, Trouble
from bisyncer.endpoints.azure_probe import learnt, namespace
from bisyncer.endpoints.azure_read import Reading
from bisyncer.endpoints.azure_scan import Where, scan
from bisyncer.endpoints.azure_write import write
from bisyncer.endpoints.base import Capabilities, Endpoint, NameRules, Probe, Source, Twin, Upload
from bisyncer.endpoints.body import PART_SIZE
from bisyncer.endpoints.clock import clock_skew_ns
from bisyncer.endpoints.outline import Folder
from bisyncer.endpoints.pace import Pace
from bisyncer.errors import AccessDenied, BisyncerError, Rejected, RootMissing
from bisyncer.job import Remote
from bisyncer.model import ALL_CONDITIONS, Algorithm, Conditions, Entry, Item

CAPABILITIES = Capabilities(
    names=NameRules.BUCKET,
    max_key_bytes=MAX_NAME_BYTES,
    conditional_write=True,
    conditional_delete=True,
    listed_digests=(Algorithm.ETAG_MD5,),
    server_copy=True,
    max_object_bytes=MOST_BLOCKS * MOST_BLOCK_BYTES,
    single_put_bytes=PART_SIZE,
    deletes_at_once=MOST_DELETES,
)


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
        owner: str,  # noqa: ARG002 -- a tree needs it, and all are opened alike
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
        container = self._container
        honoured = container.honoured
        return replace(
            CAPABILITIES,
            max_key_bytes=container.max_key_bytes,
            conditional_write=honoured.put and honoured.complete,
            conditional_delete=honoured.delete,
            ordered_listing=not container.known_unordered,
            ranged_listing=not container.known_unordered and container.starts_anywhere,
            server_copy=honoured.copy and honoured.complete,
            deletes_at_once=MOST_DELETES if honoured.delete and honoured.batch else 1,
        )

    @property
    def requests(self) -> Mapping[str, int]:
        """Requests sent so far by kind: account, list, get, head, put, copy, delete."""
        return self._container.requests.counts()

    def heed(self, pace: Pace) -> None:
        """Let `pace` hear of what fails, and parts go by it."""
        self._container.requests.pace = pace

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
        remarks: tuple[str, ...] = ()
        try:
            asked_ns = time.time_ns()
            answer = container.client.ask("GET", kind="list", query=query)
            skew_ns = clock_skew_ns(answer.headers.get("Date"), asked_ns, time.time_ns())
            if scratch:
                container.honoured, remarks = learnt(container)
        except Failure as error:
            raise _unusable(container.root, error.trouble) from None
        capabilities = self.capabilities
        return Probe(
            mount=None,
            filesystem="azure",
            conditional_write=capabilities.conditional_write,
            conditional_delete=capabilities.conditional_delete,
            conditions=container.honoured,
            skew_ns=skew_ns,
            versioned=container.honoured.versions,
            remarks=(*namespace(container), *remarks),
        )

    def scan(self, low: str = "", high: str | None = None) -> Iterator[Item]:
        """Yield every key below the prefix with low <= key < high; our own scratch blobs are left out."""
        container = self._container
        where = Where(container.prefix, container.root, container.ordered)
        return scan(container.client, where, low, high)

    def outline(self) -> Sequence[Folder]:
        """Nothing is known of a bucket's folders without a listing."""
        return ()

    def stat(self, key: str) -> Entry | None:
        """The entry of `key` as it is now."""
        return self._container.stat(key)

    @contextmanager
    def read(self, key: str, *, expect: Entry, start: int = 0, stop: int | None = None) -> Iterator[Source]:
        """Open the version of `key` that `expect` says."""
        reading = Reading(self._container, key, expect, start, stop)
        try:
            yield reading
        finally:
            reading.close()

    def read_many(self, expect: Sequence[Entry]) -> Generator[bytes | None]:
        """Nothing is at hand: each content is a request."""
        yield from (None for _ in expect)

    def write(self, key: str, source: Source, *, expect: Entry | None) -> Entry:
        """Send all of `source`, in one request or in blocks by its size."""
        return write(self._container, key, source, expect)

    def copy_from(self, source: Endpoint, key: str, *, entry: Entry, expect: Entry | None) -> Entry | None:
        """Copy from a container of the same account, as one step to who reads `key`."""
        if not isinstance(source, AzureEndpoint):
            return None
        return copy(source._container, entry, self._container, key, expect)  # noqa: SLF001 -- of the same class

    def move(self, key: str, new_key: str, *, expect: Entry) -> Entry:  # noqa: ARG002 -- it is in `expect`
        """Copy inside the store, then delete; a crash in between leaves both keys."""
        return by_copy.move(self, new_key, expect)

    def delete(self, key: str, *, expect: Entry) -> None:
        """Delete `key` if it is as expected; one with snapshots stays, since they would go with it."""
        delete(self._container, key, expect)

    def delete_many(self, expect: Sequence[Entry]) -> frozenset[str]:
        """Delete what is as expected, in one request."""
        return delete_many(self._container, expect)

    def abort(self, upload: Upload) -> None:
        """Nothing to do: an upload has no id here, and blocks that nobody published vanish after a week.

        To throw them away earlier takes a write to that very blob, which another upload may be about to do.
        """

    def flush(self) -> None:
        """Nothing to wait for: the store answers when it has a blob for good."""

    def keep(self, key: str, new_key: str, *, expect: Entry) -> Twin:  # noqa: ARG002 -- it is in `expect`
        """Copy the version to its second name, inside the store where that can be."""
        return by_copy.keep(self, new_key, expect)

    def close(self) -> None:
        """Give back connections and threads."""
        self._container.close()


def _unusable(root: str, trouble: Trouble) -> BisyncerError:
    sentence = f"{root}: {trouble.sentence}"
    match trouble.kind:
        case Kind.PASSING:
            return trouble.passing(root)
        case Kind.DENIED | Kind.KEYS:
            return AccessDenied(sentence)
        case _:
            return RootMissing(sentence)


if TYPE_CHECKING:
    _: type[Endpoint] = AzureEndpoint
