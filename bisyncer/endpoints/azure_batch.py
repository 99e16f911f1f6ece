"""Many deletions in one request: each is a request of its own inside of it, on its own condition.

https://learn.microsoft.com/rest/api/storageservices/blob-batch
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from bisyncer.endpoints.azure_container import Container, condition
from bisyncer.endpoints.azure_error import Failure
from bisyncer.model import Entry

MOST_DELETES: Final = 256  # in a body of 4 MiB at the most, which so many names and signatures can't reach

_BOUNDARY: Final = re.compile(r'boundary="?([^";]+)')
_DELETED: Final = re.compile(
    rb"\r?\n(?:[^\r\n]+\r?\n)*?Content-ID: *(\d+) *\r?\n(?:[^\r\n]+\r?\n)*\r?\nHTTP/1\.[01] 202 ",
    re.IGNORECASE,
)


def delete_many(container: Container, expect: Sequence[Entry]) -> frozenset[str]:
    """Delete the versions `expect`; return the keys that the store says it has deleted.

    One with snapshots stays, as for a deletion by itself. Raises `Transient` or `Rejected`.
    """
    names = [container.name(entry.key) for entry in expect]
    try:
        gone = deleted(
            container, [(name, condition(entry)) for name, entry in zip(names, expect, strict=True)]
        )
    except Failure as error:
        raise error.trouble.error(container.root) from None
    return frozenset(expect[number].key for number in gone)


def deleted(container: Container, blobs: Sequence[tuple[str, Mapping[str, str]]]) -> frozenset[int]:
    """Delete blobs, each by its name and condition; return the numbers of those that are said to be deleted.

    Raises `Failure`.
    """
    answer = container.client.ask_many("DELETE", blobs, kind="delete")
    boundary = _BOUNDARY.search(answer.headers.get("Content-Type", ""))
    if boundary is None:
        return frozenset()
    parts = answer.body.split(f"--{boundary[1]}".encode())
    found = frozenset(int(told[1]) for part in parts if (told := _DELETED.match(part)))
    return found & frozenset(range(len(blobs)))
