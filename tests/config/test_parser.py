from __future__ import annotations

import pytest

from bisyncer.config import parser, setting
from bisyncer.config.parser import MaxDelete, Unfit
from bisyncer.job import Retention


@pytest.mark.parametrize(
    ("text", "length_ns"),
    [
        ("0s", 0),
        ("500ms", 500_000_000),
        ("1.5s", 1_500_000_000),
        ("1h30m", 5400 * 10**9),
        ("7d", 604800 * 10**9),
    ],
)
def test_a_duration_is_numbers_with_units(text: str, length_ns: int) -> None:
    assert parser.duration_ns(text) == length_ns


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "5S", "1h 30m", "٣s", "5s!", None, True])
def test_anything_else_is_no_duration(text: object) -> None:
    with pytest.raises(Unfit):
        parser.duration_ns(text)


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        ("50%", MaxDelete(50.0, None)),
        ("0%", MaxDelete(0.0, None)),
        ("12.5 %", MaxDelete(12.5, None)),
        (0, MaxDelete(None, 0)),
        ("7", MaxDelete(None, 7)),
        (["50%", 10000], MaxDelete(50.0, 10000)),
        ([10000, "50%"], MaxDelete(50.0, 10000)),
        ("50%,100", MaxDelete(50.0, 100)),
        (["50%", "100"], MaxDelete(50.0, 100)),
        ("off", MaxDelete(None, None)),
        (["off"], MaxDelete(None, None)),
    ],
)
def test_a_limit_is_a_percentage_a_count_both_or_off(value: object, limit: MaxDelete) -> None:
    assert parser.max_delete(value) == limit


@pytest.mark.parametrize("text", ["106752d", "9" * 400 + "h", "9" * 9999 + "h"])
def test_a_length_of_time_that_no_clock_counts_is_refused(text: str) -> None:
    with pytest.raises(Unfit, match="is longer than any clock counts"):
        parser.duration_ns(text)


def test_a_window_of_more_than_a_day_would_take_any_edit_for_none() -> None:
    assert parser.window_ns("24h") == 86400 * 10**9
    with pytest.raises(Unfit, match="write 1d at the most"):
        parser.window_ns("1441m")


@pytest.mark.parametrize("value", ["9" * 9999, 2**63, str(2**63)])
def test_a_number_that_no_database_holds_is_no_limit(value: object) -> None:
    with pytest.raises(Unfit, match="is no limit"):
        parser.max_delete(value)


@pytest.mark.parametrize(
    ("value", "said"), [(["-5%"], "'-5%' is no limit"), (["-5%", "x"], '["-5%", "x"] is no limit')]
)
def test_a_flag_is_said_as_it_was_written(value: object, said: str) -> None:
    with pytest.raises(Unfit) as refused:
        parser.max_delete(value)
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize("value", ["", "x", "101%", "-5", 1.5, False, ["off", 5], [1, 2], {}, None])
def test_anything_else_is_no_limit(value: object) -> None:
    with pytest.raises(Unfit):
        parser.max_delete(value)


def test_no_two_settings_share_a_name_and_every_default_is_a_value() -> None:
    for table in (setting.PAIR, setting.REMOTE):
        names = [each.name for each in table]
        assert len(set(names)) == len(names)
        for each in table:
            if each.default is not None:
                each.parse(each.default)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, Retention(path1=True, path2=True)),
        ("off", Retention(path1=False, path2=False)),
        ("path1", Retention(path1=True, path2=False)),
        ("path2,keep=7d", Retention(path1=False, path2=True, keep_ns=7 * 86400 * 10**9)),
        ("keep=forever", Retention(keep_ns=None)),
        ({"path1": True, "keep": "30d"}, Retention(path1=True)),
        ({"path2": False}, Retention(path2=False)),
        ({}, Retention()),
        (setting.TRASH.default, Retention()),
    ],
)
def test_a_trash_is_on_or_off_for_a_side_and_for_a_time(value: object, expected: Retention) -> None:
    assert parser.trash(value) == expected


@pytest.mark.parametrize(
    "value", ["on,path1", "", "maybe", 3, None, "keep=soon", {"x": 1}, {"path1": "perhaps"}, {"keep": 30}]
)
def test_anything_else_is_no_trash(value: object) -> None:
    with pytest.raises(Unfit):
        parser.trash(value)
