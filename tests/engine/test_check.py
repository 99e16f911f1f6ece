"""Keys that a listing can't settle."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from bisyncer.endpoints.memory import MemoryStore
from bisyncer.engine.check import settled_agreement
from bisyncer.engine.transfer import content
from bisyncer.errors import Transient
from bisyncer.job import Evidence, Policy
from bisyncer.model import Agreement, Algorithm, Delta, Digest, Entry, RunOutcome, Side
from tests.world import ONE, TWO, World, carried_out

TEN = {f"k{number}": "x" * (number + 1) for number in range(10)}


@pytest.fixture
def tree(world: World) -> World:
    """A pair of which path1 behaves as a tree."""
    world.hooked[ONE].tree = True
    return world


def count_reads(world: World) -> list[str]:
    read: list[str] = []
    for side in (ONE, TWO):
        world.hooked[side].before = lambda method, key: read.append(key) if method == "read" else None
    return read


def requests_of(world: World) -> list[tuple[Side, str]]:
    asked: list[tuple[Side, str]] = []
    for side, hooked in world.hooked.items():
        hooked.before = partial(lambda side, method, _key: asked.append((side, method)), side)
    return asked


def test_a_touched_file_is_read_once_and_nothing_is_sent(tree: World) -> None:
    tree.align(TEN)
    tree.touch(ONE, "k3")
    read = count_reads(tree)

    summary = tree.run()

    assert carried_out(summary) == {}
    assert summary.unchanged == 10
    assert read == ["k3"]
    tree.run()
    assert read == ["k3"]


def test_an_edit_of_equal_size_is_told_from_a_touch(tree: World) -> None:
    tree.align(TEN)
    tree.put(ONE, {"k3": "yyyy"})

    assert tree.plan() == ["copy-to-path2 k3 (changed / unchanged)"]
    tree.run()
    assert tree.held(TWO)["k3"] == "yyyy"


def test_a_touch_here_and_an_edit_there_is_no_conflict(tree: World) -> None:
    tree.align(TEN)
    tree.touch(ONE, "k3")
    tree.put(TWO, {"k3": "edited"})

    assert tree.plan() == ["copy-to-path1 k3 (unchanged / changed)"]


def test_a_touch_here_and_a_deletion_there_is_a_deletion(tree: World) -> None:
    tree.align(TEN)
    tree.touch(ONE, "k3")
    tree.remove(TWO, "k3")

    assert tree.plan() == ["delete-from-path1 k3 (unchanged / deleted)"]


def test_an_edit_of_equal_size_here_and_a_deletion_there_survives(tree: World) -> None:
    tree.align(TEN)
    tree.put(ONE, {"k3": "yyyy"})
    tree.remove(TWO, "k3")

    assert tree.plan() == ["copy-to-path2 k3 (changed / deleted)"]


def test_equal_sizes_with_other_content_are_a_conflict_and_equal_content_is_not(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k3": "aaaa", "k4": "fffff"})
    world.put(TWO, {"k3": "bbbb", "k4": "fffff"})

    assert world.plan() == ["conflict k3 (changed / changed)", "record k4 (changed / changed)"]


def test_size_only_takes_equal_sizes_for_equal_and_reads_nothing(world: World) -> None:
    world.put(ONE, {"a": "11", "b": "22"})
    world.put(TWO, {"a": "99", "b": "22"})
    world.init()
    read = count_reads(world)

    summary = world.run(resync=True, policy=Policy(compare=frozenset({Evidence.SIZE})))

    assert carried_out(summary) == {"record": 2}
    assert read == []


def test_a_key_that_moves_while_it_is_compared_is_looked_at_again_in_the_same_run(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k3": "aaaa"})
    world.put(TWO, {"k3": "bbbb"})
    once = iter([True])
    world.hooked[ONE].before = lambda method, key: (
        world.put(ONE, {"k3": "a third"}) if method == "read" and next(once, False) else None
    )

    summary = world.run()

    assert summary.outcome is RunOutcome.SUCCESS
    assert carried_out(summary) == {"conflict": 1}
    assert set(world.held(ONE).values()) >= {"a third", "bbbb"}
    assert world.held(ONE) == world.held(TWO)


def test_unknown_is_never_taken_for_equal_where_content_cannot_be_read(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k3": "aaaa", "k5": "edited"})
    world.put(TWO, {"k3": "aaaa"})

    def unreadable(method: str, key: str) -> None:
        if (method, key) == ("read", "k3"):
            raise Transient("input/output error")

    world.hooked[TWO].before = unreadable
    summary = world.run()

    assert [problem.key for problem in summary.problems] == ["k3"]
    assert world.held(TWO)["k5"] == "edited"
    world.hooked[TWO].before = lambda _method, _key: None
    assert carried_out(world.run()) == {"record": 1}


def test_many_keys_are_settled_batch_by_batch(tree: World) -> None:
    many = {f"n{number:04}": f"{number}" for number in range(600)}
    tree.align(many)
    for key in many:
        tree.touch(ONE, key)

    summary = tree.run()

    assert (summary.unchanged, carried_out(summary)) == (600, {})


def test_all_touched_is_not_all_changed(tree: World) -> None:
    tree.align(TEN)
    for key in TEN:
        tree.touch(ONE, key)
    assert tree.run().outcome is RunOutcome.SUCCESS

    tree.put(ONE, {key: "y" * len(text) for key, text in TEN.items()})
    assert [halt.gate for halt in tree.run().halts] == ["all-changed"]


# As S3 gives it to "abc" in one part: the MD5 of that part's MD5.
OF_PARTS = Digest(Algorithm.ETAG_PARTS, hashlib.md5(hashlib.md5(b"abc").digest()).hexdigest() + "-1")


@pytest.mark.parametrize(("side", "other"), [(ONE, TWO), (TWO, ONE)])
def test_an_object_in_parts_is_not_read_where_the_files_parts_give_its_etag(
    world: World, side: Side, other: Side
) -> None:
    world.hooked[side].tree = True
    entries = {each: world.stores[each].put("k", b"abc")._replace(digests=()) for each in Side}
    entries[other] = entries[other]._replace(digests=(OF_PARTS,))
    asked = requests_of(world)

    assert settled_agreement(entries, world.endpoints, Policy()) is Agreement.SAME
    assert asked == [(side, "read")]
    assert {digest.algorithm for digest in entries[side].digests} == set(Algorithm) - {Algorithm.ETAG_MD5}


def test_an_object_in_parts_is_read_where_its_etag_is_not_met(world: World) -> None:
    world.hooked[ONE].tree = True
    entries = {each: world.stores[each].put("k", b"xyz")._replace(digests=()) for each in Side}
    entries[TWO] = entries[TWO]._replace(digests=(OF_PARTS,))
    read = count_reads(world)

    assert settled_agreement(entries, world.endpoints, Policy()) is Agreement.SAME
    assert read == ["k", "k"]


@pytest.mark.parametrize("apart_ns", [0, 5])
def test_where_times_are_believed_a_bucket_is_asked_for_its_own_before_anything_is_read(
    world: World, apart_ns: int
) -> None:
    world.hooked[ONE].tree = True
    entries = {
        ONE: world.stores[ONE].put("k", b"abc", mtime_ns=100)._replace(digests=()),
        TWO: world.stores[TWO].put("k", b"abc", mtime_ns=100 + apart_ns)._replace(digests=(), mtime_ns=100),
    }
    policy = Policy(compare=frozenset({Evidence.MTIME}), undated=frozenset({TWO}))
    asked = requests_of(world)

    assert settled_agreement(entries, world.endpoints, policy) is Agreement.SAME
    assert asked == [(TWO, "stat"), *((ONE, "read"), (TWO, "read"))[: 2 if apart_ns else 0]]


def digested(entry: Entry, data: bytes) -> Entry:
    return entry._replace(digests=(Digest(Algorithm.MD5, hashlib.md5(data).hexdigest()),))


def looked_up(world: World) -> None:
    """A look tells the MD5 of an object, as a HEAD does, and a listing doesn't."""
    for side in Side:
        hooked, store = world.hooked[side], world.stores[side]
        stat = hooked.stat

        def look(key: str, stat: Any = stat, store: MemoryStore = store) -> Entry | None:
            found = stat(key)
            return found and digested(found, store.contents()[key])

        hooked.stat = look  # type: ignore[method-assign]


def test_digests_that_differ_have_no_say_where_size_and_time_are_enough(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align(TEN)
    for side in Side:
        inner = world.hooked[side].inner
        monkeypatch.setattr(inner, "capabilities", replace(inner.capabilities, listed_mtime=False))
    looked_up(world)
    for side, data in ((ONE, b"eu-west"), (TWO, b"us-west")):
        world.stores[side].put("k", data, mtime_ns=10**18)
    policy = Policy(compare=frozenset({Evidence.SIZE, Evidence.MTIME}))

    assert carried_out(world.run(policy=policy)) == {"record": 1}
    assert world.plan(policy=policy) == []


def test_digests_that_differ_have_no_say_in_a_second_look_either(world: World) -> None:
    world.align(TEN)
    looked_up(world)
    world.put(ONE, {"k": "eu"})

    def come_between(method: str, key: str) -> None:
        if (method, key) == ("write", "k"):
            world.hooked[TWO].before = lambda _method, _key: None
            world.put(TWO, {"k": "us"})

    world.hooked[TWO].before = come_between
    policy = Policy(compare=frozenset({Evidence.SIZE}))

    assert world.run(policy=policy).exit_code == 0
    assert world.plan(policy=policy) == []


def test_content_that_is_read_has_both_digests(world: World) -> None:
    entry = world.stores[ONE].put("k", b"abc")

    read = content(world.endpoints[ONE], entry)

    assert {digest.algorithm.value: digest.value[:8] for digest in read.digests} == {
        "sha256": "ba7816bf",
        "md5": "90015098",
    }


@pytest.mark.parametrize("change", [lambda w: w.touch(ONE, "k3"), lambda w: w.put(ONE, {"k3": "yyyy"})])
def test_explain_settles_a_key_as_a_run_would_and_changes_nothing(
    tree: World, change: Callable[[World], None]
) -> None:
    from bisyncer.engine.explain import explain

    tree.align(TEN)
    change(tree)
    before = tree.held(ONE), tree.held(TWO)

    found = explain(tree.job, tree.endpoints, tree.state, "k3")

    assert found.delta1 in {Delta.UNCHANGED, Delta.CHANGED}
    assert (found.verdict == "nothing") == (found.delta1 is Delta.UNCHANGED)
    assert (tree.held(ONE), tree.held(TWO)) == before


def test_explain_says_of_a_key_that_is_nowhere_that_it_is_nowhere(world: World) -> None:
    from bisyncer.engine.explain import explain

    world.align(TEN)

    assert "neither side holds it" in explain(world.job, world.endpoints, world.state, "nope").sentence
