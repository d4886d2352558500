"""Loading a configuration again while everything runs: a child reads and tries it, so whatever that takes, and whatever
it does to the process that does it, the parent and its workers go on."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from ...spool.spool import SpoolError
from ..settings import ConfigurationError, Queue
from .nursery import Child, Nursery
from .siblings import Line, Refusal

LOAD_WITHIN = 60.0
"""Seconds for loading and trying a configuration: a file system of a dead server does not answer."""
_SOON = 0.25  # seconds between two looks for a child whose line has ended and that is not quite gone
_NEVER = float("inf")
_AGAIN = "Try again: kill -HUP."


class Loading:
    """``load(queues)`` is called in the child, with what runs by now; it raises :class:`ConfigurationError` or
    :class:`SpoolError`. ``over`` is called with what it returned (which goes from process to process, so it is plain
    values), or with the :class:`Refusal`."""

    def __init__(self, nursery: Nursery, load: Callable[[tuple[Queue, ...]], Any], over: Callable[[Any], None]) -> None:
        self._nursery = nursery
        self._load = load
        self._over = over
        self._child: Child | None = None
        self._past: list[Child] = []
        self._found: Any = None
        self._give_up_at = _NEVER

    @property
    def is_busy(self) -> bool:
        """Whether one is being loaded."""
        return self._child is not None

    def begin(self, queues: tuple[Queue, ...]) -> None:
        """Have a child load it."""
        self._found = Refusal("the process that read it died", _AGAIN)
        self._give_up_at = time.monotonic() + LOAD_WITHIN

        def live(line: Line) -> int:
            try:
                line.say(self._load(queues))
            except (ConfigurationError, SpoolError) as error:
                line.say(Refusal(error.message, error.hint))
            return 0

        try:
            self._child = self._nursery.fork(live, self._hear)
        except OSError as error:
            self._over(Refusal(f"no process can be started: {error.strerror}", _AGAIN))

    def _hear(self, child: Child) -> None:
        for report in child.line.reports():
            if report is not None:
                self._found = report
                continue
            self._nursery.deafen(child)
            self._past.append(child)
            self._child = None
            self._give_up_at = _NEVER
            self._over(self._found)

    def due(self) -> float:
        """When it has something to do, on the monotonic clock."""
        return min(self._give_up_at, time.monotonic() + _SOON if self._past else _NEVER)

    def do_what_is_due(self) -> None:
        """End one that does not come to an end, and wait for those that have."""
        if time.monotonic() >= self._give_up_at and self._child is not None:
            self._found = Refusal(f"it could not be read and tried in {LOAD_WITHIN:g} s", "Does each spool answer?")
            self._give_up_at = _NEVER
            os.kill(self._child.pid, signal.SIGKILL)  # our child, and not waited for yet
        self._past = [one for one in self._past if self._nursery.reap(one) is None]
