"""Litter that crashes leave in the places: notes whose item is elsewhere, and temporary files of ours; and, where it is
asked for, directories that producers left empty.

It is harmless (no item is a dotfile) and rare, so it is swept only when it is an hour old: a note is written before
its item's move, and a submit may wait for its bytes.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress

from . import fs, names, notes
from .places import Places

AGE = 3600.0
"""Seconds after which litter is litter."""

_TEMPORARY = re.compile(r"\.jollyae-[0-9a-f]{16}\.tmp\Z")
_HASHED = re.compile(r"\.[0-9a-f]{32}\.note\Z")


def sweep(places: Places, age: float = AGE) -> int:
    """Remove what is older than ``age`` seconds; how many files that were. Never raises for what it cannot read."""
    directories = [str(place) for place in places.for_items()]
    for place in (places.deferred, places.failed):
        with suppress(OSError):
            directories += fs.directories_below(str(place))
    return sum(_sweep_directory(directory, age) for directory in directories)


def _sweep_directory(directory: str, age: float) -> int:
    swept = 0
    with suppress(OSError):
        for path in list(_litter(directory, time.time() - age)):
            fs.discard(path)
            swept += 1
    return swept


def _litter(directory: str, limit: float) -> Iterator[str]:
    hashed: set[str] | None = None
    with os.scandir(directory) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                continue  # no litter; of these there may be a million
            is_temporary, is_note = _TEMPORARY.match(entry.name), notes.is_note(entry.name)
            # ctime: the mtime of a note is when its item is due
            if not (is_temporary or is_note) or entry.stat(follow_symlinks=False).st_ctime > limit:
                continue
            if is_temporary:
                if _is_abandoned(entry.path):
                    yield entry.path
            elif _HASHED.match(entry.name):
                hashed = _hashed_names(directory) if hashed is None else hashed
                if entry.name not in hashed:
                    yield entry.path
            elif not os.path.lexists(os.path.join(directory, entry.name[1 : -len(notes.SUFFIX)])):
                yield entry.path


def _hashed_names(directory: str) -> set[str]:
    """The file names of the notes that the items with very long names in ``directory`` would have."""
    longest = names.MAX_COMPONENT - len(notes.SUFFIX) - 1
    with os.scandir(directory) as entries:
        long = [entry.path for entry in entries if len(os.fsencode(entry.name)) > longest]
    return {os.path.basename(notes.path_of(path)) for path in long}


def _is_abandoned(path: str) -> bool:
    """Whether nobody is writing this temporary file (submit holds its lock)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return fs.try_lock(descriptor, shared=True)
    except OSError:
        return True
    finally:
        os.close(descriptor)


def prune_empty(directory: str, age: float) -> None:
    """Remove directories below ``directory`` that are empty and were not changed for ``age`` seconds."""
    limit = time.time() - age
    for path in fs.directories_below(directory):
        with suppress(OSError):
            if os.stat(path).st_mtime < limit:
                fs.remove_directory(path)
