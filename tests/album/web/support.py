"""Photos, users and a browser without a browser, for the tests of the pages."""

import asyncio
import hashlib
import io
import re
from collections.abc import Coroutine
from dataclasses import dataclass, field
from html import unescape
from typing import Any

import httpx
from PIL import Image, ImageDraw
from starlette.applications import Starlette

from jollyae.album.document import edited, new_photo, new_user, renditions
from jollyae.album.store import Store
from jollyae.album.web import passwords

PASSWORD = "correct horse"
CHEAP = passwords.hash_password(PASSWORD, n=2**4)
"""The hash of :data:`PASSWORD` with a cost that tests can pay."""
WHEN = "2026-11-22T10:00:00.000000Z"


def jpeg(width: int, height: int, seed: int = 0) -> bytes:
    """A picture with something on it: two fields of colour, and a mark in its left upper corner."""
    shade = [(seed * step) % 200 + 30 for step in (37, 71, 113)]
    image = Image.new("RGB", (width, height), tuple(shade))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, height * 2 // 3, width, height), fill=tuple(shade[::-1]))
    draw.ellipse((width // 2, height // 4, width // 2 + height // 4, height // 2), fill=(250, 230, 180))
    draw.rectangle((0, 0, width // 5, height // 5), fill=(255, 0, 0))
    found = io.BytesIO()
    image.save(found, "JPEG", quality=80)
    return found.getvalue()


@dataclass
class Shot:
    """What the processor knows of a photo's file."""

    seed: int = 0
    width: int = 4032
    height: int = 3024
    taken: str = "2026-05-01T12:00:00"
    title: str = ""
    descr: str = ""
    keywords: list[str] = field(default_factory=list)
    camera: dict[str, str] = field(
        default_factory=lambda: {"name": "Canon EOS R5", "lens": "RF50mm", "aperture": "f/2.8"}
    )
    gps: dict[str, float] | None = None
    exif: dict[str, str] = field(default_factory=dict)
    kind: str = "image"
    mime: str = "image/jpeg"
    extension: str = "jpg"
    md5: str = "0" * 32
    size: int = 1000
    trouble: str = ""
    original: bytes = b""

    @property
    def sha256(self) -> str:
        """Its id."""
        return hashlib.sha256(self.original or f"photo {self.seed}".encode()).hexdigest()

    @property
    def renditions(self) -> dict[str, bytes]:
        """Small ones: no test needs 1600 pixels."""
        scale = 320 / max(self.width, self.height)
        small = jpeg(round(self.width * scale), round(self.height * scale), self.seed)
        return {} if self.trouble else {"thumb": small, "medium": small}


async def add(store: Store, shot: Shot, *, added: str = "", **changes: Any) -> str:
    """Put a photo into the album, edited so; its id."""
    document = new_photo(
        shot,
        original=f"file:///originals/{shot.sha256}",
        name=f"img{shot.seed}.jpg",
        added=added or WHEN,
        addedby="phone",
    )
    await store.add(document, renditions(shot))
    if changes:
        found = await store.get(shot.sha256)
        assert found is not None
        await store.put(edited(found, changes, now=WHEN, server=store.server))
    return shot.sha256


async def add_user(store: Store, name: str, role: str) -> None:
    """Put a user in, with the password of all tests."""
    await store.put(new_user(name, role, CHEAP, now=WHEN))


class Surfer:
    """Asks the app as a browser would, keeping cookies; without a network."""

    def __init__(self, runner: asyncio.Runner, app: Starlette, base: str = "http://127.0.0.1") -> None:
        self._runner = runner
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("192.0.2.7", 4000))
        self.client = httpx.AsyncClient(transport=transport, base_url=base)

    def run(self, what: Coroutine[Any, Any, Any]) -> Any:
        """Run it in the loop of the test."""
        return self._runner.run(what)

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Any request."""
        answer = self.run(self.client.request(method, path, **options))
        assert isinstance(answer, httpx.Response)
        return answer

    def get(self, path: str, **headers: str) -> httpx.Response:
        """A page."""
        return self.ask("GET", path, headers=headers)

    def token(self, path: str) -> str:
        """The token in a form of that page."""
        found = re.search(r'name="token" value="([^"]+)"', self.get(path).text)
        assert found, f"{path} has no form"
        return unescape(found[1])

    def post(self, path: str, page: str = "/account", **data: Any) -> httpx.Response:
        """Send a form, with the token of that page."""
        return self.ask("POST", path, data={"token": self.token(page), **data})

    def login(self, name: str) -> "Surfer":
        """Log in."""
        answer = self.post("/login", "/login", name=name, password=PASSWORD)
        assert answer.status_code == 303, answer.text
        return self

    def close(self) -> None:
        """End it."""
        self.run(self.client.aclose())
