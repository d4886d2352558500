"""A limit on the bytes sent per second, for all that one worker sends."""

import asyncio
import time
from collections.abc import Callable

from .units import Timetable


class Limiter:
    """A token bucket that may go into debt: what is larger than a second's worth is let through whole, and what comes
    after it waits. The average is right; single bodies are not slowed down."""

    def __init__(
        self,
        timetable: Timetable,
        *,
        now: Callable[[], float] = time.monotonic,
        local: Callable[[], time.struct_time] = time.localtime,
    ) -> None:
        self._timetable = timetable
        self._now = now
        self._local = local
        self._free_at = 0.0

    async def take(self, size: int) -> None:
        """Wait until ``size`` more bytes may be sent."""
        wait = self.reserve(size)
        if wait > 0:
            await asyncio.sleep(wait)

    def reserve(self, size: int) -> float:
        """Count ``size`` bytes as sent; in how many seconds they may be."""
        rate = self._timetable.at(self._local())
        now = self._now()
        if rate is None:
            self._free_at = now
            return 0.0
        start = max(self._free_at, now)
        self._free_at = start + size / max(rate, 1)
        return start - now
