"""The first page that a user follows is followed here, line by line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT, prompts

PAGE = ROOT / "docs/getting-started.md"


def test_every_line_about_two_folders_works_as_it_stands(tmp_path: Path) -> None:
    lines = list(prompts(PAGE))
    lines = lines[: lines.index("bisyncer problems") + 1]
    program = tmp_path / "bin/bisyncer"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bisyncer "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BISYNCER_")}

    done = subprocess.run(
        ["bash", "-e"],
        check=False,
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env={
            **kept,
            "HOME": str(tmp_path),
            "PATH": f"{program.parent}:{kept['PATH']}",
            "PYTHONPATH": str(ROOT),
        },
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "conflict prices.csv (changed / changed)" in done.stdout
    assert "conflict 1: prices.csv is the version of path1" in done.stdout
    assert "done delete-from-path2 news/june.txt (deleted / unchanged)" in done.stdout
    assert done.stdout.endswith("There are no problems.\n")
    for side in ("left", "right"):
        assert (tmp_path / "tour" / side / "prices.csv").read_text() == "tea,5 says the left\n"
