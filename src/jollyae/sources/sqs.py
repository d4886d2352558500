"""A queue of Amazon SQS, through boto3, in threads: long polling, and deletions ten at a time.

SQS makes a message invisible to others for a while when it is received. While a message is with us a heartbeat renews
that, each time by as much as the queue's own visibility timeout: so a worker that dies is replaced after that time, and
one that is slower than it is not doubled. SQS allows twelve hours in all.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

from ..processors.notify.aws import Access, Sqs, explain
from ..processors.s3.boto import guarded
from ..processors.s3.threads import Threads
from ..processors.s3.transport import StoreError
from ..spool import names
from ..spool.outcomes import Scope, Temporary
from ..worker.telling import warn
from .source import Message, Seen, Why

KEEPS_FOR = 0.95 * 12 * 3600
"""Seconds after which a message is given back: SQS lets nobody have one for more than twelve hours."""
POLL = 20
"""Seconds that SQS waits for a message before it answers that there is none: its longest, and the cheapest."""
BATCH = 10
"""Messages that one call can be about."""
CLOSE_WITHIN = 5.0
"""Seconds to tell SQS the last when the worker ends."""
_THREADS = 8
_BEATS = 3.0  # heartbeats within one visibility timeout
_DEFAULT_VISIBILITY = 30.0  # of a queue, where we may not ask
_LONG = 1000  # characters of a reason in an attribute
_MOST_ATTRIBUTES = 10  # of a message


class SqsSource:
    """A :class:`.source.Source`: ``sqs://NAME``, ``sqs://ACCOUNT/NAME``, or the queue's own URL with ``sqs://`` for
    ``https://``. ``prefetch``: the most messages that are with us at a time. Raises
    :class:`~jollyae.processors.notify.UrlError`."""

    keeps_for = KEEPS_FOR

    def __init__(self, url: str, access: Access, *, prefetch: int) -> None:
        self._queue = Sqs(url, access)
        self.name = self._queue.shown
        self._prefetch = prefetch
        self._threads = Threads(_THREADS, "sqs")
        self._visibility = _DEFAULT_VISIBILITY
        self._dead_queue: dict[str, str] = {}
        self._dead_url = ""
        self._outstanding: dict[int, Message] = {}
        self._numbers = count()
        self._done: list[Message] = []
        self._polling: asyncio.Task[list[Message]] | None = None
        self._beating: asyncio.Task[None] | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._paused = False

    async def _ask(self, call: Callable[[Any, str], Any], about: str = "") -> Any:
        """One call, with the client and the queue's URL. Raises :class:`Temporary`; ``about``: another queue."""
        try:
            return await self._threads.run(guarded, lambda: call(*self._queue.reached()))
        except StoreError as error:
            explained = explain(error, about or self.name)
            hint = f"{explained.hint} It needs {_RIGHTS}." if explained.reason == "denied" else explained.hint
            raise Temporary(
                explained.message, hint=hint, scope=Scope.DESTINATION, reason=explained.reason, state=explained.state
            ) from error

    async def open(self) -> None:
        """See :class:`.source.Source`."""
        names_of = ["VisibilityTimeout", "RedrivePolicy"]
        try:
            found = await self._ask(
                lambda client, url: client.get_queue_attributes(QueueUrl=url, AttributeNames=names_of)
            )
            attributes = found.get("Attributes", {})
        except Temporary as error:
            if error.reason != "denied":
                raise
            attributes = {}  # then the queue's usual time counts, and it has no dead letters that we know of
        self._visibility = max(float(attributes.get("VisibilityTimeout", _DEFAULT_VISIBILITY)), 1.0)
        self._dead_queue = _dead_queue(attributes.get("RedrivePolicy", ""))
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat())

    async def look(self) -> Seen:
        """See :class:`.source.Source`."""
        names_of = ["ApproximateNumberOfMessages", "VisibilityTimeout", "RedrivePolicy"]
        found = await self._ask(lambda client, url: client.get_queue_attributes(QueueUrl=url, AttributeNames=names_of))
        attributes = found.get("Attributes", {})
        queue = _dead_queue(attributes.get("RedrivePolicy", ""))
        if queue:
            name = f"its dead-letter queue {queue['QueueName']}"
            await self._ask(lambda client, url: client.get_queue_url(**queue), name)
        hidden = float(attributes.get("VisibilityTimeout", _DEFAULT_VISIBILITY))
        waiting = int(attributes.get("ApproximateNumberOfMessages", 0))
        kept = f"after a death a message comes again within {hidden:g} s"
        return Seen(waiting, None, queue.get("QueueName", ""), kept)

    # --- receiving

    async def receive(self) -> list[Message]:
        """See :class:`.source.Source`."""
        while True:
            while len(self._outstanding) >= self._prefetch:
                self._room.clear()
                await self._room.wait()
            if self._polling is None:
                self._polling = asyncio.create_task(self._poll())
            polling = self._polling
            await asyncio.wait((polling,))  # one that is cancelled leaves the poll, and what it brought
            self._polling = None
            if found := polling.result():
                return found

    async def _poll(self) -> list[Message]:
        most = max(1, min(BATCH, self._prefetch - len(self._outstanding)))
        began = time.monotonic()
        answer = await self._ask(
            lambda client, url: client.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=most,
                WaitTimeSeconds=POLL,
                AttributeNames=["ApproximateReceiveCount", "MessageGroupId"],
                MessageAttributeNames=["All"],
                VisibilityTimeout=int(self._visibility),
            )
        )
        found = []
        for told in answer.get("Messages", []):
            times = int(told.get("Attributes", {}).get("ApproximateReceiveCount", 1))
            body = told.get("Body", "").encode(errors="surrogatepass")
            message = Message(body, told.get("MessageId", ""), times, (next(self._numbers), told), began)
            self._outstanding[message.handle[0]] = message
            found.append(message)
        return found

    async def pause(self) -> None:
        """See :class:`.source.Source`."""
        self._paused = True

    # --- keeping

    async def _beat(self) -> None:
        """Keep what is with us invisible to others."""
        while True:
            await asyncio.sleep(self._visibility / _BEATS)
            held = list(self._outstanding.values())
            try:
                await asyncio.gather(
                    *(self._hide(some, int(self._visibility)) for some in _batches(held)),
                )
            except Temporary as error:
                warn(f"messages are not kept: {error.message}", error.hint, reason=error.reason)

    async def _hide(self, messages: list[Message], seconds: int) -> None:
        """From now on nobody else gets these for so many seconds. What SQS says it has taken back is lost."""
        by_id = {str(message.handle[0]): message for message in messages}
        entries = [
            {"Id": number, "ReceiptHandle": message.handle[1]["ReceiptHandle"], "VisibilityTimeout": seconds}
            for number, message in by_id.items()
        ]
        answer = await self._ask(
            lambda client, url: client.change_message_visibility_batch(QueueUrl=url, Entries=entries)
        )
        for failed in answer.get("Failed", []):
            message = by_id[failed["Id"]]
            if failed.get("SenderFault") and message.handle[0] in self._outstanding:
                message.lost = True
                self._forget(message)

    def _forget(self, message: Message) -> None:
        self._outstanding.pop(message.handle[0], None)
        self._room.set()

    # --- telling

    def done(self, messages: Iterable[Message]) -> None:
        """See :class:`.source.Source`."""
        self._done += messages  # also those that SQS has taken back: if nobody has them yet, nobody needs to
        if self._done and self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        try:
            await asyncio.sleep(0)  # for the others of this turn of the loop
            while self._done:
                done, self._done = self._done, []
                await asyncio.gather(*(self._delete(some) for some in _batches(done)))
        except Temporary as error:
            warn(f"not acknowledged, so they come again: {error.message}", error.hint, reason=error.reason)
        finally:
            self._flushing = None

    async def _delete(self, messages: list[Message]) -> None:
        entries = [
            {"Id": str(number), "ReceiptHandle": message.handle[1]["ReceiptHandle"]}
            for number, message in enumerate(messages)
        ]
        try:
            for _ in range(2):
                answer = await self._ask(lambda client, url: client.delete_message_batch(QueueUrl=url, Entries=entries))
                again = {failed["Id"] for failed in answer.get("Failed", []) if not failed.get("SenderFault")}
                if not again:
                    break
                entries[:] = [entry for entry in entries if entry["Id"] in again]
        finally:
            for message in messages:
                self._forget(message)

    async def again(self, messages: Iterable[Message]) -> None:
        """See :class:`.source.Source`."""
        given = [message for message in messages if not message.lost]
        for message in given:
            message.lost = True
            self._forget(message)
        await asyncio.gather(*(self._hide(some, 0) for some in _batches(given)))

    async def dead(self, message: Message, why: Why) -> None:
        """See :class:`.source.Source`. A queue without a redrive policy has no dead letters: that is told, and the
        message is done, for its item is in ``failed/``."""
        if message.lost:
            return
        if not self._dead_queue:
            hint = "Give the queue a dead-letter queue (its RedrivePolicy)."
            warn(f"no dead letter of message {message.id}: {self.name} has no redrive policy", hint)
        else:
            await self._ask(lambda client, url: self._bury(client, message, why))
        self.done([message])

    def _bury(self, client: Any, message: Message, why: Why) -> None:
        if not self._dead_url:
            self._dead_url = client.get_queue_url(**self._dead_queue)["QueueUrl"]
        told = message.handle[1]
        given = {name: _plain(value) for name, value in told.get("MessageAttributes", {}).items()}
        reasons = {"jollyaeError": why.error, "jollyaeHint": why.hint, "jollyaeReason": why.reason}
        ours = {
            name: {"DataType": "String", "StringValue": names.printable(text)[:_LONG]}
            for name, text in reasons.items()
            if text
        }
        kept = dict(list(given.items())[: _MOST_ATTRIBUTES - len(ours)])
        group = told.get("Attributes", {}).get("MessageGroupId", "")
        ordered = {"MessageGroupId": group, "MessageDeduplicationId": message.id}
        client.send_message(
            QueueUrl=self._dead_url,
            MessageBody=told["Body"],
            MessageAttributes=kept | ours,
            **(ordered if self._dead_url.endswith(".fifo") else {}),
        )

    async def close(self) -> None:
        """See :class:`.source.Source`."""
        with suppress(Temporary, TimeoutError):
            async with asyncio.timeout(CLOSE_WITHIN):
                if self._flushing is not None:
                    await self._flushing
                await self.again(list(self._outstanding.values()))
        for task in (self._polling, self._beating):
            if task is not None:
                task.cancel()
                await asyncio.wait((task,))
        self._threads.shutdown(wait=False)
        self._queue.close()


_RIGHTS = "sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility, sqs:GetQueueAttributes, sqs:GetQueueUrl"


def _dead_queue(policy: str) -> dict[str, str]:
    """The dead-letter queue that a redrive policy names, as GetQueueUrl is asked for it.

    >>> _dead_queue('{"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:123456789012:q-dead", "maxReceiveCount": 5}')
    {'QueueName': 'q-dead', 'QueueOwnerAWSAccountId': '123456789012'}
    """
    try:
        arn = str(json.loads(policy)["deadLetterTargetArn"]).split(":")
        return {"QueueName": arn[5], "QueueOwnerAWSAccountId": arn[4]}
    except (ValueError, KeyError, TypeError, IndexError):
        return {}


def _batches(messages: list[Message]) -> Iterator[list[Message]]:
    return (messages[start : start + BATCH] for start in range(0, len(messages), BATCH))


def _plain(attribute: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attribute.items() if name in ("DataType", "StringValue", "BinaryValue")}
