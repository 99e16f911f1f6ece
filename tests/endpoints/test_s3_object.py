from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bisyncer.endpoints.mtime import MTIME, listed_time_ns, metadata, parse_mtime, times_of_page
from bisyncer.endpoints.s3_object import digests_of_page, listed_digests
from bisyncer.model import Algorithm, Digest


@pytest.mark.parametrize(
    ("mtime_ns", "text"),
    [
        (0, "0"),
        (1, "0.000000001"),
        (-1, "-0.000000001"),
        (1_600_000_000_123_456_789, "1600000000.123456789"),
        (1_600_000_000_100_000_000, "1600000000.1"),
        (1_600_000_000_000_000_000, "1600000000"),
        (-1_500_000_000, "-1.5"),
    ],
)
def test_a_time_is_written_as_rclone_writes_it(mtime_ns: int, text: str) -> None:
    assert metadata(mtime_ns) == {MTIME: text}
    assert parse_mtime(text) == mtime_ns


@given(st.integers(-(10**19), 10**19))
def test_no_time_loses_a_nanosecond(mtime_ns: int) -> None:
    assert parse_mtime(metadata(mtime_ns)[MTIME]) == mtime_ns


def test_no_time_is_no_metadata() -> None:
    assert metadata(None) == {}


@pytest.mark.parametrize("text", [None, "", "now", "9" * 5000, "1e9", "1,5", ".5", "1.5s", "0x1", "٣"])
def test_what_tells_no_time_is_none(text: str | None) -> None:
    assert parse_mtime(text) is None


def test_more_than_nine_places_are_cut() -> None:
    assert parse_mtime("1.1234567899") == 1_123_456_789
    assert parse_mtime("1.") == 1_000_000_000


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1970-01-01T00:00:00.000Z", 0),
        ("2026-11-21T08:00:00Z", 1_795_248_000_000_000_000),
        ("2026-11-21T08:00:00.123Z", 1_795_248_000_123_000_000),
        ("2026-11-21T08:00:00.123456789Z", 1_795_248_000_123_456_000),
    ],
)
def test_times_of_listings_are_exact(text: str, time_ns: int) -> None:
    assert listed_time_ns(text) == time_ns
    half = "2026-11-21T08:00:01.5Z"
    assert times_of_page([text, half, text]) == [time_ns, 1_795_248_001_500_000_000, time_ns]


@pytest.mark.parametrize(
    "text", ["2026-11-21T99:00:00.000Z", "2026-11-21T08:00:00.12_3Z", "2026-11-21T08:00:00", ""]
)
def test_a_page_with_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time zone|isoformat|hour"):
        times_of_page([text])


@pytest.mark.parametrize(
    "etag", ["", "x" * 32, "0" * 31, "0" * 32 + "-", "0" * 32 + "-0", "x" * 32 + "-2", "0" * 33]
)
def test_an_etag_of_another_shape_is_no_digest(etag: str) -> None:
    assert listed_digests(etag) == ()


def test_an_etag_in_the_shape_of_one_of_parts_is_one_in_lower_case() -> None:
    assert listed_digests("AB" * 16 + "-10000") == (Digest(Algorithm.ETAG_PARTS, "ab" * 16 + "-10000"),)


def test_an_etag_in_the_shape_of_an_md5_is_one_in_lower_case() -> None:
    assert listed_digests("AB" * 16) == (Digest(Algorithm.ETAG_MD5, "ab" * 16),)


ETAGS = ("ab" * 16, "AB" * 16, "cd" * 16 + "-12", "x", "", f"{'ab' * 16} {'ab' * 16}")


@given(st.lists(st.sampled_from(ETAGS)))
def test_the_etags_of_a_page_are_good_for_what_each_alone_is(etags: list[str]) -> None:
    assert list(digests_of_page(etags)) == [listed_digests(etag) for etag in etags]
