"""What lies where, for those who only look: counts, bytes and ages by reading the places, without any worker."""

import os
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from . import leases, names, notes, owner, sharing
from .places import Place, Places

AGES = tuple(60.0 * minutes for minutes in (1, 5, 10, 20, 40, 80, 160, 320, 640, 1280))
"""Seconds: the upper ends of the buckets of :func:`ages`, doubling as those of Postfix's qshape(1) do."""
MOST_NAMESAKES = 200
"""So many names in ``incoming/`` are looked at for their namesakes: a fraction of a millisecond each second."""
MOST = 20_000
"""So many notes are read in one place for the newest reasons: a second or so."""

_EFFECTIVE = os.access in os.supports_effective_ids


@dataclass(slots=True)
class Count:
    """What is in one place. ``oldest``: seconds since the oldest item came there, in ``working/`` and ``deferred/``
    since it arrived in ``incoming/``, as its note says; None where there is none. ``closed``: directories below
    ``incoming/`` out of which this process may not rename. ``counted``: seconds since it was counted, where that was
    not now and others' moves were added since. ``ignored``: files in ``incoming/`` that are neither items nor notes of
    ours, which a retried item has beside it there."""

    items: int = 0
    bytes: int = 0
    oldest: float | None = None
    ignored: int = 0
    closed: list[str] = field(default_factory=list)
    counted: float = 0.0

    def add(self, found: os.stat_result, age: float) -> None:
        """Count one more item."""
        self.items += 1
        self.bytes += found.st_size
        self.oldest = max(self.oldest or 0.0, age)


def count(places: Places, known: Mapping[str, Count] | None = None) -> dict[str, Count]:
    """Each place's count, by its name. Reads the directories: a second or so for a million items. ``known``: those that
    need not be read."""
    now = time.time()
    known = known or {}
    return {place.value: known.get(place.value) or _count(str(places.of(place)), place, now) for place in Place}


def ages(places: Places) -> dict[str, list[int]]:
    """By the name of each place, how many of its items are how old, as :class:`Count` tells the oldest's age: for each
    of :data:`AGES` those at most so old and older than the one before, and then those that are older still. Reads all
    directories, and the notes in two of them."""
    now = time.time()
    found = {}
    for place in Place:
        counts = found[place.value] = [0] * (len(AGES) + 1)
        for entry in _files(str(places.of(place))):
            if not _is_ignored(entry.name, place):
                with suppress(FileNotFoundError):
                    since = _since(place, entry.path, entry.stat(follow_symlinks=False))
                    counts[bisect_left(AGES, now - since)] += 1
    return found


def _is_ignored(name: str, place: Place) -> bool:
    return names.is_ignored(name) if place is Place.INCOMING else name.startswith(".")


def _count(directory: str, place: Place, now: float) -> Count:
    total = Count()
    for entry in _files(directory, total.closed if place is Place.INCOMING else None):
        if _is_ignored(entry.name, place):
            total.ignored += place is Place.INCOMING and not notes.is_note(entry.name)
            continue
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        matters = total.oldest is None or notes.may_have_arrived_before(now - total.oldest, found)
        total.add(found, now - (_since(place, entry.path, found) if matters else found.st_ctime))
    return total


def _since(place: Place, path: str, found: os.stat_result) -> float:
    """When an item came to its place (its change time tells the rename), or where it lies undelivered after a try, when
    it arrived."""
    return notes.arrived_at(path, found) if place in (Place.WORKING, Place.DEFERRED) else found.st_ctime


def _files(directory: str, closed: list[str] | None = None) -> Iterator[os.DirEntry[str]]:
    """All files below; where asked for, the directories that let nobody like us rename are collected."""
    if closed is not None and not os.access(directory, os.W_OK | os.X_OK, effective_ids=_EFFECTIVE):
        closed.append(directory)
    try:
        entries = os.scandir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                yield entry
            elif not entry.name.startswith("."):
                yield from _files(entry.path, closed)


@dataclass(frozen=True, slots=True)
class Trouble:
    """An item that failed or waits, and why. ``since`` (the last attempt), ``due`` and ``arrived`` (in ``incoming/``; 0
    where that is not known): seconds since 1970."""

    name: str
    place: str
    error: str
    hint: str
    since: float
    attempts: int
    due: float
    arrived: float = 0.0


def troubles(places: Places, most: int = 10) -> list[Trouble]:
    """The newest items with a reason, in failed/, deferred/ and working/, the newest first; at most ``most``. Of a
    place with very many it looks at the first :data:`MOST` that the directory names."""
    found: list[Trouble] = []
    for place in (Place.FAILED, Place.DEFERRED, Place.WORKING):
        directory = str(places.of(place))
        paths = islice((entry.path for entry in _files(directory) if not entry.name.startswith(".")), MOST)
        found += [one for path in paths if (one := _trouble(path, directory, place)) is not None]
        found = sorted(found, key=lambda one: -one.since)[:most]
    return found


def _trouble(path: str, directory: str, place: Place) -> Trouble | None:
    try:
        note = notes.read(path, os.lstat(path))
    except FileNotFoundError:
        return None
    if note is None or not note.error:
        return None
    if place is Place.WORKING and note.started:
        return None  # it is tried again at this moment
    name = names.encode(os.path.relpath(path, directory)) if place is not Place.WORKING else note.name
    due = notes.due_at(path) if place is Place.DEFERRED else 0.0
    return Trouble(name, place.value, note.error, note.hint, note.at, note.attempts, due, note.arrived)


def deadly(places: Places, most: int = 1000) -> Iterator[tuple[str, int]]:
    """The items in ``working/`` with which more than one worker died: the name (as :func:`.names.encode` writes it) and
    how many did. At most ``most`` notes are read. Raises :class:`OSError`."""
    for directory, _ in islice(workers(places), most):
        for name in islice(owner.items_below(directory), most):
            path = os.path.join(directory, name)
            with suppress(FileNotFoundError):
                note = notes.read(path, os.lstat(path))
                if note is not None and note.adoptions > 1:
                    yield note.name, note.adoptions


def namesakes(places: Places) -> list[str]:
    """The names (as :func:`.names.encode` writes them) of items in ``incoming/`` that wait because ``deferred/`` has
    one of their name; of the first :data:`MOST_NAMESAKES` that the directory names."""
    found = islice(owner.items_below(str(places.incoming)), MOST_NAMESAKES)
    return [names.encode(name) for name in found if os.path.lexists(os.path.join(places.deferred, name))]


def workers(places: Places) -> Iterator[tuple[str, str]]:
    """The directories of the workers in ``working/``, and the name of the worker that holds each: its own, its
    adopter's, or '' where it is dead and not adopted yet."""
    for path in _worker_directories(places):
        yield path, sharing.holder(path)


def backlog(places: Places, most: int = 10_000) -> int:
    """How many items lie in ``incoming/``, counted up to ``most``."""
    total = 0
    for entry in _files(str(places.incoming)):
        total += not names.is_ignored(entry.name)
        if total >= most:
            break
    return total


def lying(places: Places) -> Iterator[tuple[Place, str, int]]:
    """What is still to be delivered: the place, the name and the inode of each item, in the order of its way. One that
    moves meanwhile may come twice; one that goes back, not at all."""
    for name, inode in _items(str(places.incoming)):
        if names.is_wanted(name):
            yield Place.INCOMING, name, inode
    for path in _worker_directories(places):
        for name, inode in _items(path):
            yield Place.WORKING, name, inode
    for name, inode in _items(str(places.deferred)):
        yield Place.DEFERRED, name, inode


def _worker_directories(places: Places) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(places.working), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        if not entry.is_dir(follow_symlinks=False):
            continue
        if leases.owner_of(entry.name) or os.path.exists(os.path.join(entry.path, owner.LOCK)):
            yield entry.path


def _items(directory: str) -> Iterator[tuple[str, int]]:
    """As :func:`.owner.items_below`, each with its inode."""
    return ((name, entry.inode()) for name, entry in owner.entries_below(directory))
