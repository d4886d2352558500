"""A look at a working worker, for the live line and for whoever reads ``.state.json``."""

import os
import time
from collections.abc import Callable, Collection, Container, Mapping
from dataclasses import dataclass, field
from itertools import islice

from ..spool import names
from ..spool.arrivals import Arrivals, Deferred
from ..spool.claims import Claims
from ..spool.item import Item
from ..spool.watch import Watch
from .counting import Counting
from .health import Health
from .idle import Idleness
from .line import Line
from .minutes import Minutes
from .room import Room
from .state import MOST_STUCK, Counted, Flight, Paused, Snapshot, Stuck
from .supply import Supply
from .tally import Tally

ROOM_EVERY = 10.0
"""Seconds between two looks at the file system's free space, at the least."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What the loop says of itself. ``flying``: the items in flight, each with when its attempt began (monotonic);
    ``by_hand``: the reason of a pause by hand; ``is_empty``: it rests because nothing in ``incoming/`` can be taken;
    ``emptied``: when that was so last and nothing lay there that is not ready."""

    flying: Mapping[Item, tuple[float, bool]]
    by_hand: str | None
    is_empty: bool
    emptied: float


@dataclass(slots=True, kw_only=True)
class View:
    """What is looked at; it changes nothing. ``expiry``: when the credentials expire (seconds since 1970, 0: never, or
    not known)."""

    destination: str
    watch: Watch
    claims: Claims
    arrivals: Arrivals
    deferred: Deferred
    line: Line
    health: Health
    room: Room
    tally: Tally
    minutes: Minutes
    counting: Counting
    expiry: Callable[[], float]
    supply: Supply | None = None
    idle: Idleness = field(default_factory=Idleness)
    started: float = field(default_factory=time.time)
    _sending: dict[Item, tuple[float, int, float]] = field(default_factory=dict)
    _free: tuple[int, int] = (-1, -1)
    _look_again: float = 0.0

    def mark(self, situation: Situation) -> tuple[object, ...]:
        """Something that is another when the snapshot would be, but for what changes by itself."""
        tally, health, room = self.tally, self.health, self.room.health
        pauses = [(one.paused.state, one.paused.probes) if one.paused else None for one in (health, room)]
        counts = (tally.delivered, tally.failed, tally.deferred, tally.held, self.arrivals.unready, self.line.held)
        found = self.counting.found()
        now = (health.limit, len(self.line.stuck), situation.by_hand, self.idle.since, self.watch.why, found)
        if self.supply is not None:
            pauses.append((one.state, one.probes) if (one := self.supply.paused) else None)
        return (*counts, *now, *pauses)

    def snapshot(self, situation: Situation, looked: float) -> Snapshot:
        """The worker as it is now. ``looked``: when it last looked round (seconds since 1970), renewed once a minute
        while nothing happens."""
        now, clock = time.time(), time.monotonic()
        free_bytes, free_inodes = self._room(clock)
        paused = self._paused(situation.by_hand, now - clock)
        places = self._places(situation, looked)
        hand = self.claims.items()
        return Snapshot(
            worker=self.claims.worker,
            pid=os.getpid(),
            started=self.started,
            destination=self.destination,
            watch=self.watch.why,
            unready=self.arrivals.unready,
            limit=self.health.limit,
            in_flight=[
                Flight(names.encode(item.name), item.size, item.sent, now - (clock - began), item.attempt)
                for item, (began, _) in situation.flying.items()
            ],
            held=self.line.held,
            paused=paused,
            stuck=[Stuck(names.encode(name), error) for name, error in islice(self.line.stuck.items(), MOST_STUCK)],
            last_scan=self.arrivals.unread_since or looked,
            next_attempt=self.deferred.next_attempt,
            places=places,
            minute=self.minutes.running(),
            idle_since=self.idle.since,
            free_bytes=free_bytes,
            free_inodes=free_inodes,
            credentials_expiry=self.expiry(),
            moves=self.counting.own(),
            lease=self.claims.lease,
            oldest_in_hand=min((item.arrived for item in hand), default=0.0),
            oldest_waiting=_oldest_waiting(places, hand, () if self._probes() else situation.flying),
            silent_since=self._silent_since(situation.flying, now - clock),
            **self.tally.counters(),
        )

    def _places(self, situation: Situation, looked: float) -> dict[str, Counted]:
        unready = self.arrivals.unready
        found = {place: Counted(*held) for place, held in self.counting.held().items()}
        if not found:
            return {}
        if (incoming := found.get("incoming")) is not None:
            found["incoming"] = _waiting(incoming, situation, unready, self.line.passed_over)
        return found | {"unready": Counted(unready, 0, None, looked)}

    def _probes(self) -> bool:
        """Whether what is sent is only a try whether the destination is well again."""
        return self.health.paused is not None or self.room.health.paused is not None

    def _silent_since(self, flying: Mapping[Item, tuple[float, bool]], offset: float) -> float:
        """Since when (seconds since 1970) that of the attempts under way that is silent for longest has sent nothing:
        since it began, or since it was last seen to have sent more than before; 0 where none is under way."""
        before, self._sending, clock = self._sending, {}, time.monotonic()
        for item, (began, _) in flying.items():
            first, sent, at = before.get(item, (began, item.sent, began))
            if first != began or sent != item.sent:  # another attempt, or it goes on
                at = began if first != began else clock
            self._sending[item] = began, item.sent, at
        return min((at + offset for _, _, at in self._sending.values()), default=0.0)

    def _room(self, clock: float) -> tuple[int, int]:
        """Bytes and inodes that are free for us."""
        if clock >= self._look_again:
            self._look_again = clock + ROOM_EVERY
            try:
                found = os.statvfs(self.claims.directory)
                # Some file systems (btrfs) have no fixed number of inodes, and say 0.
                self._free = found.f_bavail * found.f_frsize, found.f_favail if found.f_files else -1
            except OSError:
                self._free = -1, -1
        return self._free

    def _paused(self, by_hand: str | None, offset: float) -> Paused | None:
        if by_hand is not None:
            return Paused("hand", by_hand)
        for by, health in (("spool", self.room.health), ("destination", self.health)):
            pause = health.paused
            if pause is not None:
                probe = health.next_probe()
                at = round(probe + offset, 1) if probe < float("inf") else 0.0
                return Paused(by, pause.error, pause.hint, pause.since, pause.reason, at)
        if self.supply is not None and (pause := self.supply.paused) is not None:
            return Paused(
                "source", pause.error, pause.hint, pause.since, pause.reason, round(pause.probe_at + offset, 1)
            )
        return None


def _oldest_waiting(places: Mapping[str, Counted], hand: Collection[Item], flying: Container[Item]) -> float:
    """When the oldest item arrived that is to be delivered and is not being sent; 0 where there is none."""
    lying = [places[place].oldest for place in ("incoming", "deferred") if place in places]
    held = [item.arrived for item in hand if item not in flying]
    return min([*held, *(one for one in lying if one)], default=0.0)


def _waiting(counted: Counted, situation: Situation, unready: int, passed_over: int) -> Counted:
    """What is in ``incoming/`` and ready, from what lies there as it was counted. Where nothing can be taken, that is
    only what has no room; where all was taken a while ago, nothing that is there now is older."""
    items = passed_over if situation.is_empty else max(counted.items - unready, 0)
    if not items:
        return Counted(0, 0, None, counted.at, counted.ignored)
    size = counted.bytes * min(items, counted.items) // counted.items if counted.items else 0
    oldest = max(counted.oldest or 0.0, situation.emptied) or None
    return Counted(items, size, oldest, counted.at, counted.ignored)
