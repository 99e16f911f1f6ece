from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bisyncer.endpoints.listing import Row
from bisyncer.endpoints.spool import in_order
from bisyncer.errors import ListingIncomplete


@given(st.lists(st.text(max_size=6), unique=True, max_size=40), st.integers(1, 50))
def test_rows_come_sorted_however_few_are_held(keys: list[str], held_rows: int) -> None:
    rows = [Row(key, size, f"etag{size}", "time") for size, key in enumerate(keys)]

    assert list(in_order(rows, held_rows)) == sorted(rows)


def test_a_key_that_is_no_text_survives_the_spool() -> None:
    rows = [Row(key, 1, "etag", "time") for key in ("b\udcff", "new\nline", "a\0", "\U0001f600")]

    assert list(in_order(rows, 1)) == sorted(rows)


def test_a_folder_for_temporary_files_that_takes_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    rows = [Row(str(number), 1, "etag", "time") for number in range(9)]

    assert list(in_order(rows, 10)) == rows, "which needs none"
    with pytest.raises(ListingIncomplete, match=r"/none, can't take .* No such file .* TMPDIR"):
        list(in_order(rows, 2))
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda *_, **__: Path("/dev/full").open("w+"))  # noqa: SIM115 -- as in the code
    with pytest.raises(ListingIncomplete, match=r"No space left on device"):
        list(in_order(rows, 2))


def test_rows_may_be_left_unread() -> None:
    rows = in_order([Row(str(number), 1, "etag", "time") for number in range(9)], 2)

    assert next(rows).key == "0"
    rows.close()  # type: ignore[attr-defined]
