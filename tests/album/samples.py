"""Documents for tests."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from jollyae.album import document as documents
from jollyae.album.store import MEDIUM, THUMB, Document, Rendition

NOW = "2026-11-22T12:00:00.000000Z"


def moment(seconds: int) -> str:
    """A moment, that many seconds after :data:`NOW` (at most 3,599)."""
    return f"2026-11-22T12:{seconds // 60:02}:{seconds % 60:02}.000000Z"


@dataclass
class Picture:
    """What is known of a file."""

    sha256: str = "ab" * 32
    md5: str = "cd" * 16
    size: int = 1_234_567
    extension: str = "jpg"
    mime: str = "image/jpeg"
    kind: str = "image"
    width: int = 4032
    height: int = 3024
    taken: str = "2026-11-21T15:04:05"
    camera: dict[str, str] = field(default_factory=lambda: {"name": "Canon EOS R5", "make": "Canon", "lens": "50 mm"})
    gps: dict[str, float] | None = field(default_factory=lambda: {"latitude": 47.1, "longitude": 11.2})
    exif: dict[str, str] = field(default_factory=lambda: {"FNumber": "2.8", "BodySerialNumber": "12345"})
    title: str = ""
    descr: str = ""
    keywords: list[str] = field(default_factory=list)
    renditions: dict[str, bytes] = field(default_factory=lambda: {THUMB: b"small", MEDIUM: b"large"})
    trouble: str = ""


def id_of(number: int) -> str:
    """The id of the photo of that number."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def photo(number: int = 1, **fields: Any) -> Document:
    """A new photo; the fields are set as they are."""
    picture = Picture(sha256=id_of(number))
    made = documents.new_photo(
        picture, original=f"file:///{number}.jpg", name=f"{number}.jpg", added=NOW, addedby="anna"
    )
    return made | fields


def renditions(number: int = 1) -> dict[str, Rendition]:
    """Its renditions."""
    return {
        THUMB: documents.rendition(f"thumb of {number}".encode()),
        MEDIUM: documents.rendition(f"medium of {number}".encode() * 1000),
    }


def edited(document: Document, seconds: int = 0, server: str = "here", **changes: Any) -> Document:
    """The photo after an edit."""
    return documents.edited(document, changes, now=moment(seconds), server=server)
