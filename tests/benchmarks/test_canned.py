"""A benchmark beside the server with canned pages: the tools run, and what they ask for is counted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.canned import Bucket
from benchmarks.case import Bench, Turn
from benchmarks.cases import LONG, Case, no_change_canned
from benchmarks.measure import measure
from benchmarks.place import Place
from benchmarks.result import shown
from bisyncer.endpoints import listing


def test_a_page_begins_where_the_one_before_ends_and_has_what_was_put_there_later(tmp_path: Path) -> None:
    for name in ("a/1", "a/2", "b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    bucket = Bucket(tmp_path, "p")
    bucket.put("p/a/3", b"later", "0")
    bucket.put("q", b"elsewhere", "0")
    bucket.delete("p/a/1")
    found = []
    after = ""
    while True:
        page = listing.parse(bucket.page("p/", after, "", 2))
        found += [row.key for row in page.rows]
        if not page.truncated:
            break
        assert page.token
        after = bytes.fromhex(page.token).decode()

    assert found == ["p/a/2", "p/a/3", "p/b"]
    assert b"<KeyCount>2</KeyCount>" in bucket.page("p/", "", "/", 1000)
    assert b"<Prefix>p/a/</Prefix>" in bucket.page("p/", "", "/", 1000)
    assert [row.key for row in listing.parse(bucket.page("p/", "p/a/", "/", 1000)).rows] == ["p/b"]


def test_an_unchanged_pair_beside_canned_pages_is_measured_and_its_requests_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = benchmarks.main(
        ["--runs", "1", "--work", str(tmp_path), "--json", str(tmp_path / "results"), "--tool", "bisyncer"],
        [no_change_canned(1001)],
    )

    assert done == 0
    (file,) = (tmp_path / "results").iterdir()
    told = json.loads(file.read_text())
    (run,) = told["cases"]["no change, canned pages, 1001"]["bisyncer"]
    assert run["cpu_s"] > 0
    assert run["peak_mib"] > 1
    assert run["requests"]["LIST"] <= 2 + 1, "two pages, and one look at the bucket"
    assert run["requests"].get("HEAD", 0) == 0
    assert told["commands"]["bisyncer"] == "bisyncer run PAIR --quiet --config CONFIG"
    assert "LIST" in capsys.readouterr().out


def test_a_tool_that_fails_is_told_and_the_case_is_not_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = no_change_canned(1)
    failing = Case(
        "c", 1, lambda bench: (t._replace(command=lambda _: ["false"]) for t in case.prepare(bench))
    )

    assert benchmarks.main(["--runs", "1", "--work", str(tmp_path), "--tool", "s5cmd sync"], [failing]) == 1
    assert "failed" in capsys.readouterr().out


def test_a_case_that_cannot_be_prepared_is_told_and_the_next_one_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def prepare(bench: Bench) -> Iterator[Turn]:
        measure(["false"], {})
        yield from no_change_canned(1).prepare(bench)

    failing = Case("c", 1, prepare)
    arguments = ["--runs", "1", "--work", str(tmp_path), "--tool", "rclone sync"]

    assert benchmarks.main(arguments, [failing, no_change_canned(1)]) == 1
    told = capsys.readouterr()
    assert "c, 1: can't be prepared: false ended with 1" in told.err
    assert "no change, canned pages, 1" in told.out


def test_a_case_that_is_cut_off_keeps_the_rounds_that_were_measured(tmp_path: Path) -> None:
    def prepare(bench: Bench) -> Iterator[Turn]:
        for turn in no_change_canned(1).prepare(bench):
            runs = count()

            def command(place: Place, turn: Turn = turn, runs: Iterator[int] = runs) -> Sequence[str]:
                if next(runs) == 3:  # after the one that warms up, and two
                    raise KeyboardInterrupt
                return turn.command(place)

            yield turn._replace(command=command)

    arguments = ["--json", str(tmp_path / "results"), "--work", str(tmp_path), "--tool", "rclone sync"]
    with pytest.raises(KeyboardInterrupt):
        benchmarks.main(arguments, [Case("c", 1, prepare)])

    (file,) = (tmp_path / "results").iterdir()
    assert len(json.loads(file.read_text())["cases"]["c, 1"]["rclone sync"]) == 2


def test_a_case_is_gone_on_with_where_it_was_measured_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case, folder = no_change_canned(1), tmp_path / "results"
    asked = ["--work", str(tmp_path), "--tool", "bisyncer", "--json", str(folder)]
    assert benchmarks.main([*asked, "--runs", "1"], [case]) == 0
    (file,) = folder.iterdir()
    (first,) = json.loads(file.read_text())["cases"][case.name]["bisyncer"]

    assert benchmarks.main([*asked, "--runs", "3", "--add"], [case]) == 0
    runs = json.loads(file.read_text())["cases"][case.name]["bisyncer"]
    assert len(runs) == 3
    assert runs[0] == first

    before = file.read_text()
    assert benchmarks.main([*asked, "--runs", "5", "--add", "--seed", "2"], [case]) == 1
    assert "was measured with another seed: 1, here 2" in capsys.readouterr().err
    assert file.read_text() == before


def test_what_only_one_run_has_is_not_shown(tmp_path: Path) -> None:
    command = ["/v/bin/rclone", "sync", f"{tmp_path}/folder-3", "B:bench/p12", "--workdir", f"{tmp_path}/w"]

    assert shown(command, tmp_path) == "rclone sync TREE B:BUCKET/PREFIX --workdir WORKDIR"
    ours = [sys.executable, "-m", "bisyncer", "init", "t-p1", "--config", f"{tmp_path}/a/t.toml"]
    assert shown(ours, tmp_path) == "bisyncer init PAIR --config CONFIG"
    ready = ["/v/s5cmd", "--endpoint-url", "http://host:1", "sync", "/elsewhere/tree/", "s3://mine/there/"]
    assert shown(ready, tmp_path) == "s5cmd --endpoint-url URL sync TREE/ s3://BUCKET/PREFIX/"
    assert shown(["/v/rclone", "bisync", "/elsewhere/tree", "B:mine/there"], tmp_path) == (
        "rclone bisync TREE B:BUCKET/PREFIX"
    )


def test_each_case_has_a_name_of_its_own_and_no_tool_is_asked_for_a_million_keys_unless_it_is_said() -> None:
    assert len({case.name for case in LONG}) == len(LONG)
    assert all(case.most for case in LONG if case.keys >= 1_000_000)


def test_memory_is_that_of_all_processes_and_a_failure_has_the_last_words() -> None:
    hold = "x = b'1' * (48 << 20); import time; time.sleep(0.4)"
    both = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}]); {hold}"

    assert measure([sys.executable, "-c", hold], {}).peak_mib > 48
    assert measure([sys.executable, "-c", both], {}).peak_mib > 48
    with pytest.raises(RuntimeError, match="ended with 3: last words"):
        measure([sys.executable, "-c", "print('last words'); raise SystemExit(3)"], {})


def test_the_server_ends_with_who_started_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.canned", str(tmp_path), "bench/p"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("http://127.0.0.1:")

    assert server.returncode == 0
