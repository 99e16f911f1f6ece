"""The command itself: help, version, errors, options before and after."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from bisyncer import __version__
from bisyncer.cli import inspect
from bisyncer.cli.app import app, main
from bisyncer.config.setting import GROUPS
from tests.desk import ROOT, Desk, put

HEAVY = (
    "boto3",
    "botocore",
    "sqlalchemy",
    "alembic",
    "obstore",
    "rich",
    "tomlkit",
    "urllib.request",
    "pydantic",
)
A_RUN = ("bisyncer.state", "bisyncer.engine.session", "bisyncer.endpoints.local", "bisyncer.endpoints.s3")


def commands() -> Iterator[tuple[str, ...]]:
    def below(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield path
        for name, each in getattr(command, "commands", {}).items():
            yield from below(each, (*path, name))

    yield from below(get_command(app), ())


ALL = list(commands())
LEAVES = [path for path in ALL if path and path not in {("conflicts",), ("trash",), ("state",)}]


def test_there_are_these_commands_and_no_others() -> None:
    assert [" ".join(path) for path in LEAVES] == [
        "init",
        "run",
        "plan",
        "apply",
        "check",
        "status",
        "history",
        "show",
        "problems",
        "bench",
        "doctor",
        "demo",
        "conflicts list",
        "conflicts show",
        "conflicts resolve",
        "trash list",
        "trash restore",
        "trash purge",
        "state upgrade",
        "state verify",
        "state backup",
        "state restore",
        "state forget",
        "state export",
    ]


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...], desk: Desk) -> None:
    for option in ("--help", "-h"):
        answer = desk(*path, option)
        assert (answer.code, answer.err) == (0, "")
        assert answer.out.startswith("Usage: bisyncer")
    assert all(not line.endswith("...") for line in answer.lines if line.startswith("  ")), "a summary is cut"


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_has_an_example_and_the_common_options(path: tuple[str, ...], desk: Desk) -> None:
    out = desk(*path, "--help").out
    assert f"Examples:\n    bisyncer {' '.join(path)}" in out
    for option in ("--config", "--state", "--quiet", "--verbose", "--log-format"):
        assert option in out
    if path == ("state", "export"):
        assert "--format" in out
    elif path != ("demo",):
        assert "--json" in out


@pytest.mark.parametrize("group", ["conflicts", "state"])
def test_a_group_of_commands_has_an_example(group: str, desk: Desk) -> None:
    assert f"Examples:\n    bisyncer {group} " in desk(group, "--help").out


def test_the_first_run_without_anything_shows_the_help(desk: Desk) -> None:
    answer = desk()
    assert answer.code in {0, 2}
    assert "Commands:" in answer.out + answer.err


def test_the_version_is_told(desk: Desk) -> None:
    assert desk("--version") == (0, f"bisyncer {__version__}\n", "")


def test_help_comes_without_what_only_a_run_needs() -> None:
    code = (
        "import sys\n"
        "from bisyncer.cli.app import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit:\n    pass\n"
        f"print([name for name in {(*HEAVY, *A_RUN)!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_run_of_trees_without_a_terminal_loads_no_bars_no_sdk_and_no_validators(desk: Desk) -> None:
    desk.align()
    code = (
        "import sys\n"
        "from bisyncer.cli.app import main\n"
        f"try:\n    main(['run', 'cms', '--config', {str(desk.config)!r}])\n"
        "except SystemExit as ended:\n    print(ended.code)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.splitlines()[-2:] == ["0", "['sqlalchemy']"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["rnu"], "No such command 'rnu'"),
        (["watch", "cms"], "No such command 'watch'"),
        (["run", "--exlude", "x"], "No such option: --exlude"),
        (["run", "--config"], "Option '--config' requires an argument"),
        (["plan"], "Missing argument 'PAIR'. See `bisyncer plan --help`."),
        (["show", "last"], "Invalid value for 'RUN': "),
        (["conflicts", "resolve", "1"], "Missing option '--keep'"),
        (["conflicts", "resolve", "1", "--keep", "mine"], "Invalid value for '--keep': 'mine' is not one of"),
        (["status", "--log-format", "xml"], "Invalid value for '--log-format': 'xml' is not one of"),
        (
            ["history", "--limit", "0"],
            "Invalid value for '--limit': Input should be greater than or equal to 1. See",
        ),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(arguments: list[str], sentence: str, desk: Desk) -> None:
    answer = desk(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.count("\n") == 1
    assert answer.err.startswith(f"bisyncer: {sentence}")


@pytest.mark.parametrize("spelling", [["--log-format", "json"], ["--log-format=json"]])
@pytest.mark.parametrize("wrong", [["rnu"], ["run", "--exlude", "x"], ["run", "--config", ""], ["trash"]])
def test_a_wrong_command_line_is_told_as_json_where_the_log_is(
    wrong: list[str], spelling: list[str], desk: Desk
) -> None:
    answer = desk(*spelling, *wrong)

    assert (answer.code, answer.out) == (2, "")
    told = json.loads(answer.err)
    assert (told["level"], told["event"]) == ("error", "error")
    assert told["sentence"]


@pytest.mark.usefixtures("desk")
def test_a_traceback_is_told_as_json_where_the_log_is(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(inspect, "known_pair", broken)
    with pytest.raises(SystemExit):
        main(["--log-format", "json", "history", "--verbose"])

    told = json.loads(capfd.readouterr().err)
    assert told["sentence"].startswith("internal error: ZeroDivisionError")
    assert "in broken" in told["traceback"]


def test_common_options_stand_before_or_after_the_command(desk: Desk) -> None:
    desk.align()
    elsewhere = desk.config.rename(desk.folder / "elsewhere.toml")
    other = f"sqlite:///{desk.folder / 'other.db'}"

    assert desk("--config", elsewhere, "status").lines[1].startswith("cms   ok")
    assert desk("status", "--config", elsewhere).lines[1].startswith("cms   ok")
    assert desk("--config", "nowhere", "status", "--config", elsewhere).code == 0
    assert "not aligned" in desk("--state", other, "status", "--config", elsewhere).out
    assert "not aligned" in desk("--config", elsewhere, "status", "--state", other).out
    assert desk("--quiet", "run", "--config", elsewhere).out == ""


def test_a_bug_is_one_line_and_its_traceback_is_for_verbose_only(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr(inspect, "known_pair", broken)
    line = (
        "bisyncer: internal error: ZeroDivisionError: by\\nzero "
        "(this is a bug; run with --verbose for the traceback)\n"
    )

    assert desk("history") == (1, "", line)
    with pytest.raises(SystemExit):
        inspect_verbosely()
    told = capfd.readouterr().err
    assert told.startswith("Traceback") and told.endswith(line)


def inspect_verbosely() -> None:
    from bisyncer.cli.app import main

    main(["history", "--verbose"])


def test_ctrl_c_outside_of_a_run_is_130(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(inspect, "known_pair", interrupted)
    assert desk("history") == (130, "", "bisyncer: interrupted; nothing more is done.\n")


def test_errors_are_json_where_the_log_is(desk: Desk) -> None:
    desk.configure()
    answer = desk("--log-format", "json", "show", "99")
    assert (answer.code, answer.out) == (2, "")
    assert re.fullmatch(
        r'\{"time": "[-0-9T:]+Z", "level": "error", "event": "error", '
        r'"sentence": "There is no run 99. See `bisyncer history`."\}\n',
        answer.err,
    )


def test_a_reader_who_leaves_early_costs_nothing(desk: Desk) -> None:
    desk.align()
    process = desk.process("history", "--json", bufsize=0)
    assert process.stdout and process.stderr
    process.stdout.close()
    with process:
        assert process.wait(60) == 0
        assert process.stderr.read() == ""


def test_a_key_that_the_terminal_has_no_letters_for_is_escaped(desk: Desk) -> None:
    desk.align()
    put(desk.one, {"blåbær": "x"})
    with desk.process("run", env={"PYTHONIOENCODING": "ascii"}) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("copy-to-path2 bl\\xe5b\\xe6r (new / absent)\n")


@pytest.mark.parametrize(
    ("closed", "code"), [(">&-", 0), ("2>&-", 0), ("<&-", 0), (">&- 2>&-", 0), ("<&- >&- 2>&-", 0)]
)
def test_a_closed_stream_is_no_reason_to_fail(closed: str, code: int, desk: Desk) -> None:
    desk.align()
    put(desk.one, {"a": "x"})
    line = f"exec {sys.executable} -m bisyncer run {closed}"
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=desk.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (code, "")
    assert (desk.two / "a").read_text() == "x"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments", [["history", "--json"], ["run"], ["run", "--json"], ["--help"], ["demo"]]
)
def test_a_full_disk_behind_the_answer_is_one_line_and_exit_1(
    arguments: list[str], unbuffered: str, desk: Desk
) -> None:
    desk.align()
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bisyncer", *arguments],
            cwd=desk.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "The answer can't be written to the standard output: No space left on device." in done.stderr


def test_the_help_has_the_settings_under_what_they_are_about(desk: Desk) -> None:
    headings = [line for line in desk("run", "--help").lines if line.endswith(":") and line[0] != " "]

    assert headings == [
        "Arguments:",
        "Options:",
        *(f"Settings ({group}):" for group in GROUPS),
        "Settings (remotes):",
    ]
