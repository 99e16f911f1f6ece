"""A plan that is kept in a file, and carried out later: exactly it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bisyncer.engine import session
from bisyncer.engine.kept_plan import SCHEMA, KeptPlan, PlanWriter
from bisyncer.errors import BisyncerError, UsageError
from bisyncer.job import Limits, Scope
from bisyncer.model import SEALS, RunOutcome, Side, Summary
from bisyncer.report.console import Several
from tests.world import ONE, TWO, Heard, World, carried_out, line

TEN = {f"k{number}": "x" * (number + 1) for number in range(10)}


def keep(world: World, **changes: object) -> Path:
    """Make a plan, and keep it."""
    file = world.folder / "plan"
    writer = PlanWriter(file)
    job = replace(world.job, dry_run=True, **changes)  # type: ignore[arg-type]
    session.run(job, world.endpoints, world.state, Several(world.heard, writer), stop=world.stop)
    assert writer.close() is not None
    return file


def apply(world: World, file: Path, **changes: object) -> Summary:
    kept = KeptPlan.read(file)
    job = replace(world.job, scope=Scope(plan=kept.run), **changes)  # type: ignore[arg-type]
    return session.run(job, world.endpoints, world.state, Heard(), stop=world.stop, kept=kept)


def change_all(world: World) -> None:
    """One key for each kind of action."""
    world.align(TEN)
    world.put(ONE, {"k0": "edited", "new1": "n1", "same": "both"})
    world.put(TWO, {"k1": "edited too", "new2": "n22", "same": "both"})
    world.remove(ONE, "k2")
    world.remove(TWO, "k3")
    world.remove(ONE, "k4")
    world.remove(TWO, "k4")
    world.put(ONE, {"k5": "one's"})
    world.put(TWO, {"k5": "the other's"})
    world.rename(ONE, "k9", "moved")


def test_a_kept_plan_is_carried_out_as_the_run_would_have_been(world: World) -> None:
    change_all(world)
    planned = world.plan()
    file = keep(world)
    assert [line(kept.action) for kept in KeptPlan.read(file).actions()] == planned

    summary = apply(world, file)

    assert summary.outcome is RunOutcome.SUCCESS
    assert carried_out(summary) == {
        "copy-to-path1": 2,
        "copy-to-path2": 2,
        "move-on-path2": 1,
        "delete-from-path1": 1,
        "delete-from-path2": 1,
        "record": 1,
        "forget": 1,
        "conflict": 1,
    }
    assert world.held(ONE) == world.held(TWO)
    assert len(world.conflicts()) == 1
    assert world.plan() == []


def test_of_a_tree_whose_files_are_new_a_plan_is_carried_out_too(world: World) -> None:
    world.hooked[ONE].tree = True
    change_all(world)
    apply(world, keep(world))
    assert world.held(ONE) == world.held(TWO)
    assert world.plan() == []


def test_what_was_not_in_the_plan_is_left_for_the_next_run(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k0": "edited"})
    file = keep(world)
    world.put(ONE, {"k1": "edited later"})
    world.remove(TWO, "k2")

    assert carried_out(apply(world, file)) == {"copy-to-path2": 1}
    assert world.plan() == [
        "copy-to-path2 k1 (changed / unchanged)",
        "delete-from-path1 k2 (unchanged / deleted)",
    ]


MOVES: dict[str, Callable[[World], None]] = {
    "k0": lambda world: world.put(ONE, {"k0": "edited again"}),
    "k1": lambda world: world.put(ONE, {"k1": "edited meanwhile"}),
    "k2": lambda world: world.put(ONE, {"k2": "made again"}),
    "k3": lambda world: world.remove(ONE, "k3"),
    "k4": lambda world: world.put(TWO, {"k4": "made again"}),
    "k5": lambda world: world.put(TWO, {"k5": "edited again"}),
    "moved": lambda world: world.put(TWO, {"moved": "taken"}),
    "new1": lambda world: world.put(TWO, {"new1": "there too"}),
    "new2": lambda world: world.remove(TWO, "new2"),
    "same": lambda world: world.put(ONE, {"same": "no longer"}),
}


@pytest.mark.parametrize("key", MOVES)
def test_what_moved_since_is_left_alone_and_told_and_the_rest_is_done(world: World, key: str) -> None:
    change_all(world)
    file = keep(world)
    MOVES[key](world)
    before = [{name: held.get(name) for name in (key, "k9")} for held in (world.held(ONE), world.held(TWO))]

    summary = apply(world, file)

    assert (summary.outcome, summary.exit_code) == (RunOutcome.UNFINISHED, 3)
    assert [problem.key for problem in summary.problems] == [key]
    assert "since the plan was made" in summary.problems[0].sentence
    after = [{name: held.get(name) for name in (key, "k9")} for held in (world.held(ONE), world.held(TWO))]
    if key != "moved":
        before[1].pop("k9"), after[1].pop("k9")
    assert after == before
    assert sum(carried_out(summary).values()) == 9
    world.run()
    assert world.held(ONE) == world.held(TWO)


def test_the_old_name_of_a_rename_that_is_there_again_is_left_alone(world: World) -> None:
    change_all(world)
    file = keep(world)
    world.put(ONE, {"k9": "made again"})
    summary = apply(world, file)
    assert [problem.key for problem in summary.problems] == ["moved"]
    assert world.held(TWO)["k9"] == TEN["k9"]


def test_what_moves_while_it_is_carried_out_is_left_alone_too(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k0": "edited"})
    file = keep(world)
    once = iter([True])

    def edit(method: str, key: str) -> None:
        if (method, key) == ("write", "k0") and next(once, None):
            world.stores[TWO].put("k0", b"somebody else's")

    world.hooked[TWO].before = edit

    summary = apply(world, file)

    assert [problem.key for problem in summary.problems] == ["k0"]
    assert world.held(TWO)["k0"] == "somebody else's"
    assert world.conflicts() == []


def test_a_second_time_there_is_nothing_left_to_carry_out(world: World) -> None:
    change_all(world)
    file = keep(world)
    apply(world, file)
    held = world.held(ONE)

    assert carried_out(apply(world, file)) == {"record": 1, "forget": 1}, "which say what is so again"
    assert world.held(ONE) == world.held(TWO) == held


@pytest.mark.parametrize(
    ("change", "done"),
    [
        (lambda w: w.remove(ONE, "k0"), "delete-from-path2"),
        (lambda w: w.put(ONE, {"k0": "edited"}), "copy-to-path2"),
    ],
    ids=["deleted", "edited"],
)
def test_what_was_done_since_and_somebody_took_back_is_not_done_again(
    world: World, change: Callable[[World], None], done: str
) -> None:
    world.align(TEN)
    before = world.stores[TWO].entry("k0")
    change(world)
    file = keep(world)
    assert carried_out(apply(world, file)) == {done: 1}
    after = world.stores[TWO].put("k0", TEN["k0"].encode())
    assert before is not None
    # The same content has the same ETag again.
    stamp = before.stamp
    world.hooked[TWO].stat = lambda key: after._replace(stamp=stamp) if key == "k0" else None  # type: ignore[method-assign]

    summary = apply(world, file)

    assert [problem.key for problem in summary.problems] == ["k0"]
    assert "was settled since the plan was made" in summary.problems[0].sentence
    assert world.held(TWO)["k0"] == TEN["k0"]


def test_what_was_copied_by_a_plan_and_deleted_since_is_not_copied_by_it_again(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"new": "n"})
    file = keep(world)
    assert carried_out(apply(world, file)) == {"copy-to-path2": 1}
    world.remove(TWO, "new")

    summary = apply(world, file)

    assert [problem.key for problem in summary.problems] == ["new"]
    assert "new" not in world.held(TWO)


def test_what_a_plan_brought_back_and_somebody_deleted_is_not_brought_back_again(
    world: World,
) -> None:
    world.align(TEN)
    world.put(ONE, {"k0": "edited"})
    world.remove(TWO, "k0")
    file = keep(world)
    assert carried_out(apply(world, file)) == {"copy-to-path2": 1}
    world.remove(TWO, "k0")

    summary = apply(world, file)

    assert [problem.key for problem in summary.problems] == ["k0"]
    assert "k0" not in world.held(TWO)


def test_a_conflict_that_a_plan_settled_and_somebody_decided_otherwise_is_not_settled_again(
    world: World,
) -> None:
    world.align(TEN)
    world.put(ONE, {"k5": "of one"})
    world.put(TWO, {"k5": "of the other"})
    file = keep(world)
    other = world.stores[TWO]._objects["k5"]
    assert carried_out(apply(world, file)) == {"conflict": 1}
    world.stores[TWO]._objects["k5"] = other  # as it was, down to its ETag
    before = world.held(ONE), world.held(TWO)

    summary = apply(world, file)

    assert [problem.key for problem in summary.problems] == ["k5"]
    assert "was settled since the plan was made" in summary.problems[0].sentence
    assert (world.held(ONE), world.held(TWO)) == before


@pytest.mark.parametrize("longer", [True, False])
def test_a_plan_that_takes_the_place_of_the_one_that_was_read_is_not_carried_out(
    world: World, longer: bool
) -> None:
    world.align(TEN)
    world.remove(ONE, "k0", "k2")
    kept = KeptPlan.read(keep(world))
    if longer:
        world.remove(ONE, "k1")
    keep(world, scope=Scope() if longer else Scope(prefix="k2"))

    job = replace(world.job, scope=Scope(plan=kept.run))
    with pytest.raises(UsageError, match="is no longer the plan that was read"):
        session.run(job, world.endpoints, world.state, Heard(), stop=world.stop, kept=kept)

    assert world.held(TWO) == TEN


def test_a_dry_run_of_it_tells_what_would_still_be_done(world: World) -> None:
    change_all(world)
    file = keep(world)
    world.put(ONE, {"k0": "edited again"})
    before = world.held(TWO)
    assert carried_out(apply(world, file, dry_run=True))["copy-to-path2"] == 1
    assert world.held(TWO) == before


def test_gates_that_were_closed_are_open_for_the_plan_and_no_others(world: World) -> None:
    world.align(TEN)
    world.remove(ONE, *list(TEN)[:8])
    assert world.run().outcome is RunOutcome.HALTED
    file = keep(world)
    assert KeptPlan.read(file).gates == {"max-delete"}
    assert carried_out(apply(world, file)) == {"delete-from-path2": 8}


def told_of(world: World, side: Side, monkeypatch: pytest.MonkeyPatch, **found: object) -> None:
    """Let the store of a side tell this of itself."""
    probe = world.hooked[side].inner.probe()
    monkeypatch.setattr(world.hooked[side], "probe", lambda **_: replace(probe, **found))  # type: ignore[arg-type]


def unmount(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    told_of(world, TWO, monkeypatch, mount="/")


def take_the_check_file(world: World, _: pytest.MonkeyPatch) -> None:
    world.put(ONE, {".here": ""})


def take_the_seal(world: World, _: pytest.MonkeyPatch) -> None:
    world.stores[TWO].remove(next(key for key in world.stores[TWO].contents() if key.startswith(SEALS)))


def empty(world: World, _: pytest.MonkeyPatch) -> None:
    world.remove(TWO, *TEN)


def delete_most(world: World, _: pytest.MonkeyPatch) -> None:
    world.remove(TWO, *list(TEN)[:6])


def change_everything(world: World, _: pytest.MonkeyPatch) -> None:
    world.put(ONE, {key: f"other {text}" for key, text in TEN.items()})


def fill_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    told_of(world, TWO, monkeypatch, free_bytes=0)


def put_the_clock_wrong(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    told_of(world, TWO, monkeypatch, skew_ns=10**15)
    world.put(ONE, {"k0": "one's"})
    world.put(TWO, {"k0": "the other's"})


GATES: dict[str, Callable[[World, pytest.MonkeyPatch], None]] = {
    "mount": unmount,
    "check-file": take_the_check_file,
    "identity": take_the_seal,
    "emptied": empty,
    "max-delete": delete_most,
    "all-changed": change_everything,
    "free-space": fill_up,
    "clock-skew": put_the_clock_wrong,
}


@pytest.mark.parametrize("gate", GATES)
def test_each_gate_names_both_ways_to_let_a_run_pass_and_each_way_opens_it(
    gate: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"mount": {"require_mount": True}, "check-file": {"check_file": ".here"}}
    world.align(TEN)
    world.job = replace(world.job, **settings.get(gate, {}))  # type: ignore[arg-type]
    world.put(ONE, {"new": "a change"})
    GATES[gate](world, monkeypatch)
    halts = [halt for halt in world.run().halts if halt.gate == gate]
    assert halts
    for halt in halts:
        assert f"--force {gate}" in halt.sentence
        assert "`bisyncer plan PAIR --out FILE`" in halt.sentence
        assert "`bisyncer apply`" in halt.sentence

    forced = Limits(force=frozenset({gate} | ({"max-delete"} if gate == "emptied" else set())))
    assert world.run(limits=forced, dry_run=True).exit_code == 0
    assert apply(world, keep(world)).outcome is RunOutcome.SUCCESS
    assert world.held(TWO)["new"] == "a change"


@pytest.mark.parametrize("gate", ["check-file", "mount", "free-space", "clock-skew"])
def test_a_gate_that_halts_a_resync_says_what_lets_that_pass(
    gate: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"mount": {"require_mount": True}, "check-file": {"check_file": ".here"}}
    world.align(TEN)
    world.job = replace(world.job, **settings.get(gate, {}))  # type: ignore[arg-type]
    world.put(ONE, {"new": "a change"})
    GATES[gate](world, monkeypatch)

    [sentence] = {halt.sentence for halt in world.run(resync=True).halts if halt.gate == gate}

    assert f"`bisyncer run PAIR --resync --force {gate}`" in sentence
    assert "apply" not in sentence
    forced = Limits(force=frozenset({gate}))
    assert world.run(resync=True, limits=forced).outcome is RunOutcome.SUCCESS


def test_a_gate_that_closes_only_now_is_closed(world: World) -> None:
    world.align(TEN)
    world.remove(ONE, *list(TEN)[:3])
    file = keep(world)

    summary = apply(world, file, limits=Limits(max_delete_count=2))

    assert [halt.gate for halt in summary.halts] == ["max-delete"]
    assert world.held(TWO) == TEN


def test_a_side_that_was_emptied_since_is_noticed(world: World) -> None:
    world.align(TEN)
    world.remove(ONE, "k0")
    file = keep(world)
    world.remove(ONE, *[key for key in TEN if key != "k0"])

    summary = apply(world, file)

    assert [halt.gate for halt in summary.halts] == ["emptied"]
    assert world.held(TWO) == TEN


def test_it_is_no_good_run_of_the_pair(world: World) -> None:
    change_all(world)
    pair = world.state.pair("p")
    assert pair is not None
    good = world.state.runs.last_good(pair.id)
    file = keep(world)
    summary = apply(world, file)
    assert summary.scope == f"plan of run {KeptPlan.read(file).run}"
    assert world.state.runs.last_good(pair.id) == good


def test_what_a_filter_leaves_out_is_forgotten_and_not_looked_at(world: World) -> None:
    world.align(TEN)
    file = keep(world, exclude=("k0",))
    assert carried_out(apply(world, file)) == {"forget": 1}
    assert world.held(ONE) == world.held(TWO) == TEN


def test_a_plan_of_other_roots_or_of_another_pair_is_refused(world: World) -> None:
    change_all(world)
    kept = KeptPlan.read(keep(world))
    before = world.held(TWO)
    for other, told in (
        (kept._replace(path2="memory://elsewhere"), "is a plan for"),
        (kept._replace(pair="q"), "is a plan of pair 'q'"),
    ):
        with pytest.raises(UsageError, match=told):
            session.run(world.job, world.endpoints, world.state, Heard(), stop=world.stop, kept=other)
    assert world.held(TWO) == before
    assert world.state.runs.newest()[0].dry_run, "no run was begun"


DAMAGE: dict[str, Callable[[bytes, list[bytes]], bytes]] = {
    "cut": lambda _, lines: b"".join(lines[:-1]),
    "cut in a line": lambda data, _: data[:-20],
    "a line less": lambda _, lines: b"".join(lines[:2] + lines[3:]),
    "edited": lambda data, _: data.replace(b"copy-to-path2", b"copy-to-path1"),
    "no verdict": lambda data, _: data.replace(b"copy-to-path2", b"copy-to-path9"),
    "more behind": lambda data, _: data + b"more",
    "empty": lambda _data, _lines: b"",
    "no JSON": lambda _data, _lines: b"\x00\xff\n",
    "another JSON": lambda _data, _lines: b'[1, 2]\n"three"\n',
    "newer": lambda _, lines: b"".join(
        [lines[0].replace(f'"schema": {SCHEMA}'.encode(), b'"schema": 99'), *lines[1:]]
    ),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_file_that_is_not_a_whole_plan_is_refused_in_one_line(world: World, how: str) -> None:
    change_all(world)
    file = keep(world)
    data = file.read_bytes()
    file.write_bytes(DAMAGE[how](data, data.splitlines(keepends=True)))

    with pytest.raises(UsageError) as refused:
        KeptPlan.read(file)

    told = str(refused.value)
    assert told.startswith(str(file))
    assert "Nothing was" in told
    assert "\n" not in told


def test_a_plan_replaces_a_plan_and_no_other_file(world: World) -> None:
    world.align(TEN)
    file = keep(world)
    assert KeptPlan.read(file).total == 0
    world.put(ONE, {"new": "1"})
    assert KeptPlan.read(keep(world)).total == 1

    file.write_text("a letter")
    with pytest.raises(UsageError, match="is no plan"):
        PlanWriter(file)
    assert file.read_text() == "a letter"
    with pytest.raises(UsageError, match="can't be written"):
        PlanWriter(world.folder / "none" / "plan")


def test_a_run_that_made_no_plan_leaves_no_file_and_the_old_one_as_it_was(world: World) -> None:
    world.align(TEN)
    file = keep(world)
    old = file.read_bytes()
    writer = PlanWriter(file)
    job = replace(world.job, dry_run=True)
    world.put(ONE, {"new": "text"})
    world.stop.set()
    session.run(job, world.endpoints, world.state, writer, stop=world.stop)

    assert writer.close() is None
    assert file.read_bytes() == old
    assert sorted(path.name for path in world.folder.glob("plan*")) == ["plan"]


def test_a_plan_that_cannot_be_kept_is_told_at_the_end() -> None:
    with pytest.raises((BisyncerError, UsageError)):
        PlanWriter(Path("/dev/full/plan"))
