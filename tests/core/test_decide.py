"""The decision table, in every cell."""

from __future__ import annotations

from itertools import product

import pytest

from bisyncer.core.decide import BOTH_SIDES, COLUMNS, MEANING, TABLE, decide
from bisyncer.model import Agreement, Delta, Verdict

ALL = list(product(Delta, Delta))
PRESENT = {Delta.NEW, Delta.UNCHANGED, Delta.TOUCHED, Delta.CHANGED}
RECORDED = {Delta.UNCHANGED, Delta.TOUCHED, Delta.CHANGED, Delta.DELETED}
FRESH = {Delta.NEW, Delta.TOUCHED, Delta.CHANGED}
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


def verdicts(delta1: Delta, delta2: Delta) -> set[Verdict]:
    """All that the cell can say, over every agreement."""
    return {decide(delta1, delta2, agreement) for agreement in (*Agreement, None)}


@pytest.mark.parametrize(("delta1", "delta2"), ALL)
def test_each_pair_that_can_occur_has_a_verdict_and_no_other_has(delta1: Delta, delta2: Delta) -> None:
    if can_occur(delta1, delta2):
        assert verdicts(delta1, delta2)
    else:
        with pytest.raises(ValueError, match="can't be"):
            decide(delta1, delta2, Agreement.SAME)


@pytest.mark.parametrize(("delta1", "delta2"), [pair for pair in ALL if can_occur(*pair)])
def test_swapping_the_sides_swaps_the_verdict(delta1: Delta, delta2: Delta) -> None:
    for agreement in (*Agreement, None):
        straight = decide(delta1, delta2, agreement)

        assert decide(delta2, delta1, agreement) == SWAPPED.get(straight, straight)


@pytest.mark.parametrize(("delta1", "delta2"), [pair for pair in ALL if can_occur(*pair)])
def test_a_new_touched_or_changed_side_is_never_overwritten_or_deleted(delta1: Delta, delta2: Delta) -> None:
    for verdict in verdicts(delta1, delta2):
        if delta1 in FRESH:
            assert verdict not in {Verdict.COPY_TO_PATH1, Verdict.DELETE_FROM_PATH1}
        if delta2 in FRESH:
            assert verdict not in {Verdict.COPY_TO_PATH2, Verdict.DELETE_FROM_PATH2}


@pytest.mark.parametrize(("delta1", "delta2"), [pair for pair in ALL if can_occur(*pair)])
def test_what_cannot_be_read_is_held_and_nothing_else_is(delta1: Delta, delta2: Delta) -> None:
    held = verdicts(delta1, delta2) == {Verdict.HOLD}

    assert held == (Delta.UNREADABLE in {delta1, delta2})


@pytest.mark.parametrize(("delta1", "delta2"), [pair for pair in ALL if can_occur(*pair)])
def test_a_deletion_follows_only_a_deletion_of_what_the_other_side_left_alone(
    delta1: Delta, delta2: Delta
) -> None:
    for verdict in verdicts(delta1, delta2):
        if verdict is Verdict.DELETE_FROM_PATH2:
            assert (delta1, delta2) == (Delta.DELETED, Delta.UNCHANGED)
        if verdict is Verdict.DELETE_FROM_PATH1:
            assert (delta1, delta2) == (Delta.UNCHANGED, Delta.DELETED)


@pytest.mark.parametrize(("delta1", "delta2"), [pair for pair in ALL if can_occur(*pair)])
def test_nothing_can_be_deleted_where_there_is_no_ancestor(delta1: Delta, delta2: Delta) -> None:
    if {delta1, delta2} <= {Delta.ABSENT, Delta.NEW}:
        assert not verdicts(delta1, delta2) & {Verdict.DELETE_FROM_PATH1, Verdict.DELETE_FROM_PATH2}


# What each verdict leaves behind: the deltas of the two sides at the next look, nobody having written.
SETTLED = {
    Verdict.NOTHING: (Delta.UNCHANGED, Delta.UNCHANGED),
    Verdict.COPY_TO_PATH1: (Delta.UNCHANGED, Delta.UNCHANGED),
    Verdict.COPY_TO_PATH2: (Delta.UNCHANGED, Delta.UNCHANGED),
    Verdict.RECORD: (Delta.UNCHANGED, Delta.UNCHANGED),
    Verdict.CONFLICT: (Delta.UNCHANGED, Delta.UNCHANGED),
    Verdict.DELETE_FROM_PATH1: None,  # the key is nowhere, and so in no triple
    Verdict.DELETE_FROM_PATH2: None,
    Verdict.FORGET: None,
}


@pytest.mark.parametrize(("delta1", "delta2"), [pair for pair in ALL if can_occur(*pair)])
def test_run_twice_the_second_does_nothing(delta1: Delta, delta2: Delta) -> None:
    for verdict in verdicts(delta1, delta2) - {Verdict.HOLD, Verdict.CHECK}:
        after = SETTLED[verdict]

        assert after is None or decide(*after, Agreement.SAME) is Verdict.NOTHING


@pytest.mark.parametrize(("delta1", "delta2"), [pair for pair in ALL if can_occur(*pair)])
def test_a_check_ends_since_touched_is_settled_and_unknown_is_answered(delta1: Delta, delta2: Delta) -> None:
    for one, two, agreement in product(
        settled(delta1), settled(delta2), (Agreement.SAME, Agreement.DIFFERENT)
    ):
        assert decide(one, two, agreement) is not Verdict.CHECK


def settled(delta: Delta) -> list[Delta]:
    return [Delta.UNCHANGED, Delta.CHANGED] if delta is Delta.TOUCHED else [delta]


@pytest.mark.parametrize("delta", [Delta.NEW, Delta.CHANGED])
@pytest.mark.parametrize(
    ("agreement", "verdict"),
    [
        (Agreement.SAME, Verdict.RECORD),
        (Agreement.DIFFERENT, Verdict.CONFLICT),
        (Agreement.UNKNOWN, Verdict.CHECK),
        (None, Verdict.CHECK),
    ],
)
def test_where_both_sides_hold_something_new_the_agreement_decides(
    delta: Delta, agreement: Agreement | None, verdict: Verdict
) -> None:
    assert decide(delta, delta, agreement) is verdict


def test_an_edit_survives_a_deletion_on_the_other_side() -> None:
    assert decide(Delta.CHANGED, Delta.DELETED, None) is Verdict.COPY_TO_PATH2
    assert decide(Delta.DELETED, Delta.CHANGED, None) is Verdict.COPY_TO_PATH1


def test_the_table_has_a_row_and_a_column_for_every_delta() -> None:
    assert tuple(TABLE) == COLUMNS == tuple(Delta)
    assert set(BOTH_SIDES) == set(Agreement)


def test_every_verdict_has_a_meaning_in_words() -> None:
    assert set(MEANING) == set(Verdict)
