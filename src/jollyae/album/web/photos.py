"""One photo: its page, its pictures, and its original. They change nothing."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import anyio
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from ...http.forms import Told
from ...http.texts import plain
from ..document import CATEGORIES, UNPROCESSED
from ..store import MEDIUM, THUMB, Document
from . import orientation
from .browse import card_of, cards_of, heading, keywords_of, tag_path
from .listings import listing_of
from .site import Fetch
from .texts import alternative, written_date
from .visitors import is_shown_keyword, shown
from .visits import Visit

FOREVER = "max-age=31536000, immutable"
PHOTO_ID = re.compile(r"[0-9a-f]{64}")
FILE = re.compile(r"([0-9a-f]{64})-(0|90|180|270)\.jpg")
SUGGESTED = 300
"""Keywords that the edit form suggests."""
EXPOSURE = (
    ("Camera", "name"),
    ("Lens", "lens"),
    ("Focal length", "focal"),
    ("Aperture", "aperture"),
    ("Exposure", "exposure"),
    ("ISO", "iso"),
)
"""What the page shows of ``camera``, in this order; what else there is comes after it under its own name."""
CHUNK = 2**18


async def photo(visit: Visit) -> Response:
    """The page of one photo."""
    document = await found(visit)
    return await photo_page(visit, document)


async def found(visit: Visit) -> Document:
    """The photo that the path names; 404 where there is none that the visitor may see."""
    id = visit.part("id")
    document = await visit.site.photo(id, visit.visitor) if PHOTO_ID.fullmatch(id) else None
    if document is None:
        raise HTTPException(404)
    return document


async def photo_page(visit: Visit, document: Document, *, status: int = 200, **values: Any) -> Response:
    """The page of that photo; ``values`` (a message, what was typed) go over what the page shows otherwise."""
    site, visitor = visit.site, visit.visitor
    listing = listing_of(visit.parameters)
    card = card_of(document)
    if site.is_public:  # whose documents do not say why there is nothing to see
        card = replace(card, has_renditions=await site.store.rendition(card.id, THUMB) is not None)
    query = listing.query(visitor.audience)
    place = card.cursor(query.order)
    newer, older, comments, suggested = await asyncio.gather(
        cards_of(visit, query, after=place, backwards=True, limit=1),
        cards_of(visit, query, after=place, limit=1),
        site.store.comments(card.id),
        keywords_of(visit) if visitor.is_editor else _nothing(),
    )
    seen = shown(visitor, document)
    keywords = [word for word in _texts(seen.get("keywords")) if is_shown_keyword(visitor, word)]
    common: dict[str, Any] = {
        "card": card,
        "name": plain(card.title, 200) or written_date(card.taken) or alternative("", "", card.kind),
        "photo": seen,
        "listing": listing,
        "heading": heading(listing),
        "newer": newer[0] if newer else None,
        "older": older[0] if older else None,
        "tags": [(word, tag_path(word)) for word in keywords if word != UNPROCESSED],
        "is_unprocessed": UNPROCESSED in keywords,
        "exposure": exposure(seen),
        "exif": sorted(_mapping(seen.get("exif")).items()),
        "place": place_of(seen) if visitor.is_editor else None,
        "comments": comments,
        "suggested": [count.name for count in suggested[:SUGGESTED]],
        "categories": CATEGORIES,
        "video": _video(site.fetch, visit, document),
        "has_original": visitor.is_editor and site.fetch is not None,
        "has_conflict": visitor.is_editor and bool(document.get("_conflicts")),
        "was": fields(document),
        "now": fields(document),
        "clashes": {},
        "comment_text": "",
    }
    return await visit.page("photo.html", status=status, **common | values)


async def _nothing() -> list[Any]:
    return []


def fields(document: Document) -> dict[str, str]:
    """What the edit form shows of a photo, as texts; for being in the inbox it has a field of its own."""
    return {
        "title": str(document.get("title") or ""),
        "descr": str(document.get("descr") or ""),
        "keywords": ", ".join(word for word in _texts(document.get("keywords")) if word != UNPROCESSED),
        "cat": str(document.get("cat") or ""),
        "taken": str(document.get("taken") or "")[:19],
        "gps": "kept" if document.get("gps") else "",
    }


def exposure(document: Document) -> list[tuple[str, str]]:
    """How it was taken, as pairs of a name and a value."""
    camera = _mapping(document.get("camera"))
    known = [(label, str(camera[name])) for label, name in EXPOSURE if camera.get(name)]
    named = {name for _, name in EXPOSURE} | {"make", "model"}
    return known + [
        (name.replace("_", " ").capitalize(), str(v)) for name, v in camera.items() if v and name not in named
    ]


def place_of(document: Document) -> dict[str, str] | None:
    """Where it was taken: text, and the address of a map; None where that is not known."""
    gps = _mapping(document.get("gps"))
    try:
        latitude, longitude = float(gps["latitude"]), float(gps["longitude"])
    except (KeyError, TypeError, ValueError):
        return None
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        return None
    text = (
        f"{abs(latitude):.5f}° {'N' if latitude >= 0 else 'S'}, {abs(longitude):.5f}° {'E' if longitude >= 0 else 'W'}"
    )
    where = f"mlat={latitude:.6f}&mlon={longitude:.6f}#map=15/{latitude:.6f}/{longitude:.6f}"
    return {"text": text, "map": f"https://www.openstreetmap.org/?{where}"}


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


# --- pictures


async def image(visit: Visit) -> Response:
    """A rendition, turned as the address says; to be kept for ever."""
    name, file = visit.part("rendition"), FILE.fullmatch(visit.part("file"))
    if file is None or name not in (THUMB, MEDIUM):
        raise HTTPException(404)
    id, rotate = file[1], int(file[2])
    if not visit.visitor.is_editor and await visit.site.photo(id, visit.visitor) is None:
        raise HTTPException(404)
    rendition = await visit.site.store.rendition(id, name)
    if rendition is None:
        raise HTTPException(404)
    tag = f'"{quote(rendition.digest, safe="")}-{rotate}"'
    headers = {"ETag": tag, "Cache-Control": f"{'public' if visit.site.is_public else 'private'}, {FOREVER}"}
    if tag in visit.request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(orientation.turned(rendition.body, rotate), 200, headers, "image/jpeg")


# --- originals

SAFE_TYPES = re.compile(r"(image/(?!svg)|video/|audio/)[a-z0-9.+-]+")
"""Kinds of files that a browser shows and never runs."""


def _video(fetch: Fetch | None, visit: Visit, document: Document) -> str:
    """The address from which a video can be played; '' where it cannot."""
    if document.get("kind") != "video" or fetch is None or not visit.visitor.is_editor:
        return ""
    return f"/original/{document['_id']}"


async def original(visit: Visit) -> Response:
    """The file as it came, whole or a part of it; with ``?download`` to be saved under its name."""
    document = await found(visit)
    fetch = visit.site.fetch
    size = _mapping(document.get("original")).get("size") or document.get("size")
    if fetch is None or not isinstance(size, int):
        raise Told(404, "The originals are not within this server's reach.")
    mime = str(document.get("mime", ""))
    mime = mime if SAFE_TYPES.fullmatch(mime) else "application/octet-stream"
    is_shown = SAFE_TYPES.fullmatch(mime) and "download" not in visit.parameters
    name = plain(document.get("name") or f"{document['_id']}.{document.get('extension', '')}").replace("/", "_")
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": f'"{document["_id"]}"',
        "Cache-Control": f"private, {FOREVER}",
        "Content-Disposition": f"{'inline' if is_shown else 'attachment'}; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    if headers["ETag"] in visit.request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    start, stop, status = 0, size, 200
    if_range = visit.request.headers.get("if-range", headers["ETag"])
    if if_range == headers["ETag"] and (text := visit.request.headers.get("range")):
        part = part_of(text, size)
        if part and part[0] == part[1]:
            raise HTTPException(416, headers={"Content-Range": f"bytes */{size}"})
        if part is not None:
            start, stop, status = *part, 206
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    if visit.request.method == "HEAD":
        return Response(None, status, headers, mime)
    body = await _begun(fetch(document, start, stop))
    return StreamingResponse(body, status, headers, mime)


def part_of(text: str, size: int) -> tuple[int, int] | None:
    """The part of a file that a ``Range`` header asks for, as first byte and the byte after the last, the same twice
    where the file has no such part; None where the header is to be ignored (RFC 9110, 14.2).

    >>> part_of("bytes=0-9", 100), part_of("bytes=90-", 100), part_of("bytes=-5", 100)
    ((0, 10), (90, 100), (95, 100))
    >>> part_of("bytes=100-", 100), part_of("bytes=0-1,5-6", 100), part_of("lines=1-2", 100)
    ((100, 100), None, None)
    """
    asked = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", text.replace(" ", ""))
    if not asked or asked[0] == "bytes=-":
        return None
    if not asked[1]:
        last = min(int(asked[2]), size)
        return size - last, size
    start, stop = int(asked[1]), min(int(asked[2] or size - 1) + 1, size)
    if asked[2] and int(asked[2]) < start:
        return None
    return min(start, size), stop


async def _begun(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes, once the first have come: until then an error can still be a page."""
    try:
        first = await anext(body, b"")
    except FileNotFoundError:
        raise Told(
            404, "The original is not where it should be. `jollyae album audit` looks for all of them."
        ) from None
    except OSError:
        raise Told(503, "The original cannot be read just now. Try again in a minute.") from None

    async def all_of_it() -> AsyncIterator[bytes]:
        try:
            yield first
            async for chunk in body:
                yield chunk
        finally:  # the visitor may go before the end
            if isinstance(body, AsyncGenerator):
                await body.aclose()

    return all_of_it()


def from_directory(directory: Path) -> Fetch:
    """Fetches originals from that directory and from nowhere else, whatever URL a document names: one that came by
    replication may name any file of this machine."""
    root = directory.resolve()

    async def fetch(document: Document, start: int, stop: int) -> AsyncIterator[bytes]:
        url = urlsplit(str(_mapping(document.get("original")).get("url", "")))
        path = Path(unquote(url.path)).resolve() if url.scheme == "file" else root
        if root not in path.parents:
            raise FileNotFoundError
        async with await anyio.open_file(path, "rb") as file:
            await file.seek(start)
            while start < stop and (chunk := await file.read(min(CHUNK, stop - start))):
                start += len(chunk)
                yield chunk

    return fetch
