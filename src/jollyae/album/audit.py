"""Is all of it there? Each photo's original, with the right bytes, and its renditions; and originals of no photo.

With a repair: renditions are made again from the original, and an original that no document tells of gets one. What was
deleted stays deleted. What cannot be repaired is an original that is not there (bring it again) or is damaged (remove
it, and bring it again).
"""

import asyncio
import os
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..spool.outcomes import Permanent, Temporary
from . import disk, document, originals, times
from .originals import Kept, Originals
from .store import MEDIUM, THUMB, Document, Store

if TYPE_CHECKING:
    from ..processors.photo import Picture, Pictures

PARALLEL = 4
"""Photos that are looked at at a time."""
_JPEG = b"\xff\xd8\xff"


class Fault(StrEnum):
    """What is wrong with a photo."""

    MISSING = "missing"
    """Its original is not there."""
    DAMAGED = "damaged"
    """Its original has another size or other bytes."""
    UNSHOWN = "unshown"
    """Its renditions are not there, or are no pictures."""
    ORPHAN = "orphan"
    """An original that no document tells of."""
    BROKEN = "broken"
    """Its document does not tell of an original."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One photo with a fault. ``is_repaired``: it has it no longer; ``name``: how a person knows it, '' where no
    document tells."""

    id: str
    fault: Fault
    text: str
    is_repaired: bool = False
    name: str = ""

    def as_json(self) -> dict[str, Any]:
        """It, as a program reads it."""
        return {
            "id": self.id, "name": self.name, "fault": self.fault.value, "text": self.text, "repaired": self.is_repaired
        }  # fmt: skip


@dataclass(slots=True)
class Counts:
    """How many photos were looked at, how many originals of deleted photos are still kept, and how many photos were
    made of originals that belonged to none (of those that were repaired)."""

    photos: int = 0
    originals: int = 0
    deleted: int = 0
    bytes: int = 0
    faults: int = 0
    repaired: int = 0
    made: int = 0


class Audit:
    """An audit of the album and its originals. ``quick``: sizes only, no original is read. ``pictures``: what decodes,
    for a repair; None: nothing is changed."""

    def __init__(
        self,
        store: Store,
        place: Originals,
        *,
        quick: bool = False,
        pictures: "Callable[[], Pictures] | None" = None,
        by: str = "",
    ) -> None:
        self._store = store
        self._originals = place
        self._quick = quick
        self._make_pictures = pictures
        self._by = by
        self._pictures: Pictures | None = None
        self.counts = Counts()

    async def run(self) -> AsyncIterator[Finding]:
        """All findings. Raises :class:`~.store.StoreError` where album or originals cannot be asked."""
        orphans: list[Kept] = []
        looking: deque[asyncio.Task[Finding | None]] = deque()
        try:
            async for id, kept in self._pairs():
                if id is None:
                    orphans.extend(kept)
                    continue
                looking.append(asyncio.create_task(self._look(id, kept)))
                if len(looking) == PARALLEL and (found := await looking.popleft()) is not None:
                    yield self._counted(found)
            while looking:
                if (found := await looking.popleft()) is not None:
                    yield self._counted(found)
            for one in orphans:  # at the end: what was under way when it was listed has its document by now
                found = await self._orphan(one)
                if found is not None:
                    yield self._counted(found)
        finally:
            for task in looking:
                task.cancel()
            await asyncio.gather(*looking, return_exceptions=True)
            if self._pictures is not None:
                self._pictures.close()

    def _counted(self, finding: Finding) -> Finding:
        self.counts.faults += 1
        self.counts.repaired += finding.is_repaired
        return finding

    async def _pairs(self) -> AsyncIterator[tuple[str | None, list[Kept]]]:
        """Each photo with the originals of its digest, and (None, …) for those of no photo. Both lists come in the
        order of the digests, so nothing is held but what is compared."""
        kept = aiter(self._by_digest())
        next_one = await anext(kept, None)
        async for id in self._store.ids():
            while next_one is not None and next_one[0] < id:
                yield None, next_one[1]
                next_one = await anext(kept, None)
            if next_one is not None and next_one[0] == id:
                yield id, next_one[1]
                next_one = await anext(kept, None)
            else:
                yield id, []
        while next_one is not None:
            yield None, next_one[1]
            next_one = await anext(kept, None)

    async def _by_digest(self) -> AsyncIterator[tuple[str, list[Kept]]]:
        group: list[Kept] = []
        before = ""
        async for one in self._originals.listed():
            self.counts.originals += 1
            digest = (originals.parse(one.key) or ("", ""))[0]
            if digest != before and group:
                yield before, group
                group = []
            before = digest
            group.append(one)
        if group:
            yield before, group

    # --- a photo

    async def _look(self, id: str, kept: list[Kept]) -> Finding | None:
        found = await self._store.get(id)
        if found is None or found.get("type") != "photo":
            return None
        self.counts.photos += 1
        finding = await self._look_at(found, kept)
        return replace(finding, name=document.called(found)) if finding is not None else None

    async def _look_at(self, found: Document, kept: list[Kept]) -> Finding | None:
        id = found["_id"]
        try:
            key = originals.key_of(found)
        except ValueError as error:
            return Finding(id, Fault.BROKEN, str(error))
        size = next((one.size for one in kept if one.key == key), None)
        if size is None:
            size = await self._originals.size(key)  # it came after the list was made
        if size is None:
            return Finding(id, Fault.MISSING, f"there is no {key} in {self._originals.url}")
        if size != found.get("size"):
            return Finding(id, Fault.DAMAGED, f"{key} has {size} bytes, and should have {found.get('size')}")
        if not self._quick:
            digest, read = await disk.digest_of(self._originals.read(key))
            self.counts.bytes += read
            if digest != id:
                return Finding(id, Fault.DAMAGED, f"{key} has the SHA-256 {digest}")
        return await self._look_at_renditions(found, key)

    async def _look_at_renditions(self, found: Document, key: str) -> Finding | None:
        id = found["_id"]
        lacking = [name for name in (THUMB, MEDIUM) if not await self._is_shown(id, name)]
        if not lacking:
            return None
        if trouble := str(found.get("trouble", "")):  # known, and said on its page: a repair may do what is new to us
            repaired = await self._repair(found, key) if self._make_pictures else ""
            return Finding(id, Fault.UNSHOWN, f"it could not be shown: {trouble}", True) if repaired == "done" else None
        text = f"it has no {' and no '.join(lacking)}"
        if self._make_pictures is None:
            return Finding(id, Fault.UNSHOWN, text)
        said = await self._repair(found, key)
        return Finding(id, Fault.UNSHOWN, text if said == "done" else f"{text}: {said}", said == "done")

    async def _is_shown(self, id: str, name: str) -> bool:
        rendition = await self._store.rendition(id, name)
        return rendition is not None and rendition.body.startswith(_JPEG)

    async def _repair(self, found: Document, key: str) -> str:
        """Make the renditions again; 'done', or why not."""
        try:
            picture = await self._read(key, str(found.get("name", "")), 0.0)
        except (Permanent, Temporary) as error:
            return error.message
        if not picture.renditions:
            return picture.trouble or "nothing of it can be shown"
        await self._store.set_renditions(found["_id"], document.renditions(picture))
        if found.get("trouble"):
            fresh = await self._store.get(found["_id"])
            if fresh is not None:
                fresh.pop("trouble", None)
                await self._store.put(fresh)
        return "done"

    # --- an original of no photo

    async def _orphan(self, kept: Kept) -> Finding | None:
        digest, extension = originals.parse(kept.key) or ("", "")
        found = await self._store.get(digest)
        if found is not None and found.get("extension") == extension:
            return None
        if found is None and await self._store.leaves(digest):
            self.counts.deleted += 1  # somebody took the photo out of the album; its original is kept
            return None
        text = f"{kept.key} ({kept.size} bytes) belongs to no photo"
        if self._make_pictures is None or found is not None:
            return Finding(digest, Fault.ORPHAN, text)
        said = await self._adopt(kept, digest)
        return Finding(digest, Fault.ORPHAN, text if said == "done" else f"{text}: {said}", said == "done")

    async def _adopt(self, kept: Kept, digest: str) -> str:
        """Make a document for it; 'done', or why not."""
        try:
            picture = await self._read(kept.key, kept.key.rpartition("/")[2], time.time())
        except (Permanent, Temporary) as error:
            return error.message
        if picture.sha256 != digest:
            return f"it has the SHA-256 {picture.sha256}"
        url = f"{self._originals.url.rstrip('/')}/{kept.key}"
        name = kept.key.rpartition("/")[2]
        made = document.new_photo(picture, original=url, name=name, added=times.now(), addedby=self._by)
        await self._store.add(made, document.renditions(picture))
        self.counts.made += 1
        return "done"

    async def _read(self, key: str, name: str, mtime: float) -> "Picture":
        """Decode an original, by way of a file."""
        assert self._make_pictures is not None
        if self._pictures is None:
            self._pictures = self._make_pictures()
        with tempfile.TemporaryDirectory(prefix="jollyae-audit-") as directory:
            path = Path(directory) / "original"
            await asyncio.to_thread(path.touch, 0o600)
            with path.open("wb") as file:
                async for data in self._originals.read(key):
                    file.write(data)
            return await self._pictures.read(os.fspath(path), name, mtime)
