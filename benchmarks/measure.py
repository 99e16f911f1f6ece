"""A command as its user pays for it: wall seconds, CPU seconds, and memory of the whole process tree."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

_FIRST_LOOK_S: Final = 0.01
_LOOK_EVERY_S: Final = 0.1
_SHARE: Final = 20  # a look may take this part of the time


class Measured(NamedTuple):
    """What one run cost. `peak_mib` is the largest sum of the PSS of all its processes that was seen.

    PSS shares a page between the processes that share it (proc(5), smaps_rollup), so a sum of it counts
    nothing twice.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float


def measure(
    command: Sequence[str], environment: Mapping[str, str], *, accepts: Sequence[int] = (0,)
) -> Measured:
    """Run a command to its end; raises `RuntimeError` with its last words where it fails."""
    with tempfile.TemporaryFile() as words:
        began_s = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 -- our own list of commands, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )
        peak_kib = [0]
        ended = threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, peak_kib, ended), daemon=True)
        watcher.start()
        # wait4 counts the children that the command itself waited for, which all of these do.
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began_s
        process.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        watcher.join()
        if process.returncode not in accepts:
            words.seek(0)
            said = words.read()[-2000:].decode(errors="replace")
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {said}")
    return Measured(wall_s, used.ru_utime + used.ru_stime, peak_kib[0] / 1024)


def _watch(pid: int, peak_kib: list[int], ended: threading.Event) -> None:
    wait_s = _FIRST_LOOK_S
    while not ended.wait(wait_s):
        began_s = time.perf_counter()
        peak_kib[0] = max(peak_kib[0], sum(_pss_kib(each) for each in _family(pid)))
        # The kernel walks the pages of each process, which takes long where there are gigabytes of them.
        wait_s = max(min(wait_s * 2, _LOOK_EVERY_S), _SHARE * (time.perf_counter() - began_s))


def _family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for each in found:
        tasks: list[Path] = []
        with suppress(OSError):  # it has ended
            tasks = list(Path(f"/proc/{each}/task").iterdir())
        for task in tasks:
            with suppress(OSError):  # this thread has
                found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found


def _pss_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
