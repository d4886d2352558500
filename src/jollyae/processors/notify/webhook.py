"""A message to a webhook: POST, signed by Standard Webhooks 1.0.0.

Redirects are not followed. Unless it was allowed, nothing internal is reached: the name is resolved, the addresses are
looked at, and the connection goes to the very address that was looked at, so a name that changes between the two leads
nowhere else. No proxy is used: it would resolve the name by itself.
"""

import asyncio
import ssl
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ...spool import names
from ...spool.item import Item
from ...spool.outcomes import Scope, Temporary
from ..s3.connection import Answer
from ..s3.transport import NoAnswer, StoreError
from ..s3.wire import Pool
from . import UrlError, addresses, message
from .signature import sign

TIME = 30.0
"""Seconds for one message, from resolving the name to the end of the answer."""
CONNECTIONS = 8
"""The most at a time."""
GONE = 600.0
"""Seconds between two tries at an endpoint that says it is gone."""
LONGEST = 3600.0
"""Seconds that a Retry-After is heeded at the most."""


class Webhook:
    """Posts the message that is an item. ``secrets``: one signature for each; without any it is not signed. Raises
    :class:`UrlError`."""

    def __init__(
        self,
        url: str,
        secrets: Sequence[bytes] = (),
        *,
        allow_internal: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        parts = split(url)
        self.shown = shown(url)
        """The URL without what may be secret in it."""
        self._secrets = tuple(secrets)
        host = str(parts.hostname)
        secure = parts.scheme == "https"
        context = (tls or ssl.create_default_context()) if secure else None
        port = parts.port or (443 if secure else 80)
        self._pool = _Guarded(host, port, tls=context, limit=CONNECTIONS, allow_internal=allow_internal)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._head = (
            f"POST {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: jollyae\r\n"
            "Accept: */*\r\nContent-Type: application/json\r\n"
        )

    async def __call__(self, item: Item) -> dict[str, Any]:
        """Post it. Raises :class:`Temporary` and :class:`~.Permanent`."""
        told = message.of(item)
        try:
            async with asyncio.timeout(TIME):
                answer = await self._pool.request(self._request(told, int(time.time())))
        except TimeoutError as error:
            raise explain(StoreError(None, NoAnswer.TIMEOUT, f"none in {TIME:.0f} s"), self.shown) from error
        except StoreError as error:
            raise explain(error, self.shown) from error
        if (why_not := refusal(answer, self.shown, time.time())) is not None:
            raise why_not
        return {"notified": self.shown, "delivery": told.id, "status": answer.status}

    async def reach(self) -> str:
        """Connect, and send nothing; '' where that is all there is to say. Raises :class:`Temporary`."""
        try:
            async with asyncio.timeout(TIME):
                await self._pool.reach()
        except TimeoutError as error:
            raise explain(StoreError(None, NoAnswer.TIMEOUT, f"none in {TIME:.0f} s"), self.shown) from error
        except StoreError as error:
            raise explain(error, self.shown) from error
        return ""

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def _request(self, told: message.Message, now: int) -> bytes:
        head = f"{self._head}Content-Length: {len(told.body)}\r\nwebhook-id: {told.id}\r\nwebhook-timestamp: {now}\r\n"
        if self._secrets:
            head += f"webhook-signature: {sign(self._secrets, told.id, now, told.body)}\r\n"
        return f"{head}\r\n".encode("latin-1") + told.body


class _Guarded(Pool):
    """Connections to public addresses only, unless others are allowed. What :class:`Pool` connects to are the addresses
    that it holds, and never the name."""

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None, limit: int, allow_internal: bool) -> None:
        super().__init__(host, port, tls=tls, limit=limit)
        self._allow_internal = allow_internal

    async def _ask_for_addresses(self) -> None:
        await super()._ask_for_addresses()
        if self._allow_internal:
            return
        for found in list(self._addresses):
            if why := addresses.why_internal(str(found[0])):
                self._addresses.clear()
                what = self._host if self._host == str(found[0]) else f"{self._host} is {found[0]}"
                raise StoreError(None, _INTERNAL, f"{what}: {why}")

    async def reach(self) -> None:
        """Make a connection, and close it."""
        await self.addresses()
        (await self._connect()).close()


_INTERNAL = "Internal"


def split(url: str) -> SplitResult:
    """The parts of a webhook's URL. Raises :class:`UrlError`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UrlError("its host or port cannot be read") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise UrlError("a webhook is https://HOST[:PORT]/PATH, or http://…")
    if parts.username is not None or parts.password is not None:
        raise UrlError("it has a user or password in it; the signature tells who we are")
    if parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        raise UrlError("it has characters in it that must be written as %XX, or a fragment")
    return parts


def shown(url: str) -> str:
    """The URL as it may be seen by anybody: some have their secret in the path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def refusal(answer: Answer, where: str, now: float) -> Temporary | None:
    """What an answer means that is not yes; None for one that is. ``now``: seconds since 1970."""
    status = answer.status
    if 200 <= status < 300:
        return None
    said = f"{where}: {status}"
    if body := names.printable(" ".join(answer.body[:200].decode(errors="replace").split())):
        said += f": {body}"
    after = retry_after(answer.header(b"retry-after"), now)
    if status == 410:
        hint = "The receiver wants no more: remove this target, or correct its URL."
        return _of_all(f"the webhook is gone: {said}", hint, "bucket", after=max(after or 0.0, GONE))
    if status == 429 or (status == 503 and after is not None):
        hint = "Nothing to do: fewer are sent."
        return _of_all(f"the webhook asks for fewer: {said}", hint, "throttled", throttled=True, after=after)
    if status >= 500 or status == 408:
        hint = "Nothing to do but look at the receiver: it is tried again."
        return _of_all(f"the webhook is unwell: {said}", hint, "server", after=after)
    if 300 <= status < 400:
        hint = "Redirects are not followed: give the URL that it leads to, if that is right."
        return _of_all(f"the webhook is elsewhere: {said}", hint, "bucket")
    denied = status in (401, 403)
    hint = "Look at the secret and the URL." if denied else "Look at what the receiver says of it."
    return Temporary(
        f"the webhook refused: {said}", hint=hint, scope=Scope.UNSURE, reason="denied" if denied else "other"
    )


def _of_all(text: str, hint: str, reason: str, *, throttled: bool = False, after: float | None = None) -> Temporary:
    return Temporary(text, hint=hint, scope=Scope.DESTINATION, reason=reason, throttled=throttled, after=after)


def retry_after(text: str, now: float) -> float | None:
    """The header Retry-After in seconds from ``now``, an hour at the most; None where it says nothing.

    >>> retry_after("120", 0.0), retry_after("Thu, 01 Jan 1970 00:00:30 GMT", 10.0), retry_after("soon", 0.0)
    (120.0, 20.0, None)
    """
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST)
    try:
        return min(max(parsedate_to_datetime(text).timestamp() - now, 0.0), LONGEST)
    except (TypeError, ValueError):
        return None


_NO_ANSWER = {
    _INTERNAL: (
        "the webhook leads to an internal address",
        "If that is meant: --notify-internal, or allow_internal = true in its [notify.NAME].",
        "denied",
    ),
    NoAnswer.NAME: ("the webhook's name cannot be found", "Check its URL and the DNS.", "network"),
    NoAnswer.REFUSED: ("the webhook cannot be reached", "Is it running, and is its URL right?", "network"),
    NoAnswer.TLS: ("no secure connection to the webhook", "Its certificate is not one that we trust.", "tls"),
    NoAnswer.TIMEOUT: ("no answer of the webhook in time", "Check the network and the receiver.", "timeout"),
}


def explain(error: StoreError, where: str) -> Temporary:
    """The error to raise where there was no answer."""
    default = ("the webhook closed the connection", "Nothing to do if this is rare.", "network")
    what, hint, reason = _NO_ANSWER.get(error.code, default)
    told = error.message if "://" in error.message else f"{where}: {error.message}"
    return _of_all(f"{what}: {told}", hint, reason)
