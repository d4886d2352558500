"""One destination, one health: whether it is paused, when it is probed, and how much may be in flight.

Pure but for the clock, which is given. The limit rises by one with each success until the first throttling, then by
one for each round of successes, and halves when the destination asks for less (additive increase, multiplicative
decrease: Chiu and Jain, 1989, as TCP does it).

What was sent before a change of state says nothing of the state after it: when a store fails, what it had taken shortly
before is still acknowledged, and when it is well again, what was sent to it before may yet time out. So every attempt
says when it began (``began``: what :meth:`Health.started` gave; None: just now).
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from .reasons import known

FIRST_PROBE = 1.0
"""Seconds from the pause to its first probe; doubled after each probe that fails."""
LAST_PROBE = 10.0
"""The longest time between two probes, in seconds: so much later than the destination is the worker well again."""
EPIDEMIC = 3
"""So many different items in a row with a doubtful error, and no success between, make it the destination's."""
START_LIMIT = 16
"""Items in flight before anything is known of the destination."""


@dataclass(slots=True)
class Pause:
    """Why nothing is claimed. ``reason``: of the closed list (:mod:`.reasons`); ``state``: what may show itself in
    several reasons, told again only when it changes. ``since``: seconds since 1970; ``probe_at``: monotonic."""

    error: str
    hint: str
    reason: str
    state: str
    since: float
    began: float
    probe_at: float
    probes: int = 0


class Health:
    """The state of one destination. ``ceiling``: the most items in flight."""

    def __init__(
        self,
        ceiling: int,
        *,
        now: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._ceiling = ceiling
        self._now = now
        self._chance = chance
        self._limit = float(min(START_LIMIT, ceiling))
        self.limit = int(self._limit)
        """How many items may be in flight: one, the probe, while it is paused."""
        self._seen_throttling = False
        self._last_cut = float("-inf")
        self._doubted: list[str] = []
        self._probing = False
        self._well_since = float("-inf")
        self.paused: Pause | None = None

    def room(self, in_flight: int) -> int:
        """How many more items may be sent now; in a pause one, when it is time for the probe."""
        if self.paused is None:
            return self.limit - in_flight
        return int(not self._probing and self._now() >= self.paused.probe_at)

    def started(self) -> float:
        """An item is being sent; in a pause that is the probe. When it began (monotonic)."""
        self._probing = self.paused is not None
        return self._now()

    def over(self, began: float | None = None) -> None:
        """An attempt ended in a way that says nothing of the destination."""
        if not self._is_older_than_pause(began):
            self._probing = False

    def next_probe(self) -> float:
        """When (monotonic) the next probe may go; infinite when not paused or one is under way."""
        return self.paused.probe_at if self.paused and not self._probing else float("inf")

    def paused_for(self) -> float:
        """For how many seconds it has been paused."""
        return self._now() - self.paused.began if self.paused else 0.0

    def succeeded(self, in_flight: int, began: float | None = None) -> bool:
        """An item was acknowledged; whether that ended a pause."""
        self._doubted.clear()
        if in_flight >= self.limit - 1 and self._limit < self._ceiling:
            self._set_limit(self._limit + (1 / self._limit if self._seen_throttling else 1))
        if self.paused is None or self._is_older_than_pause(began):
            return False
        self.paused = None
        self._probing = False
        self._well_since = self._now()
        return True

    def doubt(self, name: str) -> bool:
        """Item ``name`` met an error that may be its own or the destination's; whether it is an epidemic by now."""
        if name not in self._doubted:
            self._doubted.append(name)
        del self._doubted[:-EPIDEMIC]
        return len(self._doubted) >= EPIDEMIC

    def failed(
        self,
        error: str,
        hint: str,
        *,
        reason: str,
        throttled: bool,
        state: str = "",
        after: float | None = None,
        began: float | None = None,
    ) -> bool:
        """The destination is unwell; whether that is news (a new pause, or a pause in another ``state``: by default
        what the reason is, or the error)."""
        now, state, reason = self._now(), state or reason or error, known(reason)
        if throttled and now - self._last_cut > 1.0:
            self._seen_throttling, self._last_cut = True, now
            self._set_limit(self._limit / 2)
        pause = self.paused
        if pause is None:
            if began is not None and began < self._well_since:
                return False
            wait = self._spread(after or FIRST_PROBE)
            self.paused = Pause(error, hint, reason, state, time.time(), now, now + wait)
            return True
        if self._probing and not self._is_older_than_pause(began):
            self._probing = False
            pause.probes += 1
            doubled = FIRST_PROBE * 2.0 ** min(pause.probes, 30)  # after three hours more would be too large a number
            pause.probe_at = now + max(self._spread(min(doubled, LAST_PROBE)), after or 0)
        news = pause.state != state
        pause.error, pause.hint, pause.reason, pause.state = error, hint, reason, state
        return news

    def _set_limit(self, limit: float) -> None:
        self._limit = min(max(1.0, limit), self._ceiling)
        self.limit = int(self._limit)

    def _is_older_than_pause(self, began: float | None) -> bool:
        return self.paused is not None and began is not None and began < self.paused.began

    def _spread(self, seconds: float) -> float:
        return seconds * (0.8 + 0.4 * self._chance())
