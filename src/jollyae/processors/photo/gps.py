"""The position out of a picture's tags, in decimal degrees; what is rubbish is no position."""

import math
from collections.abc import Mapping
from typing import Any

from .tags import number_of, text_of

_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE, _ALTITUDE_REF, _ALTITUDE = range(1, 7)
_HIGHEST = 100_000.0
"""Metres; who is above that is in space, and their receiver gives no altitude."""


def position(tags: Mapping[int, Any]) -> dict[str, float] | None:
    """``latitude``, ``longitude`` (degrees, to a decimetre) and, where known, ``altitude`` (m).

    Cameras without a fix write zeros or nothing, or all fields without a meaning: 0° N 0° E exactly counts as that, and
    so does a number without its N or S, E or W, whose sign nobody knows.

    >>> position({1: "N", 2: (48.0, 51.0, 29.6), 3: "E", 4: (2.0, 17.0, 40.2), 5: 0, 6: 35.0})
    {'latitude': 48.858222, 'longitude': 2.2945, 'altitude': 35.0}
    >>> position({1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)})
    """
    latitude = _degrees(tags.get(_LATITUDE), tags.get(_LATITUDE_REF), "NS", 90)
    longitude = _degrees(tags.get(_LONGITUDE), tags.get(_LONGITUDE_REF), "EW", 180)
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):
        return None
    found = {"latitude": latitude, "longitude": longitude}
    altitude = _altitude(tags.get(_ALTITUDE), tags.get(_ALTITUDE_REF))
    return found if altitude is None else found | {"altitude": altitude}


def _degrees(value: Any, reference: Any, signs: str, most: int) -> float | None:
    """Degrees, minutes and seconds with their sign; None where any of it is not what it should be."""
    letter = text_of(reference)[:1].upper()
    parts = list(value[:3]) if isinstance(value, tuple | list) else [value]
    numbers = [number_of(part, math.nan) for part in parts]
    if not parts or not letter or letter not in signs or not all(number >= 0 for number in numbers):
        return None
    if any(number >= 60.001 for number in numbers[1:]):
        return None
    degrees = sum(number / 60.0**power for power, number in enumerate(numbers))
    if degrees > most:
        return None
    return round(degrees if letter == signs[0] else -degrees, 6) + 0.0


def _altitude(value: Any, reference: Any) -> float | None:
    metres = number_of(value, math.nan)
    if not 0 <= abs(metres) <= _HIGHEST:
        return None
    is_below = reference in (1, b"\1", (1,))
    return round(-metres if is_below else metres, 1) + 0.0
