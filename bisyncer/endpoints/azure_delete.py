"""A deletion on its condition."""

from __future__ import annotations

from functools import partial

from bisyncer.endpoints.azure_container import Container, condition
from bisyncer.endpoints.azure_error import Failure, Kind
from bisyncer.endpoints.backoff import persist
from bisyncer.model import Entry


def delete(container: Container, key: str, expect: Entry) -> None:
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
