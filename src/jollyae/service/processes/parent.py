"""The parent of all processes: has a team of workers for each queue, and companions beside them.

It touches no item: it starts them, passes signals on, sums up and tells what they do, and loads the configuration
again. A fault of one team never ends another. The parent has no thread and no event loop, so it can fork at any time;
if it dies, nothing is lost.
"""

import gc
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...spool.spool import SpoolError
from ...worker.state import Snapshot
from ...worker.summary import Summary
from ...worker.telling import log, notice
from ..observing.metrics import Reload
from ..settings import ConfigurationError, Queue
from ..units import counted
from .companions import END_WITHIN, Attendant, Companion, Report
from .leftovers import Leftovers
from .loading import Loading
from .nursery import Nursery
from .siblings import Refusal
from .team import Team

LEAVE_WITHIN = 2.0
"""Seconds after a second signal until what still runs is killed."""
ASK_EVERY = 30.0
"""Seconds between two questions to each worker whether it is there, where somebody asks us."""
TICK = 0.25
"""Seconds between two looks of those who watch."""
_NEVER = float("inf")
_MOST_NAMED = 20  # queues in one line of the log

Watcher = Callable[[Mapping[str, Snapshot]], None]
"""Is told what each queue's workers do together, at most four times a second."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What shall run. ``style``: how all of it tells what it does; with another, all teams are begun anew."""

    queues: tuple[Queue, ...]
    companions: tuple[Companion, ...] = ()
    style: object = None


@dataclass(frozen=True, slots=True)
class Loader:
    """How the configuration is loaded again. ``load(queues)`` is called in a child, with what runs by now: it reads and
    tries what is new, and raises what is wrong; ``adopt`` makes a plan, in the parent, of what that returned (it goes
    from process to process, so it is plain values)."""

    load: Callable[[tuple[Queue, ...]], Any]
    adopt: Callable[[Any], Plan]


class Manager:
    """Who manages the service, as systemd does, is told of its life by this. It does nothing by itself."""

    every: float | None = None
    """Seconds between two calls of :meth:`tick` at the most; None: only when there is news."""

    def ready(self) -> None:
        """All workers work; after a reload, the new configuration is in force, or the old one stays."""

    def reloading(self) -> None:
        """The configuration is being loaded again."""

    def stopping(self) -> None:
        """All stop."""

    def tick(self, seen: Mapping[str, Snapshot]) -> None:
        """What each queue's workers do; a queue whose workers have not begun is missing."""


class Parent:
    """Has the teams and the companions of a plan work. ``named``: the lines of the log say which queue they are of."""

    def __init__(
        self,
        plan: Plan,
        in_child: Callable[[], None] = lambda: None,
        *,
        named: bool = True,
        watchers: tuple[Watcher, ...] = (),
        manager: Manager | None = None,
        loader: Loader | None = None,
    ) -> None:
        self._plan = plan
        self._named = named
        self._watchers = watchers
        self._manager = manager or Manager()
        self._watched = bool(watchers or manager or plan.companions or loader)
        self._nursery = Nursery(in_child, reloads=loader is not None)
        self._teams = {queue.name: self._team(queue) for queue in plan.queues}
        self._later = {queue.name: queue.about for queue in plan.queues if queue.about and queue.settings.once}
        self._attendants = [self._attendant(one) for one in plan.companions]
        self._known: dict[str, Report] = {}
        self._ends_with_terminal = _has_terminal() and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN  # nohup(1)
        self._signal = 0
        self._kill_at = _NEVER
        self._refused: tuple[str, Refusal] | None = None
        self._is_starting = True
        self._is_ready = False
        self._adopt = loader.adopt if loader else None
        self._loading = Loading(self._nursery, loader.load, self._take_over_loaded) if loader else None
        self._leftovers = Leftovers(self._nursery)
        self._loaded_at = 0.0
        self._load_again = False
        self._look_at = _NEVER
        self._looked = 0.0
        self._asked = 0.0
        if loader is not None:
            self._know_of_load(successful=True)

    def run(self) -> list[Summary]:
        """Work until told to stop, or with ``once`` until all is done; what was done, of each queue. Raises
        :class:`SpoolError` where one cannot begin."""
        gc.freeze()  # what is loaded by now stays shared with the children
        with self._nursery.open(self._hear):
            for attendant in self._attendants:
                attendant.start(self._known)
            for name, team in self._teams.items():
                if name not in self._later:
                    team.start()
            while not self._is_over:
                if self._nursery.wait(self._timeout()):
                    self._look_at = min(self._look_at, self._looked + TICK)
                self._do_what_is_due()
            self._look()
            self._end_companions()
        if self._refused is not None:
            name, refusal = self._refused
            raise SpoolError(f"queue {name}: {refusal.message}" if self._named else refusal.message, hint=refusal.hint)
        return [self._told(team) for team in self._teams.values()]

    @property
    def _is_over(self) -> bool:
        """Whether none works or will."""
        teams = self._teams.values()
        comes_back = not (self._signal or self._refused) and any(team.refusal for team in teams)
        return not comes_back and not self._later and all(team.is_over for team in teams)

    def _begin_later(self) -> None:
        """With ``once``, messages about a queue's deliveries are sent when it is drained: then all are there."""
        if self._signal or self._refused:
            self._later.clear()
        before = [name for name, about in self._later.items() if about not in self._later]
        for name in [name for name in before if self._teams[self._later[name]].is_over]:
            del self._later[name]
            self._teams[name].start()

    def _team(self, queue: Queue) -> Team:
        fields = {"queue": queue.name} if self._named else {}
        return Team(queue, self._nursery, fields, among=self._processes)

    def _attendant(self, companion: Companion) -> Attendant:
        self._nursery.private.update(one for one in companion.arguments if isinstance(one, socket.socket))
        return Attendant(companion, self._nursery)

    def _processes(self) -> int:
        return sum(team.queue.settings.processes for team in self._teams.values())

    def _told(self, team: Team) -> Summary:
        summary = team.summary()
        if summary.once:
            summary.tell(**({"queue": team.queue.name} if self._named else {}))
        return summary

    # --- signals

    def _hear(self, number: int) -> None:
        if number == signal.SIGUSR1:
            for team in self._teams.values():
                team.tell()
        elif number == signal.SIGHUP and not (self._ends_with_terminal and not _has_terminal()):
            self._reload()
        else:
            self._stop(signal.SIGTERM if number == signal.SIGHUP else number)

    def _stop(self, number: int, why: str = "") -> None:
        """Have all stop; at the second time, leave."""
        if self._signal:
            notice("leaving at once: the next worker takes over what was in flight")
            self._kill_at = min(self._kill_at, time.monotonic() + LEAVE_WITHIN)
        else:
            grace = max(team.queue.settings.grace for team in self._teams.values())
            notice("%s", why or f"stopping: {grace:g} s for what is in flight; again: at once")
            self._manager.stopping()
        for team in self._teams.values():
            team.stop(number, at_once=bool(self._signal))
        self._signal = number

    # --- the clock

    def _timeout(self) -> float | None:
        if self._watchers:
            self._look_at = min(self._look_at, self._looked + TICK)
        elif self._manager.every is not None:
            self._look_at = min(self._look_at, self._looked + self._manager.every)
        elif not self._watched and not self._is_starting:
            self._look_at = _NEVER
        due = [team.due() for team in self._teams.values()] + [one.due() for one in self._attendants]
        if self._loading is not None:
            due.append(self._loading.due())
        due.append(self._leftovers.due())
        first = min(*due, self._kill_at, self._look_at, self._idle_exit_at())
        return max(first - time.monotonic(), 0.0) if first < _NEVER else None

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        for team in self._teams.values():
            team.do_what_is_due()
            if team.refusal is not None:
                self._deal_with_refusal(team, team.refusal)
        for attendant in self._attendants:
            attendant.do_what_is_due(self._known, again=not self._signal)
        if now >= self._kill_at:
            for team in self._teams.values():
                team.kill()
            self._kill_at = _NEVER
        if self._loading is not None:
            self._loading.do_what_is_due()
        self._leftovers.do_what_is_due()
        if self._later:
            self._begin_later()
        self._forget()
        if now >= self._look_at:
            self._look()
        if self._manager.every is not None and now - self._asked >= ASK_EVERY:
            self._asked = now
            for team in self._teams.values():
                team.ask()
        if now >= self._idle_exit_at():
            self._stop(signal.SIGTERM, "ending: nothing was to do")

    def _idle_exit_at(self) -> float:
        """When it ends because nothing was to do; infinite where there is something, or it is to run all the time."""
        if self._signal or self._refused or self._is_loading:
            return _NEVER
        ends = [team.idle_from + _or_never(team.queue.settings.idle_exit) for team in self._teams.values()]
        return max(ends, default=_NEVER)

    def _deal_with_refusal(self, team: Team, refusal: Refusal) -> None:
        """At the start it ends all; later, none but this team waits for what is wrong."""
        if not self._is_starting:
            if team.is_over and not self._signal:
                team.retry()
        elif self._refused is None:
            self._refused = (team.queue.name, refusal)
            for other in self._teams.values():
                if other is not team:
                    other.stop(signal.SIGTERM)

    def _look(self) -> None:
        """Have those look who watch."""
        self._looked, self._look_at = time.monotonic(), _NEVER
        teams = [team for name, team in self._teams.items() if name not in self._later]
        if self._is_starting:
            self._is_starting = not all(team.has_begun for team in teams)
        if not self._is_ready and not self._is_loading and (self._signal or all(team.is_settled for team in teams)):
            self._is_ready = True
            if not self._signal:
                self._manager.ready()
        if not self._watched:
            return
        seen = {name: snapshot for name, team in self._teams.items() if (snapshot := team.snapshot()) is not None}
        for name, snapshot in seen.items():
            self._known[name] = Report(name, snapshot)
        self._tell_attendants()
        if seen:
            self._show(seen)
        self._manager.tick(seen)

    def _show(self, seen: Mapping[str, Snapshot]) -> None:
        try:
            for watcher in self._watchers:
                watcher(seen)
        except OSError:
            self._watchers = ()  # the terminal is gone, and nobody watches any more

    def _tell_attendants(self) -> None:
        for attendant in self._attendants:
            for report in self._known.values():
                attendant.tell(report)

    # --- the configuration

    @property
    def _is_loading(self) -> bool:
        return self._loading is not None and self._loading.is_busy

    def _reload(self) -> None:
        if self._loading is None or self._signal or self._refused:
            return
        if self._loading.is_busy:
            self._load_again = True
            return
        self._manager.reloading()
        self._is_ready = False
        self._loading.begin(tuple(team.queue for team in self._teams.values() if team.wanted))

    def _take_over_loaded(self, loaded: Any) -> None:
        if self._signal or self._adopt is None:
            return
        if not isinstance(loaded, Refusal):
            try:
                self._change_to(self._adopt(loaded))
            except ConfigurationError as error:
                loaded = Refusal(error.message, error.hint)
        if isinstance(loaded, Refusal):
            for line in loaded.message.splitlines():
                log.error("not loaded again, the old configuration stays: %s", line, extra={"hint": loaded.hint})
        self._know_of_load(successful=not isinstance(loaded, Refusal))
        self._is_starting = False
        self._look()
        if self._load_again:
            self._load_again = False
            self._reload()

    def _know_of_load(self, *, successful: bool) -> None:
        if successful:
            self._loaded_at = time.time()
        self._known[""] = Report("", Reload(successful, self._loaded_at))

    def _change_to(self, plan: Plan) -> None:
        """Only what is another begins anew."""
        told: dict[str, list[str]] = {"changed": [], "new": [], "gone": []}
        wanted = {queue.name: queue for queue in plan.queues}
        self._expect_leftovers(plan.queues)
        for name, team in self._teams.items():
            is_gone = team.wanted is not None and name not in wanted
            if is_gone or (name in wanted and (team.wanted != wanted[name] or plan.style != self._plan.style)):
                if not team.queue.about:  # what sends messages comes and goes with its queue
                    told["gone" if is_gone else "changed" if team.wanted else "new"].append(name)
                team.become(wanted.get(name))
        for name in [name for name in wanted if name not in self._teams]:
            if not wanted[name].about:
                told["new"].append(name)
            self._teams[name] = self._team(wanted[name])
            self._teams[name].start()
        self._change_companions(plan.companions)
        self._plan = plan
        what = ", ".join(_named(who, word) for word, who in told.items() if who)
        notice("configuration loaded again: %s", what or "no queue changed")

    def _expect_leftovers(self, queues: tuple[Queue, ...]) -> None:
        """Where nobody will work any more, what stays is to be told."""
        self._leftovers.keep(queues)
        places = {queue.places for queue in queues}
        for team in self._teams.values():
            if not team.is_gone and team.queue.places not in places:
                self._leftovers.expect(team, team.queue)

    def _change_companions(self, companions: tuple[Companion, ...]) -> None:
        have = {one.companion for one in self._attendants if not one.is_over}
        for attendant in self._attendants:
            if attendant.companion not in companions and not attendant.is_over:
                attendant.stop()
        for companion in companions:
            if companion not in have:
                self._attendants.append(self._attendant(companion))
                self._attendants[-1].start(self._known)

    def _forget(self) -> None:
        """Teams and companions that a reload has ended."""
        for name in [name for name, team in self._teams.items() if team.is_gone]:
            del self._teams[name]
            for attendant in self._attendants:
                attendant.tell(Report(name, None))
            self._known.pop(name, None)
        self._attendants = [one for one in self._attendants if not (one.is_over and one.is_gone)]

    # --- the end

    def _end_companions(self) -> None:
        for attendant in self._attendants:
            attendant.stop()
        until = time.monotonic() + END_WITHIN + 1.0  # they are killed before
        while any(not one.is_gone for one in self._attendants) and time.monotonic() < until:
            self._nursery.wait(0.02)
            for attendant in self._attendants:
                attendant.do_what_is_due({}, again=False)


def _named(queues: list[str], word: str) -> str:
    """How many, and which.

    >>> _named(["a", "b"], "gone")
    '2 queues gone (a, b)'
    """
    more = ", …" if len(queues) > _MOST_NAMED else ""
    return f"{counted(len(queues), 'queue')} {word} ({', '.join(queues[:_MOST_NAMED])}{more})"


def _or_never(seconds: float | None) -> float:
    return _NEVER if seconds is None else seconds


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
