"""An album of many photos in SQLite: how long the store takes for what a page shows."""

import asyncio
import hashlib
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from jollyae.album import document as documents
from jollyae.album.document import CATEGORIES
from jollyae.album.sqlite import SqliteStore, open_sqlite
from jollyae.album.store import THUMB, Audience, Document, Order, Query

from ..figures import Run, percentile
from ..goals import COUNTS, FIRST_PAGE, MIDDLE, SEARCH, THUMBS
from ..lab import Contestant, Lab, remove

WORDS = [f"word {number}" for number in range(400)]
ASKED_FOR = 100
"""Times that each question is asked in a round."""
Ask = Callable[[SqliteStore, random.Random], Awaitable[object]]


@dataclass
class _Picture:
    """What is known of a photo that there is not."""

    sha256: str
    taken: str
    camera: dict[str, str]
    keywords: list[str]
    renditions: dict[str, bytes]
    md5: str = "0" * 32
    size: int = 4_000_000
    extension: str = "jpg"
    mime: str = "image/jpeg"
    kind: str = "image"
    width: int = 4032
    height: int = 3024
    gps: dict[str, float] | None = None
    exif: dict[str, str] = field(default_factory=lambda: dict.fromkeys(map(str, range(40)), "a value"))
    title: str = ""
    descr: str = ""
    trouble: str = ""


async def _first_page(store: SqliteStore, chance: random.Random) -> object:
    return await store.photos(Query(chance.choice(list(Audience)), order=chance.choice(list(Order))))


async def _middle(store: SqliteStore, chance: random.Random) -> object:
    [card] = await store.photos(Query(period=f"{chance.randint(2006, 2025)}"), limit=1)
    query = Query(chance.choice(list(Audience)))
    return await store.photos(query, after=card.cursor(Order.TAKEN), backwards=chance.random() < 0.5)


async def _search(store: SqliteStore, chance: random.Random) -> object:
    words = chance.sample(WORDS[:20], 3)
    query = Query(chance.choice(list(Audience)), having=tuple(words[:2]), lacking=tuple(words[2:]))
    return await store.photos(query), await store.count(query)


async def _counts(store: SqliteStore, chance: random.Random) -> object:
    audience = chance.choice(list(Audience))
    return await store.keywords(audience), await store.months(audience), await store.cameras(audience)


async def _thumbs(store: SqliteStore, chance: random.Random) -> object:
    [card] = await store.photos(Query(period=f"{chance.randint(2006, 2025)}"), limit=1)
    return await store.rendition(card.id, THUMB), await store.get(card.id)


ASKED: dict[str, Ask] = {
    FIRST_PAGE: _first_page,
    MIDDLE: _middle,
    SEARCH: _search,
    COUNTS: _counts,
    THUMBS: _thumbs,
}


def run(lab: Lab) -> None:
    """One album, filled once; each question many times, by a process that has just opened it."""
    count = lab.count(5_000, 50_000)
    directory = lab.disk / "lists"
    directory.mkdir()
    path = directory / "album.db"
    try:
        asyncio.run(_fill(path, count))
        contestants = [_contestant(path, who, count) for who in ASKED]
        lab.compete("lists", contestants, lab.rounds())
    finally:
        remove(directory)


def _contestant(path: Path, who: str, count: int) -> Contestant:
    return Contestant(who, lambda number: asyncio.run(_measure(path, who, number, count)))


async def _fill(path: Path, count: int) -> None:
    chance = random.Random(2026)
    store = await open_sqlite(str(path), create=True)
    try:
        for first in range(0, count, 500):
            batch = [_photo(chance, number) for number in range(first, min(first + 500, count))]
            await asyncio.gather(*(store.add(made, documents.renditions(picture)) for picture, made in batch))
    finally:
        await store.close()


def _photo(chance: random.Random, number: int) -> tuple[_Picture, Document]:
    """A photo of twenty years, mostly private, with a few keywords of which some are frequent."""
    day = f"{chance.randint(2006, 2025)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
    picture = _Picture(
        sha256=hashlib.sha256(str(number).encode()).hexdigest(),
        taken=f"{day}T{chance.randint(0, 23):02}:{chance.randint(0, 59):02}:{chance.randint(0, 59):02}",
        camera={"name": f"Camera {int(chance.expovariate(0.5))}"},
        keywords=[WORDS[min(int(chance.expovariate(0.05)), len(WORDS) - 1)] for _ in range(chance.randint(0, 6))],
        renditions={THUMB: chance.randbytes(15_000)},
    )
    added = f"2026-{chance.randint(1, 11):02}-{chance.randint(1, 28):02}T00:00:{number % 60:02}Z"
    made = documents.new_photo(picture, original=f"file:///{number}", name=f"{number}.jpg", added=added, addedby="anna")
    made["cat"] = chance.choices(CATEGORIES, (7, 2, 1))[0]
    return picture, made


async def _measure(path: Path, who: str, number: int, count: int) -> Run:
    chance = random.Random(number)
    store = await open_sqlite(str(path))
    try:
        taken = []
        for _ in range(ASKED_FOR):
            start = time.perf_counter()
            await ASKED[who](store, chance)
            taken.append((time.perf_counter() - start) * 1e3)
    finally:
        await store.close()
    values = {"median_ms": percentile(taken, 50), "p99_ms": percentile(taken, 99)}
    return Run("lists", who, number, count, path.stat().st_size, values)
