"""What a store without links and renames does by a copy: a second name for a version, and a move."""

from __future__ import annotations

from contextlib import suppress

from bisyncer.endpoints.backoff import persist
from bisyncer.endpoints.base import Endpoint, Twin
from bisyncer.errors import Changed, EndpointError, Rejected
from bisyncer.model import Entry


def copied(source: Endpoint, expect: Entry, target: Endpoint, new_key: str) -> Entry:
    """Copy the version `expect` to `new_key`, which must be free: inside the store, else through here.

    Return its entry there. Raises `Changed`, `Transient` or `Rejected`.
    """
    made = target.copy_from(source, new_key, entry=expect, expect=None)
    if made is not None:
        return made
    with source.read(expect.key, expect=expect) as content:
        return target.write(new_key, content, expect=None)


def keep(endpoint: Endpoint, new_key: str, expect: Entry) -> Twin:
    """Give the version `expect` a second name, `new_key`, which must be free."""
    return Twin(expect, copied(endpoint, expect, endpoint, new_key))


def move(endpoint: Endpoint, new_key: str, expect: Entry) -> Entry:
    """Copy the version `expect` to `new_key`, which must be free, then delete it; return the copy.

    A crash in between leaves both. So does whatever leaves it open whether the deletion has happened: of a
    request that arrives twice, the second answer says that the condition failed, and then the copy may be
    all that is left.
    """
    moved = copied(endpoint, expect, endpoint, new_key)
    try:
        endpoint.delete(expect.key, expect=expect)
    except Changed:
        if persist(lambda: endpoint.stat(expect.key)) is not None:
            raise
    except Rejected:
        # It was refused for good, so the copy is one too many; if somebody wrote to it, it stays.
        with suppress(EndpointError):
            endpoint.delete(new_key, expect=moved)
        raise
    return moved
