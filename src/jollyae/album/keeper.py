"""Keeps an album in order while servers replicate: merges what can be merged, and keeps the public album.

:func:`keep` follows the changes of a store. For each it

1. merges the document's leaves, if :mod:`.merge` finds no conflict for a person to decide;
2. brings the public store to what :mod:`.projection` says that it may have of the document; a photo's comments come
   and go with it.

Both are functions of what is there, and every write is a :meth:`~.store.Store.take` of a revision that depends on
nothing else: doing it twice changes nothing, two servers that do it write the same, and a crash at any point costs the
repetition of what was done since the place that is remembered (in the public store, where there is one: who throws it
away and makes it anew begins from the beginning).
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from . import public_album
from .merge import leaves_to_take, merged
from .projection import is_public, projected
from .projection import public as public_document
from .revisions import content, is_deleted
from .store import Audience, Change, Document, Leaf, Query, Store, StoreError

log = logging.getLogger(__name__)

PLACE = "keeper"
"""Under this name it is remembered how far the changes were followed."""
COMMENT = "comment:"
"""With this a comment's id begins, a deleted one's too."""
REMEMBER_SECONDS = 1.0
"""While changes come, their place is written down this often."""
COMPACT_SECONDS = 300.0
"""At most this long after a photo left the public store its old revisions hold nothing any more."""
LONGEST_PAUSE = 60.0
"""Seconds between two tries while a store cannot be reached, at most."""


@dataclass(slots=True)
class Kept:
    """What was done: documents merged, in conflict (a person must decide), published or republished (``comments``: how
    many of those were comments, the others are photos), and withdrawn."""

    changes: int = 0
    merged: int = 0
    conflicts: int = 0
    published: int = 0
    comments: int = 0
    withdrawn: int = 0


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the public store has of a document, for a comparison without asking it again."""

    rev: str
    digest: str
    is_deleted: bool
    has_conflicts: bool


async def keep(store: Store, public: Store | None, *, once: bool = False) -> Kept:
    """Merge, and keep ``public`` (None: only merge). ``once``: look at every document of both stores, mend what
    differs, and return; else go on from the remembered place, for ever. Raises :class:`StoreError`; what is temporary
    only with ``once``, otherwise it is tried again."""
    if public is not None:
        await check(store, public)
    keeper = _Keeper(store, public)
    if once:
        await keeper.mend()
    else:
        await keeper.follow()
    return keeper.kept


async def check(store: Store, public: Store) -> None:
    """Raise :class:`StoreError` where ``public`` is the same album, or one in its own right: what is not Public would
    be deleted from it, and its users. (An address was typed wrong, or they are the wrong way round.) One that a keeper
    made before is known by what it remembered there, and every one remembers from now on whose it is."""
    if public.server == store.server or public.url == store.url:
        raise StoreError(f"{store.url} cannot be its own public album", "Give another URL for the public one.")
    source = (await public.remembered(PLACE)).get("source")
    if source == public.server:
        why = "it is kept as an album"
    elif source is not None and await public_album.is_marked(public):
        why = ""
    else:  # new; of an older keeper; or the copy of an album's file, which has another name than the one that was kept
        why = await why_private(public)
    if not why:
        if source is None:
            await public.remember(PLACE, {"source": store.server, "seq": ""})
        await public_album.mark(public, store)
        return
    raise StoreError(
        f"{public.url} is no public album: {why}; what is not Public would be deleted from it",
        "The album comes first, then the public one, which is made by this. Are they the wrong way round? Instead of a "
        "public one that something else was copied into, name a new one.",
    )


async def why_private(store: Store) -> str:
    """What is against this being a public album; '' where it holds nothing but what everybody may see."""
    if await store.users() or await store.count(Query(Audience.ALL)) != await store.count(Query(Audience.PUBLIC)):
        return "it has users, or photos that are not Public"
    if any([await _has_original(store, card.id) for card in await store.photos(Query(Audience.ALL), limit=1)]):
        return "its photos have originals"
    return ""


async def _has_original(store: Store, id: str) -> bool:
    return "original" in (await store.get(id) or {})


class _Keeper:
    def __init__(self, store: Store, public: Store | None) -> None:
        self.store = store
        self.public = public
        self.kept = Kept()
        self._memory = public or store
        self._last_remembered = time.monotonic()
        self._is_to_compact = False

    # --- following

    async def follow(self) -> None:
        """For ever."""
        self._is_to_compact = True  # what was not compacted before the end of the last one
        timer = asyncio.create_task(self._compact_on_timer())
        try:
            async for change in self._changes():
                await self._patiently(change)
                if time.monotonic() - self._last_remembered >= REMEMBER_SECONDS:
                    await self._remember(change.seq)
        finally:
            timer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await timer

    async def _changes(self) -> AsyncIterator[Change]:
        place = await self._memory.remembered(PLACE)
        since = str(place.get("seq", "")) if place.get("source") == self.store.server else ""
        async for change in self.store.changes(since, follow=True):
            yield change

    async def _patiently(self, change: Change) -> None:
        pause = 1.0
        while True:
            try:
                return await self._settle(change.document["_id"])
            except StoreError as error:
                if not error.is_temporary:
                    raise
                log.warning("the album is kept later: %s", error.message)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _remember(self, seq: str) -> None:
        with contextlib.suppress(StoreError):  # forgetting costs repetitions
            await self._memory.remember(PLACE, {"source": self.store.server, "seq": seq})
        self._last_remembered = time.monotonic()

    async def _compact_on_timer(self) -> None:
        while True:
            await asyncio.sleep(COMPACT_SECONDS)
            await self._compact()

    async def _compact(self) -> None:
        if self.public is None or not self._is_to_compact:
            return
        self._is_to_compact = False
        try:
            await self.public.compact()
        except StoreError as error:  # a mere member may not; what is left is old, and was public
            self._is_to_compact = True
            log.warning("the public album is not compacted: %s", error.message)

    # --- a full pass

    async def mend(self) -> None:
        """Every document of both stores, once."""
        shown = await self._shown()
        seq = ""
        async for change in self.store.changes():
            seq = change.seq
            there = shown.pop(change.document["_id"], None)
            if not self._is_settled(change.document, there):
                await self._settle(change.document["_id"])
            self.kept.changes += 1
        for id, there in shown.items():
            if not there.is_deleted:  # what the main store never had
                await self._project(id, [], photo_is_public=False)
        if seq:
            await self._remember(seq)
        await self._compact()

    async def _shown(self) -> dict[str, _Shown]:
        """All that the public store has, tombstones too."""
        found: dict[str, _Shown] = {}
        if self.public is not None:
            async for change in self.public.changes():
                document = change.document
                found[document["_id"]] = _Shown(
                    document["_rev"], _digest(document), change.is_deleted, bool(document.get("_conflicts"))
                )
        return found

    def _is_settled(self, document: Document, there: _Shown | None) -> bool:
        """Whether a look at both winners shows that there is nothing to do. (Comments depend on their photo.)"""
        if document.get("_conflicts") or document.get("type") == "comment":
            return False
        if self.public is None:
            return True
        wanted = public_document(document)
        if wanted is None:
            return there is None or there.is_deleted
        is_same = there is not None and there.rev == document["_rev"] and there.digest == _digest(wanted)
        return is_same and there is not None and not there.is_deleted and not there.has_conflicts

    # --- one document

    async def _settle(self, id: str) -> None:
        """Merge it, and bring the public store to what it may have of it. What was published is looked at again: it may
        have become private after it was read, and another keeper may have seen that before this one published it."""
        while True:
            leaves = await self._merge(id)
            if self.public is None or not await self._project_all(id, leaves):
                return
            now = await self.store.leaves(id)
            is_its_photo_public = not id.startswith(COMMENT) or await self._is_photo_public(now)
            if _revs(now) == _revs(leaves) and is_its_photo_public:
                return

    async def _project_all(self, id: str, leaves: list[Leaf]) -> bool:
        """It, and a photo's comments with it. Whether something was published."""
        if id.startswith(COMMENT):
            return await self._project(id, leaves, photo_is_public=await self._is_photo_public(leaves))
        if is_public(leaves):
            return await self._project(id, leaves) | await self._project_comments(id, photo_is_public=True)
        # First what belongs to it: a crash between the two leaves no comment without its photo.
        await self._project_comments(id, photo_is_public=False)
        return await self._project(id, leaves)

    async def _merge(self, id: str) -> list[Leaf]:
        """Its leaves, merged if they can be."""
        leaves = await self.store.leaves(id)
        if sum(not is_deleted(leaf) for leaf in leaves) < 2:
            return leaves
        merge = merged(leaves)
        if merge is None:
            self.kept.conflicts += 1
            return leaves
        for leaf in leaves_to_take(merge):
            await self.store.take(leaf)
        self.kept.merged += 1
        return await self.store.leaves(id)

    async def _is_photo_public(self, comment: list[Leaf]) -> bool:
        """Whether the photo of that comment is public, and the comment on no other."""
        photos = {str(leaf.document.get("photo", "")) for leaf in comment if not is_deleted(leaf)}
        return len(photos) == 1 and is_public(await self.store.leaves(photos.pop()))

    async def _project_comments(self, photo: str, *, photo_is_public: bool) -> bool:
        assert self.public is not None
        comments = [*await self.store.comments(photo), *await self.public.comments(photo)]
        done = [
            await self._project(id, await self.store.leaves(id), photo_is_public=photo_is_public)
            for id in dict.fromkeys(comment["_id"] for comment in comments)
        ]
        return any(done)

    async def _project(self, id: str, leaves: list[Leaf], *, photo_is_public: bool = True) -> bool:
        """Have the public store take what it lacks. Whether something was published."""
        assert self.public is not None
        there = await self.public.leaves(id)
        todo = projected(leaves, there, photo_is_public=photo_is_public)
        for leaf in todo:
            await self.public.take(leaf if is_deleted(leaf) else await self._with_renditions(leaf, leaves, there))
        is_published = any(not is_deleted(leaf) for leaf in todo)
        self.kept.published += is_published
        self.kept.comments += is_published and id.startswith(COMMENT)
        self.kept.withdrawn += bool(todo) and not is_published
        self._is_to_compact |= bool(todo)
        return is_published

    async def _with_renditions(self, leaf: Leaf, leaves: list[Leaf], there: list[Leaf]) -> Leaf:
        """The leaf with its photo's renditions, unless the public store has the same ones in the leaf before it."""
        source = next(one for one in leaves if not is_deleted(one))
        digests = {name: one.digest for name, one in source.renditions.items()}
        for one in there:
            is_before = not is_deleted(one) and one.document["_rev"] in leaf.revisions[1:]
            if is_before and {name: rendition.digest for name, rendition in one.renditions.items()} == digests:
                return leaf
        id = leaf.document["_id"]
        rev = source.document["_rev"]
        found = {name: await self.store.rendition(id, name, rev) for name in source.renditions}
        return replace(leaf, renditions={name: one for name, one in found.items() if one is not None})


def _digest(document: Document) -> str:
    text = json.dumps(content(document), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _revs(leaves: list[Leaf]) -> list[str]:
    return [leaf.document["_rev"] for leaf in leaves]
