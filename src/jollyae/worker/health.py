"""One destination, one health: whether it is paused, when it is probed, and how much may be in flight.

Pure but for the clock, which is given. The limit rises by one with each success until the first throttling, and halves
when the destination asks for less; then it rises slowly, so that it finds its place among others who do the same
(additive increase, multiplicative decrease: Chiu and Jain, 1989, as TCP does it). Below one, which is what each of ten
thousand hosts may have of a store, items are spaced: a limit of a quarter is one in flight for a quarter of the time.
After a pause it begins at one again and doubles with each round up to where it was (slow start: Jacobson, 1988). The
figures were found by simulation (docs/SCALE.md).

What was sent before a change of state says nothing of the state after it: when a store fails, what it had taken shortly
before is still acknowledged, and when it is well again, what was sent to it before may yet time out. So every attempt
says when it began (``began``: what :meth:`Health.started` gave; None: just now).
"""

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from .reasons import known
from .retry import JITTER

FIRST_PROBE = 1.0
"""Seconds from the pause to its first probe; doubled after each probe that fails."""
LAST_PROBE = 10.0
"""The longest time between two probes, in seconds: so much later than the destination is the worker well again."""
EPIDEMIC = 3
"""So many different items in a row with a doubtful error, and no success between, make it the destination's."""
START_LIMIT = 16
"""Items in flight before anything is known of the destination."""
GROWTH = 0.003
"""How fast the limit rises after a throttling: where one item is sent in a second, by so much of itself in a second,
and by the square root of their number else. With it 10,000 hosts that want more than there is meet 503 with half a
percent of their requests (docs/SCALE.md); a host that sends a thousand a second has doubled within eight seconds."""
SLOWEST = math.log(2) / 120
"""The least of that: it has doubled within two minutes."""
LEAST = 1 / 256
"""The least limit: of requests that take 30 ms one in eight seconds."""


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
        """How many items may be in flight: one, the probe, while it is paused, and one where they are spaced."""
        self._threshold = float("inf")  # below it the limit rises by one with each success
        self._cut_at = float("inf")  # what it was when it was halved
        self._last_cut = float("-inf")
        self._worked = True  # a success came of what was sent since then
        self._not_before = 0.0  # where items are spaced: when the next may go
        self._doubted: list[str] = []
        self._probing = False
        self._well_since = float("-inf")
        self.paused: Pause | None = None

    def room(self, in_flight: int) -> int:
        """How many more items may be sent now; in a pause one, when it is time for the probe."""
        if self.paused is None:
            if self._not_before and self._now() < self._not_before:
                return 0
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

    def next_start(self, in_flight: int) -> float:
        """When (monotonic) there is room though nothing that is in flight has ended: for the probe, or for the next of
        items that are spaced; infinite where only such an end makes room."""
        if self.paused is not None:
            return self.next_probe()
        return self._not_before if in_flight < self.limit else float("inf")

    def paused_for(self) -> float:
        """For how many seconds it has been paused."""
        return self._now() - self.paused.began if self.paused else 0.0

    def succeeded(self, in_flight: int, began: float | None = None) -> bool:
        """An item was acknowledged; whether that ended a pause."""
        self._doubted.clear()
        if not self._worked:
            self._worked = began is None or began > self._last_cut
        if in_flight >= self.limit - 1 and self._limit < self._ceiling:
            self._grow(self._took(began))
        if self._limit < 1:
            self._space(self._took(began))
        if self.paused is None or self._is_older_than_pause(began):
            return False
        self.paused = None
        self._probing = False
        self._well_since = self._now()
        # All who waited begin in the same seconds: as slowly as START_LIMIT a second, for a moment.
        self._threshold = max(self._threshold, self._limit)
        self._set_limit(min(self._limit, max(START_LIMIT * self._took(began), 1.0)))
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
        if throttled and self._worked and now - self._last_cut > 1.0:
            self._last_cut, self._worked = now, False  # an hour of nothing but 503 says nothing of the limit
            self._cut_at = self._limit
            self._set_limit(self._limit / 2)
            self._threshold = self._limit
        pause = self.paused
        if pause is None:
            if began is not None and began < self._well_since:
                return False
            wait = self._spread(after / (1 - JITTER) if after else FIRST_PROBE)  # not sooner than it was asked to
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

    def _grow(self, took: float) -> None:
        """An item that took so many seconds came through, and the limit was used up."""
        if self._limit < self._threshold:
            self._set_limit(min(self._limit + 1, self._threshold))
            return
        # limit / took items a second: their square root makes the quicker of two hosts grow by less with each item
        rise = max(GROWTH * math.sqrt(self._limit * took), SLOWEST * took)
        beyond = max(self._limit / self._cut_at, 1.0)  # where it was halved then, it is not now: there is more
        self._set_limit(self._limit + min(rise * beyond, 1 / self._limit))

    def _space(self, took: float) -> None:
        self._not_before = self._now() + self._spread(min(took / self._limit - took, LAST_PROBE))

    def _took(self, began: float | None) -> float:
        return self._now() - began if began is not None else 0.0

    def _set_limit(self, limit: float) -> None:
        self._limit = min(max(LEAST, limit), self._ceiling)
        self.limit = max(int(self._limit), 1)
        if self._limit >= 1:
            self._not_before = 0.0

    def _is_older_than_pause(self, began: float | None) -> bool:
        return self.paused is not None and began is not None and began < self.paused.began

    def _spread(self, seconds: float) -> float:
        return seconds * (1 + JITTER * (2 * self._chance() - 1))
