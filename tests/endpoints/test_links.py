"""Symbolic links of a tree: kept as keys, or followed for reading and for nothing else."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bisyncer.endpoints.local import LocalEndpoint
from bisyncer.errors import Changed, Rejected
from bisyncer.job import LinkMode
from bisyncer.model import TRASH, Unreadable
from tests.endpoints.conftest import OWNER
from tests.endpoints.contract import MTIME_NS, BytesSource, entries, put, whole


@pytest.fixture
def kept(root: Path) -> Iterator[LocalEndpoint]:
    endpoint = LocalEndpoint(str(root), owner=OWNER, links=LinkMode.KEEP)
    yield endpoint
    endpoint.close()


@pytest.fixture
def followed(root: Path) -> Iterator[LocalEndpoint]:
    endpoint = LocalEndpoint(str(root), owner=OWNER, links=LinkMode.FOLLOW, directories=True)
    yield endpoint
    endpoint.close()


def text(path: Path) -> str:
    return str(path.readlink())


# Kept as keys.


def test_a_link_is_a_key_with_its_text_as_content_wherever_it_points(root: Path, kept: LocalEndpoint) -> None:
    (root / "a").symlink_to("/etc/passwd")
    (root / "a-b").write_text("file")
    (root / "d").mkdir()
    (root / "d" / "up").symlink_to("../..")
    (root / "z").symlink_to("nowhere")

    listed = {entry.key: whole(kept, entry.key, entry) for entry in entries(kept)}

    assert list(listed) == ["a-b", "a.rclonelink", "d/up.rclonelink", "z.rclonelink"]
    assert listed["a.rclonelink"] == b"/etc/passwd"
    assert listed["d/up.rclonelink"] == b"../.."
    assert whole(kept, "z.rclonelink", entries(kept)[-1], start=2) == b"where"


def test_a_file_with_the_name_of_a_link_is_kept_as_a_file_where_there_are_no_hard_links(
    root: Path, kept: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "x.rclonelink").write_text("a file")
    (entry,) = entries(kept)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    kept.keep(entry.key, f"{TRASH}/x.rclonelink", expect=entry)

    there = root / TRASH / "x.rclonelink"
    assert not there.is_symlink()
    assert there.read_text() == "a file"


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_link_is_made_replaced_and_deleted_as_a_file_is(
    root: Path, kept: LocalEndpoint, exchanges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchanges:
        monkeypatch.setattr("bisyncer.endpoints.linux.exchange", _unsupported)
    made = put(kept, "d/l.rclonelink", b"target")
    assert text(root / "d" / "l") == "target"
    assert (made.size, made.mtime_ns) == (6, MTIME_NS)
    assert kept.stat("d/l.rclonelink") == made

    replaced = put(kept, "d/l.rclonelink", b"another", made)
    assert text(root / "d" / "l") == "another"

    for act in (
        lambda: put(kept, "d/l.rclonelink", b"third", made),
        lambda: put(kept, "d/l.rclonelink", b"third"),
        lambda: kept.delete("d/l.rclonelink", expect=made),
        lambda: whole(kept, "d/l.rclonelink", made),
    ):
        with pytest.raises(Changed):
            act()
    assert text(root / "d" / "l") == "another"

    kept.delete("d/l.rclonelink", expect=replaced)
    assert os.listdir(root / "d") == []  # noqa: PTH208 -- hidden names too


def _unsupported(*_: object) -> None:
    raise OSError(22, "not here")


def test_a_link_that_is_replaced_in_the_last_moment_is_kept(
    root: Path, kept: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bisyncer.endpoints import linux

    seen = put(kept, "l.rclonelink", b"seen")
    exchange = linux.exchange

    def swapped(*arguments: object) -> None:
        monkeypatch.setattr(linux, "exchange", exchange)
        (root / "l").unlink()
        (root / "l").symlink_to("theirs")
        exchange(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(linux, "exchange", swapped)
    with pytest.raises(Changed, match="that version is kept"):
        put(kept, "l.rclonelink", b"ours", seen)

    assert text(root / "l") == "theirs"
    assert os.listdir(root) == ["l"]  # noqa: PTH208 -- hidden names too


def test_a_link_moves_and_gets_a_second_name(root: Path, kept: LocalEndpoint) -> None:
    made = put(kept, "a.rclonelink", b"t")
    twin = kept.keep("a.rclonelink", ".bisyncer-trash/x/a.rclonelink", expect=made)
    moved = kept.move("a.rclonelink", "d/b.rclonelink", expect=twin.entry)

    assert text(root / "d" / "b") == text(root / ".bisyncer-trash" / "x" / "a") == "t"
    assert kept.stat("d/b.rclonelink") == moved
    with pytest.raises(Rejected, match="doesn't make a link of a file"):
        kept.move("d/b.rclonelink", "file", expect=moved)


def test_a_link_and_a_file_that_have_one_key_are_a_problem_that_names_both(
    root: Path, kept: LocalEndpoint
) -> None:
    (root / "x").symlink_to("t")
    (root / "x.rclonelink").write_text("text")

    (place,) = kept.scan()

    assert isinstance(place, Unreadable)
    assert place.prefix == "x.rclonelink"
    assert "the key of a symbolic link and the name of a file" in place.sentence
    with pytest.raises(Rejected, match="Rename one of the two"):
        kept.stat("x.rclonelink")


def test_a_file_whose_name_ends_like_the_key_of_a_link_stays_a_file(root: Path, kept: LocalEndpoint) -> None:
    (root / "x.rclonelink").write_text("text")
    (listed,) = entries(kept)

    put(kept, "x.rclonelink", b"longer text", listed)

    assert (root / "x.rclonelink").read_text() == "longer text"


def test_a_link_takes_no_name_of_a_file_and_a_file_none_of_a_link(root: Path, kept: LocalEndpoint) -> None:
    (root / "file").write_text("file")
    (root / "link").symlink_to("t")

    with pytest.raises(Rejected, match="a file is where this link belongs"):
        put(kept, "file.rclonelink", b"t")
    with pytest.raises(Rejected, match="a symbolic link has its name"):
        put(kept, "link", b"file")
    assert kept.stat("link") is None  # the link has a key of its own
    assert kept.stat("link/below") is None  # and nothing is below it
    with pytest.raises(Rejected, match="nothing is written through links"):
        put(kept, "link/below", b"1")
    assert text(root / "link") == "t"


@pytest.mark.parametrize("data", [b"", b"a\0b", b"x" * 4096])
def test_content_that_is_no_text_of_a_link_is_rejected(root: Path, kept: LocalEndpoint, data: bytes) -> None:
    with pytest.raises(Rejected, match="can't be the text"):
        put(kept, "l.rclonelink", data)
    assert os.listdir(root) == []  # noqa: PTH208 -- hidden names too


def test_no_key_of_a_link_leads_out_of_the_root(root: Path, kept: LocalEndpoint) -> None:
    for key in ("../x.rclonelink", "a/../x.rclonelink", "x" * 256 + ".rclonelink", "d//x.rclonelink"):
        assert kept.refusal(key)
        with pytest.raises(Rejected):
            put(kept, key, b"t")
    assert kept.refusal("x" * 255 + ".rclonelink") is None
    put(kept, "...rclonelink", b"a file, as '..' is no name of a link")
    assert (root / "...rclonelink").is_file()


def test_what_a_dead_run_left_of_a_link_is_swept(root: Path, kept: LocalEndpoint) -> None:
    (root / f".bisyncer-{OWNER}-0123456789abcdef").symlink_to("t")

    assert list(kept.scan()) == []
    assert os.listdir(root) == []  # noqa: PTH208 -- hidden names too


# Followed.


def test_what_links_point_to_is_listed_and_read_as_if_it_were_there(
    root: Path, followed: LocalEndpoint, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    (outside / "d").mkdir(parents=True)
    (outside / "d" / "x").write_text("x")
    (root / "file").symlink_to(outside / "d" / "x")
    (root / "l").symlink_to(outside)

    listed = entries(followed)

    assert [entry.key for entry in listed] == ["file", "l/", "l/d/", "l/d/x"]
    for entry in (listed[0], listed[3]):
        assert whole(followed, entry.key, entry) == b"x"
        assert followed.stat(entry.key) is not None


def test_nothing_is_written_through_a_link_and_no_link_is_replaced(
    root: Path, followed: LocalEndpoint, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    (outside / "empty").mkdir(parents=True)
    (outside / "x").write_text("x")
    (root / "file").symlink_to(outside / "x")
    (root / "l").symlink_to(outside)
    file, _, empty, below = entries(followed)

    for act in (
        lambda: put(followed, "file", b"1", file),
        lambda: followed.delete("file", expect=file),
        lambda: followed.move("file", "other", expect=file),
        lambda: followed.keep("file", "other", expect=file),
        lambda: put(followed, "l/x", b"1", below),
        lambda: put(followed, "l/new", b"1"),
        lambda: put(followed, "l/new/", b""),
        lambda: followed.delete("l/x", expect=below),
        lambda: followed.delete("l/empty/", expect=empty),
        lambda: followed.delete("l/", expect=empty),
    ):
        with pytest.raises(Rejected, match="nothing is written through links"):
            act()

    assert sorted(os.listdir(outside)) == ["empty", "x"]  # noqa: PTH208 -- hidden names too
    assert (outside / "x").read_text() == "x"
    assert (root / "file").is_symlink()


def test_links_that_lead_round_or_nowhere_or_into_the_other_root_are_told(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "d").mkdir(parents=True)
    (root / "d").mkdir()
    (root / "d" / "up").symlink_to("..")
    (root / "dangling").symlink_to("nowhere")
    (root / "into").symlink_to(other / "d")
    (root / "parent").symlink_to(root)
    (root / "self").symlink_to("self")
    local = LocalEndpoint(str(root), owner=OWNER, links=LinkMode.FOLLOW, apart=f"file://{other}")

    told = {item.prefix: item.sentence for item in local.scan() if isinstance(item, Unreadable)}

    assert list(told) == ["d/up/", "dangling", "into/", "parent/", "self"]
    assert "is the root again" in told["d/up/"]
    assert "to nowhere, which isn't there" in told["dangling"]
    assert "the other root of this pair" in told["into/"]
    assert "leads back to it" in told["self"]
    with pytest.raises(Rejected, match="which isn't there"):
        local.stat("dangling")
    local.close()


def test_temporaries_below_a_followed_link_are_not_swept(
    root: Path, followed: LocalEndpoint, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    left = outside / f".bisyncer-{OWNER}-0123456789abcdef"
    left.write_text("of somebody")
    (root / "l").symlink_to(outside)

    assert [entry.key for entry in entries(followed)] == ["l/"]
    assert left.exists()


def test_a_link_may_become_another_while_it_is_read(root: Path, kept: LocalEndpoint) -> None:
    seen = put(kept, "l.rclonelink", b"seen")
    (root / "l").unlink()
    (root / "l").symlink_to("other")

    with pytest.raises(Changed):
        whole(kept, "l.rclonelink", seen)
    with pytest.raises(Changed):
        kept.write("l.rclonelink", BytesSource(b"x", breaks_at=0), expect=None)
    assert kept.stat("none.rclonelink") is None
