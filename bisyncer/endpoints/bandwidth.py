"""A bandwidth limit with a timetable: so many bytes a second, by the day of the week and the time of day."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bisyncer.endpoints.base import Source
from bisyncer.job import Limit
from bisyncer.model import Entry

_DAY: Final = 24 * 60
_WEEK: Final = 7 * _DAY
_PIECE: Final = 64 << 10  # bytes that pass at once, so that a slow line is an even one


def limit_at(timetable: Sequence[Limit], weekday: int, minute: int) -> int | None:
    """The bytes a second that a timetable allows on a weekday (0 is Monday) at a minute; None: any number.

    The line that counts is the last that began; before the first of the week, the last of the week before.
    """
    begun = [
        ((weekday * _DAY + minute - (day * _DAY + line.minute)) % _WEEK, -number, line)
        for number, line in enumerate(timetable)
        for day in (range(7) if line.weekday is None else (line.weekday,))
    ]
    return min(begun)[2].bytes_per_s if begun else None


class Bandwidth:
    """Lets bytes pass at the rate of a timetable; all that share it share the rate.

    `wait` takes seconds and returns early where the run is to stop.
    """

    def __init__(
        self,
        timetable: Sequence[Limit],
        wait: Callable[[float], object],
        *,
        now_s: Callable[[], float] = time.monotonic,
        local_time: Callable[[], time.struct_time] = time.localtime,
    ) -> None:
        self._timetable = timetable
        self._wait = wait
        self._now_s = now_s
        self._local_time = local_time
        self._lock = threading.Lock()
        self._free_s = 0.0  # when all that was let pass so far has had its time

    def take(self, size: int) -> None:
        """Return when `size` more bytes may pass."""
        clock = self._local_time()
        rate = limit_at(self._timetable, clock.tm_wday, clock.tm_hour * 60 + clock.tm_min)
        if rate is None:
            return
        with self._lock:
            now_s = self._now_s()
            begins_s = max(now_s, self._free_s)
            self._free_s = begins_s + size / rate
        if begins_s > now_s:
            self._wait(begins_s - now_s)


class Limited:
    """A source whose bytes pass at the rate of a `Bandwidth`."""

    def __init__(self, source: Source, bandwidth: Bandwidth) -> None:
        self._source = source
        self._bandwidth = bandwidth

    @property
    def entry(self) -> Entry:
        """The entry of the source."""
        return self._source.entry

    @property
    def metadata(self) -> Mapping[str, str]:
        """What travels beside the content of the source."""
        return self._source.metadata

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, fewer at a time than were asked for."""
        if size < 0:
            return b"".join(iter(lambda: self.read(_PIECE), b""))
        data = self._source.read(min(size, _PIECE))
        self._bandwidth.take(len(data))
        return data
