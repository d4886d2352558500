"""What one worker has in work: taking items, handing them on, and what a dead worker left.

Every change of state is one rename through :mod:`.fs`; docs/INTERNALS.md lists them with what a crash just before and
just after each one costs. Only one name at a time is in work: ``incoming/NAME`` waits while NAME is in this worker's
hands or in ``deferred/``, so one worker delivers the items of one name in the order of their arrival.
"""

import errno
import heapq
import itertools
import os
import stat
import time
from collections.abc import Container, Iterator
from contextlib import ExitStack, nullcontext, suppress
from typing import NamedTuple

from . import fs, keeping, notes, owner, suffix
from .item import Item, close_file, open_file
from .places import MOVES, Place, Places
from .readiness import Lease, Readiness

MAX_BLOCKED = 10_000
"""Names remembered as waiting for their namesake; the others are found again by the next scan."""
DEATHS = 3
"""An item with which so many workers died is not tried again."""

_DEFERRED_KNOWN_FOR = 0.1  # seconds for which an empty deferred/ is taken to be empty
_OBSTRUCTED = 0.3  # seconds until a name that another item's directory obstructs is looked at again: thrice a second
_UNCERTAIN = frozenset({errno.EIO, errno.ESTALE})

# By these names, since each item asks for them: a look into an Enum takes longer than a call.
_INCOMING, _WORKING, _FINISHED = Place.INCOMING, Place.WORKING, Place.FINISHED


class Later(NamedTuple):
    """Not to be taken yet: look again in so many seconds. ``full``: it is ready, but there is no room for it now."""

    seconds: float
    full: bool = False


class Claims:
    """The items this worker has in its hands. ``copy`` allows moves between file systems; ``by_date``: finished items
    get a directory for each day (UTC) in ``finished/``; ``ownership``: by what it proves that it lives (locks).
    """

    def __init__(
        self,
        places: Places,
        readiness: Readiness,
        *,
        copy: bool = False,
        by_date: bool = False,
        ownership: owner.Ownership | None = None,
    ) -> None:
        self._places = places
        self._readiness = readiness
        self._directories = {place: str(places.of(place)) for place in Place}
        self._incoming = self._directories[Place.INCOMING]
        self._finished = self._directories[Place.FINISHED]
        self._copy = copy
        self._by_date = by_date
        self._day, self._day_ends = "", 0.0
        self._ownership = ownership or owner.Locks(str(places.working))
        self._expires = self._ownership.expires
        self._own = self._ownership.publish()
        self._held: dict[owner.Owner, int] = {self._own: 0}
        self._in_work: dict[str, Item] = {}
        self._blocked: set[str] = set()
        self._unblocked: list[str] = []
        self._parked: list[tuple[float, int, Item]] = []
        self._count = itertools.count()
        self._deferred_is_empty = False
        self.has_more = False
        """Whether the last :meth:`adopt` left anything for the next."""
        self._look_at_deferred = 0.0

    @property
    def worker(self) -> str:
        """This worker's name: HOST-PID-X."""
        return self._own.name

    @property
    def directory(self) -> str:
        """This worker's directory."""
        return self._own.path

    @property
    def look_every(self) -> float:
        """Seconds between two calls of :meth:`adopt` at the most."""
        return self._ownership.look_every

    @property
    def lease(self) -> float:
        """Seconds for which this worker's proof of life holds; 0: as long as it lives."""
        return self._ownership.lease

    def is_undecided(self) -> bool:
        """Whether others that have items may be dead: a later :meth:`adopt` will tell. Raises :class:`OSError`."""
        return self._ownership.is_undecided()

    def __len__(self) -> int:
        return len(self._in_work)

    def items(self) -> list[Item]:
        """All items in this worker's hands."""
        return [*self._in_work.values(), *(item for _, _, item in self._parked if not self._is_current(item))]

    # --- taking

    def take(
        self,
        name: str,
        *,
        renamed: bool,
        regular: bool = False,
        below: int | None = None,
        otherwise: float = 1.0,
    ) -> Item | Later | None:
        """Claim ``incoming/NAME``. The item; or when to look again, since it is not ready; or None: it is gone, another
        worker was faster, or its namesake is in work (then :meth:`unblocked` tells when). ``regular``: as for
        :func:`.item.open_file`. ``below``: only if it is smaller than so many bytes, else to be looked at again in
        ``otherwise`` seconds."""
        if name in self._in_work or self._is_deferred(name):
            self._block(name)
            return None
        if self._expires and not self._own.is_fresh():
            self.renew()
        if "/" not in name:
            return self._take(name, f"{self._incoming}/{name}", renamed, regular, below, otherwise)
        with ExitStack() as stack:
            try:
                source = stack.enter_context(fs.beneath(self._incoming, name))
            except (FileNotFoundError, NotADirectoryError):  # a directory of its path is gone, or is a link now
                self._readiness.forget(name)
                return None
            return self._take(name, source, renamed, regular, below, otherwise)

    def _take(
        self, name: str, source: str, renamed: bool, regular: bool, below: int | None, otherwise: float
    ) -> Item | Later | None:
        try:
            descriptor, found = open_file(source, regular=regular)
        except (FileNotFoundError, NotADirectoryError):
            self._readiness.forget(name)
            return None
        try:
            wait = self._readiness.wait(name, descriptor, found, renamed=renamed)
        except BaseException:
            close_file(descriptor)
            raise
        full = wait <= 0 and below is not None and found.st_size >= below
        if wait > 0 or full or (descriptor < 0 and stat.S_ISDIR(found.st_mode)):
            close_file(descriptor)
            return None if stat.S_ISDIR(found.st_mode) else Later(otherwise if full else wait, full)
        return self._claim(name, _INCOMING, source, descriptor, found)

    def take_deferred(self, name: str, *, below: int | None = None) -> Item | Later | None:
        """Claim ``deferred/NAME``; None where it is gone or its namesake is in work. ``below`` as for :meth:`take`."""
        if name in self._in_work:
            return None
        if self._expires and not self._own.is_fresh():
            self.renew()
        source = self._path(Place.DEFERRED, name)
        try:
            descriptor, found = open_file(source)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if below is not None and found.st_size >= below:
            close_file(descriptor)
            return Later(0.0, full=True)
        target = os.path.join(self._own.path, name)
        try:
            note = self._bring_note(source, target, found)
        except BaseException:
            close_file(descriptor)
            raise
        item = self._claim(name, Place.DEFERRED, source, descriptor, found)
        if not isinstance(item, Item):
            _forget(target)
            return item
        _forget(source)
        _give_note(item, note)
        return item

    def _bring_note(self, source: str, target: str, found: os.stat_result) -> notes.Note | None:
        """Copy the note of the deferred item to where the item will be; on a full disk it is only in memory."""
        note = notes.read(source, found)
        if note is not None:
            note.started = True
            notes.write_if_room(target, note, within=self._own.path)
        return note

    def _claim(
        self, name: str, place: Place, source: str, descriptor: int, found: os.stat_result
    ) -> Item | Later | None:
        target = f"{self._own.path}/{name}"
        try:
            self._move(place, _WORKING, source, target, lock=descriptor)
        except (FileNotFoundError, BlockingIOError):
            # Another worker was faster; unless it is in our own directory: on NFS a rename that happened may say
            # ENOENT, when its first answer was lost.
            if not fs.is_there(target):
                close_file(descriptor)
                self._readiness.forget(name)
                return None
        except (FileExistsError, NotADirectoryError):
            # `a` and `a/b`: one of them is in work, or has left its directory here.
            close_file(descriptor)
            self._own.prune()
            return Later(_OBSTRUCTED, full=True)
        except BaseException as error:
            # Nor does EIO or ESTALE say what the server did before it went.
            if not (isinstance(error, OSError) and error.errno in _UNCERTAIN and fs.is_there(target)):
                close_file(descriptor)
                raise
        self._readiness.forget(name)
        item = self._hold(name, self._own, descriptor, found)
        if place is _INCOMING:
            if item.stat is found:
                came = self._readiness.writer_came(item.fd)
            else:  # another file than the one we had looked at
                came = self._readiness.ask(item.fd) is Lease.HELD
            if came:
                self._give_back(item, source)
                return None
        return item

    def _hold(self, name: str, holder: owner.Owner, descriptor: int, found: os.stat_result) -> Item:
        """Make the item of a file that is now in ``holder``'s directory. Between our open and our rename the name may
        have become another file's: what counts is what was renamed."""
        path = f"{holder.path}/{name}"
        arrived = found.st_ctime
        try:
            there = os.lstat(path)
        except BaseException:
            close_file(descriptor)
            raise
        if there.st_ino != found.st_ino or there.st_dev != found.st_dev or descriptor < 0:
            close_file(descriptor)
            descriptor, found = open_file(path)  # if this raises, the item is found by the next adopt()
        item = Item(name, path, holder, descriptor, found)
        item.arrived = arrived
        self._in_work[name] = item
        self._held[holder] += 1
        if found.st_nlink > 1:
            self._finish_leaving_failed(name, found)
        return item

    def _finish_leaving_failed(self, name: str, found: os.stat_result) -> None:
        """After a power cut a file may have the names of both ends of a move (seen on btrfs). Wherever else the second
        one is, the item's own way leads there, and the move that meets it removes one. Out of ``failed/`` leads only
        retry, which is over: the name there is removed now."""
        failed = self._path(Place.FAILED, name)
        with suppress(OSError):  # a name too many in failed/ is no reason not to deliver
            there = os.lstat(failed)
            if (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino):
                fs.unlink(failed)
                _forget(failed)

    def _give_back(self, item: Item, source: str) -> None:
        """A writer opened it between the two lease tests: back to where it can finish. Where the name was taken
        meanwhile, the item waits here."""
        try:
            if self._expires and self._is_lost(item):
                return
            self._move(Place.WORKING, Place.INCOMING, item.where, source)
        except OSError:
            self.park(item, 1.0)
        else:
            self._unblocked.append(item.name)
            self._release(item)

    def _block(self, name: str) -> None:
        if len(self._blocked) < MAX_BLOCKED:
            self._blocked.add(name)

    def _is_deferred(self, name: str) -> bool:
        """Whether ``deferred/`` has the name. That it holds nothing at all is looked at ten times a second rather than
        once for each item: what another worker defers in between has no order to keep with what we take."""
        now = time.monotonic()
        if now >= self._look_at_deferred:
            self._look_at_deferred = now + _DEFERRED_KNOWN_FOR
            with os.scandir(self._directories[Place.DEFERRED]) as entries:
                self._deferred_is_empty = next(entries, None) is None
        return not self._deferred_is_empty and os.path.lexists(self._path(Place.DEFERRED, name))

    @property
    def blocked(self) -> int:
        """How many names in ``incoming/`` wait for their namesakes, as far as is known."""
        return len(self._blocked)

    @property
    def has_unblocked(self) -> bool:
        """Whether :meth:`unblocked` has any."""
        return bool(self._unblocked)

    def unblocked(self) -> Iterator[str]:
        """Names in ``incoming/`` whose namesake is out of work since the last call."""
        while self._unblocked:
            yield self._unblocked.pop()

    # --- adoption

    def adopt(self, most: int | None = None) -> list[Item]:
        """Take over what dead workers left: their items, worked on where they lie. Each is noted as having lost a
        worker, unless that one had stopped in order or had not begun with it. What lies in a directory that we have
        already but is not in hand (it could not be opened when it was claimed or adopted) is taken up as well.
        ``most``: no more than so many in hand, each of which is an open file; the others with a later call
        (:attr:`has_more`). Raises :class:`OSError` when nothing could be taken for it."""
        adopted: list[Item] = []
        self.has_more = False
        self.renew()
        in_hand = {item.where for item in self.items()}
        try:
            for holder in self._holders():
                for name in sorted(holder.items()):
                    if os.path.join(holder.path, name) in in_hand:
                        continue
                    if most is not None and len(in_hand) + len(adopted) >= most:
                        self.has_more = True
                        return adopted
                    with suppress(OSError):  # the next look is in some seconds
                        item = self._adopt(name, holder)
                        if item is not None:
                            adopted.append(item)
                if holder is not self._own and not self._held[holder]:
                    self._drop(holder)
        except OSError:
            if not adopted:
                raise
            self.has_more = True  # those that we have must not be forgotten for it
        return adopted

    def _holders(self) -> Iterator[owner.Owner]:
        """All whose directories we have, and then each dead worker's, when it is asked for."""
        yield from [holder for holder in self._held if not holder.lost]
        for holder in self._ownership.adopt(self._own.name):
            self._held[holder] = 0
            yield holder

    def _adopt(self, name: str, holder: owner.Owner) -> Item | None:
        path = os.path.join(holder.path, name)
        note = notes.read(path)
        namesake = self._in_work.get(name)
        descriptor, found = open_file(path)
        item = self._hold(name, holder, descriptor, found)
        item.note = note
        if holder is not self._own:
            if note is None:
                item.noted().adoptions = 1
            elif note.started:
                note.adoptions += 1
            item.arrived = item.noted().arrived or item.arrived
            with suppress(OSError):
                self._note(item, started=False)
        if namesake is not None:
            self._in_work[name] = namesake
            self.park(item, 1.0)
            return None
        return item

    # --- still ours?

    def renew(self) -> None:
        """Prove that this worker lives, and see whether what it has is its own still. Raises :class:`OSError`."""
        before, self._own = self._own, self._ownership.renew(self._own)
        if before is not self._own:
            self._held[self._own] = 0
            if not self._held[before]:
                del self._held[before]

    def has(self, item: Item) -> bool:
        """Whether the item is this worker's still. Where others may have taken us for dead meanwhile (we were frozen,
        or the file server was not there), that is looked at. Raises :class:`OSError` where it cannot be."""
        if self._expires and not item.owner.is_fresh():
            self.renew()
        return not item.owner.lost

    def let_go(self, item: Item) -> None:
        """Another worker has it; it is out of our hands, and nothing is moved."""
        self._release(item)

    def _is_lost(self, item: Item) -> bool:
        """To be asked just before an item's move: whether it is another's. Then it is let go."""
        if self.has(item):
            return False
        self.let_go(item)
        return True

    # --- in work

    def begin(self, item: Item) -> None:
        """The item is about to be processed. Only one that has a note is marked: from its second worker on, a death
        while it is worked on must be counted; the first leaves its trace by there being no note."""
        if item.note is not None and not item.note.started:
            self._note(item, started=True)

    def acknowledged(self, item: Item) -> None:
        """It is delivered, and stays in hand for a while: a death from now on is not its doing."""
        if item.note is not None and item.note.started:
            with suppress(OSError):  # it is one death too many then
                self._note(item, started=False)

    def keep(self, item: Item, error: str, hint: str) -> None:
        """It was tried, for nothing, through no fault of its own: it stays in hand, and its note says why."""
        if self._expires and not self.has(item):
            return
        item.noted().blame(error, hint)
        self._note(item, started=False)

    def park(self, item: Item, seconds: float) -> None:
        """Let the item wait in ``working/`` for so long."""
        heapq.heappush(self._parked, (time.monotonic() + seconds, next(self._count), item))

    def next_parked(self) -> Item | None:
        """The next parked item whose time has come and which nobody writes to."""
        while self._parked and self._parked[0][0] <= time.monotonic():
            _, _, item = heapq.heappop(self._parked)
            current = self._in_work.setdefault(item.name, item)
            if current is item and self._readiness.ask(item.fd) is not Lease.HELD:
                return item
            self.park(item, 1.0)
        return None

    def next_due(self) -> float:
        """When (monotonic) the first parked item's time has come; infinite if there is none."""
        return self._parked[0][0] if self._parked else float("inf")

    def _note(self, item: Item, *, started: bool) -> None:
        note = item.noted()
        note.started = started
        notes.write_if_room(item.where, note, within=item.owner.path)

    # --- handing on

    def finish(self, item: Item) -> str:
        """Retire a delivered item to ``finished/``; the path it got there, '' where it is another worker's by now."""
        if self._expires and self._is_lost(item):
            return ""
        name = f"{self._today()}/{item.name}" if self._by_date else item.name
        target = f"{self._finished}/{name}"
        try:
            self._move(_WORKING, _FINISHED, item.where, target)
        except OSError:
            target = self._retire(item, _FINISHED, name)  # which meets that again, and knows the ways out
        else:
            self._forget_note(item)
        self._release(item)
        return target

    def _today(self) -> str:
        now = time.time()
        if not self._day_ends - 86400 <= now < self._day_ends:  # the clock may be set back
            self._day, self._day_ends = keeping.day_of(now), (now // 86400 + 1) * 86400
        return self._day

    def delete(self, item: Item) -> None:
        """Retire an item by deleting it."""
        if self._expires and self._is_lost(item):
            return
        assert (Place.WORKING, None) in MOVES
        fs.discard(item.where)
        self._forget_note(item)
        self._release(item)

    def fail(self, item: Item, error: str, hint: str) -> str:
        """Retire an item to ``failed/``, its reason beside it; the path it got there, '' as for :meth:`finish`."""
        if self._expires and self._is_lost(item):
            return ""
        note = item.noted()
        note.blame(error, hint)
        note.started = False
        target = self._retire(item, Place.FAILED, item.name)
        self._release(item)
        return target

    def defer(self, item: Item, delay: float, error: str, hint: str) -> float:
        """Put the item into ``deferred/`` for ``delay`` seconds, or let it wait here where its name is taken there;
        when it is due (seconds since 1970)."""
        if self._expires and self._is_lost(item):
            return time.time() + delay
        note = item.noted()
        note.blame(error, hint)
        note.started = False
        note.deferrals += 1
        due = time.time() + delay
        target = self._path(Place.DEFERRED, item.name)
        try:
            if not os.path.lexists(target):
                self._deferred_is_empty = False
                notes.write(target, note, within=self._directories[Place.DEFERRED], due=due)
                if not self._hand_on(item, Place.DEFERRED, target):
                    _forget(target)
                self._forget_note(item)
                self._release(item, unblock=False)
                return due
        except (FileExistsError, NotADirectoryError):
            pass
        notes.write(item.where, note, within=item.owner.path, due=due)
        self.park(item, delay)
        return due

    def _retire(self, item: Item, place: Place, name: str) -> str:
        """Move it to ``name`` in ``place``, or, that being taken, to one with a suffix. Two tries, never a search."""
        for target in suffix.targets(self._directories[place], name):
            try:
                if place is Place.FAILED:
                    if os.path.lexists(target) and not fs.same_file(item.where, target):
                        continue  # the note there is another item's
                    notes.write(target, item.noted(), within=self._directories[place])
                if not self._hand_on(item, place, target) and place is Place.FAILED:
                    _forget(target)
            except (FileExistsError, NotADirectoryError):
                continue
            self._forget_note(item)
            return target
        raise FileExistsError(errno.EEXIST, "even names with a suffix are taken", item.where)

    def _hand_on(self, item: Item, place: Place, target: str) -> bool:
        """Move the item on. False when its file is not in work any more, and not at ``target``: somebody took it away
        by hand, and there is nothing left to do for us."""
        try:
            self._move(Place.WORKING, place, item.where, target)
        except FileNotFoundError:
            if os.path.lexists(item.where):
                raise
            return os.path.lexists(target)  # on NFS a rename that happened may say ENOENT
        return True

    def _forget_note(self, item: Item) -> None:
        if item.note is not None:  # most items never get one
            _forget(item.where)

    # --- the end

    def tidy(self) -> None:
        """Remove directories that items with subdirectories in their names left in ours, when nothing is in work."""
        if not self._in_work:
            self._own.prune()

    def stop(self, busy: Container[Item] = ()) -> int:
        """Give up everything that is still in hand: it stays where it lies, unlocked, and does not count as having
        lost a worker. How many items that is. The files of ``busy`` items stay open: a thread that still reads one
        must not find another file under its descriptor."""
        left = self.items()
        for item in left:
            with suppress(OSError):
                if not item.owner.lost:
                    self._note(item, started=False)
            if item not in busy:
                item.close()
        for holder in sorted(self._held, key=lambda one: one is self._own):  # one's own is the last
            self._drop(holder)
        self._in_work.clear()
        return len(left)

    def _release(self, item: Item, *, unblock: bool = True) -> None:
        item.close()
        name, holder = item.name, item.owner
        if self._in_work.get(name) is item:
            del self._in_work[name]
        if unblock and name in self._blocked:
            self._blocked.discard(name)
            self._unblocked.append(name)
        self._held[holder] -= 1
        if holder is not self._own and not self._held[holder]:
            self._drop(holder)

    def _drop(self, holder: owner.Owner) -> None:
        del self._held[holder]
        with suppress(OSError):  # an empty directory without a lock: the next look for dead workers removes it
            holder.remove()

    def _is_current(self, item: Item) -> bool:
        return self._in_work.get(item.name) is item

    def _path(self, place: Place, name: str) -> str:
        return f"{self._directories[place]}/{name}"

    def _move(self, origin: Place, to: Place, source: str, target: str, *, lock: int = -1) -> None:
        assert (origin, to) in MOVES, (origin, to)
        ours = to is _WORKING
        try:
            fs.move(source, target, ours=ours, within=self._own.path if ours else self._directories[to])
        except OSError as error:
            if error.errno != errno.EXDEV or not self._copy:
                raise
            # Between file systems two workers could both copy; the lock on the file lets one of them.
            with fs.locked(lock, source) if lock >= 0 else nullcontext(True) as mine:
                if not mine:
                    raise BlockingIOError(errno.EAGAIN, "another worker copies it", source) from None
                fs.copy_move(source, target, within=self._own.path if ours else self._directories[to])


def _forget(item: str) -> None:
    """Remove a note after the item's move: the move has happened, so that this fails must not undo it. What stays is
    litter, and swept."""
    with suppress(OSError):
        notes.forget(item)


def _give_note(item: Item, note: notes.Note | None) -> None:
    if note is None:
        return
    note.inode = item.inode  # the copy mode makes a new file of the same content
    item.note = note
    item.arrived = note.arrived or item.arrived
