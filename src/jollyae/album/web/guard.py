"""What every request and every answer goes through: which host and method is allowed, where a form may come from, how
much may be sent, and the headers that keep a browser from doing harm.

**Host.** A page of somebody else's can make the browser of a visitor talk to this server under a name of theirs (DNS
rebinding). So only names that we know are answered: those given, ``localhost``, this machine's own, and any address in
numbers, which is no name and cannot be rebound.

**Origin.** Besides the token in each form: a browser says where a form comes from, and only ours may.
"""

import ipaddress
import socket
from collections.abc import Iterable
from time import perf_counter
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import errors
from .headers import protect

SAFE = ("GET", "HEAD")
MAX_FORM = 2**20
"""Bytes of a form that is no upload: the ids of 5,000 photos take 400 kB."""


def own_names(names: Iterable[str] = ()) -> frozenset[str]:
    """The names under which the album may be asked for: those given and this machine's."""
    here = socket.gethostname()
    found = ("localhost", here, f"{here.split('.')[0]}.local", *names)
    return frozenset(name.lower().rstrip(".") for name in found if name)


def is_allowed_host(host: str, names: frozenset[str]) -> bool:
    """Whether a request for that host (as in the ``Host`` header) is meant for us.

    >>> names = frozenset({"localhost", "*.example.org"})
    >>> [is_allowed_host(host, names) for host in ("localhost:80", "[::1]:8", "a.example.org", "evil.test", "")]
    [True, True, True, False, False]
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    name = name.rstrip(".")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in names or "*" in names or f"*.{name.partition('.')[2]}" in names
    return True


def is_own_origin(headers: Headers) -> bool:
    """Whether a browser says that a request comes from a page of ours, or no browser says anything.

    >>> is_own_origin(Headers({"host": "a:8", "origin": "http://a:8"}))
    True
    >>> is_own_origin(Headers({"host": "a:8", "sec-fetch-site": "cross-site"}))
    False
    """
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


class Guard:
    """The middleware around the app. ``max_upload`` are the bytes of what is sent to ``/upload``."""

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], is_public: bool, max_upload: int) -> None:
        self._app = app
        self._hosts = hosts
        self._is_public = is_public
        self._max_upload = max_upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        is_secure = scope.get("scheme") == "https"

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                protect(headers, is_secure=is_secure)
                headers["Server-Timing"] = f"app;dur={(perf_counter() - began) * 1000:.1f}"
            await send(message)

        headers = Headers(scope=scope)
        limit = self._max_upload if scope["path"] == "/upload" else MAX_FORM
        refusal = self._refusal(scope["method"], headers, limit)
        if refusal:
            status, text, more = refusal
            await errors.page(Request(scope), status, text, more)(scope, receive, guarded_send)
        else:
            await self._app(scope, _limited(receive, limit), guarded_send)

    def _refusal(self, method: str, headers: Headers, limit: int) -> tuple[int, str, dict[str, str]] | None:
        if not is_allowed_host(headers.get("host", ""), self._hosts):
            return (
                421,
                "The album is not known under the name in the address. If it is yours: start `jollyae album serve` "
                "with `--hostname` and that name.",
                {},
            )
        if method in SAFE:
            return None
        if self._is_public:
            return 405, "This album can only be looked at.", {"Allow": "GET, HEAD"}
        if not is_own_origin(headers):
            return 403, "The form came from a page of another site, so nothing was done.", {}
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            return 413, "", {}
        return None


def _limited(receive: Receive, limit: int) -> Receive:
    """The request's body, ended by an error where there is more of it than the limit."""
    got = 0

    async def counted() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > limit:
            raise HTTPException(413)
        return message

    return counted
