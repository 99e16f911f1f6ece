"""`strict`; gates about what a store tells of itself; a store that is gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bisyncer.endpoints.base import Probe
from bisyncer.errors import Gone, Rejected, Transient
from bisyncer.job import Limits
from bisyncer.model import RunOutcome, Side, Summary
from bisyncer.report.console import summary_line
from bisyncer.report.events import Acted
from bisyncer.report.jsonl import as_json
from tests.world import ONE, TWO, World

SIX = {f"k{number}": "x" * (number + 1) for number in range(6)}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def refuse(world: World, *bad: str) -> None:
    """Let path2 take every key but these."""

    def deny(method: str, key: str) -> None:
        if method == "write" and key in bad:
            raise Rejected(f"{key}: access denied")

    world.hooked[TWO].before = deny


def test_a_strict_run_stops_at_the_first_problem_and_keeps_what_is_done(world: World) -> None:
    world.align({})
    world.put(ONE, SIX)
    refuse(world, "k2")

    summary = world.run(strict=True, transfers=1)

    assert (summary.outcome, summary.exit_code) == (RunOutcome.INTERRUPTED, 3)
    assert [problem.key for problem in summary.problems] == ["k2"]
    assert {"k0", "k1"} <= set(world.held(TWO)) < set(SIX)
    assert summary.sentence is not None
    assert "strict" in summary.sentence
    assert summary.sentence in summary_line(summary)
    assert as_json(summary)["sentence"] == summary.sentence
    assert world.plan() == [
        f"copy-to-path2 {key} (new / absent)" for key in SIX if key not in world.held(TWO)
    ]


def test_a_strict_run_that_stopped_is_no_good_run_and_ends_no_problem_of_a_key_that_it_never_came_to(
    world: World,
) -> None:
    world.align({})
    world.put(ONE, SIX)
    refuse(world, *SIX)
    assert world.run().exit_code == 3
    pair = world.state.pair("p")
    assert pair is not None
    good = world.state.runs.last_good(pair.id)
    refuse(world, "k0")

    world.run(strict=True, transfers=1)

    assert world.state.runs.last_good(pair.id) == good
    left = set(SIX) - set(world.held(TWO))
    assert len(left) > 2
    assert {each.key for each in world.state.problems.told("p")} == left


@pytest.mark.parametrize("strict", [True, False])
def test_once_the_key_is_mended_the_next_run_does_the_rest(world: World, strict: bool) -> None:
    world.align({})
    world.put(ONE, SIX)
    refuse(world, "k2")
    assert world.run(strict=strict).exit_code == 3
    world.hooked[TWO].before = lambda _method, _key: None

    assert world.run(strict=strict).exit_code == 0

    assert world.held(TWO) == SIX
    assert world.state.problems.told("p") == []


def test_a_problem_that_the_plan_finds_halts_a_strict_run_before_any_change(world: World) -> None:
    world.hooked[TWO].tree = True
    world.align({})
    world.put(ONE, {"a//b": "no tree can hold this", "c": "text"})

    summary = world.run(strict=True)

    assert (summary.outcome, summary.exit_code) == (RunOutcome.HALTED, 5)
    [halt] = summary.halts
    assert halt.gate == "strict"
    assert "1 key has a problem" in halt.sentence
    assert "'a//b'" in halt.sentence
    assert world.held(TWO) == {}
    assert world.run().exit_code == 3
    assert world.held(TWO) == {"c": "text"}


def probed(world: World, monkeypatch: pytest.MonkeyPatch, side: Side, **found: Any) -> None:
    """Let the store of a side tell these numbers of itself."""
    probe = world.hooked[side].inner.probe()

    def tell(*, scratch: bool = False) -> Probe:
        return replace(probe, **found)

    monkeypatch.setattr(world.hooked[side], "probe", tell)


def halted(summary: Summary) -> list[str]:
    assert (summary.outcome, summary.exit_code) == (RunOutcome.HALTED, 5)
    return [halt.gate for halt in summary.halts]


def test_a_side_without_room_halts_before_the_first_change_and_force_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align({})
    world.put(ONE, SIX)
    probed(world, monkeypatch, TWO, free_bytes=1000)

    assert halted(world.run()) == ["free-space"]
    assert world.held(TWO) == {}

    assert world.run(limits=Limits(force=frozenset({"free-space"}))).exit_code == 0
    assert world.held(TWO) == SIX


def test_a_clock_that_is_far_off_halts_a_run_with_conflicts_and_force_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align({"k": "text"})
    probed(world, monkeypatch, TWO, skew_ns=1000 * 10**9)
    world.put(ONE, {"k": "of one"})
    assert world.run().exit_code == 0
    world.put(ONE, {"k": "of one, again"})
    world.put(TWO, {"k": "of two"})

    assert halted(world.run()) == ["clock-skew"]
    assert world.run(limits=Limits(max_skew_ns=1000 * 10**9)).exit_code == 0
    assert len(world.conflicts()) == 1


def test_a_store_that_is_gone_is_told_once_and_not_for_each_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align({})
    world.put(ONE, {f"n{number:03}": "x" * (number + 1) for number in range(100)})
    tried: set[str] = set()

    def vanish(method: str, key: str) -> None:
        if method == "write":
            tried.add(key)
            raise Transient("connection refused")

    def no_answer(*, scratch: bool = False) -> Probe:
        if tried:
            raise Transient("connection refused")
        return world.hooked[TWO].inner.probe(scratch=scratch)

    world.hooked[TWO].before = vanish
    monkeypatch.setattr(world.hooked[TWO], "probe", no_answer)
    with pytest.raises(Gone, match="wait for the next run"):
        world.run()

    assert len(tried) <= 3 * world.job.transfers
    assert [event for event in world.heard.events if isinstance(event, Acted)] == []
    assert world.state.problems.told("p") == []
    world.hooked[TWO].before = lambda _method, _key: None
    tried.clear()
    assert world.run().exit_code == 0
    assert len(world.held(TWO)) == 100


def test_a_store_that_is_gone_at_the_only_key_is_told_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align({})
    world.put(ONE, {"n": "text"})
    gone = False

    def vanish(method: str, _key: str) -> None:
        nonlocal gone
        if method == "write":
            gone = True
            raise Transient("connection refused")

    def answer(*, scratch: bool = False) -> Probe:
        if gone:
            raise Transient("connection refused")
        return world.hooked[TWO].inner.probe(scratch=scratch)

    world.hooked[TWO].before = vanish
    monkeypatch.setattr(world.hooked[TWO], "probe", answer)

    with pytest.raises(Gone):
        world.run()
