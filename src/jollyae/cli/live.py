"""The live line of several queues: of each a few words, trouble first."""

import time
from collections.abc import Mapping
from typing import TextIO

from ..service.units import ago
from ..worker.state import Snapshot
from . import terminal
from .output import Live


class LiveQueues(Live):
    """The live line of all queues under one parent."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream, lambda: "", shared=True)
        self._before: dict[str, tuple[float, int, float]] = {}

    def show_all(self, seen: Mapping[str, Snapshot]) -> None:
        """Draw the line anew."""
        parts = [brief(name, snapshot, self._rate_of(name, snapshot)) for name, snapshot in sorted(seen.items())]
        parts.sort(key=lambda part: "PAUSED" not in part)
        self.draw(terminal.cut(" · ".join(parts), max(terminal.columns(self._stream) - 1, 10)))

    def _rate_of(self, name: str, snapshot: Snapshot) -> float:
        """Files a second, over the last second or more."""
        now = time.monotonic()
        before, count, rate = self._before.get(name, (now, snapshot.delivered, 0.0))
        if now - before >= 1.0:
            rate = (snapshot.delivered - count) / (now - before)
            before, count = now, snapshot.delivered
        self._before[name] = before, count, rate
        return rate


def brief(name: str, snapshot: Snapshot, rate: float) -> str:
    """One queue in a few words: what is wrong, what waits, what was done."""
    words = []
    if snapshot.paused is not None:
        since = f" {ago(max(time.time() - snapshot.paused.since, 0))}" if snapshot.paused.since else ""
        words.append(f"PAUSED{since}")
    if snapshot.failed:
        words.append(f"{snapshot.failed:,} failed")
    waiting = snapshot.places.get("incoming")
    if waiting is not None and waiting.items:
        words.append(f"{waiting.items:,} waiting")
    if snapshot.in_flight:
        words.append(f"{len(snapshot.in_flight)} in flight")
    words.append(f"{snapshot.delivered:,} done" + (f" {rate:,.0f}/s" if rate >= 0.5 else ""))
    return f"{name}: {', '.join(words)}"
