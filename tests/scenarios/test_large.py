"""One object larger than the memory that the command may take goes to a bucket, and on to another tree."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from bisyncer.job import Remote
from tests.places import BUCKETS, Place, Places, Tree
from tests.scenarios.conftest import PAIR, Operator, actions

SIZE = int(os.environ.get("LARGE_MIB", "40")) << 20  # bytes
PEAK = 300 << 20  # bytes of memory that the command may take
KEY = "d/large.bin"
BLOCK = 1 << 16  # bytes, of content in a file of holes
ROOM = 4 * SIZE  # bytes of disk: a bucket's copy, what servers keep beside it, and a second tree


def sparse(path: Path) -> str:
    """Make a file of `SIZE` bytes with content here and there, and to its very end; return its SHA-256."""
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        for at in range(0, SIZE - BLOCK, max(SIZE // 16, 1)):
            file.seek(at)
            file.write(os.urandom(BLOCK))
        file.seek(SIZE - BLOCK)
        file.write(os.urandom(BLOCK))
    return digest(path)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def operator_of(tree: Tree, bucket: Place) -> Operator:
    """Somebody whose pair is this tree and this bucket, with a config and a state of their own."""
    folder = tree.folder.with_name("operator")
    folder.mkdir()
    config = "\n".join(
        [
            *(line for remote in bucket.remotes for line in _lines(remote)),
            f"[pairs.{PAIR}]",
            f'path1 = "{tree.root}"',
            f'path2 = "{bucket.root}"',
        ]
    )
    return Operator(folder, tree.folder, config)


def _lines(remote: Remote) -> Iterator[str]:
    yield f"[remotes.{remote.name}]"
    for field in fields(Remote):
        value = getattr(remote, field.name)
        if field.name == "type" or (field.name != "name" and value != field.default):
            yield f'{field.name} = "{value}"'


def peak_of(process: subprocess.Popen[str]) -> int:
    """The most memory that a process ever had, in bytes, once it has ended.

    The kernel's own count since the program began (VmHWM). What `getrusage` tells of a child has in it
    what this process was when it started the child.
    """
    peak = 0
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
        peak = max(peak, int(found[1]) << 10 if found else 0)
        time.sleep(0.02)  # nothing tells when a count grows; it never shrinks
    return peak


def measured(operator: Operator, what: str) -> None:
    """Make the first alignment in a process of its own, within its memory."""
    began = time.monotonic()
    with operator.start("init", PAIR, "--resync", "--json") as process:
        peak = peak_of(process)
        out, err = process.communicate()
    assert process.returncode == 0, f"{out}\n{err}"
    print(f"\n{what}: {SIZE >> 20} MiB in {time.monotonic() - began:.0f} s, with {peak >> 20} MiB of memory")
    assert 0 < peak < PEAK


@pytest.mark.parametrize("kind", BUCKETS)
def test_a_large_object_goes_to_a_bucket_and_to_another_tree_in_little_memory(
    kind: str, places: Places, tmp_path: Path
) -> None:
    assert shutil.disk_usage(tmp_path).free > ROOM, f"{tmp_path} has no room for {ROOM >> 20} MiB"
    one, two, bucket = places("tree"), places("tree"), places(kind)
    assert isinstance(one, Tree)
    assert isinstance(two, Tree)
    first, second = operator_of(one, bucket), operator_of(two, bucket)
    sent = sparse(one.folder / KEY)
    try:
        measured(first, f"tree to {kind}")
        measured(second, f"{kind} to tree")

        assert digest(two.folder / KEY) == sent
        for operator in (first, second):
            quiet = operator.report("run", PAIR)
            assert (actions(quiet), quiet["unchanged"]) == ({}, 1)
    finally:
        bucket.remove(KEY)
        shutil.rmtree(two.folder)
        shutil.rmtree(one.folder)
