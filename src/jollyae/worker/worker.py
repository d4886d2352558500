"""The loop: adopt; arm the watch; while not stopped: for each ready item, claim, process, retire; wait for a wake or
the next due time.

Only this module catches what a processor or the spool raises. Nothing here decides what an error means (:mod:`.retry`),
whether the destination is well (:mod:`.health`), who is next (:mod:`.line`) or when a listener is told (:mod:`.news`).
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NoReturn

from ..spool import mount, names, sharing, sweep, watch
from ..spool.arrivals import Arrivals, Deferred
from ..spool.claims import DEATHS, Claims
from ..spool.item import Item
from ..spool.notes import Note
from ..spool.outcomes import Fail
from ..spool.owner import items_below
from ..spool.readiness import Readiness, ignore_lease_signal
from ..spool.spool import Spool, SpoolError
from .attempt import Fields, Process, as_coroutine, attempt, begin_of
from .counting import Counting
from .health import Health
from .idle import SOON
from .keeper import Keeper
from .line import LARGE, Line
from .loop import loop_factory
from .minutes import Minutes
from .news import Listener, News
from .outbox import Outbox
from .receipts import Receipts
from .retirement import Retirement
from .retry import describe
from .room import Room
from .rules import Rules
from .state import StateFile
from .summary import Summary
from .supply import Supply
from .tally import Tally
from .telling import STUCK_HINT, log, notice, warn
from .view import Situation, View

ADOPT_EVERY = 10.0
"""Seconds between two looks for what dead workers left."""
ONCE_PATIENCE = 30.0
"""With ``once``: seconds of pause after which the worker gives up."""
SWEEP_EVERY = 3600.0
"""Seconds between two looks for litter of crashes."""
SUMMARY_EVERY = 60.0
"""Seconds between two summaries in the log, while there is something to tell."""
_STARTS = 64  # items started before the event loop has its turn
_LARGE_LANE = 4
_DEADLY = Fail("the worker died three times with this", "Look at it; then: jollyae retry SPOOL NAME", "died")


class Worker:
    """Takes items from ``spool`` and has ``process`` deal with each.

    ``process(item)`` (see :class:`Item`) is a coroutine function or a plain one, which is run in a thread. It returns
    (a dict for the receipt, or None): done; raises :class:`Temporary`: again later; raises :class:`Permanent`: never.
    It may be called more than once for an item (a crash), so repeating it must be harmless. ``listeners`` are told
    about the worker's state up to four times a second while it changes. ``destination``: its name for people.
    ``tally``: where it counts what it does. ``outbox``: where a message about each delivery goes before its item is
    retired. ``supply``: what brings the items, if no producers do (:mod:`jollyae.sources`).

    >>> import tempfile
    >>> spool = Spool(tempfile.mkdtemp() + "/spool")
    >>> _ = (spool.places.incoming / "greeting").write_text("hello")
    >>> def process(item):
    ...     print(item.name, os.pread(item.fd, 100, 0))
    >>> Worker(spool, process, Rules(once=True, settle=0)).run().exit_code
    greeting b'hello'
    0
    """

    def __init__(
        self,
        spool: Spool,
        process: Process,
        rules: Rules | None = None,
        *,
        destination: str = "",
        listeners: Iterable[Listener] = (),
        tally: Tally | None = None,
        outbox: Outbox | None = None,
        supply: Supply | None = None,
    ) -> None:
        self._spool = spool
        self._process = process
        self._rules = rules or Rules()
        self._destination = destination
        self._listeners = list(listeners)
        self._health = Health(self._rules.concurrency)
        self._by_hand: str | None = None
        self._flying: dict[Item, tuple[float, bool]] = {}
        self._tasks: dict[Item, asyncio.Task[None]] = {}
        self._large_flying = 0
        self._alone: Item | None = None
        self._stop_signal = 0
        self._stopping = False
        self._landing = self._landed = False
        self._resting = False
        self._given_up = False
        self._why_not = ""
        self._told_problem = ""
        self._emptied = 0.0
        self._tally = tally or Tally()
        self._outbox = outbox
        self._supply = supply
        self.name = ""
        """HOST-PID-X, from when it works on."""

    # --- the life of a worker

    def run(self) -> Summary:
        """Work until told to stop (:meth:`stop`, SIGTERM, SIGINT), or with ``once`` until all is drained. A second
        signal ends the process at once. Raises :class:`SpoolError` when the spool cannot be used."""
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(self.serve())

    def stop(self, signum: int = 0) -> None:
        """Stop taking items, finish what is in flight within the grace time, and end. A second signal ends the process
        at once. Siblings are only told again: to them the parent gives that order, and one signal may come to them by
        several ways (the terminal and systemd tell all processes, the parent does)."""
        alone = not self._rules.share.has_parent
        if self._stopping:
            if signum and alone:
                notice("leaving at once: the next worker takes over what was in flight")
                self.leave(signum)
            return
        self._stopping, self._stop_signal = True, signum
        if alone:
            notice("stopping: %d in flight, %g s for them; again: at once", len(self._flying), self._rules.grace)
        self._wake.set()

    def leave(self, signum: int) -> NoReturn:
        """End the process at once, with the exit code for that signal."""
        with suppress(Exception):  # an order, so what is in flight has not killed its worker
            self._claims.stop(busy=set(self._flying))
        os._exit(128 + signum)

    async def serve(self) -> Summary:
        """:meth:`run`, on a running event loop."""
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._open()
        try:
            self._adopt()
            self._look_for_pause()
            await self._drain()
            left = await self._land()
            if self._supply is not None:
                await self._supply.close()
            if self._rules.once and not self._stop_signal:
                await asyncio.to_thread(self._keeper.finish)
            with suppress(OSError):
                self._news.tell(self._situation())
        finally:
            waiting = self._close()
        tally, once = self._tally, self._rules.once
        line = self._line
        growing, stuck = (tuple(line.given_up - line.stuck.keys()), tuple(line.given_up & line.stuck.keys()))
        counts = (tally.delivered, tally.failed, tally.deferred, left, waiting)
        summary = Summary(*counts, once, self._stop_signal, growing, self._given_up, stuck)
        if once and not self._rules.share.has_parent:
            summary.tell()
        return summary

    def _open(self) -> None:
        spool, rules = self._spool, self._rules
        lease = ignore_lease_signal()
        incoming = str(spool.places.incoming)
        remote = mount.is_remote(mount.kind(incoming))
        readiness = Readiness(rules.settle, lease=lease and not remote, trust_ctime=not remote)
        spool.prove()
        try:
            ownership, remark = sharing.ownership(spool.places, rules.shared)
            self._claims = Claims(
                spool.places, readiness, copy=spool.copy, by_date=rules.finished_by_date, ownership=ownership
            )
        except OSError as error:
            raise SpoolError(f"cannot work in {spool.places.working}: {describe(error)}") from error
        self.name = self._claims.worker
        self._watch = watch.watch(incoming, str(spool.places.control))
        own = rules.share.own()
        self._arrivals = Arrivals(incoming, self._watch, rules.wanted(), own)
        self._deferred = Deferred(str(spool.places.deferred), own)
        self._line = Line(self._claims, self._arrivals, self._deferred, once=rules.once, tally=self._tally)
        self._room = Room(self._claims.directory)
        self._minutes = Minutes(str(spool.places.receipts), self._claims.worker, self._tally)
        self._receipts = Receipts(str(spool.places.receipts), self._claims.worker, keep=rules.keep_receipts)
        self._keeper = Keeper(spool.places, rules)
        self._retirement = self._make_retirement()
        self._make_view()
        self._executor = ThreadPoolExecutor(rules.concurrency, thread_name_prefix="jollyae")
        self._call = as_coroutine(self._process, self._executor)
        self._begin = begin_of(self._process)
        self._listen()
        self._sweep()
        self._keeper.start()
        if remark:
            notice("%s: %s", spool.places.control, remark)
        how = f"{self._watch.why}; shared, lease {self._claims.lease:g} s" if self._claims.lease else self._watch.why
        notice("working on %s (%s)", spool.places.incoming, how, worker=self.name)

    def _listen(self) -> None:
        """From now on, hear the watch, the operator's signals and the clock."""
        descriptor = self._watch.fileno()
        if descriptor is not None:
            self._loop.add_reader(descriptor, self._hinted)
        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(ValueError, RuntimeError):  # not the main thread: the caller stops us
                self._loop.add_signal_handler(number, self.stop, int(number))
        with suppress(ValueError, RuntimeError):
            self._loop.add_signal_handler(signal.SIGUSR1, self._summarize)
        chores = (
            self._every(lambda: asyncio.sleep(min(ADOPT_EVERY, self._claims.look_every)), self._adopt),
            self._every(lambda: self._news.wait(hears_all=self._hears_all()), self._tell),
            self._every(lambda: asyncio.sleep(SUMMARY_EVERY), self._summarize),
            self._every(lambda: asyncio.sleep(SWEEP_EVERY), self._sweep),
            self._counting.run(lambda: bool(self._flying)),
        )
        self._chores = [self._loop.create_task(chore) for chore in chores]
        if self._supply is not None:
            self._supply.begin(self._spool)
            self._supplying = self._loop.create_task(self._supply.run())
            self._chores.append(self._supplying)

    def _make_retirement(self) -> Retirement:
        return Retirement(
            rules=self._rules,
            destination=self._destination,
            claims=self._claims,
            line=self._line,
            deferred=self._deferred,
            receipts=self._receipts,
            health=self._health,
            room=self._room,
            tally=self._tally,
            soon=lambda: self._loop.call_soon(self._turn),
            wake=self._wake.set,
            outbox=self._outbox,
            supply=self._supply,
        )

    def _make_view(self) -> None:
        self._counting = Counting(
            self._spool.places, self._rules, self._tally, self._claims, self._arrivals, self._keeper.moves
        )
        self._view = View(
            destination=self._destination,
            watch=self._watch,
            claims=self._claims,
            arrivals=self._arrivals,
            deferred=self._deferred,
            line=self._line,
            health=self._health,
            room=self._room,
            tally=self._tally,
            minutes=self._minutes,
            counting=self._counting,
            expiry=getattr(self._process, "credentials_expiry", lambda: 0.0),
            supply=self._supply,
        )
        self._news = News(self._view, [*self._listeners, StateFile(self._claims.directory).show])

    def _close(self) -> int:
        """Give everything up; how many items wait for another try."""
        waiting = len(self._claims.items()) + self._waiting()
        for task in self._chores:
            task.cancel()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            with suppress(ValueError, RuntimeError):
                self._loop.remove_signal_handler(number)
        descriptor = self._watch.fileno()
        if descriptor is not None:
            self._loop.remove_reader(descriptor)
        self._watch.close()
        self._receipts.close()
        if self._outbox is not None:
            self._outbox.close()
        self._minutes.close()
        self._keeper.stop()
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._counting.close()
        self._claims.stop(busy=set(self._flying))
        return waiting

    def _waiting(self) -> int:
        """How many items are deferred, or were given up. What cannot be counted must not keep us from ending in
        order."""
        deferred, arrived = 0, len(self._line.given_up)
        with suppress(OSError):
            deferred = sum(1 for _ in items_below(str(self._spool.places.deferred)))
            if self._given_up:
                arrived = sum(map(self._rules.wanted(), items_below(str(self._spool.places.incoming))))
        return deferred + arrived

    # --- the loop

    async def _drain(self) -> None:
        while not self._stopping:
            self._wake.clear()
            why_not = self._why_not = self._start_ready()
            if self._rules.once and self._is_over(why_not):
                return
            if why_not:
                await self._rest(why_not)
            else:
                await asyncio.sleep(0)

    def _start_ready(self) -> str:
        """Start what is ready and has room; why no more was started ('' if it was only for breath). First all claims,
        then all beginnings: what is done many times in a row finds its code and data in the processor's cache."""
        ready: list[Item] = []
        try:
            return self._claim_ready(ready)
        finally:
            for item in self._begin(ready, self._ended) if self._begin is not None and ready else ready:
                self._call_in_task(item)

    def _claim_ready(self, ready: list[Item]) -> str:
        line, health, flying = self._line, self._health, self._flying
        room = 0
        for _ in range(_STARTS):
            if room <= 0:
                if why_not := self._obstacle():
                    return why_not
                room = health.room(len(flying))
            lane = not self._large_flying or self._large_flying < self._large_lane()
            try:
                item = line.next(room_for_large=lane, idle=not flying)
            except OSError as error:
                self._room.trouble(error)
                return "spool"
            finally:
                if line.newly_stuck:
                    self._tell_stuck()
            if item is None:
                return "" if line.out_of_breath or (self._claims.has_more and self._take_over()) else "empty"
            room -= 1
            if self._supply is not None and not item.source:
                item.source = self._supply.source_of(item)
            if item.note is not None:
                room = 0  # one with a past may be in the way of others
                if not self._may_begin(item, item.note):
                    continue
            large = item.size >= LARGE
            self._large_flying += large
            flying[item] = health.started(), large
            ready.append(item)
        return ""

    def _call_in_task(self, item: Item) -> None:
        self._tasks[item] = self._loop.create_task(self._work(item))

    def _large_lane(self) -> int:
        return min(_LARGE_LANE, max(1, self._health.limit // 4))

    def _obstacle(self) -> str:
        """What forbids to start anything now."""
        if self._landing or self._stopping:
            return "stopping"
        if self._room.health.paused is not None and not self._is_well():
            return "spool"
        if self._by_hand is not None:
            return "by hand"
        if self._alone is not None or (self._line.next_is_alone and self._flying):
            return "alone"
        if self._health.room(len(self._flying)) <= 0:
            return "paused" if self._health.paused else "limit"
        return "behind" if self._retirement.is_full else ""

    async def _rest(self, why_not: str) -> None:
        """Wait for a wake, or until there is something to do without one."""
        match why_not:
            case "empty":
                until = self._line.next_due()
            case "paused" | "limit":
                until = self._health.next_start(len(self._flying))
            case "spool":
                until = self._room.health.next_probe()
            case _:
                until = float("inf")
        if self._rules.once and self._health.paused:
            until = min(until, time.monotonic() + 1.0)
        timer = None
        if why_not == "empty" and not self._arrivals.unready and not self._line.passed_over:
            self._emptied = time.time()
        if until < float("inf"):
            timer = self._loop.call_later(max(until - time.monotonic(), 0.0), self._wake.set)
        self._resting = True
        await self._wake.wait()
        self._resting = False
        if timer is not None:
            timer.cancel()
        self._news.stirred.set()
        self._counting.stir()

    def _is_over(self, why_not: str) -> bool:
        """With ``once``: whether all is done that can be done."""
        if why_not == "by hand" or max(self._health.paused_for(), self._room.health.paused_for()) > ONCE_PATIENCE:
            self._given_up = True
            return True
        busy = self._flying or self._retirement.is_behind
        return why_not == "empty" and not busy and self._line.is_over() and not self._claims.is_undecided()

    async def _land(self) -> int:
        """Let what is in flight finish within the grace time; how many items did not."""
        self._landing = True
        if self._supply is not None:
            self._supplying.cancel()
        until = self._loop.time() + self._rules.grace
        await self._wait_while(lambda: bool(self._flying), until)
        if self._flying:
            log.warning("%d items were still in flight: the next worker takes them over", len(self._flying))
        if left := list(self._tasks.values()):
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=1.0)
        self._retirement.write_down()
        await self._wait_while(lambda: self._retirement.is_announcing, max(until, self._loop.time() + 1.0))
        self._retirement.abandon()
        self._landed = True
        return len(self._flying)

    async def _wait_while(self, condition: Callable[[], bool], until: float) -> None:
        """Wait, from wake to wake, until it is not so any more, or till then (the loop's time)."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while condition():
                    self._wake.clear()
                    await self._wake.wait()

    # --- one item

    def _may_begin(self, item: Item, note: Note) -> bool:
        """Whether an item with a past is to be worked on now."""
        if note.adoptions >= DEATHS:
            self._retirement.fail(item, _DEADLY)
            return False
        suspect = note.adoptions > 1
        if suspect and self._flying:
            self._line.adopt(item)  # it waits until it can have the worker for itself
            return False
        try:
            if not self._claims.has(item):
                self._claims.let_go(item)
                return False
            self._claims.begin(item)
        except OSError as error:
            self._line.hold(item)
            self._room.trouble(error)
            return False
        if suspect:
            self._alone = item
        return True

    async def _work(self, item: Item) -> None:
        """Call the processor with the item."""
        outcome: Fields | Exception
        try:
            outcome = await attempt(self._call, item)
        except Exception as error:
            outcome = error
        finally:
            del self._tasks[item]
        self._over(item, outcome)

    def _ended(self, item: Item, outcome: Fields | Exception) -> None:
        """What the processor had begun is over."""
        if self._landed:
            return  # nobody waited for it any more
        if not isinstance(outcome, Exception) and item.changed():
            item.supersede(outcome)
            self._call_in_task(item)
            return
        self._over(item, outcome)

    def _turn(self) -> None:
        """Write down what was acknowledged in this turn of the loop, and put others in their place at once."""
        self._retirement.write_down()
        if self._resting:
            self._start_ready()

    def _over(self, item: Item, outcome: Fields | Exception) -> None:
        began, large = self._flying.pop(item)
        self._large_flying -= large
        if self._alone is item:
            self._alone = None
        if isinstance(outcome, Exception):
            item.tidy()
            self._retirement.failed(item, outcome, began)
            self._wake.set()
        else:
            self._retirement.succeeded(item, outcome, began, len(self._flying))

    def _is_well(self) -> bool:
        """Whether the spool can be worked on; when it can again, what could not be taken over is."""
        was = self._room.health.paused is None
        well = self._room.is_well(self._retirement.catch_up)
        if well and not was:
            self._take_over()
        return well

    # --- chores

    async def _every(self, wait: Callable[[], Awaitable[None]], chore: Callable[[], None]) -> None:
        """Wait, then do it, again and again."""
        while True:
            await wait()
            try:
                chore()
            except OSError as error:
                self._room.trouble(error)
            except Exception:
                log.exception("a fault of jollyae's; please report it")

    def _hinted(self) -> None:
        if self._arrivals.wake():
            self._look_for_pause()
            if not self._rules.once:
                self._deferred.wake()
        if self._resting:
            self._start_ready()  # a turn of the loop earlier than by waking it
        self._wake.set()

    def _look_for_pause(self) -> None:
        before, self._by_hand = self._by_hand, self._spool.paused()
        if before is None and self._by_hand is not None:
            warn(
                f"paused by hand: {self._by_hand}",
                f"To go on: jollyae resume {self._spool.places.words}",
            )
        elif before is not None and self._by_hand is None:
            notice("resumed by hand")
            self._wake.set()

    def _take_over(self) -> bool:
        """Take up what workers left, as much as there is room for; whether there was any."""
        try:
            adopted = self._claims.adopt(self._rules.concurrency)
        except OSError as error:
            self._room.trouble(error)
            return False
        for item in adopted:
            self._line.adopt(item)
            self._tally.adopt(item.size)
        strays = [item for item in adopted if item.owner.path == self._claims.directory]
        if strays:
            text = "lies beside what is in work and is taken for an item"
            warn(text, "If a command that --exec runs wrote it: let it write elsewhere.", strays[0], files=len(strays))
        if left := len(adopted) - len(strays):
            notice("took over %d item%s that a worker left", left, "s" if left > 1 else "")
        if adopted:
            self._wake.set()
        return bool(adopted)

    def _adopt(self) -> None:
        self._take_over()
        if self._rules.once:
            self._wake.set()  # it may have waited for this look
        if not self._flying:
            self._claims.tidy()
        if self._rules.prune_empty is not None:
            sweep.prune_empty(str(self._spool.places.incoming), self._rules.prune_empty)
        if self._arrivals.problem != self._told_problem:
            self._told_problem = self._arrivals.problem
            if self._told_problem:
                warn(f"incoming/ cannot be read: {self._told_problem}", "Give us the right to, or make it.")
            else:
                notice("incoming/ can be read again")

    def _tell_stuck(self) -> None:
        for name in self._line.newly_stuck:
            warn(f"cannot be taken: {self._line.stuck[name]}", STUCK_HINT, item=names.show(name))
        self._line.newly_stuck.clear()

    def _sweep(self) -> None:
        self._executor.submit(sweep.sweep, self._spool.places)

    def _situation(self) -> Situation:
        is_empty = self._resting and self._why_not == "empty"
        return Situation(self._flying, self._by_hand, is_empty, self._emptied)

    def _tell(self) -> None:
        if self._by_hand is not None or self._watch.fileno() is None:
            self._look_for_pause()
        self._minutes.look()
        self._look_whether_idle()
        self._news.look(self._situation())

    def _hears_all(self) -> bool:
        """Whether all that :meth:`_tell` looks for wakes the loop. What does not: that a pause by hand is over where
        nobody tells, how the supply is, and the time after which to end."""
        hears = self._by_hand is None and self._watch.fileno() is not None
        return hears and self._supply is None and self._rules.idle_exit is None

    def _look_whether_idle(self) -> None:
        tally, idle, wanted = self._tally, self._view.idle, self._rules.idle_exit
        idle.look(self._is_busy(), (tally.delivered, tally.failed, tally.deferred))
        if wanted is not None and not self._rules.share.has_parent and idle.lasted() >= wanted:
            notice("ending: nothing was to do for %g s", wanted)
            self._stopping = True
            self._wake.set()

    def _is_busy(self) -> bool:
        """Whether there is anything to do, now or soon."""
        if self._why_not != "empty" or self._retirement.is_behind or self._arrivals.unready > len(self._line.stuck):
            return True
        if self._supply is not None and self._supply.is_busy:
            return True
        soon = SOON if self._rules.idle_exit is None else self._rules.idle_exit
        return bool(self._claims.items()) or self._deferred.earliest <= time.time() + soon

    def _summarize(self) -> None:
        if not self._rules.share.has_parent:
            self._tally.tell(len(self._flying))
