"""Axes that people read: where the marks are and what is written at them. Pure."""

import math

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_TIMES = (60, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200)


def ticks(highest: float, most: int = 5, *, whole: bool = False) -> tuple[float, ...]:
    """Marks from 0 to at least ``highest``, at most ``most``, evenly spaced by a number that people count by.
    ``whole``: things that come in ones.

    >>> ticks(7.3), ticks(1, whole=True), ticks(0.013), ticks(0)
    ((0.0, 2.0, 4.0, 6.0, 8.0), (0.0, 1.0), (0.0, 0.005, 0.01, 0.015), (0.0, 1.0))
    """
    if not highest > 0 or math.isinf(highest):
        return (0.0, 1.0)
    rough = highest / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    steps = [step * power for step in (*_STEPS, 20.0)]
    if whole:
        steps = [step for step in steps if step >= 1 and step == int(step)] or [1.0]
    for step in steps:
        count = math.ceil(round(highest / step, 9))
        if count < most:
            return tuple(round(number * step, 12) for number in range(count + 1))
    return (0.0, highest)


def sizes(highest: float, most: int = 5) -> tuple[float, ...]:
    """The same for bytes: marks that are whole in KiB, MiB…

    >>> sizes(3000)
    (0.0, 1024.0, 2048.0, 3072.0)
    """
    unit = 1024.0 ** max(math.floor(math.log(max(highest, 1), 1024)), 0)
    return tuple(mark * unit for mark in ticks(highest / unit, most))


def number(value: float) -> str:
    """A number at a mark.

    >>> number(12000.0), number(0.5), number(2.0)
    ('12,000', '0.5', '2')
    """
    return f"{value:,.0f}" if value == int(value) else f"{value:,.3f}".rstrip("0")


def seconds(value: float) -> str:
    """A duration, from milliseconds to days.

    >>> [seconds(one) for one in (0, 0.0025, 0.25, 1.5, 90, 7200, 200000)]
    ['0', '2.5 ms', '250 ms', '1.5 s', '1.5 min', '2 h', '2.3 d']
    """
    if value == 0:
        return "0"
    for limit, size, unit in ((1, 0.001, "ms"), (60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h")):
        if value < limit:
            return f"{_short(value / size)} {unit}"
    return f"{_short(value / 86400)} d"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or round(value, 1) == round(value) else f"{value:.1f}"


def moments(first: int, last: int, most: int = 7) -> tuple[int, ...]:
    """Round times (of UTC, seconds since 1970) from ``first`` to ``last``, at most ``most``.

    >>> moments(30, 3630), moments(0, 86400)
    ((600, 1200, 1800, 2400, 3000, 3600), (0, 14400, 28800, 43200, 57600, 72000, 86400))
    """
    for step in _TIMES:
        found = range(-(-first // step) * step, last + 1, step)
        if len(found) <= most:
            return tuple(found)
    return (first, last)
