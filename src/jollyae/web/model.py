"""All queues at a glance, made anew of what lies on the disk each time they are asked for."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from ..service.observing import past, status
from ..service.observing.status import Flight, Live, Paused, Snapshot, Stuck
from ..service.observing.why import Situation, Why, explain
from ..service.settings import ConfigurationError
from ..service.units import ago
from ..spool import names, users
from ..spool.places import Place
from . import counts, places
from .failures import Failures
from .pace import Pace
from .patience import Patience, Unanswered
from .queue import Queue, identify
from .views import Drain, FlightView, Latency, PauseView, PlaceView, Speed, StuckView, WorkerView
from .views import QueueView as QueueView

MOST_FLIGHTS = 50
"""So many items in flight are listed for a queue."""
LATENCY_OVER = 300.0
"""Latency is that of the last so many seconds…"""
LATENCY_AT_MOST = 3600.0
"""…or of so many, where nothing was delivered in those."""

RENEW = 3.0
"""Seconds after which the queues are found again…"""
MISSED = 0.5
"""…or after so many where one is asked for that is not known: it may be new."""

Find = Callable[[], Sequence[Queue] | None]
"""Finds the queues as they are now; None where that cannot be said. Raises
:class:`~jollyae.service.settings.ConfigurationError` where what names them is wrong."""


class Dashboard:
    """Looks at queues again and again. What it keeps between two looks is only for differences (rates) and for not
    walking large places more often than need be; every number shown was read from the disk."""

    def __init__(self, queues: Sequence[Queue], find: Find | None = None) -> None:
        self.queues: tuple[Queue, ...] = ()
        self.wrong: tuple[str, ...] = ()
        """What is wrong with the configuration as it is now; the queues are those of before."""
        self.failures: dict[str, Failures] = {}
        """What failed in each queue, by its name."""
        self._find = Patience(find) if find is not None else None
        self._counting = counts.Counting(queues)
        self._paces: dict[str, Pace] = {}
        self._queues: dict[str, Queue] = {}
        self._patience: dict[str, Patience[QueueView]] = {}
        self._renewing = threading.Lock()
        self._renewed = time.monotonic()
        self._take(queues)

    def renew(self, after: float | None = None) -> None:
        """Find the queues again, where that was not done for so many seconds (:data:`RENEW`). Blocking: call it in a
        thread."""
        since = time.monotonic() - self._renewed
        if self._find is None or since < (RENEW if after is None else after):
            return
        if not self._renewing.acquire(blocking=False):
            return
        try:
            found = self._find.ask()
            self.wrong = ()
            if found is not None:
                self._take(found)
        except ConfigurationError as error:
            self.wrong = tuple(error.message.splitlines())
        except Unanswered:  # a disk hangs
            pass
        finally:
            self._renewed = time.monotonic()
            self._renewing.release()

    def _take(self, queues: Sequence[Queue]) -> None:
        """Look at these from now on. What is known of one that was there is kept, unless it is elsewhere now."""
        taken = {}
        for queue in queues:
            before = self._queues.get(queue.name)
            if before is not None and _is_same(before, queue):
                taken[queue.name] = before
                continue
            taken[queue.name] = queue
            self.failures[queue.name] = Failures(queue)
            self._counting.add(queue)
            self._paces[queue.name] = Pace()
            self._patience[queue.name] = Patience(partial(self._look, queue))
        self._queues, self.queues = taken, tuple(taken.values())

    def overview(self) -> list[QueueView]:
        """All queues as they are now, in the order given. Reads small files; takes milliseconds, whatever lies there.
        Blocking: call it in a thread. Raises nothing: what cannot be read is told in the view."""
        self.renew()
        return [self._ask(queue) for queue in self.queues]

    def look(self, name: str) -> QueueView:
        """One queue as it is now. Raises :class:`KeyError` where there is none of this name."""
        self.renew()
        return self._ask(self.queue(name))

    def _ask(self, queue: Queue) -> QueueView:
        try:
            return self._patience[queue.name].ask()
        except Unanswered as error:
            return hanging(queue, error.seconds)
        except OSError as error:
            return lost(queue, *_gone(queue, error))

    def _look(self, queue: Queue) -> QueueView:
        if not os.path.isdir(queue.spool.places.incoming):
            os.listdir(queue.spool.places.incoming)  # says what is wrong
        live = status.live_workers(queue.spool)
        snapshots = [one.snapshot for one in live if one.snapshot is not None]
        now = time.time()
        known = places.known(snapshots, now)
        walked = self._counting.of(queue.name) if len(known) < len(Place) else counts.Counts()
        seen = tuple(known.get(place) or places.walked(queue.spool, walked, place, now) for place in Place)
        items = {one.name: one.items for one in seen}
        if Place.INCOMING in known:  # workers tell of those that can be taken; the rest lies there as well
            items["incoming"] += max(one.unready for one in snapshots)
            items["incoming"] = max(items["incoming"], *(len(one.stuck) for one in snapshots))
        last = self.failures[queue.name].last() if items["failed"] or items["deferred"] else {}
        at_least = any(one.at_least for one in seen)
        situation = status.situation(
            queue.spool,
            items,
            live,
            last,
            config=queue.config,
            queue=queue.name if queue.config else "",
            is_wanted=queue.is_wanted,
            at_least=at_least,
        )
        backlog = seen[0].items + seen[1].items
        pace = self._paces[queue.name]
        pace.add(now, snapshots, None if any(one.at_least for one in seen[:2]) else backlog)
        did = past.read(queue.spool, LATENCY_AT_MOST, snapshots, now)
        return view(queue, live, seen, explain(situation), situation, pace.speed(now, did, bool(live)), did, pace)

    def queue(self, name: str) -> Queue:
        """The queue of this name. Raises :class:`KeyError`."""
        return self._queues[name]

    def moved(self, name: str) -> None:
        """Something was moved by hand in the queue of this name: look anew."""
        self.failures[name].changed()
        self._counting.again(name)

    def count_again(self, name: str) -> None:
        """Something comes or goes in the queue of this name: what was counted is wrong by now."""
        self._counting.again(name)

    def close(self) -> None:
        """End what runs in the background."""
        self._counting.close()


def _is_same(one: Queue, other: Queue) -> bool:
    return (one.spool.places, one.destination) == (other.spool.places, other.destination)


def overview(queues: Sequence[Queue]) -> list[QueueView]:
    """One look at all of them."""
    dashboard = Dashboard(queues)
    try:
        return dashboard.overview()
    finally:
        dashboard.close()


def lost(queue: Queue, what: str, hint: str, *, hangs: bool = False) -> QueueView:
    """A queue whose spool cannot be read: ``what`` is so, and ``hint`` says what to do."""
    situation = Situation(str(queue.spool.places.control), {}, gone=(what, hint), hangs=hangs, now=time.time())
    why = explain(situation)
    seen = tuple(PlaceView(place.value, error=what) for place in Place)
    return view(queue, [], seen, why, situation, Speed(), past.Past((), None), None)


def hanging(queue: Queue, seconds: float) -> QueueView:
    """A queue whose spool does not answer for so many seconds."""
    root = names.show(str(queue.spool.places.control))
    what = f"the disk of {root} does not answer for {ago(seconds)}"
    return lost(queue, what, "Is its server there, is it mounted by network?", hangs=True)


def _gone(queue: Queue, error: OSError) -> tuple[str, str]:
    """What happened to the spool, and what to do."""
    root = names.show(str(queue.spool.places.control))
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        words = names.show(queue.spool.places.words)
        hint = f"Was it removed, or is its disk not mounted? To make a new one: jollyae init {words}"
        return f"there is no spool at {root}", hint
    where = names.show(str(error.filename or root))
    whose = _whose(str(error.filename)) if isinstance(error, PermissionError) and error.filename else ""
    return f"{where} cannot be read: {error.strerror}", whose or "Mend what it says."


def _whose(path: str) -> str:
    """Whose the first directory above is that keeps us out."""
    for above in (path, *map(str, Path(path).parents)):
        with suppress(PermissionError):
            os.stat(above)
            return users.whose(above)
    return ""


def view(
    queue: Queue,
    live: Sequence[Live],
    seen: tuple[PlaceView, ...],
    why: Why,
    situation: Situation,
    speed: Speed,
    did: past.Past,
    pace: Pace | None,
) -> QueueView:
    """A queue from what was found out about it. Pure."""
    snapshots = situation.snapshots
    flights = [flight(one, worker.worker, situation.now) for worker in snapshots for one in worker.in_flight]
    stuck = {one.name: one for snapshot in snapshots for one in snapshot.stuck}
    backlog = sum(one.items for one in seen[:2])
    sure = not any(one.at_least for one in seen[:2])
    is_still = not live or len(situation.paused) == len(live) or situation.by_hand is not None
    return QueueView(
        name=queue.name,
        spool=situation.spool,
        destination=next((one.destination for one in snapshots), queue.destination),
        at=situation.now,
        places=seen,
        unready=max((one.unready for one in snapshots), default=0),
        ignored=max((one.ignored for one in seen), default=0),
        in_flight=tuple(flights[:MOST_FLIGHTS]),
        in_flight_count=len(flights),
        speed=speed,
        latency=latency(did, situation.now),
        drain=pace.drain(backlog, speed, is_still=is_still) if pace is not None and sure else Drain(),
        workers=tuple(worker_view(one, situation.now) for one in live),
        pauses=pauses(snapshots),
        paused_by_hand=situation.by_hand,
        stuck=tuple(stuck_view(one) for one in stuck.values()),
        sentence=why.sentence,
        level=why.level,
        command=why.command,
        reason=why.reason,
        next_attempt=min((one.next_attempt for one in snapshots if one.next_attempt), default=0.0),
        last_delivery=last_delivery(did, snapshots, situation.now),
        credentials_expiry=min((one.credentials_expiry for one in snapshots if one.credentials_expiry), default=0.0),
        free_bytes=min((one.free_bytes for one in snapshots if one.free_bytes >= 0), default=-1),
        free_inodes=min((one.free_inodes for one in snapshots if one.free_inodes >= 0), default=-1),
        below_floor=situation.below_floor,
    )


def last_delivery(did: past.Past, snapshots: Sequence[Snapshot], now: float) -> float:
    """As the workers know it; of those that are gone, the end of the last minute in which something was delivered."""
    told = [one.last_delivery for one in snapshots if one.last_delivery]
    ends = [min(one.at + past.MINUTE - 1, now) for one in did.minutes if one.delivered]
    return max(told or ends, default=0.0)


def latency(did: past.Past, now: float) -> Latency:
    """Over the last five minutes, or where nothing was delivered in them, the last hour."""
    for over in (LATENCY_OVER, LATENCY_AT_MOST):
        minute = did.since(now - over)
        if minute.delivered:
            p50, p99 = (past.quantile(minute.delivery, share, slowest=minute.slowest) for share in (0.5, 0.99))
            return Latency(p50, p99, minute.delivered, over)
    return Latency()


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
    said, silent = one.snapshot, one.silent(now) is not None
    if said is None:
        return WorkerView(one.name, one.pid, 0.0, "", 0, 0, 0, 0, 0, 0, False, "", one.written, silent)
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
        silent=silent,
        lease=said.lease,
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
