"""A local copy of every original, verified: what a photographer takes home on a disk.

The directory has the originals' own keys below it, so it can be read as ``file:///DIR`` by everything that wants
originals. A file is whole and right under its name, or not there.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from . import disk, originals
from .fetched import Fetched
from .originals import Originals
from .store import Document, Missing, Store

PARALLEL = 4
"""Originals that are brought at a time."""


@dataclass(slots=True)
class Synced(Fetched):
    """What was done: originals brought; those that were there (and verified, unless it was asked to be quick) are
    ``kept``, those that were there and damaged are brought again: ``mended``."""

    brought: int = 0
    mended: int = 0


class Sync:
    """Copies the album's originals from ``place`` into ``directory``. ``quick``: what is there with the right size is
    believed. ``done``: where it counts, for who wants to look meanwhile."""

    def __init__(
        self, store: Store, place: Originals, directory: Path, *, quick: bool = False, done: Synced | None = None
    ) -> None:
        self._store = store
        self._originals = place
        self._root = directory
        self._quick = quick
        self.done = done if done is not None else Synced()

    async def run(self) -> Synced:
        """Copy all that is not there. Raises :class:`OSError` where the directory cannot be written, and
        :class:`~.store.StoreError`."""
        await asyncio.to_thread(lambda: self._root.mkdir(parents=True, exist_ok=True))
        await in_parallel(photos(self._store), PARALLEL, self._one)
        return self.done

    async def _one(self, document: Document) -> None:
        id = document["_id"]
        try:
            key = originals.key_of(document)
            path = self._root / key
            state = await asyncio.to_thread(self._state, path, document)
            if state == "right":
                self.done.kept += 1
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            read = await disk.fetch(self._originals, key, path, id)
        except (Missing, disk.Damaged, ValueError) as error:
            self.done.fail(document, error)
        else:
            self.done.bytes += read
            self.done.brought += state == "none"
            self.done.mended += state == "wrong"

    def _state(self, path: Path, document: Document) -> str:
        if not path.is_file():
            return "none"
        if path.stat().st_size != document.get("size"):
            return "wrong"
        return "right" if self._quick or disk.digest_of_file(path) == document["_id"] else "wrong"


async def photos(store: Store) -> AsyncIterator[Document]:
    """The documents of all photos, in the order of their ids."""
    async for id in store.ids():
        found = await store.get(id)
        if found is not None and found.get("type") == "photo":
            yield found


async def in_parallel(documents: AsyncIterator[Document], most: int, do: Callable[[Document], Awaitable[None]]) -> None:
    """Do it with each, with so many at a time; what one raises ends all."""
    room = asyncio.Semaphore(most)

    async def one(document: Document) -> None:
        try:
            await do(document)
        finally:
            room.release()

    try:
        async with asyncio.TaskGroup() as group:
            async for document in documents:
                await room.acquire()
                group.create_task(one(document))
    except* Exception as errors:
        raise errors.exceptions[0] from None
