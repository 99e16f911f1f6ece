"""An endpoint whose trash is at another place."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bisyncer.endpoints import linux, memory
from bisyncer.endpoints.backup_dir import BackupDirEndpoint
from bisyncer.endpoints.base import Endpoint
from bisyncer.endpoints.local import LocalEndpoint
from bisyncer.endpoints.memory import MemoryEndpoint
from bisyncer.endpoints.pace import Pace
from bisyncer.errors import Changed, Rejected, RootMissing, Transient
from bisyncer.model import TRASH
from tests.endpoints.conftest import OWNER
from tests.endpoints.contract import Behind, EndpointContract, put, whole
from tests.endpoints.test_memory import MemoryBehind

NAME = f"{TRASH}/20261125T080000Z-42/d/k"


class Heeding(MemoryEndpoint):
    """Remembers the pace that it is told of."""

    def heed(self, pace: Pace) -> None:
        self.pace = pace


class TestBackupDir(EndpointContract):
    @pytest.fixture
    def endpoint(self) -> Iterator[Endpoint]:
        yield BackupDirEndpoint(MemoryEndpoint("contract"), MemoryEndpoint("apart"))
        memory.discard("contract")
        memory.discard("apart")

    @pytest.fixture
    def behind(self, endpoint: Endpoint) -> Behind:
        return MemoryBehind("contract")

    @pytest.fixture
    def apart(self, endpoint: Endpoint) -> Behind:
        return MemoryBehind("apart")

    def test_nothing_is_moved_from_one_place_to_the_other(
        self, endpoint: Endpoint, behind: Behind, apart: Behind
    ) -> None:
        entry = put(endpoint, "d/k", b"1")

        with pytest.raises(Rejected):
            endpoint.move("d/k", NAME, expect=entry)

        assert (behind.names(), apart.names()) == (["d/k"], [])

    def test_what_is_kept_and_deleted_is_at_the_other_place_and_comes_back(
        self, endpoint: Endpoint, behind: Behind, apart: Behind
    ) -> None:
        twin = endpoint.keep("d/k", NAME, expect=put(endpoint, "d/k", b"1"))
        endpoint.delete("d/k", expect=twin.entry)

        assert (behind.names(), apart.names()) == ([], [NAME])
        assert endpoint.stat(NAME) == twin.copy
        back = endpoint.keep(NAME, "d/k", expect=twin.copy)
        endpoint.delete(NAME, expect=back.entry)
        assert (behind.names(), apart.names()) == (["d/k"], [])
        assert whole(endpoint, "d/k", back.copy) == b"1"

    def test_both_places_go_by_one_pace(self) -> None:
        one, two, pace = Heeding("contract"), Heeding("apart"), Pace()
        BackupDirEndpoint(one, two).heed(pace)

        assert one.pace is two.pace is pace

    def test_what_is_kept_is_at_both_places(self, endpoint: Endpoint, behind: Behind, apart: Behind) -> None:
        entry = put(endpoint, "d/k", b"1")

        twin = endpoint.keep("d/k", NAME, expect=entry)

        assert twin.entry == entry
        assert whole(endpoint, NAME, twin.copy) == b"1"
        assert (behind.names(), apart.names()) == (["d/k"], [NAME])

    def test_a_listing_of_the_trash_is_of_the_other_place_and_any_other_is_not(
        self, endpoint: Endpoint, behind: Behind, apart: Behind
    ) -> None:
        behind.plant("k", b"1")
        behind.plant(f"{TRASH}/here", b"2")
        apart.plant(NAME, b"3")

        assert [item[0] for item in endpoint.scan()] == [f"{TRASH}/here", "k"]
        assert [item[0] for item in endpoint.scan(f"{TRASH}/", f"{TRASH}0")] == [NAME]
        assert [item[0] for item in endpoint.scan(f"{TRASH}/3")] == [f"{TRASH}/here", "k"]

    def test_a_version_that_changed_is_not_kept_at_the_other_place(
        self, endpoint: Endpoint, behind: Behind, apart: Behind
    ) -> None:
        entry = put(endpoint, "d/k", b"1")
        behind.plant("d/k", b"another")

        with pytest.raises(Changed):
            endpoint.keep("d/k", NAME, expect=entry)

        assert behind.content("d/k") == b"another"
        assert apart.names() == []

    def test_a_copy_that_is_not_durable_keeps_nothing(
        self, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entry = put(endpoint, "d/k", b"1")

        def fail(_: object) -> None:
            raise Transient("can't be made durable")

        monkeypatch.setattr(MemoryEndpoint, "flush", fail)
        with pytest.raises(Transient):
            endpoint.keep("d/k", NAME, expect=entry)


def test_a_place_that_is_not_there_is_told_by_a_probe(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    endpoint = BackupDirEndpoint(
        LocalEndpoint(str(tmp_path / "root"), owner="00000000"),
        LocalEndpoint(str(tmp_path / "apart"), owner="00000000"),
    )

    with pytest.raises(RootMissing, match="apart: there is no such directory"):
        endpoint.probe()
    endpoint.close()


class TestTreeWithItsTrashElsewhere:
    @pytest.fixture
    def endpoint(self, tmp_path: Path) -> Iterator[Endpoint]:
        for name in ("tree", "old"):
            (tmp_path / name).mkdir()
        made = LocalEndpoint(str(tmp_path / "tree"), owner=OWNER, trash_at=str(tmp_path / "old"))
        yield made
        made.close()

    def test_what_is_moved_into_the_trash_is_the_same_file_at_the_other_place(
        self, endpoint: Endpoint, tmp_path: Path
    ) -> None:
        entry = put(endpoint, "d/k", b"1")
        inode = (tmp_path / "tree/d/k").stat().st_ino

        moved = endpoint.move("d/k", NAME, expect=entry)

        assert (tmp_path / "old" / NAME).stat().st_ino == inode
        assert (tmp_path / "old" / TRASH).stat().st_mode & 0o777 == 0o700
        assert not (tmp_path / "tree" / TRASH).exists()
        endpoint.move(NAME, "d/k", expect=moved)
        assert (tmp_path / "tree/d/k").stat().st_ino == inode
        assert list((tmp_path / "old").iterdir()) == []

    @pytest.mark.parametrize("links", [True, False])
    def test_what_is_kept_has_a_second_link_or_a_durable_copy_at_the_other_place(
        self, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, links: bool
    ) -> None:
        entry = put(endpoint, "d/k", b"1")
        endpoint.flush()
        synced: list[int] = []
        for room, name in ((linux, "syncfs"), (os, "fsync")):
            monkeypatch.setattr(room, name, lambda opened: synced.append(os.fstat(opened).st_ino))
        if not links:
            monkeypatch.setattr(os, "link", other_file_system)

        twin = endpoint.keep("d/k", NAME, expect=entry)

        assert whole(endpoint, NAME, twin.copy) == b"1"
        here, there = (tmp_path / "tree/d/k").stat(), (tmp_path / "old" / NAME).stat()
        assert (here.st_ino == there.st_ino) is links
        names = {(tmp_path / "old" / above).stat().st_ino for above in Path(NAME).parents}
        assert names.isdisjoint(synced) if links else names <= set(synced)
        endpoint.delete("d/k", expect=twin.entry)

    def test_a_listing_of_the_trash_is_of_the_other_place_alone(
        self, endpoint: Endpoint, tmp_path: Path
    ) -> None:
        put(endpoint, "k", b"1")
        put(endpoint, NAME, b"2")

        assert [item[0] for item in endpoint.scan(f"{TRASH}/", f"{TRASH}0")] == [NAME]
        assert [item[0] for item in endpoint.scan()] == ["k"]
        assert [item[0] for item in endpoint.scan(f"{TRASH}/3")] == ["k"]


def other_file_system(*_: object, **__: object) -> None:
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
