"""Merge, compare and decide: three streams become a stream of actions, counted as they pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from bisyncer.core.compare import compare, undisputed
from bisyncer.core.decide import decide
from bisyncer.core.keys import folder_marker
from bisyncer.endpoints.base import Endpoint, NameRules
from bisyncer.engine.left_alone import LeftAlone
from bisyncer.job import Policy
from bisyncer.model import (
    DELETES,
    LINK_SUFFIX,
    Action,
    Delta,
    Entry,
    Item,
    Side,
    Tally,
    Triple,
    Unreadable,
    Verdict,
)


def make_plan(
    triples: Iterable[Triple],
    *,
    policy: Policy,
    endpoints: Mapping[Side, Endpoint],
    excluded: Callable[[str], bool],
    tally: Tally,
    left_alone: LeftAlone,
) -> Iterator[Action]:
    """Yield an action for every key that isn't simply unchanged; `hold` actions carry their reason.

    The listings come without the keys that are `excluded`, which therefore look deleted on both sides.
    `tally` is complete once the stream has ended, save what was passed over. Raises `ListingIncomplete`.
    """
    mode = policy.mode
    for triple in triples:
        tally.ancestors += triple.ancestor is not None
        delta1, delta2, agreement = compare(triple, policy)
        verdict = decide(mode, delta1, delta2, agreement)
        if verdict is Verdict.NOTHING:
            tally.unchanged += 1
            continue
        if unsynced := _unsynced(triple, policy):
            tally.ancestors -= triple.ancestor is not None
            if triple.ancestor is not None:
                reason = f"{unsynced}, and left alone"
                forgotten = Action(triple.key, Verdict.FORGET, delta1, delta2, None, None, None, reason)
                count(forgotten, tally)
                yield forgotten
            continue
        if verdict is Verdict.LEAVE:
            tally.verdicts[verdict] += 1
            continue
        path1, path2 = _entry(triple.path1), _entry(triple.path2)
        if verdict is Verdict.RECORD and path1 is not None and path2 is not None:
            path1, path2 = undisputed(path1, path2)
        action = Action(triple.key, verdict, delta1, delta2, agreement, path1, path2)
        if left_alone.any:
            judged = left_alone.judged(action)
            if judged is None:
                tally.ancestors -= triple.ancestor is not None  # a guard looks at the keys that are in
                continue
            action = judged
        tally.changed[Side.PATH1] += delta1 is Delta.CHANGED
        tally.changed[Side.PATH2] += delta2 is Delta.CHANGED
        action = _with_reason(action, triple, endpoints, excluded)
        if action.verdict is Verdict.HOLD and action.reason is not None and left_alone.forgets(action):
            action = action._replace(verdict=Verdict.FORGET)
        tally.ancestors -= action.reason is _EXCLUDED_NOW  # as above
        count(action, tally)
        yield action


def count(action: Action, tally: Tally, times: int = 1) -> None:
    """Add an action to the tally; `times=-1` takes it out again."""
    tally.verdicts[action.verdict] += times
    tally.survived += times * (action.survivor is not None)
    side = action.verdict.side
    if side is not None and action.origin is None:  # of a move, no bytes go anywhere
        entry = action.entry(side.other)
        tally.size[side] += times * (entry.size if entry else 0)
        there = action.entry(side)
        tally.replaced[side] += times * (there.size if entry and there else 0)


_EXCLUDED_NOW = "excluded now, and left alone on both sides"
EXCLUDED = "the filters leave it out"  # why a mirror deletes what path1 may hold


def _unsynced(triple: Triple, policy: Policy) -> str | None:
    """Why a key is left out without a word: it is of a kind that this pair doesn't sync, or no longer."""
    items = (triple.path1, triple.path2)
    if triple.key.endswith(LINK_SUFFIX):
        places = (item for item in items if isinstance(item, Unreadable))
        return "symbolic links are not synced" if any(p.hides_link(triple.key) for p in places) else None
    if not triple.key.endswith("/") or policy.create_empty_dirs or not policy.restless:
        return None
    markers = all(isinstance(item, Entry) and folder_marker(item.key, item.size) for item in items if item)
    return "empty directories are not synced" if markers else None


def uncount(action: Action, tally: Tally) -> None:
    """Take a key out of the tally whose action is dropped from the plan."""
    count(action, tally, -1)
    tally.changed[Side.PATH1] -= action.delta1 is Delta.CHANGED
    tally.changed[Side.PATH2] -= action.delta2 is Delta.CHANGED


def _entry(item: Item | None) -> Entry | None:
    return item if isinstance(item, Entry) else None


def _hidden(triple: Triple) -> str | None:
    """Why a key is held; None where the unreadable place has been told already, once for all its keys."""
    for side, item in ((Side.PATH1, triple.path1), (Side.PATH2, triple.path2)):
        if isinstance(item, Unreadable) and item.skipped:
            return f"{side}: {item.prefix} {item.sentence}, so this key can't be there too. Rename one."
    return None


def _with_reason(
    action: Action, triple: Triple, endpoints: Mapping[Side, Endpoint], excluded: Callable[[str], bool]
) -> Action:
    """The action with the reason that it has; a key that the side to be written can't hold is held."""
    verdict, side = action.verdict, action.verdict.side
    if verdict is Verdict.FORGET and excluded(triple.key):
        return action._replace(reason=_EXCLUDED_NOW)
    if verdict is Verdict.HOLD:
        return action._replace(reason=_hidden(triple))
    if verdict in DELETES.values() and excluded(triple.key):
        return action._replace(reason=EXCLUDED)
    refusal = None if side is None else _refusal(action, side, endpoints)
    return action if refusal is None else action._replace(verdict=Verdict.HOLD, reason=refusal)


def _refusal(action: Action, side: Side, endpoints: Mapping[Side, Endpoint]) -> str | None:
    """Why the side to be written can't hold this key; None where it can."""
    source = action.entry(side.other)
    if source is None:
        return None
    is_tree = endpoints[side].capabilities.names is NameRules.TREE
    name = action.key[:-1] if is_tree and folder_marker(action.key, source.size) else action.key
    refusal = endpoints[side].refusal(name)
    return None if refusal is None else f"{side}: {refusal}"
