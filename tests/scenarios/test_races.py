"""Eight people write to both sides while runs are under way, on real servers, and no write is ever lost.

Every write carries a token of its own. A token must be on both sides once everybody rests, unless a later
user wrote over it, or deleted it, on a side where it stood: a file, its copy, or a conflict's other version.

Two kinds of people write to two sets of keys. *Careful* ones replace a version that they have seen, by a
conditional request or an exchange of files, so it is known exactly which token each write replaced. *Blind*
ones write and delete whatever is there; what they may have replaced is told by time: what stood on their
side, or was carried there by a run, before they were done.

People write when the engine calls a store, and mostly to the key that the call is about.
"""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from bisyncer.core.reserved import is_reserved
from bisyncer.endpoints.aside import Asides, Spot
from bisyncer.job import Limits
from bisyncer.model import Side, Summary
from tests.pair import Pair, paired
from tests.places import Places, Tree
from tests.world import carried_out

ROUNDS = int(os.environ.get("ROUNDS", "6"))
SEED = int(os.environ.get("SEED", "0"))
PEOPLE = 8
WRITES = 64  # a round
CAREFUL = (*(f"k{number}" for number in range(6)), "d/k", "e/f/k")
BLIND = ("b0", "b1", "d/b", "e/f/b")

_Hint = tuple[Side, str] | None


@dataclass(frozen=True)
class _Blind:
    """A write of whatever was there, or a deletion: somewhen between two instants."""

    side: Side
    key: str
    token: bytes | None
    began_ns: int
    ended_ns: int


@dataclass
class Ledger:
    """Every token that was written, and whether it must still be there."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    written: set[bytes] = field(default_factory=set)
    released: set[bytes] = field(default_factory=set)
    blind: list[_Blind] = field(default_factory=list)  # of this round
    carried: list[tuple[Side, str, int]] = field(default_factory=list)  # by runs, in this round
    rested: dict[str, bytes] = field(default_factory=dict)  # what the blind's keys held before this round
    counts: Counter[str] = field(default_factory=Counter)

    def token(self, size: int = 0) -> bytes:
        """A content that nobody has written before, of `size` bytes, or of more or less any."""
        number = next(self.numbers)
        return f"<{number:09}>".encode().ljust(size or 11 + number % 3, b".")

    def wrote(self, token: bytes, replaced: bytes | None) -> None:
        """A token stands, in the place of another."""
        with self.lock:
            self.written.add(token)
            self.counts["writes"] += 1
        self.saw_go(replaced)

    def saw_go(self, token: bytes | None) -> None:
        """Somebody who saw a token took it away."""
        if token is not None:
            with self.lock:
                self.released.add(token)

    def rest(self, held: dict[str, bytes]) -> None:
        """See that what must be there is, and begin another round."""
        due = self.written - self.released
        due |= {write.token for write in self.blind if write.token is not None and not self._excused(write)}
        due |= {token for key, token in self.rested.items() if not any(w.key == key for w in self.blind)}
        lost = due - {*held.values()}
        assert not lost, f"lost: {lost}\nheld: {held}\nblind: {self.blind}\ncarried: {self.carried}"
        self.rested = {key: held[key] for key in BLIND if key in held}
        # What lies in a copy, nobody writes over blindly; and what has been released is done with.
        self.written = due - {*self.rested.values()}
        self.released.clear()
        self.blind.clear()
        self.carried.clear()

    def _excused(self, write: _Blind) -> bool:
        return any(
            later is not write
            and later.key == write.key
            and later.ended_ns > write.began_ns
            and (later.side is write.side or self._was_carried(write, later))
            for later in self.blind
        )

    def _was_carried(self, write: _Blind, later: _Blind) -> bool:
        return any(
            (side, key) == (later.side, later.key) and write.began_ns < at_ns < later.ended_ns
            for side, key, at_ns in self.carried
        )


class People:
    """Eight of them, for one round."""

    def __init__(self, pair: Pair, ledger: Ledger, seed: str) -> None:
        self.pair = pair
        self.ledger = ledger
        self.hints: SimpleQueue[_Hint] = SimpleQueue()
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._left = WRITES
        self._errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._work, args=(random.Random(f"{seed} {number}"),))
            for number in range(PEOPLE)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()
        for _ in self._threads:
            self._hint(None)
        for side in Side:
            self.pair.hooked[side].before = partial(self._notice, side)
            self.pair.hooked[side].after = partial(self._wake, side)

    @property
    def writing(self) -> bool:
        return self._left > 0

    def end(self) -> None:
        """Return when everybody rests."""
        for side in Side:
            self.pair.hooked[side].before = self.pair.hooked[side].after = lambda _method, _key: None
        for _ in self._threads:
            self.hints.put(_GO_HOME)
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _notice(self, side: Side, method: str, key: str) -> None:
        if method in {"write", "copy_from"}:
            with self.ledger.lock:
                self.ledger.carried.append((side, key, time.monotonic_ns()))
        self._wake(side, method, key)

    def _wake(self, side: Side, method: str, key: str) -> None:
        if self._random.random() < (0.02 if method == "scan" else 0.5):
            self._hint((side, key))

    def _hint(self, hint: _Hint) -> None:
        with self._lock:  # the engine calls from several threads
            if self._left > 0:
                self._left -= 1
                self.hints.put(hint)

    def _work(self, chance: random.Random) -> None:
        try:
            while (hint := self.hints.get()) is not _GO_HOME:
                self._act(chance, hint)
        except BaseException as error:  # noqa: BLE001 -- raised again by `end`
            self._errors.append(error)

    def _act(self, chance: random.Random, hint: _Hint) -> None:
        side, key = hint or (chance.choice(list(Side)), "")
        if key not in CAREFUL + BLIND or chance.random() < 0.2:
            key = chance.choice(CAREFUL + BLIND)
        if chance.random() < 0.5:
            side = side.other
        self._write(chance, side, key)

    def in_the_last_instant(self, key: str) -> None:
        """The engine has looked at a file of the tree for the last time, and is about to take it out."""
        if key in CAREFUL + BLIND and self._random.random() < 0.7:
            with self.ledger.lock:
                self.ledger.counts["writes in the last instant"] += 1
            tree = next(side for side in Side if isinstance(self.pair.places[side], Tree))
            self._write(self._random, tree, key)

    def _write(self, chance: random.Random, side: Side, key: str) -> None:
        if key in BLIND:
            self._blindly(chance, side, key)
        else:
            self._carefully(chance, side, key)

    def _carefully(self, chance: random.Random, side: Side, key: str) -> None:
        place, ledger = self.pair.places[side], self.ledger
        deed = chance.choice(("swap", "swap", "take", "edit"))
        if deed == "take":
            ledger.saw_go(place.take(key))
        elif deed == "edit" and isinstance(place, Tree):
            edited = place.edit(key, ledger.token)
            if edited is not None:
                old, new, leads_there = edited
                ledger.saw_go(old)
                if leads_there:
                    ledger.wrote(new, old)
        else:
            token = ledger.token()
            ledger.wrote(token, place.swap(key, token))

    def _blindly(self, chance: random.Random, side: Side, key: str) -> None:
        place, ledger = self.pair.places[side], self.ledger
        token = ledger.token() if chance.random() < 0.75 else None
        began_ns = time.monotonic_ns()
        if token is None:
            place.remove(key)
        else:
            place.plant(key, token)
        write = _Blind(side, key, token, began_ns, time.monotonic_ns())
        with ledger.lock:
            ledger.blind.append(write)
            ledger.counts["blind writes"] += 1


_GO_HOME: _Hint = (Side.PATH1, "<go home>")


@pytest.fixture
def last_instant(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[str], None]]:
    """What happens between the last look at a tree's file and its rename, which no thread meets by chance."""
    happens: list[Callable[[str], None]] = []

    def overtaken(original: Callable[..., None]) -> Callable[..., None]:
        def deed(self: Asides, spot: Spot, *words: Any) -> None:
            for happening in happens:
                happening(spot.key)
            original(self, spot, *words)

        return deed

    for method in (Asides.replace, Asides.take):
        monkeypatch.setattr(Asides, method.__name__, overtaken(method))
    return happens


@pytest.mark.parametrize("kinds", ["tree-s3", "azure-tree", "s3-azure", "s3-s3"])
def test_no_write_is_lost_while_eight_people_write(
    kinds: str, places: Places, tmp_path: Path, last_instant: list[Callable[[str], None]]
) -> None:
    one, two = map(places, kinds.split("-"))
    limits = Limits(max_delete_percent=None, force=frozenset({"emptied", "all-changed"}))
    ledger = Ledger()
    chance = random.Random(SEED)
    with paired(tmp_path, one, two, limits=limits) as pair:
        pair.align()
        for number in range(ROUNDS):
            _tidy(pair, ledger, chance.choice(list(Side)))
            people = People(pair, ledger, f"{SEED} {kinds} {number}")
            people.start()
            last_instant.append(people.in_the_last_instant)
            try:
                while people.writing:
                    _counted(ledger, pair.run())
            finally:
                last_instant.clear()
                people.end()
            pair.settle()
            ledger.rest(pair.held())
    print(f"\n{kinds}: {ROUNDS} rounds, {dict(ledger.counts)}, and no write lost")
    assert ledger.counts["conflict"]


def _tidy(pair: Pair, ledger: Ledger, side: Side) -> None:
    """Somebody deletes the copies that conflicts have left."""
    for key in pair.places[side].names():
        if key not in CAREFUL + BLIND and not is_reserved(key):
            ledger.saw_go(pair.places[side].take(key))


def _counted(ledger: Ledger, summary: Summary) -> None:
    ledger.counts["runs"] += 1
    ledger.counts["keys that kept changing"] += summary.problem_count
    ledger.counts.update(carried_out(summary))
