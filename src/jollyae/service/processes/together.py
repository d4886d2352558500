"""Several workers on one spool seen as one."""

import os
from collections.abc import Iterable

from ...worker import minutes
from ...worker.state import MOST_STUCK, Counted, Minute, Snapshot
from ...worker.tally import Tally
from ..units import counted


def together(snapshots: list[Snapshot], tally: Tally, *, apart: bool = False) -> Snapshot:
    """Several workers seen as one. ``tally``: what all have done, also those that are gone. It is paused when all
    are, and idle when all are. What is in the places each of them may have counted: the latest whole count is told.
    ``apart``: each works on places of its own, and what is in all of these is told."""
    first = snapshots[0]
    paused = [one.paused for one in snapshots if one.paused]
    counting = max(snapshots, key=lambda one: max((place.at for place in one.places.values()), default=0.0))
    unready = [one.unready for one in snapshots]
    return Snapshot(
        worker=counted(len(snapshots), "worker"),
        pid=os.getpid(),
        started=min(one.started for one in snapshots),
        destination=first.destination,
        watch=first.watch,
        unready=sum(unready) if apart else max(unready),  # on the same places each sees the same ones
        limit=sum(one.limit for one in snapshots),
        in_flight=[flight for one in snapshots for flight in one.in_flight],
        held=sum(one.held for one in snapshots),
        stuck=[one for snapshot in snapshots for one in snapshot.stuck][:MOST_STUCK],
        paused=min(paused, key=lambda one: one.since) if len(paused) == len(snapshots) else None,
        last_scan=max(one.last_scan for one in snapshots),
        next_attempt=min((one.next_attempt for one in snapshots if one.next_attempt), default=0.0),
        places=_places(snapshots) if apart else counting.places,
        minute=_minute(snapshots),
        idle_since=max(one.idle_since for one in snapshots) if all(one.idle_since for one in snapshots) else 0.0,
        free_bytes=first.free_bytes,
        free_inodes=first.free_inodes,
        credentials_expiry=min((one.credentials_expiry for one in snapshots if one.credentials_expiry), default=0.0),
        oldest_in_hand=_first(one.oldest_in_hand for one in snapshots),
        oldest_waiting=_first(one.oldest_waiting for one in snapshots),
        silent_since=_first(one.silent_since for one in snapshots),
        **tally.counters(),
    )


def _places(snapshots: list[Snapshot]) -> dict[str, Counted]:
    """What is in the places of all: of each place that all have counted by now, as of the earliest count."""
    known = [place for place in snapshots[0].places if all(place in one.places for one in snapshots)]
    return {place: _added([one.places[place] for one in snapshots]) for place in known}


def _added(counts: list[Counted]) -> Counted:
    return Counted(
        items=sum(one.items for one in counts),
        bytes=sum(one.bytes for one in counts),
        oldest=min((one.oldest for one in counts if one.oldest is not None), default=None),
        at=min(one.at for one in counts),
        ignored=sum(one.ignored for one in counts),
    )


def _first(times: Iterable[float]) -> float:
    """The earliest of them; 0 is none."""
    return min((one for one in times if one), default=0.0)


def _minute(snapshots: list[Snapshot]) -> Minute | None:
    """What all did in the running minute: that of the latest."""
    at = max((one.minute.at for one in snapshots if one.minute), default=0)
    found = [one.minute for one in snapshots if one.minute and one.minute.at == at]
    return minutes.together(found) if found else None
