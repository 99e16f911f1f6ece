"""The phases that make the plan of a run: scan, plan, check; nothing is written to any store."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from typing import TypeVar

from bisyncer.core.bounds import left_alone
from bisyncer.core.filters import Filters
from bisyncer.core.renames import Rename
from bisyncer.engine.check import check, recount
from bisyncer.engine.kept_plan import KeptPlan, still_so
from bisyncer.engine.left_alone import LeftAlone
from bisyncer.engine.part import holds_any, pieces
from bisyncer.engine.plan import count, make_plan, uncount
from bisyncer.engine.renames import renames
from bisyncer.engine.run import Run
from bisyncer.engine.scan import Scan
from bisyncer.engine.shards import Shard
from bisyncer.engine.spellings import Spellings
from bisyncer.errors import Halt, Halted, ListingIncomplete
from bisyncer.model import Action, Ancestor, Delta, Planned, Problem, Side, Tally, Verdict
from bisyncer.report.events import Checked, Phase, PhaseBegan

SPOOLED = 1000  # actions written to the plan at once

_Row = TypeVar("_Row", Action, Planned)


def plan(run: Run) -> None:
    """List both sides, and spool an action for every key that isn't simply unchanged."""
    run.reporter.tell(PhaseBegan(Phase.SCAN))
    filters = Filters.of(run.job)
    listed = {Side.PATH1: filters, Side.PATH2: Filters() if run.job.delete_excluded else filters}
    marked, judging = run.marked, LeftAlone(run.policy.bounds, run.marked, run.now_ns, run.tally)
    directories = run.policy.create_empty_dirs
    scans = {
        side: Scan(
            run.endpoints[side],
            side,
            listed[side],
            run.tally,
            run.reporter,
            directories=directories,
            marked=marked,
        )
        for side in Side
    }
    parts = pieces(
        run.job.scope,
        scans,
        run.endpoints,
        filters,
        ancestors=partial(_ancestors, run),
        recorded=run.recorded,
        width=run.job.transfers,
    )
    run.hold(run.job.scope.refused)
    try:
        for streams in parts:
            with (
                closing(streams.ancestors) as ancestors,
                closing(streams.path1) as path1,
                closing(streams.path2) as path2,
            ):
                actions = make_plan(
                    ancestors,
                    path1,
                    path2,
                    policy=run.policy,
                    endpoints=run.endpoints,
                    excluded=filters.excluded,
                    tally=run.tally,
                    left_alone=judging,
                )
                for batch in _batches(actions, SPOOLED):
                    run.go_on()
                    held = [a for a in batch if a.verdict is Verdict.HOLD]
                    run.hold(Problem(a.key, a.reason) for a in held if a.reason is not None)
                    run.store.actions.spool(run.number, [a for a in batch if a.verdict is not Verdict.HOLD])
        if run.job.scope.keys:
            _weigh(run)
    except ListingIncomplete as error:
        raise Halted((Halt("listing-incomplete", str(error)),)) from error
    places = scans[Side.PATH1].problems + scans[Side.PATH2].problems
    run.hold(place for place in places if marked is None or not marked.has(place.key))


def leave_alone(run: Run) -> None:
    """Take out of the plan what lies in a marked directory, and was planned before its mark was seen."""
    if run.marked is None:
        return
    for batch in _batches(run.store.actions.planned(run.number), SPOOLED):
        if run.job.scope.words is not None:  # nobody listed what lies above
            run.marked.look((each.action.key for each in batch), run.endpoints, run.job.transfers)
        elif not run.marked:
            return
        dropped: list[Planned] = []
        forgotten: list[Planned] = []
        for planned in batch:
            action = planned.action
            why = run.marked.why(action.key)
            if why is None or action.verdict is Verdict.FORGET:
                continue
            uncount(action, run.tally)
            if (judged := left_alone(action, why)) is None:
                dropped.append(planned)
            else:
                count(judged, run.tally)
                forgotten.append(planned._replace(action=judged))
        run.store.actions.amend(run.number, forgotten, dropped)


def take(run: Run, kept: KeptPlan) -> None:
    """Take up the actions of a kept plan; what moved since is left alone, and is a problem."""
    run.reporter.tell(PhaseBegan(Phase.CHECK, kept.total))
    looked = 0
    batches = still_so(kept.actions(), run.endpoints, run.policy, run.job.transfers)
    with closing(batches):
        for batch in batches:
            run.go_on()
            run.hold(Problem(action.key, moved) for action, moved in batch if moved is not None)
            actions = [action for action, moved in batch if moved is None]
            for action in actions:
                run.tally.changed[Side.PATH1] += action.delta1 is Delta.CHANGED
                run.tally.changed[Side.PATH2] += action.delta2 is Delta.CHANGED
                count(action, run.tally)
            run.store.actions.spool(run.number, actions)
            looked += len(batch)
            run.reporter.tell(Checked(looked))
    _weigh(run)


def _weigh(run: Run) -> None:
    """Give the gates the measure of the whole pair, where only some keys were looked at.

    A side of which something seems deleted must hold another key: one that was unmounted holds none.
    """
    run.tally.ancestors = run.store.count_ancestors(run.pair.id)
    deletes = {Side.PATH1: Verdict.DELETE_FROM_PATH2, Side.PATH2: Verdict.DELETE_FROM_PATH1}
    filters, apart = Filters.of(run.job), Tally()
    try:
        for side in Side:
            if run.tally.scanned[side] and not run.tally.verdicts[deletes[side]]:
                continue
            scan = Scan(run.endpoints[side], side, filters, apart, run.reporter)
            run.tally.scanned[side] = max(run.tally.scanned[side], 1) if holds_any(scan) else 0
    except ListingIncomplete as error:
        raise Halted((Halt("listing-incomplete", str(error)),)) from error


def check_content(run: Run) -> None:
    """Settle by their content the keys that the listings couldn't."""
    unsettled = run.tally.verdicts[Verdict.CHECK] + run.tally.verdicts[Verdict.CONFLICT]
    if unsettled:
        run.reporter.tell(PhaseBegan(Phase.CHECK, unsettled))
    checked = 0
    rows = run.store.actions.planned(run.number, Verdict.CHECK, Verdict.CONFLICT)
    with closing(check(rows, run.recorded, run.endpoints, run.policy, run.job.transfers)) as batches:
        for batch in batches:
            run.go_on()
            for before, after in batch:
                recount(before.action, after.action, run.tally)
            settled = [after for _, after in batch]
            run.store.actions.amend(run.number, settled)
            reasons = ((after.action.key, after.action.reason) for after in settled)
            run.hold(Problem(key, reason) for key, reason in reasons if reason is not None)
            checked += len(batch)
            run.reporter.tell(Checked(checked))


def find_renames(run: Run) -> None:
    """Make one move of a deletion and a copy of the same content."""
    if not run.policy.track_renames:
        return
    by_size = partial(run.store.actions.planned_by_size, run.number)
    waiting: list[Rename] = []
    groups = renames(by_size, run.recorded, run.endpoints, run.job.transfers, run.stop.is_set)
    with closing(groups):
        for group in groups:
            run.go_on()
            waiting += group
            if len(waiting) >= SPOOLED:
                _replan(run, waiting)
                waiting = []
    _replan(run, waiting)


def match_spellings(run: Run) -> None:
    """Find keys that are two spellings of one name."""
    spellings = Spellings(run.endpoints, run.policy, run.job.transfers)
    if not spellings.may_meet(run.tally):
        return
    rows, at = (
        partial(run.store.actions.planned, run.number),
        partial(run.store.actions.planned_at, run.number),
    )
    with closing(spellings.settle(rows, at, run.recorded)) as batches:
        for settled in batches:
            run.go_on()
            for before, after in settled.held:
                recount(before.action, after.action, run.tally)
            run.store.actions.amend(run.number, [after for _, after in settled.held])
            held = (after.action for _, after in settled.held)
            run.hold(Problem(action.key, action.reason) for action in held if action.reason is not None)
            _replan(run, settled.renamed)


def _replan(run: Run, found: Sequence[Rename]) -> None:
    run.store.actions.amend(
        run.number, [each.moved for each in found], dropped=[each.deleted for each in found]
    )
    for each in found:
        count(each.deleted.action, run.tally, -1)
        count(each.copied.action, run.tally, -1)
        count(each.moved.action, run.tally)


def _ancestors(run: Run, shard: Shard) -> Generator[Ancestor]:
    if not run.job.resync:  # a resync is the same table, read with no ancestors
        yield from run.store.ancestors(run.pair.id, shard.low, shard.high)


def _batches(rows: Iterator[_Row], length: int) -> Iterator[list[_Row]]:
    while batch := list(islice(rows, length)):
        yield batch
