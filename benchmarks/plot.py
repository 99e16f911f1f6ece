"""How cost grows with the number of keys, one panel for each kind of case, as SVG."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import log10
from statistics import median
from typing import Any, Final
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _EDGE, _COLUMNS = 400, 260, 50, 2
_TOP: Final = 50  # for the legend
_COLOURS: Final = {
    "bisyncer": "#1b6ca8",
    "bisyncer --compare size": "#1e8449",
    "rclone bisync --size-only --fast-list": "#c0392b",
}
_DASHES: Final = {"cpu_s": "", "wall_s": ' stroke-dasharray="5 4"'}
_UNITS: Final = {"k": 1000, "M": 1_000_000}

_Points = dict[tuple[str, str], dict[int, float]]  # seconds at each number of keys, by tool and measure


def plot(found: Iterable[Mapping[str, Any]]) -> str:
    """Seconds against keys, both in powers of ten, of every case that was measured with several numbers."""
    kinds: dict[str, _Points] = {}
    for one in found:
        for name, tools in one["cases"].items():
            if (match := re.fullmatch(r"(.+), (\d+)([kM])", name)) is None:
                continue
            points = kinds.setdefault(match[1], {})
            keys = int(match[2]) * _UNITS[match[3]]
            for tool in _COLOURS.keys() & tools.keys():
                for measure in _DASHES:
                    seconds = median(run[measure] for run in tools[tool])
                    points.setdefault((tool, measure), {})[keys] = seconds
    panels = [
        (kind, points) for kind, points in sorted(kinds.items()) if any(len(at) > 1 for at in points.values())
    ]
    height = _TOP + _HEIGHT * -(-len(panels) // _COLUMNS)
    width = _WIDTH * _COLUMNS
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, (tool, colour) in enumerate(_COLOURS.items()):
        parts.append(f'<text x="{_EDGE + 150 * number}" y="20" fill="{colour}">{escape(tool)}</text>')
    parts.append(
        f'<text x="{_EDGE}" y="38" fill="#333">whole lines: CPU seconds; dashed: wall seconds; '
        "grey: what grows as the keys do</text>"
    )
    for number, (kind, points) in enumerate(panels):
        x, y = number % _COLUMNS * _WIDTH, _TOP + number // _COLUMNS * _HEIGHT
        parts += [f'<g transform="translate({x},{y})">', *_panel(kind, points), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _panel(kind: str, points: _Points) -> Iterable[str]:
    yield f'<text x="{_EDGE}" y="20" font-weight="bold" fill="#333">{escape(kind)}</text>'
    for keys, text in ((10_000, "10k"), (100_000, "100k"), (1_000_000, "1M")):
        yield f'<text x="{_x(keys):.1f}" y="{_HEIGHT - 12}" text-anchor="middle" fill="#333">{text}</text>'
    for seconds in (0.1, 1, 10, 100, 1000):
        y = _y(seconds)
        yield f'<line x1="{_EDGE}" x2="{_WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eee"/>'
        yield f'<text x="{_EDGE - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#333">{seconds:g} s</text>'
    yield _line({10_000: 0.1, 1_000_000: 10}, "#bbb", "")
    for (tool, measure), at in sorted(points.items()):
        if len(at) > 1:
            yield _line(at, _COLOURS[tool], _DASHES[measure])


def _line(at: Mapping[int, float], colour: str, dashes: str) -> str:
    path = " ".join(f"{_x(keys):.1f},{_y(seconds):.1f}" for keys, seconds in sorted(at.items()))
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'


def _x(keys: float) -> float:
    return _EDGE + (log10(keys) - 4) / 2 * (_WIDTH - _EDGE - 40)


def _y(seconds: float) -> float:
    return _HEIGHT - 30 - (log10(max(seconds, 0.1)) + 1) / 4.3 * (_HEIGHT - 60)
