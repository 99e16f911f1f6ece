from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bisyncer.endpoints.base import Endpoint
from bisyncer.endpoints.local import LocalEndpoint
from bisyncer.model import Entry
from tests.endpoints.contract import Behind, TreeContract

OWNER = "0badcafe"


class _Behind:
    """Another program at work in the tree."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def plant(self, key: str, data: bytes) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def remove(self, key: str) -> None:
        (self.root / key).unlink()

    def content(self, key: str) -> bytes | None:
        path = self.root / key
        return path.read_bytes() if path.is_file() else None

    def names(self) -> list[str]:
        found = (path for path in self.root.rglob("*") if path.is_symlink() or not path.is_dir())
        return sorted(str(path.relative_to(self.root)) for path in found)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def endpoint(root: Path) -> Iterator[LocalEndpoint]:
    endpoint = LocalEndpoint(str(root), owner=OWNER)
    yield endpoint
    endpoint.close()


class TestLocal(TreeContract):
    @pytest.fixture
    def endpoint(self, root: Path) -> Iterator[Endpoint]:
        endpoint = LocalEndpoint(str(root), owner=OWNER)
        yield endpoint
        endpoint.close()

    @pytest.fixture
    def behind(self, root: Path) -> Behind:
        return _Behind(root)

    def identity(self, entry: Entry) -> str:
        return entry.stamp.partition("~")[0]
