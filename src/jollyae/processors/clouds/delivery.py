"""The processor for ``gs://`` and ``az://``: S3's promises, with what obstore can do.

Whole files go in one conditional PUT. Large ones go in parts, and obstore has no condition for those: the key is looked
at first, which is not atomic, and the receipt says ``atomic: false``. A large file is read twice: its digest must be
known when the upload begins, and what is sent is compared with it.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from jollyae.processors import keys
from jollyae.processors.finding import Finding
from jollyae.spool import names
from jollyae.spool.item import Item
from jollyae.spool.outcomes import Permanent, Scope, Temporary

from ..s3 import metadata
from ..s3.boto import DEADLINE, SLOWEST
from ..s3.budget import Budget
from ..s3.checksums import Content
from ..s3.collisions import is_md5
from ..s3.content import Changed, check_unchanged, digest_file, read, read_whole
from ..s3.options import S3Options, part_size_for
from ..s3.target import Limiter
from ..s3.threads import Threads
from . import faults
from .check import Check
from .faults import Occupied
from .places import Cloud

if TYPE_CHECKING:
    from obstore import Attributes, GetResult, PutMode, PutResult

_LARGE = 2
"""Large files under way at a time; the others are small ones, which always get through."""
_PARTS = 4
"""Parts of one file in flight, at most."""
_MORE = 2
"""Parts in memory beside those: the one that is read, and the one that obstore is given."""


_T = TypeVar("_T")


class Collision(Exception):
    """The key holds other content."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is at a key. ``etag`` as the store writes it, quotes included; ``digest``, ``source`` (of what it was packed
    from): '' where nobody wrote one."""

    size: int
    etag: str
    version: str
    digest: str
    source: str = ""

    @property
    def mode(self) -> "PutMode":
        """The condition that it is still this one."""
        mode: dict[str, str] = {"e_tag": self.etag, "version": self.version}
        return {name: value for name, value in mode.items() if value}  # type: ignore[return-value]


class CloudDelivery:
    """Delivers items into one bucket or container. Call it with an :class:`~jollyae.spool.item.Item`; it returns the
    receipt's fields when the store has acknowledged the object, and raises
    :class:`~jollyae.spool.outcomes.Temporary` or :class:`~jollyae.spool.outcomes.Permanent` otherwise. It may be
    cancelled at any time. One object belongs to one event loop."""

    def __init__(
        self, cloud: Cloud, template: keys.KeyTemplate, options: S3Options, limiter: Limiter | None = None
    ) -> None:
        self.cloud = cloud
        self.template = template
        self.options = options
        self.threads = Threads(2 * _LARGE, "cloud-read")
        # A quarter is for small files alone: none of them waits for a large one's room.
        self._memory = Budget(options.memory // 4)
        room = options.memory - options.memory // 4
        lanes = _LARGE if room >= _LARGE * (_PARTS + _MORE) * options.part_size else 1
        self._lanes = asyncio.Semaphore(lanes)
        self._room = room // lanes
        self._limiter = limiter

    async def __call__(self, item: Item) -> dict[str, Any]:
        """Deliver the item; the receipt's fields: url, size, sha256, etag, and version, parts, part_size,
        already_there, atomic where they apply."""
        if item.size < self.options.multipart_threshold:
            async with self._memory.hold(item.size):
                body, content, _ = await read_whole(item, self.threads, "none")
                return await self._deliver(_Job(self, item, content, body))
        async with self._lanes:
            content = await digest_file(item, self.threads)
            return await self._deliver(_Job(self, item, content, None))

    async def _deliver(self, job: "_Job") -> dict[str, Any]:
        digest = job.item.source_digest(job.content.sha256)
        key = self.key(job.item.name, job.item.mtime, digest)
        job.item.aim = (f"{self.cloud.url}/", key, job.content.sha256)
        try:
            receipt = await job.place(key)
        except Collision as collision:
            if self.options.if_exists != "keep-both":
                raise self._refused(key) from collision
            key = keys.beside(key, digest)
            try:
                receipt = await job.place(key)
            except Collision as second:
                raise self._refused(key) from second
        job.item.progress(job.content.size)
        return receipt

    def _refused(self, key: str) -> Permanent:
        return Permanent(
            f"refused: {names.show(self.url(key))}: it exists with other content",
            hint="Rename the file and `jollyae retry` it, or choose: --if-exists overwrite, --if-exists keep-both, "
            "or a --key with {date:%Y/%m/%d} or {sha256}.",
            reason="collision",
        )

    def key(self, name: str, mtime: float, sha256: str) -> str:
        """The key of an item; see :class:`~jollyae.processors.keys.KeyTemplate`."""
        return self.cloud.key(self.template.key(name, mtime, sha256))

    def url(self, key: str) -> str:
        """The object's URL, as receipts and messages have it."""
        return f"{self.cloud.url}/{key}"

    def parts_at_a_time(self, part_size: int) -> int:
        """How many parts of one file may be in flight for its share of the memory."""
        return max(1, min(_PARTS, self._room // part_size - _MORE))

    async def describe(self) -> str:
        """One sentence for the log: endpoint and credentials, and which setting each came from."""
        return self.cloud.description

    async def check(self) -> AsyncIterator[Finding]:
        """Try all that delivery needs; see :mod:`.check`."""
        async for finding in Check(self).findings():
            yield finding

    def close(self) -> None:
        """Take no more items. Nothing is waited for."""
        self.threads.shutdown()

    async def pace(self, size: int) -> None:
        """Wait until ``size`` bytes may be sent."""
        if self._limiter is not None:
            await self._limiter.take(size)

    async def ask(self, key: str, request: Callable[[], Awaitable[_T]], seconds: float | None = DEADLINE) -> _T:
        """Make a request about the key; None: obstore's own deadline, for each part. Raises :class:`Occupied`,
        :class:`Temporary` and :class:`Permanent`."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            async with asyncio.timeout(seconds):
                return await request()
        except (AlreadyExistsError, PreconditionError) as error:
            raise Occupied from error
        except (BaseError, TimeoutError, FileNotFoundError) as error:
            raise faults.explain(error, names.show(self.url(key)), self.cloud.credentials_hint) from error
        except ValueError as error:
            if "path" not in str(error):
                raise
            why = str(error).partition("\n")[0]
            raise Permanent(
                f"no key is possible: {names.show(key)}: {why}", hint="Rename it, or change --key.", reason="key"
            ) from error

    async def find(self, key: str, scope: Scope) -> Seen | None:
        """What is at the key; None if nothing. ``scope`` of a refusal: see :meth:`..s3.target.Target.find`."""
        import obstore

        async def head() -> "GetResult | None":
            try:
                return await obstore.get_async(self.cloud.store, key, options={"head": True})
            except FileNotFoundError:
                return None

        try:
            found = await self.ask(key, head)
        except Temporary as error:
            if error.scope is Scope.UNSURE and scope is Scope.ITEM:
                raise self._blind(key, error) from error
            raise
        if found is None:
            return None
        digest = found.attributes.get(self.cloud.digest_name) or ""
        source = found.attributes.get(self.cloud.metadata_name(metadata.SOURCE)) or ""
        return Seen(found.meta["size"], found.meta["e_tag"] or "", found.meta["version"] or "", digest, source)

    def _blind(self, key: str, error: Temporary) -> Temporary:
        return Temporary(
            f"something is in the way, and we may not look: {names.show(self.url(key))}: {error.message}",
            hint="The credentials need the right to read objects, to tell a repeat from a collision.",
            reason="denied",
        )

    async def holds(self, key: str, found: Seen, content: Content) -> bool:
        """Whether the object at the key is what we have: by the digest beside it, else by reading it back."""
        if content.source and found.source == content.source and found.digest != content.sha256:
            return True  # packed by another version of the library
        if found.size != content.size:
            return False
        if found.digest:
            return found.digest == content.sha256
        return await self._digest_of(key, found.size) == content.sha256

    async def _digest_of(self, key: str, size: int) -> str:
        """The SHA-256 of an object, read part by part."""
        import obstore

        digest = hashlib.sha256()
        for start in range(0, size, self.options.part_size):
            end = min(start + self.options.part_size, size)

            async def get(start: int = start, end: int = end) -> Any:
                return await obstore.get_range_async(self.cloud.patient, key, start=start, end=end)

            await self.threads.run(digest.update, await self.ask(key, get, None))
        return digest.hexdigest()


class _Job:
    """One item with its content; ``body`` None: it goes in parts."""

    def __init__(self, delivery: CloudDelivery, item: Item, content: Content, body: bytes | bytearray | None) -> None:
        self.delivery = delivery
        self.options = delivery.options
        self.item = item
        content.source = item.form.sha256 if item.form is not None else ""
        self.content = content
        self.body = body
        self.is_atomic = body is not None and not self.options.head_first

    async def place(self, key: str) -> dict[str, Any]:
        """Put it at the key. Raises :class:`Collision`."""
        if self.options.if_exists == "overwrite":
            return await self._put(key, "overwrite")
        ours = self._superseded_etag(key)
        if ours or not self.is_atomic:
            return await self._look_then_put(key, ours)
        try:
            return await self._put(key, "create")
        except Occupied:
            return await self._existing(key)

    async def _look_then_put(self, key: str, ours: str) -> dict[str, Any]:
        found = await self.delivery.find(key, Scope.UNSURE)
        if found is not None and not (ours and found.etag.strip('"') == ours):
            return await self._taken(key, found)
        mode: PutMode = "overwrite"
        if self.is_atomic:
            mode = "create" if found is None else found.mode
        try:
            return await self._put(key, mode)
        except Occupied:
            return await self._existing(key)

    async def _existing(self, key: str) -> dict[str, Any]:
        """The store says that something is there: ours, or a collision. (It may be another conflict, too.)"""
        found = await self.delivery.find(key, Scope.ITEM)
        if found is None:
            where = names.show(self.delivery.url(key))
            raise Temporary(
                f"something was in the way and is gone: {where}", scope=Scope.UNSURE, after=0.5, reason="collision"
            )
        return await self._taken(key, found)

    async def _taken(self, key: str, found: Seen) -> dict[str, Any]:
        if not await self.delivery.holds(key, found, self.content):
            raise Collision
        return self._receipt(key, found.etag, found.version, already_there=True)

    def _superseded_etag(self, key: str) -> str:
        """The ETag of what this very claim put here before its file changed."""
        before = self.item.superseded
        if before is None or before.get("url") != self.delivery.url(key) or before.get("already_there"):
            return ""
        return str(before.get("etag", ""))

    async def _put(self, key: str, mode: "PutMode") -> dict[str, Any]:
        stored = await (self._put_parts(key) if self.body is None else self._put_whole(key, self.body, mode))
        etag, version = stored["e_tag"] or "", stored["version"] or ""
        if self.options.verify:
            await self._prove(key, etag)
        return self._receipt(key, etag, version)

    async def _put_whole(self, key: str, body: bytes | bytearray, mode: "PutMode") -> "PutResult":
        import obstore

        await self.delivery.pace(len(body))

        async def put() -> "PutResult":
            return await obstore.put_async(
                self.delivery.cloud.store, key, body, mode=mode, use_multipart=False, **self._beside(key)
            )

        return await self.delivery.ask(key, put, DEADLINE + len(body) / SLOWEST)

    async def _put_parts(self, key: str) -> "PutResult":
        import obstore

        async def put() -> "PutResult":
            return await obstore.put_async(
                self.delivery.cloud.patient,
                key,
                self._parts(),
                use_multipart=True,
                chunk_size=self._part_size,
                max_concurrency=self.delivery.parts_at_a_time(self._part_size),
                **self._beside(key),
            )

        return await self.delivery.ask(key, put, None)

    @property
    def _part_size(self) -> int:
        return part_size_for(self.content.size, self.options.part_size)

    async def _parts(self) -> AsyncIterator[bytes]:
        """The parts in order. What is not what was hashed ends the upload, before it is an object."""
        digest = hashlib.sha256()
        for start in range(0, self.content.size, self._part_size):
            size = min(self._part_size, self.content.size - start)
            await self.delivery.pace(size)
            part = await self.delivery.threads.run(_read, self.item.fd, start, size, digest)
            if len(part) != size:
                raise Changed(self.item.name)
            self.item.progress(start)
            if start + size == self.content.size:
                self._check_unchanged(digest.hexdigest())
            yield part

    def _check_unchanged(self, digest: str) -> None:
        if digest != self.content.sha256:
            raise Changed(self.item.name)
        check_unchanged(self.item)

    def _beside(self, key: str) -> dict[str, Any]:
        """What goes with the bytes."""
        cloud = self.delivery.cloud
        if not cloud.keeps_attributes:
            return {}
        ours = metadata.attributes(
            self.options,
            self.item.name,
            key,
            mtime_ns=self.item.mtime_ns,
            mode=self.item.mode,
            sha256=self.content.sha256,
            form=self.item.form,
            owner=self.item.owner_ids if self.options.preserve else None,
        )
        attributes: Attributes = {
            "Content-Type": ours.content_type,
            "Content-Encoding": ours.content_encoding,
            "Cache-Control": ours.cache_control,
            "Storage-Class": ours.storage_class,
        }
        attributes |= {cloud.metadata_name(name): value for name, value in ours.metadata.items()}
        sent: dict[str, Any] = {"attributes": {name: value for name, value in attributes.items() if value}}
        return sent | ({"tags": dict(self.options.tags)} if self.options.tags else {})

    async def _prove(self, key: str, etag: str) -> None:
        """Before the file is deleted: an ETag that is our MD5, else size and digest of what is there."""
        bare = etag.strip('"')
        if is_md5(bare) and await self.delivery.threads.run(lambda: self.content.md5) == bare:
            return
        found = await self.delivery.find(key, Scope.ITEM)
        if found is None or not await self.delivery.holds(key, found, self.content):
            raise Temporary(
                f"not proved: {names.show(self.delivery.url(key))}: the store's size or digest is not ours",
                hint="The file is kept and sent again.",
                after=5.0,
                reason="server",
            )

    def _receipt(self, key: str, etag: str, version: str, *, already_there: bool = False) -> dict[str, Any]:
        content = self.content
        fields: dict[str, Any] = {"url": self.delivery.url(key), "size": content.size, "sha256": content.sha256}
        fields["etag"] = etag.strip('"')
        fields |= {"version": version} if version else {}
        if already_there:
            fields["already_there"] = True
        elif self.body is None:
            fields |= {"parts": -(-content.size // self._part_size), "part_size": self._part_size}
        if not self.is_atomic and self.options.if_exists != "overwrite":
            fields["atomic"] = False
        return fields


def _read(descriptor: int, start: int, size: int, digest: Any) -> bytes:
    part = read(descriptor, start, size)
    digest.update(part)
    return part
