"""From messages to items: a message is received; the objects that it names are fetched into the spool's ``incoming/``,
each under its key as its name; when the last of them is retired, the message is done.

Until then the broker has the message, so nothing of this needs the disk to be sure of anything: what a crash leaves in
the spool saves work, and what it does not leave comes again. One name is in work once. Another message about the same
state of an object joins the first; one about another state waits, and the worker has the states of one object in the
order in which they were told.

Only this process works on this spool: siblings have each their own, since a message can be told of only by who
received it.
"""

import asyncio
import errno
import os
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Protocol

from ..spool import fs, names, notes
from ..spool.item import Item
from ..spool.outcomes import Defer, Fail, Outcome, Permanent, Scope, Temporary
from ..spool.owner import entries_below
from ..spool.spool import Spool
from ..worker.health import Health, Pause
from ..worker.reasons import known
from ..worker.retry import delay, describe, first_delay
from ..worker.telling import log, notice, warn
from . import events
from .events import Event, Kind
from .naming import name_of
from .objects import UNKNOWN, Arrived, State, mark_of, state_of
from .provenance import Provenance, url_of
from .source import Message, Source, Why

FETCHES = 32
"""Objects that are fetched at a time."""
PREFETCH, PREFETCH_BYTES = 128, 1 << 30
"""The most messages with us, and the most bytes of their objects that are on our disk, where nobody says another."""
SUMMARY_EVERY, LOOK_EVERY = 60.0, 10.0
"""Seconds between two lines of the log about what came, while something does; and between two looks for messages that
were kept for too long."""
CLOSE_WITHIN = 5.0
"""Seconds that dead letters have to be sent when the worker ends."""
_SAID = {
    "created": "objects told of",
    "removed": "removals",
    "test": "test events",
    "other": "events of other kinds",
    "fetched": "fetched",
    "unwanted": "left out by --include or --exclude",
    "gone": "gone before they were fetched",
    "dead": "put among the dead letters",
    "back": "given back",
}
_MOST_UNSAID = 10_000
_AGAIN = 0.3  # seconds until a name is tried again that another item's directory obstructs: thrice a second
_MACHINE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE})


class Fetcher(Protocol):
    """Fetches objects (:class:`.objects.Objects`)."""

    async def fetch(self, event: Event, directory: str) -> Arrived:
        """The object, in a file of that directory."""

    def close(self) -> None:
        """Take no more requests."""


@dataclass(slots=True, eq=False)
class Ticket:
    """A message, and how many of its objects are still to be retired. ``why``: why one of them failed."""

    message: Message
    left: int
    why: Why | None = None


@dataclass(slots=True, eq=False)
class Work:
    """An object in work. ``state``: which state of it, as far as that is known; ``tickets``: the messages that told of
    it; ``later``: what was told of other states since; ``deferrals``: how often fetching it failed; ``source``: the
    URL of the object, once it is fetched; ``is_noted``: a note in ``incoming/`` tells it."""

    event: Event | None
    name: str
    state: State
    tickets: list[Ticket] = field(default_factory=list)
    later: deque[tuple[Event, Ticket]] = field(default_factory=deque)
    size: int = 0
    deferrals: int = 0
    is_fetched: bool = False
    source: str = ""
    is_noted: bool = False

    @property
    def is_lost(self) -> bool:
        """Whether every message about it is the broker's again."""
        return all(ticket.message.lost for ticket in self.tickets)


class Intake:
    """A :class:`~jollyae.worker.supply.Supply` of what a source tells of. ``most_bytes``: of objects in the spool at a
    time (a larger one comes alone); ``is_wanted`` says of a name whether the worker takes it: messages about others are
    done."""

    def __init__(
        self,
        source: Source,
        objects: Fetcher,
        *,
        most_bytes: int = PREFETCH_BYTES,
        is_wanted: Callable[[str], bool] | None = None,
    ) -> None:
        self._source = source
        self._is_wanted = is_wanted
        self._objects = objects
        self._most_bytes = most_bytes
        self._work: dict[str, Work] = {}
        self._wanted: deque[Work] = deque()
        self._bytes = 0
        self._fetching: dict[Work, asyncio.Task[None]] = {}
        self._put_off: dict[Work, Pause] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._broker, self._store = Health(1), Health(FETCHES)
        self._counts: Counter[str] = Counter()
        self._said: Counter[str] = Counter()
        self._unsaid: dict[str, int] = {}
        self._is_open = self._closed = False

    # --- what the worker asks

    @property
    def paused(self) -> Pause | None:
        """See :class:`~jollyae.worker.supply.Supply`. It is one too where all that is here waits to be fetched again:
        there may be no room for anything else."""
        pause = self._broker.paused or self._store.paused
        if pause is None and self._put_off and len(self._put_off) == len(self._work):
            last = next(reversed(self._put_off.values()))
            count = len(self._put_off)
            return replace(last, error=f"{count} object{'s' if count > 1 else ''} cannot be had now: {last.error}")
        return pause

    @property
    def is_busy(self) -> bool:
        """See :class:`~jollyae.worker.supply.Supply`."""
        return bool(not self._is_open or self._fetching or self._wanted or self._tasks)

    def begin(self, spool: Spool) -> None:
        """Know again what an earlier process had fetched: messages about it will join it."""
        self._spool = spool
        self._tmp, self._incoming = str(spool.places.tmp), str(spool.places.incoming)
        for place in (spool.places.incoming, spool.places.deferred, spool.places.working):
            for name, entry in entries_below(str(place)):
                own = name.partition("/")[2] if place == spool.places.working else name
                with suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if own and own not in self._work:
                        self._work[own] = Work(None, own, state_of(found), is_fetched=True)
                        self._book(self._work[own], found.st_size)
        self._provenance = Provenance(spool.places, is_empty=not self._work)

    def source_of(self, item: Item) -> str:
        """See :class:`~jollyae.worker.supply.Supply`."""
        work = self._work.get(item.name)
        if work is None or not work.is_fetched:  # the name may be another file's, which somebody put there
            return self._provenance.of_stranger(item, was_here=False)
        if work.is_noted:
            self._provenance.bring(item, work.source)
            work.is_noted = False
        elif not work.source:
            work.source = self._provenance.of_stranger(item, was_here=True)
        return work.source

    async def run(self) -> None:
        """See :class:`~jollyae.worker.supply.Supply`."""
        telling = asyncio.create_task(self._tell())
        try:
            while True:
                try:
                    self._is_open = False
                    await self._source.open()
                    self._is_open = True
                    if self._broker.succeeded(0):
                        notice("resumed: %s", self._source.name)
                    else:
                        notice("taking from %s", self._source.name)
                    while True:
                        for message in await self._source.receive():
                            self._take(message)
                        self._start_fetches()
                except Temporary as error:
                    self._is_open = False
                    await self._rest(error)
                except Exception as error:
                    log.exception("a fault of jollyae's; please report it")
                    await self._rest(Temporary(describe(error), scope=Scope.DESTINATION, reason="fault"))
        finally:
            telling.cancel()

    def retired(self, item: Item, outcome: Outcome) -> None:
        """See :class:`~jollyae.worker.supply.Supply`."""
        work = self._work.get(item.name)
        if work is None or isinstance(outcome, Defer):
            return
        why = Why(outcome.error, outcome.hint, outcome.reason) if isinstance(outcome, Fail) else None
        self._over(work, why)

    # --- messages

    def _take(self, message: Message) -> None:
        """Look what a message says, and want its objects."""
        try:
            told = events.read(message.body)
        except Permanent as error:
            self._in_background(self._poison(message, error))
            return
        created = []
        for event in told:
            self._counts[event.kind.value] += 1
            if event.kind is not Kind.CREATED:
                log.info("nothing to fetch: %s", event.kind.value, extra={"url": names.show(event.url)})
            elif self._is_wanted is not None and not self._is_wanted(name_of(event.key)):
                self._counts["unwanted"] += 1
                log.info("done without being fetched: left out", extra={"url": names.show(event.url)})
            else:
                created.append(event)
        if not created:
            self._source.done([message])
            return
        ticket = Ticket(message, len(created))
        for event in created:
            self._want(event, ticket)

    def _want(self, event: Event, ticket: Ticket) -> None:
        name, mark = name_of(event.key), mark_of(event.bucket, event.etag, event.version)
        work = self._work.get(name)
        is_repeat = work is None and ticket.message.deliveries > 1
        if is_repeat and self._unsaid.get(name, UNKNOWN) == mark != UNKNOWN:
            del self._unsaid[name]
            self._settle(ticket, None)
        elif is_repeat and (why := self._failed_before(name, event)) is not None:
            self._settle(ticket, why)
        elif work is None:
            work = self._work[name] = Work(event, name, State(event.size, mark), [ticket])
            self._wanted.append(work)
        elif work.state.mark == mark != UNKNOWN:
            work.tickets.append(ticket)
            if not work.source and work.is_fetched and not event.otherwise:
                work.source = url_of(event.bucket, event.key)
        else:
            work.later.append((event, ticket))

    def _failed_before(self, name: str, event: Event) -> Why | None:
        """Why this state of the object failed here before, when a crash kept us from telling the broker."""
        failed = str(self._spool.places.failed / name)
        try:
            found = os.lstat(failed)
        except OSError:
            return None
        if state_of(found).mark != mark_of(event.bucket, event.etag, event.version):
            return None
        note = notes.read(failed, found)
        return Why(note.error, note.hint) if note is not None else None

    def _over(self, work: Work, why: Why | None = None) -> None:
        """The object is retired (``why``: it failed), or is not to be had. What was told of it since is next."""
        del self._work[work.name]
        self._put_off.pop(work, None)
        self._book(work, 0)
        if why is None and work.is_fetched and work.tickets and work.is_lost:
            self._unsaid[work.name] = work.state.mark  # the broker took the message back while it was worked on
            if len(self._unsaid) > _MOST_UNSAID:
                del self._unsaid[next(iter(self._unsaid))]
        for ticket in work.tickets:
            self._settle(ticket, why)
        if work.later:
            later, work.later = work.later, deque()
            for event, ticket in later:
                if not ticket.message.lost:
                    self._want(event, ticket)
        if self._wanted:
            self._start_fetches()

    def _settle(self, ticket: Ticket, why: Why | None) -> None:
        ticket.left -= 1
        ticket.why = ticket.why or why
        if ticket.left:
            return
        if ticket.why is None:
            self._source.done((ticket.message,))
        else:
            self._in_background(self._bury(ticket.message, ticket.why))

    async def _bury(self, message: Message, why: Why) -> None:
        """Put it among the dead letters, however long that takes. What the broker takes back meanwhile comes again."""
        tries = 0
        while not message.lost:
            try:
                await self._source.dead(message, why)
            except Temporary as error:
                tries += 1
                warn(f"not yet among the dead letters: {error.message}", error.hint, reason=error.reason)
                await asyncio.sleep(delay(tries, random.random(), 1.0))
            else:
                self._counts["dead"] += 1
                return

    async def _poison(self, message: Message, error: Permanent) -> None:
        """Nobody can read it: its bytes go to ``failed/``, with the reason beside them, and to the dead letters."""
        why = Why(f"{error.message}, from {self._source.name}", error.hint, error.reason)
        warn(why.error, why.hint, reason=why.reason)
        while True:
            try:
                self._keep_poison(message.body, why)
                break
            except OSError as trouble:
                warn(f"cannot be kept in failed/: {describe(trouble)}", "Free some room.", reason="full")
                await asyncio.sleep(delay(1, random.random()))
        await self._bury(message, why)

    def _keep_poison(self, body: bytes, why: Why) -> None:
        name = f"message-{sha256(body).hexdigest()[:16]}.json"
        target, temporary = str(self._spool.places.failed / name), fs.temporary_name(self._tmp)
        if os.path.lexists(target):
            return  # it came before
        descriptor = fs.create(temporary)
        try:
            fs.write_all(descriptor, body)
            note = notes.about(name, os.fstat(descriptor))
        finally:
            os.close(descriptor)
        note.error, note.hint, note.attempts, note.at = why.error, why.hint, 1, note.mtime_ns / 1e9
        note.is_message = True
        notes.write(target, note)
        fs.rename(temporary, target)

    # --- objects

    def _start_fetches(self) -> None:
        """Fetch what is wanted, as far as there is room; while the store is unwell, one at a time and now and then."""
        while self._wanted and not self._closed and self._store.room(len(self._fetching)) > 0:
            work = self._wanted[0]
            size = max(work.state.size, 0)
            if self._bytes and self._bytes + size > self._most_bytes:
                return
            self._wanted.popleft()
            if work.is_lost:
                self._over(work)
                continue
            self._book(work, size)
            self._fetching[work] = asyncio.create_task(self._fetch(work, self._store.started()))

    def _book(self, work: Work, size: int) -> None:
        """So many bytes are on our disk for it, or soon."""
        self._bytes += size - work.size
        work.size = size

    async def _fetch(self, work: Work, began: float) -> None:
        assert work.event is not None
        try:
            arrived = await self._objects.fetch(work.event, self._tmp)
            self._store_is_well(began)
            await self._put(work, arrived)
        except FileNotFoundError:
            self._store_is_well(began)
            self._counts["gone"] += 1
            log.info("nothing to fetch: it is gone", extra={"url": names.show(work.event.url)})
            self._over(work)
        except Permanent as error:
            self._store.over(began)
            warn(error.message, error.hint, reason=error.reason, url=names.show(work.event.url))
            self._over(work, Why(error.message, error.hint, error.reason))
        except Temporary as error:
            self._not_now(work, error, began)
        except OSError as error:
            scope = Scope.DESTINATION if error.errno in _MACHINE else Scope.ITEM
            text = f"{names.show(work.event.url)} cannot be put into the spool: {describe(error)}"
            hint = "Free some room, or mend the disk."
            self._not_now(work, Temporary(text, hint=hint, scope=scope, reason="machine"), began)
        except Exception as error:
            log.exception("a fault of jollyae's; please report it")
            self._not_now(work, Temporary(f"{names.show(work.event.url)}: {describe(error)}", reason="fault"), began)
        finally:
            self._fetching.pop(work, None)
            self._start_fetches()

    def _store_is_well(self, began: float) -> None:
        if self._store.succeeded(len(self._fetching), began):
            notice("resumed: objects are fetched again")

    async def _put(self, work: Work, arrived: Arrived) -> None:
        """Give it to the worker."""
        assert work.event is not None
        work.state = arrived.state
        self._book(work, arrived.state.size)
        work.source = url_of(work.event.bucket, arrived.key)
        try:
            if work.event.bucket != self._provenance.bucket or arrived.key != work.event.key:
                self._keep_source(work, work.event, arrived)
            while not self._moved_in(arrived.path, work.name):
                await asyncio.sleep(_AGAIN)
        except BaseException:
            with suppress(OSError):
                fs.discard(arrived.path)
            raise
        work.is_fetched = True
        self._counts["fetched"] += 1

    def _keep_source(self, work: Work, event: Event, arrived: Arrived) -> None:
        """So that whoever takes the item over knows it: for the spool once, where that is not told yet and there is
        nothing here of which it may be wrong; else for the item."""
        if not self._provenance.bucket and all(one.source or not one.is_fetched for one in self._work.values()):
            self._provenance.settle(event.bucket)
        if event.bucket != self._provenance.bucket or arrived.key != event.key:
            self._provenance.note(work.name, arrived.path, work.source)
            work.is_noted = True

    def _moved_in(self, path: str, name: str) -> bool:
        """Whether it could be moved into ``incoming/``. Of `a` and `a/b` the other one may be in work, or have left its
        directory there."""
        try:
            if "/" not in name:
                fs.rename(path, f"{self._incoming}/{name}")
                return True
            with fs.beneath(self._incoming, name, make=True) as target:
                fs.rename(path, target)
                return True
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            below = f"{self._incoming}/{name}"
            for directory in (*fs.directories_below(below), below):
                with suppress(OSError):
                    fs.remove_directory(directory)
            return False

    def _not_now(self, work: Work, error: Temporary, began: float) -> None:
        """The object cannot be had now: it waits, alone or, where the store is unwell, with all others."""
        self._book(work, 0)
        loop = asyncio.get_running_loop()
        unwell = error.scope is Scope.DESTINATION and error.reason != "bucket"  # a bucket is one of many
        if unwell or (error.scope is Scope.UNSURE and self._store.doubt(work.name)):
            self._wanted.append(work)  # another one is the next to try: it may be this one alone that is refused
            self._tell_of(self._store, error, began)
            wait = self._store.next_probe() - time.monotonic()
            if wait < float("inf"):
                loop.call_later(max(wait, 0.0) + 0.01, self._start_fetches)
            return
        self._store.over(began)
        work.deferrals += 1
        seconds = delay(work.deferrals, random.random(), first_delay(error.after))
        warn(f"fetched again in {seconds:.0f} s: {error.message}", error.hint, reason=error.reason)
        now, reason = time.monotonic(), known(error.reason)
        state = f"put off: {reason}"
        self._put_off[work] = Pause(error.message, error.hint, reason, state, time.time(), now, now + seconds)
        loop.call_later(seconds, self._again, work)

    def _again(self, work: Work) -> None:
        self._put_off.pop(work, None)
        if self._work.get(work.name) is work and not self._closed:
            self._wanted.append(work)
            self._start_fetches()

    # --- pauses, and time

    def _tell_of(self, health: Health, error: Temporary, began: float | None = None) -> None:
        """The broker or the store is unwell: that is told when it is news."""
        news = health.failed(
            error.message,
            error.hint,
            reason=error.reason,
            throttled=error.throttled,
            state=error.state,
            after=error.after,
            began=began,
        )
        if news:
            warn(f"paused: {error.message}", error.hint, reason=error.reason)

    async def _rest(self, error: Temporary) -> None:
        """Until the broker is tried again."""
        self._tell_of(self._broker, error)
        await asyncio.sleep(max(self._broker.next_probe() - time.monotonic(), 0.1))
        self._broker.started()

    async def _tell(self) -> None:
        """Say now and then what came, and give back what was kept for as long as the broker allows."""
        while True:
            for _ in range(int(SUMMARY_EVERY / LOOK_EVERY)):
                await asyncio.sleep(LOOK_EVERY)
                await self._give_back_old()
            self._summarize()

    def _summarize(self) -> None:
        """Say what came since this was said last, if anything did."""
        if news := self._counts - self._said:
            said = ", ".join(f"{count} {_SAID[what]}" for what, count in sorted(news.items()))
            notice("from %s: %s", self._source.name, said)
        self._said = Counter(self._counts)

    async def _give_back_old(self) -> None:
        """Give back the messages that the broker is about to take back: what is being worked on is done to its end, and
        comes a second time; all other is dropped here."""
        before = time.monotonic() - self._source.keeps_for
        old = [work for work in self._work.values() if any(one.message.since < before for one in work.tickets)]
        if old:
            await self._give_back(old, lambda message: message.since < before)

    async def _give_back(self, works: list[Work], which: Callable[[Message], bool] = lambda message: True) -> None:
        """First the messages, then what is here of the objects: a crash between leaves both."""
        messages = {one.message: None for work in works for one in work.tickets if which(one.message)}
        with suppress(Temporary):  # the connection is gone: they are the broker's already
            await self._source.again([message for message in messages if not message.lost])
        for work in works:
            if work.tickets and work.is_lost and work.is_fetched and self._drop(work.name):
                self._counts["back"] += 1
                work.tickets.clear()  # whoever gets them works on it
                if self._work.get(work.name) is work:
                    self._over(work)

    def _drop(self, name: str) -> bool:
        """Remove the item unless it is in the worker's hands; whether it was."""
        for place in (self._spool.places.incoming, self._spool.places.deferred):
            source, temporary = str(place / name), fs.temporary_name(self._tmp)
            with suppress(OSError):
                fs.rename(source, temporary)  # the worker cannot claim it any more, and we see whether it had
                fs.discard(temporary)
                notes.forget(source)
                return True
        return False

    def _in_background(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """See :class:`~jollyae.worker.supply.Supply`."""
        self._closed = True
        fetching = list(self._fetching.values())
        for task in fetching:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_WITHIN)
        left = [*fetching, *self._tasks]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._source.pause()
        await self._give_back([work for work in self._work.values() if work.tickets])
        await self._source.close()
        self._objects.close()
        self._summarize()
