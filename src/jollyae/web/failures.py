"""What failed or was deferred: alike troubles together, the newest first, without reading all notes for one page."""

from collections.abc import Mapping
from dataclasses import dataclass

from .queue import Queue

PLACES = ("failed", "deferred")
"""Where items with a trouble are, and from where they can be retried."""
PAGE = 50
"""Items on a page."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which failures are meant: one value for the list, its numbers and the action on all that match. ``place``:
    'failed', 'deferred' or '' (both); ``text``: in the name (as shown), the error or the hint, case does not matter;
    ``group``: the id of a group, '' for all."""

    place: str = ""
    text: str = ""
    group: str = ""

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> "Filter":
        """The filter that the fields of a URL or form mean; others are passed over. Raises :class:`ValueError` for a
        place that has no failures."""
        place = fields.get("place", "")
        if place not in ("", *PLACES):
            raise ValueError(f"no such place: {place}")
        return cls(place, fields.get("text", "").strip(), fields.get("group", ""))

    def fields(self) -> dict[str, str]:
        """The same as fields of a URL or form, without the empty ones."""
        found = {"place": self.place, "text": self.text, "group": self.group}
        return {name: value for name, value in found.items() if value}


ALL = Filter()


@dataclass(frozen=True, slots=True)
class Failure:
    """One item that failed or was deferred. ``id``: for URLs; ``name``, ``error``, ``hint``: safe to show as text;
    ``at``: when it happened, ``due``: when it is tried again (0: not by itself), seconds since 1970; ``group``: the
    id of its group."""

    id: str
    name: str
    place: str
    size: int
    error: str
    hint: str
    at: float
    attempts: int
    adoptions: int
    due: float
    group: str


@dataclass(frozen=True, slots=True)
class Group:
    """Troubles that differ only in names, numbers and identifiers. ``title``: the error with those replaced by '…';
    ``hint``: of the newest; ``newest``, ``oldest``: seconds since 1970; ``examples``: a few of the newest items."""

    id: str
    place: str
    title: str
    hint: str
    count: int
    newest: float
    oldest: float
    examples: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class Groups:
    """All groups, the newest first. ``total``: items that match; ``read`` of ``items`` notes were read so far: where
    that is less, all numbers are 'at least' and the next call knows more. ``exact``: nothing is missing."""

    groups: tuple[Group, ...]
    total: int
    read: int
    items: int
    exact: bool
    at: float


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the failures that match, the newest first. ``next``: what to ask for to get the page after this one, ''
    on the last; ``total``: how many match, at least so many where not ``exact``."""

    failures: tuple[Failure, ...]
    next: str
    total: int
    exact: bool


class Failures:
    """The failures of one queue. Blocking: call it in a thread; each call takes a second at most."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def groups(self, wanted: Filter = ALL) -> Groups:
        """The groups of what matches."""
        return Groups((), 0, 0, 0, True, 0.0)

    def page(self, wanted: Filter = ALL, after: str = "", size: int = PAGE) -> Page:
        """A page of what matches. ``after``: ``next`` of the page before. Raises :class:`ValueError` for what is no
        such thing."""
        return Page((), "", 0, True)
