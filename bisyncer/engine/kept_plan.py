"""A plan as a file: written by `plan --out`, and taken up again by `apply`.

JSON lines: a head, one line an action with the entries that it was made from, and an end with the digest of
all before it, so that a file that was cut or edited isn't taken for a plan.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from bisyncer.endpoints.base import Endpoint
from bisyncer.engine.look import look_at
from bisyncer.engine.plan import EXCLUDED
from bisyncer.errors import BisyncerError, UsageError
from bisyncer.job import Policy
from bisyncer.model import (
    Action,
    Agreement,
    Algorithm,
    Ancestor,
    Delta,
    Digest,
    Entry,
    Fold,
    Item,
    Mode,
    RunOutcome,
    Side,
    Tally,
    Unreadable,
    Verdict,
)
from bisyncer.report.events import Event, GatesClosed, PlanMade, RunBegan, RunEnded, WouldAct
from bisyncer.report.words import instant
from bisyncer.state.records import Pair

SCHEMA: Final = 3
_KIND: Final = "bisyncer plan"
_BATCH: Final = 256  # actions looked at before the first of them is told
_WHOLE: Final = frozenset({RunOutcome.SUCCESS, RunOutcome.UNFINISHED, RunOutcome.HALTED})


class PlanWriter:
    """A Reporter that keeps the plan of a dry run in a file, which is there only once it is whole."""

    def __init__(self, file: Path) -> None:
        """Refuse a file that can't be written, or holds something else than a plan."""
        self._file = file
        self._unfinished = file.with_name(f"{file.name}.unfinished")
        self._began: RunBegan | None = None
        self._gates: list[str] = []
        self._count = 0
        self._whole = False
        self._failed: OSError | None = None
        self._hash = hashlib.sha256()
        try:
            if file.exists() and not _is_plan(file):
                raise UsageError(f"--out: {file} is there already, and is no plan. Name another file.")
            self._stream = self._unfinished.open("wb")
        except OSError as error:
            raise UsageError(f"--out: {file} can't be written: {error.strerror}. Name another.") from error

    def tell(self, event: Event) -> None:
        """Write what belongs to the plan."""
        match event:
            case RunBegan():
                self._began = event
            case PlanMade() if self._began is not None:
                self._write(_head(self._began, event.tally, time.time_ns()))
            case WouldAct() if event.action.verdict is not Verdict.HOLD:
                self._count += 1
                self._write(_row(event.action) | {"recorded": _recorded_row(event.recorded)})
            case GatesClosed():
                self._gates = sorted({halt.gate for halt in event.halts})
            case RunEnded():
                self._whole = event.summary.outcome in _WHOLE and self._stream.tell() > 0
            case _:
                return

    def close(self) -> int | None:
        """Put the file in place and return how many actions it has; None where no plan was made.

        Raises `BisyncerError` where it couldn't be written.
        """
        if self._whole:
            end = {"end": True, "actions": self._count, "gates": self._gates}
            self._write(end | {"sha256": self._hash.hexdigest()})
        try:
            self._stream.close()
            if self._whole and self._failed is None:
                self._unfinished.replace(self._file)
                return self._count
        except OSError as error:
            self._failed = self._failed or error
        with suppress(OSError):
            self._unfinished.unlink(missing_ok=True)
        if self._failed is not None:
            raise BisyncerError(
                f"The plan can't be kept in {self._file}: {self._failed.strerror}. Make room."
            )
        return None

    def _write(self, row: Mapping[str, object]) -> None:
        line = json.dumps(row).encode() + b"\n"
        self._hash.update(line)
        try:
            self._stream.write(line)
        except OSError as error:  # told at the end: a Reporter stops no run
            self._failed = self._failed or error


class KeptAction(NamedTuple):
    """An action of a kept plan, and what was recorded of its key then, in the words of the file."""

    action: Action
    recorded: object


class KeptPlan(NamedTuple):
    """A plan that was kept, and read again to its end. `gates` were closed when it was made, and seen."""

    file: Path
    pair: str
    path1: str
    path2: str
    run: int
    mode: Mode
    first: bool  # it is of a first run in its mode, and deletes nothing
    gates: frozenset[str]
    total: int
    sha256: str

    @classmethod
    def read(cls, file: Path) -> KeptPlan:
        """Read a plan; raises `UsageError` where the file isn't a whole one."""
        hashed = hashlib.sha256()
        head: dict[str, Any] = {}
        row: dict[str, Any] = {}
        lines = 0
        try:
            with file.open("rb") as stream:
                for line in _lines(stream, file):
                    if lines == 0:
                        head = _head_of(line, file)
                    row = _object(line)
                    if "end" in row:
                        break
                    if lines > 0:
                        _kept(row)
                    hashed.update(line)
                    lines += 1
                rest = stream.read(1)
            end = row if "end" in row else {}
            digest = hashed.hexdigest()
            if rest or end.get("sha256") != digest or end["actions"] != lines - 1:
                raise UsageError(
                    f"{file} is not a whole plan: it was cut or changed since it was made. Nothing was done. "
                    "Make it again with `bisyncer plan PAIR --out FILE`."
                )
            roots = head["path1"], head["path2"]
            mode = Mode(head["mode"]), bool(head["first"])
            gates = frozenset(end["gates"])
            return cls(file, head["pair"], *roots, head["run"], *mode, gates, end["actions"], digest)
        except OSError as error:
            raise UsageError(
                f"The plan {file} can't be read: {error.strerror}. Nothing was changed."
            ) from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(
                f"{file} is not a whole plan. Nothing was changed. Make it with "
                "`bisyncer plan PAIR --out FILE`."
            ) from error

    def actions(self) -> Iterator[KeptAction]:
        """Yield the actions in their order.

        Raises `UsageError` at their end where the file isn't the one that was read: nothing was done by then.
        """
        hashed = hashlib.sha256()
        with suppress(OSError, KeyError, TypeError, ValueError), self.file.open("rb") as stream:
            hashed.update(stream.readline())
            for line in islice(stream, self.total):
                hashed.update(line)
                yield _kept(_object(line))
        if hashed.hexdigest() != self.sha256:
            raise UsageError(
                f"{self.file} is no longer the plan that was read: it was replaced or taken away meanwhile. "
                "Nothing was done. Look at what is there now, and apply that."
            )

    def refuse_other(self, pair: Pair, mode: Mode) -> None:
        """Raise `UsageError` unless the plan was made for this pair, with these roots and in this mode."""
        if self.pair != pair.name:
            raise UsageError(
                f"{self.file} is a plan of pair '{self.pair}', not of '{pair.name}'. Nothing was changed."
            )
        if (self.path1, self.path2) != (pair.path1, pair.path2):
            raise UsageError(
                f"{self.file} is a plan for {self.path1} and {self.path2}, and pair '{pair.name}' has "
                f"{pair.path1} and {pair.path2}. Nothing was changed. Make a plan for these."
            )
        if self.mode is not mode:
            raise UsageError(
                f"{self.file} is a plan for the mode {self.mode}, and that of pair '{pair.name}' is {mode}. "
                "Nothing was changed. Make a plan for this mode."
            )
        if pair.mode is not mode and not self.first:
            raise UsageError(
                f"{self.file} was made before the mode of pair '{pair.name}' was {pair.mode}, and the first "
                f"run in the mode {mode} deletes nothing. Nothing was changed. Make the plan again."
            )


def still_so(
    actions: Iterator[KeptAction],
    endpoints: Mapping[Side, Endpoint],
    policy: Policy,
    width: int,
    recorded: Callable[[Collection[str]], Mapping[str, Ancestor]],
) -> Generator[list[tuple[Action, str | None]]]:
    """Yield batches of actions, each with what moved since it was planned; None: all is as it was."""
    with ThreadPoolExecutor(width, thread_name_prefix="looks") as pool:
        while batch := list(islice(actions, _BATCH)):
            known = recorded([kept.action.recorded_key for kept in batch])
            settled = [_settled_since(kept, known) for kept in batch]
            moved = pool.map(
                lambda kept, settled: settled or _moved(kept.action, endpoints, policy), batch, settled
            )
            yield list(zip([kept.action for kept in batch], moved, strict=True))


def _settled_since(kept: KeptAction, known: Mapping[str, Ancestor]) -> str | None:
    """Why an action that writes a store is no longer due: what it goes by isn't recorded any more.

    Carried out and taken back, a key has on both sides what it had, and is recorded otherwise.
    """
    action = kept.action
    writes = action.verdict.side is not None or action.verdict is Verdict.CONFLICT
    if not writes or action.reason == EXCLUDED:
        return None
    key = action.recorded_key
    if _recorded_row(known.get(key)) == kept.recorded:
        return None
    return f"{key!r} was settled since the plan was made. It is left alone; the next run decides."


def _moved(action: Action, endpoints: Mapping[Side, Endpoint], policy: Policy) -> str | None:
    if action.verdict is Verdict.FORGET and (action.reason is not None or action.key.endswith("/")):
        return None  # left out, or a directory that isn't empty: neither side is touched
    # What the filters leave out and a mirror deletes from path2, path1 may well hold.
    sides = tuple(Side) if action.reason != EXCLUDED else (Side.PATH2,)
    if _is_spelled_anew(action) and (side := action.verdict.side) is not None:
        sides = (side,)  # across it has another content than is recorded, which the next run follows
    seen: list[tuple[Side, str, Entry | None]] = [(side, action.key, action.entry(side)) for side in sides]
    if action.origin is not None and (side := action.verdict.side) is not None:
        seen += [(side, action.origin.key, action.origin), (side.other, action.origin.key, None)]
    for side, key, entry in seen:
        # What a side can't name it doesn't hold.
        now = look_at(endpoints[side], key) if endpoints[side].refusal(key) is None else None
        if (how := _changed(entry, now, restless=side in policy.restless)) is not None:
            return f"{side}: {key!r} {how} since the plan was made. It is left alone; the next run decides."
    return None


def _is_spelled_anew(action: Action) -> bool:
    """Whether a move only gives a name another spelling, whatever content it has across."""
    if action.origin is None or action.agreement is not None:
        return False
    fold = Fold(case=True, unicode=True)
    return fold.folded(action.key) == fold.folded(action.origin.key)


def _changed(entry: Entry | None, now: Item | None, *, restless: bool) -> str | None:
    """How what is there differs from what a plan saw; what is finer than this, each deed's condition sees."""
    if isinstance(now, Unreadable):
        return f"can't be looked at ({now.sentence}), and may have changed"
    if entry is None or now is None:
        return None if entry is now else "appeared" if entry is None else "was deleted"
    same = (entry.size, entry.mtime_ns) == (now.size, now.mtime_ns) if restless else entry.stamp == now.stamp
    return None if same else "changed"


def _head(began: RunBegan, tally: Tally, made_ns: int) -> dict[str, object]:
    counts = {verdict.value: count for verdict, count in tally.verdicts.items() if count}
    return {
        "kind": _KIND,
        "schema": SCHEMA,
        "pair": began.pair,
        "run": began.run,
        "made": instant(made_ns),
        "path1": began.path1,
        "path2": began.path2,
        "mode": began.mode,
        "first": began.was is not None,
        "scanned": {side.value: tally.scanned[side] for side in Side},
        "actions": counts,
    }


def _is_plan(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return _object(stream.readline(1 << 16)).get("kind") == _KIND
    except (OSError, ValueError, TypeError):
        return False


def _lines(stream: BinaryIO, file: Path) -> Iterator[bytes]:
    while line := stream.readline(1 << 20):
        if not line.endswith(b"\n"):
            raise ValueError(f"{file} has a line without an end")
        yield line


def _object(line: bytes) -> dict[str, Any]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise TypeError("not a JSON object")
    return row


def _head_of(line: bytes, file: Path) -> dict[str, Any]:
    head = _object(line)
    if head.get("kind") != _KIND:
        raise ValueError(f"{file} has no head")
    if head.get("schema") != SCHEMA:
        raise UsageError(
            f"{file} was written by another version of bisyncer (schema {head.get('schema')}, this one knows "
            f"{SCHEMA}). Nothing was changed. Make it again with this one."
        )
    return head


def _row(action: Action) -> dict[str, object]:
    return {
        "key": action.key,
        "verdict": action.verdict,
        "delta1": action.delta1,
        "delta2": action.delta2,
        "agreement": action.agreement,
        "path1": _entry_row(action.path1),
        "path2": _entry_row(action.path2),
        "reason": action.reason,
        "winner": action.winner,
        "origin": None if action.origin is None else {"key": action.origin.key} | _held_row(action.origin),
    }


def _recorded_row(recorded: Ancestor | None) -> dict[str, list[object]] | None:
    """What was recorded of a key, as JSON gives it back; without digests, which are learnt at any time."""
    if recorded is None:
        return None
    sides = {side: recorded.side(side) for side in Side}
    return {side.value: [entry.size, entry.mtime_ns, entry.stamp] for side, entry in sides.items()}


def _entry_row(entry: Entry | None) -> dict[str, object] | None:
    return None if entry is None else _held_row(entry)


def _held_row(entry: Entry) -> dict[str, object]:
    digests = [[algorithm, value] for algorithm, value in entry.digests]
    return {"size": entry.size, "mtime_ns": entry.mtime_ns, "stamp": entry.stamp, "digests": digests}


def _kept(row: Mapping[str, Any]) -> KeptAction:
    return KeptAction(_action(row), row["recorded"])


def _action(row: Mapping[str, Any]) -> Action:
    key, origin = row["key"], row["origin"]
    return Action(
        key,
        Verdict(row["verdict"]),
        Delta(row["delta1"]),
        Delta(row["delta2"]),
        None if row["agreement"] is None else Agreement(row["agreement"]),
        _entry(key, row["path1"]),
        _entry(key, row["path2"]),
        row["reason"],
        None if row["winner"] is None else Side(row["winner"]),
        None if origin is None else _entry(origin["key"], origin),
    )


def _entry(key: str, row: Mapping[str, Any] | None) -> Entry | None:
    if row is None:
        return None
    digests = tuple(Digest(Algorithm(algorithm), value) for algorithm, value in row["digests"])
    return Entry(key, row["size"], row["mtime_ns"], row["stamp"], digests)
