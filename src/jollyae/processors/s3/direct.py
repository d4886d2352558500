"""The ordinary delivery, without a task: one call reads, signs and sends; the answer calls another, and that is all.

A small file, one conditional PUT, a 200: nothing in that has to wait for anything but the answer. As coroutines in a
task of its own it cost a third more than by two plain calls (docs/PERFORMANCE.md). Whatever is not ordinary goes the
general way: before anything was sent by not beginning at all, afterwards in a task that goes on from there.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from jollyae.spool import names
from jollyae.spool.item import Item

from . import faults
from .connection import Answer, Unheard
from .content import SMALL, read_now
from .fast import FastTransport, Line, accepted
from .single import Single
from .target import Target
from .transport import StoreError

Fields = dict[str, Any]
Ended = Callable[[Item, Fields | Exception], None]
Begin = Callable[[list[Item], Ended], list[Item]]


class Direct:
    """Deliveries to ``target`` that are begun and ended by plain calls."""

    def __init__(self, target: Target, transport: FastTransport) -> None:
        self._target = target
        self._transport = transport
        options = target.options
        self._algorithm = options.whole_algorithm
        self.conditional = options.if_exists != "overwrite"
        self._is_possible = target.limiter is None and not options.head_first
        self._largest = min(SMALL, options.multipart_threshold - 1)
        self._going_on: set[asyncio.Task[None]] = set()

    def begin(self, items: list[Item], ended: Ended) -> list[Item]:
        """Begin to deliver the items, and return those that are not ordinary or find no connection. ``ended`` is called
        for each of the others when it is over, with the receipt's fields or the exception, once, by the event loop and
        never before this returns."""
        line = self._transport.ready()
        if line is None or not self._is_possible or self._target.is_unproved:
            return items
        rest = [item for item in items if not self._begin(line, item, ended)]
        line.flush()
        return rest

    def _begin(self, line: Line, item: Item, ended: Ended) -> bool:
        target, size = self._target, item.size
        if size > self._largest or item.fd < 0 or item.superseded is not None or item.note is not None:
            return False
        connection = line.reserve()
        if connection is None:
            line.pool.grow()
            return False
        if target.memory.take_now(size):
            try:
                flight = _Flight(target, item, *read_now(item, self._algorithm))
                flight.direct, flight.ended = self, ended
                request = flight.request(flight.key, if_none_match=self.conditional)
                line.send(connection, request, flight.answered)
                return True
            except Exception:  # the general way meets it again, and tells
                target.memory.give(size)
        line.release(connection)
        return False

    def go_on(self, rest: Coroutine[Any, Any, Fields], flight: "_Flight") -> None:
        """Do the rest in a task."""
        task = asyncio.get_running_loop().create_task(flight.go_on(rest))
        self._going_on.add(task)  # the loop itself keeps no task alive
        task.add_done_callback(self._going_on.discard)

    def close(self) -> None:
        """Give up what goes on in tasks."""
        for task in self._going_on:
            task.cancel()


class _Flight(Single):
    """One delivery under way."""

    __slots__ = ("direct", "ended")

    direct: Direct
    ended: Ended

    def answered(self, outcome: Answer | StoreError) -> None:
        """The request is over."""
        try:
            stored = accepted(outcome)
            fields = self.acknowledged(self.key, stored)
        except Unheard:
            self.direct.go_on(self.deliver(), self)
        except StoreError as error:
            if error.status == 412 and self.direct.conditional:
                self.direct.go_on(self.deliver(is_refused=True), self)
            else:
                self._end(error)
        except Exception as error:
            self._end(error)
        else:
            if fields is None:
                self.direct.go_on(self.proved(self.key, stored), self)
            else:
                self.item.sent = self.item.size
                self.target.memory.give(len(self.body))
                self.ended(self.item, fields)

    async def go_on(self, rest: Coroutine[Any, Any, Fields]) -> None:
        """The rest, and the end."""
        try:
            fields = await rest
        except Exception as error:
            self._end(error)
        else:
            self._end(fields)

    def _end(self, outcome: Fields | Exception) -> None:
        self.target.memory.give(len(self.body))
        if isinstance(outcome, StoreError):
            outcome = faults.explain(outcome, names.show(f"s3://{self.target.bucket}"))
        self.ended(self.item, outcome)
