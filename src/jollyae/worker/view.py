"""A look at a working worker, for the live line and for whoever reads ``.state.json``."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from ..spool import names
from ..spool.arrivals import Arrivals
from ..spool.claims import Claims
from ..spool.item import Item
from ..spool.watch import Watch
from .health import Health
from .idle import Idleness
from .line import Line
from .minutes import Minutes
from .room import Room
from .state import MOST_STUCK, Flight, Paused, Snapshot, Stuck
from .tally import Tally


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at; it changes nothing."""

    destination: str
    watch: Watch
    claims: Claims
    arrivals: Arrivals
    line: Line
    health: Health
    room: Room
    tally: Tally
    minutes: Minutes
    idle: Idleness = field(default_factory=Idleness)
    started: float = field(default_factory=time.time)

    def mark(self, by_hand: str | None) -> tuple[object, ...]:
        """Something that is another when the snapshot would be."""
        tally, health, room = self.tally, self.health, self.room.health
        paused = (by_hand, health.paused and health.paused.state, room.paused and room.paused.state)
        counts = (tally.delivered, tally.failed, tally.deferred, self.arrivals.unready, self.line.held, health.limit)
        return (*counts, len(self.line.stuck), *paused, self.watch.why, self.idle.since)

    def snapshot(self, flying: Iterable[Item], by_hand: str | None) -> Snapshot:
        """The worker as it is now. ``by_hand``: the reason of a pause by hand."""
        return Snapshot(
            worker=self.claims.worker,
            pid=os.getpid(),
            started=self.started,
            destination=self.destination,
            watch=self.watch.why,
            unready=self.arrivals.unready,
            limit=self.health.limit,
            in_flight=[Flight(names.encode(item.name), item.size, item.sent) for item in flying],
            held=self.line.held,
            paused=self._paused(by_hand),
            stuck=[Stuck(names.encode(name), error) for name, error in islice(self.line.stuck.items(), MOST_STUCK)],
            minute=self.minutes.running(),
            idle_since=self.idle.since,
            **self.tally.counters(),
        )

    def _paused(self, by_hand: str | None) -> Paused | None:
        if by_hand is not None:
            return Paused("hand", by_hand)
        for by, health in (("spool", self.room.health), ("destination", self.health)):
            if health.paused is not None:
                return Paused(by, health.paused.error, health.paused.hint, health.paused.since)
        return None
