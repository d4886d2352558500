"""One request: who comes, and the answer. Every page goes through :func:`get` or :func:`live` and every action through
:func:`post`, which let in only who may, so that no page has to think of it, and none can forget to.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from ..http.forms import Form, Told, local, wants_json
from ..http.sessions import Session
from .access import Role
from .site import Site

MOST_FIELDS = 6000
"""Fields of one form: 5,000 selected items."""
LONGEST_FIELD = 200_000
"""Bytes of one field."""


@dataclass(slots=True)
class Visit:
    """A request with what its answer needs."""

    site: Site
    request: Request
    session: Session
    role: Role
    form: Form = field(default_factory=Form)

    @property
    def parameters(self) -> Any:
        """What stands behind the question mark."""
        return self.request.query_params

    @property
    def may_act(self) -> bool:
        """Whether who asks may do something."""
        return self.role >= Role.ACT

    @property
    def wants_json(self) -> bool:
        """Whether a script asks."""
        return wants_json(self.request)

    def part(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def page(self, shown: "Shown", status: int = 200) -> Response:
        """The page."""
        pages = self.site.pages
        response = pages.respond(self.request, self.html(shown), status=status, cache="private, no-store")
        if self.session.is_old:
            self.site.sessions.write(self.request, response, self.session)
        return response

    def html(self, shown: "Shown") -> str:
        """The page as text."""
        return self.site.pages.render(shown.template, common(self.site, self.request, self.role) | shown.values)

    def go(self, path: str) -> Response:
        """To another page, by GET."""
        return RedirectResponse(self.site.url(path), 303)

    def go_to(self, address: str) -> Response:
        """To an address of ours, by GET."""
        return RedirectResponse(local(address), 303)

    def json(self, value: Any, status: int = 200) -> Response:
        """An answer for a script."""
        return JSONResponse(value, status, {"Cache-Control": "private, no-store"})


@dataclass(frozen=True, slots=True)
class Shown:
    """A page to be: its template, and what that needs."""

    template: str
    values: dict[str, Any]


def common(site: Site, request: Request, role: Role) -> dict[str, Any]:
    """What all templates need."""
    return {
        "site": site,
        "machine": site.machine,
        "url": site.url,
        "here": request.url.path,
        "events": "",
        "role": role.name,
        "may_act": role >= Role.ACT,
        "has_tokens": bool(site.access.tokens),
        "message": "",
        "closes": "",
        "is_good": True,
    }


Handler = Callable[[Visit], Awaitable[Response]]


def get(path: str, handler: Handler, needs: Role = Role.LOOK) -> Route:
    """A page, for those who may that."""

    async def answer(request: Request) -> Response:
        visit = visit_of(request)
        return await handler(visit) if visit.role >= needs else _to_login(visit)

    return Route(path, answer, methods=["GET"])


def post(path: str, handler: Handler, needs: Role = Role.ACT, *, files: int = 0) -> Route:
    """An action, for those who may that; ``files``: how many may come with it. That it comes from a page of ours, or
    bears the token, was seen to by the guard."""

    async def answer(request: Request) -> Response:
        visit = visit_of(request)
        if visit.role < needs:
            raise Told(403, LOOK_ONLY if visit.role >= Role.LOOK else LOG_IN)
        async with request.form(max_files=files, max_fields=MOST_FIELDS, max_part_size=LONGEST_FIELD) as data:
            visit.form = Form(data)
            return await handler(visit)

    return Route(path, answer, methods=["POST"])


LOOK_ONLY = "You may look at this dashboard, but not do anything: it, or your token, is read-only."
LOG_IN = "Log in first. A program sends the token: Authorization: Bearer TOKEN."


def _to_login(visit: Visit) -> Response:
    asked = str(visit.request.scope["path"])
    is_for_programs = asked == "/metrics" or asked.startswith("/api/")
    if visit.wants_json or is_for_programs or "authorization" in visit.request.headers:
        raise Told(401, LOG_IN, {"WWW-Authenticate": "Bearer"})
    path = visit.site.url(visit.request.url.path) + (f"?{visit.request.url.query}" if visit.request.url.query else "")
    return RedirectResponse(f"{visit.site.url('/login')}?next={quote(path, safe='')}", 303)


def visit_of(request: Request) -> Visit:
    """Who asks. Raises :class:`Told` for a token in the header that is none, and where too many were tried."""
    site: Site = request.app.state.site
    if not site.access.tokens:
        return Visit(site, request, Session(), site.access.open())
    said = request.headers.get("authorization", "")
    if said:
        return Visit(site, request, Session(), _bearer(site, request, said))
    session = site.sessions.read(request)
    token = site.access.of_session(session) if session.is_kept else None
    return Visit(site, request, session if token else Session(), site.access.role(token))


def _bearer(site: Site, request: Request, said: str) -> Role:
    key = client(request)
    if site.throttle.wait(key) > 0:
        raise Told(429, "")
    scheme, _, text = said.partition(" ")
    token = site.access.of_text(text) if scheme.lower() == "bearer" else None
    if token is None:
        site.throttle.fail(key)
        raise Told(401, "That is no token of this dashboard.", {"WWW-Authenticate": "Bearer"})
    site.throttle.succeed(key)
    return site.access.role(token)


def client(request: Request) -> str:
    """Who asks, for counting wrong tokens."""
    return request.client.host if request.client else ""
