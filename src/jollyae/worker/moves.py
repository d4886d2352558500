"""What the workers of a spool moved from place to place: by it the census is kept right between two walks.

A worker's own moves follow from what it counts, so no item costs anything for it. Those of others, siblings or not, are
in their ``.state.json``; a worker that is gone has moved what it had moved when it was last seen.
"""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from ..spool.claims import Claims
from . import state
from .rules import OnDone, OnFail, Rules
from .tally import Tally

Moves = dict[str, tuple[int, int]]
_LOOK_EVERY = 1.0  # seconds: as often as a state is written


def own(tally: Tally, claims: Claims, rules: Rules, heard: int) -> Moves:
    """What this worker moved into each place, less what it moved out: items and bytes; of ``working``, what it has in
    hand. ``heard``: how many names came into ``incoming/`` as the watch told."""
    hand = claims.items()
    items, size = len(hand), sum([item.size for item in hand])
    over, over_bytes = tally.delivered + tally.failed + tally.deferred, tally.bytes
    over_bytes += tally.failed_bytes + tally.deferred_bytes
    taken = over + items - tally.resumed - tally.adopted
    taken_bytes = over_bytes + size - tally.resumed_bytes - tally.adopted_bytes
    mean = over_bytes // over if over else 0
    moves = {
        "incoming": (heard - taken, heard * mean - taken_bytes),
        "working": (items, size),
        "deferred": (tally.deferred - tally.resumed, tally.deferred_bytes - tally.resumed_bytes),
    }
    if rules.on_done is OnDone.KEEP:
        moves["finished"] = (tally.delivered, tally.bytes)
    if rules.on_fail is not OnFail.DELETE:
        moves["failed"] = (tally.failed, tally.failed_bytes)
    return moves


def added(first: Mapping[str, tuple[int, int]], second: Mapping[str, tuple[int, int]]) -> Moves:
    """Both together.

    >>> added({"failed": (1, 10)}, {"failed": (2, 5), "deferred": (1, 1)}) == {"failed": (3, 15), "deferred": (1, 1)}
    True
    """
    summed = dict(first)
    for place, (items, size) in second.items():
        before = summed.get(place, (0, 0))
        summed[place] = before[0] + items, before[1] + size
    return summed


@dataclass(slots=True)
class Others:
    """The moves of all workers of the spool but one. ``working``: where their directories are; ``own``: its name."""

    working: str
    own: str
    oldest_in_hand: float = 0.0
    """When the oldest of what they have in work arrived, as they told last; 0 where there is none."""
    _seen: dict[str, tuple[int, Moves, float]] = field(default_factory=dict)
    _summed: Moves = field(default_factory=dict)
    _in_hand: tuple[int, int] = (0, 0)
    _next_look: float = 0.0

    def moves(self) -> Moves:
        """What all of them moved, as they told up to two seconds ago."""
        if time.monotonic() >= self._next_look:
            self._look()
        return self._summed

    def in_hand(self) -> tuple[int, int]:
        """Items and bytes that all of them that are there have in work, the dead ones whose items nobody took over
        included."""
        self.moves()
        return self._in_hand

    def _look(self) -> None:
        found, there = {}, set()
        with suppress(OSError), os.scandir(self.working) as entries:
            for entry in entries:
                if entry.name != self.own and not entry.name.startswith("."):
                    there.add(entry.name)
                    told = self._read(entry.name)
                    if told is not None:
                        found[entry.name] = told
        if found:
            self._seen = self._seen | found
            summed: Moves = {}
            for _, moves, _ in self._seen.values():
                summed = added(summed, moves)
            self._summed = summed
        hands = [moves.get("working", (0, 0)) for name, (_, moves, _) in self._seen.items() if name in there]
        self._in_hand = sum(items for items, _ in hands), sum(size for _, size in hands)
        since = [oldest for name, (_, _, oldest) in self._seen.items() if name in there and oldest]
        self.oldest_in_hand = min(since, default=0.0)
        self._next_look = time.monotonic() + _LOOK_EVERY

    def _read(self, name: str) -> tuple[int, Moves, float] | None:
        """What it told, its moves and the oldest in its hands, with the time of the file; None where there is no newer
        one than was read last."""
        directory = os.path.join(self.working, name)
        with suppress(OSError):
            number = os.stat(os.path.join(directory, state.FILE)).st_mtime_ns
            if name not in self._seen or self._seen[name][0] != number:
                snapshot = state.read(directory)
                return (number, snapshot.moves, snapshot.oldest_in_hand) if snapshot is not None else None
        return None
