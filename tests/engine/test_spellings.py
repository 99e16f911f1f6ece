"""A name that each side spells in its own way is told and not doubled, or gets one spelling."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bisyncer.endpoints import memory
from bisyncer.engine import session
from bisyncer.engine.kept_plan import KeptPlan, PlanWriter
from bisyncer.errors import Clash, Rejected
from bisyncer.job import Evidence, MatchNames, Policy, Scope
from bisyncer.model import Algorithm, Digest, Mode, Problem, RunOutcome, Side, Summary
from bisyncer.report.events import Silent
from tests.engine.test_kept_plan import apply, keep
from tests.folding import folding_world
from tests.world import ONE, TWO, World, carried_out

NFC, NFD = "caf\u00e9", "cafe\u0301"
FOLDED = Policy(match_names=MatchNames.FOLDED)
FIXED = replace(FOLDED, fix_case=True)


def problems(summary: Summary) -> dict[str, str]:
    return {problem.key: problem.sentence for problem in summary.problems}


@pytest.mark.parametrize("resync", [True, False])
def test_two_spellings_in_unicode_are_told_on_both_keys_and_neither_is_copied(
    world: World, resync: bool
) -> None:
    world.align({"other": "text"})
    world.put(ONE, {NFC: "text", "new": "more"})
    world.put(TWO, {NFD: "text"})

    for copied in (1, 0):
        summary = world.run(resync=resync)

        assert summary.exit_code == 3
        assert (summary.actions["copy-to-path2"], summary.actions["hold"]) == (copied, 2)
        assert problems(summary).keys() == {NFC, NFD}
        assert all(
            r"path1 spells it 'caf\xe9', path2 'cafe\u0301'" in text for text in problems(summary).values()
        )
    assert set(world.held(ONE)) == {"other", "new", NFC}
    assert set(world.held(TWO)) == {"other", "new", NFD}


def test_when_somebody_renames_one_of_two_spellings_the_pair_comes_to_rest(world: World) -> None:
    world.align({NFC: "text"}, {NFD: "text"})
    world.rename(TWO, NFD, NFC)

    summary = world.run()

    assert (summary.exit_code, carried_out(summary)) == (0, {"record": 1})
    assert world.state.problems.told("p") == []
    assert world.plan() == []


def test_upper_and_lower_case_are_two_names_unless_they_are_to_be_folded(world: World) -> None:
    world.align({"README": "text"}, {"readme": "text"})

    assert world.held(ONE) == world.held(TWO) == {"README": "text", "readme": "text"}


def test_folded_names_are_told(world: World) -> None:
    world.job = replace(world.job, policy=FOLDED)
    summary = world.align({"README": "text"}, {"readme": "text"})

    assert problems(summary).keys() == {"README", "readme"}
    assert all("'README'" in text and "'readme'" in text for text in problems(summary).values())


def test_exact_matches_no_spellings(world: World) -> None:
    world.job = replace(world.job, policy=Policy(match_names=MatchNames.EXACT))
    summary = world.align({NFC: "text"}, {NFD: "text"})

    assert summary.outcome is RunOutcome.SUCCESS
    assert set(world.held(ONE)) == set(world.held(TWO)) == {NFC, NFD}


def test_names_that_both_sides_hold_in_each_spelling_are_names_of_their_own(world: World) -> None:
    world.job = replace(world.job, policy=FIXED)
    world.align({"Makefile": "one", "makefile": "two"})
    world.put(ONE, {"MAKEFILE": "three"})

    assert carried_out(world.run()) == {"copy-to-path2": 1}
    assert world.plan(policy=FIXED) == []


def test_of_three_new_spellings_all_are_told(world: World) -> None:
    world.job = replace(world.job, policy=FIXED)
    world.align({"other": "text"})
    world.put(ONE, {"A": "1", "a": "2", "\u00c5": "another letter"})
    world.put(TWO, {"\u00e5": "another letter", "\u0041 ": "3", "b": "4", "B": "5"})

    assert carried_out(world.run()) == {"copy-to-path2": 2, "copy-to-path1": 3, "move-on-path2": 1}
    world.put(ONE, {"aB": "1", "ab": "2"})
    world.put(TWO, {"AB": "3"})

    summary = world.run()

    assert carried_out(summary) == {"hold": 3}
    assert problems(summary) == {
        "aB": "is another spelling of 'AB', 'ab', so none of them is copied. Rename all but one.",
        "ab": "is another spelling of 'AB', 'aB', so none of them is copied. Rename all but one.",
        "AB": "is another spelling of 'aB', 'ab', so none of them is copied. Rename all but one.",
    }


def test_fix_case_gives_the_name_on_path2_the_spelling_of_path1(world: World) -> None:
    world.job = replace(world.job, policy=FIXED)
    summary = world.align({"Dir/README": "text", NFC: "more"}, {"dir/readme": "text", NFD: "more"})

    assert summary.outcome is RunOutcome.SUCCESS
    assert carried_out(summary) == {"move-on-path2": 2}
    assert world.held(ONE) == world.held(TWO) == {"Dir/README": "text", NFC: "more"}
    assert world.plan(policy=FIXED) == []


def test_fix_case_records_no_digests_that_differ_where_the_size_is_enough(world: World) -> None:
    world.job = replace(world.job, policy=replace(FIXED, compare=frozenset({Evidence.SIZE})))
    for hooked in world.hooked.values():
        scan = hooked.scan

        def listed(low: str = "", high: str | None = None, scan: Any = scan, side: Any = hooked) -> Any:
            contents = memory.store(side.root.removeprefix("memory://")).contents()
            for entry in scan(low, high):
                md5 = hashlib.md5(contents[entry.key]).hexdigest()
                yield entry._replace(digests=(Digest(Algorithm.MD5, md5),))

        hooked.scan = listed  # type: ignore[method-assign]

    summary = world.align({"README": "eu-west"}, {"readme": "us-west"})

    assert carried_out(summary) == {"move-on-path2": 1}
    assert world.plan() == []


def test_a_dry_run_has_the_numbers_of_the_run_that_follows(world: World) -> None:
    world.job = replace(world.job, policy=FIXED)
    world.put(ONE, {"A": "1"})
    world.put(TWO, {"a": "1"})
    world.init()
    dry = world.run(resync=True, dry_run=True)
    told = world.run(resync=True, dry_run=True, policy=FOLDED)

    assert carried_out(told) == {"hold": 2}
    assert carried_out(dry) == carried_out(world.run(resync=True)) == {"move-on-path2": 1}


def test_fix_case_of_two_contents_makes_a_conflict_that_keeps_both(world: World) -> None:
    world.job = replace(world.job, policy=FIXED)
    world.align({"README": "one's text"}, {"readme": "the other's"})
    summary = world.run()

    assert carried_out(summary) == {"conflict": 1}
    assert world.held(ONE) == world.held(TWO)
    assert sorted(world.held(ONE).values()) == ["one's text", "the other's"]
    assert "README" in world.held(ONE)


@pytest.mark.parametrize("text", ["same", "another"])
def test_a_store_that_cannot_rename_loses_neither_content(world: World, text: str) -> None:
    world.job = replace(world.job, policy=FIXED)

    def refuse(method: str, _key: str) -> None:
        if method == "move":
            raise Rejected("it can't be renamed here")

    world.hooked[TWO].before = refuse
    summary = world.align({"README": "same"}, {"readme": text})

    assert {*world.held(ONE).values(), *world.held(TWO).values()} == {"same", text}
    assert summary.exit_code == (0 if text == "same" else 3)


@pytest.mark.parametrize("edited", Side)
def test_a_name_that_is_edited_while_its_spelling_is_fixed_is_not_doubled(world: World, edited: Side) -> None:
    world.job = replace(world.job, policy=FIXED)
    key = {ONE: "README", TWO: "readme"}[edited]

    def edit(method: str, _key: str) -> None:
        if method == "move":
            world.hooked[TWO].before = lambda _method, _key: None
            world.put(edited, {key: "edited meanwhile"})

    world.hooked[TWO].before = edit
    world.align({"README": "text"}, {"readme": "text"})
    for _ in range(2):
        world.run()

    assert world.held(ONE) == world.held(TWO)
    assert "readme" not in world.held(ONE)
    assert "edited meanwhile" in world.held(ONE).values()


def test_a_kept_plan_carries_out_its_fixed_spellings(world: World, tmp_path: Path) -> None:
    world.align({"other": "text"})
    world.put(ONE, {"README": "text"})
    world.put(TWO, {"readme": "text"})
    writer = PlanWriter(tmp_path / "plan")
    job = replace(world.job, policy=FIXED)
    session.run(replace(job, dry_run=True), world.endpoints, world.state, writer, stop=world.stop)
    writer.close()
    kept = KeptPlan.read(tmp_path / "plan")

    summary = session.run(
        replace(job, scope=Scope(plan=kept.run)),
        world.endpoints,
        world.state,
        Silent(),
        stop=world.stop,
        kept=kept,
    )

    assert carried_out(summary) == {"move-on-path2": 1}
    assert world.held(ONE) == world.held(TWO) == {"README": "text", "other": "text"}


def test_the_problem_of_a_content_that_cannot_be_compared_says_why(world: World) -> None:
    world.job = replace(world.job, policy=FIXED)

    def fail(method: str, _key: str) -> None:
        if method == "read":
            raise Rejected("it may not be read")

    world.hooked[ONE].before = fail
    summary = world.align({"README": "text"}, {"readme": "text"})

    assert summary.problems[0] == Problem(
        "README", "can't be compared with its other spelling: it may not be read"
    )
    assert summary.problem_count == 2


def test_an_edit_on_a_path2_that_folds_case_does_not_pass_for_the_file_that_path1_respelled(
    tmp_path: Path,
) -> None:
    world = folding_world(tmp_path, TWO)
    world.job = replace(world.job, mode=Mode.MIRROR)
    world.align({"README": "text", "b": "other"})
    world.rename(ONE, "README", "readme")
    world.put(TWO, {"README": "edited"})

    for _ in range(3):
        world.run()

    assert world.held(TWO) == world.held(ONE) == {"readme": "text", "b": "other"}
    assert "edited" in world.trash(TWO).values()
    world.close()


def test_a_kept_plan_spells_a_name_anew_whose_content_is_another(tmp_path: Path) -> None:
    world = folding_world(tmp_path, TWO)
    world.align({"README": "text", "b": "other"})
    world.remove(ONE, "README")
    world.put(ONE, {"readme": "another text"})
    file = keep(world)

    assert carried_out(apply(world, file)) == {"move-on-path2": 1}
    assert carried_out(world.run()) == {"copy-to-path2": 1}
    assert world.held(TWO) == world.held(ONE) == {"readme": "another text", "b": "other"}
    world.close()


def test_a_conflict_passes_over_a_name_that_a_side_holds_in_another_spelling(tmp_path: Path) -> None:
    world = folding_world(tmp_path, TWO)
    world.align({"a.conflict1": "an older one", "A": "text"})
    world.put(ONE, {"A": "written in one"})
    world.put(TWO, {"A": "then in two"})

    summary = world.run()

    assert (summary.outcome, len(world.conflicts())) == (RunOutcome.SUCCESS, 1)
    assert world.held(ONE) == world.held(TWO)
    assert set(world.held(ONE)) == {"a.conflict1", "A", "A.conflict2"}
    world.close()


def test_a_directory_that_was_spelled_anew_meanwhile_does_not_keep_a_conflict_looking_for_names(
    tmp_path: Path,
) -> None:
    world = folding_world(tmp_path, TWO)
    world.align({"Docs/a": "text", "b": "other"})
    world.put(ONE, {"Docs/a": "written in one"})
    world.put(TWO, {"Docs/a": "then in two"})

    def refuse(method: str, key: str) -> None:
        if method == "write" and ".conflict" in key:
            raise Clash("Docs: is spelled 'docs' here")

    world.hooked[TWO].before = refuse

    assert [problem.key for problem in world.run().problems] == ["Docs/a"]
    assert world.held(TWO)["Docs/a"] == "then in two"
    world.close()
