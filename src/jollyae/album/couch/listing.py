"""The lists of an album in CouchDB: photos page by page, their number, the names of keywords, cameras and months.

A query reads the part of the index that belongs to the rarest of its keywords, or to its camera, and leaves out what
else is not wanted by what the rows themselves say.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from ..store import Audience, Card, Count, Cursor, Missing, Order, Query, StoreError
from . import views
from .client import INDEX_SECONDS, Client, rows_of

PAGE, LARGEST_PAGE = 100, 2000
"""Rows asked for at once where most may be unwanted: doubled from page to page."""


class Lists:
    """Those methods of :class:`.Store` that read many."""

    def __init__(self, client: Client) -> None:
        self.url = str(client.address)
        self.client = client
        self._db = client.address.database

    async def photos(
        self, query: Query, *, after: Cursor | None = None, backwards: bool = False, limit: int = 60
    ) -> list[Card]:
        """See :meth:`.Store.photos`."""
        cards: list[Card] = []
        if limit > 0:
            async for row in self._wanted(query, after, backwards, limit):
                cards.append(views.read_card(row["id"], row["value"]))
                if len(cards) == limit:
                    break
        return cards

    async def count(self, query: Query) -> int:
        """See :meth:`.Store.count`. One keyword, camera or period is counted by the index; more are walked through."""
        query = Query(query.audience, query.having, query.lacking, query.camera, query.period)
        if len(query.having) + bool(query.camera) > 1 or query.lacking:
            found = 0
            async for _ in self._wanted(query, None, False, LARGEST_PAGE):
                found += 1
            return found
        facet = _facets(query)[0]
        return await self._count(*views.list_range(query.audience, Order.TAKEN, facet, query.period))

    async def _wanted(
        self, query: Query, after: Cursor | None, backwards: bool, limit: int
    ) -> AsyncIterator[dict[str, Any]]:
        """The rows of the photos that are asked for, in order, read in pages."""
        facet = await self._rarest(query)
        period = query.period if query.order is Order.TAKEN else ""
        first, last = views.list_range(query.audience, query.order, facet, period)
        begin, end = (last, first) if backwards else (first, last)
        asked: dict[str, Any] = {"reduce": False, "descending": backwards, "endkey": end, "startkey": begin}
        seen = ""
        if after is not None:
            key = views.list_key(query.audience, query.order, facet, after.time)
            # A place outside of the period is before or after all of it.
            if (key < begin) if backwards else (key > begin):
                asked |= {"startkey": key, "startkey_docid": after.id}
                seen = after.id
            if (key < end) if backwards else (key > end):
                return
        rest = [one for one in query.having if f"k:{one}" != facet]
        camera = "" if facet == f"c:{query.camera}" else query.camera
        is_plain = not rest and not query.lacking and not camera and (bool(period) or not query.period)
        size = limit if is_plain else max(PAGE, limit)
        while True:
            # One more: the place itself is the first row, if its photo is still there.
            rows = await self.view(views.PHOTOS, **asked, limit=size + 1)
            for row in rows:
                if row["id"] == seen and row["key"] == asked["startkey"]:
                    continue
                if is_plain or views.is_wanted(row["value"], rest, query.lacking, camera, query.period):
                    yield row
            if len(rows) <= size:
                return
            seen = rows[-1]["id"]
            asked |= {"startkey": rows[-1]["key"], "startkey_docid": seen}
            size = min(size * 2, LARGEST_PAGE)

    async def _rarest(self, query: Query) -> str:
        """The facet with the fewest photos, of those that all wanted photos have."""
        facets = _facets(query)
        if len(facets) == 1:
            return facets[0]
        counts = [await self._count(*views.list_range(query.audience, Order.TAKEN, facet)) for facet in facets]
        return min(zip(counts, facets, strict=True))[1]

    async def _count(self, first: Sequence[str], last: Sequence[str]) -> int:
        rows = await self.view(views.PHOTOS, startkey=first, endkey=last)
        return int(rows[0]["value"]) if rows else 0

    async def keywords(self, audience: Audience) -> list[Count]:
        """See :meth:`.Store.keywords`."""
        return sorted(await self._names(audience, "k:"), key=_most_first)

    async def cameras(self, audience: Audience) -> list[Count]:
        """See :meth:`.Store.cameras`."""
        return sorted(await self._names(audience, "c:"), key=_most_first)

    async def months(self, audience: Audience) -> list[Count]:
        """See :meth:`.Store.months`."""
        return sorted(await self._names(audience, "m:"), key=lambda count: count.name, reverse=True)

    async def _names(self, audience: Audience, prefix: str) -> list[Count]:
        first, last = views.name_range(audience, prefix)
        rows = await self.view(views.PHOTOS, startkey=first, endkey=last, group_level=3)
        return [Count(row["key"][2].removeprefix(prefix), row["value"]) for row in rows]

    async def ids(self) -> AsyncIterator[str]:
        """See :meth:`.Store.ids`."""
        after = ""
        while True:
            rows = await self.view(
                views.DOCUMENTS, startkey=["photo", after], endkey=["photo", "\U0010ffff"], limit=LARGEST_PAGE
            )
            for row in rows:
                if row["id"] != after:
                    yield row["id"]
            if len(rows) < LARGEST_PAGE:
                return
            after = rows[-1]["id"]

    async def view(self, name: str, **query: Any) -> list[dict[str, Any]]:
        """Rows of a view, up to date with all that was written before."""
        path = (self._db, "_design", views.DESIGN, "_view", name)
        for pause in (0.1, 0.5, 2.0, None):
            try:
                return rows_of(await self.client.get(*path, query=query, seconds=INDEX_SECONDS), "rows")
            except Missing:
                # CouchDB keeps design documents in a cache, for a moment also one that was just replaced.
                stored = await self.client.find(self._db, "_design", views.DESIGN)
                if pause is None or not stored or not views.is_same_design(stored, views.make_design()):
                    break
            await asyncio.sleep(pause)
        raise StoreError(f"the album's index is missing: {self.url}", f"Make it: jollyae album init {self.url}")


def _facets(query: Query) -> list[str]:
    """The facets that all wanted photos have."""
    facets = [f"k:{keyword}" for keyword in query.having]
    if query.camera:
        facets.append(f"c:{query.camera}")
    return facets or [""]


def _most_first(count: Count) -> tuple[int, str]:
    return -count.photos, count.name
