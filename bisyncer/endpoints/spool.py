"""Sorting of listings that a store doesn't give in the order of their keys, in a bounded amount of memory."""

from __future__ import annotations

import heapq
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from itertools import islice
from typing import IO, Any, TypeVar

from bisyncer.errors import ListingIncomplete

HELD_ROWS = 200_000  # in memory at a time, about 60 MB

R = TypeVar("R", bound=tuple[Any, ...])  # a named tuple of what JSON can hold, beginning with the key


def in_order(rows: Iterable[R], held_rows: int = HELD_ROWS) -> Iterator[R]:
    """Yield `rows` sorted by key; what memory doesn't hold waits in temporary files."""
    unread = iter(rows)
    held = sorted(islice(unread, held_rows))
    if len(held) < held_rows:
        yield from held
        return
    with ExitStack() as files:
        runs = []
        while held:
            run = files.enter_context(_written(held))
            runs.append(_rows(run, type(held[0])))
            held = sorted(islice(unread, held_rows))
        yield from heapq.merge(*runs)


def _written(rows: Iterable[tuple[Any, ...]]) -> IO[str]:
    """A temporary file with these rows, to be read from its start."""
    run: IO[str] | None = None
    try:
        run = tempfile.TemporaryFile("w+", encoding="ascii", newline="\n")  # noqa: SIM115 -- whoever reads it closes it
        run.writelines(json.dumps(row) + "\n" for row in rows)
        run.seek(0)
    except OSError as error:
        if run is not None:
            with suppress(OSError):  # it writes once more what it couldn't
                run.close()
        raise ListingIncomplete(
            f"The folder for temporary files, {tempfile.gettempdir()}, can't take the names that are to be "
            f"sorted: {os.strerror(error.errno or 0)}. Nothing was changed. Make room there, or name another "
            "one by TMPDIR, and run again."
        ) from error
    return run


def _rows(run: IO[str], row: Callable[..., R]) -> Iterator[R]:
    return (row(*json.loads(line)) for line in run)
