"""A state on SQLite and one on PostgreSQL: every test that asks for `url` or `store` runs on both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bisyncer.model import Mode
from bisyncer.state.lease import Lease
from bisyncer.state.records import Pair
from bisyncer.state.store import Store
from tests.servers import PostgresServer
from tests.world import new_state


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty state at the newest schema."""
    if request.param == "sqlite":
        return new_state(tmp_path)
    server: PostgresServer = request.getfixturevalue("postgresql")
    return server.new_state()


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.ns = 1_700_000_000_000_000_000

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened() -> Iterator[Callable[..., Store]]:
    """Open stores that are closed at the end of the test."""
    stores: list[Store] = []

    def open_one(url: str, **more: Callable[[], int]) -> Store:
        stores.append(Store.open(url, **more))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[..., Store], url: str, clock: Clock) -> Store:
    return opened(url, now_ns=clock)


@pytest.fixture
def pair(store: Store) -> Pair:
    return store.add_pair("cms", "file:///content", "s3://bucket/live", Mode.BISYNC)


@pytest.fixture
def lease(store: Store, pair: Pair) -> Iterator[Lease]:
    with Lease.take(store, pair) as held:
        yield held
