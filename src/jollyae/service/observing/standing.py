"""Does a queue live, and does it move? Pure: of a snapshot and the time.

To live is to look at the spool again and again; the destination has no part in it, for nothing is won by starting
everything again because a store is away. To move is to deliver, where there is something to deliver.
"""

from ...worker.state import Snapshot

SILENT = 120.0
"""Seconds without a look at the spool after which a worker is taken for dead; it looks every 30 s at the least."""
STILL = 300.0
"""Seconds for which an item may wait while nothing is delivered."""
LATE = 900.0
"""Seconds after which an item that was tried and put off is late, though others are delivered (as JollyaeLate has
it)."""
HANGS = 3600.0
"""Seconds without a byte sent after which an attempt hangs, as far as can be seen (as JollyaeHangs has it)."""


def silence(snapshot: Snapshot, now: float) -> float:
    """Seconds since the worker last looked at its spool."""
    return max(now - (snapshot.last_scan or snapshot.started), 0.0)


def lives(snapshot: Snapshot, now: float) -> bool:
    """Whether its worker still looks at the spool."""
    return silence(snapshot, now) < SILENT


def why_still(snapshot: Snapshot, now: float) -> str:
    """Why it stands still, in few words; '' where it does not. ``now``: seconds since 1970."""
    if not lives(snapshot, now):
        return f"no sign of life for {silence(snapshot, now):.0f} s"
    waited = waits_for(snapshot, now)
    if waited > STILL and now - max(snapshot.last_delivery, snapshot.started) > STILL:
        return f"an item waits for {waited:.0f} s and nothing is delivered"
    return ""


def waits_for(snapshot: Snapshot, now: float) -> float:
    """Seconds since the oldest item arrived that is to be delivered and that nobody works on, wherever it lies; 0 where
    there is none."""
    return max(now - snapshot.oldest_waiting, 0.0) if snapshot.oldest_waiting else 0.0
