"""A sibling: one of several workers in processes of their own, and the line between it and its parent.

The line is a pair of sockets. Orders go one way: one byte, the number of the signal that the parent was sent, or the
question whether it is there. What the worker does comes the other way. The end of the line tells each of them that the
other is gone, however it went; a sibling without its parent stops in order, so there are no orphans for ever.
"""

import asyncio
import logging
import os
import pickle
import signal
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ...spool.spool import SpoolError
from ...worker.loop import loop_factory
from ...worker.rules import Share
from ...worker.state import Snapshot
from ...worker.summary import Summary
from ...worker.tally import Tally
from ...worker.telling import log, notice
from ...worker.worker import Worker
from .. import compose, intakes, notifications, origins
from ..deliveries import Destination
from ..observing.tracing import traced
from ..settings import ConfigurationError, Queue, Settings

_HEAD = struct.Struct(">I")  # before each report: its length in bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """A sibling cannot work: the spool or the configuration."""

    message: str
    hint: str


ASK = 0
"""The order that is no signal: say that you are there."""


@dataclass(frozen=True, slots=True)
class Here:
    """The answer: the event loop still turns."""


class Line:
    """One end of the sockets between the parent and a sibling."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._end.setblocking(False)
        self._received = bytearray()
        self._unsent = b""
        self._last: object = None

    def fileno(self) -> int:
        """Its descriptor."""
        return self._end.fileno()

    def close(self) -> None:
        """Close this end."""
        self._end.close()

    # the parent's

    def order(self, number: int) -> None:
        """Tell the sibling of a signal."""
        with suppress(OSError):  # it is gone, which is what is wanted
            self._end.send(bytes([number]))

    def reports(self) -> Iterator[Any]:
        """What the sibling has said since; ends with None where it is gone."""
        while True:
            try:
                data = self._end.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            self._received += data
            yield from self._whole()
            if not data:
                yield None
                return

    def _whole(self) -> Iterator[Any]:
        while len(self._received) >= _HEAD.size:
            end = _HEAD.size + _HEAD.unpack_from(self._received)[0]
            if len(self._received) < end:
                return
            report = pickle.loads(self._received[_HEAD.size : end])
            del self._received[:end]
            yield report

    # the sibling's

    def orders(self) -> list[int] | None:
        """The signals that the parent passed on since; None where it is gone."""
        try:
            return list(self._end.recv(16)) or None
        except BlockingIOError:
            return []
        except OSError:
            return None

    def show(self, snapshot: Snapshot) -> None:
        """Say what goes on, if it is news. Never waits: a parent that does not read misses some."""
        if self.flush() and snapshot != self._last and self.send(snapshot):
            self._last = snapshot

    def say(self, last: object) -> None:
        """Say the last thing, and wait until it is said."""
        self._end.settimeout(10.0)
        with suppress(OSError):
            self._end.sendall(self._unsent + packed(last))

    # both

    @property
    def is_behind(self) -> bool:
        """Whether a part of what was said is still with us."""
        return bool(self._unsent)

    def send(self, report: object) -> bool:
        """Say it without waiting; False where the other end has not read enough of what was said before."""
        if not self.flush():
            return False
        self._unsent = packed(report)
        self.flush()
        return True

    def flush(self) -> bool:
        """Say the rest, without waiting; whether there is none left."""
        with suppress(OSError):
            while self._unsent:
                self._unsent = self._unsent[self._end.send(self._unsent) :]
        return not self._unsent


def packed(report: object) -> bytes:
    """A report as it goes over the line: its length in four bytes, the highest first, and its pickle."""
    data = pickle.dumps(report)
    return _HEAD.pack(len(data)) + data


def work(
    queue: Queue, settings: Settings, line: Line, tally: Tally, fields: Mapping[str, object], *, silent: bool
) -> int:
    """Be a sibling, with its own part of the queue's settings; the exit code. ``fields``: what each line of the log
    has."""
    try:
        log.addFilter(lambda record: _sign(record, fields))
        where = traced(compose.destination(settings), queue.name)
        supply = intakes.supply(settings)
        places = queue.places if supply is None else origins.places(queue.places, settings.share)
        spool = compose.spool(places, copy=settings.copy)
        rules = settings.rules()
        if supply is not None:  # alone on its places, where no name is another's
            rules = replace(rules, share=Share(is_led=True))
        worker = Worker(
            spool,
            where.process,
            rules,
            destination=where.name,
            listeners=(line.show,),
            tally=tally,
            outbox=notifications.outbox(queue.places, settings),
            supply=supply,
        )
        log.addFilter(lambda record: _sign(record, {"worker": worker.name}))
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            summary = runner.run(_serve(worker, where, line, silent=silent))
    except (ConfigurationError, SpoolError) as error:
        line.say(Refusal(error.message, error.hint))
        return os.EX_CONFIG
    line.say(summary)
    return summary.exit_code


def _sign(record: logging.LogRecord, fields: Mapping[str, object]) -> bool:
    """Say in each line of the log whose it is."""
    for name, value in fields.items():
        if value and name not in vars(record):
            setattr(record, name, value)
    return True


async def _serve(worker: Worker, where: Destination, line: Line, *, silent: bool) -> Summary:
    loop = asyncio.get_running_loop()
    told = 0

    def obey() -> None:
        nonlocal told
        orders = line.orders()
        if orders is None:
            loop.remove_reader(line.fileno())
            notice("the parent process is gone: stopping")
            worker.stop(signal.SIGTERM)
        for number in orders or ():
            if number == ASK:
                line.send(Here())
                continue
            told += 1
            if told > 1:
                worker.leave(number)
            worker.stop(number)

    loop.add_reader(line.fileno(), obey)
    try:
        return await compose.serve(worker, where, silent=silent)
    finally:
        loop.remove_reader(line.fileno())
