"""How long a store wants to be left alone."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from bisyncer.endpoints import backoff
from bisyncer.endpoints.backoff import asked_s, pause_s
from bisyncer.errors import Transient

NOON = "Wed, 25 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("retry_after", "date", "seconds"),
    [
        ("120", NOON, 120.0),
        ("0.5", None, 0.5),
        ("-3", None, 0.0),
        ("Wed, 25 Nov 2026 12:02:00 GMT", NOON, 120.0),
        ("Wed, 25 Nov 2026 11:00:00 GMT", NOON, 0.0),
        ("Wed, 25 Nov 2026 12:02:00", NOON, None),
        ("soon", NOON, None),
        ("inf", NOON, None),
        (None, NOON, None),
    ],
)
def test_a_pause_is_told_in_seconds_or_as_a_date_by_the_stores_own_clock(
    retry_after: str | None, date: str | None, seconds: float | None
) -> None:
    assert asked_s(retry_after, date) == seconds


def test_a_pause_doubles_with_each_attempt_up_to_a_bound_and_is_no_shorter_than_what_the_store_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backoff, "_FIRST_S", 0.25)
    monkeypatch.setattr(random, "uniform", lambda _least, most: most)

    assert [pause_s(attempt, Transient("")) for attempt in (1, 2, 3, 20)] == [0.25, 0.5, 1.0, 20.0]
    assert pause_s(1, Transient("", retry_after_s=7.0)) == 7.25


def test_a_date_of_a_store_that_tells_no_clock_is_held_against_ours() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)

    assert 298 <= (asked_s(later, None) or 0) <= 300
