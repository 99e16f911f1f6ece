"""Where an rclone.conf is named, and which of two configs a name is of."""

from __future__ import annotations

from pathlib import Path

import pytest

from bisyncer.config.config import Config
from bisyncer.config.load import load
from bisyncer.errors import UsageError
from bisyncer.job import Remote


def conf(path: Path, name: str = "OCI_fk", namespace: str = "theirs") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"[{name}]\ntype = oracleobjectstorage\nnamespace = {namespace}\n")
    return path


def config(text: str = "", root: str = "OCI_fk:region1_bucket/p", folder: Path = Path()) -> Config:
    folder.mkdir(exist_ok=True)
    path = folder / "bisyncer.toml"
    path.write_text(f'{text}\n[pairs.cms]\npath1 = "{root}"\npath2 = "/b"\n')
    return load(path)


def namespace(config: Config) -> str | None:
    (remote,) = config.job("cms").remotes
    assert (remote.name, remote.type) == ("OCI_fk", "oci")
    return remote.namespace


def test_a_name_that_the_config_has_not_is_looked_for_where_rclone_would(tmp_path: Path) -> None:
    conf(tmp_path / "home/.config/rclone/rclone.conf")
    assert namespace(config()) == "theirs"


def test_our_own_remote_wins_over_one_of_the_same_name(tmp_path: Path) -> None:
    conf(tmp_path / "home/.config/rclone/rclone.conf")
    assert namespace(config("[remotes.OCI_fk]\ntype = 'oci'\nnamespace = 'ours'")) == "ours"


def test_the_file_is_named_by_a_flag_else_by_a_variable_else_by_the_config_else_as_for_rclone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RCLONE_CONFIG", str(conf(tmp_path / "1.conf", namespace="rclone's variable")))
    assert namespace(config()) == "rclone's variable"

    conf(tmp_path / "here/etc/2.conf", namespace="the config")
    text = "rclone_config = '2.conf'"
    assert namespace(config(text, folder=Path("etc"))) == "the config"

    conf(tmp_path / "home/3.conf", namespace="our variable")
    monkeypatch.setenv("BISYNCER_RCLONE_CONFIG", "~/3.conf")
    assert namespace(config(text, folder=Path("etc"))) == "our variable"

    conf(Path("4.conf"), namespace="a flag")
    assert namespace(load(Path("etc/bisyncer.toml"), rclone_config="4.conf")) == "a flag"


def test_an_rclone_conf_that_no_root_needs_is_not_even_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secret.conf").write_text("RCLONE_ENCRYPT_V0:\n")
    monkeypatch.setenv("RCLONE_CONFIG", "secret.conf")

    assert config(root="s3://bucket").job("cms").remotes == ()
    with pytest.raises(UsageError, match=r"^secret.conf is encrypted"):
        config().job("cms")


def test_a_name_that_nobody_has_is_told_with_those_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = conf(tmp_path / "home/.config/rclone/rclone.conf")
    with pytest.raises(UsageError) as caught:
        config("[remotes.m]\nregion = 'r'", root="OCI_fr:b").job("cms")
    assert str(caught.value) == (
        f"OCI_fr:b: no remote named 'OCI_fr' in the config (there: m), nor in {path} (there: OCI_fk). Add "
        "[remotes.OCI_fr], name the rclone.conf that has it with rclone_config, or write ./OCI_fr:b for a "
        "directory of that name."
    )
    with pytest.raises(
        UsageError, match=r"\(there: none\); /none, named by rclone_config, isn't there\. Add"
    ):
        config("rclone_config = '/none'").job("cms")


def test_a_remote_may_be_in_rclones_variables_and_in_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCLONE_CONFIG_OCI_FK_TYPE", "oracleobjectstorage")
    monkeypatch.setenv("RCLONE_CONFIG_OCI_FK_NAMESPACE", "variable")
    assert namespace(config("rclone_config = '/none'")) == "variable"


@pytest.mark.parametrize(
    "name", ["OCI_fk", "2nd", "with space", "dot.ted", "a-b", "me@home", "c++", "ünï", "_", "OCI_é 1"]
)
def test_each_name_that_rclone_allows_may_begin_a_root(name: str, tmp_path: Path) -> None:
    conf(tmp_path / "home/.config/rclone/rclone.conf", name)

    in_file = config(root=f"{name}:bucket/p").job("cms")
    said = load(None, new_pair=True).with_pair("new", f"{name}:bucket/p", f"{name}:other").job("new")

    assert in_file.path1 == said.path1 == f"{name}:bucket/p"
    assert in_file.remotes == said.remotes == (Remote(name, type="oci", namespace="theirs"),)


@pytest.mark.parametrize(
    "root", [":s3:bucket", ":s3,secret_access_key=hush:bucket", "OCI_fk,region=hush:bucket", "m,acl:bucket"]
)
def test_a_remote_on_the_spot_is_refused_and_not_repeated(root: str) -> None:
    with pytest.raises(UsageError) as caught:
        config(root=root)
    assert str(caught.value).startswith(
        "bisyncer.toml:3: path1 in [pairs.cms]: it describes a remote on the spot, as rclone may be told;"
    )
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("root", ["./m,acl:bucket", "/srv/a,b:c", "a,b"])
def test_a_directory_with_a_comma_is_a_directory(root: str, tmp_path: Path) -> None:
    assert config(root=root).job("cms").path1 == str(tmp_path / "here" / root)


@pytest.mark.parametrize(("line", "sentence"), [("3", "3 is no text;"), ("''", "it is empty;")])
def test_a_bad_name_of_the_file_is_told_with_its_place(line: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        config(f"rclone_config = {line}")
    assert str(caught.value).startswith(f"bisyncer.toml:1: rclone_config: {sentence}")
