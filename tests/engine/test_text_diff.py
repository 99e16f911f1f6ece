"""What differs between the versions of a conflict."""

from __future__ import annotations

import pytest

from bisyncer.engine.text_diff import LARGEST, TextDiff, text_diff
from bisyncer.errors import Transient
from tests.world import ONE, TWO, World


def compared(world: World, one: bytes, two: bytes) -> TextDiff:
    world.align({"k": "base"})
    for side, version in ((ONE, one), (TWO, two)):
        world.stores[side].put("k", version)
    world.run()
    return again(world)


def again(world: World) -> TextDiff:
    (conflict,) = world.conflicts()
    return text_diff(conflict, world.endpoints)


def test_two_texts_are_compared_line_by_line_from_path1_to_path2(world: World) -> None:
    found = compared(world, b"same\nof one\nend", b"same\nof two\nend\n")

    assert found.sentence is None
    assert found.lines == (
        "--- path1 k.conflict1",
        "+++ path2 k",
        "@@ -1,4 +1,3 @@",
        " same",
        "-of one",
        "+of two",
        " end",
        "-\\ no newline at the end",
    )


@pytest.mark.parametrize(
    ("one", "two", "sentence"),
    [
        (b"\xff one", b"text", "path1's version is no UTF-8 text; the two begin to differ at byte 1"),
        (
            b"text",
            b"text\0",
            "path2's version is no text; the two begin to differ where the shorter one ends",
        ),
        (b"abc", b"abd\0", "path2's version is no text; the two begin to differ at byte 3"),
        (b"x" * (LARGEST + 1), b"y", "path1's version has 262.1 kB, too much to be shown"),
        (b"\n" * 10_000, b"y", "path1's version has 10,001 lines, too many to be compared"),
    ],
    ids=["binary", "nul", "byte", "large", "lines"],
)
def test_what_is_no_text_to_compare_is_told_with_what_differs(
    world: World, one: bytes, two: bytes, sentence: str
) -> None:
    found = compared(world, one, two)

    assert found.lines == ()
    assert found.sentence is not None
    assert found.sentence.startswith(sentence)


@pytest.mark.parametrize("text", ["of the 2!", "another length"])
def test_a_version_that_is_not_what_was_recorded_is_not_shown_as_if_it_were(world: World, text: str) -> None:
    compared(world, b"of the one", b"of the 2.")

    world.put(TWO, {"k": text})

    assert again(world) == TextDiff(sentence="k on path2 was edited since")


def test_a_version_that_is_gone_or_cannot_be_read_is_told(world: World) -> None:
    compared(world, b"of the one", b"of the 2.")

    def fail(method: str, _key: str) -> None:
        if method == "read":
            raise Transient("input/output error")

    world.hooked[TWO].before = fail
    assert again(world) == TextDiff(sentence="input/output error")
    world.remove(ONE, "k.conflict1")
    assert again(world) == TextDiff(sentence="path1's version isn't at k.conflict1 on path1 any more")
