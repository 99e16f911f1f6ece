"""Trees of small files, the same for the same seed."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PER_FOLDER: Final = 1000
_OLD_S: Final = 30 * 86400  # how long ago the files were written: nothing about them is fresh


def name(number: int) -> str:
    """The key of the file with this number."""
    return f"d{number // PER_FOLDER:05d}/f{number:08d}.txt"


def make(root: Path, keys: int, seed: int) -> None:
    """Write `keys` files of 64 to 1,024 bytes below `root`."""
    random_bytes = random.Random(seed)
    block = random_bytes.randbytes(4096)
    then_s = int(time.time()) - _OLD_S  # whole, as a time in metadata may come back a nanosecond off
    for number in range(keys):
        if number % PER_FOLDER == 0:
            (root / name(number)).parent.mkdir(parents=True)
        start = random_bytes.randrange(3000)
        path = root / name(number)
        path.write_bytes(b"%d " % number + block[start : start + random_bytes.randrange(64, 1024)])
        os.utime(path, (then_s, then_s))


def changed(keys: int, part: float, seed: int) -> Iterator[str]:
    """The keys of a part of a tree, spread over all of it."""
    for number in sorted(random.Random(seed).sample(range(keys), max(1, int(keys * part)))):
        yield name(number)


def edit(root: Path, keys: Iterator[str]) -> None:
    """Make each of these files longer by a byte, with a time of its own."""
    for key in keys:
        with (root / key).open("ab") as file:
            file.write(b"x")
        then_s = time.time() - 60
        os.utime(root / key, (then_s, then_s))
