"""Pages that go on by themselves: a page marks its parts, and a stream of events sends those that changed.

The stream of the page at ``/queue/photos?text=a`` is at ``/events/queue/photos?text=a``. It renders the same page
again when something happened, at most once a second, and sends what is between ``<!--part ID-->`` and
``<!--/part ID-->`` where that is something else than what it sent last. So there is one way to write a page.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ..http.forms import Told
from .access import Role
from .visits import LOG_IN, Shown, Visit, get, visit_of

EVERY = 0.8
"""Seconds between two answers at the least; with what it takes to look and to send, a change is seen within one."""
ALIVE = 4.0
"""After so many seconds without a change the page is told that we still look."""
LONGEST = 900.0
"""Seconds after which the browser is to ask again: a login may have ended meanwhile."""

_PART = re.compile(r"<!--part ([\w.-]+)-->(.*?)<!--/part \1-->", re.DOTALL)

Live = Callable[[Visit], Awaitable[Shown]]


def live(path: str, page: Live) -> list[Route]:
    """The routes of a page and of the events that keep it up to date."""

    async def whole(visit: Visit) -> Response:
        shown = await page(visit)
        return visit.page(shown)

    async def events(request: Request) -> Response:
        visit = visit_of(request)
        if visit.role < Role.LOOK:
            raise Told(401, LOG_IN)
        await page(visit)  # so that what is wrong is told as an error, and not as a stream that ends
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_stream(visit, page), 200, headers, "text/event-stream")

    return [get(path, whole), Route(f"/events{path}", events, methods=["GET"])]


def parts_of(html: str) -> dict[str, str]:
    """The marked parts of a page by their ids.

    >>> parts_of("a <!--part x-->b<!--/part x--> <!--part y--><i>c</i><!--/part y-->")
    {'x': 'b', 'y': '<i>c</i>'}
    """
    return {match[1]: match[2] for match in _PART.finditer(html)}


async def _stream(visit: Visit, page: Live) -> AsyncIterator[str]:
    site = visit.site
    sent: dict[str, str] = {}
    begun, said = monotonic(), 0.0
    yield f"retry: 2000\nevent: hello\ndata: {site.pages.build}\n\n"
    while not site.stopping.is_set() and monotonic() - begun < LONGEST:
        looked, number = monotonic(), site.watching.number  # what happens from here on is looked at again
        parts = parts_of(visit.html(await page(visit)))
        digests = {id: hashlib.sha256(html.encode(errors="replace")).hexdigest() for id, html in parts.items()}
        changed = {id: html for id, html in parts.items() if sent.get(id) != digests[id]}
        sent = digests
        if changed:
            yield f"event: parts\ndata: {json.dumps(changed)}\n\n"
        elif looked - said >= ALIVE:
            yield "event: alive\ndata: \n\n"
        if changed or looked - said >= ALIVE:
            said = looked
        rest = EVERY - (monotonic() - looked)
        if changed and rest > 0 and await _is_over(site.stopping, rest):
            return
        await site.watching.after(number, ALIVE)


async def _is_over(stopping: asyncio.Event, seconds: float) -> bool:
    """Whether the server ends within so many seconds."""
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return False
    return True
