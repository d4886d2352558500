"""What a worker counts: numbers in one array, which may lie in memory that several processes share.

They are added to and never taken from, so those of several workers are added up; but for the time of the last delivery,
of which the latest counts. Times are whole microseconds.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TypeAlias, TypedDict

from .reasons import REASONS, number
from .state import ATTEMPT_BOUNDS, DELIVERY_BOUNDS, Histogram
from .telling import notice

Counts: TypeAlias = "list[int] | memoryview[int]"


class _Count:
    """One number of a tally."""

    def __init__(self, index: int) -> None:
        self.index = index

    def __get__(self, tally: "Tally", owner: object = None) -> int:
        return tally.counts[self.index]

    def __set__(self, tally: "Tally", value: int) -> None:
        tally.counts[self.index] = value


_FAILED_BY = 16  # the first of those by reason; those before have names
_DEFERRED_BY = _FAILED_BY + len(REASONS)
_DELIVERY = _DEFERRED_BY + len(REASONS)  # the buckets, and the sum behind them
_DELIVERY_SUM = _DELIVERY + len(DELIVERY_BOUNDS) + 1
_ATTEMPT = _DELIVERY_SUM + 1
_ATTEMPT_SUM = _ATTEMPT + len(ATTEMPT_BOUNDS) + 1
SIZE = _ATTEMPT_SUM + 1
"""How many numbers a tally has."""
_LAST_DELIVERY = 4


class Counters(TypedDict):
    """A tally as the fields of a snapshot."""

    delivered: int
    delivered_bytes: int
    failed: int
    deferred: int
    attempts: dict[str, int]
    failed_by: dict[str, int]
    deferred_by: dict[str, int]
    sent_bytes: int
    delivery: Histogram
    attempt: Histogram
    last_delivery: float


class Tally:
    """Counts since the worker's start. ``bytes``: of delivered items. ``counts``: where they are kept, :data:`SIZE`
    numbers (less: the first of them); in memory that is shared with another process they outlive the worker, whatever
    ends it."""

    delivered = _Count(0)
    bytes = _Count(1)
    failed = _Count(2)
    deferred = _Count(3)
    last_delivery = _Count(_LAST_DELIVERY)
    held = _Count(5)
    unused_bytes = _Count(6)
    """Sent in vain: of attempts that failed."""
    spared_bytes = _Count(7)
    """Delivered without being sent: they were there already."""
    failed_bytes = _Count(8)
    deferred_bytes = _Count(9)
    resumed = _Count(10)
    resumed_bytes = _Count(11)
    """Taken out of ``deferred/``."""
    adopted = _Count(12)
    adopted_bytes = _Count(13)
    """Taken over from dead workers."""

    def __init__(self, counts: "Sequence[int] | memoryview[int] | None" = None) -> None:
        if isinstance(counts, memoryview):
            self.counts: Counts = counts
        else:
            self.counts = [*(counts or ()), *[0] * (SIZE - len(counts or ()))]
        self.slowest = 0.0
        """Seconds of the slowest delivery since somebody set this to 0; of this process only."""
        self._told: tuple[int, ...] = ()

    def fail(self, reason: str, size: int) -> None:
        """An item of so many bytes failed."""
        self.failed += 1
        self.failed_bytes += size
        self.counts[_FAILED_BY + number(reason)] += 1

    def defer(self, reason: str, size: int) -> None:
        """An item of so many bytes was deferred."""
        self.deferred += 1
        self.deferred_bytes += size
        self.counts[_DEFERRED_BY + number(reason)] += 1

    def resume(self, size: int) -> None:
        """An item of so many bytes was taken out of ``deferred/``."""
        self.resumed += 1
        self.resumed_bytes += size

    def adopt(self, size: int) -> None:
        """An item of so many bytes was taken over from a dead worker."""
        self.adopted += 1
        self.adopted_bytes += size

    def deliver(self, sizes: Sequence[int], delivery: Sequence[float], attempt: Sequence[float], now: float) -> None:
        """Some items were delivered ``now`` (seconds since 1970): their bytes, and for each how many seconds passed
        from its arrival, and from the beginning of the attempt to the acknowledgement."""
        counts = self.counts  # the hot path: without a function for each number
        counts[0] += len(sizes)
        counts[1] += sum(sizes)
        counts[_LAST_DELIVERY] = int(now * 1e6)
        for one in delivery:
            counts[_DELIVERY + bisect_left(DELIVERY_BOUNDS, one)] += 1
        for one in attempt:
            counts[_ATTEMPT + bisect_left(ATTEMPT_BOUNDS, one)] += 1
        self.slowest = max(self.slowest, *delivery) if delivery else self.slowest
        counts[_DELIVERY_SUM] += max(int(sum(delivery) * 1e6), 0)
        counts[_ATTEMPT_SUM] += max(int(sum(attempt) * 1e6), 0)

    def delivery_counts(self) -> list[int]:
        """How many deliveries took how long, as in :class:`Histogram`."""
        return list(self.counts[_DELIVERY : _DELIVERY + len(DELIVERY_BOUNDS) + 1])

    def counters(self) -> Counters:
        """All of it, for a snapshot."""
        attempts = {"done": self.delivered, "defer": self.deferred, "fail": self.failed, "hold": self.held}
        return {
            "delivered": self.delivered,
            "delivered_bytes": self.bytes,
            "failed": self.failed,
            "deferred": self.deferred,
            "attempts": attempts,
            "failed_by": _by_reason(self.counts[_FAILED_BY:_DEFERRED_BY]),
            "deferred_by": _by_reason(self.counts[_DEFERRED_BY:_DELIVERY]),
            "sent_bytes": self.bytes - self.spared_bytes + self.unused_bytes,
            "delivery": _histogram(self.counts[_DELIVERY:_ATTEMPT]),
            "attempt": _histogram(self.counts[_ATTEMPT:SIZE]),
            "last_delivery": self.last_delivery / 1e6,
        }

    def tell(self, in_flight: int, **fields: object) -> None:
        """Put the counts into the log, if they are not what was told last."""
        counts = (self.delivered, self.failed, self.deferred, in_flight)
        if counts != self._told and any(counts):
            notice("delivered %d, failed %d, deferred %d, in flight %d", *counts, **fields)
        self._told = counts


def total(tallies: Iterable[Tally]) -> Tally:
    """What several did together."""
    arrays = [tally.counts for tally in tallies]
    summed = Tally([sum(numbers) for numbers in zip(*arrays, strict=True)])
    summed.last_delivery = max((array[_LAST_DELIVERY] for array in arrays), default=0)
    return summed


def _by_reason(counts: Iterable[int]) -> dict[str, int]:
    return {reason: count for reason, count in zip(REASONS, counts, strict=True) if count}


def _histogram(counts: Counts) -> Histogram:
    *buckets, microseconds = counts
    return Histogram(buckets, microseconds / 1e6)
