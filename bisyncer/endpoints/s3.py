"""S3Endpoint: a bucket on Amazon S3 or on any store that speaks its API, or a prefix of one.

No mutation goes out without a condition on what was seen. The work is done in rooms of their own:

    s3_bucket.py     connections, names, looks       s3_scan.py    listings
    s3_client.py     boto3's clients                 s3_read.py    bodies, received
    s3_direct.py     obstore, for the bodies         s3_write.py   bodies, sent in one request
    s3_error.py      what an error means             s3_upload.py  bodies, sent in parts by s3_parts.py
    s3_object.py     an object's headers             s3_probe.py   what the store honours
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bisyncer.endpoints.base import FORGETFUL, Capabilities, Endpoint, NameRules, Probe, Source, Uploads
from bisyncer.endpoints.body import PART_SIZE
from bisyncer.endpoints.s3_bucket import Bucket
from bisyncer.endpoints.s3_error import SDK_ERRORS, Kind, Trouble
from bisyncer.endpoints.s3_probe import try_conditions
from bisyncer.endpoints.s3_read import open_reading
from bisyncer.endpoints.s3_scan import Where, scan
from bisyncer.endpoints.s3_upload import upload
from bisyncer.endpoints.s3_write import quoted, write
from bisyncer.endpoints.twin import Twin, twin_by_copy
from bisyncer.errors import AccessDenied, BisyncerError, Rejected, RootMissing, Transient
from bisyncer.model import ALL_CONDITIONS, Conditions, Entry, Item, Remote


class S3Endpoint:
    """A bucket, or the keys of one below `prefix/`.

    `owner` would mark temporary objects; there are none, since a bucket shows an object when it is whole.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str,
        *,
        remote: Remote,
        owner: str,  # noqa: ARG002
        conditions: Conditions = ALL_CONDITIONS,
        uploads: Uploads = FORGETFUL,
    ) -> None:
        self._uploads = uploads
        self._bucket = Bucket(bucket, prefix, remote, conditions)

    @property
    def root(self) -> str:
        """`s3://bucket/prefix`, and where the store is unless it is Amazon's."""
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
        """Whether both are the same bucket of the same store, and one prefix holds the other."""
        if not isinstance(other, S3Endpoint):
            return False
        one, two = self._bucket, other._bucket  # noqa: SLF001 -- of the same class
        return (one.server, one.bucket) == (two.server, two.bucket) and (
            one.prefix.startswith(two.prefix) or two.prefix.startswith(one.prefix)
        )

    def probe(self, *, scratch: bool = False) -> Probe:
        """Look whether the bucket is there and can be listed; with `scratch`, what it honours."""
        bucket = self._bucket
        client = bucket.clients.mutations  # retries nothing, so that a dead address is told at once
        try:
            # A listing needs the same right as HeadBucket, and says in its answer what is wrong.
            client.list_objects_v2(Bucket=bucket.bucket, Prefix=bucket.prefix, MaxKeys=1)
            if scratch:
                bucket.honoured = try_conditions(client, bucket.bucket, bucket.prefix)
        except SDK_ERRORS as error:
            raise _unusable(bucket.root, bucket.judge(error)) from None
        capabilities = self.capabilities
        return Probe(
            mounted=None,
            filesystem="s3",
            conditional_write=capabilities.conditional_write,
            conditional_delete=capabilities.conditional_delete,
            conditions=bucket.honoured,
        )

    def scan(self, low: str = "", high: str | None = None) -> Iterator[Item]:
        """Yield every key below the prefix with low <= key < high; our own scratch objects are left out."""
        bucket = self._bucket
        return scan(bucket.clients.reads, Where(bucket.bucket, bucket.prefix, bucket.root), low, high)

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
        size = source.entry.size
        if key.endswith("/") and size and self._bucket.keeps_a_tree:
            raise Rejected(
                f"{self._bucket.place(key)}: is a directory to this store, which would drop its {size} "
                "bytes. Rename it."
            )
        return (upload if size > PART_SIZE else write)(self._bucket, key, source, expect)

    def delete(self, key: str, *, expect: Entry) -> None:
        """Delete `key` if it is as expected; in a bucket with versions its content stays behind."""
        bucket = self._bucket
        name = bucket.name(key)
        condition = {"IfMatch": quoted(expect.stamp)} if bucket.honoured.delete else {}
        if not condition:
            bucket.look(key, expect)
        try:
            bucket.clients.mutations.delete_object(Bucket=bucket.bucket, Key=name, **condition)
        except SDK_ERRORS as error:
            trouble = bucket.judge(error)
            if trouble.kind in {Kind.STALE, Kind.MISSING}:
                raise bucket.changed(key, expect) from None
            if trouble.kind in {Kind.PASSING, Kind.RACE} and bucket.stat(key) is None:
                return  # the answer was lost, or another deletion came first: what was wanted is so
            raise trouble.error(bucket.place(key)) from None

    def flush(self) -> None:
        """Nothing to wait for: a store answers when it has an object for good."""

    def keep(self, key: str, new_key: str, *, expect: Entry) -> Twin:  # noqa: ARG002 -- it is in `expect`
        """Copy the version to its second name, inside the store."""
        return twin_by_copy(expect, self.copy_from(self, new_key, entry=expect, expect=None))

    def close(self) -> None:
        """Give back connections and threads."""
        self._bucket.close()


def _unusable(root: str, trouble: Trouble) -> BisyncerError:
    sentence = f"{root}: {trouble.sentence}"
    match trouble.kind:
        case Kind.PASSING | Kind.RACE:
            return Transient(sentence)
        case Kind.DENIED | Kind.KEYS | Kind.CLOCK:
            return AccessDenied(sentence)
        case _:
            return RootMissing(sentence)


if TYPE_CHECKING:
    _: type[Endpoint] = S3Endpoint
