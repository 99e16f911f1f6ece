"""One run at a time on a pair, on any number of hosts.

A lease is a row with an expiry that a heartbeat pushes on, and a token that grows with each holder. The
expiry lets the next run in when a holder is gone; the token keeps a holder that was only paused from
writing when it wakes, since every commit shows it (`Store.commit`).
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from operator import sub
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from sqlalchemy import Connection, Row, Update, select, update

from bisyncer.errors import BisyncerError, Leased, LeaseLost
from bisyncer.state import rows, schema
from bisyncer.state.records import Pair
from bisyncer.state.store import Store

_TABLE = schema.lease.c

_ENSURE_ROW = (
    "INSERT INTO lease (pair_id, token, taken_ns, heartbeat_ns, expires_ns) VALUES (?, 0, 0, 0, 0) "
    "ON CONFLICT (pair_id) DO NOTHING"
)

_DATABASE_CLOCK = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000"

# A pause is seen by whichever clock went on: the monotonic one stands still while a laptop sleeps, the one
# since boot while a virtual machine is frozen, and only the wall clock is put right after that.
_CLOCKS: tuple[Callable[[], float], ...] = (
    time.monotonic,
    time.time,
    *([lambda: time.clock_gettime(time.CLOCK_BOOTTIME)] if hasattr(time, "CLOCK_BOOTTIME") else []),
)


class Holder(NamedTuple):
    """A process, told from every other there ever was on this host.

    Numbers of processes are used again, so the time it started counts too (in ticks since boot); and two
    containers of one host number theirs apart.
    """

    host: str
    boot: str
    pid_namespace: str
    pid: int
    started: int

    @classmethod
    def current(cls) -> Holder:
        """This process."""
        pid = os.getpid()
        status = _status(pid)
        return cls(
            host=socket.gethostname(),
            boot=_text(Path("/proc/sys/kernel/random/boot_id")),
            pid_namespace=_link(Path("/proc/self/ns/pid")),
            pid=pid,
            started=0 if status is None else status.started,
        )

    def gone(self) -> bool:
        """Whether this process certainly no longer runs; False where that can't be seen from here."""
        if not self._can_be_seen():
            return False
        try:
            os.kill(self.pid, 0)  # unlike /proc, it also tells of processes hidden from this user
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        status = _status(self.pid)
        # A zombie has ended; only its parent doesn't know yet.
        return status is not None and (status.state in "ZX" or status.started != self.started)

    def lives(self) -> bool:
        """Whether this process certainly runs; False where that can't be seen from here."""
        return self._can_be_seen() and not self.gone()

    def _can_be_seen(self) -> bool:
        here = Holder.current()
        return bool(self.boot) and (self.boot, self.pid_namespace) == (here.boot, here.pid_namespace)


class _Status(NamedTuple):
    state: str
    started: int


def _status(pid: int) -> _Status | None:
    """What /proc says about a process."""
    text = _text(Path(f"/proc/{pid}/stat"))
    if not text:
        return None
    # The name, in parentheses, may hold anything; what follows the last one is numbered from field 3.
    fields = text.rpartition(")")[2].split()
    return _Status(fields[0], int(fields[19]))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


class Lease:
    """The right to run a pair, held until the end of the `with` block.

    A thread renews it four times within its time to live. The methods may be called from any thread.
    """

    def __init__(
        self, store: Store, pair: Pair, *, token: int, ttl_s: float, asked: tuple[float, ...]
    ) -> None:
        self.pair_id = pair.id
        self.token = token  # strictly increasing per pair, for ever
        self._pair = pair
        self._store = store
        self._ttl_s = ttl_s
        self._renewed = asked  # the clocks before the last renewal was asked for: never too late
        self._renewing = threading.Lock()
        self._released = threading.Event()
        self._lost = threading.Event()
        self._heart = threading.Thread(target=self._beat, name=f"lease of {pair.name}", daemon=True)

    @classmethod
    def take(cls, store: Store, pair: Pair, *, ttl_s: float = 60.0) -> Lease:
        """Take the pair's lease; raises `Leased` where another run holds it.

        A lease is free when it was released, when it ran out, or when its holder is a process of this
        host that no longer exists: a run that was killed locks nobody out.
        """
        asked = _clocks()
        with store.database.write() as connection:
            connection.exec_driver_sql(store.database.sql(_ENSURE_ROW), (pair.id,))
            token = _take(connection, store, pair, ttl_s)
        lease = cls(store, pair, token=token, ttl_s=ttl_s, asked=asked)
        lease._heart.start()
        return lease

    def assert_held(self) -> None:
        """Return if nobody else can have taken the pair over; raise `LeaseLost` otherwise.

        Cheap while the heartbeat goes on: workers call it before each change of a store.
        """
        if self._fresh():
            return
        with self._renewing:
            if not self._fresh():
                self._renew()

    def release(self) -> None:
        """Give the pair free for the next run. The counter of tokens goes on."""
        self._released.set()
        self._heart.join()
        # Whatever keeps us from saying so, the lease runs out by itself.
        with suppress(BisyncerError), self._store.database.write() as connection:
            connection.execute(self._mine().values(holder=None))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _fresh(self) -> bool:
        if self._lost.is_set():
            return False
        passed: float = max(map(sub, _clocks(), self._renewed))
        return passed < self._ttl_s / 2

    def _beat(self) -> None:
        while not self._released.wait(self._ttl_s / 4):
            # A database out of reach may come back; until then `assert_held` asks it itself.
            with suppress(Exception), self._renewing:
                self._renew()
            if self._lost.is_set():
                return

    def _renew(self) -> None:
        asked = _clocks()
        with self._store.database.write() as connection:
            now = _now_ns(connection, self._store)
            renewed = connection.execute(
                self._mine().values(heartbeat_ns=now, expires_ns=now + _ns(self._ttl_s))
            )
            if renewed.rowcount == 0:
                self._lost.set()
                raise LeaseLost(
                    f"Another run took pair {self._pair.name} over while this one was paused or cut off; "
                    "this one stopped. Nothing is lost: the next run looks at both sides afresh."
                )
        self._renewed = asked

    def _mine(self) -> Update:
        """Begin an update of the row, as long as it is ours."""
        return update(schema.lease).where(
            _TABLE.pair_id == self.pair_id, _TABLE.token == self.token, _TABLE.holder.is_not(None)
        )


def _take(connection: Connection, store: Store, pair: Pair, ttl_s: float) -> int:
    """Become the holder if the lease is free, and return the new token."""
    now = _now_ns(connection, store)
    mine = _TABLE.pair_id == pair.id
    held = connection.execute(select(schema.lease).where(mine).with_for_update()).one()
    try:
        _taken, heartbeat_ns, expires_ns, token = map(
            rows.number, (held.taken_ns, held.heartbeat_ns, held.expires_ns, held.token)
        )
        holder = None if held.holder is None else _holder_of(rows.text(held.holder))
    except (TypeError, ValueError) as error:
        raise store.database.corrupt(f"the lease of pair {pair.name} can't be understood: {error}") from error
    # A heartbeat of the future was written by a clock that has been put right since: its holder, unless it
    # is seen to live, would else keep the pair until that time comes.
    misdated = heartbeat_ns > now + _ns(ttl_s)
    if holder is not None and expires_ns > now and not holder.gone() and (holder.lives() or not misdated):
        raise Leased(_sentence(pair, holder, held))
    mine_now: int = token + 1
    connection.execute(
        update(schema.lease)
        .where(mine)
        .values(
            token=mine_now,
            holder=json.dumps(Holder.current()._asdict()),
            taken_ns=now,
            heartbeat_ns=now,
            expires_ns=now + _ns(ttl_s),
        )
    )
    return mine_now


def _holder_of(text: str) -> Holder:
    holder = Holder(**json.loads(text))
    rows.number(holder.pid)
    rows.number(holder.started)
    return holder


def _sentence(pair: Pair, holder: Holder, held: Row[Any]) -> str:
    return (
        f"Pair {pair.name} is held by another run: process {holder.pid} on {holder.host}, since "
        f"{_moment(held.taken_ns)}, last heard of at {_moment(held.heartbeat_ns)}. Wait for it to end; if it "
        f"hangs, end it. A lost host's hold runs out at {_moment(held.expires_ns)}."
    )


def _moment(ns: int) -> str:
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _ns(seconds: float) -> int:
    return int(seconds * 1_000_000_000)


def _clocks() -> tuple[float, ...]:
    return tuple([clock() for clock in _CLOCKS])


def _now_ns(connection: Connection, store: Store) -> int:
    """The clock that leases are measured by: hosts that share a database agree on the database's."""
    if not store.database.postgresql:
        return store.now_ns()
    now: int = connection.exec_driver_sql(_DATABASE_CLOCK).scalar_one()
    return now
