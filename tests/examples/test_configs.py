"""The examples are what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from bisyncer.config.load import load
from bisyncer.endpoints.bandwidth import limit_at
from bisyncer.errors import UsageError
from bisyncer.job import Limit, Retention
from bisyncer.model import Mode
from tests.desk import clear_environment

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(autouse=True)
def _nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clear_environment(tmp_path, monkeypatch)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.name)
def test_every_pair_of_an_example_config_is_a_job(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_AZURE_SECRET", "a secret that the example says is in the environment")
    config = load(path)
    assert config.pairs
    for name in config.pairs:
        assert config.job(name).pair == name


def test_the_large_example_says_what_its_comments_say() -> None:
    job = load(EXAMPLES / "bisyncer.toml").job("cms")
    assert job.require_mount and job.check_file == ".bisyncer-check"
    assert (job.limits.max_delete_percent, job.limits.max_delete_count) == (50.0, 10_000)
    assert job.remotes[0].endpoint_url == "http://127.0.0.1:9000"


def test_the_modes_of_an_example_are_what_their_comments_say() -> None:
    config = load(EXAMPLES / "modes.toml")
    jobs = [config.job(name) for name in ("site", "archive", "shared")]

    assert [job.mode for job in jobs] == [Mode.MIRROR, Mode.COPY, Mode.DUAL_COPY]
    assert (jobs[0].limits.max_delete_percent, jobs[0].limits.max_delete_count) == (20.0, 1000)
    assert jobs[0].trash == Retention(path2=True, keep_ns=90 * 86400 * 10**9)


def test_the_clouds_of_an_example_are_what_their_comments_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_AZURE_SECRET", "x")
    config = load(EXAMPLES / "clouds.toml")
    media, regions = config.job("media"), config.job("regions")

    assert {name: each.type for name, each in config.remotes.items()} == {
        "s3": "s3",
        "azure": "azure",
        "frankfurt": "oci",
        "amsterdam": "oci",
    }
    assert media.require_conditional and media.max_duration_ns == 5 * 3600 * 10**9
    assert media.bwlimit[0] == Limit(0, 7 * 60, 20 * 1024**2)
    allowed = [[limit_at(media.bwlimit, day, hour * 60) for hour in (6, 8, 20)] for day in range(7)]
    assert allowed == 5 * [[None, 20 * 1024**2, None]] + 2 * [[None, None, None]]
    assert (regions.path1, regions.path2) == ("frankfurt:content", "amsterdam:content")
    monkeypatch.delenv("MEDIA_AZURE_SECRET")
    with pytest.raises(UsageError, match="the environment has no MEDIA_AZURE_SECRET"):
        config.job("media")
