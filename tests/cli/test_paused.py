"""A run that is stopped in the middle and goes on when another one has taken the pair over."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import pytest

from bisyncer.state.lease import Lease
from tests.desk import Desk, held, put

TTL_S = 1.0  # of a lease; a minute where nobody says otherwise

# The command, which waits for a word right before its third body is written.
WAITS = f"""
import sys
from bisyncer.cli.app import main
from bisyncer.core.reserved import is_reserved
from bisyncer.endpoints.local import LocalEndpoint
from bisyncer.state.lease import Lease

Lease.take.__func__.__kwdefaults__["ttl_s"] = {TTL_S}
real, seen = LocalEndpoint.write, []

def write(self, key, *arguments, **options):
    if not is_reserved(key):
        seen.append(key)
        if len(seen) == 3:
            sys.stderr.write("waiting\\n")
            sys.stderr.flush()
            sys.stdin.readline()
    return real(self, key, *arguments, **options)

LocalEndpoint.write = write
main(["run", "--json"])
"""


def test_a_run_that_was_paused_and_overtaken_writes_nothing_more_and_says_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.align({"cms": "transfers = 1"})
    put(desk.one, {f"f{number:03}": f"text {number}" for number in range(300)})
    taken: Any = Lease.take
    monkeypatch.setitem(taken.__func__.__kwdefaults__, "ttl_s", TTL_S)
    with desk.process(program=["-c", WAITS], stdin=-1) as paused:
        assert paused.stderr and paused.stdin and paused.stdout
        assert paused.stderr.readline() == "waiting\n"
        os.kill(paused.pid, signal.SIGSTOP)

        until = time.monotonic() + 30
        while (answer := desk("run", "--quiet")).code == 6:
            assert time.monotonic() < until, "the lease of a process that stands still runs out"
        assert answer == (0, "", "")
        assert held(desk.two) == held(desk.one)
        put(desk.two, {key: f"edited {key}" for key in held(desk.two)})
        edited = held(desk.two)

        os.kill(paused.pid, signal.SIGCONT)
        paused.stdin.write("\n")
        paused.stdin.close()
        report: Any = json.loads(paused.stdout.read())
        told = paused.stderr.read()

    assert (paused.returncode, report["outcome"], report["exit_code"]) == (1, "failed", 1)
    assert "Another run took pair cms over while this one was paused" in told
    assert held(desk.two) == edited
    assert desk("run", "--quiet", "--force", "all-changed").code == 0
    assert held(desk.one) == edited
