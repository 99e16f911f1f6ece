"""Find the names in a plan that each side spells in its own way, and those that a side can't tell apart.

Only keys that are new on one side and absent on the other can be that. They are sorted on disk by what they
fold to, so that nothing of it is in memory but one group at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, islice
from typing import Final, NamedTuple

from bisyncer.core.renames import Rename, is_as_recorded, is_new
from bisyncer.core.spellings import Pair, clashes, pair_of, told
from bisyncer.endpoints.base import Endpoint
from bisyncer.endpoints.spool import in_order
from bisyncer.engine.check import settled_agreement
from bisyncer.errors import EndpointError
from bisyncer.job import MatchNames, Policy
from bisyncer.model import COPIES, DELETES, MOVES, Ancestor, Fold, Planned, Side, Tally, Verdict

_BATCH: Final = 100  # groups looked at together
_MOST: Final = 100  # keys of one group that are looked at; the rest goes on as planned


class Spelled(NamedTuple):
    """What is sorted: where a key stands in the plan, after what it folds to."""

    folded: str
    seq: int


class Settled(NamedTuple):
    """Rows of a plan that are held, before and after; and two rows each that become one, under one name."""

    held: Sequence[tuple[Planned, Planned]]
    renamed: Sequence[Rename]


class Spellings:
    """What two stores and a policy take for one name."""

    def __init__(self, endpoints: Mapping[Side, Endpoint], policy: Policy, width: int) -> None:
        self._endpoints = endpoints
        self._policy = policy
        self._width = width
        self._folding = {side for side, endpoint in endpoints.items() if endpoint.capabilities.folds_case}
        self._fold = Fold(
            case=policy.match_names is MatchNames.FOLDED or bool(self._folding),
            unicode=policy.match_names is not MatchNames.EXACT,
        )

    def may_meet(self, tally: Tally) -> bool:
        """Whether two names of a plan can be one: where each side gets some, or one that can't tell them."""
        copies = {side: tally.verdicts[COPIES[side]] for side in Side}
        return all(copies.values()) or any(copies[side] for side in self._folding)

    def settle(
        self,
        planned: Callable[..., Iterator[Planned]],
        planned_at: Callable[[Collection[int]], Mapping[int, Planned]],
        recorded: Callable[[Collection[str]], Mapping[str, Ancestor]],
    ) -> Generator[Settled]:
        """Yield what becomes of the names that are one, some groups at a time; no store is written."""
        wanted = [*COPIES.values(), *(DELETES[side] for side in self._folding)]
        folded = in_order(self._candidates(planned(*wanted)))
        groups = _groups(folded)
        with ThreadPoolExecutor(self._width, thread_name_prefix="spellings") as pool:
            while batch := list(islice(groups, _BATCH)):
                rows = planned_at([seq for group in batch for seq in group])
                known = recorded([row.action.key for row in rows.values() if _is_deletion(row)])
                named = ([rows[seq] for seq in group] for group in batch)
                yield _joined(pool.map(lambda group, known=known: self._settled(group, known), named))

    def _candidates(self, rows: Iterable[Planned]) -> Iterator[Spelled]:
        for row in rows:
            key, side = row.action.key, row.action.verdict.side
            counts = side is not None and key[-1:] != "/" and (_is_deletion(row) or is_new(row, side))
            if counts and (self._fold.case or not key.isascii()):
                yield Spelled(self._fold.folded(key), row.seq)

    def _settled(self, group: Sequence[Planned], known: Mapping[str, Ancestor]) -> Settled:
        deleted = [row for row in group if _is_deletion(row)]
        group = [row for row in group if not _is_deletion(row)]
        if len(deleted) == len(group) == 1:
            return _spelled_anew(deleted[0], group[0], known.get(deleted[0].action.key))
        if len(group) <= 1:
            return Settled((), ())
        pair = pair_of(group)
        if pair is not None:
            return self._moved(pair) if self._policy.fix_case else _held(group, _apart(pair))
        return _held(group, _one_name(group)) if clashes(group, self._folding) else Settled((), ())

    def _moved(self, pair: Pair) -> Settled:
        """The pair as a move on path2; its content is compared, since only then are both sides in step."""
        one, two = pair.path1.action.path1, pair.path2.action.path2
        assert one is not None and two is not None, "each side of a pair holds its spelling"
        entries = {Side.PATH1: one, Side.PATH2: two}
        try:
            agreed = settled_agreement(entries, self._endpoints, self._policy)
        except EndpointError as error:
            return _held(pair, [f"can't be compared with its other spelling: {error}"] * 2)
        action = pair.path1.action._replace(
            verdict=MOVES[Side.PATH2],
            agreement=agreed,
            path1=entries[Side.PATH1],
            origin=entries[Side.PATH2],
        )
        moved = Planned(pair.path1.seq, action)
        return Settled((), [Rename(deleted=pair.path2, copied=pair.path1, moved=moved)])


def _is_deletion(row: Planned) -> bool:
    return row.action.verdict in DELETES.values()


def _spelled_anew(deleted: Planned, copied: Planned, old: Ancestor | None) -> Settled:
    """A name that is spelled anew across, and whose content is another: on this side it is renamed.

    The old spelling stands in the way of the new one, and were it deleted first the name would be away. Its
    ancestor goes along, by which the next run sees that the content changed, and on which side.
    """
    side = deleted.action.verdict.side
    if old is None or side is None or copied.action.verdict.side is not side:
        return Settled((), ())
    if not is_as_recorded(deleted, side):  # an edit of it isn't what the new name is to have
        return Settled((), ())
    then = old.side(side.other)._replace(key=copied.action.key)
    one, two = (None, then) if side is Side.PATH1 else (then, None)
    origin = deleted.action.entry(side)
    assert origin is not None, f"the deletion of {deleted.action.key!r} has nothing to delete"
    origin = origin._replace(digests=old.side(side).digests)
    action = copied.action._replace(verdict=MOVES[side], path1=one, path2=two, origin=origin)
    return Settled((), [Rename(deleted, copied, Planned(copied.seq, action))])


def _groups(spelled: Iterator[Spelled]) -> Iterator[list[int]]:
    for _, same in groupby(spelled, lambda each: each.folded):
        places = [each.seq for each in islice(same, _MOST)]
        if len(places) > 1:
            yield places


def _joined(all_settled: Iterable[Settled]) -> Settled:
    settled = list(all_settled)
    return Settled(
        [each for one in settled for each in one.held], [each for one in settled for each in one.renamed]
    )


def _held(group: Sequence[Planned], reasons: Sequence[str]) -> Settled:
    return Settled(
        [
            (row, row._replace(action=row.action._replace(verdict=Verdict.HOLD, reason=reason)))
            for row, reason in zip(group, reasons, strict=True)
        ],
        (),
    )


def _apart(pair: Pair) -> list[str]:
    one, two = told(pair.path1.action.key, pair.path2.action.key)
    reason = (
        f"path1 spells it {one}, path2 {two}, so neither is copied. Rename one of the two, or set fix_case, "
        "which gives that of path2 the spelling of path1."
    )
    return [reason, reason]


def _one_name(group: Sequence[Planned]) -> list[str]:
    sides = {row.action.verdict.side for row in group}
    how = "is another spelling of" if len(sides) > 1 else f"{sides.pop()} can't tell it from"
    keys = sorted(row.action.key for row in group)
    names = {key: ", ".join(told(key, other)[1] for other in keys if other != key) for key in keys}
    return [f"{how} {names[row.action.key]}, so none of them is copied. Rename all but one." for row in group]
