"""S3Endpoint: a bucket on Amazon S3 or on any store that speaks its API, or a prefix of one.

Every mutation names what it expects to find; what the store can't test itself is looked at before.
The work is done in rooms of their own:

    s3_bucket.py   connections, names, requests    s3_scan.py    listings
    s3_client.py   boto3's client                  s3_read.py    bodies, received
    s3_direct.py   obstore, for the bodies         s3_send.py    bodies, sent: s3_write.py in one request,
    s3_error.py    what an error means                           s3_upload.py in parts of s3_parts.py
    s3_object.py   an object's headers             s3_copy.py    copies inside the store
    s3_probe.py    what the store honours          s3_delete.py  deletions: one,
    s3_page.py     one page of a listing           s3_batch.py   many in one request
    s3_tree.py     the listing of a store that keeps keys as paths
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
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
from bisyncer.endpoints.clock import clock_skew_ns
from bisyncer.endpoints.outline import Folder
from bisyncer.endpoints.pace import Pace
from bisyncer.endpoints.s3_batch import MOST_DELETES, delete_many
from bisyncer.endpoints.s3_bucket import MAX_NAME_BYTES, Bucket
from bisyncer.endpoints.s3_copy import copy
from bisyncer.endpoints.s3_delete import delete
from bisyncer.endpoints.s3_error import SDK_ERRORS, Kind, Trouble
from bisyncer.endpoints.s3_page import Where, keeps_a_tree
from bisyncer.endpoints.s3_probe import first_page, keeps_versions, remarks, try_conditions
from bisyncer.endpoints.s3_read import open_reading
from bisyncer.endpoints.s3_scan import scan
from bisyncer.endpoints.s3_send import send
from bisyncer.endpoints.s3_upload import abort
from bisyncer.errors import AccessDenied, BisyncerError, Rejected, RootMissing, UsageError
from bisyncer.job import Remote
from bisyncer.model import ALL_CONDITIONS, Algorithm, Conditions, Entry, Item

CAPABILITIES = Capabilities(
    names=NameRules.BUCKET,
    max_key_bytes=MAX_NAME_BYTES,
    conditional_write=True,
    conditional_delete=True,
    listed_digests=(Algorithm.ETAG_MD5,),
    server_copy=True,
    max_object_bytes=5 << 40,  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
    single_put_bytes=PART_SIZE,
    deletes_at_once=MOST_DELETES,
)


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
        owner: str,  # noqa: ARG002 -- a tree needs it, and all are opened alike
        conditions: Conditions = ALL_CONDITIONS,
        uploads: Uploads = FORGETFUL,
    ) -> None:
        self._bucket = Bucket(bucket, prefix, remote, conditions, uploads)
        # Not at the first request: processes that are forked meanwhile have what was read for it, and make
        # theirs while the run begins. What is wrong with the remote is told by that request.
        with suppress(UsageError):
            _ = self._bucket.clients
        self._capabilities: tuple[Conditions, Capabilities] | None = None

    @property
    def root(self) -> str:
        """`s3://bucket/prefix`, and where the store is unless it is Amazon's."""
        return self._bucket.root

    @property
    def capabilities(self) -> Capabilities:
        """What this store can promise: all of it, unless a probe has found that it can't."""
        honoured = self._bucket.honoured
        if self._capabilities is None or self._capabilities[0] is not honoured:
            self._capabilities = honoured, self._capable(honoured)
        return self._capabilities[1]

    def _capable(self, honoured: Conditions) -> Capabilities:
        # What was probed may have been so at another address, and no probe tells one step from two.
        batch = honoured.delete and honoured.batch and self._bucket.server is None
        return replace(
            CAPABILITIES,
            max_key_bytes=self._bucket.max_key_bytes,
            conditional_write=honoured.put and honoured.complete,
            conditional_delete=honoured.delete,
            atomic_parts=not honoured.torn,
            server_copy=honoured.copy and honoured.complete,
            ordered_listing=not self._bucket.is_directory_bucket,
            ranged_listing=not self._bucket.is_directory_bucket,
            deletes_at_once=MOST_DELETES if batch else 1,
        )

    @property
    def requests(self) -> Mapping[str, int]:
        """Requests sent so far by kind: list, get, head, put, copy, delete."""
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
        told: tuple[str, ...] = ()
        try:
            # A listing needs the same right as HeadBucket, and says in its answer what is wrong.
            asked_ns = time.time_ns()
            answer = first_page(bucket)
            headers = answer["ResponseMetadata"]["HTTPHeaders"]
            skew_ns = clock_skew_ns(headers.get("date", ""), asked_ns, time.time_ns())
            if scratch:
                told_tree = keeps_a_tree(headers)
                bucket.honoured = try_conditions(bucket, tree=told_tree)
                bucket.known.tree = told_tree or bucket.honoured.tree
                told = remarks(bucket)
            elif bucket.honoured.versions:  # somebody may have suspended that since
                bucket.honoured = bucket.honoured._replace(versions=keeps_versions(bucket))
        except SDK_ERRORS as error:
            raise _unusable(bucket.root, bucket.judge(error)) from None
        capabilities = self.capabilities
        return Probe(
            mount=None,
            filesystem="s3",
            conditional_write=capabilities.conditional_write,
            conditional_delete=capabilities.conditional_delete,
            conditions=bucket.honoured,
            skew_ns=skew_ns,
            versioned=bucket.honoured.versions,
            remarks=told,
        )

    def scan(self, low: str = "", high: str | None = None) -> Iterator[Item]:
        """Yield every key below the prefix with low <= key < high; our own scratch objects are left out."""
        bucket = self._bucket
        where = Where(
            bucket.prefix,
            bucket.root,
            bucket.ask,
            bucket.judge,
            bucket.known,
            bucket.remote.list_version,
            unordered=bucket.is_directory_bucket,
        )
        return scan(where, low, high)

    def outline(self) -> Sequence[Folder]:
        """Nothing is known of a bucket's folders without a listing."""
        return ()

    def stat(self, key: str) -> Entry | None:
        """The entry of `key` as it is now."""
        return self._bucket.stat(key)

    def read(
        self, key: str, *, expect: Entry, start: int = 0, stop: int | None = None
    ) -> AbstractContextManager[Source]:
        """Open the version of `key` that `expect` says; it stays whole whatever becomes of the key."""
        return open_reading(self._bucket, key, expect, start, stop)

    def read_many(self, expect: Sequence[Entry]) -> Generator[bytes | None]:
        """Nothing is at hand: each content is a request."""
        yield from (None for _ in expect)

    def write(self, key: str, source: Source, *, expect: Entry | None) -> Entry:
        """Send all of `source`, in one request or in parts by its size."""
        return send(self._bucket, key, source, expect)

    def copy_from(self, source: Endpoint, key: str, *, entry: Entry, expect: Entry | None) -> Entry | None:
        """Copy from a bucket of the same store, as one step to who reads `key`."""
        if not isinstance(source, S3Endpoint):
            return None
        return copy(source._bucket, entry, self._bucket, key, expect)  # noqa: SLF001 -- of the same class

    def move(self, key: str, new_key: str, *, expect: Entry) -> Entry:  # noqa: ARG002 -- it is in `expect`
        """Copy inside the store, then delete; a crash in between leaves both keys."""
        return by_copy.move(self, new_key, expect)

    def delete(self, key: str, *, expect: Entry) -> None:
        """Delete `key` if it is as expected; in a bucket with versions its content stays behind."""
        delete(self._bucket, key, expect)

    def delete_many(self, expect: Sequence[Entry]) -> frozenset[str]:
        """Delete what is as expected, in one request."""
        return delete_many(self._bucket, expect)

    def abort(self, upload: Upload) -> None:
        """Take back an upload in parts; one that isn't there any more is fine."""
        abort(self._bucket, upload)

    def flush(self) -> None:
        """Nothing to wait for: a store answers when it has an object for good."""

    def keep(self, key: str, new_key: str, *, expect: Entry) -> Twin:  # noqa: ARG002 -- it is in `expect`
        """Copy the version to its second name, inside the store where that can be."""
        return by_copy.keep(self, new_key, expect)

    def close(self) -> None:
        """Give back connections and threads."""
        self._bucket.close()


def _unusable(root: str, trouble: Trouble) -> BisyncerError:
    sentence = f"{root}: {trouble.sentence}"
    match trouble.kind:
        case Kind.PASSING | Kind.RACE:
            return trouble.passing(root)
        case Kind.DENIED | Kind.KEYS | Kind.CLOCK:
            return AccessDenied(sentence)
        case _:
            return RootMissing(sentence)


if TYPE_CHECKING:
    _: type[Endpoint] = S3Endpoint
