"""Content comparison for keys that a listing can't settle, and a closer look at conflicts.

A key is settled by what the stores already know (one HEAD gives an object's MD5), and only where that
isn't enough by reading it. Nothing is written to any store.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from bisyncer.core.compare import STRONG, agreement, by_digest, trusts_mtime, undisputed
from bisyncer.core.conflict import winner
from bisyncer.core.decide import decide
from bisyncer.core.parts import guesses
from bisyncer.endpoints.base import Endpoint, NameRules
from bisyncer.engine.alike import Alike
from bisyncer.engine.plan import count
from bisyncer.engine.transfer import content
from bisyncer.errors import Changed, EndpointError
from bisyncer.job import Policy
from bisyncer.model import Action, Agreement, Ancestor, Delta, Digest, Entry, Planned, Side, Tally, Verdict

BATCH = 256  # keys settled between two writes to the state


def check(
    rows: Iterator[Planned],
    recorded: Callable[[Collection[str]], Mapping[str, Ancestor]],
    endpoints: Mapping[Side, Endpoint],
    policy: Policy,
    width: int,
    *,
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[list[tuple[Planned, Planned]]]:
    """Settle every row, `width` at a time, and yield batches of each row before and after.

    What small files tell is settled first, one after the other. What becomes of a row that moves or fails
    while it is looked at, `settle` says. What isn't begun when it is to stop stays as it was.
    """

    def settled_of(action: Action, ancestor: Ancestor | None) -> Action:
        return action if stopped() else settle(action, ancestor, endpoints, policy)

    alike = Alike(policy, endpoints)
    with ThreadPoolExecutor(width, thread_name_prefix="check") as pool:
        while batch := list(islice(rows, BATCH)):
            found = _alike(batch, alike, policy)
            left = [row.action for row in batch if row.action.key not in found]
            known = recorded([action.key for action in left])
            for settled in pool.map(settled_of, left, [known.get(action.key) for action in left]):
                found[settled.key] = settled
            yield [(row, Planned(row.seq, found[row.action.key])) for row in batch]


def _alike(rows: Sequence[Planned], alike: Alike, policy: Policy) -> dict[str, Action]:
    """What becomes of the keys that both sides hold anew, and that are alike as far as is told at once."""
    unsure = {row.action.key: row.action for row in rows if row.action.agreement is Agreement.UNKNOWN}
    pairs = [(action.path1, action.path2) for action in unsure.values()]
    found, _ = alike.part([(one, two) for one, two in pairs if one is not None and two is not None])
    settled = {}
    for one, two in found:
        action = unsure[one.key]
        verdict = decide(policy.mode, action.delta1, action.delta2, Agreement.SAME)
        settled[one.key] = action._replace(verdict=verdict, agreement=Agreement.SAME, path1=one, path2=two)
    return settled


def settle(
    action: Action, ancestor: Ancestor | None, endpoints: Mapping[Side, Endpoint], policy: Policy
) -> Action:
    """Look at the content of one key as far as needed and decide again.

    A key that moves meanwhile stays a `check`, which is to be looked at again; one that fails is held.
    """
    try:
        return _settle(action, ancestor, endpoints, policy)
    except Changed:
        return action._replace(verdict=Verdict.CHECK)
    except EndpointError as error:
        return action._replace(verdict=Verdict.HOLD, reason=str(error))


def _settle(
    action: Action, ancestor: Ancestor | None, endpoints: Mapping[Side, Endpoint], policy: Policy
) -> Action:
    deltas = {Side.PATH1: action.delta1, Side.PATH2: action.delta2}
    entries = {side: entry for side in Side if (entry := action.entry(side)) is not None}
    for side in Side:
        if deltas[side] is Delta.TOUCHED and ancestor is not None:
            old = ancestor.side(side)
            entries[side] = _known(endpoints[side], entries[side], old)
            same = by_digest(entries[side].digests, old.digests) is Agreement.SAME
            deltas[side] = Delta.UNCHANGED if same else Delta.CHANGED
    agreed = None
    if len(entries) == len(Side) and Delta.UNCHANGED not in deltas.values():
        agreed = settled_agreement(entries, endpoints, policy)
    verdict = decide(policy.mode, deltas[Side.PATH1], deltas[Side.PATH2], agreed)
    if verdict in {Verdict.RECORD, Verdict.NOTHING} and len(entries) == len(Side):
        entries = dict(zip(Side, undisputed(entries[Side.PATH1], entries[Side.PATH2]), strict=True))
    action = action._replace(
        verdict=verdict,
        delta1=deltas[Side.PATH1],
        delta2=deltas[Side.PATH2],
        agreement=agreed,
        path1=entries.get(Side.PATH1),
        path2=entries.get(Side.PATH2),
    )
    if verdict is Verdict.CONFLICT:
        return action._replace(winner=winner(entries[Side.PATH1], entries[Side.PATH2], policy.rule))
    return action


def settled_agreement(
    entries: dict[Side, Entry], endpoints: Mapping[Side, Endpoint], policy: Policy
) -> Agreement:
    """Whether both sides hold the same content; updates `entries` with what was learnt on the way.

    Where times are believed, a bucket is asked first for those that its listing doesn't tell. Else the
    cheapest comes first: a tree's file is read and held against the digest that the other's listing gave, or
    against the ETag that its parts would have there; then a bucket is asked for more than its listing told;
    then its objects are read. Buckets are asked in any case where the contents differ, since the time of the
    content decides who keeps the name.
    """
    trees = [side for side in Side if endpoints[side].capabilities.names is NameRules.TREE]
    buckets = [side for side in Side if side not in trees]
    undated = set(policy.undated)
    first = [side for side in buckets if side in undated] if trusts_mtime(policy) else []
    later = [side for side in buckets if side not in first]
    steps = [(_looked_up, first), (_read, trees), (_looked_up, later), (_read, buckets)]
    agreed = agreement(entries[Side.PATH1], entries[Side.PATH2], policy, dated=not undated)
    for look, side in [(look, side) for look, sides in steps for side in sides]:
        if agreed is Agreement.SAME or (agreed is Agreement.DIFFERENT and look is _read):
            continue
        if not _read_already(entries[side]):
            entries[side] = look(endpoints[side], entries[side], entries[side.other])
            undated.discard(side)
        if agreed is not Agreement.DIFFERENT:
            agreed = agreement(entries[Side.PATH1], entries[Side.PATH2], policy, dated=not undated)
    assert agreed in {Agreement.SAME, Agreement.DIFFERENT}, "two contents were read and can't be compared"
    return agreed


def _known(endpoint: Endpoint, entry: Entry, old: Entry) -> Entry:
    """The entry with digests that can be held against those of `old`."""
    if endpoint.capabilities.names is NameRules.BUCKET:
        entry = _looked_up(endpoint, entry, old)
    if by_digest(entry.digests, old.digests) is Agreement.UNKNOWN:
        return _read(endpoint, entry, old)
    return entry


def _looked_up(endpoint: Endpoint, entry: Entry, _against: Entry) -> Entry:
    """The entry as a single look-up shows it, which for a bucket is more than its listing does."""
    found = endpoint.stat(entry.key)
    if found is None or found.stamp != entry.stamp:
        raise Changed(f"{endpoint.root}: {entry.key!r} is not what was listed.")
    return found._replace(digests=(*found.digests, *_weak(entry)))


def _read(endpoint: Endpoint, entry: Entry, against: Entry) -> Entry:
    """The entry with digests of its content; also as an object in parts, where `against` is one."""
    guessed = guesses(against.digests, entry.size)
    read = content(endpoint, entry, guessed)
    met = [digest for each in guessed if (digest := each.digest()) in against.digests]
    return read._replace(digests=(*read.digests, *_weak(entry), *met))


def _weak(entry: Entry) -> list[Digest]:
    """What was known of this very version before a closer look, and still holds after it."""
    return [digest for digest in entry.digests if digest.algorithm not in STRONG]


def _read_already(entry: Entry) -> bool:
    """Whether the entry has all digests that a reading gives, by one or by a record of this version."""
    return {digest.algorithm for digest in entry.digests} >= STRONG


def recount(before: Action, after: Action, tally: Tally) -> None:
    """Put a settled action in the tally in the place of what it was."""
    count(before, tally, -1)
    if after.verdict is Verdict.NOTHING:
        tally.unchanged += 1
    count(after, tally)
    for side, old, new in (
        (Side.PATH1, before.delta1, after.delta1),
        (Side.PATH2, before.delta2, after.delta2),
    ):
        tally.changed[side] += (new is Delta.CHANGED) - (old is Delta.CHANGED)
