"""A limit on the bytes sent per second, for all that one worker sends, from its event loop and from its threads."""

import asyncio
import threading
import time
from collections.abc import Callable

from .units import Timetable


class Limiter:
    """A token bucket that may go into debt: what is larger than a second's worth is let through whole, and what comes
    after it waits. The average is right, over pieces as small as they are booked: a body that is booked whole goes at
    full speed, one that is booked block by block is paced. Safe to use from several threads."""

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
        self._lock = threading.Lock()

    async def take(self, size: int) -> None:
        """Wait until ``size`` more bytes may be sent."""
        wait = self.delay(size)
        if wait > 0:
            await asyncio.sleep(wait)

    def delay(self, size: int) -> float:
        """Book ``size`` bytes, at once; for how many seconds to sleep before they may be sent. Who asks in a thread
        sleeps by itself."""
        rate = self._timetable.at(self._local())
        with self._lock:
            now = self._now()
            if rate is None:
                self._free_at = now
                return 0.0
            start = max(self._free_at, now)
            self._free_at = start + size / max(rate, 1)
            return start - now
