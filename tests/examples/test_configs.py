"""The examples are what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from bisyncer.config.load import load
from tests.desk import clear_environment

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(autouse=True)
def _nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clear_environment(tmp_path, monkeypatch)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.name)
def test_every_pair_of_an_example_config_is_a_job(path: Path) -> None:
    config = load(path)
    assert config.pairs
    for name in config.pairs:
        assert config.job(name).pair == name


def test_the_large_example_says_what_its_comments_say() -> None:
    job = load(EXAMPLES / "bisyncer.toml").job("cms")
    assert job.require_mount and job.check_file == ".bisyncer-check"
    assert (job.limits.max_delete_percent, job.limits.max_delete_count) == (50.0, 10_000)
    assert job.remotes[0].endpoint_url == "http://127.0.0.1:9000"
