"""Bodies sent, in one request or in parts by their size."""

from __future__ import annotations

from bisyncer.endpoints.base import Source
from bisyncer.endpoints.body import PART_SIZE
from bisyncer.endpoints.s3_bucket import Bucket
from bisyncer.endpoints.s3_upload import upload
from bisyncer.endpoints.s3_write import write
from bisyncer.errors import Rejected
from bisyncer.model import Entry


def send(bucket: Bucket, key: str, source: Source, expect: Entry | None) -> Entry:
    """Send all of `source`; raises `Changed`, `Transient` or `Rejected`."""
    size = source.entry.size
    if key.endswith("/") and size and bucket.keeps_a_tree:
        raise Rejected(
            f"{bucket.place(key)}: is a directory to this store, which would drop its {size} bytes. Rename "
            "it."
        )
    return (upload if size > PART_SIZE else write)(bucket, key, source, expect)
