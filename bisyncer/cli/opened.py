"""What a command works with, opened when it is needed and closed at its end.

The rooms behind it are imported here and late: they bring SQLAlchemy and the stores' SDKs, which
`bisyncer --help` has no use for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bisyncer.config.config import Config
from bisyncer.endpoints.base import Endpoint
from bisyncer.errors import UsageError
from bisyncer.job import Job
from bisyncer.model import Side

if TYPE_CHECKING:
    from bisyncer.state.store import Store


@contextmanager
def opened_store(config: Config) -> Iterator[Store]:
    """Open the state that the config names."""
    from bisyncer.state.store import Store  # noqa: PLC0415 -- see the module

    store = Store.open(config.state)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def opened_pair(job: Job, store: Store, *, leased: bool = True) -> Iterator[dict[Side, Endpoint]]:
    """Open both roots of a pair, as `open_pair` does."""
    from bisyncer.engine.pairing import open_pair  # noqa: PLC0415 -- see the module

    endpoints = open_pair(job, store, leased=leased)
    try:
        yield endpoints
    finally:
        for endpoint in endpoints.values():
            endpoint.close()


def known_pair(name: str | None, config: Config, store: Store) -> str | None:
    """The name again; raises `UsageError` where neither the config nor the state knows such a pair."""
    if name is None or name in config.pairs or store.pair(name) is not None:
        return name
    names = sorted({*config.pairs, *(pair.name for pair in store.pairs())})
    raise UsageError(f"There is no pair '{name}' (there: {', '.join(names) or 'none'}). Name one of these.")
