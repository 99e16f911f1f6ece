"""The actions of a plan come to the same end in any order, and with any number of them under way."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from bisyncer.engine import commit
from bisyncer.engine.run import Run
from bisyncer.model import Planned, Verdict
from tests.world import ONE, TWO, World

BASE = {f"d{number % 3}/k{number:02}": "x" * (number + 1) for number in range(30)}


def change(world: World) -> None:
    """A few of everything, on both sides."""
    keys = sorted(BASE)
    world.put(
        ONE, {key: f"edited in one: {key}" for key in keys[:4]} | {"new/1": "in one", "new/2": "in one"}
    )
    world.put(TWO, {key: f"edited in two: {key}" for key in keys[4:8]} | {"new/3": "in two"})
    world.remove(ONE, *keys[8:11])
    world.remove(TWO, *keys[11:14])
    for key in keys[14:17]:
        world.rename(ONE, key, f"moved/{key}")
    for key in keys[17:20]:
        world.put(ONE, {key: f"first in one: {key}"})
        world.put(TWO, {key: f"then in two: {key}"})
    world.put(ONE, {keys[20]: "edited, and deleted there"})
    world.remove(TWO, keys[20])
    for side in (ONE, TWO):
        world.put(side, {keys[21]: "the same in both"})


def test_the_actions_of_a_plan_end_alike_in_any_order_and_at_any_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "first").mkdir()
    first = World(tmp_path / "first")
    first.align(BASE)
    change(first)
    saved = first.saved()
    actions = first.run(transfers=1).actions
    expected, trashed = first.held(ONE), [sorted(first.trash(side).values()) for side in (ONE, TWO)]
    assert first.held(TWO) == expected
    first.close()
    real = commit._rows

    for seed in range(16):
        shuffled = random.Random(seed)

        def rows(run: Run, *verdicts: Verdict, by: random.Random = shuffled) -> Iterator[Planned]:
            found = list(real(run, *verdicts))
            by.shuffle(found)
            return iter(found)

        monkeypatch.setattr(commit, "_rows", rows)
        (tmp_path / str(seed)).mkdir()
        world = World.begun_at(saved, tmp_path / str(seed))
        found = world.run(transfers=shuffled.choice([1, 2, 8, 32])).actions

        assert found == actions, seed
        assert world.held(ONE) == world.held(TWO) == expected, seed
        assert [sorted(world.trash(side).values()) for side in (ONE, TWO)] == trashed, seed
        assert world.plan() == [], seed
        world.close()
