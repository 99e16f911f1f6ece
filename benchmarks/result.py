"""The figures of one case, as a table and as a file."""

from __future__ import annotations

import json
import re
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

KINDS: Final = ("LIST", "HEAD", "GET", "PUT")


class Run(NamedTuple):
    """What one run cost, and what it asked a server for that counts."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    requests: Mapping[str, int]


@dataclass
class Figures:
    """All runs of one tool in one case; `failed` has its last words, where it did."""

    command: str = ""
    runs: list[Run] = field(default_factory=list)
    failed: str = ""

    @property
    def wall_s(self) -> float:
        return median(run.wall_s for run in self.runs)

    @property
    def cpu_s(self) -> float:
        return median(run.cpu_s for run in self.runs)

    @property
    def peak_mib(self) -> float:
        return median(run.peak_mib for run in self.runs)

    @property
    def requests(self) -> Mapping[str, int]:
        """Those of the last run."""
        return self.runs[-1].requests


@dataclass
class Result:
    """One case, with the day, the machine and the versions that it was measured with."""

    case: str
    when: str
    seed: int
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    tools: Mapping[str, Figures]

    @property
    def measured(self) -> Mapping[str, Figures]:
        """The tools that have a run."""
        return {name: figures for name, figures in self.tools.items() if figures.runs}

    def rows(self) -> list[list[str]]:
        """The table, line by line, its head first; times are also told as how many times the first tool's."""
        counts = any(figures.requests for figures in self.measured.values())
        found = [["", "wall s", "", "CPU s", "", "peak MiB", "runs", *(KINDS if counts else ())]]
        first = next(iter(self.measured.values()), None)
        for name, figures in self.tools.items():
            if figures.failed or first is None:
                found.append([name, "failed", *[""] * (len(found[0]) - 2)])
                continue
            found.append(
                [
                    *(name, f"{figures.wall_s:.2f}", f"{figures.wall_s / first.wall_s:.1f}x"),
                    *(f"{figures.cpu_s:.2f}", f"{figures.cpu_s / first.cpu_s:.1f}x"),
                    *(f"{figures.peak_mib:.0f}", str(len(figures.runs))),
                    *([f"{figures.requests.get(kind, 0):,}" for kind in KINDS] if counts else ()),
                ]
            )
        return found

    def table(self) -> str:
        """For a terminal."""
        rows = self.rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if number == 0 else cell.rjust(width)
                for number, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )

    def before(self, folder: Path) -> dict[str, Figures]:
        """What the file of this case has; raises `RuntimeError` where it was measured otherwise."""
        file = _file(folder, self.case)
        if not file.exists():
            return {}
        told = json.loads(file.read_text("utf-8"))
        for name, mine in (("seed", self.seed), ("machine", self.machine), ("versions", self.versions)):
            if told[name] != mine:
                raise RuntimeError(f"{file} was measured with another {name}: {told[name]}, here {mine}")
        return {
            tool: Figures(told["commands"][tool], [_run(run) for run in runs])
            for tool, runs in told["cases"][self.case].items()
        }

    def write(self, folder: Path) -> None:
        """Write a file of its own, in place of what was measured before; `page` reads it."""
        folder.mkdir(parents=True, exist_ok=True)
        told = {
            "when": self.when,
            "seed": self.seed,
            "machine": self.machine,
            "versions": self.versions,
            "cases": {
                self.case: {
                    tool: [_rounded(run) for run in each.runs] for tool, each in self.measured.items()
                }
            },
            "commands": {tool: each.command for tool, each in self.measured.items()},
            "failed": {tool: each.failed for tool, each in self.tools.items() if each.failed},
        }
        _file(folder, self.case).write_text(f"{json.dumps(told, indent=1)}\n", encoding="utf-8")


def _file(folder: Path, case: str) -> Path:
    return folder / (re.sub(r"[^a-z0-9.]+", "-", case.lower()).strip("-") + ".json")


def _run(told: Mapping[str, Any]) -> Run:
    return Run(told["wall_s"], told["cpu_s"], told["peak_mib"], told.get("requests", {}))


def _rounded(run: Run) -> dict[str, Any]:
    return {
        "wall_s": round(run.wall_s, 3),
        "cpu_s": round(run.cpu_s, 3),
        "peak_mib": round(run.peak_mib, 1),
        **({"requests": dict(run.requests)} if run.requests else {}),
    }


def today() -> str:
    """The day, in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime())


def shown(command: Sequence[str], work: Path) -> str:
    """A command with words in place of what only this run has: folders, ports, prefixes."""
    here = re.escape(str(work))
    said = shlex.join(command).replace(f"{sys.executable} -m bisyncer", "bisyncer")
    for pattern, word in (
        (rf"(--config) {here}\S*", r"\1 CONFIG"),
        (rf"(--workdir) {here}\S*", r"\1 WORKDIR"),
        (r"\b(bisyncer (?:init|run)) \S+", r"\1 PAIR"),
        (r"https?://[^\s/]+", "URL"),
        (r"/\S*/(rclone|s5cmd|aws) ", r"\1 "),
        (r"(?<=\s)/\S*[^\s/]", "TREE"),
        (r"\b([A-Z]):[^\s/]+/\S+", r"\1:BUCKET/PREFIX"),
        (r"\bs3://[^\s/]+/[^\s/']+", "s3://BUCKET/PREFIX"),
    ):
        said = re.sub(pattern, word, said)
    return said
