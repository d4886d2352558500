"""Since when there is nothing to do: what ``--idle-exit`` waits for, and what the parent and the dashboard are told.

To do is also what cannot be done now: a file that is still being written, an item that waits in a pause or is soon due.
A worker that ended over them would only be started again for them. Not to do is what never will be: litter, and what
cannot be taken.
"""

import time

SOON = 60.0
"""Seconds: a deferred item that is due within them is to do, where ``--idle-exit`` does not say another time."""


class Idleness:
    """Since when there is nothing to do."""

    def __init__(self) -> None:
        self.since = 0.0
        """Seconds since 1970; 0 while there is something."""
        self._from = 0.0
        self._done: object = None

    def look(self, busy: bool, done: object) -> None:
        """Whether there is something to do now; ``done``: what has been done by now, for something may have come and
        gone between two looks.

        >>> idle = Idleness()
        >>> idle.look(False, 1); idle.since == 0
        True
        >>> idle.look(False, 1); idle.since > 0
        True
        >>> idle.look(False, 2); idle.since == 0
        True
        """
        if busy or done != self._done:
            self.since = 0.0
        elif not self.since:
            self.since, self._from = time.time(), time.monotonic()
        self._done = done

    def lasted(self) -> float:
        """For how many seconds there was nothing to do."""
        return time.monotonic() - self._from if self.since else 0.0
