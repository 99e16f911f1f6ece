"""Gates that look at the roots before anything is listed, at either side of what they allow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bisyncer.engine import preflight
from bisyncer.job import Job
from bisyncer.model import Side
from tests.world import ONE, TWO, World

GUARD = ".here"


def closed(
    world: World, job: Job, *, mounted: dict[Side, bool | None] | None = None
) -> list[tuple[str, Side]]:
    """The gates that are closed, and the side that each tells of."""
    probes = preflight.probed(world.endpoints)
    for side, found in (mounted or {}).items():
        probes[side] = replace(probes[side], mounted=found)
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
