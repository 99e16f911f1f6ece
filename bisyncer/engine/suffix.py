"""Dates in the suffixes of conflict copies, written out when a run begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from bisyncer.job import Policy

# rclone's names, of the forms without a colon, which not every store can hold.
DATES: Final[Mapping[str, str]] = {
    "{DateOnly}": "%Y-%m-%d",
    "{MacFriendlyTime}": "%Y-%m-%d %I%M%p",
    "{MacFriendlyTime24}": "%Y-%m-%d %H%M",
}


def dated(policy: Policy, started_ns: int) -> Policy:
    """The policy with the dates in its suffixes written out, as of the instant when the run began, in UTC."""
    began = datetime.fromtimestamp(started_ns // 10**9, UTC)
    one, two = (_dated(suffix, began) for suffix in policy.conflict_suffix)
    return replace(policy, conflict_suffix=(one, two))


def _dated(suffix: str, began: datetime) -> str:
    for name, form in DATES.items():
        suffix = suffix.replace(name, began.strftime(form))
    return suffix
