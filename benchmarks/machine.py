"""What the figures were measured on, and with: read from the machine, never written by hand."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benchmarks.peers import peer, rclone
from bisyncer import __version__
from bisyncer.cli.seaweed import weed

_ROOT = Path(__file__).parents[1]


def machine() -> Mapping[str, str]:
    """The hardware and its kernel."""
    cpu = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(encoding="utf-8"), re.MULTILINE)
    return {
        "processor": cpu[1].strip() if cpu else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(memory[1]) / 2**20:.0f} GiB" if memory else "",
        "kernel": f"{platform.system()} {platform.release()}",
    }


def versions() -> Mapping[str, str]:
    """Of the tools and of the servers, as they tell themselves; without those that aren't installed."""
    azurite = sorted((_ROOT / ".tools").glob("azurite-*"))
    told = {
        "bisyncer": f"{__version__} ({_said('git', '-C', str(_ROOT), 'rev-parse', '--short', 'HEAD')})",
        "Python": platform.python_version(),
        "rclone": _said(rclone(), "version").removeprefix("rclone v"),
        "s5cmd": _said(peer("s5cmd"), "version").removeprefix("v"),
        "aws": _said(peer("aws"), "--version").partition(" ")[0].removeprefix("aws-cli/"),
        "SeaweedFS": " ".join(_said(weed(), "version").split()[2:3]),
        "Azurite": azurite[-1].name.removeprefix("azurite-") if azurite else "",
    }
    return {name: version for name, version in told.items() if version}


def _said(*command: str) -> str:
    """The first line that a program says."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603 -- no shell
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip().partition("\n")[0]
