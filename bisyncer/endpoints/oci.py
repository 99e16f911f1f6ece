"""OciEndpoint: a bucket of OCI Object Storage through its own API, or a prefix of one.

No mutation goes out without a condition on what was seen. The work is done in rooms of their own:

    oci_bucket.py    connections, names, looks       oci_scan.py    listings
    oci_client.py    requests, signed and sent       oci_read.py    bodies, received
    oci_auth.py      the SDK's signers               oci_write.py   bodies, sent in one request
    oci_error.py     what an error means             oci_upload.py  bodies, sent in parts
    oci_object.py    an object's headers             oci_probe.py   what the store honours
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bisyncer.endpoints.base import FORGETFUL, Capabilities, Endpoint, NameRules, Probe, Source, Uploads
from bisyncer.endpoints.body import PART_SIZE
from bisyncer.endpoints.oci_bucket import Bucket, unusable
from bisyncer.endpoints.oci_error import Failed, Kind
from bisyncer.endpoints.oci_probe import try_conditions
from bisyncer.endpoints.oci_read import open_reading
from bisyncer.endpoints.oci_scan import scan
from bisyncer.endpoints.oci_upload import upload
from bisyncer.endpoints.oci_write import write
from bisyncer.endpoints.twin import Twin, twin_by_copy
from bisyncer.errors import Rejected
from bisyncer.model import ALL_CONDITIONS, Conditions, Entry, Item, Remote


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
        owner: str,  # noqa: ARG002
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
        return Capabilities(
            names=NameRules.BUCKET,
            max_key_bytes=self._bucket.max_key_bytes,
            conditional_write=honoured.put and honoured.complete,
            conditional_delete=honoured.delete,
        )

    @property
    def requests(self) -> Mapping[str, int]:
        """Requests sent so far by kind: list, get, head, put, delete."""
        return self._bucket.requests.counts()

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
        bucket = self._bucket
        try:
            bucket.peek()
            if scratch:
                bucket.honoured = try_conditions(bucket)
        except Failed as error:
            raise unusable(bucket.root, error.trouble) from None
        capabilities = self.capabilities
        return Probe(
            mounted=None,
            filesystem="oci",
            conditional_write=capabilities.conditional_write,
            conditional_delete=capabilities.conditional_delete,
            conditions=bucket.honoured,
        )

    def scan(self, low: str = "", high: str | None = None) -> Iterator[Item]:
        """Yield every key below the prefix with low <= key < high; our own scratch objects are left out."""
        return scan(self._bucket, low, high)

    def stat(self, key: str) -> Entry | None:
        """The entry of `key` as it is now."""
        return self._bucket.stat(key)

    @contextmanager
    def read(self, key: str, *, expect: Entry) -> Iterator[Source]:
        """Open the version of `key` that `expect` says; it stays whole whatever becomes of the key."""
        reading = open_reading(self._bucket, key, expect)
        try:
            yield reading
        finally:
            reading.close()

    def write(self, key: str, source: Source, *, expect: Entry | None) -> Entry:
        """Send all of `source`, in one request or in parts by its size."""
        return (upload if source.entry.size > PART_SIZE else write)(self._bucket, key, source, expect)

    def delete(self, key: str, *, expect: Entry) -> None:
        """Delete `key` if it is as expected; in a bucket with versions its content stays behind."""
        bucket = self._bucket
        name = bucket.name(key)
        if not bucket.honoured.delete:
            bucket.look(key, expect)
        condition = bucket.condition(expect, honoured=bucket.honoured.delete)
        try:
            bucket.client.send("delete", "DELETE", bucket.object(name), headers=condition)
        except Failed as error:
            if error.trouble.kind in {Kind.STALE, Kind.MISSING}:
                raise bucket.changed(key, expect) from None
            if error.trouble.kind is Kind.PASSING and bucket.stat(key) is None:
                return  # the answer was lost, or another deletion came first: what was wanted is so
            raise error.trouble.error(bucket.place(key)) from None

    def flush(self) -> None:
        """Nothing to wait for: the service answers when it has an object for good."""

    def keep(self, key: str, new_key: str, *, expect: Entry) -> Twin:  # noqa: ARG002 -- it is in `expect`
        """Copy the version to its second name, inside the store."""
        return twin_by_copy(expect, self.copy_from(self, new_key, entry=expect, expect=None))

    def close(self) -> None:
        """Give back connections and threads."""
        self._bucket.close()


if TYPE_CHECKING:
    _: type[Endpoint] = OciEndpoint
