"""Can this be delivered to? Tries each request that delivery needs, on a test object that it removes again."""

import secrets
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from jollyae.spool.outcomes import Permanent, Scope, Temporary

from ..finding import Finding, failed, ok, warning
from ..s3.options import MiB
from .faults import Occupied

if TYPE_CHECKING:
    from .delivery import CloudDelivery


class Check:
    """The tests of one bucket or container, below the prefix."""

    def __init__(self, delivery: "CloudDelivery") -> None:
        self._delivery = delivery
        name = f".jollyae-check-{secrets.token_hex(6)}"
        prefix = delivery.template.prefix
        self._key = f"{prefix}/{name}" if prefix else name
        self._url = delivery.url(self._key)

    async def findings(self) -> AsyncIterator[Finding]:
        """One finding after the other; the first that makes the rest pointless is the last."""
        yield ok("settings", await self._delivery.describe())
        try:
            await self._create(b"first")
        except Occupied:
            yield failed("write", f"{self._url} is said to be there, and cannot be", "Look at the store.")
            return
        except (Temporary, Permanent) as error:
            yield failed("write", error.message, error.hint)
            return
        yield ok("write", f"wrote {self._url}")
        yield await self._readable()
        if self._delivery.options.if_exists != "overwrite":
            yield await self._conditional()
            size = self._delivery.options.multipart_threshold // MiB
            text = f"files from {size} MiB go in parts: the key is looked at before, which is not atomic"
            yield warning("large files", text, "Nothing to do if only one program writes these keys.")
        yield await self._removed()

    async def _create(self, body: bytes) -> None:
        import obstore

        async def put() -> object:
            store = self._delivery.cloud.store
            return await obstore.put_async(store, self._key, body, mode="create", use_multipart=False)

        await self._delivery.ask(self._key, put)

    async def _readable(self) -> Finding:
        try:
            found = await self._delivery.find(self._key, Scope.ITEM)
        except (Temporary, Permanent) as error:
            return warning("read back", error.message, error.hint)
        if found is None:
            return failed("read back", "what was written is not there", "Look at the store.")
        return ok("read back", "HEAD is allowed")

    async def _conditional(self) -> Finding:
        subject = "create only"
        try:
            await self._create(b"second")
        except Occupied:
            return ok(subject, "honoured: nothing is overwritten, atomically")
        except (Temporary, Permanent) as error:
            return failed(subject, error.message, error.hint)
        if self._delivery.options.head_first:
            return ok(subject, "not honoured; --head-first asks before each upload instead")
        hint = "Run with --head-first (it asks before each upload, which is not atomic), or --if-exists overwrite."
        return failed(subject, "ignored: the second write replaced the first", hint)

    async def _removed(self) -> Finding:
        import obstore

        async def delete() -> None:
            await obstore.delete_async(self._delivery.cloud.store, self._key)

        try:
            await self._delivery.ask(self._key, delete)
        except (Temporary, Permanent) as error:
            text = f"the test object {self._url} stays: {error.message}"
            return warning("clean-up", text, "Remove it by hand. Delivery itself never deletes.")
        return ok("clean-up", "the test object is removed")
