"""What rclone bisync 1.75 gets wrong, one row each, and what is true here.

Each test names its row; the same rows, for readers, are in docs/coming-from-rclone-bisync.md.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import tracemalloc
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

import pytest
from sqlalchemy import Engine, event

from bisyncer.engine import pairing, session
from bisyncer.errors import ListingIncomplete, Rejected, UsageError
from bisyncer.job import Job, Limits, Resolve
from bisyncer.model import Entry, Item, RunOutcome, Side, Summary
from bisyncer.report.events import Silent
from bisyncer.state.store import Store
from tests.desk import Desk, clear_environment, held, put
from tests.pair import paired
from tests.places import Places
from tests.world import ONE, TWO, World, carried_out, new_state

TEN: Final = {f"k{number}": "x" * (number + 1) for number in range(10)}
SECOND_NS: Final = 10**9


class Crash(BaseException):
    """The process is gone."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Desk:
    clear_environment(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, capfd)


proven: dict[int, list[str]] = {}  # the tests by the number of their row

_Test = TypeVar("_Test", bound=Callable[..., None])


def row(number: int) -> Callable[[_Test], _Test]:
    """Say which row a test proves."""

    def note(test: _Test) -> _Test:
        proven.setdefault(number, []).append(test.__name__)
        return test

    return note


@row(1)
@pytest.mark.parametrize("deleted", [False, True])
def test_a_file_edited_after_the_listing_is_neither_overwritten_nor_deleted(
    world: World, deleted: bool
) -> None:
    world.align(TEN)
    world.remove(ONE, "k0") if deleted else world.put(ONE, {"k0": "edited in one"})
    waiting = ["written meanwhile"]

    def interfere(method: str, key: str) -> None:
        if waiting and key == "k0" and method in {"write", "move", "keep"}:
            world.put(TWO, {"k0": waiting.pop()})

    world.hooked[TWO].before = interfere
    world.run()

    assert "written meanwhile" in world.held(ONE).values()
    assert world.held(ONE) == world.held(TWO)
    assert deleted or "edited in one" in world.held(ONE).values()


@row(2)
def test_a_failed_look_is_not_a_new_time_and_never_wins(world: World) -> None:
    world.align({"a": "before"})
    for side, text, time_ns in ((ONE, b"newer, in one", 2 * SECOND_NS), (TWO, b"older", SECOND_NS)):
        world.stores[side].put("a", text, mtime_ns=time_ns)

    def refuse(method: str, _key: str) -> None:
        if method == "stat":
            raise Rejected("403: not now")

    world.hooked[TWO].before = refuse
    blind = world.run()
    assert (blind.exit_code, [problem.key for problem in blind.problems]) == (3, ["a"])
    assert (world.held(ONE), world.held(TWO)) == ({"a": "newer, in one"}, {"a": "older"})

    world.hooked[TWO].before = lambda _method, _key: None
    assert world.run().exit_code == 0
    assert world.held(ONE) == world.held(TWO) == {"a": "newer, in one", "a.conflict1": "older"}


@row(3)
def test_objects_without_a_digest_are_not_taken_for_equal_because_of_their_size(world: World) -> None:
    assert not [entry for entry in world.stores[ONE].entries() if entry.digests]

    world.align({"a": "this", "b": "same"}, {"a": "that", "b": "same"})

    assert sorted(world.held(ONE).values()) == ["same", "that", "this"]
    assert world.held(ONE) == world.held(TWO)


@row(4)
@pytest.mark.parametrize(("rule", "wins"), [(Resolve.LARGER, "now larger"), (Resolve.SMALLER, "edit 1")])
def test_larger_and_smaller_weigh_whole_sizes_also_where_one_side_kept_its_own(
    world: World, rule: Resolve, wins: str
) -> None:
    world.align({"a": "before"})
    world.put(ONE, {"a": "edit 1"})
    world.put(TWO, {"a": "now larger"})

    world.run(policy=replace(world.job.policy, conflict_resolve=rule))

    assert world.held(ONE)["a"] == world.held(TWO)["a"] == wins


@row(5)
@pytest.mark.parametrize("method", ["read", "write", "scan"])
def test_one_unreadable_file_one_failed_write_or_one_failed_listing_locks_nobody_out(
    world: World, method: str
) -> None:
    world.align(TEN)
    world.put(ONE, {"k0": "edited", "k1": "edited too"})

    def fail(called: str, key: str) -> None:
        if (called, key) == (method, "k0"):
            raise ListingIncomplete("page 2 failed") if method == "scan" else Rejected("input/output error")

    for side in Side:
        world.hooked[side].before = fail
    assert world.run().exit_code == (5 if method == "scan" else 3)
    for side in Side:
        world.hooked[side].before = lambda _method, _key: None

    assert world.run().exit_code == 0
    assert world.held(ONE) == world.held(TWO) == TEN | {"k0": "edited", "k1": "edited too"}


@row(5)
def test_a_pair_whose_runs_have_stopped_is_seen(desk: Desk) -> None:
    desk.align(files=1)

    assert desk("status", "--stale-after", "1h").code == 0
    assert desk("status", "--stale-after", "0.001s").code == 1


@row(6)
def test_a_file_that_is_bad_for_ever_makes_no_conflicts_of_later_edits_and_brings_no_deletes_back(
    world: World,
) -> None:
    world.align(TEN)
    world.put(ONE, {"k9": "can't be written"})

    def refuse(method: str, key: str) -> None:
        if (method, key) == ("write", "k9"):
            raise Rejected("input/output error")

    world.hooked[TWO].before = refuse
    for number, (edited, deleted) in enumerate((("k0", "k1"), ("k2", "k3"), ("k0", "k4"))):
        world.put(TWO if number % 2 else ONE, {edited: f"edited {'again ' * number}"})
        world.remove(ONE, deleted)
        summary = world.run()

        assert (summary.exit_code, summary.conflicts) == (3, ())
        assert [problem.key for problem in summary.problems] == ["k9"]
        assert world.held(TWO) == world.held(ONE) | {"k9": TEN["k9"]}
        assert deleted not in world.held(ONE)


@row(7)
@pytest.mark.parametrize("late", [False, True])
def test_a_run_after_a_crash_goes_on_from_the_last_state_and_no_deleted_file_returns(
    world: World, late: bool
) -> None:
    world.align(TEN)
    world.remove(ONE, "k0")
    world.run()
    world.remove(ONE, "k1")
    world.put(ONE, {"k2": "edited"})

    def die(method: str, key: str) -> None:
        if key == "k1" and method in {"move", "delete"}:
            raise Crash

    setattr(world.hooked[TWO], "after" if late else "before", die)
    with pytest.raises(Crash):
        world.run()
    world.reopen_state()
    setattr(world.hooked[TWO], "after" if late else "before", lambda _method, _key: None)

    assert world.run().exit_code == 0
    left = {key: text for key, text in TEN.items() if key not in {"k0", "k1"}}
    assert world.held(ONE) == world.held(TWO) == left | {"k2": "edited"}


@row(8)
def test_after_kill_9_the_next_run_goes_on_at_once_and_no_temporary_file_is_synced(desk: Desk) -> None:
    desk.configure()
    put(desk.one, {f"f{number}": "text" * number for number in range(8)})
    die_at_the_third_file = """
import itertools, os, signal, sys
from bisyncer.endpoints.aside import Asides
placed, place = itertools.count(1), Asides.place
def die(*words):
    os.kill(os.getpid(), signal.SIGKILL) if next(placed) == 3 else place(*words)
Asides.place = die
from bisyncer.cli.app import main
main(sys.argv[1:])
"""
    with desk.process("init", "cms", "--resync", program=["-c", die_at_the_third_file]) as process:
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert list(desk.two.glob(".bisyncer-*"))

    assert desk("run").code == 0

    assert held(desk.two) == held(desk.one)
    assert sorted(held(desk.one)) == [f"f{number}" for number in range(8)]


@row(9)
def test_pairs_of_roots_with_alike_names_share_nothing_and_a_pair_keeps_to_its_roots(tmp_path: Path) -> None:
    roots = [tmp_path / name for name in ("p/a/b", "p/a_b", "p/a b", "q/1", "q/2", "q/3")]
    for root in roots:
        root.mkdir(parents=True)
    (roots[0] / "only here").write_text("text")
    (roots[1] / "only there").write_text("another")
    state = Store.open(new_state(tmp_path))

    def run(name: str, one: Path, two: Path, *, resync: bool = False) -> Summary:
        job = Job(name, str(one), str(two), resync=resync)
        endpoints = pairing.open_pair(job, state)
        try:
            pairing.init(job, endpoints, state)
            return session.run(job, endpoints, state, Silent(), stop=threading.Event())
        finally:
            for endpoint in endpoints.values():
                endpoint.close()

    with closing(state):
        for resync in (True, False):
            summaries = [run(str(at), roots[at], roots[at + 3], resync=resync) for at in range(3)]
        assert [carried_out(summary) for summary in summaries] == [{}, {}, {}]
        with pytest.raises(UsageError, match="p/a/b"):
            run("0", roots[1], roots[3])

    for both in (roots[:3], roots[3:]):
        assert [[path.name for path in root.glob("[!.]*")] for root in both] == [
            ["only here"],
            ["only there"],
            [],
        ]


@row(10)
@pytest.mark.parametrize("side", Side)
def test_a_pair_of_one_file_can_be_edited_and_emptied_without_force(world: World, side: Side) -> None:
    world.align({"a": "text"})

    world.put(side, {"a": "edited"})
    assert world.run().outcome is RunOutcome.SUCCESS
    assert world.held(side.other) == {"a": "edited"}

    world.remove(side, "a")
    assert world.run().outcome is RunOutcome.SUCCESS
    assert world.held(side.other) == {}


@row(11)
def test_max_delete_counts_neither_renames_nor_what_both_sides_deleted_and_knows_percent_and_count(
    world: World,
) -> None:
    twenty = {f"k{number:02}": f"text {number}" for number in range(20)}
    world.align(twenty)
    for number in range(10):
        world.rename(ONE, f"k{number:02}", f"d/{number:02}")
    for side in Side:
        world.remove(side, *(f"k{number}" for number in range(15, 20)))
    assert world.run(limits=Limits(10.0, 0)).outcome is RunOutcome.SUCCESS

    world.remove(ONE, "d/01", "d/02", "d/03")
    for limits in (Limits(max_delete_percent=19.0), Limits(None, 2)):
        assert [halt.gate for halt in world.run(limits=limits).halts] == ["max-delete"]
    assert world.run(limits=Limits(20.0, 3)).outcome is RunOutcome.SUCCESS


@row(12)
def test_excluding_a_file_deletes_it_on_neither_side(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k0": "edited while excluded"})

    assert world.run(exclude=("k0", "k1")).exit_code == 0
    assert world.held(ONE) == TEN | {"k0": "edited while excluded"}
    assert world.held(TWO) == TEN

    assert world.run().exit_code == 0
    assert {*world.held(ONE).values()} == {*TEN.values(), "edited while excluded"}


@row(12)
def test_a_directory_that_is_marked_on_one_side_is_left_alone_on_both(world: World) -> None:
    world.align(TEN | {"d/a": "text"})
    world.put(ONE, {"d/.nosync": ""})
    world.remove(TWO, "d/a")

    assert world.run(exclude_if_present=".nosync").exit_code == 0

    assert world.held(ONE) == TEN | {"d/a": "text", "d/.nosync": ""}
    assert world.held(TWO) == TEN


@row(13)
def test_a_name_that_each_side_spells_in_its_own_way_is_told_and_not_doubled(world: World) -> None:
    summary = world.align({"\u00e9": "composed", "b": "text"}, {"e\u0301": "decomposed"})

    assert (summary.exit_code, len(summary.problems)) == (3, 2)
    assert (set(world.held(ONE)), set(world.held(TWO))) == ({"\u00e9", "b"}, {"e\u0301", "b"})


@row(13)
def test_names_of_one_side_that_fold_together_are_all_synced_where_the_other_tells_them_apart(
    world: World,
) -> None:
    names = {"Name": "1", "name": "22", "\u00e9": "333", "e\u0301": "4444"}

    assert world.align(names, {}).exit_code == 0
    assert world.held(TWO) == names


@row(14)
def test_a_conflict_keeps_the_name_for_one_version_also_where_the_rule_cannot_tell(world: World) -> None:
    for side, text in ((ONE, b"of one"), (TWO, b"of the two")):
        world.stores[side].put("a", text, mtime_ns=SECOND_NS)

    world.align({}, {})

    assert world.held(ONE) == world.held(TWO) == {"a": "of one", "a.conflict1": "of the two"}


@row(15)
def test_conflicts_are_listed_until_a_person_settles_them(world: World) -> None:
    world.align({"a": "of one"}, {"a": "of the two"})
    for _ in range(2):
        world.run()
        (conflict,) = world.conflicts()
        assert (conflict.key, conflict.kept_as) == ("a", "a.conflict1")

    world.resolve(conflict.id, "path1")

    assert world.conflicts() == []
    assert world.held(ONE) == world.held(TWO) == {"a": "of one"}


@row(16)
def test_a_file_against_a_directory_is_a_problem_of_that_key_and_everything_else_goes_on(
    tmp_path: Path, places: Places
) -> None:
    one, two = places("tree"), places("tree")
    with paired(tmp_path, one, two) as pair:
        pair.align()
        one.plant("x", b"a file here")
        two.plant("x/below", b"a directory there")
        one.plant("y", b"fine")
        for _ in range(2):
            summary = pair.run()
            assert summary.exit_code == 3
            assert {problem.key.split("/")[0] for problem in summary.problems} == {"x"}
        assert (one.read("x"), two.read("x/below")) == (b"a file here", b"a directory there")
        assert two.read("y") == b"fine"

        one.remove("x")
        assert pair.run().exit_code == 0
        assert pair.held() == {"x/below": b"a directory there", "y": b"fine"}


@row(17)
def test_equal_files_whose_times_differ_by_less_than_a_second_are_equal_at_the_first_resync(
    tmp_path: Path, places: Places
) -> None:
    one, two = places("tree"), places("tree")
    for number, place in enumerate((one, two)):
        place.plant("a", b"the same")
        os.utime(Path(place.root, "a"), ns=(SECOND_NS, SECOND_NS + number * 400_000_000))

    with paired(tmp_path, one, two) as pair:
        assert carried_out(pair.align()) == {"record": 1}
        assert carried_out(pair.run()) == {}


@row(18)
def test_a_run_asks_a_bucket_for_one_listing_per_thousand_keys_and_for_no_object(
    tmp_path: Path, places: Places
) -> None:
    tree, bucket = places("tree"), places("s3")
    tree.plant("d0/0", b"")
    with paired(tmp_path, tree, bucket, transfers=8) as pair:
        pair.align()
        asked: list[dict[str, int]] = []
        for more in (0, 1001):
            for number in range(more):
                tree.plant(f"d{number % 25}/{number}", b"")
            pair.run()
            pair.reopen()
            summary = pair.run()
            assert (carried_out(summary), summary.scanned[TWO]) == ({}, more or 1)
            asked.append(dict(summary.requests[TWO]))

    few, many = asked
    assert few["get"] == 1  # the seal
    assert many == few | {"list": few["list"] + 1}


@row(19)
def test_a_run_without_changes_takes_as_much_memory_for_100000_keys_as_for_20000(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bisyncer.engine.planning.KEYS", 4_000)
    monkeypatch.setattr("bisyncer.engine.lanes.LANES", 1)  # how many are at their peaks together is chance

    few, many = (peak_at_rest(tmp_path / str(number), number, monkeypatch) for number in (20_000, 100_000))

    assert many < 1.1 * few + 100_000


def peak_at_rest(folder: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """The most memory, in bytes, that a run holds which finds so many keys unchanged."""
    folder.mkdir()
    world = World(folder)
    world.align({})

    keys = [f"d{at // 100:06}/f{at % 100:02}" for at in range(number)]

    def scan(low: str = "", high: str | None = None) -> Iterator[Item]:
        end = number if high is None else bisect_left(keys, high)
        for at in range(bisect_left(keys, low), end):
            yield Entry(keys[at], 10, 0, "stamp")

    for side in Side:
        monkeypatch.setattr(world.hooked[side], "scan", scan)
    with closing(sqlite3.connect(folder / "state.db")) as connection, connection:
        connection.executemany(
            "INSERT INTO ancestor VALUES (1, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
            ((entry.key, *entry[1:4], *entry[1:4]) for entry in scan() if isinstance(entry, Entry)),
        )
    tracemalloc.start()
    try:
        assert (
            session.run(world.job, world.endpoints, world.state, Silent(), stop=world.stop).unchanged
            == number
        )
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        world.close()


@row(20)
def test_deletes_cost_as_many_steps_each_however_many_there_are(tmp_path: Path) -> None:
    few, some, many = (steps_of_deleting(tmp_path / str(n), n) for n in (400, 800, 1600))

    for one, two, four in zip(few, some, many, strict=True):
        assert four - two < 2.3 * (two - one)


def steps_of_deleting(folder: Path, number: int) -> tuple[int, int]:
    """Calls of the stores, and instructions of the database, for a run that deletes so many keys."""
    folder.mkdir()
    calls = [0]
    steps = [0]

    def connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.set_progress_handler(lambda: steps.__setitem__(0, steps[0] + 1), 100)

    event.listen(Engine, "connect", connected)
    world = World(folder)
    try:
        world.align({f"d{at % 10}/k{at:05}": "x" for at in range(2 * number)})
        world.remove(ONE, *(f"d{at % 10}/k{at:05}" for at in range(number)))
        for side in Side:
            world.hooked[side].before = lambda _method, _key: calls.__setitem__(0, calls[0] + 1)
        steps[0] = 0
        assert carried_out(world.run()) == {"delete-from-path2": number}
        return calls[0], steps[0]
    finally:
        event.remove(Engine, "connect", connected)
        world.close()


def test_every_row_has_a_test() -> None:
    assert sorted(proven) == list(range(1, 21))
