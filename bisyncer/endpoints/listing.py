"""List pages of S3, parsed fast and faithfully.

Splitting text is several times faster than an XML parser, and right only for the XML that servers
usually send. So the fast way checks itself, and any page that it isn't sure of is read by expat.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import repeat
from typing import NamedTuple, NoReturn
from urllib.parse import unquote_to_bytes
from xml.parsers import expat


class Malformed(ValueError):
    """A page that isn't a whole list page; the message says what is wrong with it."""


class Row(NamedTuple):
    """One object of a page: its key exactly as the store has it, and its ETag without quotes.

    Bytes of a key that aren't UTF-8 stand in it as surrogates, as in `surrogateescape`.
    """

    key: str
    size: int
    etag: str
    last_modified: str


class Page(NamedTuple):
    """One page of ListObjects; `token` asks for the next, and may be missing in the first version of it."""

    rows: list[Row]
    truncated: bool
    token: str | None
    counted: bool = True  # whether it tells how many keys it has, as the second version does


def parse(body: bytes, *, counted: bool = True) -> Page:
    """Parse one page of ListObjectsV2 as it came over the wire; raises `Malformed`.

    A page of the first version of ListObjects isn't `counted`: it doesn't tell how many keys it has.
    """
    try:
        return _split(body, counted=counted)
    except _Unsure:
        return _read(body, counted=counted)


class _Unsure(Exception):
    """The fast way can't vouch for what it would return."""


_ENTITY = re.compile(r"&(?:#x([0-9a-fA-F]+)|#([0-9]+)|(amp|lt|gt|quot|apos));|&")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_DECLARATION = re.compile(r'\ufeff?\s*(?:<\?xml version="1\.0"(?: encoding="(?:UTF|utf)-8")?\s*\?>)?\s*')
_FIELDS = {"Key": "[^<]+", "Size": "[0-9]+", "ETag": "[^<]+", "LastModified": "[^<&]+"}
_new = tuple.__new__  # builds a named tuple without going through a call of Python's


def _split(body: bytes, *, counted: bool = True) -> Page:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise _Unsure from None
    declaration = _DECLARATION.match(text)
    # CDATA, comments, document types and instructions may hold what looks like an element; a carriage
    # return means another character to an XML parser. One character is found much faster than two.
    if declaration is None or ("!" in text and "<!" in text) or "\r" in text:
        raise _Unsure
    start = declaration.end()
    if text.find("?", start) >= 0 and text.find("<?", start) >= 0:
        raise _Unsure
    if not (text.startswith("<ListBucketResult", start) and _ends(text)):
        raise _Unsure
    head, begun, _ = text.partition("<Contents>")
    keys, sizes, etags, times = _columns(text, len(head)) if begun else ((), (), (), ())
    frame = head + text[text.rfind("</Contents>") :] if begun else text
    if counted and _between(frame, "<KeyCount>", "</KeyCount>") != str(len(keys)):
        raise _Unsure
    url_encoded = _between(frame, "<EncodingType>", "</EncodingType>", missing="") == "url"
    truncated = _between(frame, "<IsTruncated>", "</IsTruncated>")
    if truncated not in {"true", "false"}:
        raise _Unsure
    token = _between(frame, "<NextContinuationToken>", "</NextContinuationToken>", missing="")
    if not counted and "<NextMarker" in frame:
        raise _Unsure  # it is encoded as the keys are
    columns = zip(_keys(keys, url_encoded=url_encoded), map(int, sizes), _etags(etags), times, strict=True)
    return Page(list(map(_new, repeat(Row), columns)), truncated == "true", _plain(token) or None, counted)


def _columns(text: str, start: int) -> Iterable[tuple[str, ...]]:
    """The text of each field of all objects, from the first of them on."""
    first = text[start : text.find("</Contents>", start)]
    order = tuple(sorted(_FIELDS, key=lambda field: first.find(f"<{field}>")))
    befores = "<Contents>", *(f"</{field}>" for field in order)
    adjoining = tuple(f"{before}<{field}>" in first for before, field in zip(befores, order, strict=False))
    count = text.count("<Contents>")
    # A match can't run past the end of its object, so as many as there are objects are one of each.
    found = _pattern(order, adjoining).findall(text, start)
    if len(found) != count:
        found = _pattern(order, (False,) * len(order)).findall(text, start)
    if not len(found) == count == text.count("</Contents>"):
        raise _Unsure
    columns = dict(zip(order, zip(*found, strict=True), strict=True))
    return [columns[field] for field in _FIELDS]


@cache
def _pattern(order: tuple[str, ...], adjoining: tuple[bool, ...]) -> re.Pattern[str]:
    """What matches an object with its fields in this order, and any others before those that don't adjoin."""
    pattern = "<Contents>"
    for field, adjoins in zip(order, adjoining, strict=True):
        if not adjoins:
            pattern += f"[^<]*(?:<(?!{field}>|/Contents>)[^<]*)*"
        pattern += f"<{field}>({_FIELDS[field]})</{field}>"
    return re.compile(pattern)


def _ends(text: str) -> bool:
    return text.rstrip().endswith("</ListBucketResult>")


def _between(text: str, start: str, end: str, missing: str | None = None) -> str:
    _, found, rest = text.partition(start)
    if not found and missing is not None:
        return missing
    value, ended, _ = rest.partition(end)
    if not ended or "<" in value:  # where nothing was found, nothing ends
        raise _Unsure
    return value


def _plain(text: str) -> str:
    """Text with its entities replaced."""
    return _ENTITY.sub(_character, text) if "&" in text else text


def _character(match: re.Match[str]) -> str:
    hexadecimal, decimal, name = match.groups()
    if name:
        return _NAMED[name]
    if not (hexadecimal or decimal):
        raise _Unsure
    return chr(int(hexadecimal, 16) if hexadecimal else int(decimal))


def _etags(texts: Sequence[str]) -> list[str]:
    """ETags without their quotes, which one server or another writes in each of three ways."""
    joined = "\n".join(texts).replace("&quot;", '"').replace("&#34;", '"')
    bare = [text.strip('"') for text in _plain(joined).split("\n")] if texts else []
    if len(bare) != len(texts):
        raise _Unsure
    return bare


def _keys(texts: Sequence[str], *, url_encoded: bool) -> Sequence[str]:
    """Keys as the store has them."""
    joined = "".join(texts)
    if "&" in joined:
        texts = [_plain(text) for text in texts]
    if not url_encoded:
        return texts
    if "+" in joined:
        texts = [text.replace("+", " ") for text in texts]
    if "%" in joined:
        # Some servers encode each '/', and most keys hold no other character that needs it.
        texts = [text.replace("%2F", "/") for text in texts]
        texts = [_decoded(text) if "%" in text else text for text in texts]
    return texts


def _decoded(text: str) -> str:
    return unquote_to_bytes(text).decode(errors="surrogateescape")


def _read(body: bytes, *, counted: bool = True) -> Page:
    """Parse a page with expat."""
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(body, True)  # noqa: FBT003 -- expat takes no keyword: this is the last piece
    except Malformed:
        raise
    except (expat.ExpatError, LookupError, ValueError) as error:  # the last two are about the encoding
        raise Malformed(f"a list page is not whole XML ({error})") from None
    return reader.page(counted=counted)


def _refuse_doctype(*_: object) -> NoReturn:
    raise Malformed("a list page has a document type, which no S3 server sends")


class _Reader:
    """Collects what expat finds, by element name without its namespace."""

    def __init__(self) -> None:
        self._path: list[str] = []
        self._text: list[str] = []
        self._frame: dict[str, str] = {}
        self._blocks: list[dict[str, str]] = []
        self._folded = 0

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        self._path.append(name.rpartition(":")[2])
        self._text = []
        if self._path[1:] == ["Contents"]:
            self._blocks.append({})
        elif self._path[1:] == ["CommonPrefixes"]:
            self._folded += 1

    def characters(self, text: str) -> None:
        self._text.append(text)

    def end(self, _name: str) -> None:
        match self._path:
            case ["ListBucketResult", "Contents", field]:
                self._blocks[-1][field] = "".join(self._text)
            case ["ListBucketResult", field]:
                self._frame[field] = "".join(self._text)
            case [root] if root != "ListBucketResult":
                raise Malformed(f"a list page is a <{root}>")
            case _:
                pass
        self._path.pop()

    def page(self, *, counted: bool) -> Page:
        """What was read, if it is whole; a marker is of use to who asks for the first version."""
        truncated = self._frame.get("IsTruncated")
        if truncated not in {"true", "false"}:
            raise Malformed("a list page doesn't say whether more keys follow")
        said = self._frame.get("KeyCount")
        held = len(self._blocks) + self._folded
        if said is not None and said != str(held):
            raise Malformed(f"a list page says that it has {said} keys, and has {held}")
        url_encoded = self._frame.get("EncodingType") == "url"
        try:
            rows = [
                Row(
                    _decoded(block["Key"].replace("+", " ")) if url_encoded else block["Key"],
                    int(block["Size"]),
                    block["ETag"].strip('"'),
                    block["LastModified"],
                )
                for block in self._blocks
            ]
        except (KeyError, ValueError) as error:
            raise Malformed(f"a list page has an object without its {error}") from None
        token = self._frame.get("NextContinuationToken") or None
        if not counted and (marker := self._frame.get("NextMarker")):
            token = _decoded(marker.replace("+", " ")) if url_encoded else marker
        return Page(rows, truncated == "true", token, said is not None)
