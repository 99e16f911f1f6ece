"""Runs that look at a part of a pair: below a prefix, or at named keys."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from bisyncer.endpoints.local import LocalEndpoint
from bisyncer.engine.shards import at_or_below
from bisyncer.errors import Transient
from bisyncer.job import Scope
from bisyncer.model import Item, Problem, RunOutcome, Side, Unreadable
from tests.world import ONE, TWO, World, carried_out

TREE = {
    "a": "1",
    "d": "22",
    "d-x": "333",
    "d.x": "4444",
    "d/a": "55555",
    "d/s/b": "666666",
    "d0": "7",
    "e": "8",
}
MANY = {f"d/k{number:02}": "x" * (number + 1) for number in range(12)}


def prefix(key: str) -> Scope:
    return Scope(prefix=key)


def named(*keys: str) -> Scope:
    return Scope(keys=keys)


def edit_all(world: World, side: Side) -> None:
    world.put(side, {key: f"edited {text}" for key, text in world.held(side).items()})


def calls(world: World) -> list[str]:
    heard: list[str] = []
    for side in Side:
        world.hooked[side].before = lambda method, key, side=side: heard.append(f"{side} {method} {key}")  # type: ignore[misc]
    return heard


def test_a_prefix_is_that_key_and_those_below_it() -> None:
    inside = [key for key in TREE if any(s.low <= key < cast("str", s.high) for s in at_or_below("d"))]
    assert inside == ["d", "d/a", "d/s/b"]


def test_only_what_is_at_or_below_a_prefix_is_planned_and_carried_out(world: World) -> None:
    world.align(TREE)
    edit_all(world, ONE)

    summary = world.run(scope=prefix("d"))

    assert carried_out(summary) == {"copy-to-path2": 3}
    assert world.held(TWO) == TREE | {key: f"edited {TREE[key]}" for key in ("d", "d/a", "d/s/b")}
    assert (summary.scanned, summary.scope) == ({ONE: 3, TWO: 3}, "prefix d")


def test_the_whole_run_after_it_does_the_rest_and_finds_the_part_done(world: World) -> None:
    world.align(TREE)
    edit_all(world, ONE)
    world.run(scope=prefix("d"))

    assert carried_out(world.run()) == {"copy-to-path2": len(TREE) - 3}
    assert world.held(ONE) == world.held(TWO)
    assert world.plan() == []


def test_deletions_below_a_prefix_follow_and_ancestors_outside_of_it_stay(world: World) -> None:
    world.align(TREE)
    world.remove(ONE, "d/a", "e")

    assert carried_out(world.run(scope=prefix("d"))) == {"delete-from-path2": 1}
    assert "e" in world.held(TWO)
    assert world.plan() == ["delete-from-path2 e (deleted / unchanged)"]


def test_gates_look_at_the_keys_of_the_prefix(world: World) -> None:
    world.align(MANY | {f"o{number:03}": "y" * 100 for number in range(100)})
    world.remove(ONE, *MANY)

    summary = world.run(scope=prefix("d"))

    assert summary.outcome is RunOutcome.HALTED
    assert [halt.gate for halt in summary.halts] == ["emptied", "max-delete"]
    assert set(MANY) <= set(world.held(TWO))


def test_a_run_of_a_part_is_no_good_run_of_the_pair_and_ends_no_problem_outside(world: World) -> None:
    world.align(TREE)
    pair = world.state.pair("p")
    assert pair is not None
    good = world.state.runs.last_good(pair.id)
    with_problem = world.run(scope=Scope(keys=(), refused=(Problem("odd", "is no key."),)))
    assert (with_problem.outcome, with_problem.exit_code) == (RunOutcome.UNFINISHED, 3)

    world.run(scope=prefix("d"))

    assert world.state.runs.last_good(pair.id) == good == world.state.runs.last(pair.id)
    assert [each.key for each in world.state.problems.told("p")] == ["odd"]
    world.run()
    assert world.state.problems.told("p") == []


def test_a_place_that_hides_the_prefix_holds_its_keys_and_is_one_problem(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align(TREE)
    place: list[Item] = [Unreadable("d/", "permission denied.")]
    monkeypatch.setattr(world.hooked[ONE].inner, "scan", lambda _low="", _high=None: iter(place))

    summary = world.run(scope=prefix("d/s"))

    assert carried_out(summary) == {"hold": 1}
    assert summary.problem_count == 1
    assert world.held(TWO) == TREE


def test_named_keys_alone_are_looked_at_and_nothing_is_listed(world: World) -> None:
    world.align(TREE)
    edit_all(world, ONE)
    heard = calls(world)

    summary = world.run(scope=named("e", "a"))

    assert carried_out(summary) == {"copy-to-path2": 2}
    assert not [each for each in heard if " scan " in each]
    assert world.held(TWO)["a"] == "edited 1"
    assert world.held(TWO)["d0"] == "7"
    assert (summary.scope, summary.scanned) == ("2 named", {ONE: 2, TWO: 2})


def test_every_kind_of_change_of_a_named_key_is_judged_as_in_a_whole_run(world: World) -> None:
    world.align(TREE)
    world.remove(ONE, "a", "d")
    world.remove(TWO, "d")
    world.put(ONE, {"e": "one", "new": "n"})
    world.put(TWO, {"e": "the other", "d0": "edited on two"})
    whole = world.plan()

    assert world.plan(scope=named("a", "d", "d0", "e", "new")) == whole
    assert len(whole) == 5
    world.run(scope=named("new", "a", "d", "d0", "e"))
    assert world.plan() == []
    assert world.held(ONE) == world.held(TWO)


@pytest.mark.parametrize("name", ["d/", "d", "d/s"])
def test_a_named_folder_stands_for_the_keys_below_it(world: World, name: str) -> None:
    below = {f"d/s/{key}": text for key, text in TREE.items()}
    world.align(below | {"d.x": "1"})
    edit_all(world, TWO)

    assert carried_out(world.run(scope=named(name, "d/s/a"))) == {"copy-to-path1": len(below)}
    assert world.held(ONE)["d.x"] == "1"


def test_a_folder_that_was_deleted_is_followed(world: World) -> None:
    world.align(TREE | {f"o{number}": "y" * 9 for number in range(20)})
    world.remove(ONE, "d/a", "d/s/b", "d")

    assert carried_out(world.run(scope=named("d/", "d"))) == {"delete-from-path2": 3}


def test_a_deletion_is_held_against_all_that_the_pair_holds(world: World) -> None:
    world.align(MANY | {f"o{number:03}": "y" * 100 for number in range(100)})
    world.remove(ONE, *MANY)
    assert carried_out(world.run(scope=named(*MANY))) == {"delete-from-path2": len(MANY)}


def test_too_many_deletions_of_named_keys_are_halted(world: World) -> None:
    world.align(MANY)
    world.remove(ONE, *list(MANY)[:7])
    summary = world.run(scope=named(*list(MANY)[:7]))
    assert [halt.gate for halt in summary.halts] == ["max-delete"]
    assert world.held(TWO) == MANY


def test_a_side_that_holds_nothing_at_all_is_noticed_though_it_is_not_listed(world: World) -> None:
    world.align(MANY)
    world.remove(ONE, *MANY)
    summary = world.run(scope=named("d/k00"))
    assert [halt.gate for halt in summary.halts] == ["emptied"]
    assert world.held(TWO) == MANY


def test_a_side_that_is_emptied_while_it_is_looked_at_is_noticed(world: World) -> None:
    world.align(MANY)

    def unmount(method: str, key: str) -> None:
        if (method, key) == ("stat", "d/k05") and world.held(ONE):
            world.remove(ONE, *MANY)

    world.hooked[ONE].before = unmount
    summary = world.run(scope=named("d/k00", "d/k05"), transfers=1)
    assert [halt.gate for halt in summary.halts] == ["emptied"]
    assert world.held(TWO) == MANY


def test_of_names_that_came_and_went_in_a_tree_no_bucket_is_listed(world: World) -> None:
    world.hooked[ONE].tree = True
    world.align(TREE)
    heard = calls(world)
    assert carried_out(world.run(scope=named("a", "t1", "t2", "d/t3"))) == {}
    assert not [each for each in heard if each.startswith("path2 scan")]


def test_a_named_key_that_cannot_be_looked_at_is_held_and_the_others_go_on(world: World) -> None:
    world.align(TREE)
    edit_all(world, ONE)
    world.remove(TWO, "a")

    def fail(method: str, key: str) -> None:
        if (method, key) == ("stat", "a"):
            raise Transient("no answer.")

    world.hooked[TWO].before = fail

    summary = world.run(scope=named("a", "e"))

    assert carried_out(summary) == {"copy-to-path2": 1, "hold": 1}
    assert [problem.key for problem in summary.problems] == ["a"]
    assert "a" not in world.held(TWO)


def test_excluded_names_are_left_alone(world: World) -> None:
    world.align(TREE)
    world.put(ONE, {"t.tmp": "1", "tmp/x": "2"})
    assert carried_out(world.run(scope=named("t.tmp", "tmp", "tmp/x"), exclude=("*.tmp", "tmp/"))) == {}
    assert world.held(TWO) == TREE


def test_names_that_are_nowhere_do_nothing(world: World) -> None:
    world.align(TREE)
    summary = world.run(scope=named("gone", "../up", "x" * 2000))
    assert carried_out(summary) == {}
    assert world.held(ONE) == world.held(TWO) == TREE


def test_a_rename_of_which_both_names_are_given_is_a_move(world: World) -> None:
    world.align(TREE)
    world.rename(ONE, "d.x", "moved.x")
    assert carried_out(world.run(scope=named("d.x", "moved.x"))) == {"move-on-path2": 1}


def test_a_part_of_a_tree_on_a_disk_is_what_is_looked_at(world: World, tmp_path: Path) -> None:
    root = tmp_path / "tree"
    (root / "d/s").mkdir(parents=True)
    for key in ("a", "d-x", "d/a", "d/s/b"):
        (root / key).write_text(key)
    tree = LocalEndpoint(str(root), owner="0123abcd")
    world.endpoints = {ONE: tree, TWO: world.hooked[TWO].inner}
    world.init()
    world.run(resync=True)
    for key in ("a", "d-x", "d/a", "d/s/b"):
        (root / key).write_text(f"{key} edited")
    (root / "d/new").write_text("new")

    assert carried_out(world.run(scope=named("d/s", "d/new"))) == {"copy-to-path2": 2}
    assert carried_out(world.run(scope=prefix("d"))) == {"copy-to-path2": 1}
    assert carried_out(world.run()) == {"copy-to-path2": 2}
