"""What is kept in ``finished/``, and for how long: the oldest go first, by their change time, which is when they were
retired.

Only items are removed: no dotfile, nothing that is no regular file; and of the directories only those that this has
emptied. Nothing is listed or sorted: files are seen one by one, and where a number of bytes shall stay, the first walk
adds up what there is of each age, so that the second knows what is too old. Directories by date make that cheap: what
is too young by the name of its day is not looked at, and what is too old is removed day by day.

Two that prune at the same time remove the same files. A crash leaves what was not removed yet, and perhaps an empty
directory.
"""

import heapq
import os
import re
import stat
import time
from calendar import timegm
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

from . import fs
from .places import MOVES, Place

MOST_SORTED = 10_000
"""Of files of one age so many are put in order at a time; what is still too much is for the next pass."""
_MOST_AGES = 20_000  # numbers that one walk adds up; beyond, two ages become one
_LAST = 1 << 62  # an age after all
_DAY = re.compile(r"\d{4}-\d\d-\d\d\Z")


@dataclass(frozen=True, slots=True)
class Limit:
    """How much is kept: what is younger than ``age`` seconds, and at most ``bytes`` of it. None: all."""

    age: float | None = None
    bytes: int | None = None

    def __bool__(self) -> bool:
        return self.age is not None or self.bytes is not None


ALL = Limit()
"""No limit."""


@dataclass(slots=True)
class Pruned:
    """What was removed; ``refused``: how often something could not be read or removed, ``error``: the last of that."""

    items: int = 0
    bytes: int = 0
    refused: int = 0
    error: OSError | None = None


Weigh = Callable[[os.stat_result], int]
"""What a file counts against what is to be freed."""


def size_of(found: os.stat_result) -> int:
    """Its bytes, as ``ls -l`` tells them."""
    return found.st_size


def room_of(found: os.stat_result) -> int:
    """The bytes that its removal gives back: none, where it has another name."""
    return found.st_blocks * 512 if found.st_nlink == 1 else 0


def inode_of(found: os.stat_result) -> int:
    """The inodes that its removal gives back."""
    return int(found.st_nlink == 1)


def day_of(seconds: float) -> str:
    """The directory in ``finished/`` of what is retired at this time (seconds since 1970): the day in UTC.

    >>> day_of(0.0)
    '1970-01-01'
    """
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


class Finished:
    """``finished/``, to be pruned. ``by_date``: its directories named as days are ours, and hold what was retired on
    that day; ``pace`` is called for each file that is looked at: it may sleep, and what it raises ends the pass;
    ``now`` gives the time, in seconds since 1970."""

    def __init__(
        self,
        directory: str,
        *,
        by_date: bool = False,
        pace: Callable[[], None] = lambda: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._now = now
        self._by_date = by_date
        self._pace = pace
        self._touched: set[str] = set()
        self._weights: dict[str, int] = {}
        self.pruned = Pruned()
        """What was removed since the last :meth:`prune` or :meth:`free` began."""
        self.in_all = Pruned()
        """What was removed altogether."""

    def prune(self, limit: Limit) -> Pruned:
        """Remove what is beyond the limit; what that was. Raises :class:`OSError` where that cannot be done."""
        self.pruned = Pruned()
        if limit.age is not None:
            self._remove_older(self._now() - limit.age)
        if limit.bytes is not None:
            self._fit(limit.bytes)
        return self.pruned

    def free(self, wanted: int, weigh: Weigh = room_of, *, enough: Callable[[], bool] = lambda: False) -> Pruned:
        """Remove the oldest, until so much was freed, or until it is ``enough`` (which is asked before each); what that
        was. Raises :class:`OSError`."""
        self.pruned = Pruned()
        for part in self._parts():
            if wanted <= 0:
                break
            wanted -= self._trim(part, wanted, weigh, enough)
        return self.pruned

    # --- what is where

    def _days(self) -> list[str]:
        """The directories of days, the oldest first. One that is named after a day to come is no such."""
        if not self._by_date:
            return []
        with os.scandir(self._directory) as entries:
            return sorted(entry.name for entry in entries if self._is_day(entry))

    def _is_day(self, entry: os.DirEntry[str]) -> bool:
        name = entry.name
        is_past = _DAY.match(name) is not None and name <= day_of(self._now())
        return is_past and _exists(name) and entry.is_dir(follow_symlinks=False)

    def _parts(self) -> list[tuple[str, ...]]:
        """What can be pruned one after the other: each day, where all lies in such; else everything at once."""
        days = self._days()
        everything = ("", *days)
        if not days or next(self._files(("",)), None) is not None:
            return [everything]
        return [(day,) for day in days]

    def _files(self, part: Iterable[str]) -> Iterator[tuple[str, os.stat_result]]:
        """The items in these directories; '' is what lies in no day's."""
        for day in part:
            path = f"{self._directory}/{day}" if day else self._directory
            yield from self._below(path, is_root=not day)
            if day and day < day_of(self._now() - 86400):  # nobody is about to retire anything there
                self._touched.add(path)
                self._tidy(path)

    def _below(self, directory: str, *, is_root: bool = False) -> Iterator[tuple[str, os.stat_result]]:
        try:
            entries = os.scandir(directory)
        except (FileNotFoundError, NotADirectoryError):
            return
        except PermissionError as error:
            self._refused(error)
            return
        with entries:
            for entry in entries:
                self._pace()
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if not (is_root and self._by_date and self._is_day(entry)):
                        yield from self._below(entry.path)
                        self._tidy(entry.path)
                    continue
                with suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(found.st_mode):
                        yield entry.path, found

    def _tidy(self, directory: str) -> None:
        """Remove the directory if we have emptied it. Not this day's, where more will come at any instant."""
        if directory not in self._touched:
            return
        self._touched.discard(directory)
        if directory == self._directory or directory == f"{self._directory}/{day_of(self._now())}":
            return
        try:
            if fs.remove_directory(directory):
                self._touched.add(os.path.dirname(directory))
        except PermissionError as error:
            self._refused(error)

    def _refused(self, error: OSError) -> None:
        """One thing that is not ours to remove keeps nothing else."""
        self.pruned.refused += 1
        self.pruned.error = error

    def _remove(self, path: str, found: os.stat_result) -> bool:
        """Whether it was we who removed it."""
        assert (Place.FINISHED, None) in MOVES
        try:
            fs.unlink(path)
        except FileNotFoundError:
            return False  # somebody else prunes as well
        except PermissionError as error:
            self._refused(error)
            return False
        for sum_ in (self.pruned, self.in_all):
            sum_.items += 1
            sum_.bytes += found.st_size
        self._touched.add(os.path.dirname(path))
        return True

    # --- by age

    def _remove_older(self, moment: float) -> None:
        for day in ["", *self._days()]:
            if day and _begin(day) >= moment:
                break
            for path, found in self._files((day,)):
                if found.st_ctime < moment:
                    self._remove(path, found)
            if day:
                self._tidy(f"{self._directory}/{day}")
        self._touched.clear()

    # --- by weight

    def _fit(self, most: int) -> None:
        """Let the newest stay, as many as weigh so much. What stays is counted from the newest on: what somebody else
        removes of the oldest meanwhile changes nothing in that."""
        if self._weight() <= most:
            return
        self._weights.clear()  # what is remembered may be gone: nothing is removed for it
        left: list[tuple[tuple[str, ...], int]] = []
        for part in reversed(self._parts()):
            weight = sum([found.st_size for _, found in self._files(part)])
            if weight > most:
                left.append((part, most))
            most = max(most - weight, 0)
        for part, room in reversed(left):  # the oldest go first, also where this is ended
            self._keep_newest(part, room)

    def _weight(self) -> int:
        """Bytes of all items. Days before yesterday are remembered: nothing is retired there any more."""
        settled, days = day_of(self._now() - 86400), self._days()
        self._weights = {day: weight for day, weight in self._weights.items() if day in days}
        total = 0
        for day in ("", *days):
            weight = self._weights.get(day)
            if weight is None:
                weight = sum([found.st_size for _, found in self._files((day,))])
                if day and day < settled:
                    self._weights[day] = weight
            total += weight
        return total

    def _keep_newest(self, part: tuple[str, ...], most: int) -> None:
        """Remove all of these directories but the newest that weigh so much."""
        ages = _Ages()
        if most > 0:
            for _, found in self._files(part):
                ages.add(found.st_ctime, found.st_size)
        edge, room = ages.down_to(most)
        seen = 0
        oldest = _Oldest()
        for path, found in self._files(part):
            age = ages.of(found.st_ctime)
            if age < edge:
                self._remove(path, found)
            elif age == edge:
                seen += found.st_size
                oldest.add(path, found)
        for path, found in oldest:
            if seen <= room:
                break
            self._remove(path, found)
            seen -= found.st_size  # also where somebody else was faster: it was among those that were seen
        self._tidy_all()

    def _trim(self, part: tuple[str, ...], wanted: int, weigh: Weigh, enough: Callable[[], bool]) -> int:
        """Remove the oldest of these directories until so much is freed; how much was."""
        ages = _Ages()
        for _, found in self._files(part):
            ages.add(found.st_ctime, weigh(found))
        edge = ages.up_to(wanted)
        freed = 0
        oldest = _Oldest()
        for path, found in self._files(part):
            age = ages.of(found.st_ctime)
            if not weigh(found) or age > edge:
                continue  # its removal would free nothing, or it is too young
            if age == edge:
                oldest.add(path, found)
            elif enough():
                return wanted
            else:
                freed += weigh(found) * self._remove(path, found)
        for path, found in oldest:
            if freed >= wanted or enough():
                break
            freed += weigh(found) * self._remove(path, found)
        self._tidy_all()
        return freed

    def _tidy_all(self) -> None:
        while self._touched:
            self._tidy(next(iter(self._touched)))


class _Oldest:
    """The oldest of many files: at most MOST_SORTED, given back in their order."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str, os.stat_result]] = []  # the youngest first

    def add(self, path: str, found: os.stat_result) -> None:
        one = (-found.st_ctime, path, found)
        (heapq.heappushpop if len(self._heap) >= MOST_SORTED else heapq.heappush)(self._heap, one)

    def __iter__(self) -> Iterator[tuple[str, os.stat_result]]:
        for _, path, found in sorted(self._heap, reverse=True):
            yield path, found


class _Ages:
    """How much there is of each age, in bounded memory: the width of an age doubles where there are too many."""

    def __init__(self) -> None:
        self._width = 1
        self._weights: dict[int, int] = {}

    def of(self, ctime: float) -> int:
        return int(ctime) // self._width

    def add(self, ctime: float, weight: int) -> None:
        age = self.of(ctime)
        self._weights[age] = self._weights.get(age, 0) + weight
        if len(self._weights) > _MOST_AGES:
            self._width *= 2
            wider: dict[int, int] = {}
            for narrow, one in self._weights.items():
                wider[narrow // 2] = wider.get(narrow // 2, 0) + one
            self._weights = wider

    def down_to(self, most: int) -> tuple[int, int]:
        """The age of which not all may stay, where all together shall weigh so much, and how much of it may: all that
        is younger stays, all that is older goes."""
        for age in sorted(self._weights, reverse=True):
            if self._weights[age] > most:
                return age, most
            most -= self._weights[age]
        return (-1, 0) if self._weights else (_LAST, 0)

    def up_to(self, wanted: int) -> int:
        """The age of which some, and before which all, must go, for so much to be freed."""
        last = 0
        for age in sorted(self._weights):
            last = age
            wanted -= self._weights[age]
            if wanted <= 0:
                break
        return last


def _exists(day: str) -> bool:
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True


def _begin(day: str) -> float:
    """When it begins, in seconds since 1970."""
    return float(timegm(date.fromisoformat(day).timetuple()))
