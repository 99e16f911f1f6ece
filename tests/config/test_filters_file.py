"""A file of patterns is read by each command."""

from __future__ import annotations

from pathlib import Path

import pytest

from bisyncer.config.config import Config
from bisyncer.config.load import load
from bisyncer.errors import UsageError
from bisyncer.job import FilterFile

PAIR = "[pairs.cms]\npath1 = '/a'\npath2 = '/b'\nfilters_file = 'cms.filters'\n"


def config(folder: Path, text: str = PAIR, **asked: object) -> Config:
    folder.mkdir(exist_ok=True)
    path = folder / "bisyncer.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, flags=asked)


def test_a_relative_file_counts_from_the_folder_of_the_config(tmp_path: Path) -> None:
    found = config(tmp_path / "etc")
    (tmp_path / "etc/cms.filters").write_bytes(b"\xef\xbb\xbf# ours\r\n*.tmp")

    path = str(tmp_path / "etc/cms.filters")
    assert found.job("cms").filter_file == FilterFile(path, ("# ours", "*.tmp"))

    Path(path).write_text("*.swp", encoding="utf-8")
    assert found.job("cms").filter_file == FilterFile(path, ("*.swp",))


def test_one_that_a_flag_or_a_variable_names_counts_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("mine").write_text("*.a", encoding="utf-8")
    here = FilterFile(str(Path.cwd() / "mine"), ("*.a",))
    assert config(tmp_path / "etc", filters_file="mine").job("cms").filter_file == here

    monkeypatch.setenv("BISYNCER_FILTERS_FILE", "mine")
    assert config(tmp_path / "etc").job("cms").filter_file == here


def test_a_bad_line_is_told_with_its_place_and_a_missing_file_with_that_of_its_name(tmp_path: Path) -> None:
    found = config(tmp_path)
    with pytest.raises(UsageError, match=r"bisyncer\.toml:4: filters_file in .*can't be read: No such file"):
        found.job("cms")

    (tmp_path / "cms.filters").write_text("*.tmp\n\n[a\n", encoding="utf-8")
    with pytest.raises(UsageError) as refused:
        found.job("cms")
    assert str(refused.value) == (
        f"{tmp_path}/cms.filters:3: '[a' is not a gitignore pattern: its '[' has no ']'; write \\[ for the "
        "letter itself."
    )
    assert refused.value.exit_code == 2
