"""What is measured: each case prepares a place for every tool, and what is done to it before each run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks import tree
from benchmarks.tool import (
    AwsSync,
    Bisyncer,
    BisyncerBySize,
    Place,
    RcloneBisync,
    RcloneBisyncFast,
    RcloneSync,
    RcloneSyncFast,
    S5cmd,
    Server,
    Tool,
)

EVERYONE: Final = (
    Bisyncer, BisyncerBySize, RcloneBisyncFast, RcloneBisync, RcloneSyncFast, RcloneSync, S5cmd, AwsSync,
)  # fmt: skip


class Turn(NamedTuple):
    """One tool in one case: `before` is done ahead of each run, which isn't measured."""

    tool: Tool
    command: Callable[[], Sequence[str]]
    before: Callable[[], None]


@dataclass
class Bench:
    """Where the data lies: trees are made once and shared, as are filled prefixes."""

    server: Server
    bucket: str
    work: Path
    seed: int
    tools: Sequence[type[Tool]] = EVERYONE
    ready: Place | None = None  # a tree and a prefix that hold the same already, which nobody writes
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def number(self) -> int:
        """A number that nothing else has."""
        return next(self._numbers)

    def tree(self, keys: int) -> Path:
        """The tree of that many files that is only read."""
        if self.ready is not None:
            return self.ready.tree
        root = self.work / f"tree-{keys}"
        if not root.exists():
            tree.make(root, keys, self.seed)
        return root

    def empty_tree(self) -> Path:
        """A tree with nothing in it."""
        root = self.work / f"folder-{self.number()}"
        root.mkdir()
        return root

    def prefix(self) -> str:
        """A prefix with nothing below it."""
        return f"p{self.number()}"

    def filled(self, root: Path) -> Place:
        """A prefix that holds what the tree does, with the times of its files."""
        if self.ready is not None and self.ready.tree == root:
            return self.ready
        place = Place(root, self.bucket, self.prefix())
        filler = Bisyncer(self.server, self.empty_tree())
        filler.run(filler.align(place))
        return place

    def own(self, keys: int) -> Place:
        """A tree of that many files for one tool alone, and a prefix that holds the same."""
        root = self.empty_tree()
        tree.make(root, keys, self.seed)
        return self.filled(root)

    def all(self) -> list[Tool]:
        """The tools, ready to be asked."""
        return [tool(self.server, self.work) for tool in self.tools]


def no_change(bench: Bench, keys: int) -> Iterator[Turn]:
    """Nothing changed since the last run: one tree and one prefix, which nobody writes, for all tools."""
    place = bench.filled(bench.tree(keys))
    for tool in bench.all():
        _remember(tool, place)
        yield Turn(tool, partial(tool.again, place), _nothing)


def some_changed(bench: Bench, keys: int, part: float = 0.001) -> Iterator[Turn]:
    """A part of the files was edited since the last run, other ones each time."""
    for tool in bench.all():
        place = bench.own(keys)
        _remember(tool, place)
        yield Turn(tool, partial(tool.again, place), partial(_edit, bench, place.tree, keys, part))


def up(bench: Bench, keys: int) -> Iterator[Turn]:
    """A first alignment that sends everything."""
    root = bench.tree(keys)
    for tool in bench.all():
        yield Turn(tool, partial(_send, tool, bench, root), _nothing)


def down(bench: Bench, keys: int) -> Iterator[Turn]:
    """A first alignment that fetches everything."""
    place = bench.filled(bench.tree(keys))
    for tool in bench.all():
        made: list[Path] = []
        yield Turn(tool, partial(_fetch, tool, bench, place, made), partial(_tidy, made))


def equal(bench: Bench, keys: int) -> Iterator[Turn]:
    """A first alignment of two sides that hold the same; without a memory it is the case of no change."""
    place = bench.filled(bench.tree(keys))
    for tool in bench.all():
        if tool.bidirectional:
            yield Turn(tool, partial(_first_of_all, tool, bench, place), _nothing)


def deletes(bench: Bench, keys: int, gone: int) -> Iterator[Turn]:
    """The last `gone` files were deleted from the tree since the last run; in between they are put back."""
    last = [tree.name(number) for number in range(keys - gone, keys)]
    for tool in bench.all():
        place = bench.own(keys)
        _remember(tool, place)
        yield Turn(tool, partial(tool.again, place), partial(_delete, tool, place, last))


def renamed(bench: Bench, keys: int, of: int) -> Iterator[Turn]:
    """A folder with `of` files was renamed since the last run, to and fro."""
    for tool in bench.all():
        root = bench.empty_tree()
        tree.make(root / "one", of, bench.seed)
        tree.make(root / "stays", keys - of, bench.seed + 1)
        place = bench.filled(root)
        _remember(tool, place)
        yield Turn(tool, partial(tool.again, place), partial(_rename, root))


def large(bench: Bench, mib: int) -> Iterator[Turn]:
    """One large file goes up."""
    root = bench.empty_tree()
    with (root / "large.bin").open("wb") as file:
        for number in range(mib):
            file.write(number.to_bytes(8, "big") * (1 << 17))
    for tool in bench.all():
        yield Turn(tool, partial(_send, tool, bench, root), _nothing)


def _remember(tool: Tool, place: Place) -> None:
    if tool.bidirectional:
        tool.run(tool.align(place))


def _edit(bench: Bench, root: Path, keys: int, part: float) -> None:
    tree.edit(root, tree.changed(keys, part, bench.number()))


def _send(tool: Tool, bench: Bench, root: Path) -> Sequence[str]:
    return tool.align(Place(root, bench.bucket, bench.prefix()))


def _fetch(tool: Tool, bench: Bench, place: Place, made: list[Path]) -> Sequence[str]:
    made.append(bench.empty_tree())
    return tool.down(place._replace(tree=made[-1]))


def _tidy(made: list[Path]) -> None:
    while made:
        shutil.rmtree(made.pop())


def _first_of_all(tool: Tool, bench: Bench, place: Place) -> Sequence[str]:
    """The command of a tool that has no memory of the place yet."""
    folder = bench.empty_tree()
    return type(tool)(tool.server, folder).align(place)


def _delete(tool: Tool, place: Place, keys: Sequence[str]) -> None:
    away = place.tree.with_name(f"{place.tree.name}-away")
    if (away / keys[0]).exists():
        _move(away, place.tree, keys)
        tool.run(tool.again(place))
    _move(place.tree, away, keys)


def _move(root: Path, away: Path, keys: Sequence[str]) -> None:
    for key in keys:
        target = away / key
        if not target.parent.exists():
            target.parent.mkdir(parents=True)
        (root / key).rename(target)


def _rename(root: Path) -> None:
    one, two = root / "one", root / "two"
    if one.exists():
        one.rename(two)
    else:
        two.rename(one)


def _nothing() -> None:
    """What is measured needs no preparation."""
