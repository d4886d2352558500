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

from ..store import Store, StoreError
from . import browse, disputes, edits, errors, photos, uploads, users
from .guard import Guard, own_names
from .pages import pages
from .site import MAX_UPLOAD, Fetch, Site, Submit, Trouble
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
    title: str = "Album",
    hosts: Iterable[str] = (),
    max_upload: int = MAX_UPLOAD,
) -> Starlette:
    """The album of that store as an ASGI app.

    ``public``: for a public database: GET and HEAD only, no login, nothing private. ``spool`` takes uploads (without
    it there are none). ``originals`` is the directory they are in, or what fetches them (without it there are no
    downloads and videos do not play); ``trouble`` says why an upload does not appear. ``hosts`` are the names under
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
        hosts=own_names(hosts),
        max_upload=max_upload,
    )
    guard = Middleware(Guard, hosts=site.hosts, is_public=public, max_upload=max_upload)
    app = Starlette(
        routes=[*_files(site), *LOOK, *(() if public else WORK)],
        middleware=[guard],
        exception_handlers={
            HTTPException: errors.refused,
            StoreError: errors.store_failed,
            Exception: errors.broke,
        },
    )
    app.state.site = site
    return app


def _files(site: Site) -> list[BaseRoute]:
    """The routes of the static files."""
    by_address = {file.address: file for file in site.pages.files.values()}

    async def static(request: Request) -> Response:
        file = by_address.get(request.url.path)
        if file is None:
            raise HTTPException(404)
        headers = {"Cache-Control": f"public, {photos.FOREVER}", "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(file.gzipped, 200, headers | {"Content-Encoding": "gzip"}, file.mime)
        return Response(file.body, 200, headers, file.mime)

    async def robots(request: Request) -> Response:
        """A private album is nothing for search engines; nor are a public one's endless lists of lists."""
        text = "Disallow: /tags/\nDisallow: /slideshow\n" if site.is_public else "Disallow: /\n"
        return PlainTextResponse(f"User-agent: *\n{text}", headers={"Cache-Control": "public, max-age=3600"})

    return [Route("/static/{hash}/{name}", static), Route("/robots.txt", robots)]
