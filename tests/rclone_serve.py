"""`rclone serve s3`: a directory as a store that speaks the API of S3, each bucket a directory of it."""

from __future__ import annotations

import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_ADDRESS: Final = re.compile(r"http://127\.0\.0\.1:[0-9]+")
_POLL_S: Final = 0.05


class RcloneServer:
    """A server that lives as long as the `with` block, and keeps all that it has in `directory`."""

    def __init__(self, directory: Path, *, timeout_s: float = 60) -> None:
        self.access_key = "rclone"
        self.secret_key = secrets.token_hex(20)
        self.endpoint_url = ""
        self._directory = directory
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        log = self._directory / "rclone.log"
        (self._directory / "data").mkdir()
        (self._directory / "rclone.conf").touch()
        with log.open("wb") as told:
            self._process = subprocess.Popen(
                [
                    rclone(),
                    "serve",
                    "s3",
                    "--addr=127.0.0.1:0",
                    f"--auth-key={self.access_key},{self.secret_key}",
                    f"--config={self._directory / 'rclone.conf'}",
                    str(self._directory / "data"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + self._timeout_s
        while not (found := _ADDRESS.search(log.read_text())):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._stop()
                raise RuntimeError(f"rclone serve s3 did not start: {log.read_text()}")
            time.sleep(_POLL_S)
        self.endpoint_url = found[0]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def create_bucket(self, name: str) -> None:
        (self._directory / "data" / name).mkdir()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait()


def rclone() -> str:
    """The program, as it came with the test tools or as the system has it."""
    beside = Path(sys.executable).parent / "rclone"
    found = str(beside) if beside.exists() else shutil.which("rclone")
    if found is None:
        raise RuntimeError("The program rclone isn't installed. Run: make test")
    return found
