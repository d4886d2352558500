"""Simulated time: a clock that is set, and a wheel of events by the millisecond.

Both are for one thread. A wheel is a dict of lists, so an event costs an append whatever else is due; times are rounded
up to the next millisecond, where nothing here is quicker than some.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

PER_SECOND = 1000
"""Ticks in a second."""

Event = TypeVar("Event")


class Clock:
    """The simulation's time in seconds. Calling it gives the time, as ``time.monotonic`` does."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Wheel(Generic[Event]):
    """Events in the order of their ticks, and within one in that of their being added."""

    __slots__ = ("_clock", "_slots", "_tick")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slots: dict[int, list[Event]] = {}
        self._tick = 0

    def add(self, when: float, event: Event) -> None:
        """``event`` is due at ``when`` (seconds), or in the next tick if that is over."""
        tick = int(when * PER_SECOND) + 1
        if tick <= self._tick:
            tick = self._tick + 1
        slot = self._slots.get(tick)
        if slot is None:
            self._slots[tick] = [event]
        else:
            slot.append(event)

    def until(self, when: float) -> Iterator[list[Event]]:
        """All that is due before ``when``, tick by tick; the clock is set to each."""
        slots, clock = self._slots, self._clock
        for tick in range(self._tick + 1, int(when * PER_SECOND) + 1):
            self._tick = tick
            slot = slots.pop(tick, None)
            if slot is not None:
                clock.now = tick / PER_SECOND
                yield slot
        clock.now = when

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))
