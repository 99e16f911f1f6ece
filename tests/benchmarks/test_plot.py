"""The plot shows how cost grows, of what was measured with several numbers of keys."""

from __future__ import annotations

import re

from benchmarks.plot import plot


def test_a_case_with_several_numbers_of_keys_has_a_panel_and_its_lines_rise() -> None:
    def measured(case: str, cpu_s: float) -> dict[str, object]:
        return {"cases": {case: {"bisyncer": [{"cpu_s": cpu_s, "wall_s": 2 * cpu_s}]}}}

    drawn = plot(
        [measured("up, 10k", 1), measured("up, 1M", 100), measured("down, 10k", 1), measured("c", 1)]
    )

    assert re.findall(r'bold" fill="#333">(\w+)<', drawn) == ["up"]
    lines = [re.findall(r"[\d.]+", line) for line in re.findall(r'<polyline points="([^"]+)"', drawn)]
    assert len(lines) == 3, "two, and the grey one"
    for x1, y1, x2, y2 in lines:
        assert float(x1) < float(x2)
        assert float(y1) > float(y2)
    slopes = {round(float(y1) - float(y2), 1) for _, y1, _, y2 in lines}
    assert len(slopes) == 1, "what grows as the keys do is as steep as the grey line"
