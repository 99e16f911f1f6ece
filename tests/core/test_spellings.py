"""Names that are one name in two spellings."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bisyncer.core.spellings import clashes, pair_of, told
from bisyncer.model import Action, Delta, Entry, Fold, Planned, Side, Verdict

NEITHER, CASE = Fold(case=False, unicode=False), Fold(case=True, unicode=False)
UNICODE, BOTH = Fold(case=False, unicode=True), Fold(case=True, unicode=True)
NFC, NFD = "caf\u00e9", "cafe\u0301"


def new_on(side: Side, key: str, seq: int) -> Planned:
    entry = Entry(key, 1, 0, "stamp")
    if side is Side.PATH1:
        return Planned(seq, Action(key, Verdict.COPY_TO_PATH2, Delta.NEW, Delta.ABSENT, None, entry, None))
    return Planned(seq, Action(key, Verdict.COPY_TO_PATH1, Delta.ABSENT, Delta.NEW, None, None, entry))


def group(path1: list[str], path2: list[str]) -> list[Planned]:
    keys = [(Side.PATH1, key) for key in path1] + [(Side.PATH2, key) for key in path2]
    return [new_on(side, key, seq) for seq, (side, key) in enumerate(keys)]


@pytest.mark.parametrize(
    ("fold", "one", "other", "same"),
    [
        (NEITHER, "a", "A", False),
        (NEITHER, NFC, NFD, False),
        (CASE, "dir/Read Me", "DIR/read me", True),
        (CASE, "\u00e9", "\u00c9", True),
        (CASE, NFC, NFD, False),
        (UNICODE, NFC, NFD, True),
        (UNICODE, "a", "A", False),
        (UNICODE, NFC, NFC.upper(), False),
        (BOTH, NFC, NFD.upper(), True),
        (BOTH, "stra\u00dfe", "STRASSE", True),
        (BOTH, "a", "b", False),
        (BOTH, "a/b", "a", False),
    ],
)
def test_two_names_fold_to_one_where_they_are_one(fold: Fold, one: str, other: str, same: bool) -> None:
    assert (fold.folded(one) == fold.folded(other)) is same


@settings(max_examples=200)
@given(st.text(max_size=8))
def test_all_spellings_of_a_name_fold_to_the_same_and_folding_again_changes_nothing(key: str) -> None:
    folded = BOTH.folded(key)

    assert BOTH.folded(folded) == folded
    assert {BOTH.folded(unicodedata.normalize(form, key)) for form in ("NFC", "NFD")} == {folded}


def test_a_pair_is_one_spelling_on_each_side() -> None:
    pair = pair_of(group(["A"], ["a"]))

    assert pair is not None
    assert (pair.path1.action.key, pair.path2.action.key) == ("A", "a")
    assert pair_of(group(["A", "a"], [])) is None
    assert pair_of(group(["A", "a"], ["aA"])) is None


@pytest.mark.parametrize(
    ("path1", "path2", "folding", "clash"),
    [
        (["A", "a"], [], Side.PATH2, True),
        (["A", "a"], [], Side.PATH1, False),
        ([], ["A", "a"], Side.PATH1, True),
        ([], ["A", "a"], Side.PATH2, False),
        (["A", "a"], ["a "], None, True),
        ([NFC, NFD], [], Side.PATH2, False),
    ],
)
def test_new_names_clash_where_the_side_that_gets_them_cannot_tell_them_apart(
    path1: list[str], path2: list[str], folding: Side | None, clash: bool
) -> None:
    assert clashes(group(path1, path2), {side for side in Side if side is folding}) is clash


def test_spellings_that_look_the_same_are_told_by_their_code_points() -> None:
    assert told(NFC, NFD) == (r"'caf\xe9'", r"'cafe\u0301'")
    assert told("\u00e9A", "\u00e9a") == ("'\u00e9A'", "'\u00e9a'")
