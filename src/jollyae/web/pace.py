"""How fast a queue moves: from the differences between looks, and from the workers' minutes."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from ..service.observing.past import MINUTE, Past
from ..service.observing.status import Snapshot
from .views import Drain, Speed

NOW = 5.0
"""'Now' is the last so many seconds: workers write once a second."""
_KEPT = 75.0  # seconds for which looks are remembered
_APART = 0.9  # seconds between two that are
GROWTH = 15.0
"""Whether a backlog grows is what it did in the last so many seconds: after a burst that is soon forgotten."""
_LEAST = 5.0  # seconds of it that must have been seen


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen at one moment. ``done``: by worker, items and bytes since its start; ``backlog``: None where not
    known."""

    at: float
    done: dict[str, tuple[int, int]]
    backlog: int | None


class Pace:
    """What was seen of a queue in the last minute."""

    def __init__(self) -> None:
        self._looks: deque[_Look] = deque()

    def add(self, now: float, snapshots: Sequence[Snapshot], backlog: int | None) -> None:
        """What is seen now."""
        looks = self._looks
        if looks and now < looks[-1].at:
            looks.clear()  # the clock was set
        if len(looks) > 1 and looks[-1].at - looks[-2].at < _APART:
            looks.pop()  # the last one always stays
        looks.append(_Look(now, {one.worker: (one.delivered, one.delivered_bytes) for one in snapshots}, backlog))
        while looks[0].at < now - _KEPT:
            looks.popleft()

    def speed(self, now: float, did: Past, has_workers: bool) -> Speed:
        """Items and bytes a second. The minute is that of the workers' own notes, also of what was before we looked."""
        items, size = self._over_now() if has_workers else (0.0, 0.0)
        minute, minute_bytes = _last_minute(did, now)
        return Speed(items, minute, size, minute_bytes)

    def _over_now(self) -> tuple[float | None, float | None]:
        if not self._looks:
            return None, None
        last = self._looks[-1]
        first = next((look for look in reversed(self._looks) if look.at <= last.at - NOW), self._looks[0])
        if last.at - first.at < 1.0:
            return None, None
        items = size = 0
        for worker, (done, done_bytes) in last.done.items():
            before, before_bytes = first.done.get(worker, (0, 0))  # one that was not there has begun since
            items += max(done - before, 0)
            size += max(done_bytes - before_bytes, 0)
        return items / (last.at - first.at), size / (last.at - first.at)

    def drain(self, backlog: int, speed: Speed, *, is_still: bool) -> Drain:
        """When the backlog will be gone, as things go."""
        if not backlog:
            return Drain("empty")
        if is_still:
            return Drain("still")
        growth = self._growth()
        if growth is None:
            rate = speed.now if speed.now is not None else speed.minute
            return Drain("draining", backlog / rate) if rate else Drain()
        if growth < 0:
            return Drain("draining", backlog / -growth, sure=True)
        return Drain("growing" if growth > 0 or speed.minute else "still", sure=True)

    def _growth(self) -> float | None:
        """Items a second that the backlog became larger, of late; None where too little of it was seen."""
        known = [look for look in self._looks if look.backlog is not None]
        if not known or known[-1].at - known[0].at < _LEAST:
            return None
        first = next((look for look in reversed(known) if look.at <= known[-1].at - GROWTH), known[0])
        assert first.backlog is not None and known[-1].backlog is not None
        return (known[-1].backlog - first.backlog) / (known[-1].at - first.at)


def _last_minute(did: Past, now: float) -> tuple[float | None, float | None]:
    """Items and bytes a second over the last sixty seconds: the running minute, and of the one before its share."""
    if did.known is None or now - did.known < NOW:
        return None, None
    begun = int(now) // MINUTE * MINUTE
    share = 1 - (now - begun) / MINUTE
    running = did.since(begun)
    before = did.since(begun - MINUTE)  # the running one included
    span = min(now - did.known, MINUTE) if did.known > begun - MINUTE else MINUTE
    items = running.delivered + share * (before.delivered - running.delivered)
    size = running.bytes + share * (before.bytes - running.bytes)
    return items / span, size / span
