"""Conflicts that an earlier run has settled on both sides, and died before it could record them.

Both versions are there then, and to the next run both keys are alike on both sides: nothing but the plan that
the run left behind tells that a person should look.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from bisyncer.core.compare import by_digest
from bisyncer.core.conflict import endings, names
from bisyncer.engine.run import Run
from bisyncer.engine.suffix import dated
from bisyncer.job import Policy
from bisyncer.model import Action, Agreement, Ancestor, Entry, Kept, Verdict

_BATCH: Final = 500  # conflicts looked at together
_NAMES: Final = 20  # that the other version may have got


def record_untold(run: Run) -> None:
    """Record what runs that were cut short have settled; for the end of a whole run."""
    cut_short = run.store.runs.cut_short(run.pair, run.number)
    for number in cut_short:
        begun = run.store.runs.one(number)
        policy = run.policy if begun is None else dated(run.job.policy, begun.started_ns)
        left = (planned.action for planned in run.store.actions.planned(number, Verdict.CONFLICT))
        while batch := list(islice(left, _BATCH)):
            run.go_on()
            for action, kept in _settled(run, batch, policy):
                assert kept.loser is not None, "it was found"
                if not run.store.conflicts.is_recorded(run.pair, kept.loser.key, number):
                    made = run.store.conflicts.record(run.number, action.key, kept, kept.loser.key, run.lease)
                    run.conflicts.append((made, action.key))
    run.store.drop_conflicts_left(cut_short)


def _settled(run: Run, actions: Sequence[Action], policy: Policy) -> Iterator[tuple[Action, Kept]]:
    """Those of which the winner has the name now, and the other version lies beside it."""
    known = run.store.ancestors.of(run.pair.id, [action.key for action in actions])
    won = (action for action in actions if _has_won(action, known))
    candidates = {action.key: _candidates(run, action, policy) for action in won}
    beside = run.store.ancestors.of(run.pair.id, [name for each in candidates.values() for name in each])
    for action in actions:
        _, lost = _versions(action)
        for name in candidates.get(action.key, ()):
            if name in beside and lost is not None and _is_version(beside[name], lost):
                assert action.winner is not None and action.path1 and action.path2, "it has won"
                yield action, Kept(action.winner, action.path1, action.path2, beside[name])
                break


def _versions(action: Action) -> tuple[Entry | None, Entry | None]:
    """The version that won, and the one that lost, as the plan saw them."""
    if action.winner is None:
        return None, None
    return action.entry(action.winner), action.entry(action.winner.other)


def _has_won(action: Action, known: Mapping[str, Ancestor]) -> bool:
    won, _ = _versions(action)
    return won is not None and action.key in known and _is_version(known[action.key], won)


def _candidates(run: Run, action: Action, policy: Policy) -> list[str]:
    assert action.winner is not None, "it has won"
    longest = min(endpoint.capabilities.max_key_bytes for endpoint in run.endpoints.values())
    found = names(action.key, endings(action.winner.other, policy), longest)
    return list(islice(found, _NAMES))


def _is_version(ancestor: Ancestor, entry: Entry) -> bool:
    """Whether both sides hold the content of a version; where it was never read, its size and time tell."""
    agreement = by_digest(ancestor.path1.digests, entry.digests)
    if agreement is not Agreement.UNKNOWN:
        return agreement is Agreement.SAME
    times = {ancestor.path1.mtime_ns, ancestor.path2.mtime_ns}
    return ancestor.path1.size == entry.size and entry.mtime_ns in times
