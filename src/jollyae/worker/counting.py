"""Counting what lies in the places, beside the work: the census in a thread, and the moves that keep it right.

Of siblings the first counts; the others tell it their moves, by their states.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from ..spool.arrivals import Arrivals
from ..spool.census import QUIET_PAUSE, Census, Held
from ..spool.claims import Claims
from ..spool.places import Places
from . import moves
from .moves import Moves
from .rules import Rules
from .tally import Tally
from .telling import log

COUNT_AFTER = 2.0
"""Seconds from the start until the places are counted: a short run need not…"""
ONCE_COUNT_AFTER = 10.0
"""…and one that drains a spool and ends (``once``) has fewer who ask, and less time in which to answer them."""
QUIET = 9.0
"""Seconds for which it is waited on top where a walk found what the one before did, while nothing stirs."""


class Counting:
    """The counts that one worker keeps. ``more()``: what was moved besides items in work."""

    def __init__(
        self,
        places: Places,
        rules: Rules,
        tally: Tally,
        claims: Claims,
        arrivals: Arrivals,
        more: Callable[[], Moves],
    ) -> None:
        self._rules = rules
        self._tally = tally
        self._claims = claims
        self._arrivals = arrivals
        self._more = more
        self._others = moves.Others(str(places.working), claims.worker)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="census")
        self._census = Census(places, self._all, rules.wanted()) if rules.share.is_first else None
        self._stirred = asyncio.Event()

    def own(self) -> Moves:
        """What this worker moved."""
        mine = moves.own(self._tally, self._claims, self._rules, self._arrivals.heard)
        return moves.added(mine, self._more())

    def held(self) -> dict[str, Held]:
        """What is in each place, as far as it was counted by now and by this worker. What is in work the workers know
        better than any walk, which it would pass by."""
        if self._census is None:
            return {}
        found = self._census.held()
        if "working" in found:
            found["working"] = self._in_work(found["working"])
        return found

    def _in_work(self, walked: Held) -> Held:
        own, (items, size) = self._claims.items(), self._others.in_hand()
        items, size = items + len(own), size + sum([item.size for item in own])
        arrivals = [item.arrived for item in own]
        if self._others.oldest_in_hand:
            arrivals.append(self._others.oldest_in_hand)
        return Held(items, size, min(arrivals, default=walked.oldest) if items else None, walked.at)

    def found(self) -> tuple[object, ...]:
        """Something that is another when a walk found something else than before, or siblings moved something."""
        if self._census is None:
            return ()
        return (*self._census.found(), None if self._rules.share.is_whole else self._others.moves())

    async def run(self, is_busy: Callable[[], bool]) -> None:
        """Count for ever. In a thread: a file system may hang, and a walk takes its time."""
        if self._census is None:
            return
        loop, pause = asyncio.get_running_loop(), ONCE_COUNT_AFTER if self._rules.once else COUNT_AFTER
        found, is_quiet = self._census.found(), False
        while True:
            self._stirred.clear()
            await asyncio.sleep(pause)
            if is_quiet:
                with suppress(TimeoutError):
                    async with asyncio.timeout(QUIET):
                        await self._stirred.wait()
            before = self._tally.delivered
            try:
                await loop.run_in_executor(self._thread, self._census.step)
            except Exception:
                log.exception("a fault of jollyae's; please report it")
            busy, known = is_busy() or self._tally.delivered != before, found
            found, pause = self._census.found(), self._census.pause(busy=busy)
            is_quiet = not busy and found == known and pause > QUIET_PAUSE

    def stir(self) -> None:
        """Something happens, or somebody calls: what lies where may be another than at the last walk."""
        self._stirred.set()

    def close(self) -> None:
        """End; nothing is waited for."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _all(self) -> Moves:
        return moves.added(self.own(), self._others.moves())
