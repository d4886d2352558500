"""How much lies in each place where no worker lives that would know: counted by one thread in small steps, so that a
million waiting items cost the machine little and a page nothing."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..spool.census import Census, Held
from ..spool.spool import Spool
from .queue import Queue

EVERY = 2.0
"""Seconds between two walks of a small spool; the larger, the more."""
FIRST = 0.3
"""Who asks first waits so many seconds for the first walk: enough for some ten thousand items."""
WANTED = 30.0
"""What nobody asked for in so many seconds is not counted."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted, by the place's name; a place that is not there was not counted yet, or cannot be."""

    places: Mapping[str, Held] = field(default_factory=dict)


class _Walk:
    """The counting of one queue. ``next``: when to go on, ``asked``: when somebody wanted it last (monotonic)."""

    def __init__(self, spool: Spool) -> None:
        self._census = Census(spool.places, every=EVERY)
        self.began = self.next = self.asked = time.monotonic()
        self.is_whole = False

    def step(self) -> None:
        """Go on, and know when to go on again."""
        ended = self._census.step()
        self.is_whole |= ended
        hurry = not self.is_whole and time.monotonic() - self.began < FIRST
        self.next = time.monotonic() + (0.0 if hurry else self._census.pause())

    def counts(self) -> Counts:
        """What is known."""
        return Counts(self._census.held({}))


class Counting:
    """The counts of several queues, kept up to date for as long as somebody asks for them."""

    def __init__(self, queues: Sequence[Queue]) -> None:
        self._spools = {queue.name: queue.spool for queue in queues}
        self._walks: dict[str, _Walk] = {}
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None
        self._over = False

    def add(self, queue: Queue) -> None:
        """One more queue, or one that is elsewhere now."""
        with self._news:
            self._spools[queue.name] = queue.spool
            self._walks.pop(queue.name, None)

    def of(self, name: str, wait: float = FIRST) -> Counts:
        """What is known of the queue by now; who asks first waits so long for the first walk to end."""
        with self._news:
            walk = self._walks.get(name)
            if walk is None or time.monotonic() - walk.asked > WANTED:
                walk = self._walks[name] = _Walk(self._spools[name])  # what was counted long ago is not shown as known
            walk.asked = time.monotonic()
            if self._thread is None and not self._over:
                self._thread = threading.Thread(target=self._run, name="counting", daemon=True)
                self._thread.start()
            self._news.notify_all()
            self._news.wait_for(lambda: walk.is_whole or self._over or time.monotonic() - walk.began > FIRST, wait)
            return walk.counts()

    def again(self, name: str) -> None:
        """What was counted is wrong by now: something was moved. Count again what is soon counted."""
        with self._news:
            walk = self._walks.get(name)
            if walk is not None and walk.is_whole:  # the census passes over what takes long
                walk.next = 0.0
                self._news.notify_all()

    def close(self) -> None:
        """End the thread."""
        with self._news:
            self._over = True
            self._news.notify_all()

    def _run(self) -> None:
        while True:
            with self._news:
                while (walk := self._due()) is None and not self._over:
                    self._news.wait(self._rest())
                if self._over or walk is None:
                    return
            walk.step()
            if walk.is_whole:
                with self._news:
                    self._news.notify_all()

    def _due(self) -> _Walk | None:
        now = time.monotonic()
        wanted = [walk for walk in self._walks.values() if now - walk.asked < WANTED and walk.next <= now]
        return min(wanted, key=lambda walk: walk.next, default=None)

    def _rest(self) -> float | None:
        """Seconds until there is something to do; None where nobody wants anything."""
        now = time.monotonic()
        return min(
            (max(walk.next - now, 0.001) for walk in self._walks.values() if now - walk.asked < WANTED), default=None
        )
