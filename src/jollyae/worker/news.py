"""What the listeners are told of the worker, and when: four times a second while anything happens, and for some seconds
after; then once a minute, as a sign of life. An idle worker uses no CPU to say that it is idle.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from .state import Snapshot
from .view import Situation, View

TELL_EVERY, WATCH_EVERY, IDLE_EVERY = 0.25, 1.0, 5.0
"""Seconds between two looks for what the listeners are told: while there is news, while something must be looked for
of which nobody tells us, and while there is neither; then what stirs is looked at at once."""
BEAT_EVERY = 60.0
"""Seconds after which they are told though there is none: who watches us learns that we live."""
NEWS_FOR = 3.0
"""Seconds for which they are told again what did not change: the state file is written once a second at most."""

Listener = Callable[[Snapshot], None]


class News:
    """What ``listeners`` are told of what ``view`` sees."""

    def __init__(self, view: View, listeners: Iterable[Listener]) -> None:
        self._view = view
        self._listeners = list(listeners)
        self._mark: tuple[object, ...] = ()
        self._has_any = True
        self._until = self._next_beat = 0.0
        self._looked = 0.0
        self.stirred = asyncio.Event()
        """To be set when something happens: it ends the long wait of an idle worker."""

    async def wait(self, *, hears_all: bool) -> None:
        """Wait until the next :meth:`look` is due. ``hears_all``: nothing has to be looked for each second, since all
        that matters sets :attr:`stirred`."""
        pause = self._pause(hears_all)
        if pause <= WATCH_EVERY:
            await asyncio.sleep(pause)
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self.stirred.wait()
        self.stirred.clear()

    def _pause(self, hears_all: bool) -> float:
        if self._has_any:
            return TELL_EVERY
        if not hears_all:
            return WATCH_EVERY
        return min(IDLE_EVERY, max(self._next_beat - time.monotonic(), TELL_EVERY))

    def look(self, situation: Situation) -> None:
        """Tell the listeners, if there is any."""
        self._has_any = self._is_any(situation)
        if self._has_any:
            self.tell(situation)

    def _is_any(self, situation: Situation) -> bool:
        """Whether anything happened lately that a listener would show, or a sign of life is due."""
        now, mark = time.monotonic(), self._view.mark(situation)
        if situation.flying or mark != self._mark:
            self._mark, self._until = mark, now + NEWS_FOR
        elif now < self._next_beat:
            return now < self._until
        self._looked, self._next_beat = time.time(), now + BEAT_EVERY
        return True

    def tell(self, situation: Situation) -> None:
        """Tell the listeners; at the end too, for a short run would have told nothing."""
        snapshot = self._view.snapshot(situation, self._looked)
        for listener in self._listeners:
            listener(snapshot)
