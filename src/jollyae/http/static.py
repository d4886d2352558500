"""The files that pages refer to (style, scripts, icon): read once, kept in memory, served under a name with their
hash, so that browsers may keep them for ever.
"""

import gzip
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

MIMES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file: its address, what it is, and its bytes, also compressed."""

    address: str
    mime: str
    body: bytes
    gzipped: bytes


def load(directory: Path, prefix: str = "") -> dict[str, StaticFile]:
    """The files of a directory by name. ``prefix``: what comes before the path in all of a website's addresses."""
    found = {}
    for path in sorted(directory.iterdir()):
        if path.suffix in MIMES:
            body = path.read_bytes()
            digest = hashlib.sha256(body).hexdigest()[:16]
            zipped = gzip.compress(body, 9, mtime=0)
            found[path.name] = StaticFile(f"{prefix}/static/{digest}/{path.name}", MIMES[path.suffix], body, zipped)
    return found


def route(files: Iterable[StaticFile], cache: str) -> Route:
    """The route of those files. ``cache``: for how long browsers may keep them."""
    by_name = {file.address.rpartition("/static/")[2]: file for file in files}

    async def static(request: Request) -> Response:
        file = by_name.get(f"{request.path_params['hash']}/{request.path_params['name']}")
        if file is None:
            raise HTTPException(404)
        headers = {"Cache-Control": cache, "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(file.gzipped, 200, headers | {"Content-Encoding": "gzip"}, file.mime)
        return Response(file.body, 200, headers, file.mime)

    return Route("/static/{hash}/{name}", static)
