"""`bisyncer doctor`."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path
from typing import Any

import pytest

from bisyncer.endpoints.base import NameRules, Probe
from bisyncer.endpoints.memory import CAPABILITIES, MemoryEndpoint
from bisyncer.engine import doctor
from bisyncer.engine.doctor import Finding, Grade
from bisyncer.job import Job
from bisyncer.model import Conditions
from tests.desk import Desk, put
from tests.servers import BUCKET, S3Server


def grades(rows: Any) -> dict[tuple[str | None, str | None, str], str]:
    return {(row["pair"], row["side"], row["check"]): row["grade"] for row in rows}


def test_a_pair_that_is_well_is_ok_in_every_line(desk: Desk) -> None:
    desk.align({"cms": 'stale_after = "1h"'}, files=3)

    answer = desk("doctor", "--json")

    assert answer.code == 0
    found = grades(answer.json)
    assert {grade for check, grade in found.items() if check[2] != "mount"} == {"ok"}
    assert {check[2] for check in found} >= {
        "config",
        "state",
        "pair",
        "limits",
        "root",
        "conditions",
        "clock",
    }
    assert desk("doctor", "--quiet").code == 0


def test_a_look_leaves_nothing_behind(desk: Desk) -> None:
    desk.align(files=1)
    before = sorted(path.name for path in desk.one.iterdir())

    desk("doctor")

    assert sorted(path.name for path in desk.one.iterdir()) == before


def test_a_root_that_is_gone_is_told_with_its_cure_and_the_other_is_still_looked_at(desk: Desk) -> None:
    desk.align(files=1)
    shutil.rmtree(desk.one)

    answer = desk("doctor", "cms")

    assert answer.code == 1
    assert any(line.startswith("fail  cms path1 root:") and "Make it" in line for line in answer.lines)
    assert any(line.startswith("ok    cms path2 root:") for line in answer.lines)


def test_a_pair_that_is_not_recorded_and_one_that_was_never_aligned_are_warned_of(desk: Desk) -> None:
    desk.configure()
    assert any("bisyncer init cms`" in line for line in desk("doctor").lines)
    desk("init", "cms")
    assert any("bisyncer init cms --resync`" in line for line in desk("doctor").lines)


def test_a_missing_marker_fails(desk: Desk) -> None:
    desk.configure({"cms": 'check_file = ".marker"'})
    put(desk.one, {".marker": ""})

    found = grades(desk("doctor", "--json").json)

    assert found["cms", "path1", "marker"] == "ok"
    assert found["cms", "path2", "marker"] == "fail"


def test_what_waits_is_told(desk: Desk) -> None:
    desk.align(files=1)
    desk.clash()

    found = grades(desk("doctor", "--json").json)

    assert found["cms", None, "conflicts"] == "warn"


def test_a_last_run_that_was_halted_is_told_with_where_to_read_why(desk: Desk) -> None:
    desk.align(files=20)
    for path in desk.one.glob("f*"):
        path.unlink()
    assert desk("run").code == 5

    answer = desk("doctor")

    assert any(line.startswith("warn  cms last run: run 2 halted") for line in answer.lines)


def test_a_pair_that_is_not_there_is_one_line(desk: Desk) -> None:
    desk.configure()

    answer = desk("doctor", "nope")

    assert answer.code == 2
    assert "no pair 'nope'" in answer.err


def test_one_pair_with_a_bad_root_keeps_no_other_from_its_turn(desk: Desk) -> None:
    desk.configure({"good": "", "bad": ""})
    desk.config.write_text(desk.config.read_text().replace(f'"{desk.tree("bad1")}"', '"nowhere:bucket"'))

    found = grades(desk("doctor", "--json").json)

    assert found["bad", None, "pair"] == "fail"
    assert found["good", "path1", "root"] == "ok"


def test_too_few_open_files_are_warned_of(desk: Desk) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    desk.configure({"cms": "transfers = 1024"})
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        found = grades(desk("doctor", "--json").json)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert found["cms", None, "limits"] == "warn"


@pytest.fixture
def bucket_pair(desk: Desk, seaweed: S3Server, tmp_path: Path) -> None:
    key_env, secret_env = seaweed.variables
    desk.config.write_text(
        f'state = "sqlite:///{desk.state}"\n[remotes.weed]\nendpoint_url = "{seaweed.endpoint_url}"\n'
        f'access_key_id_env = "{key_env}"\nsecret_access_key_env = "{secret_env}"\nregion = "us-east-1"\n'
        f'[pairs.cms]\npath1 = "{desk.one}"\npath2 = "weed:{BUCKET}/{tmp_path.name}"\n'
    )


def test_a_bucket_is_tried_and_its_clock_compared(desk: Desk, bucket_pair: None) -> None:
    found = grades(desk("doctor", "--json").json)

    assert found["cms", "path2", "root"] == "ok"
    assert found["cms", "path2", "conditions"] == "ok"
    assert found["cms", "path2", "clock"] == "ok"


def test_keys_that_a_store_refuses_are_told_with_their_cure(
    desk: Desk, bucket_pair: None, seaweed: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(seaweed.variables[1], "wrong")

    answer = desk("doctor")

    assert answer.code == 1
    assert any(line.startswith("fail  cms path2 root:") and "access keys" in line for line in answer.lines)


@pytest.mark.parametrize(
    ("skew_s", "grade"), [(0, "ok"), (-1.9, "ok"), (3, "warn"), (-3, "warn"), (301, "fail"), (-301, "fail")]
)
def test_a_clock_that_is_off_is_told(skew_s: float, grade: str) -> None:
    found = doctor._clock(int(skew_s * 1e9))

    assert found.grade == grade
    if grade != "ok":
        assert ("behind" in found.sentence) == (skew_s < 0)


@pytest.mark.parametrize(("free", "grade"), [(1 << 40, "ok"), (1 << 29, "warn"), (1 << 20, "fail")])
def test_little_room_is_told(free: int, grade: str) -> None:
    assert doctor._space(free).grade == grade


def test_a_store_that_ignores_conditions_is_a_warning_and_a_failure_where_they_are_required() -> None:
    probe = Probe(None, "s3", False, True, Conditions(put=False))
    job = Job("p", "a", "b")
    endpoint = MemoryEndpoint("doctor")

    found = doctor._conditions(job, endpoint, probe)
    required = doctor._conditions(Job("p", "a", "b", require_conditional=True), endpoint, probe)

    assert CAPABILITIES.names is NameRules.BUCKET
    assert (found.grade, required.grade) == (Grade.WARN, Grade.FAIL)
    assert "looks right before" in found.sentence
    assert isinstance(required, Finding)


@pytest.mark.parametrize(
    ("mount", "filesystem", "more", "grade", "said"),
    [
        ("/", "ext4", {}, "ok", "ext4, on the root file system"),
        ("/", "ext4", {"require_mount": True}, "fail", "nothing is mounted there"),
        ("/srv", "ext4", {}, "ok", "ext4, on the mount /srv"),
        ("/srv", "nfs4", {}, "warn", "nfs4 comes over the network"),
        ("/srv", "fuse.sshfs", {"require_mount": True}, "warn", "fuse.sshfs comes over the network"),
        ("/srv", "nfs4", {"require_mount": True, "check_file": ".marker"}, "ok", "nfs4, on the mount /srv;"),
    ],
)
def test_a_mount_from_the_network_wants_its_guards(
    mount: str, filesystem: str, more: dict[str, Any], grade: str, said: str
) -> None:
    found = doctor._mount(Job("p", "a", "b", **more), Probe(mount, filesystem, True, True))

    assert found.grade == grade
    assert found.sentence.startswith(said)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("", "is kept in .bisyncer-trash for 30 days"),
        ('trash = { keep = "forever" }', "is kept in .bisyncer-trash for ever"),
        ("trash = false", "trash is off"),
    ],
)
def test_it_tells_what_becomes_of_versions_that_are_replaced(desk: Desk, more: str, told: str) -> None:
    desk.align({"cms": more}, files=1)
    lines = [row["sentence"] for row in desk("doctor", "--json").json if row["check"] == "trash"]
    assert len(lines) == 2
    assert all(told in line for line in lines)
