"""Proof of life on a spool that several hosts share: a lease, since locks of network file systems can lie.

A worker's directory is ``working/HOST-PID-sX/`` and holds ``.lease``, a small file that its owner rewrites every
third of a lease, once for everything that it has in hand. Others look at it again and again; one that was seen
unchanged, by *their own* clocks, for longer than a lease and a margin belongs to the dead. Clocks are never compared,
and time in which nobody looked (a frozen judge, a server that was down) is no evidence.

Who takes over renames the directory to ``working/ADOPTER.Y/``: of several one wins, and who had it finds it gone. A
directory ``OWNER.Y`` lives by its owner's lease. A worker that cannot have renewed its lease in time renews it, and
looks whether it still has what it has, before it retires anything.

What is *not* promised: that no two workers ever believe to have an item. A machine may stand still between that look
and the move. So a lease only bounds how often work is repeated; that its result is single is the store's
``If-None-Match``.
"""

import errno
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from . import fs, owner
from .owner import Owner
from .spool import SpoolError

FILE = ".lease"
LEASE = 30.0
"""Seconds for which a renewal holds."""
RENEWALS = 3
"""So many of them in the time of one lease."""
MARGIN = 5.0
"""Seconds more before a lease is over for others: clocks do not run alike, and a write takes its time."""
SILENT = 200.0
"""Seconds after which a worker with a lock is dead, where its lock is free and it has told nothing (an idle one tells
something each minute): those of the server's own disk have locks that its clients do not see."""
WATCHED = 8
"""Of so many others that live each worker watches the leases, and of whatever is between them: two hundred workers need
not all look at all."""

_LEASED = re.compile(r"(?P<owner>.+-\d+-s[0-9a-f]{8})(?:\.[0-9a-f]{8})?\Z")
_SIZE = 512  # bytes of the file from the first on: a full disk lets them be written over
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE})
_UNCERTAIN = frozenset({errno.ENOENT, errno.EIO, errno.ESTALE})
_BOOT_ID = "/proc/sys/kernel/random/boot_id"

_Proof = tuple[bytes, int]


class Lease(msgspec.Struct, kw_only=True):
    """What the file says. ``client``: what the file server knows the host by, '' where that cannot matter; ``boot``:
    which start of the host's kernel it is; ``started``: seconds since 1970, for people; ``lease``: seconds for which
    a renewal holds; ``ended``: the worker has stopped in order, and what it left may be taken at once."""

    host: str
    client: str = ""
    boot: str = ""
    pid: int = 0
    started: float = 0.0
    lease: float = LEASE
    counter: int = 0
    ended: bool = False


_decoder = msgspec.json.Decoder(Lease)


def clock() -> float:
    """Seconds that go on while the machine sleeps, where there is such a clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def boot_id() -> str:
    """Which start of this kernel it is; '' where it cannot be told."""
    with suppress(OSError):
        return Path(_BOOT_ID).read_text().strip()
    return ""


def owner_of(name: str) -> str:
    """By whose lease a directory of this name lives; '' for what has none.

    >>> owner_of("web1-812-s1f2e3d4c"), owner_of("web1-812-s1f2e3d4c.00ff00ff"), owner_of("web1-812-1f2e3d4c")
    ('web1-812-s1f2e3d4c', 'web1-812-s1f2e3d4c', '')
    """
    found = _LEASED.match(name)
    return found["owner"] if found else ""


def _look(directory: str) -> _Proof | None:
    """The lease of a worker's directory and its time; None where there is none. Opened each time: so a client of NFS
    asks its server."""
    try:
        descriptor = os.open(os.path.join(directory, FILE), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            return os.read(descriptor, 4096), os.fstat(descriptor).st_mtime_ns
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _GONE:
            raise
        return None


def _parsed(proof: _Proof | None) -> Lease | None:
    """None for what is missing, or half written."""
    if proof is None:
        return None
    try:
        return _decoder.decode(proof[0])
    except msgspec.DecodeError:
        return None


def read(directory: str) -> Lease | None:
    """The lease in this directory; None where there is none to be read."""
    return _parsed(_look(directory))


def holder(path: str) -> str:
    """For those who only look, and only once: the worker that holds this directory, '' where it is dead. Here the
    file's time is compared with this host's clock, for want of anything better: nobody takes anything for it."""
    name = owner_of(os.path.basename(path))
    try:
        proof = _look(os.path.join(os.path.dirname(path), name))
    except OSError:
        return ""
    lease = _parsed(proof)
    if proof is None or lease is None or lease.ended:
        return ""
    return name if time.time() - proof[1] / 1e9 <= lease.lease + MARGIN else ""


@dataclass(slots=True)
class _Seen:
    proof: object
    unchanged: float
    looked: float
    lives: bool = False


class Judge:
    """Says who is dead, by looking again and again on its own clock. ``longest``: what of the time between two looks
    counts at the most."""

    def __init__(self, now: Callable[[], float], longest: float) -> None:
        self._now = now
        self._longest = longest
        self._seen: dict[str, _Seen] = {}

    def is_dead(self, name: str, proof: object, patience: float) -> bool:
        """Whether ``proof`` is as it was for more than ``patience`` seconds in which it was looked at."""
        now, seen = self._now(), self._seen.get(name)
        if seen is None or seen.proof != proof:
            self._seen[name] = _Seen(proof, 0.0, now, seen is not None)
            return False
        seen.unchanged += min(now - seen.looked, self._longest)
        seen.looked = now
        return seen.unchanged > patience

    def lives(self, name: str) -> bool:
        """Whether its proof was seen to change, as far as is known."""
        return name in self._seen and self._seen[name].lives

    def undecided(self) -> list[str]:
        """Those of whom it is not known yet whether they live."""
        return [name for name, seen in self._seen.items() if not seen.lives]

    def forget(self, names: Container[str]) -> None:
        """Only these are there still."""
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}


class Leased(Owner):
    """One directory in ``working/`` that this worker has by its lease."""

    proof = FILE

    def __init__(self, path: str, leases: "Leases") -> None:
        super().__init__(path, -1)
        self._leases = leases
        self.inode = os.lstat(path).st_ino

    def is_fresh(self) -> bool:
        return self._leases.is_fresh()

    def renew(self) -> None:
        raise AssertionError("a lease is renewed for all directories at once")

    def remove(self) -> bool:
        return self._leases.remove(self)

    def clear(self) -> bool:
        """Remove all that is no item, and the directory; whether it is gone."""
        self._remove_files()
        return fs.remove_directory(self.path)


class Leases:
    """How a worker has directories in ``working``, and takes over those of the dead, on a shared spool. ``client``: as
    in :class:`Lease`; ``now``, ``sleep`` and ``boot`` for tests."""

    expires = True

    def __init__(
        self,
        working: str,
        *,
        client: str = "",
        lease: float | None = None,
        now: Callable[[], float] = clock,
        sleep: Callable[[float], None] = time.sleep,
        boot: str | None = None,
    ) -> None:
        self.lease = LEASE if lease is None else lease
        self.look_every = self.lease / RENEWALS
        self._margin = MARGIN
        self.client = client
        self._working = working
        self._now = now
        self._sleep = sleep
        host = owner.hostname()
        self._name = f"{host}-{os.getpid()}-s{secrets.token_hex(4)}"
        self._said = Lease(
            host=socket.gethostname(),
            client=client,
            boot=boot_id() if boot is None else boot,
            pid=os.getpid(),
            started=time.time(),
            lease=self.lease,
        )
        self._judge = Judge(now, 1.5 * self.look_every)
        self._held: list[Leased] = []
        self._until = float("-inf")

    # --- one's own

    def publish(self) -> Owner:
        """Make this worker's directory. Raises :class:`SpoolError` where another host that lives has this one's name,
        and :class:`OSError`."""
        own = self._make()
        try:
            self._refuse_namesakes()
        except BaseException:
            own.clear()
            raise
        return own

    def _make(self) -> Leased:
        path, began = os.path.join(self._working, self._name), self._now()
        with suppress(FileExistsError):  # who had taken it gave it back; or the answer was lost
            os.mkdir(path, 0o700)
        own = Leased(path, self)
        self._write()
        self._held.append(own)
        self._until = began + self.lease
        return own

    def _write(self, *, ended: bool = False) -> None:
        self._said = msgspec.structs.replace(self._said, counter=self._said.counter + 1, ended=ended)
        data = msgspec.json.encode(self._said).ljust(_SIZE)
        fs.rewrite_in_place(os.path.join(self._working, self._name, FILE), data)

    def is_fresh(self) -> bool:
        """Whether nobody can have taken us for dead yet."""
        return self._now() < self._until

    def renew(self, own: Owner) -> Owner:
        """Prove that this worker lives, by one write, and see which directories it still has: the others are *lost*.
        The worker's own directory, which is another one where the old one was lost. Raises :class:`OSError`: not
        renewed."""
        began, refused = self._now(), None
        try:
            self._write()
        except OSError as error:
            if error.errno not in _GONE:
                raise
            refused = error
        self._look_for_lost()
        if not own.lost:
            if refused is not None:
                raise refused
            self._until = began + self.lease
            return own
        for one in self._held:
            one.lost = True  # those that are there still live by the new lease, and are taken up again
        self._held.clear()
        return self._make()

    def _look_for_lost(self) -> None:
        """After the write: who takes a directory later sees that its lease has changed, and gives it back."""
        for one in self._held:
            found = fs.look(one.path)
            one.lost = found is None or found.st_ino != one.inode
        self._held = [one for one in self._held if not one.lost or one.name == self._name]

    def remove(self, one: Leased) -> bool:
        """Give a directory up if no item is in it; whether it is gone. One's own is the last: what is left then may be
        taken at once."""
        if one.lost:
            return True
        self._held.remove(one)  # if it cannot go now, it is found again as a stray
        is_own = one.name == self._name
        if next(one.items(), None) is None and not (is_own and self._has_more()):
            return one.clear()
        if is_own:
            self._write(ended=True)
            self._until = float("-inf")
        return False

    def _has_more(self) -> bool:
        """Whether there are directories that live by this worker's lease, besides its own."""
        return any(os.path.basename(path).startswith(f"{self._name}.") for path in self._directories())

    def _refuse_namesakes(self) -> None:
        """Two hosts that the file server takes for one break each other's state there, and would here. Those of an
        earlier life of this host do not change any more."""
        mine = self._said
        if not self.client:
            return
        found = ((path, read(path)) for path in self._directories())
        before = {path: lease for path, lease in found if lease is not None and self._is_namesakes(lease)}
        until = self._now() + self.look_every + self._margin
        while before and self._now() < until:
            self._sleep(self.look_every / 20)
            for path, lease in before.items():
                if (now := read(path)) is not None and now.counter != lease.counter:
                    raise SpoolError(
                        f"another host named {mine.host} works on this spool: to its file server both are one",
                        hint="Give each host a name of its own (hostnamectl set-hostname …) and mount the spool again.",
                    )

    def _is_namesakes(self, lease: Lease) -> bool:
        return not lease.ended and lease.client == self._said.client and lease.boot != self._said.boot

    # --- others'

    def _directories(self) -> list[str]:
        with os.scandir(self._working) as entries:
            return sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))

    def adopt(self, by: str) -> Iterator[Owner]:
        """Every directory in ``working`` whose owner is dead, as far as it is ours to watch, and what this worker has
        already but did not know of; taken over, under new names of this worker's."""
        leased: dict[str, list[str]] = {}
        locked = []
        for path in self._directories():
            name = os.path.basename(path)
            if whose := owner_of(name):
                leased.setdefault(whose, []).append(path)
            elif owner.is_locked_name(name):
                locked.append(path)
        yield from self._strays(leased.pop(self._name, []))
        watched = self._watched(leased)
        self._judge.forget({*watched, *locked})
        for whose in watched:
            yield from self._of_the_dead(whose, leased[whose])
        for path in locked:
            yield from self._of_the_silent(path)

    def is_undecided(self) -> bool:
        """Whether any that is watched has items, and may be dead."""
        names = self._judge.undecided()
        with suppress(OSError):
            found = [path for path in self._directories() if owner_of(os.path.basename(path)) in names]
            return any(next(owner.items_below(path), None) is not None for path in found)
        return True

    def _watched(self, others: Iterable[str]) -> list[str]:
        """Whose leases this worker watches: the next ones in the ring, until there are enough that live. Whoever is
        dead is so watched by the living one before it at least."""
        watched, living = [], 0
        for whose in _after(self._name, others):
            if living >= WATCHED:
                break
            watched.append(whose)
            living += self._judge.lives(whose)
        return watched

    def _strays(self, paths: list[str]) -> Iterator[Owner]:
        known = {one.path for one in self._held}
        for path in paths:
            if path not in known and os.path.basename(path) != self._name:
                with suppress(FileNotFoundError):
                    yield self._have(path)

    def _of_the_dead(self, whose: str, paths: list[str]) -> Iterator[Owner]:
        try:
            proof = _look(os.path.join(self._working, whose))
        except PermissionError:  # another user's; so is what it has
            return
        lease = _parsed(proof)
        patience = (self.lease if lease is None else lease.lease) + self._margin
        if not self._judge.is_dead(whose, proof, patience) and not (lease is not None and lease.ended):
            return
        for path in paths:
            judged = proof if os.path.basename(path) == whose else None
            if (one := self._take(path, judged)) is not None:
                yield one

    def _of_the_silent(self, path: str) -> Iterator[Owner]:
        """One whose owner proves its life by a lock: an older program, or one on the server's own disk."""
        with suppress(FileNotFoundError):
            with os.scandir(path) as entries:
                found = sorted((entry.name, entry.stat(follow_symlinks=False).st_mtime_ns) for entry in entries)
            if not self._judge.is_dead(path, found, SILENT):
                return
            if (dead := owner.take(path)) is None:
                return
            try:
                one = self._take(path, None)
            finally:
                os.close(dead.lock)
            if one is not None:
                yield one

    def _take(self, path: str, judged: _Proof | None) -> Leased | None:
        """Take over a directory, by one rename; None: another was faster, or its owner is back."""
        target = os.path.join(self._working, f"{self._name}.{secrets.token_hex(4)}")
        try:
            fs.rename(path, target, ours=True)
        except OSError as error:
            if error.errno not in _UNCERTAIN:
                raise
            if not fs.is_there(target):  # on NFS a rename that happened may say that it did not
                return None
        if judged is not None and _look(target) != judged:
            with suppress(OSError):  # it has made itself a new one meanwhile: then this is ours
                fs.rename(target, path, ours=True)
                return None
        fs.discard(os.path.join(target, FILE))
        return self._have(target)

    def _have(self, path: str) -> Leased:
        self._held.append(Leased(path, self))
        return self._held[-1]


def _after(name: str, others: Iterable[str]) -> list[str]:
    """The others in the order of names, which is a ring, from this one on.

    >>> _after("b", ["a", "d", "c"])
    ['c', 'd', 'a']
    """
    return sorted(others, key=lambda one: (one < name, one))
