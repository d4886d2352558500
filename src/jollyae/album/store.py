"""What an album is kept in: one interface, two backends (:mod:`.sqlite`, :mod:`.couch`), one conformance suite.

A store holds *documents* (JSON objects with ``_id`` and ``_rev``; :mod:`.document` says what is in them) and the
*renditions* of photos. Each write of a document names the revision it replaces, so that nobody's edit is lost to
another's. Where servers replicate, a document can have several *leaves* that nobody has merged: one of them is what
:meth:`Store.get` returns, the same one on every server, and ``_conflicts`` names the others.

All times are ISO 8601 texts; ``taken`` is local time as the camera had it, with an offset only where the file said so.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

Document = dict[str, Any]
"""A JSON object. Keys that begin with '_' are the store's: ``_id``, ``_rev``, ``_conflicts``, ``_deleted``."""

THUMB, MEDIUM = "thumb", "medium"
"""The names of a photo's renditions: 320 and 1600 pixels."""


class StoreError(Exception):
    """The store could not do it. ``hint`` tells the operator what to do; ``is_temporary``: it may work later (network,
    server down, locked), and nothing was wrong with what was asked."""

    def __init__(self, message: str, hint: str = "", *, is_temporary: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.is_temporary = is_temporary


class Stale(StoreError):
    """The document has another revision than the one that was to be replaced: read it again."""


class Missing(StoreError):
    """There is no such document, or no longer."""


class Audience(StrEnum):
    """Who looks. Each sees what those before it see, and more."""

    PUBLIC = "public"
    """Photos of the category Public."""
    FRIENDS = "friends"
    """And Friends/Family."""
    ALL = "all"
    """Everything."""


class Order(StrEnum):
    """By which time photos are listed; always newest first, equal times by id (the smallest first)."""

    TAKEN = "taken"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class Query:
    """Which photos: those that ``audience`` may see, with all of the keywords ``having`` and none of ``lacking``, of
    that ``camera`` (as :meth:`Store.cameras` names it), taken in that ``period`` (the beginning of ``taken``: '2026',
    '2026-11'). For an audience other than ALL no photo has a keyword that begins with '_', or ``unprocessed``."""

    audience: Audience = Audience.ALL
    having: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    camera: str = ""
    period: str = ""
    order: Order = Order.TAKEN


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a list of photos: that photo's time (``taken`` or ``added``) and id."""

    time: str
    id: str


@dataclass(frozen=True, slots=True)
class Card:
    """What a list shows of one photo. ``width`` and ``height`` are the original's, upright by EXIF; ``rotate`` is how
    the owner turned it beyond that (0, 90, 180, 270 degrees clockwise). ``kind`` is 'image' or 'video'; without
    renditions (``has_renditions``) there is nothing to show."""

    id: str
    title: str
    taken: str
    added: str
    cat: str
    width: int
    height: int
    rotate: int
    kind: str
    has_renditions: bool

    def cursor(self, order: Order) -> Cursor:
        """Its place in a list."""
        return Cursor(self.taken if order is Order.TAKEN else self.added, self.id)


@dataclass(frozen=True, slots=True)
class Rendition:
    """A rendition's bytes, with their MIME type and a digest for the ETag (any text that changes with the bytes)."""

    body: bytes = field(repr=False)
    mime: str
    digest: str


@dataclass(frozen=True, slots=True)
class Count:
    """How many photos there are of something: a keyword, a camera, a month ('2026-11')."""

    name: str
    photos: int


@dataclass(frozen=True, slots=True)
class Change:
    """Something happened to a document. ``seq`` is where to go on from; ``document`` is its state now (with ``_rev``
    and, where it has some, ``_conflicts``), or for a deleted one ``{"_id", "_rev", "_deleted": True}``."""

    seq: str
    document: Document

    @property
    def is_deleted(self) -> bool:
        """Whether the document is gone."""
        return bool(self.document.get("_deleted"))


@dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf of a document with all that another store needs to hold the same: its ``revisions``, newest first
    ('3-c', '2-b', '1-a'), as far back as they are known, and its renditions by name."""

    document: Document
    revisions: tuple[str, ...]
    renditions: Mapping[str, Rendition] = field(default_factory=dict)


class Store(Protocol):
    """An open album. All methods raise :class:`StoreError` where the store cannot be asked."""

    url: str
    """Where it is, without any secret."""
    server: str
    """This server's name, for the stamps of edits: chosen when the album is made on it; never replicated."""

    async def close(self) -> None:
        """End it; nothing else may be called after that."""

    # --- writing

    async def add(self, document: Document, renditions: Mapping[str, Rendition]) -> bool:
        """Put in a new document and its renditions, in one write: both are there or neither. False, and nothing
        changes, where the store has a document of that ``_id``. One that was deleted comes back."""

    async def put(self, document: Document) -> str:
        """Replace the document of ``_rev`` (without one: put in a new one), keeping its renditions; the new revision.
        Raises :class:`Stale`."""

    async def set_renditions(self, id: str, renditions: Mapping[str, Rendition]) -> None:
        """Replace a photo's renditions (a repair). Raises :class:`Missing` and :class:`Stale`."""

    async def remove(self, id: str, rev: str) -> None:
        """Delete the document of that revision; its deletion replicates. Raises :class:`Stale`."""

    # --- reading one

    async def get(self, id: str) -> Document | None:
        """The document, with ``_rev`` and, where it has some, ``_conflicts`` (revisions)."""

    async def rendition(self, id: str, name: str, rev: str = "") -> Rendition | None:
        """A photo's rendition; with ``rev`` that of another leaf than the winner."""

    async def comments(self, id: str) -> list[Document]:
        """The comments on a photo, oldest first."""

    # --- reading many

    async def photos(
        self, query: Query, *, after: Cursor | None = None, backwards: bool = False, limit: int = 60
    ) -> list[Card]:
        """Photos newest first, those after that place; ``backwards``: those before it, nearest first."""

    async def count(self, query: Query) -> int:
        """How many there are."""

    async def keywords(self, audience: Audience) -> list[Count]:
        """All keywords, most photos first, then by name."""

    async def cameras(self, audience: Audience) -> list[Count]:
        """All cameras ('Canon EOS R5'), most photos first, then by name."""

    async def months(self, audience: Audience) -> list[Count]:
        """All months in which photos were taken ('2026-11'), newest first."""

    async def users(self) -> list[Document]:
        """The documents of type user, by name."""

    async def ids(self) -> AsyncIterator[str]:
        """The ids of all photos, in order; what is added meanwhile may be missing."""
        yield ""

    # --- what replication brings

    async def conflicts(self) -> list[str]:
        """The ids of documents with more than one leaf."""

    async def leaves(self, id: str) -> list[Leaf]:
        """All leaves of a document that are not deleted, the winner first, without their renditions' bytes. For a
        deleted document: the one deleted leaf that wins."""

    async def take(self, leaf: Leaf) -> None:
        """Hold this leaf as it is, under its own revision, beside what is there: as replication does (CouchDB's
        ``new_edits=false``). Nothing changes where the revision is known already. Renditions that the leaf does not
        bring are those of the leaf it descends from."""

    async def changes(self, since: str = "", *, follow: bool = False) -> AsyncIterator[Change]:
        """What happened after ``since`` ('': from the beginning), oldest first, each document once with its last
        state. ``follow``: then wait for more, for ever."""
        yield Change("", {})

    # --- this server's own

    async def remembered(self, name: str) -> Document:
        """What :meth:`remember` kept under that name ({} if nothing): on this server, never replicated."""

    async def remember(self, name: str, value: Document) -> None:
        """Keep a small JSON object."""

    async def compact(self) -> None:
        """Give up what old revisions hold."""
