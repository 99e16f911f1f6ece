from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from bisyncer.cli import running
from bisyncer.core.reserved import is_reserved
from bisyncer.endpoints.local import LocalEndpoint
from bisyncer.state.lease import Lease
from tests.desk import Desk, held, put

KEYS = [
    "pair",
    "run",
    "mode",
    "outcome",
    "started",
    "duration_s",
    "dry_run",
    "resync",
    "path1",
    "path2",
    "scanned",
    "actions",
    "bytes",
    "requests",
    "unchanged",
    "problems",
    "conflicts",
    "halts",
    "exit_code",
    "skipped",
    "scope",
    "left",
    "waiting",
    "ahead",
    "survived",
    "sentence",
    "problem_count",
]


def test_a_run_names_each_action_once_and_then_tells_the_whole(desk: Desk) -> None:
    desk.align(files=3)
    put(desk.one, {"new.txt": "12345"})
    put(desk.two, {"f001": "changed"})
    (desk.one / "f002").unlink()

    answer = desk("run")

    assert (answer.code, answer.err) == (0, "")
    assert sorted(answer.lines[:3]) == [
        "copy-to-path1 f001 (unchanged / changed)",
        "copy-to-path2 new.txt (new / absent)",
        "delete-from-path2 f002 (deleted / unchanged)",
    ]
    assert re.fullmatch(
        r"cms: success in [0-9.]+ s: copy-to-path1 1 \(7 B\), copy-to-path2 1 \(5 B\), delete-from-path2 1; "
        r"1 unchanged",
        answer.lines[3],
    )
    assert held(desk.one) == held(desk.two)
    [line] = desk("run").lines
    assert line.endswith(" s: nothing to do; 3 unchanged")


def test_the_json_of_a_run_is_one_line_a_pair_in_the_order_of_the_contract(desk: Desk) -> None:
    desk.align({"cms": "", "media": ""})
    put(desk.one, {"a": "12345"})

    answer = desk("run", "cms", "media", "--json")

    assert (answer.code, answer.err) == (0, "")
    first, second = map(json.loads, answer.lines)
    assert list(first) == list(second) == KEYS
    assert (first["pair"], second["pair"]) == ("cms", "media")
    assert first["path1"] == str(desk.one)
    assert first["actions"]["copy-to-path2"] == 1
    assert first["bytes"] == {"to_path1": 0, "to_path2": 5}
    assert (first["outcome"], first["exit_code"], first["run"]) == ("success", 0, 3)


def test_a_dry_run_has_the_same_numbers_and_changes_nothing(desk: Desk) -> None:
    desk.align(files=2)
    put(desk.one, {"a": "12345"})
    put(desk.two, {"f000": "changed"})
    before = held(desk.one), held(desk.two)

    dry = desk("run", "--dry-run", "--json").json
    assert (held(desk.one), held(desk.two)) == before
    wet = desk("run", "--json").json

    assert dry["dry_run"] is True
    for key in ("scanned", "actions", "bytes", "unchanged", "outcome"):
        assert dry[key] == wet[key]


def test_the_only_pair_needs_no_name_and_one_of_several_does(desk: Desk) -> None:
    desk.align({"cms": "", "media": ""})
    answer = desk("run")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "bisyncer: Which pair? Name one or more of: cms, media; or say --all.\n"
    assert [line.partition(":")[0] for line in desk("run", "--all").lines] == ["cms", "media"]
    assert [line.partition(":")[0] for line in desk("run", "media", "media").lines] == ["media"]


def test_quiet_says_nothing_of_a_run_that_went_well(desk: Desk) -> None:
    desk.align()
    put(desk.one, {"a": "x"})
    assert desk("run", "-q") == (0, "", "")


def test_the_log_can_be_json_while_the_answer_stays_text(desk: Desk) -> None:
    desk.align()
    put(desk.one, {"a": "x"})
    answer = desk("run", "--log-format", "json")
    events = [json.loads(line) for line in answer.err.splitlines()]
    assert answer.lines[0] == "copy-to-path2 a (new / absent)"
    assert {event["pair"] for event in events} == {"cms"}
    assert {"run-began", "phase-began", "acted", "run-ended"} <= {event["event"] for event in events}


def test_verbose_tells_the_phases_on_stderr(desk: Desk) -> None:
    desk.align()
    (desk.one / "link").symlink_to("nowhere")
    answer = desk("run", "-v")
    assert f"cms: run 2: {desk.one} and {desk.two}\n" in answer.err
    assert "cms: scan\n" in answer.err
    assert "cms: skipped link: " in answer.err


# Exit codes


def test_0_done(desk: Desk) -> None:
    desk.align()
    assert desk("run").code == 0


def test_1_failed_is_told_and_is_in_the_report(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.align()

    def broken(*_: object) -> None:
        raise RuntimeError("no\nidea")

    monkeypatch.setattr(running, "opened_pair", broken)
    answer = desk("run", "--json")
    assert answer.code == 1
    assert answer.err == (
        "bisyncer: cms: internal error: RuntimeError: no\\nidea "
        "(this is a bug; run with --verbose for the traceback)\n"
    )
    assert (answer.json["outcome"], answer.json["run"], answer.json["exit_code"]) == ("failed", None, 1)


def test_3_done_with_problems_that_stay_listed(desk: Desk) -> None:
    desk.align()
    put(desk.one, {"name": "a file"})
    put(desk.two, {"name/inside": "a folder of that name"})
    put(desk.one, {"fine": "x"})

    answer = desk("run")

    assert answer.code == 3
    assert "copy-to-path2 fine (new / absent)" in answer.lines
    assert any(line.startswith("problem name") for line in answer.lines)
    assert answer.lines[-1].startswith("cms: unfinished in ")
    assert desk("run", "-q").lines[-1].startswith("cms: unfinished in ")
    assert desk("run", "--json").json["exit_code"] == 3


def test_4_conflicts_wait_where_that_was_asked_for(desk: Desk) -> None:
    desk.align()
    desk.clash()
    assert desk("run").code == 0
    answer = desk("run", "--fail-on-conflict")
    assert (answer.code, answer.err) == (
        4,
        "bisyncer: cms: 1 conflict waits: bisyncer conflicts list cms\n",
    )
    assert desk("run", "--fail-on-conflict", "--json").json["exit_code"] == 4
    assert [run["exit_code"] for run in desk("history", "--json").json[:3]] == [4, 4, 0]
    assert re.search(r": nothing to do; \d unchanged", desk("run", "--fail-on-conflict").out)
    assert desk("run", "--fail-on-conflict", "--quiet").out == ""
    assert desk("conflicts", "resolve", "1", "--keep", "both").code == 0
    assert desk("run", "--fail-on-conflict").code == 0


def test_a_dry_run_tells_the_conflicts_of_the_run_that_follows_and_ends_as_it_does(desk: Desk) -> None:
    desk.align(files=1)
    put(desk.one, {"f000": "of one"})
    put(desk.two, {"f000": "of the two", "other": ""})

    dry = desk("run", "--dry-run", "--fail-on-conflict", "--json")
    run = desk("run", "--fail-on-conflict", "--json")

    assert (dry.code, run.code) == (4, 4)
    assert dry.err == "bisyncer: cms: 1 conflict would wait for a person.\n"
    assert dry.json["conflicts"] == [{"id": None, "key": "f000"}]
    assert run.json["conflicts"] == [{"id": 1, "key": "f000"}]


def test_a_dry_run_tells_no_conflict_whose_loser_would_be_replaced(desk: Desk) -> None:
    desk.align({"cms": "conflict_loser = 'delete'"}, files=1)
    put(desk.one, {"f000": "of one"})
    put(desk.two, {"f000": "of the two"})

    for how in (["--dry-run"], []):
        answer = desk("run", "--fail-on-conflict", "--json", *how)
        assert (answer.code, answer.json["conflicts"]) == (0, [])
        assert answer.json["actions"]["conflict"] == 1


def test_5_halted_says_which_gate_and_force_opens_it_once(desk: Desk) -> None:
    desk.align(files=12)
    for number in range(7):
        (desk.one / f"f{number:03}").unlink()

    answer = desk("run")
    assert answer.code == 5
    assert answer.err.startswith(
        "bisyncer: cms: halted by max-delete: 7 of 12 keys would be deleted from path2"
    )
    assert answer.lines[-1].startswith("cms: halted in ")
    report = desk("run", "--json").json
    assert (report["outcome"], report["exit_code"]) == ("halted", 5)
    assert report["halts"][0]["gate"] == "max-delete"
    assert len(held(desk.two)) == 12

    assert desk("run", "--force", "emptied").code == 5
    assert desk("run", "--force", "max-delete").code == 0
    assert len(held(desk.two)) == 5


def test_5_a_limit_of_this_run_only(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.align(files=12)
    (desk.one / "f000").unlink()
    assert desk("run", "--max-delete", "0").code == 5
    monkeypatch.setenv("BISYNCER_MAX_DELETE", "0")
    assert desk("run").code == 5
    assert desk("run", "--max-delete", "off").code == 0


def test_6_another_run_holds_the_pair(desk: Desk) -> None:
    desk.align()
    store = desk.store()
    pair = store.pair("cms")
    assert pair is not None
    with Lease.take(store, pair):
        answer = desk("run", "--json")
    store.close()
    assert answer.code == 6
    assert answer.err.startswith("bisyncer: cms: ")
    assert (answer.json["outcome"], answer.json["exit_code"]) == ("leased", 6)


def test_7_never_aligned(desk: Desk) -> None:
    desk.configure()
    answer = desk("run", "--json")
    assert answer.code == 7
    assert "Run `bisyncer init cms --resync` once; it deletes nothing." in answer.err
    assert answer.json["outcome"] == "needs-resync"


def test_of_several_pairs_the_most_serious_code_counts_and_each_has_its_turn(desk: Desk) -> None:
    desk.align({"cms": "", "media": "", "docs": ""})
    put(desk.one, {"x": "a file"})
    put(desk.two, {"x/y": "a folder"})
    shutil.rmtree(desk.folder / "media2")
    put(desk.folder / "docs1", {"a": "x"})

    answer = desk("run", "--all", "--json")

    assert [json.loads(line)["exit_code"] for line in answer.lines] == [3, 2, 0]
    assert answer.code == 2
    assert held(desk.folder / "docs2") == {"a": "x"}


def test_a_secret_that_one_pair_misses_keeps_no_other_from_its_turn(desk: Desk) -> None:
    desk.align({"cms": "", "media": "", "docs": ""})
    put(desk.one, {"a": "x"})
    put(desk.folder / "docs1", {"a": "x"})
    text = desk.config.read_text().replace(f'path2 = "{desk.folder / "media2"}"', 'path2 = "m:bucket"')
    desk.config.write_text(
        text + '[remotes.m]\ntype = "s3"\nendpoint_url = "http://127.0.0.1:1"\n'
        'secret_access_key_env = "NOT_SET"\n'
    )

    answer = desk("run", "--all")

    assert answer.code == 2
    assert "bisyncer: media: " in answer.err
    assert "the environment has no NOT_SET" in answer.err
    assert held(desk.two) == held(desk.folder / "docs2") == {"a": "x"}
    put(desk.one, {"b": "x"})
    assert desk("run", "cms", "media").code == 2, "who names the pairs is told before anything is done"
    assert held(desk.two) == {"a": "x"}


Write = Callable[..., Any]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_lets_what_is_in_flight_be_finished(
    number: signal.Signals, code: int, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.align({"cms": "transfers = 1", "media": ""})
    put(desk.one, {f"f{key:03}": f"text {key}" for key in range(200)})
    put(desk.folder / "media1", {"a": "x"})
    real: Write = LocalEndpoint.write
    before = signal.getsignal(number)
    written: list[str] = []

    def write(self: LocalEndpoint, key: str, *arguments: Any, **options: Any) -> Any:
        if is_reserved(key):
            return real(self, key, *arguments, **options)
        if not written:
            os.kill(os.getpid(), number)
        written.append(key)
        return real(self, key, *arguments, **options)

    monkeypatch.setattr(LocalEndpoint, "write", write)
    answer = desk("run", "--all", "--json")

    assert answer.code == code
    assert answer.err.startswith("bisyncer: stopping: finishing what is in flight, then committing.")
    [report] = map(json.loads, answer.lines)
    assert (report["outcome"], report["exit_code"]) == ("interrupted", code)
    assert desk("history", "--json").json[0]["exit_code"] == code
    assert held(desk.two).keys() == set(written)
    assert 0 < len(written) < 200
    assert held(desk.folder / "media2") == {}, "no other pair is begun"
    assert signal.getsignal(number) is before
    monkeypatch.setattr(LocalEndpoint, "write", real)
    assert desk("run", "--all").code == 0
    assert held(desk.two) == held(desk.one)


def test_a_signal_is_told_as_json_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.align()
    put(desk.one, {"a": "x"})
    real: Write = LocalEndpoint.write

    def write(self: LocalEndpoint, key: str, *arguments: Any, **options: Any) -> Any:
        if not is_reserved(key):
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, key, *arguments, **options)

    monkeypatch.setattr(LocalEndpoint, "write", write)
    told = [json.loads(line) for line in desk("run", "--log-format", "json", "-q").err.splitlines()]

    assert [row["sentence"].partition(":")[0] for row in told] == ["stopping"]


SLOW = """
import sys, time
from bisyncer.endpoints.local import LocalEndpoint
from bisyncer.cli.app import main
def write(self, *arguments, **options):
    sys.stderr.write("writing\\n")
    time.sleep(600)
LocalEndpoint.write = write
main(["run"])
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_second_signal_ends_it_at_once(number: signal.Signals, code: int, desk: Desk) -> None:
    desk.align()
    put(desk.one, {"a": "x"})
    with desk.process(program=["-c", SLOW]) as process:
        assert process.stderr
        assert process.stderr.readline() == "writing\n"
        process.send_signal(number)
        assert process.stderr.readline().startswith("bisyncer: stopping")
        process.send_signal(number)
        assert process.wait(30) == code
    assert desk("run").code in {0, 6}, "a killed run's lease runs out by itself"


def test_a_reader_who_leaves_does_not_stop_a_run(desk: Desk) -> None:
    desk.align()
    put(desk.one, {f"{number}": "x" for number in range(300)})
    process = desk.process("run")
    assert process.stdout and process.stderr
    process.stdout.close()
    with process:
        assert process.wait(60) == 0
        assert process.stderr.read() == ""
    assert held(desk.two) == held(desk.one)


def test_a_reader_who_leaves_hides_no_halt(desk: Desk) -> None:
    desk.align(files=12)
    for path in desk.one.glob("f*"):
        path.unlink()
    process = desk.process("run")
    assert process.stdout and process.stderr
    process.stdout.close()
    with process:
        assert process.wait(60) == 5


def test_a_missing_root_is_one_line(desk: Desk) -> None:
    desk.align()
    shutil.rmtree(desk.two)
    answer = desk("run")
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)


def test_a_pair_is_named_once_in_a_sentence(desk: Desk) -> None:
    desk.configure()
    answer = desk("run")
    assert answer.code == 7
    assert answer.err.startswith("bisyncer: Pair 'cms' ")


def test_what_was_just_written_waits_and_status_tells_how_many(desk: Desk) -> None:
    desk.align({"cms": 'min_age = "1h"'})
    put(desk.one, {"a": "1", "b": "2"})
    old = time.time() - 7200
    os.utime(desk.one / "b", (old, old))

    answer = desk("run")

    assert (answer.code, answer.err) == (0, "")
    assert answer.lines[-1].endswith("; 1 waiting until min_age")
    assert desk("status", "--json").json[0]["waiting"] == 1
    assert list(held(desk.two)) == ["b"]
    assert "waits for a later run" in desk("plan", "cms", "--explain", "a").out


def test_what_is_skipped_is_counted(desk: Desk) -> None:
    desk.align()
    for number in range(3):
        (desk.one / f"link{number}").symlink_to("nowhere")
    assert desk("run").out.endswith("; 3 skipped: --verbose names them\n")
    assert desk("run", "--json").json["skipped"] == 3
