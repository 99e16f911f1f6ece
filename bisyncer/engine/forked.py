"""An Executor of processes that share nothing: one that is killed takes what it had in work, and no more."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)

_P = ParamSpec("_P")
_T = TypeVar("_T")


class _Work(NamedTuple):
    future: Future[Any]
    call: Callable[[], Any]


class ForkedExecutor(Executor):
    """Carries out calls in processes, which are forked at once: build it before there are threads.

    Each has a line of its own to this process, on which it is sent one call after the other. A call whose
    process is gone ends in `BrokenExecutor`, as does each where none is left; no other process was sent it,
    and by then nothing of it goes on. Functions are pickled: they are found by their names.
    """

    def __init__(self, number: int, initializer: Callable[[], object]) -> None:
        self._changed = threading.Condition()  # guards what follows
        self._open = True
        self._waiting: deque[_Work] = deque()
        self._processes: dict[Connection, ForkProcess] = {}
        self._threads: dict[Connection, threading.Thread] = {}
        context = multiprocessing.get_context("fork")
        try:
            for _ in range(number):
                line, theirs = context.Pipe()
                with theirs:  # only the process itself has it open then, and its end is the line's
                    process = context.Process(target=_serve, args=(theirs, os.getpid(), initializer))
                    process.start()
                    self._processes[line] = process
        except BaseException:
            self.shutdown()
            raise

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Have a call carried out, by the first process that is free."""
        work = _Work(Future(), partial(fn, *args, **kwargs))
        with self._changed:
            if not self._open:
                raise RuntimeError("This executor is shut down, and takes no more calls.")
            if self._processes:
                self._waiting.append(work)
                self._changed.notify()
                if not self._threads:
                    self._begin()
                return work.future
        _break(work)
        return work.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 -- as Executor has it
        """End all processes by SIGKILL, whatever they are about; again is fine.

        Calls that are in work end in `BrokenExecutor`. So do those that wait, or they are cancelled.
        """
        with self._changed:
            self._open = False
            for process in self._processes.values():
                process.kill()
            if cancel_futures:
                for work in self._waiting:
                    work.future.cancel()
            unused = [line for line in self._processes if line not in self._threads]
            self._changed.notify_all()
        for line in unused:
            self._end(line)
        if wait:
            for thread in self._threads.values():
                thread.join()

    def _begin(self) -> None:
        for line in self._processes:
            thread = threading.Thread(target=self._employ, args=(line,), name="forked")
            thread.start()
            self._threads[line] = thread

    def _employ(self, line: Connection) -> None:
        """Send a process what waits, one call after the other, until it is gone or to be ended."""
        work = self._next()
        while work is not None and _is_answered(line, work):
            work = self._next()
        self._end(line)
        if work is not None:
            work.future.set_exception(BrokenExecutor("The process that this was sent to is gone."))

    def _next(self) -> _Work | None:
        with self._changed:
            while self._open:
                while self._waiting:
                    work = self._waiting.popleft()
                    if work.future.set_running_or_notify_cancel():
                        return work
                self._changed.wait()
        return None

    def _end(self, line: Connection) -> None:
        """End a process; after the last one, nobody does what still waits."""
        left: list[_Work] = []
        with self._changed:
            # Once it is reaped, its number may be another's: nobody else finds it here then, and kills that.
            process = self._processes.pop(line)
            if not self._processes:
                left += self._waiting
                self._waiting.clear()
        process.kill()
        process.join()
        line.close()
        for work in left:
            _break(work)


def _is_answered(line: Connection, work: _Work) -> bool:
    """Have a call carried out; false where its process is gone."""
    try:
        line.send(work.call)
        result, error = line.recv()
    except (EOFError, OSError):
        return False
    except Exception as unsent:  # noqa: BLE001 -- it can't be pickled: the line is as it was
        result, error = None, unsent
    if error is None:
        work.future.set_result(result)
    else:
        work.future.set_exception(error)
    return True


def _break(work: _Work) -> None:
    if work.future.set_running_or_notify_cancel():
        work.future.set_exception(BrokenExecutor("No process is left to do this."))


# In a process of its own.


def _serve(line: Connection, parent: int, initializer: Callable[[], object]) -> None:
    """Carry out what the parent sends, one call after the other, until it ends this process."""
    # systemd and a terminal send these to all of us. The parent hears them, says so and then ends us: one
    # that died by itself would be taken for one that failed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # Its end is ours, however it comes: nobody else would end us.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    # Where memory is short, let it be one of us: what we had in work the parent does itself.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    try:
        initializer()
    except Exception:  # noqa: BLE001 -- whoever does its calls instead finds the same, and says so
        os._exit(1)
    while True:
        line.send_bytes(_answer(line.recv_bytes()))


def _answer(call: bytes) -> bytes:
    """What a call came to, and what it raised."""
    try:
        return pickle.dumps((pickle.loads(call)(), None))  # noqa: S301 -- its own parent sent it
    except Exception as error:  # noqa: BLE001 -- whoever asks for the result is told
        return pickle.dumps((None, error))
