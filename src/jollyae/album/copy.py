"""An album copied into another one, of whichever kind, with nothing lost: photos with all their leaves and renditions,
comments, users, and what was deleted. Revisions stay what they are, so servers that replicate with the one go on with
the other, and doing it again copies only what is new. What this server remembers for itself is not copied.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

from . import public_album
from .revisions import content, is_deleted
from .store import MEDIUM, THUMB, Leaf, Rendition, Store, StoreError

AT_ONCE = 8
"""Documents that are copied at a time: the renditions of so many are in memory."""


@dataclass(slots=True)
class Report:
    """What was copied. ``documents``: those that there are, by type ('photo', 'comment', 'user', 'deleted');
    ``leaves`` and ``renditions``: those that were new; ``wrong``: the ids of documents that are not the same in both
    after all, and why; ``gone``: those that are there in the source, and were deleted in the target, which wins."""

    documents: dict[str, int] = field(default_factory=dict)
    leaves: int = 0
    renditions: int = 0
    wrong: dict[str, str] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many documents there are."""
        return sum(self.documents.values())


Progress = Callable[[str, int], None]
"""Told after each document: 'copied' or 'verified', and how many so far."""


def silent(step: str, number: int) -> None:
    """No progress."""


async def copy(source: Store, target: Store, progress: Progress = silent) -> Report:
    """Copy all of ``source`` into ``target``, what is written meanwhile included, then compare both, byte by byte. What
    ``target`` has besides stays. Raises :class:`StoreError`, where ``target`` is a public album with nothing done; else
    what was copied by then stays, and need not be again."""
    if source.url == target.url:
        raise StoreError(f"{source.url} cannot be copied onto itself", "Give another URL to copy to.")
    await public_album.refuse(target)
    job = _Job(source, target, progress)
    await job.run()
    return job.report


@dataclass(slots=True)
class _Job:
    source: Store
    target: Store
    progress: Progress
    report: Report = field(default_factory=Report)
    kinds: dict[str, str] = field(default_factory=dict)
    """Of each document that was copied: what it is."""
    seq: str = ""
    _new: set[str] = field(default_factory=set)
    """Documents that the target had nothing of before."""
    _verified: int = 0

    async def run(self) -> None:
        """Copy and verify, again where something was written meanwhile."""
        while ids := await self._copy_all():
            for batch in _batches(ids):
                await asyncio.gather(*map(self._verify, batch))
        for kind in self.kinds.values():
            self.report.documents[kind] = self.report.documents.get(kind, 0) + 1

    async def _copy_all(self) -> list[str]:
        """Copy what was written since the last time; the ids."""
        ids: dict[str, None] = {}
        async for batch in self._changed():
            await asyncio.gather(*map(self._copy, batch))
            ids |= dict.fromkeys(batch)
        return list(ids)

    async def _changed(self) -> AsyncIterator[list[str]]:
        batch: dict[str, None] = {}
        async for change in self.source.changes(self.seq):
            id = change.document["_id"]
            self.kinds[id] = "deleted" if change.is_deleted else str(change.document.get("type", ""))
            self.seq = change.seq
            batch[id] = None
            if len(batch) == AT_ONCE:
                yield list(batch)
                batch = {}
        if batch:
            yield list(batch)

    async def _copy(self, id: str) -> None:
        """Copy the leaves that the target does not know."""
        there = await self.target.leaves(id)
        if not there:
            self._new.add(id)
        known = {rev for leaf in there for rev in leaf.revisions}
        for leaf in await self.source.leaves(id):
            if leaf.document["_rev"] in known:
                continue
            renditions = await _renditions(self.source, leaf)
            await self.target.take(replace(leaf, renditions=renditions))
            self.report.leaves += 1
            self.report.renditions += len(renditions)
        self.progress("copied", len(self.kinds))

    async def _verify(self, id: str) -> None:
        """Compare the document in both, as it is now."""
        self.report.wrong.pop(id, None)
        if id in self.report.gone:
            self.report.gone.remove(id)
        there = {leaf.document["_rev"]: leaf for leaf in await self.target.leaves(id)}
        passed = {rev for leaf in there.values() for rev in leaf.revisions}
        leaves = await self.source.leaves(id)
        if not all(map(is_deleted, leaves)) and all(map(is_deleted, there.values())):
            self.report.gone.append(id)
        for leaf in leaves:
            rev = leaf.document["_rev"]
            if rev in there:
                wrong = await self._compare(leaf, there[rev])
            else:  # what the target had before may have gone on, or ended, in the target alone
                wrong = f"revision {rev} is missing" if id in self._new and rev not in passed else ""
            if wrong:
                self.report.wrong[id] = wrong
        self._verified += 1
        self.progress("verified", self._verified)

    async def _compare(self, leaf: Leaf, copied: Leaf) -> str:
        """What is not the same in the two; '' where all is."""
        if content(leaf.document) != content(copied.document):
            return f"revision {leaf.document['_rev']} has other content"
        mine, others = await asyncio.gather(_renditions(self.source, leaf), _renditions(self.target, copied))
        same = {name: _digest(one) for name, one in mine.items()} == {
            name: _digest(one) for name, one in others.items()
        }
        return "" if same else f"revision {leaf.document['_rev']} has other renditions"


async def _renditions(store: Store, leaf: Leaf) -> dict[str, Rendition]:
    """The leaf's renditions with their bytes."""
    if is_deleted(leaf) or leaf.document.get("type") != "photo":
        return {}
    id, rev = leaf.document["_id"], leaf.document["_rev"]
    found = {name: await store.rendition(id, name, rev) for name in leaf.renditions or (THUMB, MEDIUM)}
    return {name: one for name, one in found.items() if one is not None}


def _digest(rendition: Rendition) -> tuple[str, str]:
    return rendition.mime, hashlib.sha256(rendition.body).hexdigest()


def _batches(ids: list[str]) -> list[list[str]]:
    return [ids[place : place + AT_ONCE] for place in range(0, len(ids), AT_ONCE)]
