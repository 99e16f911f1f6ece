"""The units, judged by systemd itself."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNITS = ("bisyncer@.service", "bisyncer@.timer", "bisyncer-failure@.service")
MOST_EXPOSED = 4.0  # of 10, by systemd's own measure


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units and the example's drop-in as they would be installed, with a program that is there."""
    folder = tmp_path / "units"
    folder.mkdir()
    for name in UNITS:
        text = (ROOT / "systemd" / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace("/usr/bin/bisyncer", "/bin/true"), encoding="utf-8")
    drop_in = folder / "bisyncer@cms.service.d"
    drop_in.mkdir()
    shutil.copy(ROOT / "examples/systemd/tree.conf", drop_in)
    drop_in = folder / "bisyncer-failure@.service.d"
    drop_in.mkdir()
    text = (ROOT / "examples/systemd/webhook.conf").read_text(encoding="utf-8")
    (drop_in / "webhook.conf").write_text(text.replace("/usr/bin/curl", "/bin/true"), encoding="utf-8")
    return folder


def analyze(*arguments: str | Path, units: Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    assert program, "systemd-analyze is missing: `make systemd-analyze` installs it, or tells how"
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:", "SYSTEMD_LOG_LEVEL": "warning"}
    return subprocess.run(
        [program, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "unit", ["bisyncer@cms.service", "bisyncer@cms.timer", "bisyncer-failure@cms.service"]
)
def test_systemd_has_nothing_to_say_about_a_unit(unit: str, installed: Path) -> None:
    answer = analyze("verify", "--man=no", unit, units=installed)
    ours = [line for line in answer.stderr.splitlines() if "bisyncer" in line or ".conf" in line]
    assert (answer.returncode, ours) == (0, [])


def test_systemd_would_say_it_of_a_wrong_unit(installed: Path) -> None:
    unit = installed / "bisyncer@.service"
    unit.write_text(unit.read_text().replace("ProtectSystem=strict", "ProtectSystem=strictly"))
    assert "strictly" in analyze("verify", "--man=no", "bisyncer@cms.service", units=installed).stderr


def test_a_run_is_exposed_to_little(installed: Path) -> None:
    answer = analyze(
        "security", "--offline=yes", "--no-pager", installed / "bisyncer@.service", units=installed
    )
    found = re.search(r"Overall exposure level for .*: ([0-9.]+)", answer.stdout)
    assert found, answer.stdout + answer.stderr
    assert float(found[1]) <= MOST_EXPOSED


def test_another_run_on_the_pair_and_a_stop_are_no_failures() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign] # keys keep their case
    unit.read(ROOT / "systemd/bisyncer@.service")
    assert unit["Service"]["SuccessExitStatus"].split() == ["6", "143"]
    assert unit["Service"]["ExecStart"] == "/usr/bin/bisyncer run %i"
    assert unit["Unit"]["OnFailure"] == "bisyncer-failure@%i.service"


def test_a_drop_in_of_the_guide_that_takes_a_timers_starts_away_gives_the_first_one_back() -> None:
    guide = (ROOT / "docs/guides/systemd.md").read_text(encoding="utf-8")
    timers = [block for block in re.findall(r"```ini\n(.*?)```", guide, re.DOTALL) if "[Timer]" in block]

    assert timers
    for timer in timers:
        # systemd.timer(5): an empty one resets all of them, and the others need a service that has run.
        assert re.search(r"^On\w+=$", timer, re.MULTILINE)
        assert re.search(r"^On(Active|Boot|Startup)Sec=.", timer, re.MULTILINE)


def test_a_process_that_the_kernel_ends_for_want_of_memory_does_not_end_the_run() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(ROOT / "systemd/bisyncer@.service")
    assert unit["Service"]["OOMPolicy"] == "continue"
