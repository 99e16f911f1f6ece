"""What is replaced or deleted with a trash is never gone, whenever somebody writes or the process dies."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bisyncer.endpoints.aside import is_temporary
from bisyncer.endpoints.local import LocalEndpoint
from bisyncer.errors import EndpointError
from bisyncer.model import TRASH
from tests.endpoints.conftest import OWNER
from tests.endpoints.contract import keys, now, put
from tests.endpoints.steps import Steps

SEEN, OURS, THEIRS = b"seen by the plan", b"ours, from the other side", b"theirs, in the last moment"
KEPT = f"{TRASH}/20261125T080000Z-42/d/file"


class Scene:
    """A tree with one file, which is replaced or deleted, and kept."""

    def __init__(self, root: Path, operation: str) -> None:
        root.mkdir()
        self.root = root
        self.operation = operation
        self.path = root / "d" / "file"
        self.path.parent.mkdir()
        self.path.write_bytes(SEEN)
        os.utime(self.path, ns=(1, 1_500_000_000_000_000_000))
        self.endpoint = LocalEndpoint(str(root), owner=OWNER)
        self.expect = now(self.endpoint, "d/file")

    def operate(self) -> bool:
        """Whether the operation said that it did what it should."""
        try:
            if self.operation == "delete":
                self.endpoint.move("d/file", KEPT, expect=self.expect)
            else:
                twin = self.endpoint.keep("d/file", KEPT, expect=self.expect)
                put(self.endpoint, "d/file", OURS, twin.entry)
        except EndpointError:
            return False
        return True

    def trash(self) -> bytes | None:
        kept = self.root / KEPT
        return kept.read_bytes() if kept.exists() else None

    def held(self) -> bytes | None:
        return self.path.read_bytes() if self.path.exists() else None

    def rescan(self) -> set[bytes]:
        """What the next run, in a process of its own, finds outside of the trash."""
        self.endpoint.close()
        endpoint = LocalEndpoint(str(self.root), owner=OWNER)
        found = {(self.root / key).read_bytes() for key in keys(endpoint)}
        endpoint.close()
        assert not [path for path in self.root.rglob("*") if is_temporary(path.name)]
        return found


def edits(path: Path) -> None:
    """Write into the file that is there, as an editor does that keeps the inode."""
    if path.exists():
        with path.open("r+b") as file:
            file.write(THEIRS)
    else:
        path.write_bytes(THEIRS)


def renames_over(path: Path) -> None:
    """Write a new file and rename it into place, as most editors do."""
    new = path.with_name("new")
    new.write_bytes(THEIRS)
    new.rename(path)


def steps_of(tmp_path: Path, operation: str) -> list[str]:
    scene = Scene(tmp_path / "counted", operation)
    with Steps() as steps:
        assert scene.operate()
    assert (scene.trash(), scene.held()) == (SEEN, OURS if operation == "replace" else None)
    scene.endpoint.close()
    return steps.names


@pytest.mark.parametrize("operation", ["replace", "delete"])
def test_killed_at_any_system_call_the_version_is_in_its_place_or_in_the_trash(
    tmp_path: Path, kernel: str, operation: str
) -> None:
    for kill_at in range(2 * len(steps_of(tmp_path, operation))):
        scene = Scene(tmp_path / str(kill_at), operation)
        with Steps(kill_at) as steps:
            scene.operate()
        assert steps.killed, kill_at
        scene.rescan()
        assert SEEN in {scene.held(), scene.trash()}, steps.names
        assert scene.trash() in {SEEN, None}
        assert scene.held() in {SEEN, OURS, None}


@pytest.mark.parametrize("act", [edits, renames_over])
@pytest.mark.parametrize("operation", ["replace", "delete"])
def test_somebody_who_writes_before_any_system_call_keeps_that_version_and_what_was_replaced_is_kept(
    tmp_path: Path, kernel: str, operation: str, act: Callable[[Path], None]
) -> None:
    lost = []
    calls = steps_of(tmp_path, operation)
    for act_at in range(len(calls)):
        scene = Scene(tmp_path / str(act_at), operation)
        with Steps(act_at=act_at, act=lambda path=scene.path: act(path)) as steps:  # type: ignore[misc]
            done = scene.operate()
        if THEIRS not in scene.rescan():
            lost.append((steps.names[act_at - 1], steps.names[act_at]))
        elif done:
            assert scene.trash() == SEEN, steps.names[act_at]
    if kernel == "renameat2" or operation != "replace" or act is edits:
        assert lost == []
    else:
        # The window that aside.py tells of: between the opening of the last look and the rename.
        assert lost == [("open", "fstat"), ("fstat", "rename")]
