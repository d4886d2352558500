"""The state of a spool as values, for ``status`` and whoever reads its JSON."""

import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from ..spool import floor, names, owner, survey
from ..spool.spool import Spool
from ..worker import state
from ..worker.telling import STUCK_HINT
from .why import Situation, Why, explain

Counts = dict[str, survey.Count]
# What live workers say of themselves, for those who read it through here.
Snapshot = state.Snapshot
Flight = state.Flight
Paused = state.Paused
Stuck = state.Stuck


@dataclass(frozen=True, slots=True)
class Live:
    """A live worker. ``snapshot``: what it wrote of itself last, None where that cannot be read; ``written``: when,
    seconds since 1970, 0 where it has not."""

    name: str
    snapshot: state.Snapshot | None
    written: float


def live_workers(spool: Spool) -> list[Live]:
    """The workers of the spool that live: those whose own directory is locked. Raises :class:`OSError`."""
    found = []
    for directory, holder in survey.workers(spool.places):
        if holder == os.path.basename(directory):
            with suppress(OSError):
                written = os.stat(os.path.join(directory, state.FILE)).st_mtime
                found.append(Live(holder, state.read(directory), written))
                continue
            found.append(Live(holder, None, 0.0))
    return found


def look(spool: Spool) -> dict[str, Any]:
    """Counts, bytes and ages per place, the live workers, the latest troubles, and ``why``: one sentence on what goes
    on. Ages in seconds, times in seconds since 1970."""
    counts = survey.count(spool.places)
    live = live_workers(spool)
    snapshots = [one.snapshot for one in live if one.snapshot is not None]
    by_hand = spool.paused()
    return {
        "spool": str(spool.places.control),
        "why": why(counts, snapshots, len(live), by_hand, str(spool.places.control)).sentence,
        "paused_by_hand": by_hand,
        "places": {
            name: {"items": count.items, "bytes": count.bytes, "oldest_s": count.oldest}
            for name, count in counts.items()
        },
        "below_floor": _below_floor(spool),
        "ignored": counts["incoming"].ignored,
        # Each worker sees the same ones; what it told up to a second ago may be taken by now.
        "unready": min(max((snapshot.unready for snapshot in snapshots), default=0), counts["incoming"].items),
        "workers": [msgspec.to_builtins(snapshot) for snapshot in snapshots],
        "troubles": [asdict(one) for one in [*_stuck(spool, counts, snapshots, live), *survey.troubles(spool.places)]],
    }


def _below_floor(spool: Spool) -> str:
    try:
        return floor.read(spool.places).shortage(spool.places.incoming).why
    except OSError:
        return ""


def _stuck(spool: Spool, counts: Counts, snapshots: list[state.Snapshot], live: list["Live"]) -> list[survey.Trouble]:
    """What cannot be taken: as the live workers say; where there is none, as they would find it if they were us."""
    found = {one.name: f"cannot be taken: {one.error}" for snapshot in snapshots for one in snapshot.stuck}
    if not live and os.stat(spool.places.working).st_uid == os.geteuid():
        incoming = str(spool.places.incoming)
        full = [directory for directory in counts["incoming"].closed if next(owner.items_below(directory), None)]
        closed = [os.path.relpath(directory, incoming) for directory in full]
        found = {names.encode(name) + "/": "cannot be taken: its directory lets us not rename" for name in closed}
    return [survey.Trouble(name, "incoming", error, STUCK_HINT, 0.0, 0, 0.0) for name, error in found.items()]


def why(counts: Counts, snapshots: list[state.Snapshot], live: int, by_hand: str | None, spool: str) -> Why:
    """One sentence: is it moving, and if not, why and what to do. ``spool``: its directory."""
    items = {place: count.items for place, count in counts.items()}
    return explain(Situation(spool, items, snapshots, live, by_hand))
