"""Puts the dashboard together: which address is which page, and who may come in."""

from collections.abc import Iterable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from ..http import static
from ..http.guard import MAX_FORM, Guard, Rules, own_names
from . import doings, errors, login, screens, writing
from .access import Access, Role
from .live import live
from .model import Dashboard, Find
from .queue import Queue
from .site import MAX_UPLOAD, Site
from .visits import get, post

ROUTES: tuple[BaseRoute, ...] = (
    *live("/", screens.overview),
    *live("/queue/{name:path}", screens.queue),
    get("/receipts", screens.receipts_page),
    get("/api/queues", screens.api),
    get("/login", login.form, Role.NOBODY),
    post("/login", login.enter, Role.NOBODY),
    post("/logout", login.leave, Role.LOOK),
    get("/metrics", screens.metrics),
    get("/livez", screens.alive, Role.NOBODY),
    get("/readyz", screens.ready, Role.NOBODY),
    post("/queue/{name:path}/pause", doings.pause),
    post("/queue/{name:path}/resume", doings.resume),
    post("/queue/{name:path}/retry", doings.retry),
    post("/queue/{name:path}/upload", doings.upload, files=doings.MOST_FILES),
)
"""All addresses; each with who may ask for it: to look, unless said; to act, if it is a POST."""

STRANGE = (
    "The dashboard is not known under the name in the address. If it is yours: start `jollyae web` with "
    "`--allow-host` and that name."
)


def make_app(
    queues: Sequence[Queue],
    *,
    find: Find | None = None,
    access: Access | None = None,
    hosts: Iterable[str] = (),
    prefix: str = "",
    max_upload: int = MAX_UPLOAD,
) -> Starlette:
    """The dashboard of those queues as an ASGI app. ``hosts`` are the names under which it is known, besides localhost,
    this machine's own name and all addresses in numbers. ``prefix``, as ``/jollyae``, comes before the path of all of
    its addresses, whether a proxy leaves it in the request or takes it away. ``find`` finds the queues again."""
    site = Site(
        dashboard=Dashboard(queues, find),
        pages=writing.pages(prefix),
        access=access or Access(),
        prefix=prefix,
        hosts=own_names(hosts),
        max_upload=max_upload,
    )
    rules = Rules(
        hosts=site.hosts,
        refuse=errors.page,
        strange=STRANGE,
        limit=lambda path: max_upload if path.endswith("/upload") else MAX_FORM,
        needs_origin=True,
    )
    app = Starlette(
        routes=[static.route(site.pages.files.values(), "public, max-age=31536000, immutable"), *ROUTES],
        middleware=[Middleware(Prefixed, prefix=prefix), Middleware(Guard, rules=rules)],
        exception_handlers={HTTPException: errors.refused, OSError: errors.failed, Exception: errors.broke},
    )
    app.state.site = site
    return app


class Prefixed:
    """Takes the prefix away from a request's path."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The request, without it."""
        path = scope.get("path", "")
        if self._prefix and scope["type"] == "http" and (path == self._prefix or path.startswith(f"{self._prefix}/")):
            scope = dict(scope) | {"path": path[len(self._prefix) :] or "/"}
        await self._app(scope, receive, send)
