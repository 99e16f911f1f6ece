"""Gates that look at the roots before anything is listed, at either side of what they allow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bisyncer.endpoints.base import Probe
from bisyncer.engine import preflight
from bisyncer.engine.restore import Wanted, purge_trash, restore
from bisyncer.errors import Halted, Transient
from bisyncer.job import Job
from bisyncer.model import SEALS, Side
from tests.world import ONE, TWO, World

GUARD = ".here"


def closed(
    world: World, job: Job, *, mounted: dict[Side, bool | None] | None = None
) -> list[tuple[str, Side]]:
    """The gates that are closed, and the side that each tells of."""
    probes = preflight.probed(world.endpoints)
    for side, found in (mounted or {}).items():
        probes[side] = replace(probes[side], mount=None if found is None else "/mnt" if found else "/")
    halts = preflight.halts(job, world.endpoints, probes)
    return [(halt.gate, Side(halt.sentence.partition(" ")[0])) for halt in halts]


@pytest.mark.parametrize("side", Side)
def test_two_mounted_roots_pass_and_one_that_is_not_mounted_halts(side: Side, world: World) -> None:
    job = replace(world.job, require_mount=True)
    both: dict[Side, bool | None] = dict.fromkeys(Side, True)

    assert closed(world, job, mounted=both) == []
    assert closed(world, job, mounted=both | {side: False}) == [("mount", side)]
    assert closed(world, world.job, mounted={side: False}) == []


def test_a_bucket_needs_no_mount(world: World) -> None:
    assert closed(world, replace(world.job, require_mount=True), mounted={ONE: True, TWO: None}) == []


@pytest.mark.parametrize("side", Side)
def test_a_check_file_on_both_sides_passes_and_one_that_is_gone_halts(side: Side, world: World) -> None:
    job = replace(world.job, check_file=GUARD)
    world.put(ONE, {GUARD: ""})
    world.put(TWO, {GUARD: ""})
    assert closed(world, job) == []

    world.remove(side, GUARD)
    assert closed(world, job) == [("check-file", side)]
    assert closed(world, world.job) == []


def _resolve(world: World) -> None:
    world.resolve(world.conflicts()[0].id, "path1")


def _restore(world: World) -> None:
    restore(world.job, world.endpoints, world.state, Wanted("gone"))


def _purge(world: World) -> None:
    purge_trash(world.job, world.endpoints, world.state, before_ns=None)


@pytest.mark.parametrize("ask", [_resolve, _restore, _purge])
def test_what_a_person_asks_for_is_not_done_where_the_check_file_is_gone(
    ask: Callable[[World], None], world: World
) -> None:
    world.job = replace(world.job, check_file=GUARD)
    world.align({GUARD: "", "k": "x", "gone": "y"})
    world.put(ONE, {"k": "of one"})
    world.put(TWO, {"k": "of two"})
    world.remove(ONE, "gone")
    world.run()
    world.remove(TWO, GUARD)
    before = {side: world.stores[side].contents() for side in Side}

    with pytest.raises(Halted, match=r"path2 .* has no \.here.*or take check_file out of the config"):
        ask(world)

    assert {side: world.stores[side].contents() for side in Side} == before
    assert len(world.conflicts()) == 1
    world.put(TWO, {GUARD: ""})
    ask(world)
    assert {side: world.stores[side].contents() for side in Side} != before


def test_nothing_is_purged_from_a_root_that_is_another_place(world: World) -> None:
    world.align({"k": "x", "gone": "y"})
    world.remove(ONE, "gone")
    world.run()
    seal = next(key for key in world.stores[TWO].contents() if key.startswith(SEALS))
    world.remove(TWO, seal)

    with pytest.raises(Halted, match="by which bisyncer knows it") as halted:
        _purge(world)

    assert "--force" not in str(halted.value)

    assert list(world.trash(TWO).values()) == ["y"]


def test_a_version_is_restored_on_one_side_while_the_other_is_out_of_reach(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align({"k": "x", "gone": "y"})
    world.remove(ONE, "gone")
    world.run()

    def no_answer(*, scratch: bool = False) -> Probe:
        raise Transient(f"no answer, scratch {scratch}")

    monkeypatch.setattr(world.hooked[ONE], "probe", no_answer)
    restore(world.job, world.endpoints, world.state, Wanted("gone", TWO))

    assert world.held(TWO)["gone"] == "y"
