"""Rule 10: every key exactly as the store has it, whichever way the page was parsed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bisyncer.endpoints import listing
from bisyncer.endpoints.listing import Malformed, Page, Row, parse

NASTY = (
    "dir/",
    "/lead",
    "a//b",
    "a/../b",
    "new\nline",
    "return\r\n",
    "tab\t",
    "%41",
    "%2F",
    "%252F",
    "a+b",
    "a b",
    " lead",
    "trail ",
    "e\u0301",
    "\u00e9",
    "\uff5e",
    "\U0001f600",
    "&amp;",
    "&#65;",
    "<x>",
    "</Key>",
    "<Contents>",
    "]]>",
    "quote'\"",
    "back\\slash",
    "nul\0",
    "\x01",
    "\ufffe",
)
Way = Callable[[bytes], Page]


class Server(Protocol):
    def __call__(self, rows: list[Row], *, token: str | None = None) -> bytes: ...


TIME = "2026-11-21T08:00:00.000Z"


def amazon(rows: list[Row], *, token: str | None = None, encoding: str = "quote_plus") -> bytes:
    """A page as Amazon S3 writes it."""
    encoded = {"quote_plus": lambda key: quote_plus(key, safe="/"), "quote": lambda key: quote(key, safe="")}
    follows = f"<NextContinuationToken>{escape(token)}</NextContinuationToken>" if token else ""
    contents = "".join(
        f"<Contents><Key>{encoded[encoding](row.key)}</Key><LastModified>{row.last_modified}</LastModified>"
        f"<ETag>&quot;{row.etag}&quot;</ETag><ChecksumAlgorithm>CRC32</ChecksumAlgorithm>"
        f"<Size>{row.size}</Size><Owner><ID>x</ID><DisplayName>y</DisplayName></Owner>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for row in rows
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix></Prefix>'
        f"{follows}<KeyCount>{len(rows)}</KeyCount><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType>"
        f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>{contents}</ListBucketResult>"
    ).encode()


def seaweed(rows: list[Row], *, token: str | None = None) -> bytes:
    """A page as SeaweedFS writes it: the frame in two halves, and quotes as numbers."""
    follows = f"<NextContinuationToken>{escape(token)}</NextContinuationToken>" if token else ""
    contents = "".join(
        f"<Contents><Key>{quote_plus(row.key, safe='/')}</Key><ETag>&#34;{row.etag}&#34;</ETag>"
        f"<Size>{row.size}</Size><StorageClass>STANDARD</StorageClass>"
        f"<LastModified>{row.last_modified}</LastModified></Contents>"
        for row in rows
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>'
        f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>{contents}{follows}"
        f"<EncodingType>url</EncodingType><KeyCount>{len(rows)}</KeyCount></ListBucketResult>"
    ).encode()


def plain(rows: list[Row]) -> bytes:
    """A page without EncodingType, as a server that doesn't know it writes it, spread over lines."""
    contents = "".join(
        f"<Contents>\n  <Key>{escape(row.key)}</Key>\n  <LastModified>{row.last_modified}</LastModified>\n"
        f'  <ETag>"{row.etag}"</ETag>\n  <Size>{row.size}</Size>\n</Contents>\n'
        for row in rows
    )
    return (
        f"<ListBucketResult><KeyCount>{len(rows)}</KeyCount><IsTruncated>false</IsTruncated>\n{contents}"
        "</ListBucketResult>\n"
    ).encode()


def rows_of(keys: tuple[str, ...]) -> list[Row]:
    return [Row(key, size, f"{size:032x}", TIME) for size, key in enumerate(keys)]


@pytest.mark.parametrize("way", [listing._split, listing._read])
@pytest.mark.parametrize("server", [amazon, seaweed])
def test_every_key_is_what_the_server_has(server: Server, way: Way) -> None:
    rows = rows_of(NASTY)

    assert way(server(rows, token="t<&>\n")) == Page(rows, truncated=True, token="t<&>\n")
    assert way(server(rows)) == Page(rows, truncated=False, token=None)
    assert way(server([])) == Page([], truncated=False, token=None)


@pytest.mark.parametrize("way", [listing._split, listing._read])
def test_slashes_may_be_encoded_too(way: Way) -> None:
    rows = rows_of(NASTY)

    assert way(amazon(rows, encoding="quote")).rows == rows


@pytest.mark.parametrize("way", [listing._split, listing._read])
def test_a_server_without_url_encoding_is_read_as_xml(way: Way) -> None:
    rows = rows_of(tuple(key for key in NASTY if key.isprintable() or key in {"new\nline", "tab\t"}))

    assert way(plain(rows)).rows == rows


def test_bytes_that_are_no_text_are_kept_as_surrogates() -> None:
    page = amazon(rows_of(("a",))).replace(b"<Key>a</Key>", b"<Key>a%FFb</Key>")

    assert parse(page).rows[0].key.encode(errors="surrogateescape") == b"a\xffb"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<Key>a</Key>", "<Key><![CDATA[a]]></Key>"),
        ("<Key>a</Key>", "<Key>a<!-- <Key>b</Key> --></Key>"),
        ("<Contents>", '<Contents x="1">'),
        ("<Contents>", "<Contents ><!-- <Contents> -->"),
        ("<Size>0</Size>", "<Size>0<!-- 1 --></Size>"),
        ("ListBucketResult", "s3:ListBucketResult"),
        ("<KeyCount>1</KeyCount>", ""),
        ("<Key>a</Key>", "<Key>a</Key><?pi <Size>7</Size>?>"),
    ],
)
def test_what_the_fast_way_is_not_sure_of_goes_to_the_parser(old: str, new: str) -> None:
    page = amazon(rows_of(("a",))).decode().replace(old, new).replace(' xmlns="', ' xmlns:s3="').encode()

    with pytest.raises(listing._Unsure):
        listing._split(page)

    assert [row.key for row in parse(page).rows] == ["a"]
    assert parse(page).rows[0].size == 0


def test_a_page_in_another_encoding_is_read_by_the_parser() -> None:
    page = plain(rows_of(("\u00e9",))).decode()

    latin = f'<?xml version="1.0" encoding="ISO-8859-1"?>{page}'.encode("latin-1")
    wide = f'<?xml version="1.0" encoding="UTF-16"?>{page}'.encode("utf-16")

    assert parse(latin).rows == parse(wide).rows == rows_of(("\u00e9",))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<KeyCount>1</KeyCount>", "<KeyCount>2</KeyCount>", "says that it has 2 keys, and has 1"),
        ("<IsTruncated>false</IsTruncated>", "", "whether more keys follow"),
        ("<IsTruncated>false</IsTruncated>", "<IsTruncated>maybe</IsTruncated>", "whether more keys follow"),
        ("</ListBucketResult>", "", "not whole XML"),
        ("</Contents></ListBucketResult>", "", "not whole XML"),
        ("<Key>a</Key>", "", "object without its 'Key'"),
        ("<Size>0</Size>", "", "object without its 'Size'"),
        ("<Size>0</Size>", "<Size>many</Size>", "object without its"),
        ("ListBucketResult", "ListVersionsResult", "is a <ListVersionsResult>"),
        ('"UTF-8"?>', "\"UTF-8\"?><!DOCTYPE x [<!ENTITY a 'b'>]>", "document type"),
        ("UTF-8", "UTF-77", "not whole XML"),
        ("UTF-8", "UTF-7", "not whole XML"),
        ("<Key>a</Key>", "<Key>a&b</Key>", "not whole XML"),
        ("<Key>a</Key>", "<Key>&unknown;</Key>", "not whole XML"),
    ],
)
def test_a_page_that_is_not_whole_is_malformed(old: str, new: str, words: str) -> None:
    page = amazon(rows_of(("a",))).decode().replace(old, new)

    with pytest.raises(Malformed, match=words):
        parse(page.encode())


@pytest.mark.parametrize("page", [b"", b"<html></html>", b"not xml", b"\xff\xfe", b"<ListBucketResult/>"])
def test_what_is_no_page_is_malformed(page: bytes) -> None:
    with pytest.raises(Malformed):
        parse(page)


def test_a_page_cut_anywhere_is_malformed() -> None:
    page = amazon(rows_of(("a", "b/c", "d e")), token="t")

    for end in range(len(page)):
        with pytest.raises(Malformed):
            parse(page[:end])


KEYS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12), unique=True)


@given(KEYS)
def test_both_ways_agree_on_any_keys(keys: list[str]) -> None:
    rows = rows_of(tuple(keys))

    for page in (amazon(rows), amazon(rows, encoding="quote"), seaweed(rows, token="t")):
        assert listing._split(page) == listing._read(page)
        assert parse(page).rows == rows


@given(
    KEYS,
    st.data(),
    st.sampled_from(
        ["<", ">", "&", "&amp;", "\r", "<Contents>", "</Contents>", "<Key>", "</Key>", "<Size>", "x", ""]
    ),
)
def test_a_damaged_page_is_malformed_or_both_ways_agree(
    keys: list[str], data: st.DataObject, bit: str
) -> None:
    page = seaweed(rows_of(tuple(keys)), token="t").decode()
    at = data.draw(st.integers(0, len(page)))
    damaged = (page[:at] + bit + page[at + data.draw(st.integers(0, 3)) :]).encode()

    try:
        slow = listing._read(damaged)
        fast = listing._split(damaged)
    except (Malformed, listing._Unsure):
        return
    assert fast == slow
