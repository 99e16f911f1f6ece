"""The decision tables, in every cell of every mode."""

from __future__ import annotations

from itertools import product

import pytest

from bisyncer.core import decide as deciding
from bisyncer.core.decide import BOTH_SIDES, COLUMNS, TABLES, decide, meaning
from bisyncer.model import Agreement, Delta, Mode, Side, Verdict

ALL = list(product(Delta, Delta))
PRESENT = {Delta.NEW, Delta.UNCHANGED, Delta.TOUCHED, Delta.CHANGED}
RECORDED = {Delta.UNCHANGED, Delta.TOUCHED, Delta.CHANGED, Delta.DELETED}
FRESH = {Delta.NEW, Delta.TOUCHED, Delta.CHANGED}
DELETIONS = {Verdict.DELETE_FROM_PATH1, Verdict.DELETE_FROM_PATH2}
TWO_WAYS = [Mode.BISYNC, Mode.DUAL_COPY]
ONE_WAY = [Mode.MIRROR, Mode.COPY]
SWAPPED = {
    Verdict.COPY_TO_PATH1: Verdict.COPY_TO_PATH2,
    Verdict.COPY_TO_PATH2: Verdict.COPY_TO_PATH1,
    Verdict.DELETE_FROM_PATH1: Verdict.DELETE_FROM_PATH2,
    Verdict.DELETE_FROM_PATH2: Verdict.DELETE_FROM_PATH1,
}


def can_occur(delta1: Delta, delta2: Delta) -> bool:
    """Told from what the words mean, not from the table."""
    deltas = {delta1, delta2}
    if Delta.UNREADABLE in deltas:
        return True
    if deltas <= RECORDED:
        return True
    return deltas <= {Delta.ABSENT, Delta.NEW} and Delta.NEW in deltas


CELLS = [pair for pair in ALL if can_occur(*pair)]


def verdicts(mode: Mode, delta1: Delta, delta2: Delta) -> set[Verdict]:
    """All that the cell can say, over every agreement."""
    return {decide(mode, delta1, delta2, agreement) for agreement in (*Agreement, None)}


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(("delta1", "delta2"), ALL)
def test_each_pair_that_can_occur_has_a_verdict_and_no_other_has(
    mode: Mode, delta1: Delta, delta2: Delta
) -> None:
    if can_occur(delta1, delta2):
        assert verdicts(mode, delta1, delta2)
    else:
        with pytest.raises(ValueError, match="can't be"):
            decide(mode, delta1, delta2, Agreement.SAME)


@pytest.mark.parametrize("mode", TWO_WAYS)
@pytest.mark.parametrize(("delta1", "delta2"), CELLS)
def test_swapping_the_sides_swaps_the_verdict(mode: Mode, delta1: Delta, delta2: Delta) -> None:
    for agreement in (*Agreement, None):
        straight = decide(mode, delta1, delta2, agreement)

        assert decide(mode, delta2, delta1, agreement) == SWAPPED.get(straight, straight)


@pytest.mark.parametrize("mode", TWO_WAYS)
@pytest.mark.parametrize(("delta1", "delta2"), CELLS)
def test_a_new_touched_or_changed_side_is_never_overwritten_or_deleted(
    mode: Mode, delta1: Delta, delta2: Delta
) -> None:
    for verdict in verdicts(mode, delta1, delta2):
        if delta1 in FRESH:
            assert verdict not in {Verdict.COPY_TO_PATH1, Verdict.DELETE_FROM_PATH1}
        if delta2 in FRESH:
            assert verdict not in {Verdict.COPY_TO_PATH2, Verdict.DELETE_FROM_PATH2}


@pytest.mark.parametrize("mode", ONE_WAY)
@pytest.mark.parametrize(("delta1", "delta2"), CELLS)
def test_a_mode_of_one_way_never_writes_path1_and_has_no_conflicts(
    mode: Mode, delta1: Delta, delta2: Delta
) -> None:
    found = verdicts(mode, delta1, delta2)

    assert all(verdict.side in {None, Side.PATH2} for verdict in found)
    assert Verdict.CONFLICT not in found


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(("delta1", "delta2"), CELLS)
def test_what_cannot_be_read_is_held_and_nothing_else_is(mode: Mode, delta1: Delta, delta2: Delta) -> None:
    held = verdicts(mode, delta1, delta2) == {Verdict.HOLD}

    assert held == (Delta.UNREADABLE in {delta1, delta2})


@pytest.mark.parametrize(("delta1", "delta2"), CELLS)
def test_a_deletion_follows_only_a_deletion_of_what_the_other_side_left_alone(
    delta1: Delta, delta2: Delta
) -> None:
    for verdict in verdicts(Mode.BISYNC, delta1, delta2):
        if verdict is Verdict.DELETE_FROM_PATH2:
            assert (delta1, delta2) == (Delta.DELETED, Delta.UNCHANGED)
        if verdict is Verdict.DELETE_FROM_PATH1:
            assert (delta1, delta2) == (Delta.UNCHANGED, Delta.DELETED)


@pytest.mark.parametrize(("delta1", "delta2"), CELLS)
def test_a_mirror_deletes_exactly_what_path2_has_and_path1_has_not(delta1: Delta, delta2: Delta) -> None:
    gone = delta1 in {Delta.ABSENT, Delta.DELETED} and delta2 in PRESENT

    assert (verdicts(Mode.MIRROR, delta1, delta2) == {Verdict.DELETE_FROM_PATH2}) == gone


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(("delta1", "delta2"), CELLS)
def test_a_mode_without_deletions_deletes_nothing_and_writes_no_other_side(
    mode: Mode, delta1: Delta, delta2: Delta
) -> None:
    gentle = mode.without_deletions

    assert not verdicts(gentle, delta1, delta2) & DELETIONS
    assert gentle.writes == mode.writes


@pytest.mark.parametrize(("delta1", "delta2"), CELLS)
def test_a_first_run_of_bisync_is_bisync_with_no_ancestors(delta1: Delta, delta2: Delta) -> None:
    if {delta1, delta2} <= {Delta.ABSENT, Delta.NEW, Delta.UNREADABLE}:
        gentle = Mode.BISYNC.without_deletions

        assert verdicts(gentle, delta1, delta2) == verdicts(Mode.BISYNC, delta1, delta2)


@pytest.mark.parametrize(("delta1", "delta2"), CELLS)
def test_what_dual_copy_lost_on_one_side_comes_back(delta1: Delta, delta2: Delta) -> None:
    if delta2 is Delta.DELETED and delta1 in PRESENT:
        assert verdicts(Mode.DUAL_COPY, delta1, delta2) == {Verdict.COPY_TO_PATH2}


# What each verdict leaves behind: the deltas of the two sides at the next look, nobody having written.
SETTLED = {
    Verdict.NOTHING: (Delta.UNCHANGED, Delta.UNCHANGED),
    Verdict.LEAVE: (Delta.ABSENT, Delta.NEW),
    Verdict.COPY_TO_PATH1: (Delta.UNCHANGED, Delta.UNCHANGED),
    Verdict.COPY_TO_PATH2: (Delta.UNCHANGED, Delta.UNCHANGED),
    Verdict.RECORD: (Delta.UNCHANGED, Delta.UNCHANGED),
    Verdict.CONFLICT: (Delta.UNCHANGED, Delta.UNCHANGED),
    Verdict.DELETE_FROM_PATH1: None,  # the key is nowhere, and so in no triple
    Verdict.DELETE_FROM_PATH2: None,
    Verdict.FORGET: None,
}


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(("delta1", "delta2"), CELLS)
def test_run_twice_the_second_does_nothing(mode: Mode, delta1: Delta, delta2: Delta) -> None:
    for verdict in verdicts(mode, delta1, delta2) - {Verdict.HOLD, Verdict.CHECK}:
        after = SETTLED[verdict]
        if verdict is Verdict.FORGET and delta2 in PRESENT:
            after = (Delta.ABSENT, Delta.NEW)  # what path2 has stays

        assert after is None or decide(mode, *after, Agreement.SAME) in {Verdict.NOTHING, Verdict.LEAVE}


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(("delta1", "delta2"), CELLS)
def test_a_check_ends_since_touched_is_settled_and_unknown_is_answered(
    mode: Mode, delta1: Delta, delta2: Delta
) -> None:
    for one, two, agreement in product(
        settled(delta1), settled(delta2), (Agreement.SAME, Agreement.DIFFERENT)
    ):
        assert decide(mode, one, two, agreement) is not Verdict.CHECK


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("other", sorted(PRESENT - {Delta.NEW}))
def test_a_touched_side_is_taken_for_neither_changed_nor_unchanged(mode: Mode, other: Delta) -> None:
    for deltas in ((Delta.TOUCHED, other), (other, Delta.TOUCHED)):
        assert verdicts(mode, *deltas) == {Verdict.CHECK}


def settled(delta: Delta) -> list[Delta]:
    return [Delta.UNCHANGED, Delta.CHANGED] if delta is Delta.TOUCHED else [delta]


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("delta", [Delta.NEW, Delta.CHANGED])
@pytest.mark.parametrize("agreement", [*Agreement, None])
def test_where_both_sides_hold_something_new_the_agreement_decides(
    mode: Mode, delta: Delta, agreement: Agreement | None
) -> None:
    different = Verdict.CONFLICT if mode in TWO_WAYS else Verdict.COPY_TO_PATH2
    wanted = {Agreement.SAME: Verdict.RECORD, Agreement.DIFFERENT: different}

    assert decide(mode, delta, delta, agreement) is wanted.get(agreement or Agreement.UNKNOWN, Verdict.CHECK)


@pytest.mark.parametrize("mode", TWO_WAYS)
def test_an_edit_survives_a_deletion_on_the_other_side(mode: Mode) -> None:
    assert decide(mode, Delta.CHANGED, Delta.DELETED, None) is Verdict.COPY_TO_PATH2
    assert decide(mode, Delta.DELETED, Delta.CHANGED, None) is Verdict.COPY_TO_PATH1


def test_each_table_has_a_row_and_a_column_for_every_delta() -> None:
    assert set(TABLES) == set(BOTH_SIDES) == set(Mode)
    for mode, table in TABLES.items():
        assert tuple(table) == COLUMNS == tuple(Delta)
        assert set(BOTH_SIDES[mode]) == set(Agreement)


def test_every_verdict_has_a_meaning_in_words_in_every_mode() -> None:
    assert all(meaning(mode, verdict) for mode in Mode for verdict in Verdict)


def test_the_verdicts_of_a_mode_are_those_of_its_cells_and_moves_where_it_deletes() -> None:
    for mode in Mode:
        cells = set().union(*(verdicts(mode, *pair) for pair in CELLS))
        moves = {Verdict.MOVE_ON_PATH1, Verdict.MOVE_ON_PATH2}
        found = set(deciding.verdicts(mode))

        assert found - moves == cells
        assert {move.side for move in found & moves} == {each.side for each in cells & DELETIONS}
