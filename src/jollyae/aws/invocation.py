"""What Lambda calls a function with: the messages in an event, and what it wants to hear of them. Pure.

The shapes are those of "Using Lambda with Amazon SQS", "… SNS", "… S3" and "… EventBridge" in Lambda's developer guide.
"""

import json
from dataclasses import dataclass
from typing import Any


class EventError(ValueError):
    """The function was called with what is no event of SQS, SNS, S3 or EventBridge: its trigger is not for it."""


@dataclass(frozen=True, slots=True)
class Message:
    """One announcement. ``id``: what SQS calls it; ``body``: JSON, an S3 event in any dialect; ``attempt``: 1 the first
    time it is received; ``group``: of a FIFO queue, whose messages of one group have an order, else ''."""

    id: str
    body: str
    attempt: int = 1
    group: str = ""


@dataclass(frozen=True, slots=True)
class Invocation:
    """What one call brings. ``is_queue``: Lambda took it from SQS, and wants to hear which messages failed."""

    messages: tuple[Message, ...]
    is_queue: bool = False


def read(event: Any) -> Invocation:
    """The messages of an event. Raises :class:`EventError`.

    >>> read({"Records": [{"EventSource": "aws:sns", "Sns": {"MessageId": "7", "Message": "{}"}}]})
    Invocation(messages=(Message(id='7', body='{}', attempt=1, group=''),), is_queue=False)
    """
    try:
        source = _source(event)
        if source == "aws:sqs":
            return Invocation(tuple(_queued(record) for record in event["Records"]), is_queue=True)
        if source == "aws:sns":
            return Invocation(tuple(_published(record) for record in event["Records"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EventError(f"a record of the event is incomplete: {error!r}") from error
    return Invocation((Message("", json.dumps(event)),))


def _source(event: Any) -> str:
    """Which service called, by its first record; '' for one object that is a message itself."""
    if not isinstance(event, dict):
        raise EventError(f"the event is no object but {type(event).__name__}: give the function a trigger of SQS or S3")
    records = event.get("Records")
    if not records:
        return ""
    return str(records[0].get("eventSource") or records[0].get("EventSource") or "")  # SNS writes it so


def _queued(record: dict[str, Any]) -> Message:
    about = record.get("attributes", {})
    # A standard queue's messages may have a group, too (fair queues): it says nothing of their order.
    is_fifo = str(record.get("eventSourceARN", "")).endswith(".fifo")
    group = str(about.get("MessageGroupId", "")) if is_fifo else ""
    return Message(record["messageId"], record["body"], int(about.get("ApproximateReceiveCount", 1)), group)


def _published(record: dict[str, Any]) -> Message:
    return Message(str(record["Sns"].get("MessageId", "")), record["Sns"]["Message"])
