"""Processes that share nothing carry out calls: one that is killed takes what it had in work, and no more."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Future, wait
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import pytest

from bisyncer.engine.forked import ForkedExecutor

began: list[str] = []


def alone(test: Callable[[], None]) -> Callable[[], None]:
    """Run a test in a process of its own: pytest's has threads, and one may hold a lock at a fork."""

    @functools.wraps(test)
    def run() -> None:
        command = f"from tests.engine import test_forked; test_forked.{test.__name__}.__wrapped__()"
        said = subprocess.run(
            [sys.executable, "-W", "error", "-c", command],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert said.returncode == 0, said.stderr
        assert said.stderr == ""

    return run


class Pool(NamedTuple):
    """Two processes, and a way to keep one busy until it is let go."""

    executor: ForkedExecutor
    numbers: list[int]
    told: tuple[int, int]
    go: tuple[int, int]

    @classmethod
    def born(cls) -> Pool:
        told, go = os.pipe(), os.pipe()
        executor = ForkedExecutor(2, functools.partial(began.append, "begun"))
        return cls(executor, pids(executor), told, go)

    def busy(self) -> tuple[Future[int], int]:
        """A call that is in work, and the number of the process that has it."""
        future = self.executor.submit(hold, self.told[1], self.go[0])
        return future, int.from_bytes(os.read(self.told[0], 4))

    def other(self, number: int) -> int:
        (other,) = set(self.numbers) - {number}
        return other


def pids(executor: ForkedExecutor) -> list[int]:
    found = [process.pid for process in executor._processes.values()]
    return [pid for pid in found if pid is not None]


def hold(told: int, go: int) -> int:
    os.write(told, os.getpid().to_bytes(4))
    os.read(go, 1)
    return os.getpid()


def is_there(number: int) -> bool:
    return Path(f"/proc/{number}").exists()


def is_broken(future: Future[int]) -> bool:
    return isinstance(future.exception(), BrokenExecutor)


def has_begun() -> list[str]:
    return began


@alone
def test_each_process_begins_as_it_is_told_and_carries_out_calls() -> None:
    pool = Pool.born()
    with pool.executor as executor:
        (one, first), (two, second) = pool.busy(), pool.busy()
        os.write(pool.go[1], b"12")

        assert {one.result(), two.result()} == {first, second} == set(pool.numbers)
        assert executor.submit(has_begun).result() == ["begun"]
        assert executor.submit(int, "z", base=36).result() == 35
        assert not began


@alone
def test_a_process_that_cannot_begin_is_gone_and_says_nothing() -> None:
    with ForkedExecutor(1, functools.partial(int, "no number")) as executor:
        assert is_broken(executor.submit(os.getpid))


@alone
def test_a_call_that_raises_gives_its_exception_and_its_process_goes_on() -> None:
    with ForkedExecutor(1, int) as executor:
        numbers = pids(executor)

        with pytest.raises(ValueError, match="'no number'"):
            executor.submit(int, "no number").result()
        assert executor.submit(os.getpid).result() == numbers[0]


@alone
def test_a_call_or_a_result_that_cannot_be_pickled_costs_no_process() -> None:
    with ForkedExecutor(1, int) as executor:
        numbers = pids(executor)

        assert executor.submit(lambda: 1).exception() is not None
        assert executor.submit(threading.Lock).exception() is not None
        assert executor.submit(os.getpid).result() == numbers[0]


@alone
def test_a_process_that_is_killed_while_idle_takes_one_call_with_it() -> None:
    pool = Pool.born()
    with pool.executor as executor:
        held, number = pool.busy()
        os.kill(pool.other(number), signal.SIGKILL)
        os.waitid(os.P_PID, pool.other(number), os.WEXITED | os.WNOWAIT)

        assert is_broken(executor.submit(os.getpid))
        assert not is_there(pool.other(number))
        os.write(pool.go[1], b"1")
        assert held.result() == number
        assert [executor.submit(os.getpid).result() for _ in range(9)] == [number] * 9


@alone
def test_a_process_that_is_killed_while_busy_takes_its_call_with_it_and_is_gone_when_that_is_told() -> None:
    pool = Pool.born()
    with pool.executor as executor:
        (lost, number), (held, other) = pool.busy(), pool.busy()
        there = SimpleQueue[bool]()
        lost.add_done_callback(lambda _: there.put(is_there(number)))
        later = executor.submit(os.getpid)
        os.kill(number, signal.SIGKILL)

        assert is_broken(lost)
        assert not there.get()
        os.write(pool.go[1], b"1")
        assert held.result() == later.result() == other


@alone
def test_where_all_are_killed_every_call_that_waits_or_comes_later_is_broken() -> None:
    pool = Pool.born()
    with pool.executor as executor:
        busy = [pool.busy()[0], pool.busy()[0]]
        waiting = [executor.submit(os.getpid) for _ in range(3)]
        for number in pool.numbers:
            os.kill(number, signal.SIGKILL)

        assert all(is_broken(future) for future in busy + waiting)
        assert is_broken(executor.submit(os.getpid))


@alone
def test_a_shutdown_ends_what_is_in_work_and_leaves_no_call_pending_and_no_process_and_no_thread() -> None:
    pool = Pool.born()
    busy = [pool.busy()[0], pool.busy()[0]]
    waiting = [pool.executor.submit(os.getpid) for _ in range(3)]

    pool.executor.shutdown()

    assert all(future.done() and is_broken(future) for future in busy + waiting)
    assert not any(is_there(number) for number in pool.numbers)
    assert threading.active_count() == 1
    with pytest.raises(RuntimeError, match="shut down"):
        pool.executor.submit(os.getpid)
    pool.executor.shutdown()


@alone
def test_a_shutdown_may_cancel_what_waits() -> None:
    pool = Pool.born()
    busy = [pool.busy()[0], pool.busy()[0]]
    waiting = [pool.executor.submit(os.getpid) for _ in range(3)]

    pool.executor.shutdown(cancel_futures=True)

    assert wait(waiting).not_done == set()
    assert all(future.cancelled() for future in waiting)
    with pytest.raises(CancelledError):
        waiting[0].result()
    assert all(is_broken(future) for future in busy)


@alone
def test_a_shutdown_before_the_first_call_leaves_no_process() -> None:
    pool = Pool.born()

    pool.executor.shutdown()

    assert not any(is_there(number) for number in pool.numbers)


@alone
def test_a_call_that_is_cancelled_while_it_waits_is_not_carried_out() -> None:
    pool = Pool.born()
    with pool.executor as executor:
        busy = [pool.busy()[0], pool.busy()[0]]
        cancelled = executor.submit(os.write, pool.told[1], b"done")
        later = executor.submit(os.getpid)
        assert cancelled.cancel()
        os.write(pool.go[1], b"12")

        assert {future.result() for future in busy} == set(pool.numbers)
        assert later.result() in pool.numbers
        assert wait([cancelled]).done == {cancelled}


@alone
def test_processes_do_not_hear_a_signal_that_is_sent_to_all() -> None:
    with ForkedExecutor(1, int) as executor:
        heard = [executor.submit(signal.getsignal, each).result() for each in (signal.SIGINT, signal.SIGTERM)]

    assert heard == [signal.SIG_IGN, signal.SIG_IGN]


def test_processes_end_with_a_parent_that_is_killed() -> None:
    """They have its output open: it ends when the last of them does."""
    command = (
        "import signal; from bisyncer.engine.forked import ForkedExecutor; "
        "pool = ForkedExecutor(2, int); pool.submit(signal.pause); pool.submit(int).result(); "
        "print(flush=True); signal.pause()"
    )
    parent = subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE)
    with parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        parent.kill()

        assert parent.communicate(timeout=60)[0] == b""


@alone
def test_where_memory_is_short_a_process_goes_before_its_parent() -> None:
    path = Path("/proc/self/oom_score_adj")
    before = path.read_text()
    with ForkedExecutor(1, list) as executor:
        assert int(executor.submit(path.read_text).result()) == 1000
        assert path.read_text() == before
