"""A tree that was rolled back, another one in its place, and an old state, as the operator sees them."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.scenarios.conftest import PAIR, Operator, actions, bucket_contents, contents
from tests.servers import S3Server


def swap(one: Path, other: Path) -> None:
    """Let two names trade what they name."""
    between = one.with_name("between")
    one.rename(between)
    other.rename(one)
    between.rename(other)


def test_no_copy_of_the_past_and_no_other_place_is_taken_for_deletions(
    operator: Operator, seaweed: S3Server, prefix: str
) -> None:
    for name in ("a", "b", "c"):
        (operator.tree / name).write_text(f"text of {name}")
    operator.call("init", PAIR, "--resync")
    past, other, state = operator.folder / "past", operator.folder / "other", operator.folder / "state.db"
    shutil.copytree(operator.tree, past)
    shutil.copy(state, operator.folder / "old.db")
    other.mkdir()
    (other / "a").write_text("text of a")
    (operator.tree / "d").write_text("made since")
    (operator.tree / "a").unlink()
    operator.call("run", PAIR)
    stands = contents(operator.tree)
    assert bucket_contents(seaweed, prefix) == stands

    def is_halted() -> str:
        report = operator.report("run", PAIR, code=5)
        assert [halt["gate"] for halt in report["halts"]] == ["identity"]
        assert bucket_contents(seaweed, prefix) == stands
        return str(report["halts"][0]["sentence"])

    swap(operator.tree, past)
    assert f"path1 (file://{operator.tree}) is an older copy of what it was" in is_halted()
    swap(operator.tree, past)

    swap(operator.tree, other)
    assert f"path1 (file://{operator.tree}) has no .bisyncer-seal/" in is_halted()
    swap(operator.tree, other)
    assert actions(operator.report("run", PAIR)) == {}

    shutil.copy(operator.folder / "old.db", state)
    report = operator.report("run", PAIR, code=5)
    assert {halt["gate"] for halt in report["halts"]} == {"identity"}
    assert "The state is older than path1" in report["halts"][0]["sentence"]
    operator.call("run", PAIR, "--resync")
    assert contents(operator.tree) == bucket_contents(seaweed, prefix) == stands
