"""Is everything delivered that was there when somebody asked? Looks at the places, the receipts and ``failed/``; asks
no worker and changes nothing.
"""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from ..spool import names, notes, owner, survey
from ..spool.places import Place, Places
from ..worker import receipts

EVERY = 0.1
"""Seconds between two looks…"""
SHARE = 20
"""…or so many times as long as a look takes: it may use a twentieth of a processor."""
WITHOUT_WORKER = 3.0
"""Seconds without a worker after which nobody is waited for any more; one that died is started again in this time."""
_LOOK_FOR_WORKER = 1.0  # seconds; to look at a dead worker's lock may keep another from taking over in that instant
_PROVED_SINCE = 3600.0
"""Receipts that are so many seconds older than the question count too: on a full disk an item may go late."""

DRAINED, FAILED, WAITING, ABSENT = "drained", "failed", "timeout", "no worker"
"""What came of the waiting."""
Item = tuple[str, int]
"""An item's name and its file's inode: one that comes later under the same name is another."""


@dataclass(frozen=True, slots=True)
class Drained:
    """What became of the items. ``failed`` and ``gone`` (neither delivered nor failed: somebody took them away) by
    name; ``waiting``: how many were still to be delivered, and ``first`` of them."""

    outcome: str
    asked: int
    delivered: int
    failed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    waiting: int = 0
    first: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 all delivered, 1 some failed or are gone, 75 some wait."""
        if self.outcome in (WAITING, ABSENT):
            return os.EX_TEMPFAIL
        return 1 if self.failed or self.gone else 0


class Drain:
    """What lies in ``incoming/``, ``working/`` and ``deferred/`` as of now: some 200 bytes of memory each."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._asked_at = time.time()
        self._began = time.monotonic()
        self.items: set[Item] = set()
        self.counts = dict.fromkeys((Place.INCOMING, Place.WORKING, Place.DEFERRED), 0)
        for place, name, inode in survey.lying(places):
            if (name, inode) not in self.items:  # it moved on while we looked
                self.items.add((name, inode))
                self.counts[place] += 1
        # Where they are copied from place to place, the inode changes on the way, and the name is all there is.
        self._is_copied = len({os.stat(places.of(place)).st_dev for place in self.counts}) > 1
        self._names = {name for name, _ in self.items} if self._is_copied else set()

    def wait(self, timeout: float = math.inf, sleep: Callable[[float], None] = time.sleep) -> Drained:
        """Wait until none of them is there any more; no longer than ``timeout`` seconds, nor without a worker."""
        until = self._began + timeout
        absent_since, look_at = math.inf, 0.0
        seen_none = False
        while self.items:
            began = time.monotonic()
            if next(self._still_there(), None) is None:
                if seen_none:  # twice: one that moves between two places may be missed once
                    break
                seen_none = True
            else:
                seen_none = False
                if began >= look_at:
                    look_at = began + _LOOK_FOR_WORKER
                    absent_since = math.inf if self._has_worker() else min(absent_since, began)
                if began - absent_since >= WITHOUT_WORKER:
                    return self._unfinished(ABSENT)
            now = time.monotonic()
            if now >= until:
                return self._unfinished(WAITING)
            pause = EVERY if seen_none else max(EVERY, SHARE * (now - began))
            sleep(min(pause, max(until - now, 0.0) + 0.001))
        return self._finished()

    def _has_worker(self) -> bool:
        return any(holder for _, holder in survey.workers(self._places))

    def _still_there(self) -> Iterator[Item]:
        for _, name, inode in survey.lying(self._places):
            if (name, inode) in self.items or (self._is_copied and name in self._names):
                yield name, inode

    def _unfinished(self, outcome: str) -> Drained:
        there = {one for one in self._still_there() if one in self.items}
        failed, gone = self._not_delivered(self.items - there)
        done = len(self.items) - len(there) - len(failed) - len(gone)
        first = sorted(names.encode(name) for name, _ in there)[:10]
        return Drained(outcome, len(self.items), done, failed, gone, len(there), first, self._seconds())

    def _finished(self) -> Drained:
        failed, gone = self._not_delivered(self.items)
        outcome = FAILED if failed or gone else DRAINED
        done = len(self.items) - len(failed) - len(gone)
        return Drained(outcome, len(self.items), done, failed, gone, seconds=self._seconds())

    def _seconds(self) -> float:
        return round(time.monotonic() - self._began, 3)

    # --- what became of them

    def _not_delivered(self, left: set[Item]) -> tuple[list[str], list[str]]:
        """Of those that are not there any more: who failed, and of whom nothing is known."""
        unproved = {one for one in left if not self._is_finished(one)}
        failed = self._failed(unproved) if unproved else set()
        unproved -= failed
        if unproved:
            delivered = self._delivered()
            unproved = {one for one in unproved if one[0] not in delivered}
        return sorted(names.encode(name) for name, _ in failed), sorted(names.encode(name) for name, _ in unproved)

    def _is_finished(self, one: Item) -> bool:
        name, inode = one
        try:
            return os.lstat(self._places.finished / name).st_ino == inode
        except (OSError, ValueError):
            return False

    def _failed(self, among: set[Item]) -> set[Item]:
        found = set()
        wanted = {name for name, _ in among}
        directory = str(self._places.failed)
        for name in owner.items_below(directory):
            path = f"{directory}/{name}"
            with suppress(OSError):
                inode = os.lstat(path).st_ino
                first = name
                if name not in wanted and "~" in name and (note := notes.read(path)) is not None:
                    first = names.decode(note.name)  # its name was taken there
                if (first, inode) in among:
                    found.add((first, inode))
                elif self._is_copied and first in wanted:
                    found |= {one for one in among if one[0] == first}
        return found

    def _delivered(self) -> set[str]:
        """The names of which there is a receipt. Where those cannot be read, nobody is called gone for it."""
        try:
            since = self._asked_at - _PROVED_SINCE
            return {names.decode(str(one.get("name"))) for one in receipts.read(self._places.receipts, since)}
        except OSError:
            return {name for name, _ in self.items}
