"""Notes: what is known about an item beyond its file, in a small JSON file beside it.

A note lies beside its item wherever that is, as ``.NAME.note``; it is written before the item's move into that place
and removed after its move out of it, so an item that has one is never without. Most items never get one. Losing a note
costs an early retry, never an item, a key or a byte. A note that does not fit the file beside it (inode, size,
modification time) is nobody's and is ignored.

The note's own modification time is when a deferred item is due: looking for due items needs stat, not JSON, and
``ls -l`` shows it.
"""

import errno
import hashlib
import os
import time
from typing import Any

import msgspec

from . import fs, names

SUFFIX = ".note"
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


class Note(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What is remembered of one item. Times are seconds since 1970."""

    name: str
    """The item's first name, as :func:`names.encode` writes it (in ``failed/`` it may bear a suffix)."""
    inode: int
    size: int
    mtime_ns: int
    arrived: float = 0.0
    """When its file got its place in ``incoming/`` (ctime at the first claim)."""
    attempts: int = 0
    """How often it was tried."""
    deferrals: int = 0
    """How often it was deferred: what it met in its destination's pauses does not make its own delays longer."""
    adoptions: int = 0
    """How often a worker died while it worked on this."""
    started: bool = False
    """Being worked on since this note was written: if the worker is dead now, it died with it."""
    at: float = 0.0
    """When ``error`` happened."""
    error: str = ""
    hint: str = ""
    source: str = ""
    """The URL of the object that it is made of, where it came from a broker."""
    is_message: bool = False
    """It is no item but the bytes of a broker's message that nobody could read: there is nothing to try again."""
    superseded: dict[str, Any] = {}
    """What was delivered of an older state of the file: its object may be replaced."""
    memory: dict[str, Any] = {}
    """The processor's own (S3: the state of a multipart upload)."""

    def fits(self, found: os.stat_result) -> bool:
        """Whether this note is about the file of which ``found`` is the stat."""
        return (self.inode, self.size, self.mtime_ns) == (found.st_ino, found.st_size, found.st_mtime_ns)

    def blame(self, error: str, hint: str) -> None:
        """It was tried, for nothing."""
        self.attempts += 1
        self.error, self.hint, self.at = error, hint, time.time()


_decoder = msgspec.json.Decoder(Note)


def is_note(name: str) -> bool:
    """Whether a file of this name is a note of ours, as far as a name tells.

    >>> is_note(".a.jpg.note"), is_note("a.note"), is_note(".hidden")
    (True, False, False)
    """
    return name.startswith(".") and name.endswith(SUFFIX)


def path_of(item: str) -> str:
    """The path of the note beside the item at path ``item``.

    >>> path_of("/spool/failed/a/b.jpg")
    '/spool/failed/a/.b.jpg.note'
    """
    directory, _, name = item.rpartition("/")
    note = f".{name}{SUFFIX}"
    if len(os.fsencode(note)) > names.MAX_COMPONENT:
        note = f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}{SUFFIX}"
    return f"{directory}/{note}"


def about(name: str, found: os.stat_result) -> Note:
    """A new note about the item ``name`` with stat ``found``."""
    return Note(name=names.encode(name), inode=found.st_ino, size=found.st_size, mtime_ns=found.st_mtime_ns)


def write(item: str, note: Note, *, within: str = "", due: float | None = None, durable: bool = False) -> None:
    """Write the note of the item at path ``item`` (which need not be there yet). ``within``: as for
    :func:`.fs.make_parent`; ``due``: seconds since 1970."""
    path = path_of(item)
    data = msgspec.json.format(msgspec.json.encode(note), indent=1) + b"\n"
    try:
        fs.write_beside(path, data, mtime=due, durable=durable)
    except FileNotFoundError:
        fs.make_parent(path, within)
        fs.write_beside(path, data, mtime=due, durable=durable)


def write_if_room(item: str, note: Note, *, within: str = "") -> None:
    """:func:`write` it, if it can be: a full disk, or one that takes no writes, costs the note and not the item. Raises
    every other :class:`OSError`."""
    try:
        write(item, note, within=within)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise


def read(item: str, found: os.stat_result | None = None) -> Note | None:
    """The note of the item at path ``item``; None where there is none, or where it is about another file than
    ``found`` (by default: the file that is there)."""
    try:
        with open(path_of(item), "rb") as file:
            note = _decoder.decode(file.read())
        return note if note.fits(found or os.lstat(item)) else None
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError, msgspec.DecodeError):
        return None


def arrived_at(item: str, found: os.stat_result) -> float:
    """When the item at path ``item``, of which ``found`` is the stat, arrived (seconds since 1970): as its note says;
    without one, when it came to where it is."""
    note = read(item, found)
    return min(note.arrived, found.st_ctime) if note is not None and note.arrived else found.st_ctime


def may_have_arrived_before(moment: float, found: os.stat_result) -> bool:
    """Whether the note of an item with stat ``found`` is worth a look for who wants the oldest: a file was last written
    to before it arrived, unless somebody set that time. (One that was written to when it had been taken already may be
    passed over: then it is younger by that.)"""
    return found.st_mtime < moment or found.st_mtime > found.st_ctime


def forget(item: str) -> None:
    """Remove the note of the item at path ``item``, if there is one."""
    fs.discard(path_of(item))


def due_at(item: str) -> float:
    """When the deferred item at path ``item`` is due, in seconds since 1970; 0 (now) where its note is lost."""
    try:
        return os.stat(path_of(item)).st_mtime
    except FileNotFoundError:
        return 0.0


def make_due(item: str) -> None:
    """Make the deferred item at path ``item`` due now."""
    try:
        os.utime(path_of(item))
    except FileNotFoundError:
        return  # without a note it is due anyway
