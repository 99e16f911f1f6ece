"""Keys of which nothing is recorded: those that both sides hold alike are told while they are planned.

An alignment of equal sides has nothing else, a million times. As actions of their own, handed to threads that
each read one file, they took ten times as long as it takes to read and to hash these.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import Final

from bisyncer.core.compare import agreement, by_size_alone, trusts_mtime
from bisyncer.endpoints.base import Endpoint, NameRules
from bisyncer.engine.transfer import hashed
from bisyncer.job import Policy
from bisyncer.model import Agreement, Entry, Side

SMALL: Final = 1 << 16  # bytes; hashing more takes longer than a change from thread to thread
_PATIENCE_S: Final = 0.05  # for what is read in one go,
_LEAST_S: Final = 0.003  # where it ran out again and again,
_EACH_S: Final = 0.0005  # and for each file of it that is alike

Pair = tuple[Entry, Entry]


class Alike:
    """Parts pairs of entries of new keys by what their listings say, and by reading small files of trees.

    It tells what is alike and nothing else. A key that differs, that changes or fails, a large one, and what
    follows where a tree is slow to read, is left to the check, which knows what to do about it and has more
    threads to wait with. One thread reads at a time: what threads of one process cost each other at every
    system call is more than reading a file.
    """

    def __init__(
        self,
        policy: Policy,
        endpoints: Mapping[Side, Endpoint],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._endpoints = endpoints
        trees = {side for side in Side if endpoints[side].capabilities.names is NameRules.TREE}
        self._read = frozenset() if trusts_mtime(policy) else trees  # there a bucket is asked for its times
        self._now_s = now_s
        self._reading = threading.Lock()
        self._patience_s = _PATIENCE_S

    def part(self, pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
        """Return the pairs that are alike, with what was learnt of them, and the others; both in order."""
        if by_size_alone(self._policy):
            return list(pairs), []
        told = [self._agreement(one, two) for one, two in pairs]
        read: Mapping[str, Pair] = {}
        if self._read:
            read = self._alike_when_read(
                [
                    pair
                    for pair, agreed in zip(pairs, told, strict=True)
                    if agreed is Agreement.UNKNOWN and pair[0].size <= SMALL
                ]
            )
        alike: list[Pair] = []
        others: list[Pair] = []
        for pair, agreed in zip(pairs, told, strict=True):
            found = pair if agreed is Agreement.SAME else read.get(pair[0].key)
            if found is None:
                others.append(pair)
            else:
                alike.append(found)
        return alike, others

    def _alike_when_read(self, pairs: Sequence[Pair]) -> Mapping[str, Pair]:
        found: dict[str, Pair] = {}
        if not pairs:
            return found
        with (
            self._reading,
            closing(self._contents(Side.PATH1, [one for one, _ in pairs])) as contents1,
            closing(self._contents(Side.PATH2, [two for _, two in pairs])) as contents2,
        ):
            until_s = self._now_s() + self._patience_s
            for (listed1, listed2), content1, content2 in zip(pairs, contents1, contents2, strict=True):
                one = listed1 if content1 is None else hashed(listed1, content1)
                two = listed2 if content2 is None else hashed(listed2, content2)
                if self._agreement(one, two) is Agreement.SAME:
                    found[one.key] = one, two
                    until_s += _EACH_S
                if self._now_s() > until_s:
                    self._patience_s = max(_LEAST_S, self._patience_s / 2)
                    break
            else:
                self._patience_s = _PATIENCE_S
        return found

    def _contents(self, side: Side, entries: Sequence[Entry]) -> Generator[bytes | None]:
        if side in self._read:
            yield from self._endpoints[side].read_many(entries)
        else:
            yield from (None for _ in entries)

    def _agreement(self, one: Entry, two: Entry) -> Agreement | None:
        return agreement(one, two, self._policy, dated=not self._policy.undated)
