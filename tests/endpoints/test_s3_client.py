"""What is said where a client can't be made."""

from __future__ import annotations

from pathlib import Path

import pytest

from bisyncer.endpoints.s3_client import Requests, connect
from bisyncer.errors import UsageError
from bisyncer.job import Remote


@pytest.mark.parametrize(
    ("remote", "variables", "said"),
    [
        (Remote("s3", profile="nope"), {"AWS_PROFILE": "other"}, "no profile 'nope' in "),
        (Remote("s3"), {"AWS_PROFILE": "nope"}, "no profile 'nope' (named by AWS_PROFILE) in "),
        (
            Remote("s3"),
            {"AWS_DEFAULT_PROFILE": "nope"},
            "no profile 'nope' (named by AWS_DEFAULT_PROFILE) in ",
        ),
    ],
)
def test_a_profile_that_is_not_there_is_told_with_who_named_it(
    remote: Remote, variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    config = tmp_path / "config"
    config.write_text("")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    with pytest.raises(UsageError) as refused:
        connect(remote, Requests())
    sentence = str(refused.value)
    assert f"there is {said}{config}." in sentence
    assert sentence.endswith("aws configure --profile nope")
