"""A triple becomes two deltas and an agreement."""

from __future__ import annotations

from itertools import chain, combinations

import pytest

from bisyncer.core.compare import agreement, by_digest, compare, delta, strong
from bisyncer.job import Evidence, Policy
from bisyncer.model import Agreement, Algorithm, Delta, Digest, Side, Triple, Unreadable
from tests.making import ancestor, entry

AUTO = Policy(restless=frozenset({Side.PATH1}))
SIZE = Policy(compare=frozenset({Evidence.SIZE}), restless=AUTO.restless)
MTIME = Policy(
    compare=frozenset({Evidence.SIZE, Evidence.MTIME}), modify_window_ns=10, restless=AUTO.restless
)
HASH = Policy(compare=frozenset({Evidence.HASH}), restless=AUTO.restless)


def digests(algorithm: str, value: str) -> tuple[Digest, ...]:
    return (Digest(Algorithm[algorithm.upper()], value),)


OLD = entry(size=5, stamp="old", sha256="aa", mtime_ns=100)


@pytest.mark.parametrize("policy", [AUTO, SIZE, MTIME, HASH])
@pytest.mark.parametrize("side", Side)
def test_presence_alone_tells_absent_new_deleted_and_unreadable(policy: Policy, side: Side) -> None:
    assert delta(None, None, policy, side) is Delta.ABSENT
    assert delta(None, OLD, policy, side) is Delta.NEW
    assert delta(OLD, None, policy, side) is Delta.DELETED
    assert delta(OLD, Unreadable("k", "?"), policy, side) is Delta.UNREADABLE
    assert delta(None, Unreadable("k", "?"), policy, side) is Delta.UNREADABLE


@pytest.mark.parametrize("policy", [AUTO, SIZE, MTIME, HASH])
@pytest.mark.parametrize("side", Side)
def test_the_same_stamp_and_size_are_unchanged_and_another_size_is_changed(
    policy: Policy, side: Side
) -> None:
    assert delta(OLD, OLD, policy, side) is Delta.UNCHANGED
    assert delta(OLD, OLD._replace(size=6), policy, side) is Delta.CHANGED
    assert delta(OLD, OLD._replace(size=6, stamp="new"), policy, side) is Delta.CHANGED


def test_a_moved_mtime_under_an_equal_stamp_is_looked_into_on_a_tree_and_means_nothing_in_a_bucket() -> None:
    later = OLD._replace(mtime_ns=999)

    assert delta(OLD, later, AUTO, Side.PATH1) is Delta.TOUCHED
    assert delta(OLD, later, MTIME, Side.PATH1) is Delta.CHANGED
    assert delta(OLD, later, SIZE, Side.PATH1) is Delta.UNCHANGED
    assert delta(OLD, later, AUTO, Side.PATH2) is Delta.UNCHANGED


def test_an_empty_file_that_stays_empty_is_unchanged_whatever_its_stamp() -> None:
    empty = entry(size=0, stamp="old")

    assert delta(empty, empty._replace(stamp="new"), AUTO, Side.PATH1) is Delta.UNCHANGED


MOVED = OLD._replace(stamp="new")


def test_a_moved_stamp_of_equal_size_is_changed_in_a_bucket_and_touched_in_a_tree() -> None:
    assert delta(OLD, MOVED, AUTO, Side.PATH2) is Delta.CHANGED
    assert delta(OLD, MOVED, AUTO, Side.PATH1) is Delta.TOUCHED


def test_a_moved_stamp_is_changed_where_no_digest_was_recorded_to_tell_otherwise() -> None:
    assert delta(OLD._replace(digests=()), MOVED, AUTO, Side.PATH1) is Delta.CHANGED


def test_size_alone_takes_equal_sizes_for_unchanged() -> None:
    assert delta(OLD, MOVED, SIZE, Side.PATH1) is Delta.UNCHANGED
    assert delta(OLD, MOVED, SIZE, Side.PATH2) is Delta.UNCHANGED


def test_with_mtime_a_moved_time_beyond_the_window_is_changed_without_reading() -> None:
    assert delta(OLD, MOVED._replace(mtime_ns=111), MTIME, Side.PATH1) is Delta.CHANGED
    assert delta(OLD, MOVED._replace(mtime_ns=110), MTIME, Side.PATH1) is Delta.TOUCHED


def test_with_hash_a_moved_time_is_settled_by_content() -> None:
    assert delta(OLD, MOVED._replace(mtime_ns=999), HASH, Side.PATH1) is Delta.TOUCHED


@pytest.mark.parametrize("policy", [AUTO, SIZE, MTIME, HASH])
def test_different_sizes_differ_and_two_empty_objects_are_the_same(policy: Policy) -> None:
    assert agreement(entry(size=1), entry(size=2), policy) is Agreement.DIFFERENT
    assert agreement(entry(size=0), entry(size=0), policy) is Agreement.SAME


def test_there_is_no_agreement_unless_both_sides_hold_the_key() -> None:
    assert agreement(None, OLD, AUTO) is None
    assert agreement(OLD, None, AUTO) is None
    assert agreement(OLD, Unreadable("k", "?"), AUTO) is None


def test_objects_without_digests_are_unknown_and_never_the_same() -> None:
    assert agreement(entry(size=3), entry(size=3), AUTO) is Agreement.UNKNOWN
    assert agreement(entry(size=3, md5="aa"), entry(size=3), AUTO) is Agreement.UNKNOWN
    assert agreement(entry(size=3, md5="aa"), entry(size=3, sha256="aa"), AUTO) is Agreement.UNKNOWN


def test_times_that_differ_between_sides_prove_nothing() -> None:
    assert agreement(entry(size=3, mtime_ns=1), entry(size=3, mtime_ns=99), MTIME) is Agreement.UNKNOWN
    assert agreement(entry(size=3, mtime_ns=1), entry(size=3, mtime_ns=None), MTIME) is Agreement.UNKNOWN


def test_times_within_the_window_are_enough_only_where_the_user_says_so() -> None:
    one, two = entry(size=3, mtime_ns=100), entry(size=3, mtime_ns=110)

    assert agreement(one, two, MTIME) is Agreement.SAME
    assert agreement(one, two, AUTO) is Agreement.UNKNOWN
    assert agreement(one, two, HASH) is Agreement.UNKNOWN


def test_size_alone_takes_equal_sizes_for_the_same_content() -> None:
    assert agreement(entry(size=3), entry(size=3), SIZE) is Agreement.SAME


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_digests_of_one_strong_algorithm_settle_it_both_ways(algorithm: str) -> None:
    same = by_digest(digests(algorithm, "aa"), digests(algorithm, "aa"))
    other = by_digest(digests(algorithm, "aa"), digests(algorithm, "bb"))

    assert (same, other) == (Agreement.SAME, Agreement.DIFFERENT)


@pytest.mark.parametrize(("one", "two"), [("md5", "etag_md5"), ("etag_md5", "md5"), ("etag_md5", "etag_md5")])
def test_an_etag_shaped_like_an_md5_proves_equal_content_but_never_different(one: str, two: str) -> None:
    same = by_digest(digests(one, "aa"), digests(two, "aa"))
    other = by_digest(digests(one, "aa"), digests(two, "bb"))

    assert (same, other) == (Agreement.SAME, Agreement.UNKNOWN)


def test_only_sha256_and_md5_can_prove_that_content_differs() -> None:
    assert strong(entry(sha256="aa").digests)
    assert strong(entry(md5="aa").digests)
    assert not strong(entry(etag_md5="aa").digests)
    assert not strong(())


def test_each_side_is_held_against_its_own_past() -> None:
    old = ancestor(size=5, stamp="old", sha256="aa")
    triple = Triple("k", old, entry(size=5, stamp="old"), entry(size=7, stamp="new"))

    found = compare(triple, AUTO)

    assert found == (Delta.UNCHANGED, Delta.CHANGED, None)


def test_the_sides_are_held_against_each_other_only_where_both_hold_something_new() -> None:
    old = ancestor(size=5, stamp="old", sha256="aa")

    new = compare(Triple("k", None, entry(size=5), entry(size=6)), AUTO)
    changed = compare(Triple("k", old, entry(size=7, stamp="n"), entry(size=7, stamp="m")), AUTO)

    assert new == (Delta.NEW, Delta.NEW, Agreement.DIFFERENT)
    assert changed == (Delta.CHANGED, Delta.CHANGED, Agreement.UNKNOWN)


SUBSETS = [frozenset(subset) for subset in chain.from_iterable(combinations(Evidence, n) for n in range(4))]
BY_SIZE, BY_TIME, BY_CONTENT = "size", "time", "content"


def kind_of(compare: frozenset[Evidence]) -> str:
    """What a choice of evidence comes to: a hash has the last word, then the time; the size always counts."""
    if Evidence.HASH in compare or not compare:
        return BY_CONTENT
    return BY_TIME if Evidence.MTIME in compare else BY_SIZE


def policy_of(compare: frozenset[Evidence]) -> Policy:
    return Policy(compare=compare, modify_window_ns=10, restless=frozenset({Side.PATH1}))


IN_WINDOW, LATER, LONGER = (
    OLD._replace(stamp="new", mtime_ns=110),
    OLD._replace(stamp="new", mtime_ns=111),
    OLD._replace(stamp="new", size=6),
)
T, C, U = Delta.TOUCHED, Delta.CHANGED, Delta.UNCHANGED
# What was seen, of a tree and of a bucket, by size alone, by size and time, and by content.
CHANGES = {
    "the same": (OLD, {BY_SIZE: (U, U), BY_TIME: (U, U), BY_CONTENT: (U, U)}),
    "another stamp, a time in the window": (
        IN_WINDOW,
        {BY_SIZE: (U, U), BY_TIME: (T, C), BY_CONTENT: (T, C)},
    ),
    "another stamp and time": (LATER, {BY_SIZE: (U, U), BY_TIME: (C, C), BY_CONTENT: (T, C)}),
    "another size": (LONGER, {BY_SIZE: (C, C), BY_TIME: (C, C), BY_CONTENT: (C, C)}),
}


@pytest.mark.parametrize("compare", SUBSETS, ids=lambda subset: "+".join(sorted(subset)) or "auto")
@pytest.mark.parametrize("change", CHANGES)
def test_what_tells_change_is_the_same_for_each_choice_that_comes_to_the_same(
    change: str, compare: frozenset[Evidence]
) -> None:
    new, told = CHANGES[change]
    policy = policy_of(compare)

    assert (delta(OLD, new, policy, Side.PATH1), delta(OLD, new, policy, Side.PATH2)) == told[
        kind_of(compare)
    ]


SAME, DIFFERENT, UNKNOWN = Agreement.SAME, Agreement.DIFFERENT, Agreement.UNKNOWN
HERE = entry(size=5, mtime_ns=100)
# Two new versions, and what they are by size alone, by size and time, and by content.
EQUALITIES = {
    "nothing known but the size": (
        HERE._replace(mtime_ns=None),
        HERE,
        {BY_SIZE: SAME, BY_TIME: UNKNOWN, BY_CONTENT: UNKNOWN},
    ),
    "times in the window": (
        HERE,
        HERE._replace(mtime_ns=110),
        {BY_SIZE: SAME, BY_TIME: SAME, BY_CONTENT: UNKNOWN},
    ),
    "times apart": (
        HERE,
        HERE._replace(mtime_ns=111),
        {BY_SIZE: SAME, BY_TIME: UNKNOWN, BY_CONTENT: UNKNOWN},
    ),
    "times apart, equal content": (
        entry(size=5, mtime_ns=100, md5="aa"),
        entry(size=5, mtime_ns=999, etag_md5="aa"),
        {BY_SIZE: SAME, BY_TIME: SAME, BY_CONTENT: SAME},
    ),
    "times apart, other content": (
        entry(size=5, mtime_ns=100, md5="aa"),
        entry(size=5, mtime_ns=999, md5="bb"),
        {BY_SIZE: SAME, BY_TIME: DIFFERENT, BY_CONTENT: DIFFERENT},
    ),
    "equal times, other content": (
        entry(size=5, mtime_ns=100, md5="aa"),
        entry(size=5, mtime_ns=100, md5="bb"),
        {BY_SIZE: SAME, BY_TIME: SAME, BY_CONTENT: DIFFERENT},
    ),
    "another size": (
        HERE,
        HERE._replace(size=6),
        {BY_SIZE: DIFFERENT, BY_TIME: DIFFERENT, BY_CONTENT: DIFFERENT},
    ),
}


@pytest.mark.parametrize("compare", SUBSETS, ids=lambda subset: "+".join(sorted(subset)) or "auto")
@pytest.mark.parametrize("versions", EQUALITIES)
def test_what_tells_equality_is_the_same_for_each_choice_that_comes_to_the_same(
    versions: str, compare: frozenset[Evidence]
) -> None:
    one, two, told = EQUALITIES[versions]

    assert agreement(one, two, policy_of(compare)) is told[kind_of(compare)]
    assert agreement(two, one, policy_of(compare)) is told[kind_of(compare)]


def test_the_time_of_an_upload_is_not_taken_for_that_of_a_content() -> None:
    """A listing of S3 tells no other."""
    triple = Triple("k", None, HERE, HERE)
    undated = Policy(compare=frozenset({Evidence.MTIME}), undated=frozenset({Side.PATH2}))

    assert compare(triple, undated).agreement is Agreement.UNKNOWN
    assert compare(triple, MTIME).agreement is Agreement.SAME


def test_etags_of_parts_prove_equal_content_and_never_different() -> None:
    one, two = entry(etag_parts="aa-2").digests, entry(etag_parts="aa-3").digests

    assert by_digest(one, one) is Agreement.SAME
    assert by_digest(one, two) is Agreement.UNKNOWN
    assert by_digest(one, entry(md5="aa-2").digests) is Agreement.UNKNOWN
    assert not strong(one)
