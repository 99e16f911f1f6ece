from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from bisyncer.endpoints import tree_order
from bisyncer.endpoints.tree_order import Spans, place

LETTERS = ("a", "b", ".", "-", "0", " ")
SEGMENTS = st.text(st.sampled_from(LETTERS), min_size=1, max_size=3)
KEYS = st.builds(
    lambda segments, end: "/".join(segments) + end,
    st.lists(SEGMENTS, min_size=1, max_size=3),
    st.sampled_from(("", "", "", "/")),
)
BOUNDS = KEYS | st.text(st.sampled_from((*LETTERS, "/", "\x01", "\U0001f600")), max_size=6)
PREFIXES = st.sampled_from(("", "a/", "a-/", "a/b.-0/"))


def lies_in(key: str, spans: Spans) -> bool:
    return any(span.start <= place(key) and (span.end is None or place(key) < span.end) for span in spans)


@given(st.sets(KEYS, max_size=30), PREFIXES, BOUNDS, st.none() | BOUNDS)
def test_the_spans_of_a_range_hold_its_keys_and_no_others(
    keys: set[str], prefix: str, low: str, high: str | None
) -> None:
    spans = tree_order.spans(prefix, low, high)

    for name in {*keys, *(prefix + key for key in keys)}:
        key = name.removeprefix(prefix)
        wanted = name.startswith(prefix) and key >= low and (high is None or key < high)
        assert lies_in(name, spans) == wanted, name
    bounds = [bound for span in spans for bound in span if bound is not None]
    assert bounds == sorted(bounds)


@given(st.sets(KEYS, max_size=30), BOUNDS, st.none() | BOUNDS)
def test_all_names_of_a_run_begin_with_what_is_common_to_it(
    keys: set[str], low: str, high: str | None
) -> None:
    for run in tree_order.runs(tree_order.spans("", low, high)):
        for key in keys:
            assert key.startswith(tree_order.common(run)) or not lies_in(key, run)


class Store:
    """A store in the order of directories, which counts what it was asked for."""

    def __init__(self, keys: set[str]) -> None:
        self.keys = sorted(keys, key=place)
        self.given = 0

    def listed(self, spans: Spans) -> Iterator[list[tuple[str]]]:
        found = [(key,) for key in self.keys if lies_in(key, spans)]
        for at in range(0, len(found), 3):
            self.given += len(found[at : at + 3])
            yield found[at : at + 3]


@given(st.sets(KEYS, max_size=60), BOUNDS, st.none() | BOUNDS, st.integers(1, 20))
def test_however_few_rows_are_held_each_comes_once_and_in_order(
    keys: set[str], low: str, high: str | None, held_rows: int
) -> None:
    store = Store(keys)

    pages = list(tree_order.by_code_point(tree_order.spans("", low, high), store.listed, held_rows))

    wanted = sorted(key for key in keys if key >= low and (high is None or key < high))
    assert [row[0] for page in pages for row in page] == wanted
    assert store.given == len(wanted)


def test_a_range_between_two_files_is_few_runs() -> None:
    spans = tree_order.spans("p/", "d12/d34/f-5678.bin", "d12/d40/f-0011.bin")

    assert [tree_order.common(run) for run in tree_order.runs(spans)] == [
        "p/d12/d34/f/",
        "p/d12/d34/f-5678/",
        "p/d12/d",
        "p/d12/d40",
    ]
    assert [len(list(tree_order.runs(tree_order.spans("", low, None)))) for low in ("", "a", "d/e")] == [
        1
    ] * 3


def test_little_is_held_of_a_large_listing() -> None:
    keys = {f"d{name}/{n:05}" for name in ("", "-old", "/sub") for n in range(1000)}
    store = Store(keys)

    longest = max(map(len, tree_order.by_code_point(tree_order.ALL, store.listed, 50)))

    assert longest < 60
