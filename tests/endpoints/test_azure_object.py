from __future__ import annotations

import re
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bisyncer.endpoints.azure_object import MTIME, digests, http_time_ns, metadata, parse_mtime
from bisyncer.endpoints.azure_page import Malformed, Row, _read, parse
from bisyncer.endpoints.azure_scan import by_code_point
from bisyncer.model import Algorithm, Digest


@pytest.mark.parametrize(
    ("mtime_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (1_600_000_000_123_456_789, "2020-09-13T12:26:40.123456789Z"),
        (253_402_300_799_999_999_999, "9999-12-31T23:59:59.999999999Z"),
        (253_402_300_800_000_000_001, "253402300800.000000001"),
    ],
)
def test_a_time_is_written_as_rclone_writes_it_to_azure(mtime_ns: int, text: str) -> None:
    assert metadata(mtime_ns) == {MTIME: text}
    assert parse_mtime(text) == mtime_ns


@pytest.mark.parametrize(
    ("text", "mtime_ns"),
    [
        ("1600000000.123456789", 1_600_000_000_123_456_789),
        ("2020-09-13T14:26:40.5+02:00", 1_600_000_000_500_000_000),
        ("2020-09-13T12:26:40Z", 1_600_000_000_000_000_000),
        ("2020-13-13T12:26:40Z", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_both_forms_of_rclone_are_read(text: str | None, mtime_ns: int | None) -> None:
    assert parse_mtime(text) == mtime_ns


@given(st.integers(-(10**20), 10**21))
def test_no_time_loses_a_nanosecond(mtime_ns: int) -> None:
    assert parse_mtime(metadata(mtime_ns)[MTIME]) == mtime_ns


def test_the_time_of_a_header_is_read() -> None:
    assert http_time_ns("Sun, 13 Sep 2020 12:26:40 GMT") == 1_600_000_000_000_000_000
    for wrong in ("", "Sun, 13 Sep 2020 12:26:40 CET", "Sun, 33 Sep 2020 12:26:40 GMT", "2020-09-13"):
        with pytest.raises(ValueError):  # noqa: PT011 -- whatever the words
            http_time_ns(wrong)


@pytest.mark.parametrize(
    ("md5", "blob_type", "found"),
    [
        (
            "ICy5YqxZB1uWSwcVLSNLcA==",
            "BlockBlob",
            (Digest(Algorithm.ETAG_MD5, "202cb962ac59075b964b07152d234b70"),),
        ),
        ("ICy5YqxZB1uWSwcVLSNLcA==", "PageBlob", ()),
        ("MTIz", "BlockBlob", ()),
        ("not base64", "BlockBlob", ()),
        ("", "BlockBlob", ()),
        (None, "BlockBlob", ()),
    ],
)
def test_an_md5_of_a_block_blob_is_a_digest(
    md5: str | None, blob_type: str, found: tuple[Digest, ...]
) -> None:
    assert digests(md5, blob_type) == found


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True))
def test_names_in_the_order_of_utf_16_come_in_that_of_code_points(names: list[str]) -> None:
    rows = [Row(name, 1, "e", "t", "", "BlockBlob") for name in names]
    by_utf_16 = sorted(rows, key=lambda row: row.key.encode("utf-16-be"))

    assert list(by_code_point(by_utf_16)) == sorted(rows)
    assert list(by_code_point(sorted(rows))) == sorted(rows)


@given(
    st.lists(st.text("ab&<>\"';/ \u00e9\U0001f600", min_size=1), max_size=9),
    st.text("ab&<\u00e9"),
    st.booleans(),
)
def test_the_fast_way_and_the_xml_parser_read_the_same(names: list[str], marker: str, quoted: bool) -> None:
    etag = '"0x1"' if quoted else "0x1"
    blobs = "".join(
        f"<Blob><Name>{escape(name)}</Name><Properties><Last-Modified>t</Last-Modified><Etag>{etag}</Etag>"
        f"<Content-Length>{size}</Content-Length><Content-MD5 /><BlobType>BlockBlob</BlobType>"
        "</Properties></Blob>"
        for size, name in enumerate(names)
    )
    following = f"<NextMarker>{escape(marker)}</NextMarker>" if marker else "<NextMarker/>"
    body = f"<EnumerationResults><Blobs>{blobs}</Blobs>{following}</EnumerationResults>".encode()

    page = parse(body)

    assert page._replace(plain=False) == _read(body)
    assert page.plain <= all(name.isascii() for name in names)
    assert [row.key for row in page.rows] == names
    assert page.marker == marker


@pytest.mark.parametrize("missing", ["Last-Modified", "Etag", "Content-Length", "BlobType"])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_blob_of_which_something_is_missing_is_never_read_as_its_neighbour(missing: str, at: int) -> None:
    blobs = [
        f"<Blob><Name>{name}</Name><Properties><Last-Modified>t{name}</Last-Modified><Etag>{name}</Etag>"
        f"<Content-Length>1</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>"
        for name in "abc"
    ]
    blobs[at] = re.sub(f"<{missing}>.*</{missing}>", "", blobs[at])
    body = f"<EnumerationResults><Blobs>{''.join(blobs)}</Blobs><NextMarker /></EnumerationResults>".encode()

    if missing == "BlobType":
        assert [row.blob_type for row in parse(body).rows] == [
            "" if number == at else "BlockBlob" for number in range(3)
        ]
    else:
        with pytest.raises(Malformed, match="without its name, size, ETag or time"):
            parse(body)
