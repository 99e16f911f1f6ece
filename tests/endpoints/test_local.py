from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bisyncer.endpoints import linux, mounts
from bisyncer.endpoints.base import Endpoint
from bisyncer.endpoints.local import LocalEndpoint
from bisyncer.endpoints.readonly import ReadOnlyEndpoint
from bisyncer.errors import (
    AccessDenied,
    Changed,
    EndpointError,
    ListingIncomplete,
    Rejected,
    RootMissing,
    Transient,
    UsageError,
)
from bisyncer.job import LinkMode
from bisyncer.model import TRASH, Entry, Unreadable
from tests.endpoints.conftest import OWNER, open_descriptors
from tests.endpoints.contract import Behind, BytesSource, TreeContract, entries, keys, now, put, whole


class _Behind:
    """Another program at work in the tree."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def plant(self, key: str, data: bytes) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def remove(self, key: str) -> None:
        (self.root / key).unlink()

    def content(self, key: str) -> bytes | None:
        path = self.root / key
        return path.read_bytes() if path.is_file() else None

    def names(self) -> list[str]:
        found = (path for path in self.root.rglob("*") if path.is_symlink() or not path.is_dir())
        return sorted(str(path.relative_to(self.root)) for path in found)


class TestLocal(TreeContract):
    @pytest.fixture
    def endpoint(self, root: Path) -> Iterator[Endpoint]:
        endpoint = LocalEndpoint(str(root), owner=OWNER)
        yield endpoint
        endpoint.close()

    @pytest.fixture
    def behind(self, root: Path) -> Behind:
        return _Behind(root)

    def identity(self, entry: Entry) -> str:
        return entry.stamp.partition("~")[0]


class TestLocalWithoutExchange(TestLocal):
    """The same rules where names can't be exchanged, as on NFS; threads of one run exclude each other."""

    @pytest.fixture(autouse=True)
    def _nfs(self, kernel: str) -> None:
        pass


SECRET = b"outside"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(SECRET)
    return outside


# Nothing leads out of the root.


def test_no_operation_follows_a_link_in_the_place_of_a_directory(
    root: Path, local: LocalEndpoint, outside: Path
) -> None:
    seen = put(local, "d/file", SECRET)
    (root / "d" / "file").unlink()
    (root / "d").rmdir()
    (root / "d").symlink_to(outside)

    for act in (
        lambda: put(local, "d/file", b"1"),
        lambda: put(local, "d/new", b"1"),
        lambda: put(local, "d/e/new", b"1"),
        lambda: put(local, "d/file", b"1", seen),
        lambda: local.delete("d/file", expect=seen),
        lambda: local.stat("d/file"),
        lambda: local.stat("d/nothing"),
        lambda: whole(local, "d/file", seen),
    ):
        with pytest.raises(Rejected, match="d: is a symbolic link"):
            act()

    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_bytes() == SECRET
    (place,) = local.scan()
    assert place == Unreadable("d", "is a symbolic link; links are not followed", skipped=True)


def test_a_directory_that_becomes_a_link_while_it_is_written_to_leads_nowhere(
    root: Path, local: LocalEndpoint, outside: Path
) -> None:
    put(local, "d/other", b"1")

    class Swapping(BytesSource):
        def read(self, size: int = -1, /) -> bytes:
            if (root / "d").is_dir() and not (root / "d").is_symlink():
                (root / "d").rename(root / "moved")
                (root / "d").symlink_to(outside)
            return super().read(size)

    local.write("d/file2", Swapping(b"12345"), expect=None)

    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (root / "moved" / "file2").read_bytes() == b"12345"


def test_no_operation_follows_a_link_in_the_place_of_a_file(
    root: Path, local: LocalEndpoint, outside: Path
) -> None:
    seen = put(local, "file", SECRET)
    (root / "file").unlink()
    (root / "file").symlink_to(outside / "file")

    with pytest.raises(Rejected, match="file: is a symbolic link"):
        local.stat("file")
    for act in (
        lambda: put(local, "file", b"1"),
        lambda: put(local, "file", b"1", seen),
        lambda: local.delete("file", expect=seen),
        lambda: whole(local, "file", seen),
    ):
        with pytest.raises(Changed):
            act()

    assert (root / "file").is_symlink()
    assert (outside / "file").read_bytes() == SECRET


def test_a_link_that_takes_the_place_of_a_directory_during_a_scan_is_not_followed(
    root: Path, local: LocalEndpoint, outside: Path
) -> None:
    for key in ("a", "d/file", "d/sub/x", "d/z", "e"):
        put(local, key, b"1")
    found = []
    for item in local.scan():
        found.append(item)
        if item[0] == "a":
            (root / "d").rename(root / "moved")
            (root / "d").symlink_to(outside)

    assert [item[0] for item in found] == ["a", "d/", "e"]
    assert isinstance(found[1], Unreadable)
    assert not found[1].skipped


def test_a_link_that_takes_the_place_of_the_directory_above_during_a_scan_is_not_followed(
    root: Path, local: LocalEndpoint, outside: Path
) -> None:
    for key in ("d/a/x", "d/file", "d/z/x", "e"):
        put(local, key, b"1")
    found = []
    for item in local.scan():
        found.append(item)
        if item[0] == "d/a/x":
            (root / "d").rename(root / "moved")
            (root / "d").symlink_to(outside)

    assert [item[0] for item in found] == ["d/a/x", "d/file", "d/z/", "e"]
    assert [type(item) for item in found] == [Entry, Unreadable, Unreadable, Entry]


def test_the_root_itself_may_be_reached_through_a_link(tmp_path: Path, root: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    local = LocalEndpoint(str(tmp_path / "link"), owner=OWNER)
    put(local, "k", b"1")

    assert local.root == f"file://{root}"
    assert (root / "k").read_bytes() == b"1"
    local.close()


def test_a_path_for_a_root_is_not_taken_apart_as_a_key(tmp_path: Path) -> None:
    (tmp_path / "a%41 b").mkdir()
    local = LocalEndpoint(str(tmp_path / "a%41 b" / ".." / "a%41 b"), owner=OWNER)

    assert local.root == f"file://{tmp_path}/a%41 b"
    put(local, "k", b"1")
    assert (tmp_path / "a%41 b" / "k").exists()
    local.close()


def test_a_root_whose_name_is_not_valid_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not valid UTF-8"):
        LocalEndpoint(os.fsdecode(bytes(tmp_path) + b"/caf\xe9"), owner=OWNER)


# Files and directories in each other's place.


def test_below_a_plain_file_there_is_nothing(local: LocalEndpoint) -> None:
    put(local, "a", b"1")

    assert local.stat("a/b") is None
    assert local.stat("a/b/c") is None


def test_a_directory_is_not_a_key(local: LocalEndpoint) -> None:
    put(local, "d/e", b"1")

    assert local.stat("d") is None


def test_an_empty_directory_gives_way_to_a_key(root: Path, local: LocalEndpoint) -> None:
    (root / "d").mkdir()
    put(local, "d", b"1")

    assert (root / "d").read_bytes() == b"1"


def test_special_files_are_skipped_in_their_place(root: Path, local: LocalEndpoint) -> None:
    os.mkfifo(root / "fifo")
    (root / "link").symlink_to("nowhere")
    (root / "linked directory").symlink_to("/")
    with socket.socket(socket.AF_UNIX) as listener:
        directory = os.open(root, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{directory}/socket")
        os.close(directory)
    put(local, "m", b"1")

    found = list(local.scan())

    assert [item[0] for item in found] == ["fifo", "link", "linked directory", "m", "socket"]
    places = [item for item in found if isinstance(item, Unreadable)]
    assert len(places) == 4
    assert all(place.skipped for place in places)
    for place in places:
        with pytest.raises(Rejected):
            local.stat(place.prefix)


def test_a_named_pipe_in_the_place_of_a_file_does_not_block(root: Path, local: LocalEndpoint) -> None:
    seen = put(local, "k", b"1")
    (root / "k").unlink()
    os.mkfifo(root / "k")

    with pytest.raises(Changed):
        whole(local, "k", seen)
    with pytest.raises(Changed):
        put(local, "k", b"1", seen)


@pytest.mark.parametrize("mtime_ns", [-1, 0, 2**70, -(2**70)])
def test_any_number_for_an_mtime_can_be_written(local: LocalEndpoint, mtime_ns: int) -> None:
    entry = local.write("k", BytesSource(b"1", mtime_ns=mtime_ns), expect=None)

    assert whole(local, "k", entry) == b"1"


# Reading one version, whole.


def read_while(local: LocalEndpoint, key: str, change: list[object]) -> bytes:
    seen = now(local, key)
    with local.read(key, expect=seen) as source:
        first = source.read(3)
        for act in change:
            assert callable(act)
            act()
        rest = b"".join(iter(lambda: source.read(3), b""))
    return first + rest


def test_a_read_of_a_file_that_is_edited_meanwhile_has_no_end(root: Path, local: LocalEndpoint) -> None:
    path = root / "k"

    def same_size() -> None:
        with path.open("r+b") as file:
            file.write(b"XXXXXXXXXX")

    def grows() -> None:
        with path.open("ab") as file:
            file.write(b"more")

    def shrinks() -> None:
        os.truncate(path, 4)

    for act in (same_size, grows, shrinks):
        path.write_bytes(b"0123456789")
        with pytest.raises(Changed):
            read_while(local, "k", [act])


def edit_keeping_mtime(path: Path, data: bytes) -> None:
    before = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_read_of_a_file_whose_mtime_is_set_back_after_an_edit_has_no_end(
    root: Path, local: LocalEndpoint
) -> None:
    put(local, "k", b"0123456789")

    with pytest.raises(Changed):
        read_while(local, "k", [lambda: edit_keeping_mtime(root / "k", b"9876543210")])


def test_an_edit_during_the_transfer_whose_mtime_is_set_back_is_not_overwritten(
    root: Path, local: LocalEndpoint
) -> None:
    seen = put(local, "k", b"12345")

    class Editing(BytesSource):
        def read(self, size: int = -1, /) -> bytes:
            edit_keeping_mtime(root / "k", b"54321")
            return super().read(size)

    with pytest.raises(Changed):
        local.write("k", Editing(b"ours"), expect=seen)

    assert [path.read_bytes() for path in root.iterdir()] == [b"54321"]


def test_a_read_of_all_at_once_is_checked_too(root: Path, local: LocalEndpoint) -> None:
    path = root / "k"
    path.write_bytes(b"0123456789")
    with local.read("k", expect=now(local, "k")) as source:
        os.truncate(path, 4)
        with pytest.raises(Changed):
            source.read()


def test_a_file_that_was_grown_by_a_byte_at_its_end_has_no_end(root: Path, local: LocalEndpoint) -> None:
    path = root / "k"
    path.write_bytes(b"")
    with local.read("k", expect=now(local, "k")) as source:
        assert source.read(0) == b""
        path.write_bytes(b"1")
        with pytest.raises(Changed):
            source.read(1)


# Many small files.


@pytest.mark.parametrize("links", LinkMode)
def test_of_many_files_none_is_read_that_is_not_what_was_listed(
    root: Path, outside: Path, links: LinkMode
) -> None:
    (root / "moved").mkdir()
    for key in ("dir", "fifo", "gone", "link", "moved/file", "ok", "secret"):
        (root / key).write_bytes(SECRET)
    local = LocalEndpoint(str(root), owner="0" * 8, links=links)
    seen = [now(local, key) for key in ("dir", "fifo", "gone", "link", "moved/file", "ok")]
    for key in ("dir", "fifo", "gone", "link", "moved/file"):
        (root / key).unlink()
    (root / "moved").rmdir()
    (root / "dir").mkdir()
    os.mkfifo(root / "fifo")
    (root / "link").symlink_to(outside / "file")
    (root / "moved").symlink_to(outside)
    told = seen[-1]
    strange = ["../outside/file", "..", ".", "", "a\0b", "a\udc80", "ok/", "ok/ok", "n" * 300, "moved//file"]

    found = list(local.read_many([*seen, *(told._replace(key=key) for key in strange)]))

    assert found == [None] * 5 + [SECRET] + [None] * len(strange)


def test_a_file_that_is_written_to_while_many_are_read_is_not_taken(
    root: Path, local: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = [put(local, key, b"0123456789") for key in "abc"]
    pread = os.pread

    def edited(opened: int, size: int, at: int) -> bytes:
        data = pread(opened, size, at)
        if Path(f"/proc/self/fd/{opened}").readlink().name == "b":
            edit_keeping_mtime(root / "b", b"9876543210")
        return data

    monkeypatch.setattr(os, "pread", edited)

    assert list(local.read_many(seen)) == [b"0123456789", None, b"0123456789"]


def test_reading_many_gives_back_every_descriptor_also_where_it_is_left_early(
    root: Path, local: LocalEndpoint
) -> None:
    seen = [put(local, f"d/{key}", b"1") for key in "abc"]
    before = len(list(Path("/proc/self/fd").iterdir()))

    reading = local.read_many(seen)
    assert next(reading) == b"1"
    reading.close()
    assert list(local.read_many(seen)) == [b"1"] * 3

    assert len(list(Path("/proc/self/fd").iterdir())) == before


# Readers see one version or the other.


def test_a_reader_always_finds_the_old_file_or_the_new_one_whole(root: Path, local: LocalEndpoint) -> None:
    versions = [bytes([65 + number]) * (1000 + number) for number in range(8)]
    entry = put(local, "k", versions[0])
    found: set[bytes] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            found.add((root / "k").read_bytes())

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: None)
        reader = threading.Thread(target=look)
        reader.start()
        try:
            for number in range(1, 400):
                entry = put(local, "k", versions[number % 8], entry)
        finally:
            stop.set()
            reader.join()

    assert found <= set(versions)
    assert len(found) > 1


# Stamps.


def test_a_file_younger_than_the_clock_can_tell_never_has_the_same_stamp_twice(root: Path) -> None:
    (root / "k").write_bytes(b"1")
    os.utime(root / "k", ns=(1, 5_000_000_000))
    clock = 5_000_000_000
    local = LocalEndpoint(str(root), owner=OWNER, now_ns=lambda: clock)

    def stamps() -> list[str]:
        return [now(local, "k").stamp, entries(local)[0].stamp]

    assert len({*stamps(), *stamps()}) == 4  # also with a clock that stands still
    clock = 6_999_999_999
    assert len({*stamps(), *stamps()}) == 4
    clock = 4_000_000_000  # a time in the future
    assert len({*stamps(), *stamps()}) == 4
    clock = 7_000_000_000
    assert len({*stamps(), *stamps()}) == 1
    local.close()


def test_a_racy_stamp_is_still_what_is_expected(root: Path) -> None:
    (root / "k").write_bytes(b"1")
    local = LocalEndpoint(str(root), owner=OWNER)
    (seen,) = entries(local)

    assert "~" in seen.stamp
    assert whole(local, "k", seen) == b"1"
    put(local, "k", b"22", seen)
    local.close()


def test_an_edit_that_keeps_size_and_mtime_is_noticed(root: Path, local: LocalEndpoint) -> None:
    seen = put(local, "k", b"12345")
    assert seen.mtime_ns is not None
    (root / "k").write_bytes(b"54321")
    os.utime(root / "k", ns=(seen.mtime_ns, seen.mtime_ns))

    assert now(local, "k").stamp != seen.stamp
    for act in (lambda: put(local, "k", b"1", seen), lambda: local.delete("k", expect=seen)):
        with pytest.raises(Changed):
            act()
    assert (root / "k").read_bytes() == b"54321"


# Being refused by the file system.


@pytest.mark.parametrize(
    "refusal",
    [
        ("ENOSPC", Rejected, "no space is left"),
        ("EDQUOT", Rejected, "quota"),
        ("EIO", Transient, "Input/output error"),
        ("ESTALE", Transient, "Stale"),
        ("EROFS", Rejected, "read-only"),
        ("EACCES", Rejected, "permission denied"),
        ("EFBIG", Rejected, "larger"),
    ],
)
@pytest.mark.parametrize("call", ["write", "fsync", "open", "utime"])
def test_what_the_file_system_refuses_is_told_and_leaves_nothing(
    root: Path,
    local: LocalEndpoint,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    refusal: tuple[str, type[EndpointError], str],
) -> None:
    import errno

    code, kind, words = refusal
    old = put(local, "d/old", b"1")
    real: Callable[..., object] = getattr(os, call)
    acts: list[Callable[[], object]] = [
        lambda: put(local, "d/new", b"1"),
        lambda: put(local, "d/old", b"2", old),
    ]

    def fail(*args: Any, **kwargs: Any) -> object:
        if call == "open" and not str(args[0]).startswith(".bisyncer-"):
            return real(*args, **kwargs)
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        for act in acts:
            with pytest.raises(kind, match=words) as raised:
                act()
            assert "d/" in str(raised.value)

    assert [path.name for path in (root / "d").iterdir()] == ["old"]
    assert whole(local, "d/old", old) == b"1"


def run_as_nobody(root: Path, code: str) -> str:
    """Run code as a user without rights; the endpoint is `local`."""
    program = (
        "import os, sys\n"
        "os.umask(0)\n"
        "from bisyncer.endpoints.local import LocalEndpoint\n"
        "from bisyncer.endpoints.memory import MemoryEndpoint\n"
        "from bisyncer.errors import *\n"
        "from tests.endpoints.contract import put, whole\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        f"local = LocalEndpoint({str(root)!r}, owner={OWNER!r})\n" + code
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root that any user can reach."""
    import shutil
    import tempfile

    place = Path(tempfile.mkdtemp(prefix="bisyncer-test-"))
    place.chmod(0o777)
    yield place
    for directory in place.rglob("*"):
        if directory.is_dir():
            directory.chmod(0o700)
    shutil.rmtree(place)


def test_what_this_user_may_not_read_is_told_in_its_place(shared: Path) -> None:
    for key in ("a", "closed/x", "d/secret", "d/z", "unsearchable/x"):
        _Behind(shared).plant(key, b"1")
    (shared / "closed").chmod(0)
    (shared / "unsearchable").chmod(0o444)
    (shared / "d" / "secret").chmod(0)

    told = run_as_nobody(
        shared,
        "items = list(local.scan())\n"
        "print([(type(item).__name__, item[0]) for item in items])\n"
        "try: whole(local, 'd/secret', items[2])\n"
        "except Rejected as error: print(error)\n"
        "for key in ('closed/x', 'unsearchable/x', 'closed/gone'):\n"
        "    try: print(local.stat(key))\n"
        "    except Rejected as error: print(error)\n",
    ).splitlines()

    assert told[0] == str(
        [
            ("Entry", "a"),
            ("Unreadable", "closed/"),
            ("Entry", "d/secret"),
            ("Entry", "d/z"),
            ("Unreadable", "unsearchable/x"),
        ]
    )
    assert told[1].endswith("/d/secret: permission denied; let this user read and write it.")
    assert all("permission denied" in line for line in told[2:])
    assert len(told) == 5


def test_a_root_that_this_user_may_not_list_or_write_is_denied(shared: Path) -> None:
    (shared / "no").mkdir(mode=0o700)
    (shared / "no").chmod(0)
    (shared / "ro").mkdir()
    (shared / "ro").chmod(0o555)

    told = run_as_nobody(
        shared,
        "for name in ('no', 'ro'):\n"
        f"    here = LocalEndpoint({str(shared)!r} + '/' + name, owner={OWNER!r})\n"
        "    for scratch in (False, True):\n"
        "        try: here.probe(scratch=scratch); print('fine')\n"
        "        except AccessDenied as error: print(error)\n"
        f"try: list(LocalEndpoint({str(shared / 'no')!r}, owner={OWNER!r}).scan())\n"
        "except ListingIncomplete as error: print('incomplete', error)\n",
    ).splitlines()

    assert ["may not list" in line for line in told] == [True, True, False, False, False]
    assert told[2] == "fine"
    assert "can't be written" in told[3]
    assert told[4].startswith("incomplete")


# The root.


def test_a_root_that_is_not_there_is_missing_and_never_empty(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    for name in ("nothing", "file", "file/below"):
        local = LocalEndpoint(str(tmp_path / name), owner=OWNER)
        with pytest.raises(RootMissing, match="no such directory"):
            local.probe()
        with pytest.raises(ListingIncomplete):
            list(local.scan())
        with pytest.raises(Transient, match="can't be opened"):
            put(local, "k", b"1")
        with pytest.raises(Transient, match="can't be opened"):
            local.stat("k")
        local.close()

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_root_that_goes_away_after_the_first_look_is_not_written_elsewhere(
    root: Path, local: LocalEndpoint
) -> None:
    put(local, "k", b"1")
    root.rename(root.with_name("unmounted"))
    root.mkdir()
    put(local, "l", b"1")

    assert list(root.iterdir()) == []
    assert keys(local) == ["k", "l"]


def test_a_probe_tells_the_file_system_and_whether_names_can_be_exchanged(
    local: LocalEndpoint, kernel: str
) -> None:
    probe = local.probe(scratch=True)

    assert probe.conditional_write is local.capabilities.conditional_write is (kernel == "renameat2")
    assert probe.conditional_delete
    assert probe.filesystem == local.probe().filesystem != "unknown"


def test_a_probe_of_a_read_only_file_system_is_denied(
    local: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refuse(path: str, flags: int, *args: int, **kwargs: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(30, "Read-only file system")
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)

    with pytest.raises(AccessDenied, match="Read-only"):
        local.probe(scratch=True)


def test_roots_overlap_where_one_is_or_contains_the_other(tmp_path: Path, root: Path) -> None:
    (root / "in").mkdir()
    (tmp_path / "root2").mkdir()
    (tmp_path / "link").symlink_to(root / "in")
    one, inner, linked, beside, missing = (
        LocalEndpoint(str(path), owner=OWNER)
        for path in (root, root / "in", tmp_path / "link", tmp_path / "root2", root / "no" / "such")
    )

    assert one.overlaps(inner)
    assert inner.overlaps(one)
    assert linked.overlaps(one)
    assert missing.overlaps(one)
    assert not one.overlaps(beside)
    assert not beside.overlaps(one)


def test_the_mount_of_a_path_is_the_nearest_and_the_latest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "27 1 254:0 / / rw - ext4 /dev/vda rw\n"
        "30 27 0:40 / /mnt/a rw,relatime shared:1 - nfs4 host:/a rw\n"
        "31 27 0:41 / /mnt/a\\040b rw - cifs //host/b rw\n"
        "32 27 0:42 / /mnt/twice rw - autofs x rw\n"
        "33 32 0:43 / /mnt/twice rw - nfs host:/t rw\n"
    )
    monkeypatch.setattr(mounts, "_MOUNTS", table)

    assert mounts.mount_of("/mnt/a/deep/er") == ("/mnt/a", "nfs4")
    assert mounts.mount_of("/mnt/a b") == ("/mnt/a b", "cifs")
    assert mounts.mount_of("/mnt/ab") == ("/", "ext4")
    assert mounts.mount_of("/mnt/twice/x") == ("/mnt/twice", "nfs")
    monkeypatch.setattr(mounts, "_MOUNTS", tmp_path / "none")
    assert mounts.mount_of("/proc/self") == ("/proc", "unknown")


def test_a_directory_that_a_unit_binds_to_its_own_place_is_not_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "27 1 254:0 / / ro - ext4 /dev/vda rw\n"
        "30 27 254:0 /mnt/plain /mnt/plain rw - ext4 /dev/vda rw\n"
        "31 30 254:0 /mnt/plain/a\\040b /mnt/plain/a\\040b rw - ext4 /dev/vda rw\n"
        "32 27 254:0 /mnt/other /mnt/elsewhere rw - ext4 /dev/vda rw\n"
        "33 27 0:40 / /mnt/nfs ro - nfs4 host:/a rw\n"
        "34 33 0:40 /content /mnt/nfs/content rw - nfs4 host:/a rw\n"
        "35 34 0:40 /content /mnt/nfs/content rw - nfs4 host:/a rw\n"
        "36 27 0:50 /@home /home rw - btrfs /dev/vdb rw\n"
    )
    monkeypatch.setattr(mounts, "_MOUNTS", table)

    assert mounts.mount_of("/mnt/plain/x") == ("/", "ext4")
    assert mounts.mount_of("/mnt/plain/a b") == ("/", "ext4")
    assert mounts.mount_of("/mnt/elsewhere") == ("/mnt/elsewhere", "ext4")
    assert mounts.mount_of("/mnt/nfs/content/x") == ("/mnt/nfs", "nfs4")
    assert mounts.mount_of("/home/me") == ("/home", "btrfs")


# Durability.


def test_a_flush_syncs_what_was_written_to_and_nothing_else(
    root: Path, local: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(linux, "syncfs", lambda opened: synced.append(os.fstat(opened).st_dev))
    local.flush()
    assert synced == []

    entry = put(local, "a/b/c", b"1")
    put(local, "d", b"1")
    local.flush()
    assert synced == [root.stat().st_dev]

    local.flush()
    assert len(synced) == 1
    local.delete("a/b/c", expect=entry)
    local.flush()
    assert len(synced) == 2


def test_a_flush_syncs_what_somebody_else_wrote_a_moment_before_it_was_read(
    root: Path, local: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(linux, "syncfs", lambda opened: synced.append(os.fstat(opened).st_dev))
    (root / "k").write_bytes(b"1")
    entry = now(local, "k")
    later = LocalEndpoint(str(root), owner=OWNER, now_ns=lambda: time.time_ns() + 3600 * 10**9)
    for endpoint in (later, ReadOnlyEndpoint(local)):
        with endpoint.read("k", expect=entry) as source:
            source.read()
        endpoint.flush()
    later.close()
    assert synced == [root.stat().st_dev]

    assert list(local.read_many([entry])) == [b"1"]
    local.flush()
    assert len(synced) == 2


def test_the_data_is_on_the_disk_before_the_name_is(
    local: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real_sync, real_exchange, real_rename = os.fsync, linux.exchange, linux.rename_new

    def note(name: str, call: object) -> object:
        def noted(*args: object) -> object:
            order.append(name)
            assert callable(call)
            return call(*args)

        return noted

    monkeypatch.setattr(os, "fsync", note("fsync", real_sync))
    monkeypatch.setattr(linux, "exchange", note("exchange", real_exchange))
    monkeypatch.setattr(linux, "rename_new", note("rename", real_rename))

    put(local, "k", b"22", put(local, "k", b"1"))

    assert order == ["fsync", "rename", "fsync", "exchange"]


def test_after_a_flush_that_failed_no_flush_succeeds(
    local: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    put(local, "k", b"1")
    with monkeypatch.context() as patched:
        patched.setattr(linux, "syncfs", fail)
        with pytest.raises(Transient, match="durable"):
            local.flush()

    with pytest.raises(Transient, match="durable"):
        local.flush()


@pytest.mark.parametrize("after_a_directory", [False, True])
def test_what_somebody_wrote_a_moment_before_it_was_listed_is_synced_by_a_flush(
    root: Path, local: LocalEndpoint, monkeypatch: pytest.MonkeyPatch, after_a_directory: bool
) -> None:
    if after_a_directory:  # from which the listing comes back
        (root / "a").mkdir()
    (root / "b").write_text("fresh")
    synced: list[int] = []
    monkeypatch.setattr(linux, "syncfs", lambda opened: synced.append(os.fstat(opened).st_dev))
    later = LocalEndpoint(str(root), owner=OWNER, now_ns=lambda: time.time_ns() + 3600 * 10**9)
    for endpoint in (later, local):
        assert len(list(endpoint.scan())) == 1
        assert synced == []
        endpoint.flush()
    later.close()
    assert synced == [root.stat().st_dev]


def test_what_somebody_wrote_a_moment_before_a_look_at_it_is_synced_by_a_flush(
    root: Path, local: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "b").write_text("fresh")
    synced: list[int] = []
    monkeypatch.setattr(linux, "syncfs", lambda opened: synced.append(os.fstat(opened).st_dev))
    later = LocalEndpoint(str(root), owner=OWNER, now_ns=lambda: time.time_ns() + 3600 * 10**9)
    for endpoint in (later, local):
        assert endpoint.stat("b") is not None
        assert endpoint.stat("none") is None
        endpoint.flush()
    later.close()
    assert synced == [root.stat().st_dev]


def test_without_syncfs_every_directory_is_synced_at_once(
    root: Path, local: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(linux, "HAS_SYNCFS", False)
    monkeypatch.setattr(os, "fsync", lambda opened: synced.append(os.fstat(opened).st_ino))

    put(local, "a/b/c", b"1")
    local.flush()

    inodes = [path.stat().st_ino for path in (root, root / "a", root / "a/b/c", root / "a/b")]
    assert synced == inodes


def test_closing_gives_back_every_descriptor(root: Path) -> None:
    before = open_descriptors()
    local = LocalEndpoint(str(root), owner=OWNER)
    put(local, "a/b", b"22", put(local, "a/b", b"1"))
    list(local.scan())
    scan = local.scan()
    next(scan)
    del scan
    local.stat("x/y")
    local.close()

    assert open_descriptors() == before


# What travels beside the content.


# Only root may give a file away.
UID, GID = (1234, 2345) if os.geteuid() == 0 else (os.getuid(), os.getgid())


def fields(local: LocalEndpoint, key: str) -> Mapping[str, str]:
    with local.read(key, expect=now(local, key)) as source:
        return source.metadata


def test_a_file_tells_its_mode_and_owner_as_rclone_writes_them(local: LocalEndpoint, root: Path) -> None:
    (root / "k").write_bytes(b"1")
    (root / "k").chmod(0o640)
    os.chown(root / "k", UID, GID)

    assert fields(local, "k") == {"mode": "100640", "uid": str(UID), "gid": str(GID)}


def test_a_file_gets_the_mode_and_the_owner_that_its_content_came_with(
    local: LocalEndpoint, root: Path
) -> None:
    put(local, "k", b"1", metadata={"mode": "100604", "uid": str(UID), "gid": str(GID)})

    made = (root / "k").stat()
    assert (stat.S_IMODE(made.st_mode), made.st_uid, made.st_gid) == (0o604, UID, GID)


def test_a_file_whose_owner_cannot_be_given_away_is_replaced_all_the_same(
    local: LocalEndpoint, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "k").write_bytes(b"1")
    os.chown(root / "k", UID, GID)
    before = now(local, "k")

    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, "the owner isn't mapped")

    monkeypatch.setattr(os, "fchown", refuse)
    put(local, "k", b"2", expect=before)

    assert (root / "k").read_bytes() == b"2"


def test_no_right_to_act_as_somebody_else_comes_out_of_a_bucket(local: LocalEndpoint, root: Path) -> None:
    put(local, "k", b"1", metadata={"mode": "107755"})

    assert stat.S_IMODE((root / "k").stat().st_mode) == 0o755


@pytest.mark.parametrize("mode", ["", "rwx", "-1", "99999", "0o644", "123456789"])
def test_what_is_no_mode_is_none(local: LocalEndpoint, root: Path, mode: str) -> None:
    put(local, "k", b"1", metadata={"mode": mode, "uid": "nobody", "gid": "99999999999"})
    put(local, "l", b"1")

    assert (root / "k").stat().st_mode == (root / "l").stat().st_mode
    assert (root / "k").stat().st_uid == (root / "l").stat().st_uid


def test_without_metadata_nothing_of_it_travels(root: Path) -> None:
    plain = LocalEndpoint(str(root), owner=OWNER, metadata=False)
    put(plain, "k", b"1", metadata={"mode": "100604"})

    assert stat.S_IMODE((root / "k").stat().st_mode) != 0o604
    assert fields(plain, "k") == {}
    plain.close()


def test_a_probe_tells_the_room_that_is_left_and_the_clock(local: LocalEndpoint) -> None:
    probe = local.probe(scratch=True)

    assert probe.free_bytes is not None
    assert probe.free_bytes > 0
    assert probe.skew_ns is not None
    assert abs(probe.skew_ns) < 10**9


@pytest.mark.parametrize(
    ("problem", "torn"), [(errno.ESTALE, True), (errno.ENOENT, True), (errno.EACCES, False)]
)
def test_a_file_that_its_server_has_no_more_is_no_whole_version(
    local: LocalEndpoint, monkeypatch: pytest.MonkeyPatch, problem: int, torn: bool
) -> None:
    entry = put(local, "k", b"12")
    real = os.open

    def nfs(path: Any, *words: Any, **named: Any) -> int:
        if str(path).startswith("/proc/self/fd/"):
            raise OSError(problem, os.strerror(problem))
        return real(path, *words, **named)

    monkeypatch.setattr(os, "open", nfs)
    with local.read("k", expect=entry) as source:
        assert source.read(2) == b"12"
        if torn:
            with pytest.raises(Changed):
                source.read(2)
        else:
            assert source.read(2) == b""


@pytest.mark.parametrize("between", [None, b"a stranger's"])
def test_an_exchange_that_is_done_and_answered_by_an_error_loses_no_version(
    local: LocalEndpoint, root: Path, monkeypatch: pytest.MonkeyPatch, between: bytes | None
) -> None:
    entry = put(local, "k", b"old")
    exchange = linux.exchange

    def done(*words: Any) -> None:
        if between is not None:
            (root / "k").write_bytes(between)
        exchange(*words)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(linux, "exchange", done)
        with pytest.raises(EndpointError):
            put(local, "k", b"new", expect=entry)

    assert keys(local) == ["k"]
    assert (root / "k").read_bytes() == (between or b"new")


def test_a_file_is_not_moved_to_another_file_system(
    local: LocalEndpoint, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = put(local, "k", b"1")

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(linux, "rename_new", refuse)
    with pytest.raises(Rejected, match="another file system"):
        local.move("k", "mnt/k", expect=entry)
    assert (root / "k").read_bytes() == b"1"


# The trash.


@pytest.mark.parametrize("links", [LinkMode.SKIP, LinkMode.KEEP])
def test_what_is_kept_by_a_copy_in_the_root_is_durable_before_the_original_goes(
    root: Path, monkeypatch: pytest.MonkeyPatch, links: LinkMode
) -> None:
    key = "k.rclonelink" if links is LinkMode.KEEP else "k"
    local = LocalEndpoint(str(root), owner=OWNER, links=links)
    try:
        entry = put(local, key, b"1")
        local.flush()
        synced: list[int] = []
        for room, name in ((linux, "syncfs"), (os, "fsync")):
            monkeypatch.setattr(room, name, lambda opened: synced.append(os.fstat(opened).st_ino))
        monkeypatch.setattr(os, "link", _other_file_system)

        twin = local.keep(key, f"t/{key}", expect=entry)

        assert twin.entry == entry
        if links is LinkMode.SKIP:
            assert {root.stat().st_ino, (root / "t").stat().st_ino} <= set(synced)
        assert synced
    finally:
        local.close()


def _other_file_system(*_: object, **__: object) -> None:
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def test_a_write_of_another_host_is_seen_where_the_open_file_is_told_of_from_a_cache(
    root: Path, local: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = put(local, "k", b"12")
    fstat = os.fstat
    cached: dict[int, os.stat_result] = {}

    def nfs(opened: int) -> os.stat_result:
        return cached.setdefault(opened, fstat(opened))  # for as long as it stays open

    with local.read("k", expect=entry) as source:
        monkeypatch.setattr(os, "fstat", nfs)
        os.fstat(source._opened)  # type: ignore[attr-defined]
        assert source.read(2) == b"12"
        (root / "k").write_bytes(b"34")
        with pytest.raises(Changed, match="was written to while it was read"):
            source.read(2)


def test_a_file_is_kept_by_a_second_link_and_an_edit_between_look_and_link_is_noticed(
    root: Path, local: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = put(local, "k", b"old")
    twin = local.keep("k", "t/k", expect=seen)
    assert (root / "k").samefile(root / "t" / "k")
    assert local.keep("k", "t/k", expect=twin.entry).copy.key == "t/k", "kept once more, it is the same link"

    link = os.link

    def edited(*names: Any, **options: Any) -> None:
        (root / "k").write_bytes(b"edited")
        link(*names, **options)

    again = now(local, "k")
    monkeypatch.setattr(os, "link", edited)
    with pytest.raises(Changed):
        local.keep("k", "t/l", expect=again)
    assert keys(local) == ["k", "t/k"]


def test_where_there_are_no_links_a_file_is_kept_by_a_copy(
    root: Path, local: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = put(local, "k", b"old", metadata={"mode": "100640"})

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    twin = local.keep("k", f"{TRASH}/r/k", expect=seen)
    put(local, "k", b"new", twin.entry)

    kept = root / TRASH / "r" / "k"
    assert (kept.read_bytes(), kept.stat().st_mode & 0o777) == (b"old", 0o640)


def test_the_trash_is_for_its_owner_alone_and_an_empty_folder_of_it_goes(
    root: Path, local: LocalEndpoint
) -> None:
    moved = local.move("d/k", f"{TRASH}/r/d/k", expect=put(local, "d/k", b"1"))
    other = local.move("l", f"{TRASH}/s/l", expect=put(local, "l", b"1"))
    assert (root / TRASH).stat().st_mode & 0o777 == 0o700

    local.delete(moved.key, expect=moved)
    assert sorted(path.name for path in (root / TRASH).iterdir()) == ["s"]
    local.move(other.key, "back", expect=other)
    assert sorted(path.name for path in root.iterdir()) == ["back", "d"], "directories of the user stay"
