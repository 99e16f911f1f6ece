"""What a store does: tried on scratch objects of our own, which are removed again; and remarks.

Some stores that speak the API of S3 ignore conditions and answer as if they had held. One keeps keys as paths
of directories, and a proxy before it may hide that it is that one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from bisyncer.endpoints.s3_batch import deleted
from bisyncer.endpoints.s3_bucket import Bucket
from bisyncer.endpoints.s3_error import SDK_ERRORS, Kind
from bisyncer.endpoints.s3_page import Where, pages
from bisyncer.endpoints.scratch import scratch_name
from bisyncer.model import Conditions

_WRONG = '"00000000000000000000000000000000"'

# What the store doesn't test, by the field of `Conditions`.
_UNTESTED = {
    "put": "It ignores conditions on objects that are sent in one request.",
    "complete": "It ignores conditions on uploads in parts.",
    "delete": "It ignores conditions on deletions.",
    "copy": "It makes no copies on a condition, so content that is copied or moved goes through this host.",
}


def first_page(bucket: Bucket) -> Any:
    """The answer to a listing of one key, in the version that the store knows; raises `SDK_ERRORS`."""
    version = bucket.remote.list_version
    if version != "1":
        try:
            return bucket.ask("list_objects_v2", Prefix=bucket.prefix, MaxKeys=1)
        except SDK_ERRORS as error:
            if version == "2" or bucket.judge(error).kind is not Kind.UNSUPPORTED:
                raise
    return bucket.ask("list_objects", Prefix=bucket.prefix, MaxKeys=1)


def remarks(bucket: Bucket) -> tuple[str, ...]:
    """What an operator should know about this bucket, as far as it tells."""
    told = [sentence for field, sentence in _UNTESTED.items() if not getattr(bucket.honoured, field)]
    if bucket.keeps_a_tree:
        told.append("It keeps keys as directories (SeaweedFS): some names can't be held.")
    if bucket.honoured.torn:
        told.append(
            "It tests the condition of a body in parts (over 8 MiB), but not in one step with publishing it, "
            "so what somebody writes in that moment can be replaced."
        )
    if bucket.is_directory_bucket:
        told.append("It is a directory bucket, so each listing is read whole and sorted on disk.")
    if bucket.honoured.versions:
        told.append("Versioning is on: versions that are replaced or deleted stay, and are paid for.")
    return tuple(told)


def keeps_versions(bucket: Bucket) -> bool:
    """Whether the bucket says that it keeps what is replaced or deleted."""
    # Not every user may ask, and not every server knows the question.
    with contextlib.suppress(*SDK_ERRORS):
        return bool(bucket.ask("get_bucket_versioning").get("Status") == "Enabled")
    return False


def try_conditions(bucket: Bucket, *, tree: bool) -> Conditions:
    """Try each condition where it must fail, and where it must not; raises `SDK_ERRORS`.

    `tree`: the store says that it keeps keys as paths of directories. One that doesn't say so is tried.
    """
    folder = "" if tree or bucket.server is None else f"{scratch_name()}/"
    with _scratch(bucket, folder) as one, _scratch(bucket) as two:
        put = (
            one.holds("put_object", Body=b"1", IfNoneMatch="*")
            and one.fails("put_object", Body=b"22", IfNoneMatch="*")
            and one.fails("put_object", Body=b"333", IfMatch=_WRONG)
            and one.holds("put_object", Body=b"4444", IfMatch=one.etag())
        )
        if not put:
            one.ask("put_object", Body=b"1")
        complete = one.completes(IfNoneMatch="*") and one.completes(IfMatch=_WRONG)
        if not complete:
            one.ask("put_object", Body=b"1")
        hidden = not tree and bool(folder) and one.is_passed_over()
        tree = tree or hidden
        source = {"CopySource": {"Bucket": bucket.bucket, "Key": one.name}}
        right, wrong = ({**source, "CopySourceIfMatch": etag} for etag in (one.etag(), _WRONG))
        # SeaweedFS tests the condition on a target, but not in one step with writes: of 600 copies that met a
        # write on the same condition, both were carried out 23 times (4.48).
        copy = not tree and (
            two.fails("copy_object", IfNoneMatch="*", **wrong)
            and two.holds("copy_object", IfNoneMatch="*", **right)
            and two.fails("copy_object", IfNoneMatch="*", **right)
            and two.fails("copy_object", IfMatch=_WRONG, **right)
            and two.holds("copy_object", IfMatch=two.etag(), MetadataDirective="REPLACE", **right)
        )
        # Another store may test the ETags of a batch, and not in one step with the deletions, which no probe
        # can tell: SeaweedFS lost 80 of 9,600 writes by that (4.48).
        batch = bucket.server is None and two.is_deleted_in_a_batch()
        delete = one.fails("delete_object", IfMatch=_WRONG) and one.holds("delete_object", IfMatch=one.etag())
    # Measured with SeaweedFS 4.48, as above.
    torn = complete and tree
    return Conditions(put, complete, delete, copy, keeps_versions(bucket), torn, batch=batch, tree=hidden)


@contextlib.contextmanager
def _scratch(bucket: Bucket, folder: str = "") -> Iterator[_Scratch]:
    """An object of our own, which is gone afterwards, and with it the folder that it lies in."""
    scratch = _Scratch(bucket, folder)
    try:
        yield scratch
    finally:
        with contextlib.suppress(*SDK_ERRORS):
            scratch.ask("delete_object")
        if folder:
            with contextlib.suppress(*SDK_ERRORS):  # SeaweedFS keeps a directory that has become empty
                bucket.ask("delete_object", Key=bucket.prefix + folder)


class _Scratch:
    def __init__(self, bucket: Bucket, folder: str) -> None:
        self._bucket = bucket
        self._folder = bucket.prefix + folder
        self.name = self._folder + scratch_name()

    def ask(self, operation: str, **arguments: object) -> Any:
        return self._bucket.ask(operation, Key=self.name, **arguments)

    def etag(self) -> str:
        etag: str = self.ask("head_object")["ETag"]
        return etag

    def holds(self, operation: str, **arguments: object) -> bool:
        """Whether a request whose condition is met is carried out."""
        return self._answer(operation, **arguments) is None

    def fails(self, operation: str, **arguments: object) -> bool:
        """Whether a request whose condition is not met is refused for that."""
        return self._answer(operation, **arguments) in {Kind.STALE, Kind.RACE}

    def is_passed_over(self) -> bool:
        """Whether a listing that begins at a name before that of its folder and '/' is without it.

        So it is where a store keeps keys as paths of directories: 'x' itself is a name there, which sorts
        before 'x.' with all that lies in it. A range of such a store would lack keys, and be in order.
        """
        at = f"{self._folder.removesuffix('/')}."
        return not self._is_listed(at) and self._is_listed() and not self._is_listed(at)

    def _is_listed(self, after: str = "") -> bool:
        bucket = self._bucket
        folder = self._folder.removesuffix("/")
        where = Where(folder, bucket.root, bucket.ask, bucket.judge, bucket.known, bucket.remote.list_version)
        return any(row.key == self.name for page, _ in pages(where, after, lambda: True) for row in page.rows)

    def is_deleted_in_a_batch(self) -> bool:
        """Whether the store deletes it in a request of many where its condition is met, and only there."""
        self.ask("put_object", Body=b"1")
        try:
            return not deleted(self._bucket, {self.name: _WRONG}) and bool(
                deleted(self._bucket, {self.name: self.etag()})
            )
        except ClientError as error:
            if self._bucket.judge(error).kind is Kind.PASSING:
                raise
            return False

    def completes(self, **condition: str) -> bool:
        """Whether an upload in parts isn't published over the object on a condition that fails."""
        upload = {"UploadId": self.ask("create_multipart_upload")["UploadId"]}
        try:
            part = self.ask("upload_part", PartNumber=1, Body=b"55555", **upload)
            parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
            return self.fails("complete_multipart_upload", MultipartUpload=parts, **upload, **condition)
        finally:
            with contextlib.suppress(*SDK_ERRORS):  # it is gone where it was published
                self.ask("abort_multipart_upload", **upload)

    def _answer(self, operation: str, **arguments: object) -> Kind | None:
        """None where a request was carried out, else how its condition was answered."""
        try:
            self.ask(operation, **arguments)
        except ClientError as error:
            kind = self._bucket.judge(error).kind
            if kind in {Kind.STALE, Kind.RACE, Kind.UNSUPPORTED}:
                return kind
            raise
        return None
