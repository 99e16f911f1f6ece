"""Three sorted streams into one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bisyncer.core.merge import Agreed, PassedOver
from bisyncer.core.merge import merge as merge_recorded
from bisyncer.errors import ListingIncomplete
from bisyncer.model import Ancestor, Entry, Item, Triple, Unreadable
from tests.making import ancestor, entry

merge = partial(merge_recorded, recall=lambda ancestor: ancestor)

KEYS = st.text(st.sampled_from("ab/-0é😀\n"), min_size=1, max_size=4)


@given(st.sets(KEYS), st.sets(KEYS), st.sets(KEYS))
def test_every_key_of_any_stream_comes_once_and_in_order_with_what_each_stream_has(
    recorded: set[str], one: set[str], two: set[str]
) -> None:
    triples = list(
        merge(
            [ancestor(key) for key in sorted(recorded)],
            [entry(key, stamp="1") for key in sorted(one)],
            [entry(key, stamp="2") for key in sorted(two)],
        )
    )

    expected = [
        Triple(
            key,
            ancestor(key) if key in recorded else None,
            entry(key, stamp="1") if key in one else None,
            entry(key, stamp="2") if key in two else None,
        )
        for key in sorted(recorded | one | two)
    ]
    assert triples == expected


@pytest.mark.parametrize("stream", [0, 1, 2])
@pytest.mark.parametrize("keys", [["b", "a"], ["a", "a"], ["a", "c", "b"]])
def test_the_first_key_out_of_order_is_refused_in_any_stream(stream: int, keys: list[str]) -> None:
    empty: list[list[object]] = [[], [], []]
    empty[stream] = [ancestor(key) if stream == 0 else entry(key) for key in keys]

    with pytest.raises(ListingIncomplete, match="not in order"):
        list(merge(*empty))  # type: ignore[arg-type]


def test_keys_before_the_one_out_of_order_are_never_taken_for_the_end() -> None:
    triples = merge([], [entry("a"), entry("c"), entry("b")], [])

    assert next(triples).key == "a"
    with pytest.raises(ListingIncomplete):
        list(triples)


def covered(place: str, *keys: str) -> list[str]:
    """The keys that a place on path1 hides, of these on path2 and in the ancestors."""
    items: list[Item] = [Unreadable(place, "can't be read")]
    triples = merge([ancestor(key) for key in sorted(keys)], items, [entry(key) for key in sorted(keys)])
    return [triple.key for triple in triples if isinstance(triple.path1, Unreadable)]


def test_an_unreadable_directory_hides_every_key_below_it_and_no_other() -> None:
    hidden = covered("d/", "c", "d", "d-x", "d/", "d/a", "d/z/y", "d0", "e")

    assert hidden == ["d/", "d/a", "d/z/y"]


def test_an_unreadable_key_hides_itself_and_what_lies_below_but_not_what_sorts_between() -> None:
    hidden = covered("d", "c", "d", "d-x", "d/a", "d/z", "d0", "dd")

    assert hidden == ["d", "d/a", "d/z"]


def test_places_one_inside_the_reach_of_another_each_hide_their_own() -> None:
    places: list[Item] = [Unreadable("d", "?"), Unreadable("d-", "?"), Unreadable("d/m/", "?")]
    keys = ["d", "d-", "d-/x", "d-y", "d/a", "d/m/n", "d0"]

    triples = list(merge([], places, [entry(key) for key in keys]))

    hidden = [triple.key for triple in triples if isinstance(triple.path1, Unreadable)]
    assert hidden == ["d", "d-", "d-/x", "d/a", "d/m/n"]


def test_an_unreadable_place_with_nothing_across_yields_nothing() -> None:
    assert list(merge([], [Unreadable("d/", "?")], [])) == []


def test_an_unreadable_place_out_of_order_is_refused() -> None:
    with pytest.raises(ListingIncomplete):
        list(merge([], [entry("e"), Unreadable("d/", "?")], []))


def test_nothing_is_read_further_than_one_key_ahead() -> None:
    read: list[str] = []

    def keys() -> object:
        for key in ("a", "b", "c", "d"):
            read.append(key)
            yield entry(key)

    triples = merge([], keys(), [])  # type: ignore[arg-type]
    next(triples)

    assert read == ["a", "b"]


@given(st.data(), st.sets(KEYS, max_size=8))
def test_keys_that_are_as_recorded_on_both_sides_are_counted_and_all_others_come_as_if_nothing_was(
    data: st.DataObject, keys: set[str]
) -> None:
    """`same` says of any key, whatever surrounds it, what it says: gone, new, changed or unreadable."""
    recorded: list[Ancestor] = []
    one: list[Item] = []
    two: list[Item] = []
    for key in sorted(keys):
        kind = data.draw(st.sampled_from(["same", "same", "changed", "new", "gone", "gone-2", "place"]))
        if kind != "new":
            recorded.append(ancestor(key))
        if kind == "place":
            one.append(Unreadable(key, "?"))
        elif kind != "gone":
            one.append(entry(key, stamp="edited" if kind == "changed" else "s1"))
        if kind != "gone-2":
            two.append(entry(key))

    def same(known: Ancestor, path1: Entry, path2: Entry) -> bool:
        return known.key == path1.key == path2.key and path1.stamp == path2.stamp

    passed = PassedOver(same)
    actual = list(merge(recorded, one, two, passed=passed))

    told = {triple.key for triple in actual}
    plain = list(merge(recorded, one, two))
    assert actual == [triple for triple in plain if triple.key in told]
    assert all(
        triple.ancestor is not None and same(triple.ancestor, triple.path1, triple.path2)  # type: ignore[arg-type]
        for triple in plain
        if triple.key not in told
    )
    assert passed.keys == len(plain) - len(actual)


@pytest.mark.parametrize("keys", [["b", "a"], ["a", "a"], ["a", "c", "b"]])
@pytest.mark.parametrize("streams", [(0,), (1,), (2,), (0, 1, 2)])
def test_keys_out_of_order_are_refused_also_where_they_are_as_recorded(
    streams: tuple[int, ...], keys: list[str]
) -> None:
    listed: list[list[object]] = [
        [make(key) for key in (keys if stream in streams else sorted(set(keys)))]
        for stream, make in enumerate((ancestor, entry, entry))
    ]

    with pytest.raises(ListingIncomplete, match="not in order"):
        list(merge(*listed, passed=PassedOver(lambda *_: True)))  # type: ignore[arg-type]


@given(st.sets(KEYS), st.sets(KEYS), st.tuples(st.sets(KEYS), st.sets(KEYS)), st.sets(KEYS), st.booleans())
def test_keys_that_both_sides_hold_alike_are_given_and_all_others_come_as_if_none_was(
    one: set[str], two: set[str], unlike: tuple[set[str], set[str]], places: set[str], known: bool
) -> None:
    differ, refused = unlike  # as can be seen, and as is only found when they are given
    recorded = [ancestor(key) for key in sorted(one | two)[:1] if known]
    sides: list[list[Item]] = [
        sorted(
            [*map(entry, keys - places), *(Unreadable(key, "why") for key in (places if hidden else ()))],
            key=lambda item: item[0],
        )
        for keys, hidden in ((one, True), (two, False))
    ]
    given_keys: list[str] = []

    def take(entries: Sequence[tuple[Entry, Entry]]) -> list[tuple[Entry, Entry]]:
        assert all(held1.key == held2.key for held1, held2 in entries)
        given_keys.extend(held1.key for held1, _ in entries if held1.key not in refused)
        return [held for held in entries if held[0].key in refused]

    agreed = Agreed(lambda held1, _held2: held1.key not in differ, take)
    plain = list(merge(recorded, *sides))
    triples = list(merge(recorded, *sides, agreed=agreed))

    assert triples == [triple for triple in plain if triple.key not in given_keys]
    assert len(triples) + len(given_keys) == len(plain)
    hidden_or_known = {
        triple.key for triple in plain if triple.ancestor or isinstance(triple.path1, Unreadable)
    }
    assert not set(given_keys) & (differ | hidden_or_known)
    if not places and not known:
        assert given_keys == sorted(key for key in (one & two) - differ - refused if key[-1] != "/")


@pytest.mark.parametrize("keys", [["b", "a"], ["a", "a"], ["a", "c", "b"]])
@pytest.mark.parametrize("streams", [(0,), (1,), (0, 1)])
def test_keys_out_of_order_are_refused_also_where_both_sides_hold_them_alike(
    streams: tuple[int, ...], keys: list[str]
) -> None:
    listed = [
        [entry(key) for key in (keys if stream in streams else sorted(set(keys)))] for stream in range(2)
    ]

    with pytest.raises(ListingIncomplete, match="not in order"):
        list(merge([], *listed, agreed=Agreed(lambda *_: True, lambda _: ())))
