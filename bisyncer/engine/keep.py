"""Keep both versions of a conflict: the winner at the name, the other beside it, on both sides.

The name never vanishes for a reader: the other version is copied aside on both sides first, and only
then does the winner replace it, on condition that it is still what was seen. A crash in between leaves
copies under a name that no ancestor knows, and the next attempt takes that name up again.

Or replace the other version at once, where its side keeps what is replaced.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress

from bisyncer.core.compare import by_digest
from bisyncer.core.conflict import endings, names
from bisyncer.endpoints.base import Endpoint, NameRules
from bisyncer.engine.transfer import Keeper, agreed, content, stream, transfer
from bisyncer.errors import Clash, EndpointError, Rejected
from bisyncer.job import Policy
from bisyncer.model import Action, Agreement, Done, Entry, Item, Kept, Planned, Side

_REFUSED = 10  # names, after which the store is taken at its word


class Taken:
    """The names that this run's conflicts have taken: no two keys share one, however equal the contents."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[str, str] = {}

    def add(self, name: str, key: str) -> bool:
        """Take a name for a key; False where another key has it."""
        with self._lock:
            return self._keys.setdefault(name, key) == key

    def of(self, key: str) -> list[str]:
        """The names that a key has taken, in the order in which it did."""
        with self._lock:
            return [name for name, other in self._keys.items() if other == key]


_Held = Mapping[Side, Entry | None]


def keep_both(
    planned: Planned,
    endpoints: Mapping[Side, Endpoint],
    *,
    policy: Policy,
    recorded: Callable[[str], bool],
) -> Done:
    """Settle one conflict; raises `Changed`, `Transient` or `Rejected`, and then nothing was replaced."""
    action = planned.action
    wins, won, lost = _versions(planned)
    loses = wins.other

    longest = min(endpoint.capabilities.max_key_bytes for endpoint in endpoints.values())
    candidates = (name for name in names(action.key, endings(loses, policy), longest) if not recorded(name))
    name, aside, made = _put_aside(candidates, endpoints, loses, lost)
    try:
        winner = stream(endpoints[wins], won, endpoints[loses], action.key, expect=lost)
    except Rejected:
        _take_back(made, endpoints, loses, lost)
        raise

    both = {wins: winner.source, loses: winner.target}
    loser = agreed(name, aside[Side.PATH1], aside[Side.PATH2])
    # What each side held when they met, with the digests that were learnt while it was copied.
    met = {
        wins: won._replace(digests=winner.source.digests),
        loses: lost._replace(digests=loser.path1.digests),
    }
    return Done(
        planned,
        agreed(action.key, both[Side.PATH1], both[Side.PATH2]),
        kept=Kept(wins, met[Side.PATH1], met[Side.PATH2], loser),
        size=won.size + lost.size,
    )


def kept_before(
    planned: Planned, settled: Action, endpoints: Mapping[Side, Endpoint], taken: Taken
) -> Kept | None:
    """What an attempt of this run has kept of a conflict whose sides are alike by now; None where nothing.

    The answer to the write that settled it was lost, so nobody was told.
    """
    wins, won, lost = _versions(planned)
    with suppress(EndpointError):
        for name in reversed(taken.of(planned.action.key)):  # those before were tried, and weren't free
            held = {side: endpoints[side].stat(name) for side in Side}
            one, two = held[Side.PATH1], held[Side.PATH2]
            if one is None or two is None or not one.size == two.size == lost.size:
                continue
            loser = agreed(name, content(endpoints[Side.PATH1], one), content(endpoints[Side.PATH2], two))
            if by_digest(loser.path1.digests, lost.digests) is Agreement.DIFFERENT:
                continue
            there = settled.entry(wins)
            is_won = there is not None and there.stamp == won.stamp
            met = {
                wins: content(endpoints[wins], won) if is_won else won,
                wins.other: lost._replace(digests=loser.path1.digests),
            }
            return Kept(wins, met[Side.PATH1], met[Side.PATH2], loser)
    return None


def replace_loser(
    planned: Planned, endpoints: Mapping[Side, Endpoint], keepers: Mapping[Side, Keeper]
) -> Done:
    """Settle one conflict with the winner alone; the other goes to its keeper, or its store keeps it.

    Raises `Changed`, `Transient` or `Rejected`, and then nothing was replaced.
    """
    key = planned.action.key
    wins, won, lost = _versions(planned)
    keeper = keepers.get(wins.other)
    landed = stream(endpoints[wins], won, endpoints[wins.other], key, expect=lost, keeper=keeper)
    both = {wins: landed.source, wins.other: landed.target}
    met = {wins: won._replace(digests=landed.source.digests), wins.other: lost}
    return Done(
        planned,
        agreed(key, both[Side.PATH1], both[Side.PATH2]),
        kept=Kept(wins, met[Side.PATH1], met[Side.PATH2], None),
        size=won.size,
        trashed=landed.trashed,
    )


def _versions(planned: Planned) -> tuple[Side, Entry, Entry]:
    """The side that keeps the name, its version, and the other one."""
    action = planned.action
    assert action.winner is not None, (
        f"the conflict of {action.key!r} was not looked at before it was applied"
    )
    won, lost = action.entry(action.winner), action.entry(action.winner.other)
    assert won is not None and lost is not None, "a conflict has two versions"
    return action.winner, won, lost


def _put_aside(
    candidates: Iterator[str], endpoints: Mapping[Side, Endpoint], loses: Side, lost: Entry
) -> tuple[str, Mapping[Side, Entry], Mapping[Side, Entry]]:
    """Copy the version that loses aside on both sides; return its name there, all entries, and those made.

    A side that folds case is the first, since only a write tells that it has the name in another spelling.
    """
    clashes = 0
    while True:
        name, held = _free_name(candidates, endpoints, endpoints[loses], lost)
        aside: dict[Side, Entry] = {}
        made: dict[Side, Entry] = {}
        try:
            for side in sorted(Side, key=lambda side: not endpoints[side].capabilities.folds_case):
                # Across, the content goes through here, however it could: resolving goes by its digests.
                copy = transfer if side is loses else stream
                if (there := held[side]) is None:
                    there = copy(endpoints[loses], lost, endpoints[side], name, expect=None).target
                    made[side] = there
                aside[side] = there
        except Rejected as error:
            _take_back(made, endpoints, loses, lost)
            clashes += isinstance(error, Clash)
            # If none of so many will do, it isn't the name: a directory above is spelled otherwise.
            if not isinstance(error, Clash) or clashes == _REFUSED:
                raise
            continue
        return name, aside, made


def _take_back(
    made: Mapping[Side, Entry], endpoints: Mapping[Side, Endpoint], loses: Side, lost: Entry
) -> None:
    """Delete the copies of a version that was not replaced, if it is still where it was.

    Else a key that is refused in every run would have one copy more with every other run.
    """
    with suppress(EndpointError):  # what stays is only a second copy
        with endpoints[loses].read(lost.key, expect=lost):
            pass
        for side, entry in made.items():
            endpoints[side].delete(entry.key, expect=entry)


def _free_name(
    candidates: Iterator[str], endpoints: Mapping[Side, Endpoint], loser: Endpoint, lost: Entry
) -> tuple[str, _Held]:
    """The first candidate that each side lacks or holds with that very content.

    The second case is what an attempt leaves that was cut short; taking it up keeps a crash from
    leaving a copy more. Returns the name, and what each side already holds there. A name at which a side has
    something else than a file is passed over; that every name is refused has another reason, and is raised.
    """
    known: Entry | None = None
    refused = 0
    for name in candidates:
        try:
            held = {side: endpoints[side].stat(name) for side in Side}
            if _is_a_folder(name, endpoints):
                continue
        except Rejected:
            refused += 1
            if refused == _REFUSED:
                raise
            continue
        there = [(endpoints[side], entry) for side, entry in held.items() if entry is not None]
        if not there:
            return name, held
        if any(entry.size != lost.size for _, entry in there):
            continue
        known = known or content(loser, lost)
        read = {side: content(endpoints[side], entry) for side, entry in held.items() if entry is not None}
        if all(by_digest(entry.digests, known.digests) is Agreement.SAME for entry in read.values()):
            return name, {side: read.get(side) for side in Side}
    raise AssertionError("the candidates never end")


def _is_a_folder(name: str, endpoints: Mapping[Side, Endpoint]) -> bool:
    """Whether something lies below a name, of which a tree can hold one or the other."""
    trees = [side for side in Side if endpoints[side].capabilities.names is NameRules.TREE]
    if not trees:
        return False
    below = (endpoints[side].scan(f"{name}/", f"{name}0") for side in Side if side not in trees)
    return any(endpoints[side].stat(f"{name}/") for side in trees) or any(map(_any, below))


def _any(items: Iterator[Item]) -> bool:
    try:
        return next(items, None) is not None
    finally:
        if isinstance(items, Generator):
            items.close()
