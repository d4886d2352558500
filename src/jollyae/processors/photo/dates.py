"""When a picture was taken, out of its tags and its file's time.

A camera writes the time of the place where it is, mostly without saying which place: such a time is kept as it is and
not shifted to any zone. Each of the three times has an offset of its own, and only that one counts for it.
"""

import re
from datetime import datetime
from typing import Any

from .tags import Tags

_TIMES = ((36867, 36881), (36868, 36882), (306, 36880))
"""DateTimeOriginal, DateTimeDigitized, DateTime, each with its offset: the first that is a date counts."""

FIRST_YEAR = 1826
"""That of the oldest photograph that is left; what is older was not taken by a camera."""

_TIME = re.compile(
    r"\s*(\d{4})[:/. -](\d\d?)[:/. -](\d\d?)"
    r"(?:[T ]+(\d\d?)[:.](\d\d?)(?:[:.](\d\d?)(?:[.,]\d*)?)?)?\s*(Z|[+-]\d\d:?\d\d)?\s*"
)
_OFFSET = re.compile(r"\s*(?:Z|([+-])(\d\d):?(\d\d))\s*")


def taken(tags: Tags, mtime: float) -> str:
    """When the picture was taken, ISO 8601 to the second; ``mtime`` (seconds since 1970) is the last resort.

    >>> taken(Tags({}, {36867: "2026:05:01 12:34:56", 36881: "+02:00"}), 0)
    '2026-05-01T12:34:56+02:00'
    >>> taken(Tags({306: "2026:05:01 12:34:56"}, {36867: "0000:00:00 00:00:00", 36880: "junk"}), 0)
    '2026-05-01T12:34:56'
    """
    for tag, offset_tag in _TIMES:
        if found := parse(tags.get(tag), tags.get(offset_tag)):
            return found
    return file_time(mtime)


def parse(value: Any, offset: Any = None) -> str:
    """A time as cameras write it ('2026:05:01 12:34:56', also with other separators, fractions, an offset of its own)
    in ISO 8601; '' for what is no date.

    >>> parse("2026-05-01T12:34:56.78Z"), parse("    :  :     :  :  "), parse("2026:02:30 10:00:00")
    ('2026-05-01T12:34:56+00:00', '', '')
    """
    match = _TIME.fullmatch(_text(value))
    if match is None:
        return ""
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    try:
        found = datetime(year, month, day, hour, minute, min(second, 59))  # cameras write :60
    except ValueError:
        return ""
    if year < FIRST_YEAR:
        return ""
    return found.isoformat() + (_offset(match[7]) or _offset(offset))


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value[:64].decode("ascii", "replace")
    return value[:64].partition("\0")[0] if isinstance(value, str) else ""


def _offset(value: Any) -> str:
    """An offset of a time as ISO 8601 has it; '' for what is none on this Earth."""
    match = _OFFSET.fullmatch(_text(value))
    if match is None:
        return ""
    sign, hours, minutes = match[1] or "+", int(match[2] or 0), int(match[3] or 0)
    return f"{sign}{hours:02}:{minutes:02}" if hours * 60 + minutes <= 14 * 60 and minutes < 60 else ""


def file_time(mtime: float) -> str:
    """The file's time as this machine's clock on the wall shows it."""
    try:
        return datetime.fromtimestamp(int(mtime)).isoformat()
    except (ValueError, OverflowError, OSError):
        return "1970-01-01T00:00:00"
