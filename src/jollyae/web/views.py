"""What the dashboard shows, as frozen values: a queue and all that belongs to it, at one moment."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlaceView:
    """What is in one place (or 'unready': still being written, within incoming). ``oldest``: when the oldest item came
    there, seconds since 1970, None where there is none or it is not known. ``as_of``: when it was counted, seconds
    since 1970; 0 where it has not been yet (then ``items`` and ``bytes`` say nothing: show a dash). ``at_least``: there
    may be more than was counted. ``old``: so long ago that ``as_of`` must be shown. ``error``: why it cannot be
    read. ``ignored``: files that are no items."""

    name: str
    items: int = 0
    bytes: int = 0
    oldest: float | None = None
    as_of: float = 0.0
    at_least: bool = False
    old: bool = False
    error: str = ""
    ignored: int = 0


@dataclass(frozen=True, slots=True)
class FlightView:
    """One item in flight. ``name``: safe to show; ``id``: for URLs and the page's element ids; bytes; ``started``:
    seconds since 1970, 0 where not known; ``rate``: bytes a second since then, None where not known."""

    id: str
    name: str
    size: int
    sent: int
    started: float
    attempt: int
    worker: str
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class PauseView:
    """A pause. ``by``: 'hand', 'destination' or 'spool'; ``since`` and ``next_probe``: seconds since 1970, 0 where
    there is none; ``workers``: how many of the live ones are in it."""

    by: str
    error: str
    hint: str = ""
    reason: str = ""
    since: float = 0.0
    next_probe: float = 0.0
    workers: int = 0


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A live worker. Counters since ``started`` (seconds since 1970). ``seen``: when it last wrote of itself;
    ``silent``: too long ago for one that lives: it hangs or is stopped; ``lease``: of a spool that several hosts share,
    seconds for which its proof of life holds, else 0."""

    name: str
    pid: int
    started: float
    destination: str
    delivered: int
    delivered_bytes: int
    failed: int
    deferred: int
    limit: int
    in_flight: int
    paused: bool
    watch: str
    seen: float = 0.0
    silent: bool = False
    lease: float = 0.0


@dataclass(frozen=True, slots=True)
class StuckView:
    """An item in ``incoming/`` that cannot be taken."""

    id: str
    name: str
    error: str


@dataclass(frozen=True, slots=True)
class Speed:
    """Items and bytes a second. ``now``: over the last seconds; ``minute``: over the last minute; None: not known (no
    worker, or too short a look)."""

    now: float | None = None
    minute: float | None = None
    now_bytes: float | None = None
    minute_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class Latency:
    """From arrival to delivery, in seconds, of the ``items`` delivered in the last ``over`` seconds; None where there
    were none."""

    p50: float | None = None
    p99: float | None = None
    items: int = 0
    over: float = 0.0


@dataclass(frozen=True, slots=True)
class Drain:
    """How the backlog goes. ``state``: 'empty', 'draining' (then ``seconds`` until it is empty at the present rate),
    'growing' (no less comes than goes), 'still' (nothing moves) or 'unknown' (looked at too shortly). ``sure``: what
    arrives meanwhile is known and taken into account."""

    state: str = "unknown"
    seconds: float | None = None
    sure: bool = False


@dataclass(frozen=True, slots=True)
class QueueView:
    """One queue at one moment (``at``, seconds since 1970). ``places``: incoming, working, deferred, finished, failed,
    in this order. ``level``: 'ok', 'waits' or 'trouble'; ``sentence``: why it moves or not, and what to do;
    ``command``: a command line that helps, or ''. ``paused_by_hand``: the reason, None where it is not.
    ``next_attempt``: when the first deferred item is due, 0 where not known; ``last_delivery``: 0 where the last hour
    knows none. ``free_bytes``, ``free_inodes``: -1 where not known. ``below_floor``: why nothing more is put in, ''
    where it is."""

    name: str
    spool: str
    destination: str
    at: float
    places: tuple[PlaceView, ...]
    unready: int
    ignored: int
    in_flight: tuple[FlightView, ...]
    in_flight_count: int
    speed: Speed
    latency: Latency
    drain: Drain
    workers: tuple[WorkerView, ...]
    pauses: tuple[PauseView, ...]
    paused_by_hand: str | None
    stuck: tuple[StuckView, ...]
    sentence: str
    level: str
    command: str
    reason: str
    next_attempt: float = 0.0
    last_delivery: float = 0.0
    credentials_expiry: float = 0.0
    free_bytes: int = -1
    free_inodes: int = -1
    below_floor: str = ""

    @property
    def said(self) -> str:
        """The sentence without the command that it ends with, which a page shows beside it."""
        if not self.command or not self.sentence.endswith(self.command):
            return self.sentence
        before = self.sentence.removesuffix(self.command).rstrip()
        return before.removesuffix(" To go on:") if before.endswith(":") else f"{before}:"

    def place(self, name: str) -> PlaceView:
        """The place of this name."""
        return next(place for place in self.places if place.name == name)

    @property
    def is_lost(self) -> bool:
        """Its spool cannot be read: nothing that is said of what is in it is known."""
        return self.reason in ("gone", "hangs")

    @property
    def backlog(self) -> int:
        """Items that are to be delivered now: incoming and working."""
        return self.place("incoming").items + self.place("working").items
