"""Settle a conflict as a person decided, on condition that both versions are still what was shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

from bisyncer.core.compare import by_digest
from bisyncer.core.conflict import chosen
from bisyncer.endpoints.base import Endpoint, Probe
from bisyncer.engine import preflight
from bisyncer.engine.pairing import bound_pair, resilient, still_bound
from bisyncer.engine.transfer import agreed, content, transfer
from bisyncer.engine.trash import Trash, folder_of, opened_trash
from bisyncer.errors import BisyncerError, Changed, Unfinished, UsageError
from bisyncer.job import Job, Resolve
from bisyncer.model import Agreement, Ancestor, Entry, Side
from bisyncer.state.lease import Lease
from bisyncer.state.records import Conflict, ConflictState, Pair
from bisyncer.state.store import Store

BOTH: Final = "both"

_CLOSED: Final = {
    ConflictState.RESOLVED: "is resolved already",
    ConflictState.SETTLED: "is settled already",
    ConflictState.REPLACED: "needs no decision, one version has replaced the other",
    ConflictState.SURVIVED: "needs no decision, the edit has survived",
}


@contextmanager
def resolving(job: Job, endpoints: Mapping[Side, Endpoint], store: Store) -> Iterator[Resolving]:
    """Hold a pair, while any number of its conflicts are settled.

    Raises `Leased` where another run holds it, `Halted` where a root may be another place than it should be,
    and what `bound_pair` does.
    """
    pair = bound_pair(job, endpoints, store)
    stores = resilient(endpoints, job)
    with Lease.take(store, pair) as lease:
        pair = still_bound(pair, job, endpoints, store)
        yield Resolving(job, pair, stores, store, lease, preflight.passed(job, stores))


@dataclass
class Resolving:
    """A pair that is held, and whose conflicts are settled one by one."""

    job: Job
    pair: Pair
    endpoints: Mapping[Side, Endpoint]
    store: Store
    lease: Lease
    probes: Mapping[Side, Probe]

    def settle(self, conflict_id: int, keep: str) -> str:
        """Keep one version of a conflict under its name, or both as they are; return what was done.

        `keep` is `both` or a value of `Resolve`: `path1` is the version that path1 held when they met.
        Raises `UsageError` for a conflict that isn't open, and `Unfinished` where the rule chooses neither
        version, or one is not what was shown any more: then what was shown is still there, and nothing of it
        was removed.
        """
        if self.job.mode.writes != frozenset(Side) and keep != BOTH:
            raise UsageError(
                f"The mode of pair '{self.job.pair}' is {self.job.mode}, which never writes path1, and "
                "settling a conflict removes a version from both sides. Nothing was changed. Delete on path1 "
                "what isn't wanted, or say --keep both."
            )
        conflict = self.store.conflicts.one(conflict_id)
        if conflict is None or conflict.pair != self.pair.name:
            raise UsageError(
                f"Pair '{self.pair.name}' has no conflict {conflict_id}. See `bisyncer conflicts list`."
            )
        if conflict.state is not ConflictState.OPEN:
            raise UsageError(f"Conflict {conflict_id} ({conflict.key}) {_CLOSED[conflict.state]}.")
        if keep == BOTH:
            self.store.conflicts.resolve(conflict_id, BOTH, {}, self.lease)
            return f"{conflict.key} and {conflict.beside} both stay"
        known = self.store.ancestors.of(self.pair.id, [conflict.key, conflict.beside])
        named, aside = known.get(conflict.key), known.get(conflict.beside)
        if named is None or aside is None:
            gone = conflict.key if named is None else conflict.beside
            raise _moved(conflict, f"{gone} was deleted or renamed since.")
        try:
            named, aside = self._told(named, conflict), self._told(aside, conflict)
        except Changed as error:
            raise _moved(conflict, str(error)) from error
        _refuse_edited(conflict, named, aside)
        latest_ns = self.store.runs.latest_start(self.pair, self.store.now_ns())
        folder = folder_of(latest_ns, f"c{conflict_id}")
        trash = opened_trash(self.job.trash, self.endpoints, self.probes, folder)
        kept = _to_keep(conflict, Resolve(keep))
        swap = not _holds(named, conflict.met(kept))
        if swap and not _holds(aside, conflict.met(kept)):
            raise _moved(conflict, f"{named.key} was edited since.")
        try:
            stores = _Stores(self.endpoints, trash, self.lease)
            ancestor = _settle(conflict, named, aside, stores, swap=swap)
        except Changed as error:
            raise _moved(conflict, str(error)) from error
        for endpoint in self.endpoints.values():
            endpoint.flush()
        settled = {conflict.key: ancestor, conflict.beside: None}
        self.store.conflicts.resolve(conflict_id, keep, settled, self.lease)
        return f"{conflict.key} is the version of {kept}; {conflict.beside} is removed"

    def _told(self, ancestor: Ancestor, conflict: Conflict) -> Ancestor:
        """The ancestor with digests that can be compared; a resync may have recorded none, and it is read."""
        found = {by_digest(ancestor.path1.digests, conflict.met(side).digests) for side in Side}
        if Agreement.SAME in found or Agreement.UNKNOWN not in found:
            return ancestor
        read = content(self.endpoints[Side.PATH1], ancestor.path1)
        return ancestor._replace(path1=read)


class _Stores(NamedTuple):
    """What is written, where what is removed there goes, and what allows it."""

    endpoints: Mapping[Side, Endpoint]
    trash: Mapping[Side, Trash]
    lease: Lease


def _to_keep(conflict: Conflict, rule: Resolve) -> Side:
    """The side whose version the rule chooses; raises `Unfinished` where it chooses neither."""
    kept = chosen(conflict.met(Side.PATH1), conflict.met(Side.PATH2), rule)
    if kept is None:
        raise Unfinished(
            f"Conflict {conflict.id} ({conflict.key}): of both versions neither is the {rule} one. Nothing "
            "was changed. Say --keep path1, path2 or both."
        )
    return kept


def _refuse_edited(conflict: Conflict, named: Ancestor, aside: Ancestor) -> None:
    """Raise unless the two keys hold the two versions that the conflict shows, by their content.

    What the last run recorded may be a later edit, which nobody was shown. The other version may stand
    at the name already, where an earlier attempt was cut short.
    """
    shown = {side: conflict.met(side) for side in Side}
    lost = shown[conflict.winner.other]
    for held, may_be in ((named, tuple(shown.values())), (aside, (lost,))):
        if not any(_holds(held, met) for met in may_be):
            raise _moved(conflict, f"{held.key} was edited since.")


def _holds(ancestor: Ancestor, met: Entry) -> bool:
    return by_digest(ancestor.path1.digests, met.digests) is Agreement.SAME


def _settle(
    conflict: Conflict,
    named: Ancestor,
    aside: Ancestor,
    stores: _Stores,
    *,
    swap: bool,
) -> Ancestor:
    """Put the version to keep at the name on both sides, then remove the other copy from both."""
    endpoints, trash, lease = stores
    for side in Side:
        for ancestor in (named, aside):
            _still(endpoints[side], ancestor.side(side))
    if swap:
        landed: dict[Side, Entry] = {}
        for side in Side:
            lease.assert_held()
            landed[side] = transfer(
                endpoints[side],
                aside.side(side),
                endpoints[side],
                conflict.key,
                expect=named.side(side),
                keeper=trash.get(side),
            ).target
        named = agreed(conflict.key, landed[Side.PATH1], landed[Side.PATH2])
    for side in Side:
        lease.assert_held()
        if side in trash:
            trash[side].take(aside.side(side))
        else:
            endpoints[side].delete(conflict.beside, expect=aside.side(side))
    return named


def _still(endpoint: Endpoint, entry: Entry) -> None:
    """Raise `Changed` unless the endpoint still holds that very version."""
    with endpoint.read(entry.key, expect=entry):
        pass


def _moved(conflict: Conflict, why: str) -> BisyncerError:
    return Unfinished(
        f"Conflict {conflict.id} ({conflict.key}) is not as it was shown: {why} Nothing was removed. Delete "
        "by hand what isn't wanted, on either side, and the next run settles it; or settle it as it is "
        f"with `bisyncer conflicts resolve {conflict.id} --keep both`."
    )
