"""Which deletions and copies together are moves."""

from __future__ import annotations

from typing import Any

from bisyncer.core.renames import is_new, pair_up, times, worth_reading
from bisyncer.model import Action, Ancestor, Delta, Planned, Side, Verdict
from tests.making import ancestor, entry


def deleted(seq: int, key: str, **more: Any) -> tuple[Planned, Ancestor]:
    """A key that path1 deleted, and that path2 still holds."""
    known = ancestor(key, **more)
    held = known.path2._replace(digests=())
    action = Action(key, Verdict.DELETE_FROM_PATH2, Delta.DELETED, Delta.UNCHANGED, None, None, held)
    return Planned(seq, action), known


def copied(seq: int, key: str, **more: Any) -> Planned:
    """A key that is new on path1."""
    action = Action(
        key,
        Verdict.COPY_TO_PATH2,
        Delta.NEW,
        Delta.ABSENT,
        None,
        entry(key, **more),
        None,
    )
    return Planned(seq, action)


def pairs(olds: list[tuple[Planned, Ancestor]], news: list[Planned]) -> list[tuple[str, str]]:
    return [(each.deleted.action.key, each.moved.action.key) for each in pair_up(olds, news, Side.PATH2)]


def test_the_same_content_under_another_name_is_a_move() -> None:
    (found,) = pair_up([deleted(1, "a", sha256="11")], [copied(2, "b", sha256="11")], Side.PATH2)

    assert found.moved.seq == 2
    assert found.moved.action.verdict is Verdict.MOVE_ON_PATH2
    assert found.moved.action.origin == entry("a", sha256="11")
    assert found.moved.action.path1 == found.copied.action.path1


def test_another_content_is_none() -> None:
    assert pairs([deleted(1, "a", sha256="11")], [copied(2, "b", sha256="22")]) == []


def test_what_has_no_digest_is_none() -> None:
    assert pairs([deleted(1, "a", sha256="11")], [copied(2, "b")]) == []
    assert pairs([deleted(1, "a")], [copied(2, "b", sha256="11")]) == []


def test_an_etag_that_equals_an_md5_is_proof() -> None:
    assert pairs([deleted(1, "a", md5="11")], [copied(2, "b", etag_md5="11")]) == [("a", "b")]


def test_each_is_taken_once() -> None:
    olds = [deleted(1, "a", md5="11")]
    news = [copied(2, "b", md5="11"), copied(3, "c", md5="11")]

    assert pairs(olds, news) == [("a", "b")]


def test_of_equal_contents_those_that_keep_the_end_of_their_name_are_preferred() -> None:
    olds = [deleted(1, "old/x", md5="11"), deleted(2, "old/y", md5="11"), deleted(3, "old/z", md5="11")]
    news = [copied(4, "new/first", md5="11"), copied(5, "new/y", md5="11"), copied(6, "new/x", md5="11")]

    assert sorted(pairs(olds, news)) == [("old/x", "new/x"), ("old/y", "new/y"), ("old/z", "new/first")]


def test_only_a_key_that_was_never_on_the_other_side_is_new() -> None:
    new = copied(1, "a")
    assert is_new(new, Side.PATH2)
    assert not is_new(Planned(1, new.action._replace(delta2=Delta.DELETED)), Side.PATH2)
    assert not is_new(Planned(1, new.action._replace(delta1=Delta.CHANGED)), Side.PATH2)


def test_a_file_is_worth_reading_where_one_of_its_time_went_away() -> None:
    gone = times([entry("a", mtime_ns=7, sha256="11"), entry("c", mtime_ns=9), entry("d", mtime_ns=None)])

    assert gone == {7}
    assert worth_reading(entry("b", mtime_ns=7), gone)
    assert not worth_reading(entry("b", mtime_ns=8), gone)
    assert not worth_reading(entry("b", mtime_ns=None), gone)
    assert not worth_reading(entry("b", mtime_ns=7, md5="22"), gone)


def test_a_name_below_the_old_one_is_no_move_and_neither_is_one_above_it() -> None:
    assert pairs([deleted(1, "a", md5="11")], [copied(2, "a/b", md5="11")]) == []
    assert pairs([deleted(1, "a/b", md5="11")], [copied(2, "a", md5="11")]) == []


def test_a_name_with_another_ending_is_no_move() -> None:
    assert pairs([deleted(1, "a.txt", md5="11")], [copied(2, "a.html", md5="11")]) == []
    assert pairs([deleted(1, "a.txt", md5="11")], [copied(2, "b.txt", md5="11")]) == [("a.txt", "b.txt")]


def test_many_equal_contents_are_paired_in_time_that_follows_their_number() -> None:
    number = 20_000
    olds = [deleted(n, f"old/{n}", md5="11") for n in range(number)]
    news = [copied(number + n, f"new/x{n}", md5="11") for n in range(number)]

    assert len(pairs(olds, news)) == number
