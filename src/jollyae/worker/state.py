"""What may be read of a live worker: a snapshot, written to ``working/WORKER/.state.json`` at most once a second."""

import os
import time
from contextlib import suppress

import msgspec

from ..spool import fs

FILE = ".state.json"
EVERY = 1.0
"""Seconds between two writes at the least."""
MOST_STUCK = 10
"""So many of those that cannot be taken are told."""


DELIVERY_BOUNDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    300,
    1800,
    7200,
    86400,
)
"""Seconds from arrival to delivery: the upper ends of a histogram's buckets, from an idle line to a day's outage."""
ATTEMPT_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
"""Seconds from claim to acknowledgement."""


class Histogram(msgspec.Struct, frozen=True):
    """How long it took. ``counts``: for each bound of DELIVERY_BOUNDS or ATTEMPT_BOUNDS those at most so long and
    longer than the bound before, and one more for all beyond the last. ``sum``: seconds in all."""

    counts: list[int] = []
    sum: float = 0.0


class Counted(msgspec.Struct, frozen=True):
    """What is in one place. ``oldest``: when the oldest item came there (seconds since 1970), in 'working' and
    'deferred' when it arrived in ``incoming/``; None where there is none or it is not known. ``at``: when the place was
    last walked as a whole; since then the workers' own moves are counted. ``ignored``: files in ``incoming/`` that are
    no items."""

    items: int = 0
    bytes: int = 0
    oldest: float | None = None
    at: float = 0.0
    ignored: int = 0


class Minute(msgspec.Struct, frozen=True):
    """What happened in the minute that began ``at`` (seconds since 1970). ``delivery``: counts as in
    :class:`Histogram`. ``slowest``: the longest of them in seconds, 0 where it is not known or nothing was delivered;
    the last buckets are wide."""

    at: int
    delivered: int = 0
    bytes: int = 0
    failed: int = 0
    deferred: int = 0
    delivery: list[int] = []
    slowest: float = 0.0


class Flight(msgspec.Struct, frozen=True):
    """One item in flight; ``sent`` and ``size`` in bytes. ``started``: of this attempt, seconds since 1970."""

    name: str
    size: int
    sent: int
    started: float = 0.0
    attempt: int = 0


class Stuck(msgspec.Struct, frozen=True):
    """An item in ``incoming/`` that cannot be taken."""

    name: str
    error: str


class Paused(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why nothing is claimed, or comes. ``since``, ``next_probe``: seconds since 1970; ``by``: 'destination', 'spool',
    'source' or 'hand'; ``reason``: of a closed list."""

    by: str
    error: str
    hint: str = ""
    since: float = 0.0
    reason: str = ""
    next_probe: float = 0.0


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A live worker at one moment. Counters run from its start; times are seconds since 1970, 0 where there is none;
    ``free_bytes`` and ``free_inodes`` are -1 where they are not known.

    ``attempts`` by outcome (done, defer, fail, hold); ``failed_by`` and ``deferred_by`` by reason; ``places`` by the
    name of the place, those that were counted by now: in 'incoming' without what is in 'unready', which is what is
    still being written (its bytes are not known). ``last_scan``: when it last looked for new items, with or without
    finding any; it stays behind where it hangs, or where ``incoming/`` cannot be read. ``next_attempt``: when the first
    deferred item is due. ``minute``: the running one; ``idle_since``: since when nothing was to do, 0 while there is
    something. ``moves``: by the name of a place, how many items and bytes it moved in less out since its start (for
    other workers' counts). ``lease``: where the spool is shared between hosts, seconds for which the worker's proof of
    life holds, else 0.

    ``oldest_in_hand``: when the oldest item arrived that it has in work. ``oldest_waiting``: when the oldest arrived
    that is to be delivered and that nobody works on: in 'incoming', in 'deferred', or in hand until its next try (in a
    pause also the one that probes); a sibling that does not count tells of its own hands only. ``silent_since``: since
    when the attempt under way that is silent for longest has sent nothing."""

    worker: str
    pid: int
    started: float
    destination: str
    watch: str
    delivered: int
    delivered_bytes: int
    failed: int
    deferred: int
    unready: int
    limit: int
    in_flight: list[Flight]
    held: int
    paused: Paused | None
    stuck: list[Stuck] = []
    attempts: dict[str, int] = {}
    failed_by: dict[str, int] = {}
    deferred_by: dict[str, int] = {}
    sent_bytes: int = 0
    delivery: Histogram = Histogram()
    attempt: Histogram = Histogram()
    last_delivery: float = 0.0
    last_scan: float = 0.0
    next_attempt: float = 0.0
    places: dict[str, Counted] = {}
    minute: Minute | None = None
    idle_since: float = 0.0
    free_bytes: int = -1
    free_inodes: int = -1
    credentials_expiry: float = 0.0
    moves: dict[str, tuple[int, int]] = {}
    lease: float = 0.0
    oldest_in_hand: float = 0.0
    oldest_waiting: float = 0.0
    silent_since: float = 0.0


class StateFile:
    """Keeps ``.state.json`` in ``directory`` up to date."""

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, FILE)
        self._last = b""
        self._written = 0.0

    def show(self, snapshot: Snapshot) -> None:
        """Write it, if a second has passed since the last try and it says something new. On a full disk the old
        file is written over, so that it can be told; where that cannot be either, it costs only this view."""
        now = time.monotonic()
        if now - self._written < EVERY:
            return
        data = msgspec.json.encode(snapshot)
        if data == self._last:
            return
        self._written = now
        for write in (fs.write_beside, fs.overwrite):
            with suppress(OSError):
                write(self._path, data)
                self._last = data
                return


def read(directory: str) -> Snapshot | None:
    """The snapshot of the worker whose directory this is; None where there is none to be read."""
    try:
        with open(os.path.join(directory, FILE), "rb") as file:
            return msgspec.json.decode(file.read(), type=Snapshot)
    except (OSError, msgspec.DecodeError):
        return None
