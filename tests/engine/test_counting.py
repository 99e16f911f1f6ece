"""The keys of a scan are added up while they are listed, also by other processes, and none counts twice."""

from __future__ import annotations

import os

from bisyncer.engine.counting import Counting, InWork
from bisyncer.model import Side
from bisyncer.report.events import Event, Scanned


class Told:
    """A Reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, event: Event) -> None:
        self.events.append(event)


def test_what_another_process_lists_is_told_before_its_shard_has_ended_and_counts_once() -> None:
    told, in_work = Told(), InWork()
    counting = Counting(told, in_work)
    counting.end(7, {Side.PATH1: 100, Side.PATH2: 90})
    child = os.fork()
    if child == 0:
        in_work.put(8, Side.PATH1, 500)
        os._exit(0)
    os.waitpid(child, 0)

    counting.look()
    counting.look()
    counting.end(8, {Side.PATH1: 700, Side.PATH2: 650})

    assert told.events == [
        Scanned(Side.PATH1, 100),
        Scanned(Side.PATH2, 90),
        Scanned(Side.PATH1, 600),
        Scanned(Side.PATH1, 800),
        Scanned(Side.PATH2, 740),
    ]


def test_a_shard_that_failed_is_counted_by_its_second_attempt_and_nothing_goes_back() -> None:
    told, in_work = Told(), InWork()
    counting = Counting(told, in_work)
    in_work.put(3, Side.PATH1, 40)
    counting.look()
    counting.end(3, {})
    again = counting.lane()
    for keys in (20, 60):
        again.tell(Scanned(Side.PATH1, keys))

    assert told.events == [Scanned(Side.PATH1, 40), Scanned(Side.PATH1, 60)]
