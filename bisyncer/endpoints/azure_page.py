"""List pages of Azure, parsed fast and faithfully.

Splitting text is several times faster than an XML parser, and right only for the XML that the service
usually sends. So the fast way checks itself, and any page that it isn't sure of goes to ElementTree.
"""

from __future__ import annotations

import re
from html import unescape
from itertools import repeat
from typing import NamedTuple
from urllib.parse import unquote
from xml.etree import ElementTree as ET


class Malformed(ValueError):
    """A page that isn't a whole list page; the message says what is wrong with it."""


class Row(NamedTuple):
    """One blob of a page: its name exactly as the store has it, and its ETag without quotes.

    `folder` says that it is a directory of a hierarchical namespace.
    """

    key: str
    size: int
    etag: str
    last_modified: str
    md5: str
    blob_type: str
    folder: bool = False


class Page(NamedTuple):
    """One page of List Blobs; `marker` asks for the next, and is empty on the last.

    `plain` says that all its names are ASCII, of which there is but one order.
    """

    rows: list[Row]
    marker: str
    plain: bool = False


def parse(body: bytes) -> Page:
    """Parse one page of List Blobs as it came over the wire; raises `Malformed`."""
    try:
        return _split(body)
    except _Unsure:
        return _read(body)


class _Unsure(Exception):
    """The fast way can't vouch for what it would return."""


_new = tuple.__new__  # builds a named tuple without going through a call of Python's
_NO_FOLDER = repeat(object=False)
_BOM = b"\xef\xbb\xbf"
_DECLARATION = re.compile(r'\s*(?:<\?xml version="1\.0"[^<>]*\?>)?\s*')
_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos);)")
# What is wanted of a blob, in the order in which the service and its emulator have it.
_BLOB = re.compile(
    "<Blob><Name>([^<]+)</Name><Properties>(?:<Creation-Time>[^<]*</Creation-Time>)?"
    "<Last-Modified>([^<]+)</Last-Modified><Etag>([^<]+)</Etag><Content-Length>([0-9]+)</Content-Length>"
    "(?:<(?!Content-MD5>|BlobType>|/Blob>)[^<]*)*(?:<Content-MD5>([^<]*)</Content-MD5>)?"
    "(?:<(?!BlobType>|/Blob>)[^<]*)*<BlobType>([^<]+)</BlobType>"
)


def _split(body: bytes) -> Page:
    try:
        text = body.removeprefix(_BOM).decode()  # with the mark, each character would take two bytes
    except UnicodeDecodeError:
        raise _Unsure from None
    declaration = _DECLARATION.match(text)
    # CDATA, comments, document types and instructions may hold what looks like an element, a carriage
    # return means another character to an XML parser, and metadata may have elements of any name.
    # One character is found much faster than two of which the first is everywhere, so it is looked for first.
    if declaration is None or ("!" in text and "<!" in text) or "\r" in text or "<Metadata>" in text:
        raise _Unsure
    escaped = "&" in text
    if escaped and _ENTITY.search(text):
        raise _Unsure
    start = declaration.end()
    if not text.startswith("<EnumerationResults", start) or (
        text.find("?", start) >= 0 and text.find("<?", start) >= 0
    ):
        raise _Unsure
    if not text.rstrip().endswith("</EnumerationResults>"):
        raise _Unsure
    found = _BLOB.findall(text)
    # A match can't run past the end of its blob, so as many as there are blobs are one of each.
    if text.count("<Blob>") != len(found) or text.count("</Blob>") != len(found):
        raise _Unsure
    tail = text[text.rfind("</Blob>") + 1 :]
    if escaped:
        found = [(unescape(name), time, unescape(etag), *rest) for name, time, etag, *rest in found]
    if not found:
        return Page([], _marker(tail), text.isascii())
    names, times, etags, sizes, md5s, types = zip(*found, strict=True)
    bare = [etag.strip('"') for etag in etags]
    columns = zip(names, map(int, sizes), bare, times, md5s, types, _NO_FOLDER, strict=False)
    return Page(list(map(_new, repeat(Row), columns)), _marker(tail), text.isascii())


def _marker(tail: str) -> str:
    if tail.count("<NextMarker") != 1:
        raise _Unsure
    after = tail.partition("<NextMarker")[2]
    if after.replace(" ", "").startswith("/>"):
        return ""
    value, ended, _ = after.removeprefix(">").partition("</NextMarker>")
    if not after.startswith(">") or not ended or "<" in value:
        raise _Unsure
    return unescape(value)


def _read(body: bytes) -> Page:
    """Parse a page with an XML parser."""
    if b"<!DOCTYPE" in body:
        raise Malformed("a list page has a document type, which no store sends")
    try:
        root = ET.fromstring(body)  # noqa: S314 -- what is dangerous in XML takes a document type
    except (ET.ParseError, LookupError, ValueError) as error:  # the last two are about the encoding
        raise Malformed(f"a list page is not whole XML ({error})") from None
    if root.tag != "EnumerationResults":
        raise Malformed(f"a list page is a <{root.tag}>")
    marker = root.find("NextMarker")
    blobs = root.find("Blobs")
    if marker is None or blobs is None:
        raise Malformed("a list page doesn't say whether more names follow")
    return Page([_row(blob) for blob in blobs.iterfind("Blob")], marker.text or "")


def _row(blob: ET.Element) -> Row:
    name = blob.find("Name")
    properties = blob.find("Properties")
    if name is None or properties is None:
        raise Malformed("a list page has a blob without its name or its properties")
    size, etag, time = (properties.findtext(field) for field in ("Content-Length", "Etag", "Last-Modified"))
    if not name.text or not etag or not time or not (size or "").isdecimal():
        raise Malformed("a list page has a blob without its name, size, ETag or time")
    # A name with a character that XML can't hold comes percent-encoded, and says so.
    encoded = name.get("Encoded", "").lower() == "true"
    folder = properties.findtext("ResourceType") == "directory" or (
        blob.findtext("Metadata/hdi_isfolder", "").lower() == "true"
    )
    return Row(
        unquote(name.text) if encoded else name.text,
        int(size or ""),
        etag.strip('"'),
        time,
        properties.findtext("Content-MD5") or "",
        properties.findtext("BlobType") or "",
        folder,
    )
