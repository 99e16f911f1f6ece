"""Write what was measured, in benchmarks/results, into docs/performance.md: `python -m benchmarks.page`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from math import log10
from pathlib import Path
from statistics import median
from typing import Any, Final

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parent / "docs" / "performance.md"
PLOT: Final = HERE.parent / "docs" / "performance.svg"
_BEGIN: Final = "<!-- figures: begin -->\n"
_END: Final = "<!-- figures: end -->"
_WIDTH, _HEIGHT, _EDGE = 640, 400, 60
_COLOURS: Final = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad")

_Runs = Mapping[str, Sequence[Mapping[str, float]]]  # by tool


def results() -> list[dict[str, Any]]:
    """What lies in benchmarks/results, in order of name."""
    return [json.loads(path.read_text("utf-8")) for path in sorted((HERE / "results").glob("*.json"))]


def tables(found: Iterable[Mapping[str, Any]]) -> str:
    """All cases as one table of medians, with the machine and the versions of each measurement above it."""
    lines: list[str] = []
    for one in found:
        machine = ", ".join(f"{name} {value}" for name, value in one["machine"].items())
        versions = ", ".join(f"{name} {value}" for name, value in one["versions"].items())
        lines += [f"Measured {one['when']} with seed {one['seed']} ({machine}; {versions}):", ""]
        lines.append("| case | tool | runs | wall s | times | CPU s | times | peak MiB |")
        lines.append("|---|---|--:|--:|--:|--:|--:|--:|")
        for case, tools in one["cases"].items():
            lines += _rows(case, tools)
        lines.append("")
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


def plot(found: Iterable[Mapping[str, Any]], case: str = "no change") -> str:
    """CPU seconds against keys of every tool that was measured with several numbers of keys, as SVG."""
    points: dict[str, dict[int, float]] = {}
    for one in found:
        for name, tools in one["cases"].items():
            if (match := re.fullmatch(rf"{case}, (\d+)([kM])", name)) is None:
                continue
            keys = int(match[1]) * {"k": 1000, "M": 1_000_000}[match[2]]
            for tool, runs in tools.items():
                points.setdefault(tool, {})[keys] = median(run["cpu_s"] for run in runs)
    several = {tool: at for tool, at in points.items() if len(at) > 1}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        *(_text(_x(keys), _HEIGHT - _EDGE + 18, f"{keys:,} keys") for keys in (10_000, 100_000, 1_000_000)),
        *(_text(_EDGE - 8, _y(cpu) + 4, f"{cpu:g} s", "end") for cpu in (0.1, 1, 10, 100)),
        *(
            f'<line x1="{_EDGE}" x2="{_WIDTH - _EDGE}" y1="{_y(cpu):.1f}" y2="{_y(cpu):.1f}" stroke="#ddd"/>'
            for cpu in (0.1, 1, 10, 100)
        ),
    ]
    for number, (tool, at) in enumerate(several.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{_x(keys):.1f},{_y(cpu):.1f}" for keys, cpu in sorted(at.items()))
        parts += [
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
            f'<text x="{_EDGE + 10}" y="{30 + 16 * number}" fill="{colour}">{tool}, {case}: CPU s</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def _x(keys: float) -> float:
    return _EDGE + (log10(keys) - 4) / 2 * (_WIDTH - 2 * _EDGE)


def _y(cpu: float) -> float:
    return _HEIGHT - _EDGE - (log10(cpu) + 1) / 3 * (_HEIGHT - 2 * _EDGE)


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#333">{text}</text>'


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
