"""The modes, as a person sets them and sees them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bisyncer.core.trash import in_trash
from bisyncer.model import SEALS
from tests.desk import Desk, held, put
from tests.servers import BUCKET, S3Server


def test_a_change_of_the_mode_is_told_once_and_status_shows_the_mode(desk: Desk) -> None:
    desk.align(files=1)
    put(desk.two, {"new": "2"})
    desk.configure({"cms": 'mode = "mirror"'})

    first, second, third = desk("run"), desk("run"), desk("run")

    assert first.lines[0] == "cms: its mode is mirror from now on, and was bisync; this run deletes nothing"
    assert first.lines[1].endswith(
        ": nothing to do; 1 unchanged; 1 on path2 only, and deleted by the next run"
    )
    assert second.lines[0] == "delete-from-path2 new (absent / new)"
    assert len(third.lines) == 1
    assert desk("status").lines[1].split()[-1] == "mirror"
    assert desk("status", "--json").json[0]["mode"] == "mirror"
    assert desk("run", "--json").json["mode"] == "mirror"


def test_the_mode_of_a_run_is_a_flag_too_and_is_that_of_its_report(desk: Desk) -> None:
    desk.align(files=1)
    put(desk.two, {"new": "2"})

    report = desk("run", "--mode", "copy", "--json").json

    assert (report["mode"], report["left"], report["exit_code"]) == ("copy", 1, 0)


def test_init_writes_the_mode_of_a_new_pair(desk: Desk) -> None:
    desk.config.write_text(f'state = "sqlite:///{desk.state}"\n')
    put(desk.two, {"b": "2"})

    answer = desk("init", desk.one, desk.two, "--name", "site", "--mode", "mirror", "--resync")

    assert 'mode = "mirror"' in desk.config.read_text()
    assert answer.lines[-1].endswith("1 on path2 only, and deleted by the next run")
    assert (held(desk.one), held(desk.two)) == ({}, {"b": "2"})
    assert desk("run").code == 0
    assert held(desk.two) == {}


def test_what_stays_on_path2_of_a_copy_is_no_difference_to_check(desk: Desk) -> None:
    desk.align({"cms": 'mode = "copy"'}, files=1)
    put(desk.two, {"old": "2"})

    answer = desk("check", "cms")

    assert (answer.code, answer.lines) == (
        0,
        ["= f000", "- old", "cms: no difference: 1 equal, 1 missing on path1"],
    )
    desk.configure({"cms": 'mode = "mirror"'})
    assert desk("check", "cms").code == 1


def test_a_plan_names_what_delete_excluded_deletes_and_why(desk: Desk) -> None:
    desk.align({"cms": 'mode = "mirror"'}, files=2)
    put(desk.one, {"c.tmp": "1"})
    put(desk.two, {"c.tmp": "2"})
    desk.configure({"cms": 'mode = "mirror"\nexclude = ["*.tmp"]\ndelete_excluded = true'})

    assert desk("plan", "cms").lines[0] == "delete-from-path2 c.tmp: the filters leave it out"
    assert desk("run").code == 0
    assert "c.tmp" in held(desk.one)
    assert "c.tmp" not in held(desk.two)


def test_a_check_file_that_the_filters_leave_out_is_never_deleted(desk: Desk) -> None:
    guard = 'mode = "mirror"\ncheck_file = "guard.tmp"\nexclude = ["*.tmp"]\ndelete_excluded = true'
    desk.configure({"cms": guard})

    answer = desk("run")

    assert answer.code == 2
    assert "guard.tmp, the check_file, is left out on both sides by exclude" in answer.err


def test_doctor_tries_nothing_on_a_path1_that_is_only_read(desk: Desk) -> None:
    desk.align({"cms": 'mode = "mirror"'}, files=1)
    before = places(desk.one)

    rows = desk("doctor", "--json").json

    assert places(desk.one) == before
    (root,) = [row for row in rows if (row["check"], row["side"]) == ("root", "path1")]
    assert root["sentence"].endswith("can be listed, and is only read")
    assert {row["check"] for row in rows if row["side"] == "path1"} <= {"root", "mount", "clock", "store"}


@pytest.fixture
def read_only(desk: Desk) -> Iterator[Path]:
    """path1 as its owner may leave it: for all others, and for us, to be read only."""
    put(desk.one, {"d/a": "1", "b": "2"})
    for place in (desk.one / "d", desk.one):
        place.chmod(0o555)
    yield desk.one
    for place in (desk.one, desk.one / "d"):
        place.chmod(0o755)


@pytest.mark.parametrize("mode", ["mirror", "copy"])
def test_a_tree_that_may_only_be_read_is_brought_to_a_bucket(
    desk: Desk, read_only: Path, seaweed: S3Server, tmp_path: Path, mode: str
) -> None:
    key_env, secret_env = seaweed.variables
    desk.config.write_text(
        f'state = "sqlite:///{desk.state}"\n[remotes.weed]\nendpoint_url = "{seaweed.endpoint_url}"\n'
        f'access_key_id_env = "{key_env}"\nsecret_access_key_env = "{secret_env}"\nregion = "us-east-1"\n'
        f'[pairs.site]\npath1 = "{desk.one}"\npath2 = "weed:{BUCKET}/{tmp_path.name}"\nmode = "{mode}"\n'
    )
    prefix, before = f"{tmp_path.name}/", places(desk.one)
    with seaweed.client() as client:

        def bucket(*, trash: bool = False) -> dict[str, bytes]:
            listed = client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", ())
            keys = [each["Key"].removeprefix(prefix) for each in listed]
            keys = [key for key in keys if not key.startswith(f"{SEALS}/")]
            return {
                key: client.get_object(Bucket=BUCKET, Key=prefix + key)["Body"].read()
                for key in keys
                if in_trash(key) is trash
            }

        def put_object(key: str, body: bytes) -> None:
            client.put_object(Bucket=BUCKET, Key=prefix + key, Body=body)

        put_object("only", b"here")
        assert desk("init", "site", "--resync").code == 0
        assert bucket() == {"d/a": b"1", "b": b"2", "only": b"here"}
        put_object("b", b"edited")
        client.delete_object(Bucket=BUCKET, Key=prefix + "d/a")

        assert desk("run", "site").code == 0

        stays = {} if mode == "mirror" else {"only": b"here"}
        assert bucket() == {"d/a": b"1", "b": b"2"} | stays
        lost = [b"edited", b"here"] if mode == "mirror" else [b"edited"]
        assert sorted(bucket(trash=True).values()) == lost
    assert desk("run", "site").lines[-1].partition(": ")[2].partition(" in ")[0] == "success"
    assert desk("plan", "site", "--json").json["plan"] == []
    assert desk("check", "site").code == 0
    assert places(desk.one) == before


def places(folder: Path) -> dict[Path, tuple[int, int]]:
    """Every place below a folder, with what a write of it or in it would move."""
    found = [folder, *folder.rglob("*")]
    return {path: (path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in found}
