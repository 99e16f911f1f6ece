"""The phases that make the plan of a run: scan, plan, check; nothing is written to any store."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from math import ceil
from typing import TypeVar

from bisyncer.core.bounds import left_alone
from bisyncer.core.filters import Filters
from bisyncer.core.renames import Rename
from bisyncer.engine.alike import Alike
from bisyncer.engine.check import check, recount
from bisyncer.engine.kept_plan import KeptPlan, still_so
from bisyncer.engine.lanes import Found, plan_shards
from bisyncer.engine.part import holds_any, look_at_all
from bisyncer.engine.plan import count, uncount
from bisyncer.engine.planner import SPOOLED, Planner
from bisyncer.engine.renames import renames
from bisyncer.engine.run import Run
from bisyncer.engine.scan import Scan
from bisyncer.engine.shards import (
    IN_DIRECTORY,
    KEYS,
    WHOLE,
    Shard,
    about,
    apart,
    at_or_below,
    below,
    between,
    can_be_cut,
    cut,
)
from bisyncer.engine.spellings import Spellings
from bisyncer.errors import Halt, Halted, ListingIncomplete
from bisyncer.model import (
    COPIES,
    DELETES,
    Action,
    Ancestor,
    Delta,
    Planned,
    Problem,
    Side,
    Tally,
    Unreadable,
    Verdict,
)
from bisyncer.report.events import Checked, Phase, PhaseBegan

_Row = TypeVar("_Row", Action, Planned)


def plan(run: Run) -> None:
    """List both sides, and spool an action for every key that isn't simply unchanged."""
    run.reporter.tell(PhaseBegan(Phase.SCAN))
    planner = Planner(
        run.job,
        run.policy,
        run.pair.id,
        run.number,
        run.endpoints,
        run.store,
        run.marked,
        Alike(run.policy, run.endpoints),
        run.now_ns,
        run.go_on,
    )
    scope = run.job.scope
    run.hold(scope.refused)
    told: dict[Side, list[Problem]] = {side: [] for side in Side}
    reaching: dict[tuple[Side, str], Unreadable] = {}
    try:
        if scope.keys is None:
            for found in plan_shards(planner, _shards(run), run.reporter, run.forked):
                _take_up(run, found, told, reaching)
        else:
            for found in _named(run, planner, scope.keys):
                _take_up(run, found, told, reaching)
        if scope.keys:
            _weigh(run)
    except ListingIncomplete as error:
        run.go_on()  # a stop ends the pause before another attempt, and what it ended is no failure
        raise Halted((Halt("listing-incomplete", str(error)),)) from error
    finally:
        # None of them may write to the plan when this run has ended, or take memory while it goes on.
        if run.forked is not None:
            run.forked.pool.shutdown(cancel_futures=True)
    late = _told(run, _untold(run, reaching, told))
    every = (*told[Side.PATH1], *told[Side.PATH2], *late)
    places = [place for place in every if run.marked is None or not run.marked.has(place.key)]
    run.hold(places)
    run.hides_recorded = any(_is_recorded(run, place.key) for place in places)


def _is_recorded(run: Run, place: str) -> bool:
    """Whether anything is recorded of a place that can't be read: a key, or a directory with its '/'."""
    shard = below(place[:-1]) if place.endswith("/") else at_or_below(place)[0]
    with closing(run.store.ancestors.recorded(run.pair.id, shard.low, shard.high)) as recorded:
        return next(recorded, None) is not None


def _shards(run: Run) -> list[Shard]:
    prefix = run.job.scope.prefix
    wide = WHOLE if prefix is None else at_or_below(prefix)
    if not can_be_cut(run.endpoints.values(), directories=run.policy.create_empty_dirs):
        return list(wide)
    if run.folders:
        return list(cut(*WHOLE, between(run.folders, _keys_each(run))))
    return [narrow for shard in wide for narrow in cut(shard, _boundaries(run, shard))]


def _boundaries(run: Run, shard: Shard) -> Iterator[str]:
    whole = any(endpoint.capabilities.whole_directories for endpoint in run.endpoints.values())
    found = run.store.ancestors.boundaries(run.pair.id, _keys_each(run), shard.low, shard.high)
    return apart(found, IN_DIRECTORY if whole else 1)


def _keys_each(run: Run) -> int:
    if run.job.shards is None:
        return KEYS
    keys = about(run.folders) or run.expected or run.store.ancestors.count(run.pair.id)
    return max(1, ceil(keys / run.job.shards))


def _named(run: Run, planner: Planner, keys: Iterable[str]) -> Iterator[Found]:
    named = look_at_all(
        keys,
        run.endpoints,
        Filters.of(run.job),
        ancestors=partial(_ancestors, run),
        recorded=run.recorded,
        width=run.job.transfers,
    )
    yield Found([planner.named(0, named, run.reporter)])
    for number, folder in enumerate(named.folders, start=1):
        yield Found([planner.shard(number, below(folder), run.reporter, ahead=True)])


def _untold(
    run: Run, reaching: Mapping[tuple[Side, str], Unreadable], told: Mapping[Side, Iterable[Problem]]
) -> Iterator[tuple[Side, Unreadable]]:
    """The places that reach into a shard, and that no shard before it has told of.

    Either they lie before the part that is looked at, or they could be read when the shard before was.
    """
    part = run.job.scope.words is not None
    known = {(side, problem.key) for side in Side for problem in told[side]}
    for (side, prefix), place in reaching.items():
        if (side, prefix) not in known and (part or not place.skipped):
            yield side, place


def _told(run: Run, reaching: Iterable[tuple[Side, Unreadable]]) -> list[Problem]:
    """Tell these places."""
    scans = {side: Scan(run.endpoints[side], side, Filters(), run.tally, run.reporter) for side in Side}
    for side, place in reaching:
        scans[side].tell(place)
    return scans[Side.PATH1].problems + scans[Side.PATH2].problems


def _take_up(
    run: Run,
    found: Found,
    told: Mapping[Side, list[Problem]],
    reaching: dict[tuple[Side, str], Unreadable],
) -> None:
    for draft in found.drafts:
        assert draft is not None, "a shard that failed is planned again, or the run fails"
        run.tally.add(draft.tally)
        run.count_problems(draft.held, draft.problems)
        for side, places in draft.places.items():
            told[side].extend(places)
        for side, reach in draft.reaching.items():
            reaching |= {(side, place.prefix): place for place in reach}
    if run.marked is not None:
        run.marked.add(found.marks)
    for side, sent in found.requests.items():
        run.requests[side].update(sent)


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
    batches = still_so(kept.actions(), run.endpoints, run.policy, run.job.transfers, run.recorded)
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
    run.tally.ancestors = run.store.ancestors.count(run.pair.id)
    deletes = {Side.PATH1: Verdict.DELETE_FROM_PATH2, Side.PATH2: Verdict.DELETE_FROM_PATH1}
    filters, apart = Filters.of(run.job), Tally()
    try:
        for side in Side:
            if run.tally.scanned[side] and not run.tally.verdicts[deletes[side]]:
                continue
            scan = Scan(run.endpoints[side], side, filters, apart, run.reporter)
            run.tally.scanned[side] = max(run.tally.scanned[side], 1) if holds_any(scan) else 0
    except ListingIncomplete as error:
        run.go_on()  # a stop ends the pause before another attempt, and what it ended is no failure
        raise Halted((Halt("listing-incomplete", str(error)),)) from error


def check_content(run: Run) -> None:
    """Settle by their content the keys that the listings couldn't."""
    unsettled = run.tally.verdicts[Verdict.CHECK] + run.tally.verdicts[Verdict.CONFLICT]
    if not unsettled:
        return
    run.reporter.tell(PhaseBegan(Phase.CHECK, unsettled))
    checked = 0
    rows = run.store.actions.planned(run.number, Verdict.CHECK, Verdict.CONFLICT)
    settled_rows = check(
        rows, run.recorded, run.endpoints, run.policy, run.job.transfers, stopped=run.stop.is_set
    )
    with closing(settled_rows) as batches:
        for batch in batches:
            run.go_on()
            for before, after in batch:
                recount(before.action, after.action, run.tally)
            settled = [after for _, after in batch]
            shown = run.job.dry_run  # as actions, all of them
            run.store.agree(run.number, [each for each in settled if not shown and _is_agreed(each.action)])
            run.store.actions.amend(
                run.number, [each for each in settled if shown or not _is_agreed(each.action)]
            )
            reasons = ((after.action.key, after.action.reason) for after in settled)
            run.hold(Problem(key, reason) for key, reason in reasons if reason is not None)
            checked += len(batch)
            run.reporter.tell(Checked(checked))


def _is_agreed(action: Action) -> bool:
    """Whether both sides were found to hold a key alike of which nothing is recorded."""
    return action.verdict is Verdict.RECORD and action.delta1 is action.delta2 is Delta.NEW


def find_renames(run: Run) -> None:
    """Make one move of a deletion and a copy of the same content."""
    verdicts = run.tally.verdicts
    if not run.policy.track_renames or not any(
        verdicts[DELETES[side]] and verdicts[COPIES[side]] for side in Side
    ):
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
        yield from run.store.ancestors.all(run.pair.id, shard.low, shard.high)


def _batches(rows: Iterator[_Row], length: int) -> Iterator[list[_Row]]:
    while batch := list(islice(rows, length)):
        yield batch
