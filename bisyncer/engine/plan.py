"""Merge, compare and decide: three streams become a stream of actions, counted as they pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from bisyncer.core.compare import compare
from bisyncer.core.decide import decide
from bisyncer.core.keys import folder_marker
from bisyncer.core.merge import merge
from bisyncer.endpoints.base import Endpoint, NameRules
from bisyncer.model import (
    Action,
    Ancestor,
    Delta,
    Entry,
    Item,
    Policy,
    Side,
    Tally,
    Triple,
    Unreadable,
    Verdict,
)


def make_plan(
    ancestors: Iterable[Ancestor],
    path1: Iterable[Item],
    path2: Iterable[Item],
    *,
    policy: Policy,
    endpoints: Mapping[Side, Endpoint],
    excluded: Callable[[str], bool],
    tally: Tally,
) -> Iterator[Action]:
    """Yield an action for every key that isn't simply unchanged; `hold` actions carry their reason.

    The listings come without the keys that are `excluded`, which therefore look deleted on both sides.
    `tally` is complete once the stream has ended. Raises `ListingIncomplete`.
    """
    mode = policy.mode
    for triple in merge(ancestors, path1, path2):
        tally.ancestors += triple.ancestor is not None
        delta1, delta2, agreement = compare(triple, policy)
        verdict = decide(mode, delta1, delta2, agreement)
        if verdict is Verdict.NOTHING:
            tally.unchanged += 1
            continue
        if verdict is Verdict.LEAVE:
            tally.verdicts[verdict] += 1
            continue
        tally.changed[Side.PATH1] += delta1 is Delta.CHANGED
        tally.changed[Side.PATH2] += delta2 is Delta.CHANGED
        action = Action(
            triple.key, verdict, delta1, delta2, agreement, _entry(triple.path1), _entry(triple.path2)
        )
        if verdict is Verdict.FORGET and excluded(triple.key):
            tally.ancestors -= 1  # a guard looks at the keys that are in
            action = action._replace(reason="excluded now, and left alone on both sides")
        elif verdict is Verdict.HOLD:
            action = action._replace(reason=_hidden(triple))
        elif verdict in DELETES and excluded(triple.key):
            action = action._replace(reason=EXCLUDED)
        elif verdict.side is not None and (refusal := _refusal(action, verdict.side, endpoints)):
            if refusal is _QUIETLY:
                continue
            action = action._replace(verdict=Verdict.HOLD, reason=refusal)
        count(action, tally)
        yield action


def count(action: Action, tally: Tally, times: int = 1) -> None:
    """Add an action to the tally; `times=-1` takes it out again."""
    tally.verdicts[action.verdict] += times
    side = action.verdict.side
    if side is not None and action.origin is None:  # of a move, no bytes go anywhere
        entry = action.entry(side.other)
        tally.size[side] += times * (entry.size if entry else 0)


DELETES = frozenset({Verdict.DELETE_FROM_PATH1, Verdict.DELETE_FROM_PATH2})
EXCLUDED = "the filters leave it out"  # why a mirror deletes what path1 may hold

_QUIETLY = "left out without a word"


def _entry(item: Item | None) -> Entry | None:
    return item if isinstance(item, Entry) else None


def _hidden(triple: Triple) -> str | None:
    """Why a key is held; None where the unreadable place has been told already, once for all its keys."""
    for side, item in ((Side.PATH1, triple.path1), (Side.PATH2, triple.path2)):
        if isinstance(item, Unreadable) and item.skipped:
            return f"{side}: {item.prefix} {item.sentence}, so this key can't be there too"
    return None


def _refusal(action: Action, side: Side, endpoints: Mapping[Side, Endpoint]) -> str | None:
    """Why the side to be written can't hold this key; None where it can."""
    source = action.entry(side.other)
    if source is None:
        # A tree can't hold the marker of a folder: that it hasn't got it doesn't say that it should go.
        there, other = action.entry(side), endpoints[side.other].capabilities.names
        marker = there is not None and folder_marker(action.key, there.size)
        return _QUIETLY if marker and other is NameRules.TREE else None
    names = endpoints[side].capabilities.names
    if names is NameRules.TREE and folder_marker(action.key, source.size):
        return _QUIETLY
    refusal = endpoints[side].refusal(action.key)
    return None if refusal is None else f"{side}: {refusal}"
