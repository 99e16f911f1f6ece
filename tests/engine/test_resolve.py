"""Settling a conflict as a person decided."""

from __future__ import annotations

import pytest

from bisyncer.errors import Unfinished, UsageError
from bisyncer.model import Side
from tests.world import ONE, TWO, World

TEN = {f"k{number}": "x" * (number + 1) for number in range(10)}


@pytest.fixture
def met(world: World) -> World:
    """A world with one open conflict: 'then in two' at the name, 'written in one' beside it."""
    world.align(TEN)
    world.put(ONE, {"k0": "written in one"})
    world.put(TWO, {"k0": "then in two"})
    world.run()
    return world


def settle(world: World, keep: str) -> str:
    (conflict,) = world.conflicts()
    return world.resolve(conflict.id, keep)


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        ("path1", "written in one"),
        ("path2", "then in two"),
        ("newer", "then in two"),
        ("older", "written in one"),
        ("larger", "written in one"),
        ("smaller", "then in two"),
    ],
)
def test_the_version_that_was_asked_for_has_the_name_alone_on_both_sides(
    met: World, keep: str, kept: str
) -> None:
    settle(met, keep)

    assert met.held(ONE) == met.held(TWO) == TEN | {"k0": kept}
    assert met.conflicts() == []
    assert met.plan() == []


@pytest.mark.parametrize("keep", ["newer", "older", "larger", "smaller"])
def test_a_rule_that_chooses_neither_version_settles_nothing(world: World, keep: str) -> None:
    world.align(TEN)
    for side, text in ((ONE, b"of one"), (TWO, b"of two")):
        world.stores[side].put("k0", text, mtime_ns=10**18)
    world.run()
    before = world.held(ONE)

    with pytest.raises(Unfinished, match=f"neither is the {keep} one. Nothing was changed. Say --keep path1"):
        settle(world, keep)

    assert world.held(ONE) == world.held(TWO) == before
    assert len(world.conflicts()) == 1


def test_both_leaves_both_as_they_are(met: World) -> None:
    before = met.held(ONE)

    settle(met, "both")

    assert met.held(ONE) == met.held(TWO) == before
    assert met.conflicts() == []
    assert met.plan() == []


@pytest.mark.parametrize("keep", ["path1", "path2"])
@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("key", ["k0", "k0.conflict1"])
def test_a_version_that_moved_since_it_was_shown_is_not_touched(
    met: World, keep: str, side: Side, key: str
) -> None:
    met.put(side, {key: "edited meanwhile"})
    before = met.held(ONE), met.held(TWO)

    with pytest.raises(Unfinished, match="not as it was shown"):
        settle(met, keep)

    assert (met.held(ONE), met.held(TWO)) == before
    assert len(met.conflicts()) == 1


@pytest.mark.parametrize("keep", ["path1", "path2", "newer", "larger"])
@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("key", ["k0", "k0.conflict1"])
def test_an_edit_that_a_run_has_synced_since_was_never_shown_and_is_not_touched(
    met: World, keep: str, side: Side, key: str
) -> None:
    met.put(side, {key: "edited after it was shown"})
    met.run()
    before = met.held(ONE), met.held(TWO)

    with pytest.raises(Unfinished, match="was edited since"):
        settle(met, keep)

    assert (met.held(ONE), met.held(TWO)) == before
    settle(met, "both")
    assert met.conflicts() == []


def test_where_the_other_version_was_copied_over_the_name_only_that_one_can_be_kept(met: World) -> None:
    (conflict,) = met.conflicts()
    won, lost = met.held(ONE)["k0"], met.held(ONE)[conflict.beside]
    met.put(ONE, {"k0": lost})
    met.run()
    chosen = {"then in two": "path2", "written in one": "path1"}

    with pytest.raises(Unfinished, match="k0 was edited since"):
        settle(met, chosen[won])
    assert met.held(ONE)[conflict.beside] == met.held(TWO)[conflict.beside] == lost

    settle(met, chosen[lost])
    assert met.held(ONE) == met.held(TWO) == TEN | {"k0": lost}


@pytest.mark.parametrize("keep", ["path1", "path2"])
def test_a_conflict_of_the_other_version_keeps_what_it_holds_now(met: World, keep: str) -> None:
    met.put(ONE, {"k0.conflict1": "merged in one"})
    met.put(TWO, {"k0.conflict1": "merged in two"})
    met.run()
    first, _second = met.conflicts()

    with pytest.raises(Unfinished):
        met.resolve(first.id, keep)

    assert {"merged in one", "merged in two"} <= set(met.held(ONE).values())


@pytest.mark.parametrize("keep", ["path1", "path2"])
@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("method", ["keep", "copy_from", "move"])
def test_a_writer_while_it_is_resolved_keeps_its_version(
    met: World, keep: str, side: Side, method: str
) -> None:
    def interfere(name: str, key: str) -> None:
        if name == method:
            met.hooked[side].before = lambda _method, _key: None
            met.put(side, {key: "edited meanwhile"})

    met.hooked[side].before = interfere
    try:
        settle(met, keep)
    except Unfinished:
        met.run()
        met.run()

        assert "edited meanwhile" in met.held(ONE).values()
    assert met.held(ONE) == met.held(TWO)


# The version beside the name takes it in three steps a side, and is removed by one where it isn't wanted.
@pytest.mark.parametrize(("keep", "nth"), [("path1", 1), ("path1", 2), ("path1", 3), ("path2", 1)])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("side", Side)
def test_a_crash_while_it_is_resolved_keeps_the_version_that_was_asked_for(
    met: World, keep: str, when: str, side: Side, nth: int
) -> None:
    left = [nth]

    def crash(method: str, _key: str) -> None:
        if method in {"keep", "copy_from", "move"}:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt

    setattr(met.hooked[side], when, crash)
    with pytest.raises(KeyboardInterrupt):
        settle(met, keep)
    met.reopen_state()
    setattr(met.hooked[side], when, lambda _method, _key: None)

    met.run()
    if met.conflicts():
        settle(met, keep)

    wanted = "written in one" if keep == "path1" else "then in two"
    assert met.held(ONE) == met.held(TWO)
    assert wanted in met.held(ONE).values()


@pytest.mark.parametrize("keep", ["path1", "path2"])
def test_what_a_resync_recorded_without_digests_is_read(met: World, keep: str) -> None:
    with met.state.database.write() as connection:  # as where two stores tell ETags and nothing else
        connection.exec_driver_sql("UPDATE ancestor SET sha256 = NULL, md5 = NULL")
    (conflict,) = met.conflicts()

    met.resolve(conflict.id, keep)

    assert met.conflicts() == []
    assert met.held(ONE) == met.held(TWO)
    assert conflict.beside not in met.held(ONE)


def test_a_conflict_is_resolved_once(met: World) -> None:
    (conflict,) = met.conflicts()
    settle(met, "path1")

    with pytest.raises(UsageError, match="resolved already"):
        met.resolve(conflict.id, "path2")


def test_a_number_that_is_no_conflict_is_refused(met: World) -> None:
    with pytest.raises(UsageError, match="no conflict 99"):
        met.resolve(99, "path2")


@pytest.mark.parametrize("side", Side)
def test_on_a_side_that_was_rolled_back_nothing_is_settled(met: World, side: Side) -> None:
    met.stores[side].remove(met.conflicts()[0].beside)
    met.stores[side].put("k0", TEN["k0"].encode())
    stood = {each: met.held(each) for each in Side}

    with pytest.raises(Unfinished, match="not as it was shown"):
        settle(met, "path1")

    assert {each: met.held(each) for each in Side} == stood
    assert len(met.conflicts()) == 1
