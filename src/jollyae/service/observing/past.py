"""What a spool's workers did of late: the minutes that they wrote down and those that run, added up."""

import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from ...spool.spool import Spool
from ...worker import minutes, state
from ...worker.state import DELIVERY_BOUNDS, Snapshot

MINUTE = 60
Minute = state.Minute
together = minutes.together


@dataclass(frozen=True, slots=True)
class Past:
    """``minutes``: those in which something happened, the oldest first, each once. ``known``: since when anything would
    be known (seconds since 1970), None where nothing is."""

    minutes: tuple[Minute, ...]
    known: float | None

    def since(self, at: float) -> Minute:
        """All that happened in the minutes that began at ``at`` or later, as one."""
        return minutes.together([Minute(int(at)), *(minute for minute in self.minutes if minute.at >= at)])


def read(spool: Spool, seconds: float, snapshots: Sequence[Snapshot] = (), now: float | None = None) -> Past:
    """The last so many seconds. ``snapshots``: of the live workers. What cannot be read is not there; raises
    nothing."""
    now = time.time() if now is None else now
    since = (now - seconds) // MINUTE * MINUTE
    found: list[Minute] = []
    written: set[tuple[str, int]] = set()
    for worker, of_worker in minutes.by_worker(spool.places.receipts, since):
        found += of_worker
        written |= {(worker, minute.at) for minute in of_worker[-1:]}
    for one in snapshots:
        if one.minute is not None and one.minute.at >= since and (one.worker, one.minute.at) not in written:
            found.append(one.minute)
    begins = [float(minute.at) for minute in found] + [one.started for one in snapshots if one.started]
    return Past(tuple(minutes.added(found)), max(min(begins), since) if begins else None)


def quantile(
    counts: Sequence[int], share: float, bounds: Sequence[float] = DELIVERY_BOUNDS, slowest: float = 0.0
) -> float | None:
    """So many seconds it took at the most for ``share`` of those counted, evenly spread within each bucket, which ends
    at the ``slowest`` where that is known (not 0); the last bound where it lies beyond and the slowest is not known;
    None where nothing was counted.

    >>> quantile([0, 10, 0], 0.5, (1, 3)), quantile([0, 0, 5], 0.5, (1, 3)), quantile([0, 0], 0.5, (1,))
    (2.0, 3.0, None)
    >>> quantile([0, 10, 0], 1.0, (1, 3), slowest=1.5), quantile([0, 0, 1], 0.5, (1, 3), slowest=9.0)
    (1.5, 6.0)
    """
    sums = list(accumulate(counts))
    if not sums or not sums[-1]:
        return None
    rank = share * sums[-1]
    bucket = bisect_left(sums, rank)
    below = bounds[bucket - 1] if bucket else 0.0
    above = bounds[bucket] if bucket < len(bounds) else slowest or float(below)
    if slowest:
        above = max(min(above, slowest), below)
    before = sums[bucket] - counts[bucket]
    return below + (above - below) * (rank - before) / counts[bucket]
