"""Can this be delivered to? Tries each request that delivery needs, on test objects that it removes again."""

import base64
import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress

from ..finding import Finding, failed, ok, warning
from . import faults
from .boto import BotoTransport
from .options import MIN_PART, S3Options
from .transport import Attributes, Checksum, Complete, Create, Part, Put, StoreError

_MAX_SKEW = 300.0  # seconds; AWS refuses requests that are 15 minutes off
_NO_CONDITION = "Run with --head-first (it asks before each upload, which is not atomic), or --if-exists overwrite."


class Check:
    """The tests of one bucket, below ``prefix``."""

    def __init__(self, transport: BotoTransport, options: S3Options, prefix: str) -> None:
        self._transport = transport
        self._options = options
        name = f".jollyae-check-{secrets.token_hex(6)}"
        self._key = f"{prefix}/{name}" if prefix else name

    async def findings(self) -> AsyncIterator[Finding]:
        """One finding after the other; the first that makes the rest pointless is the last."""
        try:
            yield ok("settings", await self._transport.describe())
            async for finding in self._clock():
                yield finding
            await self._transport.put(self._put(b"first", if_none_match=not self._options.head_first))
            yield ok("write", f"wrote s3://{self._transport.bucket}/{self._key}")
        except StoreError as error:
            told = faults.explain(error, f"s3://{self._transport.bucket}/{self._key}")
            yield failed("write", told.message, told.hint.replace("Try: jollyae check", "Ask the store's support."))
            return
        yield await self._readable()
        if self._options.if_exists != "overwrite":
            yield await self._conditional_put()
            yield await self._conditional_complete()
        yield await self._verified()
        yield await self._removed()
        yield await self._lifecycle()

    async def _clock(self) -> AsyncIterator[Finding]:
        try:
            await self._transport.head(self._key)
        except StoreError as error:
            if error.status is None:
                raise
            if error.skew is None:
                return
            if abs(error.skew) > _MAX_SKEW:
                yield failed("clock", f"this clock is {abs(error.skew):.0f} s off the store's", "Try: timedatectl")
            else:
                yield ok("clock", f"within {abs(error.skew):.0f} s of the store's")

    async def _readable(self) -> Finding:
        try:
            await self._transport.head(self._key)
        except StoreError as error:
            hint = "Grant s3:GetObject: without it a repeat cannot be told from a collision, and such items wait."
            return warning("read back", f"HEAD is refused: {error.status}", hint)
        return ok("read back", "HEAD is allowed")

    async def _conditional_put(self) -> Finding:
        try:
            await self._transport.put(self._put(b"second", if_none_match=True))
        except StoreError as error:
            if error.status == 412:
                return ok("If-None-Match on PUT", "honoured: nothing is overwritten, atomically")
            return self._unconditional("If-None-Match on PUT", f"refused with {error.status} {error.code}".strip())
        return self._unconditional("If-None-Match on PUT", "ignored: the second PUT replaced the first")

    async def _conditional_complete(self) -> Finding:
        subject = "If-None-Match on Complete"
        attributes = Attributes()
        body = bytes(MIN_PART)
        upload = ""
        try:
            upload = await self._transport.create(Create(key=self._key, attributes=attributes))
            part = await self._transport.part(Part(key=self._key, upload=upload, number=1, body=body))
            await self._transport.complete(
                Complete(key=self._key, upload=upload, parts=[part], size=len(body), if_none_match=True)
            )
        except StoreError as error:
            if upload:
                with suppress(StoreError):
                    await self._transport.abort(self._key, upload)
            if error.status == 412:
                return ok(subject, "honoured")
            return self._unconditional(subject, f"refused with {error.status} {error.code}".strip())
        text = "ignored: large files are checked with HEAD before they are sent, which is not atomic"
        return warning(subject, text, "Nothing to do if only one program writes these keys.")

    def _unconditional(self, subject: str, text: str) -> Finding:
        if self._options.head_first:
            return ok(subject, "not honoured; --head-first asks before each upload instead")
        return failed(subject, text, _NO_CONDITION)

    async def _verified(self) -> Finding:
        """Whether the store compares what it got with the checksum it was told."""
        wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
        request = self._put(b"third", if_none_match=False, checksum=Checksum("sha256", wrong))
        try:
            await self._transport.put(request)
        except StoreError as error:
            if error.status is not None and 400 <= error.status < 500:
                return ok("checksum", "verified by the store")
            return warning("checksum", f"could not be tried: {error.status} {error.code}", "Try again.")
        text = "x-amz-checksum-sha256 is not verified by the store; the signed SHA-256 of the payload still may be"
        return warning("checksum", text, "With --on-done delete, each object is asked for before its file is deleted.")

    async def _removed(self) -> Finding:
        try:
            await self._transport.remove(self._key)
        except StoreError as error:
            text = f"the test object s3://{self._transport.bucket}/{self._key} stays: {error.status} {error.code}"
            return warning("clean-up", text, "Remove it by hand. Delivery itself never deletes.")
        return ok("clean-up", "the test object is removed")

    async def _lifecycle(self) -> Finding:
        try:
            if await self._transport.aborts_uploads():
                return ok("lifecycle", "unfinished uploads are removed by a rule of the bucket")
        except StoreError as error:
            if error.status not in (404, 403, 405, 501):
                return warning("lifecycle", f"cannot be read: {error.status} {error.code}", "")
        text = "no rule removes unfinished uploads: what a dead machine left costs room for ever"
        return warning("lifecycle", text, "Add a lifecycle rule: AbortIncompleteMultipartUpload after 7 days.")

    def _put(self, body: bytes, *, if_none_match: bool, checksum: Checksum | None = None) -> Put:
        digest = hashlib.sha256(body).hexdigest()
        attributes = Attributes(acl=self._options.acl, storage_class=self._options.storage_class)
        return Put(
            key=self._key,
            body=body,
            sha256=digest,
            attributes=attributes,
            checksum=checksum,
            if_none_match=if_none_match,
        )
