"""Lists of photos, and how many there are of what. Makes SQL from a :class:`..store.Query`; each list is read in the
order of an index, so a page costs what it shows, however many photos there are.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..document import SEES
from ..store import Audience, Card, Count, Cursor, Order, Query

_CARD = "photo.id, title, photo.taken, photo.added, cat, width, height, rotate, kind, has_renditions"

_HAS = """EXISTS (
    SELECT 1 FROM tag AS other WHERE other.document = photo.document AND other.keyword = ? AND other.level <= ?
)"""
_END = "\U0010ffff"
"""Sorts after all that can stand behind a period."""


@dataclass(slots=True)
class _Parts:
    """A statement in the making: what it reads from, its conditions, and their values. ``times`` is the table whose
    index gives the order."""

    source: str
    times: str
    conditions: list[str] = field(default_factory=list)
    values: list[str | int] = field(default_factory=list)

    def need(self, condition: str, *values: str | int) -> None:
        """Add a condition."""
        self.conditions.append(condition)
        self.values.extend(values)

    @property
    def text(self) -> str:
        """From FROM on."""
        return f"FROM {self.source} WHERE {' AND '.join(self.conditions) or '1'}"


def photos(db: sqlite3.Connection, query: Query, after: Cursor | None, backwards: bool, limit: int) -> list[Card]:
    """See :meth:`..store.Store.photos`."""
    parts = _parts(db, query)
    time, id = f"{parts.times}.{_column(query.order)}", f"{parts.times}.id"
    if after is not None:
        # In two conditions, of which the first is a range of the index: newest first, equal times by id.
        here, equal = (">", "<") if backwards else ("<", ">")
        parts.need(f"{time} {here}= ?", after.time)
        parts.need(f"({time} {here} ? OR {id} {equal} ?)", after.time, after.id)
    order = f"{time} ASC, {id} DESC" if backwards else f"{time} DESC, {id} ASC"
    rows = db.execute(f"SELECT {_CARD} {parts.text} ORDER BY {order} LIMIT ?", (*parts.values, max(limit, 0)))
    return [Card(*(*row[:9], bool(row[9]))) for row in rows]


def count(db: sqlite3.Connection, query: Query) -> int:
    """See :meth:`..store.Store.count`. Conditions are read from their indexes, as sets: asking each photo for each of
    them takes ten times as long."""
    if not (query.lacking or query.camera or query.period) and len(query.having) < 2:
        return _tallied(db, query.audience, *(("keyword", query.having[0]) if query.having else ("photo", "")))
    level = SEES[query.audience]
    wanted = [_with_keyword(db, word, level) for word in query.having]
    if query.camera:
        wanted.append(_set(db, "SELECT document FROM photo WHERE camera = ? AND level <= ?", query.camera, level))
    if query.period:
        of_level = "" if query.audience is Audience.ALL else f" AND level <= {level}"
        taken = f"SELECT document FROM photo WHERE taken >= ? AND taken < ?{of_level}"
        wanted.append(_set(db, taken, query.period, query.period + _END))
    unwanted = set[int]().union(*(_with_keyword(db, word, level) for word in query.lacking))
    if not wanted:
        return _tallied(db, query.audience, "photo", "") - len(unwanted)
    return len(set.intersection(*wanted) - unwanted)


def _with_keyword(db: sqlite3.Connection, word: str, level: int) -> set[int]:
    return _set(db, "SELECT document FROM tag WHERE keyword = ? AND level <= ?", word, level)


def _set(db: sqlite3.Connection, statement: str, *values: str | int) -> set[int]:
    return {key for (key,) in db.execute(statement, values)}


def keywords(db: sqlite3.Connection, audience: Audience) -> list[Count]:
    """See :meth:`..store.Store.keywords`."""
    return _counts(db, "keyword", audience, "photos DESC, name")


def cameras(db: sqlite3.Connection, audience: Audience) -> list[Count]:
    """See :meth:`..store.Store.cameras`."""
    return _counts(db, "camera", audience, "photos DESC, name")


def months(db: sqlite3.Connection, audience: Audience) -> list[Count]:
    """See :meth:`..store.Store.months`."""
    return _counts(db, "month", audience, "name DESC")


def _counts(db: sqlite3.Connection, kind: str, audience: Audience, order: str) -> list[Count]:
    rows = db.execute(
        "SELECT name, sum(photos) AS photos FROM tally WHERE kind = ? AND name != '' AND level <= ? "
        f"GROUP BY name ORDER BY {order}",
        (kind, SEES[audience]),
    )
    return [Count(*row) for row in rows]


def _tallied(db: sqlite3.Connection, audience: Audience, kind: str, name: str) -> int:
    found = db.execute(
        "SELECT coalesce(sum(photos), 0) FROM tally WHERE kind = ? AND name = ? AND level <= ?",
        (kind, name, SEES[audience]),
    )
    return int(found.fetchone()[0])


def _column(order: Order) -> str:
    return "taken" if order is Order.TAKEN else "added"


def _parts(db: sqlite3.Connection, query: Query) -> _Parts:
    """The query without order and place. It starts from the rarest keyword, else from all photos."""
    level = SEES[query.audience]
    first, *rest = _rarest_first(db, query) or [""]
    if first:
        parts = _Parts("tag JOIN photo ON photo.document = tag.document", "tag")
        parts.need("tag.keyword = ?", first)
        if query.audience is not Audience.ALL:
            parts.need("tag.level <= ?", level)
    else:
        parts = _Parts("photo", "photo")
        if query.audience is not Audience.ALL:
            parts.need(f"photo.level <= {level}")  # a number in the text: so it matches the partial indexes
    for word in rest:
        parts.need(_HAS, word, level)
    for word in query.lacking:
        parts.need(f"NOT {_HAS}", word, level)
    if query.camera:
        parts.need("photo.camera = ?", query.camera)
    if query.period:
        parts.need(f"{parts.times}.taken >= ? AND {parts.times}.taken < ?", query.period, query.period + _END)
    return parts


def _rarest_first(db: sqlite3.Connection, query: Query) -> Sequence[str]:
    words = list(dict.fromkeys(query.having))
    if len(words) < 2:
        return words
    return sorted(words, key=lambda word: (_tallied(db, query.audience, "keyword", word), word))
