"""Write what was measured, in benchmarks/results, into docs/performance.md: `python -m benchmarks.page`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.plot import plot
from benchmarks.result import KINDS

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parent / "docs" / "performance.md"
PLOT: Final = HERE.parent / "docs" / "performance.svg"
_BEGIN: Final = "<!-- figures: begin -->\n"
_END: Final = "<!-- figures: end -->"

_Runs = Mapping[str, Sequence[Mapping[str, Any]]]  # by tool


def results() -> list[dict[str, Any]]:
    """What lies in benchmarks/results: one file a case, measured together or on different days."""
    found = [json.loads(path.read_text("utf-8")) for path in sorted((HERE / "results").glob("*.json"))]
    return sorted(found, key=_about)


def _about(one: Mapping[str, Any]) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in one["machine"].items())
    versions = ", ".join(f"{name} {value}" for name, value in one["versions"].items())
    return f"Measured {one['when']} with seed {one['seed']} ({machine}; {versions}):"


def tables(found: Iterable[Mapping[str, Any]]) -> str:
    """Tables of medians, one for all that was measured alike, and the requests and the commands below."""
    found = list(found)
    lines: list[str] = []
    said = ""
    for one in found:
        if said != (said := _about(one)):
            lines += [*([""] if lines else []), said, ""]
            lines.append("| case | tool | runs | wall s | times | CPU s | times | peak MiB |")
            lines.append("|---|---|--:|--:|--:|--:|--:|--:|")
        for case, tools in one["cases"].items():
            lines += _rows(case, tools)
            lines += [
                f"| {case} | {tool} | 0 | failed | | | | |"
                for tool in one.get("failed", ())
                if tool not in tools
            ]
    lines += [*_requests(found), *_commands(found), ""]
    return "\n".join(lines)


def _rows(case: str, tools: _Runs) -> Iterable[str]:
    base: tuple[float, float] | None = None
    for tool, runs in tools.items():
        wall, cpu, peak = (median(run[name] for run in runs) for name in ("wall_s", "cpu_s", "peak_mib"))
        base = base or (wall, cpu)
        yield (
            f"| {case} | {tool} | {len(runs)} | {wall:.2f} | {wall / base[0]:.1f} | {cpu:.2f} | "
            f"{cpu / base[1]:.1f} | {peak:.0f} |"
        )


def _requests(found: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    rows = [
        f"| {case} | {tool} | "
        + " | ".join(f"{runs[-1]['requests'].get(kind, 0):,}" for kind in KINDS)
        + " |"
        for one in found
        for case, tools in one["cases"].items()
        for tool, runs in tools.items()
        if "requests" in runs[-1]
    ]
    if rows:
        yield from ("", "What the server with canned pages was asked for in one run:", "")
        yield f"| case | tool | {' | '.join(KINDS)} |"
        yield f"|---|---|{'--:|' * len(KINDS)}"
        yield from rows


def _commands(found: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    commands = dict.fromkeys(said for one in found for said in one.get("commands", {}).values())
    if commands:
        yield from ("", "The commands:", "", "```text", *sorted(commands), "```")


def written(page: str, figures: str) -> str:
    """The page with these figures between its marks."""
    before, _, rest = page.partition(_BEGIN)
    return f"{before}{_BEGIN}{figures}\n{_END}{rest.partition(_END)[2]}"


def main() -> int:
    """Write the page and its plot."""
    found = results()
    PAGE.write_text(written(PAGE.read_text("utf-8"), tables(found)), "utf-8")
    PLOT.write_text(plot(found), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
