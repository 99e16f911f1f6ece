"""The tools that are measured side by side, each with the command that does the same work."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import measure


class Place(NamedTuple):
    """What is kept equal: a tree, and a prefix of a bucket."""

    tree: Path
    bucket: str
    prefix: str


class Server(NamedTuple):
    """An S3 server, and how to sign in."""

    url: str
    environment: Mapping[str, str]


class Tool(ABC):
    """One way to keep a tree and a prefix equal; `name` stands in the table."""

    name: str
    bidirectional = True

    def __init__(self, server: Server, work: Path) -> None:
        self.server = server
        self.work = work

    @property
    def environment(self) -> Mapping[str, str]:
        """What its processes find in their environment."""
        return self.server.environment

    @abstractmethod
    def align(self, place: Place) -> list[str]:
        """The command of a first alignment."""

    @abstractmethod
    def again(self, place: Place) -> list[str]:
        """The command of any later run."""

    def down(self, place: Place) -> list[str]:
        """The command that fills an empty tree; the first alignment where that goes both ways."""
        return self.align(place)

    def run(self, command: Sequence[str]) -> None:
        """Run a command that isn't measured."""
        measure(command, self.environment)


class Bisyncer(Tool):
    """This project, as installed in the environment that runs the benchmark."""

    name = "bisyncer"
    options: tuple[str, ...] = ()

    def align(self, place: Place) -> list[str]:
        name = self._name(place)
        config = self.work / f"{name}.toml"
        if not config.exists():
            config.write_text(
                f'state = "sqlite:///{self.work}/{name}.db"\n[remotes.b]\ntype = "s3"\n'
                f'endpoint_url = "{self.server.url}"\n[pairs.{name}]\npath1 = "{place.tree}"\n'
                f'path2 = "b:{place.bucket}/{place.prefix}"\nmax_delete = "off"\n',
                encoding="utf-8",
            )
        return [*self._command(), "init", name, "--resync", "--quiet", "--config", str(config), *self.options]

    def again(self, place: Place) -> list[str]:
        name = self._name(place)
        config = str(self.work / f"{name}.toml")
        return [*self._command(), "run", name, "--quiet", "--config", config, *self.options]

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "bisyncer"]

    def _name(self, place: Place) -> str:
        words = (place.tree.name, place.bucket, place.prefix, *self.options)
        return "-".join(word.strip("-/").replace("/", "-") for word in words)


class BisyncerBySize(Bisyncer):
    """The same, which takes objects of equal size for equal, as `rclone --size-only` does."""

    name = "bisyncer --compare size"
    options = ("--compare", "size")


class _Rclone(Tool):
    flags: tuple[str, ...] = ()

    @property
    def environment(self) -> Mapping[str, str]:
        keys = self.server.environment
        return {
            **keys,
            "RCLONE_CONFIG": os.devnull,
            "RCLONE_CONFIG_B_TYPE": "s3",
            "RCLONE_CONFIG_B_PROVIDER": "SeaweedFS",
            "RCLONE_CONFIG_B_ENDPOINT": self.server.url,
            "RCLONE_CONFIG_B_ACCESS_KEY_ID": keys["AWS_ACCESS_KEY_ID"],
            "RCLONE_CONFIG_B_SECRET_ACCESS_KEY": keys["AWS_SECRET_ACCESS_KEY"],
        }

    def _command(self, word: str, *roots: str) -> list[str]:
        return [str(Path(sys.executable).with_name("rclone")), word, *roots, "--transfers", "16", *self.flags]

    def _roots(self, place: Place) -> tuple[str, str]:
        return str(place.tree), f"B:{place.bucket}/{place.prefix}"


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


class _FromPeers(Tool):
    """Tools of an environment of their own, since they ask for other versions of what we use."""

    bidirectional = False

    def _program(self, name: str) -> str:
        return os.environ.get("PEERS", str(Path(sys.executable).parent)) + f"/{name}"

    def again(self, place: Place) -> list[str]:
        return self.align(place)


class S5cmd(_FromPeers):
    """One way, by size and time of the upload; the fastest for small objects."""

    name = "s5cmd sync"

    def align(self, place: Place) -> list[str]:
        return self._sync(f"{place.tree}/", f"s3://{place.bucket}/{place.prefix}/")

    def down(self, place: Place) -> list[str]:
        return self._sync(f"s3://{place.bucket}/{place.prefix}/*", f"{place.tree}/")

    def _sync(self, *roots: str) -> list[str]:
        return [
            self._program("s5cmd"), "--log", "error", "--endpoint-url", self.server.url, "sync", "--delete",
            *roots,
        ]  # fmt: skip


class AwsSync(_FromPeers):
    """The vendor's own, one way, by size and time of the upload."""

    name = "aws s3 sync"

    def align(self, place: Place) -> list[str]:
        return self._sync(str(place.tree), f"s3://{place.bucket}/{place.prefix}")

    def down(self, place: Place) -> list[str]:
        return self._sync(f"s3://{place.bucket}/{place.prefix}", str(place.tree))

    def _sync(self, *roots: str) -> list[str]:
        return [
            self._program("aws"), "s3", "--endpoint-url", self.server.url, "sync", "--delete",
            "--only-show-errors", *roots,
        ]  # fmt: skip
