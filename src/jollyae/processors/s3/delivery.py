"""The S3 processor: ``process(item)`` that returns the receipt's fields, or raises Temporary or Permanent."""

import os
from collections.abc import AsyncIterator
from typing import Any

from jollyae.processors.finding import Finding
from jollyae.processors.keys import KeyTemplate
from jollyae.spool import names
from jollyae.spool.item import Item

from . import access, faults, multipart, single
from .boto import BotoTransport
from .check import Check
from .direct import Begin, Direct
from .fast import MAX_BODY, FastTransport
from .lanes import LANES
from .options import S3Options, check_endpoint, split_url
from .session import endpoint_of
from .target import Limiter, PacingLimiter, Target
from .transport import StoreError, Transport


class S3Delivery:
    """Delivers items into one bucket: small ones in one conditional PUT, large ones in parts that survive a crash.

    Call it with an :class:`~jollyae.spool.item.Item`. It returns when the store has acknowledged the object, and raises
    :class:`~jollyae.spool.outcomes.Temporary` or :class:`~jollyae.spool.outcomes.Permanent` otherwise. It may be
    cancelled at any time: what was sent is found again by the next attempt. One object belongs to one event loop.
    """

    def __init__(
        self,
        transport: Transport,
        bucket: str,
        template: KeyTemplate,
        options: S3Options,
        limiter: Limiter | None = None,
    ) -> None:
        self._target = Target(transport, bucket, template, options, limiter)
        self._options = options
        self._direct = Direct(self._target, transport) if isinstance(transport, FastTransport) else None

    @property
    def begin(self) -> Begin | None:
        """The way without a task, for ordinary items, where there is one: see :mod:`.direct`."""
        return self._direct.begin if self._direct is not None else None

    async def __call__(self, item: Item) -> dict[str, Any]:
        """Deliver the item; the receipt's fields: url, size, sha256, etag, and version, checksum_…, parts,
        parts_resumed, already_there, atomic where they apply."""
        deliver = multipart.deliver if item.size >= self._options.multipart_threshold else single.deliver
        try:
            return await deliver(self._target, item)
        except StoreError as error:
            raise faults.explain(error, names.show(f"s3://{self._target.bucket}")) from error


class BucketDelivery(S3Delivery):
    """:class:`S3Delivery` into a bucket that is named by its URL: small objects by the hot path, the rest by boto3.

    ``url`` is ``s3://bucket[/prefix]``, ``key`` the template of the keys (where it is text, they come after the
    prefix), ``concurrency`` how many items are delivered at a time at most. Raises :class:`.options.OptionError` and
    :class:`jollyae.processors.keys.TemplateError`.
    """

    def __init__(
        self,
        url: str,
        options: S3Options | None = None,
        *,
        key: str | KeyTemplate = "{path}",
        concurrency: int = 16,
        limiter: PacingLimiter | None = None,
    ) -> None:
        options = options or S3Options()
        bucket, prefix = split_url(url)
        endpoint, source = endpoint_of(options, {}, {}, dict(os.environ))
        check_endpoint(endpoint, source)
        self.control = BotoTransport(bucket, options, concurrency + LANES)
        self.transport: FastTransport | BotoTransport = self.control
        if options.transport == "auto" and not access.why_not(bucket, os.environ):
            pace = limiter.delay if limiter is not None else None
            self.transport = FastTransport(bucket, options, self.control, concurrency, pace)
        template = KeyTemplate(key, prefix) if isinstance(key, str) else key
        super().__init__(self.transport, bucket, template, options, limiter)
        if self.transport is not self.control:
            self._target.paced_over = MAX_BODY
        conditional = options.if_exists != "overwrite" and not options.head_first
        self._target.is_unproved = conditional and bool(endpoint)

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self.transport.bucket

    @property
    def template(self) -> KeyTemplate:
        """How keys are made."""
        return self._target.template

    def credentials_expiry(self) -> float:
        """When the credentials that are used expire, seconds since 1970; 0 where they do not, or it is not known."""
        return self.control.credentials_expiry()

    async def check(self) -> AsyncIterator[Finding]:
        """Try all that delivery needs; see :mod:`.check`."""
        async for finding in Check(self.control, self._options, self.template.prefix).findings():
            yield finding

    async def describe(self) -> str:
        """One sentence for the log: endpoint, region, credentials, and which setting each came from. Raises
        :class:`~jollyae.spool.outcomes.Temporary`."""
        try:
            return await self.transport.describe()
        except StoreError as error:
            raise faults.explain(error, names.show(f"s3://{self.transport.bucket}")) from error

    def close(self) -> None:
        """Take no more items. Nothing is waited for."""
        if self._direct is not None:
            self._direct.close()
        self.transport.close()
