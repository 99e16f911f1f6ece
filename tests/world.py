"""A pair of stores in memory with a state of its own, and people who write to it behind the engine's back."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from bisyncer.core.reserved import is_reserved
from bisyncer.endpoints import memory
from bisyncer.endpoints.base import Capabilities, Endpoint, NameRules, Probe, Source, Twin, Upload
from bisyncer.endpoints.memory import MemoryEndpoint
from bisyncer.endpoints.outline import Folder
from bisyncer.endpoints.pace import Pace
from bisyncer.endpoints.tree import split
from bisyncer.engine import pairing, session
from bisyncer.engine.resolve import resolving
from bisyncer.errors import EndpointError, Rejected
from bisyncer.job import Job
from bisyncer.model import SEALS, TRASH, Action, Entry, Item, Side, Summary
from bisyncer.report.events import Event, WouldAct
from bisyncer.state.database import copy_file
from bisyncer.state.records import Conflict
from bisyncer.state.store import Store

ONE, TWO = Side.PATH1, Side.PATH2

_numbers = count(1)


class Heard:
    """A Reporter that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, event: Event) -> None:
        self.events.append(event)


def new_state(folder: Path) -> str:
    """Lay an empty state at the newest schema into a folder, and return its URL.

    It is a copy of one that is made once, which opens in a tenth of the time.
    """
    shutil.copy(_made_once(), folder / "state.db")
    return f"sqlite:///{folder / 'state.db'}"


@cache
def _made_once() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="bisyncer-state-"))
    atexit.register(shutil.rmtree, folder)
    path = folder / "state.db"
    Store.open(f"sqlite:///{path}").close()
    return path


class _Compiled(dict[tuple[Any, ...], Any]):
    """SQLAlchemy's memory of compiled statements, for all engines of one kind of database.

    Each engine has one of its own, which a state that lives for a few runs fills and never uses again.
    """

    def get(self, key: tuple[Any, ...], default: Any = None) -> Any:
        return super().get(key[1:], default)

    def __setitem__(self, key: tuple[Any, ...], compiled: Any) -> None:
        super().__setitem__(key[1:], compiled)  # without the engine's dialect, which comes first


_compiled = _Compiled()


def open_state(url: str) -> Store:
    """Open a state; those on SQLite compile each statement once for all."""
    store = Store.open(url)
    if not store.database.postgresql:
        store.database.engine.update_execution_options(compiled_cache=_compiled)
    return store


Hook = Callable[[str, str], None]


class Hooked:
    """An endpoint that calls `before` and `after` with the method's name and the key, around each call.

    Of calls about seals it says nothing, unless `with_seals` is set: tests count what they are about.
    """

    def __init__(self, inner: Endpoint) -> None:
        self.inner = inner
        self.with_seals = False
        self.tree = False  # behave as a tree does: names of files only, stamps that move by themselves
        self.before: Hook = lambda _method, _key: None
        self.after: Hook = lambda _method, _key: None

    @property
    def root(self) -> str:
        return self.inner.root

    @property
    def capabilities(self) -> Capabilities:
        able = self.inner.capabilities
        return replace(able, names=NameRules.TREE) if self.tree else able

    @property
    def requests(self) -> Mapping[str, int]:
        return self.inner.requests

    def heed(self, pace: Pace) -> None:
        self.inner.heed(pace)

    def refusal(self, key: str) -> str | None:
        if self.tree:
            try:
                split(key)
            except Rejected as error:
                return str(error)
        return self.inner.refusal(key)

    def overlaps(self, other: Endpoint) -> bool:
        return self.inner.overlaps(other)

    def probe(self, *, scratch: bool = False) -> Probe:
        return self.inner.probe(scratch=scratch)

    def scan(self, low: str = "", high: str | None = None) -> Iterator[Item]:
        for item in self.inner.scan(low, high):
            self._before("scan", item[0])
            yield item
        self._before("scan", "")

    def outline(self) -> Sequence[Folder]:
        return self.inner.outline()

    def stat(self, key: str) -> Entry | None:
        self._before("stat", key)
        return self.inner.stat(key)

    def read(
        self, key: str, *, expect: Entry, start: int = 0, stop: int | None = None
    ) -> AbstractContextManager[Source]:
        self._before("read", key)
        return self.inner.read(key, expect=expect, start=start, stop=stop)

    def read_many(self, expect: Sequence[Entry]) -> Generator[bytes | None]:
        for entry in expect:
            try:
                self._before("read", entry.key)
            except EndpointError:
                yield None
            else:
                yield from self.inner.read_many([entry])

    def write(self, key: str, source: Source, *, expect: Entry | None) -> Entry:
        self._before("write", key)
        written = self.inner.write(key, source, expect=expect)
        self._after("write", key)
        return written

    def delete(self, key: str, *, expect: Entry) -> None:
        self._before("delete", key)
        self.inner.delete(key, expect=expect)
        self._after("delete", key)

    def delete_many(self, expect: Sequence[Entry]) -> frozenset[str]:
        for entry in expect:
            self._before("delete", entry.key)
        gone = self.inner.delete_many(expect)
        for key in gone:
            self._after("delete", key)
        return gone

    def copy_from(self, source: Endpoint, key: str, *, entry: Entry, expect: Entry | None) -> Entry | None:
        assert isinstance(source, Hooked)
        self._before("copy_from", key)
        copied = self.inner.copy_from(source.inner, key, entry=entry, expect=expect)
        self._after("copy_from", key)
        return copied

    def move(self, key: str, new_key: str, *, expect: Entry) -> Entry:
        self._before("move", key)
        moved = self.inner.move(key, new_key, expect=expect)
        self._after("move", key)
        return moved

    def keep(self, key: str, new_key: str, *, expect: Entry) -> Twin:
        self._before("keep", key)
        twin = self.inner.keep(key, new_key, expect=expect)
        self._after("keep", key)
        return twin

    def abort(self, upload: Upload) -> None:
        self.inner.abort(upload)

    def flush(self) -> None:
        self.inner.flush()

    def close(self) -> None:
        self.inner.close()

    def _before(self, method: str, key: str) -> None:
        if self.with_seals or not key.startswith(SEALS):
            self.before(method, key)

    def _after(self, method: str, key: str) -> None:
        if self.with_seals or not key.startswith(SEALS):
            self.after(method, key)


class Saved(NamedTuple):
    """What a world was at one moment."""

    number: int
    state: Path
    stores: Mapping[Side, tuple[Mapping[str, Any], int]]


@dataclass
class World:
    """Two memory stores under one pair."""

    folder: Path
    state_url: str | None = None  # a SQLite file in the folder unless given
    number: int = field(default_factory=lambda: next(_numbers))
    heard: Heard = field(default_factory=Heard)
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        names = (f"one-{self.number}", f"two-{self.number}")
        self.stores = dict(zip(Side, (memory.store(name) for name in names), strict=True))
        self.hooked = dict(zip(Side, (Hooked(MemoryEndpoint(name)) for name in names), strict=True))
        self.endpoints: Mapping[Side, Endpoint] = self.hooked
        self.job = Job("p", f"memory://{names[0]}", f"memory://{names[1]}", transfers=4)
        if self.state_url is None:
            self.state_url = new_state(self.folder)
        self.state = open_state(self.state_url)

    def close(self) -> None:
        self.state.close()
        for side in Side:
            memory.discard(self.endpoints[side].root.removeprefix("memory://"))

    def saved(self) -> Saved:
        """Keep what is there now; once this world is closed, others may begin there."""
        state = self.folder / "saved.db"
        copy_file(Path(self.state.database.place), state)
        stores = {side: (dict(store._objects), store._version) for side, store in self.stores.items()}
        return Saved(self.number, state, stores)

    @classmethod
    def begun_at(cls, saved: Saved, folder: Path) -> World:
        """A world that begins where another was; no two of one beginning may be open."""
        state = shutil.copy(saved.state, folder / "state.db")
        world = cls(folder, f"sqlite:///{state}", saved.number)
        for side, (objects, version) in saved.stores.items():
            world.stores[side]._objects.update(objects)
            world.stores[side]._version = version
        return world

    def reopen_state(self) -> None:
        """Open the state again, as the next process would."""
        assert self.state_url is not None
        self.state.close()
        self.state = open_state(self.state_url)

    def put(self, side: Side, contents: Mapping[str, str]) -> None:
        for key, text in contents.items():
            self.stores[side].put(key, text.encode())

    def touch(self, side: Side, key: str) -> None:
        """Write the same content again: another stamp and time, nothing else."""
        self.stores[side].put(key, self.stores[side].contents()[key])

    def remove(self, side: Side, *keys: str) -> None:
        for key in keys:
            self.stores[side].remove(key)

    def rename(self, side: Side, key: str, new_key: str) -> None:
        """Give a key another name, as a tree does: its time stays."""
        found = self.stores[side].entry(key)
        assert found is not None
        self.stores[side].put(new_key, self.stores[side].contents()[key], mtime_ns=found.mtime_ns)
        self.stores[side].remove(key)

    def held(self, side: Side) -> dict[str, str]:
        """What a side holds, but for its trash and its seals."""
        return {key: text for key, text in self._contents(side).items() if not is_reserved(key)}

    def trash(self, side: Side) -> dict[str, str]:
        """What lies in the trash of a side, by its name there."""
        return {key: text for key, text in self._contents(side).items() if key.startswith(TRASH)}

    def _contents(self, side: Side) -> dict[str, str]:
        return {key: data.decode() for key, data in self.stores[side].contents().items()}

    def init(self) -> None:
        pairing.init(self.job, self.endpoints, self.state)

    def run(self, **changes: object) -> Summary:
        job = replace(self.job, **changes)  # type: ignore[arg-type]
        return session.run(job, self.endpoints, self.state, self.heard, stop=self.stop)

    def align(self, one: Mapping[str, str], two: Mapping[str, str] | None = None) -> Summary:
        """Plant contents on both sides (the same where `two` isn't given) and make the first alignment."""
        self.put(ONE, one)
        self.put(TWO, one if two is None else two)
        self.init()
        return self.run(resync=True)

    def plan(self, **changes: object) -> list[str]:
        """What a run would do, one line a key."""
        heard = Heard()
        job = replace(self.job, dry_run=True, **changes)  # type: ignore[arg-type]
        session.run(job, self.endpoints, self.state, heard, stop=self.stop)
        return [line(event.action) for event in heard.events if isinstance(event, WouldAct)]

    def resolve(self, conflict_id: int, keep: str) -> str:
        """Settle one conflict, as a person would."""
        with resolving(self.job, self.endpoints, self.state) as this:
            return this.settle(conflict_id, keep)

    def conflicts(self) -> list[Conflict]:
        return self.state.conflicts.told("p")


def line(action: Action) -> str:
    return f"{action.verdict} {action.key} ({action.delta1} / {action.delta2})"


def carried_out(summary: Summary) -> dict[str, int]:
    """The actions of a run that are not zero."""
    return {name: number for name, number in summary.actions.items() if number}
