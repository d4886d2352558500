"""A team: the workers of one queue, in processes of their own, as their parent sees them.

The parent touches no item: that several workers on one spool are safe is the claims' merit. A team starts another
worker where one died, sums up what they do together, and never takes another team with it.
"""

import mmap
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ...spool import names
from ...spool.owner import items_below
from ...spool.survey import workers
from ...worker.rules import Share
from ...worker.state import Snapshot
from ...worker.summary import Summary
from ...worker.tally import SIZE, Tally, total
from ...worker.telling import notice, warn
from ...worker.worker import SUMMARY_EVERY
from ..settings import Queue
from ..units import counted
from .nursery import Child, Nursery
from .siblings import ASK, Line, Refusal, work
from .together import together

FIRST_AGAIN = 0.5
"""Seconds until a process that died is replaced; doubled with each death in a row, with nothing done between…"""
LAST_AGAIN = 30.0
"""…up to so many."""
LIVED = 60.0
"""A process that lived for so many seconds begins a new row."""
GIVE_UP = 10
"""With ``once``: so many deaths in a row end the run. One item causes three, then it has failed, which is progress."""
HUNG = 10.0
"""Seconds beyond the grace time after which a worker that shall make room for another is killed."""
SILENT = 300.0
"""Seconds without an answer after which a worker is killed. Its loop turns many times a second; only a file system that
does not answer keeps it for longer."""
_COUNT = 8  # bytes
_REAP = 0.02  # seconds between two looks for one whose line has ended and that is not quite gone
_UNHEARD = (-signal.SIGTERM, -signal.SIGINT)  # how one ends that was told so early that it had not begun
_NEVER = float("inf")


def again_in(deaths: int) -> float:
    """Seconds until the next is started, after so many deaths in a row."""
    return min(FIRST_AGAIN * 2.0 ** min(deaths - 1, 30), LAST_AGAIN)


@dataclass(slots=True, eq=False)
class Sibling:
    """A worker's process as its parent sees it. ``tally``: in memory that both share."""

    share: Share
    child: Child
    tally: Tally
    began: float = field(default_factory=time.monotonic)
    snapshot: Snapshot | None = None
    summary: Summary | None = None
    refusal: Refusal | None = None
    asked_at: float = _NEVER
    """Since when it does not answer."""


class Team:
    """The workers of one queue. ``fields``: what its lines of the log have; ``among``: how many processes there are in
    all, with which they share the machine."""

    def __init__(
        self, queue: Queue, nursery: Nursery, fields: Mapping[str, Any] = {}, *, among: Callable[[], int] = lambda: 1
    ) -> None:
        self.queue = queue
        self.refusal: Refusal | None = None
        """Why none of its workers could begin."""
        self.is_gone = False
        """Whether it has ended because its queue is no more."""
        self._nursery = nursery
        self._fields = dict(fields)
        self._among = among
        self._living: dict[int, Sibling] = {}
        self._leaving: list[Sibling] = []  # whose line has ended, and that are not quite gone
        self._past = Tally()  # what those did that are gone
        self._due: dict[int, float] = {}  # which one is started again, and when
        self._stopped: set[int] = set()  # which of them ended in order
        self._deaths = 0  # in a row, with nothing done between
        self._done_at_death: list[int] = []
        self._has_begun = False
        self._signal = 0
        self._next: list[Queue | None] = []  # what it becomes (nothing: None) when those that work have ended
        self._kill_at = _NEVER
        self._left = 0
        self._growing: set[str] = set()
        self._stuck: set[str] = set()
        self._gave_up = False
        self._idle_from = _NEVER
        self._idle_marks: list[float] = []
        self._last: Snapshot | None = None
        self._told = Tally()
        self._next_summary = _NEVER

    @property
    def is_over(self) -> bool:
        """Whether none of its workers lives or will."""
        return not (self._living or self._leaving or self._due)

    @property
    def is_settled(self) -> bool:
        """Whether it is not about to become another, and one of its workers has begun, or died."""
        return not self._next and (self._has_begun or self._deaths > 0)

    @property
    def has_begun(self) -> bool:
        """Whether one of its workers has worked."""
        return self._has_begun

    # --- starting and stopping

    def start(self) -> None:
        """Start its workers."""
        for index in range(self.queue.settings.processes):
            self._start_or_wait(index)

    def stop(self, number: int, *, at_once: bool = False) -> None:
        """Have all stop as after that signal; ``at_once``: leave."""
        told = bool(self._next)
        self._signal = number
        self._next.clear()
        self._due.clear()
        if not told or at_once:
            self._order(number)

    def become(self, queue: Queue | None) -> None:
        """Have its workers end in order, and then others begin with that queue; None: no others."""
        if not self._next:
            self._order(signal.SIGTERM)
            self._kill_at = time.monotonic() + self.queue.settings.grace + HUNG
        self._due.clear()
        self._next[:] = [queue]
        if self.is_over:
            self._turn_into_next()

    @property
    def wanted(self) -> Queue | None:
        """The queue that it has, or shall have; None: it goes."""
        if self._next:
            return self._next[-1]
        return None if self.is_gone else self.queue

    def kill(self) -> None:
        """End at once who still runs."""
        for sibling in self._living.values():
            os.kill(sibling.child.pid, signal.SIGKILL)  # our child, and not waited for yet: nobody else has its pid

    def ask(self) -> None:
        """Ask each worker whether it is there, and kill who does not answer: another takes over what it had. Places on
        several file systems are asked nothing: a large file is copied in one go."""
        now = time.monotonic()
        for sibling in self._living.values():
            if sibling.snapshot is None or self.queue.settings.copy:
                continue
            if now - sibling.asked_at < SILENT:
                sibling.asked_at = min(sibling.asked_at, now)
                sibling.child.line.order(ASK)
            else:
                hint = "If the file system of the spool does not answer, that is why."
                who = {"worker": sibling.snapshot.worker, **self._fields}
                warn(f"a worker process does not answer for {SILENT:g} s: it is killed", hint, **who)
                os.kill(sibling.child.pid, signal.SIGKILL)
                sibling.asked_at = now

    def _order(self, number: int) -> None:
        for sibling in self._living.values():
            sibling.child.line.order(number)

    def _turn_into_next(self) -> None:
        queue = self._next.pop()
        self._kill_at = _NEVER
        self.is_gone = queue is None
        if queue is None:
            return
        self.queue = queue
        self.refusal = None
        self._has_begun = False
        self._deaths = 0
        self._done_at_death = []
        self._stopped.clear()
        self.start()

    def _start_or_wait(self, index: int) -> bool:
        try:
            self._start(index)
        except OSError as error:
            self._due[index] = time.monotonic() + LAST_AGAIN
            hint = "The others go on; it is tried again."
            warn(f"cannot start a worker process: {error.strerror}", hint, **self._fields)
            return False
        return True

    def _start(self, index: int) -> None:
        share = Share(index, self.queue.settings.processes, is_led=True, among=self._among())
        tally = Tally(memoryview(mmap.mmap(-1, SIZE * _COUNT)).cast("Q"))
        silent = index > 0 or self._deaths > 0

        def live(line: Line) -> int:
            return work(self.queue, self.queue.settings.divided(share), line, tally, self._fields, silent=silent)

        child = self._nursery.fork(live, lambda child: self._listen(sibling))
        sibling = self._living[index] = Sibling(share, child, tally)

    # --- what they do

    def _listen(self, sibling: Sibling) -> None:
        for report in sibling.child.line.reports():
            sibling.asked_at = _NEVER
            if isinstance(report, Snapshot):
                sibling.snapshot = report
                self._note_idleness()
                self._has_begun = True
            elif isinstance(report, Summary):
                sibling.summary = report
                self._has_begun = True
            elif isinstance(report, Refusal):
                sibling.refusal = report
            elif report is None:
                self.snapshot()  # what it said last is not lost, however soon it ended
                self._nursery.deafen(sibling.child)
                del self._living[sibling.share.index]
                self._leaving.append(sibling)
                self._reap()

    def _reap(self) -> None:
        for sibling in list(self._leaving):
            code = self._nursery.reap(sibling.child)
            if code is not None:
                self._leaving.remove(sibling)
                self._end(sibling, code)
        if self._next and self.is_over:
            self._turn_into_next()

    def _end(self, sibling: Sibling, code: int) -> None:
        """It is gone: in order, or another takes its place."""
        self._past = total([self._past, sibling.tally])
        if sibling.summary is not None:
            self._left += sibling.summary.left if self._signal else 0  # what one left before is taken over
            self._growing.update(sibling.summary.growing)
            self._stuck.update(sibling.summary.stuck)
            self._gave_up |= sibling.summary.gave_up
        if self._signal or self.refusal:
            self._left += sibling.summary is None and code not in _UNHEARD  # nobody says what it had in flight
            return
        if self._next:
            return
        if sibling.refusal is not None and not self._deaths and not self._has_begun:
            self.refusal = sibling.refusal  # at the start that is a fault of the configuration: none can work
            self._due.clear()
            self._order(signal.SIGTERM)
        elif sibling.summary is None:
            self._replace(sibling, code)
        elif sibling.summary.signal:
            # Told, and not by us. Where that was to all of us, as systemd does, our own signal comes in an instant.
            self._due[sibling.share.index] = time.monotonic() + FIRST_AGAIN
            self._stopped.add(sibling.share.index)

    @property
    def idle_from(self) -> float:
        """Since when none of its workers had anything to do, on the monotonic clock; infinite while one has."""
        works = bool(self._living) and not (self._leaving or self._due or self._next)
        return self._idle_from if works else _NEVER

    def _note_idleness(self) -> None:
        marks = [one.snapshot.idle_since if one.snapshot else 0.0 for one in self._living.values()]
        if not all(marks):
            self._idle_from = _NEVER
        elif self._idle_from == _NEVER or marks != self._idle_marks:
            self._idle_from = time.monotonic()
        self._idle_marks = marks

    def retry(self) -> None:
        """Try again what was refused; the other teams work meanwhile."""
        refusal, self.refusal = self.refusal, None
        if refusal is None:
            return
        self._deaths += 1
        for index in range(self.queue.settings.processes):
            self._due[index] = time.monotonic() + again_in(self._deaths)
        self._stopped.clear()
        warn(f"cannot work: {names.printable(refusal.message)}; it is tried again", refusal.hint, **self._fields)

    def _replace(self, sibling: Sibling, code: int) -> None:
        now, done = time.monotonic(), list(self.counts().counts)
        in_a_row = done == self._done_at_death and now - sibling.began < LIVED
        self._deaths = self._deaths + 1 if in_a_row else 1
        self._done_at_death = done
        how, hint = _how(sibling, code), "What it had in work is taken over."
        if sibling.refusal is not None and sibling.refusal.hint:
            hint = sibling.refusal.hint
        if code == -signal.SIGKILL:
            hint += " If nobody killed it, the machine was short of memory: see the kernel's log."
        who = {"worker": sibling.snapshot.worker if sibling.snapshot else "", **self._fields}
        if self.queue.settings.once and self._deaths >= GIVE_UP:
            self._gave_up = True
            self._due.clear()
            warn(f"a worker process {how}; that was the {GIVE_UP}th in a row: no other is started", hint, **who)
            return
        delay = again_in(self._deaths)
        self._due[sibling.share.index] = now + delay
        warn(f"a worker process {how}; another is started in {delay:g} s", hint, **who)

    # --- the clock

    def due(self) -> float:
        """When it has something to do, on the monotonic clock."""
        if self._next_summary == _NEVER and self.counts().counts != self._told.counts:
            self._next_summary = time.monotonic() + SUMMARY_EVERY
        soon = time.monotonic() + _REAP if self._leaving else _NEVER
        return min([*self._due.values(), self._kill_at, self._next_summary, soon])

    def do_what_is_due(self) -> None:
        """Start, kill, tell."""
        now = time.monotonic()
        if self._leaving:
            self._reap()
        for index in [index for index, due in self._due.items() if due <= now]:
            del self._due[index]
            if self._start_or_wait(index) and index in self._stopped:
                self._stopped.discard(index)
                notice("a worker process was told to stop while the others go on: another is started", **self._fields)
        if now >= self._kill_at:
            self.kill()
            self._kill_at = _NEVER
        if now >= self._next_summary:
            self.tell()

    def tell(self) -> None:
        """The summary of a minute."""
        self._next_summary = _NEVER
        self._told.counts = self.counts().counts
        flying = sum(len(one.snapshot.in_flight) for one in self._living.values() if one.snapshot)
        self._told.tell(flying, **self._fields)

    # --- all of it

    def counts(self) -> Tally:
        """What all of them did, also those that are gone."""
        return total([self._past, *(one.tally for one in (*self._living.values(), *self._leaving))])

    def snapshot(self) -> Snapshot | None:
        """All of them as one; None before the first has begun. Where none lives, the last one with nobody in it, and
        all that was counted: the last items of all, too."""
        seen = [one.snapshot for one in self._living.values() if one.snapshot]
        if seen:
            places = self._last.places if self._last is not None else {}
            self._last = together(seen, self.counts(), apart=self.queue.settings.source is not None)
            if not self._last.places:  # who counts them is being replaced
                self._last = msgspec.structs.replace(self._last, places=places)
        elif self._last is not None and not self._living:
            empty = {"worker": counted(0, "worker"), "in_flight": [], "limit": 0, "held": 0}
            self._last = msgspec.structs.replace(self._last, **empty, **self.counts().counters())
        return self._last

    def summary(self) -> Summary:
        """What they did, when all have ended."""
        tally = self.counts()
        once = self.queue.settings.once
        stuck = tuple(filter(self._is_there, self._stuck))
        growing = tuple(filter(self._is_there, self._growing.difference(stuck)))
        waiting = self._waiting(len(growing) + len(stuck)) if once else 0
        counts = (tally.delivered, tally.failed, tally.deferred, self._left, waiting)
        return Summary(*counts, once, self._signal, growing, self._gave_up, stuck)

    def _is_there(self, name: str) -> bool:
        """Whether it still lies there: a sibling may have waited longer for it."""
        return os.path.lexists(self.queue.places.incoming / name)

    def _waiting(self, given_up: int) -> int:
        """How many items wait for another try, as the places show it: what one left another may have delivered."""
        places, wanted = self.queue.places, self.queue.settings.rules().wanted()
        held = sum(1 for path, holder in workers(places) if not holder for _ in items_below(path))
        deferred = sum(1 for _ in items_below(str(places.deferred)))
        arrived = sum(map(wanted, items_below(str(places.incoming)))) if self._gave_up else given_up
        return held + deferred + arrived


def _how(sibling: Sibling, code: int) -> str:
    """How it ended, for people."""
    if sibling.refusal is not None:
        return f"cannot work: {names.printable(sibling.refusal.message)}"
    return how_ended(code)


def how_ended(code: int) -> str:
    """How a process ended, for people."""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else "a real-time signal"
        return f"was ended by signal {-code} ({name})"
    return f"ended with exit code {code}"
