"""A worker's own directory in ``working/``, and the kernel lock that proves its owner alive.

A worker makes ``working/.new-X/``, locks ``.lock`` in it, and only then renames it to ``working/HOST-PID-X/``: a
published directory is locked or its owner is dead. Whoever gets that lock later *is* the owner: adoption moves nothing.
No pid is believed, no age is a limit. An adopter writes its name into ``.lock``, so that those who only look
do not take the dead worker for a live one.
"""

import errno
import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Protocol

from . import fs

LOCK = ".lock"
_NEW = ".new-"
_TRIES = 10  # each is lost only to a worker that looks for dead ones in that very instant
_PUBLISHED = re.compile(r".+-\d+-[0-9a-f]{8}\Z")


def hostname() -> str:
    """This host's name, in a form that can be part of a file name."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", socket.gethostname()).lstrip(".")[:60] or "host"


class Owner:
    """One directory in ``working/`` whose lock this process holds."""

    proof = LOCK
    """The file in it that proves its owner alive."""
    lost = False
    """Whether it is somebody else's by now."""

    def __init__(self, path: str, lock: int) -> None:
        self.path = path
        self.lock = lock
        self.name = os.path.basename(path)
        """HOST-PID-X: the worker's name in receipts and logs."""

    def __repr__(self) -> str:
        return f"<Owner {self.name}>"

    def is_fresh(self) -> bool:
        """Whether :attr:`lost` can be believed: a lock is not lost unnoticed, but a lease runs out."""
        return True

    def items(self) -> Iterator[str]:
        """The names of the items that lie here."""
        yield from items_below(self.path)

    def prune(self) -> None:
        """Remove directories below that hold nothing (left by items with subdirectories in their names)."""
        for directory in fs.directories_below(self.path):
            fs.remove_directory(directory)

    def renew(self) -> None:
        """Make the directory again, under its name, where it is gone: a server of NFS may forget our lock, and whoever
        gets it then takes us for dead, finishes what lies here and removes it. Raises :class:`OSError`."""
        try:
            os.lstat(self.path)
        except FileNotFoundError:
            made = publish(os.path.dirname(self.path), self.name)
            os.close(self.lock)
            self.lock = made.lock

    def remove(self) -> bool:
        """Give the directory up if no item is in it: notes without items and states go, the lock last. Whether it is
        gone. The descriptor is closed in either case."""
        try:
            if next(self.items(), None) is not None:
                return False
            self._remove_files()
            gone = fs.remove_directory(self.path)
        finally:
            os.close(self.lock)
        # NFS gives a file that is removed while it is open another name until it is closed: the lock was in the way.
        return gone or fs.remove_directory(self.path)

    def _remove_files(self) -> None:
        """All that is no item, the proof of life last."""
        proof = os.path.join(self.path, self.proof)
        for directory in (*fs.directories_below(self.path), self.path):
            with os.scandir(directory) as entries:
                files = [entry.path for entry in entries if not entry.is_dir(follow_symlinks=False)]
            for file in files:
                if file != proof:
                    fs.discard(file)
            if directory != self.path:
                fs.remove_directory(directory)
        fs.discard(proof)


class Ownership(Protocol):
    """How a worker has directories in ``working/`` and takes over those of the dead: by locks (:class:`Locks`) or by
    leases (:class:`.leases.Leases`). ``expires``: whether it must ask, before it retires an item, if it still has it;
    ``look_every``: seconds between two calls of :meth:`renew` at the most; ``lease``: seconds for which one holds, 0
    where that is for ever."""

    expires: bool
    look_every: float
    lease: float

    def publish(self) -> Owner:
        """Make the worker's own directory, and prove it alive. Raises :class:`OSError`, :class:`.spool.SpoolError`."""

    def renew(self, own: Owner) -> Owner:
        """Prove it again; the worker's own directory, made again where it was taken from it (and lost). Raises
        :class:`OSError`."""

    def adopt(self, by: str) -> Iterator[Owner]:
        """The directories of the dead, each taken over when it is asked for; ``by``: the worker's name."""

    def is_undecided(self) -> bool:
        """Whether there are others that may be dead, which later calls of :meth:`adopt` will tell."""


class Locks:
    """Ownership by the kernel's locks, on one host."""

    expires = False
    look_every = float("inf")
    lease = 0.0

    def __init__(self, working: str) -> None:
        self._working = working

    def publish(self) -> Owner:
        return publish(self._working)

    def renew(self, own: Owner) -> Owner:
        own.renew()
        return own

    def adopt(self, by: str) -> Iterator[Owner]:
        return adopt(self._working, by)

    def is_undecided(self) -> bool:
        return False


def items_below(directory: str) -> Iterator[str]:
    """The names of all files below ``directory`` but dotfiles, with their subdirectories; nothing is sorted."""
    return (name for name, _ in entries_below(directory))


def entries_below(directory: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """As :func:`items_below`, each with its entry. One directory is open at a time, however deep they lie."""
    pending = [""]
    while pending:
        prefix = pending.pop()
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(os.path.join(directory, prefix)) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{prefix}{entry.name}/")
                else:
                    yield prefix + entry.name, entry


def publish(working: str, name: str = "") -> Owner:
    """Make this worker's own directory in ``working`` and lock it. ``name``: what it is to be called, if not by a new
    name. Raises :class:`OSError`, also when it is gone again each time."""
    for _ in range(_TRIES):
        token = secrets.token_hex(4)
        private = os.path.join(working, _NEW + token)
        os.mkdir(private, 0o700)
        try:
            lock = fs.create(os.path.join(private, LOCK), 0o600)
        except FileNotFoundError:
            continue  # a worker that adopts took the nameless directory for a dead one's; make another
        path = os.path.join(working, name or f"{hostname()}-{os.getpid()}-{token}")
        try:
            if fs.try_lock(lock):
                fs.rename(private, path, ours=True)
                return Owner(path, lock)
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)
    raise OSError(errno.ENOENT, "what is made here is gone at once", working)


def adopt(working: str, by: str) -> Iterator[Owner]:
    """Every directory in ``working`` whose owner is dead, now locked by us and signed by the worker ``by``. Files lying
    directly in ``working``, and directories that no worker of ours made, belong to somebody else's script and are left
    alone."""
    with os.scandir(working) as entries:
        found = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    for path in sorted(found):
        if is_locked_name(os.path.basename(path)):
            owner = take(path)
            if owner is not None:
                with suppress(OSError):  # a full disk costs those who only look
                    fs.rewrite(owner.lock, by.encode())
                yield owner


def is_locked_name(name: str) -> bool:
    """Whether a directory in ``working/`` of this name belongs to a worker that proves its life by a lock."""
    return name.startswith(_NEW) or _PUBLISHED.match(name) is not None


def holder(path: str) -> str:
    """The name of the worker that holds the lock of the directory ``path``, which is its adopter's where the one that
    made it is dead; '' where nobody does. For those who only look."""
    try:
        lock = os.open(os.path.join(path, LOCK), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return ""
    try:
        # Closing the descriptor gives the lock back; for that instant a worker that wants to adopt waits for its next
        # look, 10 s later.
        if fs.try_lock(lock, shared=True):
            return ""
        return os.read(lock, 255).decode(errors="replace") or os.path.basename(path)
    finally:
        os.close(lock)


def take(path: str) -> Owner | None:
    """The directory at ``path`` with its lock, where that can be had."""
    try:
        lock = _open_lock(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None  # its owner removed it this instant, or is another user
    if lock is None:
        return None
    if not fs.try_lock(lock) or not fs.is_at(lock, os.path.join(path, LOCK)):
        os.close(lock)
        return None
    return Owner(path, lock)


def _open_lock(path: str) -> int | None:
    lock = os.path.join(path, LOCK)
    try:
        return os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        # Its owner died between the last two steps of removing it, or the first two of making it.
        if fs.remove_directory(path) or not _PUBLISHED.match(os.path.basename(path)):
            return None
    # Items without a lock: somebody removed or restored the directory without its dotfiles, or a power cut did.
    return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
