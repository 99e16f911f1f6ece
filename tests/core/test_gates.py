"""Gates that look at the plan's counts, at X and at X + 1."""

from __future__ import annotations

from typing import Any

import pytest

from bisyncer.core.gates import BLOCK_BYTES, MARGIN_BYTES, Place, judge
from bisyncer.job import Evidence, Limits, Policy, Resolve
from bisyncer.model import Mode, Side, Tally, Verdict

DELETE = {Side.PATH1: Verdict.DELETE_FROM_PATH1, Side.PATH2: Verdict.DELETE_FROM_PATH2}


def tally(ancestors: int = 100, *, scanned: int = 100) -> Tally:
    made = Tally(ancestors=ancestors)
    made.scanned = dict.fromkeys(Side, scanned)
    return made


def closed(counts: Tally, limits: Limits | None = None, mode: Mode = Mode.BISYNC) -> list[str]:
    return [halt.gate for halt in judge(counts, limits or Limits(), mode)]


def test_a_quiet_plan_passes_every_gate() -> None:
    assert closed(tally()) == []


@pytest.mark.parametrize("side", Side)
def test_deletions_up_to_the_percentage_pass_and_one_more_halts(side: Side) -> None:
    counts = tally()
    counts.verdicts[DELETE[side]] = 50
    assert closed(counts) == []

    counts.verdicts[DELETE[side]] = 51
    assert closed(counts) == ["max-delete"]


def test_deletions_are_counted_for_each_side_alone() -> None:
    counts = tally()
    counts.verdicts[Verdict.DELETE_FROM_PATH1] = 40
    counts.verdicts[Verdict.DELETE_FROM_PATH2] = 40

    assert closed(counts) == []


@pytest.mark.parametrize("side", Side)
def test_deletions_up_to_the_count_pass_and_one_more_halts(side: Side) -> None:
    limits = Limits(max_delete_percent=None, max_delete_count=7)
    counts = tally()
    counts.verdicts[DELETE[side]] = 7
    assert closed(counts, limits) == []

    counts.verdicts[DELETE[side]] = 8
    assert closed(counts, limits) == ["max-delete"]


def test_of_a_percentage_and_a_count_the_lower_holds() -> None:
    counts = tally()
    counts.verdicts[Verdict.DELETE_FROM_PATH1] = 30

    assert closed(counts, Limits(max_delete_percent=20, max_delete_count=1000)) == ["max-delete"]
    assert closed(counts, Limits(max_delete_percent=90, max_delete_count=10)) == ["max-delete"]
    assert closed(counts, Limits(max_delete_percent=90, max_delete_count=1000)) == []


def test_a_count_holds_below_the_floor_too() -> None:
    counts = tally(ancestors=3)
    counts.verdicts[Verdict.DELETE_FROM_PATH1] = 2

    assert closed(counts, Limits(max_delete_count=1)) == ["max-delete"]


@pytest.mark.parametrize("side", Side)
def test_the_guards_about_a_whole_side_look_from_ten_keys_up(side: Side) -> None:
    for ancestors, gates in ((9, []), (10, ["emptied", "max-delete"])):
        counts = tally(ancestors, scanned=ancestors)
        counts.scanned[side] = 0
        counts.verdicts[DELETE[side.other]] = ancestors

        assert closed(counts) == gates


@pytest.mark.parametrize("side", Side)
def test_a_side_that_lists_nothing_halts_and_one_that_lists_a_key_passes(side: Side) -> None:
    counts = tally()
    counts.scanned[side] = 1
    assert closed(counts) == []

    counts.scanned[side] = 0
    assert closed(counts) == ["emptied"]


@pytest.mark.parametrize("side", Side)
def test_all_keys_changed_halts_and_all_but_one_passes(side: Side) -> None:
    counts = tally()
    counts.changed[side] = 99
    assert closed(counts) == []

    counts.changed[side] = 100
    assert closed(counts) == ["all-changed"]


def test_a_pair_of_one_file_may_be_edited_and_emptied_without_force() -> None:
    edited = tally(1, scanned=1)
    edited.changed[Side.PATH1] = 1
    emptied = tally(1, scanned=0)
    emptied.verdicts[Verdict.DELETE_FROM_PATH2] = 1

    assert closed(edited) == closed(emptied) == []


def test_nothing_is_guarded_where_there_are_no_ancestors() -> None:
    assert closed(tally(0, scanned=0)) == []


def test_all_closed_gates_are_told_and_force_opens_only_those_it_names() -> None:
    counts = tally()
    counts.scanned[Side.PATH1] = 0
    counts.verdicts[Verdict.DELETE_FROM_PATH2] = 100

    assert closed(counts) == ["emptied", "max-delete"]
    assert closed(counts, Limits(force=frozenset({"emptied"}))) == ["max-delete"]
    assert closed(counts, Limits(force=frozenset({"emptied", "max-delete"}))) == []


def test_a_halt_names_the_side_the_count_the_limit_and_the_force() -> None:
    counts = tally()
    counts.verdicts[Verdict.DELETE_FROM_PATH2] = 51

    (halt,) = judge(counts, Limits(), Mode.BISYNC)

    for word in ("51 of 100", "path2", "50%", "--force max-delete", "Nothing was changed"):
        assert word in halt.sentence


EMPTIED = {Mode.BISYNC: [*Side], Mode.MIRROR: [Side.PATH1], Mode.COPY: [Side.PATH1], Mode.DUAL_COPY: []}


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("mode", Mode)
def test_an_emptied_side_halts_where_its_loss_would_be_followed(mode: Mode, side: Side) -> None:
    counts = tally()
    counts.scanned[side] = 0

    assert closed(counts, mode=mode) == (["emptied"] if side in EMPTIED[mode] else [])


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("mode", Mode)
def test_a_side_that_changed_all_over_halts_where_it_is_believed(mode: Mode, side: Side) -> None:
    counts = tally()
    counts.changed[side] = 100

    believed = side is Side.PATH1 or mode in {Mode.BISYNC, Mode.DUAL_COPY}
    assert closed(counts, mode=mode) == (["all-changed"] if believed else [])


def test_a_mirror_that_has_nothing_recorded_measures_deletions_by_what_path2_holds() -> None:
    counts = tally(ancestors=0)
    counts.verdicts[Verdict.DELETE_FROM_PATH2] = 50
    assert closed(counts, mode=Mode.MIRROR) == []

    counts.verdicts[Verdict.DELETE_FROM_PATH2] = 51
    assert closed(counts, mode=Mode.MIRROR) == ["max-delete"]


def test_what_is_said_of_an_emptied_side_opens_only_gates_that_can_close() -> None:
    counts = tally()
    counts.scanned[Side.PATH1] = 0

    (mirror,), (copy,) = (judge(counts, Limits(), mode) for mode in (Mode.MIRROR, Mode.COPY))

    assert "--force emptied --force max-delete" in mirror.sentence
    assert "--force emptied, or" in copy.sentence


def closed_about(counts: Tally, policy: Policy | None = None, **place: Any) -> list[str]:
    """The sentences of the gates about path2's store."""
    places = {Side.PATH1: Place("file:///one"), Side.PATH2: Place("file:///two", **place)}
    return [halt.sentence for halt in judge(counts, Limits(), Mode.BISYNC, places, policy or Policy())]


@pytest.mark.parametrize(("keeps", "needed"), [(True, 1000), (False, 400)])
def test_copies_that_find_room_pass_and_one_byte_less_halts(keeps: bool, needed: int) -> None:
    counts = tally()
    counts.verdicts[Verdict.COPY_TO_PATH2] = 3
    counts.size[Side.PATH2], counts.replaced[Side.PATH2] = 1000, 600
    enough = needed + 3 * BLOCK_BYTES + MARGIN_BYTES

    assert closed_about(counts, free_bytes=enough, keeps=keeps) == []
    [sentence] = closed_about(counts, free_bytes=enough - 1, keeps=keeps)
    assert f"{enough:,} bytes are needed on path2" in sentence
    assert f"{enough - 1:,} are free" in sentence
    assert "--force free-space" in sentence


def test_a_full_side_to_which_nothing_is_copied_passes() -> None:
    counts = tally()
    counts.verdicts[Verdict.DELETE_FROM_PATH2] = 3

    assert closed_about(counts, free_bytes=0) == []


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    "policy",
    [
        Policy(conflict_resolve=Resolve.NEWER),
        Policy(conflict_resolve=Resolve.OLDER),
        Policy(conflict_resolve=Resolve.PATH1, resync_mode=Resolve.NEWER),
        Policy(compare=frozenset({Evidence.MTIME})),
    ],
)
def test_a_clock_that_is_as_far_off_as_allowed_passes_and_one_nanosecond_more_halts(
    policy: Policy, sign: int
) -> None:
    counts = tally()
    counts.verdicts[Verdict.CONFLICT] = 1
    limit = Limits().max_skew_ns
    assert limit is not None

    assert closed_about(counts, policy, skew_ns=sign * limit) == []
    [sentence] = closed_about(counts, policy, skew_ns=sign * (limit + 1))
    assert f"900 s {'ahead of' if sign > 0 else 'behind'} this host's" in sentence
    assert "--force clock-skew" in sentence


def test_a_clock_is_let_be_where_no_time_decides() -> None:
    conflicts = tally()
    conflicts.verdicts[Verdict.CONFLICT] = 1
    hour = 3600 * 10**9

    assert closed_about(tally(), skew_ns=hour) == []
    assert closed_about(conflicts, Policy(conflict_resolve=Resolve.LARGER), skew_ns=hour) == []
    assert closed_about(conflicts, Policy(resync_mode=Resolve.PATH1), skew_ns=hour) == []
    assert closed_about(conflicts, skew_ns=None) == []
