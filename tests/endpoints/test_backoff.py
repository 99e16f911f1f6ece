"""How long a store wants to be left alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from bisyncer.endpoints.backoff import asked_s

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


def test_a_date_of_a_store_that_tells_no_clock_is_held_against_ours() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)

    assert 298 <= (asked_s(later, None) or 0) <= 300
