"""May this file be taken? Only whole files: one that somebody still writes is left in peace.

Two doors. A name that the watcher saw *renamed* in is whole by contract and goes through at once (door 1). Everything
else (cp, link, found by a scan) waits until the kernel's own change time is ``settle`` seconds ago (door 2). At both
doors the lease test comes on top where the system has it: the kernel refuses a read lease while anybody has the file
open or mapped for writing, also under an older name of it.
"""

import errno
import fcntl
import os
import signal
import sys
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum

SETTLE_WITH_LEASE = 1.0
"""Seconds without change before a file that was not renamed in is taken, where the lease test works."""
SETTLE_WITHOUT_LEASE = 3.0
"""The same where it does not: macOS, network file systems, files of another owner without CAP_LEASE."""
MAX_REMEMBERED = 10_000
"""Names whose last look is remembered at one time; the others are found again by the next scan."""

_NO_LEASE = frozenset({errno.EACCES, errno.EINVAL, errno.EPERM, errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS})


class Lease(Enum):
    """What the kernel says about writers."""

    FREE = "nobody writes"
    HELD = "somebody has it open for writing"
    UNKNOWN = "no lease here"


# By these names, since each item is asked about: a look into an Enum takes longer than what the kernel is asked.
_FREE, _HELD, _UNKNOWN = Lease.FREE, Lease.HELD, Lease.UNKNOWN


def ignore_lease_signal() -> bool:
    """Make the lease test safe: a producer that opens the file in the instant of the test makes the kernel send us
    SIGIO, whose default ends the process (seen). Returns whether leases may be used: not on systems without them, and
    not where the signal cannot be ignored because this is not the main thread."""
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    if signal.getsignal(signal.SIGIO) is signal.SIG_IGN:
        return True
    if threading.current_thread() is not threading.main_thread():
        return False
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    return True


def test_lease(descriptor: int) -> Lease:
    """Ask the kernel whether anybody can write to the file open at ``descriptor`` (read-only). The lease is given back
    at once. Call :func:`ignore_lease_signal` first."""
    lease = take_lease(descriptor)
    if lease is _FREE:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return lease


def take_lease(descriptor: int) -> Lease:
    """:func:`test_lease`; a lease that was free is kept, until it is given back or the descriptor closed. While it is
    kept, who wants to write waits (at most /proc/sys/fs/lease-break-time, 45 s)."""
    if sys.platform != "linux":
        return _UNKNOWN
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            return _HELD
        if error.errno in _NO_LEASE:
            return _UNKNOWN
        raise
    return _FREE


@dataclass(frozen=True, slots=True)
class _Look:
    """How a file was seen last, and since when unchanged (monotonic)."""

    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int
    since: float


class Readiness:
    """Judges files of one spool. ``settle``: seconds, or None for the defaults; ``lease``: whether to use leases;
    ``trust_ctime``: whether change times come from this host's clock."""

    def __init__(self, settle: float | None = None, *, lease: bool = True, trust_ctime: bool = True) -> None:
        self._settle = settle
        self.lease = lease
        self._trust_ctime = trust_ctime
        self._looks: OrderedDict[str, _Look] = OrderedDict()
        self._leased = False

    def wait(self, name: str, descriptor: int, found: os.stat_result, *, renamed: bool) -> float:
        """In how many seconds to look again at ``name``, open at ``descriptor`` with stat ``found``; 0 when it may be
        taken now. ``renamed``: the watcher saw it renamed in. The lease stays with the descriptor until
        :meth:`writer_came` is asked or it is closed: who wants to write meanwhile waits in open(2) and is noticed."""
        lease = take_lease(descriptor) if self.lease and descriptor >= 0 else _UNKNOWN
        self._leased = lease is _FREE
        if renamed and lease is not _HELD:
            return 0.0
        settle = self._settle
        if settle is None:
            settle = SETTLE_WITHOUT_LEASE if lease is _UNKNOWN else SETTLE_WITH_LEASE
        if lease is _HELD:
            return max(settle, 0.1)
        if lease is _FREE and self._trust_ctime:
            age = time.time() - found.st_ctime
            if age >= 0:
                return settle - age if settle > age else 0.0
        return self._seen_unchanged(name, found, settle)

    def writer_came(self, descriptor: int) -> bool:
        """Whether somebody opened the file for writing since :meth:`wait` said that it may be taken. To be asked when
        it has been renamed: nobody can open the old path any more, so the answer is final. ``descriptor`` is the one
        that was given to :meth:`wait` just before."""
        if not self._leased:
            return self.ask(descriptor) is _HELD
        self._leased = False
        came = fcntl.fcntl(descriptor, fcntl.F_GETLEASE) != fcntl.F_RDLCK
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError:  # we were stopped for so long that the kernel has ended it
            return True
        return came

    def ask(self, descriptor: int) -> Lease:
        """The lease test, where it is to be used."""
        return test_lease(descriptor) if self.lease and descriptor >= 0 else _UNKNOWN

    def _seen_unchanged(self, name: str, found: os.stat_result, settle: float) -> float:
        """Where the clock of the file system cannot be believed: unchanged between two looks of ours, a settle apart
        on our own clock."""
        now = time.monotonic()
        state = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        look = self._looks.get(name)
        if look is None or (look.ino, look.size, look.mtime_ns, look.ctime_ns) != state:
            self._looks[name] = _Look(*state, since=now)
            self._looks.move_to_end(name)
            if len(self._looks) > MAX_REMEMBERED:
                self._looks.popitem(last=False)
            return settle
        return max(settle - (now - look.since), 0.0)

    def forget(self, name: str) -> None:
        """The name was taken or is gone."""
        if self._looks:
            self._looks.pop(name, None)
