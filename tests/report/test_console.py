from __future__ import annotations

from dataclasses import replace
from typing import Any

from bisyncer.model import Problem, RunOutcome, Side, Verdict
from bisyncer.report.console import Answer, Several
from bisyncer.report.events import Acted, Event, RunEnded, Settled, WouldAct
from tests.report.samples import EVIL, EVIL_SHOWN, HALT, action, done, failed, kept, summary


def said(*events: Event, **options: Any) -> list[str]:
    lines: list[str] = []
    answer = Answer(lines.append, **options)
    for event in events:
        answer.tell(event)
    return lines


def test_an_action_is_its_verdict_its_key_and_what_each_side_did() -> None:
    assert said(Acted(done("reports/q3.pdf"))) == ["copy-to-path2 reports/q3.pdf (changed / unchanged)"]
    assert said(WouldAct(action("reports/q3.pdf"))) == ["copy-to-path2 reports/q3.pdf (changed / unchanged)"]


def test_keys_that_were_recorded_together_have_a_line_each() -> None:
    recorded = [action("a", Verdict.RECORD), action("b\nc", Verdict.RECORD)]
    lines = ["record a (changed / unchanged)", "record b\\nc (changed / unchanged)"]
    assert said(Settled(2, recorded)) == ["\n".join(lines)]
    assert said(Settled(2, recorded), quiet=True) == []


def test_a_conflict_says_who_keeps_the_name_and_where_the_other_version_is() -> None:
    assert said(Acted(kept("x", "x.conflict1", Side.PATH2))) == [
        "conflict x (changed / changed): path2 keeps the name, path1's version is x.conflict1"
    ]
    would = action("x", Verdict.CONFLICT, winner=Side.PATH1)
    for replaces, what in (
        (False, "kept beside it"),
        (True, "replaced, and kept in the trash or by its bucket"),
    ):
        assert said(WouldAct(would, replaces)) == [
            f"conflict x (changed / unchanged): path1 would keep the name, path2's version would be {what}"
        ]


def test_a_reason_is_told_in_the_place_of_what_each_side_did() -> None:
    left_out = action("a.tmp", Verdict.FORGET, reason="excluded now, and left alone on both sides")
    assert said(WouldAct(left_out)) == ["forget a.tmp: excluded now, and left alone on both sides"]


def test_what_failed_is_told_once_with_the_problems() -> None:
    run = summary(
        outcome=RunOutcome.UNFINISHED, problems=(Problem("a.txt", "Full."),), problem_count=3, exit_code=3
    )
    assert said(Acted(failed()), RunEnded(run)) == [
        "problem a.txt: Full.",
        "and 2 more problems: bisyncer problems cms",
        (
            "cms: unfinished in 3.2 s: copy-to-path1 1 (10 B), copy-to-path2 7 (71.2 kB), "
            "delete-from-path2 3, conflict 1; 99,987 unchanged; 3 problems"
        ),
    ]


def test_the_last_line_tells_the_whole() -> None:
    assert said(RunEnded(summary(actions={}))) == ["cms: success in 3.2 s: nothing to do; 99,987 unchanged"]
    run = summary(actions={"record": 1}, resync=True, conflicts=((3, "x"),))
    [line] = said(RunEnded(run))
    assert line == (
        "cms: success (resync) in 3.2 s: record 1; 99,987 unchanged; "
        "1 new conflict: bisyncer conflicts list cms"
    )


def test_a_dry_run_names_no_list_for_conflicts_that_are_in_none() -> None:
    [line] = said(RunEnded(summary(actions={"conflict": 1}, dry_run=True, conflicts=((None, "x"),))))
    assert line == "cms: success (dry run) in 3.2 s: conflict 1; 99,987 unchanged"


def test_no_key_and_no_sentence_speaks_to_the_terminal() -> None:
    run = summary(problems=(Problem(EVIL, f"{EVIL} is bad."),), problem_count=1)
    lines = said(
        Acted(done(EVIL)),
        Acted(kept(EVIL, EVIL, Side.PATH1)),
        WouldAct(action(EVIL, reason="a\nb")),
        RunEnded(run),
    )
    assert all(line.isprintable() for line in lines)
    assert sum(EVIL_SHOWN in line for line in lines) == 4


def test_quiet_says_only_what_somebody_should_look_at() -> None:
    assert said(Acted(done()), RunEnded(summary()), quiet=True) == []
    halted = summary(outcome=RunOutcome.HALTED, halts=(HALT,), exit_code=5, actions={})
    assert said(RunEnded(halted), quiet=True) == [
        "cms: halted in 3.2 s: nothing was changed; closed: max-delete"
    ]
    assert len(said(RunEnded(summary(conflicts=((1, "x"),))), quiet=True)) == 1


def test_several_hear_each_event_in_their_order() -> None:
    lines: list[str] = []
    Several(
        Answer(lambda line: lines.append("1" + line)), Answer(lambda line: lines.append("2" + line))
    ).tell(Acted(done()))
    assert [line[0] for line in lines] == ["1", "2"]


def test_a_run_that_failed_before_it_listed_anything_leaves_the_word_to_the_error() -> None:
    failed_run = summary(outcome=RunOutcome.FAILED, actions={}, exit_code=2)
    assert len(said(RunEnded(failed_run))) == 1
    assert said(RunEnded(replace(failed_run, scanned={Side.PATH1: 0, Side.PATH2: 0}))) == []


def test_a_halted_plan_tells_on_its_last_line_what_was_planned() -> None:
    halted = summary(
        outcome=RunOutcome.HALTED, halts=(HALT,), exit_code=5, actions={"delete-from-path2": 60}, dry_run=True
    )
    assert said(RunEnded(halted)) == [
        (
            "cms: halted (dry run) in 3.2 s: nothing was changed; closed: max-delete; "
            "planned: delete-from-path2 60"
        )
    ]


def test_what_was_skipped_is_counted_on_the_last_line() -> None:
    assert said(RunEnded(summary(actions={}, skipped=2))) == [
        "cms: success in 3.2 s: nothing to do; 99,987 unchanged; 2 skipped: --verbose names them"
    ]
