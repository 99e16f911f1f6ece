"""The other tools that are measured, each with the command that does the same work."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.place import Place, Prefix, Store
from benchmarks.tool import Tool


def rclone() -> str:
    """Where the program is."""
    return str(Path(sys.executable).with_name("rclone"))


def peer(name: str) -> str:
    """Where a program is that has an environment of its own, as it asks for other versions of what we use."""
    return str(Path(__file__).parents[1] / ".tools/peers/bin" / name)


class _Rclone(Tool):
    flags: tuple[str, ...] = ()

    def environment(self, place: Place) -> Mapping[str, str]:
        found = {**place.environment, "RCLONE_CONFIG": os.devnull}
        for store in place.stores:
            found |= {f"RCLONE_CONFIG_{store.name.upper()}_{key}": value for key, value in _remote(store)}
        return found

    def _command(self, word: str, *roots: str) -> list[str]:
        return [rclone(), word, *roots, "--transfers", "16", *self.flags]

    def _roots(self, place: Place) -> tuple[str, str]:
        return self.root(place.path1), self.root(place.path2)

    def root(self, root: Path | Prefix) -> str:
        """A root in its own words."""
        return str(root) if isinstance(root, Path) else f"{root.store.name.upper()}:{root.bucket}/{root.path}"


def _remote(store: Store) -> list[tuple[str, str]]:
    if store.type == "azure":
        (key,) = store.environment.values()
        return [("TYPE", "azureblob"), ("ACCOUNT", store.account), ("KEY", key), ("ENDPOINT", store.url)]
    return [
        ("TYPE", "s3"),
        ("PROVIDER", "SeaweedFS"),
        ("ENDPOINT", store.url),
        ("ACCESS_KEY_ID", store.environment["AWS_ACCESS_KEY_ID"]),
        ("SECRET_ACCESS_KEY", store.environment["AWS_SECRET_ACCESS_KEY"]),
    ]


class RcloneBisync(_Rclone):
    """The tool that users would pick instead, as it comes."""

    name = "rclone bisync"

    def align(self, place: Place) -> list[str]:
        return [*self.again(place), "--resync"]

    def again(self, place: Place) -> list[str]:
        folder = self.work / "-".join(("rclone", *self.flags)).replace("--", "")
        return [
            *self._command("bisync", *self._roots(place)), "--workdir", str(folder), "--max-delete", "100",
            "--force",
        ]  # fmt: skip


class RcloneBisyncFast(RcloneBisync):
    """The same by the flags that make it fastest."""

    name = "rclone bisync --size-only --fast-list"
    flags = ("--size-only", "--fast-list", "--checkers", "32")


class RcloneSync(_Rclone):
    """One way, without a memory."""

    name = "rclone sync"
    bidirectional = False

    def align(self, place: Place) -> list[str]:
        return self._command("sync", *self._roots(place))

    def again(self, place: Place) -> list[str]:
        return self.align(place)

    def down(self, place: Place) -> list[str]:
        return self._command("sync", *reversed(self._roots(place)))


class RcloneSyncFast(RcloneSync):
    """The same by the flags that make it fastest."""

    name = "rclone sync --size-only --fast-list"
    flags = ("--size-only", "--fast-list", "--checkers", "32")


class _S3Only(Tool):
    bidirectional = False

    def takes(self, place: Place) -> bool:
        return len(place.stores) == 1 and place.stores[0].type == "s3"  # neither takes two addresses

    def again(self, place: Place) -> list[str]:
        return self.align(place)


class S5cmd(_S3Only):
    """One way, by size and time of the upload; the fastest for small objects."""

    name = "s5cmd sync"

    def align(self, place: Place) -> list[str]:
        start = f"{place.path1}/" if isinstance(place.path1, Path) else f"{_url(place.path1)}/*"
        return self._sync(place, start, f"{_url(place.path2)}/")

    def down(self, place: Place) -> list[str]:
        return self._sync(place, f"{_url(place.path2)}/*", f"{place.path1}/")

    def _sync(self, place: Place, *roots: str) -> list[str]:
        url = place.path2.store.url
        return [peer("s5cmd"), "--log", "error", "--endpoint-url", url, "sync", "--delete", *roots]


class AwsSync(_S3Only):
    """The vendor's own, one way, by size and time of the upload."""

    name = "aws s3 sync"

    def align(self, place: Place) -> list[str]:
        return self._sync(place, _url(place.path1), _url(place.path2))

    def down(self, place: Place) -> list[str]:
        return self._sync(place, _url(place.path2), _url(place.path1))

    def _sync(self, place: Place, *roots: str) -> list[str]:
        url = place.path2.store.url
        return [
            peer("aws"), "s3", "--endpoint-url", url, "sync", "--delete", "--only-show-errors", *roots,
        ]  # fmt: skip


def _url(root: Path | Prefix) -> str:
    return str(root) if isinstance(root, Path) else f"s3://{root.bucket}/{root.path}"
