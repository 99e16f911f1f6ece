"""A pair of which one side, or one of two, is a container of Azure."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bisyncer.core.trash import in_trash
from bisyncer.endpoints.base import Endpoint
from bisyncer.engine import pairing, session
from bisyncer.model import Entry, Job, Side, Summary
from bisyncer.state.store import Store
from tests.endpoints.contract import put
from tests.servers import BUCKET, AzureServer, S3Server
from tests.world import Heard, carried_out

ONE, TWO = Side.PATH1, Side.PATH2


class _Pair:
    """A pair with a state of its own; people write through endpoints of theirs."""

    def __init__(self, job: Job, state: Store) -> None:
        self._job = job
        self._state = state
        self.endpoints: Mapping[Side, Endpoint] = pairing.open_pair(job, state)
        self.people: Mapping[Side, Endpoint] = pairing.open_pair(job, state)

    def close(self) -> None:
        for endpoint in (*self.endpoints.values(), *self.people.values()):
            endpoint.close()

    def init(self) -> tuple[str, ...]:
        return pairing.init(self._job, self.endpoints, self._state).warnings

    def run(self, **changes: Any) -> Summary:
        job = replace(self._job, **changes)
        return session.run(job, self.endpoints, self._state, Heard(), stop=threading.Event())

    def put(self, side: Side, key: str, data: bytes) -> None:
        put(self.people[side], key, data, self.people[side].stat(key))

    def remove(self, side: Side, key: str) -> None:
        entry = self.people[side].stat(key)
        assert entry is not None
        self.people[side].delete(key, expect=entry)

    def held(self, side: Side) -> dict[str, bytes]:
        found = {}
        for item in self.people[side].scan():
            assert isinstance(item, Entry)
            if in_trash(item.key):
                continue
            with self.people[side].read(item.key, expect=item) as source:
                found[item.key] = source.read()
        return found


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
    yield store
    store.close()


@pytest.fixture(params=["tree", "s3"])
def pair(
    request: pytest.FixtureRequest, tmp_path: Path, state: Store, azurite: AzureServer
) -> Iterator[_Pair]:
    place = uuid.uuid4().hex
    remotes = [azurite.remote()]
    if request.param == "tree":
        (tmp_path / "tree").mkdir()
        path1 = str(tmp_path / "tree")
    else:
        seaweed: S3Server = request.getfixturevalue("seaweed")
        remotes.append(seaweed.remote())
        path1 = f"seaweed:{BUCKET}/{place}"
    made = _Pair(Job("p", path1, f"azurite:{BUCKET}/{place}", remotes=tuple(remotes), transfers=4), state)
    yield made
    made.close()


def test_both_sides_become_equal_and_an_unchanged_pair_costs_listings_only(pair: _Pair) -> None:
    pair.put(ONE, "both", b"same")
    pair.put(TWO, "both", b"same")
    pair.put(ONE, "a/one \u00e9", b"from one")
    pair.put(ONE, "large", b"x" * 9_000_000)
    pair.put(TWO, "b/two", b"from two")
    assert pair.init() == ()

    first = pair.run(resync=True)

    assert carried_out(first) == {"copy-to-path1": 1, "copy-to-path2": 2, "record": 1}
    assert pair.held(ONE) == pair.held(TWO)
    assert len(pair.held(TWO)) == 4

    before = dict(pair.endpoints[TWO].requests)
    second = pair.run()
    after = pair.endpoints[TWO].requests

    assert carried_out(second) == {}
    assert second.unchanged == 4
    assert {kind: after[kind] - before.get(kind, 0) for kind in after if after[kind] != before.get(kind)} == {
        "list": 2  # the probe and the page
    }


def test_changes_travel_both_ways_and_a_conflict_keeps_both_versions(pair: _Pair) -> None:
    for key in ("changed1", "changed2", "deleted1", "deleted2", "conflict", *"uvwxyz"):
        pair.put(ONE, key, key.encode())
    pair.init()
    pair.run(resync=True)

    pair.put(ONE, "changed1", b"by one")
    pair.put(TWO, "changed2", b"by two")
    pair.remove(ONE, "deleted1")
    pair.remove(TWO, "deleted2")
    pair.put(ONE, "conflict", b"one's version")
    pair.put(TWO, "conflict", b"the version of two")
    summary = pair.run()

    held = pair.held(TWO)
    assert pair.held(ONE) == held
    assert held["changed1"] == b"by one"
    assert held["changed2"] == b"by two"
    assert not {"deleted1", "deleted2"} & held.keys()
    assert len(summary.conflicts) == 1
    versions = {data for key, data in held.items() if key.startswith("conflict")}
    assert versions == {b"one's version", b"the version of two"}
    assert carried_out(pair.run()) == {}
