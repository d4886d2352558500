"""An item in work: what a processor is given."""

import errno
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from . import notes
from .owner import Owner

_UNREADABLE = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO})
_IDENTITY = ("url", "etag", "sha256", "already_there")
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Form(NamedTuple):
    """In what form an item is sent, where that is not as it is: packed by ``method``, its key ending with ``suffix``
    ('' : by Content-Encoding); ``size`` and ``sha256`` (hex) are the source's."""

    method: str
    suffix: str
    size: int
    sha256: str


class Item:
    """One claimed file, open for reading.

    A processor reads it through ``fd`` (or ``path``), and must not write to it. Attributes:

    - ``name`` (str): the path below ``incoming/``; bytes that are not UTF-8 are lone surrogates (see :mod:`.names`)
    - ``path`` (:class:`pathlib.Path`): where the file is while it is worked on; ``where``: the same as str
    - ``fd`` (int): a descriptor, read-only; use :func:`os.pread`, or open ``path``
    - ``size`` (int, bytes), ``mtime`` (float, seconds since 1970), ``mtime_ns`` (int), ``mode`` (int), ``inode`` (int)
    - ``attempt`` (int): 1 the first time
    - ``arrived``, ``claimed`` (float, seconds since 1970)
    - ``source`` (str): where a broker told of it: the URL of the object that it is made of (``s3://BUCKET/KEY``, the
      key as it is); '' where none did, or where that is not known after a crash
    - ``superseded`` (dict or None): what was delivered of it before the file was seen to have changed
    - ``aim`` (tuple or None): for the log, where the processor is about to put it: the destination's URL up to the key,
      the key, and the SHA-256 that its receipt will have ('' if none), or None where that is not known
    - ``memory`` (dict): what the processor remembered with :meth:`remember`, also before a crash
    """

    __slots__ = (
        "_superseded",
        "_temporary",
        "aim",
        "arrived",
        "claimed",
        "fd",
        "inode",
        "mode",
        "mtime",
        "mtime_ns",
        "name",
        "note",
        "owner",
        "sent",
        "size",
        "source",
        "stat",
        "where",
    )

    form: Form | None = None
    """How its bytes are packed, where they are."""

    def __init__(self, name: str, path: str, owner: Owner, fd: int, stat: os.stat_result) -> None:
        self.name = name
        self.owner = owner
        self.fd = fd
        self._know(stat)
        self.note: notes.Note | None = None
        self.arrived = stat.st_ctime
        self.claimed = time.time()
        self._superseded: dict[str, Any] | None = None
        self.sent = 0
        self.aim: tuple[str, str, str | None] | None = None
        self.where = path
        self.source = ""
        self._temporary: str | None = None

    def __repr__(self) -> str:
        return f"<Item {self.name!r} {self.size} bytes, attempt {self.attempt}>"

    @property
    def path(self) -> Path:
        """Where the file is now."""
        return Path(self.where)

    @property
    def owner_ids(self) -> tuple[int, int]:
        """The numbers of its file's user and group."""
        return self.stat.st_uid, self.stat.st_gid

    def source_digest(self, sha256: str) -> str:
        """The digest of the file, by which it has its name; ``sha256``: of what is sent."""
        return sha256 if self.form is None else self.form.sha256

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
        notes.write(self.where, note, within=self.where.removesuffix(self.name), durable=True)

    @property
    def superseded(self) -> dict[str, Any] | None:
        """What was delivered of an older state of the file, by this attempt or an earlier one."""
        if self._superseded is None and self.note is not None and self.note.superseded:
            return self.note.superseded
        return self._superseded

    @superseded.setter
    def superseded(self, delivered: dict[str, Any] | None) -> None:
        self._superseded = delivered

    def supersede(self, delivered: dict[str, Any]) -> None:
        """``delivered`` (a receipt's fields) is not what the file is any more. Its note keeps what is needed to know
        that object again: else the next attempt, perhaps another worker's, would take it for somebody else's."""
        self.superseded = delivered
        note = self.noted()
        note.superseded = {key: delivered[key] for key in _IDENTITY if key in delivered}
        note.started = True
        with suppress(OSError):  # a full disk costs this knowledge, not the item
            notes.write(self.where, note)

    def noted(self) -> notes.Note:
        """The item's note, made now if there was none."""
        if self.note is None:
            self.note = notes.about(self.name, self.stat)
            self.note.arrived = self.arrived
        if self.source:
            self.note.source = self.source
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
        if now.st_mtime_ns == self.mtime_ns and now.st_size == self.size:
            return False
        self._know(now)
        if self.note is not None:
            fresh = notes.about(self.name, now)
            fresh.arrived, fresh.attempts, fresh.adoptions = self.arrived, self.note.attempts, self.note.adoptions
            fresh.deferrals, fresh.superseded = self.note.deferrals, self.note.superseded
            fresh.source = self.source or self.note.source
            self.note = fresh
        return True

    def _know(self, found: os.stat_result) -> None:
        """This is the file's state. Plain attributes: they are read some ten times for each item."""
        self.stat = found
        self.size: int = found.st_size
        self.mtime: float = found.st_mtime
        self.mtime_ns: int = found.st_mtime_ns
        self.mode: int = found.st_mode
        self.inode: int = found.st_ino

    def tidy(self) -> None:
        """Remove the attempt's temporary directory."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def close(self) -> None:
        """Close the descriptor; the item is out of work."""
        if self._temporary is not None:
            self.tidy()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def open_file(path: str, *, regular: bool = False) -> tuple[int, os.stat_result]:
    """Open an item's file for reading, and stat it; descriptor -1 for what must not or cannot be opened: no regular
    file (opening a device or a pipe has effects), or no right to. ``regular``: its directory said just now that it is
    one. Raises :class:`OSError`."""
    if not regular:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode):
            return -1, found
    try:
        descriptor = os.open(path, _OPEN)
    except OSError as error:
        if error.errno in _UNREADABLE:
            return -1, os.lstat(path)  # not ours to read, or it became something else this instant
        raise
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        return -1, found
    return descriptor, found


def close_file(descriptor: int) -> None:
    """Close what :func:`open_file` gave."""
    if descriptor >= 0:
        os.close(descriptor)
