"""What a worker did: counted while it works, summed up at its end."""

import os
from dataclasses import dataclass

from .telling import notice


@dataclass(slots=True)
class Tally:
    """Counts since the worker's start. ``bytes``: of delivered items."""

    delivered: int = 0
    bytes: int = 0
    failed: int = 0
    deferred: int = 0
    _told: tuple[int, ...] = ()

    def tell(self, in_flight: int) -> None:
        """Put the counts into the log, if they are not what was told last."""
        counts = (self.delivered, self.failed, self.deferred, in_flight)
        if counts != self._told and any(counts):
            notice("delivered %d, failed %d, deferred %d, in flight %d", *counts)
        self._told = counts


@dataclass(frozen=True, slots=True)
class Summary:
    """What a worker did. ``left``: items still in flight at its end; ``waiting``: items that wait for another try."""

    delivered: int
    failed: int
    deferred: int
    left: int
    waiting: int
    once: bool
    signal: int = 0

    @property
    def exit_code(self) -> int:
        """As sysexits(3) and the shell have it: 0, 1 some failed, 75 some wait, 128 + signal when cut short."""
        if self.signal and (self.left or self.once):
            return 128 + self.signal
        if not self.once:
            return 0
        if self.failed:
            return 1
        return os.EX_TEMPFAIL if self.waiting else 0
