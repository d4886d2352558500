"""EXIF tags: read from a picture, and as text. What is damaged is left out and no error: a photo is no worse for it."""

import math
import numbers
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from PIL import ExifTags, Image

_PHOTO, _GPS = 34665, 34853
_MAKER_NOTE, _USER_COMMENT = 37500, 37510
_WINDOWS = range(40091, 40096)  # XPTitle…: UTF-16 in bytes
_EXPOSURE_TIME = 33434

_NOT_TEXT = frozenset(
    {
        _PHOTO, _GPS, _MAKER_NOTE, 40965, 330, 400,  # where other directories are
        273, 279, 288, 289, 324, 325, 347, 513, 514, 519, 520, 521,  # where pixels are
        700, 33723, 34377, 34675, 37724,  # XMP, IPTC, Photoshop's, a colour profile
        50341, 50740, 59932, 59933,  # makers' and Windows' own
    }
)  # fmt: skip

LONGEST = 200
"""Characters of one tag's text; more is cut."""
MOST = 150
"""Tags that are kept of one picture: with their names, at most some 40 KB."""
_MOST_VALUES = 16


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of a picture by number: the first directory, the photo's own, the position's."""

    first: Mapping[int, Any] = field(default_factory=dict)
    photo: Mapping[int, Any] = field(default_factory=dict)
    gps: Mapping[int, Any] = field(default_factory=dict)

    def get(self, tag: int) -> Any:
        """A tag's value, wherever it was written; None where there is none."""
        return self.photo.get(tag, self.first.get(tag))

    def text(self, tag: int) -> str:
        """A tag's value as text; '' where there is none."""
        return text_of(self.get(tag))

    def number(self, tag: int) -> float:
        """A tag's value as a finite number; 0 where there is none."""
        return number_of(self.get(tag))


def read(exif: Image.Exif) -> Tags:
    """All tags that can be read."""
    return Tags(dict(_each(exif)), _directory(exif, _PHOTO), _directory(exif, _GPS))


def _each(exif: Image.Exif) -> Iterator[tuple[int, Any]]:
    tags: list[int] = []
    with suppress(Exception):
        tags = list(exif)
    for tag in tags:
        with suppress(Exception):  # Pillow's parser raises what it likes on damaged values
            yield tag, exif[tag]


def _directory(exif: Image.Exif, tag: int) -> dict[int, Any]:
    with suppress(Exception):
        return dict(exif.get_ifd(tag))
    return {}


def as_texts(tags: Tags) -> dict[str, str]:
    """The tags as text, by name, in the order of their numbers.

    >>> as_texts(Tags({271: "Maker\\0", 37500: b"secret"}, {33437: 2.8, 34855: 100}))
    {'Make': 'Maker', 'FNumber': '2.8', 'ISOSpeedRatings': '100'}
    """
    texts: dict[str, str] = {}
    for number, value in sorted({**tags.first, **tags.photo}.items()):
        if len(texts) == MOST:
            break
        name = ExifTags.TAGS.get(number)
        if name and number not in _NOT_TEXT and (text := _tag_text(number, value)):
            texts[name] = text
    return texts


def _tag_text(number: int, value: Any) -> str:
    if number == _USER_COMMENT:
        return comment(value)
    if number in _WINDOWS:
        return windows_text(value)
    if number == _EXPOSURE_TIME:
        return fraction(number_of(value))
    return text_of(value)


def text_of(value: Any, longest: int = LONGEST) -> str:
    """A value as text of at most so many characters, without control characters; '' for what is no text.

    >>> text_of("a\\0b\\n"), text_of((1, 2.5)), text_of(b"0232"), text_of(b"\\1\\2"), text_of(float("nan"))
    ('a b', '1, 2.5', '0232', '', '')
    """
    match value:
        case str():
            return clean(value, longest)
        case bytes():
            return _ascii(value, longest)
        case int():
            return str(value)[:longest]
        case numbers.Real():
            found = number_of(value, math.nan)
            return "" if math.isnan(found) else f"{found:.6g}"
        case tuple() | list():
            shown = [text_of(one, longest) for one in value[:_MOST_VALUES]]
            more = ["…"] if len(value) > _MOST_VALUES else []
            return clean(", ".join([*shown, *more]), longest) if all(shown) else ""
    return ""


def _ascii(value: bytes, longest: int) -> str:
    """Bytes that are printable ASCII all through; '' for others."""
    kept = value[: longest + 1].rstrip(b"\0 ")
    is_text = all(32 <= byte < 127 for byte in kept)
    return clean(kept.decode("ascii"), longest) if is_text else ""


def clean(text: str, longest: int = LONGEST, *, lines: bool = False) -> str:
    """Text without control characters, lone surrogates and blanks around it, of at most so many characters. ``lines``:
    its lines are kept.

    >>> clean("  two\\r\\nlines "), clean("two\\r\\nlines", lines=True), clean("abcdef", 4)
    ('two lines', 'two\\nlines', 'abc…')
    """
    text = text[: 2 * longest].replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(one if _is_shown(one) or (lines and one == "\n") else " " for one in text).strip()
    kept = kept if lines else " ".join(kept.split())
    return kept if len(kept) <= longest else f"{kept[: longest - 1]}…"


def _is_shown(one: str) -> bool:
    """No control character, half of a pair, or direction override that would turn a page's text around."""
    code = ord(one)
    return not (code < 32 or 127 <= code < 160 or 0xD800 <= code < 0xE000 or code in _TURNING)


_TURNING = frozenset((*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029, 0xFEFF))


def number_of(value: Any, otherwise: float = 0.0) -> float:
    """A value, or the first of several, as a finite number."""
    if isinstance(value, tuple | list):
        value = value[0] if value else None
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return otherwise
    try:
        found = float(value)
    except (ArithmeticError, ValueError):  # a rational over 0
        return otherwise
    return found if math.isfinite(found) else otherwise


def fraction(seconds: float) -> str:
    """A time of exposure, as photographers write it; '' for none.

    >>> fraction(0.004), fraction(0.5), fraction(1.3), fraction(30), fraction(0)
    ('1/250', '0.5', '1.3', '30', '')
    """
    if not 0 < seconds < 1e6:
        return ""
    return f"1/{round(1 / seconds)}" if seconds < 0.3 else f"{seconds:.3g}"


def comment(value: Any) -> str:
    """The text of a UserComment, whose first eight bytes name its encoding.

    >>> comment(b"ASCII\\0\\0\\0a walk"), comment(b"UNICODE\\0a\\0b\\0"), comment(b"\\0" * 40)
    ('a walk', 'ab', '')
    """
    if not isinstance(value, bytes):
        return text_of(value)
    code, text = value[:8], value[8 : 8 + 4 * LONGEST]
    if code.startswith(b"UNICODE"):
        return clean(_utf16(text))
    if code.startswith((b"ASCII", b"\0\0\0\0")):
        return clean(text.decode("utf-8", "replace")) if text.strip(b"\0 ") else ""
    return _ascii(value, LONGEST)


def _utf16(text: bytes) -> str:
    """UTF-16 in the order that its zeros tell: nobody writes which it is."""
    is_big = text[::2].count(0) > text[1::2].count(0)
    return text.decode("utf-16-be" if is_big else "utf-16-le", "replace")


def windows_text(value: Any, longest: int = LONGEST) -> str:
    """The text of Windows' own tags (XPTitle…): UTF-16, little-endian.

    >>> windows_text("dusk".encode("utf-16-le") + bytes(2))
    'dusk'
    """
    if isinstance(value, tuple) and all(isinstance(one, int) and 0 <= one < 256 for one in value):
        value = bytes(value)
    if not isinstance(value, bytes):
        return text_of(value, longest)
    return clean(value[: 4 * longest].decode("utf-16-le", "replace").partition("\0")[0], longest)
