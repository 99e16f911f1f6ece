"""Random people who make and remove directories, files and links on both sides, also while a run is at work.

Once nobody writes, both sides hold the same files, links and empty directories; the next run does
nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from bisyncer.errors import Transient
from bisyncer.job import LinkMode
from bisyncer.model import LINK_SUFFIX, TRASH, Side
from tests.engine.test_kinds import Bucket, Folder, Kinds

DIRECTORIES = ("d/", "d/e/", "f/", "d/e/g/")
FILES = ("d/x", "d/e/x", "f/x", "x", "d/e/g/x")
LINKS = ("l", "d/l")


class Person:
    """Somebody on one side, who does something at random; what can't be done isn't."""

    def __init__(self, place: Folder | Bucket, random: Random) -> None:
        self._place = place
        self._random = random

    def act(self) -> None:
        deed = self._random.choice([self._make, self._make, self._remove, self._remove_all, self._link])
        with suppress(OSError, KeyError):
            deed()

    def _make(self) -> None:
        self._place.make(self._random.choice(DIRECTORIES + FILES))

    def _remove(self) -> None:
        self._place.remove(self._random.choice(DIRECTORIES + FILES))

    def _remove_all(self) -> None:
        directory = self._random.choice(DIRECTORIES)
        if isinstance(self._place, Folder):
            shutil.rmtree(self._place.path / directory)
        else:
            self._place.remove(*(key for key in self._place.held() if key.startswith(directory)))

    def _link(self) -> None:
        key, target = self._random.choice(LINKS), str(self._random.random())
        if isinstance(self._place, Bucket):
            self._place.store.put(key + LINK_SUFFIX, target.encode())
            return
        path = self._place.path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)


def seen(place: Folder | Bucket) -> list[str]:
    """What a place holds, in the words of a tree."""
    held = place.held()
    occupied = (key for key in held if any(other.startswith(key) and other != key for other in held))
    markers = {key for key in occupied if key.endswith("/")}
    return sorted(key.removesuffix(LINK_SUFFIX) for key in held if key not in markers)


def at_work(person: Person, random: Random) -> Callable[[str, str], None]:
    """What a person does while a run is at work on the side, and what fails there."""

    def hook(method: str, _key: str) -> None:
        chance = random.random()
        if method != "scan" and chance < 0.25:
            person.act()
        elif method != "scan" and chance < 0.35:
            raise Transient("input/output error")

    return hook


def quiet(_method: str, _key: str) -> None:
    pass


@pytest.mark.parametrize("seed", range(12))
def test_both_sides_come_to_hold_the_same(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    two = Folder(tmp_path / "two") if seed % 2 else Bucket(f"random-{tmp_path}")
    kinds = Kinds(tmp_path, two)
    kinds.set(create_empty_dirs=True, links=LinkMode.KEEP)
    hooked = kinds.pair.hooked
    people = [Person(kinds.one, random), Person(two, random)]
    for _ in range(random.randint(2, 5)):
        for _ in range(random.randint(1, 4)):
            random.choice(people).act()
        for side, person in zip(Side, people, strict=True):
            hooked[side].before = at_work(person, random)
        kinds.pair.run(exclude=random.choice([(), (), ("x",)]))
        for side in Side:
            hooked[side].before = quiet

    for _ in range(3):  # two that act, and one more where one thing stands in another's way
        kinds.pair.run()

    assert seen(kinds.one) == seen(two)
    assert kinds.run() == {}
    assert not any(TRASH in key for key in seen(two))
    kinds.pair.close()
