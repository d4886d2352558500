"""One host: a spool that fills at a steady rate, and what a worker does with it.

What may start, what an answer means and when to probe is decided by the worker's own code. Written here is only what
:mod:`jollyae.worker.worker` and :mod:`~jollyae.worker.retirement` do around it: start as much as there is room for;
after an acknowledgement tell the health, after an error ask :func:`~jollyae.worker.retry.decide`, and hold the item or
defer it. Items in hand go first, the one just tried not twice running (:mod:`jollyae.worker.line`).
"""

import random
from collections import deque
from collections.abc import Callable

from jollyae.processors.s3 import faults
from jollyae.processors.s3.transport import NoAnswer, StoreError
from jollyae.spool.outcomes import Defer, Hold, Permanent, Temporary
from jollyae.worker import health, retry

from .store import Answer

WHERE = "s3://bucket"
OUTAGES = {
    "timeout": StoreError(None, NoAnswer.TIMEOUT, "no answer in time"),
    "refused": StoreError(None, NoAnswer.REFUSED, "connection refused"),
    "500": StoreError(500, "InternalError"),
    "503": StoreError(503, "SlowDown"),
}
"""What the store says in an outage, by name."""


def errors(outage: str) -> dict[Answer, Temporary | Permanent]:
    """What the worker is told of each answer that is no success."""
    told = {
        Answer.SLOW_DOWN: StoreError(503, "SlowDown", "Please reduce your request rate."),
        Answer.NOT_REACHED: OUTAGES[outage],
        Answer.CLOSED: StoreError(None, NoAnswer.CLOSED, "the server closed the connection"),
    }
    return {answer: faults.explain(error, WHERE) for answer, error in told.items()}


class Host:
    """A spool and its worker. ``rate``: items a second; item n arrives at ``(n + phase) / rate``."""

    __slots__ = (
        "_chance",
        "delivered",
        "drained_at",
        "flying",
        "health",
        "held",
        "last",
        "number",
        "phase",
        "position",
        "rate",
        "taken",
        "wait",
        "wake",
    )

    def __init__(
        self,
        number: int,
        rate: float,
        *,
        ceiling: int,
        now: Callable[[], float],
        chance: random.Random,
    ) -> None:
        self.number = number
        self.rate = rate
        self.phase = chance.random()
        self.position = chance.random()
        self.health = health.Health(ceiling, now=now, chance=chance.random)
        self._chance = chance.random
        self.flying = 0
        self.taken = 0
        self.delivered = 0
        self.wait = 0.0
        """Seconds that delivered items were in the spool, in all."""
        self.held: deque[int] = deque()
        self.last = -1
        self.wake = float("inf")
        self.drained_at = float("inf")

    def arrived(self, now: float) -> int:
        """How many items have come by now."""
        return max(int(now * self.rate - self.phase) + 1, 0) if now * self.rate >= self.phase else 0

    def arrival(self, item: int) -> float:
        """When that item comes."""
        return (item + self.phase) / self.rate

    def waiting(self, now: float) -> int:
        """How many are there and not in flight."""
        return self.arrived(now) - self.taken + len(self.held)

    def next(self, now: float) -> int:
        """The next item; -1 if there is none."""
        held = self.held
        if held and held[0] != self.last:
            item = held.popleft()
        elif self.arrival(self.taken) <= now:
            item = self.taken
            self.taken += 1
        elif held:
            item = held.popleft()
        else:
            return -1
        self.last = item
        return item

    def succeeded(self, item: int, began: float, now: float) -> None:
        """The store has it."""
        self.flying -= 1
        self.delivered += 1
        self.wait += now - self.arrival(item)
        self.health.succeeded(self.flying, began)

    def failed(self, item: int, error: Temporary | Permanent, began: float) -> float:
        """It has not; for how many seconds the item is deferred (0: it is held)."""
        self.flying -= 1
        unsure = isinstance(error, Temporary) and error.scope is error.scope.UNSURE
        epidemic = unsure and self.health.doubt(str(item))
        outcome = retry.decide(error, 1, epidemic=epidemic, chance=self._chance())
        if isinstance(outcome, Hold):
            self.health.failed(
                outcome.error,
                outcome.hint,
                reason=outcome.reason,
                state=outcome.state,
                throttled=outcome.throttled,
                after=outcome.after,
                began=began,
            )
            self.held.append(item)
            return 0.0
        self.health.over(began)
        assert isinstance(outcome, Defer), outcome
        return outcome.delay
