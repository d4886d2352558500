"""The way of an announcement: RabbitMQ's exchange, queue and dead letters, and RGW's notifications that go there."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import aiormq
from pamqp import commands

from tests.chain.store import Store
from tests.rabbit import Rabbit

TIME = 15.0
"""Seconds that one look at the broker may take."""
AWAY = (OSError, TimeoutError, aiormq.exceptions.AMQPException)
"""What is raised here while the broker is away."""

logging.getLogger("aiormq").addHandler(logging.NullHandler())
logging.getLogger("aiormq").propagate = False  # what it says of a broker that was killed belongs on no screen


@dataclass(frozen=True)
class Queue:
    """A queue, the exchange of the same name that leads to it, and its dead letters."""

    rabbit: Rabbit
    name: str

    @property
    def dead(self) -> str:
        """Where messages go that nobody can read."""
        return f"{self.name}.dead"

    def url(self, address: str) -> str:
        """For ``--from`` and ``--notify``, by one of the broker's addresses."""
        return f"{self.rabbit.at(address)}/{self.name}"

    def prepare(self) -> None:
        """Make all of it, to last over the broker's own death. RGW wants a topic exchange, and does not make it."""

        async def make(channel: Any) -> None:
            await channel.exchange_declare(self.name, exchange_type="topic", durable=True)
            await channel.queue_declare(self.dead, durable=True)
            await channel.queue_declare(self.name, durable=True)
            await channel.queue_bind(self.name, self.name, "#")

        self._with_channel(make)

    def have_rgw_tell(self, store: Store, bucket: str) -> None:
        """Have RGW tell of each new object in the bucket. ``persistent``: what could not be sent is kept, over RGW's
        own restarts too; ``broker``: sent is what the broker has confirmed. No password in the URL, which means
        guest's: RGW refuses one that it is told over plain http."""
        attributes = {
            "push-endpoint": f"amqp://127.0.0.1:{self.rabbit.port}",
            "amqp-exchange": self.name,
            "amqp-ack-level": "broker",
            "persistent": "true",
        }
        topic = store.sns().create_topic(Name=self.name, Attributes=attributes)["TopicArn"]
        told: Any = {"Id": "arrived", "TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}
        store.client.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"TopicConfigurations": [told]}
        )

    def waiting(self) -> int:
        """How many messages are ready; those that a worker holds are not counted. Raises :data:`AWAY`."""
        return self._count(self.name)

    def buried(self) -> int:
        """How many dead letters there are. Raises :data:`AWAY`."""
        return self._count(self.dead)

    def purge(self) -> None:
        """Forget what is ready. Raises :data:`AWAY`."""
        self._with_channel(lambda channel: channel.queue_purge(self.name))

    def publish(self, bodies: Iterable[bytes]) -> None:
        """Put messages into it, durably: when it returns, the broker has confirmed each. Raises :data:`AWAY`."""

        async def put(channel: Any) -> None:
            properties = commands.Basic.Properties(delivery_mode=2)
            for body in bodies:
                await channel.basic_publish(body, routing_key=self.name, properties=properties, mandatory=True)

        self._with_channel(put)

    def _count(self, queue: str) -> int:
        async def look(channel: Any) -> int:
            return int((await channel.queue_declare(queue, passive=True)).message_count or 0)

        return int(self._with_channel(look))

    def _with_channel(self, do: Callable[[Any], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            async with asyncio.timeout(TIME):
                connection = await aiormq.connect(self.rabbit.url)
                try:
                    return await do(await connection.channel())
                finally:
                    await connection.close()

        return asyncio.run(run())
