"""Tells open pages that something happened: the times of some directories and files are looked at five times a second,
for as long as a page is open, and not more than that; what it means is read by who is told."""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress

from .queue import Queue

EVERY = 0.2
"""Seconds between two looks."""
AT_LEAST = 2.0
"""So often (seconds) something is said to have happened even if not: rates and ages change by themselves."""

Signs = dict[str, list[object]]


class Watching:
    """Counts what happens (``number``) while somebody waits for it. ``moved`` is called with the name of a queue in
    which something was."""

    def __init__(
        self, queues: Callable[[], Sequence[Queue]], moved: Callable[[str], object], stopping: asyncio.Event
    ) -> None:
        self._queues = queues
        self._moved = moved
        self._stopping = stopping
        self._happened = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._waiting = 0
        self.number = 0

    async def after(self, number: int, most: float) -> int:
        """Wait until something happened since ``number`` was told, at most so many seconds; the number now."""
        self._waiting += 1
        if self._task is None:
            self._task = asyncio.create_task(self._look())
        try:
            async with self._happened:
                with suppress(TimeoutError):
                    async with asyncio.timeout(most):
                        await self._happened.wait_for(lambda: self.number != number or self._stopping.is_set())
            return self.number
        finally:
            self._waiting -= 1

    async def tell(self) -> None:
        """Something happened."""
        async with self._happened:
            self.number += 1
            self._happened.notify_all()

    async def _look(self) -> None:
        """Ends by itself when nobody waits any more."""
        last: Signs = {}
        quiet = unasked = 0
        try:
            while unasked < 10 and not self._stopping.is_set():
                signs = await asyncio.to_thread(signs_of, self._queues())
                for name in [name for name, found in signs.items() if found != last.get(name)]:
                    self._moved(name)
                quiet = 0 if signs != last or quiet * EVERY >= AT_LEAST else quiet + 1
                if quiet == 0:
                    last = signs
                    await self.tell()
                unasked = 0 if self._waiting else unasked + 1
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), EVERY)
        finally:
            self._task = None
            await self.tell()


def signs_of(queues: Sequence[Queue]) -> Signs:
    """The times of what changes when something happens. Blocking; some microseconds for each queue and worker."""
    return {queue.name: _signs(queue) for queue in queues}


def _signs(queue: Queue) -> list[object]:
    places = queue.spool.places
    paths = [places.control, places.incoming, places.deferred, places.failed, places.working]
    found: list[object] = [_time(os.fspath(path)) for path in paths]
    with suppress(OSError), os.scandir(places.working) as entries:
        found += sorted((entry.name, _time(f"{entry.path}/.state.json")) for entry in entries if entry.is_dir())
    return found


def _time(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
