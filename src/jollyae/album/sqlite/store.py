"""The store on SQLite: each method one piece of work for the connections."""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Mapping

from ..store import (
    Audience,
    Card,
    Change,
    Count,
    Cursor,
    Document,
    Leaf,
    Query,
    Rendition,
    StoreError,
)
from . import listing, reading, tree
from .connections import Connections

_SERVER = "server"
_KEPT = "kept:"
"""Before the names that others chose for what is remembered."""
_BATCH = 500
"""Rows that one piece of work reads where all are wanted."""
_GLANCE = 0.1
"""Seconds between two looks at whether anybody wrote, this process or another."""
_GLANCES = 20
"""Looks at the file's trace, after which the file itself is asked: two writes may leave one trace."""


class SqliteStore:
    """An album in one file. Made by :func:`open_sqlite`; implements :class:`..store.Store`. Any number of them, in any
    number of processes on one machine, may have the same file open."""

    def __init__(self, connections: Connections, server: str) -> None:
        self._connections = connections
        self.url = connections.url
        self.server = server

    def __repr__(self) -> str:
        return f"SqliteStore({self.url!r})"

    async def close(self) -> None:
        """See :meth:`..store.Store.close`."""
        await self._connections.close()

    # --- writing

    async def add(self, document: Document, renditions: Mapping[str, Rendition]) -> bool:
        """See :meth:`..store.Store.add`."""
        return await self._connections.write(lambda db: tree.add(db, document, renditions))

    async def put(self, document: Document) -> str:
        """See :meth:`..store.Store.put`."""
        return await self._connections.write(lambda db: tree.put(db, document))

    async def set_renditions(self, id: str, renditions: Mapping[str, Rendition]) -> None:
        """See :meth:`..store.Store.set_renditions`."""
        await self._connections.write(lambda db: tree.set_renditions(db, id, renditions))

    async def remove(self, id: str, rev: str) -> None:
        """See :meth:`..store.Store.remove`."""
        await self._connections.write(lambda db: tree.remove(db, id, rev))

    # --- reading one

    async def get(self, id: str) -> Document | None:
        """See :meth:`..store.Store.get`."""
        return await self._connections.read(lambda db: reading.get(db, id))

    async def rendition(self, id: str, name: str, rev: str = "") -> Rendition | None:
        """See :meth:`..store.Store.rendition`."""
        return await self._connections.read(lambda db: reading.rendition(db, id, name, rev))

    async def comments(self, id: str) -> list[Document]:
        """See :meth:`..store.Store.comments`."""
        return await self._connections.read(lambda db: reading.beginning_with(db, f"comment:{id}:"))

    # --- reading many

    async def photos(
        self, query: Query, *, after: Cursor | None = None, backwards: bool = False, limit: int = 60
    ) -> list[Card]:
        """See :meth:`..store.Store.photos`."""
        return await self._connections.read(lambda db: listing.photos(db, query, after, backwards, limit))

    async def count(self, query: Query) -> int:
        """See :meth:`..store.Store.count`."""
        return await self._connections.read(lambda db: listing.count(db, query))

    async def keywords(self, audience: Audience) -> list[Count]:
        """See :meth:`..store.Store.keywords`."""
        return await self._connections.read(lambda db: listing.keywords(db, audience))

    async def cameras(self, audience: Audience) -> list[Count]:
        """See :meth:`..store.Store.cameras`."""
        return await self._connections.read(lambda db: listing.cameras(db, audience))

    async def months(self, audience: Audience) -> list[Count]:
        """See :meth:`..store.Store.months`."""
        return await self._connections.read(lambda db: listing.months(db, audience))

    async def users(self) -> list[Document]:
        """See :meth:`..store.Store.users`."""
        return await self._connections.read(lambda db: reading.beginning_with(db, "user:"))

    async def ids(self) -> AsyncIterator[str]:
        """See :meth:`..store.Store.ids`."""
        found = await self._photo_ids("")
        while found:
            for id in found:
                yield id
            found = await self._photo_ids(found[-1])

    async def _photo_ids(self, after: str) -> list[str]:
        return await self._connections.read(lambda db: reading.photo_ids(db, after, _BATCH))

    # --- what replication brings

    async def conflicts(self) -> list[str]:
        """See :meth:`..store.Store.conflicts`."""
        return await self._connections.read(reading.conflicts)

    async def leaves(self, id: str) -> list[Leaf]:
        """See :meth:`..store.Store.leaves`. Renditions are told by their type and digest, with empty bodies."""
        return await self._connections.read(lambda db: reading.leaves(db, id))

    async def take(self, leaf: Leaf) -> None:
        """See :meth:`..store.Store.take`."""
        await self._connections.write(lambda db: tree.take(db, leaf))

    async def changes(self, since: str = "", *, follow: bool = False) -> AsyncIterator[Change]:
        """See :meth:`..store.Store.changes`. Writes of other processes are seen as soon as our own, in 0.1 s."""
        if since and not since.isdecimal():
            raise StoreError(f"no place in the changes of {self.url}: {since[:40]}", "Begin from the beginning.")
        last = int(since or 0)
        while True:
            trace = self._connections.trace()
            found = await self._changes(last)
            for change in found:
                last = int(change.seq)
                yield change
            if not found and not follow:
                return
            if not found:
                await self._write_since(trace)

    async def _write_since(self, trace: object) -> None:
        """Wait until somebody may have written since the trace was taken."""
        for _ in range(_GLANCES):
            await asyncio.sleep(_GLANCE)
            if self._connections.trace() != trace:
                return

    async def _changes(self, since: int) -> list[Change]:
        return await self._connections.read(lambda db: reading.changes(db, since, _BATCH))

    # --- this server's own

    async def remembered(self, name: str) -> Document:
        """See :meth:`..store.Store.remembered`."""
        return await self._connections.read(lambda db: reading.remembered(db, _KEPT + name))

    async def remember(self, name: str, value: Document) -> None:
        """See :meth:`..store.Store.remember`."""
        await self._connections.write(lambda db: reading.remember(db, _KEPT + name, value))

    async def compact(self) -> None:
        """See :meth:`..store.Store.compact`."""
        await self._connections.compact()


async def open_sqlite(path: str, *, create: bool = False, server: str = "") -> SqliteStore:
    """The album in the file at ``path``. ``create``: make it if it is missing; then ``server`` is this server's name in
    the stamps of edits (else one is made of the machine's). Raises :class:`StoreError`."""
    connections = await asyncio.to_thread(Connections, path, create=create)
    try:
        return SqliteStore(connections, await _name_server(connections, server))
    except BaseException:
        await connections.close()
        raise


async def _name_server(connections: Connections, wanted: str) -> str:
    """The server's name that is in the file; made now if there is none, or if the file is the copy of another: both
    would be one server to the merge, which takes the later of one server's edits.

    Two albums on one machine are two servers too: nothing but their stamps tells their edits apart."""
    inode = connections.inode
    found = await connections.read(lambda db: reading.remembered(db, _SERVER))
    if found.get("inode") != inode:
        name = wanted or f"{socket.gethostname().partition('.')[0]}-{secrets.token_hex(2)}"
        found = await connections.write(lambda db: reading.name_server(db, _SERVER, {"name": name, "inode": inode}))
    return str(found["name"])
