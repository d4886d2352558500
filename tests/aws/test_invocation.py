"""What a function is called with, as a table; and that a handler costs little before its first call."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from jollyae import aws
from jollyae.aws import invocation
from jollyae.aws.fetching import mtime_of
from jollyae.aws.invocation import EventError, Invocation, Message

from . import events

BODY = events.s3("photos", "a b.jpg")


def test_a_batch_of_a_queue() -> None:
    """Each message has its id, its body as it is, and how often it was received."""
    read = invocation.read(events.sqs(events.record(BODY, "m1"), events.record("no JSON", "m2", received=3)))
    assert read == Invocation((Message("m1", json.dumps(BODY), 1), Message("m2", "no JSON", 3)), is_queue=True)


def test_only_a_fifo_queue_has_groups() -> None:
    """A group of a standard queue (a fair one) tells nothing of an order."""
    fair = events.record(BODY, "m1", group="g", queue=events.QUEUE)
    fair["eventSourceARN"] = events.QUEUE
    assert [message.group for message in invocation.read(events.sqs(fair)).messages] == [""]
    fifo = events.record(BODY, "m1", group="g")
    assert [message.group for message in invocation.read(events.sqs(fifo)).messages] == ["g"]


@pytest.mark.parametrize("event", [BODY, events.eventbridge("photos", "a b.jpg"), events.s3_test("photos")])
def test_a_direct_call_is_one_message(event: dict[str, Any]) -> None:
    """What S3 or EventBridge calls a function with is the message itself."""
    assert invocation.read(event) == Invocation((Message("", json.dumps(event)),))


def test_a_call_by_sns_is_its_message() -> None:
    """SNS wraps the message of S3 in a record of its own."""
    (message,) = invocation.read(events.sns(BODY)).messages
    assert json.loads(message.body) == BODY


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        "text",
        {"Records": "text"},
        {"Records": [None]},
        {"Records": [{"eventSource": "aws:sqs"}]},
        {
            "Records": [
                {"eventSource": "aws:sqs", "messageId": "m", "body": "", "attributes": {"ApproximateReceiveCount": "x"}}
            ]
        },
        {"Records": [{"EventSource": "aws:sns"}]},
    ],
)
def test_what_is_no_event_is_refused(event: Any) -> None:
    """With one error, whatever it is."""
    with pytest.raises(EventError):
        invocation.read(event)


@pytest.mark.parametrize(
    ("told", "expected"),
    [("1354040105.5", 1354040105.5), ("nan", None), ("inf", None), ("1e9999", None), ("soon", None)],
)
def test_the_time_of_a_file(told: str, expected: float | None) -> None:
    """As the object's metadata say, where that is a time."""
    found = mtime_of({"Metadata": {"mtime": told}})
    assert found == expected if expected is not None else found > 1.5e9


def test_a_cold_start_loads_little() -> None:
    """Before the first call a handler has loaded neither boto3 nor asyncio nor anything else that is slow."""
    program = (
        "import sys; from jollyae import aws; aws.lambda_handler(print); "
        "print(sorted({'boto3', 'botocore', 'asyncio', 'uvloop', 'httptools', 'PIL', 'httpx'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert told.stdout.strip() == "[]"


def test_the_public_names() -> None:
    """All that the package names is there."""
    assert all(hasattr(aws, name) for name in aws.__all__)
