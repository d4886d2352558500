"""How the servers of an album replicate, watched beside the pages: for the page *Servers*, and for Prometheus."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from ...album.store import Store, StoreError
from ...worker.telling import warn
from ..observing import metrics
from ..observing.exporter import Check, Wanted, answering, keep_file, listen, write_file

if TYPE_CHECKING:
    from ...album.couch.watching import Health, Watch

EVERY = 30.0
"""Seconds between two looks at all servers."""
SELDOM = 300.0
"""Seconds between two looks where nothing is to be seen: no other server, or our user may not look."""
SILENT = 300.0
"""Seconds without a look after which the watching is not alive. The slowest server has 15 s to answer in."""


class Told:
    """What was seen last, for who asks (:class:`..observing.exporter.Page`). ``watch``: None for an album that is in no
    CouchDB, which replicates with nobody."""

    def __init__(self, watch: "Watch | None") -> None:
        self._watch = watch

    @property
    def _last(self) -> "Health | None":
        return self._watch.last if self._watch is not None else None

    def text(self, *, open_metrics: bool = False) -> str:
        """The page of metrics."""
        links = self._last.links if self._last is not None else ()
        told = [
            metrics.Replication(one.state.source, one.state.target, one.is_well, one.state.lag, one.success)
            for one in links
        ]
        return metrics.text((), replications=told, open_metrics=open_metrics)

    def alive(self, now: float) -> Iterator[Check]:
        """Whether all servers were looked at not long ago."""
        if self._watch is None:
            return
        age = None if self._last is None else now - self._last.at
        against = "not yet looked at" if age is None else f"silent for {age:.0f} s" if age > SILENT + SELDOM else ""
        yield Check("replication", against)

    def ready(self, now: float) -> Iterator[Check]:
        """As :meth:`alive`: a server that is away is no reason not to show the album."""
        return self.alive(now)


@asynccontextmanager
async def watched(store: Store, wanted: Wanted, *, is_public: bool) -> "AsyncIterator[Watch | None]":
    """Meanwhile, watch the servers of the album and tell it as ``wanted``; what watches, None for an album that
    replicates with nobody. Raises :class:`~..settings.ConfigurationError` where nothing can listen."""
    from ...album.couch.store import CouchStore
    from ...album.couch.watching import Watch

    watch = Watch(store) if isinstance(store, CouchStore) and not is_public else None
    told = Told(watch)
    async with AsyncExitStack() as stack:
        if wanted.addr:
            server = await answering(told, listen(wanted.addr))
            stack.callback(server.close)
        tasks = [asyncio.create_task(_look(watch))] if watch is not None else []
        if wanted.file:
            stack.callback(_write_last, wanted.file, told)
            tasks.append(asyncio.create_task(keep_file(wanted.file, told)))
        stack.push_async_callback(_end, tasks)
        yield watch


async def _look(watch: "Watch") -> None:
    trouble = ""
    while True:
        try:
            health = await watch.look()
        except StoreError as error:
            if error.message != trouble:
                warn(f"the servers of the album are not watched: {error.message}", error.hint)
            trouble = error.message
            await asyncio.sleep(EVERY)
        else:
            trouble = ""
            await asyncio.sleep(EVERY if health.links or len(health.servers) > 1 else SELDOM)


def _write_last(path: str, told: Told) -> None:
    with suppress(OSError):
        write_file(path, told.text())


async def _end(tasks: "list[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
