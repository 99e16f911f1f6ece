"""A file on one side, a directory of its name on the other: a problem of that name, and of no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pair import paired
from tests.places import Places, held
from tests.world import ONE, TWO


@pytest.mark.parametrize("resync", [True, False])
@pytest.mark.parametrize("file_side", [ONE, TWO])
@pytest.mark.parametrize("kinds", ["tree oci", "oci tree", "tree tree"])
def test_a_file_against_a_directory_is_told_by_both_names_and_rests_when_somebody_renames_one(
    kinds: str, file_side: str, resync: bool, places: Places, tmp_path: Path
) -> None:
    one, two = (places(kind) for kind in kinds.split())
    file, directory = (one, two) if file_side is ONE else (two, one)
    with paired(tmp_path, one, two) as pair:
        one.plant("other", b"1")
        pair.init()
        if not resync:
            pair.run(resync=True)
        file.plant("a", b"a file")
        directory.plant("a/b", b"below")

        for number in range(2):
            summary = pair.run(resync=resync and number == 0)

            assert summary.exit_code == 3
            sentences = {problem.key: problem.sentence for problem in summary.problems}
            assert sentences.keys() <= {"a", "a/b"}
            assert "has 'b' in it" in sentences.get("a", "a directory of that name has 'b' in it")
            assert "/a: is a file" in sentences.get("a/b", "/a: is a file")
            other = b"edited %d" % number
            (one, two)[number].plant("other", other)

        file.remove("a")
        file.plant("c", b"a file")
        pair.settle()
        assert pair.held() == {"a/b": b"below", "c": b"a file", "other": b"edited 1"}


def test_two_buckets_hold_both(places: Places, tmp_path: Path) -> None:
    one, two = places("oci"), places("oci")
    one.plant("a", b"an object")
    two.plant("a/b", b"below")

    with paired(tmp_path, one, two) as pair:
        assert pair.align().exit_code == 0
        assert held(one) == held(two) == {"a": b"an object", "a/b": b"below"}
