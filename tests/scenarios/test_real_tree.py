"""Other people's files, there and back."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

from tests.scenarios.conftest import PAIR, Operator, actions, bucket_contents, contents, operator_of
from tests.servers import BUCKET, S3Server

ODD = (
    "with space",
    " lead and trail ",
    "new\nline",
    "tab\there",
    "quote'\"`$HOME",
    "percent%41%2F",
    "plus+and&amp;<x>",
    "dots...",
    ".hidden",
    "e\u0301 decomposed",
    "\u00e9 composed",
    "emoji \U0001f600",
    "x" * 255,
    "-rf",
    "a=b;c,d",
)


def other_peoples_files(tree: Path) -> None:
    """The standard library of this Python, the documentation that the system has, and odd names."""
    library = Path(sysconfig.get_path("stdlib"))
    compiled = shutil.ignore_patterns("__pycache__")
    for name in ("json", "email", "xml", "unittest", "zoneinfo"):
        shutil.copytree(library / name, tree / "lib" / name, symlinks=True, ignore=compiled)
    for path in sorted(library.glob("*.py"))[:80]:
        shutil.copy2(path, tree / "lib")
    documentation = Path("/usr/share/doc")
    if documentation.is_dir():
        for folder in sorted(documentation.iterdir())[:40]:
            if folder.is_dir() and not folder.is_symlink():
                shutil.copytree(folder, tree / "doc" / folder.name, symlinks=True)
    for number, name in enumerate(ODD):
        (tree / "odd").mkdir(exist_ok=True)
        (tree / "odd" / name).write_bytes(b"odd" * number)
    (tree / "odd" / "link").symlink_to("with space")
    (tree / "odd" / "dangling").symlink_to("nowhere")
    (tree / "linked").symlink_to("odd")
    (tree / "odd" / "empty folder").mkdir()
    os.mkfifo(tree / "odd" / "fifo")


def test_a_real_tree_goes_to_the_bucket_to_a_second_tree_and_back_byte_for_byte(
    tmp_path: Path, seaweed: S3Server, prefix: str
) -> None:
    first = operator_of(tmp_path / "first", seaweed, prefix, "tree")
    second = operator_of(tmp_path / "second", seaweed, prefix, "tree")
    other_peoples_files(first.tree)
    planted = contents(first.tree)
    times = {name: (first.tree / name).stat().st_mtime_ns for name in planted}
    assert len(planted) > 300

    assert actions(first.report("init", PAIR, "--resync")) == {"copy-to-path2": len(planted)}
    assert bucket_contents(seaweed, prefix) == planted
    assert actions(first.report("run", PAIR)) == {}

    assert actions(second.report("init", PAIR, "--resync")) == {"copy-to-path1": len(planted)}
    assert contents(second.tree) == planted
    assert {name: (second.tree / name).stat().st_mtime_ns for name in planted} == times
    assert actions(second.report("run", PAIR)) == {}

    edited = second.tree / "odd" / ODD[2]
    edited.write_bytes(b"edited in the second tree")
    (second.tree / "odd" / ODD[0]).unlink()
    second.call("run", PAIR)
    assert actions(first.report("run", PAIR)) == {"copy-to-path1": 1, "delete-from-path1": 1}

    assert contents(first.tree) == contents(second.tree) == bucket_contents(seaweed, prefix)
    assert (first.tree / "odd" / "link").is_symlink()
    for operator in (first, second):
        assert actions(operator.report("run", PAIR)) == {}


def test_a_name_that_the_bucket_cannot_hold_is_a_problem_and_everything_else_goes_on(
    operator: Operator, seaweed: S3Server, prefix: str
) -> None:
    """SeaweedFS takes a backslash for a slash: the file would land elsewhere under another name."""
    (operator.tree / "back\\slash").write_text("mine")
    (operator.tree / "plain").write_text("fine")

    report = operator.report("init", PAIR, "--resync", code=3)

    assert [problem["key"] for problem in report["problems"]] == ["back\\slash"]
    assert list(bucket_contents(seaweed, prefix)) == ["plain"]
    assert "keeps keys as directories" in operator.call("problems", PAIR)


def test_a_file_and_a_directory_of_one_name_are_a_problem_and_everything_else_goes_on(
    operator: Operator, seaweed: S3Server, prefix: str
) -> None:
    (operator.tree / "both").write_text("a file here")
    (operator.tree / "plain").write_text("fine")
    with seaweed.client() as client:
        for key in ("both/below", "folder/", "other"):
            client.put_object(Bucket=BUCKET, Key=f"{prefix}/{key}", Body=b"" if key == "folder/" else b"text")

    for words in (("init", PAIR, "--resync"), ("run", PAIR)):
        report = operator.report(*words, code=3)

        assert "both/below" in {problem["key"] for problem in report["problems"]}
        assert set(contents(operator.tree)) == {"both", "plain", "other"}
        assert (operator.tree / "both").read_text() == "a file here"
        assert bucket_contents(seaweed, prefix)["both/below"]
