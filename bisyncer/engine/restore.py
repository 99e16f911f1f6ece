"""What a person does with a trash: take a version out of it again, or delete what is old for good."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import NamedTuple

from bisyncer.core import conflict
from bisyncer.core.reserved import is_reserved
from bisyncer.core.trash import Trashed
from bisyncer.endpoints.base import Endpoint
from bisyncer.engine import preflight
from bisyncer.engine.identity import Identity
from bisyncer.engine.pairing import bound_pair, resilient, still_bound
from bisyncer.engine.trash import Purged, purge, versions
from bisyncer.errors import Changed, Halted, Rejected, UsageError
from bisyncer.job import Job
from bisyncer.model import TRASH, Entry, Side
from bisyncer.state.lease import Lease
from bisyncer.state.store import Store


class Wanted(NamedTuple):
    """Which version to restore: the newest one that all of this fits; `by` as a name in the trash has it."""

    key: str
    side: Side | None = None
    by: str | None = None
    new_key: str | None = None  # where it is to be; None: at its own key, or beside it


class Restored(NamedTuple):
    """A version that is out of the trash: where it was, and the key that it has now."""

    side: Side
    trashed: Trashed
    key: str


def restore(job: Job, endpoints: Mapping[Side, Endpoint], store: Store, wanted: Wanted) -> Restored:
    """Move a version back to its key if nothing is there, else to `KEY.restored1`; the next run syncs it.

    Raises `UsageError` where there is no such version, or `new_key` can't be taken, and `Halted` where a root
    may be another place than it should be.
    """
    if wanted.new_key is not None and (wanted.new_key == TRASH or is_reserved(wanted.new_key)):
        raise UsageError(f"{wanted.new_key}: lies in a folder of bisyncer's own. Choose another name.")
    pair = bound_pair(job, endpoints, store)
    endpoints = resilient(endpoints, job)
    with Lease.take(store, pair) as lease:
        pair = still_bound(pair, job, endpoints, store)
        preflight.pass_guards(job, endpoints)
        side, trashed, entry = _newest(job.pair, endpoints, wanted)
        for key in _keys(trashed, wanted, endpoints[side]):
            lease.assert_held()
            try:
                _move(endpoints[side], entry, key)
            except Changed:
                if endpoints[side].stat(key) is None:
                    raise
                if wanted.new_key is None:
                    continue
                raise UsageError(
                    f"{key} exists on {side} already. Nothing was changed. Choose another name."
                ) from None
            endpoints[side].flush()
            return Restored(side, trashed, key)
    raise AssertionError("the names never end")


def purge_trash(
    job: Job, endpoints: Mapping[Side, Endpoint], store: Store, *, before_ns: int | None
) -> dict[Side, Purged]:
    """Delete for good what runs before an instant have put into the trash of both sides; None: all of it.

    Raises `Halted` where a root may be, or is, another place than it should be.
    """
    pair = bound_pair(job, endpoints, store)
    endpoints = resilient(endpoints, job)
    with Lease.take(store, pair) as lease:
        pair = still_bound(pair, job, endpoints, store)
        preflight.pass_guards(job, endpoints)
        if found := Identity(pair, endpoints, store, job.mode.writes, may_follow=False).look():
            raise Halted(tuple(found))
        purged = {}
        for side, endpoint in endpoints.items():
            lease.assert_held()
            purged[side] = purge(endpoint, before_ns, job.transfers)
            endpoint.flush()
    return purged


def _newest(pair: str, endpoints: Mapping[Side, Endpoint], wanted: Wanted) -> tuple[Side, Trashed, Entry]:
    found = [
        (side, trashed, item)
        for side, endpoint in endpoints.items()
        if wanted.side in {None, side}
        for trashed, item in versions(endpoint)
        if trashed is not None and isinstance(item, Entry)
        if trashed.is_of(wanted.key) and wanted.by in {None, trashed.by}
    ]
    if not found:
        side = "" if wanted.side is None else f" of {wanted.side}"
        run = "" if wanted.by is None else f" from run {wanted.by}"
        raise UsageError(
            f"No version of {wanted.key} is in the trash{side}{run}. "
            f"`bisyncer trash list {pair}` tells what is."
        )
    return max(found, key=lambda each: each[1].age)


def _keys(trashed: Trashed, wanted: Wanted, endpoint: Endpoint) -> Iterator[str]:
    """Where to put a version, best first."""
    if wanted.new_key is not None:
        return iter((wanted.new_key,))
    if trashed.is_short and trashed.key == wanted.key:
        raise UsageError(
            f"{trashed.key}: its key was too long to stand in the trash. Give the whole key, which `bisyncer "
            f"{_report_of(trashed)}` tells, or say --as NEW_KEY."
        )
    beside = conflict.names(wanted.key, conflict.numbered("restored"), endpoint.capabilities.max_key_bytes)
    return chain((wanted.key,), beside)


def _report_of(trashed: Trashed) -> str:
    """The command that tells of what put a version away: a run, or a conflict that was resolved."""
    number = trashed.by.removeprefix("c")
    return f"conflicts show {number}" if number != trashed.by else f"show {number}"


def _move(endpoint: Endpoint, entry: Entry, key: str) -> None:
    try:
        endpoint.move(entry.key, key, expect=entry)
    except Rejected:  # to another place: what can't be moved may be copied
        twin = endpoint.keep(entry.key, key, expect=entry)
        endpoint.delete(entry.key, expect=twin.entry)
