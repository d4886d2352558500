"""A clock that jumps over waiting: an hour of a worker's life in a second, with its own loop, timers and files."""

import asyncio
import selectors
import time
from collections.abc import Mapping
from typing import Any

import pytest

from jollyae.worker.health import Health


class Clock:
    """``time.time`` and ``time.monotonic`` of this process, moved on whenever an event loop of :meth:`loop` waits.

    What it cannot move is the clock of the kernel: files get their times from it, and are older than they look."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moved = 0.0
        real, monotonic = time.time, time.monotonic
        monkeypatch.setattr(time, "time", lambda: real() + self.moved)
        monkeypatch.setattr(time, "monotonic", lambda: monotonic() + self.moved)
        defaults = Health.__init__.__kwdefaults__
        assert defaults is not None
        monkeypatch.setitem(defaults, "now", time.monotonic)  # the clock that it is given, if it is given none

    def loop(self) -> asyncio.AbstractEventLoop:
        """A loop that does not wait, unless for a thread: for nothing that is due it looks for events of files and
        sockets, and finds it is later."""
        return asyncio.SelectorEventLoop(_Jumping(self))


class _Jumping(selectors.BaseSelector):
    """A selector that moves the clock instead of waiting."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._inner = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; if nothing is, the time has passed."""
        found = self._inner.select(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        if timeout is None:
            return self._inner.select(None)
        self._clock.moved += timeout
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.modify(fileobj, events, data)

    def close(self) -> None:
        self._inner.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._inner.get_map()
