"""Logging in with a token, and out again."""

from starlette.responses import RedirectResponse, Response

from ..http.forms import local
from ..http.sessions import Session
from .access import Role
from .visits import Shown, Visit, client


async def form(visit: Visit) -> Response:
    """The page."""
    if visit.role >= Role.LOOK:
        return visit.go("/")
    return visit.page(_shown(visit, visit.parameters.get("next", "")))


async def enter(visit: Visit) -> Response:
    """Look at the token; a few wrong ones are free, then each costs a longer wait."""
    site, key, wanted = visit.site, client(visit.request), visit.form.text("next")
    if (wait := site.throttle.wait(key)) > 0:
        said = f"That were too many wrong tokens. Try again in {wait:.0f} s."
        return visit.page(_shown(visit, wanted, said), 429)
    token = site.access.of_text(visit.form.text("token"))
    if token is None:
        site.throttle.fail(key)
        return visit.page(_shown(visit, wanted, "That is no token of this dashboard."), 403)
    site.throttle.succeed(key)
    response = RedirectResponse(_there(visit, wanted), 303)
    site.sessions.write(visit.request, response, Session(token.role.name, token.fingerprint))
    return response


async def leave(visit: Visit) -> Response:
    """End the session."""
    response = visit.go("/login")
    visit.site.sessions.end(visit.request, response)
    return response


def _shown(visit: Visit, wanted: str, said: str = "") -> Shown:
    return Shown("login.html", {"next": _there(visit, wanted), "message": said, "is_good": False})


def _there(visit: Visit, wanted: str) -> str:
    """Where to go after: a page of ours, and of no other website on this host."""
    found = local(wanted)
    return found if found.startswith(f"{visit.site.prefix}/") else visit.site.url("/")
