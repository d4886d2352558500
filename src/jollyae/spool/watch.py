"""Wake-ups: what may have changed in ``incoming/``, as hints. The directory is the truth; a lost hint costs latency.

:func:`watch` gives the best watch that works here: inotify on Linux, kqueue on macOS, else polling (network file
systems tell nothing of what other hosts do).
"""

import errno
import os
import select
import sys
from contextlib import suppress
from enum import Enum
from typing import NamedTuple, Protocol

from . import mount

RESCAN = 30.0
"""Seconds between scans where events are told: the net below them."""
POLL = 1.0
"""Seconds between scans where none are."""
# inotify(7), linux/inotify.h
_MOVED_TO, _CREATE, _DELETE_SELF, _MOVE_SELF = 0x80, 0x100, 0x400, 0x800
_Q_OVERFLOW, _IGNORED, _ISDIR = 0x4000, 0x8000, 0x40000000
_AT_ONCE = 64 << 10  # bytes of events, some thousand; a buffer of a MiB costs 0.1 ms to have


class Kind(Enum):
    """What a hint says."""

    RENAMED = "a file was renamed in"
    CHANGED = "a file appeared or was closed by its writer"
    DIRECTORY = "a directory appeared or changed: scan it"
    OVERFLOW = "hints were lost: scan everything"
    CONTROL = "somebody paused, resumed or retried"


class Hint(NamedTuple):
    """One wake-up; ``name`` is a path below ``incoming/``."""

    kind: Kind
    name: str = ""


class Watch(Protocol):
    """Tells of changes. ``interval``: after how many seconds the directory must be scanned all the same."""

    interval: float
    why: str

    def fileno(self) -> int | None:
        """A descriptor that becomes readable when there are hints; None when there never are."""

    def add(self, directory: str) -> None:
        """Watch this directory below ``incoming/`` too ('' is ``incoming/`` itself); again is harmless. Never raises
        for what a scan makes good."""

    def read(self) -> list[Hint]:
        """The hints there are, without waiting."""

    def close(self) -> None:
        """Stop watching."""


class Poll:
    """No events: only the interval."""

    def __init__(self, why: str, interval: float = POLL) -> None:
        self.interval = interval
        self.why = why

    def fileno(self) -> int | None:
        return None

    def add(self, directory: str) -> None:
        pass

    def read(self) -> list[Hint]:
        return []

    def close(self) -> None:
        pass


class Inotify:
    """inotify(7). Where the kernel's limit of watches is reached, the rest is polled."""

    def __init__(self, incoming: str, control: str) -> None:
        import inotify_simple as ino

        self.interval = RESCAN
        self.why = "inotify"
        self._incoming = incoming
        self._parse = ino.parse_events
        # CREATE: a hard link made by ln(1) is never closed by a writer.
        # ATTRIB (control only): somebody touched the directory to wake us.
        flags = ino.flags
        common = flags.CREATE | flags.MOVED_TO | flags.ONLYDIR
        # Not MOVED_FROM: every claim would tell us of itself. A directory's own MOVE_SELF says that it went.
        self._mask = int(common | flags.CLOSE_WRITE | flags.DELETE_SELF | flags.MOVE_SELF)
        self._notify = ino.INotify(nonblocking=True)
        self._directories: dict[int, str | None] = {}
        self._ids: dict[str, int] = {}
        if control:
            mask = common | flags.DELETE | flags.MOVED_FROM | flags.ATTRIB
            try:
                self._directories[self._notify.add_watch(control, mask)] = None
            except OSError:
                self._notify.close()
                raise

    def fileno(self) -> int | None:
        descriptor: int = self._notify.fileno()
        return descriptor

    def add(self, directory: str) -> None:
        path = os.path.join(self._incoming, directory) if directory else self._incoming
        try:
            watch_id: int = self._notify.add_watch(path, self._mask)
        except OSError as error:
            if error.errno == errno.ENOSPC:  # fs.inotify.max_user_watches
                self.interval = POLL
                self.why = "polling: fs.inotify.max_user_watches is used up"
            return
        self._directories[watch_id] = directory
        self._ids[directory] = watch_id

    def read(self) -> list[Hint]:
        try:
            data = os.read(self._notify.fileno(), _AT_ONCE)
        except BlockingIOError:
            return []
        hints = (self._hint(event.wd, event.mask, event.name) for event in self._parse(data))
        return [hint for hint in hints if hint is not None]

    def _hint(self, watch_id: int, mask: int, name: str) -> Hint | None:
        if mask & _Q_OVERFLOW:
            return Hint(Kind.OVERFLOW)
        if watch_id not in self._directories:
            return None  # of a watch that was given up: its directory was moved away
        directory = self._directories[watch_id]
        if directory is None:
            # A directory that comes into the control directory may be incoming/ itself, made again.
            came = mask & _ISDIR and mask & (_CREATE | _MOVED_TO)
            return Hint(Kind.OVERFLOW) if came else Hint(Kind.CONTROL, name)
        if mask & _MOVE_SELF and directory:
            # It may have come back under a name that we know it by already: then it is to be watched again.
            self._leave(directory)
            return Hint(Kind.DIRECTORY, directory)
        if mask & (_IGNORED | _DELETE_SELF | _MOVE_SELF):
            # The root itself moved or removed: what comes in its place is found, and watched, by the next scan.
            self._forget(watch_id, directory)
            return Hint(Kind.OVERFLOW) if not directory else None
        below = f"{directory}/{name}" if directory else name
        if mask & _ISDIR:
            return Hint(Kind.DIRECTORY, below)
        return Hint(Kind.RENAMED if mask & _MOVED_TO else Kind.CHANGED, below)

    def _forget(self, watch_id: int, directory: str) -> None:
        self._directories.pop(watch_id, None)
        if self._ids.get(directory) == watch_id:
            del self._ids[directory]

    def _leave(self, directory: str) -> None:
        """A watched directory was moved away; its watch would go on under the old name."""
        inside = [name for name in self._ids if name == directory or name.startswith(directory + "/")]
        for name in inside:
            watch_id = self._ids.pop(name)
            self._directories.pop(watch_id, None)
            with suppress(OSError):  # it went with its directory
                self._notify.rm_watch(watch_id)

    def close(self) -> None:
        self._notify.close()


if sys.platform != "linux":

    class Kqueue:
        """kqueue(2): tells that a directory changed, not which name, so every file settles (door 2)."""

        def __init__(self, incoming: str, control: str) -> None:
            self.interval = RESCAN
            self.why = "kqueue"
            self._incoming = incoming
            self._queue = select.kqueue()
            self._directories: dict[int, str | None] = {}
            self._ids: dict[str, int] = {}
            if control:
                self._register(control, None)

        def fileno(self) -> int | None:
            return self._queue.fileno()

        def add(self, directory: str) -> None:
            if directory in self._ids:
                return
            path = os.path.join(self._incoming, directory) if directory else self._incoming
            try:
                self._ids[directory] = self._register(path, directory)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self.interval = POLL
                    self.why = "polling: no more open files for kqueue"

        def _register(self, path: str, directory: str | None) -> int:
            descriptor = os.open(path, getattr(os, "O_EVTONLY", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC)
            event = select.kevent(
                descriptor,
                filter=select.KQ_FILTER_VNODE,
                flags=select.KQ_EV_ADD | select.KQ_EV_CLEAR,
                fflags=select.KQ_NOTE_WRITE | select.KQ_NOTE_DELETE | select.KQ_NOTE_RENAME | select.KQ_NOTE_ATTRIB,
            )
            self._queue.control([event], 0, 0)
            self._directories[descriptor] = directory
            return descriptor

        def read(self) -> list[Hint]:
            hints = []
            for event in self._queue.control([], 1024, 0):
                directory = self._directories.get(event.ident)
                if event.ident in self._directories and directory is None:
                    hints.append(Hint(Kind.CONTROL))
                elif event.fflags & (select.KQ_NOTE_DELETE | select.KQ_NOTE_RENAME):
                    self._drop(event.ident, directory or "")
                    hints.append(Hint(Kind.OVERFLOW))
                else:
                    hints.append(Hint(Kind.DIRECTORY, directory or ""))
            return hints

        def _drop(self, descriptor: int, directory: str) -> None:
            if self._directories.pop(descriptor, None) is not None:
                self._ids.pop(directory, None)
                os.close(descriptor)

        def close(self) -> None:
            for descriptor in self._directories:
                os.close(descriptor)
            self._queue.close()


def watch(incoming: str, control: str = "") -> Watch:
    """The best watch for the directory ``incoming``. ``control``: a directory whose own changes are told
    as CONTROL."""
    fstype = mount.kind(incoming)
    if mount.is_remote(fstype):
        return Poll(f"polling: {fstype} does not tell what other hosts do")
    try:
        if sys.platform == "linux":
            return Inotify(incoming, control)
        else:
            return Kqueue(incoming, control)
    except (OSError, ImportError) as error:
        return Poll(f"polling: no events here ({error})")
