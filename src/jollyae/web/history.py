"""What happened in the last hour and the last day, from the files of minutes that the workers write."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ..service.observing import past, status
from ..service.observing.past import MINUTE, Minute, quantile, together
from ..service.observing.status import Snapshot
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


def history(
    queue: Queue, length: int = HOUR, now: float | None = None, snapshots: Sequence[Snapshot] | None = None
) -> History:
    """The last HOUR in steps of a minute, or the last DAY in steps of ten; the last point has not ended yet.
    ``snapshots``: of the live workers, where they were read already. Blocking, milliseconds. Raises nothing."""
    now = time.time() if now is None else now
    step = MINUTE if length <= HOUR else 10 * MINUTE
    first = int(now) // step * step - length + step
    if snapshots is None:
        snapshots = _snapshots(queue)
    found = past.read(queue.spool, now - first, snapshots, now)
    within: dict[int, list[Minute]] = {}
    for minute in found.minutes:
        within.setdefault(minute.at // step * step, []).append(minute)
    points = tuple(_point(at, within.get(at, [])) for at in range(first, first + length, step))
    return History(length, step, points, found.known, now)


def unknown(length: int = HOUR) -> History:
    """Of a queue that cannot be looked at."""
    step = MINUTE if length <= HOUR else 10 * MINUTE
    return History(length, step, (), None, time.time())


def _snapshots(queue: Queue) -> list[Snapshot]:
    try:
        return [one.snapshot for one in status.live_workers(queue.spool) if one.snapshot is not None]
    except OSError:
        return []


def _point(at: int, minutes: list[Minute]) -> Point:
    if not minutes:
        return Point(at)
    all = together(minutes)
    p50, p95 = (quantile(all.delivery, share, slowest=all.slowest) for share in (0.5, 0.95))
    return Point(at, all.delivered, all.bytes, all.failed, all.deferred, p50, p95)
