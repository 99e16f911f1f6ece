"""A name bound to two roots: open them, check them, record them, and refuse any other roots later."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from bisyncer.endpoints.backup_dir import BackupDirEndpoint
from bisyncer.endpoints.bandwidth import Bandwidth
from bisyncer.endpoints.base import FORGETFUL, Endpoint, NameRules, Probe
from bisyncer.endpoints.clock import clock_told
from bisyncer.endpoints.open import open_endpoint, same_store
from bisyncer.endpoints.pace import Pace
from bisyncer.endpoints.readonly import ReadOnlyEndpoint
from bisyncer.endpoints.resilient import ResilientEndpoint
from bisyncer.engine.deadline import Deadline
from bisyncer.engine.uploads import Remembered
from bisyncer.errors import NeedsResync, UsageError
from bisyncer.job import Job, LinkMode, Policy, Resolve
from bisyncer.model import ALL_CONDITIONS, NO_CONDITIONS, Mode, Side
from bisyncer.state.records import Pair
from bisyncer.state.store import Store


class InitReport(NamedTuple):
    """What `init` found and recorded."""

    pair: Pair
    probes: Mapping[Side, Probe]
    warnings: tuple[str, ...]

    @property
    def remarks(self) -> dict[Side, tuple[str, ...]]:
        """What is special about each store."""
        return {side: probe.remarks for side, probe in self.probes.items()}


def open_pair(job: Job, store: Store, *, leased: bool = True) -> dict[Side, Endpoint]:
    """Open both roots, and where their trash is if that is elsewhere.

    Unless it is `leased`, or will be before it is listed, nothing is swept: a run may be going on.

    Raises `UsageError` where a text names no root, or two of them overlap.
    """
    known = store.pair(job.pair)
    owner = known.owner if known else secrets.token_hex(4)
    remotes = {remote.name: remote for remote in job.remotes}
    roots = {Side.PATH1: job.path1, Side.PATH2: job.path2}
    one, two = known.conditions if known else (ALL_CONDITIONS, ALL_CONDITIONS)
    found = {Side.PATH1: one, Side.PATH2: two}

    def opened(root: str, side: Side, trash_at: str | None = None, apart: str | None = None) -> Endpoint:
        return open_endpoint(
            root,
            remotes,
            owner=owner,
            # Of another store than the side's nothing is known: we look before each request to it.
            conditions=found[side] if same_store(root, roots[side]) else NO_CONDITIONS,
            uploads=Remembered(store, known.id, side) if known else FORGETFUL,
            metadata=job.metadata,
            read_only=not leased or side not in job.mode.writes,
            directories=job.policy.create_empty_dirs,
            trash_at=trash_at,
            links=job.links,
            apart=apart,
        )

    path1, path2 = opened(job.path1, Side.PATH1), opened(job.path2, Side.PATH2)
    if job.links is LinkMode.FOLLOW:  # neither may come to lie in the other by a link
        path1, path2 = (
            opened(job.path1, Side.PATH1, apart=path2.root),
            opened(job.path2, Side.PATH2, apart=path1.root),
        )
    if path1.overlaps(path2):
        where = "are the same place" if path1.root == path2.root else "lie one inside the other"
        raise UsageError(
            f"path1 ({path1.root}) and path2 ({path2.root}) {where}. "
            "Choose two roots of which neither contains the other."
        )
    endpoints = {Side.PATH1: path1, Side.PATH2: path2}
    taken = {"path1": path1, "path2": path2}
    for side, name in ((Side.PATH1, "backup_dir1"), (Side.PATH2, "backup_dir2")):
        root = job.backup_dir(side)
        if root is None:
            continue
        apart = opened(root, side)
        for other, place in taken.items():
            if apart.overlaps(place):
                raise UsageError(
                    f"{name} ({apart.root}) and {other} ({place.root}) are the same place, or lie one inside "
                    "the other. Choose another place; without one, a side has its trash in its own root."
                )
        taken[name] = apart
        if all(end.capabilities.names is NameRules.TREE for end in (apart, endpoints[side])):
            aside = apart.root.removeprefix("file://")
            endpoints[side] = opened(roots[side], side, aside, endpoints[side.other].root)  # which can rename
        else:
            endpoints[side] = BackupDirEndpoint(endpoints[side], apart)
    return endpoints


def resilient(
    endpoints: Mapping[Side, Endpoint], job: Job, until: Deadline | None = None
) -> dict[Side, Endpoint]:
    """Both endpoints, asked again where what failed may pass, at a pace and a rate that the job allows."""
    until = until or Deadline(threading.Event(), None)
    # What is on its way when a run is to stop keeps to the rate too.
    bandwidth = Bandwidth(job.bwlimit, time.sleep) if job.bwlimit else None
    return {
        side: ResilientEndpoint(
            endpoint, Pace(2 * job.transfers, stopped=until.is_set), until.wait, bandwidth
        )
        for side, endpoint in endpoints.items()
    }


def init(job: Job, endpoints: Mapping[Side, Endpoint], store: Store) -> InitReport:
    """Check both endpoints, writing and removing an object of our own on those written, and record the pair.

    Raises `UsageError` where a root can't be used, or the name belongs to other roots.
    """
    known = store.pair(job.pair)
    if known is not None:
        _refuse_other_roots(known, endpoints)
    probes = {side: endpoint.probe(scratch=side in job.mode.writes) for side, endpoint in endpoints.items()}
    require_conditions(job, endpoints)
    pair = known or store.add_pair(job.pair, endpoints[Side.PATH1].root, endpoints[Side.PATH2].root, job.mode)
    pair = store.record_conditions(pair, (probes[Side.PATH1].conditions, probes[Side.PATH2].conditions))
    warnings = [
        f"{side} ({endpoints[side].root}) does not honour conditions on every write and delete. bisyncer "
        "looks right before each one instead; what another client writes in that moment can be replaced."
        for side, probe in probes.items()
        if side in job.mode.writes and not (probe.conditional_write and probe.conditional_delete)
    ]
    clocks = {side: clock_told(probe.skew_ns or 0) for side, probe in probes.items()}
    warnings += [f"{side} ({endpoints[side].root}): {told}" for side, told in clocks.items() if told]
    return InitReport(pair, probes, tuple(warnings))


def bound_pair(job: Job, endpoints: Mapping[Side, Endpoint], store: Store) -> Pair:
    """The recorded pair of the job, bound to these very roots.

    Raises `NeedsResync` where there is none, or it was never aligned and this is no resync, and
    `UsageError` where the name belongs to other roots.
    """
    pair = store.pair(job.pair)
    if pair is None and job.resync:
        raise NeedsResync(
            f"Pair '{job.pair}' is not recorded yet. Nothing was changed. Run `bisyncer init {job.pair}` "
            "first, which checks both roots; then --dry-run shows what a resync would do."
        )
    if pair is None or (pair.aligned_ns is None and not job.resync):
        raise NeedsResync(
            f"Pair '{job.pair}' has never been aligned, as far as the state {store.database.place} knows, so "
            "nothing tells what both sides held. Nothing was changed. Run "
            f"`bisyncer init {job.pair} --resync` once; it deletes nothing."
        )
    _refuse_other_roots(pair, endpoints)
    require_conditions(job, endpoints)
    return pair


def still_bound(pair: Pair, job: Job, endpoints: Mapping[Side, Endpoint], store: Store) -> Pair:
    """The pair again, now that its lease is held; raises as `bound_pair` does.

    Whoever waits for a lease while a state is restored would else go by what the state knew before.
    """
    found = bound_pair(job, endpoints, store)
    if (found.id, found.owner) != (pair.id, pair.owner):
        raise UsageError(
            f"Pair '{pair.name}' was replaced in the state meanwhile. Nothing was changed. Run again."
        )
    return found


def recorded_pair(job: Job, endpoints: Mapping[Side, Endpoint], store: Store) -> Pair | None:
    """The recorded pair of the job where there is one; raises `UsageError` where it has other roots."""
    pair = store.pair(job.pair)
    if pair is not None:
        _refuse_other_roots(pair, endpoints)
    return pair


def policy_for(job: Job, endpoints: Mapping[Side, Endpoint], pair: Pair | None = None) -> Policy:
    """The job's policy, told whose table decides, and of both sides what stamps and times in listings tell.

    A resync and the first run after the mode of a pair was changed delete nothing. What one mode left behind
    on purpose would else be taken by another for what is to be deleted.
    """
    able = {side: end.capabilities for side, end in endpoints.items()}
    trees = frozenset(side for side in Side if able[side].names is NameRules.TREE)
    undated = frozenset(side for side in Side if not able[side].listed_mtime) - trees
    first = job.resync or (pair is not None and pair.mode is not job.mode)
    return replace(
        job.policy,
        mode=job.mode.without_deletions if first else job.mode,
        restless=trees,
        undated=undated,
        resync_mode=job.policy.resync_mode if job.resync else Resolve.NONE,
        create_empty_dirs=job.policy.create_empty_dirs and bool(trees),
    )


def guarded(endpoints: Mapping[Side, Endpoint], mode: Mode) -> dict[Side, Endpoint]:
    """Both endpoints, of which those that the mode doesn't write refuse to be written."""
    return {
        side: endpoint if side in mode.writes else ReadOnlyEndpoint(endpoint)
        for side, endpoint in endpoints.items()
    }


def require_conditions(job: Job, endpoints: Mapping[Side, Endpoint]) -> None:
    """Raise `UsageError` where the job asks for conditions, and a store that is written doesn't test them."""
    if not job.require_conditional:
        return
    for side, endpoint in endpoints.items():
        if side not in job.mode.writes:
            continue
        able = endpoint.capabilities
        if able.names is NameRules.BUCKET and not (able.conditional_write and able.conditional_delete):
            raise UsageError(
                f"{side} ({endpoint.root}) doesn't honour conditions on every write and delete, and "
                "require_conditional is set. Nothing was changed. Use a store that does; after an upgrade of "
                "the store, `bisyncer init` tries it again."
            )
        if not able.atomic_parts:
            raise UsageError(
                f"{side} ({endpoint.root}) tests the condition of a body in parts (over 8 MiB), but not in "
                "one step with publishing it, and require_conditional is set. Nothing was changed. Use a "
                "store that does, or see that nobody else writes to this one and leave require_conditional "
                "out."
            )


def _refuse_other_roots(pair: Pair, endpoints: Mapping[Side, Endpoint]) -> None:
    recorded = (pair.path1, pair.path2)
    found = (endpoints[Side.PATH1].root, endpoints[Side.PATH2].root)
    if recorded == found:
        return
    what = "are swapped" if recorded == found[::-1] else "are not the roots that it was aligned with"
    raise UsageError(
        f"The roots of pair '{pair.name}' {what}: it has {recorded[0]} and {recorded[1]}, and was given "
        f"{found[0]} and {found[1]}. Nothing was changed. Put the roots back, or give the new ones a pair "
        "name of their own."
    )
