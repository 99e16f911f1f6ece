"""A second name for a version in a bucket, which has no links."""

from __future__ import annotations

from bisyncer.endpoints.base import Endpoint, Twin
from bisyncer.model import Entry


def twin(endpoint: Endpoint, new_key: str, expect: Entry) -> Twin:
    """Copy the version `expect` to `new_key`, which must be free: inside the store, else through here."""
    copy = endpoint.copy_from(endpoint, new_key, entry=expect, expect=None)
    if copy is None:
        with endpoint.read(expect.key, expect=expect) as source:
            copy = endpoint.write(new_key, source, expect=None)
    return Twin(expect, copy)
