"""Where objects go: the bucket with all that is configured, and what delivery in one piece and in parts share."""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from jollyae.processors import keys
from jollyae.spool import names
from jollyae.spool.outcomes import Permanent, Scope, Temporary

from . import collisions, metadata
from .budget import Budget
from .buffers import Buffers
from .checksums import Content
from .lanes import LANES
from .options import S3Options
from .threads import Threads
from .transport import Checksum, Found, Stored, StoreError, Transport


class Damaged(Temporary):
    """The store has told that what it took are other bytes than ours."""


class Limiter(Protocol):
    """What bounds the bandwidth."""

    async def take(self, n_bytes: int, /) -> object:
        """Return when so many bytes may be sent."""


class PacingLimiter(Limiter, Protocol):
    """One that threads may ask as well."""

    def delay(self, n_bytes: int, /) -> float:
        """Book so many bytes; for how many seconds to sleep before they may be sent."""


class Target:
    """One bucket, one key template, one set of options; and the bounds on what is under way to it."""

    def __init__(
        self,
        transport: Transport,
        bucket: str,
        template: keys.KeyTemplate,
        options: S3Options,
        limiter: Limiter | None = None,
    ) -> None:
        self.transport = transport
        self.bucket = bucket
        self.root = f"s3://{bucket}/"
        """What comes before the key in a URL."""
        self._looks_first = options.head_first and options.if_exists != "overwrite"
        self.template = template
        self.options = options
        self.memory = Budget(options.memory)
        self.lanes = asyncio.Semaphore(LANES)
        self.asking = asyncio.Semaphore(LANES)
        """For the questions of large files: sixteen that arrive together need no sixteen connections to ask."""
        self.buffers = Buffers(LANES)
        self.threads = Threads(2 * LANES, "s3-read")
        self.limiter = limiter
        self.paced_over = float("inf")
        """Bytes of a body above which the transport itself paces it, block by block."""
        self.etags_are_md5: bool | None = None
        """Whether an ETag has been the MD5 of what was sent: then one that is not ours tells of other bytes. None: not
        looked yet."""
        self.is_unproved = False
        """Whether it is still to be seen, at the first object, that the store honours If-None-Match."""

    def url(self, key: str) -> str:
        """The object's URL, as receipts and messages have it."""
        return f"{self.root}{key}"

    async def pace(self, size: int) -> None:
        """Wait until a body of ``size`` bytes may be sent."""
        if self.limiter is not None and size <= self.paced_over:
            await self.limiter.take(size)

    async def pace_part(self, size: int) -> None:
        """As :meth:`pace`, for a part; a transport that paces bodies paces all parts, also a last small one."""
        if self.paced_over == float("inf"):
            await self.pace(size)

    async def find(self, key: str, scope: Scope = Scope.ITEM) -> Found | None:
        """What is at the key; None if nothing. Raises :class:`Temporary` of this scope where we may not look: after a
        refused PUT the keys are good and it is this item's, as the first question (UNSURE) it may be the keys'."""
        try:
            return await self.transport.head(key)
        except StoreError as error:
            if error.status == 404:
                return None
            if error.status == 403:
                raise self._blind(key, scope) from error
            raise

    async def holds(self, key: str, found: Found, content: Content, mark: str = "") -> bool:
        """Whether the object found at the key is the item: has our ``mark``, or the bytes at hand. Raises
        :class:`Temporary` where the store contradicts itself."""
        if collisions.same_source(found, content):
            return True
        if found.size != content.size or collisions.told(found):
            if not collisions.claims(found, content):
                return False
            proved = await self.threads.run(collisions.etag_says_so, found.etag, content)
            if proved and found.size != content.size:
                raise self.contradicted(key, found, content.size)
            if proved or found.size != content.size:
                return proved
        try:
            found = await self.transport.head(key, checksums=True)
        except StoreError as error:
            if error.status not in (400, 403, 501):  # not allowed or not known: what we have must do
                raise
        return await self.threads.run(collisions.same, found, content, mark, self.options.part_size)

    def refused(self, key: str, *, is_damaged: bool = False) -> Permanent:
        """The error for a key that holds something else, which stays; ``is_damaged``: and has our digest."""
        if is_damaged:
            return Permanent(
                f"refused: {names.show(self.url(key))}: it has this file's digest, but other bytes",
                hint="The store damaged it, or somebody changed it. Look at it; remove it or rename the file, then "
                "`jollyae retry` it.",
                reason="collision",
            )
        return Permanent(
            f"refused: {names.show(self.url(key))}: it exists with other content",
            hint="Rename the file and `jollyae retry` it, or choose: --if-exists overwrite, --if-exists keep-both, "
            "or a --key with {date:%Y/%m/%d} or {sha256}.",
            reason="collision",
        )

    def contradicted(self, key: str, found: Found, size: int) -> Temporary:
        """The error for an object that is ours by its mark or ETag, and not by its size."""
        return Temporary(
            f"the store contradicts itself: {names.show(self.url(key))}: ours, but {found.size} bytes and not {size}",
            hint="It is asked again. If this stays so: look at the object, and remove it if it is damaged.",
            after=5.0,
            reason="server",
        )

    def other_md5(self, key: str, etag: str) -> Damaged:
        """The error for an ETag that should be our MD5. HEAD showing our size and the digest that we sent does not
        outweigh it: neither is of the bytes that are there."""
        return Damaged(
            f"the store has other bytes: {names.show(self.url(key))}: its ETag {etag} is not their MD5, as others were",
            hint="Something between here and the store changes data: a proxy, a network card, memory.",
            after=5.0,
            reason="server",
        )

    def gone(self, key: str) -> Temporary:
        """The error for an object that was in the way and is no longer."""
        return Temporary(
            f"an object was in the way and is gone: {names.show(self.url(key))}", after=0.5, reason="collision"
        )

    def receipt(self, key: str, content: Content, stored: Stored | Found, **more: Any) -> dict[str, Any]:
        """The fields of the receipt of what is now at the key. ``sha256`` is there where it is known: of what went in
        parts the whole was not hashed."""
        fields: dict[str, Any] = {"url": f"{self.root}{key}", "size": content.size}
        if content.sha256:
            fields["sha256"] = content.sha256
        fields["etag"] = stored.etag
        if stored.version:
            fields["version"] = stored.version
        if self._looks_first:
            fields["atomic"] = False
        return fields | more if more else fields

    async def prove(self, key: str, content: Content, mark: str = "") -> Found:
        """The object at the key, proved by HEAD to be ours: its size, and our digest or mark. For before a delete.
        Raises :class:`Temporary`, and :class:`Damaged` where something else was found."""
        found = await self.find(key)
        if found is None or found.size != content.size or not _is_marked(found, content, mark):
            error = Temporary if found is None else Damaged
            raise error(
                f"not proved: {names.show(self.url(key))}: the store's size or digest is not ours",
                hint="The file is kept and sent again.",
                scope=Scope.ITEM,
                after=5.0,
                reason="server",
            )
        return found

    def _blind(self, key: str, scope: Scope) -> Temporary:
        return Temporary(
            f"something may be in the way, and we may not look: {names.show(self.url(key))}: 403 to HEAD",
            hint=(
                "Are the credentials (access key, secret) right? " if scope is Scope.UNSURE else ""
            )  # HEAD has no body that would say more
            + "The credentials need s3:GetObject (and s3:ListBucket) to tell a repeat from a collision.",
            scope=scope,
            reason="denied",
        )


def _is_marked(found: Found, content: Content, mark: str) -> bool:
    if mark:
        return found.metadata.get(metadata.UPLOAD) == mark
    return found.metadata.get(metadata.SHA256) == content.sha256


def agrees(stored: Mapping[str, str], checksum: Checksum | None, where: str) -> bool:
    """Whether the store returned our checksum; False if it returned none. Raises :class:`Damaged` if another one."""
    if checksum is None or not (value := stored.get(checksum.algorithm)):
        return False
    if value != checksum.value:
        raise Damaged(
            f"the store has other bytes: {names.show(where)}: {checksum.algorithm} {value}, ours {checksum.value}",
            hint="Something between here and the store changes data: a proxy, a network card, memory.",
            after=5.0,
            reason="server",
        )
    return True
