"""Gathers messages about deliveries into batches: a processor that is done with a message when it is in one, on the
disk. What waits together is brought to the disk together. A batch is closed when it has so many entries, so many
seconds after its first one, and when the worker ends.
"""

import asyncio
import logging
from typing import Any

from ...spool.item import Item
from ..notify import message
from .batches import Batches
from .formats import Entry, entry

log = logging.getLogger("jollyae")
_AGAIN = 5.0  # seconds until a batch is tried again that could not be closed


class Gather:
    """``items``: entries of a batch at the most; ``every``: seconds."""

    def __init__(self, batches: Batches, items: int, every: float) -> None:
        self._batches = batches
        self._items = items
        self._every = every
        self._waiting: list[tuple[Entry, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._closer: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._disk = asyncio.Lock()
        self.shown = "manifest"

    async def __call__(self, item: Item) -> dict[str, Any]:
        """Put the message that is an item into a batch. Raises :class:`~jollyae.spool.outcomes.Permanent` for what is
        none, and :class:`OSError`."""
        told = message.of(item)
        fields = {"notified": self.shown, "delivery": told.id}
        if (one := entry(told)) is None:
            return fields
        if self._batches.knows(one.id):
            return {**fields, "already_there": True}
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((one, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await done
        return fields

    async def recover(self) -> None:
        """Make the manifests that dead workers owe."""
        try:
            async with self._disk:
                await asyncio.to_thread(self._batches.recover)
        except OSError as error:  # it is done before the next batch is begun
            log.warning("old manifests cannot be made: %s", error.strerror, extra={"hint": "It is tried again."})

    async def end(self) -> None:
        """Close the batch: the worker ends. What cannot be closed is the next one's."""
        if self._writer is not None:
            await self._writer
        await self._try_to_close()
        if self._timer is not None:
            self._timer.cancel()

    async def _write(self) -> None:
        while self._waiting:
            taken = self._waiting[: max(self._items - self._batches.count, 1)]
            self._waiting = self._waiting[len(taken) :]
            error: OSError | None = None
            async with self._disk:
                try:
                    await asyncio.to_thread(self._batches.add, [one for one, _ in taken])
                except OSError as failed:
                    error = failed
            for _, done in taken:
                if not done.done():
                    done.set_result(None) if error is None else done.set_exception(error)
            await self._look()

    async def _look(self) -> None:
        """Close the batch if it is full; else see that it will be in time."""
        if self._batches.count >= self._items:
            await self._try_to_close()
        elif self._batches.count and self._timer is None:
            self._later(self._every)

    def _later(self, seconds: float) -> None:
        def due() -> None:
            self._timer = None
            self._closer = asyncio.create_task(self._try_to_close())

        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, due)

    async def _try_to_close(self) -> None:
        try:
            await self._close()
        except OSError as error:
            log.warning("a manifest cannot be made: %s", error.strerror, extra={"hint": "It is tried again."})
            self._later(_AGAIN)

    async def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        async with self._disk:
            await asyncio.to_thread(self._batches.close)
