"""Why a queue moves or does not: one sentence, with what to do about it. One place, for all who tell it."""

import os
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...spool import names
from ...spool.places import Places
from ...spool.survey import Trouble
from ...worker.state import Paused, Snapshot
from ..units import ago, counted
from . import standing
from .alike import brief

OK = "ok"
WAITS = "waits"
TROUBLE = "trouble"
LONG = 40
"""Characters of a name that a sentence has room for."""
BRIEF = 30.0
"""A pause of the destination is trouble after so many seconds; before, it may be a hiccup."""


@dataclass(frozen=True, slots=True)
class Why:
    """``sentence``: what goes on and what to do. ``level``: 'ok' (it moves, or there is nothing to do), 'waits' (it
    will go on by itself, or somebody wants it so) or 'trouble' (somebody must do something). ``command``: a command
    line that helps, '' where none does. ``reason``: one word: ok, hand, gone, hangs, absent (no worker), silent,
    stuck, failed, unready, deferred, late, still, slow, deadly, full, or the pause's own."""

    sentence: str
    level: str = OK
    command: str = ""
    reason: str = OK


@dataclass(frozen=True, slots=True)
class Silent:
    """A worker that lives and does nothing: ``stopped``, by a signal, or it hangs. ``seconds``: since it last went
    round."""

    pid: int
    seconds: float
    stopped: bool


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of a queue. ``items``: how many are in each place (``at_least``: or more). ``live``: how many
    workers; ``snapshots``: what those say that have said something; ``silent``: those that do not answer. ``last``: by
    place, the newest trouble that a note tells. ``deadly``: (name, how often) of an item with which workers died.
    ``namesakes``: names in ``incoming/`` whose namesakes are in ``deferred/``, as far as that was looked at.
    ``gone``: (why the spool cannot be read, what to do); ``hangs``: its disk does not answer. ``below_floor``: why
    nothing more is put in, '' where it is. ``full``: what the spool's disk has none of ('room', 'inodes'), '' where it
    has. ``config``: the file that says how it is run, '' where that is not known: then no command line is offered that
    would run or check it, for it would lack options. ``queue``: its name in that file. ``places``: where its places
    are; None: below the spool. ``is_wanted``: a worker should run though nothing waits."""

    spool: str
    items: Mapping[str, int]
    snapshots: Sequence[Snapshot] = ()
    live: int = 0
    by_hand: str | None = None
    silent: Sequence[Silent] = ()
    last: Mapping[str, Trouble] = field(default_factory=dict)
    deadly: tuple[str, int] | None = None
    namesakes: Sequence[str] = ()
    gone: tuple[str, str] | None = None
    hangs: bool = False
    below_floor: str = ""
    full: str = ""
    config: str = ""
    queue: str = ""
    places: Places | None = None
    is_wanted: bool = False
    at_least: bool = False
    now: float = field(default_factory=time.time)

    @property
    def backlog(self) -> int:
        """Items to deliver now."""
        return self.items.get("incoming", 0) + self.items.get("working", 0)

    @property
    def listing(self) -> str:
        """What lies there and is not delivered: '12 items to deliver, 3 failed'."""
        more = "at least " if self.at_least else ""
        parts = [f"{more}{counted(self.backlog, 'item')} to deliver"] if self.backlog else []
        parts += [f"{more}{self.items[place]:,} {place}" for place in ("deferred", "failed") if self.items.get(place)]
        return ", ".join(parts)

    @property
    def paused(self) -> list[Paused]:
        """The pauses of the workers, the longest first."""
        found = [snapshot.paused for snapshot in self.snapshots if snapshot.paused is not None]
        return sorted(found, key=lambda one: one.since)

    @property
    def where(self) -> Places:
        """Its places."""
        return self.places or Places.under(self.spool)

    def command(self, verb: str, rest: str = "") -> str:
        """A command line of ours on this spool, that finds all of its places: by its queue's name where it has one."""
        by_name = f"-c {shlex.quote(self.config)} --queue {shlex.quote(self.queue)}"
        words = by_name if self.config and self.queue else self.where.words
        return f"jollyae {verb} {words}" + (f" {rest}" if rest else "")

    def configured(self, verb: str) -> str:
        """A command line of ours on its configuration; '' where that is not known."""
        return f"jollyae {verb} -c {shlex.quote(self.config)}" if self.config else ""


def explain(situation: Situation) -> Why:
    """The sentence. Who asks first: is there a spool, may it move, does anybody work, can they, have they anything."""
    for asked in (_gone, _by_hand, _absent, _full, _silent, _paused, _stuck, _failed, _unready, _deferred, _still):
        if (found := asked(situation)) is not None:
            break
    else:
        found = Why(_running(situation))
    return _besides(found, situation)


def _besides(found: Why, situation: Situation) -> Why:
    """What must be said whatever else is."""
    if situation.gone is not None:
        return found
    if found.level != TROUBLE and situation.items.get("failed"):  # what waits besides makes that no better
        found = replace(found, level=TROUBLE)
    if found.reason in (OK, "unready") and (late := _late(situation)):
        said = f"{found.sentence}; the oldest in deferred/ arrived {ago(late)} ago{_told(situation, 'deferred')}"
        found = Why(said, TROUBLE, situation.command("status"), "late")
    if found.reason in (OK, "unready", "deferred") and (silent := _slow(situation)):
        said = f"{found.sentence}; one item has been worked on for {ago(silent)} and nothing of it was sent"
        found = Why(said, TROUBLE, situation.command("status"), "slow")
    if situation.deadly is not None and situation.by_hand is None:
        name, times = situation.deadly
        shown = _short(names.printable(name))
        said = f"{found.sentence}; workers died {times} times with {shown}, which goes to failed/ after the third"
        found = Why(said, TROUBLE, found.command or situation.command("log"), "deadly")
    if situation.silent and len(situation.silent) < situation.live and situation.by_hand is None:
        one = situation.silent[0]
        what = "was stopped by a signal" if one.stopped else f"did not look at the spool for {ago(one.seconds)}"
        command = f"kill -CONT {one.pid}" if one.stopped else found.command
        said = f"{found.sentence}; one of the workers (pid {one.pid}) {what}: what it has in hand waits"
        found = Why(said, TROUBLE, command, "silent")
    if situation.below_floor:
        said = f"{found.sentence}; nothing more is put in: {situation.below_floor}"
        found = replace(found, sentence=said, level=TROUBLE, reason="full" if found.level == OK else found.reason)
    return found


# --- no spool, no leave, no worker


def _gone(situation: Situation) -> Why | None:
    if situation.gone is None:
        return None
    what, hint = situation.gone
    command = f"{'findmnt -T' if situation.hangs else 'ls -la'} {shlex.quote(situation.spool)}"
    return Why(f"{what}. {hint}", TROUBLE, command, "hangs" if situation.hangs else "gone")


def _by_hand(situation: Situation) -> Why | None:
    if situation.by_hand is None:
        return None
    command = situation.command("resume")
    failed = f" {_failed_ones(situation).rstrip('.')}." if situation.items.get("failed") else ""
    said = f"paused by hand: {situation.by_hand}.{failed} To go on: {command}"  # it ends with the command, to be pasted
    return Why(said, TROUBLE if failed else WAITS, command, "hand")


def _failed_ones(situation: Situation) -> str:
    return f"{situation.items['failed']:,} failed{_told(situation, 'failed')}"


def _absent(situation: Situation) -> Why | None:
    if situation.live:
        return None
    waits = situation.backlog or situation.items.get("deferred", 0)
    said = "no worker is running" + (f", {situation.listing}" if situation.listing else "")
    if waits or situation.is_wanted:
        command = situation.configured("run")
        how = f"by its unit, or {command}" if command else "as it was started (its unit, or its command line)"
        return Why(f"{said}: start it again {how}", TROUBLE, command, "absent")
    if situation.items.get("failed"):
        return Why(said + _told(situation, "failed"), TROUBLE, _again(situation), "failed")
    return Why(said, OK, reason="absent")


def _full(situation: Situation) -> Why | None:
    """Seen by looking at the disk itself: a worker can hardly write down that it cannot write."""
    if not situation.full:
        return None
    listing = f", {situation.listing}" if situation.listing else ""
    hint = "Free some: nothing is lost, and it goes on by itself"
    inodes = " -i" if situation.full == "inodes" else ""
    said = f"the spool's disk is full: it has no {situation.full} left{listing}. {hint}"
    return Why(said, TROUBLE, f"df -h{inodes} {shlex.quote(situation.spool)}", "full")


def _silent(situation: Situation) -> Why | None:
    if not situation.silent or len(situation.silent) < situation.live:
        return None
    worst = max(situation.silent, key=lambda one: (one.stopped, one.seconds))
    who = "the worker" if situation.live == 1 else f"all {situation.live} workers"
    listing = f", {situation.listing}" if situation.listing else ""
    if worst.stopped:
        said = f"{who} (pid {worst.pid}) {'was' if situation.live == 1 else 'were'} stopped by a signal{listing}"
        command = "kill -CONT " + " ".join(str(one.pid) for one in situation.silent if one.stopped)
        return Why(f"{said}. To go on: {command}", TROUBLE, command, "silent")
    said = f"{who} (pid {worst.pid}) did not look at the spool for {ago(worst.seconds)}{listing}"
    hint = "It hangs: does its disk answer? Nothing is lost if it is killed: another takes over what it has"
    return Why(f"{said}. {hint}", TROUBLE, f"ps -o pid,stat,wchan:30,args -p {worst.pid}", "silent")


# --- workers, but not one that may send


def _paused(situation: Situation) -> Why | None:
    paused = situation.paused
    if not paused or len(paused) < situation.live:
        return None
    first = paused[0]
    parts = [situation.listing] if situation.listing else []
    if first.next_probe > situation.now and first.by != "hand":
        parts.append(f"next try in {ago(first.next_probe - situation.now)}")
    why = _reason(first)
    is_whole = why.endswith((".", "?", "!"))  # no command line, to which nothing must be added
    said = f"paused: {why}" + (f"{'' if is_whole else ';'} {'; '.join(parts)}" if parts else "")
    eases = first.by == "hand" or first.reason == "throttled" or situation.now - first.since < BRIEF
    return Why(said, WAITS if eases else TROUBLE, _way_out(situation, first), first.reason or first.by)


def _way_out(situation: Situation, paused: Paused) -> str:
    """The command that tells more of a pause, or ends it."""
    if paused.by == "hand":
        return situation.command("resume")
    if paused.by == "spool":
        spool = shlex.quote(situation.spool)
        if paused.reason == "full":
            return f"df -h {spool}"
        others = [path for path in situation.where.all() if not path.is_relative_to(situation.where.control)]
        return " ".join([f"ls -ld {spool} {spool}/*", *(shlex.quote(str(path)) for path in others)])
    if paused.by == "source":
        return ""  # no command of ours asks a broker
    return situation.configured("check")


def _reason(paused: Paused) -> str:
    return f"{paused.error.rstrip('.')}." + (f" {paused.hint}" if paused.hint else "")


# --- workers that may send


def _running(situation: Situation) -> str:
    paused = situation.paused
    still = f" ({len(paused)} of them paused: {_reason(paused[0])})" if paused else ""
    return f"{counted(situation.live, 'worker')} running{still}, {situation.listing or 'nothing waits'}"


def _ready(situation: Situation) -> int:
    """Items that could be sent and that nobody sends."""
    if any(snapshot.in_flight for snapshot in situation.snapshots):
        return situation.backlog
    return situation.backlog - _unready_items(situation) - len(_stuck_items(situation)) - len(situation.namesakes)


def _unready_items(situation: Situation) -> int:
    return max((snapshot.unready for snapshot in situation.snapshots), default=0)


def _stuck_items(situation: Situation) -> dict[str, str]:
    return {one.name: one.error for snapshot in situation.snapshots for one in snapshot.stuck}


def _stuck(situation: Situation) -> Why | None:
    stuck = _stuck_items(situation)
    if not stuck or _ready(situation) > 0:
        return None
    name, error = next(iter(stuck.items()))
    more = f" and {len(stuck) - 1} more" if len(stuck) > 1 else ""
    said = f"{_running(situation)}; {_short(names.printable(name))}{more} cannot be taken: {error}"
    where = os.path.join(situation.where.incoming, os.path.dirname(name))
    return Why(said, TROUBLE, f"ls -ld {shlex.quote(where.rstrip('/'))}", "stuck")


def _failed(situation: Situation) -> Why | None:
    if not situation.items.get("failed"):
        return None
    said = _running(situation) + _told(situation, "failed")
    return Why(said, TROUBLE, _again(situation), "failed")


FAIL_AGAIN = re.compile(
    r"exists? with other content|but other bytes|no(t a)? regular file|no key is possible|key is too long"
    r"|metadata is too large|too large for this store|cannot be a file there"
)
"""Of the reasons of failed items those that are the file's own, or what is at its key: a retry meets them again."""


def _again(situation: Situation) -> str:
    """The command for failed items: to try them again, or where that would fail again, to see what each needs."""
    last = situation.last.get("failed")
    fails_again = last is not None and FAIL_AGAIN.search(last.error)
    return situation.command("status" if fails_again else "retry", "" if fails_again else "--all")


def _unready(situation: Situation) -> Why | None:
    unready = _unready_items(situation)
    if not unready or _ready(situation) > 0:
        return None
    return Why(f"{_running(situation)}; {unready:,} of them still being written or settling", WAITS, "", "unready")


def _deferred(situation: Situation) -> Why | None:
    if not situation.items.get("deferred") or _ready(situation) > 0:
        return None
    late = _late(situation)
    since = f"; the oldest arrived {ago(late)} ago" if late else ""
    said = f"{_running(situation)}{_held_up(situation)}{since}{_due(situation)}{_told(situation, 'deferred')}"
    return Why(said, TROUBLE if late else WAITS, situation.command("retry", "--all"), "deferred")


def _held_up(situation: Situation) -> str:
    """Which items wait for others of their name, in a clause."""
    if not situation.namesakes:
        return ""
    name, more = _short(names.printable(situation.namesakes[0])), len(situation.namesakes) - 1
    if more:
        return f"; {name} and {more:,} more wait for their earlier namesakes in deferred/"
    return f"; {name} waits for its earlier namesake in deferred/"


def _late(situation: Situation) -> float:
    """For how many seconds the oldest in ``deferred/`` has been on its way; 0 where that is not long, which it is
    sooner where nothing else is delivered."""
    if not situation.items.get("deferred"):
        return 0.0
    told = [one.places["deferred"].oldest for one in situation.snapshots if "deferred" in one.places]
    waited = situation.now - min((oldest for oldest in told if oldest), default=situation.now)
    return waited if waited > (standing.STILL if _why_still(situation) else standing.LATE) else 0.0


def _slow(situation: Situation) -> float:
    """For how many seconds an attempt has sent nothing; 0 where that is not long."""
    told = [one.silent_since for one in situation.snapshots if one.silent_since]
    silent = situation.now - min(told, default=situation.now)
    return silent if silent > standing.HANGS else 0.0


def _still(situation: Situation) -> Why | None:
    """Items wait, workers run, and nothing happens."""
    why = _why_still(situation)
    if not situation.backlog or not why:
        return None
    return Why(f"{_running(situation)}; {why}", TROUBLE, situation.configured("check"), "still")


def _why_still(situation: Situation) -> str:
    """Why all of its workers together stand still; '' where they do not. Of siblings one knows what waits, and any may
    have delivered something."""
    alive = [one for one in situation.snapshots if standing.lives(one, situation.now)]
    if any(situation.now - one.last_delivery <= standing.STILL for one in alive):
        return ""
    return next((why for one in alive if (why := standing.why_still(one, situation.now))), "")


def _short(name: str) -> str:
    """A name as it stands in a sentence: of a long one its beginning and its end; it is told whole with its trouble.

    >>> _short("a.jpg"), _short("a" * 100 + ".jpg")
    ('a.jpg', 'aaaaaaaaaaaaaaaaaaaaaaaa…aaaaaaaaaaa.jpg')
    """
    return name if len(name) <= LONG else f"{name[:24]}…{name[-15:]}"


def _told(situation: Situation, place: str) -> str:
    """The newest trouble of a place, in a clause."""
    trouble = situation.last.get(place)
    if trouble is None or not trouble.error:
        return ""
    hint = f" {trouble.hint}" if trouble.hint else ""
    name, said = names.printable(trouble.name), names.printable(brief(trouble.error)).rstrip(".")
    if len(name) > LONG:  # it is at the end of a URL there: once is enough
        said = said.replace(name, "…")
    return f"; the last: {_short(name)}: {said}.{hint}"


def _due(situation: Situation) -> str:
    due = min((one.next_attempt for one in situation.snapshots if one.next_attempt), default=0.0)
    if not due and (trouble := situation.last.get("deferred")) is not None:
        due = trouble.due
    return f"; the first is tried again in {ago(max(due - situation.now, 0))}" if due else ""
