"""The processor that takes photos in: an item of the spool becomes an original and a document, in this order.

1. **Read**: hash and decode all of the file, in a child process. What cannot be read fails here, and nothing is kept.
2. **Original** to the object store, under a key made of its content. From now on it cannot be lost.
3. **Document** with its renditions, in one write. From now on it is in the album.

Each step repeated changes nothing: the original is there and the same, and the document is there already. So a crash at
any point is mended by the next attempt, and the same photo dropped twice is one photo, whose edits stay.
"""

import asyncio
import pwd
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ..spool import names
from ..spool.item import Item
from ..spool.outcomes import Permanent, Scope, Temporary
from . import document, originals, times
from .store import Document, Stale, Store, StoreError

if TYPE_CHECKING:
    from ..processors.photo import Picture, Pictures

Fields = dict[str, Any]
Amend = Callable[[Item, Document, Store], Document]
"""What is known of a new photo beside its file goes into its document."""
Keep = Callable[[Item, str, str], Awaitable[Fields]]
"""Delivers an item as original: the item, its SHA-256 in hex, and the key it must get. Returns the receipt's fields,
``url`` among them, and raises :class:`Temporary` and :class:`Permanent`. It must deliver no other content."""

AGAIN = 0.5
"""Seconds until an item is tried again that met another's write."""


class Ingest:
    """Takes photos into the album that ``open_store`` opens; called with an item it returns the receipt's fields:
    those of the original's delivery, and ``document`` (the photo's id) and ``added`` (False: it was there already).

    ``read`` makes what decodes, when the first item comes. ``by``: who is told to have added the photos; '' is the
    owner of each file. ``amend`` has a look at each new document before it goes in. One object belongs to one event
    loop. Raises :class:`Temporary` and :class:`Permanent`.
    """

    def __init__(
        self,
        read: "Callable[[], Pictures]",
        keep: Keep,
        open_store: Callable[[], Awaitable[Store]],
        *,
        by: str = "",
        amend: Amend | None = None,
    ) -> None:
        self._make_pictures = read
        self._keep = keep
        self._open_store = open_store
        self._by = by
        self._amend = amend
        self._pictures: Pictures | None = None
        self._store: Store | None = None
        self._opening = asyncio.Lock()
        self._under_way: dict[str, asyncio.Event] = {}

    async def __call__(self, item: Item) -> Fields:
        """Take it in."""
        picture = await self.read(item)
        async with self._alone(picture.sha256):
            fields = await self._keep(item, picture.sha256, originals.key(picture.sha256, picture.extension))
            added = await self._add(item, picture, fields)
        return {**fields, "sha256": picture.sha256, "document": picture.sha256, "added": added}

    @asynccontextmanager
    async def _alone(self, sha256: str) -> AsyncIterator[None]:
        """The same photo under several names goes in once after the other: none must be tried again for another."""
        while (other := self._under_way.get(sha256)) is not None:
            await other.wait()
        over = self._under_way[sha256] = asyncio.Event()
        try:
            yield
        finally:
            del self._under_way[sha256]
            over.set()

    async def read(self, item: Item) -> "Picture":
        """What the item shows. A file that is being written to may look broken: then it is tried again."""
        if self._pictures is None:
            self._pictures = self._make_pictures()
        try:
            return await self._pictures.read(item.fd, item.name, item.mtime)
        except Permanent as error:
            if item.changed():
                raise Temporary(
                    f"the file changed while it was read: {names.show(item.name)}", after=AGAIN, reason="content"
                ) from error
            raise

    async def _add(self, item: Item, picture: "Picture", kept: Fields) -> bool:
        try:
            store = await self.store()
            made = document.new_photo(
                picture,
                original=str(kept["url"]),
                name=item.name,
                added=times.now(),
                addedby=self._by or owner_of(item),
            )
            if self._amend is not None:
                made = self._amend(item, made, store)
            return await store.add(made, document.renditions(picture))
        except StoreError as error:
            raise explain(error) from error

    async def store(self) -> Store:
        """The album, opened when it is first needed. Raises :class:`StoreError`; the next call tries again."""
        async with self._opening:
            if self._store is None:
                self._store = await self._open_store()
        return self._store

    async def close(self) -> None:
        """End it; nothing else may be called after that."""
        if self._pictures is not None:
            self._pictures.close()
        if self._store is not None:
            await self._store.close()


def explain(error: StoreError) -> Temporary:
    """What an album's error means for an item: never its own fault. Not reached, locked, full: the destination is
    paused; another write met: again at once; what we do not know: three in a row tell.

    >>> explain(StoreError("cannot reach the album", is_temporary=True)).scope, explain(StoreError("no")).scope
    (<Scope.DESTINATION: 'destination'>, <Scope.UNSURE: 'unsure'>)
    """
    if isinstance(error, Stale):
        return Temporary(error.message, hint=error.hint, after=AGAIN, reason="collision")
    scope = Scope.DESTINATION if error.is_temporary else Scope.UNSURE
    return Temporary(
        error.message, hint=error.hint, scope=scope, reason="server" if error.is_temporary else "other", state="album"
    )


def owner_of(item: Item) -> str:
    """The name of the user whose file it is."""
    uid = item.stat.st_uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
