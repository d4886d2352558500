"""Several workers in processes of their own on one spool, for where one core is not enough.

One parent, which touches no item: it starts the workers (siblings), passes signals on, starts another where one died,
and shows and sums up what they do together. That several workers on one spool are safe is the claims' merit, not the
parent's: if it dies, nothing is lost.

The siblings are forks of the parent, made while it has no thread, no event loop, no connection and no descriptor of an
item; so a start costs milliseconds, and whatever was loaded is shared.
"""

import gc
import mmap
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import NoReturn

from ..spool import names
from ..spool.owner import items_below
from ..spool.places import Places
from ..spool.spool import SpoolError
from ..spool.survey import workers
from ..worker.rules import Share
from ..worker.state import Snapshot
from ..worker.summary import Summary
from ..worker.tally import SIZE, Tally, total
from ..worker.telling import notice, warn
from ..worker.worker import SUMMARY_EVERY, Listener
from . import compose
from .settings import Settings
from .siblings import Line, Refusal, work
from .together import together

FIRST_AGAIN = 0.5
"""Seconds until a worker that died is replaced; doubled with each death in a row, with nothing done between…"""
LAST_AGAIN = 30.0
"""…up to so many."""
LIVED = 60.0
"""A worker that lived for so many seconds begins a new row."""
GIVE_UP = 10
"""With ``once``: so many deaths in a row end the run. One item causes three, then it has failed, which is progress."""
LEAVE_WITHIN = 2.0
"""Seconds after a second signal until what still runs is killed."""
_COUNT = 8  # bytes
_TICK = 0.25  # seconds between two looks of the listeners
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
_UNHEARD = (-signal.SIGTERM, -signal.SIGINT)  # how one ends that was told so early that it had not begun


def run(
    places: Places,
    settings: Settings,
    listeners: tuple[Listener, ...] = (),
    in_sibling: Callable[[], None] = lambda: None,
) -> Summary:
    """:func:`compose.run` in as many processes as the settings say; what all of them did. ``in_sibling`` is called in
    each new process, to set its output up. Raises :class:`~.settings.ConfigurationError` and :class:`SpoolError`."""
    if settings.processes == 1:
        return compose.run(places, settings, listeners)
    compose.prepared(places, settings)
    return Parent(places, settings, listeners, in_sibling).run()


@dataclass(slots=True)
class Sibling:
    """A worker's process as its parent sees it. ``tally``: in memory that both share."""

    share: Share
    pid: int
    line: Line
    tally: Tally
    began: float = field(default_factory=time.monotonic)
    snapshot: Snapshot | None = None
    summary: Summary | None = None
    refusal: Refusal | None = None


class Parent:
    """Starts the workers and has them work together."""

    def __init__(
        self,
        places: Places,
        settings: Settings,
        listeners: tuple[Listener, ...],
        in_sibling: Callable[[], None],
    ) -> None:
        self._places = places
        self._settings = settings
        self._listeners = listeners
        self._in_sibling = in_sibling
        self._living: dict[int, Sibling] = {}
        self._past = Tally()  # what those did that are gone
        self._due: dict[int, float] = {}  # which one is started again, and when
        self._stopped: set[int] = set()  # which of them ended in order
        self._deaths = 0  # in a row, with nothing done between
        self._done_at_death: list[int] = []
        self._signal = 0
        self._left = 0
        self._growing: set[str] = set()
        self._stuck: set[str] = set()
        self._kill_at = float("inf")
        self._gave_up = False
        self._refusal: Refusal | None = None
        self._told = Tally()
        self._next_summary = float("inf")

    def run(self) -> Summary:
        """Work until told to stop, or with ``once`` until all is done. Raises :class:`SpoolError`."""
        gc.freeze()  # what is loaded by now stays shared with the siblings
        with self._hearing_signals() as self._wakeup, selectors.DefaultSelector() as self._selector:
            self._selector.register(self._wakeup, selectors.EVENT_READ, self._hear)
            for index in range(self._settings.processes):
                self._start(index)
            while self._living or self._due:
                for key, _ in self._selector.select(self._timeout()):
                    key.data()
                self._do_what_is_due()
        if self._refusal is not None:
            raise SpoolError(self._refusal.message, hint=self._refusal.hint)
        summary = self._summary()
        if summary.once:
            summary.tell()
        return summary

    # --- starting

    def _start(self, index: int) -> None:
        share = Share(index, self._settings.processes)
        ours, theirs = socket.socketpair()
        tally = Tally(memoryview(mmap.mmap(-1, SIZE * _COUNT)).cast("Q"))
        sys.stdout.flush()
        sys.stderr.flush()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # a signal must not meet our handlers in the child
        try:
            pid = os.fork()
            if pid == 0:
                ours.close()
                self._become(share, Line(theirs), tally, before)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        sibling = self._living[index] = Sibling(share, pid, Line(ours), tally)
        self._selector.register(sibling.line, selectors.EVENT_READ, lambda: self._listen(sibling))

    def _become(self, share: Share, line: Line, tally: Tally, mask: Iterable[int]) -> NoReturn:
        """The rest of a new process's life."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)  # there is nothing to stop in order yet
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._wakeup.close()
            self._selector.close()
            for other in self._living.values():
                other.line.close()  # else they would not see our parent's end
            self._in_sibling()
            silent = share.index > 0 or self._deaths > 0
            code = work(self._places, self._settings.divided(share), line, tally, silent=silent)
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(Exception):
                sys.stderr.flush()
            os._exit(code)  # a thread that still waits for a dead server is not waited for

    # --- signals

    @contextmanager
    def _hearing_signals(self) -> Iterator[socket.socket]:
        """A socket that can be read when a signal has come."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        before = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
        wakeup = signal.set_wakeup_fd(theirs.fileno())
        try:
            yield ours
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            ours.close()
            theirs.close()

    def _hear(self) -> None:
        for number in self._wakeup.recv(64):
            if number == signal.SIGUSR1:
                self._tell()
            else:
                self._stop(number)

    def _stop(self, number: int) -> None:
        """Have all stop; at the second time, leave."""
        if self._signal:
            notice("leaving at once: the next worker takes over what was in flight")
            self._kill_at = min(self._kill_at, time.monotonic() + LEAVE_WITHIN)
        else:
            notice("stopping: %g s for what is in flight; again: at once", self._settings.grace)
        self._signal = number
        self._due.clear()
        for sibling in self._living.values():
            sibling.line.order(number)

    # --- what they do

    def _listen(self, sibling: Sibling) -> None:
        for report in sibling.line.reports():
            if isinstance(report, Snapshot):
                sibling.snapshot = report
            elif isinstance(report, Summary):
                sibling.summary = report
            elif isinstance(report, Refusal):
                sibling.refusal = report
            else:
                self._end(sibling)

    def _end(self, sibling: Sibling) -> None:
        """It is gone: in order, or another takes its place."""
        self._selector.unregister(sibling.line)
        sibling.line.close()
        code = os.waitstatus_to_exitcode(os.waitpid(sibling.pid, 0)[1])
        del self._living[sibling.share.index]
        self._past = total([self._past, sibling.tally])
        if sibling.summary is not None:
            self._left += sibling.summary.left if self._signal else 0  # what one left before is taken over
            self._growing.update(sibling.summary.growing)
            self._stuck.update(sibling.summary.stuck)
            self._gave_up |= sibling.summary.gave_up
        if self._signal or self._refusal:
            self._left += sibling.summary is None and code not in _UNHEARD  # nobody says what it had in flight
            return
        if sibling.refusal is not None and not self._deaths:
            self._refuse(sibling.refusal)
        elif sibling.summary is None:
            self._replace(sibling, code)
        elif sibling.summary.signal:
            # Told, and not by us. Where that was to all of us, as systemd does, our own signal comes in an instant.
            self._due[sibling.share.index] = time.monotonic() + FIRST_AGAIN
            self._stopped.add(sibling.share.index)

    def _refuse(self, refusal: Refusal) -> None:
        """At the start that is a fault of the configuration: none can work."""
        self._refusal = refusal
        self._due.clear()
        for sibling in self._living.values():
            sibling.line.order(signal.SIGTERM)

    def _replace(self, sibling: Sibling, code: int) -> None:
        now, done = time.monotonic(), list(self._counts().counts)
        in_a_row = done == self._done_at_death and now - sibling.began < LIVED
        self._deaths = self._deaths + 1 if in_a_row else 1
        self._done_at_death = done
        how, hint = _how(sibling, code), "What it had in work is taken over."
        if code == -signal.SIGKILL:
            hint += " If nobody killed it, the machine was short of memory: see the kernel's log."
        who = sibling.snapshot.worker if sibling.snapshot else ""
        if self._settings.once and self._deaths >= GIVE_UP:
            self._gave_up = True
            self._due.clear()
            warn(f"a worker process {how}; that was the {GIVE_UP}th in a row: no other is started", hint, worker=who)
            return
        delay = min(FIRST_AGAIN * 2.0 ** min(self._deaths - 1, 30), LAST_AGAIN)
        self._due[sibling.share.index] = now + delay
        warn(f"a worker process {how}; another is started in {delay:g} s", hint, worker=who)

    # --- the clock

    def _timeout(self) -> float | None:
        if self._next_summary == float("inf") and self._counts().counts != self._told.counts:
            self._next_summary = time.monotonic() + SUMMARY_EVERY
        due = min([*self._due.values(), self._kill_at, self._next_summary])
        if self._listeners and self._living:
            due = min(due, time.monotonic() + _TICK)
        return max(due - time.monotonic(), 0.0) if due < float("inf") else None

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        for index in [index for index, due in self._due.items() if due <= now]:
            try:
                self._start(index)
            except OSError as error:
                self._due[index] = now + LAST_AGAIN
                warn(f"cannot start a worker process: {error.strerror}", "The others go on; it is tried again.")
            else:
                del self._due[index]
                if index in self._stopped:
                    self._stopped.discard(index)
                    notice("a worker process was told to stop while the others go on: another is started")
        if now >= self._kill_at:
            for sibling in self._living.values():
                os.kill(sibling.pid, signal.SIGKILL)  # our child, and not waited for yet: nobody else has its pid
            self._kill_at = float("inf")
        if now >= self._next_summary:
            self._tell()
        if self._listeners:
            seen = [one.snapshot for one in self._living.values() if one.snapshot]
            if seen:
                snapshot = together(seen, self._counts())
                for listener in self._listeners:
                    listener(snapshot)

    def _tell(self) -> None:
        """The summary of a minute."""
        self._next_summary = float("inf")
        self._told.counts = self._counts().counts
        self._told.tell(sum(len(one.snapshot.in_flight) for one in self._living.values() if one.snapshot))

    # --- all of it

    def _counts(self) -> Tally:
        return total([self._past, *(one.tally for one in self._living.values())])

    def _summary(self) -> Summary:
        tally = self._counts()
        once = self._settings.once
        stuck = tuple(filter(self._is_there, self._stuck))
        growing = tuple(filter(self._is_there, self._growing.difference(stuck)))
        waiting = self._waiting(len(growing) + len(stuck)) if once else 0
        counts = (tally.delivered, tally.failed, tally.deferred, self._left, waiting)
        return Summary(*counts, once, self._signal, growing, self._gave_up, stuck)

    def _is_there(self, name: str) -> bool:
        """Whether it still lies there: a sibling may have waited longer for it."""
        return os.path.lexists(self._places.incoming / name)

    def _waiting(self, given_up: int) -> int:
        """How many items wait for another try, as the places show it: what one left another may have delivered."""
        wanted = self._settings.rules().wanted()
        held = sum(1 for path, holder in workers(self._places) if not holder for _ in items_below(path))
        deferred = sum(1 for _ in items_below(str(self._places.deferred)))
        arrived = sum(map(wanted, items_below(str(self._places.incoming)))) if self._gave_up else given_up
        return held + deferred + arrived


def _how(sibling: Sibling, code: int) -> str:
    """How it ended, for people."""
    if code < 0:
        return f"was ended by signal {-code} ({signal.Signals(-code).name})"
    if sibling.refusal is not None:
        return f"cannot work: {names.printable(sibling.refusal.message)}"
    return f"ended with exit code {code}"
