"""People who write while a run is under way, on real stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bisyncer.model import RunOutcome, Side
from tests.pair import Pair, paired
from tests.places import Places

KEYS = [f"k{number}" for number in range(5)]


@pytest.fixture(params=["tree-s3", "azure-oci"])
def pair(request: pytest.FixtureRequest, places: Places, tmp_path: Path) -> Iterator[Pair]:
    """Two places, aligned, with some keys on both sides."""
    one, two = map(places, request.param.split("-"))
    for key in KEYS:
        one.plant(key, b"as it was, " + key.encode())
    with paired(tmp_path, one, two) as made:
        made.align()
        yield made


def once(deed: Callable[[], None], method: str) -> Callable[[str, str], None]:
    waiting = [deed]

    def hook(called: str, _key: str) -> None:
        if called == method and waiting:
            waiting.pop()()

    return hook


@pytest.mark.parametrize("written", Side)
def test_an_edit_between_scan_and_apply_is_kept_on_the_side_that_is_written_to(
    pair: Pair, written: Side
) -> None:
    pair.places[written.other].plant("k0", b"edited across")
    pair.hooked[written].before = once(lambda: pair.places[written].plant("k0", b"edited meanwhile"), "write")

    assert pair.run().outcome is RunOutcome.SUCCESS
    assert {*pair.held().values()} >= {b"edited across", b"edited meanwhile"}


@pytest.mark.parametrize("read", Side)
def test_an_edit_between_scan_and_apply_is_kept_on_the_side_that_is_read_from(pair: Pair, read: Side) -> None:
    pair.places[read].plant("k0", b"edited once")
    pair.hooked[read].before = once(lambda: pair.places[read].plant("k0", b"edited twice, longer"), "read")

    assert pair.run().outcome is RunOutcome.SUCCESS
    assert pair.held()["k0"] == b"edited twice, longer"


@pytest.mark.parametrize("deleted", Side)
def test_an_edit_of_what_is_about_to_be_deleted_survives(pair: Pair, deleted: Side) -> None:
    pair.places[deleted.other].remove("k0")
    pair.hooked[deleted].before = once(lambda: pair.places[deleted].plant("k0", b"edited meanwhile"), "move")

    assert pair.run().outcome is RunOutcome.SUCCESS
    assert pair.held()["k0"] == b"edited meanwhile"


@pytest.mark.parametrize("side", Side)
def test_a_key_that_appears_where_one_is_about_to_be_created_is_not_overwritten(
    pair: Pair, side: Side
) -> None:
    pair.places[side.other].plant("new", b"made across")
    pair.hooked[side].before = once(lambda: pair.places[side].plant("new", b"made here meanwhile"), "write")

    assert pair.run().outcome is RunOutcome.SUCCESS
    assert {*pair.held().values()} >= {b"made across", b"made here meanwhile"}
