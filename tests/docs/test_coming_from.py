"""The page for those who come from rclone bisync names each of its flags, and nothing that isn't here."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from bisyncer.cli.app import app
from bisyncer.config import setting
from bisyncer.config.load import load
from docs.generate import commands
from tests.docs.pages import ROOT
from tests.rclone_serve import rclone

PAGE = (ROOT / "docs/coming-from-rclone-bisync.md").read_text(encoding="utf-8")
ROWS = [tuple(re.split(r"(?<!\\)\|", line)[1:3]) for line in PAGE.splitlines() if line.startswith("| `")]
HERE = [span for _, here in ROWS for span in re.findall(r"`([^`]+)`", here)]
LINES = sorted({span for span in HERE if re.match(r"[a-z0-9_]+ = ", span)})
FLAGS = sorted({flag for span in HERE for flag in re.findall(r"--[a-z0-9-]+", span)})
OURS = {flag for _, command in commands(get_command(app)) for each in command.params for flag in each.opts}


def flags_of_rclone() -> set[str]:
    said = subprocess.run([rclone(), "bisync", "--help"], capture_output=True, text=True, check=True).stdout
    return {flag for line in said.splitlines() for flag in re.findall(r"^ +(?:-\w, )?(--[a-z0-9-]+)", line)}


def test_no_flag_of_rclone_bisync_is_missing() -> None:
    named = {flag for theirs, _ in ROWS for flag in re.findall(r"`(--[a-z0-9-]+)`", theirs)}

    assert len(flags_of_rclone()) > 80
    assert flags_of_rclone() - named == set()


@pytest.mark.parametrize("line", LINES)
def test_each_setting_is_one_and_takes_the_value_shown(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cms.filters").touch()
    mode = 'mode = "mirror"\n' if line.startswith("delete_excluded") else ""
    folder = tmp_path / "bisyncer.toml"
    folder.write_text(f'[pairs.p]\npath1 = "/a"\npath2 = "/b"\n{mode}{line}\n', encoding="utf-8")

    assert load(folder).job("p").pair == "p"


@pytest.mark.parametrize("flag", FLAGS)
def test_each_flag_is_one(flag: str) -> None:
    assert flag in OURS | {"--help"}


def test_every_setting_of_a_pair_that_rclone_has_is_named() -> None:
    named = set(re.findall(r"`([a-z0-9_]+)(?: = [^`]*)?`", " ".join(here for _, here in ROWS)))
    ours_alone = {
        "path1",
        "path2",
        "require_mount",
        "require_conditional",
        "strict",
        "max_skew",
        "trash",
        "stale_after",
    }

    assert {each.name for each in setting.PAIR} - named == ours_alone


def test_the_differences_are_numbered_as_the_tests_number_them() -> None:
    numbers = [int(number) for number in re.findall(r"^([0-9]+)\. ", PAGE, re.MULTILINE)]

    assert numbers == list(range(1, 24))
