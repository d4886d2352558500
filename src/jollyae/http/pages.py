"""Writes pages: templates to HTML, compressed where the browser can read that. All that is shown is escaped."""

import gzip
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import Response

from . import static

SMALLEST = 1000
"""Bytes below which compressing a page gains nothing."""


class Pages:
    """The templates and static files of a website: those in ``templates/`` and ``static/`` of its ``directory``."""

    def __init__(
        self,
        directory: Path,
        filters: Mapping[str, Callable[..., Any]],
        functions: Mapping[str, Callable[..., Any]],
        prefix: str = "",
    ) -> None:
        self._directory = directory / "templates"
        self.files = static.load(directory / "static", prefix)
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(self._directory),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters |= filters
        self._environment.globals |= {"static": lambda name: self.files[name].address, **functions}
        for name in self._names():
            self._environment.get_template(name)  # compiled now and not while the first visitor waits
        self.build = self._digest()
        """Another one where a template or a file is another one."""

    def _digest(self) -> str:
        said = [(self._directory / name).read_text() for name in self._names()]
        said += [file.address for file in self.files.values()]
        return hashlib.sha256("".join(said).encode()).hexdigest()[:16]

    def _names(self) -> list[str]:
        return self._environment.list_templates(extensions=["html"])

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
