"""Writes pages: templates to HTML, compressed where the browser can read that. All that is shown is escaped."""

import gzip
import hashlib
from functools import cache
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import Response

from . import markdown, orientation, static, texts

SMALLEST = 1000
"""Bytes below which compressing a page gains nothing."""


@cache
def pages() -> "Pages":
    """The templates and static files, read once in a process."""
    return Pages()


class Pages:
    """The templates and static files of the album."""

    def __init__(self) -> None:
        self.files = static.load()
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader(__package__ or __name__),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters |= {
            "plain": texts.plain,
            "date": texts.written_date,
            "clock": texts.written_time,
            "offset": texts.written_offset,
            "month": texts.written_month,
            "short_month": texts.short_month,
            "bytes": texts.written_size,
            "markdown": markdown.render,
        }
        self._environment.globals |= {
            "static": lambda name: self.files[name].address,
            "counted": texts.counted,
            "alternative": texts.alternative,
            "shown_size": orientation.shown_size,
        }
        for name in self._environment.list_templates(extensions=["html"]):
            self._environment.get_template(name)  # compiled now and not while the first visitor waits

    def render(self, template: str, values: dict[str, Any]) -> str:
        """The page."""
        return self._environment.get_template(template).render(values)

    def respond(
        self, request: Request, html: str, *, status: int = 200, cache: str = "private, no-cache", tagged: bool = False
    ) -> Response:
        """The page as a response. ``tagged``: with an ETag, and 304 where the browser has it (for pages that are the
        same for everybody)."""
        headers = {"Cache-Control": cache, "Vary": "Accept-Encoding, Cookie"}
        body = html.encode("utf-8", "replace")
        if tagged and status == 200:
            tag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
            headers["ETag"] = tag
            if tag in request.headers.get("if-none-match", ""):
                return Response(status_code=304, headers=headers)
        if len(body) >= SMALLEST and "gzip" in request.headers.get("accept-encoding", ""):
            body = gzip.compress(body, 5, mtime=0)
            headers["Content-Encoding"] = "gzip"
        return Response(body, status, headers, "text/html; charset=utf-8")
