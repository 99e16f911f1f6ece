"""Look at all that a pair needs, and say of each thing whether it is as it should be, and the cure."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from bisyncer.endpoints.base import Endpoint, NameRules, Probe
from bisyncer.endpoints.clock import clock_told
from bisyncer.engine.identity import Identity
from bisyncer.engine.pairing import open_pair
from bisyncer.engine.trash import keeps
from bisyncer.errors import BisyncerError, Halt
from bisyncer.job import Job
from bisyncer.model import TRASH, RunOutcome, Side
from bisyncer.state.records import Pair
from bisyncer.state.store import Store

SKEW_FAIL_NS: Final = 300_000_000_000  # S3 and Azure refuse signatures at 15 min; OCI at 5
FREE_WARN_BYTES: Final = 1 << 30
FREE_FAIL_BYTES: Final = 64 << 20

_NETWORKS: Final = ("nfs", "cifs", "smb", "fuse", "9p", "ceph", "gluster", "lustre")
_DESCRIPTORS: Final = 8  # a transfer may hold open at a time, with its connections


class Grade(StrEnum):
    """How a thing is."""

    OK = "ok"
    WARN = "warn"  # runs work, and something should be known or mended
    FAIL = "fail"  # runs won't work


class Finding(NamedTuple):
    """One thing that was looked at; the sentence ends with the cure where there is something to cure."""

    check: str
    grade: Grade
    sentence: str
    side: Side | None = None


def examine(job: Job, store: Store) -> Iterator[Finding]:
    """Yield what is found, worst news included: nothing of this raises for what is wrong with a pair.

    Each root is tried with an object of our own, which is removed again, as `init` does it.
    """
    pair = store.pair(job.pair)
    yield _recorded(job, pair)
    yield from _waiting(pair, store)
    yield _descriptors(job)
    try:
        endpoints = open_pair(job, store, leased=False)
    except BisyncerError as error:
        yield Finding("roots", Grade.FAIL, str(error))
        return
    try:
        yield from _roots(job, pair, endpoints)
        if pair is not None and pair.aligned_ns is not None:
            yield from _identity(job, pair, endpoints, store)
    finally:
        for endpoint in endpoints.values():
            endpoint.close()


def _recorded(job: Job, pair: Pair | None) -> Finding:
    if pair is None:
        return Finding("pair", Grade.WARN, f"is not recorded yet. Run `bisyncer init {job.pair}`.")
    if pair.aligned_ns is None:
        return Finding("pair", Grade.WARN, f"was never aligned. Run `bisyncer init {job.pair} --resync`.")
    return Finding("pair", Grade.OK, "recorded and aligned")


def _waiting(pair: Pair | None, store: Store) -> Iterator[Finding]:
    if pair is None:
        return
    last = store.runs.last(pair.id)
    if last is not None and last.outcome in {RunOutcome.HALTED, RunOutcome.FAILED}:
        yield Finding(
            "last run", Grade.WARN, f"run {last.id} {last.outcome}: `bisyncer show {last.id}` tells why."
        )
    if problems := store.problems.count(pair.id):
        yield Finding(
            "problems", Grade.WARN, f"{problems} wait: `bisyncer problems {pair.name}` tells which, and why."
        )
    if conflicts := len(store.conflicts.told(pair.name)):
        yield Finding(
            "conflicts", Grade.WARN, f"{conflicts} wait: `bisyncer conflicts list {pair.name}` tells which."
        )
    if uploads := len(store.uploads.of_pair(pair.id)):
        yield Finding(
            "uploads",
            Grade.WARN,
            f"{uploads} in parts were cut off, or are under way. The next run aborts what was cut off.",
        )


def _descriptors(job: Job) -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 64 + _DESCRIPTORS * job.transfers
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return Finding("limits", Grade.OK, f"{soft} open files allowed, {needed} needed at the most")
    return Finding(
        "limits",
        Grade.WARN,
        f"{soft} open files are allowed, and {job.transfers} transfers may need {needed}. Raise `ulimit -n` "
        "(LimitNOFILE= in a systemd unit), or lower transfers.",
    )


def _roots(job: Job, pair: Pair | None, endpoints: Mapping[Side, Endpoint]) -> Iterator[Finding]:
    found = tuple(endpoints[side].root for side in Side)
    if pair is not None and found != (pair.path1, pair.path2):
        yield Finding(
            "roots",
            Grade.FAIL,
            f"are {found[0]} and {found[1]}, and the pair was aligned with {pair.path1} and {pair.path2}. "
            "Put them back, or give the new ones a pair name of their own.",
        )
    for side, endpoint in endpoints.items():
        try:
            probe = endpoint.probe(scratch=side in job.mode.writes)
        except BisyncerError as error:
            yield Finding("root", Grade.FAIL, str(error), side)
            continue
        written = side in job.mode.writes
        able = (
            "can be listed, read, written and deleted from" if written else "can be listed, and is only read"
        )
        yield Finding("root", Grade.OK, f"{endpoint.root}: {able}", side)
        if written:
            yield from _writable(job, side, endpoint, probe)
        if probe.mounted is not None:
            yield _mount(job, probe)._replace(side=side)
        if probe.skew_ns is not None:
            yield _clock(probe.skew_ns)._replace(side=side)
        if job.check_file is not None:
            yield _marker(job.check_file, endpoint)._replace(side=side)
        for remark in probe.remarks:
            yield Finding("store", Grade.WARN, remark, side)


def _writable(job: Job, side: Side, endpoint: Endpoint, probe: Probe) -> Iterator[Finding]:
    yield _conditions(job, endpoint, probe)._replace(side=side)
    if probe.free_bytes is not None:
        yield _space(probe.free_bytes)._replace(side=side)
    yield _trash(job, side, endpoint, probe)


def _identity(job: Job, pair: Pair, endpoints: Mapping[Side, Endpoint], store: Store) -> Iterator[Finding]:
    seals = Identity(pair, endpoints, store, job.mode.writes)
    try:
        closed = seals.look()
    except BisyncerError as error:
        closed = [Halt("identity", str(error))]
    for halt in closed:
        yield Finding("identity", Grade.FAIL, halt.sentence)
    if closed:
        return
    for side in sorted(job.mode.writes):
        told = (
            "it is the place that it was"
            if seals.sealed(side)
            else "it has no seal yet, so another place at this address isn't noticed: the next run that "
            "changes something writes one"
        )
        yield Finding("identity", Grade.OK if seals.sealed(side) else Grade.WARN, told, side)


def _conditions(job: Job, endpoint: Endpoint, probe: Probe) -> Finding:
    if probe.conditional_write and probe.conditional_delete:
        return Finding("conditions", Grade.OK, "the store itself tests what each write and delete expects")
    if endpoint.capabilities.names is NameRules.TREE:
        return Finding(
            "conditions",
            Grade.WARN,
            "this file system can't exchange two files in one step. A file that somebody renames over "
            "another one right while bisyncer replaces that can be lost; an edit in place can't.",
        )
    tested = probe.conditions._replace(versions=False, torn=False, tree=False)._asdict()
    kept = ", ".join(name for name, honoured in tested.items() if honoured) or "none"
    return Finding(
        "conditions",
        Grade.FAIL if job.require_conditional else Grade.WARN,
        f"the store doesn't test conditions on every request (it does on: {kept}). bisyncer looks right "
        "before each one instead; what somebody writes in that moment can be lost. Use a store that does, or "
        "see that nobody else writes to this bucket.",
    )


def _mount(job: Job, probe: Probe) -> Finding:
    if not probe.mounted and job.require_mount:
        return Finding("mount", Grade.FAIL, "nothing is mounted there, and require_mount is set. Mount it.")
    if not probe.mounted:
        return Finding("mount", Grade.OK, probe.place)
    if not probe.filesystem.startswith(_NETWORKS):
        return Finding("mount", Grade.OK, probe.place)
    if job.require_mount and job.check_file:
        return Finding("mount", Grade.OK, f"{probe.place}; an empty or stale one is noticed")
    return Finding(
        "mount",
        Grade.WARN,
        f"{probe.filesystem} comes over the network: where it isn't mounted, its directory looks empty. Set "
        "require_mount = true, and check_file to a file that is on both sides.",
    )


def _clock(skew_ns: int) -> Finding:
    told = clock_told(skew_ns)
    if told is None:
        seconds = abs(skew_ns) / 1e9
        return Finding("clock", Grade.OK, f"the store's differs from this host's by {seconds:.1f} s")
    return Finding("clock", Grade.FAIL if abs(skew_ns) >= SKEW_FAIL_NS else Grade.WARN, told)


def _space(free_bytes: int) -> Finding:
    told = f"{free_bytes / (1 << 30):.1f} GiB are free"
    if free_bytes >= FREE_WARN_BYTES:
        return Finding("space", Grade.OK, told)
    grade = Grade.FAIL if free_bytes < FREE_FAIL_BYTES else Grade.WARN
    return Finding("space", grade, f"{told} on its file system. Free some: each new version needs room.")


def _trash(job: Job, side: Side, endpoint: Endpoint, probe: Probe) -> Finding:
    if not keeps(job.trash, side, endpoint, probe):
        told = "the bucket itself keeps" if probe.versioned else "trash is off: nothing of bisyncer's keeps"
        return Finding("trash", Grade.OK, f"{told} what runs replace and delete here", side)
    keep_ns = job.trash.keep_ns
    time = "for ever" if keep_ns is None else f"for {keep_ns / (86400 * 10**9):g} days"
    apart = job.backup_dir(side)
    place = TRASH if apart is None else f"{apart.rstrip('/')}/{TRASH}"
    return Finding("trash", Grade.OK, f"what runs replace and delete here is kept in {place} {time}", side)


def _marker(check_file: str, endpoint: Endpoint) -> Finding:
    try:
        there = endpoint.stat(check_file) is not None
    except BisyncerError as error:
        return Finding("marker", Grade.FAIL, str(error))
    if there:
        return Finding("marker", Grade.OK, f"{check_file} is there")
    return Finding(
        "marker",
        Grade.FAIL,
        f"{check_file} isn't there, so runs halt. If this is the right place, create it.",
    )
