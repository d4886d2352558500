"""How values are written on a page: times, sizes, names. Pure functions; what they return is text, not HTML."""

import re
import unicodedata
from datetime import date

from ...http.texts import plain

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def written_date(time: str) -> str:
    """The day of an ISO time in words; the text itself where it is none.

    >>> written_date("2026-11-22T14:05:00+01:00"), written_date("some day")
    ('22 November 2026', 'some day')
    """
    try:
        day = date.fromisoformat(time[:10])
    except ValueError:
        return plain(time, 40)
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def written_time(time: str) -> str:
    """Hours and minutes of an ISO time; '' where it has none.

    >>> written_time("2026-11-22T14:05:00Z"), written_time("2026-11-22")
    ('14:05', '')
    """
    found = re.fullmatch(r".{10}T(\d\d:\d\d).*", time)
    return found[1] if found else ""


def written_offset(time: str) -> str:
    """The offset from UTC that an ISO time names; '' where it names none.

    >>> written_offset("2026-11-22T14:05:00+01:00"), written_offset("2026-11-22T14:05:00Z")
    ('UTC+01:00', 'UTC')
    """
    found = re.fullmatch(r".{10}T[\d:.]+(Z|[+-]\d\d:?\d\d)", time)
    return "" if not found else "UTC" if found[1] == "Z" else f"UTC{found[1]}"


def written_month(month: str) -> str:
    """A month in words.

    >>> written_month("2026-11"), written_month("2026")
    ('November 2026', '2026')
    """
    found = re.fullmatch(r"(\d{4})-(\d\d)", month)
    if not found or not 1 <= int(found[2]) <= 12:
        return plain(month, 20)
    return f"{MONTHS[int(found[2]) - 1]} {found[1]}"


def written_day(key: str) -> str:
    """A year, a month or a day in words.

    >>> written_day("2026"), written_day("2026-11"), written_day("2026-11-22")
    ('2026', 'November 2026', '22 November 2026')
    """
    return written_date(key) if len(key) == 10 else written_month(key)


def short_month(month: str) -> str:
    """A month within its year.

    >>> short_month("2026-11")
    'Nov'
    """
    return written_month(month)[:3]


def written_size(size: object) -> str:
    """A number of bytes for people.

    >>> written_size(999), written_size(4_200_000), written_size(None)
    ('999 B', '4.2 MB', '')
    """
    if not isinstance(size, int | float):
        return ""
    amount, units = float(size), iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while amount >= 999.5 and unit != "TB":
        amount, unit = amount / 1000, next(units)
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 9.95 else f"{amount:.1f} {unit}"


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "photo"), counted(12_000, "photo"), counted(2, "copy", "copies")
    ('1 photo', '12,000 photos', '2 copies')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def sorted_as(text: str) -> str:
    """What a text is sorted by in a list for people: without case and accents.

    >>> sorted(["Zürich", "été", "anna"], key=sorted_as)
    ['anna', 'été', 'Zürich']
    """
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


def alternative(title: str, taken: str, kind: str = "image") -> str:
    """What a picture is called where it cannot be seen.

    >>> alternative("", "2026-11-22T14:05:00"), alternative("The pier", "")
    ('Photo taken on 22 November 2026, 14:05', 'The pier')
    """
    if plain(title):
        return plain(title, 120)
    noun = "Video" if kind == "video" else "Photo"
    time = written_time(taken)
    return f"{noun} taken on {written_date(taken)}{f', {time}' if time else ''}" if taken else noun
