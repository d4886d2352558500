"""What becomes of an item when its attempt is over: retired, held, deferred or failed; each told and counted.

Acknowledged → receipt → retire, in this order: one write of receipts for all that finished in one turn of the loop,
then the moves. Where messages are wanted (:mod:`.outbox`), they come between. Whatever the spool's disk refuses is kept
in hand and done when there is room (:mod:`.room`).
"""

import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ..spool.arrivals import Deferred
from ..spool.claims import Claims
from ..spool.item import Item
from ..spool.outcomes import Defer, Done, Fail, Hold, Permanent, Scope, Temporary
from . import telling
from .attempt import Fields
from .health import Health
from .line import Line
from .outbox import Outbox, Receipt
from .receipts import Receipts, moment, receipt
from .retry import decide
from .room import Room
from .rules import OnDone, OnFail, Rules
from .supply import Supply
from .tally import Tally

_DONE = Done()


@dataclass(slots=True, kw_only=True)
class Retirement:
    """Hands items on. ``soon`` has :meth:`write_down` called at the end of this turn of the event loop, ``wake`` wakes
    the worker's loop."""

    rules: Rules
    destination: str
    claims: Claims
    line: Line
    deferred: Deferred
    receipts: Receipts
    health: Health
    room: Room
    tally: Tally
    soon: Callable[[], Any]
    wake: Callable[[], None]
    outbox: Outbox | None = None
    supply: Supply | None = None
    _acknowledged: list[tuple[Item, Fields, float]] = field(default_factory=list)
    _unannounced: list[tuple[Item, Receipt]] = field(default_factory=list)
    _announcing: list[tuple[Item, Receipt]] = field(default_factory=list)
    _unretired: list[Item] = field(default_factory=list)
    _deletes: bool = False

    def __post_init__(self) -> None:
        self._deletes = self.rules.on_done is OnDone.DELETE

    @property
    def is_behind(self) -> bool:
        """Whether delivered items are still to be retired."""
        return bool(self._acknowledged or self._unannounced or self._announcing or self._unretired)

    @property
    def is_full(self) -> bool:
        """Whether so many wait for their messages that no more should be taken: each is an open file."""
        return len(self._unannounced) >= self.rules.concurrency

    # --- delivered

    def succeeded(self, item: Item, fields: Fields, began: float, in_flight: int) -> None:
        """The destination acknowledged it. Its temporary directory goes when it is out of work."""
        if self.health.succeeded(in_flight, began):
            telling.notice("resumed: %s", self.destination, destination=self.destination)
        if not self._acknowledged:
            self.soon()
        self._acknowledged.append((item, fields, began))

    def write_down(self) -> None:
        """Write the receipts of all that was acknowledged, then retire the items."""
        batch, self._acknowledged = self._acknowledged, []
        if not batch:
            return
        self.wake()
        now, clock = time.time(), time.monotonic()
        worker, finished = self.claims.worker, moment(now)
        receipts = [receipt(item, fields, worker, finished) for item, fields, _ in batch]
        try:
            self.receipts.write(receipts)
        except OSError as error:
            self._acknowledged = batch + self._acknowledged
            self.room.trouble(error)
            return
        self.tally.deliver(
            [item.size for item, _, _ in batch],
            [now - item.arrived for item, _, _ in batch],
            [clock - began for _, _, began in batch],
            now,
        )
        if spared := [item.size for item, fields, _ in batch if "already_there" in fields]:
            self.tally.spared_bytes += sum(spared)
        if telling.tells_each():
            for (item, _, began), one in zip(batch, receipts, strict=True):
                telling.delivered(item, one, clock - began)
        if self.outbox is None:
            for item, _, _ in batch:
                self._retire(item)
        else:
            for item, _, _ in batch:
                self.claims.acknowledged(item)
            self._unannounced += [(item, one) for (item, _, _), one in zip(batch, receipts, strict=True)]
            self._announce(self.outbox)

    # --- with messages

    def _announce(self, outbox: Outbox) -> None:
        """Have the messages written of all that waits for them, in a thread; what comes meanwhile is the next batch."""
        if self._unannounced and not self._announcing:
            self._announcing, self._unannounced = self._unannounced, []
            outbox.begin([one for _, one in self._announcing], self._announced)

    def _announced(self, error: OSError | None) -> None:
        """The messages are on the disk, so their items can go; or they are not."""
        batch, self._announcing = self._announcing, []
        if error is not None:
            self._unannounced = batch + self._unannounced
            self.room.trouble(error)
        for item, _ in batch if error is None else ():
            self._retire(item)
        if self.outbox is not None and error is None:
            self._announce(self.outbox)
        self.wake()

    @property
    def is_announcing(self) -> bool:
        """Whether messages are being written."""
        return bool(self._announcing)

    def abandon(self) -> None:
        """Retire nothing more: what is still to be announced is the next worker's."""
        self._announcing.clear()
        self._unannounced.clear()

    # --- retired

    def _retire(self, item: Item) -> None:
        try:
            if self._deletes:
                self.claims.delete(item)
            else:
                self.claims.finish(item)
        except OSError as error:
            self._unretired.append(item)
            self.room.trouble(error)
            return
        if self.supply is not None:
            self.supply.retired(item, _DONE)

    def catch_up(self) -> bool:
        """Do what the disk had refused; whether nothing of it is left."""
        self.write_down()
        if self.outbox is not None and self._unannounced and not self._announcing:
            self._announcing, self._unannounced = self._unannounced, []
            self._announced(self.outbox.attempt([one for _, one in self._announcing]))
        unretired, self._unretired = self._unretired, []
        for item in unretired:
            self._retire(item)
        return not (self._acknowledged or self._unannounced or self._unretired)

    # --- not delivered

    def failed(self, item: Item, error: Exception, began: float) -> None:
        """The attempt ended with ``error``."""
        self.tally.unused_bytes += item.sent
        item.sent = 0
        if not self._has(item):
            self.health.over(began)
            self.claims.let_go(item)
            return
        if not isinstance(error, (Permanent, Temporary, OSError)):
            telling.raised(item, error)
        times = item.deferrals + 1
        outcome = decide(error, times, epidemic=self._is_epidemic(item, error), chance=random.random())
        if isinstance(outcome, Hold):
            self._hold(item, outcome, began)
            return
        self.health.over(began)
        if isinstance(outcome, Fail) and self.rules.on_fail is OnFail.DEFER:
            outcome = decide(
                Temporary(outcome.error, reason=outcome.reason), times, epidemic=False, chance=random.random()
            )
        if isinstance(outcome, Defer):
            self._defer(item, outcome)
        elif isinstance(outcome, Fail):
            self.fail(item, outcome)

    def _has(self, item: Item) -> bool:
        """Whether it is ours still; where that cannot be told now, its move asks again."""
        with suppress(OSError):
            return self.claims.has(item)
        return True

    def _is_epidemic(self, item: Item, error: Exception) -> bool:
        """Whether the items before this one met such an error too. An error that nobody foresaw is doubtful as well: a
        processor that fails for every item must not send all of them through ``deferred/``."""
        known = isinstance(error, Permanent) or (isinstance(error, Temporary) and error.scope is not Scope.UNSURE)
        return not known and self.health.doubt(item.name)

    def _hold(self, item: Item, outcome: Hold, began: float) -> None:
        news = self.health.failed(
            outcome.error,
            outcome.hint,
            reason=outcome.reason,
            state=outcome.state,
            throttled=outcome.throttled,
            after=outcome.after,
            began=began,
        )
        if news:
            telling.warn(
                f"paused: {outcome.error}", outcome.hint, item, destination=self.destination, reason=outcome.reason
            )
        self.tally.held += 1
        self.line.hold(item)
        try:
            self.claims.keep(item, outcome.error, outcome.hint)
        except OSError as error:
            self.room.trouble(error)

    def _defer(self, item: Item, outcome: Defer) -> None:
        attempt = item.attempt
        try:
            due = self.claims.defer(item, outcome.delay, outcome.error, outcome.hint)
        except OSError as error:
            self._keep_in_hand(item, error)
            return
        self.tally.defer(outcome.reason, item.size)
        self.deferred.note(due)
        if self.supply is not None:
            self.supply.retired(item, outcome)
        telling.warn(
            f"deferred for {outcome.delay:.0f} s: {outcome.error}",
            outcome.hint,
            item,
            attempts=attempt,
            reason=outcome.reason,
            delay_s=round(outcome.delay, 3),
        )

    def fail(self, item: Item, outcome: Fail) -> None:
        """It will never work."""
        attempt = item.attempt
        try:
            if self.rules.on_fail is OnFail.DELETE:
                self.claims.delete(item)
            else:
                self.claims.fail(item, outcome.error, outcome.hint)
        except OSError as error:
            self._keep_in_hand(item, error)
            return
        self.tally.fail(outcome.reason, item.size)
        if self.supply is not None:
            self.supply.retired(item, outcome)
        told = f"failed: {outcome.error}"
        telling.warn(told, outcome.hint, item, level=logging.ERROR, attempts=attempt, reason=outcome.reason)

    def _keep_in_hand(self, item: Item, error: OSError) -> None:
        self.line.hold(item)
        self.room.trouble(error)
