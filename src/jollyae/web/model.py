"""All queues at a glance: frozen values, made anew of what lies on the disk each time they are asked for."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ..service import status, why
from ..service.status import Flight, Live, Paused, Snapshot, Stuck
from ..spool import names
from ..spool.places import Place
from . import counts
from .queue import Queue, identify

OLD = 10.0
"""A count so many seconds old is shown with its time."""
MOST_FLIGHTS = 50
"""So many items in flight are listed for a queue."""


@dataclass(frozen=True, slots=True)
class PlaceView:
    """What is in one place (or 'unready': still being written, within incoming). ``oldest``: when the oldest item came
    there, seconds since 1970, None where there is none or it is not known. ``as_of``: when it was counted, seconds
    since 1970; 0 where it has not been yet (then ``items`` and ``bytes`` say nothing: show a dash). ``at_least``: there
    may be more than was counted. ``old``: so long ago that ``as_of`` must be shown. ``error``: why it cannot be
    read."""

    name: str
    items: int = 0
    bytes: int = 0
    oldest: float | None = None
    as_of: float = 0.0
    at_least: bool = False
    old: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class FlightView:
    """One item in flight. ``name``: safe to show; ``id``: for URLs and the page's element ids; bytes; ``started``:
    seconds since 1970, 0 where not known; ``rate``: bytes a second since then, None where not known."""

    id: str
    name: str
    size: int
    sent: int
    started: float
    attempt: int
    worker: str
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class PauseView:
    """A pause. ``by``: 'hand', 'destination' or 'spool'; ``since`` and ``next_probe``: seconds since 1970, 0 where
    there is none; ``workers``: how many of the live ones are in it."""

    by: str
    error: str
    hint: str = ""
    reason: str = ""
    since: float = 0.0
    next_probe: float = 0.0
    workers: int = 0


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A live worker. Counters since ``started`` (seconds since 1970). ``seen``: when it last wrote of itself;
    ``silent``: too long ago for one that lives: it hangs or is stopped."""

    name: str
    pid: int
    started: float
    destination: str
    delivered: int
    delivered_bytes: int
    failed: int
    deferred: int
    limit: int
    in_flight: int
    paused: bool
    watch: str
    seen: float = 0.0
    silent: bool = False


@dataclass(frozen=True, slots=True)
class StuckView:
    """An item in ``incoming/`` that cannot be taken."""

    id: str
    name: str
    error: str


@dataclass(frozen=True, slots=True)
class Speed:
    """Items and bytes a second. ``now``: over the last seconds; ``minute``: over the last minute; None: not known (no
    worker, or too short a look)."""

    now: float | None = None
    minute: float | None = None
    now_bytes: float | None = None
    minute_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class Latency:
    """From arrival to delivery, in seconds, of the ``items`` delivered in the last ``over`` seconds; None where there
    were none."""

    p50: float | None = None
    p99: float | None = None
    items: int = 0
    over: float = 0.0


@dataclass(frozen=True, slots=True)
class Drain:
    """How the backlog goes. ``state``: 'empty', 'draining' (then ``seconds`` until it is empty at the present rate),
    'growing', 'still' (nothing moves) or 'unknown' (looked at too shortly)."""

    state: str = "unknown"
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class QueueView:
    """One queue at one moment (``at``, seconds since 1970). ``places``: incoming, working, deferred, finished, failed,
    in this order. ``level``: 'ok', 'waits' or 'trouble'; ``sentence``: why it moves or not, and what to do;
    ``command``: a command line that helps, or ''. ``paused_by_hand``: the reason, None where it is not.
    ``next_attempt``: when the first deferred item is due, 0 where not known. ``free_bytes``, ``free_inodes``: -1 where
    not known."""

    name: str
    spool: str
    destination: str
    at: float
    places: tuple[PlaceView, ...]
    unready: int
    ignored: int
    in_flight: tuple[FlightView, ...]
    in_flight_count: int
    speed: Speed
    latency: Latency
    drain: Drain
    workers: tuple[WorkerView, ...]
    pauses: tuple[PauseView, ...]
    paused_by_hand: str | None
    stuck: tuple[StuckView, ...]
    sentence: str
    level: str
    command: str
    reason: str
    next_attempt: float = 0.0
    last_delivery: float = 0.0
    credentials_expiry: float = 0.0
    free_bytes: int = -1
    free_inodes: int = -1

    def place(self, name: str) -> PlaceView:
        """The place of this name."""
        return next(place for place in self.places if place.name == name)

    @property
    def backlog(self) -> int:
        """Items that are to be delivered now: incoming and working."""
        return self.place("incoming").items + self.place("working").items


class Dashboard:
    """Looks at queues again and again. What it keeps between two looks is only for differences (rates) and for not
    walking large places more often than need be; every number shown was read from the disk."""

    def __init__(self, queues: Sequence[Queue]) -> None:
        self.queues = tuple(queues)
        self._counting = counts.Counting(self.queues)

    def overview(self) -> list[QueueView]:
        """All queues as they are now, in the order given. Reads small files; takes milliseconds, whatever lies there.
        Blocking: call it in a thread. Raises nothing: what cannot be read is told in the view."""
        return [self.look(queue.name) for queue in self.queues]

    def look(self, name: str) -> QueueView:
        """One queue as it is now. Raises :class:`KeyError` where there is none of this name."""
        queue = self.queue(name)
        seen = self._counting.of(name)
        return view(queue, status.live_workers(queue.spool), seen, time.time())

    def queue(self, name: str) -> Queue:
        """The queue of this name. Raises :class:`KeyError`."""
        for queue in self.queues:
            if queue.name == name:
                return queue
        raise KeyError(name)

    def close(self) -> None:
        """End what runs in the background."""
        self._counting.close()


def overview(queues: Sequence[Queue]) -> list[QueueView]:
    """One look at all of them."""
    dashboard = Dashboard(queues)
    try:
        return dashboard.overview()
    finally:
        dashboard.close()


def view(queue: Queue, workers: list[Live], seen: counts.Counts, now: float) -> QueueView:
    """A queue from its live workers' snapshots and what was counted."""
    spool = queue.spool
    by_hand = spool.paused()
    snapshots = [one.snapshot for one in workers if one.snapshot is not None]
    said = status.why(seen.places, snapshots, len(workers), by_hand, str(spool.places.control))
    flights = [flight(one, worker.worker, now) for worker in snapshots for one in worker.in_flight]
    stuck = {one.name: one for snapshot in snapshots for one in snapshot.stuck}
    return QueueView(
        name=queue.name,
        spool=str(spool.places.control),
        destination=next((one.destination for one in snapshots), queue.destination),
        at=now,
        places=tuple(place(seen, one.value, now) for one in Place),
        unready=max((one.unready for one in snapshots), default=0),
        ignored=seen.places["incoming"].ignored if seen.places else 0,
        in_flight=tuple(flights[:MOST_FLIGHTS]),
        in_flight_count=len(flights),
        speed=Speed(),
        latency=Latency(),
        drain=Drain(),
        workers=tuple(worker_view(one, now) for one in workers),
        pauses=pauses(snapshots),
        paused_by_hand=by_hand,
        stuck=tuple(stuck_view(one) for one in stuck.values()),
        sentence=said.sentence,
        level=said.level,
        command=said.command,
        reason=said.reason,
        last_delivery=max((one.last_delivery for one in snapshots), default=0.0),
        next_attempt=min((one.next_attempt for one in snapshots if one.next_attempt), default=0.0),
        credentials_expiry=min((one.credentials_expiry for one in snapshots if one.credentials_expiry), default=0.0),
        free_bytes=min((one.free_bytes for one in snapshots if one.free_bytes >= 0), default=-1),
        free_inodes=min((one.free_inodes for one in snapshots if one.free_inodes >= 0), default=-1),
    )


def place(seen: counts.Counts, name: str, now: float) -> PlaceView:
    """A place as it was counted."""
    if not seen.places:
        return PlaceView(name, error=seen.error)
    found = seen.places[name]
    oldest = None if found.oldest is None else seen.at - found.oldest
    return PlaceView(name, found.items, found.bytes, oldest, seen.at, old=now - seen.at > OLD)


def flight(one: Flight, worker: str, now: float) -> FlightView:
    """An item in flight."""
    since = now - one.started if one.started else 0.0
    rate = one.sent / since if since > 0.5 and one.sent else None
    name = names.printable(one.name)
    return FlightView(
        identify(names.decode(one.name)), name, one.size, one.sent, one.started, one.attempt, worker, rate
    )


def worker_view(one: Live, now: float) -> WorkerView:
    """A live worker."""
    said = one.snapshot
    if said is None:
        return WorkerView(one.name, 0, 0.0, "", 0, 0, 0, 0, 0, 0, False, "", one.written)
    return WorkerView(
        name=one.name,
        pid=said.pid,
        started=said.started,
        destination=said.destination,
        delivered=said.delivered,
        delivered_bytes=said.delivered_bytes,
        failed=said.failed,
        deferred=said.deferred,
        limit=said.limit,
        in_flight=len(said.in_flight),
        paused=said.paused is not None,
        watch=said.watch,
        seen=max(one.written, said.last_scan),
        silent=bool(said.last_scan) and now - said.last_scan > why.SILENT,
    )


def stuck_view(one: Stuck) -> StuckView:
    """An item that cannot be taken."""
    return StuckView(identify(names.decode(one.name)), names.printable(one.name), one.error)


def pauses(snapshots: Sequence[Snapshot]) -> tuple[PauseView, ...]:
    """The pauses that the workers are in, those that say the same together, since the first of them."""
    found: dict[tuple[str, str], list[Paused]] = {}
    for one in snapshots:
        if one.paused is not None:
            found.setdefault((one.paused.by, one.paused.error), []).append(one.paused)
    return tuple(_pause(alike) for alike in found.values())


def _pause(alike: list[Paused]) -> PauseView:
    first = min(alike, key=lambda one: one.since)
    probe = min((one.next_probe for one in alike if one.next_probe), default=0.0)
    return PauseView(first.by, first.error, first.hint, first.reason, first.since, probe, len(alike))
