"""A state that is damaged, cut short or gone deletes nothing: it is refused, or read for what it can be."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bisyncer.errors import BisyncerError, NeedsResync, StateUnusable
from bisyncer.model import Side
from tests.world import ONE, TWO, Saved, World

FILES = {f"d{number % 7}/f{number:03}": "x" * (number + 1) for number in range(60)}
NEW = {"d1/new": "in one", "other": "in one too"}


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    """A world whose sides were aligned; then somebody wrote two files on path1."""
    folder = tmp_path / "aligned"
    folder.mkdir()
    world = World(folder)
    world.align(FILES)
    world.put(ONE, NEW)
    found = world.saved()
    world.close()
    return found


def runs(saved: Saved, folder: Path, states: Iterator[bytes]) -> Iterator[BisyncerError | None]:
    """Run with each of these states; what a run refused, once both sides still hold all that they held."""
    for number, state in enumerate(states):
        here = folder / str(number)
        here.mkdir()
        damaged = here / "damaged.db"
        damaged.write_bytes(state)
        refused = None
        world = None
        try:
            world = World.begun_at(saved._replace(state=damaged), here)
            world.run()
        except BisyncerError as error:
            refused = error
        if world is not None:
            held = {side: world.held(side) for side in Side}
            assert held[ONE].items() >= (FILES | NEW).items(), number
            assert held[TWO].items() >= FILES.items(), number
            world.close()
        yield refused


def test_whichever_byte_of_the_state_is_another_no_side_loses_a_key(saved: Saved, tmp_path: Path) -> None:
    whole = saved.state.read_bytes()
    chosen = random.Random(1)
    told = [at for at, byte in enumerate(whole) if byte]  # the rest is space that nothing uses

    def flipped() -> Iterator[bytes]:
        for _ in range(120):
            at, bit = chosen.choice(told), chosen.randrange(8)
            print(f"byte {at}, bit {bit}")  # of a failure: what the state holds differs from run to run
            state = bytearray(whole)
            state[at] ^= 1 << bit
            yield bytes(state)

    refused = list(runs(saved, tmp_path, flipped()))

    assert any(isinstance(error, StateUnusable) for error in refused)
    assert any(error is None for error in refused)


@pytest.mark.parametrize(
    "column",
    [
        *(f"lease.{name}" for name in ("token", "holder", "taken_ns", "heartbeat_ns", "expires_ns")),
        *(f"seal.{name}" for name in ("number", "pending", "key", "size", "mtime_ns", "stamp")),
        *(f"pair.{name}" for name in ("owner", "path1", "mode", "aligned_ns", "path1_conditions")),
        *(f"run.{name}" for name in ("started_ns", "ended_ns", "outcome", "summary")),
    ],
)
@pytest.mark.parametrize("value", ["x'01'", "'?'", "1.5"])
def test_a_column_that_holds_another_kind_of_value_is_refused_or_read_and_deletes_nothing(
    column: str, value: str, saved: Saved, tmp_path: Path
) -> None:
    table, name = column.split(".")
    with closing(sqlite3.connect(saved.state)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(f'UPDATE {table} SET "{name}" = {value}')
        connection.commit()

    (refused,) = runs(saved, tmp_path, iter([saved.state.read_bytes()]))

    assert refused is None or refused.exit_code == 2


def test_a_state_that_is_cut_short_or_gone_is_refused(saved: Saved, tmp_path: Path) -> None:
    whole = saved.state.read_bytes()
    pages = range(4096, len(whole), 4096)

    refused = list(runs(saved, tmp_path, (whole[:size] for size in (*pages, 0))))

    assert all(isinstance(error, StateUnusable) for error in refused[:-1])
    assert isinstance(refused[-1], NeedsResync)
