"""Random changes to a pair of trees, brought to agree by rclone bisync and, on a copy of it, by bisyncer.

Both copies begin alike and get the same changes, with times that are set, so that no clock decides. After
each round both must hold the same under every name. Where they don't, one of `ROWS` must say why: anything
else fails, and prints the seed, what people did and both listings. People leave a key alone whose ends have
gone apart.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import pytest

from bisyncer.engine import pairing, session
from bisyncer.job import Job, Limits, Loser, Policy, Resolve
from bisyncer.model import SEALS, TRASH, Side
from bisyncer.report.events import Silent
from bisyncer.state.store import Store
from tests.rclone_serve import rclone
from tests.world import ONE, TWO, new_state

KEYS: Final = (
    *("a", "b.txt", "c.tar.gz", "Read me.md", "\u00e9t\u00e9", "-f"),
    *("d/a", "d/b.txt", "d/e/a", "d/e/f/g", "d.x/a", "d e/a"),
    *("h/1", "h/2", "h/3", "h/4", "h/5", "h/6"),
)
BEGAN_S: Final = 1_600_000_000

SEED: Final = int(os.environ.get("SEED", "0"))
SEEDS: Final = int(os.environ.get("DIFFERENTIAL", "25"))
ROUNDS: Final = 2
EXAMPLES: Final = (104,)  # seeds that have shown a difference which no row knew


class Version(NamedTuple):
    """What stands at a key: its text and its time."""

    text: str
    mtime_s: int


class Rules(NamedTuple):
    """What both tools are told to do about conflicts, and with two versions at the first alignment."""

    resolve: Resolve
    loser: Loser
    resync: Resolve


class Held(NamedTuple):
    """What stands under a name and, as conflict copies, beside it; their numbers don't matter."""

    named: str | None
    beside: tuple[str, ...] = ()


NOTHING: Final = Held(None)


class Met(NamedTuple):
    """A key in one round: what each side held when the last run was over, what it holds now, and both ends.

    All of rclone's copy of the pair, but for `here`, which is what each side of ours holds now: other times,
    maybe. `rule` and `loser` hold in this round, of which the first, number 0, is the resync. `fought` says
    that rclone took the key for a conflict in the last one.
    """

    key: str
    number: int
    rule: Resolve
    loser: Loser
    before: Mapping[Side, Version | None]
    now: Mapping[Side, Version | None]
    here: Mapping[Side, Version | None]
    fought: bool
    rclone: Mapping[Side, Held]
    ours: Held

    def same_text(self, side: Side) -> bool:
        """Whether this side holds the text that it held before."""
        before, now = self.before[side], self.now[side]
        return before is not None and now is not None and before.text == now.text

    def followed(self, side: Side) -> bool:
        """Whether ours is what this side holds, or nothing where it holds nothing."""
        now = self.now[side]
        return self.ours.named == (None if now is None else now.text)

    @property
    def clash(self) -> tuple[Version, Version] | None:
        """Our two versions, where each side holds a text that it hadn't before, and not the same one."""
        one, two = self.here[ONE], self.here[TWO]
        if one is None or two is None or one.text == two.text or any(map(self.same_text, Side)):
            return None
        return one, two

    @property
    def edited(self) -> bool:
        """Whether both sides hold another version than before, by its text or its time, and not one text."""
        one, two = self.now[ONE], self.now[TWO]
        if one is None or two is None or one.text == two.text:
            return False
        return all(self.now[side] != self.before[side] for side in Side)

    @property
    def ranks(self) -> tuple[int, ...]:
        """What the rule sees in each version of a conflict: the greater wins; empty where there is none."""
        return tuple(RANK[self.rule](side, each) for side, each in zip(Side, self.clash or (), strict=False))

    @property
    def tie(self) -> bool:
        """Whether it is a conflict in which the rule can't tell."""
        return len(set(self.ranks)) == 1

    @property
    def won(self) -> bool:
        """Of a conflict, whether the right version has our name, and the other is where it belongs."""
        if self.clash is None:
            return False
        one, two = self.clash
        winner, loser = (two, one) if self.ranks[1] > self.ranks[0] else (one, two)
        kept = self.tie or self.loser is not Loser.DELETE
        return self.ours.named == winner.text and (loser.text in self.ours.beside) == kept


class Row(NamedTuple):
    """A difference that may be: its number in docs/coming-from-rclone-bisync.md, why, and how it shows."""

    number: int
    why: str
    tells: Callable[[Met], bool]


def sized(met: Met) -> bool:
    return met.won and met.rule in {Resolve.LARGER, Resolve.SMALLER}


def tied(met: Met) -> bool:
    return met.won and met.tie and met.rclone[ONE].named is None


def replaced(met: Met) -> bool:
    return met.won and met.tie and met.number == 0 and not met.rclone[ONE].beside


def overwritten(met: Met) -> bool:
    return met.won and met.loser is Loser.PATHNAME and set(met.rclone[ONE].beside) < set(met.ours.beside)


def forgotten(met: Met) -> bool:
    """One side left alone what had been a conflict, and ours did what the other side did."""
    return met.fought and any(
        met.before[side] == met.now[side] is not None and met.followed(side.other) for side in Side
    )


def touched(met: Met) -> bool:
    """One side holds the same text with another time, and ours did what the other side did."""
    return any(
        met.same_text(side) and met.before[side] != met.now[side] and met.followed(side.other)
        for side in Side
    )


def touched_once(met: Met) -> bool:
    return met.won and met.now != met.here


RANK: Final[Mapping[Resolve, Callable[[Side, Version], int]]] = {
    Resolve.NONE: lambda _, __: 0,
    Resolve.NEWER: lambda _, version: version.mtime_s,
    Resolve.OLDER: lambda _, version: -version.mtime_s,
    Resolve.LARGER: lambda _, version: len(version.text),
    Resolve.SMALLER: lambda _, version: -len(version.text),
    Resolve.PATH1: lambda side, _: side is ONE,
    Resolve.PATH2: lambda side, _: side is TWO,
}

ROWS: Final[tuple[Row, ...]] = (
    Row(4, "`larger` and `smaller` take an unchanged size for 0, and the wrong side wins, or none", sized),
    Row(14, "where the rule can't tell, both versions lose the name", tied),
    Row(14, "where the rule of a resync can't tell, one version is overwritten", replaced),
    Row(23, "with `pathname`, the copy of a second conflict overwrites that of the first", overwritten),
    Row(21, "the winner of a conflict is forgotten: the next run takes it for new on both sides", forgotten),
    Row(22, "a new time alone counts as an edit, against a deletion or a real edit", touched),
    Row(22, "a new time alone travels, and may decide a conflict later", touched_once),
)


class Copy:
    """One copy of the pair: two trees, and people who write into them."""

    def __init__(self, folder: Path) -> None:
        self.trees = {side: folder / side.value for side in Side}
        for tree in self.trees.values():
            tree.mkdir(parents=True)

    def write(self, side: Side, key: str, version: Version) -> None:
        path = self.trees[side] / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(version.text)
        os.utime(path, (version.mtime_s, version.mtime_s))

    def remove(self, side: Side, key: str) -> None:
        (self.trees[side] / key).unlink()

    def rename(self, side: Side, key: str, new_key: str) -> None:
        path = self.trees[side] / new_key
        path.parent.mkdir(parents=True, exist_ok=True)
        (self.trees[side] / key).rename(path)

    def versions(self, side: Side) -> dict[str, Version]:
        tree = self.trees[side]
        found: dict[str, Version] = {}
        for folder, folders, names in os.walk(tree):
            folders[:] = set(folders) - {TRASH, SEALS}
            for name in names:
                path = Path(folder, name)
                found[path.relative_to(tree).as_posix()] = Version(
                    path.read_text(), int(path.stat().st_mtime)
                )
        return found

    def held(self, side: Side) -> dict[str, Held]:
        """What stands under each name that people gave, with the conflict copies beside it."""
        named: dict[str, str] = {}
        beside: dict[str, list[str]] = {}
        for key, version in self.versions(side).items():
            if copied := re.fullmatch(r"(.*)\.(?:conflict[0-9]+|path[12](?:-[0-9]+)?)", key):
                beside.setdefault(copied[1], []).append(version.text)
            else:
                named[key] = version.text
        return {
            key: Held(named.get(key), tuple(sorted(beside.get(key, ()))))
            for key in sorted(named.keys() | beside.keys())
        }


class People:
    """Who change both copies in the same way, as one seed has it."""

    def __init__(self, seed: int, copies: tuple[Copy, Copy]) -> None:
        self.random = Random(seed)
        self.copies = copies
        self.did: list[str] = []
        self.apart: set[str] = set()  # keys that are left alone
        self._numbers = count(1)
        self._clock_s = count(BEGAN_S + 1)

    def begin(self) -> Rules:
        """Lay out files on both sides, some the same and some not; say what the tools shall do."""
        for key in KEYS:
            sides = self.random.choice(((ONE,), (TWO,), (ONE, TWO), (ONE, TWO), ()))
            self._write(sides, key, self._text())
            if self.random.random() < 0.15:
                self._write((TWO,), key, self._text())
        resolve, resync = self.random.choice(list(Resolve)), self.random.choice(list(Resolve)[1:])
        return Rules(resolve, self.random.choice(list(Loser)), resync)

    def change(self) -> None:
        """Change some keys on one side or on both, each in its own way or in the same."""
        for key in KEYS:
            if key in self.apart or self.random.random() < 0.35:
                continue
            sides = self.random.choice(((ONE,), (TWO,), (ONE, TWO), (ONE, TWO)))
            if len(sides) == 2 and self.random.random() < 0.2:
                self._write(sides, key, self._text())
                continue
            time_s = next(self._clock_s) if self.random.random() < 0.1 else None
            for side in self.random.sample(sides, len(sides)):
                self._change(side, key, time_s)

    def _change(self, side: Side, key: str, time_s: int | None) -> None:
        held = self.copies[0].versions(side)
        if key not in held:
            self._write((side,), key, self._text(), time_s)
            return
        match self.random.choice(
            ("edit", "edit", "same size", "same size", "delete", "delete", "touch", "rename")
        ):
            case "edit":
                self._write((side,), key, self._text(), time_s)
            case "same size":
                self._write((side,), key, self._text(len(held[key].text)), time_s)
            case "touch":
                self._write((side,), key, held[key].text, time_s)
            case "delete":
                self._remove(side, key)
            case "rename":
                free = [each for each in KEYS if each not in held and each not in self.apart]
                if free:
                    self._rename(side, key, self.random.choice(free))

    def _text(self, size: int | None = None) -> str:
        number = f"<{next(self._numbers):04}>"
        return (number * 5)[: size or self.random.choice((6, 12, 15, 18, 24, 30))]

    def _write(self, sides: tuple[Side, ...], key: str, text: str, time_s: int | None = None) -> None:
        for side in sides:
            version = Version(text, next(self._clock_s) if time_s is None else time_s)
            self.did.append(f"{side}: {key} = {version.text} at {version.mtime_s - BEGAN_S}")
            for copy in self.copies:
                copy.write(side, key, version)

    def _remove(self, side: Side, key: str) -> None:
        self.did.append(f"{side}: {key} deleted")
        for copy in self.copies:
            copy.remove(side, key)

    def _rename(self, side: Side, key: str, new_key: str) -> None:
        self.did.append(f"{side}: {key} renamed to {new_key}")
        for copy in self.copies:
            copy.rename(side, key, new_key)


class Rclone:
    """`rclone bisync` on one copy."""

    def __init__(self, folder: Path, copy: Copy, rules: Rules) -> None:
        self._command = [
            *(rclone(), "bisync", str(copy.trees[ONE]), str(copy.trees[TWO])),
            *("--config", "", "--workdir", str(folder / "workdir"), "--color", "NEVER"),
            *("--conflict-resolve", rules.resolve, "--conflict-loser", rules.loser, "--force"),
        ]

    def run(self, *more: str) -> str:
        """One run; returns what it said."""
        ended = subprocess.run([*self._command, *more], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stderr


class Ours:
    """bisyncer on the other copy, with the same rules and no gates."""

    def __init__(self, folder: Path, copy: Copy, rules: Rules) -> None:
        self.job = Job(
            "p",
            str(copy.trees[ONE]),
            str(copy.trees[TWO]),
            policy=Policy(
                conflict_resolve=rules.resolve,
                conflict_loser=rules.loser,
                conflict_suffix=("path1", "path2") if rules.loser is Loser.PATHNAME else ("conflict",) * 2,
                resync_mode=rules.resync,
            ),
            limits=Limits(max_delete_percent=None, force=frozenset({"emptied", "all-changed"})),
            transfers=2,
        )
        self.state = Store.open(new_state(folder))
        self.endpoints = pairing.open_pair(self.job, self.state)
        pairing.init(self.job, self.endpoints, self.state)

    def run(self, *, resync: bool = False) -> None:
        job = replace(self.job, resync=resync)
        summary = session.run(job, self.endpoints, self.state, Silent(), stop=threading.Event())
        assert summary.exit_code == 0, summary

    def close(self) -> None:
        for endpoint in self.endpoints.values():
            endpoint.close()
        self.state.close()


def differences(seed: int, folder: Path) -> Iterator[tuple[Met, People, str]]:
    """Play one seed through both tools; yield each key whose ends are not the same, with who did what."""
    copies = Copy(folder / "rclone"), Copy(folder / "ours")
    people = People(seed, copies)
    rules = people.begin()
    theirs, ours = Rclone(folder, copies[0], rules), Ours(folder, copies[1], rules)
    before: dict[Side, dict[str, Version]] = {side: {} for side in Side}
    fought: set[str] = set()
    try:
        for number in range(ROUNDS + 1):
            if number:
                people.change()
            now, here = ({side: copy.versions(side) for side in Side} for copy in copies)
            said = theirs.run(*(() if number else ("--resync-mode", rules.resync)))
            ours.run(resync=not number)
            ends = {side: copies[0].held(side) for side in Side}
            end = copies[1].held(ONE)
            assert end == copies[1].held(TWO), f"our two sides differ\n{people.did}"
            met = [
                Met(
                    key,
                    number,
                    rules.resolve if number else rules.resync,
                    rules.loser if number else Loser.DELETE,
                    {side: before[side].get(key) for side in Side},
                    {side: now[side].get(key) for side in Side},
                    {side: here[side].get(key) for side in Side},
                    key in fought,
                    {side: ends[side].get(key, NOTHING) for side in Side},
                    end.get(key, NOTHING),
                )
                for key in sorted(now[ONE].keys() | now[TWO].keys() | end.keys() | ends[ONE].keys())
            ]
            for each in met:
                if each.key not in people.apart and set(each.rclone.values()) != {each.ours}:
                    yield each, people, said
                    people.apart.add(each.key)
            before = {side: copies[0].versions(side) for side in Side}
            fought = {each.key for each in met if each.edited}
            people.did.append("-- both tools have run")
    finally:
        ours.close()


@pytest.mark.parametrize("seed", [*range(SEED, SEED + SEEDS), *EXAMPLES])
def test_both_tools_end_alike_where_rclone_bisync_is_right(seed: int, tmp_path: Path) -> None:
    for met, people, said in differences(seed, tmp_path):
        if not any(row.tells(met) for row in ROWS):
            did = "\n".join(people.did)
            pytest.fail(f"seed {seed}: {met}\n{did}\n{said}")
