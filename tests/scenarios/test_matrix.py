"""Every store with every store: a pair's life from its first alignment to the run that has nothing to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from bisyncer.endpoints.body import PART_SIZE
from bisyncer.model import RunOutcome, Side
from tests.pair import paired
from tests.places import STORES, Places
from tests.world import ONE, TWO, carried_out

LARGE = PART_SIZE + 1  # bytes; sent in parts
# The seal is read. Once a run Azure is asked what kind of account it is, and a server of S3 what store.
ASKED_AT_REST = {"list", "account", "head", "get"}


@pytest.mark.parametrize("kind2", STORES)
@pytest.mark.parametrize("kind1", STORES)
def test_a_pair_of_any_two_stores_is_kept_equal(
    kind1: str, kind2: str, places: Places, tmp_path: Path
) -> None:
    one, two = places(kind1), places(kind2)
    for place in (one, two):
        place.plant("same", b"the same on both sides")
    for number in range(3):
        one.plant(f"one/\u00e9 {number}", b"of one %d" % number)
        two.plant(f"two/{number}", b"of two, %d" % number)
    one.plant("large", b"x" * LARGE)
    one.plant("differs", b"as one has it")
    two.plant("differs", b"as the other has it")

    with paired(tmp_path, one, two) as pair:
        assert pair.init() == ()
        aligned = pair.run(resync=True)

        assert aligned.outcome is RunOutcome.SUCCESS
        assert carried_out(aligned) == {
            "copy-to-path1": 3,
            "copy-to-path2": 4,
            "record": 1,
            "conflict": 1,
        }
        first = pair.held()
        assert len(first) == 10
        assert {first["differs"], first["differs.conflict1"]} == {b"as one has it", b"as the other has it"}

        one.plant("new of one", b"1")
        one.plant("two/0", b"edited by one")
        one.remove("two/1")
        two.plant("new/of/two", b"22")
        two.plant("one/\u00e9 0", b"edited by the other")
        two.remove("one/\u00e9 1")
        changed = pair.run()

        assert changed.outcome is RunOutcome.SUCCESS
        assert carried_out(changed) == {
            "copy-to-path1": 2,
            "copy-to-path2": 2,
            "delete-from-path1": 1,
            "delete-from-path2": 1,
        }
        assert pair.held() == {
            **{key: data for key, data in first.items() if key not in {"two/1", "one/\u00e9 1"}},
            "new of one": b"1",
            "two/0": b"edited by one",
            "new/of/two": b"22",
            "one/\u00e9 0": b"edited by the other",
        }

        one.plant("same", b"one's version")
        two.plant("same", b"the version of the other")
        both_edited = pair.run()

        assert [key for _, key in both_edited.conflicts] == ["same"]
        assert carried_out(both_edited) == {"conflict": 1}
        last = pair.held()
        assert {last["same"], last["same.conflict1"]} == {b"one's version", b"the version of the other"}

        pair.reopen()
        quiet = pair.run()

        assert carried_out(quiet) == {}
        assert quiet.unchanged == len(last)
        for side in Side:
            assert quiet.requests[side].keys() <= ASKED_AT_REST, side
        # Whether it is there, the seal, the listing before the trash and behind it, what store it is, and in
        # which order it lists.
        assert sum(quiet.requests[ONE].values()) <= 7
        assert sum(quiet.requests[TWO].values()) <= 7
        assert pair.held() == last
