"""Keys that both sides hold alike at a first alignment: recorded without an action each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import current_thread

import pytest

from bisyncer.core.compare import STRONG, compare, may_agree
from bisyncer.core.decide import decide
from bisyncer.endpoints.local import LocalEndpoint
from bisyncer.endpoints.memory import MemoryEndpoint
from bisyncer.engine.alike import SMALL, Alike
from bisyncer.errors import Rejected
from bisyncer.job import Evidence, Policy
from bisyncer.model import Agreement, Delta, Entry, Mode, RunOutcome, Side, Triple, Verdict
from bisyncer.report.events import Event, Phase, PhaseBegan, Settled
from bisyncer.state import schema
from bisyncer.state.store import Store
from tests.making import entry
from tests.world import ONE, TWO, World, carried_out

EQUAL = {f"{folder}/{name}": f"{folder} {name}" for folder in "xyz" for name in "abcde"}


@pytest.fixture
def world(world: World) -> World:
    """A pair of which sizes alone decide."""
    world.job = replace(world.job, policy=replace(world.job.policy, compare=frozenset({Evidence.SIZE})))
    return world


def rows(store: Store) -> dict[str, int]:
    """How many rows of a plan the state has."""
    tables = (schema.action, schema.agreed)
    with store.database.read() as connection:
        return {table.name: len(connection.execute(table.select()).all()) for table in tables}


def spooled(world: World, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, int]]:
    """The rows of the plan at the gates of each run that follows."""
    seen: list[dict[str, int]] = []
    gate = world.state.begin_alignment

    def begin_alignment(*given: object) -> object:
        seen.append(rows(world.state))
        return gate(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(world.state, "begin_alignment", begin_alignment)
    return seen


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("evidence", [{Evidence.SIZE}, {Evidence.SIZE, Evidence.MTIME}, {Evidence.HASH}])
def test_what_is_agreed_on_is_what_the_table_records(mode: Mode, evidence: set[Evidence]) -> None:
    policy = Policy(mode=mode, compare=frozenset(evidence))
    entries = [
        entry(size=size, mtime_ns=time, **more)
        for size in (0, 1, 2)
        for time in (None, 0, 10**12)
        for more in ({}, {"md5": "ab" * 16}, {"md5": "cd" * 16}, {"etag_md5": "ab" * 16})
    ]
    alike = Alike(policy, {side: MemoryEndpoint(side) for side in Side})

    for one in entries:
        for two in entries:
            delta1, delta2, agreement = compare(Triple("k", None, one, two), policy)
            verdict = decide(mode, delta1, delta2, agreement)
            found = may_agree(one, two) and alike.part([(one, two)]) == ([(one, two)], [])
            assert found == (verdict is Verdict.RECORD)


def test_an_alignment_of_equal_sides_makes_no_action_and_leaves_every_ancestor(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = spooled(world, monkeypatch)

    summary = world.align(EQUAL)

    assert seen == [{"action": 0, "agreed": len(EQUAL)}]
    assert carried_out(summary) == {"record": len(EQUAL)}
    assert rows(world.state) == {"action": 0, "agreed": 0}
    assert [each.key for each in world.state.ancestors.all(1)] == sorted(EQUAL)
    assert world.run().unchanged == len(EQUAL)


def test_an_alignment_leaves_what_one_with_an_action_for_each_key_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align(EQUAL | {"differs": "1", "only-one": "1"}, EQUAL | {"differs": "22", "only-two": "2"})
    alike = (world.run(resync=True).actions, list(world.state.ancestors.all(1)))
    monkeypatch.setattr("bisyncer.engine.planner.Planner._agreed", lambda *_: None)

    assert (world.run(resync=True).actions, list(world.state.ancestors.all(1))) == alike


def test_what_an_alignment_finds_alike_by_its_content_is_no_action_either(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = spooled(world, monkeypatch)
    world.job = replace(world.job, policy=Policy())

    summary = world.align(EQUAL | {"differs": "1"}, EQUAL | {"differs": "2"})

    assert seen == [{"action": 1, "agreed": len(EQUAL)}]
    assert carried_out(summary) == {"record": len(EQUAL), "conflict": 1}
    (found,) = world.state.ancestors.of(1, ["x/a"]).values()
    assert {digest.algorithm for digest in found.path1.digests} == STRONG
    assert world.plan(resync=True)[0] == "record differs (new / new)"


def test_each_key_is_told_as_an_action(world: World) -> None:
    world.align(EQUAL)

    told = [action for event in world.heard.events if isinstance(event, Settled) for action in event.actions]

    assert [action.key for action in told] == sorted(EQUAL)
    assert {(each.verdict, each.delta1, each.delta2, each.agreement) for each in told} == {
        (Verdict.RECORD, Delta.NEW, Delta.NEW, Agreement.SAME)
    }


def test_a_dry_run_shows_each_key_and_leaves_nothing(world: World) -> None:
    world.align(EQUAL)

    assert world.plan(resync=True) == [f"record {key} (new / new)" for key in sorted(EQUAL)]
    assert rows(world.state) == {"action": 0, "agreed": 0}


def test_a_resync_that_is_stopped_before_the_gates_keeps_the_ancestors_it_found(world: World) -> None:
    world.align(EQUAL)
    before = list(world.state.ancestors.all(1))
    for side in (ONE, TWO):
        world.touch(side, "x/a")
    world.hooked[TWO].before = lambda method, key: (
        world.stop.set() if (method, key) == ("scan", "z/e") else None
    )

    assert world.run(resync=True).outcome is RunOutcome.INTERRUPTED
    assert list(world.state.ancestors.all(1)) == before
    assert rows(world.state) == {"action": 0, "agreed": 0}


def test_an_alignment_that_is_stopped_while_it_records_is_gone_on_with(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bisyncer.state.agreed._LENGTH", 4)
    tell = world.heard.tell

    def stop(event: Event) -> None:
        tell(event)
        if isinstance(event, Settled):
            world.stop.set()

    with monkeypatch.context() as patched:
        patched.setattr(world.heard, "tell", stop)
        first = world.align(EQUAL)
    world.stop.clear()
    second = world.run()

    assert (first.outcome, carried_out(first)) == (RunOutcome.INTERRUPTED, {"record": 4})
    assert rows(world.state) == {"action": 0, "agreed": 0}
    assert (second.outcome, carried_out(second)) == (RunOutcome.SUCCESS, {"record": len(EQUAL) - 4})
    assert [each.key for each in world.state.ancestors.all(1)] == sorted(EQUAL)


def test_where_keys_may_be_left_alone_each_is_an_action(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = spooled(world, monkeypatch)
    world.job = replace(world.job, exclude_if_present=".nosync")

    world.align(EQUAL | {"y/.nosync": ""})

    assert seen == [{"action": 10, "agreed": 0}]
    assert [each.key for each in world.state.ancestors.all(1)] == sorted(
        key for key in EQUAL if key[0] != "y"
    )


# Small files of trees, which are read in the plan.


@pytest.fixture
def trees(world: World) -> World:
    """A pair of two trees, of which contents decide."""
    world.job = replace(world.job, policy=Policy())
    for side in Side:
        world.hooked[side].tree = True
    return world


def to_check(world: World) -> list[int | None]:
    """How many keys are left to the check, where there is one."""
    began = (event for event in world.heard.events if isinstance(event, PhaseBegan))
    return [event.total for event in began if event.phase is Phase.CHECK]


def test_small_files_of_equal_trees_are_read_once_and_make_no_action(
    trees: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = spooled(trees, monkeypatch)
    read: list[str] = []
    trees.hooked[ONE].before = lambda method, key: read.append(key) if method == "read" else None

    summary = trees.align(EQUAL)

    assert seen == [{"action": 0, "agreed": len(EQUAL)}]
    assert carried_out(summary) == {"record": len(EQUAL)}
    assert to_check(trees) == []
    assert read == sorted(EQUAL)
    (found,) = trees.state.ancestors.of(1, ["x/a"]).values()
    assert {digest.algorithm for digest in found.path2.digests} == STRONG
    assert trees.run().unchanged == len(EQUAL)


def test_what_differs_or_is_large_is_left_to_the_check(trees: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = spooled(trees, monkeypatch)
    large = {"x/large": "l" * (SMALL + 1)}

    summary = trees.align(EQUAL | large | {"y/differs": "1"}, EQUAL | large | {"y/differs": "2"})

    assert seen == [{"action": 1, "agreed": len(EQUAL) + 1}]
    assert to_check(trees) == [2]
    assert carried_out(summary) == {"record": len(EQUAL) + 1, "conflict": 1}


@pytest.mark.parametrize("side", Side)
def test_a_file_that_cannot_be_read_is_a_problem_of_its_key_alone(trees: World, side: Side) -> None:
    def before(method: str, key: str) -> None:
        if (method, key) == ("read", "y/c"):
            raise Rejected("y/c: permission denied.")

    trees.hooked[side].before = before

    summary = trees.align(EQUAL)

    assert [(each.key, each.sentence) for each in summary.problems] == [("y/c", "y/c: permission denied.")]
    assert [each.key for each in trees.state.ancestors.all(1)] == sorted(set(EQUAL) - {"y/c"})


def test_a_file_that_is_edited_before_it_is_read_keeps_its_edit(trees: World) -> None:
    def before(method: str, key: str) -> None:
        if (method, key) == ("read", "y/c"):
            trees.hooked[ONE].before = lambda *_: None
            trees.put(ONE, {"y/c": "edited"})

    trees.hooked[ONE].before = before

    summary = trees.align(EQUAL)

    assert carried_out(summary)["record"] == len(EQUAL) - 1
    assert "edited" in trees.held(ONE).values()
    assert trees.held(ONE) == trees.held(TWO)


def test_nothing_is_read_where_times_are_enough(trees: World) -> None:
    trees.job = replace(trees.job, policy=Policy(compare=frozenset({Evidence.SIZE, Evidence.MTIME})))
    for key, text in EQUAL.items():
        for side in Side:
            trees.stores[side].put(key, text.encode(), mtime_ns=10**18)
    read: list[str] = []
    trees.hooked[ONE].before = lambda method, key: read.append(key) if method == "read" else None

    trees.align({})

    assert read == []
    assert [each.key for each in trees.state.ancestors.all(1)] == sorted(EQUAL)


@pytest.mark.parametrize("changes", [{"resync": True, "dry_run": True}, {}])
def test_small_files_are_read_once_each_by_no_thread_of_their_own_in_any_other_run_too(
    trees: World, changes: dict[str, object]
) -> None:
    trees.align({} if changes else {"edited": "1"})
    for side in Side:
        trees.put(side, EQUAL if changes else EQUAL | {"edited": "22"})
    read: list[str] = []

    def before(method: str, key: str) -> None:
        if method == "read":
            assert not current_thread().name.startswith("check")
            read.append(key)

    trees.hooked[ONE].before = before

    summary = trees.run(**changes)

    assert carried_out(summary) == {"record": len(EQUAL) + (not changes)}
    assert read == ([] if changes else ["edited"]) + sorted(EQUAL)


class Clock:
    """Each look at it takes so many milliseconds."""

    def __init__(self, each_ms: float) -> None:
        self.each_ms = each_ms
        self._now_s = 0.0

    def __call__(self) -> float:
        self._now_s += self.each_ms / 1000
        return self._now_s


@pytest.fixture
def thousand(tmp_path: Path) -> tuple[dict[Side, LocalEndpoint], list[tuple[Entry, Entry]]]:
    """Two trees of a thousand equal files, and what is listed of each file."""
    for side in Side:
        (tmp_path / side).mkdir()
        for number in range(1000):
            (tmp_path / side / f"{number:03}").write_text(f"{number}")
    trees = {side: LocalEndpoint(str(tmp_path / side), owner="0" * 8) for side in Side}
    one, two = ([item for item in trees[side].scan() if isinstance(item, Entry)] for side in Side)
    return trees, list(zip(one, two, strict=True))


@pytest.mark.parametrize(("each_ms", "read"), [(0.4, 1000), (1.6, 46), (60, 1)])
def test_where_files_are_slow_to_read_most_are_left_to_the_check(
    thousand: tuple[dict[Side, LocalEndpoint], list[tuple[Entry, Entry]]], each_ms: float, read: int
) -> None:
    trees, pairs = thousand

    found, others = Alike(Policy(), trees, Clock(each_ms)).part(pairs)

    assert [held.key for held, _ in found + others] == [held.key for held, _ in pairs]
    assert len(found) == read


def test_a_tree_that_stays_slow_is_tried_with_less_and_less(
    thousand: tuple[dict[Side, LocalEndpoint], list[tuple[Entry, Entry]]],
) -> None:
    trees, pairs = thousand
    clock = Clock(5)
    alike = Alike(Policy(), trees, clock)

    slow = [len(alike.part(pairs)[0]) for _ in range(6)]
    clock.each_ms = 0.1
    quick = len(alike.part(pairs)[0])
    clock.each_ms = 5

    assert slow == [12, 6, 3, 2, 1, 1]
    assert quick == len(pairs)
    assert len(alike.part(pairs)[0]) == slow[0]
