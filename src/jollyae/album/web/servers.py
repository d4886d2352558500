"""The servers of the album, and how they replicate: on one page, who is there, who sends to whom, and what to do."""

from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from ...http.texts import plain
from .texts import counted
from .visits import Visit

if TYPE_CHECKING:
    from ..couch.watching import Health, Seen

KINDS = {
    "mesh": "A mesh: each server replicates with each.",
    "ring": "A ring: each server replicates with the next.",
    "star": "A star: each server replicates with the first.",
    "publish": "A publication: the first server sends, the others receive.",
}
WORDS = {
    "running": "running",
    "pending": "waits for its turn",
    "initializing": "begins",
    "completed": "has ended",
    "crashing": "fails, and is tried again",
    "failed": "has failed",
    "error": "cannot begin",
    "missing": "is not there",
    "unseen": "cannot be seen from here",
    "unknown": "not yet begun",
}
"""What CouchDB's words for a replication's state, and ours, mean."""


async def servers(visit: Visit) -> Response:
    """The page."""
    if visit.site.servers is None:
        raise HTTPException(404)
    health = await visit.site.servers()
    return await visit.page("servers.html", **shown(health, time()))


def shown(health: "Health", now: float) -> dict[str, Any]:
    """What the page says."""
    links = [_link(number, link, health, now) for number, link in enumerate(health.links, 1)]
    ill = sum(not link.is_well for link in health.links)
    away = sum(bool(one.trouble) for one in health.servers)
    numbers = {id(link): number for number, link in enumerate(health.links, 1)}
    return {
        "kind": KINDS.get(health.kind, ""),
        "looked": ago(now - health.at),
        "verdict": _verdict(len(links), ill, away),
        "is_well": health.is_well,
        "servers": health.servers,
        "rows": [
            (one, [_cell(health, row, column, numbers) for column in range(len(health.servers))])
            for row, one in enumerate(health.servers)
        ],
        "links": sorted(links, key=lambda one: bool(one["is_well"])),
    }


def ago(seconds: float) -> str:
    """How long ago that was, for people.

    >>> ago(0.4), ago(75), ago(3 * 3600), ago(90_000)
    ('just now', '1 minute ago', '3 hours ago', '1 day ago')
    """
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{counted(int(seconds // size), unit)} ago"
    return f"{counted(int(seconds), 'second')} ago" if seconds >= 5 else "just now"


def _verdict(links: int, ill: int, away: int) -> str:
    if not links and not away:
        return "This server replicates with nobody."
    parts = [f"{counted(ill, 'replication')} of {links:,} not well"] if ill else []
    parts += [f"{counted(away, 'server')} cannot be asked"] if away else []
    return "; ".join(parts) or f"All {counted(links, 'replication')} well."


def _cell(health: "Health", source: int, target: int, numbers: dict[int, int]) -> dict[str, Any]:
    """What the matrix says of the way from one server to another."""
    if source == target:
        return {"kind": "self", "text": "", "title": "the same server", "number": 0}
    ends = f"{health.servers[source].label} to {health.servers[target].label}"
    link = health.between(source, target)
    if link is None:
        return {"kind": "none", "text": "–", "title": f"{ends}: no replication", "number": 0}
    kind = "well" if link.is_well else "unseen-by-us" if link.state.state == "unseen" else "ill"
    return {"kind": kind, "text": _short(link), "title": f"{ends}: ", "number": numbers[id(link)]}


def _short(link: "Seen") -> str:
    if not link.is_well:
        return "not seen" if link.state.state == "unseen" else "refused" if link.state.refused else link.state.state
    return "well" if not link.state.lag else f"{link.state.lag:,} behind"


def _link(number: int, link: "Seen", health: "Health", now: float) -> dict[str, Any]:
    state = link.state
    return {
        "number": number,
        "source": _label(health, link.source, state.source),
        "target": _label(health, link.target, state.target),
        "is_well": link.is_well,
        "word": "refused documents"
        if state.refused and state.state == "running"
        else WORDS.get(state.state, state.state),
        "behind": "not known" if state.lag is None else counted(state.lag, "change") if state.lag else "nothing",
        "is_seen": state.state not in ("missing", "unseen"),
        "written": state.written,
        "refused": state.refused,
        "success": None if link.success is None else _moment(link.success),
        "ago": "not seen yet" if link.success is None else ago(now - link.success),
        "held_by": state.held_by.partition("://")[2].rpartition("@")[2],
        "error": plain(state.error, 500),
        "advice": link.advice.replace("`", ""),
    }


def _label(health: "Health", place: int, url: str) -> str:
    return health.servers[place].label if place >= 0 else url.partition("://")[2]


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
