"""`bisyncer bench`."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bisyncer.core.trash import LOW
from bisyncer.endpoints import memory
from bisyncer.endpoints.base import Source
from bisyncer.endpoints.local import LocalEndpoint
from bisyncer.engine import bench
from bisyncer.engine.bench import Figures, Judgement, judged
from bisyncer.engine.pairing import open_pair
from bisyncer.errors import Interrupted, Leased, Transient
from bisyncer.model import Entry
from bisyncer.report.events import Silent
from bisyncer.state.lease import Lease
from tests.desk import Desk, held
from tests.world import ONE, TWO, World


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "LARGE_BYTES", 3 << 20)
    monkeypatch.setattr(bench, "SMALL_FILES", 20)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def measured(world: World) -> Figures:
    found = bench.bench(world.job, world.endpoints, world.state, Silent(), sla_s=60, stop=threading.Event())
    assert isinstance(found, Figures), found
    return found


def test_a_pair_is_measured_and_no_key_is_changed(desk: Desk) -> None:
    desk.align(files=12)
    (desk.one / "later.txt").write_text("not synced yet")

    answer = desk("bench", "cms", "--json")

    assert answer.code == 0, answer
    found = answer.json
    assert found["keys"] == {"path1": 13, "path2": 12}
    assert (found["verdict"], found["failed"]) == ("sufficient", 0)
    names = ("WALK_TIME_S", "LIST_TIME_S", "RECONCILE_S", "UPLOAD_MBPS", "SMALL_FILES_PER_S")
    assert all(found[name] > 0 for name in names)
    assert "later.txt" not in held(desk.two)
    assert list(desk.two.rglob("*bench*")) == []


def test_a_pair_that_cannot_keep_to_its_time_is_to_be_escalated(desk: Desk) -> None:
    desk.align(files=1)

    answer = desk("bench", "cms", "--sla", "1ms")

    assert answer.code == 1
    assert answer.lines[-1].startswith("verdict            escalate, of 0.001 s:")


def test_a_run_is_judged_by_half_of_its_time_and_by_all_of_it() -> None:
    assert [judged(reconcile_s, 60) for reconcile_s in (30, 30.1, 60, 60.1)] == [
        Judgement.SUFFICIENT,
        Judgement.MONITOR,
        Judgement.MONITOR,
        Judgement.ESCALATE,
    ]


@pytest.mark.parametrize("sla", ["soon", "0s"])
def test_no_time_at_all_is_refused(desk: Desk, sla: str) -> None:
    desk.align()

    answer = desk("bench", "cms", "--sla", sla)

    assert answer.code == 2
    assert answer.err.count("\n") == 1


def test_a_pair_that_was_never_aligned_is_told_to_be(desk: Desk) -> None:
    desk.configure()

    answer = desk("bench", "cms")

    assert answer.code == 7
    assert "init cms --resync" in answer.err


def test_a_run_that_max_duration_ended_is_not_judged(desk: Desk) -> None:
    desk.align(files=3)

    answer = desk("bench", "cms", "--max-duration", "0.001ms")

    assert (answer.code, answer.out) == (3, "")
    assert answer.err == (
        "bisyncer: cms: The run that was to be timed was ended by max_duration, so there is no verdict.\n"
    )


def test_a_run_that_was_halted_is_not_judged(desk: Desk) -> None:
    desk.align(files=3)
    shutil.rmtree(desk.one)
    desk.one.mkdir()

    answer = desk("bench", "cms", "--json")

    assert (answer.code, answer.out) == (5, "")
    assert answer.err.endswith(", so there is no verdict.\n")
    assert "The run that was to be timed was halted by identity" in answer.err


def test_of_a_bucket_that_is_listed_what_a_run_lists(world: World) -> None:
    world.job = replace(world.job, exclude=("*.tmp",))
    world.align({"a": "1", "b": "1", "c.tmp": "1"})
    old = [f"{LOW}20261125T080000Z-42/{number:04}" for number in range(2000)]
    world.put(TWO, dict.fromkeys(old, "1"))
    listed: list[str] = []
    world.hooked[TWO].before = lambda method, key: listed.append(key) if method == "scan" else None

    found = measured(world)

    assert found.keys == {ONE: 2, TWO: 2}
    assert listed.count("c.tmp") == 2, "by the run, and by itself"
    assert old[-1] not in listed


def test_a_write_that_is_too_many_is_repeated(world: World) -> None:
    world.align({"a": "1"})
    refused = {"write": 3, "delete": 3}

    def throttle(method: str, key: str) -> None:
        if key.startswith(LOW) and refused.get(method):
            refused[method] -= 1
            raise Transient(f"{key}: too many requests.", throttled=True)

    world.hooked[TWO].before = throttle

    found = measured(world)

    assert found.small_files_per_s > 0
    assert found.failed == 6
    assert refused == {"write": 0, "delete": 0}
    assert world.trash(TWO) == {}


def test_who_reads_the_figures_is_told_that_requests_failed_meanwhile(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.align(files=1)
    write = LocalEndpoint.write
    failing = [Transient("busy")]

    def fail_once(self: LocalEndpoint, key: str, source: Source, *, expect: Entry | None) -> Entry:
        if key.startswith(LOW) and failing:
            raise failing.pop()
        return write(self, key, source, expect=expect)

    monkeypatch.setattr(LocalEndpoint, "write", fail_once)

    assert desk("bench", "cms").lines[-2] == (
        "failed                      1  requests, for a while: the pauses were timed too"
    )


def test_a_stop_is_heard_while_it_sends_and_what_was_sent_is_deleted(world: World) -> None:
    world.align({"a": "1"})
    stop = threading.Event()
    begun: list[str] = []

    def tell(method: str, key: str) -> None:
        if method == "write" and "small" in key:
            begun.append(key)
            if len(begun) == 3:
                stop.set()

    world.hooked[TWO].before = tell

    with pytest.raises(Interrupted):
        bench.bench(world.job, world.endpoints, world.state, Silent(), sla_s=60, stop=stop)

    assert len(begun) < bench.SMALL_FILES
    assert world.trash(TWO) == {}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_after_its_run_tells_by_its_code_which_signal_it_was(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    desk.align(files=1)
    list_one = bench._list

    def stopped(*arguments: Any) -> None:
        os.kill(os.getpid(), number)
        list_one(*arguments)

    monkeypatch.setattr(bench, "_list", stopped)

    answer = desk("bench", "cms")

    assert (answer.code, answer.out) == (code, "")
    assert answer.err.endswith("bisyncer: cms: Stopped by a signal; no key was changed.\n")


def test_with_a_backup_dir_it_is_path2_that_is_sent_to(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.job = replace(world.job, backup_dir2=f"memory://apart-{world.number}")
    world.endpoints = open_pair(world.job, world.state)
    world.align({"a": "1"})
    sent: list[str] = []
    put_if = world.stores[TWO].put_if

    def seen(key: str, data: bytes, source: Source, *, expect: Entry | None) -> Entry:
        sent.append(key)
        return put_if(key, data, source, expect=expect)

    monkeypatch.setattr(world.stores[TWO], "put_if", seen)

    measured(world)
    memory.discard(f"apart-{world.number}")

    assert len(sent) == 21
    assert world.trash(TWO) == {}


def test_a_pair_that_another_run_holds_is_not_even_listed(world: World) -> None:
    world.align({"a": "1"})
    pair = world.state.pair("p")
    assert pair is not None
    asked: list[str] = []
    for side in (ONE, TWO):
        world.hooked[side].before = lambda method, _key: asked.append(method)

    with Lease.take(world.state, pair), pytest.raises(Leased):
        measured(world)

    assert asked == []
