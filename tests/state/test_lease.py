from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select, update

import bisyncer
from bisyncer.errors import BisyncerError, Leased, LeaseLost, StateUnusable
from bisyncer.model import Mode
from bisyncer.state import fence, schema
from bisyncer.state import lease as lease_module
from bisyncer.state.lease import Holder, Lease
from bisyncer.state.records import Pair
from bisyncer.state.store import Store
from tests.state.conftest import Clock

# A run in a process of its own: it takes the lease and says so, then does what it is told, a line at a time.
HOLDER = """
import sys
from bisyncer.errors import LeaseLost
from bisyncer.model import Action, Ancestor, Delta, Done, Entry, Verdict
from bisyncer.state.lease import Lease
from bisyncer.state.store import Store

url, ttl_s = sys.argv[1], float(sys.argv[2])
store = Store.open(url)
pair = store.pair("cms")
lease = Lease.take(store, pair, ttl_s=ttl_s)
run = store.begin_run(pair, lease, dry_run=False, resync=False)
here = Entry("k", 1, 1, "s")
store.actions.spool(run, [Action("k", Verdict.RECORD, Delta.NEW, Delta.NEW, None, here, here)])
(planned,) = store.actions.planned(run)
with lease._renewing:  # who pauses us now meets no heartbeat under way
    print("taken", lease.token, flush=True)
    line = sys.stdin.readline()
while line:
    try:
        if line.strip() == "assert":
            lease.assert_held()
        else:
            store.commit(run, [Done(planned, Ancestor("k", here, here))], lease)
        print("held", flush=True)
    except LeaseLost as error:
        print("lost:", error, flush=True)
    line = sys.stdin.readline()
"""


class Process:
    """A run of pair cms in another process."""

    def __init__(self, url: str, ttl_s: float) -> None:
        root = Path(bisyncer.__file__).parents[1]
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, url, str(ttl_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        self.pid = self._process.pid

    def answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def ask(self, question: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return self.answer()

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)  # until it stands

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill it, and leave it a zombie: nobody has asked for its exit code yet."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    def bury(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def running(url: str, ttl_s: float) -> Iterator[Process]:
    """Another process that holds the lease of pair cms."""
    process = Process(url, ttl_s)
    try:
        assert process.answer().startswith("taken ")
        yield process
    finally:
        process.bury()


@pytest.fixture
def pair(store: Store) -> Pair:
    return store.add_pair("cms", "file:///content", "s3://bucket/live", Mode.BISYNC)


def row(store: Store, pair: Pair) -> tuple[int, str | None, int, int, int]:
    """Token, holder, and when it was taken, last renewed and will run out."""
    table = schema.lease.c
    with store.database.read() as connection:
        found = connection.execute(select(schema.lease).where(table.pair_id == pair.id)).one()
    return found.token, found.holder, found.taken_ns, found.heartbeat_ns, found.expires_ns


def expire_at(store: Store, pair: Pair, ns: int) -> None:
    """Write `ns` over the expiry of the lease."""
    with store.database.write() as connection:
        connection.execute(
            update(schema.lease).where(schema.lease.c.pair_id == pair.id).values(expires_ns=ns)
        )


def forge(store: Store, pair: Pair, holder: Holder) -> None:
    """Write `holder` over the holder of the lease."""
    with store.database.write() as connection:
        connection.execute(
            update(schema.lease)
            .where(schema.lease.c.pair_id == pair.id)
            .values(holder=json.dumps(holder._asdict()))
        )


def eventually(condition: Callable[[], bool], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def taken(store: Store, pair: Pair) -> bool:
    """Whether a run could take the lease now."""
    try:
        with Lease.take(store, pair):
            return True
    except Leased:
        return False


# One at a time


def test_a_held_lease_is_refused_and_its_holder_is_named(store: Store, pair: Pair) -> None:
    with Lease.take(store, pair), pytest.raises(Leased) as refused:
        Lease.take(store, pair)

    sentence = str(refused.value)
    assert f"Pair cms is held by another run: process {os.getpid()} on {socket.gethostname()}" in sentence
    assert ", since 20" in sentence
    assert "last heard of at 20" in sentence


def test_a_released_lease_is_free(store: Store, pair: Pair) -> None:
    with Lease.take(store, pair):
        pass

    assert taken(store, pair)


def test_a_lease_is_released_by_an_error_too(store: Store, pair: Pair) -> None:
    with pytest.raises(ZeroDivisionError), Lease.take(store, pair):
        _ = 1 / 0

    assert taken(store, pair)


def test_each_holder_has_a_greater_token_than_all_before(store: Store, pair: Pair) -> None:
    tokens = []
    for _ in range(3):
        with Lease.take(store, pair) as lease:
            tokens.append(lease.token)
    forgotten = Lease.take(store, pair, ttl_s=1000)
    forge(store, pair, Holder.current()._replace(started=0))
    with Lease.take(store, pair) as lease:
        tokens += [forgotten.token, lease.token]
    forgotten.release()

    assert tokens == sorted(set(tokens))


def test_leases_of_two_pairs_are_held_at_once(store: Store, pair: Pair) -> None:
    other = store.add_pair("other", "file:///o", "s3://o", Mode.BISYNC)

    with Lease.take(store, pair) as first, Lease.take(store, other) as second:
        first.assert_held()
        second.assert_held()


@pytest.mark.parametrize("dead", [False, True], ids=["free", "held by a dead process"])
def test_of_many_takers_at_once_one_wins(
    opened: Callable[..., Store], url: str, store: Store, pair: Pair, dead: bool
) -> None:
    before = Lease.take(store, pair, ttl_s=1000)
    if dead:
        forge(store, pair, Holder.current()._replace(started=0))
    else:
        before.release()
    stores = [opened(url) for _ in range(8)]
    start, done = threading.Barrier(len(stores)), threading.Barrier(len(stores))

    def take(mine: Store) -> int | None:
        start.wait()
        try:
            with Lease.take(mine, pair) as lease:
                done.wait()  # held until all the others have tried
                return lease.token
        except Leased:
            done.wait()
            return None

    with ThreadPoolExecutor(len(stores)) as pool:
        tokens = [token for token in pool.map(take, stores) if token is not None]
    before.release()

    assert tokens == [before.token + 1]


# Processes that die, and that only pause


def test_the_lease_of_a_killed_process_is_taken_at_once(url: str, store: Store, pair: Pair) -> None:
    with running(url, ttl_s=100_000) as process:
        held = not taken(store, pair)
        process.kill()
        zombie_taken = taken(store, pair)

    assert held
    assert zombie_taken


def test_the_lease_of_a_process_long_gone_is_taken_at_once(url: str, store: Store, pair: Pair) -> None:
    with running(url, ttl_s=100_000) as process:
        process.kill()

    assert taken(store, pair)


def test_a_paused_process_is_passed_over_and_writes_nothing_when_it_wakes(
    url: str, opened: Callable[..., Store], store: Store, pair: Pair
) -> None:
    real = opened(url)  # by the clock of this host
    with running(url, ttl_s=0.4) as process:
        process.pause()
        *_, expires_ns = row(store, pair)
        expire_at(store, pair, expires_ns + 10**18)  # however long we are on our way to the next line
        refused = not taken(real, pair)
        expire_at(store, pair, expires_ns)
        eventually(lambda: taken(real, pair))
        with Lease.take(real, pair) as second:
            process.go_on()
            answers = [process.ask("assert"), process.ask("commit")]
            second.assert_held()

    assert refused
    assert [answer.partition(" ")[0] for answer in answers] == ["lost:", "lost:"]
    assert store.ancestors.count(pair.id) == 0


def test_a_paused_process_that_nobody_passed_over_goes_on(url: str, store: Store, pair: Pair) -> None:
    with running(url, ttl_s=0.4) as process:
        process.pause()
        eventually(lambda: time.time_ns() > row(store, pair)[4])
        process.go_on()
        answers = [process.ask("assert"), process.ask("commit")]

    assert answers == ["held", "held"]
    assert store.ancestors.count(pair.id) == 1


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({}, False),
        ({"started": 0}, True),
        ({"pid": 2**22 + 1}, True),
        ({"pid": 2**22 + 1, "boot": "another"}, False),
        ({"pid": 2**22 + 1, "pid_namespace": "pid:[1]"}, False),
        ({"pid": 2**22 + 1, "boot": ""}, False),
    ],
    ids=["us", "a number used again", "no such process", "another boot", "another container", "no /proc"],
)
def test_a_holder_is_gone_only_where_that_can_be_seen_from_here(changes: dict[str, str], gone: bool) -> None:
    assert Holder.current()._replace(**changes).gone() is gone  # type: ignore[arg-type]


def test_a_process_of_another_user_is_seen_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)

    assert not Holder.current().gone()


def test_a_process_hidden_from_this_user_is_not_taken_for_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    me = Holder.current()
    monkeypatch.setattr(lease_module, "_status", lambda pid: None)

    assert not me._replace(started=5).gone()


def test_without_proc_a_holder_is_still_named(
    store: Store, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "_text", lambda path: "")

    with Lease.take(store, pair), pytest.raises(Leased, match=f"process {os.getpid()} on"):
        Lease.take(store, pair)


def test_a_lease_that_names_no_process_is_told_as_damage(store: Store, pair: Pair) -> None:
    with Lease.take(store, pair):
        with store.database.write() as connection:
            connection.execute(update(schema.lease).values(holder="somebody"))

        with pytest.raises(StateUnusable, match="the lease of pair cms can't be understood"):
            Lease.take(store, pair)


# The heart


def test_a_heartbeat_pushes_the_expiry_on(
    store: Store, pair: Pair, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "_now_ns", lambda connection, store: clock.ns)
    with Lease.take(store, pair, ttl_s=0.4) as lease:
        *_, first_expiry = row(store, pair)
        clock.ns = first_expiry
        eventually(lambda: row(store, pair)[3] == first_expiry)
        still_held = not taken(store, pair)
        lease.assert_held()

    assert still_held


def test_an_assertion_asks_nobody_while_the_heart_beats(
    store: Store, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Lease.take(store, pair) as lease, monkeypatch.context() as patched:
        patched.setattr(store, "database", None)
        lease.assert_held()


@pytest.mark.parametrize("jumping", range(len(lease_module._CLOCKS)))
@pytest.mark.parametrize("passed_over", [False, True])
def test_a_jump_of_any_clock_makes_an_assertion_ask(
    store: Store, pair: Pair, monkeypatch: pytest.MonkeyPatch, jumping: int, passed_over: bool
) -> None:
    clocks = [0.0] * len(lease_module._CLOCKS)
    monkeypatch.setattr(lease_module, "_clocks", lambda: tuple(clocks))
    lease = Lease.take(store, pair, ttl_s=100)
    forge(store, pair, Holder.current()._replace(started=0))
    if passed_over:
        Lease.take(store, pair).release()

    clocks[jumping] = 49
    lease.assert_held()
    clocks[jumping] = 51
    if passed_over:
        for _ in range(2):
            with pytest.raises(LeaseLost, match="took pair cms over"):
                lease.assert_held()
    else:
        lease.assert_held()
    lease.release()


def test_the_heart_notices_that_the_lease_was_lost(store: Store, pair: Pair) -> None:
    lease = Lease.take(store, pair, ttl_s=0.4)
    forge(store, pair, Holder.current()._replace(started=0))
    with Lease.take(store, pair, ttl_s=100):
        lease._heart.join(30)

        with pytest.raises(LeaseLost):
            lease.assert_held()
        lease.release()

        assert not taken(store, pair)


def test_a_database_out_of_reach_for_a_while_is_asked_again(
    store: Store, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def fail() -> None:
        failed.set()
        raise BisyncerError("The state database can't be reached.")

    with Lease.take(store, pair, ttl_s=0.4) as lease:
        with monkeypatch.context() as patched:
            patched.setattr(store.database, "write", fail)
            assert failed.wait(30)
            eventually(lambda: not lease._fresh())
            with pytest.raises(BisyncerError, match="can't be reached"):
                lease.assert_held()

        lease.assert_held()


def test_the_heart_outlives_what_no_sentence_was_made_for(
    store: Store, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def fail() -> None:
        failed.set()
        raise OSError("no route to host")

    with Lease.take(store, pair, ttl_s=0.4) as lease:
        with monkeypatch.context() as patched:
            patched.setattr(store.database, "write", fail)
            assert failed.wait(30)
            eventually(lambda: not lease._fresh())

        eventually(lease._fresh)


def test_a_release_that_cannot_be_told_is_left_to_the_expiry(
    store: Store, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise BisyncerError("The state database can't be reached.")

    with monkeypatch.context() as patched, Lease.take(store, pair):
        patched.setattr(store.database, "write", fail)

    assert row(store, pair)[1] is not None


# Clocks


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_on_sqlite_a_lease_runs_out_by_the_clock_of_the_host(store: Store, pair: Pair, clock: Clock) -> None:
    first = Lease.take(store, pair, ttl_s=100)
    clock.ns += 100 * 10**9 - 1
    before = taken(store, pair)
    clock.ns += 1
    after = taken(store, pair)
    first.release()

    assert (before, after) == (False, True)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_on_postgresql_the_clock_of_a_host_does_not_matter(store: Store, pair: Pair, clock: Clock) -> None:
    with Lease.take(store, pair, ttl_s=100):
        clock.ns += 10**18

        assert not taken(store, pair)
        assert abs(row(store, pair)[2] - time.time_ns()) < 60 * 10**9


@pytest.mark.parametrize(("boot", "free"), [("another", True), (None, False)], ids=["rebooted", "alive"])
def test_a_lease_from_a_clock_that_has_been_put_right_locks_nobody_out_unless_its_holder_is_seen_to_live(
    store: Store, pair: Pair, boot: str | None, free: bool
) -> None:
    day_ns = 24 * 3600 * 10**9
    with Lease.take(store, pair, ttl_s=1000):
        if boot is not None:
            forge(store, pair, Holder.current()._replace(boot=boot))
        table = schema.lease.c
        with store.database.write() as connection:
            connection.execute(
                update(schema.lease)
                .where(table.pair_id == pair.id)
                .values(heartbeat_ns=table.heartbeat_ns + day_ns, expires_ns=table.expires_ns + day_ns)
            )

        assert taken(store, pair) is free


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_on_postgresql_a_host_that_is_gone_in_the_middle_of_a_commit_does_not_hold_the_pair_for_long(
    opened: Callable[..., Store], url: str, store: Store, pair: Pair
) -> None:
    other = opened(url)
    found = []

    def freeze(lease: Lease) -> None:
        with store.database.write() as frozen:
            frozen.exec_driver_sql("SELECT set_config('idle_in_transaction_session_timeout', '200ms', true)")
            fence.hold(frozen, lease, pair.id)
            found.append(taken(other, pair))  # which waits for the row until the server ends the transaction
            frozen.exec_driver_sql("SELECT 1")

    with Lease.take(store, pair) as lease, pytest.raises(BisyncerError, match="was paused"):
        freeze(lease)

    assert found == [False]


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_on_postgresql_a_transaction_waits_for_its_locks_and_for_its_host_so_long(store: Store) -> None:
    names = ("lock_timeout", "idle_in_transaction_session_timeout")
    with store.database.write() as connection:
        told = [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names]

    assert told == ["1min", "1min"]


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_on_postgresql_nothing_is_prepared_which_a_pool_of_transactions_would_mix_up(store: Store) -> None:
    with store.database.read() as connection:
        for _ in range(10):
            connection.execute(select(schema.pair))
        prepared = connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar_one()

    assert prepared == 0
