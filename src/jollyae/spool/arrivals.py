"""Which names in ``incoming/`` to look at next. The directory is the truth, an event only a hint.

One scandir cursor is kept open and walked on, and restarted at its end when a hint was lost or the watch's interval is
over. Hinted names, names that were not ready at the last look, and the cursor take turns, so none starves. Nothing is
sorted or listed whole: with a million names waiting, the next one costs what it costs with ten.

Workers that are siblings (one parent started them on one spool) see the same names in the same order, and would race
for each. So each prefers the names that are *its own*, by a function that says yes in one of them only; it takes the
others' when a scan has no more of its own, or when they still lie there a moment after their hint. A sibling that is
busy or dead thus costs latency; it never leaves anything lying.
"""

import errno
import heapq
import os
import time
from collections import deque
from collections.abc import Callable, Iterator

import msgspec

from . import names, notes, owner
from .watch import Hint, Kind, Watch

MAX_HINTS = 100_000
"""Hints kept in memory; what comes on top is found by the scan that its loss causes."""
MAX_UNREADY = 10_000
"""Names waiting to be looked at again; what comes on top is found by the next scan."""

LEAVE = 0.05
"""Seconds that a name of which a hint came is left to the sibling whose own it is."""
LEAVE_DEFERRED = 1.0
"""The same for what is due in ``deferred/``, where taking costs a note."""
PASSED_IN_A_ROW = 256
"""A scan that passed so many names of siblings in a row is where they are behind: it helps them."""

LONGEST = 7200.0
"""Seconds; no deferral is so long (an hour and a fifth, worker/retry.py). What is due later was deferred before the
clock was put back, by a day or by years: it is due now."""

ROOT_AGAIN = 1.0
"""Seconds until ``incoming/`` is looked for again when it could not be read."""


class Candidate(msgspec.Struct, frozen=True):
    """A name to look at. ``renamed``: the watcher saw it renamed in (door 1); ``regular``: the directory said that it
    is a regular file."""

    name: str
    renamed: bool = False
    regular: bool = False


class Arrivals:
    """Names below ``incoming`` in fair order. ``wanted`` says of a name whether it is an item here at all, ``own``
    whether it is this worker's rather than a sibling's (None: all are)."""

    def __init__(
        self, incoming: str, watch: Watch, wanted: Callable[[str], bool], own: Callable[[str], bool] | None = None
    ) -> None:
        self._incoming = incoming
        self._watch = watch
        self._wanted = wanted
        self._own = own
        self._left: deque[tuple[float, Candidate]] = deque()  # hints of siblings' names, and when to look at them
        self._below = ""  # where the cursor began
        self._passed = 0  # names of siblings that this scan has passed over
        self._passed_in_a_row = 0
        self._helping = False  # the scan is at its second round, in which all names count
        self._hints: deque[Candidate] = deque()
        self._cursor: Iterator[Candidate] | None = None
        self._directories: deque[str] = deque()
        self._again = True
        self._dropped = False  # a name was not kept, for want of room: the next scan finds it
        self._next_scan = 0.0
        self._unready: list[tuple[float, str]] = []
        self._unready_names: dict[str, bool] = {}
        self._turn = 0
        self._heard = 0  # in halves: a file that is copied in is told of twice, when made and when closed
        self.problem = ""
        """Why ``incoming/`` could not be read at the last scan; '' when it could."""
        self.unread_since = 0.0
        """Since when (seconds since 1970) it could not be; 0 when it could."""

    def wake(self) -> bool:
        """Take in what the watch has to tell; whether any of it is for the operator's controls."""
        control = False
        for hint in self._watch.read():
            control |= hint.kind is Kind.CONTROL
            self._take(hint)
        return control

    def _take(self, hint: Hint) -> None:
        if hint.kind is Kind.OVERFLOW:
            self._again = True
        elif hint.kind is Kind.DIRECTORY:
            if not names.is_hidden(hint.name):
                self._directories.append(hint.name)
        elif hint.kind is not Kind.CONTROL and self._wanted(hint.name):
            candidate = Candidate(hint.name, hint.kind is Kind.RENAMED)
            if self._own is not None and not self._own(hint.name):
                self._leave(candidate)
            elif len(self._hints) >= MAX_HINTS:
                self._again = True
            else:
                self._heard += 2 if candidate.renamed else 1
                self._hints.append(candidate)

    @property
    def heard(self) -> int:
        """Of how many files the watch told, about, siblings' own not counted."""
        return self._heard // 2

    def _leave(self, candidate: Candidate) -> None:
        if len(self._left) < MAX_UNREADY:
            self._left.append((time.monotonic() + LEAVE, candidate))
        else:
            self._drop(1.0)

    def _drop(self, seconds: float) -> None:
        """A name is not kept: a scan that is due so soon finds it."""
        self._dropped = True
        self._next_scan = min(self._next_scan, time.monotonic() + seconds)

    def again(self, name: str, seconds: float, *, renamed: bool = False) -> None:
        """Look at ``name`` again in so many seconds, a sibling's a moment later."""
        if self._own is not None and not self._own(name):
            seconds += LEAVE
        if name in self._unready_names:
            self._unready_names[name] |= renamed
        elif len(self._unready_names) < MAX_UNREADY:
            self._unready_names[name] = renamed
            heapq.heappush(self._unready, (time.monotonic() + seconds, name))
        else:
            self._drop(max(seconds, 1.0))

    @property
    def unready(self) -> int:
        """How many names wait to be looked at again."""
        return len(self._unready_names)

    def waiting(self) -> bool:
        """Whether any name known here is still to be looked at, now or later."""
        known = self._hints or self._left or self._unready_names or self._directories or self._cursor
        return bool(known or self._again or self._dropped)

    def next(self) -> Candidate | None:
        """The next name to look at; None when there is nothing to do before :meth:`next_due` or the next wake."""
        if not self._hints and not self._unready:
            return self._next_scanned() or self._next_left()
        sources = (self._next_hint, self._next_unready, self._next_scanned)
        for shift in range(len(sources)):
            candidate = sources[(self._turn + shift) % len(sources)]()
            if candidate is not None:
                self._turn += 1
                return candidate
        return self._next_left()

    def next_due(self) -> float:
        """When (monotonic) there is something to look at even without a wake."""
        due = self._next_scan
        for queue in (self._unready, self._left):
            if queue:
                due = min(due, queue[0][0])
        return due

    def _next_hint(self) -> Candidate | None:
        return self._hints.popleft() if self._hints else None

    def _next_left(self) -> Candidate | None:
        """A name that a sibling has not taken by now, as far as we know. It comes last: only who is idle helps."""
        if not self._left or self._left[0][0] > time.monotonic():
            return None
        return self._left.popleft()[1]

    def _next_unready(self) -> Candidate | None:
        if not self._unready or self._unready[0][0] > time.monotonic():
            return None
        _, name = heapq.heappop(self._unready)
        return Candidate(name, self._unready_names.pop(name))

    def _next_scanned(self) -> Candidate | None:
        while True:
            if self._cursor is None and not self._start_scan():
                return None
            assert self._cursor is not None
            for candidate in self._cursor:
                name = candidate.name
                if name not in self._unready_names and (self._own is None or not self._is_left(name)):
                    return candidate
            self._helping = self._passed > 0
            self._passed = self._passed_in_a_row = 0
            self._cursor = self._walk(self._below) if self._helping else None

    def _is_left(self, name: str) -> bool:
        """Whether a scanned name is left to a sibling for now. Not where none of the last names was our own: then all
        of ours are taken there, and passing over a million names would hold the event loop."""
        if self._own is None or self._helping:
            return False
        if self._own(name):
            self._passed_in_a_row = 0
            return False
        self._passed_in_a_row += 1
        if self._passed_in_a_row > PASSED_IN_A_ROW:
            return False
        self._passed += 1
        return True

    def _start_scan(self) -> bool:
        if self._directories:
            self._below = self._directories.popleft()
            self._cursor = self._walk(self._below)
            return True
        now = time.monotonic()
        if not self._again and now < self._next_scan:
            return False
        self._again = self._dropped = False
        self._next_scan = now + self._watch.interval
        self.problem = self._below = ""
        self._cursor = self._walk("")
        return True

    def _walk(self, directory: str) -> Iterator[Candidate]:
        """The wanted names below ``directory``. Each directory is watched before it is read: what comes between is
        then seen twice rather than never. Not by recursion: a producer may make trees deeper than Python's stack."""
        pending, wanted = [directory], self._wanted
        while pending:
            below = pending.pop()
            self._watch.add(below)
            # No watch may have been left for it: then it is polled from now on.
            self._next_scan = min(self._next_scan, time.monotonic() + self._watch.interval)
            try:
                with os.scandir(os.path.join(self._incoming, below)) as entries:
                    if not below:
                        self.unread_since = 0.0
                    for entry in entries:
                        name = entry.name
                        if name.startswith("."):
                            continue
                        if below:
                            name = f"{below}/{name}"
                        if entry.is_file(follow_symlinks=False):
                            if wanted(name):
                                yield Candidate(name, False, True)
                        elif entry.is_dir(follow_symlinks=False):
                            pending.append(name)
                        elif wanted(name):
                            yield Candidate(name)
            except OSError as error:
                if below and error.errno in (errno.ENOENT, errno.ENOTDIR):
                    continue  # gone since it was listed
                self.problem = f"{error.strerror}: {names.show(str(error.filename or below))}"
                if not below:
                    self.unread_since = self.unread_since or time.time()
                    self._next_scan = min(self._next_scan, time.monotonic() + ROOT_AGAIN)


class Deferred:
    """Which items in ``deferred/`` are due, found by walking it with stat; how many there are does not matter.
    ``own`` as for :class:`Arrivals`."""

    def __init__(self, directory: str, own: Callable[[str], bool] | None = None) -> None:
        self._directory = directory
        self._own = own
        self._cursor: Iterator[tuple[str, float]] | None = None
        self._next_walk = 0.0
        self._asked = True
        self._earliest = float("inf")
        self._began = 0.0
        self.next_attempt = 0.0
        """When the first is due (seconds since 1970), as the last walk saw it; 0 where there is none."""

    def wake(self) -> None:
        """Somebody may have made items due."""
        self._next_walk = 0.0
        self._asked = True

    @property
    def looked(self) -> bool:
        """Whether a whole walk was made since the start and the last wake: what was due then has been given."""
        return self._cursor is None and not self._asked

    @property
    def earliest(self) -> float:
        """When the first of those is due that the last walk saw, or that were deferred since: seconds since 1970,
        infinite where there is none. What is due was given."""
        return self._earliest if self._cursor is None else time.time()

    def note(self, due: float) -> None:
        """An item was deferred until ``due`` (seconds since 1970)."""
        self._earliest = min(self._earliest, due)
        self._next_walk = min(self._next_walk, time.monotonic() + max(due - time.time(), 0.0))
        self.next_attempt = min(self.next_attempt or due, due)

    def next_due(self) -> float:
        """When (monotonic) to look again."""
        return self._next_walk

    def next(self, until: float | None = None) -> str | None:
        """The next due item's name, or None when none is due before :meth:`next_due`. ``until``: only those that were
        due at that time (seconds since 1970)."""
        if self._cursor is None:
            if time.monotonic() < self._next_walk:
                return None
            self._began, self._earliest = time.monotonic(), float("inf")
            self._next_walk = float("inf")
            self._asked = False
            self._cursor = self._walk()
        now = time.time() if until is None else until
        for name, due in self._cursor:
            if until is None and self._own is not None and not self._own(name):
                due += LEAVE_DEFERRED
            if due <= now or due > now + LONGEST:
                return name
            self._earliest = min(self._earliest, due)
        self._cursor = None
        self.next_attempt = self._earliest if self._earliest < float("inf") else 0.0
        self._plan()
        return None

    def _plan(self) -> None:
        """The next walk is when the earliest is due, and so rarely that walking stays under a twentieth of the time."""
        now = time.monotonic()
        pause = max(self._earliest - time.time(), 20 * (now - self._began), 0.05)
        self._next_walk = min(self._next_walk, now + min(pause, 30.0))

    def _walk(self) -> Iterator[tuple[str, float]]:
        for name in owner.items_below(self._directory):
            yield name, notes.due_at(os.path.join(self._directory, name))
