"""systemd as the manager of a parent: what the parent does is told it, and its watchdog is answered."""

import os
import time
from collections.abc import Mapping

from ...worker.state import Snapshot
from .parent import Manager
from .systemd import Notifier

LIVELY, QUIET = 5.0, 30.0
"""Seconds between two looks while something is delivered, and while nothing is; more often where the watchdog asks."""
_RATE_OVER = 5.0  # seconds over which a rate is told
_WAITING = ("incoming", "working", "deferred")


class Systemd(Manager):
    """Tells ``notifier`` how the queues are."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._quiet = min(QUIET, notifier.watchdog / 3) if notifier.watchdog else QUIET
        self.every = self._quiet
        self._alive_at = 0.0
        self._since = (time.monotonic(), 0)
        self._rate = 0.0
        self._line = ""

    def ready(self) -> None:
        """All works."""
        self._notifier.ready(self._line)

    def reloading(self) -> None:
        """The configuration is loaded again."""
        self._notifier.reloading()

    def stopping(self) -> None:
        """All stop."""
        self._notifier.stopping("stopping")
        self._line = "stopping"

    def tick(self, seen: Mapping[str, Snapshot]) -> None:
        """The parent lives, and this is what its workers do."""
        now = time.monotonic()
        if self._notifier.watchdog is not None and now - self._alive_at >= 1.0:
            self._alive_at = now
            self._notifier.alive()
        if self._line != "stopping":
            self._measure(now, sum(one.delivered for one in seen.values()))
            self._line = line(seen, self._rate)
            self._notifier.status(self._line)

    def _measure(self, now: float, delivered: int) -> None:
        began, before = self._since
        if delivered < before:  # a queue went with a reload
            self._since = (now, delivered)
        elif now - began >= _RATE_OVER:
            self._rate = (delivered - before) / (now - began)
            self._since = (now, delivered)
        self.every = min(LIVELY, self._quiet) if self._rate or delivered > before else self._quiet


def listening() -> Systemd | None:
    """systemd, where it listens; what it put into the environment for us is gone after that."""
    is_named = "NOTIFY_SOCKET" in os.environ
    notifier = Notifier()
    return Systemd(notifier) if is_named and notifier.is_heard else None


def line(seen: Mapping[str, Snapshot], rate: float) -> str:
    """What ``systemctl status`` shows.

    >>> line({}, 0)
    'starting'
    """
    if not seen:
        return "starting"
    waiting = sum(map(_waiting, seen.values()))
    pace = f"{rate:.0f}/s" if rate >= 1 else f"{60 * rate:.0f}/min"
    doing = f"delivering {pace}" if rate else "nothing on its way"
    paused = [_paused(name, one, len(seen)) for name, one in seen.items() if one.paused]
    failed = sum(one.failed for one in seen.values())
    more = [f"{failed:,} failed since the start"] if failed else []
    return "; ".join([f"{doing}, {waiting:,} waiting", *more, *paused])


def _waiting(one: Snapshot) -> int:
    """How many items wait: as counted, else as far as a worker knows."""
    if any(place in one.places for place in _WAITING):
        return sum(one.places[place].items for place in _WAITING if place in one.places)
    return len(one.in_flight) + one.held + one.unready


def _paused(name: str, one: Snapshot, queues: int) -> str:
    assert one.paused is not None
    return f"{f'{name} ' if queues > 1 else ''}paused: {one.paused.error}"
