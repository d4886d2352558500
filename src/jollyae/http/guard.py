"""What every request and every answer goes through: which host and method is allowed, where a form may come from, how
much may be sent, and the headers that keep a browser from doing harm.

**Host.** A page of somebody else's can make the browser of a visitor talk to this server under a name of theirs (DNS
rebinding). So only names that we know are answered: those given, ``localhost``, this machine's own, and any address in
numbers, which is no name and cannot be rebound.

**Origin.** A browser says where a form comes from, and only ours may.
"""

import ipaddress
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .headers import protect

SAFE = ("GET", "HEAD")
MAX_FORM = 2**20
"""Bytes of a form that is no upload: the ids of 5,000 photos take 400 kB."""

Refuse = Callable[[Request, int, str, dict[str, str]], Response]
"""Makes the answer to a request that is refused: with that status, sentence ('': the usual one) and headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a website lets through. ``strange`` is the sentence for a host that is not ours; ``read_only``, where it is
    not '', the one for all methods but GET and HEAD; ``limit``: the bytes that may be sent to a path;
    ``needs_origin``: whether an action is refused that says nothing of where it comes from, and bears no
    ``Authorization`` either (which no other site's page can have a browser send)."""

    hosts: frozenset[str]
    refuse: Refuse
    strange: str
    read_only: str = ""
    limit: Callable[[str], int] = lambda path: MAX_FORM
    needs_origin: bool = False


def own_names(names: Iterable[str] = ()) -> frozenset[str]:
    """The names under which a website may be asked for: those given and this machine's."""
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


def is_own_origin(headers: Headers) -> bool | None:
    """Whether a browser says that a request comes from a page of ours; None where nothing is said. Browsers say
    ``Sec-Fetch-Site`` to https and to this machine, and know best: a proxy may have put another name into ``Host``.

    >>> is_own_origin(Headers({"host": "a:8", "origin": "http://a:8"}))
    True
    >>> is_own_origin(Headers({"host": "a:8", "sec-fetch-site": "cross-site"}))
    False
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    try:
        return None if origin is None else urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    except ValueError:
        return False


class Guard:
    """The middleware around a website."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app = app
        self._rules = rules

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
        limit = self._rules.limit(scope["path"])
        refusal = self._refusal(scope["method"], headers, limit)
        if refusal:
            await self._rules.refuse(Request(scope), *refusal)(scope, receive, guarded_send)
        else:
            await self._app(scope, _limited(receive, limit), guarded_send)

    def _refusal(self, method: str, headers: Headers, limit: int) -> tuple[int, str, dict[str, str]] | None:
        rules = self._rules
        if not is_allowed_host(headers.get("host", ""), rules.hosts):
            return 421, rules.strange, {}
        if method in SAFE:
            return None
        if rules.read_only:
            return 405, rules.read_only, {"Allow": "GET, HEAD"}
        is_own = is_own_origin(headers)
        if is_own is False:
            return 403, "The form came from a page of another site, so nothing was done.", {}
        if is_own is None and rules.needs_origin and "authorization" not in headers:
            return 403, UNTOLD, {}
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            return 413, "", {}
        return None


UNTOLD = (
    "The request does not say which page it comes from, so nothing was done. A program sends the token instead: "
    "Authorization: Bearer TOKEN."
)


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
