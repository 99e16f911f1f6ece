"""What is measured: each case prepares a place for every tool, and what is done to it before each run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

from benchmarks import tree
from benchmarks.peers import RcloneBisyncFast, rclone
from benchmarks.place import Place, Prefix, Store
from benchmarks.servers import BUCKETS, Servers, requests_of
from benchmarks.tool import Bisyncer, Tool


def _nothing() -> None:
    """What is measured needs no preparation."""


class Turn(NamedTuple):
    """One tool in one case. `before` is done ahead of each run, and isn't measured.

    `place` tells the place of the next run, and `requests` what its server got since it was asked last.
    """

    tool: Tool
    place: Callable[[], Place]
    command: Callable[[Place], Sequence[str]]
    before: Callable[[], None] = _nothing
    requests: Callable[[], Mapping[str, int]] | None = None


@dataclass
class Bench:
    """Where the data lies: trees are made once and shared, as are filled prefixes that nobody writes."""

    servers: Servers
    work: Path
    seed: int
    tools: Sequence[type[Tool]] = ()
    ready: Place | None = None  # a tree and a prefix that hold the same already, which nobody writes
    after: ExitStack = field(default_factory=ExitStack)  # what is undone when a case is over
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _filled: dict[tuple[str, int], Place] = field(default_factory=dict)

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

    def prefix(self, store: Store, bucket: str = BUCKETS[0]) -> Prefix:
        """A prefix with nothing below it."""
        return Prefix(store, bucket, f"p{self.number()}")

    def fill(self, place: Place) -> Place:
        """Let path2 hold what path1 does, with the times of its files."""
        filler = Bisyncer(self.empty_tree())
        filler.run(filler.align(place), place)
        return place

    def shared(self, store: Store, keys: int) -> Place:
        """The tree of that many files, and a prefix that holds the same."""
        if self.ready is not None and self.ready.stores == (store,):
            return self.ready
        known = (store.name, keys)
        if known not in self._filled:
            self._filled[known] = self.fill(Place(self.tree(keys), self.prefix(store)))
        return self._filled[known]

    def own(self, store: Store, keys: int) -> Place:
        """A tree of that many files for one tool alone, and a prefix that holds the same."""
        root = self.empty_tree()
        tree.make(root, keys, self.seed)
        return self.fill(Place(root, self.prefix(store)))

    def all(self, place: Place) -> list[Tool]:
        """The tools that can do the work, ready to be asked."""
        folder = self.empty_tree()
        return [made for tool in self.tools if (made := tool(folder)).takes(place)]


def no_change(bench: Bench, keys: int, kind: str = "s3") -> Iterator[Turn]:
    """Nothing changed since the last run: one tree and one prefix, which nobody writes, for all tools."""
    store = bench.servers.azure() if kind == "azure" else bench.servers.s3()
    yield from _unchanged(bench, bench.shared(store, keys))


def no_change_between_buckets(bench: Bench, keys: int) -> Iterator[Turn]:
    """The same with two buckets of one server."""
    store = bench.servers.s3()
    one = bench.shared(store, keys).path2
    yield from _unchanged(bench, bench.fill(Place(one, bench.prefix(store, BUCKETS[1]))))


def no_change_canned(bench: Bench, keys: int) -> Iterator[Turn]:
    """The same beside a server that does next to nothing, and counts."""
    root = bench.tree(keys)
    place = Place(root, bench.servers.canned(root))
    asked = partial(requests_of, place.path2.store)
    for turn in _unchanged(bench, place):
        yield turn._replace(before=partial(_forget, asked), requests=asked)


def _forget(asked: Callable[[], object]) -> None:
    asked()


def _unchanged(bench: Bench, place: Place) -> Iterator[Turn]:
    tools = bench.all(place)
    for tool in tools:  # each before any is measured: a first alignment may write
        _remember(tool, place)
    for tool in tools:
        yield Turn(tool, partial(_same, place), tool.again)


def some_changed(bench: Bench, keys: int, part: float = 0.001, *, shared: bool = False) -> Iterator[Turn]:
    """A part of the files was edited since the last run, other ones each time."""
    for tool, place in _written(bench, keys, shared=shared):

        def before(tool: Tool = tool, place: Place = place) -> None:
            _catch_up(bench, tool, place, shared=shared)
            tree.edit(place.tree, tree.changed(keys, part, bench.number()))

        yield Turn(tool, partial(_same, place), tool.again, before)


def up(bench: Bench, keys: int) -> Iterator[Turn]:
    """A first alignment that sends everything."""
    store = bench.servers.s3()
    root = bench.tree(keys)
    for tool in bench.all(Place(root, bench.prefix(store))):
        yield Turn(tool, partial(_beside, bench, root, store), tool.align)


def up_azure(bench: Bench, keys: int) -> Iterator[Turn]:
    """The same, each time into a new container: the emulator takes the longer for a blob the more it has."""
    yield from _anew(bench, bench.tree(keys), bench.servers.azure(), bench.servers.container)


def up_between_buckets(bench: Bench, keys: int) -> Iterator[Turn]:
    """The same from one bucket to another of the same server."""
    store = bench.servers.s3()
    root = bench.shared(store, keys).path2
    for tool in bench.all(Place(root, bench.prefix(store))):
        yield Turn(tool, partial(_beside, bench, root, store, BUCKETS[1]), tool.align)


def down(bench: Bench, keys: int) -> Iterator[Turn]:
    """A first alignment that fetches everything.

    The trees stay until the end: what a file system has just deleted slows down what is made after it (ext4
    passes over each number of a file that was freed in the last minute).
    """
    place = bench.shared(bench.servers.s3(), keys)
    for tool in bench.all(place):
        yield Turn(tool, partial(_emptied, bench, place), tool.down)


def equal(bench: Bench, keys: int) -> Iterator[Turn]:
    """A first alignment of two sides that hold the same; without a memory it is the case of no change."""
    place = bench.shared(bench.servers.s3(), keys)
    for tool in bench.all(place):
        if tool.bidirectional:
            yield Turn(tool, partial(_same, place), partial(_first_of_all, bench, tool))


def deletes(bench: Bench, keys: int, gone: int, *, shared: bool = False) -> Iterator[Turn]:
    """The last `gone` files were deleted from the tree since the last run; in between they are put back."""
    last = [tree.name(number) for number in range(keys - gone, keys)]
    for tool, place in _written(bench, keys, shared=shared):
        away = place.tree.with_name(f"{place.tree.name}-away")

        def before(tool: Tool = tool, place: Place = place, away: Path = away) -> None:
            _move(away, place.tree, last)
            if shared:
                _put_back(tool, place, last)
            tool.run(tool.again(place), place)
            _move(place.tree, away, last)

        yield Turn(tool, partial(_same, place), tool.again, before)
        if shared:  # later cases find all of it
            bench.after.callback(_move, away, place.tree, last)


def renamed(bench: Bench, keys: int, of: int) -> Iterator[Turn]:
    """A folder with `of` files was renamed since the last run, to and fro."""
    store = bench.servers.s3()
    for tool in bench.all(Place(bench.work, bench.prefix(store))):
        root = bench.empty_tree()
        tree.make(root / "one", of, bench.seed)
        tree.make(root / "stays", keys - of, bench.seed + 1)
        place = bench.fill(Place(root, bench.prefix(store)))
        _remember(tool, place)
        yield Turn(tool, partial(_same, place), tool.again, partial(_rename, root, ["one"]))


def many_renamed(bench: Bench, keys: int, of: int) -> Iterator[Turn]:
    """The same in the shared tree, where it is all folders of the first `of` files, each in its place."""
    folders = [str(Path(tree.name(number)).parent) for number in range(0, of, tree.PER_FOLDER)]
    for tool, place in _written(bench, keys, shared=True):

        def before(tool: Tool = tool, place: Place = place) -> None:
            _catch_up(bench, tool, place, shared=True)
            _rename(place.tree, folders)

        yield Turn(tool, partial(_same, place), tool.again, before)
        bench.after.callback(_unrename, place.tree, folders)


def large(bench: Bench, mib: int) -> Iterator[Turn]:
    """One large file goes up, each time into a new bucket, which is removed to have its space again."""
    root = bench.empty_tree()
    with (root / "large.bin").open("wb") as file:
        for number in range(mib):
            file.write(number.to_bytes(8, "big") * (1 << 17))
    yield from _anew(bench, root, bench.servers.s3(), bench.servers.bucket)


def _anew(
    bench: Bench, root: Path, store: Store, new: Callable[[str], AbstractContextManager[Prefix]]
) -> Iterator[Turn]:
    """First alignments that send all of `root` into what `new` makes, which is removed before the next."""
    for tool in bench.all(Place(root, bench.prefix(store))):
        made = bench.after.enter_context(ExitStack())

        def place(made: ExitStack = made) -> Place:
            return Place(root, made.enter_context(new(f"new{bench.number()}")))

        yield Turn(tool, place, tool.align, made.close)


def _same(place: Place) -> Place:
    return place


def _beside(bench: Bench, root: Path | Prefix, store: Store, bucket: str = BUCKETS[0]) -> Place:
    return Place(root, bench.prefix(store, bucket))


def _emptied(bench: Bench, place: Place) -> Place:
    return place._replace(path1=bench.empty_tree())


def _first_of_all(bench: Bench, tool: Tool, place: Place) -> Sequence[str]:
    """The command of a tool that has no memory of the place yet."""
    return type(tool)(bench.empty_tree()).align(place)


def _remember(tool: Tool, place: Place) -> None:
    if tool.bidirectional:
        tool.run(tool.align(place), place)


def _written(bench: Bench, keys: int, *, shared: bool) -> Iterator[tuple[Tool, Place]]:
    """Each tool with a place to write to: its own, or the shared one where filling takes long.

    A shared one is only for tools that leave the seals of a pair alone: bisyncer, and rclone by size.
    """
    store = bench.servers.s3()
    for tool in bench.all(Place(bench.work, bench.prefix(store))):
        place = bench.shared(store, keys) if shared else bench.own(store, keys)
        _remember(tool, place)
        yield tool, place


def _catch_up(bench: Bench, tool: Tool, place: Place, *, shared: bool) -> None:
    """Both sides hold what the tree does, and the tool knows it."""
    if shared:
        # Another tool's deletions must not be followed, and bisyncer's trash is content to the others.
        _empty_trash(tool, place)
        bench.fill(place)
    tool.run(tool.again(place), place)


def _put_back(tool: Tool, place: Place, keys: Sequence[str]) -> None:
    """Another tool may have deleted these keys, which must not be followed: the bucket has them again."""
    _empty_trash(tool, place)
    peer = RcloneBisyncFast(tool.work)
    listed = tool.work / "keys.txt"
    listed.write_text("\n".join(keys), encoding="utf-8")
    command = [rclone(), "copy", str(place.tree), peer.root(place.path2), "--files-from-raw", str(listed)]
    peer.run([*command, "--no-check-dest", "--no-traverse", "--s3-no-head", "--transfers", "16"], place)


def _empty_trash(tool: Tool, place: Place) -> None:
    peer = RcloneBisyncFast(tool.work)
    command = [rclone(), "delete", peer.root(place.path2), "--include", "/.bisyncer-trash/**"]
    peer.run(command, place)


def _move(root: Path, away: Path, keys: Sequence[str]) -> None:
    """Move files from one tree to another, those that are there."""
    if (root / keys[0]).exists():
        for key in keys:
            target = away / key
            target.parent.mkdir(parents=True, exist_ok=True)
            (root / key).rename(target)


def _rename(root: Path, folders: Sequence[str]) -> None:
    if not _unrename(root, folders):
        for folder in folders:
            (root / folder).rename(root / f"{folder}-renamed")


def _unrename(root: Path, folders: Sequence[str]) -> bool:
    """Give folders the name that they had; whether they had another."""
    if (root / folders[0]).exists():
        return False
    for folder in folders:
        (root / f"{folder}-renamed").rename(root / folder)
    return True
