"""What the tests of the distributed album share: servers (fakes, or real ones), photos, waiting."""

import asyncio
import contextlib
import functools
import hashlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, ParamSpec

from jollyae.album.couch.address import Address, parse_address
from jollyae.album.couch.client import Client
from jollyae.album.couch.replication import REPLICATOR, read_states
from jollyae.album.couch.store import CouchStore, open_couch
from jollyae.album.store import Document, Rendition, Store, StoreError
from tests.album.fakecouch import FakeCouch
from tests.helpers import PATIENCE

P = ParamSpec("P")
URLS = ("COUCHDB_URL", "COUCHDB_URL_2", "COUCHDB_URL_3")
"""The environment's variables that name real servers, as ``http://user:password@host:5984``."""


class Site:
    """A server on which a test makes databases with random names, which are gone after it."""

    def __init__(self, fake: FakeCouch | None = None, url: str = "") -> None:
        self.fake = fake
        self._url = url
        self._made: list[str] = []
        self._tag = secrets.token_hex(5)

    def address(self, name: str = "album") -> Address:
        """A database of that name; the same one for the whole test."""
        name = f"jollyae-test-{self._tag}-{name}"
        if name not in self._made:
            self._made.append(name)
        if self.fake is not None:
            return self.fake.address(name)
        return parse_address(f"{self._url.rstrip('/')}/{name}", with_secret=True)

    async def open(self, name: str = "album", *, public: bool | None = None, server: str = "") -> CouchStore:
        """The album of that name, made if need be, in one shard: more of them tell changes in no order."""
        async with Client(self.address(name)) as client:
            await client.ask("PUT", client.address.database, query={"q": 1}, accept=(412,))
        return await open_couch(self.address(name), create=True, public=public, server=server)

    async def clean(self) -> None:
        """Delete what was made, and the links that name it."""
        if self.fake is not None:
            return
        mine = [one for one in await read_states(self.address()) if self._tag in one.source + one.target]
        async with Client(self.address()) as client:
            for link in mine:
                stored = await client.find(REPLICATOR, link.id)
                if stored:
                    await client.ask("DELETE", REPLICATOR, link.id, query={"rev": stored["_rev"]}, accept=(404, 409))
            for name in self._made:
                await client.ask("DELETE", name, accept=(404,))


def sync(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A test that runs on an event loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


async def eventually(condition: Callable[[], Awaitable[Any]], what: str = "") -> Any:
    """What the condition gives when it is true at last. An unreachable server is not yet."""
    deadline = time.monotonic() + PATIENCE * (1 if not os.environ.get(URLS[0]) else 4)
    while True:
        found = None
        with contextlib.suppress(StoreError):
            found = await condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited in vain for {what or condition}"
        await asyncio.sleep(0.02)


def photo(number: int, **fields: Any) -> Document:
    """A photo's document; its id is a function of the number."""
    document = {
        "_id": hashlib.sha256(f"photo {number}".encode()).hexdigest(),
        "type": "photo",
        "title": f"Photo {number}",
        "descr": "",
        "keywords": ["unprocessed"],
        "cat": "Private",
        "taken": f"2026-{number % 12 + 1:02}-03T04:05:{number % 60:02}",
        "added": f"2026-11-22T09:{number // 60 % 60:02}:{number % 60:02}.000000Z",
        "addedby": "spool",
        "name": f"{number}.jpg",
        "kind": "image",
        "width": 4032,
        "height": 3024,
        "size": 3_000_000 + number,
        "extension": "jpg",
        "mime": "image/jpeg",
        "rotate": 0,
        "camera": {"name": "Canon EOS R5", "make": "Canon", "model": "Canon EOS R5", "serial": "012345678"},
        "gps": {"latitude": 47.3769, "longitude": 8.5417},
        "exif": {"Make": "Canon", "GPSLatitude": "47.3769", "BodySerialNumber": "012345678", "ImageUniqueID": "77"},
        "original": {"url": f"file:///originals/{number}.jpg", "size": 3_000_000 + number, "sha256": "", "md5": ""},
        "stamps": {},
        "edited": {},
    }
    return document | fields


def renditions(text: str = "") -> dict[str, Rendition]:
    """Two renditions (of no real picture) with all bytes in them, also what looks like the end of a part."""
    both = {}
    for name in ("thumb", "medium"):
        body = bytes(range(256)) + f"\r\n--{name} {text}\r\n\r\n".encode()
        both[name] = Rendition(body, "image/jpeg", hashlib.sha256(body).hexdigest()[:32])
    return both


def rev(generation: int, text: str) -> str:
    """A revision."""
    return f"{generation}-{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}"


@contextlib.asynccontextmanager
async def closing(*stores: Store) -> AsyncIterator[None]:
    """Close them in the end."""
    try:
        yield
    finally:
        for store in stores:
            await store.close()
