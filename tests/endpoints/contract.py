"""Every rule of `endpoints/base.py`, as tests that each store's own tests inherit.

A store's test class subclasses `EndpointContract` and gives two fixtures: `endpoint`, empty and fresh,
and `behind`, the same store as somebody else reaches it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Protocol

import pytest

from bisyncer.endpoints.base import Endpoint, NameRules, Upload
from bisyncer.errors import Changed, Rejected
from bisyncer.model import DIRECTORY, OCCUPIED, TRASH, Conditions, Entry

MTIME_NS = 1_600_000_000_123_456_789
WRITERS = 8

# 'e' with an accent as one code point and as two; U+FF5E is before an emoji by code point and after it in
# UTF-16.
TREE_KEYS = (
    "-",
    "A",
    "Z",
    "a b",
    "a!/x",
    "a+b",
    "a-",
    "a--/b",
    "a/b",
    "a/b c/d",
    "a/b-",
    "a/b0",
    "a0",
    "a0b/a",
    "%41",
    "%2F",
    "e\u0301",
    "\u00e9",
    "\uff5e",
    "\U0001f600",
    "\U0001f601/\u00e9",
    "new\nline",
    "tab\t",
    "quote'\"",
    "back\\slash",
    "&amp;<x>",
    ".hidden",
    "...",
    "*?[x]",
    " lead",
    "trail ",
    "~",
)
BUCKET_KEYS = (*TREE_KEYS, "a", "a/", "a//b", "/lead", "dir/", "./x", "a/../b", "a/./b")


class Behind(Protocol):
    """The store as somebody else reaches it, without the endpoint knowing."""

    def plant(self, key: str, data: bytes) -> None:
        """Put `data` at `key`, whatever is there."""
        ...

    def remove(self, key: str) -> None: ...

    def content(self, key: str) -> bytes | None:
        """The bytes at `key`; None where there is nothing."""
        ...

    def names(self) -> list[str]:
        """Every name in the store, temporaries too, sorted; a tree's without its directories."""
        ...


_honoured: dict[str, Conditions] = {}


def honoured(store: str, opened: Callable[[], AbstractContextManager[Endpoint]]) -> Conditions:
    """What a store was found to honour, tried once: a run has it from the state."""
    if store not in _honoured:
        with opened() as endpoint:
            _honoured[store] = endpoint.probe(scratch=True).conditions
    return _honoured[store]


class BytesSource:
    """A source of `data`; it gives `longest` bytes at most at a time, so that readers must loop."""

    def __init__(
        self,
        data: bytes,
        *,
        size: int | None = None,
        mtime_ns: int | None = MTIME_NS,
        longest: int = 1 << 20,
        breaks_at: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.metadata = metadata or {}
        self.entry = Entry("from", len(data) if size is None else size, mtime_ns, "from-stamp")
        self._data = data
        self._at = 0
        self._longest = longest
        self._breaks_at = breaks_at

    def read(self, size: int = -1, /) -> bytes:
        if self._breaks_at is not None and self._at >= self._breaks_at:
            raise Changed("from: changed while it was read.")
        length = self._longest if size < 0 else min(size, self._longest)
        piece = self._data[self._at : self._at + length]
        self._at += len(piece)
        return piece


def put(
    endpoint: Endpoint,
    key: str,
    data: bytes,
    expect: Entry | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Entry:
    """Write `data` to `key`."""
    return endpoint.write(key, BytesSource(data, metadata=metadata), expect=expect)


def whole(endpoint: Endpoint, key: str, expect: Entry, start: int = 0, stop: int | None = None) -> bytes:
    """All bytes of `key` from `start` on, before `stop`, read in pieces of an odd size."""
    with endpoint.read(key, expect=expect, start=start, stop=stop) as source:
        return b"".join(iter(lambda: source.read(7), b""))


def metadata_of(endpoint: Endpoint, entry: Entry) -> Mapping[str, str]:
    """What travels beside the content of an object."""
    with endpoint.read(entry.key, expect=entry) as source:
        return dict(source.metadata)


def entries(endpoint: Endpoint, low: str = "", high: str | None = None) -> list[Entry]:
    """The entries of a scan, in which everything can be read."""
    items = list(endpoint.scan(low, high))
    assert all(isinstance(item, Entry) for item in items)
    return [item for item in items if isinstance(item, Entry)]


def keys(endpoint: Endpoint, low: str = "", high: str | None = None) -> list[str]:
    """The keys of a scan, in the order in which they came."""
    return [entry.key for entry in entries(endpoint, low, high)]


def now(endpoint: Endpoint, key: str) -> Entry:
    """The entry of `key`, which is there."""
    entry = endpoint.stat(key)
    assert entry is not None
    return entry


class EndpointContract:
    """The rules; `tree_keys` and `bucket_keys` may be narrowed by a store whose emulator can't hold some."""

    tree_keys: tuple[str, ...] = TREE_KEYS
    bucket_keys: tuple[str, ...] = BUCKET_KEYS

    @pytest.fixture
    def endpoint(self) -> Iterator[Endpoint]:
        raise NotImplementedError

    @pytest.fixture
    def behind(self) -> Behind:
        raise NotImplementedError

    def nasty_keys(self, endpoint: Endpoint) -> tuple[str, ...]:
        if endpoint.capabilities.names is NameRules.TREE:
            return self.tree_keys
        return self.bucket_keys

    # Rules 1, 2 and 10: what a scan yields, and in which order.

    def test_an_empty_store_lists_nothing(self, endpoint: Endpoint) -> None:
        assert list(endpoint.scan()) == []

    def test_a_scan_yields_every_key_exactly_and_in_order_of_code_points(
        self, endpoint: Endpoint, behind: Behind
    ) -> None:
        names = self.nasty_keys(endpoint)
        for number, key in enumerate(names):
            behind.plant(key, b"x" * number)

        found = entries(endpoint)

        assert [entry.key for entry in found] == sorted(names)
        assert {entry.key: entry.size for entry in found} == {key: n for n, key in enumerate(names)}

    def test_a_scan_of_what_was_written_yields_every_key_exactly(self, endpoint: Endpoint) -> None:
        names = self.nasty_keys(endpoint)
        written = {key: put(endpoint, key, key.encode()) for key in names}

        found = {entry.key: entry for entry in entries(endpoint)}

        assert found.keys() == written.keys()
        assert {key: (e.size, len(key.encode())) for key, e in found.items()} == {
            key: (e.size, e.size) for key, e in written.items()
        }
        for key, entry in written.items():
            assert whole(endpoint, key, entry) == key.encode()

    def test_a_range_yields_exactly_its_slice_of_the_whole(self, endpoint: Endpoint, behind: Behind) -> None:
        names = sorted(self.nasty_keys(endpoint))
        for key in names:
            behind.plant(key, b"1")

        bounds = sorted({bound for key in names for bound in (key, key + "/", key + "\x01", key[:-1])})
        for low in bounds:
            assert keys(endpoint, low) == [key for key in names if key >= low], (low, None)
            assert keys(endpoint, "", low) == [key for key in names if key < low], ("", low)
        step = max(1, len(bounds) // 12)
        for low in bounds[::step]:
            for high in bounds[::step]:
                assert keys(endpoint, low, high) == [k for k in names if low <= k < high], (low, high)

    def test_ranges_that_touch_cover_every_key_once(self, endpoint: Endpoint, behind: Behind) -> None:
        names = sorted(self.nasty_keys(endpoint))
        for key in names:
            behind.plant(key, b"1")
        cuts = ["", *names[3::5], None]

        found = [key for low, high in pairwise(cuts) for key in keys(endpoint, low or "", high)]

        assert found == names

    def test_a_range_that_ends_before_it_starts_is_empty(self, endpoint: Endpoint, behind: Behind) -> None:
        behind.plant("m", b"1")

        assert keys(endpoint, "z", "a") == []
        assert keys(endpoint, "m", "m") == []

    # Looking.

    def test_stat_of_a_key_that_is_not_there_is_none(self, endpoint: Endpoint) -> None:
        assert endpoint.stat("no") is None
        assert endpoint.stat("no/such/key") is None

    def test_stat_and_scan_say_the_same(self, endpoint: Endpoint, behind: Behind) -> None:
        behind.plant("a/b", b"12345")

        (listed,) = entries(endpoint)
        looked_at = now(endpoint, "a/b")

        assert (looked_at.key, looked_at.size) == ("a/b", 5)
        assert (looked_at.key, looked_at.size) == (listed.key, listed.size)

    def test_stat_of_a_prefix_of_a_key_is_not_that_key(self, endpoint: Endpoint, behind: Behind) -> None:
        behind.plant("dir/file", b"1")

        assert endpoint.stat("dir/fil") is None
        assert endpoint.stat("dir/file0") is None

    # Rule 4: writing.

    @pytest.mark.parametrize("data", [b"", b"1", b"\x00" * 3_000_001], ids=["empty", "small", "large"])
    def test_what_was_written_is_what_is_read(self, endpoint: Endpoint, data: bytes) -> None:
        entry = put(endpoint, "k", data)

        assert entry.size == len(data)
        with endpoint.read("k", expect=entry) as source:
            assert source.entry.size == len(data)
            assert b"".join(iter(lambda: source.read(65536), b"")) == data
            assert source.read(1) == b""

    def test_read_without_a_size_gives_the_rest(self, endpoint: Endpoint) -> None:
        entry = put(endpoint, "k", b"0123456789")

        with endpoint.read("k", expect=entry) as source:
            assert source.read(2) == b"01"
            assert source.read() == b"23456789"
            assert source.read() == b""

    def test_a_source_that_gives_little_at_a_time_is_read_to_its_end(self, endpoint: Endpoint) -> None:
        entry = endpoint.write("k", BytesSource(b"0123456789", longest=3), expect=None)

        assert whole(endpoint, "k", entry) == b"0123456789"

    def test_a_write_returns_the_entry_that_stat_and_scan_then_show(self, endpoint: Endpoint) -> None:
        written = put(endpoint, "a/b", b"1")
        replaced = put(endpoint, "a/b", b"22", written)

        (listed,) = entries(endpoint)
        looked_at = now(endpoint, "a/b")

        assert (replaced.key, replaced.size) == ("a/b", 2)
        assert (listed.key, listed.size) == ("a/b", 2)
        assert (looked_at.key, looked_at.size) == ("a/b", 2)
        assert self.identity(listed) == self.identity(looked_at) == self.identity(replaced)
        assert replaced.stamp != written.stamp

    def identity(self, entry: Entry) -> str:
        """The part of a stamp that doesn't depend on when it was taken."""
        return entry.stamp

    def test_the_mtime_of_the_source_is_kept(self, endpoint: Endpoint) -> None:
        written = put(endpoint, "k", b"1")

        assert now(endpoint, "k").mtime_ns == MTIME_NS
        with endpoint.read("k", expect=written) as source:
            assert source.entry.mtime_ns == MTIME_NS

    def test_a_source_without_an_mtime_can_be_written(self, endpoint: Endpoint) -> None:
        entry = endpoint.write("k", BytesSource(b"1", mtime_ns=None), expect=None)

        assert whole(endpoint, "k", entry) == b"1"

    def test_a_source_that_changes_while_it_is_read_publishes_nothing(
        self, endpoint: Endpoint, behind: Behind
    ) -> None:
        old = put(endpoint, "old", b"old")
        before = behind.names()

        with pytest.raises(Changed):
            endpoint.write("new", BytesSource(b"x" * 100, longest=10, breaks_at=50), expect=None)
        with pytest.raises(Changed):
            endpoint.write("old", BytesSource(b"x" * 100, longest=10, breaks_at=100), expect=old)

        assert keys(endpoint) == ["old"]
        assert whole(endpoint, "old", old) == b"old"
        assert behind.names() == before

    @pytest.mark.parametrize("size", [0, 4, 6], ids=["empty", "shorter", "longer"])
    def test_a_source_of_another_size_than_its_entry_is_never_published(
        self, endpoint: Endpoint, behind: Behind, size: int
    ) -> None:
        old = put(endpoint, "old", b"old")
        before = behind.names()

        with pytest.raises(Changed):
            endpoint.write("new", BytesSource(b"12345", size=size), expect=None)
        with pytest.raises(Changed):
            endpoint.write("old", BytesSource(b"12345", size=size), expect=old)

        assert keys(endpoint) == ["old"]
        assert whole(endpoint, "old", old) == b"old"
        assert behind.names() == before

    def test_a_source_that_ends_early_is_never_published(self, endpoint: Endpoint) -> None:
        with pytest.raises(Changed):
            endpoint.write("new", BytesSource(b"", size=1), expect=None)

        assert keys(endpoint) == []

    # Rule 3: nothing is overwritten, deleted or read that wasn't seen.

    def test_creating_a_key_that_exists_is_refused(self, endpoint: Endpoint, behind: Behind) -> None:
        behind.plant("k", b"theirs")

        with pytest.raises(Changed):
            put(endpoint, "k", b"ours")

        assert behind.content("k") == b"theirs"
        assert behind.names() == ["k"]

    def test_replacing_a_key_that_changed_is_refused(self, endpoint: Endpoint, behind: Behind) -> None:
        stale = put(endpoint, "k", b"seen")
        behind.plant("k", b"unseen")

        with pytest.raises(Changed):
            put(endpoint, "k", b"ours", stale)

        assert behind.content("k") == b"unseen"
        assert behind.names() == ["k"]

    def test_replacing_a_key_that_is_gone_is_refused(self, endpoint: Endpoint, behind: Behind) -> None:
        stale = put(endpoint, "k", b"seen")
        behind.remove("k")

        with pytest.raises(Changed):
            put(endpoint, "k", b"ours", stale)

        assert behind.names() == []

    def test_replacing_with_an_entry_of_before_an_own_write_is_refused(self, endpoint: Endpoint) -> None:
        first = put(endpoint, "k", b"1")
        second = put(endpoint, "k", b"22", first)

        with pytest.raises(Changed):
            put(endpoint, "k", b"333", first)

        assert whole(endpoint, "k", second) == b"22"

    def test_deleting_removes_the_key(self, endpoint: Endpoint, behind: Behind) -> None:
        entry = put(endpoint, "a/k", b"1")
        put(endpoint, "a/l", b"1")

        endpoint.delete("a/k", expect=entry)

        assert endpoint.stat("a/k") is None
        assert keys(endpoint) == ["a/l"]
        assert behind.names() == ["a/l"]

    def test_deleting_what_was_listed_removes_the_key(self, endpoint: Endpoint, behind: Behind) -> None:
        behind.plant("k", b"1")
        (listed,) = entries(endpoint)

        endpoint.delete("k", expect=listed)

        assert keys(endpoint) == []

    def test_deleting_a_key_that_changed_is_refused(self, endpoint: Endpoint, behind: Behind) -> None:
        stale = put(endpoint, "k", b"seen")
        behind.plant("k", b"unseen")

        with pytest.raises(Changed):
            endpoint.delete("k", expect=stale)

        assert behind.content("k") == b"unseen"
        assert behind.names() == ["k"]

    def test_deleting_a_key_that_is_gone_is_refused(self, endpoint: Endpoint, behind: Behind) -> None:
        stale = put(endpoint, "k", b"seen")
        behind.remove("k")

        with pytest.raises(Changed):
            endpoint.delete("k", expect=stale)

    def test_reading_a_key_that_changed_is_refused(self, endpoint: Endpoint, behind: Behind) -> None:
        stale = put(endpoint, "k", b"seen")
        behind.plant("k", b"unseen")

        with pytest.raises(Changed):
            whole(endpoint, "k", stale)

    def test_reading_a_key_that_is_gone_is_refused(self, endpoint: Endpoint, behind: Behind) -> None:
        stale = put(endpoint, "k", b"seen")
        behind.remove("k")

        with pytest.raises(Changed):
            whole(endpoint, "k", stale)

    def test_what_was_listed_can_be_read_and_replaced(self, endpoint: Endpoint, behind: Behind) -> None:
        behind.plant("k", b"1")
        (listed,) = entries(endpoint)

        assert whole(endpoint, "k", listed) == b"1"
        put(endpoint, "k", b"22", listed)

        assert behind.content("k") == b"22"

    # What travels beside the content.

    def test_the_mode_of_the_source_is_kept(self, endpoint: Endpoint) -> None:
        entry = put(endpoint, "k", b"1", metadata={"mode": "100640"})

        assert metadata_of(endpoint, entry)["mode"] == "100640"

    def test_replaced_content_comes_with_its_own_mode(self, endpoint: Endpoint) -> None:
        first = put(endpoint, "k", b"1", metadata={"mode": "100640"})
        second = put(endpoint, "k", b"22", first, metadata={"mode": "100600"})

        assert metadata_of(endpoint, second)["mode"] == "100600"

    # Bodies from somewhere on.

    @pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 10), (3, 7), (9, 10), (2, 99)])
    def test_any_part_of_a_body_can_be_read_and_tells_of_the_whole(
        self, endpoint: Endpoint, start: int, stop: int
    ) -> None:
        entry = put(endpoint, "k", b"0123456789", metadata={"mode": "100640"})

        assert whole(endpoint, "k", entry, start, stop) == b"0123456789"[start:stop]
        with endpoint.read("k", expect=entry, start=start, stop=stop) as source:
            assert (source.entry.size, source.entry.stamp) == (entry.size, entry.stamp)
            assert source.metadata["mode"] == "100640"

    def test_a_part_of_a_version_that_is_gone_is_refused(self, endpoint: Endpoint, behind: Behind) -> None:
        seen = put(endpoint, "k", b"0123456789")
        behind.plant("k", b"9876543210")

        with pytest.raises(Changed):
            whole(endpoint, "k", seen, 2, 5)

    @pytest.mark.parametrize("start", [0, 1, 9, 10])
    def test_a_body_can_be_read_from_any_byte_on(self, endpoint: Endpoint, start: int) -> None:
        entry = put(endpoint, "k", b"0123456789")

        assert whole(endpoint, "k", entry, start) == b"0123456789"[start:]

    def test_the_rest_of_a_version_that_is_gone_is_refused(self, endpoint: Endpoint, behind: Behind) -> None:
        stale = put(endpoint, "k", b"0123456789")
        behind.plant("k", b"9876543210")

        with pytest.raises(Changed):
            whole(endpoint, "k", stale, 5)

    # Rule 12: moves, and copies inside the store.

    def test_a_move_gives_the_same_content_another_name(self, endpoint: Endpoint, behind: Behind) -> None:
        entry = put(endpoint, "a/k", b"12345", metadata={"mode": "100640"})

        moved = endpoint.move("a/k", "b/c/l", expect=entry)

        assert behind.names() == ["b/c/l"]
        assert (moved.key, moved.size) == ("b/c/l", 5)
        assert self.identity(now(endpoint, "b/c/l")) == self.identity(moved)
        assert now(endpoint, "b/c/l").mtime_ns == MTIME_NS
        assert whole(endpoint, "b/c/l", moved) == b"12345"
        assert metadata_of(endpoint, moved)["mode"] == "100640"

    def test_what_was_listed_can_be_moved(self, endpoint: Endpoint, behind: Behind) -> None:
        behind.plant("k", b"1")
        (listed,) = entries(endpoint)

        endpoint.move("k", "l", expect=listed)

        assert behind.names() == ["l"]

    def test_moving_a_key_that_changed_is_refused(self, endpoint: Endpoint, behind: Behind) -> None:
        stale = put(endpoint, "k", b"seen")
        behind.plant("k", b"unseen")

        with pytest.raises(Changed):
            endpoint.move("k", "l", expect=stale)

        assert behind.content("k") == b"unseen"
        assert behind.names() == ["k"]

    def test_moving_a_key_that_is_gone_is_refused(self, endpoint: Endpoint, behind: Behind) -> None:
        stale = put(endpoint, "k", b"seen")
        behind.remove("k")

        with pytest.raises(Changed):
            endpoint.move("k", "l", expect=stale)

        assert behind.names() == []

    def test_moving_to_a_name_that_is_taken_is_refused(self, endpoint: Endpoint, behind: Behind) -> None:
        entry = put(endpoint, "k", b"ours")
        behind.plant("l", b"theirs")

        with pytest.raises(Changed):
            endpoint.move("k", "l", expect=entry)

        assert behind.content("k") == b"ours"
        assert behind.content("l") == b"theirs"

    def test_of_many_that_move_to_one_name_exactly_one_wins(self, endpoint: Endpoint, behind: Behind) -> None:
        if not endpoint.capabilities.conditional_write:
            pytest.skip("this store says that a window remains")
        seen = [put(endpoint, f"d/{number}", bytes([number]) * (number + 1)) for number in range(WRITERS)]
        won = race(lambda number: endpoint.move(f"d/{number}", "k", expect=seen[number]))

        assert len(won) == 1
        assert behind.content("k") == bytes(won) * (won[0] + 1)
        assert len(behind.names()) == WRITERS

    def test_every_name_can_be_moved_to_and_from(self, endpoint: Endpoint, behind: Behind) -> None:
        names = self.nasty_keys(endpoint)
        for number, key in enumerate(names):
            first = put(endpoint, "from here", b"x" * number)
            there = endpoint.move("from here", key, expect=first)
            assert whole(endpoint, key, there) == b"x" * number
            back = endpoint.move(key, "to there", expect=there)
            endpoint.delete("to there", expect=back)

        assert behind.names() == []

    def test_a_copy_inside_the_store_is_the_same_content_with_its_time_and_mode(
        self, endpoint: Endpoint
    ) -> None:
        entry = put(endpoint, "a/k", b"12345", metadata={"mode": "100640"})

        copied = endpoint.copy_from(endpoint, "b/l", entry=entry, expect=None)

        if not endpoint.capabilities.server_copy:
            assert copied is None
            assert keys(endpoint) == ["a/k"]
            return
        assert copied is not None
        assert (copied.key, copied.size, copied.mtime_ns) == ("b/l", 5, MTIME_NS)
        assert self.identity(now(endpoint, "b/l")) == self.identity(copied)
        assert now(endpoint, "b/l").mtime_ns == MTIME_NS
        assert whole(endpoint, "b/l", copied) == b"12345"
        assert metadata_of(endpoint, copied)["mode"] == "100640"
        assert whole(endpoint, "a/k", entry) == b"12345"

    def test_a_copy_inside_the_store_replaces_what_was_seen_and_nothing_else(
        self, endpoint: Endpoint, behind: Behind
    ) -> None:
        if not endpoint.capabilities.server_copy:
            return
        entry = put(endpoint, "k", b"12345")
        there = put(endpoint, "l", b"seen")

        replaced = endpoint.copy_from(endpoint, "l", entry=entry, expect=there)
        assert replaced is not None
        assert behind.content("l") == b"12345"
        with pytest.raises(Changed):
            endpoint.copy_from(endpoint, "l", entry=entry, expect=None)
        with pytest.raises(Changed):
            endpoint.copy_from(endpoint, "l", entry=entry, expect=there)
        with pytest.raises(Changed):
            endpoint.copy_from(endpoint, "m", entry=entry, expect=there)
        assert behind.names() == ["k", "l"]

    def test_a_version_that_is_gone_is_not_copied_inside_the_store(
        self, endpoint: Endpoint, behind: Behind
    ) -> None:
        if not endpoint.capabilities.server_copy:
            return
        stale = put(endpoint, "k", b"seen")
        behind.plant("k", b"unseen")

        with pytest.raises(Changed):
            endpoint.copy_from(endpoint, "l", entry=stale, expect=None)
        behind.remove("k")
        with pytest.raises(Changed):
            endpoint.copy_from(endpoint, "l", entry=stale, expect=None)

        assert behind.names() == []

    # What is at hand.

    def test_what_is_at_hand_is_what_is_read_and_only_as_expected(
        self, endpoint: Endpoint, behind: Behind
    ) -> None:
        names = ["a/1", "a/2", "a/3", "a/4", "b/1", "c"]
        seen = [put(endpoint, key, f"of {key}".encode()) for key in names]
        behind.plant("a/2", b"theirs")
        behind.remove("a/3")
        behind.plant("b/1", b"of another size")

        found = list(endpoint.read_many(seen))

        assert len(found) == len(seen)
        if any(found):  # a bucket has nothing at hand
            assert found == [b"of a/1", None, None, b"of a/4", None, b"of c"]
        assert any(found) or endpoint.capabilities.names is NameRules.BUCKET

    # Rule 14: many deletions in one request.

    def test_of_many_deletions_in_one_request_each_is_on_its_own_condition(
        self, endpoint: Endpoint, behind: Behind
    ) -> None:
        if endpoint.capabilities.deletes_at_once == 1:
            return
        seen = [put(endpoint, f"d/{number}", b"x" * number) for number in range(8)]
        put(endpoint, "e", b"beside")
        behind.plant("d/1", b"theirs")
        behind.remove("d/6")

        gone = endpoint.delete_many(seen)

        assert gone - {"d/6"} == {"d/0", "d/2", "d/3", "d/4", "d/5", "d/7"}
        assert behind.names() == ["d/1", "e"]
        assert behind.content("d/1") == b"theirs"
        for entry in seen:
            with pytest.raises(Changed):
                endpoint.delete(entry.key, expect=entry)

    def test_what_was_listed_is_deleted_in_one_request_by_its_exact_name(
        self, endpoint: Endpoint, behind: Behind
    ) -> None:
        if endpoint.capabilities.deletes_at_once == 1:
            return
        names = self.nasty_keys(endpoint)
        for key in names:
            behind.plant(key, b"all the same, so that only the name tells")

        for start in (0, 1):
            before = behind.names()
            asked = entries(endpoint)[start::2]
            gone = endpoint.delete_many(asked)

            assert gone <= {entry.key for entry in asked}
            assert gone >= {entry.key for entry in asked if entry.key.isprintable()}
            assert behind.names() == sorted(set(before) - gone)

    def test_of_many_that_delete_a_version_with_others_exactly_one_does(
        self, endpoint: Endpoint, behind: Behind
    ) -> None:
        if endpoint.capabilities.deletes_at_once == 1:
            return
        seen = [put(endpoint, f"d/{number}", b"1") for number in range(20)]
        gone: list[str] = []
        race(lambda _: gone.extend(endpoint.delete_many(seen)))

        assert sorted(gone) == sorted(entry.key for entry in seen)
        assert behind.names() == []

    # Second names.

    def test_a_version_that_is_kept_outlasts_its_first_name(self, endpoint: Endpoint, behind: Behind) -> None:
        entry = put(endpoint, "a/k", b"old", metadata={"mode": "100640"})

        twin = endpoint.keep("a/k", "b/l", expect=entry)
        assert behind.names() == ["a/k", "b/l"]
        assert self.identity(now(endpoint, "b/l")) == self.identity(twin.copy)
        put(endpoint, "a/k", b"new one", twin.entry)

        assert behind.content("a/k") == b"new one"
        kept = now(endpoint, "b/l")
        assert (kept.key, kept.size, kept.mtime_ns) == ("b/l", 3, MTIME_NS)
        assert whole(endpoint, "b/l", kept) == b"old"
        assert metadata_of(endpoint, kept)["mode"] == "100640"

    def test_a_version_that_is_kept_can_be_deleted_under_either_name(
        self, endpoint: Endpoint, behind: Behind
    ) -> None:
        twin = endpoint.keep("k", "l", expect=put(endpoint, "k", b"1"))
        endpoint.delete("k", expect=now(endpoint, "k"))
        assert behind.names() == ["l"]
        endpoint.delete("l", expect=now(endpoint, "l"))
        assert behind.names() == []
        assert (twin.entry.key, twin.copy.key) == ("k", "l")

    def test_what_was_listed_can_be_kept(self, endpoint: Endpoint, behind: Behind) -> None:
        behind.plant("k", b"1")
        (listed,) = entries(endpoint)

        endpoint.keep("k", "l", expect=listed)

        assert behind.names() == ["k", "l"]
        assert behind.content("l") == b"1"

    def test_a_version_that_changed_or_is_gone_is_not_kept(self, endpoint: Endpoint, behind: Behind) -> None:
        stale = put(endpoint, "k", b"seen")
        behind.plant("k", b"unseen")

        with pytest.raises(Changed):
            endpoint.keep("k", "l", expect=stale)
        behind.remove("k")
        with pytest.raises(Changed):
            endpoint.keep("k", "l", expect=stale)

        assert behind.names() == []

    def test_a_name_that_another_version_has_is_not_taken_for_a_second_one(
        self, endpoint: Endpoint, behind: Behind
    ) -> None:
        entry = put(endpoint, "k", b"ours")
        behind.plant("l", b"theirs")

        with pytest.raises(Changed):
            endpoint.keep("k", "l", expect=entry)

        assert behind.content("k") == b"ours"
        assert behind.content("l") == b"theirs"

    def test_what_lies_in_the_trash_is_listed_where_it_is_asked_for(self, endpoint: Endpoint) -> None:
        for key in ("-", f"{TRASH}/r/a/k", f"{TRASH}/r/b", f"{TRASH}/s/a", "k"):
            put(endpoint, key, b"1")

        inside = [item[0] for item in endpoint.scan(f"{TRASH}/", f"{TRASH}0")]

        assert inside == [f"{TRASH}/r/a/k", f"{TRASH}/r/b", f"{TRASH}/s/a"]
        assert [item[0] for item in endpoint.scan(f"{TRASH}/", f"{TRASH}/s")] == inside[:2]
        assert [key for key in keys(endpoint) if not key.startswith(TRASH)] == ["-", "k"]

    def test_an_upload_that_is_gone_can_be_aborted(self, endpoint: Endpoint) -> None:
        endpoint.abort(Upload("k", "00000000-0000-0000-0000-000000000000"))

    # Several threads.

    def test_of_many_that_create_a_key_exactly_one_wins(self, endpoint: Endpoint, behind: Behind) -> None:
        if not endpoint.capabilities.conditional_write:
            pytest.skip("this store says that a window remains")
        won = race(lambda number: put(endpoint, "d/k", bytes([number]) * (number + 1)))

        assert len(won) == 1
        assert behind.content("d/k") == bytes(won) * (won[0] + 1)
        assert behind.names() == ["d/k"]

    def test_of_many_that_replace_a_version_exactly_one_wins(
        self, endpoint: Endpoint, behind: Behind
    ) -> None:
        if not endpoint.capabilities.conditional_write:
            pytest.skip("this store says that a window remains")
        seen = put(endpoint, "d/k", b"seen")
        won = race(lambda number: put(endpoint, "d/k", bytes([number]) * (number + 1), seen))

        assert len(won) == 1
        assert behind.content("d/k") == bytes(won) * (won[0] + 1)
        assert behind.names() == ["d/k"]

    def test_of_many_that_delete_a_version_exactly_one_wins(self, endpoint: Endpoint, behind: Behind) -> None:
        if not endpoint.capabilities.conditional_delete:
            pytest.skip("this store says that a window remains")
        seen = put(endpoint, "d/k", b"seen")
        won = race(lambda _: endpoint.delete("d/k", expect=seen))

        assert len(won) == 1
        assert behind.names() == []

    def test_many_keys_can_be_written_at_once(self, endpoint: Endpoint, behind: Behind) -> None:
        names = [f"d{number % 5}/e{number % 3}/{number:03}" for number in range(60)]
        with ThreadPoolExecutor(WRITERS) as pool:
            written = list(pool.map(lambda key: put(endpoint, key, key.encode()), names))

        assert [entry.key for entry in written] == names
        assert keys(endpoint) == sorted(names)
        assert behind.names() == sorted(names)

    # Names that a store can't hold.

    def test_a_key_that_no_store_can_hold_is_rejected_and_written_nowhere(
        self, endpoint: Endpoint, behind: Behind
    ) -> None:
        longest = endpoint.capabilities.max_key_bytes
        for key in ("", "\udcff", "x" * (longest + 1)):
            assert endpoint.refusal(key) is not None
            with pytest.raises(Rejected):
                put(endpoint, key, b"1")

        assert endpoint.refusal("a/b c") is None
        assert behind.names() == []

    # The root, and the end.

    def test_a_root_is_a_url_and_overlaps_with_itself(self, endpoint: Endpoint) -> None:
        assert "://" in endpoint.root
        assert all(count >= 0 for count in endpoint.requests.values())
        assert endpoint.overlaps(endpoint)

    @pytest.mark.parametrize("scratch", [False, True])
    def test_a_probe_leaves_nothing_behind(self, endpoint: Endpoint, behind: Behind, scratch: bool) -> None:
        probe = endpoint.probe(scratch=scratch)

        assert probe.filesystem
        assert behind.names() == []
        assert keys(endpoint) == []

    def test_what_was_written_is_there_after_a_flush(self, endpoint: Endpoint, behind: Behind) -> None:
        put(endpoint, "a/k", b"1")
        endpoint.flush()
        endpoint.flush()

        assert behind.content("a/k") == b"1"

    def test_an_endpoint_may_be_closed_twice(self, endpoint: Endpoint) -> None:
        put(endpoint, "k", b"1")
        endpoint.close()
        endpoint.close()


class BucketContract(EndpointContract):
    """The rules of a store whose `capabilities.names` is `bucket`."""

    def test_every_field_beside_the_content_is_kept(self, endpoint: Endpoint) -> None:
        fields = {
            "mode": "100640",
            "uid": "1000",
            "gid": "100",
            "project": "apollo 11",
            "content-type": "text/x-log",
            "cache-control": "max-age=60",
            "content-disposition": 'attachment; filename="k.log"',
            "content-language": "de",
        }

        entry = put(endpoint, "k", b"1", metadata=fields)

        assert metadata_of(endpoint, entry) == fields

    def test_a_large_body_keeps_its_fields_and_time(self, endpoint: Endpoint) -> None:
        data = b"0123456789abcdef" * (9 << 16)

        entry = put(endpoint, "large", data, metadata={"mode": "100640", "content-type": "text/x-log"})

        assert metadata_of(endpoint, entry) == {"mode": "100640", "content-type": "text/x-log"}
        assert now(endpoint, "large").mtime_ns == MTIME_NS
        with endpoint.read("large", expect=entry, start=len(data) - 20) as source:
            assert source.read() == data[-20:]

    def test_a_large_object_is_copied_and_moved_inside_the_store(self, endpoint: Endpoint) -> None:
        data = b"0123456789abcdef" * (9 << 16)
        entry = put(endpoint, "large", data, metadata={"mode": "100640"})

        copied = endpoint.copy_from(endpoint, "copy", entry=entry, expect=None)
        moved = endpoint.move("large", "moved", expect=entry)

        for found in (copied, moved) if endpoint.capabilities.server_copy else (moved,):
            assert found is not None
            with endpoint.read(found.key, expect=found) as source:
                assert source.read() == data
                assert dict(source.metadata)["mode"] == "100640"
                assert source.entry.mtime_ns == MTIME_NS


class TreeContract(EndpointContract):
    """The rules of a store whose `capabilities.names` is `tree`."""

    def test_a_key_that_only_a_bucket_can_hold_is_rejected(self, endpoint: Endpoint, behind: Behind) -> None:
        entry = Entry("k", 1, MTIME_NS, "stamp")
        for key in (
            "/lead",
            "a//b",
            "//",
            "../",
            ".",
            "..",
            "./a",
            "a/..",
            "a/../b",
            "a/./b",
            "nul\0",
            "x" * 256,
        ):
            with pytest.raises(Rejected):
                put(endpoint, key, b"1")
            with pytest.raises(Rejected):
                endpoint.delete(key, expect=entry)
            with pytest.raises(Rejected):
                whole(endpoint, key, entry)
            with pytest.raises(Rejected):
                endpoint.stat(key)

        assert behind.names() == []

    def test_a_key_that_ends_in_a_slash_is_a_directory(self, endpoint: Endpoint) -> None:
        made = put(endpoint, "a/d/", b"")

        assert endpoint.stat("a/d/") == made == Entry("a/d/", 0, None, DIRECTORY)
        assert whole(endpoint, "a/d/", made) == b""
        assert put(endpoint, "a/d/", b"") == made  # one that is there already is no other version
        assert endpoint.stat("a/") == Entry("a/", 0, None, OCCUPIED)
        with pytest.raises(Changed, match="isn't empty"):
            endpoint.delete("a/", expect=made)
        with pytest.raises(Rejected, match="has content"):
            put(endpoint, "a/d/", b"1")
        endpoint.delete("a/d/", expect=made)
        assert endpoint.stat("a/d/") is None
        with pytest.raises(Changed):
            endpoint.delete("a/d/", expect=made)
        with pytest.raises(Changed):
            whole(endpoint, "a/d/", made)

    def test_a_file_is_no_directory(self, endpoint: Endpoint, behind: Behind) -> None:
        made = put(endpoint, "a", b"1")

        assert endpoint.stat("a/") is None
        with pytest.raises(Changed):
            endpoint.delete("a/", expect=made)
        with pytest.raises(Rejected, match="is a file"):
            put(endpoint, "a/", b"")
        assert behind.content("a") == b"1"

    def test_a_key_below_a_key_is_rejected(self, endpoint: Endpoint, behind: Behind) -> None:
        put(endpoint, "a", b"1")
        put(endpoint, "d/e", b"1")

        with pytest.raises(Rejected):
            put(endpoint, "a/b", b"1")
        with pytest.raises(Rejected):
            put(endpoint, "d", b"1")

        assert behind.names() == ["a", "d/e"]


def race(act: Callable[[int], object]) -> list[int]:
    """Let all writers act at one instant; the numbers of those that were not told `Changed`."""
    barrier = threading.Barrier(WRITERS)

    def attempt(number: int) -> int | None:
        barrier.wait()
        try:
            act(number)
        except Changed:
            return None
        return number

    with ThreadPoolExecutor(WRITERS) as pool:
        return [number for number in pool.map(attempt, range(WRITERS)) if number is not None]
