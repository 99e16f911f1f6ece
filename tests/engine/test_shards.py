"""A pair that is planned in many shards ends as one that is planned in one piece."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from multiprocessing.context import ForkProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bisyncer.cli.app import main
from bisyncer.endpoints.local import LocalEndpoint
from bisyncer.endpoints.outline import Folder
from bisyncer.engine import lanes, session
from bisyncer.engine.counting import InWork
from bisyncer.engine.planner import Draft, Planner
from bisyncer.engine.shards import WHOLE, Shard, apart, between, cut
from bisyncer.errors import Transient
from bisyncer.model import Item, RunOutcome, Unreadable, Verdict
from bisyncer.report.events import Scanned
from bisyncer.state.places import first_of
from tests.pair import paired
from tests.places import Tree
from tests.world import ONE, TWO, World, carried_out

MANY = {
    f"{folder}{name}": f"{folder} {name} " * 3
    for folder in ("", "k/", "k/m/", "k.x/", "z/")
    for name in "abcdefgh"
}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bisyncer.engine.planning.KEYS", 3)


def edit(world: World) -> None:
    """Change something in every part, on both sides."""
    world.put(ONE, {"a": "changed on one", "k/m/h": "changed", "new": "n", "z/z": "last"})
    world.put(TWO, {"k/b": "changed on two", "a": "and on two", "k.x/new": "n"})
    world.remove(ONE, "k/c", "z/h")
    world.remove(TWO, "k/m/a", "b")


@given(st.sets(st.text(min_size=1), max_size=9), st.text(min_size=1), st.text(min_size=1))
def test_the_shards_of_a_range_are_the_range_and_no_key_is_in_two(
    keys: set[str], low: str, high: str
) -> None:
    inside = sorted(key for key in keys if low < key < high)

    shards = list(cut(Shard(low, high), inside))

    assert [shards[0].low, *(shard.high for shard in shards)] == [
        low,
        *(shard.low for shard in shards[1:]),
        high,
    ]
    assert list(cut(WHOLE[0], [])) == [WHOLE[0]]


@given(st.lists(st.text("ab./", min_size=1), unique=True))
def test_a_cut_is_the_shortest_text_that_tells_two_keys_apart(keys: list[str]) -> None:
    places = list(pairwise(sorted(keys)))

    for (before, behind), cut_at in zip(places, apart(places, 1), strict=True):
        assert before < cut_at <= behind
        assert behind.startswith(cut_at)
        assert not any(before < cut_at[:end] for end in range(1, len(cut_at)))


def test_a_plan_in_shards_is_the_plan_of_one_piece(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.align(MANY)
    edit(world)
    shards = world.plan()

    monkeypatch.setattr("bisyncer.engine.planning.KEYS", 10_000)

    assert shards == world.plan()
    assert len(shards) == 10


def test_a_run_in_shards_does_all_and_the_next_one_has_nothing_to_do(world: World) -> None:
    world.align(MANY)
    edit(world)

    first = world.run()
    second = world.run()

    assert sum(carried_out(first).values()) == 10
    assert carried_out(second) == {}
    assert second.unchanged == second.scanned[ONE] == second.scanned[TWO] == len(world.held(ONE))
    assert world.held(ONE) == world.held(TWO)


def test_what_one_shard_cannot_read_is_told_though_the_shard_before_could(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align(MANY)
    world.put(TWO, {"k/m/h": "edited"})
    inner = world.hooked[ONE].inner

    def fail_at_times(low: str = "", high: str | None = None) -> list[Item]:
        items: list[Item] = list(inner.scan(low, high))
        if not "k/" < low < "k0":
            return items
        left = [item for item in items if not item[0].startswith("k/")]
        return [Unreadable("k/", "can't be listed: stale file handle"), *left]

    with monkeypatch.context() as patched:
        patched.setattr(world.hooked[ONE], "scan", fail_at_times)
        summary = world.run()

    assert (summary.outcome, summary.exit_code) == (RunOutcome.UNFINISHED, 3)
    assert [problem.key for problem in summary.problems] == ["k/"]
    assert world.run().outcome is RunOutcome.SUCCESS
    assert world.held(ONE) == world.held(TWO)


@pytest.mark.parametrize(
    ("recorded", "dry_run", "synced"), [(1, False, ["synced"] * 2), (0, False, []), (1, True, [])]
)
def test_what_a_process_read_or_listed_is_synced_before_the_run_records_it_and_only_then(
    world: World, monkeypatch: pytest.MonkeyPatch, recorded: int, dry_run: bool, synced: list[str]
) -> None:
    done: list[str] = []

    class Asked:
        marked = None

        def shard(self, *_: object, **__: object) -> Draft:
            done.append("planned")
            draft = Draft()
            draft.tally.verdicts[Verdict.RECORD] = recorded
            return draft

    for side in (ONE, TWO):
        monkeypatch.setattr(world.hooked[side], "flush", lambda: done.append("synced"))
    planners: dict[int, Any] = {1: Asked()}
    job = replace(world.job, dry_run=dry_run)
    born = lanes._Born(job, world.endpoints, world.state, InWork(), planners)
    monkeypatch.setattr(lanes, "_born", [born])

    lanes._in_process(lanes.Order(world.job.policy, 1, 1), [(0, WHOLE[0])])

    assert done == ["planned", *synced]


def test_each_shard_is_listed_from_its_first_key_to_its_last_and_every_key_once(world: World) -> None:
    world.align(MANY)
    listed: list[str] = []
    world.hooked[TWO].before = lambda method, key: listed.append(key) if method == "scan" and key else None

    world.run()

    assert sorted(listed) == sorted(MANY)


def test_the_keys_of_all_shards_are_told_as_one_number_that_grows(world: World) -> None:
    world.align(MANY)
    world.heard.events.clear()

    world.run()

    told = [each.keys for each in world.heard.events if isinstance(each, Scanned) and each.side is ONE]
    assert told == sorted(told)
    assert told[-1] == len(MANY)


def test_a_shard_that_fails_is_planned_again_alone(world: World) -> None:
    world.align(MANY)
    edit(world)
    failed: list[str] = []

    def fail_once(method: str, key: str) -> None:
        if method == "scan" and key == "k/m/d" and not failed:
            failed.append(key)
            raise RuntimeError("a shard's own trouble")

    world.hooked[TWO].before = fail_once
    summary = world.run()

    assert failed
    assert summary.outcome is RunOutcome.SUCCESS
    assert sum(carried_out(summary).values()) == 10


@pytest.mark.parametrize("failing", ["k/m/c", "k/m/d", "k/m/e"])
def test_the_keys_of_a_shard_that_is_planned_again_are_told_once(
    world: World, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    monkeypatch.setattr("bisyncer.engine.scan.BATCH", 1)
    monkeypatch.setattr("bisyncer.engine.scan.TOLD_EVERY", 1)
    world.align(MANY)
    world.heard.events.clear()
    failed: list[str] = []

    def fail_once(method: str, key: str) -> None:
        if method == "scan" and key == failing and not failed:
            failed.append(key)
            raise RuntimeError("a shard's own trouble")

    world.hooked[TWO].before = fail_once
    world.run()

    assert failed
    for side in (ONE, TWO):
        told = [each.keys for each in world.heard.events if isinstance(each, Scanned) and each.side is side]
        assert told[-1] == len(MANY)


@pytest.mark.parametrize("contents", [MANY, {"a": "all in one piece"}], ids=["many", "one"])
def test_a_shard_that_a_stop_ends_is_not_planned_again_nor_taken_for_one_that_failed(
    world: World, contents: dict[str, str]
) -> None:
    world.align(contents)
    world.put(ONE, {"a": "changed"})
    listed: list[str] = []

    def stop(method: str, key: str) -> None:
        if method == "scan" and key:
            listed.append(key)
            world.stop.set()
            raise Transient("the last of a pause that a stop cut short")

    world.hooked[TWO].before = stop
    summary = world.run()

    assert summary.outcome is RunOutcome.INTERRUPTED
    assert len(listed) == len(set(listed))


def test_a_shard_that_fails_twice_fails_the_run_and_nothing_is_changed(world: World) -> None:
    world.align(MANY)
    edit(world)
    before = world.held(ONE), world.held(TWO)

    def fail(method: str, key: str) -> None:
        if method == "scan" and key == "k/m/d":
            raise RuntimeError("for good")

    world.hooked[TWO].before = fail
    with pytest.raises(RuntimeError, match="for good"):
        world.run()

    assert (world.held(ONE), world.held(TWO)) == before


def test_a_place_that_reaches_into_several_shards_is_told_once(tmp_path: Path) -> None:
    with paired(tmp_path, Tree(tmp_path / "one"), Tree(tmp_path / "two")) as pair:
        plant(tmp_path / "one/tree", MANY)
        pair.init()
        pair.run(resync=True)
        (tmp_path / "one/tree/k/m").rename(tmp_path / "away")
        (tmp_path / "one/tree/k/m").symlink_to(tmp_path / "away")

        summary = pair.run()

    assert summary.skipped == 1


@pytest.fixture
def lows(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where each shard begins that is planned."""
    found = list[str]()

    def seen(planner: Planner, number: int, shard: Shard, *rest: Any, **named: Any) -> Draft:
        found.append(shard.low)
        return unseen(planner, number, shard, *rest, **named)

    unseen = Planner.shard
    monkeypatch.setattr(Planner, "shard", seen)
    return found


@pytest.mark.parametrize("shards", [1, 2, 7, 1000])
def test_a_run_is_cut_into_as_many_shards_as_asked_for(world: World, lows: list[str], shards: int) -> None:
    keys = [f"{number:02}" for number in range(28)]
    world.align(dict.fromkeys(keys, "1"))
    lows.clear()

    world.run(shards=shards)

    assert len(lows) == min(shards, len(keys))


def test_a_large_directory_of_a_tree_is_cut_less_often_than_many_small_ones(
    tmp_path: Path, lows: list[str]
) -> None:
    """Each shard reads all names of the directory that it has a part of."""
    with paired(tmp_path, Tree(tmp_path / "one"), Tree(tmp_path / "two")) as pair:
        plant(tmp_path / "one/tree", {f"flat/{number:02}": "" for number in range(90)})
        plant(tmp_path / "one/tree", {f"nested/{number:02}/one": "" for number in range(90)})
        pair.init()
        pair.run(resync=True)
        lows.clear()
        pair.run()

    assert sorted(low for low in lows if low.startswith("flat/")) == [
        "flat/03",
        "flat/18",
        "flat/33",
        "flat/48",
        "flat/63",
        "flat/78",
    ]
    assert len([low for low in lows if low.startswith("nested/")]) == 29


def test_actions_of_a_shard_that_is_planned_again_are_replaced(world: World) -> None:
    run = world.align({"a": "1"}).run
    some = [planned.action for planned in world.state.actions.planned(run)]

    world.state.actions.spool(run, some, first_of(7))
    world.state.drop_piece(run, 7)

    assert [each.action for each in world.state.actions.planned(run)] == some


def plant(root: Path, contents: dict[str, str]) -> None:
    for key, text in contents.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


# Runs the command line with small shards and two processes, and tells these. What is to happen to them:
#   all    each is killed at its first shard
#   one    one is killed at its first shard, and the other plans none before the run has planned that again
#   idle   one is killed before there is anything to do
#   stop   the run and they are told to stop while each of them is busy for ever
#   pool   they are those of another kind of executor
IN_PROCESSES = """
import multiprocessing, os, signal, sys
from concurrent.futures import ProcessPoolExecutor
from bisyncer.cli.app import main
from bisyncer.engine import lanes, planning
from bisyncer.engine.counting import Counting
from bisyncer.engine.forked import ForkedExecutor
from bisyncer.engine.planner import Planner

planning.KEYS, lanes.how_many = 3, lambda _keys: 2
run, what = os.getpid(), sys.argv.pop(1)
begin, forked, planned = ForkedExecutor.__init__, lanes._on_lane, Planner.shard
first, one = os.pipe()
os.set_blocking(first, False)
os.write(one, b"1")
took, gave = os.pipe()

def began(pool, *given):
    begin(pool, *given)
    numbers = [process.pid for process in pool._processes.values()]
    print(*numbers, file=sys.stderr)
    if what == "idle":
        os.kill(numbers[0], signal.SIGKILL)
        os.waitid(os.P_PID, numbers[0], os.WEXITED | os.WNOWAIT)

def another(number, initializer):
    pool = ProcessPoolExecutor(number, multiprocessing.get_context("fork"), initializer)
    pool.submit(int).result()
    print(*pool._processes, file=sys.stderr)
    return pool

if what == "pool":
    lanes.ForkedExecutor = another

def is_first():
    try:
        return os.read(first, 1)
    except BlockingIOError:
        return b""

def on_lane(*given):
    if os.getpid() != run:
        if what == "all" or (what == "one" and is_first()):
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "stop" and is_first():
            os.killpg(0, signal.SIGTERM)
        if what in ("one", "stop"):
            os.read(took, 1)
    return forked(*given)

def again(*given, **named):
    draft = planned(*given, **named)
    if os.getpid() == run:
        os.write(gave, bytes(99))
    return draft

end = Counting.end

def ended(counting, shard, scanned):
    listed = all(counting._in_work.keys(side) >= keys for side, keys in scanned.items())
    print("seen" if listed else "unseen", file=sys.stderr)
    end(counting, shard, scanned)

ForkedExecutor.__init__, lanes._on_lane, Planner.shard, Counting.end = began, on_lane, again, ended
main(sys.argv[1:])
"""


class Trees(NamedTuple):
    """Two aligned trees, and how their pair is run in two processes."""

    one: Path
    two: Path
    config: Path

    def run(self, *how: str, what: str = "", exit_code: int = 0) -> tuple[dict[str, Any], list[int]]:
        """The report of a run, and the numbers of the processes that it had, to which `what` happened."""
        said, born = self.command("run", "p", "--json", *how, what=what, exit_code=exit_code)
        return json.loads(said), born

    def command(self, *words: str, what: str = "", exit_code: int = 0) -> tuple[bytes, list[int]]:
        """What a command says, and the numbers of the processes that it had, to which `what` happened.

        What each of them lists is seen by the run before it has ended a shard.
        """
        said = subprocess.run(
            [
                *(sys.executable, "-c", IN_PROCESSES, what, *words),
                *("--log-format", "json", "--config", str(self.config)),
            ],
            capture_output=True,
            check=False,
            timeout=60,
            start_new_session=True,
        )
        assert said.returncode == exit_code, said.stderr
        born = [int(word) for line in said.stderr.splitlines() if line[:1].isdigit() for word in line.split()]
        assert not any(Path(f"/proc/{pid}").exists() for pid in born)
        assert b"unseen" not in said.stderr
        return said.stdout, born


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    one, two = tmp_path / "one", tmp_path / "two"
    plant(one, MANY)
    two.mkdir()
    config = tmp_path / "bisyncer.toml"
    config.write_text(
        f'state = "sqlite:///{tmp_path}/state.db"\n[pairs.p]\npath1 = "{one}"\npath2 = "{two}"\n'
    )
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["init", "p", "--resync", "--quiet", "--config", str(config)])
    return Trees(one, two, config)


@given(st.lists(st.integers(0, 9)), st.integers(1, 12))
def test_folders_are_cut_into_shards_of_so_many_keys_or_of_one_folder(sizes: list[int], keys: int) -> None:
    folders = [Folder(f"{number:04}/", size) for number, size in enumerate(sizes)]

    shards = list(cut(*WHOLE, between(folders, keys)))
    held = [
        [
            each.keys
            for each in folders
            if shard.low <= each.key and (shard.high is None or each.key < shard.high)
        ]
        for shard in shards
    ]

    assert [size for some in held for size in some] == sizes
    assert all(sum(some) <= keys or len(some) == 1 for some in held if any(some))


@given(st.sets(st.text("abkmz./", min_size=1), max_size=9))
@settings(max_examples=30)
def test_wherever_a_first_alignment_is_cut_its_plan_is_that_of_one_piece(places: set[str]) -> None:
    with (
        TemporaryDirectory() as folder,
        closing(World(Path(folder))) as world,
        pytest.MonkeyPatch.context() as patch,
    ):
        world.put(ONE, MANY)
        world.put(TWO, {**MANY, "k/b": "another", "k.x/new": "n"})
        world.remove(TWO, "k/c", "z/h")
        world.init()
        one_piece = world.plan(resync=True)
        patch.setattr(session, "outlined", lambda _: [Folder(key, 3) for key in sorted(places)])

        assert world.plan(resync=True) == one_piece
        assert len(one_piece) > len(MANY) - 3


def test_a_tree_is_outlined_by_the_folders_that_hold_no_other(tmp_path: Path) -> None:
    plant(tmp_path, MANY | {f"wide/{number:03}/x": "" for number in range(5)})

    with closing(LocalEndpoint(str(tmp_path), owner="0a1b2c3d")) as endpoint:
        assert [each.key for each in endpoint.outline()] == [
            "k.x/",
            "k/m/",
            *(f"wide/{number:03}/" for number in range(5)),
            "z/",
        ]


@pytest.mark.parametrize("what", ["", "all", "one", "idle"])
def test_processes_plan_a_first_alignment_too_whatever_happens_to_them(trees: Trees, what: str) -> None:
    for file in trees.config.parent.glob("state.db*"):
        file.unlink()

    said, born = trees.command("init", "p", "--resync", what=what)
    again, _ = trees.run()

    assert len(born) == 2, said
    assert again["unchanged"] == len(MANY)


def test_processes_plan_what_one_plans_and_are_gone_when_the_run_is(trees: Trees) -> None:
    plant(trees.one, {"a": "changed on one", "new": "n"})
    plant(trees.two, {"k/b": "changed on two", "z/z": "last"})
    (trees.one / "k/c").unlink()

    first, born = trees.run()
    again, _ = trees.run()

    assert len(born) == 2
    assert sum(first["actions"].values()) == 5
    assert first["scanned"] == {"path1": len(MANY), "path2": len(MANY) + 1}
    assert sum(again["actions"].values()) == 0
    assert again["unchanged"] == len(MANY) + 1


@pytest.mark.parametrize("what", ["all", "one", "idle"])
def test_a_process_that_is_killed_leaves_its_shards_to_the_run(trees: Trees, what: str) -> None:
    plant(trees.one, {"a": "changed", "k/m/f": "changed"})

    report, born = trees.run(what=what)

    assert len(born) == 2
    assert report["outcome"] == "success"
    assert report["unchanged"] == len(MANY) - 2
    assert sum(report["actions"].values()) == 2
    assert (trees.two / "k/m/f").read_text() == "changed"


def test_another_kind_of_executor_plans_them_too(trees: Trees) -> None:
    plant(trees.one, {"a": "changed", "k/m/f": "changed"})

    report, born = trees.run(what="pool")

    assert len(born) == 2
    assert report["unchanged"] == len(MANY) - 2
    assert sum(report["actions"].values()) == 2


def fail() -> None:
    raise RuntimeError("it can't begin")


def test_an_executor_that_is_broken_leaves_all_to_the_run() -> None:
    with ThreadPoolExecutor(1, initializer=fail) as pool:
        found = list(lanes._carried_out(pool, str, range(9), 2, lambda: None))

    assert sorted(found) == [(number, None) for number in range(9)]


def test_a_run_that_is_told_to_stop_waits_for_no_process(trees: Trees) -> None:
    plant(trees.one, {"a": "changed"})

    report, born = trees.run(what="stop", exit_code=143)

    assert len(born) == 2
    assert report["outcome"] == "interrupted"
    assert (trees.two / "a").read_text() == MANY["a"]


def test_what_processes_find_is_told_and_counted_by_the_run(trees: Trees) -> None:
    (trees.one / "link").symlink_to("a")
    plant(trees.one, {"k/skip-me": "", "k/a": "changed, and left alone"})

    report, born = trees.run("--exclude-if-present", "skip-me")

    assert len(born) == 2
    assert report["skipped"] == 1
    assert (trees.two / "k/a").read_text() == MANY["k/a"]


def test_where_no_process_can_be_forked_the_run_plans_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: ForkProcess) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(ForkProcess, "start", refuse)
    monkeypatch.setattr("threading.active_count", lambda: 1)
    monkeypatch.setattr(lanes, "how_many", lambda _keys: 2)
    with paired(tmp_path, Tree(tmp_path / "one"), Tree(tmp_path / "two")) as pair:
        pair.init()
        known = pair.state.pair("p")
        assert known is not None
        with lanes.processes(pair.job, pair.endpoints, pair.state, known, 10**6) as forked:
            assert forked is None
