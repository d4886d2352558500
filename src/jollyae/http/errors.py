"""What goes wrong, handed to a site's own page of errors: what happened and what to do now, never a traceback."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from .forms import Told
from .headers import protect

Handler = Callable[[Request, Exception], Awaitable[Response]]


class Page(Protocol):
    """Makes a site's page of an error: its status, our own words where there are some, and headers."""

    def __call__(
        self, request: Request, status: int, text: str = "", headers: dict[str, str] | None = None
    ) -> Response: ...


def words(texts: Mapping[int, tuple[str, str]], status: int) -> tuple[str, str]:
    """Title and text of an error, of the site's own or HTTP's.

    >>> words({404: ("Nothing here", "There is no such page.")}, 404)[0], words({}, 410)[0]
    ('Nothing here', 'Gone')
    """
    return texts.get(status) or (HTTPStatus(status).phrase, "Go back and try again.")


def refused_by(page: Page) -> Handler:
    """The handler of :class:`HTTPException`: our own words where there are some."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        text = error.detail if isinstance(error, Told) else ""
        return page(request, error.status_code, text, dict(error.headers or {}))

    return refused


def broke_by(page: Page) -> Handler:
    """The handler of everything else; the server logs the traceback."""

    async def broke(request: Request, error: Exception) -> Response:
        response = page(request, 500)  # outside of the guard
        protect(response.headers, is_secure=request.url.scheme == "https")
        return response

    return broke
