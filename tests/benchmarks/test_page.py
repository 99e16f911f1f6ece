"""The page of figures says what was measured, and nothing else."""

from __future__ import annotations

from benchmarks.page import PAGE, PLOT, results, tables, written
from benchmarks.plot import plot


def test_the_figures_of_the_page_are_those_that_were_measured() -> None:
    page = PAGE.read_text("utf-8")

    assert written(page, tables(results())) == page
    assert PLOT.read_text("utf-8") == plot(results())


def test_a_case_is_told_by_its_medians_and_as_times_of_the_first_tool() -> None:
    def runs(*walls: float) -> list[dict[str, float]]:
        return [{"wall_s": wall, "cpu_s": 2 * wall, "peak_mib": 10} for wall in walls]

    told = tables(
        [
            {
                "when": "2026-01-01",
                "seed": 1,
                "machine": {"cores": 2},
                "versions": {"bisyncer": "0.1"},
                "cases": {"c": {"ours": runs(1, 9, 2), "theirs": runs(8, 6)}},
            }
        ]
    )

    assert "| c | ours | 3 | 2.00 | 1.0 | 4.00 | 1.0 | 10 |" in told
    assert "| c | theirs | 2 | 7.00 | 3.5 | 14.00 | 3.5 | 10 |" in told
