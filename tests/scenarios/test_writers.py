"""People who write while a run is under way, on real stores."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bisyncer.core.trash import in_trash
from bisyncer.endpoints.base import Endpoint
from bisyncer.engine import pairing, session
from bisyncer.model import Job, RunOutcome, Side
from bisyncer.report.events import Silent
from bisyncer.state.store import Store
from tests.servers import BUCKET, S3Server
from tests.world import ONE, TWO, Hooked


class Real:
    """A tree and a bucket under one pair, hooked so that a test can write at the right instant."""

    def __init__(self, folder: Path, seaweed: S3Server, prefix: str) -> None:
        self.tree = folder / "tree"
        self.tree.mkdir()
        self.seaweed = seaweed
        self.prefix = prefix
        self.state = Store.open(f"sqlite:///{folder / 'state.db'}")
        self.job = Job("p", str(self.tree), f"{seaweed.name}:{BUCKET}/{prefix}", remotes=(seaweed.remote(),))
        self.hooked = {side: Hooked(end) for side, end in pairing.open_pair(self.job, self.state).items()}
        self.endpoints: Mapping[Side, Endpoint] = self.hooked

    def close(self) -> None:
        for endpoint in self.endpoints.values():
            endpoint.close()
        self.state.close()

    def run(self, *, resync: bool = False) -> RunOutcome:
        job = replace(self.job, resync=resync)
        return session.run(job, self.endpoints, self.state, Silent(), stop=threading.Event()).outcome

    def put(self, side: Side, key: str, text: str) -> None:
        if side is ONE:
            (self.tree / key).write_text(text)
            return
        with self.seaweed.client() as client:
            client.put_object(Bucket=BUCKET, Key=f"{self.prefix}/{key}", Body=text.encode())

    def get(self, side: Side, key: str) -> str:
        if side is ONE:
            return (self.tree / key).read_text()
        with self.seaweed.client() as client:
            body: bytes = client.get_object(Bucket=BUCKET, Key=f"{self.prefix}/{key}")["Body"].read()
            return body.decode()

    def held(self, side: Side) -> set[str]:
        """The contents of all keys of a side."""
        keys = [item[0] for item in self.hooked[side].inner.scan() if not in_trash(item[0])]
        return {self.get(side, key) for key in keys}


@pytest.fixture
def real(tmp_path: Path, seaweed: S3Server, prefix: str) -> Real:
    made = Real(tmp_path, seaweed, prefix)
    pairing.init(made.job, made.endpoints, made.state)
    for number in range(5):
        made.put(ONE, f"k{number}", f"as it was {number}")
    made.run(resync=True)
    return made


def once(deed: Callable[[], None], method: str) -> Callable[[str, str], None]:
    waiting = [deed]

    def hook(called: str, _key: str) -> None:
        if called == method and waiting:
            waiting.pop()()

    return hook


@pytest.mark.parametrize("written", Side)
def test_an_edit_between_scan_and_apply_is_kept_on_the_side_that_is_written_to(
    real: Real, written: Side
) -> None:
    real.put(written.other, "k0", "edited across")
    real.hooked[written].before = once(lambda: real.put(written, "k0", "edited meanwhile"), "write")

    assert real.run() is RunOutcome.SUCCESS
    assert real.held(ONE) == real.held(TWO) >= {"edited across", "edited meanwhile"}
    real.close()


@pytest.mark.parametrize("read", Side)
def test_an_edit_between_scan_and_apply_is_kept_on_the_side_that_is_read_from(real: Real, read: Side) -> None:
    real.put(read, "k0", "edited once")
    real.hooked[read].before = once(lambda: real.put(read, "k0", "edited twice, longer"), "read")

    assert real.run() is RunOutcome.SUCCESS
    assert real.get(read, "k0") == "edited twice, longer"
    assert real.get(read.other, "k0") == "edited twice, longer"
    real.close()


@pytest.mark.parametrize("deleted", Side)
def test_an_edit_of_what_is_about_to_be_deleted_survives(real: Real, deleted: Side) -> None:
    other = deleted.other
    if other is ONE:
        (real.tree / "k0").unlink()
    else:
        with real.seaweed.client() as client:
            client.delete_object(Bucket=BUCKET, Key=f"{real.prefix}/k0")
    real.hooked[deleted].before = once(lambda: real.put(deleted, "k0", "edited meanwhile"), "move")

    assert real.run() is RunOutcome.SUCCESS
    assert real.get(ONE, "k0") == real.get(TWO, "k0") == "edited meanwhile"
    real.close()


@pytest.mark.parametrize("side", Side)
def test_a_key_that_appears_where_one_is_about_to_be_created_is_not_overwritten(
    real: Real, side: Side
) -> None:
    real.put(side.other, "new", "made across")
    real.hooked[side].before = once(lambda: real.put(side, "new", "made here meanwhile"), "write")

    assert real.run() is RunOutcome.SUCCESS
    assert real.held(ONE) == real.held(TWO) >= {"made across", "made here meanwhile"}
    real.close()
