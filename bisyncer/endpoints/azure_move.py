"""Deletions on a condition; and moves, which are a copy to a free name and then such a deletion."""

from __future__ import annotations

from contextlib import closing, suppress
from functools import partial

from bisyncer.endpoints.azure_container import Container, condition
from bisyncer.endpoints.azure_copy import copy
from bisyncer.endpoints.azure_error import Failure, Kind
from bisyncer.endpoints.azure_read import Reading
from bisyncer.endpoints.azure_write import write
from bisyncer.endpoints.backoff import persist
from bisyncer.errors import Changed, EndpointError, Rejected
from bisyncer.model import Entry


def remove(container: Container, key: str, expect: Entry) -> None:
    """Delete the version `expect` of `key`; one with snapshots stays, since they would go with it.

    Raises `Changed`, `Transient` or `Rejected`.
    """
    name = container.name(key)
    if not container.honoured.delete:
        container.look(key, expect)
    headers = condition(expect, honoured=container.honoured.delete)
    try:
        container.client.ask("DELETE", name, kind="delete", headers=headers)
    except Failure as error:
        trouble = error.trouble
        if trouble.kind in {Kind.STALE, Kind.MISSING}:
            raise container.changed(key, expect) from None
        if trouble.kind is Kind.PASSING and persist(partial(container.stat, key)) is None:
            return  # the answer was lost, or another deletion came first: what was wanted is so
        raise trouble.error(container.place(key)) from None


def move(container: Container, key: str, new_key: str, expect: Entry) -> Entry:
    """Copy the version `expect` of `key` to `new_key`, which must be free, then delete it; return the copy.

    A crash in between leaves both. So does whatever leaves it open whether the deletion has happened: of a
    request that arrives twice, the second answer says that the condition failed, and then the copy may be
    all that is left.
    """
    moved = copy(container, expect, container, new_key, None)
    if moved is None:  # through here
        with closing(Reading(container, key, expect, 0, None)) as source:
            moved = write(container, new_key, source, None)
    try:
        remove(container, key, expect)
    except Changed:
        if persist(partial(container.stat, key)) is not None:
            raise
    except Rejected:
        # It was refused for good, so the copy is one too many; if somebody wrote to it, it stays.
        with suppress(EndpointError):
            remove(container, new_key, moved)
        raise
    return moved
