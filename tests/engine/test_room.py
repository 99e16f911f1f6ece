from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from bisyncer.endpoints.body import PART_SIZE
from bisyncer.engine import commit, room
from bisyncer.engine.room import Room
from tests.world import ONE, TWO, World

MIB = 1 << 20


def test_bodies_on_their_way_take_no_more_than_their_room_together() -> None:
    lock = threading.Lock()
    shared = Room(6 * MIB)
    two = threading.Barrier(2)  # two bodies of 3 MiB have room at once
    held, most = 0, 0

    def move(size: int) -> None:
        nonlocal held, most
        with shared.of(size):
            with lock:
                held += size
                most = max(most, held)
            two.wait(30)
            with lock:
                held -= size

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(move, [3 * MIB] * 8))

    assert most == 6 * MIB


def test_a_body_larger_than_all_room_goes_alone() -> None:
    with Room(2 * MIB).of(100 * PART_SIZE):
        pass


def test_a_small_body_waits_for_no_room() -> None:
    shared = Room(2 * MIB)
    with shared.of(2 * MIB), shared.of(MIB):
        pass


def test_a_run_moves_no_more_bytes_at_a_time_than_its_room_has(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_SMALL", 0)
    monkeypatch.setattr(commit, "Room", lambda: Room(20))
    lock = threading.Lock()
    under_way, most = 0, 0

    def begins(method: str, _key: str) -> None:
        nonlocal under_way, most
        if method == "write":
            with lock:
                under_way += 1
                most = max(most, under_way)

    def ends(method: str, _key: str) -> None:
        nonlocal under_way
        if method == "write":
            with lock:
                under_way -= 1

    world.hooked[TWO].before, world.hooked[TWO].after = begins, ends
    world.align({f"k{number}": "ten bytes." for number in range(40)}, {})

    assert world.held(TWO) == world.held(ONE)
    assert 0 < most <= 2


def test_large_bodies_are_sent_first_and_each_key_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "LARGE", 10)
    world.job = replace(world.job, transfers=1)
    sent: list[str] = []
    world.hooked[TWO].before = lambda method, key: sent.append(key) if method == "write" else None
    world.align({"a": "1", "b": "x" * 10, "c": "22", "d": "x" * 30, "e": "x" * 9}, {})

    assert sent == ["d", "b", "a", "c", "e"]


def test_of_very_many_large_bodies_the_largest_are_sent_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "LARGE", 10)
    monkeypatch.setattr(commit, "MOST_LARGE", 1)
    world.job = replace(world.job, transfers=1)
    sent: list[str] = []
    world.hooked[TWO].before = lambda method, key: sent.append(key) if method == "write" else None
    world.align({"a": "1", "b": "x" * 10, "c": "x" * 20}, {})

    assert sent == ["c", "a", "b"]
