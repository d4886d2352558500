"""The pages that show many photos: home, the lists, tags, cameras, the slideshow. They change nothing."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from ...http.forms import Told
from ...http.texts import plain
from .. import document, search
from ..document import UNPROCESSED
from ..store import Card, Count, Cursor, Document, Order, Query
from .listings import LONGEST, Listing, end_of_month, grouped, listing_of, read, written
from .orientation import shown_size
from .texts import alternative, sorted_as, written_date, written_day
from .visitors import is_shown_keyword
from .visits import Visit

PAGE = 120
"""Photos on one page of a list; a script gets the next as one scrolls."""
RECENT = 24
"""Photos added last on the home page."""
CLOUD = 60
"""Tags on the home page."""
NEAR = 24
"""Tags that are offered where a search found nothing."""
SLIDES = 40
"""Photos that the slideshow asks for at once."""
MOMENT = 3600
"""Seconds for which the photo of the moment stays the same."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A keyword in a cloud; ``size`` from 1 (few photos) to 6."""

    name: str
    photos: int
    size: int

    @property
    def path(self) -> str:
        """The page with its photos."""
        return tag_path(self.name)


def tag_path(keyword: str) -> str:
    """The page with the photos of that keyword."""
    return Listing("tags", search.write((keyword,))).path


def cloud(keywords: Sequence[Count], limit: int = 0) -> list[Tag]:
    """The keywords with most photos, by name, sized by the place they take among them."""
    chosen = keywords[:limit] if limit else keywords
    most = chosen[0].photos if chosen else 1
    sized = (Tag(count.name, count.photos, 1 + round(5 * (count.photos / most) ** 0.4)) for count in chosen)
    return sorted((replace(tag, size=min(6, tag.size)) for tag in sized), key=lambda tag: sorted_as(tag.name))


async def keywords_of(visit: Visit) -> list[Count]:
    """The keywords that the visitor may know of; without the inbox's, which is no subject."""
    found = await visit.site.store.keywords(visit.visitor.audience)
    return [count for count in found if count.name != UNPROCESSED and is_shown_keyword(visit.visitor, count.name)]


async def cards_of(
    visit: Visit, query: Query, *, after: Cursor | None = None, backwards: bool = False, limit: int = PAGE
) -> list[Card]:
    """A page of photos that the visitor may see."""
    store = visit.site.store
    found, withheld = await asyncio.gather(
        store.photos(query, after=after, backwards=backwards, limit=limit), visit.site.withheld(visit.visitor)
    )
    return [card for card in found if card.id not in withheld] if withheld else found


@dataclass(frozen=True, slots=True)
class Year:
    """A year with its months, newest first."""

    name: str
    photos: int
    months: tuple[Count, ...]


def years_of(months: Sequence[Count]) -> list[Year]:
    """The months by year.

    >>> [(year.name, year.photos) for year in years_of([Count("2026-11", 2), Count("2026-01", 1), Count("2024-05", 9)])]
    [('2026', 3), ('2024', 9)]
    """
    found: dict[str, list[Count]] = {}
    for month in months:
        found.setdefault(month.name[:4], []).append(month)
    return [Year(name, sum(month.photos for month in of), tuple(of)) for name, of in found.items()]


# --- home


async def home(visit: Visit) -> Response:
    """The first page."""
    store, audience = visit.site.store, visit.visitor.audience
    months, keywords, photos, recent = await asyncio.gather(
        store.months(audience),
        keywords_of(visit),
        store.count(Query(audience)),
        cards_of(visit, Query(audience, order=Order.ADDED), limit=RECENT),
    )
    waiting = 0
    if visit.visitor.is_editor:
        waiting = await store.count(Query(having=(UNPROCESSED,)))
    return await visit.page(
        "home.html",
        moment=await _moment(visit, months),
        tags=cloud(keywords, CLOUD),
        tags_in_all=len(keywords),
        recent=recent,
        listing=Listing("added"),
        timeline=Listing(),
        photos=photos,
        years=years_of(months),
        waiting=waiting,
    )


async def _moment(visit: Visit, months: list[Count]) -> Card | None:
    """The photo of the moment: any, the same for an hour."""
    if not months:
        return None
    chance = random.Random(int(time() // MOMENT))
    month = chance.choices(months, [count.photos for count in months])[0]
    cards = await cards_of(visit, Query(visit.visitor.audience, period=month.name), limit=50)
    shown = [card for card in cards if card.has_renditions]
    # One that lies, where there is one: it is shown wide.
    wide = [card for card in shown if shown_size(card.width, card.height, card.rotate)[0] > card.height]
    return chance.choice(wide or shown) if shown else None


# --- lists


async def timeline(visit: Visit) -> Response:
    """By date taken."""
    listing, audience = Listing(), visit.visitor.audience
    months = await visit.site.store.months(audience)
    month = visit.parameters.get("from", "")[:7]
    after = end_of_month(month) if month else None
    return await _list(visit, listing, "Timeline", after=after, months=months, month=month)


async def added(visit: Visit) -> Response:
    """By date added."""
    return await _list(visit, Listing("added"), "Recently added")


async def tagged(visit: Visit) -> Response:
    """The photos of a search."""
    text = visit.part("search")[:LONGEST]
    if not text.strip("+ "):
        return visit.go("/tags")
    found = search.parse(text, visit.visitor.audience)
    title = text if found.problem else " ".join((*found.query.having, *(f"−{word}" for word in found.query.lacking)))
    return await _list(visit, Listing("tags", text), title, problem=found.problem)


async def camera(visit: Visit) -> Response:
    """The photos of a camera."""
    listing = Listing("cameras", visit.part("camera")[:LONGEST])
    if not listing.of:
        return visit.go("/cameras")
    return await _list(visit, listing, listing.of)


async def _list(
    visit: Visit,
    listing: Listing,
    title: str,
    *,
    after: Cursor | None = None,
    months: Sequence[Count] = (),
    month: str = "",
    problem: str = "",
) -> Response:
    query = listing.query(visit.visitor.audience)
    before = read(visit.parameters.get("before", ""))
    after = read(visit.parameters.get("after", "")) or after
    total = visit.site.store.count(query)
    if before:
        page, number = await asyncio.gather(cards_of(visit, query, after=before, backwards=True, limit=PAGE + 1), total)
        has_newer, has_older, cards = len(page) > PAGE, True, page[:PAGE][::-1]
    else:
        page, number = await asyncio.gather(cards_of(visit, query, after=after, limit=PAGE + 1), total)
        has_newer, has_older, cards = after is not None, len(page) > PAGE, page[:PAGE]
    if not page:
        number = 0
    near = await _near(visit, query) if listing.kind == "tags" and not cards and not problem else []
    first = cards[0] if cards else None
    return await visit.page(
        "list.html",
        title=title,
        listing=listing,
        groups=[(written_day(group.key), group) for group in grouped(cards, query.order, months)],
        newer=listing.address("before", written(first.cursor(query.order))) if first and has_newer else "",
        older=listing.address("after", written(cards[-1].cursor(query.order))) if cards and has_older else "",
        years=years_of(months),
        month=month or (first.taken[:7] if first else ""),
        photos=number,
        problem=problem,
        near=cloud(near),
        is_start=not before and after is None,
    )


async def _near(visit: Visit, query: Query) -> list[Count]:
    """The tags that somebody may have meant whose search found nothing."""
    return alike(query.having, await keywords_of(visit))


def alike(words: Sequence[str], keywords: Sequence[Count]) -> list[Count]:
    """The keywords that are, or have in them, one of the words or all in a row, whatever the case and the accents;
    those that are one first, then as they come, at most :data:`NEAR`.

    >>> [count.name for count in alike(("cafe",), [Count("Cafés", 9), Count("Café", 2), Count("sea", 1)])]
    ['Café', 'Cafés']
    """
    wanted = {sorted_as(word) for word in (*words, " ".join(words))} - {""}
    found = [(sorted_as(count.name), count) for count in keywords]
    found = [(name, count) for name, count in found if any(word in name for word in wanted)]
    return [count for _, count in sorted(found, key=lambda one: one[0] not in wanted)][:NEAR]


# --- tags and cameras


async def tags(visit: Visit) -> Response:
    """All tags."""
    found = await keywords_of(visit)
    return await visit.page("tags.html", tags=cloud(found))


async def cameras(visit: Visit) -> Response:
    """All cameras."""
    found = await visit.site.store.cameras(visit.visitor.audience)
    return await visit.page("cameras.html", cameras=[(count, Listing("cameras", count.name).path) for count in found])


async def find(visit: Visit) -> Response:
    """From the search field to the page of its tags: words beside each other mean all of them."""
    text = visit.parameters.get("q", "")[:LONGEST].strip()
    if not text.strip("+ -"):
        return visit.go("/tags")
    found = search.parse(text)
    return visit.go(
        Listing("tags", text if found.problem else search.write(found.query.having, found.query.lacking)).path
    )


# --- slideshow


async def slideshow(visit: Visit) -> Response:
    """One photo after the other, filling the screen; without JavaScript the page goes on by itself."""
    listing = listing_of(visit.parameters)
    cards, order = await _slides(visit, listing, limit=2, at=visit.parameters.get("at", ""))
    if not cards:
        raise Told(404, "There is no photo to show here.")
    following = listing.within("/slideshow", at=cards[1].id) if len(cards) > 1 else listing.within("/slideshow")
    return await visit.page(
        "slideshow.html",
        card=cards[0],
        following=following,
        more=listing.within("/slides", after=written(cards[0].cursor(order))),
        again=listing.within("/slides"),
        listing=listing,
    )


async def slides(visit: Visit) -> Response:
    """The next photos of the slideshow, for its script."""
    listing = listing_of(visit.parameters)
    cards, order = await _slides(visit, listing, limit=SLIDES, after=read(visit.parameters.get("after", "")))
    return visit.json(
        {
            "slides": [slide(card, listing) for card in cards],
            "more": listing.within("/slides", after=written(cards[-1].cursor(order))) if cards else "",
        }
    )


def slide(card: Card, listing: Listing) -> dict[str, Any]:
    """One photo, for the script."""
    width, height = shown_size(card.width, card.height, card.rotate, 1600)
    return {
        "src": image_path(card, "medium"),
        "page": listing.photo(card.id),
        "alt": alternative(card.title, card.taken, card.kind),
        "text": plain(card.title, 120) or written_date(card.taken),
        "width": width,
        "height": height,
    }


async def _slides(
    visit: Visit, listing: Listing, *, limit: int, at: str = "", after: Cursor | None = None
) -> tuple[list[Card], Order]:
    query = listing.query(visit.visitor.audience)
    first: list[Card] = []
    if at:
        found = await visit.site.photo(at, visit.visitor)
        if found is None:
            raise HTTPException(404)
        first = [card_of(found)]
        after, limit = first[0].cursor(query.order), limit - 1
    cards = await cards_of(visit, query, after=after, limit=limit)
    return first + [card for card in cards if card.has_renditions], query.order


def image_path(card: Card, rendition: str) -> str:
    """The address of a picture: its hash and its turn are in it, so it can be kept for ever."""
    return f"/image/{rendition}/{card.id}-{card.rotate}.jpg"


def card_of(photo: Document) -> Card:
    """What a list shows of that photo."""
    return document.card(photo, not photo.get("trouble"))


def heading(listing: Listing) -> str:
    """What a list is called, for the way back to it."""
    names = {"timeline": "Timeline", "added": "Recently added", "inbox": "Inbox"}
    return names.get(listing.kind) or listing.of
