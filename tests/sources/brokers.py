"""What the conformance suite asks of each broker: a queue of its own, to put into and to look at."""

import json
from abc import ABC, abstractmethod
from typing import Any

from jollyae.processors.notify.aws import Access
from jollyae.sources.amqp import AmqpSource
from jollyae.sources.source import Source
from jollyae.sources.sqs import SqsSource
from tests.rabbit import Rabbit
from tests.sources import scene
from tests.sources.sqs_server import SqsServer

REGION = "eu-west-1"
VISIBILITY = 2
"""Seconds for which SQS hides what was received, in these tests."""


class Broker(ABC):
    """One broker with one queue."""

    url: str
    is_hiding = True
    """Whether it gives a message to another after a time, and not when a connection ends."""

    @abstractmethod
    def source(self, prefetch: int = 100) -> Source:
        """A source of it."""

    @abstractmethod
    def send(self, *bodies: bytes) -> None:
        """Put messages in."""

    @abstractmethod
    def dead(self) -> list[tuple[bytes, str]]:
        """The dead letters, and the error that each tells."""


class Amqp(Broker):
    """RabbitMQ."""

    is_hiding = False

    def __init__(self, rabbit: Rabbit, name: str) -> None:
        self._queue = scene.Queue(rabbit, name)
        self.url = self._queue.url

    def source(self, prefetch: int = 100) -> Source:
        """See :class:`Broker`."""
        return AmqpSource(self.url, prefetch=prefetch)

    def send(self, *bodies: bytes) -> None:
        """See :class:`Broker`."""
        self._queue.send(*bodies)

    def dead(self) -> list[tuple[bytes, str]]:
        """See :class:`Broker`."""
        return [(body, headers["x-jollyae-error"]) for body, headers in self._queue.dead()]


class Sqs(Broker):
    """A server of SQS's protocol, at an endpoint."""

    def __init__(self, endpoint: str, name: str) -> None:
        self._endpoint, self._name = endpoint, name
        self.url = f"sqs://{name}"

    def source(self, prefetch: int = 100) -> Source:
        """See :class:`Broker`."""
        return SqsSource(self.url, Access(region=REGION, endpoint_url=self._endpoint), prefetch=prefetch)

    def _client(self) -> Any:
        import boto3

        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        return boto3.client("sqs", endpoint_url=self._endpoint, region_name=REGION, **keys)  # type: ignore[call-overload]

    def send(self, *bodies: bytes) -> None:
        """See :class:`Broker`."""
        client = self._client()
        url = client.get_queue_url(QueueName=self._name)["QueueUrl"]
        for body in bodies:
            client.send_message(QueueUrl=url, MessageBody=body.decode())

    def dead(self) -> list[tuple[bytes, str]]:
        """See :class:`Broker`."""
        client = self._client()
        url = client.get_queue_url(QueueName=f"{self._name}-dead")["QueueUrl"]
        got = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
        return [
            (one["Body"].encode(), one["MessageAttributes"]["jollyaeError"]["StringValue"])
            for one in got.get("Messages", [])
        ]


class Moto(Sqs):
    """moto: what Amazon's protocol looks like by others' reading."""

    def __init__(self, endpoint: str, name: str) -> None:
        super().__init__(endpoint, name)
        client = self._client()
        dead = client.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        arn = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 100})
        client.create_queue(QueueName=name, Attributes={"VisibilityTimeout": str(VISIBILITY), "RedrivePolicy": policy})


class Timed(Sqs):
    """Our own server, which keeps its times."""

    def __init__(self, server: SqsServer, name: str) -> None:
        super().__init__(server.endpoint, name)
        server.make(f"{name}-dead")
        server.make(name, VISIBILITY, dead=f"{name}-dead")
