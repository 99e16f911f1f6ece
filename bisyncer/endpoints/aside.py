"""Putting a file in place and taking one out, so that no version is lost and no crash loses one.

Between the last look at a file and the rename over it, somebody may write. So nothing is renamed over:
the new file and the old one *trade places* in one step, and what came out is looked at. Only a version
that was expected is deleted; any other is put back, or kept beside as `NAME.rescued1`.

A process may die at any point of this. So whatever may hold somebody's version lies in a directory of
its own beside the file, an *aside*, under the file's own name; and the name of the aside says which
two versions may be deleted: ours, and the one that the plan meant to replace. A later scan finds the
aside and settles it by the same rule, `_settle`, that the run itself goes by.

    .bisyncer-OWNER-RANDOM                       a file of ours, not in place yet; may be deleted
    .bisyncer-OWNER-RANDOM-MINE-PLANNED/NAME     an aside; MINE and PLANNED are digests of identities

Where the file system has no RENAME_EXCHANGE (NFS), the old file gets a second link in the aside, then
the new one is renamed over it. What remains there: a file that somebody else *renames* over the name
between our look and our rename is lost. An edit in place is noticed and kept in both ways.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from itertools import count
from typing import Final, NamedTuple

from bisyncer.endpoints import linux
from bisyncer.endpoints.spelling import other_spelling
from bisyncer.endpoints.tree import LIST, MAX_SEGMENT_BYTES, Identity, identity, is_version, look
from bisyncer.errors import Changed, Rejected

PREFIX: Final = ".bisyncer-"
CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC  # a temporary

_NAME = re.compile(
    r"\.bisyncer-(?P<owner>[0-9a-f]{8})-[0-9a-f]{16}(?:-(?P<mine>[0-9a-f]{16})-(?P<planned>[0-9a-f]{16}))?"
)
_OWNER = re.compile(r"[0-9a-f]{8}")
_NOBODY = "0" * 16  # in the place of MINE where a file is only taken out

# What link() answers where there are no hard links; with EPERM, unlike for renameat2.
_NO_LINKS = linux.UNSUPPORTED | {errno.EPERM}

_STRIPES = 64


class Spot(NamedTuple):
    """The place of a key: its directory, opened, and its name there."""

    directory: int
    name: str
    key: str


class _Aside(NamedTuple):
    """An aside that is open: where it is, and which versions in it may be deleted."""

    parent: int
    directory: int
    mine: str
    planned: str

    def is_mine(self, seen: os.stat_result) -> bool:
        return is_version(seen) and _digest(identity(seen)) == self.mine

    def may_delete(self, seen: os.stat_result) -> bool:
        return is_version(seen) and _digest(identity(seen)) in {self.mine, self.planned}


def is_temporary(name: str) -> bool:
    """Whether a name is one of a temporary, of this owner or of another."""
    return name.startswith(PREFIX) and _NAME.fullmatch(name) is not None


def _digest(version: Identity) -> str:
    return hashlib.sha256(repr(tuple(version)).encode()).hexdigest()[:16]


class Asides:
    """The temporaries of one owner: made, put in place, taken out, swept."""

    def __init__(self, owner: str, touched: Callable[[int], None]) -> None:
        """`touched` is told of each directory in which a name was changed."""
        if not _OWNER.fullmatch(owner):
            raise ValueError(f"an owner is 8 hex digits, not {owner!r}")
        self._owner = owner
        self._touched = touched
        self._numbers = count(secrets.randbits(64))
        self._live: set[str] = set()  # names in use now, which no sweep of this process may touch
        # Two threads that replace one key would take each other's files for a stranger's.
        self._locks = tuple(threading.Lock() for _ in range(_STRIPES))

    def temporary(self) -> AbstractContextManager[str]:
        """A name for a new file of ours, safe from sweeps while the block runs."""
        return self._alive(self._unused())

    def _unused(self) -> str:
        """A name that nothing has: a number that this process uses once, counted from a random one."""
        return f"{PREFIX}{self._owner}-{next(self._numbers) % 2**64:016x}"

    def alone(self, key: str) -> threading.Lock:
        """The lock to hold while looking at `key` and placing, replacing or taking it."""
        return self._locks[hash(key) % _STRIPES]

    @contextmanager
    def both_alone(self, key: str, other: str) -> Iterator[None]:
        """Hold the locks of two keys."""
        stripes = sorted(
            {hash(key) % _STRIPES, hash(other) % _STRIPES}
        )  # in one order, or two could deadlock
        with ExitStack() as held:
            for stripe in stripes:
                held.enter_context(self._locks[stripe])
            yield

    def place(self, spot: Spot, temporary: str) -> None:
        """Give our file, which lies beside, its name; raises `Changed` where something has it."""
        try:
            _rename_new(spot.directory, temporary, spot.directory, spot.name)
        except FileExistsError:
            raise Changed(f"{spot.key}: appeared while it was being written. Run again.") from None
        self._touched(spot.directory)

    def replace(self, spot: Spot, temporary: str, seen: os.stat_result) -> None:
        """Let our file, which lies beside, take the place of the version that was `seen`.

        Raises `Changed` where the name turns out to hold another version, which then stays.
        """
        mine = os.stat(temporary, dir_fd=spot.directory, follow_symlinks=False)
        with self._open(spot.directory, _digest(identity(mine)), _digest(identity(seen))) as aside:
            try:
                if not _trade(aside, temporary, spot.name):
                    _link_over(aside, temporary, spot, seen)
            except FileNotFoundError:
                raise Changed(f"{spot.key}: went away while it was being replaced. Run again.") from None
            finally:
                self._touched(spot.directory)
            self._finish(aside, spot)

    def take(self, spot: Spot, seen: os.stat_result) -> None:
        """Delete the version that was `seen`; raises `Changed` where it is another one, which then stays."""
        with self._open(spot.directory, _NOBODY, _digest(identity(seen))) as aside:
            try:
                os.rename(spot.name, spot.name, src_dir_fd=spot.directory, dst_dir_fd=aside.directory)
            except FileNotFoundError:
                raise Changed(f"{spot.key}: went away before it was deleted. Run again.") from None
            finally:
                self._touched(spot.directory)
            self._finish(aside, spot)

    def move(self, here: Spot, there: Spot, seen: os.stat_result) -> None:
        """Give the version that was `seen` its new name; raises `Changed` where it is another one.

        Another version goes back. Where it can't, because yet another has taken the name, it stays under the
        new one: so too after a crash in between, where nothing is lost and the next scan sees both names.
        """
        try:
            try:
                linux.rename_new(here.directory, here.name, there.directory, there.name)
            except OSError as error:
                if error.errno not in linux.UNSUPPORTED:
                    raise
                self._link_and_take(here, there, seen)
                return
            arrived = look(there.directory, there.name)
            if arrived is not None and identity(arrived) == identity(seen):
                return
            if arrived is not None:
                with suppress(OSError):
                    _rename_new(there.directory, there.name, here.directory, here.name)
            raise Changed(f"{here.key}: was written to while it was moved; that version is kept. Run again.")
        except FileExistsError:
            raise Changed(f"{there.key}: appeared while it was being moved to. Run again.") from None
        except FileNotFoundError:
            raise Changed(f"{here.key}: went away before it was moved. Run again.") from None
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            raise Rejected(f"{there.key}: lies on another file system than {here.key}.") from None
        finally:
            self._touched(here.directory)
            self._touched(there.directory)

    def respell(self, here: Spot, there: Spot) -> None:
        """Give a file another spelling of its name, by which it is found already; whichever version it is.

        What has both names is one file, so renaming it replaces nothing. Some file systems take that for
        nothing to do; there it goes through an aside.
        """
        try:
            os.rename(here.name, there.name, src_dir_fd=here.directory, dst_dir_fd=there.directory)
            if other_spelling(there.directory, there.name) is None:
                return
            with self._open(here.directory, _NOBODY, _NOBODY) as aside:
                os.rename(here.name, there.name, src_dir_fd=here.directory, dst_dir_fd=aside.directory)
                self._settle(aside, there.name)
        except FileNotFoundError:
            raise Changed(f"{here.key}: went away before it was renamed. Run again.") from None
        finally:
            self._touched(there.directory)

    def link(self, here: Spot, there: Spot, seen: os.stat_result) -> os.stat_result | None:
        """Give the version that was `seen` a second name, and return the look at it; None where links aren't.

        Raises `Changed` where it is another version: then the second name is taken away again.
        """
        try:
            os.link(
                here.name,
                there.name,
                src_dir_fd=here.directory,
                dst_dir_fd=there.directory,
                follow_symlinks=False,
            )
        except FileNotFoundError:
            raise Changed(f"{here.key}: went away before it was kept. Run again.") from None
        except OSError as error:
            if error.errno in _NO_LINKS | {errno.EXDEV, errno.EMLINK}:
                return None
            raise
        finally:
            self._touched(there.directory)
        linked, now = look(there.directory, there.name), look(here.directory, here.name)
        if linked is not None and now is not None and identity(linked) == identity(seen) == identity(now):
            return now
        with suppress(OSError):
            os.unlink(there.name, dir_fd=there.directory)
        raise Changed(f"{here.key}: was written to while it was kept. Run again.")

    def _link_and_take(self, here: Spot, there: Spot, seen: os.stat_result) -> None:
        """Move where renameat2 isn't known: a second link, then the first name is taken out and looked at."""
        try:
            os.link(
                here.name,
                there.name,
                src_dir_fd=here.directory,
                dst_dir_fd=there.directory,
                follow_symlinks=False,
            )
        except OSError as error:
            raise _no_links(error, there.name) from error
        linked = look(there.directory, there.name)
        if linked is None or identity(linked) != identity(seen):
            # A version that nobody planned to move has two names now; which is to go, its owner decides.
            raise Changed(f"{here.key}: was written to while it was moved; that version is kept. Run again.")
        self.take(here, seen)

    def sweep(self, parent: int, name: str) -> None:
        """Settle what a run that died left behind; other owners' temporaries are not touched."""
        match = _NAME.fullmatch(name)
        if match is None or match["owner"] != self._owner or name in self._live:
            return
        # What can't be settled now (no permission, read-only, a busy file) waits for the next scan.
        with suppress(OSError, Changed, Rejected):
            if match["mine"] is None:
                os.unlink(name, dir_fd=parent)
            else:
                self._sweep_aside(parent, name, match["mine"], match["planned"])

    def _sweep_aside(self, parent: int, name: str, mine: str, planned: str) -> None:
        directory = os.open(name, LIST, dir_fd=parent)
        try:
            if not _locked(directory):
                return
            aside = _Aside(parent, directory, mine, planned)
            for held in os.listdir(directory):  # noqa: PTH208 -- by descriptor, not by path
                self._settle(aside, held)
        finally:
            os.close(directory)
        os.rmdir(name, dir_fd=parent)

    @contextmanager
    def _open(self, parent: int, mine: str, planned: str) -> Iterator[_Aside]:
        name = f"{self._unused()}-{mine}-{planned}"
        with self._alive(name):
            os.mkdir(name, 0o700, dir_fd=parent)
            try:
                directory = os.open(name, LIST, dir_fd=parent)
                try:
                    yield _Aside(parent, directory, mine, planned)
                finally:
                    os.close(directory)
            finally:
                # Not empty: a version in it could not be settled; the next scan tries again.
                with suppress(OSError):
                    os.rmdir(name, dir_fd=parent)

    @contextmanager
    def _alive(self, name: str) -> Iterator[str]:
        self._live.add(name)
        try:
            yield name
        finally:
            self._live.discard(name)

    def _finish(self, aside: _Aside, spot: Spot) -> None:
        """Delete what came out if it may be; else settle it and raise `Changed`."""
        seen = look(aside.directory, spot.name)
        if seen is not None and aside.may_delete(seen):
            os.unlink(spot.name, dir_fd=aside.directory)
            return
        self._settle(aside, spot.name)
        raise Changed(f"{spot.key}: was written to in the last moment; that version is kept. Run again.")

    def _settle(self, aside: _Aside, name: str) -> None:
        """Empty the aside of `name` without losing a version that nobody planned to replace."""
        seen = look(aside.directory, name)
        if seen is None:
            return
        there = look(aside.parent, name)
        if not aside.may_delete(seen) and there is not None and aside.is_mine(there):
            # Our file stands where a stranger's version was: let them trade back. Where they can't, the
            # version is rescued below.
            with suppress(OSError):
                linux.exchange(aside.directory, name, aside.parent, name)
            seen, there = look(aside.directory, name), look(aside.parent, name)
        if seen is None:
            return
        linked = there is not None and os.path.samestat(seen, there)  # the second link of `_link_over`
        if linked or aside.may_delete(seen):
            os.unlink(name, dir_fd=aside.directory)
            return
        self._put_back(aside, name)
        self._touched(aside.parent)

    def _put_back(self, aside: _Aside, name: str) -> None:
        candidate, number = name, 0
        while True:
            try:
                _rename_new(aside.directory, name, aside.parent, candidate)
            except FileExistsError:
                number += 1
                candidate = _rescued(name, number)
            else:
                return


def _trade(aside: _Aside, temporary: str, name: str) -> bool:
    """Exchange our file and the one at `name`, which is in the aside then; False where that can't be."""
    os.rename(temporary, name, src_dir_fd=aside.parent, dst_dir_fd=aside.directory)
    try:
        linux.exchange(aside.directory, name, aside.parent, name)
    except OSError as error:
        unsupported = error.errno in linux.UNSUPPORTED
        there = None if unsupported else look(aside.directory, name)
        if there is None or aside.is_mine(there):  # else it was done all the same, and is settled later
            os.rename(name, temporary, src_dir_fd=aside.directory, dst_dir_fd=aside.parent)
        if unsupported:
            return False
        raise
    return True


def _link_over(aside: _Aside, temporary: str, spot: Spot, seen: os.stat_result) -> None:
    """Keep a second link to the file that is there in the aside, then rename ours over it."""
    name = spot.name
    try:
        os.link(name, name, src_dir_fd=aside.parent, dst_dir_fd=aside.directory, follow_symlinks=False)
    except OSError as error:
        raise _no_links(error, name) from error
    linked = os.stat(name, dir_fd=aside.directory, follow_symlinks=False)
    there = _fresh_look(aside.parent, name)
    if identity(linked) == identity(seen) and there is not None and os.path.samestat(linked, there):
        os.rename(temporary, name, src_dir_fd=aside.parent, dst_dir_fd=aside.parent)
        return
    os.unlink(name, dir_fd=aside.directory)
    raise Changed(f"{spot.key}: was written to before it was replaced. Run again.")


def _fresh_look(directory: int, name: str) -> os.stat_result | None:
    """A look that NFS may not answer from its cache: opening a file asks the server."""
    try:
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return look(directory, name)
    try:
        return os.fstat(opened)
    finally:
        os.close(opened)


def _rename_new(from_fd: int, from_name: str, to_fd: int, to_name: str) -> None:
    """Rename to a name that nothing has, or raise `FileExistsError`."""
    try:
        linux.rename_new(from_fd, from_name, to_fd, to_name)
    except OSError as error:
        if error.errno not in linux.UNSUPPORTED:
            raise
    else:
        return
    moved = os.stat(from_name, dir_fd=from_fd, follow_symlinks=False)
    if stat.S_ISDIR(moved.st_mode):
        # Directories have no second link; but rename() never puts one over a file or over a full one.
        os.rename(from_name, to_name, src_dir_fd=from_fd, dst_dir_fd=to_fd)
        return
    try:
        os.link(from_name, to_name, src_dir_fd=from_fd, dst_dir_fd=to_fd, follow_symlinks=False)
    except FileExistsError:
        # NFS repeats a request whose answer was lost: then it is our own first try that exists.
        there = look(to_fd, to_name)
        if there is None or not os.path.samestat(there, moved):
            raise
    except OSError as error:
        raise _no_links(error, to_name) from error
    os.unlink(from_name, dir_fd=from_fd)


def _no_links(error: OSError, name: str) -> Exception:
    if error.errno not in _NO_LINKS:
        return error
    return Rejected(
        f"{name}: renameat2() isn't supported here and a hard link is refused, so nothing can be put in "
        "place without the risk of overwriting. Let this user own the file, or use another file system."
    )


def _rescued(name: str, number: int) -> str:
    """The name beside `name` for a version that can't go back; the name is cut where it is too long."""
    ending = f".rescued{number}"
    room = MAX_SEGMENT_BYTES - len(ending)
    return os.fsencode(name)[:room].decode(errors="ignore") + ending


def _locked(directory: int) -> bool:
    """Take the lock that keeps two scans from settling one aside; it goes when `directory` is closed."""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # NFS has no locks on directories. The pair's lease keeps other runs away; two shards of this one may
        # both settle an aside there, which is safe only where nothing trades places, as on NFS.
        return True
    return True
