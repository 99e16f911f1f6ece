"""A tool that is measured, and the first one: this project."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.measure import measure
from benchmarks.place import Place, Prefix, Store


class Tool(ABC):
    """One way to keep two roots equal; `name` stands in the table. What it remembers lies below `work`."""

    name: str
    bidirectional = True

    def __init__(self, work: Path) -> None:
        self.work = work

    def takes(self, place: Place) -> bool:
        """Whether it can do this work at all."""
        return bool(place)

    def environment(self, place: Place) -> Mapping[str, str]:
        """What its processes find in their environment."""
        return place.environment

    @abstractmethod
    def align(self, place: Place) -> list[str]:
        """The command of a first alignment."""

    @abstractmethod
    def again(self, place: Place) -> list[str]:
        """The command of any later run."""

    def down(self, place: Place) -> list[str]:
        """The command that fills an empty tree; the first alignment where that goes both ways."""
        return self.align(place)

    def run(self, command: Sequence[str], place: Place) -> None:
        """Run a command that isn't measured."""
        measure(command, self.environment(place))


class Bisyncer(Tool):
    """This project, as installed in the environment that runs the benchmark."""

    name = "bisyncer"
    options: tuple[str, ...] = ()

    def environment(self, place: Place) -> Mapping[str, str]:
        # Whoever installs it has its bytecode from pip. A checkout is compiled by the run that warms up,
        # unless the environment forbids that; then each run would compile all modules again.
        return {**place.environment, "PYTHONDONTWRITEBYTECODE": ""}

    def align(self, place: Place) -> list[str]:
        name = self._name(place)
        config = self.work / f"{name}.toml"
        if not config.exists():
            config.write_text(
                f'state = "sqlite:///{self.work}/{name}.db"\n'
                + "".join(map(_remote, place.stores))
                + f'[pairs.{name}]\npath1 = "{_root(place.path1)}"\npath2 = "{_root(place.path2)}"\n'
                + 'max_delete = "off"\n',
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
        return "-".join((place.label, *(option.strip("-") for option in self.options)))


class BisyncerBySize(Bisyncer):
    """The same, which takes objects of equal size for equal, as `rclone --size-only` does."""

    name = "bisyncer --compare size"
    options = ("--compare", "size")


class BisyncerWithoutTrash(Bisyncer):
    """The same, which keeps nothing of what it deletes or replaces, as the others do."""

    name = "bisyncer --trash off"
    options = ("--trash", "off")


def _remote(store: Store) -> str:
    lines = f'[remotes.{store.name}]\ntype = "{store.type}"\nendpoint_url = "{store.url}"\n'
    if store.type == "azure":
        (variable,) = store.environment
        lines += f'account = "{store.account}"\naccount_key_env = "{variable}"\n'
    return lines


def _root(root: Path | Prefix) -> str:
    return str(root) if isinstance(root, Path) else f"{root.store.name}:{root.bucket}/{root.path}"
