"""The lists of photos that there are, and their addresses: a photo's page knows from which of them one came, so that
previous and next stay in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from starlette.datastructures import QueryParams

from ..document import UNPROCESSED
from ..search import parse
from ..store import Audience, Card, Count, Cursor, Order, Query

KINDS = ("timeline", "added", "tags", "cameras", "inbox")
LONGEST = 2000
"""Characters of a search or a camera's name that are looked at."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One list of photos. ``kind`` is one of :data:`KINDS`; ``of`` the search (``beach+anna-night``) or the camera."""

    kind: str = "timeline"
    of: str = ""

    def query(self, audience: Audience) -> Query:
        """Which photos are in it."""
        if self.kind == "tags":
            return parse(self.of, audience).query
        if self.kind == "cameras":
            return Query(audience, camera=self.of)
        if self.kind == "inbox":
            return Query(audience, having=(UNPROCESSED,), order=Order.ADDED)
        return Query(audience, order=Order.ADDED if self.kind == "added" else Order.TAKEN)

    @property
    def path(self) -> str:
        """The address of its page."""
        return f"/{self.kind}/{quote(self.of, safe='+ ')}".replace(" ", "%20") if self.of else f"/{self.kind}"

    def address(self, place: str = "", value: str = "") -> str:
        """Its page, from some place on: ``after`` or ``before`` a cursor's text."""
        return f"{self.path}?{urlencode({place: value})}" if place else self.path

    def within(self, path: str, **more: str) -> str:
        """The address of something (a photo, the slideshow) seen as part of this list."""
        context = {} if self == Listing() else {"in": self.kind, **({"of": self.of} if self.of else {})}
        query = urlencode({**context, **more})
        return f"{path}?{query}" if query else path

    def photo(self, id: str) -> str:
        """A photo's page, as part of this list."""
        return self.within(f"/photo/{quote(id, safe='')}")


def listing_of(parameters: QueryParams) -> Listing:
    """The list that an address made by :meth:`Listing.within` names; the timeline where it names none."""
    kind, of = parameters.get("in", ""), parameters.get("of", "")[:LONGEST]
    if kind not in KINDS or (kind in ("tags", "cameras")) != bool(of):
        return Listing()
    return Listing(kind, of)


def written(cursor: Cursor) -> str:
    """The cursor as a text for an address.

    >>> written(Cursor("2026-11-22T14:05:00", "ab"))
    '2026-11-22T14:05:00~ab'
    """
    return f"{cursor.time}~{cursor.id}"


def read(text: str) -> Cursor | None:
    """The cursor of such a text; None where it is none."""
    time, separator, id = text.partition("~")
    return Cursor(time[:40], id[:200]) if separator else None


def end_of_month(month: str) -> Cursor:
    """The place before the newest photo of a month ('2026-11') and of those before it: no day is the 32nd."""
    return Cursor(f"{month}-32", "")


@dataclass(frozen=True, slots=True)
class Group:
    """Photos of one list under one heading. ``key`` is the year, the month or the day."""

    key: str
    cards: list[Card]


SPARSE = 4
"""Photos under a heading, on average, below which the headings are made wider: a heading for each photo is no help."""


def grouped(cards: list[Card], order: Order, months: Sequence[Count] = ()) -> list[Group]:
    """The photos by month taken, or by day added, as they come; by year, or by month, where these have few photos.
    ``months`` are those of the whole timeline, so that all of its pages have the same headings."""
    if order is Order.TAKEN:
        is_sparse = sum(month.photos for month in months) < SPARSE * len(months)
        return _by(cards, order, 4 if is_sparse else 7)
    by_day = _by(cards, order, 10)
    return _by(cards, order, 7) if len(cards) < SPARSE * len(by_day) else by_day


def _by(cards: list[Card], order: Order, letters: int) -> list[Group]:
    """By the first letters of their times."""
    groups: list[Group] = []
    for card in cards:
        key = card.cursor(order).time[:letters]
        if not groups or groups[-1].key != key:
            groups.append(Group(key, []))
        groups[-1].cards.append(card)
    return groups
