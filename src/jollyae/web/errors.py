"""What goes wrong, as a page in the dashboard's own design: what happened and what to do now, never a traceback. The
details are in the log.
"""

import errno
import logging

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..http.errors import broke_by, refused_by, words
from ..http.forms import wants_json
from .access import Role
from .site import Site
from .visits import common

LOG = logging.getLogger("jollyae.web")

TEXTS = {
    400: ("That was not understood", "The request is not one that this dashboard knows. Go back and try again."),
    401: ("Not logged in", "Log in first."),
    403: ("Not allowed", "You may not do this."),
    404: ("Nothing here", "There is no such page. Perhaps the configuration has another queue by now."),
    405: ("Not possible", "This address cannot be used in that way."),
    413: ("Too large", "What you sent is larger than the dashboard accepts. Copy it into incoming/ on the machine."),
    421: ("Not this name", "The dashboard is not known under the name in the address."),
    429: ("Too many attempts", "Wait a little, then try again."),
    500: (
        "Something broke",
        "This is a fault of the program, not yours, and no queue is hurt by it. The log of `jollyae web` says more.",
    ),
    507: ("The disk is full", "Nothing was taken. Make room on the machine, then try again."),
}


def page(request: Request, status: int, text: str = "", headers: dict[str, str] | None = None) -> Response:
    """The page of an error; reads no queue, since that may be what is broken."""
    title, usual = words(TEXTS, status)
    if wants_json(request):
        return JSONResponse({"error": text or usual}, status, headers)
    site: Site = request.app.state.site
    values = common(site, request, Role.NOBODY) | {"error_title": title, "error_text": text or usual}
    html = site.pages.render("error.html", values)
    response = site.pages.respond(request, html, status=status, cache="no-store")
    response.headers.update(headers or {})
    return response


async def failed(request: Request, error: Exception) -> Response:
    """For :class:`OSError`: a full disk is told from what we did wrong."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        LOG.error("the disk is full: %s", error)
        return page(request, 507)
    LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return page(request, 500)


refused, broke = refused_by(page), broke_by(page)
