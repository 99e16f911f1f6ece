from __future__ import annotations

import io
import json
from typing import Any

from bisyncer.model import Problem, RunOutcome, Side, Tally, Verdict
from bisyncer.report.events import (
    Acted,
    Checked,
    GatesClosed,
    Phase,
    PhaseBegan,
    PlanMade,
    ProblemFound,
    RunBegan,
    RunEnded,
    Scanned,
    Settled,
    SkippedPlace,
    WouldAct,
)
from bisyncer.report.jsonl import REPORT_KEYS, JsonLog, as_json, line
from tests.report.samples import BEGAN_NS, EVIL, HALT, action, done, failed, kept, summary


def test_the_report_of_a_run_is_the_contract_to_the_letter() -> None:
    run = summary(
        problems=(Problem("a/b", "It can't be read."),),
        problem_count=1,
        conflicts=((3, "x.txt"),),
        halts=(HALT,),
        outcome=RunOutcome.UNFINISHED,
        exit_code=3,
    )

    assert line(as_json(run)) == (
        '{"pair": "cms", "run": 42, "mode": "bisync", "outcome": "unfinished", '
        '"started": "2026-11-21T08:00:00Z", "duration_s": 3.2, "dry_run": false, "resync": false, '
        '"path1": "/mnt/nfs/content", "path2": "s3://cms-content/live", '
        '"scanned": {"path1": 100000, "path2": 100001}, '
        '"actions": {"copy-to-path1": 1, "copy-to-path2": 7, "move-on-path1": 0, "move-on-path2": 0, '
        '"delete-from-path1": 0, "delete-from-path2": 3, "record": 0, "forget": 0, "conflict": 1, '
        '"hold": 0}, '
        '"bytes": {"to_path1": 10, "to_path2": 71234}, '
        '"requests": {"path1": {}, "path2": {"list": 100, "put": 7}}, "unchanged": 99987, '
        '"problems": [{"key": "a/b", "problem": "It can\'t be read."}], '
        '"conflicts": [{"id": 3, "key": "x.txt"}], '
        '"halts": [{"gate": "max-delete", "sentence": "60 of 100 keys would be deleted."}], "exit_code": 3, '
        '"skipped": 0, "scope": null, "left": 0, "waiting": 0, "ahead": 0, "survived": 0, "sentence": null, '
        '"problem_count": 1}'
    )


def test_a_run_that_never_began_has_no_number() -> None:
    assert as_json(summary(run=0))["run"] is None


def test_a_report_is_plain_ascii_whatever_the_keys_hold() -> None:
    text = line(as_json(summary(problems=(Problem(EVIL, "bad\u202e"),))))
    assert text.isascii() and text.isprintable()
    assert json.loads(text)["problems"][0]["key"] == EVIL


class Clock:
    def __init__(self) -> None:
        self.now_ns = BEGAN_NS

    def __call__(self) -> int:
        return self.now_ns


def logged(*events: Any, **options: bool) -> list[dict[str, Any]]:
    stream = io.StringIO()
    log = JsonLog(stream, now_ns=Clock(), **options)
    for event in events:
        log.tell(event)
    return [json.loads(text) for text in stream.getvalue().splitlines()]


BEGIN = RunBegan("cms", 42, "/a", "/b", dry_run=False, resync=False, expected=5)


def test_each_event_is_one_object_with_its_time_level_and_pair() -> None:
    tally = Tally(unchanged=3)
    tally.verdicts[Verdict.FORGET] = 2
    rows = logged(
        BEGIN,
        PhaseBegan(Phase.APPLY, 2, 10),
        WouldAct(action(EVIL, reason="because")),
        Acted(done()),
        Acted(kept("x", "x.conflict1", Side.PATH2)),
        Settled(2, (action("r", Verdict.RECORD), action("s", Verdict.RECORD))),
        Acted(failed()),
        ProblemFound(Side.PATH1, Problem("d/", "It can't be read.")),
        SkippedPlace(Side.PATH1, Problem("link", "A symbolic link.")),
        PlanMade(tally),
        GatesClosed((HALT,)),
        RunEnded(summary()),
        verbose=True,
    )

    assert {row["time"] for row in rows} == {"2026-11-21T08:00:00Z"}
    assert {row["pair"] for row in rows} == {"cms"}
    assert [(row["level"], row["event"]) for row in rows] == [
        ("info", "run-began"),
        ("info", "phase-began"),
        ("info", "would-act"),
        ("info", "acted"),
        ("info", "acted"),
        ("info", "acted"),
        ("info", "acted"),
        ("warning", "failed"),
        ("warning", "problem"),
        ("debug", "skipped"),
        ("info", "plan-made"),
        ("error", "halted"),
        ("info", "run-ended"),
    ]
    assert (rows[2]["key"], rows[2]["reason"]) == (EVIL, "because")
    assert (rows[4]["winner"], rows[4]["kept_as"]) == ("path2", "x.conflict1")
    assert rows[10]["actions"] == {"forget": 2}


def test_quiet_leaves_out_what_went_well_and_only_verbose_tells_what_was_skipped() -> None:
    events = (BEGIN, Acted(done()), Acted(failed()), SkippedPlace(Side.PATH1, Problem("link", "A link.")))
    assert [row["event"] for row in logged(*events, quiet=True)] == ["failed"]
    assert "skipped" not in [row["event"] for row in logged(*events)]


def test_counts_of_a_long_phase_are_logged_every_ten_seconds() -> None:
    stream, clock = io.StringIO(), Clock()
    log = JsonLog(stream, now_ns=clock)
    log.tell(PhaseBegan(Phase.SCAN))
    for step in range(1, 25):
        clock.now_ns += 10**9
        log.tell(Scanned(Side.PATH1, step * 1000))
    log.tell(Checked(7))

    rows = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert [row["keys"] for row in rows if row["event"] == "scanned"] == [10000, 20000]


def test_a_log_that_is_gone_stops_no_run() -> None:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "No space left on device")

    JsonLog(Full()).tell(BEGIN)
    closed = io.StringIO()
    closed.close()
    JsonLog(closed).tell(BEGIN)


def test_the_keys_of_a_report_are_the_keys_that_lists_of_reports_have() -> None:
    assert tuple(as_json(summary())) == REPORT_KEYS
