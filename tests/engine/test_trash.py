"""What a run replaces and deletes is in the trash of that side, and is never synced."""

from __future__ import annotations

import errno
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bisyncer.core.trash import read_name
from bisyncer.endpoints import memory
from bisyncer.endpoints.backup_dir import BackupDirEndpoint
from bisyncer.endpoints.base import Endpoint, Probe
from bisyncer.endpoints.local import LocalEndpoint
from bisyncer.endpoints.memory import MemoryEndpoint
from bisyncer.engine import pairing, restore, session
from bisyncer.engine.explain import explain
from bisyncer.engine.restore import Wanted
from bisyncer.engine.trash import Trash, opened_trash, purge
from bisyncer.errors import Changed, Rejected, Transient, UsageError
from bisyncer.job import Job, Retention
from bisyncer.model import TRASH, Entry, RunOutcome, Side, Summary
from bisyncer.state.runs import Runs
from bisyncer.state.store import Store
from tests.desk import held, put
from tests.endpoints.contract import put as put_at
from tests.world import ONE, TWO, Heard, World, carried_out

TEN = {f"k{number}": "x" * (number + 1) for number in range(10)}
OFF = Retention(path1=False, path2=False)
DAY_NS = 86400 * 10**9
OLD = f"{TRASH}/20200101T000000Z-1"


def kept(world: World, side: Side) -> dict[str, str]:
    """What is in the trash of a side, by key."""
    found = {read_name(name): text for name, text in world.trash(side).items()}
    assert None not in found
    return {trashed.key: text for trashed, text in found.items() if trashed is not None}


def test_a_deleted_version_is_moved_into_the_trash_of_the_side_that_followed(world: World) -> None:
    world.align(TEN)
    world.remove(ONE, "k0")
    deeds: list[str] = []
    world.hooked[TWO].after = lambda method, key: deeds.append(f"{method} {key}")

    summary = world.run()

    assert carried_out(summary) == {"delete-from-path2": 1}
    assert deeds == ["move k0"]
    assert world.trash(ONE) == {}
    [name] = world.trash(TWO)
    began = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(summary.started_ns // 10**9))
    assert name == f"{TRASH}/{began}-{summary.run}/k0"
    assert world.held(ONE) == world.held(TWO)
    assert world.plan() == []


def test_a_replaced_version_is_in_the_trash_before_the_new_one_is_published(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k1": "edited"})
    before: list[dict[str, str]] = []

    def note(method: str, _key: str) -> None:
        if method == "write":
            before.append(kept(world, TWO))

    world.hooked[TWO].before = note
    world.run()

    assert before == [{"k1": "xx"}]
    assert kept(world, TWO) == {"k1": "xx"}
    assert world.held(ONE) == world.held(TWO) == {**TEN, "k1": "edited"}
    assert world.plan() == []


def test_the_actions_of_a_run_say_where_the_version_before_is(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k1": "edited", "new": "n"})
    world.remove(ONE, "k0")

    rows = {row.key: row.sentence for row in world.state.actions_of(world.run().run)}

    one, zero = sorted(world.trash(TWO), key=lambda name: name[::-1], reverse=True)[::-1]
    assert sorted([rows["k0"] or "", rows["k1"] or ""]) == [
        f"the version before went to {name}" for name in sorted((one, zero))
    ]
    assert rows["new"] is None


def test_without_a_trash_nothing_is_kept(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k1": "edited"})
    world.remove(ONE, "k0")

    world.run(trash=OFF)

    assert world.held(ONE) == world.held(TWO)
    assert world.trash(TWO) == {}


def test_a_trash_may_be_for_one_side_alone(world: World) -> None:
    world.align(TEN)
    world.remove(ONE, "k0")
    world.remove(TWO, "k1")

    world.run(trash=Retention(path1=True, path2=False))

    assert kept(world, ONE) == {"k1": "xx"}
    assert world.trash(TWO) == {}


def test_moves_and_conflicts_need_no_trash(world: World) -> None:
    world.align(TEN)
    world.rename(ONE, "k0", "renamed")
    world.put(ONE, {"k1": "written in one"})
    world.put(TWO, {"k1": "written in two"})

    assert carried_out(world.run()) == {"move-on-path2": 1, "conflict": 1}
    assert world.trash(ONE) == world.trash(TWO) == {}


@pytest.mark.parametrize("keep", ["path1", "path2"])
def test_what_a_person_decides_against_is_in_the_trash_of_both_sides(world: World, keep: str) -> None:
    world.align(TEN)
    world.put(ONE, {"k1": "path1"})
    world.put(TWO, {"k1": "path2"})
    world.run()

    world.resolve(world.conflicts()[0].id, keep)

    other = Side(keep).other
    assert world.held(ONE) == world.held(TWO) == {**TEN, "k1": keep}
    for side in Side:
        assert other.value in kept(world, side).values()
        assert all("Z-c1/" in name for name in world.trash(side))
    assert world.plan() == []


def test_what_can_not_be_kept_is_neither_replaced_nor_deleted(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k1": "edited"})
    world.remove(ONE, "k0")

    def refuse(called: str, _key: str) -> None:
        if called in {"keep", "move"}:
            raise Rejected("this object is archived, so it can't be copied")

    world.hooked[TWO].before = refuse
    summary = world.run()

    assert summary.outcome is RunOutcome.UNFINISHED
    assert {problem.key for problem in summary.problems} == {"k0", "k1"}
    assert world.held(TWO) == TEN
    world.hooked[TWO].before = lambda *_: None
    world.run()
    assert kept(world, TWO) == {"k0": "x", "k1": "xx"}


def test_what_can_not_be_moved_is_kept_and_then_deleted(world: World) -> None:
    world.align(TEN)
    world.remove(ONE, "k0")

    def refuse(called: str, _key: str) -> None:
        if called == "move":
            raise Rejected("lies on another file system")

    world.hooked[TWO].before = refuse

    assert carried_out(world.run()) == {"delete-from-path2": 1}
    assert kept(world, TWO) == {"k0": "x"}


def test_what_an_attempt_before_has_kept_is_flushed_before_the_original_goes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align(TEN)
    steps: list[str] = []
    hooked, entry = world.hooked[TWO], world.stores[TWO].entry("k0")
    assert entry is not None
    monkeypatch.setattr(hooked, "flush", lambda: steps.append("flush"))
    hooked.before = lambda method, _key: steps.append(method) if method == "delete" else None
    trash = Trash(hooked, "20261125T080000Z-1")
    trash.keep(entry)  # and then the process ended
    steps.clear()

    trash.take(entry)

    assert steps == ["flush", "delete"]


@pytest.mark.parametrize("late", [False, True])
def test_what_is_tried_again_is_kept_once(world: World, late: bool) -> None:
    world.align(TEN)
    world.put(ONE, {"k1": "edited"})
    world.remove(ONE, "k0")
    failures = {"write": 2, "keep": 2, "move": 2}

    def stumble(method: str, _key: str) -> None:
        if failures.get(method, 0):
            failures[method] -= 1
            raise Transient("no answer")

    setattr(world.hooked[TWO], "after" if late else "before", stumble)
    world.run(transfers=1)
    assert late or not any(failures.values()), "one that was late is done, and isn't asked for again"

    world.hooked[TWO].before = world.hooked[TWO].after = lambda *_: None
    world.run()
    assert (
        world.held(ONE) == world.held(TWO) == {k: v for k, v in TEN.items() if k != "k0"} | {"k1": "edited"}
    )
    assert kept(world, TWO) == {"k0": "x", "k1": "xx"}
    assert len(world.trash(TWO)) == 2


@pytest.mark.parametrize(
    ("side", "calls"), [(TWO, ["write"]), (ONE, ["read"]), (TWO, ["move", "delete"])], ids=str
)
def test_a_key_that_is_refused_in_every_run_is_not_kept_by_every_run(
    world: World, monkeypatch: pytest.MonkeyPatch, side: Side, calls: list[str]
) -> None:
    world.align(TEN)
    key = "k1"
    if "delete" in calls:
        world.remove(ONE, key)
    else:
        world.put(ONE, {key: "edited"})
    # As of a tree: nothing is copied inside the store, and that is known only when it is asked.
    monkeypatch.setattr(world.hooked[TWO].inner, "copy_from", lambda *_, **__: None)

    def refuse(method: str, called: str) -> None:
        if method in calls and called == key:
            raise Rejected("not here")

    world.hooked[side].before = refuse
    for _ in range(3):
        assert world.run().outcome is RunOutcome.UNFINISHED

    assert world.held(TWO) == TEN
    assert world.trash(TWO) == {}


def test_a_deletion_that_is_refused_in_every_run_leaves_nothing_in_a_trash_elsewhere(world: World) -> None:
    world.align(TEN)
    world.remove(ONE, "k1")
    apart = f"apart-{world.number}"
    world.endpoints = {**world.hooked, TWO: BackupDirEndpoint(world.hooked[TWO], MemoryEndpoint(apart))}

    def refuse(method: str, key: str) -> None:
        if (method, key) == ("delete", "k1"):
            raise Rejected("not here")

    world.hooked[TWO].before = refuse
    for _ in range(3):
        assert world.run().outcome is RunOutcome.UNFINISHED

    assert world.held(TWO) == TEN
    assert memory.store(apart).contents() == {}
    memory.discard(apart)


def test_a_version_that_was_taken_out_and_is_not_back_yet_stays_in_a_trash_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = LocalEndpoint(str(tmp_path), owner="0badcafe")
    endpoint = BackupDirEndpoint(inner, MemoryEndpoint("apart-of-a-disk"))
    (tmp_path / "k").write_text("the only one")
    (entry,) = (item for item in endpoint.scan() if isinstance(item, Entry))
    original = os.unlink

    def fail(name: str, *, dir_fd: int | None = None) -> None:
        if name == "k":  # once it is out of its place
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        original(name, dir_fd=dir_fd)

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", fail)
        with pytest.raises((Rejected, Changed)):
            Trash(endpoint, "20261128T080000Z-1").take(entry)
    list(endpoint.scan())

    here = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert b"the only one" in [*here, *memory.store("apart-of-a-disk").contents().values()]
    endpoint.close()
    memory.discard("apart-of-a-disk")


def test_a_copy_that_an_unclear_attempt_made_is_left_in_the_trash(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align(TEN)
    world.put(ONE, {"k1": "edited"})
    monkeypatch.setattr(world.hooked[TWO].inner, "copy_from", lambda *_, **__: None)

    def lose_the_answer(method: str, key: str) -> None:
        if (method, key) == ("write", "k1"):
            # As if the store still had it before it: the write may land at any time.
            world.hooked[TWO].after = lambda _method, _key: None
            world.stores[TWO]._objects["k1"] = before
            world.hooked[ONE].before = refuse
            raise Transient("no answer")

    def refuse(method: str, key: str) -> None:
        if (method, key) == ("read", "k1"):
            raise Rejected("permission denied")

    before = world.stores[TWO]._objects["k1"]
    world.hooked[TWO].after = lose_the_answer
    world.run()

    assert kept(world, TWO) == {"k1": "xx"}


def test_the_trash_is_not_synced_and_is_skipped_by_listings(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bisyncer.engine.scan.BATCH", 1)
    world.align(TEN)
    world.remove(ONE, *list(TEN)[:5])
    world.put(ONE, {"-": "before the trash", "after": "it"})
    world.run()
    assert len(world.trash(TWO)) == 5
    listed: list[str] = []
    world.hooked[TWO].before = lambda method, key: listed.append(key) if method == "scan" else None

    summary = world.run()

    assert carried_out(summary) == {}
    assert summary.scanned == {ONE: 7, TWO: 7}
    assert len([key for key in listed if key.startswith(TRASH)]) == 1


def test_what_a_user_puts_into_the_trash_is_told_and_not_synced(world: World) -> None:
    world.align(TEN)
    world.remove(ONE, "k0")
    world.run()
    mine = {TRASH: "1", f"{TRASH}/A": "2", f"{TRASH}/mine/a": "3"}
    world.put(TWO, {**mine, f"d/{TRASH}/20261125T080000Z-42/k": "of a pair whose root lies inside"})

    summary = world.run()

    assert {problem.key for problem in summary.problems} == set(mine)
    assert all("not synced" in problem.sentence for problem in summary.problems)
    assert carried_out(summary) == {}
    assert TRASH not in world.held(ONE)
    with pytest.raises(UsageError, match="never synced"):
        explain(world.job, world.endpoints, world.state, f"{TRASH}/A")


def test_a_key_that_is_too_long_for_the_trash_is_kept_under_a_short_name(world: World) -> None:
    long = "d/" + "x" * 1000
    world.align({**TEN, long: "text"})
    world.remove(ONE, long)

    summary = world.run()

    [name] = world.trash(TWO)
    found = read_name(name)
    assert found is not None
    assert found.is_short
    assert found.is_of(long)
    assert name in str(next(world.state.actions_of(summary.run)).sentence)


@pytest.mark.parametrize(("by", "command"), [("7", "show 7"), ("c3", "conflicts show 3")])
def test_who_wants_a_short_name_back_is_told_which_command_has_the_whole_key(by: str, command: str) -> None:
    name = read_name(f"{TRASH}/20261125T080000Z-{by}/~0123456789abcdef-end")
    assert name is not None
    with pytest.raises(UsageError, match=f"`bisyncer {command}` tells"):
        restore._keys(name, Wanted(name.key), MemoryEndpoint("nothing"))


def test_a_second_version_of_a_key_in_one_run_gets_a_folder_of_its_own(world: World) -> None:
    end = world.hooked[TWO]
    trash = Trash(end, "20261125T080000Z-42")

    first = trash.take(put_at(end, "k", b"1"))
    second = trash.take(put_at(end, "k", b"2"))
    again = trash.keep(put_at(end, "k", b"2"))

    assert again.copy.key == second, "the same version is there already"

    assert (first, second) == (
        f"{TRASH}/20261125T080000Z-42/k",
        f"{TRASH}/20261125T080000Z-42.2/k",
    )
    assert sorted(world.trash(TWO).values()) == ["1", "2"]


def test_a_version_that_changed_is_not_taken(world: World) -> None:
    end = world.hooked[TWO]
    stale = put_at(end, "k", b"1")
    world.put(TWO, {"k": "edited"})

    with pytest.raises(Changed):
        Trash(end, "20261125T080000Z-42").take(stale)
    assert world.held(TWO) == {"k": "edited"}
    assert world.trash(TWO) == {}


@pytest.mark.parametrize(
    ("wanted", "versioned", "expected"),
    [
        (Retention(), False, {ONE, TWO}),
        (Retention(), True, {ONE}),
        (Retention(path2=True), True, {ONE, TWO}),
        (Retention(path1=False), True, set()),
    ],
)
def test_a_tree_has_a_trash_and_so_has_a_bucket_without_versions(
    tmp_path: Path, wanted: Retention, versioned: bool, expected: set[Side]
) -> None:
    ends: dict[Side, Endpoint] = {
        ONE: LocalEndpoint(str(tmp_path), owner="0123abcd"),
        TWO: MemoryEndpoint("versions"),
    }
    probe = Probe(None, "", conditional_write=True, conditional_delete=True)
    probes = {ONE: probe, TWO: replace(probe, versioned=versioned)}

    assert set(opened_trash(wanted, ends, probes, "f")) == expected


# How long it is kept.


def run_on(world: World, day: int, **changes: object) -> Summary:
    """A run so many days after today's first alignment."""
    now_ns = time.time_ns() + day * DAY_NS
    world.state.now_ns = lambda: now_ns
    job = replace(world.job, **changes)  # type: ignore[arg-type]
    return session.run(job, world.endpoints, world.state, Heard(), stop=world.stop, now_ns=lambda: now_ns)


def test_what_is_older_than_its_time_is_purged_by_the_first_run_of_a_day(world: World) -> None:
    world.align(TEN)
    world.remove(ONE, "k0")
    run_on(world, 1)
    world.put(ONE, {f"{OLD}/k": "old"})
    world.put(TWO, {f"{OLD}/k": "old", f"{OLD}/d/e": "old", f"{TRASH}/1/mine": "not ours"})

    run_on(world, 1)
    assert len(world.trash(TWO)) == 4, "not twice a day"
    run_on(world, 2)

    assert world.trash(ONE) == {}
    assert f"{TRASH}/1/mine" in world.trash(TWO)
    assert len(world.trash(TWO)) == 2
    run_on(world, 29, trash=Retention(keep_ns=None))
    assert len(world.trash(TWO)) == 2
    run_on(world, 32)
    assert len(world.trash(TWO)) == 2, "by the last good run, on day 29, its time wasn't over"
    run_on(world, 33)
    assert list(world.trash(TWO)) == [f"{TRASH}/1/mine"]


def test_a_clock_that_jumps_ahead_takes_nothing_out_of_the_trash(world: World) -> None:
    world.align(TEN)
    world.remove(ONE, "k0")
    run_on(world, 1)
    kept = world.trash(TWO)
    assert len(kept) == 1

    run_on(world, 4000)
    assert world.trash(TWO) == kept
    run_on(world, 2)

    assert world.trash(TWO) == kept


def test_a_clock_that_stays_ahead_takes_nothing_out_of_the_trash_where_a_store_tells_the_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align(TEN)
    world.remove(ONE, "k0")
    run_on(world, 1)
    kept = world.trash(TWO)
    assert len(kept) == 1
    real = world.hooked[TWO].inner.probe()

    for day in (4000, 4001, 4002):
        probe = replace(real, skew_ns=(2 - day) * DAY_NS)
        monkeypatch.setattr(world.hooked[TWO], "probe", lambda probe=probe, **_: probe)
        assert run_on(world, day).exit_code == 0

    assert world.trash(TWO) == kept


def test_what_is_trashed_while_the_clock_is_set_back_stays_for_as_long_as_all_else(world: World) -> None:
    world.align(TEN)
    run_on(world, 2)
    world.remove(ONE, "k0")
    run_on(world, -250)
    world.remove(ONE, "k1")
    run_on(world, -250)
    kept = world.trash(TWO)
    assert len(kept) == 2

    for day in range(2, 31):
        run_on(world, day)
    assert world.trash(TWO) == kept
    for day in range(31, 35):
        run_on(world, day)
    assert world.trash(TWO) == {}


def test_the_clock_of_a_store_that_is_ahead_says_when_something_was_trashed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align(TEN)
    world.remove(ONE, "k0")
    probe = replace(world.hooked[TWO].inner.probe(), skew_ns=250 * DAY_NS)
    monkeypatch.setattr(world.hooked[TWO], "probe", lambda **_: probe)
    monkeypatch.setattr(Runs, "latest_start", lambda _self, _pair, now_ns: now_ns)

    before = time.gmtime()
    run_on(world, -250)

    [name] = world.trash(TWO)
    days = {time.strftime("%Y%m%d", each) for each in (before, time.gmtime())}
    assert name.removeprefix(f"{TRASH}/").partition("T")[0] in days


def test_a_clock_that_ran_ahead_names_no_more_than_the_folders_of_some_runs(world: World) -> None:
    world.align(TEN)
    run_on(world, 4000)
    for _ in range(100):
        run_on(world, 1)
    world.remove(ONE, "k0")
    run_on(world, 1)

    [name] = world.trash(TWO)
    found = read_name(name)
    assert found is not None
    assert time.strptime(found.instant, "%Y%m%dT%H%M%SZ") < time.gmtime(time.time() + 2 * 86_400)


def test_a_run_that_purges_nothing_lists_no_more_than_what_is_due(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bisyncer.engine.scan.BATCH", 1)
    world.align(TEN)
    world.remove(ONE, *list(TEN)[:5])
    run_on(world, 0)
    listed: list[str] = []
    world.hooked[TWO].before = lambda method, key: listed.append(key) if method == "scan" else None

    run_on(world, 1)

    assert len([key for key in listed if key.startswith(TRASH)]) <= 1


def test_a_version_that_changed_since_it_was_listed_is_not_purged(world: World) -> None:
    world.put(TWO, {f"{OLD}/a": "1", f"{OLD}/b": "1"})

    def interfere(method: str, key: str) -> None:
        if (method, key) == ("delete", f"{OLD}/b"):
            world.put(TWO, {f"{OLD}/b": "somebody's"})

    world.hooked[TWO].before = interfere

    assert purge(world.hooked[TWO], time.time_ns(), 2) == (1, 1, 1)
    assert world.trash(TWO) == {f"{OLD}/b": "somebody's"}


def test_a_purge_whose_answers_are_lost_counts_what_is_gone(world: World) -> None:
    world.put(TWO, {f"{OLD}/{number}": "1" for number in range(3)})
    endpoint = world.hooked[TWO]

    def lose(method: str, _key: str) -> None:
        if method == "delete":
            endpoint.after = lambda _method, _key: None
            raise Transient("the answer was lost")

    endpoint.after = lose

    assert purge(endpoint, time.time_ns(), 2) == (3, 3, 0)
    assert world.trash(TWO) == {}


# With real files.


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    return one, two


def test_trees_have_their_versions_in_a_folder_that_no_run_looks_at(
    trees: tuple[Path, Path], tmp_path: Path
) -> None:
    one, two = trees
    job = Job("p", str(one), str(two))
    store = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
    put(one, {f"d/k{number}": f"text {number}" for number in range(12)})
    ends = pairing.open_pair(job, store)
    pairing.init(job, ends, store)
    heard = Heard()
    stop = threading.Event()
    session.run(replace(job, resync=True), ends, store, heard, stop=stop)
    put(one, {"d/k1": "edited"})
    (one / "d/k0").unlink()

    ran = session.run(job, ends, store, heard, stop=stop)

    assert carried_out(ran) == {"copy-to-path2": 1, "delete-from-path2": 1}
    [folder] = (two / TRASH).iterdir()
    assert {path.name: path.read_text() for path in (folder / "d").iterdir()} == {
        "k0": "text 0",
        "k1": "text 1",
    }
    assert all(path.stat().st_nlink == 1 for path in (folder / "d").iterdir())
    assert not (one / TRASH).exists()
    assert held(one) == held(two)
    again = session.run(job, ends, store, heard, stop=stop)
    assert carried_out(again) == {}
    assert again.scanned == {ONE: 11, TWO: 11}

    assert purge(ends[TWO], time.time_ns() + DAY_NS, 2).versions == 2
    assert not (two / TRASH).exists(), "its empty folders go with what was in them"
    for end in ends.values():
        end.close()
    store.close()
