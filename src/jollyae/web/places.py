"""What is in each place: as live workers know it, else as it was walked."""

from collections.abc import Sequence

from ..service.status import Snapshot
from ..spool.places import Place
from .counts import Counts
from .views import PlaceView

OLD = 10.0
"""What nobody keeps right since so many seconds is shown with the time when it was counted…"""
OLD_WITH_WORKERS = 300.0
"""…and what workers add their moves to since so many."""


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


def walked(counts: Counts | None, place: Place, now: float) -> PlaceView:
    """The place as it was walked; with ``as_of`` 0 where it was not yet."""
    if counts is None or place not in counts.places:
        return PlaceView(place.value, error=counts.errors.get(place, "") if counts is not None else "")
    found = counts.places[place]
    old = now - found.at > OLD
    return PlaceView(place.value, found.items, found.bytes, found.oldest, found.at, old=old, ignored=found.ignored)
