"""A season of troubles: items are submitted evenly while one thing after another is struck, and then it drains."""

import random
import threading
import time
from collections.abc import Callable, Sequence

from tests.chain import judge, trouble
from tests.chain.chain import Chain

QUIET = 120.0
"""Seconds without progress after which RGW has announced all that it ever will: after its own death its successor waits
up to 90 s for the dead one's lock on the queue of announcements, and up to 30 s more until it looks."""
EVERY = 1.0  # seconds between two looks


class Season:
    """``say``: is told what happens, one line each; ``pause``: seconds between two strikes, from and to."""

    def __init__(
        self, chain: Chain, chance: random.Random, say: Callable[[str], None], pause: tuple[float, float] = (0.3, 2.0)
    ) -> None:
        self._chain = chain
        self._chance = chance
        self._say = say
        self._pause = pause
        self._over = threading.Event()
        self.swept: list[str] = []
        """What RGW did not announce."""
        self.crashes = 0
        """How often RGW died by itself."""

    def run(self, items: int, kinds: Sequence[str]) -> None:
        """Strike so often, of these kinds, while so many items come; returns when all are submitted."""
        feeder = threading.Thread(target=self._feed, args=(items, self._length(kinds)), daemon=True)
        feeder.start()
        try:
            for kind in kinds:
                time.sleep(self._chance.uniform(*self._pause))
                self._tend()
                began = time.monotonic()
                struck = trouble.strike(self._chain, kind, self._chance)
                self._say(struck.text)
                time.sleep(struck.seconds)
                struck.mend()
                self._say(f"{struck.text}: back after {time.monotonic() - began:.1f} s")
        finally:
            self._over.set()  # what is left to submit comes at once
            feeder.join()

    def drain(self, seconds: float) -> bool:
        """Wait until there is a result for each item, and no message; where RGW announces, what it forgot is announced
        after :data:`QUIET`. Whether that was reached in time. It is looked twice: what a worker has just been given, to
        do once more, is neither in the queue nor in its spool yet."""
        deadline, was_drained = time.monotonic() + seconds, False
        before, since = (-1, -1), time.monotonic()
        while time.monotonic() < deadline:
            self._tend()
            if (done := judge.progress(self._chain)) != before:
                before, since = done, time.monotonic()
            if (is_drained := judge.has_drained(self._chain, done)) and was_drained:
                return True
            was_drained = is_drained
            if self._chain.announce == "rgw" and time.monotonic() - since > QUIET:
                self.swept += judge.sweep(self._chain)
                since = time.monotonic()
            time.sleep(EVERY)
        return False

    def _tend(self) -> None:
        if self._chain.servers.store.tend():
            self.crashes += 1
            self._say("the store's gateway died by itself, and was started again")

    def _length(self, kinds: Sequence[str]) -> float:
        """About how long the strikes take."""
        return len(kinds) * (sum(self._pause) / 2 + 3.0)

    def _feed(self, items: int, seconds: float) -> None:
        chance = random.Random(self._chance.random())
        began = time.monotonic()
        for number in range(items):
            self._chain.submit(number, chance.randbytes(chance.randint(1, 20_000)))
            self._over.wait(max(began + number * seconds / items - time.monotonic(), 0))


def kinds(count: int, among: Sequence[str], chance: random.Random) -> list[str]:
    """So many kinds, each about as often, in any order."""
    found = [among[number % len(among)] for number in range(count)]
    chance.shuffle(found)
    return found
