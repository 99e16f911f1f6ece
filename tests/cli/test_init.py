from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bisyncer.config.load import load
from bisyncer.endpoints.base import Probe
from bisyncer.endpoints.local import LocalEndpoint
from bisyncer.job import Resolve
from bisyncer.state.lease import Lease
from tests.desk import Desk, held, put


def test_a_pair_of_the_config_is_checked_recorded_and_not_yet_aligned(desk: Desk) -> None:
    desk.configure()
    put(desk.one, {"a": "x"})

    answer = desk("init", "cms")

    assert (answer.code, answer.err) == (0, "")
    assert answer.lines[0].startswith(f"path1 file://{desk.one}: reachable, ")
    assert answer.lines[1].startswith(f"path2 file://{desk.two}: reachable, ")
    assert answer.lines[2:] == [
        "cms: recorded",
        "Next: bisyncer init cms --resync, the first alignment. It deletes nothing.",
    ]
    assert held(desk.two) == {}
    assert desk("run").code == 7


def test_a_resync_joins_both_sides_and_deletes_nothing(desk: Desk) -> None:
    desk.configure()
    put(desk.one, {"a": "x", "same": "s"})
    put(desk.two, {"b": "yy", "same": "s"})

    answer = desk("init", "cms", "--resync")

    assert (answer.code, answer.err) == (0, "")
    assert sorted(answer.lines[3:6]) == [
        "copy-to-path1 b (absent / new)",
        "copy-to-path2 a (new / absent)",
        "record same (new / new)",
    ]
    assert answer.lines[6].startswith("cms: success (resync) in ")
    assert held(desk.one) == held(desk.two) == {"a": "x", "b": "yy", "same": "s"}
    assert desk("init", "cms").lines[-1] == "cms: recorded", "what is aligned needs no advice"


def test_a_resync_may_let_one_version_replace_the_other_which_stays_in_the_trash(desk: Desk) -> None:
    desk.configure()
    put(desk.one, {"x": "of one"})
    put(desk.two, {"x": "of the two"})

    answer = desk("init", "cms", "--resync", "--resync-mode", "path1")

    assert (answer.code, answer.err) == (0, "")
    line = "conflict x (new / new): path1 keeps the name, path2's version went to .bisyncer-trash/"
    assert answer.lines[3].startswith(line)
    assert held(desk.one) == held(desk.two) == {"x": "of one"}
    assert desk("trash", "restore", "cms", "x").code == 0
    assert held(desk.two) == {"x": "of one", "x.restored1": "of the two"}


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_resync_mode_without_a_resync_is_refused(command: str, desk: Desk) -> None:
    desk.align()

    answer = desk(command, "cms", "--resync-mode", "newer")

    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("bisyncer: --resync-mode goes with --resync: ")


def test_two_roots_make_a_pair_that_is_written_to_the_config_with_its_settings(desk: Desk) -> None:
    desk.configure({"other": "transfers = 3"})
    before = desk.config.read_text()

    answer = desk(
        *("init", "./two", desk.tree("three"), "--name", "new", "--resync"),
        *(
            "--exclude",
            "*.tmp",
            "--exclude",
            ".git/**",
            "--max-delete",
            "5%",
            "--require-mount",
            "--stale-after=1h",
        ),
    )

    # The guard is the engine's: a temporary folder is no mount.
    assert answer.code == 5
    assert desk.config.read_text().startswith(before)
    job = load(desk.config).job("new")
    assert (job.path1, job.path2) == (str(desk.two), str(desk.folder / "three"))
    assert job.exclude == ("*.tmp", ".git/**")
    assert job.limits.max_delete_percent == 5.0
    assert job.require_mount
    assert load(desk.config).stale_after_ns("new") == 3600 * 10**9
    assert load(desk.config).job("other").transfers == 3


def test_without_any_config_one_is_made_in_the_users_folder(desk: Desk, tmp_path: Path) -> None:
    answer = desk("init", "one", "two", "--resync")

    own = tmp_path / "home/.config/bisyncer/bisyncer.toml"
    assert answer.code == 0
    assert f"one-two: recorded, and written to {own}" in answer.lines
    assert desk("run", "one-two").code == 0
    assert (tmp_path / "home/.local/state/bisyncer/state.db").exists()


def test_a_named_config_that_is_not_there_is_made_and_remembers_the_state(desk: Desk) -> None:
    answer = desk(
        "init", "one", "two", "--config", "deep/new.toml", "--state", "sqlite:///own.db", "--resync"
    )

    assert answer.code == 0
    assert load(Path("deep/new.toml")).state == f"sqlite:///{desk.folder}/own.db"
    assert desk("run", "--config", "deep/new.toml").code == 0


def test_the_name_of_a_new_pair_comes_from_its_roots_and_is_nobody_elses(desk: Desk) -> None:
    for parent in "abc":
        desk.tree(parent)
        desk.tree(f"{parent}/content & more")
    desk("init", "a/content & more", "b/content & more")
    desk("init", "a/content & more", "c/content & more")

    assert list(load(None).pairs) == ["content-more", "content-more-2"]


def test_a_pair_that_can_not_be_used_is_not_written(desk: Desk) -> None:
    desk.configure()
    before = desk.config.read_text()
    for roots in (("one", "one/"), ("one", "nowhere"), ("one", "s3://")):
        assert desk("init", *roots).code == 2
    assert desk.config.read_text() == before


def test_a_check_is_told_as_json_too(desk: Desk) -> None:
    desk.configure()
    found = desk("init", "cms", "--json").json
    assert list(found) == ["pair", "mode", "path1", "path2", "warnings"]
    assert found["path1"]["root"] == f"file://{desk.one}"
    assert set(found["path2"]) == {
        "root",
        "filesystem",
        "mounted",
        "conditional_write",
        "conditional_delete",
        "remarks",
        "clock_skew_s",
    }


def test_a_store_whose_clock_is_off_is_told_with_the_cure(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.configure()
    real = LocalEndpoint.probe

    def probe(self: LocalEndpoint, *, scratch: bool = False) -> Probe:
        return replace(real(self, scratch=scratch), skew_ns=-3_600_000_000_000)

    monkeypatch.setattr(LocalEndpoint, "probe", probe)
    answer = desk("init", "cms")

    assert answer.code == 0
    warned = f"bisyncer: warning: cms: path1 (file://{desk.one}): the store's clock is 3,600.0 s behind this "
    assert answer.err.startswith(warned)
    assert desk("init", "cms", "--json").json["path2"]["clock_skew_s"] == -3600.0


def test_a_resync_is_told_as_a_run_is(desk: Desk) -> None:
    desk.configure()
    put(desk.one, {"a": "x"})
    answer = desk("init", "cms", "--resync", "--json")
    assert len(answer.lines) == 1
    assert answer.json["resync"] is True
    assert answer.json["actions"]["copy-to-path2"] == 1


def test_a_resync_that_never_began_is_told_as_a_run_is(desk: Desk) -> None:
    desk.align()
    store = desk.store()
    pair = store.pair("cms")
    assert pair is not None
    with Lease.take(store, pair):
        answer = desk("init", "cms", "--resync", "--json")
    store.close()
    assert answer.code == 6
    assert (answer.json["outcome"], answer.json["resync"]) == ("leased", True)


def test_the_same_name_with_other_roots_is_refused(desk: Desk) -> None:
    desk.align()
    desk.config.write_text(desk.config.read_text().replace(str(desk.two), str(desk.tree("three"))))
    for command in (["init", "cms"], ["run"]):
        answer = desk(*command)
        assert answer.code == 2
        assert "roots of pair 'cms' are not the roots that it was aligned with" in answer.err


@pytest.mark.parametrize("command", [["init", "cms"], ["run"], ["plan", "cms"]], ids=" ".join)
def test_a_root_that_is_gone_is_one_line(command: list[str], desk: Desk) -> None:
    desk.align()
    shutil.rmtree(desk.two)
    answer = desk(*command)
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert str(desk.two) in answer.err


def test_how_the_first_resync_treats_conflicts_is_not_how_later_ones_do(desk: Desk) -> None:
    desk.configure()
    put(desk.tree("three"), {"x": "of one"})
    put(desk.tree("four"), {"x": "of the two"})

    answer = desk("init", "three", "four", "--name", "new", "--resync", "--resync-mode", "path1")

    assert answer.code == 0
    assert held(desk.folder / "four") == {"x": "of one"}
    assert load(desk.config).job("new").policy.resync_mode is Resolve.NONE


@pytest.mark.parametrize(
    "more",
    [["--name", "a b"], ["--mode", "sync"], ["--resync-mode", "newer"], ["--max-delete", "x"]],
    ids=" ".join,
)
def test_what_is_refused_makes_no_state(desk: Desk, more: list[str]) -> None:
    config = desk.folder / "new.toml"
    state = desk.folder / "new.db"

    answer = desk("init", "one", "two", "--config", config, "--state", f"sqlite:///{state}", *more)

    assert (answer.code, answer.out) == (2, "")
    assert not state.exists()
    assert not config.exists()


def test_a_config_that_can_not_be_written_is_told_before_anything_is_tried(desk: Desk) -> None:
    put(desk.folder, {"file": "no folder"})
    state = desk.folder / "new.db"

    answer = desk("init", "one", "two", "--config", "file/x.toml", "--state", f"sqlite:///{state}")

    assert (answer.code, answer.out) == (2, "")
    assert "The pair can't be written to file/x.toml" in answer.err
    assert not state.exists()


def test_a_flag_for_the_new_pair_is_for_no_other(desk: Desk) -> None:
    desk.configure({"cms": "", "other": ""})

    answer = desk("init", "one", "two", "--name", "new", "--backup-dir1", desk.tree("old"))

    assert (answer.code, answer.err) == (0, "")
    assert load(desk.config).job("new").backup_dir1 == str(desk.folder / "old")
    assert load(desk.config).job("cms").backup_dir1 is None
