from __future__ import annotations

import io
import threading
from collections.abc import Iterator

import pytest

from bisyncer.model import Problem, Side
from bisyncer.report.bars import Bars
from bisyncer.report.events import (
    Acted,
    Checked,
    Event,
    GatesClosed,
    Moved,
    Phase,
    PhaseBegan,
    RunBegan,
    RunEnded,
    Scanned,
    Settled,
    SkippedPlace,
)
from bisyncer.report.progress import Pace, Ticks
from tests.report.samples import HALT, done, failed, summary

BEGIN = RunBegan("cms", 42, "/a", "/b", dry_run=False, resync=False, expected=1000)
SKIPPED = SkippedPlace(Side.PATH1, Problem("li\nnk", "A symbolic link."))


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def paced(seconds: float, *events: Event) -> str | None:
    clock = Clock()
    pace = Pace(clock)
    pace.tell(BEGIN)
    for event in events:
        pace.tell(event)
    clock.now_s += seconds
    return pace.line()


def test_a_scan_tells_both_sides_with_rate_and_time_left() -> None:
    assert paced(10, PhaseBegan(Phase.SCAN), Scanned(Side.PATH1, 300), Scanned(Side.PATH2, 200)) == (
        "cms: scan: path1 300 of about 1,000 keys, path2 200 of about 1,000 keys, "
        "50 keys/s, about 30.0 s left"
    )


def test_a_check_counts_keys_and_an_apply_counts_actions_and_bytes() -> None:
    assert paced(4, PhaseBegan(Phase.CHECK, 10), Checked(5)) == (
        "cms: check: 5 of 10 keys, 1 keys/s, about 4.0 s left"
    )
    assert paced(2, PhaseBegan(Phase.APPLY, 4), Settled(3, ())) == (
        "cms: apply: 3 of 4 actions, 2 actions/s, about 0.7 s left"
    )
    assert paced(2, PhaseBegan(Phase.APPLY, 4, 10_000), Acted(done(size=2500)), Acted(failed())) == (
        "cms: apply: 2 of 4 actions, 1 actions/s, 2.5 kB of 10.0 kB, 1.2 kB/s, about 6.0 s left"
    )


def test_the_bytes_of_a_body_on_its_way_count() -> None:
    def moved() -> Moved:
        return Moved(1, 4000)

    assert paced(2, PhaseBegan(Phase.APPLY, 1, 10_000, moved)) == (
        "cms: apply: 0 of 1 actions, 0 actions/s, 4.0 kB of 10.0 kB, 2.0 kB/s, about 3.0 s left"
    )
    assert paced(2, PhaseBegan(Phase.APPLY, 4, 10_000, moved), Acted(done(size=1000))) == (
        "cms: apply: 1 of 4 actions, 0 actions/s, 5.0 kB of 10.0 kB, 2.5 kB/s, about 2.0 s left"
    )


def test_there_is_no_line_between_phases_and_after_the_end() -> None:
    assert paced(5) is None
    assert paced(5, PhaseBegan(Phase.APPLY, 1), RunEnded(summary())) is None


def test_a_line_comes_by_itself_while_no_event_does() -> None:
    class Waiting(io.StringIO):
        written = threading.Event()

        def write(self, text: str) -> int:
            self.written.set()
            return super().write(text)

    stream = Waiting()
    ticks = Ticks(stream, step_s=0.01)
    ticks.tell(BEGIN)
    ticks.tell(PhaseBegan(Phase.APPLY, 4))
    try:
        assert stream.written.wait(30)
    finally:
        ticks.tell(RunEnded(summary()))
    assert stream.getvalue().startswith("cms: apply: 0 of 4 actions, 0 actions/s\n")
    assert not any(thread.name == "progress" for thread in threading.enumerate())


@pytest.fixture
def no_steps() -> Iterator[tuple[Ticks, io.StringIO]]:
    stream = io.StringIO()
    ticks = Ticks(stream)
    yield ticks, stream
    ticks.close()


def test_a_short_run_says_nothing(no_steps: tuple[Ticks, io.StringIO]) -> None:
    ticks, stream = no_steps
    for event in (BEGIN, PhaseBegan(Phase.SCAN), SKIPPED, Acted(done()), RunEnded(summary())):
        ticks.tell(event)
    assert stream.getvalue() == ""


def test_halts_are_said_even_when_quiet_and_verbose_tells_phases_and_what_was_skipped() -> None:
    quiet, verbose = io.StringIO(), io.StringIO()
    for ticks in (Ticks(quiet, quiet=True), Ticks(verbose, verbose=True)):
        for event in (BEGIN, PhaseBegan(Phase.APPLY, 1200), SKIPPED, GatesClosed((HALT, HALT))):
            ticks.tell(event)
        ticks.tell(RunEnded(summary()))
    line = "bisyncer: cms: halted by max-delete: 60 of 100 keys would be deleted.\n"
    assert quiet.getvalue() == line * 2
    assert verbose.getvalue() == (
        "cms: run 42: /a and /b\ncms: apply: 1,200\ncms: skipped li\\nnk: A symbolic link.\n" + line * 2
    )


def test_a_log_that_is_gone_stops_no_run() -> None:
    closed = io.StringIO()
    closed.close()
    ticks = Ticks(closed, verbose=True)
    ticks.tell(BEGIN)
    ticks.tell(RunEnded(summary()))


def test_bars_follow_every_phase_and_leave_the_answer_above(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    bars = Bars(stream)
    for event in (
        BEGIN,
        PhaseBegan(Phase.SCAN),
        Scanned(Side.PATH1, 300),
        PhaseBegan(Phase.CHECK, 10),
        Checked(5),
        PhaseBegan(Phase.APPLY, 4, 10_000),
        Acted(done(size=2500)),
    ):
        bars.tell(event)
    bars.print("conflict [bold]x[/bold] (changed / changed)")
    bars.tell(GatesClosed((HALT,)))
    bars.tell(RunEnded(summary()))
    shown = stream.getvalue()

    assert "scan path1" in shown and "check" in shown and "apply" in shown
    assert "conflict [bold]x[/bold] (changed / changed)\n" in shown
    assert "bisyncer: cms: halted by max-delete" in shown
    assert "\x1b[33m" not in shown
    assert not any(thread.name == "lines" for thread in threading.enumerate())


def test_shards_that_are_told_of_at_once_make_no_rate_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    drawn = threading.Event()
    shown: list[str] = []

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            if "300 of 1,000 keys" in text:
                shown.append(" ".join(text.split()))
                drawn.set()
            return len(text)

    now_s = [0.0]
    bars = Bars(Terminal(), clock=lambda: now_s[0])
    bars.tell(BEGIN)
    bars.tell(PhaseBegan(Phase.SCAN))
    for at_s, keys in ((9.999998, 100), (9.999999, 200), (10.0, 300)):
        now_s[0] = at_s
        bars.tell(Scanned(Side.PATH1, keys))

    assert drawn.wait(60)
    bars.tell(RunEnded(summary()))
    assert "300 of 1,000 keys 30 keys/s 0:00:24" in shown[0]


def test_a_phase_without_a_bar_for_what_it_tells_goes_on() -> None:
    bars = Bars(io.StringIO())
    for event in (BEGIN, PhaseBegan(Phase.CHECK, 5), Scanned(Side.PATH2, 0), Checked(5), Settled(1, ())):
        bars.tell(event)
    bars.tell(RunEnded(summary()))


def test_the_bar_of_bytes_moves_while_a_body_is_on_its_way() -> None:
    shown = threading.Event()

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            if "4.3 kB of 10.0 kB" in text:
                shown.set()
            return len(text)

    bars = Bars(Terminal())
    bars.tell(BEGIN)
    bars.tell(PhaseBegan(Phase.APPLY, 1, 10_000, lambda: Moved(1, 4321)))
    assert shown.wait(60)
    bars.close()


def test_a_terminal_that_is_gone_stops_no_run() -> None:
    class Gone(io.StringIO):
        def isatty(self) -> bool:
            return True

        def write(self, _text: str) -> int:
            raise OSError(5, "Input/output error")

        def flush(self) -> None:
            raise OSError(5, "Input/output error")

    bars = Bars(Gone())
    for event in (BEGIN, PhaseBegan(Phase.APPLY, 4, 10_000), Acted(done(size=2500))):
        bars.tell(event)
    bars.print("a line")
    bars.tell(RunEnded(summary()))
    bars.print("the last line")
