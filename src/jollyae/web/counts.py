"""How much lies in each place where no worker lives that would know: counted in the background, by one thread that
spends most of its time waiting, so that a million waiting items cost the machine little and a page nothing."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..spool import survey
from ..spool.spool import Spool
from .queue import Queue

REST = 20.0
"""After a walk the thread rests so many times as long as the walk took…"""
AT_LEAST = 2.0
"""…and so many seconds at the least."""
FIRST = 0.3
"""Who asks first waits so many seconds for the first walk: enough for some ten thousand items."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a walk found. ``at``: when it ended, seconds since 1970; ``took``: seconds; ``error``: why there are no
    counts."""

    places: dict[str, survey.Count] = field(default_factory=dict)
    at: float = 0.0
    took: float = 0.0
    error: str = ""


def take(spool: Spool) -> Counts:
    """Walk the places now."""
    began = time.monotonic()
    try:
        places = survey.count(spool.places)
    except OSError as error:
        return Counts(at=time.time(), took=time.monotonic() - began, error=f"{error.strerror}: {error.filename}")
    return Counts(places, time.time(), time.monotonic() - began)


class Counting:
    """The counts of several queues, kept up to date for as long as somebody asks for them."""

    def __init__(self, queues: Sequence[Queue]) -> None:
        self._spools = {queue.name: queue.spool for queue in queues}
        self._found: dict[str, Counts] = {}
        self._wanted: dict[str, float] = {}
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None
        self._over = False

    def of(self, name: str, wait: float = FIRST) -> Counts:
        """The latest counts of the queue; empty ones (``at`` is 0) while the first walk lasts longer than ``wait``."""
        with self._news:
            self._wanted[name] = time.monotonic()
            if self._thread is None and not self._over:
                self._thread = threading.Thread(target=self._walk, name="counting", daemon=True)
                self._thread.start()
            self._news.notify_all()
            self._news.wait_for(lambda: name in self._found or self._over, wait)
            return self._found.get(name, Counts())

    def again(self, name: str) -> None:
        """What was counted is wrong by now: something was moved. Count soon."""
        with self._news:
            found = self._found.get(name)
            if found is not None and found.took < FIRST:
                del self._found[name]

    def close(self) -> None:
        """End the thread, after the walk at hand."""
        with self._news:
            self._over = True
            self._news.notify_all()

    def _walk(self) -> None:
        while True:
            with self._news:
                while (name := self._next()) is None and not self._over:
                    self._news.wait(AT_LEAST / 4)
                if self._over or name is None:
                    return
            found = take(self._spools[name])
            with self._news:
                self._found[name] = found
                self._news.notify_all()

    def _next(self) -> str | None:
        """The queue whose counts are asked for and old enough, the oldest first."""
        now, clock = time.time(), time.monotonic()
        due = []
        for name, asked in self._wanted.items():
            found = self._found.get(name)
            rest = max(AT_LEAST, REST * found.took) if found else 0.0
            if clock - asked < 60 and (found is None or now - found.at >= rest or now < found.at):
                due.append((found.at if found else 0.0, name))
        return min(due)[1] if due else None
