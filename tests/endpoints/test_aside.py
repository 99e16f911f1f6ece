"""No version is lost: whoever writes at whatever moment, and at whatever system call the run dies."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from bisyncer.endpoints.aside import Asides, is_temporary
from bisyncer.endpoints.local import LocalEndpoint
from bisyncer.errors import Changed, EndpointError, Rejected
from bisyncer.model import Entry, Unreadable
from tests.endpoints.conftest import OWNER
from tests.endpoints.contract import BytesSource, keys, now, put
from tests.endpoints.steps import Steps

SEEN, OURS, THEIRS = b"seen by the plan", b"ours, from the other side", b"theirs, in the last moment"


class Scene:
    """A tree with one file that the plan saw, and an operation on it."""

    def __init__(self, root: Path, operation: str) -> None:
        self.root = root
        self.operation = operation
        self.path = root / "d" / "file"
        self.path.parent.mkdir()
        (root / "d" / "other").write_bytes(b"other")
        if operation != "create":
            self.path.write_bytes(SEEN)
            os.utime(self.path, ns=(1, 1_500_000_000_000_000_000))
        self.endpoint = LocalEndpoint(str(root), owner=OWNER)
        self.expect = None if operation == "create" else now(self.endpoint, "d/file")

    def operate(self) -> bool:
        """Whether the operation said that it did what it should."""
        try:
            if self.operation == "delete":
                assert self.expect is not None
                self.endpoint.delete("d/file", expect=self.expect)
            elif self.operation == "move":
                assert self.expect is not None
                self.endpoint.move("d/file", "e/f/moved", expect=self.expect)
            else:
                put(self.endpoint, "d/file", OURS, self.expect)
        except EndpointError:
            return False
        return True

    def rescan(self) -> None:
        """What the next run does first, in a process of its own."""
        self.endpoint.close()
        self.endpoint = LocalEndpoint(str(self.root), owner=OWNER)
        list(self.endpoint.scan())

    def close(self) -> None:
        self.endpoint.close()

    def contents(self) -> set[bytes]:
        """The bytes of every file that the next scan shows."""
        return {(self.root / key).read_bytes() for key in keys(self.endpoint)}

    def temporaries(self) -> list[Path]:
        return [path for path in self.root.rglob("*") if is_temporary(path.name)]


def nobody(_: Path) -> None:
    pass


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


Act = Callable[[Path], None]
OPERATIONS = ["create", "replace", "move", "delete"]


def stage(tmp_path: Path, number: int, operation: str) -> Scene:
    root = tmp_path / f"root{number}"
    root.mkdir()
    return Scene(root, operation)


def steps_of(tmp_path: Path, operation: str) -> list[str]:
    scene = stage(tmp_path, -1, operation)
    with Steps() as steps:
        assert scene.operate()
    scene.close()
    return steps.names


def judge(scene: Scene, act: Act, acted: bool) -> None:
    """Every version that somebody else wrote is there, save one that the plan meant to replace."""
    contents = scene.contents()
    assert scene.temporaries() == []
    assert b"other" in contents
    if acted:
        assert THEIRS in contents
    else:
        assert set(keys(scene.endpoint)) <= {"d/file", "d/other", "e/f/moved"}
    if scene.operation == "move" and not acted:
        assert SEEN in contents
    if scene.operation == "replace" and not acted:
        assert SEEN in contents or OURS in contents
    assert contents <= {SEEN, OURS, THEIRS, b"other"}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_any_system_call_nothing_is_lost_and_nothing_remains(
    tmp_path: Path, kernel: str, operation: str
) -> None:
    calls = len(steps_of(tmp_path, operation))
    for kill_at in range(2 * calls):
        scene = stage(tmp_path, kill_at, operation)
        with Steps(kill_at) as steps:
            scene.operate()
        assert steps.killed, kill_at
        held = scene.path.read_bytes() if scene.path.exists() else None
        if operation == "replace" and kernel == "renameat2":
            assert held in {SEEN, OURS}, steps.names
        scene.rescan()
        judge(scene, nobody, acted=False)
        scene.close()


@pytest.mark.parametrize("act", [edits, renames_over])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_somebody_who_writes_before_any_system_call_keeps_that_version(
    tmp_path: Path, kernel: str, operation: str, act: Act
) -> None:
    lost = []
    calls = steps_of(tmp_path, operation)
    for act_at in range(len(calls)):
        scene = stage(tmp_path, act_at, operation)
        with Steps(act_at=act_at, act=lambda path=scene.path: act(path)) as steps:  # type: ignore[misc]
            done = scene.operate()
        contents = {path.read_bytes() for path in scene.root.rglob("*") if path.is_file()}
        if THEIRS not in contents:
            lost.append((steps.names[act_at - 1], steps.names[act_at]))
            assert done
        else:
            judge(scene, act, acted=True)
        assert scene.temporaries() == []
        scene.close()
    if kernel == "renameat2" or operation != "replace" or act is edits:
        assert lost == []
    else:
        # The window that aside.py tells of: between the opening of the last look and the rename.
        assert lost == [("open", "fstat"), ("fstat", "rename")]


@pytest.mark.parametrize("act", [edits, renames_over])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_somebody_who_writes_in_the_last_moment_and_a_kill_after_it_lose_nothing(
    tmp_path: Path, kernel: str, operation: str, act: Act
) -> None:
    calls = steps_of(tmp_path, operation)
    last = max(at for at, name in enumerate(calls) if name in {"exchange", "rename", "rename_new", "link"})
    if operation == "replace" and kernel != "renameat2" and act is renames_over:
        last = calls.index("link")
    number = 0
    for act_at in range(max(0, last - 6), last + 1):
        for kill_at in range(2 * act_at, 2 * (act_at + 24)):
            scene = stage(tmp_path, number, operation)
            number += 1
            with Steps(kill_at, act_at=act_at, act=lambda path=scene.path: act(path)) as steps:  # type: ignore[misc]
                scene.operate()
            scene.rescan()
            judge(scene, act, acted=True)
            scene.close()
            if not steps.killed:
                break


def test_killed_while_it_settles_what_a_kill_left_nothing_is_lost(tmp_path: Path, kernel: str) -> None:
    calls = steps_of(tmp_path, "replace")
    names = {"renameat2": "exchange", "no exchange": "link", "no renameat2": "link"}
    at = calls.index(names[kernel])
    number = 0
    for first in range(2 * at, 2 * (at + 8)):
        for second in range(400):
            scene = stage(tmp_path, number, "replace")
            number += 1
            with Steps(first, act_at=at, act=lambda path=scene.path: edits(path)):  # type: ignore[misc]
                scene.operate()
            scene.endpoint.close()
            scene.endpoint = LocalEndpoint(str(scene.root), owner=OWNER)
            with Steps(second) as steps:
                list(scene.endpoint.scan())
            scene.rescan()
            judge(scene, edits, acted=True)
            scene.close()
            if not steps.killed:
                break
        else:
            pytest.fail("the sweep never ended")


ENDLESS = """
import sys
from bisyncer.endpoints.local import LocalEndpoint
from tests.endpoints.contract import put
local = LocalEndpoint(sys.argv[1], owner=sys.argv[2])
entry = local.stat("d/file") or put(local, "d/file", b"0" * 1000)
print("ready", flush=True)
number = 0
while True:
    number += 1
    entry = put(local, "d/file", str(number % 10).encode() * (1000 + number % 7), entry)
    local.delete("d/passing", expect=put(local, "d/passing", b"passing"))
"""


def test_a_process_that_is_really_killed_leaves_one_whole_version_and_nothing_else(root: Path) -> None:
    for delay_ms in (0, 3, 7, 13, 29, 53):
        program = [sys.executable, "-c", ENDLESS, str(root), OWNER]
        with subprocess.Popen(program, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as running:
            assert running.stdout is not None
            assert running.stdout.readline() == b"ready\n"
            time.sleep(delay_ms / 1000)
            running.kill()
        local = LocalEndpoint(str(root), owner=OWNER)

        found = set(keys(local))

        assert {"d/file"} <= found <= {"d/file", "d/passing"}
        assert not [path for path in root.rglob("*") if is_temporary(path.name)]
        content = (root / "d" / "file").read_bytes()
        assert content == content[:1] * len(content)
        assert 1000 <= len(content) <= 1006
        if "d/passing" in found:
            local.delete("d/passing", expect=now(local, "d/passing"))
        local.close()


def test_a_version_that_came_between_is_put_back_under_its_name(root: Path) -> None:
    scene = Scene(root, "replace")
    with Steps() as dry:
        scene.operate()
    at = dry.names.index("exchange")
    (root / "d" / "file").write_bytes(SEEN)
    scene.expect = now(scene.endpoint, "d/file")

    with Steps(act_at=at, act=lambda: renames_over(scene.path)):
        assert not scene.operate()

    assert scene.path.read_bytes() == THEIRS
    assert keys(scene.endpoint) == ["d/file", "d/other"]
    scene.close()


def leave_aside(root: Path, name: str, held: bytes, there: bytes | None) -> Path:
    """An aside of a dead run that holds a version which the run never saw."""
    aside = root / f".bisyncer-{OWNER}-{'a' * 16}-{'b' * 16}-{'c' * 16}"
    aside.mkdir()
    (aside / name).write_bytes(held)
    if there is not None:
        (root / name).write_bytes(there)
    return aside


def test_a_scan_puts_an_unseen_version_back_and_shows_it(root: Path, local: LocalEndpoint) -> None:
    aside = leave_aside(root, "file", THEIRS, None)

    assert keys(local) == ["file"]
    assert (root / "file").read_bytes() == THEIRS
    assert not aside.exists()


def test_an_unseen_version_whose_name_is_taken_is_kept_beside(root: Path, local: LocalEndpoint) -> None:
    leave_aside(root, "file", THEIRS, b"newer")
    (root / "file.rescued1").write_bytes(b"an older rescue")

    assert keys(local) == ["file", "file.rescued1", "file.rescued2"]
    assert (root / "file").read_bytes() == b"newer"
    assert (root / "file.rescued2").read_bytes() == THEIRS


def test_a_second_link_to_a_file_that_lives_under_its_name_needs_no_rescue(
    root: Path, local: LocalEndpoint
) -> None:
    aside = leave_aside(root, "file", THEIRS, None)
    (root / "file").hardlink_to(aside / "file")

    assert keys(local) == ["file"]
    assert (root / "file").read_bytes() == THEIRS
    assert not aside.exists()


def test_the_name_of_a_rescued_version_fits_into_a_directory(root: Path, local: LocalEndpoint) -> None:
    name = "é" * 127
    leave_aside(root, name, THEIRS, b"newer")

    rescued = keys(local)[0]

    assert rescued == "é" * 123 + ".rescued1"
    assert (root / rescued).read_bytes() == THEIRS


def test_a_directory_or_a_link_that_was_taken_for_the_file_goes_back(root: Path, kernel: str) -> None:
    for make in (lambda path: path.mkdir(), lambda path: path.symlink_to("elsewhere")):
        for operation in ("replace", "delete"):
            (root / operation).mkdir(exist_ok=True)
            place = root / operation / f"at{len(list((root / operation).iterdir()))}"
            place.mkdir()
            scene = Scene(place, operation)
            with Steps() as dry:
                scene.operate()
            scene.path.unlink(missing_ok=True)
            scene.path.write_bytes(SEEN)
            scene.expect = now(scene.endpoint, "d/file")
            point = "exchange" if operation == "replace" and kernel == "renameat2" else "rename"
            if operation == "replace" and kernel != "renameat2":
                point = "link"

            def swap(path: Path = scene.path, make: Callable[[Path], None] = make) -> None:
                path.unlink()
                make(path)

            with Steps(act_at=dry.names.index(point), act=swap):
                assert not scene.operate()

            assert scene.path.is_symlink() or scene.path.is_dir()
            assert scene.temporaries() == []
            scene.close()


def test_own_leftovers_are_swept_and_others_are_neither_listed_nor_touched(
    root: Path, local: LocalEndpoint
) -> None:
    (root / "d").mkdir()
    mine = root / "d" / f".bisyncer-{OWNER}-{'0' * 16}"
    others = root / "d" / f".bisyncer-{'1' * 8}-{'0' * 16}"
    others_aside = root / "d" / f".bisyncer-{'1' * 8}-{'0' * 16}-{'0' * 16}-{'0' * 16}"
    mine.write_bytes(b"half of a file")
    others.write_bytes(b"half of a file")
    others_aside.mkdir()
    (others_aside / "held").write_bytes(b"1")

    assert list(local.scan()) == []
    assert not mine.exists()
    assert others.exists()
    assert (others_aside / "held").exists()


def test_a_root_that_is_only_read_keeps_what_a_dead_run_left(root: Path) -> None:
    mine = root / f".bisyncer-{OWNER}-{'0' * 16}"
    mine.write_bytes(b"half of a file")

    assert list(LocalEndpoint(str(root), owner=OWNER, read_only=True).scan()) == []
    assert mine.exists()


def test_names_that_only_begin_like_temporaries_are_keys(root: Path, local: LocalEndpoint) -> None:
    names = [".bisyncer-check", ".bisyncer.toml", f".bisyncer-{OWNER}-x", f".bisyncer-{OWNER}-{'0' * 15}"]
    for name in names:
        (root / name).write_bytes(b"1")

    assert keys(local) == sorted(names)


def test_a_key_in_the_form_of_a_temporary_is_rejected(root: Path, local: LocalEndpoint) -> None:
    for key in (f".bisyncer-{OWNER}-{'0' * 16}", f"d/.bisyncer-{'1' * 8}-{'0' * 16}/e"):
        with pytest.raises(Rejected, match="temporary"):
            put(local, key, b"1")

    assert list(root.iterdir()) == []


def test_a_scan_during_a_write_leaves_the_file_that_is_being_written(
    root: Path, local: LocalEndpoint
) -> None:
    class Scanning(BytesSource):
        def read(self, size: int = -1, /) -> bytes:
            assert keys(local) == []
            return super().read(size)

    local.write("k", Scanning(b"0123456789", longest=3), expect=None)

    assert (root / "k").read_bytes() == b"0123456789"


def test_an_aside_that_another_scan_is_settling_is_left_to_it(root: Path, local: LocalEndpoint) -> None:
    import fcntl

    aside = leave_aside(root, "file", THEIRS, None)
    opened = os.open(aside, os.O_RDONLY)
    fcntl.flock(opened, fcntl.LOCK_EX)

    assert keys(local) == []
    os.close(opened)
    assert keys(local) == ["file"]


def test_an_aside_that_can_not_be_settled_waits_for_the_next_scan(
    root: Path, local: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = leave_aside(root, "file", THEIRS, None)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr("bisyncer.endpoints.linux.rename_new", refuse)
        assert keys(local) == []
    assert (aside / "file").read_bytes() == THEIRS
    assert keys(local) == ["file"]


def test_a_tree_without_renames_and_links_refuses_to_write(
    root: Path, local: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(local, "old", b"1")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(95, "Operation not supported")

    for name in ("linux.exchange", "linux.rename_new"):
        monkeypatch.setattr(f"bisyncer.endpoints.{name}", refuse)
    monkeypatch.setattr(os, "link", refuse)

    with pytest.raises(Rejected, match="hard link"):
        put(local, "new", b"1")
    with pytest.raises(Rejected, match="hard link"):
        put(local, "old", b"22", now(local, "old"))
    assert keys(local) == ["old"]
    assert sorted(path.name for path in root.iterdir()) == ["old"]


def test_a_lost_answer_to_a_link_is_settled_by_looking(
    root: Path, local: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.link

    def answers_twice(*args: str, **kwargs: int) -> None:
        real(*args, **kwargs)  # type: ignore[arg-type]
        raise FileExistsError(17, "File exists")

    def refuse(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("bisyncer.endpoints.linux.rename_new", refuse)
    monkeypatch.setattr(os, "link", answers_twice)

    put(local, "k", b"1")

    assert keys(local) == ["k"]
    assert [path.name for path in root.iterdir()] == ["k"]


def test_a_replaced_file_keeps_its_mode_without_set_uid_and_a_new_one_gets_the_umask(
    root: Path, kernel: str
) -> None:
    local = LocalEndpoint(str(root), owner=OWNER)
    old = os.umask(0o027)
    try:
        first = put(local, "k", b"1")
        assert stat.S_IMODE((root / "k").stat().st_mode) == 0o640
        (root / "k").chmod(0o4711)
        first = now(local, "k")
        put(local, "k", b"22", first)
        put(local, "d/e", b"1")
    finally:
        os.umask(old)

    assert stat.S_IMODE((root / "k").stat().st_mode) == 0o711
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o750
    local.close()


def test_a_replaced_file_keeps_its_owner(root: Path, local: LocalEndpoint) -> None:
    put(local, "k", b"1")
    if os.getuid() == 0:
        os.chown(root / "k", 65534, 65534)
    before = (root / "k").stat()

    put(local, "k", b"22", now(local, "k"))

    after = (root / "k").stat()
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino


def test_an_owner_that_is_not_8_hex_digits_is_refused() -> None:
    with pytest.raises(ValueError, match="8 hex digits"):
        Asides("me", lambda _: None)


def test_a_write_that_is_edited_as_soon_as_it_is_in_place_is_not_recorded(root: Path) -> None:
    scene = Scene(root, "create")
    with Steps() as dry:
        scene.operate()
    scene.path.unlink()

    with (
        Steps(act_at=dry.names.index("rename_new") + 1, act=lambda: edits(scene.path)),
        suppress(Changed),
    ):
        put(scene.endpoint, "d/file", OURS)
        pytest.fail("the edit would be recorded as ours")

    assert scene.path.read_bytes().startswith(THEIRS)
    scene.close()


def test_entries_and_places_share_no_names_with_temporaries(root: Path, local: LocalEndpoint) -> None:
    leave_aside(root, "file", THEIRS, None)
    for item in local.scan():
        assert isinstance(item, Entry | Unreadable)
        assert not is_temporary(item[0])


def test_no_two_temporaries_have_one_name() -> None:
    names = []
    for asides in (Asides(OWNER, lambda _: None), Asides(OWNER, lambda _: None)):
        for _ in range(100):
            with asides.temporary() as name:
                names.append(name)

    assert all(map(is_temporary, names))
    assert len(set(names)) == len(names)
