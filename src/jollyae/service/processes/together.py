"""Several workers on one spool seen as one."""

import os

from ...worker import minutes
from ...worker.state import MOST_STUCK, Minute, Snapshot
from ...worker.tally import Tally
from ..units import counted


def together(snapshots: list[Snapshot], tally: Tally) -> Snapshot:
    """Several workers seen as one. ``tally``: what all have done, also those that are gone. It is paused when all
    are, and idle when all are. What is in the places each of them may have counted: the latest whole count is told."""
    first = snapshots[0]
    paused = [one.paused for one in snapshots if one.paused]
    counting = max(snapshots, key=lambda one: max((place.at for place in one.places.values()), default=0.0))
    return Snapshot(
        worker=counted(len(snapshots), "worker"),
        pid=os.getpid(),
        started=min(one.started for one in snapshots),
        destination=first.destination,
        watch=first.watch,
        unready=max(one.unready for one in snapshots),  # each sees the same ones
        limit=sum(one.limit for one in snapshots),
        in_flight=[flight for one in snapshots for flight in one.in_flight],
        held=sum(one.held for one in snapshots),
        stuck=[one for snapshot in snapshots for one in snapshot.stuck][:MOST_STUCK],
        paused=min(paused, key=lambda one: one.since) if len(paused) == len(snapshots) else None,
        last_scan=max(one.last_scan for one in snapshots),
        next_attempt=min((one.next_attempt for one in snapshots if one.next_attempt), default=0.0),
        places=counting.places,
        minute=_minute(snapshots),
        idle_since=max(one.idle_since for one in snapshots) if all(one.idle_since for one in snapshots) else 0.0,
        free_bytes=first.free_bytes,
        free_inodes=first.free_inodes,
        credentials_expiry=min((one.credentials_expiry for one in snapshots if one.credentials_expiry), default=0.0),
        **tally.counters(),
    )


def _minute(snapshots: list[Snapshot]) -> Minute | None:
    """What all did in the running minute: that of the latest."""
    at = max((one.minute.at for one in snapshots if one.minute), default=0)
    found = [one.minute for one in snapshots if one.minute and one.minute.at == at]
    return minutes.together(found) if found else None
