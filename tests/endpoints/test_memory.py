from __future__ import annotations

from collections.abc import Iterator

import pytest

from bisyncer.endpoints import memory
from bisyncer.endpoints.base import Endpoint
from bisyncer.endpoints.memory import MemoryEndpoint
from tests.endpoints.contract import Behind, BucketContract, put, whole


class MemoryBehind:
    def __init__(self, name: str) -> None:
        self._store = memory.store(name)

    def plant(self, key: str, data: bytes) -> None:
        self._store.put(key, data)

    def remove(self, key: str) -> None:
        self._store.remove(key)

    def content(self, key: str) -> bytes | None:
        return self._store.contents().get(key)

    def names(self) -> list[str]:
        return list(self._store.contents())


class TestMemory(BucketContract):
    @pytest.fixture
    def endpoint(self) -> Iterator[Endpoint]:
        yield MemoryEndpoint("contract")
        memory.discard("contract")

    @pytest.fixture
    def behind(self, endpoint: Endpoint) -> Behind:
        return MemoryBehind("contract")

    def test_a_name_opened_twice_is_the_same_store(self, endpoint: Endpoint) -> None:
        again = MemoryEndpoint("contract")
        entry = put(endpoint, "k", b"1")

        assert whole(again, "k", entry) == b"1"
        assert again.root == endpoint.root == "memory://contract"
        assert again.overlaps(endpoint)

    def test_two_names_are_two_stores(self, endpoint: Endpoint) -> None:
        other = MemoryEndpoint("other")
        put(endpoint, "k", b"1")

        assert other.stat("k") is None
        assert not other.overlaps(endpoint)
        memory.discard("other")

    def test_a_discarded_name_is_empty_when_opened_again(self, endpoint: Endpoint) -> None:
        put(endpoint, "k", b"1")
        memory.discard("contract")

        assert MemoryEndpoint("contract").stat("k") is None
