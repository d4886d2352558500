"""Albums to try things with: a store, a directory of originals, photos in both."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from jollyae.album import document, originals, times
from jollyae.album.open import open_store
from jollyae.album.originals import DirectoryOriginals
from jollyae.album.store import Document, Store
from jollyae.processors.photo import Picture

JPEG = b"\xff\xd8\xff\xe0 a rendition"
_T = TypeVar("_T")


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run it on an event loop of its own."""
    return asyncio.run(coroutine)


@asynccontextmanager
async def an_album(directory: Path, name: str = "album") -> AsyncIterator[tuple[Store, DirectoryOriginals]]:
    """A new album, or the one that is there, and its originals."""
    (directory / "photos").mkdir(parents=True, exist_ok=True)
    store = await open_store(f"sqlite:///{directory}/{name}.sqlite", create=True)
    try:
        yield store, DirectoryOriginals(str(directory / "photos"))
    finally:
        await store.close()


def a_picture(body: bytes, **more: Any) -> Picture:
    """What a file of these bytes shows."""
    given: dict[str, Any] = {
        "sha256": hashlib.sha256(body).hexdigest(),
        "md5": hashlib.md5(body).hexdigest(),
        "size": len(body),
        "extension": "jpg",
        "mime": "image/jpeg",
        "kind": "image",
        "taken": "2026-11-22T14:03:12",
        "width": 40,
        "height": 30,
        "renditions": {"thumb": JPEG, "medium": JPEG},
    }
    return Picture(**(given | more))


async def add(store: Store, place: DirectoryOriginals, body: bytes, *, name: str = "a.jpg", **fields: Any) -> Document:
    """A photo with its original. ``fields`` are the picture's where it has such, else the document's."""
    of_picture = {key: value for key, value in fields.items() if key in Picture.__dataclass_fields__}
    picture = a_picture(body, **of_picture)
    key = originals.key(picture.sha256, picture.extension)
    path = Path(place.path(key))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    made = document.new_photo(
        picture, original=f"{place.url}/{key}", name=name, added=times.now(), addedby="somebody"
    ) | {key: value for key, value in fields.items() if key not in of_picture}
    assert await store.add(made, document.renditions(picture))
    found = await store.get(picture.sha256)
    assert found is not None
    return found


async def edit(store: Store, id: str, **changes: Any) -> Document:
    """Edit a photo."""
    before = await store.get(id)
    assert before is not None
    await store.put(document.edited(before, changes, now=times.now(), server=store.server))
    after = await store.get(id)
    assert after is not None
    return after
