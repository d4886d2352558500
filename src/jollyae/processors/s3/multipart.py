"""Delivery in parts: look, create, remember, send what is missing, complete.

The upload's id is in the item's note, on the disk, before the first part goes out, so whoever works the item after a
crash asks the store which parts it has and sends the others. The state is the file's (the note fits one inode, size
and mtime), never the key's. We abort only ids that we wrote down.

The whole is hashed only where its digest is needed: for the key, or to compare it with what is there.
"""

import secrets
from contextlib import suppress
from typing import Any

import msgspec

from jollyae.processors import keys
from jollyae.spool import names
from jollyae.spool.item import Item
from jollyae.spool.outcomes import Permanent, Scope, Temporary

from . import checksums, faults, metadata
from .checksums import Content
from .content import Changed, check_unchanged, of_file
from .options import MAX_PART, MAX_PARTS, part_size_for
from .parts import Known, Sent, digest, send
from .target import Target, agrees
from .transport import Checksum, Complete, Create, Found, Stored, StoredPart, StoreError

MAX_SIZE = MAX_PART * MAX_PARTS
"""Bytes of the largest object, 48.8 TiB (AWS S3 user guide, "Amazon S3 multipart upload limits")."""


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """What the note remembers of an upload. ``mark`` is our own id of it, in the object's metadata too;
    ``algorithm``: the checksum its parts bear."""

    id: str
    mark: str
    bucket: str
    key: str
    part_size: int
    algorithm: str = ""


async def deliver(target: Target, item: Item) -> dict[str, Any]:
    """Send the item in parts; the receipt's fields. Raises :class:`Temporary`, :class:`Permanent`,
    :class:`StoreError`."""
    if item.size > MAX_SIZE:
        raise Permanent(
            f"too large: {item.size} bytes, and an S3 object has {MAX_SIZE} at most",
            hint="Split the file.",
            reason="size",
        )
    job = _Multipart(target, item)
    try:
        return await _deliver(target, item, job)
    except (Changed, Permanent):
        await job.give_up()
        raise
    except StoreError as error:
        if faults.meaning(error).scope is None:
            await job.give_up()
        raise


async def _deliver(target: Target, item: Item, job: "_Multipart") -> dict[str, Any]:
    await job.prepare()
    digest = ""
    if target.template.needs_digest:
        digest = item.form.sha256 if item.form is not None else await job.name()
    key = target.template.key(item.name, item.mtime, digest)
    item.aim = (target.root, key, None)  # whether its receipt has the digest is not known yet
    if (receipt := await job.place(key)) is not None:
        return receipt
    if target.options.if_exists == "keep-both":
        key = keys.beside(key, item.form.sha256 if item.form is not None else await job.name())
        if (receipt := await job.place(key)) is not None:
            return receipt
    raise target.refused(key)


class _Multipart:
    """One large item."""

    def __init__(self, target: Target, item: Item) -> None:
        self.target = target
        self.item = item
        self.part_size = part_size_for(item.size, target.options.part_size)
        self.upload = _remembered(item)
        self.algorithm = ""
        self.known: Known | None = None
        self.named = False
        self.if_match = ""

    async def prepare(self) -> None:
        """Find out what the parts shall bear."""
        secure = await self.target.transport.is_secure()
        self.algorithm = checksums.for_parts(self.target.options.checksum_algorithm, secure=secure)

    async def read(self) -> Known:
        """The digest of the whole; read once."""
        if self.known is None:
            self.known = await digest(self.target, self.item, self.part_size, self.algorithm)
        return self.known

    async def name(self) -> str:
        """The digest, for the key: from now on the receipt has it too. Not where only a comparison needed it: which
        attempt compares is chance, and the delivery id, which is made of the digest, must not depend on chance."""
        self.named = True
        return (await self.read()).content.sha256

    async def place(self, key: str) -> dict[str, Any] | None:
        """Bring it to the key; None if other content is there."""
        self.if_match = ""
        if found := await self._look(key):
            if self.upload and self._is_of(key, found, self.upload):
                return self._receipt(key, found, already_there=True)  # the answer to Complete was lost
            if not self._may_replace(key, found):
                if self._has_our_source(found):
                    await self.give_up()
                    return self._receipt(key, found, already_there=True)
                if found.size != self.item.size:
                    return None
                if not await self.target.holds(key, found, (await self.read()).content):
                    return None
                await self.give_up()
                return self._receipt(key, found, already_there=True)
        stored = await self._resume_or_create(key)
        sent = await send(self.target, self.item, self._current(), stored, self.known)
        return await self._finish(key, sent)

    def _receipt(self, key: str, at: Stored | Found, **more: Any) -> dict[str, Any]:
        return self.target.receipt(key, self._content(), at, **more)

    def _has_our_source(self, found: Found) -> bool:
        """Whether it is packed from this very file; other bytes are another library's. What has our size is compared
        with our bytes, as ever."""
        form = self.item.form
        return form is not None and found.metadata.get(metadata.SOURCE) == form.sha256 and found.size != self.item.size

    def _content(self) -> Content:
        """What the receipt says of the whole: its size, and the digest if the key needed it."""
        return self.known.content if self.known and self.named else of_file(self.item.fd, self.item.size, "")

    def _is_of(self, key: str, found: Found, upload: Upload) -> bool:
        """Whether it is what this upload made. Raises :class:`Temporary` if its mark says so and its size does not."""
        if found.metadata.get(metadata.UPLOAD) != upload.mark:
            return False
        if found.size != self.item.size:
            raise self.target.contradicted(key, found, self.item.size)
        return True

    async def _look(self, key: str) -> Found | None:
        """HEAD before 100 GB are sent for nothing. A 403 (or a 400), or what has no ETag, is no answer: Create and
        Complete will tell; with --head-first they do not."""
        overwriting = self.target.options.if_exists == "overwrite"
        if overwriting and self.upload is None:
            return None
        if self.target.options.head_first and not overwriting:
            return await self.target.find(key, Scope.UNSURE)
        try:
            async with self.target.asking:
                found = await self.target.transport.head(key)
        except StoreError as error:
            if error.status not in (400, 403, 404):
                raise
            return None
        return found if found.etag else None

    def _may_replace(self, key: str, found: Found) -> bool:
        """Whether what is there may be overwritten: by the user's word, or because this very claim put it there."""
        if self.target.options.if_exists == "overwrite":
            return True
        before = self.item.superseded or {}
        ours = before.get("url") == self.target.url(key) and not before.get("already_there")
        if ours and before.get("etag") == found.etag:
            self.if_match = f'"{found.etag}"'
        return bool(self.if_match)

    async def _resume_or_create(self, key: str) -> list[StoredPart]:
        """The parts that the store has already."""
        if (upload := self.upload) is not None:
            if _plan(upload) == (self.target.bucket, key, self.part_size, self.algorithm):
                with suppress(_Forgotten):
                    return await self._listed(upload)
                self._forget()
            else:  # the configuration is another than when it began
                await self.give_up()
        await self._create(key)
        return []

    async def _listed(self, upload: Upload) -> list[StoredPart]:
        try:
            return await self.target.transport.parts(upload.key, upload.id)
        except StoreError as error:
            if _is_forgotten(error):
                raise _Forgotten from error
            raise

    async def _create(self, key: str) -> None:
        mark = secrets.token_hex(16)
        item, options = self.item, self.target.options
        attributes = metadata.attributes(
            options,
            item.name,
            key,
            mtime_ns=item.mtime_ns,
            mode=item.mode,
            upload=mark,
            form=item.form,
            owner=item.owner_ids if options.preserve else None,
        )
        sent = "" if self.algorithm in ("md5", "none") else self.algorithm
        async with self.target.asking:
            upload_id = await self.target.transport.create(Create(key=key, attributes=attributes, algorithm=sent))
        self.upload = Upload(
            id=upload_id,
            mark=mark,
            bucket=self.target.bucket,
            key=key,
            part_size=self.part_size,
            algorithm=self.algorithm,
        )
        item.remember(upload=msgspec.to_builtins(self.upload))

    def _current(self) -> Upload:
        assert self.upload is not None
        return self.upload

    async def _finish(self, key: str, sent: Sent) -> dict[str, Any] | None:
        """Complete, and what a refusal of it means; None if other content is there."""
        check_unchanged(self.item)
        if await self._taken_meanwhile(key):
            return await self._existing(key)
        try:
            stored = await self._complete(key, sent)
        except StoreError as error:
            if error.status == 412:
                return await self._existing(key)
            return await self._not_completed(key, error)
        return await self._acknowledged(key, sent, stored)

    async def _taken_meanwhile(self, key: str) -> bool:
        """With --head-first: whether something came while the parts were sent."""
        if not self.target.options.head_first or self.target.options.if_exists == "overwrite":
            return False
        found = await self.target.find(key)
        return found is not None and f'"{found.etag}"' != self.if_match

    async def _complete(self, key: str, sent: Sent) -> Stored:
        options = self.target.options
        conditional = options.if_exists != "overwrite" and not options.head_first
        request = Complete(
            key=key,
            upload=self._current().id,
            parts=sent.parts,
            size=self.item.size,
            checksum=self._whole(sent),
            if_none_match=conditional and not self.if_match,
            if_match=self.if_match if conditional else "",
        )
        return await self.target.transport.complete(request)

    def _whole(self, sent: Sent) -> Checksum | None:
        return Checksum(self.algorithm, sent.checksum) if self.algorithm in checksums.FULL_OBJECT else None

    async def _existing(self, key: str) -> dict[str, Any] | None:
        """Complete was refused because something is there: our own earlier Complete, or a collision."""
        found = await self.target.find(key)
        if found is None:
            raise self.target.gone(key)
        if not self._is_of(key, found, self._current()) and not self._has_our_source(found):
            if found.size != self.item.size:
                return None
            if not await self.target.holds(key, found, (await self.read()).content):
                return None
        return self._receipt(key, found, already_there=True)

    async def _not_completed(self, key: str, error: StoreError) -> dict[str, Any]:
        if _is_forgotten(error):  # completed already, its answer lost? Then our mark is there
            found = await self.target.find(key)
            if found is not None and self._is_of(key, found, self._current()):
                return self._receipt(key, found, already_there=True)
            self._forget()
            raise faults.explain(StoreError(error.status, "NoSuchUpload"), self.target.url(key)) from error
        if error.status == 409 or error.code in ("InvalidPart", "InvalidPartOrder"):
            await self.give_up()
            told = f"begins again: {names.show(self.target.url(key))}: {error.status} {error.code} to Complete"
            raise Temporary(told, after=1.0, reason="server") from error
        raise error

    async def _acknowledged(self, key: str, sent: Sent, stored: Stored) -> dict[str, Any]:
        proved = agrees(stored.checksums, self._whole(sent), self.target.url(key))
        proved = proved or stored.etag == sent.composite or stored.checksums.get(self.algorithm) == sent.checksum
        answer: Stored | Found = stored
        if not stored.etag or (self.target.options.verify and not proved):  # RGW 16 answers with an empty ETag
            answer = await self.target.prove(key, self._content(), self._current().mark)
        more: dict[str, Any] = {f"checksum_{self.algorithm}": sent.checksum} if sent.checksum else {}
        if sent.resumed:
            more["parts_resumed"] = sent.resumed
        return self._receipt(key, answer, parts=len(sent.parts), part_size=self.part_size, **more)

    async def give_up(self) -> None:
        """Abort the upload that the note tells of, and forget it. An abort that fails leaves parts to the bucket's
        lifecycle rule."""
        if self.upload is not None:
            if self.upload.bucket == self.target.bucket:
                with suppress(StoreError):
                    await self.target.transport.abort(self.upload.key, self.upload.id)
            self._forget()

    def _forget(self) -> None:
        self.upload = None
        self.item.remember()


class _Forgotten(Exception):
    """The store does not know the upload: aborted, completed, or too old."""


def _remembered(item: Item) -> Upload | None:
    try:
        return msgspec.convert(item.memory.get("upload"), Upload)
    except msgspec.ValidationError:
        return None


def _plan(upload: Upload) -> tuple[str, str, int, str]:
    """What must be the same for the upload to go on."""
    return upload.bucket, upload.key, upload.part_size, upload.algorithm


def _is_forgotten(error: StoreError) -> bool:
    """404 for an upload: NoSuchUpload, or NoSuchKey (Ceph RGW 16 to ListParts)."""
    return error.status == 404 and error.code != "NoSuchBucket"
