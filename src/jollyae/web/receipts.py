"""Search among the receipts: the newest first, backwards through the files, never much more than a second at a time."""

import base64
import binascii
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from ..service import units
from ..service.observing.journal import Position, Reader, moment
from ..spool import names
from .queue import Queue

PAGE = 50
"""Receipts on a page."""
BUDGET = 1.0
"""Seconds that one search may take…"""
MOST_BYTES = 256 << 20
"""…and bytes that it may read; then it says how far it came."""


@dataclass(frozen=True, slots=True)
class Query:
    """``text``: in the name (as it is shown), the URL or key, or the delivery id; case does not matter. ``since``,
    ``until``: of the time it was finished, seconds since 1970, None for no bound."""

    text: str = ""
    since: float | None = None
    until: float | None = None

    @classmethod
    def of(cls, fields: Mapping[str, str], now: float | None = None) -> "Query":
        """The query that the fields ``text``, ``since`` and ``until`` mean: a time is a duration back from now (10m,
        2h, 7d) or a date, ISO 8601 (UTC where it does not say; a day as ``until`` is the whole day). Raises
        :class:`ValueError`."""
        now = time.time() if now is None else now
        since, until = fields.get("since", "").strip(), fields.get("until", "").strip()
        return cls(
            fields.get("text", "").strip(),
            _time(since, now) if since else None,
            _time(until, now, whole_day=True) if until else None,
        )


@dataclass(frozen=True, slots=True)
class Delivery:
    """A receipt. ``name``, ``url``: safe to show; ``finished``: seconds since 1970, 0 where it does not say;
    ``seconds``: from arrival to delivery, None where it does not say; ``fields``: all that the receipt has, each safe
    to show, for the details."""

    id: str
    name: str
    url: str
    size: int
    finished: float
    seconds: float | None
    attempts: int
    worker: str
    fields: Mapping[str, str]


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
    no such thing. Blocking: call it in a thread."""
    since = moment(query.since) if query.since is not None else ""
    until = moment(query.until) if query.until is not None else ""
    matches = _Matcher(query.text)
    before = _position(after) if after else None
    reader = Reader(str(queue.spool.places.receipts), before, until, matches.quick)
    deadline = time.monotonic() + BUDGET
    found: list[Delivery] = []
    try:
        for position, line in reader.lines():
            if since and position.finished < since:
                break
            if (one := matches.delivery(line)) is not None:
                found.append(one)
            if len(found) >= size or time.monotonic() > deadline or reader.read > MOST_BYTES:
                return Found(tuple(found), _cursor(position), _seconds(position.finished) or 0.0)
    except OSError as error:
        return Found(tuple(found), "", 0.0, f"the receipts cannot be read: {error.strerror}")
    return Found(tuple(found), "", 0.0)


class _Matcher:
    """Looks for a text. What is plain ASCII is looked for in the line first, which is quick to say no."""

    def __init__(self, text: str) -> None:
        self._text = text.casefold()
        # A percent sign may be an escape of the name or one that showing it adds, so such a text is compared as shown.
        plain = text.isascii() and text.isprintable() and not set(text) & set('"\\%')
        self.quick = text.lower().encode() if plain else b""

    def delivery(self, line: bytes) -> Delivery | None:
        """The receipt of the line, if it is one and matches."""
        if self.quick and self.quick not in line.lower():
            return None
        try:
            fields = msgspec.json.decode(line)
        except msgspec.DecodeError:
            return None
        if not isinstance(fields, dict):
            return None
        if self._text and not any(self._is_in(fields.get(field)) for field in ("name", "url", "id")):
            return None
        return _delivery(fields)

    def _is_in(self, value: object) -> bool:
        return isinstance(value, str) and self._text in names.printable(value).casefold()


def _delivery(fields: dict[str, Any]) -> Delivery:
    shown = {names.printable(key): names.printable(_word(value)) for key, value in fields.items()}
    finished, arrived = _seconds(fields.get("finished")), _seconds(fields.get("arrived"))
    seconds = max(finished - arrived, 0.0) if finished is not None and arrived is not None else None
    size, attempts = fields.get("size"), fields.get("attempts")
    return Delivery(
        id=shown.get("id", ""),
        name=shown.get("name", ""),
        url=shown.get("url", ""),
        size=size if isinstance(size, int) else 0,
        finished=finished or 0.0,
        seconds=seconds,
        attempts=attempts if isinstance(attempts, int) else 0,
        worker=shown.get("worker", ""),
        fields=shown,
    )


def _word(value: object) -> str:
    """A field as text."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _seconds(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp() if text else None
    except (ValueError, OverflowError):
        return None


def _time(text: str, now: float, *, whole_day: bool = False) -> float:
    """The time that was written. Raises :class:`ValueError`.

    >>> _time("10m", 1000.0), _time("1970-01-02", 0.0), _time("1970-01-01", 0.0, whole_day=True)
    (400.0, 86400.0, 86400.0)
    """
    try:
        return now - units.duration(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
        if whole_day and len(text) <= 10:
            found += timedelta(days=1)
        return found.replace(tzinfo=found.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:60]!r} is no duration (10m, 7d) and no date (2026-11-22, 2026-11-22T10:00)") from None


def _cursor(position: Position) -> str:
    text = f"{position.finished}\n{position.offset}\n{position.file}"
    return base64.urlsafe_b64encode(text.encode(errors="surrogateescape")).decode().rstrip("=")


def _position(cursor: str) -> Position:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        finished, offset, file = raw.decode(errors="surrogateescape").split("\n")
        return Position(finished, file, int(offset))
    except (binascii.Error, ValueError):
        raise ValueError("that is no page of receipts") from None
