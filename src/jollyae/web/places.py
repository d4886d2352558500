"""What is in each place: as live workers know it, else as it was walked, else what a glance tells."""

import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice

from ..service.observing.status import Snapshot
from ..spool import names, notes, owner
from ..spool.places import Place
from ..spool.spool import Spool
from .counts import Counts
from .views import PlaceView

OLD = 10.0
"""What nobody keeps right since so many seconds is shown with the time when it was counted…"""
OLD_WITH_WORKERS = 300.0
"""…and what workers add their moves to since so many."""
GLANCE = 1000
"""So many items are counted at a glance, while a walk lasts."""


def known(snapshots: Sequence[Snapshot], now: float) -> dict[Place, PlaceView]:
    """The places that live workers have counted. Each tells of the whole spool; of several, the one that walked it
    last is believed."""
    found = {}
    for place in Place:
        told = [one.places[place] for one in snapshots if place in one.places]
        counted = max((one for one in told if one.at), key=lambda one: one.at, default=None)
        if counted is not None:
            old = now - counted.at > OLD_WITH_WORKERS
            found[place] = PlaceView(
                place.value, counted.items, counted.bytes, counted.oldest, counted.at, old=old, ignored=counted.ignored
            )
    return found


def walked(spool: Spool, counts: Counts, place: Place, now: float) -> PlaceView:
    """The place as it was walked; while it was not yet, what a glance tells."""
    if place not in counts.places:
        return glanced(spool, place, now)
    found = counts.places[place]
    old = now - found.at > OLD
    return PlaceView(place.value, found.items, found.bytes, found.oldest, found.at, old=old, ignored=found.ignored)


def glanced(spool: Spool, place: Place, now: float) -> PlaceView:
    """The first thousand items of the place; where that are all, that is all."""
    directory, items, size = str(spool.places.of(place)), 0, 0
    oldest = now
    try:
        for name in islice(owner.items_below(directory), GLANCE):
            if place is Place.INCOMING and names.is_ignored(name):
                continue
            with suppress(FileNotFoundError):  # it went in this instant
                path = os.path.join(directory, name)
                found = os.lstat(path)
                since = notes.arrived_at(path, found) if place is Place.DEFERRED else found.st_ctime
                items, size, oldest = items + 1, size + found.st_size, min(oldest, since)
    except OSError as error:
        return PlaceView(place.value, error=error.strerror or str(error))
    return PlaceView(place.value, items, size, oldest if items else None, now, at_least=items == GLANCE)
