"""Why a queue moves or does not: one sentence, with what to do about it. One place, for all who tell it."""

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..spool import names
from ..spool.survey import Trouble
from ..worker.state import Paused, Snapshot
from .units import ago, counted

OK = "ok"
WAITS = "waits"
TROUBLE = "trouble"
BRIEF = 30.0
"""A pause of the destination is trouble after so many seconds; before, it may be a hiccup."""
SILENT = 15.0
"""A worker that lives and has not gone round for so many seconds hangs, or was stopped."""


@dataclass(frozen=True, slots=True)
class Why:
    """``sentence``: what goes on and what to do. ``level``: 'ok' (it moves, or there is nothing to do), 'waits' (it
    will go on by itself, or somebody wants it so) or 'trouble' (somebody must do something). ``command``: a command
    line that helps, '' where none does. ``reason``: one word: ok, hand, gone, absent (no worker), silent, stuck,
    failed, deferred, unready, or the pause's own."""

    sentence: str
    level: str = OK
    command: str = ""
    reason: str = OK


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of a queue. ``items``: how many are in each place. ``live``: how many workers; ``snapshots``: what
    those say that have said something; ``silent``: (pid, seconds) of those that said nothing for too long. ``last``:
    the newest trouble that a note tells. ``gone``: why the spool cannot be read, with what to do."""

    spool: str
    items: Mapping[str, int]
    snapshots: Sequence[Snapshot] = ()
    live: int = 0
    by_hand: str | None = None
    silent: Sequence[tuple[int, float]] = ()
    last: Mapping[str, Trouble] = field(default_factory=dict)
    gone: tuple[str, str] | None = None
    destination: str = ""
    now: float = field(default_factory=time.time)

    @property
    def backlog(self) -> int:
        """Items to deliver now."""
        return self.items.get("incoming", 0) + self.items.get("working", 0)

    @property
    def listing(self) -> str:
        """What lies there and is not delivered: '12 items to deliver, 3 failed'."""
        parts = [f"{counted(self.backlog, 'item')} to deliver"] if self.backlog else []
        parts += [f"{self.items[place]:,} {place}" for place in ("deferred", "failed") if self.items.get(place)]
        return ", ".join(parts)

    def command(self, verb: str, rest: str = "") -> str:
        """A command line of ours on this spool."""
        return f"jollyae {verb} {shlex.quote(self.spool)}" + (f" {rest}" if rest else "")


def explain(situation: Situation) -> Why:
    """The sentence. Who asks first: is there a spool, may it move, does anybody work, can they, have they anything."""
    for asked in (_gone, _by_hand, _absent, _silent, _paused):
        if (found := asked(situation)) is not None:
            return found
    return _at_work(situation)


def _gone(situation: Situation) -> Why | None:
    if situation.gone is None:
        return None
    what, hint = situation.gone
    return Why(f"{what}. {hint}", TROUBLE, reason="gone")


def _by_hand(situation: Situation) -> Why | None:
    if situation.by_hand is None:
        return None
    command = situation.command("resume")
    return Why(f"paused by hand: {situation.by_hand}. To go on: {command}", WAITS, command, "hand")


def _absent(situation: Situation) -> Why | None:
    if situation.live:
        return None
    waits = situation.backlog or situation.items.get("deferred", 0)
    said = "no worker is running" + (f", {situation.listing}" if situation.listing else "")
    if waits:
        command = situation.command("run", f"--to {shlex.quote(situation.destination or 'URL')}")
        return Why(f"{said}: start jollyae run", TROUBLE, command, "absent")
    if situation.items.get("failed"):
        return Why(said + _told(situation, "failed"), TROUBLE, situation.command("retry", "--all"), "failed")
    return Why(said, OK, reason="absent")


def _silent(situation: Situation) -> Why | None:
    if not situation.silent or len(situation.silent) < situation.live:
        return None
    pid, seconds = max(situation.silent, key=lambda one: one[1])
    who = f"the worker (pid {pid}) has" if situation.live == 1 else f"all {situation.live} workers (pid {pid}…) have"
    said = f"{who} not answered for {ago(seconds)}"
    listing = f", {situation.listing}" if situation.listing else ""
    hint = f"Was it stopped, does its disk hang? See ps -o pid,stat,wchan,args -p {pid}; kill -CONT {pid} wakes it"
    return Why(f"{said}{listing}. {hint}", TROUBLE, f"kill -CONT {pid}", "silent")


def _paused(situation: Situation) -> Why | None:
    paused = [snapshot.paused for snapshot in situation.snapshots if snapshot.paused is not None]
    if not paused or len(paused) < situation.live:
        return None
    first = min(paused, key=lambda one: one.since)
    level = WAITS if first.by == "hand" or situation.now - first.since < BRIEF or _eases(first) else TROUBLE
    return Why(f"paused: {_reason(first)}", level, "", first.reason or first.by)


def _eases(paused: Paused) -> bool:
    """Whether it will pass by itself, whatever it is."""
    return paused.reason == "throttled"


def _reason(paused: Paused) -> str:
    hint = f" {paused.hint}" if paused.hint else ""
    return f"{paused.error}.{hint}"


def _at_work(situation: Situation) -> Why:
    """Workers run, and at least one is not paused."""
    paused = [snapshot.paused for snapshot in situation.snapshots if snapshot.paused is not None]
    still = f" ({len(paused)} of them paused: {_reason(min(paused, key=lambda one: one.since))})" if paused else ""
    running = f"{counted(situation.live, 'worker')} running{still}"
    stuck = {one.name: one.error for snapshot in situation.snapshots for one in snapshot.stuck}
    unready = max((snapshot.unready for snapshot in situation.snapshots), default=0)
    flying = sum(len(snapshot.in_flight) for snapshot in situation.snapshots)
    waiting = situation.backlog - unready - len(stuck)
    said = f"{running}, {situation.listing or 'nothing waits'}"
    if stuck and waiting <= 0 and not flying:
        name, error = next(iter(stuck.items()))
        return Why(f"{said}; {names.printable(name)} cannot be taken: {error}", TROUBLE, reason="stuck")
    if situation.items.get("failed"):
        return Why(said + _told(situation, "failed"), TROUBLE, situation.command("retry", "--all"), "failed")
    if unready and waiting <= 0 and not flying:
        return Why(f"{said}; {unready:,} still being written or settling", WAITS, reason="unready")
    if situation.items.get("deferred") and waiting <= 0 and not flying:
        return Why(
            said + _told(situation, "deferred") + _due(situation),
            WAITS,
            situation.command("retry", "--all"),
            "deferred",
        )
    return Why(said)


def _told(situation: Situation, place: str) -> str:
    """The newest trouble of a place, in a clause."""
    trouble = situation.last.get(place)
    if trouble is None or not trouble.error:
        return ""
    hint = f" {trouble.hint}" if trouble.hint else ""
    return f"; the last: {names.printable(trouble.name)}: {trouble.error}.{hint}"


def _due(situation: Situation) -> str:
    due = min((one.next_attempt for one in situation.snapshots if one.next_attempt), default=0.0)
    return f" Again in {ago(max(due - situation.now, 0))}" if due else ""
