"""What is kept equal, and where the stores are that hold it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Store(NamedTuple):
    """A running server, under the name of the remote by which the tools know it."""

    name: str
    type: str  # s3 or azure
    url: str
    environment: Mapping[str, str]  # how to sign in
    account: str = ""


class Prefix(NamedTuple):
    """A prefix of a bucket, or of a container."""

    store: Store
    bucket: str
    path: str


class Place(NamedTuple):
    """Two roots; `path1` is a tree, or a prefix too."""

    path1: Path | Prefix
    path2: Prefix

    @property
    def tree(self) -> Path:
        """The tree of a place that has one."""
        assert isinstance(self.path1, Path)
        return self.path1

    @property
    def stores(self) -> tuple[Store, ...]:
        """The stores that it takes, each once."""
        roots = (root for root in self if isinstance(root, Prefix))
        return tuple({root.store.name: root.store for root in roots}.values())

    @property
    def environment(self) -> Mapping[str, str]:
        """All that it takes to sign in."""
        return {name: value for store in self.stores for name, value in store.environment.items()}

    @property
    def label(self) -> str:
        """A word that no other place has."""
        roots = (root.name if isinstance(root, Path) else f"{root.bucket}-{root.path}" for root in self)
        return "-".join(roots)
