"""The servers of a benchmark: each is started when a case first asks for it, and ends with the benchmark."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import urlopen

from azure.storage.blob import ContainerClient

from benchmarks.canned import COUNTS
from benchmarks.place import Prefix, Store
from bisyncer.cli.seaweed import SeaweedServer
from bisyncer.endpoints.s3_client import create_bucket
from tests.azurite import Azurite

BUCKETS = ("bench", "other")


class Servers:
    """SeaweedFS, Azurite, and one with canned pages for each tree, below `work`.

    `there` is a server of S3 that runs already.
    """

    def __init__(self, stack: ExitStack, work: Path, there: Store | None = None) -> None:
        self._stack = stack
        self._work = work
        self._seaweed = there
        self._azurite: Store | None = None
        self._canned: dict[Path, Prefix] = {}

    def s3(self) -> Store:
        """SeaweedFS with two buckets, `BUCKETS`."""
        if self._seaweed is None:
            server = self._stack.enter_context(SeaweedServer(self._work / "seaweedfs"))
            for bucket in BUCKETS:
                server.create_bucket(bucket)
            self._seaweed = Store("b", "s3", server.endpoint_url, server.environment)
        return self._seaweed

    @contextmanager
    def bucket(self, name: str) -> Iterator[Prefix]:
        """A bucket that goes with all that it holds, from the disk too."""
        import boto3  # noqa: PLC0415 -- takes time to import

        store = self.s3()
        keys = store.environment["AWS_ACCESS_KEY_ID"], store.environment["AWS_SECRET_ACCESS_KEY"]
        create_bucket(name, endpoint_url=store.url, access_key=keys[0], secret_key=keys[1])
        yield Prefix(store, name, "p")
        client = boto3.session.Session(*keys).client("s3", endpoint_url=store.url, region_name="us-east-1")
        client.delete_bucket(Bucket=name)
        client.close()

    def azure(self) -> Store:
        """Azurite with a container of the name of the first bucket."""
        if self._azurite is None:
            server = self._stack.enter_context(Azurite(self._work / "azurite"))
            self._azurite = Store(
                "z", "azure", server.endpoint_url, {"BENCHMARK_KEY": server.key}, server.account
            )
            self._stack.enter_context(self.container(BUCKETS[0]))
        return self._azurite

    @contextmanager
    def container(self, name: str) -> Iterator[Prefix]:
        """A container that goes with all that it holds."""
        store = self.azure()
        credential = {"account_name": store.account, "account_key": store.environment["BENCHMARK_KEY"]}
        with ContainerClient(store.url, name, credential=credential) as client:
            client.create_container()
            yield Prefix(store, name, "p")
            client.delete_container()

    def canned(self, root: Path) -> Prefix:
        """A prefix that holds what the tree does, of a server that answers from prepared pages."""
        if root not in self._canned:
            place = f"{BUCKETS[0]}/p"
            process = self._stack.enter_context(
                subprocess.Popen(  # noqa: S603 -- our own program
                    [sys.executable, "-m", "benchmarks.canned", str(root), place],
                    stdin=subprocess.PIPE,  # it ends when this is closed, which leaving the stack does
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=Path(__file__).parents[1],
                )
            )
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            keys = {
                "AWS_ACCESS_KEY_ID": "canned",
                "AWS_SECRET_ACCESS_KEY": "canned",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
            self._canned[root] = Prefix(Store("c", "s3", url, keys), BUCKETS[0], "p")
        return self._canned[root]


def requests_of(store: Store) -> Mapping[str, int]:
    """How many requests of each kind a server with canned pages got since it was last asked."""
    with urlopen(store.url + COUNTS, timeout=60) as answer:  # noqa: S310 -- loopback
        counts: dict[str, int] = json.load(answer)
    return counts
