"""What the tests of several stores share."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Failures inside the contract suite are explained as failures inside a test module are.
pytest.register_assert_rewrite("tests.endpoints.contract")

from bisyncer.endpoints import linux  # noqa: E402 -- after the line above, which must come first
from bisyncer.endpoints.local import LocalEndpoint  # noqa: E402 -- as that

OWNER = "0badcafe"


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def local(root: Path) -> Iterator[LocalEndpoint]:
    endpoint = LocalEndpoint(str(root), owner=OWNER)
    yield endpoint
    endpoint.close()


def _refuse(*_: object) -> None:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


@pytest.fixture(params=["renameat2", "no exchange", "no renameat2"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the file system can do: all, all but exchanging names (as NFS), or only links (as old NFS)."""
    kernel = str(request.param)
    if kernel != "renameat2":
        monkeypatch.setattr(linux, "exchange", _refuse)
    if kernel == "no renameat2":
        monkeypatch.setattr(linux, "rename_new", _refuse)
    return kernel


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The addresses that this process asked for a connection, in order."""
    asked: list[object] = []
    connect = socket.socket.connect

    def noted(self: socket.socket, address: Any) -> None:
        asked.append(address)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", noted)
    return asked
