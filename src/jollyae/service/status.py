"""The state of a spool as values, for ``status`` and whoever reads its JSON."""

import os
import shlex
from dataclasses import asdict
from typing import Any

import msgspec

from ..spool import names, owner, survey
from ..spool.spool import Spool
from ..worker import state
from ..worker.telling import STUCK_HINT
from .units import counted

Counts = dict[str, survey.Count]


def look(spool: Spool) -> dict[str, Any]:
    """Counts, bytes and ages per place, the live workers, the latest troubles, and ``why``: one sentence on what goes
    on. Ages in seconds, times in seconds since 1970."""
    counts = survey.count(spool.places)
    held = survey.workers(spool.places)
    live = [directory for directory, holder in held if holder == os.path.basename(directory)]
    snapshots = [snapshot for directory in live if (snapshot := state.read(directory)) is not None]
    by_hand = spool.paused()
    return {
        "spool": str(spool.places.control),
        "why": why(counts, snapshots, len(live), by_hand, str(spool.places.control)),
        "paused_by_hand": by_hand,
        "places": {
            name: {"items": count.items, "bytes": count.bytes, "oldest_s": count.oldest}
            for name, count in counts.items()
        },
        "ignored": counts["incoming"].ignored,
        # Each worker sees the same ones; what it told up to a second ago may be taken by now.
        "unready": min(max((snapshot.unready for snapshot in snapshots), default=0), counts["incoming"].items),
        "workers": [msgspec.to_builtins(snapshot) for snapshot in snapshots],
        "troubles": [asdict(one) for one in [*_stuck(spool, counts, snapshots, live), *survey.troubles(spool.places)]],
    }


def _stuck(spool: Spool, counts: Counts, snapshots: list[state.Snapshot], live: list[str]) -> list[survey.Trouble]:
    """What cannot be taken: as the live workers say; where there is none, as they would find it if they were us."""
    found = {one.name: f"cannot be taken: {one.error}" for snapshot in snapshots for one in snapshot.stuck}
    if not live and os.stat(spool.places.working).st_uid == os.geteuid():
        incoming = str(spool.places.incoming)
        full = [directory for directory in counts["incoming"].closed if next(owner.items_below(directory), None)]
        closed = [os.path.relpath(directory, incoming) for directory in full]
        found = {names.encode(name) + "/": "cannot be taken: its directory lets us not rename" for name in closed}
    return [survey.Trouble(name, "incoming", error, STUCK_HINT, 0.0, 0, 0.0) for name, error in found.items()]


def why(counts: Counts, snapshots: list[state.Snapshot], live: int, by_hand: str | None, spool: str) -> str:
    """One sentence: is it moving, and if not, why and what to do. ``spool``: its directory."""
    backlog = counts["incoming"].items + counts["working"].items
    if by_hand is not None:
        return f"paused by hand: {by_hand}. To go on: jollyae resume {shlex.quote(spool)}"
    paused = [snapshot.paused for snapshot in snapshots if snapshot.paused is not None]
    reason = _reason(min(paused, key=lambda one: one.since)) if paused else ""
    if paused and len(paused) == live:
        return f"paused: {reason}"
    parts = [f"{counted(backlog, 'item')} to deliver"] if backlog else []
    parts += [f"{counts[place].items:,} {place}" for place in ("deferred", "failed") if counts[place].items]
    items = ", ".join(parts)
    if not live:
        waits = backlog or counts["deferred"].items
        return "no worker is running" + (f", {items}" if items else "") + (": start jollyae run" if waits else "")
    still = f" ({len(paused)} of them paused: {reason})" if paused else ""
    return f"{counted(live, 'worker')} running{still}, {items or 'nothing waits'}"


def _reason(paused: state.Paused) -> str:
    hint = f" {paused.hint}" if paused.hint else ""
    return f"{paused.error}.{hint}"
