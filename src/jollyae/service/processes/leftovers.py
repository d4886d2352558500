"""What stays behind where a reload takes a queue away, or its spool.

Nobody delivers it, and no view of the configuration shows it any more. So it is counted and told, when the last worker
there has ended, by a child of its own: a file system that does not answer must not hold the parent.
"""

import time
from collections import Counter
from collections.abc import Iterable
from itertools import islice

from ...spool import names, survey
from ...spool.owner import items_below
from ...spool.places import Place, Places
from ...worker.telling import warn
from .. import origins
from ..settings import Queue
from ..units import counted
from .nursery import Child, Nursery
from .siblings import Line
from .team import Team

MOST = 10_000
"""So many items are counted; where there are more, that is enough to know."""
_BACK = "Put the queue back and load the configuration again, or run it alone as it was: jollyae run {words} …"
_TARGET = "Put the target back into the notify of queue {about} and load the configuration again: they are sent."
_SOON = 0.25  # seconds between two looks for a child whose line has ended and that is not quite gone
_NEVER = float("inf")


def waiting(places: Iterable[Places]) -> dict[str, int]:
    """How many items are in which place, but for finished ones; at most :data:`MOST` of those to be delivered, and as
    many failed ones. Raises :class:`OSError`."""
    found: Counter[str] = Counter()
    for each in places:
        found.update(place.value for place, _, _ in islice(survey.lying(each), MOST))
        if failed := sum(1 for _ in islice(items_below(str(each.failed)), MOST)):
            found[Place.FAILED.value] += failed
    return dict(found)


def tell(queue: Queue) -> None:
    """Tell what of a queue stays, where anything does."""
    found = waiting(origins.worked_on(queue))
    if not found:
        return
    total, where = sum(found.values()), queue.places.control
    more = " or more" if total >= MOST else ""
    stays = f"{counted(total, 'item')}{more} {'stays' if total == 1 else 'stay'} in {names.show(str(where))}"
    split = ", ".join(f"{count:,} in {place}" for place, count in found.items())
    hint = _TARGET.format(about=queue.name.partition("/")[0]) if queue.about else _BACK.format(words=queue.places.words)
    warn(f"{stays} ({split}): nobody works on them any more", hint, queue=queue.name)


class Leftovers:
    """Waits for the ends of those that work where nobody shall any more, and has told what stays there."""

    def __init__(self, nursery: Nursery) -> None:
        self._nursery = nursery
        self._leaving: list[tuple[Team, Queue]] = []
        self._past: list[Child] = []

    def expect(self, team: Team, queue: Queue) -> None:
        """The team is about to leave that queue's places."""
        if (team, queue) not in self._leaving:
            self._leaving.append((team, queue))

    def keep(self, queues: Iterable[Queue]) -> None:
        """These are worked on, again too: forget what was expected there."""
        kept = {queue.places for queue in queues}
        self._leaving = [(team, queue) for team, queue in self._leaving if queue.places not in kept]

    def due(self) -> float:
        """When it has something to do, on the monotonic clock."""
        return time.monotonic() + _SOON if self._past else _NEVER

    def do_what_is_due(self) -> None:
        """Have it told where the last worker has ended."""
        for team, queue in list(self._leaving):
            if team.is_gone or team.queue.places != queue.places:
                self._leaving.remove((team, queue))
                self._fork(queue)
        self._past = [child for child in self._past if self._nursery.reap(child) is None]

    def _fork(self, queue: Queue) -> None:
        def live(_: Line) -> int:
            try:
                tell(queue)
            except OSError as error:
                _tell_uncounted(queue, error)
            return 0

        try:
            self._nursery.fork(live, self._hear)
        except OSError as error:
            _tell_uncounted(queue, error)

    def _hear(self, child: Child) -> None:
        if None in child.line.reports():  # it says nothing but its end
            self._nursery.deafen(child)
            self._past.append(child)


def _tell_uncounted(queue: Queue, error: OSError) -> None:
    what = f"what stays in {names.show(str(queue.places.control))} cannot be counted: {error.strerror}"
    warn(what, f"Look: jollyae status {queue.places.words}", queue=queue.name)
