"""How often somebody may try to log in: a few times at once, then ever more slowly."""

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

FREE = 5
"""Failures that cost no wait: people mistype."""
LONGEST = 300.0
"""Seconds, the longest wait; and after ten times that without a try all is forgotten."""
REMEMBERED = 10_000
"""Keys that are remembered; the oldest go first."""


class Throttle:
    """Counts failures by key (an address, a name), in memory."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait(self, key: str) -> float:
        """Seconds until that key may try again; 0: now."""
        count, last = self._failures.get(key, (0, 0.0))
        return max(0.0, last + delay(count) - self._clock()) if count else 0.0

    def fail(self, key: str) -> None:
        """That key tried and failed."""
        count, last = self._failures.pop(key, (0, 0.0))
        now = self._clock()
        self._failures[key] = (1 if now - last > 10 * LONGEST else count + 1, now)
        if len(self._failures) > REMEMBERED:
            self._failures.popitem(last=False)

    def succeed(self, key: str) -> None:
        """That key got it right."""
        self._failures.pop(key, None)


def delay(failures: int) -> float:
    """Seconds to wait after so many failures in a row.

    >>> [delay(count) for count in (0, 4, 5, 6, 8, 50)]
    [0.0, 0.0, 1.0, 2.0, 8.0, 300.0]
    """
    return 0.0 if failures < FREE else float(min(LONGEST, 2 ** min(failures - FREE, 20)))
