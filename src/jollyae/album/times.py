"""Times as texts. Moments (stamps, ``added``, comments) are UTC with six digits of a second, so that texts sort as
times do; ``taken`` is local time to the second, with an offset only where the file said so.
"""

import re
from datetime import UTC, datetime, timedelta

_TAKEN = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?(?:\.\d+)?\s*(Z|[+-]\d\d:?\d\d)?", re.ASCII)


def now() -> str:
    """This moment."""
    return _written(datetime.now(UTC))


def moment(text: str) -> str:
    """A moment in the one form. Raises ``ValueError``.

    >>> moment("2026-11-22T15:00:00+01:00")
    '2026-11-22T14:00:00.000000Z'
    """
    found = datetime.fromisoformat(text)
    return _written(found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC))


def just_after(text: str) -> str:
    """The moment one microsecond after that one."""
    return _written(datetime.fromisoformat(moment(text)) + timedelta(microseconds=1))


def taken(text: str) -> str:
    """When a photo was taken, in the one form. Raises ``ValueError``.

    >>> taken("2026-11-22 15:04"), taken("2026-11-22T15:04:05+0100")
    ('2026-11-22T15:04:00', '2026-11-22T15:04:05+01:00')
    """
    found = _TAKEN.fullmatch(text.strip())
    if found is None:
        raise ValueError("not a time")
    day, minute, second, offset = found.groups(default="")
    if len(offset) == 5:
        offset = f"{offset[:3]}:{offset[3:]}"
    whole = f"{day}T{minute}{second or ':00'}{offset}"
    datetime.fromisoformat(whole)
    return whole


def _written(found: datetime) -> str:
    return found.strftime("%Y-%m-%dT%H:%M:%S.%f").rjust(26, "0") + "Z"
