"""A pair that is planned in many shards ends as one that is planned in one piece."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bisyncer.engine import lanes
from bisyncer.engine.lanes import Processes
from bisyncer.engine.shards import WHOLE, Shard, cut
from bisyncer.model import RunOutcome
from bisyncer.report.events import Scanned
from bisyncer.state.actions import first_of
from tests.pair import Pair, paired
from tests.places import Tree
from tests.world import ONE, TWO, World, carried_out

MANY = {
    f"{folder}{name}": f"{folder} {name} " * 3
    for folder in ("", "k/", "k/m/", "k.x/", "z/")
    for name in "abcdefgh"
}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bisyncer.engine.planning.KEYS", 3)


def edit(world: World) -> None:
    """Change something in every part, on both sides."""
    world.put(ONE, {"a": "changed on one", "k/m/h": "changed", "new": "n", "z/z": "last"})
    world.put(TWO, {"k/b": "changed on two", "a": "and on two", "k.x/new": "n"})
    world.remove(ONE, "k/c", "z/h")
    world.remove(TWO, "k/m/a", "b")


@given(st.sets(st.text(min_size=1), max_size=9), st.text(min_size=1), st.text(min_size=1))
def test_the_shards_of_a_range_are_the_range_and_no_key_is_in_two(
    keys: set[str], low: str, high: str
) -> None:
    inside = sorted(key for key in keys if low < key < high)

    shards = list(cut(Shard(low, high), inside))

    assert [shards[0].low, *(shard.high for shard in shards)] == [
        low,
        *(shard.low for shard in shards[1:]),
        high,
    ]
    assert list(cut(WHOLE[0], [])) == [WHOLE[0]]


def test_a_plan_in_shards_is_the_plan_of_one_piece(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.align(MANY)
    edit(world)
    shards = world.plan()

    monkeypatch.setattr("bisyncer.engine.planning.KEYS", 10_000)

    assert shards == world.plan()
    assert len(shards) == 10


def test_a_run_in_shards_does_all_and_the_next_one_has_nothing_to_do(world: World) -> None:
    world.align(MANY)
    edit(world)

    first = world.run()
    second = world.run()

    assert sum(carried_out(first).values()) == 10
    assert carried_out(second) == {}
    assert second.unchanged == second.scanned[ONE] == second.scanned[TWO] == len(world.held(ONE))
    assert world.held(ONE) == world.held(TWO)


def test_each_shard_is_listed_from_its_first_key_to_its_last_and_every_key_once(world: World) -> None:
    world.align(MANY)
    listed: list[str] = []
    world.hooked[TWO].before = lambda method, key: listed.append(key) if method == "scan" and key else None

    world.run()

    assert sorted(listed) == sorted(MANY)


def test_the_keys_of_all_shards_are_told_as_one_number_that_grows(world: World) -> None:
    world.align(MANY)
    world.heard.events.clear()

    world.run()

    told = [each.keys for each in world.heard.events if isinstance(each, Scanned) and each.side is ONE]
    assert told == sorted(told)
    assert told[-1] == len(MANY)


def test_a_shard_that_fails_is_planned_again_alone(world: World) -> None:
    world.align(MANY)
    edit(world)
    failed: list[str] = []

    def fail_once(method: str, key: str) -> None:
        if method == "scan" and key == "k/m/d" and not failed:
            failed.append(key)
            raise RuntimeError("a shard's own trouble")

    world.hooked[TWO].before = fail_once
    summary = world.run()

    assert failed
    assert summary.outcome is RunOutcome.SUCCESS
    assert sum(carried_out(summary).values()) == 10


def test_a_shard_that_fails_twice_fails_the_run_and_nothing_is_changed(world: World) -> None:
    world.align(MANY)
    edit(world)
    before = world.held(ONE), world.held(TWO)

    def fail(method: str, key: str) -> None:
        if method == "scan" and key == "k/m/d":
            raise RuntimeError("for good")

    world.hooked[TWO].before = fail
    with pytest.raises(RuntimeError, match="for good"):
        world.run()

    assert (world.held(ONE), world.held(TWO)) == before


def test_a_place_that_reaches_into_several_shards_is_told_once(tmp_path: Path) -> None:
    with paired(tmp_path, Tree(tmp_path / "one"), Tree(tmp_path / "two")) as pair:
        plant(tmp_path / "one/tree", MANY)
        pair.init()
        pair.run(resync=True)
        (tmp_path / "one/tree/k/m").rename(tmp_path / "away")
        (tmp_path / "one/tree/k/m").symlink_to(tmp_path / "away")

        summary = pair.run()

    assert summary.skipped == 1


def test_actions_of_a_shard_that_is_planned_again_are_replaced(world: World) -> None:
    run = world.align({"a": "1"}).run
    some = [planned.action for planned in world.state.actions.planned(run)]

    world.state.actions.spool(run, some, first_of(7))
    world.state.actions.drop_piece(run, 7)

    assert [each.action for each in world.state.actions.planned(run)] == some


def plant(root: Path, contents: dict[str, str]) -> None:
    for key, text in contents.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """Two aligned trees, of which runs are planned in two processes."""
    monkeypatch.setattr(lanes, "how_many", lambda _keys: 2)
    with paired(tmp_path, Tree(tmp_path / "one"), Tree(tmp_path / "two")) as pair:
        plant(tmp_path / "one/tree", MANY)
        pair.init()
        pair.run(resync=True)
        yield pair


def test_processes_plan_what_one_plans_and_are_gone_when_the_run_is(trees: Pair, tmp_path: Path) -> None:
    one, two = tmp_path / "one/tree", tmp_path / "two/tree"
    plant(one, {"a": "changed on one", "new": "n"})
    plant(two, {"k/b": "changed on two", "z/z": "last"})
    (one / "k/c").unlink()
    seen: list[int] = []
    started = Processes.__init__

    def starting(self: Processes, *arguments: object) -> None:
        started(self, *arguments)  # type: ignore[arg-type]
        seen.extend(self.pool._processes)  # type: ignore[attr-defined]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Processes, "__init__", starting)
        summary = trees.run()
        again = trees.run()

    assert len(seen) == 4
    assert not any(Path(f"/proc/{pid}").exists() for pid in seen)
    assert sum(carried_out(summary).values()) == 5
    assert summary.scanned == {ONE: len(MANY), TWO: len(MANY) + 1}
    assert carried_out(again) == {}


def test_a_process_that_is_killed_leaves_its_shards_to_the_others(
    trees: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path / "one/tree", {"a": "changed", "k/m/f": "changed"})

    def killed(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    parent = os.getpid()
    planned = lanes._on_lane
    monkeypatch.setattr(
        lanes, "_on_lane", lambda *given: planned(*given) if os.getpid() == parent else killed()
    )
    summary = trees.run()

    assert summary.outcome is RunOutcome.SUCCESS
    assert sum(carried_out(summary).values()) == 2


def test_what_processes_find_is_told_and_counted_by_the_run(trees: Pair, tmp_path: Path) -> None:
    (tmp_path / "one/tree/link").symlink_to("a")
    (tmp_path / "one/tree/k/skip-me").write_text("")
    plant(tmp_path / "one/tree", {"k/a": "changed, and left alone"})

    summary = trees.run(exclude_if_present="skip-me")

    assert summary.skipped == 1
    assert (tmp_path / "two/tree/k/a").read_text() != "changed, and left alone"
