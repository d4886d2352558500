"""One request: who comes, what they sent, and the answer. Every route of the app goes through :func:`get` or
:func:`post`, which let in only who may come in, so that no page has to think of it, and none can forget to.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from ...http.forms import Form, Told, local, wants_json
from ...http.sessions import Session
from .site import Site
from .visitors import NOBODY, Role, Visitor

MOST_FIELDS = 6000
"""Fields of one form: a bulk edit of 5,000 photos."""
MOST_FILES = 500
"""Files of one upload without JavaScript."""
LONGEST_FIELD = 200_000
"""Bytes of one field."""


@dataclass(slots=True)
class Visit:
    """A request with what its answer needs."""

    site: Site
    request: Request
    session: Session = field(default_factory=Session)
    visitor: Visitor = NOBODY
    form: Form = field(default_factory=Form)

    @property
    def parameters(self) -> Any:
        """What stands behind the question mark."""
        return self.request.query_params

    def part(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    async def page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """The page of that template."""
        sessions = None if self.site.is_public else await self.site.sessions()
        gave_token = False

        def token() -> str:
            nonlocal gave_token
            gave_token = True
            return sessions.token(self.session) if sessions else ""

        common = {
            "album": self.site.title,
            "visitor": self.visitor,
            "is_public": self.site.is_public,
            "can_upload": self.site.submit is not None,
            "has_servers": self.site.servers is not None,
            "conflicts_there": len(await self.site.conflicts()) if self.visitor.is_editor else 0,
            "here": self.request.url.path,
            "address": self.request.url.path + (f"?{self.request.url.query}" if self.request.url.query else ""),
            "token": token,
            "message": "",
        }
        html = self.site.pages.render(template, common | values)
        response = self.site.pages.respond(
            self.request,
            html,
            status=status,
            cache="public, no-cache" if self.site.is_public else "private, no-cache",
            tagged=self.site.is_public,
        )
        if sessions and ((gave_token and not self.session.is_kept) or self.session.is_old):
            sessions.write(self.request, response, self.session)
        return response

    def go(self, path: str) -> Response:
        """To another page, by GET."""
        return RedirectResponse(local(path), 303)

    def json(self, value: Any, status: int = 200) -> Response:
        """An answer for a script."""
        return JSONResponse(value, status, {"Cache-Control": "private, no-store"})

    @property
    def wants_json(self) -> bool:
        """Whether a script asks."""
        return wants_json(self.request)


Handler = Callable[[Visit], Awaitable[Response]]
RANK = (Role.NOBODY, Role.FRIEND, Role.EDITOR)


def get(path: str, handler: Handler, needs: Role = Role.NOBODY) -> Route:
    """A page, for those who are at least that."""

    async def answer(request: Request) -> Response:
        visit = await _visit(request)
        if RANK.index(visit.visitor.role) >= RANK.index(needs):
            return await handler(visit)
        if visit.visitor.role is not Role.NOBODY:
            raise Told(403, f"This page is for the editors of the album; you are logged in as a {visit.visitor.role}.")
        if visit.wants_json or visit.site.is_public:
            raise Told(403, "Log in first.")
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return visit.go(f"/login?next={quote(here, safe='')}")

    return Route(path, answer, methods=["GET"])


def post(path: str, handler: Handler, needs: Role = Role.EDITOR, *, files: int = 0) -> Route:
    """An action, for those who are at least that, who send the token of their session in the form or, if a script
    sends it, in a header; ``files``: how many may come with it."""

    async def answer(request: Request) -> Response:
        visit = await _visit(request)
        if RANK.index(visit.visitor.role) < RANK.index(needs):
            raise Told(403, "You are not logged in as somebody who may do that. Log in and try again.")
        sessions = await visit.site.sessions()
        said = request.headers.get("x-csrf-token", "")
        if said and not sessions.is_token(visit.session, said):  # before a large body is read
            raise Told(403, FORGED)
        async with request.form(max_files=files, max_fields=MOST_FIELDS, max_part_size=LONGEST_FIELD) as data:
            visit.form = Form(data)
            if not said and not sessions.is_token(visit.session, visit.form.text("token")):
                raise Told(403, FORGED)
            return await handler(visit)

    return Route(path, answer, methods=["POST"])


FORGED = (
    "The form did not come from a page of yours, or you have logged in or out since. "
    "Go back, reload the page, and try again."
)


async def _visit(request: Request) -> Visit:
    site: Site = request.app.state.site
    if site.is_public:
        return Visit(site, request)
    session = (await site.sessions()).read(request)
    visitor = await site.visitor(session)
    request.state.visitor = visitor
    return Visit(site, request, session, visitor)
