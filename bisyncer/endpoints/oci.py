"""OciEndpoint: a bucket of OCI Object Storage through its own API, or a prefix of one.

Every mutation names what it expects to find; what the store can't test itself is looked at before.
The work is done in rooms of their own:

    oci_bucket.py    connections, names, looks       oci_scan.py    listings
    oci_client.py    requests, signed and sent       oci_read.py    bodies, received
    oci_auth.py      the SDK's signers               oci_write.py   bodies, sent in one request
    oci_error.py     what an error means             oci_upload.py  bodies, sent in parts
    oci_object.py    an object's headers             oci_copy.py    copies on the server
    oci_probe.py     what the store honours          oci_move.py    renames
    oci_delete.py    deletions: one,                 oci_batch.py   many in one request
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from bisyncer.endpoints import by_copy
from bisyncer.endpoints.base import (
    FORGETFUL,
    Capabilities,
    Endpoint,
    NameRules,
    Probe,
    Source,
    Twin,
    Upload,
    Uploads,
)
from bisyncer.endpoints.body import PART_SIZE
from bisyncer.endpoints.oci_batch import MOST_DELETES, delete_many
from bisyncer.endpoints.oci_bucket import MAX_NAME_BYTES, Bucket
from bisyncer.endpoints.oci_copy import copy
from bisyncer.endpoints.oci_delete import delete
from bisyncer.endpoints.oci_move import move
from bisyncer.endpoints.oci_probe import probe
from bisyncer.endpoints.oci_read import open_reading
from bisyncer.endpoints.oci_scan import scan
from bisyncer.endpoints.oci_upload import abort, upload
from bisyncer.endpoints.oci_write import write
from bisyncer.endpoints.outline import Folder
from bisyncer.endpoints.pace import Pace
from bisyncer.errors import Rejected
from bisyncer.job import Remote
from bisyncer.model import ALL_CONDITIONS, Algorithm, Conditions, Entry, Item

CAPABILITIES = Capabilities(
    names=NameRules.BUCKET,
    max_key_bytes=MAX_NAME_BYTES,
    conditional_write=True,
    conditional_delete=True,
    listed_digests=(Algorithm.MD5,),
    server_copy=True,
    atomic_move=True,
    max_object_bytes=10 << 40,
    single_put_bytes=PART_SIZE,
    deletes_at_once=MOST_DELETES,
)


class OciEndpoint:
    """A bucket, or the keys of one below `prefix/`. Without a `namespace` the service is asked for it.

    `owner` would mark temporary objects; there are none, since a bucket shows an object when it is whole.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str,
        *,
        namespace: str | None = None,
        remote: Remote,
        owner: str,  # noqa: ARG002 -- a tree needs it, and all are opened alike
        conditions: Conditions = ALL_CONDITIONS,
        uploads: Uploads = FORGETFUL,
    ) -> None:
        self._uploads = uploads
        self._bucket = Bucket(bucket, prefix, namespace, remote, conditions)

    @property
    def root(self) -> str:
        """`oci://bucket@namespace/prefix`, and in which region or where else."""
        return self._bucket.root

    @property
    def capabilities(self) -> Capabilities:
        """What this store can promise: all of it, unless a probe has found that it can't."""
        honoured = self._bucket.honoured
        conditional_write = honoured.put and honoured.complete
        return replace(
            CAPABILITIES,
            max_key_bytes=self._bucket.max_key_bytes,
            conditional_write=conditional_write,
            conditional_delete=honoured.delete,
            # Those two aren't tried. A store that ignores the condition of a write is believed nothing.
            server_copy=conditional_write,
            atomic_move=conditional_write and honoured.delete,
            deletes_at_once=MOST_DELETES if honoured.delete and honoured.batch else 1,
        )

    @property
    def requests(self) -> Mapping[str, int]:
        """Requests sent so far by kind: list, get, head, put, copy, move, delete."""
        return self._bucket.requests.counts()

    def heed(self, pace: Pace) -> None:
        """Let `pace` hear of what fails, and parts go by it."""
        self._bucket.requests.pace = pace

    def refusal(self, key: str) -> str | None:
        """Why this store can't hold `key`."""
        try:
            self._bucket.name(key)
        except Rejected as error:
            return str(error)
        return None

    def overlaps(self, other: Endpoint) -> bool:
        """Whether both are the same bucket of the same service, and one prefix holds the other."""
        if not isinstance(other, OciEndpoint):
            return False
        one, two = self._bucket, other._bucket  # noqa: SLF001 -- of the same class
        return (one.client.service.endpoint_url, one.path) == (
            two.client.service.endpoint_url,
            two.path,
        ) and (one.prefix.startswith(two.prefix) or two.prefix.startswith(one.prefix))

    def probe(self, *, scratch: bool = False) -> Probe:
        """Look whether the bucket is there and can be listed; with `scratch`, what it honours."""
        return probe(self._bucket, scratch=scratch)

    def scan(self, low: str = "", high: str | None = None) -> Iterator[Item]:
        """Yield every key below the prefix with low <= key < high; our own scratch objects are left out."""
        return scan(self._bucket, low, high)

    def outline(self) -> Sequence[Folder]:
        """Nothing is known of a bucket's folders without a listing."""
        return ()

    def stat(self, key: str) -> Entry | None:
        """The entry of `key` as it is now."""
        return self._bucket.stat(key)

    @contextmanager
    def read(self, key: str, *, expect: Entry, start: int = 0, stop: int | None = None) -> Iterator[Source]:
        """Open the version of `key` that `expect` says; it stays whole whatever becomes of the key."""
        reading = open_reading(self._bucket, key, expect, start, stop)
        try:
            yield reading
        finally:
            reading.close()

    def read_many(self, expect: Sequence[Entry]) -> Generator[bytes | None]:
        """Nothing is at hand: each content is a request."""
        yield from (None for _ in expect)

    def write(self, key: str, source: Source, *, expect: Entry | None) -> Entry:
        """Send all of `source`, in one request or in parts by its size."""
        if source.entry.size > PART_SIZE:
            return upload(self._bucket, key, source, expect, self._uploads)
        return write(self._bucket, key, source, expect)

    def copy_from(self, source: Endpoint, key: str, *, entry: Entry, expect: Entry | None) -> Entry | None:
        """Let the service copy, from any bucket that these credentials reach, in this region or another."""
        if not isinstance(source, OciEndpoint) or not self.capabilities.server_copy:
            return None
        return copy(source._bucket, self._bucket, key, entry, expect)  # noqa: SLF001 -- of the same class

    def move(self, key: str, new_key: str, *, expect: Entry) -> Entry:
        """Rename `key`, in one step."""
        return move(self._bucket, key, new_key, expect)

    def abort(self, upload: Upload) -> None:
        """Take back an upload and its parts; one that is gone already is fine."""
        abort(self._bucket, upload)

    def delete(self, key: str, *, expect: Entry) -> None:
        """Delete `key` if it is as expected; in a bucket with versions its content stays behind."""
        delete(self._bucket, key, expect)

    def delete_many(self, expect: Sequence[Entry]) -> frozenset[str]:
        """Delete what is as expected, in one request."""
        return delete_many(self._bucket, expect)

    def flush(self) -> None:
        """Nothing to wait for: the service answers when it has an object for good."""

    def keep(self, key: str, new_key: str, *, expect: Entry) -> Twin:  # noqa: ARG002 -- it is in `expect`
        """Copy the version to its second name, inside the store where that can be."""
        return by_copy.keep(self, new_key, expect)

    def close(self) -> None:
        """Give back connections and threads."""
        self._bucket.close()


if TYPE_CHECKING:
    _: type[Endpoint] = OciEndpoint
