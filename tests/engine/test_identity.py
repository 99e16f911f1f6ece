"""Another root in the old one's place, a side that was rolled back and an old state are noticed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bisyncer.endpoints.base import Source
from bisyncer.endpoints.memory import MemoryEndpoint
from bisyncer.errors import Rejected, Transient
from bisyncer.job import Limits, Scope
from bisyncer.model import SEALS, Entry, Mode, RunOutcome, Side, Summary
from bisyncer.state.seals import Seals
from bisyncer.state.store import Store
from tests.world import ONE, TWO, World, carried_out

FILES = {f"k{number}": f"text {number}" for number in range(4)}  # too few for the gates about whole sides
FORCED = Limits(force=frozenset({"identity"}))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def contents(world: World, side: Side) -> dict[str, bytes]:
    """All that a side holds, its seal included."""
    return world.stores[side].contents()


def becomes(world: World, side: Side, new: dict[str, bytes]) -> None:
    """Put another place in the place of a side."""
    for key in contents(world, side):
        world.stores[side].remove(key)
    for key, data in new.items():
        world.stores[side].put(key, data)


def seals(world: World, side: Side) -> list[str]:
    return [
        data.decode().split(",")[0] for key, data in contents(world, side).items() if key.startswith(SEALS)
    ]


def halted(summary: Summary) -> str:
    """The sentence of a run that the gate closed."""
    assert (summary.outcome, summary.exit_code) == (RunOutcome.HALTED, 5)
    assert {halt.gate for halt in summary.halts} == {"identity"}
    return " ".join(halt.sentence for halt in summary.halts)


def is_ordinary(world: World) -> None:
    """No gate is closed any more, both sides are equal, and a change is carried over."""
    world.put(ONE, {"later": "a change"})
    assert world.run().exit_code == 0
    assert world.held(ONE) == world.held(TWO)
    assert "later" in world.held(TWO)
    assert world.plan() == []


def another_place(world: World) -> None:
    becomes(world, TWO, {"k0": b"text 0"})


def an_empty_place(world: World) -> None:
    becomes(world, TWO, {})


def the_place_of_another_pair(world: World) -> None:
    becomes(world, TWO, {f"{SEALS}/ffffffff": b"bisyncer seal 3 of pair ffffffff, 00\n", "k0": b"text 0"})


def rolled_back(world: World) -> None:
    before = contents(world, TWO)
    world.put(ONE, {"since": "made after the copy was taken"})
    world.run()
    becomes(world, TWO, before)


def rolled_back_to_the_midst_of_a_run(world: World) -> None:
    taken: dict[str, bytes] = {}

    def snapshot(method: str, key: str) -> None:
        if method == "write" and key == "s1":
            taken.update(contents(world, TWO))

    world.put(ONE, {f"s{number}": "made then" for number in range(3)})
    world.hooked[TWO].before = snapshot
    world.run(transfers=1)
    world.hooked[TWO].before = lambda _method, _key: None
    assert "s0" in taken
    assert "s2" not in taken
    becomes(world, TWO, taken)


def an_old_state(world: World) -> None:
    shutil.copy(world.folder / "state.db", world.folder / "old.db")
    world.remove(ONE, "k0")
    world.run()
    world.put(TWO, {"k0": FILES["k0"]})
    world.state.close()
    shutil.copy(world.folder / "old.db", world.folder / "state.db")
    for tail in ("-wal", "-shm"):
        (world.folder / f"state.db{tail}").unlink(missing_ok=True)
    world.reopen_state()


def overwritten(world: World) -> None:
    [key] = [key for key in contents(world, TWO) if key.startswith(SEALS)]
    world.stores[TWO].put(key, b"something else")


TALES = (
    (another_place, "path2 (memory://two-N) has no "),
    (an_empty_place, "path2 (memory://two-N) has no "),
    (the_place_of_another_pair, "It has the seal of another pair."),
    (rolled_back, "path2 (memory://two-N) is an older copy of what it was"),
    (rolled_back_to_the_midst_of_a_run, "path2 (memory://two-N) is an older copy of what it was"),
    (an_old_state, "The state is older than path1 (memory://one-N)"),
    (overwritten, "was overwritten"),
)


@pytest.fixture(params=TALES, ids=lambda tale: tale[0].__name__)
def tale(request: pytest.FixtureRequest, world: World) -> str:
    """A pair to which something happened, and what the gate says about it."""
    happens, told = request.param
    world.align(FILES)
    # The copy for the state is whole in one file.
    world.reopen_state()
    happens(world)
    return str(told.replace("-N", f"-{world.number}"))


def test_what_happened_to_a_side_or_to_the_state_is_told_and_nothing_is_changed(
    world: World, tale: str
) -> None:
    before = {side: contents(world, side) for side in Side}

    for _ in range(2):
        assert tale in halted(world.run())
        assert "--force identity" in halted(world.run())

    assert {side: contents(world, side) for side in Side} == before
    assert world.state.problems.told("p") == []


def test_a_resync_deletes_nothing_and_the_next_run_is_ordinary(world: World, tale: str) -> None:
    stood = {**world.held(ONE), **world.held(TWO)}

    assert world.run(resync=True).exit_code == 0

    assert tale
    assert world.held(ONE) == world.held(TWO) == stood
    is_ordinary(world)


def test_force_goes_on_from_what_the_state_knows_and_the_next_run_is_ordinary(
    world: World, tale: str
) -> None:
    gone = {key for key in FILES if key not in world.held(TWO)} - {"k0"}
    forced = world.run(limits=Limits(force=FORCED.force | {"emptied"}, max_delete_percent=None))

    assert tale
    assert forced.exit_code == 0
    assert not gone & set(world.held(ONE)), "what is gone from one side was deleted from the other"
    is_ordinary(world)


def test_a_plan_shows_what_force_would_do(world: World) -> None:
    world.align(FILES)
    another_place(world)

    assert world.plan()[1:] == [f"delete-from-path1 k{number} (unchanged / deleted)" for number in (1, 2, 3)]
    assert "has no" in halted(world.run(dry_run=True))


def test_a_run_of_a_part_looks_too(world: World) -> None:
    world.align(FILES)
    another_place(world)

    halted(world.run(scope=Scope(prefix="k1")))
    halted(world.run(scope=Scope(keys=("k1",))))

    assert world.held(ONE) == FILES


def test_a_copy_of_a_side_that_has_its_seal_is_the_place_that_it_was(world: World) -> None:
    world.align(FILES)
    becomes(world, TWO, contents(world, TWO))  # on another disk: with stamps of its own

    assert world.run().exit_code == 0
    is_ordinary(world)


def test_a_run_without_changes_writes_no_seal(world: World) -> None:
    world.align(FILES)
    before = {side: world.stores[side].entries() for side in Side}

    world.run()

    assert {side: world.stores[side].entries() for side in Side} == before


def test_seals_are_looked_at_with_one_read_a_side(world: World) -> None:
    world.align(FILES)
    asked: list[str] = []

    def note(method: str, key: str) -> None:
        if key.startswith(f"{SEALS}/") and method != "scan":
            asked.append(method)

    for side in Side:
        world.hooked[side].with_seals = True
        world.hooked[side].before = note

    world.run()

    assert asked == ["read", "read"]


def test_a_pair_from_before_there_were_seals_gets_them_with_its_next_change(world: World) -> None:
    world.align(FILES)
    for side in Side:
        becomes(world, side, {key: text.encode() for key, text in FILES.items()})
    with world.state.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM seal")

    world.run()
    assert seals(world, TWO) == []
    is_ordinary(world)
    assert len(seals(world, ONE)) == len(seals(world, TWO)) == 1
    another_place(world)
    halted(world.run())


def test_a_state_from_before_there_were_seals_is_told_as_old(world: World) -> None:
    world.align(FILES)
    with world.state.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM seal")

    assert "the state knows none" in halted(world.run())


@pytest.mark.parametrize("mode", [Mode.MIRROR, Mode.COPY])
def test_a_side_that_the_mode_never_writes_has_no_seal(world: World, mode: Mode) -> None:
    world.job = replace(world.job, mode=mode)
    world.align(FILES)
    world.put(ONE, {"new": "text"})
    world.run()

    assert (seals(world, ONE), len(seals(world, TWO))) == ([], 1)
    rolled_back(world)
    halted(world.run())


def test_two_pairs_may_share_a_root_and_neither_syncs_the_others_seal(world: World, tmp_path: Path) -> None:
    world.align(FILES)
    (tmp_path / "other").mkdir()
    other = World(tmp_path / "other")
    other.put(ONE, {f"below/{SEALS}/0123abcd": "of a pair whose root lies inside"})
    try:
        other.stores[ONE].put(f"{SEALS}/0123abcd", b"of another pair that has this root")
        other.align({"k": "text"})

        assert other.run().exit_code == 0
        assert [key for key in contents(other, TWO) if "0123abcd" in key] == []
    finally:
        other.close()


def test_named_keys_in_the_folder_of_the_seals_are_not_synced(world: World) -> None:
    world.align(FILES)
    world.stores[ONE].put(f"{SEALS}/0123abcd", b"of another pair")

    assert carried_out(world.run(scope=Scope(keys=(f"{SEALS}/0123abcd",)))) == {}

    assert f"{SEALS}/0123abcd" not in contents(world, TWO)


@pytest.mark.parametrize("side", list(Side))
def test_a_side_that_takes_no_seal_stops_no_run(
    world: World, monkeypatch: pytest.MonkeyPatch, side: Side
) -> None:
    world.align(FILES)
    _refuse_seals(monkeypatch, world.endpoints[side].root)

    is_ordinary(world)
    monkeypatch.undo()
    is_ordinary(world)


def _refuse_seals(monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    write = MemoryEndpoint.write

    def refuse(self: MemoryEndpoint, key: str, source: Source, *, expect: Entry | None) -> Entry:
        if self.root == root and key.startswith(SEALS):
            raise Rejected(f"{key}: access denied")
        return write(self, key, source, expect=expect)

    monkeypatch.setattr(MemoryEndpoint, "write", refuse)


@pytest.mark.parametrize("side", list(Side))
def test_a_seal_of_which_no_answer_came_is_known_to_the_next_run(
    world: World, monkeypatch: pytest.MonkeyPatch, side: Side
) -> None:
    world.align(FILES)
    _lose_the_answers_to_the_first_seal(monkeypatch, world.endpoints[side].root)
    world.put(side.other, {"new": "text"})

    assert world.run().exit_code == 0

    monkeypatch.undo()
    is_ordinary(world)


def _lose_the_answers_to_the_first_seal(monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    """The seal is written; the store isn't heard of again until it is given something else."""
    write = MemoryEndpoint.write
    heard = [True]

    def lose(self: MemoryEndpoint, key: str, source: Source, *, expect: Entry | None) -> Entry:
        if self.root != root:
            return write(self, key, source, expect=expect)
        if not key.startswith(SEALS):
            heard.append(True)
        elif len(heard) == 1:
            if heard[0]:
                write(self, key, source, expect=expect)
            heard[0] = False
            raise Transient(f"{key}: no answer")
        return write(self, key, source, expect=expect)

    monkeypatch.setattr(MemoryEndpoint, "write", lose)


def test_a_copy_of_the_state_that_is_at_work_at_the_same_time_is_noticed(world: World) -> None:
    world.align(FILES)
    world.put(ONE, {"new": "text"})
    [key] = [key for key in contents(world, TWO) if key.startswith(SEALS)]

    def interfere(method: str, _key: str) -> None:
        if method == "scan":
            world.stores[TWO].put(key, contents(world, TWO)[key].replace(b"seal 1", b"seal 9"))

    world.hooked[ONE].before = interfere

    assert "Another state runs this pair too" in halted(world.run())
    assert world.held(TWO) == FILES


class Crash(BaseException):
    """The process is gone."""


def crash_at(world: World, point: int | None, monkeypatch: pytest.MonkeyPatch, *, resync: bool) -> int:
    """Run, and crash before or after the so-many-th call about seals; return how many calls there were."""
    passed = 0

    def step(*_: object) -> None:
        nonlocal passed
        if point is not None and passed >= point:
            raise Crash
        passed += 1

    def about_seals(_method: str, key: str) -> None:
        if key.startswith(f"{SEALS}/") or (point is not None and passed >= point):
            step()

    with monkeypatch.context() as patched:
        for room, name in ((Seals, "note"), (Store, "begin_alignment")):
            patched.setattr(room, name, _around(getattr(room, name), step))
        for side in Side:
            world.hooked[side].with_seals = True
            world.hooked[side].before = world.hooked[side].after = about_seals
        try:
            world.run(transfers=1, resync=resync)
        except Crash:
            world.reopen_state()
    for side in Side:
        world.hooked[side].before = world.hooked[side].after = lambda _method, _key: None
    return passed


def _around(original: Callable[..., Any], step: Callable[[], None]) -> Callable[..., Any]:
    def call(*words: object, **named: object) -> Any:
        step()
        result = original(*words, **named)
        step()
        return result

    return call


def edited(world: World) -> None:
    world.put(ONE, {"k0": "edited in one"})
    world.remove(TWO, "k1")


@pytest.mark.parametrize("happens", [edited, rolled_back], ids=["run", "resync"])
def test_a_crash_around_the_seals_costs_nothing_but_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happens: Callable[[World], None]
) -> None:
    resync = happens is rolled_back
    passed, point = 1, 0
    while point <= passed:
        (tmp_path / str(point)).mkdir()
        world = World(tmp_path / str(point))
        world.align(FILES)
        happens(world)
        stood = {**world.held(ONE), **world.held(TWO)}
        if point == 0:
            passed = crash_at(world, None, monkeypatch, resync=resync)
            assert passed > 10
        else:
            crash_at(world, point - 1, monkeypatch, resync=resync)
            summary = world.run()
            if resync and summary.halts:  # nothing was begun
                assert {**world.held(ONE), **world.held(TWO)} == stood
                summary = world.run(resync=True)
            assert summary.exit_code == 0, f"crash at {point} of {passed}"
        assert world.held(ONE) == world.held(TWO), f"crash at {point} of {passed}"
        assert set(world.held(ONE)) == set(stood) - (set() if resync else {"k1"})
        assert world.run().exit_code == 0
        world.close()
        point += 1
