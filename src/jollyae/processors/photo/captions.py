"""Titles, descriptions and keywords that people or programs wrote into a picture: XMP before IPTC before EXIF."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .tags import Tags, clean, comment, windows_text

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_DESCRIPTION, _USER_COMMENT, _XP_TITLE, _XP_COMMENT, _XP_KEYWORDS, _XP_SUBJECT = 270, 37510, 40091, 40092, 40094, 40095
_CODED, _TITLE, _KEYWORD, _CAPTION = (1, 90), (2, 5), (2, 25), (2, 120)

_LARGEST_XMP = 1 << 18
"""Bytes; XMP with a person's words in it has a few thousand. What is larger holds other things and is not parsed."""
_LONGEST_TITLE, _LONGEST_DESCRIPTION, _LONGEST_KEYWORD, _MOST_KEYWORDS = 200, 10_000, 64, 100

_CAMERAS_WORDS = re.compile(
    r"(olympus|minolta|kodak|konica|samsung|sony|panasonic|pentax|casio)?[ _-]*"
    r"(digital( still)? camera( \w+)?|camera pictures|dsc|dcim.*|exif[_ ]jpeg[_ ]picture|default)",
    re.IGNORECASE,
)
"""What cameras write where a person's words should be."""

_DC = "{http://purl.org/dc/elements/1.1/}"
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


@dataclass(frozen=True, slots=True)
class Captions:
    """A title, a description, keywords (each once, in their order)."""

    title: str = ""
    descr: str = ""
    keywords: tuple[str, ...] = ()


def captions(tags: Tags, iptc: Mapping[tuple[int, int], Any] | None = None, xmp: bytes | str = b"") -> Captions:
    """What is written in any of the three.

    >>> captions(Tags({270: "SONY DSC", 40091: "Dusk".encode("utf-16-le")})).title
    'Dusk'
    """
    parts = (from_xmp(xmp), from_iptc(iptc or {}), from_exif(tags))
    return Captions(
        next((part.title for part in parts if part.title), ""),
        next((part.descr for part in parts if part.descr), ""),
        _keywords(word for part in parts for word in part.keywords),
    )


def _keywords(words: Iterable[str]) -> tuple[str, ...]:
    cleaned = (clean(word, _LONGEST_KEYWORD) for word in words)
    return tuple(dict.fromkeys(word for word in cleaned if word))[:_MOST_KEYWORDS]


def from_exif(tags: Tags) -> Captions:
    """ImageDescription, UserComment and Windows' own tags."""
    described = tags.get(_DESCRIPTION)
    if isinstance(described, bytes):
        described = described.decode("utf-8", "replace")
    texts = (
        _descr(described) if isinstance(described, str) else "",
        windows_text(tags.get(_XP_COMMENT), _LONGEST_DESCRIPTION),
        windows_text(tags.get(_XP_SUBJECT), _LONGEST_DESCRIPTION),
        comment(tags.get(_USER_COMMENT)),
    )
    descr = next((text for text in texts if text and not _CAMERAS_WORDS.fullmatch(text)), "")
    words = windows_text(tags.get(_XP_KEYWORDS), _LONGEST_DESCRIPTION).split(";")
    return Captions(windows_text(tags.get(_XP_TITLE), _LONGEST_TITLE), descr, _keywords(words))


def _descr(text: str) -> str:
    return clean(text, _LONGEST_DESCRIPTION, lines=True)


def from_iptc(found: Mapping[tuple[int, int], Any]) -> Captions:
    """Object name, caption and keywords, as Pillow's reader has them by record and number."""
    is_utf8 = found.get(_CODED) == b"\x1b%G"

    def texts(key: tuple[int, int]) -> list[str]:
        values = found.get(key)
        each = values if isinstance(values, list) else [values]
        return [_decoded(value, is_utf8) for value in each if isinstance(value, bytes)]

    title = clean(" ".join(texts(_TITLE)), _LONGEST_TITLE)
    return Captions(title, _descr("\n".join(texts(_CAPTION))), _keywords(texts(_KEYWORD)))


def _decoded(value: bytes, is_utf8: bool) -> str:
    with suppress(UnicodeDecodeError):
        return value.decode("utf-8")
    return value.decode("utf-8" if is_utf8 else "latin-1", "replace")


def from_xmp(packet: bytes | str) -> Captions:
    """dc:title, dc:description and dc:subject; nothing from a packet that is large, damaged or has a document type,
    which only an attack would have."""
    root = _parsed(packet)
    if root is None:
        return Captions()
    title = clean(_first(root, f"{_DC}title"), _LONGEST_TITLE)
    return Captions(title, _descr(_first(root, f"{_DC}description")), _keywords(_texts(root, f"{_DC}subject")))


def _parsed(packet: bytes | str) -> "Element | None":
    if not packet or len(packet) > _LARGEST_XMP:
        return None
    from xml.etree import ElementTree  # most pictures have none

    with suppress(UnicodeDecodeError, ElementTree.ParseError, ValueError):
        text = packet.decode("utf-8-sig") if isinstance(packet, bytes) else packet
        if "<!DOCTYPE" not in text and "<!ENTITY" not in text:
            return ElementTree.fromstring(text.strip("\0 \r\n\t").encode())
    return None


def _texts(root: "Element", name: str) -> list[str]:
    return [item.text or "" for found in root.iter(name) for item in found.iter(f"{_RDF}li")]


def _first(root: "Element", name: str) -> str:
    """The default among the languages, else the first."""
    items = [item for found in root.iter(name) for item in found.iter(f"{_RDF}li")]
    defaults = [item for item in items if item.get(_LANGUAGE) == "x-default"]
    return next((item.text for item in (*defaults, *items) if item.text), "")
