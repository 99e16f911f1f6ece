"""`bisyncer bench`."""

from __future__ import annotations

import pytest

from bisyncer.engine import bench
from bisyncer.engine.bench import Judgement, judged
from tests.desk import Desk, held


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "LARGE_BYTES", 3 << 20)
    monkeypatch.setattr(bench, "SMALL_FILES", 20)


def test_a_pair_is_measured_and_no_key_is_changed(desk: Desk) -> None:
    desk.align(files=12)
    (desk.one / "later.txt").write_text("not synced yet")

    answer = desk("bench", "cms", "--json")

    assert answer.code == 0, answer
    found = answer.json
    assert found["keys"] == {"path1": 13, "path2": 12}
    assert found["verdict"] == "sufficient"
    names = ("WALK_TIME_S", "LIST_TIME_S", "RECONCILE_S", "UPLOAD_MBPS", "SMALL_FILES_PER_S")
    assert all(found[name] > 0 for name in names)
    assert "later.txt" not in held(desk.two)
    assert list(desk.two.rglob("*bench*")) == []


def test_a_pair_that_cannot_keep_to_its_time_is_to_be_escalated(desk: Desk) -> None:
    desk.align(files=1)

    answer = desk("bench", "cms", "--sla", "1ms")

    assert answer.code == 1
    assert answer.lines[-1].startswith("verdict            escalate, of 0.001 s:")


def test_a_run_is_judged_by_half_of_its_time_and_by_all_of_it() -> None:
    assert [judged(reconcile_s, 60) for reconcile_s in (30, 30.1, 60, 60.1)] == [
        Judgement.SUFFICIENT,
        Judgement.MONITOR,
        Judgement.MONITOR,
        Judgement.ESCALATE,
    ]


@pytest.mark.parametrize("sla", ["soon", "0s"])
def test_no_time_at_all_is_refused(desk: Desk, sla: str) -> None:
    desk.align()

    answer = desk("bench", "cms", "--sla", sla)

    assert answer.code == 2
    assert answer.err.count("\n") == 1


def test_a_pair_that_was_never_aligned_is_told_to_be(desk: Desk) -> None:
    desk.configure()

    answer = desk("bench", "cms")

    assert answer.code == 7
    assert "init cms --resync" in answer.err
