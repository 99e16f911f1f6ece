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

# The command, which stops itself right before its third body is written, in no transaction of its lease.
STOPS = f"""
import os, signal
from bisyncer.cli.app import main
from bisyncer.core.reserved import is_reserved
from bisyncer.endpoints.local import LocalEndpoint
from bisyncer.state.lease import Lease

take, write, leases, seen = Lease.take.__func__, LocalEndpoint.write, [], []
take.__kwdefaults__["ttl_s"] = {TTL_S}

def taken(cls, *arguments, **options):
    leases.append(take(cls, *arguments, **options))
    return leases[-1]

def stopping(self, key, *arguments, **options):
    if not is_reserved(key):
        seen.append(key)
        if len(seen) == 3:
            with leases[-1]._renewing:
                os.kill(os.getpid(), signal.SIGSTOP)
    return write(self, key, *arguments, **options)

Lease.take = classmethod(taken)
LocalEndpoint.write = stopping
main(["run", "--json"])
"""


def test_a_run_that_was_paused_and_overtaken_writes_nothing_more_and_says_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.align({"cms": "transfers = 1"})
    put(desk.one, {f"f{number:03}": f"text {number}" for number in range(300)})
    take: Any = Lease.take
    monkeypatch.setitem(take.__func__.__kwdefaults__, "ttl_s", TTL_S)
    with desk.process(program=["-c", STOPS]) as paused:
        try:
            os.waitid(os.P_PID, paused.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            until = time.monotonic() + 30
            while (answer := desk("run", "--quiet")).code == 6:
                assert time.monotonic() < until, "the lease of a process that stands still runs out"
            assert answer == (0, "", "")
            assert held(desk.two) == held(desk.one)
            put(desk.two, {key: f"edited {key}" for key in held(desk.two)})
            edited = held(desk.two)

            os.kill(paused.pid, signal.SIGCONT)
            said, told = paused.communicate(timeout=60)
        finally:
            paused.kill()

    report = json.loads(said)
    assert (paused.returncode, report["outcome"], report["exit_code"]) == (1, "failed", 1)
    assert "over while this one was paused or cut off" in told
    assert held(desk.two) == edited
    assert desk("run", "--quiet", "--force", "all-changed").code == 0
    assert held(desk.one) == edited
