"""Whether each root is the place that it was: told by a seal, a small object of the pair's on each side.

A seal has a number that grows, and the state remembers the last one. A run that changes something writes new
seals before its first change and after its last. So a root without the seal is another place, one whose seal
has a lower number was rolled back, and one with a higher number shows that the state is an old one.

The number that is about to be written stands in the state, synced, before any seal is; a crash in between
leaves seals of which both numbers are known.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, suppress
from typing import Final, NamedTuple

from bisyncer.core.gates import let_pass
from bisyncer.endpoints.backoff import persist
from bisyncer.endpoints.base import Endpoint
from bisyncer.errors import Changed, EndpointError, Halt, Halted, Transient
from bisyncer.model import SEALS, Entry, Item, Side
from bisyncer.state.lease import Lease
from bisyncer.state.records import Pair, Seal
from bisyncer.state.store import Store

GATE: Final = "identity"

_LONGEST: Final = 4096  # bytes of a seal; ours are shorter
_TEXT: Final = """bisyncer seal {number} of pair {owner}, {nonce}

By this file bisyncer knows this place again. Leave it here, and don't copy it to another place.
"""
_OURS: Final = re.compile(r"bisyncer seal ([1-9][0-9]{0,17}) of pair ([0-9a-f]+), [0-9a-f]+\n.*", re.DOTALL)
_LOW: Final = SEALS + "/"
_HIGH: Final = SEALS + "0"  # the code point after '/'


class Found(NamedTuple):
    """What is at the key of a seal; `number` is None where that isn't a seal of the pair."""

    entry: Entry
    number: int | None
    data: bytes


class Identity:
    """The seals of one pair. `sealed` are the sides that the pair may write.

    `may_follow` says that the gate can be opened, so that what is gone from one side goes from the other.
    """

    def __init__(
        self,
        pair: Pair,
        endpoints: Mapping[Side, Endpoint],
        store: Store,
        sealed: frozenset[Side],
        *,
        may_follow: bool = True,
    ) -> None:
        self._pair = pair
        self._endpoints = endpoints
        self._store = store
        self._key = f"{SEALS}/{pair.owner}"
        self._known = store.seals.of_pair(pair.id)
        once = {side for side, seal in self._known.items() if seal.number is not None}
        self._sides = [side for side in Side if side in sealed | once]
        self._written = sealed
        self._found: dict[Side, Found | None] = {}
        self._may_follow = may_follow
        self._unclear: dict[Side, bytes] = {}  # seals that may be written: asked for, and no answer came yet
        self.broken = False  # whether a seal isn't what it should be

    def look(self) -> list[Halt]:
        """Look at the seals, one request a side; return what is wrong with them."""
        halts = [Halt(GATE, sentence) for side in self._sides if (sentence := self._wrong(side)) is not None]
        self.broken = bool(halts)
        return halts

    def sealed(self, side: Side) -> bool:
        """Whether a seal was found on `side`."""
        return self._found.get(side) is not None

    def seal(self, lease: Lease, now_ns: int, wait: Callable[[float], object]) -> None:
        """Give both sides a new seal; a side that takes none keeps the old one, until a later run.

        So does one that may yet get the seal before, of which no answer came: two numbers would be open.
        Raises `Halted` where a seal is no longer what was found: then another state is at work here.
        """
        sides = [side for side in self._sides if side in self._written and self._is_clear(side)]
        numbers = [seal.newest for seal in self._known.values()]
        numbers += [found.number or 0 for found in self._found.values() if found is not None]
        number = max(numbers, default=0) + 1
        planned = {side: _seal(self._found.get(side))._replace(pending=number) for side in sides}
        # Durable: a seal with a number that the state doesn't know would be that of a newer state.
        self._store.seals.note(lease, planned, durable=True)
        self._known |= planned
        for side in sides:
            try:
                written = self._write(side, number, now_ns, wait, lease)
                self._endpoints[side].flush()  # else a power cut could bring the last one back
            except EndpointError as error:
                if isinstance(error, Transient):
                    continue
            else:
                self._found[side] = written
            del self._unclear[side]
        sealed = {side: _seal(found) for side in sides if (found := self._found.get(side)) is not None}
        sealed = {side: seal for side, seal in sealed.items() if seal.number == number}
        self._store.seals.note(lease, sealed)
        self._known |= sealed

    def _is_clear(self, side: Side) -> bool:
        """Whether no seal may come that was asked for before: one without an answer may be there by now."""
        with suppress(EndpointError):
            if side in self._unclear:
                found = _read(self._endpoints[side], self._key, None)
                if found is not None and found.data == self._unclear[side]:
                    self._found[side] = found
                    del self._unclear[side]
        return side not in self._unclear

    def _wrong(self, side: Side) -> str | None:
        known, endpoint = self._known.get(side), self._endpoints[side]
        try:
            found = self._found[side] = _read(endpoint, self._key, known)
        except Transient:
            raise
        except EndpointError as error:
            self._found[side] = None
            return f"The seal of {side} can't be read: {error} {self._cure}"
        place = f"{side} ({endpoint.root})"
        if known is None:
            if found is None:
                return None
            known = Seal(0)
        if known.number is None:
            return None  # an alignment has begun, and nothing is taken for deleted that it didn't record
        if found is None:
            other = " It has the seal of another pair." if _has_any(endpoint) else ""
            return (
                f"{place} has no {self._key} any more, by which bisyncer knows it: it is another place, or "
                f"was made anew.{other} {self._cure}"
            )
        if found.number is None:
            return f"{place}: {self._key}, by which bisyncer knows it, was overwritten. {self._cure}"
        if found.number in {known.number, known.pending}:
            return None
        if found.number < known.number:
            return (
                f"{place} is an older copy of what it was: its seal has number {found.number}, and the "
                f"last one was {known.number}. It was restored or rolled back. {self._cure}"
            )
        return (
            f"The state is older than {place}: the seal there has number {found.number}, and the state knows "
            f"{known.newest or 'none'}. The state was restored, or another one runs this pair too. "
            f"{self._cure}"
        )

    @property
    def _cure(self) -> str:
        cure = (
            f"Nothing was changed. Put the right one back; or run `bisyncer run {self._pair.name} --resync`, "
            "which deletes nothing and brings together what both sides hold"
        )
        if not self._may_follow:
            return f"{cure}."
        return f"{cure}; or, if what is gone from one side shall be deleted from the other, {let_pass(GATE)}."

    def _write(
        self, side: Side, number: int, now_ns: int, wait: Callable[[float], object], lease: Lease
    ) -> Found:
        endpoint, before = self._endpoints[side], self._found.get(side)
        data = self._unclear[side] = _text(number, self._pair.owner)
        entry = Entry(self._key, len(data), now_ns, "")

        def write() -> Entry:
            lease.assert_held()
            return endpoint.write(self._key, _Body(entry, data), expect=before and before.entry)

        try:
            return Found(persist(write, wait=wait), number, data)
        except Changed as error:
            found = _read(endpoint, self._key, None)
            if found is not None and found.data == data:  # the answer to an earlier attempt was lost
                return found
            raise Halted(
                (
                    Halt(
                        GATE,
                        f"The seal of {side} changed since this run began ({error}). Another state runs this "
                        "pair too, such as a copy of this one: see that there is one. This run changed "
                        "nothing.",
                    ),
                )
            ) from error


class _Body:
    """A few bytes as a source."""

    def __init__(self, entry: Entry, data: bytes) -> None:
        self.entry = entry
        self.metadata: Mapping[str, str] = {}
        self._left = data

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes."""
        end = len(self._left) if size < 0 else size
        given, self._left = self._left[:end], self._left[end:]
        return given


def _text(number: int, owner: str) -> bytes:
    """A seal, which is like no other one: by that it is known again where an answer was lost."""
    return _TEXT.format(number=number, owner=owner, nonce=secrets.token_hex(8)).encode()


def _seal(found: Found | None) -> Seal:
    """A seal as the state is to know it, once it is accepted as it was found."""
    return Seal(None) if found is None else Seal(found.number, None, found.entry)


def _read(endpoint: Endpoint, key: str, known: Seal | None) -> Found | None:
    """What is at the key of a seal; asked for as the state knows it first, which is one request."""
    expect = None if known is None else known.entry
    if expect is not None:
        with suppress(Changed):
            return _opened(endpoint, expect, known)
    there = endpoint.stat(key)
    return None if there is None else _opened(endpoint, there, known)


def _opened(endpoint: Endpoint, expect: Entry, known: Seal | None) -> Found:
    data = bytearray()
    try:
        with endpoint.read(expect.key, expect=expect) as source:
            while len(data) <= _LONGEST and (piece := source.read(_LONGEST)):
                data += piece
    except (Changed, Transient):
        raise
    except EndpointError:
        # What lies in an archive can't be read, and is what it was if its stamp is.
        there = endpoint.stat(expect.key)
        if known is None or known.entry is None or there is None or there.stamp != known.entry.stamp:
            raise
        return Found(there, known.number, b"")
    match = _OURS.fullmatch(data.decode(errors="replace"))
    owner = expect.key.removeprefix(_LOW)
    number = int(match[1]) if match is not None and match[2] == owner else None
    return Found(expect, number, bytes(data))


def _has_any(endpoint: Endpoint) -> bool:
    with suppress(EndpointError), closing(_each(endpoint)) as found:
        return next(found, None) is not None
    return False


def _each(endpoint: Endpoint) -> Generator[Item]:
    yield from endpoint.scan(_LOW, _HIGH)
