"""Search among the receipts: the newest first, backwards through the files, never more than a second at a time."""

from collections.abc import Mapping
from dataclasses import dataclass

from .queue import Queue

PAGE = 50
"""Receipts on a page."""


@dataclass(frozen=True, slots=True)
class Query:
    """``text``: in the name, the URL or key, or the delivery id, case does not matter; ``since``, ``until``: of the
    time it was finished, seconds since 1970, None for no bound."""

    text: str = ""
    since: float | None = None
    until: float | None = None

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> "Query":
        """The query that the fields ``text``, ``since`` and ``until`` mean: a time is a duration back from now (10m,
        2h, 7d) or a date, ISO 8601 (UTC where it does not say). Raises :class:`ValueError`."""
        return cls(fields.get("text", "").strip())


@dataclass(frozen=True, slots=True)
class Delivery:
    """A receipt. ``name``, ``url``: safe to show; ``finished``: seconds since 1970; ``seconds``: from arrival to
    delivery, None where it does not say; ``fields``: all that the receipt has, for the details."""

    id: str
    name: str
    url: str
    size: int
    finished: float
    seconds: float | None
    attempts: int
    worker: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Found:
    """A page. ``next``: where to go on, '' where there is nothing more; ``searched_to``: back to which time was looked
    (seconds since 1970), 0 for all. A page can be short or empty and still have a ``next``: the search took long."""

    deliveries: tuple[Delivery, ...]
    next: str
    searched_to: float
    error: str = ""


def search(queue: Queue, query: Query, after: str = "", size: int = PAGE) -> Found:
    """The newest receipts that match; ``after``: ``next`` of the page before. Raises :class:`ValueError` where that is
    no such thing."""
    return Found((), "", 0.0)
