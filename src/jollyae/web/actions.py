"""What the dashboard can do, all by the spool's own moves: retry, pause, resume, upload. A worker may do something
with the same item at the same instant; one of the two wins, and the result says so."""

import errno
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from ..service.units import unreadable
from ..spool import names
from ..spool.places import Place
from ..spool.spool import UNREADABLE, check_submittable
from .failures import Failures, Filter
from .queue import Queue, placed

MOST_REASONS = 20
"""So many reasons for skipping are told."""


@dataclass(frozen=True, slots=True)
class Retried:
    """How a retry went, or how far it is. ``skipped``: how many stayed where they were; ``reasons``: (name safe to
    show, why) for some of these; ``over``: nothing is left to do; ``messages``: how many were left that are no items
    but messages which nobody could read."""

    retried: int = 0
    skipped: int = 0
    reasons: tuple[tuple[str, str], ...] = ()
    over: bool = True
    messages: int = 0

    @property
    def sentence(self) -> str:
        """'998 retried, 2 skipped'."""
        left = f"; {unreadable(self.messages)}" if self.messages else ""
        return f"{self.retried:,} retried, {self.skipped:,} skipped{left}"

    def plus(self, became: Iterable[tuple[str, str]]) -> "Retried":
        """This and what :meth:`Spool.retry` says of more."""
        retried, skipped, messages, reasons = self.retried, self.skipped, self.messages, list(self.reasons)
        for name, what in became:
            if what == "retried":
                retried += 1
                continue
            if what == UNREADABLE:
                messages += 1
                continue
            skipped += 1
            if len(reasons) < MOST_REASONS:
                reasons.append((names.show(name), what))
        return Retried(retried, skipped, tuple(reasons), self.over, messages)


@dataclass(frozen=True, slots=True)
class Answer:
    """How any other action went. ``status``: of HTTP."""

    done: bool
    sentence: str
    status: int = 200


def retry(queue: Queue, identifiers: Iterable[str]) -> Retried:
    """Retry the items that ``Failure.id`` names, each if it is still there."""
    total = Retried(over=False)
    for identifier in identifiers:
        try:
            place, name = placed(identifier)
        except ValueError as error:
            total = total.plus([(identifier, str(error))])
            continue
        total = total.plus(queue.spool.retry([name], Place(place)))
    return replace(total, over=True)


def retrying(queue: Queue, failures: Failures, wanted: Filter) -> Iterator[Retried]:
    """Retry all that match ``wanted`` and were there when it began; how far it is after each thousand, the last answer
    is ``over``. What fails again meanwhile is not retried twice."""
    began = time.time()
    total = Retried(over=False)
    try:
        for chunk in failures.matching(wanted, began):
            for place in sorted({place for place, _ in chunk}):
                names_there = [name for where, name in chunk if where == place]
                total = total.plus(queue.spool.retry(names_there, Place(place)))
            yield total
    finally:
        failures.changed()
    yield replace(total, over=True)


def retry_matching(queue: Queue, failures: Failures, wanted: Filter) -> Retried:
    """The same in one go."""
    *_, last = retrying(queue, failures, wanted)
    return last


def pause(queue: Queue, reason: str) -> Answer:
    """Pause the queue by hand."""
    try:
        queue.spool.pause(" ".join(reason.split()))
    except OSError as error:
        return Answer(False, f"cannot pause {queue.name}: {error.strerror}", 500)
    return Answer(True, f"{queue.name} is paused")


def resume(queue: Queue) -> Answer:
    """End a pause by hand."""
    try:
        was = queue.spool.resume()
    except OSError as error:
        return Answer(False, f"cannot resume {queue.name}: {error.strerror}", 500)
    return Answer(True, f"{queue.name} goes on" if was else f"{queue.name} was not paused")


def upload(queue: Queue, name: str, stream: BinaryIO) -> Answer:
    """Submit what ``stream`` holds as item ``name``. When it says done, the item is queued and on the disk."""
    try:
        check_submittable(name)
        queue.spool.submit(stream, name)
    except ValueError as error:
        return Answer(False, str(error), 400)
    except FileExistsError:
        return Answer(False, f"incoming/ has an item named {names.show(name)} already", 409)
    except OSError as error:
        status = 507 if error.errno in (errno.ENOSPC, errno.EDQUOT) else 500
        return Answer(
            False, f"{names.show(name)} is not queued: {names.printable(error.strerror or str(error))}", status
        )
    return Answer(True, f"{names.show(name)} is queued", 201)
