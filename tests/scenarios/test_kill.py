"""kill -9, at real moments of real runs."""

from __future__ import annotations

import signal

import pytest

from bisyncer.model import SEALS, TRASH
from tests.scenarios.conftest import PAIR, Operator, actions, bucket_contents, contents
from tests.servers import BUCKET, S3Server

MANY = 200


def plant(operator: Operator, seaweed: S3Server, prefix: str) -> None:
    """Files on both sides, some of them the same."""
    for number in range(MANY):
        folder = operator.tree / f"d{number % 7}"
        folder.mkdir(exist_ok=True)
        (folder / f"f{number:04}").write_bytes(b"%d " % number * (number * 17 % 4000))
    with seaweed.client() as client:
        for number in range(0, MANY, 4):
            client.put_object(Bucket=BUCKET, Key=f"{prefix}/b{number:04}", Body=b"bucket %d" % number)


def equal(operator: Operator, seaweed: S3Server, prefix: str) -> dict[str, str]:
    """What both sides hold, which must be the same and hold no leftover."""
    held = contents(operator.tree)
    assert held == bucket_contents(seaweed, prefix)
    assert not [name for name in held if "conflict" in name or "rescued" in name or ".bisyncer" in name]
    left = [path.name for path in operator.tree.rglob(".bisyncer*") if path.name not in {TRASH, SEALS}]
    assert not left
    return held


@pytest.mark.parametrize("after_lines", [1, 75, 225])
def test_after_a_kill_in_a_first_alignment_the_next_run_goes_on_without_a_resync(
    operator: Operator, seaweed: S3Server, prefix: str, after_lines: int
) -> None:
    plant(operator, seaweed, prefix)

    operator.kill("init", PAIR, "--resync", after_lines=after_lines + 8)
    operator.call("run", PAIR)

    assert len(equal(operator, seaweed, prefix)) == MANY + MANY // 4
    assert actions(operator.report("run", PAIR)) == {}


@pytest.mark.parametrize("after_lines", [1, 50])
def test_after_a_kill_in_a_later_run_the_next_run_goes_on(
    operator: Operator, seaweed: S3Server, prefix: str, after_lines: int
) -> None:
    plant(operator, seaweed, prefix)
    operator.call("init", PAIR, "--resync")
    for path in sorted(operator.tree.rglob("f*1")):
        path.write_bytes(b"edited " + path.read_bytes())
    for path in sorted(operator.tree.rglob("f*2")):
        path.unlink()
    with seaweed.client() as client:
        for number in range(0, MANY, 4):
            client.put_object(Bucket=BUCKET, Key=f"{prefix}/b{number:04}", Body=b"edited %d" % number)
            client.put_object(Bucket=BUCKET, Key=f"{prefix}/new{number:04}", Body=b"new %d" % number)

    operator.kill("run", PAIR, after_lines=after_lines)
    operator.call("run", PAIR)

    held = equal(operator, seaweed, prefix)
    assert len(held) == MANY - MANY // 10 + 2 * (MANY // 4)
    assert actions(operator.report("run", PAIR)) == {}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_ends_a_run_in_order_and_the_next_run_does_the_rest(
    operator: Operator, seaweed: S3Server, prefix: str, number: signal.Signals, code: int
) -> None:
    plant(operator, seaweed, prefix)
    with operator.start("init", PAIR, "--resync", program=("-u", "-m", "bisyncer")) as process:
        assert process.stdout is not None
        for _ in range(30):
            process.stdout.readline()
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "interrupted" in out
    assert "Traceback" not in err

    report = operator.report("run", PAIR)

    # What was done is committed: it isn't looked at again, let alone copied again.
    assert 0 < report["unchanged"] < MANY
    assert "record" not in actions(report)
    equal(operator, seaweed, prefix)
