"""Companions: processes beside the workers that are told what all of them do, and never touch an item.

A companion is a function that the parent runs in a forked child (an exporter of metrics, say). It is given the line on
which the parent reports what goes on; it is started again when it dies, and ends with the parent.
"""

import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...worker.state import Snapshot
from ...worker.telling import warn
from ..observing.metrics import Reload
from . import team
from .nursery import Child, Nursery
from .siblings import Line

END_WITHIN = 2.0
"""Seconds after the end of its feed until a companion is killed."""
_SOON = 0.1  # seconds until what could not be said is tried again


class Report(NamedTuple):
    """What a companion is told, at most four times a second for each queue: what the workers of one queue do together,
    or None, where the queue is no more; or, with '' as queue, how the configuration was loaded last. Of each the first
    thing after its start is what is known by then."""

    queue: str
    told: Snapshot | Reload | None


@dataclass(frozen=True, slots=True)
class Companion:
    """``run(feed, *arguments)`` is called in a process of its own, on its main thread, and may start threads and event
    loops; ``feed.reports()`` are the :class:`Report`, and None where the parent is gone. What it returns is the exit
    code, None is 0. One that ends with 0 is not started again; with any other, or by
    a signal, it is, after half a second, doubling to thirty. SIGTERM and SIGINT do nothing to it: it shows what goes on
    until all have ended, and then the end of the feed tells it. Equal ones are the same: a reload keeps them."""

    name: str
    run: Callable[..., int | None]
    arguments: tuple[Any, ...] = ()


@dataclass(slots=True, eq=False)
class Attendant:
    """A companion as the parent has it."""

    companion: Companion
    nursery: Nursery
    _child: Child | None = None
    _leaving: list[Child] = field(default_factory=list)
    _began: float = 0.0
    _deaths: int = 0
    _due: float = float("inf")
    _unsaid: dict[str, Report] = field(default_factory=dict)
    _said: dict[str, Report] = field(default_factory=dict)
    _kill_at: float = float("inf")
    is_over: bool = False
    """It is not started again."""

    def start(self, known: dict[str, Report]) -> None:
        """Start it, and tell it what is known."""
        self._due = float("inf")
        self._said, self._unsaid = {}, dict(known)
        self._began = time.monotonic()
        try:
            own = [one for one in self.companion.arguments if isinstance(one, socket.socket)]
            self._child = self.nursery.fork(self._live, self._listen, keep=own)
        except OSError as error:
            self._again(f"cannot be started: {error.strerror}")
        else:
            self._send()

    def _live(self, line: Line) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)  # they come to whole groups; the end of the feed is what ends it
        return self.companion.run(line, *self.companion.arguments) or 0

    def tell(self, news: Report) -> None:
        """Tell it, unless that is what it was told last. What it does not read in time is replaced by what is newer."""
        if self._said.get(news.queue) != news:
            self._unsaid[news.queue] = news
        else:
            self._unsaid.pop(news.queue, None)
        self._send()

    def _send(self) -> None:
        if self._child is None or not self._child.line.flush():
            return
        for news in list(self._unsaid.values()):
            if not self._child.line.send(news):
                return
            self._said[news.queue] = news
            del self._unsaid[news.queue]

    def stop(self) -> None:
        """End its feed; it ends by that."""
        self.is_over, self._due = True, float("inf")
        if self._child is not None:
            self._gone()
        self._kill_at = time.monotonic() + END_WITHIN

    def _listen(self, child: Child) -> None:
        if None in child.line.reports():  # it says nothing but its end
            self._gone()

    def _gone(self) -> None:
        assert self._child is not None
        self.nursery.deafen(self._child)
        self._leaving.append(self._child)
        self._child = None

    def due(self) -> float:
        """When it has something to do, on the monotonic clock."""
        is_behind = self._leaving or (self._child is not None and (self._unsaid or self._child.line.is_behind))
        return min(self._due, self._kill_at, time.monotonic() + _SOON if is_behind else float("inf"))

    def do_what_is_due(self, known: dict[str, Report], *, again: bool) -> None:
        """Say what was left, see whether it has ended, and start it again if that is wanted."""
        self._send()
        for child in list(self._leaving):
            code = self.nursery.reap(child)
            if code is not None:
                self._leaving.remove(child)
                self._end(code)
        if time.monotonic() >= self._kill_at:
            self.kill()
        if time.monotonic() >= self._due:
            self._due = float("inf")
            if again:
                self.start(known)

    def _end(self, code: int) -> None:
        if self.is_over or not code:
            self.is_over = True
        else:
            self._again(team.how_ended(code))

    def _again(self, how: str) -> None:
        lived = time.monotonic() - self._began >= team.LIVED
        self._deaths = 1 if lived else self._deaths + 1
        delay = team.again_in(self._deaths)
        self._due = time.monotonic() + delay
        warn(f"{self.companion.name} {how}; it is started again in {delay:g} s", "Delivery goes on meanwhile.")

    @property
    def is_gone(self) -> bool:
        """Whether it has ended, after :meth:`stop`."""
        return self._child is None and not self._leaving

    def kill(self) -> None:
        """End it by force."""
        self._kill_at = float("inf")
        for child in self._leaving:
            os.kill(child.pid, signal.SIGKILL)  # our child, and not waited for yet
