"""Delivery in one piece: one conditional PUT, and what a refusal of it means."""

import logging
from typing import Any

import msgspec

from jollyae.processors import keys
from jollyae.spool import names
from jollyae.spool.item import Item
from jollyae.spool.outcomes import Scope, Temporary

from . import collisions, metadata
from .checksums import Content
from .content import SMALL, read_whole
from .target import Damaged, Target, agrees
from .transport import Checksum, Found, Put, Stored, StoreError

log = logging.getLogger("jollyae")


class Collision(Exception):
    """The key holds other content; ``is_damaged``: under our own digest."""

    def __init__(self, *, is_damaged: bool = False) -> None:
        super().__init__()
        self.is_damaged = is_damaged


async def deliver(target: Target, item: Item) -> dict[str, Any]:
    """Send the item whole; the receipt's fields. Raises :class:`Temporary`, :class:`Permanent`, :class:`StoreError`."""
    memory, size = target.memory, item.size
    if not memory.take_now(size):
        await memory.take(size)
    try:
        return await Single(
            target, item, *await read_whole(item, target.threads, target.options.whole_algorithm)
        ).deliver()
    finally:
        memory.give(size)


class Single:
    """One item with its bytes in memory."""

    __slots__ = ("body", "checksum", "content", "item", "key", "target")

    def __init__(
        self, target: Target, item: Item, body: bytes | bytearray, content: Content, checksum: Checksum | None
    ) -> None:
        self.target = target
        self.item = item
        self.body = body
        self.content = content
        self.checksum = checksum
        digest = content.sha256
        if item.form is not None:
            digest = content.source = item.form.sha256
        self.key = target.template.key(item.name, item.mtime, digest)
        item.aim = (target.root, self.key, content.sha256)

    async def deliver(self, *, is_refused: bool = False) -> dict[str, Any]:
        """Put it at its key, or by the collision policy at another. ``is_refused``: the conditional PUT to its key was
        made, and answered 412. The receipt's fields."""
        try:
            receipt = await (self._existing(self.key) if is_refused else self._place(self.key))
        except Collision as collision:
            if self.target.options.if_exists != "keep-both":
                raise self.target.refused(self.key, is_damaged=collision.is_damaged) from collision
            receipt = await self._beside(keys.beside(self.key, self.item.source_digest(self.content.sha256)))
        self.item.sent = self.item.size
        return receipt

    async def _beside(self, other: str) -> dict[str, Any]:
        try:
            return await self._place(other)
        except Collision as collision:
            raise self.target.refused(other, is_damaged=collision.is_damaged) from collision

    async def _place(self, key: str) -> dict[str, Any]:
        """Put it at the key. Raises :class:`Collision`."""
        options = self.target.options
        if options.if_exists == "overwrite":
            return await self._put(key)
        ours = self._superseded_etag(key) or self._damaged_etag(key)
        if options.head_first:
            return await self._look_then_put(key, ours)
        if ours:
            return await self._replace(key, ours)
        try:
            receipt = await self._put(key, if_none_match=True)
        except StoreError as error:
            if error.status != 412:
                raise
            return await self._existing(key)
        if self.target.is_unproved:
            await self._prove_condition(key)
        return receipt

    async def _prove_condition(self, key: str) -> None:
        """The same bytes once more, under the same condition: a store that honours it says 412. One that does not
        replaces them by themselves, and the operator is told that it would replace others as well."""
        self.target.is_unproved = False
        try:
            await self._put(key, if_none_match=True)
        except (StoreError, Temporary) as error:
            refused = isinstance(error, StoreError) and error.status == 412
            self.target.is_unproved = not refused  # no answer that tells: the next object will
            return
        log.warning(
            "this store ignores If-None-Match: objects of other content are overwritten in silence",
            extra={"hint": "Run with --head-first, or say that you want it: --if-exists overwrite. See jollyae check."},
        )

    async def _look_then_put(self, key: str, ours: str) -> dict[str, Any]:
        found = await self.target.find(key, Scope.UNSURE)
        if found is None or (ours and found.etag == ours):
            return await self._put(key)
        if not await self.target.holds(key, found, self.content):
            raise Collision(is_damaged=collisions.claims(found, self.content))
        return self._receipt(key, found, already_there=True)

    async def _existing(self, key: str) -> dict[str, Any]:
        """The store says that something is there: ours, or a collision."""
        found = await self.target.find(key)
        if found is None:
            raise self.target.gone(key)
        if not await self.target.holds(key, found, self.content):
            raise Collision(is_damaged=collisions.claims(found, self.content))
        return self._receipt(key, found, already_there=True)

    async def _replace(self, key: str, ours: str) -> dict[str, Any]:
        """The file changed after we sent it, or the store damaged what we sent: put it over what we ourselves sent, and
        over nothing else."""
        try:
            return await self._put(key, if_match=f'"{ours}"')
        except StoreError as error:
            if error.status == 404 and error.code in ("", "NoSuchKey"):
                return await self._put(key, if_none_match=True)
            if error.status != 412:
                raise
        found = await self.target.find(key)
        if found is not None and found.etag == ours:  # Ceph RGW 16 compares with the quotes: without them it is equal
            return await self._replace_bare(key, ours)
        return await self._existing(key)

    async def _replace_bare(self, key: str, ours: str) -> dict[str, Any]:
        try:
            return await self._put(key, if_match=ours)
        except StoreError as error:
            if error.status != 412:
                raise
            return await self._existing(key)

    def _superseded_etag(self, key: str) -> str:
        before = self.item.superseded
        if before is None or before.get("url") != self.target.url(key) or before.get("already_there"):
            return ""
        return str(before.get("etag", ""))

    def _damaged_etag(self, key: str) -> str:
        """Of what an earlier attempt sent here, and the store said that it had taken other bytes."""
        damaged = self.item.memory.get("damaged")
        return str(damaged.get("etag", "")) if isinstance(damaged, dict) and damaged.get("key") == key else ""

    async def _put(self, key: str, *, if_none_match: bool = False, if_match: str = "") -> dict[str, Any]:
        if self.target.limiter is not None:
            await self.target.pace(len(self.body))
        request = self.request(key, if_none_match=if_none_match, if_match=if_match)
        if self.item.size > SMALL:  # nobody looks at how far a small one is
            request = msgspec.structs.replace(request, progress=self.item.progress)
        stored = await self.target.transport.put(request)
        return self.acknowledged(key, stored) or await self.proved(key, stored)

    def request(self, key: str, *, if_none_match: bool, if_match: str = "") -> Put:
        """The PUT to this key."""
        target, item, sha256 = self.target, self.item, self.content.sha256
        attributes = metadata.attributes(
            target.options,
            item.name,
            key,
            mtime_ns=item.mtime_ns,
            mode=item.mode,
            sha256=sha256,
            form=item.form,
            owner=item.owner_ids if target.options.preserve else None,
        )
        return Put(
            key=key,
            body=self.body,
            sha256=sha256,
            attributes=attributes,
            checksum=self.checksum,
            if_none_match=if_none_match,
            if_match=if_match,
        )

    def acknowledged(self, key: str, stored: Stored) -> dict[str, Any] | None:
        """The receipt of what the store acknowledged; None where, before a delete, the answer does not prove enough:
        then :meth:`proved`. Raises :class:`Temporary` where it contradicts us."""
        if not stored.etag:
            raise Temporary(
                f"no acknowledgement: {names.show(self.target.url(key))}: a 200 without an ETag",
                hint="No S3 store answers so: a proxy or a portal in between may.",
                scope=Scope.UNSURE,
                after=5.0,
                reason="server",
            )
        try:
            proved = stored.checksums and agrees(stored.checksums, self.checksum, self.target.url(key))
        except Damaged:
            self._remember_damage(key, stored)
            raise
        if proved and self.target.options.verify and self.target.etags_are_md5 is None and 0 < self.item.size <= SMALL:
            self.target.etags_are_md5 = stored.etag == self.content.md5  # once: the next answer may have no checksum
        return self._receipt(key, stored) if proved or not self.target.options.verify else None

    async def proved(self, key: str, stored: Stored) -> dict[str, Any]:
        """The receipt of what the store has, as its ETag or HEAD proves. Raises :class:`Temporary`."""
        is_md5 = collisions.is_md5(stored.etag)
        if is_md5 and await self.target.threads.run(lambda: self.content.md5) == stored.etag:
            self.target.etags_are_md5 = True
            return self._receipt(key, stored)
        try:
            await self.target.prove(key, self.content)
            if is_md5 and self.target.etags_are_md5:  # not so with SSE-KMS: there none ever was
                raise self.target.other_md5(key, stored.etag)
        except Damaged:
            self._remember_damage(key, stored)
            raise
        return self._receipt(key, stored)

    def _remember_damage(self, key: str, stored: Stored) -> None:
        """The next attempt must know: the object is in its way, and its metadata has our digest."""
        self.item.remember(**self.item.memory | {"damaged": {"key": key, "etag": stored.etag}})

    def _receipt(self, key: str, stored: Stored | Found, *, already_there: bool = False) -> dict[str, Any]:
        fields = self.target.receipt(key, self.content, stored)
        if already_there:
            fields["already_there"] = True
        checksum = self.checksum
        if checksum is not None and checksum.algorithm != "sha256":  # that one is there anyway, in hex
            fields[f"checksum_{checksum.algorithm}"] = checksum.value
        return fields
