"""The census: how many items lie in each place, how large they are, and since when the oldest waits; kept at next to no
cost, also with a million of them.

The places are walked in slices, in a thread of the caller's, for at most a hundredth of the time; a directory that has
not changed since it was walked is not walked again. Between two walks the moves of the workers are added to what was
counted. So the numbers are *about* right while there is traffic, and right when it is quiet.

It needs no worker: where none lives, nothing is added between walks.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from . import names, notes
from .places import Place, Places

SLICE = 0.005
"""Seconds of the processor's time in one go…"""
LONGEST = 0.05
"""…and of any time: a walk that waits for its file system, or for others to let it work, is no less of a guest."""
BUSY_PAUSE, FIRST_PAUSE, QUIET_PAUSE = SLICE * 100, SLICE * 30, SLICE * 5
"""Seconds between two slices of one walk: while there is other work to do (of the first walk, for which somebody waits,
and which has a rest of a hundred times its work behind it), and while there is none."""
REST = 100
"""A place is walked again after so many times as long as its walk took…"""
EVERY = 60.0
"""…and at least so many seconds."""
SOON, SMALL = 1.0, 10_000
"""So many seconds do for a place of fewer items and directories: for ``failed/`` and ``deferred/``, out of which others
take items too and in which each matters, and while there is no other work for all, since the moves that others told
came late."""
_OFTEN = (Place.FAILED, Place.DEFERRED)
MAX_KNOWN = 20_000
"""Directories that are remembered, so as not to walk them again; beyond that they are walked each time."""
MOST_NOTES = 100_000
"""So many notes are read in one walk for when their items arrived (a second's work, in slices as all of it). Few files
need it: one that was last written to after the oldest arrived cannot be older. Of those beyond, it counts since when
they are where they are."""
_NOTED = (Place.WORKING, Place.DEFERRED)
_TICKS = 2_000_000_000  # ns; a directory that changed so shortly before it was read may change again unseen
_BREATH = 64  # entries between two looks at the clock

Moves = Mapping[str, tuple[int, int]]
"""By the name of a place: how many items and bytes were moved into it, less those that were moved out."""


class Held(NamedTuple):
    """What is in one place. ``oldest``: when the oldest came there (seconds since 1970; its change time), in
    ``working/`` and ``deferred/`` when it arrived in ``incoming/``, as its note says; None where there is none. ``at``:
    when it was last counted whole. ``ignored``: files in ``incoming/`` that are no items."""

    items: int
    bytes: int
    oldest: float | None
    at: float
    ignored: int = 0


@dataclass(slots=True)
class _Directory:
    """One directory as it was when it was read: ``changed`` is its modification time (ns), -1 where that cannot be
    relied on; ``below`` its subdirectories."""

    changed: int
    items: int = 0
    bytes: int = 0
    oldest: float = float("inf")
    below: list[str] = field(default_factory=list)
    ignored: int = 0


@dataclass(frozen=True, slots=True)
class _Base:
    """What a walk found, and which moves had been made by then."""

    held: Held
    moved: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Walked:
    """When a place was walked to its end (monotonic), how many seconds that took, and how much there was to walk."""

    at: float
    worked: float
    size: int


class Census:
    """Counts what is in the five places. ``moves()``: what the known workers moved since some time in the past that
    stays the same; it is called in the thread that walks. ``wanted``: which names in ``incoming/`` count (all but
    ignored ones). ``every``: seconds between two walks at the least."""

    def __init__(
        self,
        places: Places,
        moves: Callable[[], Moves] = dict,
        wanted: Callable[[str], bool] = names.is_wanted,
        *,
        every: float = EVERY,
    ) -> None:
        self._directories = {place: str(places.of(place)) for place in Place}
        self._moves = moves
        self._wanted = wanted
        self._every = every
        self._known: dict[Place, dict[str, _Directory]] = {place: {} for place in Place}
        self._base: dict[str, _Base] = {}
        self._walk: Iterator[None] | None = None
        self._walked: dict[Place, _Walked] = {}
        self._is_busy = False
        self._is_known = False
        self._notes_left = 0

    def step(self) -> bool:
        """Go on with the walk for a moment (:data:`SLICE`), or begin one, of the places whose time has come, or where
        it has not, of those that are soon walked; whether it is at its end. Blocks as the file system does: call it in
        a thread, and never in two at a time. Raises nothing for what cannot be read: such a place keeps its last
        count."""
        began, used = time.monotonic(), time.thread_time()
        if self._walk is None:
            due = [place for place in Place if self._due(place) <= began]
            self._walk = self._all(due or [place for place in Place if self._rest(place) <= 2 * SOON])
        for _ in self._walk:
            if time.thread_time() - used > SLICE or time.monotonic() - began > LONGEST:
                return False
        self._walk = None
        self._is_known = True
        return True

    def pause(self, *, busy: bool = False) -> float:
        """Seconds until :meth:`step` is to be called again."""
        self._is_busy = busy
        if self._walk is None:
            return max(min(map(self._due, Place)) - time.monotonic(), 0.0)
        if not busy:
            return QUIET_PAUSE
        return BUSY_PAUSE if self._is_known else FIRST_PAUSE

    def count(self) -> None:
        """A whole walk at once, for those who have all the time."""
        self._walk, self._walked = None, {}
        while not self.step():
            pass

    def held(self, moves: Moves | None = None) -> dict[str, Held]:
        """What is in each place that was counted by now, with ``moves`` (by default: what is known) since."""
        moves = self._moves() if moves is None else moves
        return {place: _moved(base, moves.get(place, (0, 0))) for place, base in list(self._base.items())}

    def found(self) -> tuple[object, ...]:
        """Something that is another when a walk found something else than the one before."""
        return tuple([base.held[:3] for base in list(self._base.values())])

    def _due(self, place: Place) -> float:
        """When the place is to be walked again (monotonic)."""
        return self._walked[place].at + self._rest(place) if place in self._walked else 0.0

    def _rest(self, place: Place) -> float:
        """Seconds between two walks of the place."""
        if (walked := self._walked.get(place)) is None:
            return 0.0
        is_soon = walked.size < SMALL and (place in _OFTEN or not self._is_busy)
        return max(min(SOON, self._every) if is_soon else self._every, REST * walked.worked)

    def _all(self, wanted: Iterable[Place] = Place) -> Iterator[None]:
        for place in wanted:
            worked, began = 0.0, time.monotonic()
            for _ in self._count(place):
                worked += time.monotonic() - began
                yield
                began = time.monotonic()
            ended = time.monotonic()
            size = len(self._known[place]) + (self._base[place.value].held.items if place.value in self._base else 0)
            self._walked[place] = _Walked(ended, worked + ended - began, size)

    def _count(self, place: Place) -> Iterator[None]:
        """Walk one place; a pause at each yield."""
        before, began = self._moves().get(place.value, (0, 0)), time.time()
        total, known = _Directory(0), dict[str, _Directory]()
        self._notes_left = MOST_NOTES
        try:
            for found in self._below(place, self._directories[place], known, began):
                if found is None:
                    yield
                    continue
                total.items += found.items
                total.bytes += found.bytes
                total.ignored += found.ignored
                total.oldest = min(total.oldest, found.oldest)
        except OSError:
            return
        after = self._moves().get(place.value, (0, 0))
        # What came during the walk was not counted. What went was seen before or not: half of it, as we guess.
        moved = (before[0] + min(after[0] - before[0], 0) // 2, before[1] + min(after[1] - before[1], 0) // 2)
        oldest = total.oldest if total.items else None
        self._known[place] = known
        self._base[place.value] = _Base(Held(total.items, total.bytes, oldest, began, total.ignored), moved)

    def _below(
        self, place: Place, root: str, known: dict[str, _Directory], began: float
    ) -> Iterator[_Directory | None]:
        """Each directory below, with what was there when the walk ``began``; None now and then, for breath."""
        before, pending = self._known[place], [root]
        room = MAX_KNOWN - sum(len(others) for other, others in self._known.items() if other is not place)
        while pending:
            path = pending.pop()
            try:
                found = before.get(path)
                changed = os.stat(path).st_mtime_ns
                if found is None or found.changed != changed:
                    found = _Directory(changed if began * 1e9 - changed > _TICKS else -1)
                    for _ in self._read(place, root, path, found, began):
                        yield None
            except (FileNotFoundError, NotADirectoryError):
                continue
            if len(known) < room:
                known[path] = found
            pending += found.below
            yield found
            yield None

    def _read(self, place: Place, root: str, path: str, found: _Directory, began: float) -> Iterator[None]:
        prefix = path[len(root) + 1 :] + "/" if path != root else ""
        with os.scandir(path) as entries:
            for number, entry in enumerate(entries):
                if number % _BREATH == _BREATH - 1:
                    yield
                if entry.name.startswith("."):
                    is_ours = place is not Place.INCOMING or notes.is_note(entry.name)
                    found.ignored += not is_ours and not entry.is_dir(follow_symlinks=False)
                elif entry.is_dir(follow_symlinks=False):
                    found.below.append(entry.path)
                elif place is not Place.INCOMING or self._wanted(prefix + entry.name):
                    try:
                        stat = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if began < stat.st_ctime <= time.time():  # later: the clock was put back
                        continue
                    found.items += 1
                    found.bytes += stat.st_size
                    found.oldest = min(found.oldest, self._since(place, entry.path, stat, found.oldest))
                else:
                    found.ignored += 1

    def _since(self, place: Place, path: str, found: os.stat_result, oldest: float) -> float:
        """Since when it waits, as far as it matters to who knows one of ``oldest``."""
        if place not in _NOTED or not self._notes_left or not notes.may_have_arrived_before(oldest, found):
            return found.st_ctime
        self._notes_left -= 1
        return notes.arrived_at(path, found)


def _moved(base: _Base, moves: tuple[int, int]) -> Held:
    """What was counted, with the moves since. The oldest is taken to be there still while anything is."""
    items = max(base.held.items + moves[0] - base.moved[0], 0)
    if not items:
        return Held(0, 0, None, base.held.at, base.held.ignored)
    size = max(base.held.bytes + moves[1] - base.moved[1], 0)
    return Held(items, size, base.held.oldest, base.held.at, base.held.ignored)
