"""An item in work: what a processor is given."""

import errno
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import Any

from . import fs, notes
from .owner import Owner

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Item:
    """One claimed file, open for reading.

    A processor reads it through ``fd`` (or ``path``), and must not write to it. Attributes:

    - ``name`` (str): the path below ``incoming/``; bytes that are not UTF-8 are lone surrogates (see :mod:`.names`)
    - ``path`` (:class:`pathlib.Path`): where the file is while it is worked on
    - ``fd`` (int): a descriptor, read-only; use :func:`os.pread`, or open ``path``
    - ``size`` (int, bytes), ``mtime`` (float, seconds since 1970), ``mtime_ns`` (int), ``mode`` (int), ``inode`` (int)
    - ``attempt`` (int): 1 the first time
    - ``arrived``, ``claimed`` (float, seconds since 1970)
    - ``superseded`` (dict or None): what this very claim delivered before the file was seen to have changed
    - ``memory`` (dict): what the processor remembered with :meth:`remember`, also before a crash
    """

    __slots__ = (
        "_claim_path",
        "_temporary",
        "arrived",
        "claimed",
        "fd",
        "name",
        "note",
        "owner",
        "sent",
        "stat",
        "superseded",
    )

    def __init__(self, name: str, path: str, owner: Owner, fd: int, stat: os.stat_result) -> None:
        self.name = name
        self.owner = owner
        self.fd = fd
        self.stat = stat
        self.note: notes.Note | None = None
        self.arrived = stat.st_ctime
        self.claimed = time.time()
        self.superseded: dict[str, Any] | None = None
        self.sent = 0
        self._claim_path = path
        self._temporary: str | None = None

    def __repr__(self) -> str:
        return f"<Item {self.name!r} {self.size} bytes, attempt {self.attempt}>"

    @property
    def path(self) -> Path:
        """Where the file is now."""
        return Path(self._claim_path)

    @property
    def where(self) -> str:
        """:attr:`path` as ``str``, for the hot path."""
        return self._claim_path

    @property
    def size(self) -> int:
        """Bytes."""
        return self.stat.st_size

    @property
    def inode(self) -> int:
        """The file's inode number."""
        return self.stat.st_ino

    @property
    def mtime(self) -> float:
        """Last modification, seconds since 1970."""
        return self.stat.st_mtime

    @property
    def mtime_ns(self) -> int:
        """Last modification, nanoseconds since 1970."""
        return self.stat.st_mtime_ns

    @property
    def mode(self) -> int:
        """Type and permission bits, as in stat(2)."""
        return self.stat.st_mode

    @property
    def attempt(self) -> int:
        """1 the first time it is processed."""
        return (self.note.attempts if self.note else 0) + 1

    @property
    def deferrals(self) -> int:
        """How often it was deferred."""
        return self.note.deferrals if self.note else 0

    @property
    def memory(self) -> dict[str, Any]:
        """What :meth:`remember` kept for this very content."""
        return self.note.memory if self.note else {}

    def remember(self, **memory: Any) -> None:
        """Keep ``memory`` (JSON values) with the item, on the disk on return; a later attempt, also of another worker
        after a crash, finds it in :attr:`memory` as long as the file is the same. Raises :class:`OSError`."""
        note = self.noted()
        note.memory = memory
        note.started = True
        notes.write(self._claim_path, note, durable=True)

    def noted(self) -> notes.Note:
        """The item's note, made now if there was none."""
        if self.note is None:
            self.note = notes.about(self.name, self.stat)
            self.note.arrived = self.arrived
        return self.note

    def progress(self, sent: int) -> None:
        """Tell how many bytes of it are sent so far (for the live view; cheap)."""
        self.sent = sent

    def temporary_directory(self) -> Path:
        """A directory of the item's own, removed when this attempt is over."""
        if self._temporary is None:
            self._temporary = tempfile.mkdtemp(prefix="jollyae-")
        return Path(self._temporary)

    def changed(self) -> bool:
        """Whether the file was written to since it was claimed or last seen. The new state is then the one known, and
        what was remembered of the old content is forgotten."""
        now = os.fstat(self.fd)
        if fs.unchanged(self.stat, now):
            return False
        self.stat = now
        if self.note is not None:
            fresh = notes.about(self.name, now)
            fresh.arrived, fresh.attempts, fresh.adoptions = self.arrived, self.note.attempts, self.note.adoptions
            fresh.deferrals = self.note.deferrals
            self.note = fresh
        return True

    def tidy(self) -> None:
        """Remove the attempt's temporary directory."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def close(self) -> None:
        """Close the descriptor; the item is out of work."""
        self.tidy()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def open_file(path: str) -> tuple[int, os.stat_result]:
    """Open an item's file for reading, and stat it; descriptor -1 for what must not or cannot be opened: no regular
    file (opening a device or a pipe has effects), or no right to. Raises :class:`OSError`."""
    found = os.lstat(path)
    if not stat.S_ISREG(found.st_mode):
        return -1, found
    try:
        descriptor = os.open(path, _OPEN)
    except PermissionError:
        return -1, found
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            return -1, os.lstat(path)  # became something else this instant
        raise
    return descriptor, os.fstat(descriptor)


def close_file(descriptor: int) -> None:
    """Close what :func:`open_file` gave."""
    if descriptor >= 0:
        os.close(descriptor)
