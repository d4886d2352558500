"""What goes wrong, as a page in the album's own design: what happened and what to do now, never a traceback, and
never anything of the store's address. The details are in the log.
"""

import logging
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...http.errors import broke_by, refused_by, words
from ...http.forms import wants_json
from ..store import Missing, Stale, StoreError
from .visitors import NOBODY

LOG = logging.getLogger("jollyae.album.web")

TEXTS = {
    400: ("That was not understood", "The request is not one that this album knows. Go back and try again."),
    403: ("Not allowed", "You may not see or do this. Perhaps you have to log in."),
    404: (
        "Nothing here",
        "There is no such page or photo, or it is not shown to you. Perhaps it was made private or deleted.",
    ),
    405: ("Not possible", "This address cannot be used in that way. This may be an album that can only be looked at."),
    409: ("Changed meanwhile", "Somebody else changed this at the same time. Go back, reload the page, and try again."),
    413: ("Too large", "What you sent is larger than this album accepts."),
    416: ("No such part", "The file does not have the part that was asked for."),
    421: ("Not this name", "The album is not known under the name in the address."),
    429: ("Too many attempts", "Wait a little, then try again."),
    500: (
        "Something broke",
        "This is a fault of the program, not yours. It is in the log of `jollyae album serve`; try again.",
    ),
    503: (
        "The album cannot be read just now",
        "Its store does not answer. Nothing is lost; reload the page in a minute. If the album is yours: the log of "
        "`jollyae album serve` says why and what to do.",
    ),
}


def page(request: Request, status: int, text: str = "", headers: dict[str, str] | None = None) -> Response:
    """The page of an error; asks the store nothing, since that may be what is broken."""
    title, usual = words(TEXTS, status)
    if wants_json(request):
        return JSONResponse({"error": text or usual}, status, headers)
    site = request.app.state.site
    values: dict[str, Any] = {
        "album": site.title,
        "visitor": getattr(request.state, "visitor", NOBODY),
        "is_public": site.is_public,
        "can_upload": site.submit is not None,
        "has_servers": site.servers is not None,
        "conflicts_there": 0,
        "here": "",
        "address": "/",
        "token": None,
        "message": "",
        "status": status,
        "error_title": title,
        "error_text": text or usual,
    }
    response: Response = site.pages.respond(
        request, site.pages.render("error.html", values), status=status, cache="no-store"
    )
    response.headers.update(headers or {})
    return response


async def store_failed(request: Request, error: Exception) -> Response:
    """For :class:`StoreError`."""
    assert isinstance(error, StoreError)
    if isinstance(error, Missing):
        return page(request, 404)
    if isinstance(error, Stale):
        return page(request, 409)
    LOG.error("the store failed: %s%s", error.message, f" {error.hint}" if error.hint else "")
    return page(request, 503, headers={"Retry-After": "30"})


refused, broke = refused_by(page), broke_by(page)
