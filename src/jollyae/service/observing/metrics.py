"""What Prometheus is told: a pure function from snapshots to its text format.

The names, types, units and labels are a contract (docs/METRICS.md). Labels have few values, all known beforehand: no
name of an item and no key is ever one. A point in time is told rather than an age, so an age goes on growing where
nobody counts any more. What a destination is told of is summed over the queues that deliver to it.

The cost is that of some hundred lines of text for a queue; how much waits makes no difference.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate, chain, repeat

from ... import __version__
from ...worker.reasons import REASONS
from ...worker.state import ATTEMPT_BOUNDS, DELIVERY_BOUNDS, Histogram, Snapshot

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

UNREADY = "unready"
PLACES = ("incoming", "working", "deferred", "finished", "failed", UNREADY)
OUTCOMES = ("done", "defer", "fail", "hold")
OTHER = "other"
"""A reason that is not of the list is told as this."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One queue as it is now. ``target``: where it is the queue of notifications to somebody, their name, and ``queue``
    is QUEUE/TARGET; such a queue is told by its messages only."""

    queue: str
    snapshot: Snapshot
    target: str = ""


@dataclass(frozen=True, slots=True)
class Reload:
    """Whether the configuration was last read with success, and when it last was (seconds since 1970)."""

    successful: bool
    at: float


@dataclass(frozen=True, slots=True)
class Replication:
    """One replication between two servers of an album. ``pending``: changes of the source that the target lacks, and
    ``success``: when it was last seen to be through or going on (seconds since 1970); None where nobody knows."""

    source: str
    target: str
    is_well: bool
    pending: int | None
    success: float | None


@dataclass(frozen=True, slots=True)
class Family:
    """One metric."""

    name: str
    type: str
    help: str


def _gauge(name: str, text: str) -> Family:
    return Family(f"jollyae_{name}", "gauge", text)


def _counter(name: str, text: str) -> Family:
    return Family(f"jollyae_{name}", "counter", text)


def _histogram(name: str, text: str) -> Family:
    return Family(f"jollyae_{name}", "histogram", text)


ITEMS = _gauge("items", "Items in a place; unready: still being written.")
SIZE = _gauge("size_bytes", "Bytes of the items in a place.")
OLDEST = _gauge("oldest_arrival_timestamp_seconds", "When the oldest item of a place arrived; absent without one.")
OLDEST_WAITING = _gauge(
    "oldest_waiting_timestamp_seconds",
    "When the oldest item arrived that is to be delivered and that nobody works on; absent without one.",
)
SILENT = _gauge(
    "attempt_silent_since_timestamp_seconds",
    "Since when the attempt under way that is silent for longest has sent nothing; absent without one.",
)
NEXT_ATTEMPT = _gauge("next_attempt_timestamp_seconds", "When the first deferred item is due; absent without one.")
LAST_DELIVERY = _gauge("last_delivery_timestamp_seconds", "When an item was last delivered; absent before the first.")
LAST_SCAN = _gauge("last_scan_timestamp_seconds", "When the queue was last looked at: its worker lives.")
DELIVERED = _counter("delivered_items_total", "Items delivered, each once.")
DELIVERED_BYTES = _counter("delivered_bytes_total", "Bytes of the items delivered, each once.")
FAILED = _counter("failed_items_total", "Items that went to failed/.")
DEFERRED = _counter("deferred_items_total", "Times an item was put off.")
ATTEMPTS = _counter("attempts_total", "Attempts by how they ended; hold: the destination's fault, so it goes again.")
DELIVERY = _histogram("delivery_duration_seconds", "From an item's arrival to its delivery.")
QUEUE_PAUSED = _gauge("queue_paused", "1 while a queue is paused by hand.")
FREE_BYTES = _gauge("spool_free_bytes", "Bytes free for us on the spool's file system.")
FREE_INODES = _gauge("spool_free_inodes", "Files that may still be made on the spool's file system.")
SENT_BYTES = _counter("sent_bytes_total", "Bytes sent to a destination, repeats included.")
ATTEMPT = _histogram("attempt_duration_seconds", "From an item's claim to the destination's acknowledgement.")
IN_FLIGHT = _gauge("in_flight_items", "Items being sent.")
IN_FLIGHT_BYTES = _gauge("in_flight_bytes", "Bytes of the items being sent.")
LIMIT = _gauge("concurrency_limit", "How many items may be sent at a time now.")
DESTINATION_PAUSED = _gauge("destination_paused", "1 while nothing is sent to a destination, for this reason.")
EXPIRY = _gauge("credentials_expiry_timestamp_seconds", "When the credentials expire; absent where they do not.")
NOTIFICATIONS = _counter("notifications_total", "Messages about deliveries, by how their attempts ended.")
PENDING = _gauge("notifications_pending", "Messages about deliveries that wait.")
PENDING_SINCE = _gauge(
    "notifications_oldest_timestamp_seconds", "When the oldest message about a delivery that waits was written."
)
REPLICATION_UP = _gauge("album_replication_up", "1 while a replication between two servers of an album is well.")
REPLICATION_PENDING = _gauge(
    "album_replication_pending_changes", "Changes of the source that the target lacks; absent where nobody knows."
)
REPLICATION_SUCCESS = _gauge(
    "album_replication_last_success_timestamp_seconds",
    "When a replication was last seen with nothing left to do, or going on; absent before.",
)
RELOAD = _gauge("config_last_reload_successful", "1 if the configuration could be read when it last was asked for.")
RELOAD_AT = _gauge("config_last_reload_success_timestamp_seconds", "When the configuration was last read with success.")
BUILD = _gauge("build_info", "1; the version is in the label.")

FAMILIES = tuple(one for one in list(vars().values()) if isinstance(one, Family))
"""All of them, in the order in which they are told."""


def wants_open_metrics(accept: str) -> bool:
    """Whether a request with this Accept wants OpenMetrics, as Prometheus's own do."""
    return "application/openmetrics-text" in accept


def text(
    queues: Iterable[Seen],
    reload: Reload | None = None,
    *,
    replications: Iterable[Replication] = (),
    open_metrics: bool = False,
) -> str:
    """The page, in Prometheus's text format 0.0.4 or in OpenMetrics 1.0; it ends with a newline. ``reload``: None where
    nothing was read from a file."""
    queues = list(queues)
    own = [one for one in queues if not one.target]
    lines: list[str] = []
    samples = chain(_of_queues(own), _of_destinations(_by_destination(own)), _of_targets(queues),
                    _of_replications(replications), _of_process(reload))  # fmt: skip
    for family, told in samples:
        if told:
            lines += (_open_head if open_metrics else _head)(family)
            lines += told
    if open_metrics:
        lines.append("# EOF")
    return "\n".join(lines) + "\n"


def escaped(value: str) -> str:
    """A label's value as it stands between quotes. What is not Unicode is replaced."""
    value = value.encode("utf-8", "replace").decode()
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def without_secrets(destination: str) -> str:
    """A destination's name without what may be in its URL: a user, a password, a query."""
    scheme, colon, rest = destination.partition("://")
    if not colon:
        return destination
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path.partition('?')[0]}"


# --- lines

Samples = Iterator[tuple[Family, list[str]]]


@lru_cache(maxsize=256)
def _head(family: Family) -> tuple[str, str]:
    return f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.type}"


@lru_cache(maxsize=256)
def _open_head(family: Family) -> tuple[str, str]:
    name = family.name.removesuffix("_total") if family.type == "counter" else family.name
    return f"# HELP {name} {family.help}", f"# TYPE {name} {family.type}"


@lru_cache(maxsize=4096)
def _series(name: str, *labels: str) -> str:
    """``name{label="value",…}``; labels and values by turns."""
    if not labels:
        return name
    pairs = zip(labels[::2], labels[1::2], strict=True)
    return name + "{" + ",".join(f'{label}="{escaped(value)}"' for label, value in pairs) + "}"


@lru_cache(maxsize=256)
def _buckets(name: str, label: str, value: str, bounds: tuple[float, ...]) -> tuple[str, ...]:
    """The series of a histogram."""
    ends = [*(repr(float(bound)) for bound in bounds), "+Inf"]
    of = (_series(f"{name}_count", label, value), _series(f"{name}_sum", label, value))
    return (*(_series(f"{name}_bucket", label, value, "le", end) for end in ends), *of)


def _told(family: Family, label: str, values: Iterable[tuple[str, float | None]]) -> tuple[Family, list[str]]:
    """One line for each that has a value."""
    name = family.name
    return family, [f"{_series(name, label, of)} {value!r}" for of, value in values if value is not None]


def _closed(counts: dict[str, int], known: tuple[str, ...]) -> list[int]:
    """The counts in the order of ``known``, of which the last takes all that is not in it."""
    values = [counts.get(one, 0) for one in known]
    values[-1] += sum(counts.values()) - sum(values)
    return values


def _of_histogram(family: Family, label: str, of: str, bounds: tuple[float, ...], histogram: Histogram) -> list[str]:
    counts = _padded(histogram.counts, len(bounds) + 1)
    total = sum(counts)
    values = chain(accumulate(counts), (total, float(histogram.sum)))
    return [
        f"{series} {value!r}" for series, value in zip(_buckets(family.name, label, of, bounds), values, strict=True)
    ]


def _padded(counts: Sequence[int], length: int) -> list[int]:
    return [*counts[:length], *repeat(0, length - len(counts))]


# --- what is told


def _of_queues(queues: list[Seen]) -> Samples:
    seen = [(one.queue, one.snapshot) for one in queues]
    for family, field_ in ((ITEMS, "items"), (SIZE, "bytes"), (OLDEST, "oldest")):
        lines = []
        for queue, snapshot in seen:
            for place in PLACES:
                counted = snapshot.places.get(place)
                if family is SIZE and place == UNREADY:
                    continue  # nobody asks how large what still grows is
                if counted is not None and (value := getattr(counted, field_)) is not None:
                    lines.append(f"{_series(family.name, 'queue', queue, 'place', place)} {value!r}")
        yield family, lines
    yield _told(OLDEST_WAITING, "queue", ((queue, one.oldest_waiting or None) for queue, one in seen))
    yield _told(SILENT, "queue", ((queue, one.silent_since or None) for queue, one in seen))
    yield _told(NEXT_ATTEMPT, "queue", ((queue, one.next_attempt or None) for queue, one in seen))
    yield _told(LAST_DELIVERY, "queue", ((queue, one.last_delivery or None) for queue, one in seen))
    yield _told(LAST_SCAN, "queue", ((queue, one.last_scan or None) for queue, one in seen))
    yield _told(DELIVERED, "queue", ((queue, one.delivered) for queue, one in seen))
    yield _told(DELIVERED_BYTES, "queue", ((queue, one.delivered_bytes) for queue, one in seen))
    yield FAILED, _by("reason", REASONS, FAILED, ((queue, one.failed_by) for queue, one in seen))
    yield DEFERRED, _by("reason", REASONS, DEFERRED, ((queue, one.deferred_by) for queue, one in seen))
    yield ATTEMPTS, _by("outcome", OUTCOMES, ATTEMPTS, ((queue, one.attempts) for queue, one in seen))
    yield (
        DELIVERY,
        [
            line
            for queue, one in seen
            for line in _of_histogram(DELIVERY, "queue", queue, DELIVERY_BOUNDS, one.delivery)
        ],
    )
    yield _told(QUEUE_PAUSED, "queue", ((queue, int(_is_paused_by_hand(one))) for queue, one in seen))
    yield _told(FREE_BYTES, "queue", ((queue, _known(one.free_bytes)) for queue, one in seen))
    yield _told(FREE_INODES, "queue", ((queue, _known(one.free_inodes)) for queue, one in seen))


def _by(label: str, known: tuple[str, ...], family: Family, seen: Iterable[tuple[str, dict[str, int]]]) -> list[str]:
    name = family.name
    return [
        f"{_series(name, 'queue', queue, label, one)} {value}"
        for queue, counts in seen
        for one, value in zip(known, _closed(counts, known), strict=True)
    ]


def _is_paused_by_hand(snapshot: Snapshot) -> bool:
    return snapshot.paused is not None and snapshot.paused.by == "hand"


def _known(free: int) -> int | None:
    return free if free >= 0 else None


@dataclass(slots=True)
class _Destination:
    """What is told of a destination, over all queues that deliver to it."""

    sent: int = 0
    in_flight: int = 0
    in_flight_bytes: int = 0
    limit: int = 0
    expiry: float | None = None
    paused: set[str] = field(default_factory=set)
    counts: list[int] = field(default_factory=lambda: [0] * (len(ATTEMPT_BOUNDS) + 1))
    sum: float = 0.0

    def add(self, one: Snapshot) -> None:
        self.sent += one.sent_bytes
        self.in_flight += len(one.in_flight)
        self.in_flight_bytes += sum(flight.size for flight in one.in_flight)
        self.limit += one.limit
        self.counts = [a + b for a, b in zip(self.counts, _padded(one.attempt.counts, len(self.counts)), strict=True)]
        self.sum += one.attempt.sum
        if one.credentials_expiry:
            self.expiry = min(self.expiry or one.credentials_expiry, one.credentials_expiry)
        if one.paused is not None and one.paused.by != "hand":
            self.paused.add(one.paused.reason if one.paused.reason in REASONS else OTHER)


def _by_destination(queues: list[Seen]) -> list[tuple[str, _Destination]]:
    found: dict[str, _Destination] = {}
    for one in queues:
        found.setdefault(without_secrets(one.snapshot.destination), _Destination()).add(one.snapshot)
    return list(found.items())


def _of_destinations(found: list[tuple[str, _Destination]]) -> Samples:
    yield _told(SENT_BYTES, "destination", ((name, one.sent) for name, one in found))
    yield (
        ATTEMPT,
        [
            line
            for name, one in found
            for line in _of_histogram(ATTEMPT, "destination", name, ATTEMPT_BOUNDS, Histogram(one.counts, one.sum))
        ],
    )
    yield _told(IN_FLIGHT, "destination", ((name, one.in_flight) for name, one in found))
    yield _told(IN_FLIGHT_BYTES, "destination", ((name, one.in_flight_bytes) for name, one in found))
    yield _told(LIMIT, "destination", ((name, one.limit) for name, one in found))
    yield (
        DESTINATION_PAUSED,
        [
            f"{_series(DESTINATION_PAUSED.name, 'destination', name, 'reason', reason)} {int(reason in one.paused)}"
            for name, one in found
            for reason in REASONS
        ],
    )
    yield _told(EXPIRY, "destination", ((name, one.expiry) for name, one in found))


def _of_targets(queues: list[Seen]) -> Samples:
    """Of each queue and target, for two queues may tell one target, or two that are called alike."""
    ended, pending, since = [], [], []
    for one in queues:
        if one.target:
            of = ("queue", one.queue.removesuffix(f"/{one.target}"), "target", one.target)
            values = zip(OUTCOMES, _closed(one.snapshot.attempts, OUTCOMES), strict=True)
            ended += [f"{_series(NOTIFICATIONS.name, *of, 'outcome', outcome)} {value}" for outcome, value in values]
            waiting = (one.snapshot.places.get(place) for place in ("incoming", "working", "deferred"))
            pending.append(f"{_series(PENDING.name, *of)} {sum(place.items for place in waiting if place)}")
            if one.snapshot.oldest_waiting:
                since.append(f"{_series(PENDING_SINCE.name, *of)} {one.snapshot.oldest_waiting!r}")
    yield NOTIFICATIONS, ended
    yield PENDING, pending
    yield PENDING_SINCE, since


def _of_replications(replications: Iterable[Replication]) -> Samples:
    """Of each source and target, once: of two servers that do the same, the worse."""
    found: dict[tuple[str, ...], Replication] = {}
    for one in replications:
        ends = "source", without_secrets(one.source), "target", without_secrets(one.target)
        if ends not in found or not one.is_well:
            found[ends] = one
    values = [(ends, one.pending, one.success) for ends, one in found.items()]
    yield REPLICATION_UP, [f"{_series(REPLICATION_UP.name, *of)} {int(one.is_well)}" for of, one in found.items()]
    name = REPLICATION_PENDING.name
    yield REPLICATION_PENDING, [f"{_series(name, *of)} {many}" for of, many, _ in values if many is not None]
    name = REPLICATION_SUCCESS.name
    yield REPLICATION_SUCCESS, [f"{_series(name, *of)} {at!r}" for of, _, at in values if at is not None]


def _of_process(reload: Reload | None) -> Samples:
    if reload is not None:
        yield RELOAD, [f"{RELOAD.name} {int(reload.successful)}"]
        yield RELOAD_AT, [f"{RELOAD_AT.name} {reload.at!r}"]
    yield BUILD, [f"{_series(BUILD.name, 'version', __version__)} 1"]
