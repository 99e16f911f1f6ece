"""Places: a root of each kind of store, as people reach it behind the engine's back."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, cast

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import ContainerClient
from botocore.exceptions import ClientError

from bisyncer.core.reserved import is_reserved
from bisyncer.endpoints import linux
from bisyncer.job import Remote
from tests.oci.account import BUCKET as OCI_BUCKET
from tests.oci.account import NAMESPACE, OciAccount
from tests.oci.body import Body
from tests.oci.store import Bucket, Conditions, Object, Refused
from tests.servers import BUCKET, AzureServer, S3Server

STORES = ("tree", "s3", "azure", "oci")
BUCKETS = ("s3", "azure", "oci")


class Place(Protocol):
    """A root and its other users. None of them knows of bisyncer."""

    root: str  # as a job has it
    remotes: tuple[Remote, ...]  # that the root needs
    endpoint_url: str  # of the server; empty for a tree

    def plant(self, key: str, data: bytes) -> None:
        """Put `data` at `key`, whatever is there."""
        ...

    def remove(self, key: str) -> None:
        """Remove `key`, whatever is there, if anything."""
        ...

    def swap(self, key: str, data: bytes) -> bytes | None:
        """Put `data` at `key` and return what it replaced, and nothing else: None where it was free."""
        ...

    def take(self, key: str) -> bytes | None:
        """Remove `key` and return what was removed, and nothing else: None where nothing was there."""
        ...

    def read(self, key: str) -> bytes | None:
        """The bytes at `key`; None where there is nothing."""
        ...

    def names(self) -> list[str]:
        """Every key, sorted."""
        ...

    def through(self, url: str) -> None:
        """Let the pair reach the server by another address; people go on as they did."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


def held(place: Place) -> dict[str, bytes]:
    """All that a place holds, by key, but for what is bisyncer's own."""
    found = {key: place.read(key) for key in place.names() if not is_reserved(key)}
    return {key: data for key, data in found.items() if data is not None}


class Tree:
    """A directory. Its people lay out new files on a desk beside it, on the same file system."""

    remotes: tuple[Remote, ...] = ()
    endpoint_url = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tree"
        self.root = str(self.folder)
        self._desk = folder / "desk"
        for made in (self.folder, self._desk):
            made.mkdir(parents=True)
        self._numbers = itertools.count()
        self._above = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self.lock = threading.Lock()  # people of one tree don't race each other, only the engine

    def plant(self, key: str, data: bytes) -> None:
        self._laid_out(data).replace(self._path(key))

    def remove(self, key: str) -> None:
        (self.folder / key).unlink(missing_ok=True)

    def swap(self, key: str, data: bytes) -> bytes | None:
        made = self._laid_out(data)
        names = (self._above, f"desk/{made.name}", self._above, f"tree/{key}")
        self._path(key)
        with self.lock:
            while True:
                with contextlib.suppress(FileNotFoundError):
                    linux.exchange(*names)
                    return self._cleared(made)
                with contextlib.suppress(FileExistsError):
                    linux.rename_new(*names)
                    return None

    def take(self, key: str) -> bytes | None:
        to = self._desk / str(next(self._numbers))
        with self.lock:
            try:
                (self.folder / key).rename(to)
            except FileNotFoundError:
                return None
            return self._cleared(to)

    def edit(self, key: str, make: Callable[[int], bytes]) -> tuple[bytes, bytes, bool] | None:
        """Write into the file itself as many bytes as it has; None where there is none.

        Returns what it held, what was written, and whether the name still led to it after that: a program
        that has a file open while it is replaced goes on in the old one, which no tool can help.
        """
        with self.lock:
            try:
                opened = os.open(self.folder / key, os.O_RDWR)
            except FileNotFoundError:
                return None
            try:
                old = os.read(opened, 1 << 20)
                new = make(len(old))
                mtime_ns = os.fstat(opened).st_mtime_ns
                while os.fstat(opened).st_mtime_ns == mtime_ns:  # two edits in one tick can't be told apart
                    os.pwrite(opened, new, 0)
                return old, new, self._leads_to(key, opened)
            finally:
                os.close(opened)

    def read(self, key: str) -> bytes | None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return (self.folder / key).read_bytes()
        return None

    def names(self) -> list[str]:
        return sorted(
            os.fsencode(path.relative_to(self.folder)).decode()
            for path in self.folder.rglob("*")
            if path.is_file()
        )

    def through(self, url: str) -> None:
        raise AssertionError(f"a tree isn't reached by {url}")

    def close(self) -> None:
        os.close(self._above)

    def _path(self, key: str) -> Path:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _leads_to(self, key: str, opened: int) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat((self.folder / key).stat(), os.fstat(opened))
        return False

    def _laid_out(self, data: bytes) -> Path:
        made = self._desk / str(next(self._numbers))
        made.write_bytes(data)
        return made

    def _cleared(self, path: Path) -> bytes:
        data = path.read_bytes()
        path.unlink()
        return data


class S3Place:
    """A prefix of the bucket on an S3 server."""

    def __init__(self, server: S3Server, client: Any, prefix: str) -> None:
        self.endpoint_url = server.endpoint_url
        self.root = f"{server.name}:{BUCKET}/{prefix}"
        self.remotes: tuple[Remote, ...] = (server.remote(),)
        self._server = server
        self._client = client
        self._prefix = f"{prefix}/"

    def plant(self, key: str, data: bytes) -> None:
        self._client.put_object(Bucket=BUCKET, Key=self._prefix + key, Body=data)

    def remove(self, key: str) -> None:
        self._client.delete_object(Bucket=BUCKET, Key=self._prefix + key)

    def swap(self, key: str, data: bytes) -> bytes | None:
        while True:
            seen = self._look(key)
            condition = {"IfNoneMatch": "*"} if seen is None else {"IfMatch": seen[1]}
            with _unless_raced():
                self._client.put_object(Bucket=BUCKET, Key=self._prefix + key, Body=data, **condition)
                return seen and seen[0]

    def take(self, key: str) -> bytes | None:
        while seen := self._look(key):
            with _unless_raced():
                self._client.delete_object(Bucket=BUCKET, Key=self._prefix + key, IfMatch=seen[1])
                return seen[0]
        return None

    def read(self, key: str) -> bytes | None:
        seen = self._look(key)
        return seen and seen[0]

    def names(self) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=self._prefix)
        return sorted(
            found["Key"].removeprefix(self._prefix) for page in pages for found in page.get("Contents", ())
        )

    def through(self, url: str) -> None:
        self.remotes = (self._server.remote(endpoint_url=url),)

    def close(self) -> None:
        self._client.close()

    def _look(self, key: str) -> tuple[bytes, str] | None:
        try:
            got = self._client.get_object(Bucket=BUCKET, Key=self._prefix + key)
        except self._client.exceptions.NoSuchKey:
            return None
        with got["Body"] as body:
            return body.read(), got["ETag"]


@contextlib.contextmanager
def _unless_raced() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] not in {404, 409, 412}:
            raise


class AzurePlace:
    """A prefix of the container on the emulator of Azure."""

    def __init__(self, server: AzureServer, client: ContainerClient, prefix: str) -> None:
        self.endpoint_url = server.endpoint_url
        self.root = f"azurite:{server.container}/{prefix}"
        self.remotes: tuple[Remote, ...] = (server.remote(),)
        self._server = server
        self._client = client
        self._prefix = f"{prefix}/"

    def plant(self, key: str, data: bytes) -> None:
        self._client.upload_blob(self._prefix + key, data, overwrite=True)

    def remove(self, key: str) -> None:
        with contextlib.suppress(ResourceNotFoundError):
            self._client.delete_blob(self._prefix + key)

    def swap(self, key: str, data: bytes) -> bytes | None:
        while True:
            seen = self._look(key)
            condition = {} if seen is None else _if_it_is(seen[1])
            with _unless_raced_on_azure():
                self._client.upload_blob(self._prefix + key, data, overwrite=seen is not None, **condition)
                return seen and seen[0]

    def take(self, key: str) -> bytes | None:
        while seen := self._look(key):
            with _unless_raced_on_azure():
                self._client.delete_blob(self._prefix + key, **_if_it_is(seen[1]))
                return seen[0]
        return None

    def read(self, key: str) -> bytes | None:
        seen = self._look(key)
        return seen and seen[0]

    def names(self) -> list[str]:
        return sorted(
            name.removeprefix(self._prefix)
            for name in self._client.list_blob_names(name_starts_with=self._prefix)
        )

    def through(self, url: str) -> None:
        # The account is in the path of an emulator's address.
        account = self._server.endpoint_url.rpartition("/")[2]
        self.remotes = (self._server.remote(endpoint_url=f"{url}/{account}"),)

    def close(self) -> None:
        self._client.close()

    def _look(self, key: str) -> tuple[bytes, str] | None:
        try:
            got = self._client.download_blob(self._prefix + key)
        except ResourceNotFoundError:
            return None
        return got.readall(), got.properties.etag


def _if_it_is(etag: str) -> dict[str, Any]:
    return {"etag": etag, "match_condition": MatchConditions.IfNotModified}


@contextlib.contextmanager
def _unless_raced_on_azure() -> Iterator[None]:
    try:
        yield
    except HttpResponseError as error:
        if error.status_code not in {404, 409, 412}:
            raise


class OciPlace:
    """A prefix of the bucket on the server of OCI's API, reached from inside of it."""

    def __init__(self, account: OciAccount, prefix: str) -> None:
        self.endpoint_url = account.server.endpoint_url
        self.root = f"oci:{OCI_BUCKET}@{NAMESPACE}/{prefix}"
        self.remotes: tuple[Remote, ...] = (account.remote(),)
        self._account = account
        self._prefix = f"{prefix}/"

    @property
    def _bucket(self) -> Bucket:
        return self._account.bucket

    def plant(self, key: str, data: bytes) -> None:
        self._put(key, data, Conditions())

    def remove(self, key: str) -> None:
        with contextlib.suppress(Refused):
            self._bucket.delete(self._prefix + key, Conditions())

    def swap(self, key: str, data: bytes) -> bytes | None:
        while True:
            seen = self._look(key)
            with contextlib.suppress(Refused):
                self._put(key, data, Conditions(seen.etag) if seen else Conditions(None, "*"))
                return None if seen is None else seen.data

    def take(self, key: str) -> bytes | None:
        while seen := self._look(key):
            with contextlib.suppress(Refused):
                self._bucket.delete(self._prefix + key, Conditions(seen.etag))
                return seen.data
        return None

    def read(self, key: str) -> bytes | None:
        seen = self._look(key)
        return None if seen is None else seen.data

    def names(self) -> list[str]:
        return sorted(
            name.removeprefix(self._prefix)
            for name in list(self._bucket.objects)
            if name.startswith(self._prefix)
        )

    def through(self, url: str) -> None:
        self.remotes = (self._account.remote(endpoint_url=url),)

    def close(self) -> None:
        """The server ends with the suite."""

    def _look(self, key: str) -> Object | None:
        return self._bucket.objects.get(self._prefix + key)

    def _put(self, key: str, data: bytes, conditions: Conditions) -> None:
        self._bucket.put(Object(self._prefix + key, Body(data), "text/plain", {}), conditions)


Places = Callable[[str], Place]


@pytest.fixture
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Places]:
    """Makes an empty place of a kind: one of `STORES`, or moto, which is S3 too."""
    with contextlib.ExitStack() as stack:

        def make(kind: str) -> Place:
            place = _made(kind)
            stack.callback(place.close)
            return place

        def _made(kind: str) -> Place:
            prefix = uuid.uuid4().hex
            match kind:
                case "tree":
                    return Tree(tmp_path / prefix)
                case "s3" | "moto":
                    name = "seaweed" if kind == "s3" else kind
                    server = cast("S3Server", request.getfixturevalue(name))
                    return S3Place(server, stack.enter_context(server.client()), prefix)
                case "azure":
                    azurite: AzureServer = request.getfixturevalue("azurite")
                    return AzurePlace(azurite, stack.enter_context(azurite.client()), prefix)
                case "oci":
                    return OciPlace(request.getfixturevalue("oci_account"), prefix)
                case _:
                    raise AssertionError(f"{kind} is no kind of store")

        yield make
