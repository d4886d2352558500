"""Puts the album's pages together: which address is which page, and who may come in."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from ...http import static
from ...http.guard import MAX_FORM, Guard, Rules, own_names
from ..store import Store, StoreError
from . import browse, disputes, edits, errors, photos, servers, uploads, users
from .pages import pages
from .site import MAX_UPLOAD, Fetch, Servers, Site, Submit, Trouble
from .visitors import Role
from .visits import MOST_FILES, get, post

LOOK = (
    get("/", browse.home),
    get("/timeline", browse.timeline),
    get("/added", browse.added),
    get("/tags", browse.tags),
    get("/tags/{search:path}", browse.tagged),
    get("/search", browse.find),
    get("/cameras", browse.cameras),
    get("/cameras/{camera:path}", browse.camera),
    get("/slideshow", browse.slideshow),
    get("/slides", browse.slides),
    get("/photo/{id}", photos.photo),
    get("/image/{rendition}/{file}", photos.image),
)
"""What everybody may look at; what of it they see is another matter."""

WORK = (
    get("/login", users.login),
    post("/login", users.enter, Role.NOBODY),
    post("/logout", users.leave, Role.FRIEND),
    get("/account", users.account, Role.FRIEND),
    post("/account", users.change_password, Role.FRIEND),
    post("/photo/{id}/comment", edits.comment, Role.FRIEND),
    post("/photo/{id}/uncomment", edits.uncomment, Role.FRIEND),
    get("/original/{id}", photos.original, Role.EDITOR),
    post("/photo/{id}/edit", edits.edit),
    post("/photo/{id}/turn", edits.turn),
    post("/photo/{id}/delete", edits.delete),
    get("/inbox", edits.inbox, Role.EDITOR),
    get("/select", edits.select, Role.EDITOR),
    post("/bulk", edits.bulk),
    get("/conflicts", disputes.conflicts, Role.EDITOR),
    get("/conflicts/{id}", disputes.conflict, Role.EDITOR),
    post("/conflicts/{id}", disputes.decide),
    get("/upload", uploads.upload, Role.EDITOR),
    get("/upload/state", uploads.state, Role.EDITOR),
    post("/upload", uploads.send, files=MOST_FILES),
    get("/servers", servers.servers, Role.EDITOR),
    get("/users", users.users, Role.EDITOR),
    post("/users", users.invite),
    post("/users/remove", users.dismiss),
)
"""What needs a login. None of it is at a public server."""


class Options(TypedDict, total=False):
    """What :func:`make_app` can be given by name."""

    public: bool
    spool: Submit | None
    originals: Fetch | Path | None
    trouble: Trouble | None
    servers: Servers | None
    title: str
    hosts: Iterable[str]
    max_upload: int


def make_app(
    store: Store,
    *,
    public: bool = False,
    spool: Submit | None = None,
    originals: Fetch | Path | None = None,
    trouble: Trouble | None = None,
    servers: Servers | None = None,
    title: str = "Album",
    hosts: Iterable[str] = (),
    max_upload: int = MAX_UPLOAD,
) -> Starlette:
    """The album of that store as an ASGI app.

    ``public``: for a public database: GET and HEAD only, no login, nothing private. ``spool`` takes uploads (without
    it there are none). ``originals`` is the directory they are in, or what fetches them (without it there are no
    downloads and videos do not play); ``trouble`` says why an upload does not appear; ``servers`` how several
    servers replicate (without it there is no page of that). ``hosts`` are the names under
    which the album is known, besides localhost, this machine's own name and all addresses in numbers; ``*.example.org``
    for all below a domain, ``*`` for all there are. ``max_upload`` in bytes. The store stays the caller's to close.
    """
    site = Site(
        store=store,
        pages=pages(),
        title=title,
        is_public=public,
        submit=None if public else spool,
        fetch=None if public else photos.from_directory(originals) if isinstance(originals, Path) else originals,
        trouble=trouble,
        servers=None if public else servers,
        hosts=own_names(hosts),
        max_upload=max_upload,
    )
    app = Starlette(
        routes=[*_files(site), *LOOK, *(() if public else WORK)],
        middleware=[Middleware(Guard, rules=_rules(site))],
        exception_handlers={
            HTTPException: errors.refused,
            StoreError: errors.store_failed,
            Exception: errors.broke,
        },
    )
    app.state.site = site
    return app


def _rules(site: Site) -> Rules:
    return Rules(
        hosts=site.hosts,
        refuse=errors.page,
        strange="The album is not known under the name in the address. If it is yours: start `jollyae album serve` "
        "with `--hostname` and that name.",
        read_only="This album can only be looked at." if site.is_public else "",
        limit=lambda path: site.max_upload if path == "/upload" else MAX_FORM,
    )


def _files(site: Site) -> list[BaseRoute]:
    """The routes of the static files."""

    async def robots(request: Request) -> Response:
        """A private album is nothing for search engines; nor are a public one's endless lists of lists."""
        text = "Disallow: /tags/\nDisallow: /slideshow\n" if site.is_public else "Disallow: /\n"
        return PlainTextResponse(f"User-agent: *\n{text}", headers={"Cache-Control": "public, max-age=3600"})

    return [static.route(site.pages.files.values(), f"public, {photos.FOREVER}"), Route("/robots.txt", robots)]
