"""Two buckets compared by size alone: what their listings tell of the contents has no say."""

from __future__ import annotations

from pathlib import Path

import pytest

from bisyncer.job import Evidence, Policy
from bisyncer.model import RunOutcome
from tests.pair import paired
from tests.places import Places


@pytest.mark.parametrize("aligned", [False, True])
def test_contents_of_one_size_are_taken_for_equal_though_their_digests_differ(
    places: Places, tmp_path: Path, *, aligned: bool
) -> None:
    one, two = places("oci"), places("oci")
    by_size = Policy(compare=frozenset({Evidence.SIZE}))

    with paired(tmp_path, one, two, policy=by_size) as pair:
        if aligned:
            pair.align()
        else:
            pair.init()
        one.plant("k", b"one")
        two.plant("k", b"two")
        first = pair.run(resync=not aligned)
        again = pair.run()

    assert (first.outcome, again.outcome) == (RunOutcome.SUCCESS, RunOutcome.SUCCESS)
    assert again.unchanged == 1
    assert (one.read("k"), two.read("k")) == (b"one", b"two")
