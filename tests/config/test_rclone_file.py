from __future__ import annotations

import json
from pathlib import Path

import pytest

from bisyncer.config.rclone_file import read
from bisyncer.errors import UsageError
from tests.config.rclone import Rclone, run

TEXT = """\
; a comment
# another
[one]
type = s3
secret_access_key = a=b%c;d#e\\n
region : eu
access_key_id = `  back ticks ` and more
Endpoint = http://x
session_token = "quo"
profile =
"quoted key" = 1
"env_auth" = \"\"\"tr"ue\"\"\"
[ o.ne ]
type = s3
  indented=yes
[one.sub]
provider = AWS
[p%]
[one]
region = us
[ünï cödé-+@ 7]
type = local
region =\u00a0a\rb\x1c
"""


@pytest.fixture
def rclone(tmp_path: Path) -> Rclone:
    return Rclone(tmp_path / "rclone.conf")


def test_a_file_is_read_as_rclone_reads_it(rclone: Rclone) -> None:
    rclone.config.write_text("\ufeff" + TEXT, encoding="utf-8", newline="")

    file = read(str(rclone.config))

    theirs = json.loads(rclone("config", "dump"))
    ours = {
        name: {key: line.value for key, line in section.items()} for name, section in file.sections.items()
    }
    assert ours == theirs
    assert ours["one"]["secret_access_key"] == "a=b%c;d#e\\n"
    assert ours["one"]["region"] == "us"


def test_a_section_takes_what_it_lacks_from_the_one_that_its_name_is_below(
    rclone: Rclone, tmp_path: Path
) -> None:
    (tmp_path / "there/in").mkdir(parents=True)
    rclone.config.write_text(f"[one]\ntype = alias\nremote = {tmp_path}/there\n[one.two]\nx = y\n[no.ne]\n")
    assert rclone("lsf", "one.two:") == "in/\n"

    file = read(str(rclone.config))

    assert [file.get(name, "type") and name for name in ("one", "one.two", "no.ne", "one.three")] == [
        "one",
        "one.two",
        None,
        None,
    ]


def test_what_rclone_writes_is_read_back(rclone: Rclone) -> None:
    odd = {
        "access_key_id": "k%ey=x;y#z",
        "secret_access_key": 'a b`c"d/+==',
        "region": "'r'",
        "endpoint": "h:9000",
    }
    rclone.create("OCI_fk", "s3", **odd)

    file = read(str(rclone.config))

    assert {key: line.value for key, line in file.sections["OCI_fk"].items()} == {"type": "s3", **odd}


@pytest.mark.parametrize("how", ["password", "command", "newer"])
def test_an_encrypted_file_is_refused_with_what_to_do(how: str, rclone: Rclone) -> None:
    rclone.create("one", "s3", provider="AWS", secret_access_key="hush")
    rclone("config", "encryption", "set", "--password-command", "echo hush")
    if how == "newer":
        rclone.config.write_text(rclone.config.read_text().replace("ENCRYPT_V0", "ENCRYPT_V1"))
    elif how == "password":
        assert "[one]" in rclone("config", "show", "one", env={"RCLONE_CONFIG_PASS": "hush"})

    with pytest.raises(
        UsageError, match=r"rclone.conf is encrypted\. Write the remotes .*config show NAME"
    ) as told:
        read(str(rclone.config))

    assert "encryption remove" in str(told.value) and "\n" not in str(told.value)


def test_what_the_refusal_says_helps(rclone: Rclone) -> None:
    rclone.create("one", "s3", provider="AWS")
    rclone("config", "encryption", "set", "--password-command", "echo hush")
    rclone("config", "encryption", "remove", "--password-command", "echo hush")

    assert read(str(rclone.config)).sections["one"]["provider"].value == "AWS"


@pytest.mark.parametrize("line", ["hush", "= hush", '"hush = 1', "a = `hush", "[hush] ; c"])
def test_a_line_that_is_none_is_told_by_its_number_and_not_repeated(line: str, rclone: Rclone) -> None:
    rclone.config.write_text(f"[one]\n\n{line}\n")

    with pytest.raises(UsageError, match=r"rclone.conf:3: this is no line of an rclone.conf") as told:
        read(str(rclone.config))

    assert "hush" not in str(told.value)


def test_the_file_in_use_is_the_one_that_rclone_would_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, own = tmp_path / "home", tmp_path / "own"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(own))
    assert (read(None).path, read(None).missing) == (own / "rclone/rclone.conf", None)
    for path in (home / ".rclone.conf", home / ".config/rclone/rclone.conf", own / "rclone/rclone.conf"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"[at]\ntype = {path}\n")
        assert read(None).path == path
        assert run("config", "file").splitlines()[-1] == str(path)
    for variable in ("one.conf", "two.conf"):
        (tmp_path / variable).write_text("")
    monkeypatch.setenv("RCLONE_CONFIG", str(tmp_path / "one.conf"))
    assert read(None).path == tmp_path / "one.conf"
    assert read(str(tmp_path / "two.conf")).path == tmp_path / "two.conf"


def test_a_user_without_a_home_has_no_file_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> None:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert read(None).sections == {}


def test_a_named_file_that_is_not_there_or_can_not_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = tmp_path / "none.conf"
    assert read(str(none)).missing == f"{none}, named by rclone_config, isn't there"
    monkeypatch.setenv("RCLONE_CONFIG", str(none))
    assert read(None).missing == f"{none}, named by RCLONE_CONFIG, isn't there"
    with pytest.raises(UsageError, match="can't be read: Is a directory"):
        read(str(tmp_path))
    none.write_bytes(b"[\xff]")
    with pytest.raises(UsageError, match="isn't UTF-8, so it is no rclone"):
        read(None)
