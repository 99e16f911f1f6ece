from __future__ import annotations

import pytest

from bisyncer.config.bandwidth import NoLimit, timetable
from bisyncer.job import Limit

KIB, MIB = 1024, 1024**2


@pytest.mark.parametrize(
    ("text", "bytes_per_s"),
    [
        ("512", 512 * KIB),
        ("512k", 512 * KIB),
        ("512Ki", 512 * KIB),
        ("512KiB", 512 * KIB),
        ("100B", 100),
        ("100b", 100),
        ("1.5M", 3 * MIB // 2),
        (".5m", MIB // 2),
        ("10Mi", 10 * MIB),
        ("10MiB", 10 * MIB),
        ("2G", 2 * 1024**3),
        ("1T", 1024**4),
        ("1P", 1024**5),
    ],
)
def test_a_single_limit_is_one_for_all_time_in_powers_of_1024(text: str, bytes_per_s: int) -> None:
    assert timetable(text) == (Limit(None, 0, bytes_per_s),)


@pytest.mark.parametrize("text", ["off", "OFF", "0", "0M"])
def test_off_and_nothing_are_no_limit(text: str) -> None:
    assert timetable(text) == ()


@pytest.mark.parametrize(
    "text",
    ["08:00,512k 12:00,10M 23:00,off", "08:00,512k;12:00,10M;23:00,off", " 08:00,512  12:00,10M 23:00,0 "],
)
def test_a_timetable_without_days_is_one_of_every_day(text: str) -> None:
    assert timetable(text) == (
        Limit(None, 8 * 60, 512 * KIB),
        Limit(None, 12 * 60, 10 * MIB),
        Limit(None, 23 * 60, None),
    )


def test_a_timetable_may_name_days_of_which_monday_is_the_first() -> None:
    assert timetable("Mon-00:00,512 friday-23:59,10M SAT-10:00,1M Sun-20:00,off 06:30,1M") == (
        Limit(0, 0, 512 * KIB),
        Limit(4, 23 * 60 + 59, 10 * MIB),
        Limit(5, 600, MIB),
        Limit(6, 1200, None),
        Limit(None, 390, MIB),
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("fast", "'fast' is no limit; write KiB a second,"),
        ("", "'' is no limit;"),
        ("-1", "'-1' is no limit;"),
        ("10MB", "'10MB' is no limit;"),
        ("1e3", "'1e3' is no limit;"),
        ("inf", "'inf' is no limit;"),
        ("٣k", "'٣k' is no limit;"),
        ("10M:100k", "'10M:100k' is one limit for uploads and one for downloads; write a single one,"),
        ("08:00,10M:off", "'10M:off' is one limit for uploads and one for downloads;"),
        ("08:00,512k 12:00", "'12:00' is no line of a timetable; write a time and a limit,"),
        ("24:00,512k", "'24:00,512k' is no line of a timetable;"),
        ("8:00,512k", "'8:00,512k' is no line of a timetable;"),
        ("-08:00,512k", "'-08:00,512k' is no line of a timetable;"),
        ("Mo-08:00,512k", "'Mo-08:00,512k' is no line of a timetable;"),
        ("08:00,512k,1M", "'512k,1M' is no limit;"),
        ("08:00,1M 08:00,2M", "'08:00,1M 08:00,2M' has two limits from 08:00 on; leave one"),
        (
            "Tue-08:00,1M tuesday-08:00,2M",
            "'Tue-08:00,1M tuesday-08:00,2M' has two limits from Tue-08:00 on;",
        ),
        ("0.5B", "'0.5B' is less than one byte a second"),
        ("9" * 400, f"'{'9' * 400}' is more than any network carries;"),
    ],
)
def test_anything_else_is_told_with_the_part_that_is_wrong(text: str, sentence: str) -> None:
    with pytest.raises(NoLimit) as caught:
        timetable(text)
    assert str(caught.value).startswith(sentence)
