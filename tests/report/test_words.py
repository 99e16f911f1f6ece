from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bisyncer.report.words import (
    instant,
    shown_count,
    shown_duration,
    shown_key,
    shown_line,
    shown_size,
    without_key,
)


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("s3://b/p: 'd/k': access denied.", "s3://b/p: access denied."),
        ("path1: 'd/k': a name like that can't be.", "path1: a name like that can't be."),
        ("/srv/one/d/k: Permission denied.", "/srv/one: Permission denied."),
        ("d/k: changed since it was looked at.", "changed since it was looked at."),
        ("path2: 'd/k' changed since the plan was made.", "path2: 'd/k' changed since the plan was made."),
        ("The disk is full.", "The disk is full."),
    ],
)
def test_a_line_that_names_its_key_names_it_once(sentence: str, shown: str) -> None:
    assert without_key(sentence, "d/k") == shown


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("reports/q3.pdf", "reports/q3.pdf"),
        ("übersicht/報告.pdf", "übersicht/報告.pdf"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202egpj.exe", "abc\\u202egpj.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("line\u2028end", "line\\u2028end"),
        ("half\udc80", "half\\udc80"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("back\\slash", "back\\\\slash"),
        ("back\\nslash", "back\\\\nslash"),
    ],
)
def test_a_key_is_shown_without_anything_that_a_terminal_would_obey(key: str, shown: str) -> None:
    assert shown_key(key) == shown


@given(st.text())
def test_whatever_a_key_holds_it_is_one_printable_line(key: str) -> None:
    shown = shown_key(key)
    assert len(shown.splitlines()) <= 1
    assert "\x1b" not in shown and "\n" not in shown


@given(st.text(), st.text())
def test_two_keys_never_look_the_same(one: str, other: str) -> None:
    assert (one == other) == (shown_key(one) == shown_key(other))


def test_a_sentence_keeps_its_backslashes() -> None:
    assert shown_line("a\\b\nc") == "a\\b\\nc"


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (71234, "71.2 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (5 * 10**12, "5.0 TB"),
        (3 * 10**18, "3.0 EB"),
    ],
)
def test_a_size_is_shown_in_a_unit_that_keeps_it_short(size: int, shown: str) -> None:
    assert shown_size(size) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.04, "0.0 s"),
        (3.2, "3.2 s"),
        (61, "1 min 1 s"),
        (3600, "1 h 0 min"),
        (3725, "1 h 2 min"),
        (90000, "1 d 1 h"),
        (11 * 86400, "11 d 0 h"),
    ],
)
def test_a_duration_is_shown_in_two_units(seconds: float, shown: str) -> None:
    assert shown_duration(round(seconds * 1e9)) == shown


def test_a_number_agrees_with_its_noun() -> None:
    assert shown_count(1, "problem") == "1 problem"
    assert shown_count(2000, "problem") == "2,000 problems"


def test_an_instant_is_utc_to_the_second() -> None:
    assert instant(1_795_248_000 * 10**9 + 999_999_999) == "2026-11-21T08:00:00Z"


def test_a_time_that_a_clock_took_back_is_none() -> None:
    assert shown_duration(-3600 * 10**9) == "0.0 s"
