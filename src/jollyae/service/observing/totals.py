"""Counters that go on where a worker is replaced: what those counted that are gone is kept."""

from collections.abc import Sequence
from itertools import zip_longest

import msgspec

from ...worker.state import Histogram, Snapshot

_NUMBERS = ("delivered", "delivered_bytes", "failed", "deferred", "sent_bytes")
_BY_WORD = ("attempts", "failed_by", "deferred_by")
_HISTOGRAMS = ("delivery", "attempt")


class Totals:
    """What the workers of queues have counted, each queue's from the first snapshot on."""

    def __init__(self) -> None:
        self._last: dict[str, Snapshot] = {}
        self._past: dict[str, Snapshot] = {}

    def add(self, queue: str, snapshot: Snapshot) -> Snapshot:
        """The snapshot, with all that was counted by those before in its counters."""
        last = self._last.get(queue)
        self._last[queue] = snapshot
        if last is not None and is_another(last, snapshot):
            past = self._past.get(queue)
            self._past[queue] = last if past is None else plus(last, past)
        past = self._past.get(queue)
        return snapshot if past is None else plus(snapshot, past)

    def forget(self, queue: str) -> None:
        """It is gone."""
        self._last.pop(queue, None)
        self._past.pop(queue, None)


def is_another(last: Snapshot, now: Snapshot) -> bool:
    """Whether somebody else counts, from zero: another process, or one that has less."""
    if last.pid != now.pid:
        return True
    return any(getattr(now, name) < getattr(last, name) for name in _NUMBERS)


def plus(one: Snapshot, past: Snapshot) -> Snapshot:
    """``one`` with its counters increased by those of ``past``."""
    more: dict[str, object] = {name: getattr(one, name) + getattr(past, name) for name in _NUMBERS}
    more |= {name: _by_word(getattr(one, name), getattr(past, name)) for name in _BY_WORD}
    more |= {name: _together(getattr(one, name), getattr(past, name)) for name in _HISTOGRAMS}
    return msgspec.structs.replace(one, **more)


def _by_word(one: dict[str, int], past: dict[str, int]) -> dict[str, int]:
    return {word: one.get(word, 0) + past.get(word, 0) for word in {**past, **one}}


def _together(one: Histogram, past: Histogram) -> Histogram:
    return Histogram(_sums(one.counts, past.counts), one.sum + past.sum)


def _sums(one: Sequence[int], past: Sequence[int]) -> list[int]:
    return [a + b for a, b in zip_longest(one, past, fillvalue=0)]
