"""The function that Lambda calls: for each message the object, for each object the processor, and what came of it.

| what became of a message's objects | with SQS | with S3, SNS or EventBridge directly |
|---|---|---|
| the processor returned; or there was nothing to do: deleted meanwhile, a test, a removal | deleted from the queue | the call succeeds |
| :class:`Temporary`, or any other exception | comes back after the visibility time | the call fails: Lambda makes it again |
| :class:`Permanent` | the same, until the redrive policy takes it to the dead-letter queue | the same, until it goes to the destination for failures |
| no time left | comes back, untried | the call fails |
| it follows one that failed, in a group of a FIFO queue | comes back, untried | |

A permanent failure is not reported as done: the dead-letter queue is what ``failed/`` is in a spool, the one place
where somebody finds it and from where it can be sent again; a line in a log is not. It costs the attempts until then.
"""  # noqa: E501 - a table

import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from ..sources import events
from ..spool import names
from ..spool.outcomes import Permanent, Temporary
from ..worker import reasons
from ..worker.retry import describe
from . import invocation
from .fetching import FetchedItem, Fetcher, Gone, Place
from .invocation import Message

MARGIN = 10.0
"""Seconds: with less left no further message is begun."""
RESERVE = 1.0
"""Seconds that are kept for the answer: what is under way when no more are left is given up, where it can be."""

Fields = dict[str, Any]
Process = Callable[[FetchedItem], Awaitable[Fields | None]] | Callable[[FetchedItem], Fields | None]

log = logging.getLogger("jollyae")


class Undone(Exception):
    """Not everything of an event that came without a queue was done: Lambda makes the call again."""


def lambda_handler(process: Process, *, margin: float = MARGIN, largest: int | None = None) -> "Handler":
    """A handler for AWS Lambda that calls ``process(item)`` for each object that it is told of.

    ``process`` is a processor as a spool's worker has it, plain or a coroutine function: it returns, or raises
    :class:`~jollyae.Temporary` or :class:`~jollyae.Permanent`. ``margin``: with fewer seconds left no further message
    is begun; more than one item takes, and well below the function's timeout. ``largest``: objects of more bytes fail
    for ever.
    """
    return Handler(process, margin=margin, largest=largest)


class Handler:
    """See :func:`lambda_handler`. One invocation at a time, as Lambda calls a process; one object at a time.

    - **At least once**: a message is reported as done when all its objects are. One that names several is repeated
      whole where one of them failed.
    - **Bounded**: memory by a block, storage by one object, time by ``margin``. The first message of a call is always
      begun, so that a margin which is too large slows things down and stops nothing.
    - The trigger on a queue must have ``ReportBatchItemFailures``: without it Lambda takes every answer for success,
      and what failed is deleted.
    """

    def __init__(self, process: Process, *, margin: float = MARGIN, largest: int | None = None) -> None:
        self._process = process
        self._margin = margin
        self._fetcher = Fetcher(largest)
        self._runner: Any = None

    def __call__(self, event: Any, context: Any = None) -> dict[str, Any]:
        """Work off an event; what Lambda wants to hear. Raises :class:`.invocation.EventError` for what is none of the
        four services', and :class:`Undone` where something failed and no queue has it."""
        call = invocation.read(event)
        failed = self._work(call.messages, Clock(context))
        if call.is_queue:
            return {"batchItemFailures": [{"itemIdentifier": message.id} for message, _ in failed]}
        if failed:
            raise Undone("; ".join(why for _, why in failed)[:1000])
        return {"done": len(call.messages)}

    def close(self) -> None:
        """Give back what was made. For tests: a function is never told that it is over."""
        self._fetcher.close()
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    def _work(self, messages: tuple[Message, ...], clock: "Clock") -> list[tuple[Message, str]]:
        """Those that failed, each with why."""
        failed: list[tuple[Message, str]] = []
        stopped: set[str] = set()
        for number, message in enumerate(messages):
            if message.group in stopped:
                why = "it follows one of its group that failed"
            elif number and clock.left() < self._margin:
                why = f"not begun: {clock.left():.1f} s are left, and {self._margin:.0f} s are the margin"
                log.warning("%s: %s", message.id, why)
            else:
                why = self._message(message, clock)
            if why:
                failed.append((message, why))
                if message.group:
                    stopped.add(message.group)
        return failed

    def _message(self, message: Message, clock: "Clock") -> str:
        """Do what a message says; '' or why it failed. Each of its objects is tried."""
        trouble: list[str] = []
        with _told(trouble, message, "the message"):
            for event in events.read(message.body.encode(errors="surrogateescape")):
                with _told(trouble, message, names.printable(event.url)):
                    self._event(event, message.attempt, clock)
        return "; ".join(trouble)

    def _event(self, event: events.Event, attempt: int, clock: "Clock") -> None:
        shown = names.printable(event.url)
        if event.kind is not events.Kind.CREATED:
            log.info("nothing to do: %s: %s", event.kind.value, shown)
            return
        if event.scheme != "s3":
            raise Permanent(f"{shown} is in no S3 bucket", hint="Only objects of S3 can be fetched.", reason="content")
        size = event.size if event.size >= 0 else None
        keys = [event.key, *([event.otherwise] if event.otherwise else [])]
        places = [Place(event.bucket, key, size, event.etag) for key in keys]
        try:
            self._object(places, attempt, clock)
        except Gone:
            log.info("nothing to do: deleted since it was announced: %s", shown)

    def _object(self, places: Sequence[Place], attempt: int, clock: "Clock") -> None:
        with self._fetcher.fetched(places, attempt, clock.check) as item:
            if (told := places[0].etag) and item.etag != told:
                log.info("written again since it was announced, and taken as it is now: %s", names.printable(item.url))
            began = time.monotonic()
            self._call(item, clock)
            seconds = time.monotonic() - began
            log.info("done in %.3f s: %s, %d bytes", seconds, names.printable(item.url), item.size)

    def _call(self, item: FetchedItem, clock: "Clock") -> None:
        result = self._process(item)
        if isinstance(result, Awaitable):
            self._run(result, clock)

    def _run(self, coroutine: Awaitable[Any], clock: "Clock") -> None:
        """Run it on a loop that lasts as long as the process: what a processor keeps (connections, …) belongs to it."""
        import asyncio

        async def bounded() -> None:
            try:
                async with asyncio.timeout(clock.left() - RESERVE if clock.is_bounded else None):
                    await coroutine
            except TimeoutError:
                clock.check()
                raise

        if self._runner is None:
            self._runner = asyncio.Runner()
        self._runner.run(bounded())


class Clock:
    """How much time an invocation has left, by its context; without one there is no end to it."""

    def __init__(self, context: Any) -> None:
        self._millis: Callable[[], int] | None = getattr(context, "get_remaining_time_in_millis", None)

    @property
    def is_bounded(self) -> bool:
        """Whether there is an end."""
        return self._millis is not None

    def left(self) -> float:
        """Seconds."""
        return self._millis() / 1000 if self._millis is not None else float("inf")

    def check(self) -> None:
        """Raise :class:`Temporary` when there is time for nothing but the answer."""
        if self.left() <= RESERVE:
            hint = "Give the function more time or memory (with which it has more CPU), or fewer messages at a time."
            raise Temporary("the function's time is over", hint=hint, reason="timeout")


@contextlib.contextmanager
def _told(trouble: list[str], message: Message, what: str) -> Iterator[None]:
    """What is raised inside goes into the log and to ``trouble``, and no further."""
    try:
        yield
    except (Temporary, Permanent) as error:
        why, level = f"{what}: {names.printable(error.message)}", logging.WARNING
        if isinstance(error, Permanent):
            why, level = f"{why} (for ever)", logging.ERROR
        more = {"reason": reasons.of(error), "hint": error.hint, "attempt": message.attempt, "messageId": message.id}
        log.log(level, "failed: %s. %s", why, error.hint, extra=more)
        trouble.append(why)
    except Exception as error:  # an unknown fault is not the item's
        why = f"{what}: {describe(error)}"
        log.exception("failed: %s", why, extra={"attempt": message.attempt, "messageId": message.id})
        trouble.append(why)
