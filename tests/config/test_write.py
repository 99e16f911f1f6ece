from __future__ import annotations

import stat
from pathlib import Path

import pytest

from bisyncer.config.load import load
from bisyncer.config.write import add_pair, refuse_unwritten
from bisyncer.errors import UsageError
from bisyncer.job import Remote

VALUES = {"path1": "/a", "path2": "/b"}


def test_a_pair_is_added_and_every_other_byte_stays(tmp_path: Path) -> None:
    path = tmp_path / "b.toml"
    before = "# mine\n[pairs.one]\npath1 = '/x'   # odd   spaces\npath2 = '/y'\n\n[remotes.m]\nregion='r'"
    path.write_text(before)
    path.chmod(0o640)

    add_pair(
        path, "two.x", {**VALUES, "exclude": ["*.tmp"], "require_mount": True, "max_delete": ["5%", "3"]}
    )

    assert path.read_text().startswith(before)
    config = load(path)
    job = config.job("two.x")
    assert (job.path1, job.exclude, job.require_mount, job.limits.max_delete_count) == (
        "/a",
        ("*.tmp",),
        True,
        3,
    )
    assert config.job("one").path1 == "/x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert not list(tmp_path.glob(".b*"))


def test_a_config_that_is_not_there_is_made_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "deep/er/b.toml"

    add_pair(
        path,
        "one",
        VALUES,
        remotes=["m.region=r", "m.profile=p"],
        top={"state": "sqlite:////s.db", "rclone_config": "/etc/rclone.conf"},
    )

    config = load(path)
    assert config.job("one").path2 == "/b"
    assert config.remotes["m"] == Remote("m", region="r", profile="p")
    assert (config.state, config.rclone_config) == ("sqlite:////s.db", "/etc/rclone.conf")


def test_a_state_or_a_remote_that_the_file_has_already_stays(tmp_path: Path) -> None:
    path = tmp_path / "b.toml"
    path.write_text("state = 'sqlite:////old.db'\n[remotes.m]\nregion = 'old'\n")

    add_pair(
        path,
        "one",
        VALUES,
        remotes=["m.region=new"],
        top={"state": "sqlite:////new.db", "rclone_config": None},
    )

    config = load(path)
    assert config.state == "sqlite:////old.db"
    assert config.remotes["m"].region == "old"


def test_a_setting_that_the_file_has_otherwise_is_refused_for_a_new_pair(tmp_path: Path) -> None:
    path = tmp_path / "bisyncer.toml"
    path.write_text('state = "sqlite:///own.db"\n[remotes.m]\nregion = "here"\n')
    own = f"sqlite:///{tmp_path / 'own.db'}"

    refuse_unwritten(path, ("m.region=here", "new.region=there"), own)
    refuse_unwritten(tmp_path / "none.toml", ("m.region=there",), "sqlite:////x.db")
    with pytest.raises(UsageError, match=r"--remote m\.region: .* has \[remotes\.m\] already"):
        refuse_unwritten(path, ("m.region=there",), None)
    with pytest.raises(UsageError, match=r"--state: .* names another state"):
        refuse_unwritten(path, (), "sqlite:////other.db")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    real.write_text("")
    link = tmp_path / "link.toml"
    link.symlink_to(real)

    add_pair(link, "one", VALUES)

    assert link.is_symlink()
    assert load(real).job("one")


def test_a_file_that_no_table_can_be_added_to_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "b.toml"
    text = "pairs = { one = { path1 = '/x', path2 = '/y' } }\n"
    path.write_text(text)

    with pytest.raises(UsageError, match="is written in a way that a pair can't be added to") as caught:
        add_pair(path, "two", VALUES)

    assert "\n" not in str(caught.value)
    assert path.read_text() == text


def test_a_place_that_can_not_be_written_is_one_line() -> None:
    with pytest.raises(UsageError, match=r"The pair 'one' can't be written to /proc/b.toml: No such file"):
        add_pair(Path("/proc/b.toml"), "one", VALUES)  # nobody can make a file there, not even root


def test_a_place_that_can_not_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"b.toml can't be read: Not a directory"):
        add_pair(tmp_path / "file/b.toml", "one", VALUES)
