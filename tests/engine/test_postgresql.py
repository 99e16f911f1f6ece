"""The same runs with their state on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bisyncer.errors import Leased
from bisyncer.model import RunOutcome
from bisyncer.state.lease import Lease
from tests.servers import PostgresServer
from tests.world import ONE, TWO, World, carried_out

TEN = {f"k{number}": "x" * (number + 1) for number in range(10)}


@pytest.fixture
def world(tmp_path: Path, postgresql: PostgresServer) -> Iterator[World]:
    made = World(tmp_path, postgresql.create())
    yield made
    made.close()


def test_an_alignment_a_run_a_conflict_and_its_resolution(world: World) -> None:
    world.hooked[ONE].tree = True
    world.align(TEN)
    world.put(ONE, {"k0": "written in one", "new": "n", "e\u0301": "odd", "new\nline": "odd too"})
    world.put(TWO, {"k0": "then in two", "k1": "edited"})
    world.remove(TWO, "k2")
    world.touch(ONE, "k3")

    summary = world.run()

    assert carried_out(summary) == {
        "conflict": 1,
        "copy-to-path1": 1,
        "copy-to-path2": 3,
        "delete-from-path1": 1,
    }
    (conflict,) = world.conflicts()
    world.resolve(conflict.id, "path1")
    assert world.held(ONE) == world.held(TWO)
    assert world.held(ONE)["k0"] == "written in one"
    assert world.plan() == []


def test_two_hosts_on_one_database_never_run_a_pair_at_once(world: World) -> None:
    world.align(TEN)
    other_host = World(world.folder, world.state_url)
    other_host.endpoints, other_host.job = world.endpoints, world.job
    pair = world.state.pair("p")
    assert pair is not None

    with Lease.take(world.state, pair), pytest.raises(Leased):
        other_host.run()

    assert other_host.run().outcome is RunOutcome.SUCCESS
    other_host.state.close()
