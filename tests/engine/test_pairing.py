"""A name bound to two roots."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bisyncer.core.trash import LOW
from bisyncer.engine.pairing import init, open_pair
from bisyncer.engine.trash import purge
from bisyncer.errors import UsageError
from bisyncer.job import Job
from bisyncer.model import ALL_CONDITIONS, Side
from bisyncer.state.store import Store
from tests.servers import BUCKET, S3Server


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
    yield store
    store.close()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


def job(tree: Path, server: S3Server) -> Job:
    return Job("p", str(tree), f"{server.name}:{BUCKET}/pairing", remotes=(server.remote(),))


def test_what_a_store_does_not_honour_is_found_once_warned_of_and_remembered(
    state: Store, tree: Path, moto: S3Server
) -> None:
    first = open_pair(job(tree, moto), state)
    report = init(job(tree, moto), first, state)

    found = report.probes[Side.PATH2].conditions
    assert found.put
    assert not found.complete
    assert "path2" in report.warnings[0]

    pair = state.pair("p")
    assert pair is not None
    assert pair.conditions == (ALL_CONDITIONS, found)
    later = open_pair(job(tree, moto), state)
    assert not later[Side.PATH2].capabilities.conditional_write
    for endpoint in (*first.values(), *later.values()):
        endpoint.close()


def test_a_store_that_honours_every_condition_has_no_warning(
    state: Store, tree: Path, seaweed: S3Server
) -> None:
    endpoints = open_pair(job(tree, seaweed), state)

    assert init(job(tree, seaweed), endpoints, state).warnings == ()
    for endpoint in endpoints.values():
        endpoint.close()


@pytest.mark.parametrize(("one", "two"), [("", ""), ("", "inside"), ("inside", "")])
def test_roots_of_which_one_contains_the_other_are_refused(
    state: Store, tree: Path, one: str, two: str
) -> None:
    (tree / "inside").mkdir()

    with pytest.raises(UsageError, match=r"the same place|inside the other"):
        open_pair(Job("p", str(tree / one), str(tree / two)), state)


@pytest.mark.parametrize(("remote", "looks"), [("seaweed", 0), ("aside", 1)])
def test_what_was_found_of_a_side_is_true_of_a_trash_at_the_same_store_alone(
    remote: str, looks: int, state: Store, tree: Path, seaweed: S3Server
) -> None:
    remotes = (seaweed.remote(name="seaweed"), seaweed.remote(name="aside"))
    job = Job(
        "p",
        str(tree),
        f"seaweed:{BUCKET}/side",
        remotes=remotes,
        backup_dir2=f"{remote}:{BUCKET}/of-{remote}",
    )
    with seaweed.client() as client:
        name = f"of-{remote}/{LOW}20261125T080000Z-42/k"
        client.put_object(Bucket=BUCKET, Key=name, Body=b"1")

    endpoints = open_pair(job, state)
    purged = purge(endpoints[Side.PATH2], None, 2)
    asked = dict(endpoints[Side.PATH2].requests)
    for endpoint in endpoints.values():
        endpoint.close()

    assert purged == (1, 1, 0)
    assert asked.get("head", 0) == looks, "it is looked right before a deletion that may have no condition"
