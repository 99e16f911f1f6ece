from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from bisyncer.endpoints.base import Endpoint
from bisyncer.endpoints.s3 import S3Endpoint
from tests.endpoints.contract import TREE_KEYS, Behind, EndpointContract
from tests.servers import BUCKET, S3Server


class _Behind:
    """The bucket as another client reaches it, below one prefix."""

    def __init__(self, client: Any, prefix: str) -> None:
        self._client = client
        self._prefix = f"{prefix}/"

    def plant(self, key: str, data: bytes) -> None:
        self._client.put_object(Bucket=BUCKET, Key=self._prefix + key, Body=data)

    def remove(self, key: str) -> None:
        self._client.delete_object(Bucket=BUCKET, Key=self._prefix + key)

    def content(self, key: str) -> bytes | None:
        try:
            got = self._client.get_object(Bucket=BUCKET, Key=self._prefix + key)
        except self._client.exceptions.NoSuchKey:
            return None
        with got["Body"] as body:
            data: bytes = body.read()
        return data

    def names(self) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=self._prefix)
        return [row["Key"].removeprefix(self._prefix) for page in pages for row in page.get("Contents", ())]


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses."""
    return uuid.uuid4().hex


class TestSeaweed(EndpointContract):
    # SeaweedFS keeps keys as paths of directories: 'a' and 'a/b' stand in each other's way, and a marker
    # holds no bytes. What it would take for another key has a test of its own below.
    bucket_keys = tuple(key for key in TREE_KEYS if "\\" not in key)

    @pytest.fixture
    def endpoint(self, seaweed: S3Server, prefix: str) -> Iterator[Endpoint]:
        endpoint = S3Endpoint(BUCKET, prefix, remote=seaweed.remote(), owner="test")
        yield endpoint
        endpoint.close()

    @pytest.fixture
    def behind(self, seaweed: S3Server, prefix: str) -> Iterator[Behind]:
        with seaweed.client() as client:
            yield _Behind(client, prefix)
