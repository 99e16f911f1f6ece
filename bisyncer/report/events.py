"""What a run tells while it goes on: event classes, and the Reporter that hears them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from bisyncer.errors import Halt
from bisyncer.model import Action, Ancestor, Mode, Outcome, Problem, Side, Summary, Tally


class Phase(StrEnum):
    """The phases of a run, in their order."""

    SCAN = "scan"  # scan and plan go on together: the plan is made while the listings stream
    CHECK = "check"
    GATE = "gate"
    APPLY = "apply"


@dataclass(frozen=True, slots=True)
class RunBegan:
    """A run holds its lease and starts.

    `expected` is the number of keys at the last run, if any; `was` is the mode of that run, if another.
    """

    pair: str
    run: int
    path1: str
    path2: str
    dry_run: bool
    resync: bool
    expected: int
    mode: Mode = Mode.BISYNC
    was: Mode | None = None


class Moved(NamedTuple):
    """So many bodies are on their way, and so many bytes of them have passed."""

    bodies: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class PhaseBegan:
    """A phase starts; `total` is the number of keys or actions it will go through, where known.

    `moved` tells at any time, on any thread, of the large bodies whose actions haven't ended.
    """

    phase: Phase
    total: int | None = None
    size: int = 0  # bytes to be moved, in apply
    moved: Callable[[], Moved] = Moved


@dataclass(frozen=True, slots=True)
class Scanned:
    """So many keys of `side` have been listed so far."""

    side: Side
    keys: int


@dataclass(frozen=True, slots=True)
class Checked:
    """So many keys have been settled by content so far."""

    keys: int


@dataclass(frozen=True, slots=True)
class WouldAct:
    """A dry run or a plan would do this; `replaces`: the winner of this conflict would replace the loser.

    `recorded` is what was known of its key when it was judged.
    """

    action: Action
    replaces: bool = False
    recorded: Ancestor | None = None


@dataclass(frozen=True, slots=True)
class Acted:
    """An action ended; nothing about it is in the state yet."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Settled:
    """So many keys whose stores are left as they are were recorded or forgotten, and are in the state.

    `actions` gives the same ones each time it is gone through; who only counts need not make them.
    """

    count: int
    actions: Iterable[Action]


@dataclass(frozen=True, slots=True)
class ProblemFound:
    """A key could not be handled outside of an action: unreadable, or a name that a store can't hold."""

    side: Side
    problem: Problem


@dataclass(frozen=True, slots=True)
class SkippedPlace:
    """A symbolic link, a socket or the like was left alone, by design."""

    side: Side
    problem: Problem


@dataclass(frozen=True, slots=True)
class GatesClosed:
    """The run halts before any change."""

    halts: tuple[Halt, ...]


@dataclass(frozen=True, slots=True)
class PlanMade:
    """The plan is complete and counted; nothing has been changed yet."""

    tally: Tally


@dataclass(frozen=True, slots=True)
class RunEnded:
    """A run is over."""

    summary: Summary


Event = (
    RunBegan
    | PhaseBegan
    | Scanned
    | Checked
    | WouldAct
    | Acted
    | Settled
    | ProblemFound
    | SkippedPlace
    | GatesClosed
    | PlanMade
    | RunEnded
)


class Reporter(Protocol):
    """Hears events, from the run's own thread only, and says them its own way."""

    def tell(self, event: Event) -> None:
        """Take one event; must not raise and must return at once."""
        ...


class Silent:
    """A Reporter that says nothing."""

    def tell(self, event: Event) -> None:
        """Ignore the event."""
