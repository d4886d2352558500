"""Can this be delivered to? Tries each request that delivery needs, on test objects that it removes again."""

import base64
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from ..finding import Finding, failed, ok, warning
from . import faults, session
from .boto import BotoTransport
from .options import MIN_PART, S3Options
from .transport import Attributes, Checksum, Complete, Create, Part, Put, StoreError

_MAX_SKEW = 300.0  # seconds; AWS refuses requests that are 15 minutes off
_SOME_SKEW = 30.0
_SOON = 3600.0  # seconds in which a session ends that a person must renew
_PLACES = "the environment, ~/.aws, the container's and the machine's role"
_NOT_RENEWED = ("env", "shared-credentials-file", "config-file")
_SOURCES = {
    "env": "the environment",
    "explicit": "the program",
    "shared-credentials-file": "~/.aws/credentials",
    "config-file": "~/.aws/config",
    "custom-process": "credential_process",
    "iam-role": "the machine's role",
    "container-role": "the container's role",
    "assume-role": "an assumed role",
    "assume-role-with-web-identity": "a web identity's role",
    "sso": "a session of aws sso login",
    "login": "a session of aws login",
}
"""botocore's methods, for people."""
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
            if not self._options.no_sign_request:
                yield credentials((await self._transport.connected()).credentials, time.time())
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
            if error.skew is not None:
                yield clock(error.skew)

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


async def answering(options: S3Options) -> Finding:
    """Whether the store answers at all, for those who know no bucket yet; whatever the answer is."""
    subject = "store"
    transport = BotoTransport("", options, 1)
    where = "the objects' store"
    try:
        where = await transport.describe()
        client = (await transport.connected()).client
        await transport.in_thread(client.list_buckets)
        said = "it answers"
    except StoreError as error:
        if error.status is None:
            told = faults.explain(error, where)
            return failed(subject, told.message, told.hint)
        said = f"it answers ({error.status} {error.code}".rstrip() + ")"
    finally:
        transport.close()
    return ok(subject, f"{where}: {said}; which bucket is meant, the messages say")


def clock(skew: float) -> Finding:
    """What it means that the store's clock, as its answer dates itself, is so many seconds before ours.

    >>> clock(-400).text, clock(0.4).text
    ("this clock is 400 s ahead of the store's", "within 1 s of the store's")
    """
    off = abs(skew)
    text = f"this clock is {off:.0f} s {'behind' if skew > 0 else 'ahead of'} the store's"
    if off > _MAX_SKEW:
        return failed("clock", text, "Amazon refuses what is 15 minutes off. Set it: Try: timedatectl set-ntp true")
    if off > _SOME_SKEW:
        return warning("clock", text, "It drifts. Try: timedatectl set-ntp true")
    return ok("clock", f"within {max(off, 1):.0f} s of the store's")


def credentials(found: Any, now: float) -> Finding:
    """Where botocore's credentials came from and until when they hold; ``now``: seconds since 1970."""
    subject = "credentials"
    if found is None:
        hint = (
            "Try: aws configure, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. For a public bucket: --no-sign-request"
        )
        return failed(subject, f"none found: looked in {_PLACES}", hint)
    source = _SOURCES.get(found.method, found.method or "an unknown place")
    until = session.expiry(found)
    if until:
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(until))
        text = f"from {source}, they hold until {when}"
        if found.method in _NOT_RENEWED:
            return warning(subject, text, "Nothing renews these. Give keys that do not expire, or a role.")
        if until - now < _SOON and found.method == "sso":
            return warning(subject, text, "Renew the session. Try: aws sso login")
        return ok(subject, f"{text}, and are renewed before")
    if found.token:
        text = f"from {source}, with a session token: they expire, and nothing here says when"
        return warning(subject, text, "Nothing renews these. Give keys that do not expire, or a role.")
    return ok(subject, f"from {source}, they do not expire")
