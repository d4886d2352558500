"""Sizes, durations and rates, as people write and read them."""

import re
import time
from dataclasses import dataclass

from ..spool.floor import Amount, Floor
from ..spool.keeping import Limit
from ..spool.sizes import human as human

_SIZE = {"": 1024, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_DURATION = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def size(text: str) -> int:
    """Bytes. The grammar is rclone's: ``512`` and ``512k`` are KiB, ``10M``, ``1G``, ``100b``; ``Ki``, ``MiB``… too.
    Raises :class:`ValueError`.

    >>> size("10M"), size("512"), size("100B")
    (10485760, 524288, 100)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b?)", text.strip().lower())
    if not match:
        raise ValueError(f"{text!r} is no size: write 512k, 10M, 1.5G")
    return int(float(match.group(1)) * _SIZE[match.group(2)])


def duration(text: str) -> float:
    """Seconds: ``90``, ``90s``, ``10m``, ``2h``, ``7d``, ``1h30m``. Raises :class:`ValueError`.

    >>> duration("1h30m")
    5400.0
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhdw]?)", text.strip().lower())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip().lower():
        raise ValueError(f"{text!r} is no duration: write 90, 10m, 2h, 7d")
    return sum(float(number) * _DURATION[unit] for number, unit in parts)


def limit(text: str) -> Limit:
    """How much is kept: an age with its unit (``30d``, ``12h``, ``10m``: minutes), a size with its unit (``500G``,
    ``10M``: MiB, ``100B``), or both with a comma between. Of two of a kind the smaller counts. Raises
    :class:`ValueError`.

    >>> limit("30d,500G")
    Limit(age=2592000.0, bytes=536870912000)
    >>> limit("10m"), limit("10M")
    (Limit(age=600.0, bytes=None), Limit(age=None, bytes=10485760))
    """
    ages, sizes = [], []
    for word in filter(None, (word.strip() for word in text.split(","))):
        if re.fullmatch(r"(\d+(\.\d+)?[smhdw])+", word):
            ages.append(duration(word))
        elif re.fullmatch(r"\d+(\.\d+)?\s*([KMGTBkgtb]i?b?|MiB|MB)", word, re.IGNORECASE) and not word.endswith("m"):
            sizes.append(size(word))
        else:
            raise ValueError(f"{word!r} is no age and no size: write 30d, 12h, 10m (minutes), 500G, 10M (MiB)")
    return Limit(min(ages, default=None), min(sizes, default=None))


def room(text: str) -> Amount:
    """An amount of space: ``5%`` of all, or ``10G``. Raises :class:`ValueError`.

    >>> str(room("5%")), room("1G").number
    ('5%', 1073741824)
    """
    if text.strip().endswith("%"):
        return Amount.parse(text.strip())
    try:
        return Amount(size(text))
    except ValueError:
        raise ValueError(f"{text!r} is no amount of room: write 5%, 512M, 10G") from None


def inodes(text: str) -> Amount:
    """A number of inodes: ``1%`` of all, or ``10000``. Raises :class:`ValueError`."""
    text = text.strip().replace("_", "")
    if not text.endswith("%") and not text.isdigit():
        raise ValueError(f"{text!r} is no number of inodes: write 10000 or 1%")
    return Amount.parse(text)


def floor(free: str | None, of_inodes: str | None) -> Floor:
    """What must stay free, of the texts of two options. Raises :class:`ValueError`."""
    return Floor(room(free) if free else None, inodes(of_inodes) if of_inodes else None)


@dataclass(frozen=True, slots=True)
class Timetable:
    """A rate that changes with the time of the week: (minute of the week it begins, bytes a second or None for no
    limit), sorted."""

    entries: tuple[tuple[int, int | None], ...]

    def at(self, when: time.struct_time) -> int | None:
        """Bytes a second at local time ``when``; None: no limit."""
        minute = when.tm_wday * 1440 + when.tm_hour * 60 + when.tm_min
        before = [rate for begins, rate in self.entries if begins <= minute]
        return before[-1] if before else self.entries[-1][1]

    def divided(self, parts: int) -> "Timetable":
        """One of ``parts`` equal parts of each rate, never less than a byte a second.

        >>> timetable("9b").divided(2).entries, timetable("1b").divided(2).entries, timetable("off").divided(2).entries
        (((0, 4),), ((0, 1),), ((0, None),))
        """
        return Timetable(
            tuple((begins, None if rate is None else max(rate // parts, 1)) for begins, rate in self.entries)
        )


def timetable(text: str) -> Timetable:
    """A rate or a timetable of rates, in rclone's grammar: ``10M`` (bytes a second), ``off``, ``10M:1M`` (the first
    counts: it is upload), ``"08:00,512k 19:00,10M 23:00,off"``, ``"Mon-08:00,512k Sat-00:00,off"``. Raises
    :class:`ValueError`.

    >>> timetable("08:00,512k 23:00,off").at(time.struct_time((2026, 11, 21, 9, 0, 0, 5, 325, 0)))
    524288
    """
    words = text.split()
    if not words:
        raise ValueError("a rate is empty: write 10M, off or a timetable")
    if len(words) == 1 and "," not in words[0]:
        return Timetable(((0, _rate(words[0])),))
    entries = [entry for word in words for entry in _entries(word)]
    return Timetable(tuple(sorted(entries, key=lambda entry: entry[0])))


def _rate(word: str) -> int | None:
    word = word.partition(":")[0]
    return None if word.lower() == "off" else size(word)


def _entries(word: str) -> list[tuple[int, int | None]]:
    match = re.fullmatch(r"(?:([A-Za-z]{3})[a-z]*-)?([01]?\d|2[0-3]):([0-5]\d),(\S+)", word)
    if not match or (match.group(1) and match.group(1).lower() not in _DAYS):
        raise ValueError(f"{word!r} is no line of a timetable: write 08:00,512k or Mon-08:00,512k")
    day, hour, minute, rate = match.groups()
    days = [_DAYS.index(day.lower())] if day else range(7)
    return [(number * 1440 + int(hour) * 60 + int(minute), _rate(rate)) for number in days]


def unreadable(number: int) -> str:
    """What a retry says of the messages of a broker that it left, since nobody could read them.

    >>> unreadable(1)
    '1 message that nobody could read is left: look at it, remove it'
    """
    if number == 1:
        return "1 message that nobody could read is left: look at it, remove it"
    return f"{number:,} messages that nobody could read are left: look at them, remove them"


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "item"), counted(2000, "item")
    ('1 item', '2,000 items')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def ago(seconds: float) -> str:
    """A duration for people.

    >>> ago(75), ago(7300)
    ('1 min', '2 h')
    """
    for limit, unit, size in ((90, "s", 1), (5400, "min", 60), (172_800, "h", 3600)):
        if seconds < limit and not (unit == "s" and seconds >= 60):
            return f"{seconds / size:.0f} {unit}" if unit == "s" else f"{int(seconds // size)} {unit}"
    return f"{int(seconds // 86400)} d"
