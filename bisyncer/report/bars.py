"""How far a run has come, on a terminal: bars, below the lines of the answer."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from math import ceil
from typing import Final, TextIO, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from bisyncer.model import Done, Side
from bisyncer.report.events import (
    Acted,
    Checked,
    Event,
    Moved,
    Phase,
    PhaseBegan,
    RunBegan,
    RunEnded,
    Scanned,
    Settled,
)
from bisyncer.report.progress import Forgiving, notice
from bisyncer.report.words import shown_size

_SHOWN_EVERY_S: Final = 0.1
_BAR_WIDTH: Final = 16  # beside it a line of a million keys has room on 80 columns

_STYLES: Final = {"conflict": "yellow", "problem": "red", "hold": "red"}


class Bars:
    """A Reporter for terminals: a bar for each listing, one for each later phase.

    Every line above the bars draws them anew, which takes longer than a small action. So lines are
    gathered, and a thread shows them a few times a second.
    """

    def __init__(
        self, stream: TextIO, *, verbose: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._verbose = verbose
        self._pair = ""
        self._expected = 0
        self._console = Console(file=cast("TextIO", Forgiving(stream)))
        self._lock = threading.Lock()  # of the bar of bytes, which a thread moves too
        self._size = 0
        self._moved: Callable[[], Moved] = Moved
        self._lines: deque[Text] = deque()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        # The answer is written by `print`, above the bars; nothing else writes while they are shown.
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(_BAR_WIDTH),
            _Count(),
            _Rate(),
            _Left(),
            console=self._console,
            get_time=clock,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._tasks: dict[str, TaskID] = {}

    def print(self, line: str) -> None:
        """Write a line of the answer above the bars."""
        self._lines.append(Text(line, style=_STYLES.get(line.partition(" ")[0], "")))
        if self._thread is None:
            self._show_lines()

    def tell(self, event: Event) -> None:
        """Move the bar that the event is about."""
        line = notice(event, self._pair, verbose=self._verbose)
        if line is not None:
            self.print(line)
        match event:
            case RunBegan():
                self._pair, self._expected = event.pair, event.expected
                self._begin_lines()
                self._bars.start()
            case PhaseBegan():
                self._begin(event)
            case Scanned():
                self._move(event.side, to=event.keys)
            case Checked():
                self._move(Phase.CHECK, to=event.keys)
            case Acted():
                self._move(Phase.APPLY, by=1)
                if isinstance(event.outcome, Done):
                    self._size += event.outcome.size
                self._show_bytes()
            case Settled():
                self._move(Phase.APPLY, by=event.count)
            case RunEnded():
                self.close()
            case _:
                return

    def close(self) -> None:
        """Take the bars away, and show what was said last."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._show_lines()
        self._clear()
        self._bars.stop()

    def _clear(self) -> None:
        for task in self._tasks.values():
            self._bars.remove_task(task)
        self._tasks.clear()

    def _begin_lines(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, args=(self._over,), name="lines", daemon=True)
        self._thread.start()

    def _go_on(self, over: threading.Event) -> None:
        while not over.wait(_SHOWN_EVERY_S):
            self._show_lines()
            self._show_bytes()

    def _show_bytes(self) -> None:
        with self._lock:
            if "bytes" in self._tasks:
                self._bars.update(self._tasks["bytes"], completed=self._size + self._moved().size)

    def _show_lines(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if lines:
            self._console.print(Text("\n").join(lines), soft_wrap=True)

    def _begin(self, event: PhaseBegan) -> None:
        with self._lock:
            self._clear()
            self._size, self._moved = 0, event.moved
        if event.phase is Phase.SCAN:
            for side in Side:
                self._add(side, f"scan {side}", self._expected or None, "keys")
            return
        self._add(event.phase, event.phase, event.total, "keys" if event.phase is Phase.CHECK else "actions")
        if event.size:
            self._add("bytes", "", event.size, "B")

    def _move(self, name: str, *, to: int | None = None, by: int | None = None) -> None:
        # A phase that has no such bar may hear of it: a check looks whether a side holds any key at all.
        if name in self._tasks:
            self._bars.update(self._tasks[name], completed=to, advance=by)

    def _add(self, name: str, description: str, total: int | None, noun: str) -> None:
        self._tasks[name] = self._bars.add_task(description, total=total, noun=noun)


class _Count(ProgressColumn):
    """How many there are, and of how many."""

    def render(self, task: Task) -> Text:
        noun = str(task.fields["noun"])
        if noun == "B":
            done, total = (shown_size(round(number or 0)) for number in (task.completed, task.total))
            return Text(f"{done} of {total}")
        of = "" if task.total is None else f" of {task.total:,.0f}"
        return Text(f"{task.completed:,.0f}{of} {noun}")


class _Rate(ProgressColumn):
    """So many keys, actions or bytes a second, since their phase began.

    Several shards may be told of within a millisecond, which says nothing about how fast they are.
    """

    def render(self, task: Task) -> Text:
        elapsed_s = _elapsed_s(task)
        if not task.completed or not elapsed_s:
            return Text("")
        rate, noun = task.completed / elapsed_s, str(task.fields["noun"])
        return Text(f"{shown_size(round(rate))}/s" if noun == "B" else f"{rate:,.0f} {noun}/s")


class _Left(ProgressColumn):
    """How long it takes yet at that rate."""

    def render(self, task: Task) -> Text:
        if not task.completed or task.total is None:
            return Text("-:--:--")
        left_s = max(0.0, _elapsed_s(task) * (task.total / task.completed - 1))
        return Text(str(timedelta(seconds=ceil(left_s))))


def _elapsed_s(task: Task) -> float:
    return (task.elapsed if task.finished_time is None else task.finished_time) or 0.0
