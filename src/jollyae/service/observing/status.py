"""The state of a spool as values, for ``status`` and whoever reads its JSON."""

import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import msgspec

from ...spool import floor, names, owner, survey
from ...spool.places import Place
from ...spool.spool import Spool
from ...worker import state
from ...worker.telling import STUCK_HINT
from .. import notifications
from . import standing
from .why import Silent, Situation, explain

MANY = 20_000
"""A place with more items than so many is not read where a live worker has counted it."""

Counts = dict[str, survey.Count]
# What live workers say of themselves, for those who read it through here.
Snapshot = state.Snapshot
Flight = state.Flight
Paused = state.Paused
Stuck = state.Stuck


@dataclass(frozen=True, slots=True)
class Live:
    """A live worker. ``snapshot``: what it wrote of itself last, None where that cannot be read; ``written``: when,
    seconds since 1970, 0 where it has not. ``pid``: of its process; ``stopped``: by a signal."""

    name: str
    snapshot: state.Snapshot | None
    written: float
    pid: int = 0
    stopped: bool = False

    def silent(self, now: float) -> Silent | None:
        """How it does not answer; None where it does."""
        seen = standing.silence(self.snapshot, now) if self.snapshot is not None else 0.0
        if self.stopped:
            return Silent(self.pid, seen, True)
        is_dead = self.snapshot is not None and not standing.lives(self.snapshot, now)
        return Silent(self.pid, seen, False) if is_dead else None


def live_workers(spool: Spool) -> list[Live]:
    """The workers of the spool that live: those whose own directory is locked. One that has not heard yet that a pause
    by hand is over is shown as if it had. Raises :class:`OSError`."""
    own = [path for path, holder in survey.workers(spool.places) if holder == os.path.basename(path)]
    live = [_live(path) for path in own]
    return live if spool.paused() is not None else [_resumed(one) for one in live]


def _resumed(one: Live) -> Live:
    if one.snapshot is None or one.snapshot.paused is None or one.snapshot.paused.by != "hand":
        return one
    return replace(one, snapshot=msgspec.structs.replace(one.snapshot, paused=None))


def _live(path: str) -> Live:
    name = os.path.basename(path)
    pid = _pid(name)
    try:
        written = os.stat(os.path.join(path, state.FILE)).st_mtime
    except OSError:
        return Live(name, None, 0.0, pid, _is_stopped(pid))
    return Live(name, state.read(path), written, pid, _is_stopped(pid))


def _pid(worker: str) -> int:
    """The process of a worker of this machine; 0 for one of another."""
    host, _, number = worker.rpartition("-")[0].rpartition("-")
    return int(number) if host == owner.hostname() and number.isdecimal() else 0


def _is_stopped(pid: int) -> bool:
    """Whether a process of this machine was stopped by a signal, as far as can be seen (Linux)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1] in (b"T", b"t")
    except OSError:
        return False


def situation(
    spool: Spool,
    items: Mapping[str, int],
    live: Sequence[Live],
    last: Mapping[str, survey.Trouble],
    *,
    config: str = "",
    queue: str = "",
    is_wanted: bool = False,
    at_least: bool = False,
) -> Situation:
    """All that the sentence is made of. ``items``: how many are in each place (``at_least``: or more); ``last``: the
    newest trouble of some places; ``config``, ``queue`` and ``is_wanted`` as in :class:`.why.Situation`. Raises
    :class:`OSError`."""
    now = time.time()
    return Situation(
        spool=str(spool.places.control),
        items=items,
        snapshots=[one.snapshot for one in live if one.snapshot is not None],
        live=len(live),
        by_hand=spool.paused(),
        silent=[silent for one in live if (silent := one.silent(now)) is not None],
        last=last,
        deadly=next(survey.deadly(spool.places), None),
        namesakes=survey.namesakes(spool.places) if items.get("incoming") and items.get("deferred") else (),
        below_floor=below_floor(spool),
        full=full(spool),
        config=config,
        queue=queue,
        places=spool.places,
        is_wanted=is_wanted,
        at_least=at_least,
        now=now,
    )


FULL = 16 << 10
"""A disk with fewer bytes free than this is full: a receipt, a note and a directory may each need a block."""


def full(spool: Spool) -> str:
    """What the spool's disk has none of, 'room' or 'inodes'; '' where it has both."""
    try:
        found = os.statvfs(spool.places.working)
    except OSError:
        return ""
    if found.f_bavail * found.f_frsize < FULL:
        return "room"
    return "inodes" if found.f_files and not found.f_favail else ""


def look(
    spool: Spool,
    *,
    ages: bool = False,
    config: str = "",
    queue: str = "",
    is_wanted: bool = False,
    targets: Collection[str] = (),
) -> dict[str, Any]:
    """Counts, bytes and ages per place, the live workers, the latest troubles, and ``why``: one sentence on what goes
    on. Ages in seconds, times in seconds since 1970. ``ages``: how many items are how old, too; for that all places are
    read, else none that a live worker says to be large. ``config``, ``queue`` and ``is_wanted`` as in
    :class:`.why.Situation`; ``targets``: of its messages, those that the configuration names."""
    live = live_workers(spool)
    snapshots = [one.snapshot for one in live if one.snapshot is not None]
    counts = survey.count(spool.places, _large(snapshots, time.time()))
    _date_what_is_in_hand(counts["working"], snapshots, time.time())
    troubles = survey.troubles(spool.places)
    last = {one.place: one for one in reversed(troubles)}
    items = {place: count.items for place, count in counts.items()}
    now = situation(spool, items, live, last, config=config, queue=queue, is_wanted=is_wanted)
    why = explain(now)
    return {
        "spool": str(spool.places.control),
        "why": why.sentence,
        "level": why.level,
        "try": why.command,
        "paused_by_hand": now.by_hand,
        "missing": [str(place) for place in Place if not spool.places.of(place).is_dir()],
        "places": {
            name: {"items": count.items, "bytes": count.bytes, "oldest_s": count.oldest, "counted_s": count.counted}
            for name, count in counts.items()
        },
        "ages": {"bounds_s": survey.AGES, "items": survey.ages(spool.places)} if ages else None,
        "below_floor": now.below_floor,
        "ignored": counts["incoming"].ignored,
        # Each worker sees the same ones; what it told up to a second ago may be taken by now.
        "unready": min(max((snapshot.unready for snapshot in snapshots), default=0), counts["incoming"].items),
        "workers": [msgspec.to_builtins(snapshot) for snapshot in snapshots],
        "dead": [os.path.basename(path) for path, holder in survey.workers(spool.places) if not holder],
        "troubles": [asdict(one) for one in [*_stuck(spool, counts, snapshots, live), *troubles]],
        "notifications": [
            _target(Spool(places=places, make=False), config, queue, is_wanted, targets)
            for places in notifications.existing(spool.places)
        ],
    }


def _target(spool: Spool, config: str, queue: str, is_wanted: bool, targets: Collection[str]) -> dict[str, Any]:
    """How the messages to one target are; nobody sends those to one that the configuration names no more."""
    name = spool.places.control.name
    is_named = name in targets
    seen = look(
        spool,
        config=config if is_named else "",
        queue=f"{queue}/{name}" if is_named else "",
        is_wanted=is_wanted and is_named,
    )
    items = {place: count["items"] for place, count in seen["places"].items()}
    waiting = items["incoming"] + items["working"] + items["deferred"]
    told = {"target": name, "waiting": waiting, "failed": items["failed"]}
    return told | {key: seen[key] for key in ("spool", "why", "level", "try")}


def _large(snapshots: Sequence[state.Snapshot], now: float) -> Counts:
    """The places that are so large that they need not be read, as the worker knows them that counted them last."""
    found: dict[str, state.Counted] = {}
    for snapshot in snapshots:
        for place, counted in snapshot.places.items():
            if place not in found or counted.at > found[place].at:
                found[place] = counted
    unready = found.pop("unready", state.Counted()).items
    large = {place: one for place, one in found.items() if one.items > MANY}
    return {
        place: survey.Count(
            one.items + (unready if place == "incoming" else 0),
            one.bytes,
            max(now - one.oldest, 0.0) if one.oldest else None,
            counted=max(now - one.at, 0.0),
        )
        for place, one in large.items()
    }


def _date_what_is_in_hand(working: survey.Count, snapshots: Sequence[state.Snapshot], now: float) -> None:
    """What is tried for the first time has no note yet: the workers know when it arrived."""
    told = [one.oldest_in_hand for one in snapshots if one.oldest_in_hand]
    if working.oldest is not None and told:
        working.oldest = max(working.oldest, now - min(told))


def below_floor(spool: Spool) -> str:
    """Why nothing more is put in; '' where it is."""
    try:
        return floor.read(spool.places).shortage(spool.places.incoming).why
    except OSError:
        return ""


def _stuck(spool: Spool, counts: Counts, snapshots: list[state.Snapshot], live: list["Live"]) -> list[survey.Trouble]:
    """What cannot be taken: as the live workers say; where there is none, as they would find it if they were us."""
    found = {one.name: f"cannot be taken: {one.error}" for snapshot in snapshots for one in snapshot.stuck}
    if not live and os.stat(spool.places.working).st_uid == os.geteuid():
        incoming = str(spool.places.incoming)
        full = [directory for directory in counts["incoming"].closed if next(owner.items_below(directory), None)]
        closed = [os.path.relpath(directory, incoming) for directory in full]
        found = {names.encode(name) + "/": "cannot be taken: its directory lets us not rename" for name in closed}
    return [survey.Trouble(name, "incoming", error, STUCK_HINT, 0.0, 0, 0.0) for name, error in found.items()]
