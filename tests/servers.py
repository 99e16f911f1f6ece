"""Servers of the suite's own. One that doesn't come up fails the tests that need it; none is skipped."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.config import Config

from bisyncer.cli.seaweed import SeaweedServer
from bisyncer.model import Remote

BUCKET = "bucket"
KEY_ENV = "BISYNCER_TEST_ACCESS_KEY_ID"
SECRET_ENV = "BISYNCER_TEST_SECRET_ACCESS_KEY"


class S3Server(NamedTuple):
    """A running S3 server with a bucket, `BUCKET`, in which each test keeps to a prefix of its own."""

    endpoint_url: str
    access_key: str
    secret_key: str

    def remote(self, **changes: Any) -> Remote:
        """The remote of a config that leads here; its keys are in the environment."""
        remote = Remote(
            name="test",
            endpoint_url=self.endpoint_url,
            region="us-east-1",
            access_key_id_env=KEY_ENV,
            secret_access_key_env=SECRET_ENV,
        )
        return replace(remote, **changes)

    @contextmanager
    def client(self) -> Iterator[Any]:
        """A client of somebody else."""
        client = boto3.session.Session().client(
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
    """A SeaweedFS server, one for all workers of a run; its keys are in the environment."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    with _shared(shared / "seaweed") as server, pytest.MonkeyPatch.context() as environment:
        environment.setenv(KEY_ENV, server.access_key)
        environment.setenv(SECRET_ENV, server.secret_key)
        yield server


@contextmanager
def _shared(directory: Path) -> Iterator[S3Server]:
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
                started = stack.enter_context(SeaweedServer(directory))
                started.create_bucket(BUCKET)
                stack.callback(_leave_last, directory / "gate", users, address)
                server = S3Server(started.endpoint_url, started.access_key, started.secret_key)
                address.write_text(json.dumps(server))
            fcntl.flock(users, fcntl.LOCK_SH)
        yield S3Server(*json.loads(address.read_text()))


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
