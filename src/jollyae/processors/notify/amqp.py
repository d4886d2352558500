"""A message to a queue of an AMQP 0-9-1 broker (RabbitMQ), or to an exchange.

Each is persistent, mandatory and confirmed: it counts as sent when the broker says that it is in a queue, and on the
disk where that queue is durable. Its ``message_id`` is the delivery's. The connection is kept, and made again by the
next message after it broke.
"""

import asyncio
import logging
import ssl
from contextlib import suppress
from typing import Any

import aiormq
from aiormq import exceptions
from pamqp import commands

from ...spool import names
from ...spool.item import Item
from ...spool.outcomes import Scope, Temporary
from ..amqp import Address, AddressError
from . import UrlError, message
from .message import Message

TIME = 30.0
"""Seconds to connect, and for the broker's confirmation."""

logging.getLogger("aiormq").addHandler(logging.NullHandler())
logging.getLogger("aiormq").propagate = False  # it tells the URL, in which the password is


class Amqp:
    """Sends to ``amqp[s]://[USER[:PASSWORD]@]HOST[:PORT][/VHOST]/QUEUE``, or with ``?exchange=NAME`` to that exchange,
    with QUEUE as the routing key. Raises :class:`UrlError`."""

    def __init__(self, url: str) -> None:
        try:
            self._address = Address(url)
        except AddressError as error:
            raise UrlError(str(error)) from error
        self.shown = self._address.name
        self._connection: Any = None
        self._channel: Any = None
        self._opening = asyncio.Lock()

    async def __call__(self, item: Item) -> dict[str, Any]:
        """Send the message that is an item. Raises :class:`Temporary` and :class:`~.Permanent`."""
        told = message.of(item)
        try:
            async with asyncio.timeout(TIME):
                channel = await self._open()
                await channel.basic_publish(
                    told.body,
                    exchange=self._address.exchange,
                    routing_key=self._address.queue,
                    properties=_properties(told),
                    mandatory=True,
                )
        except (OSError, TimeoutError, RuntimeError, exceptions.AMQPException) as error:
            raise self._explained(error) from error
        return {"notified": self.shown, "delivery": told.id}

    async def reach(self) -> str:
        """See whether queue or exchange is there, and send nothing; its name. Raises :class:`Temporary`."""
        where = self._address
        try:
            async with asyncio.timeout(TIME):
                channel = await self._open()
                if where.exchange:
                    await channel.exchange_declare(where.exchange, passive=True)
                else:
                    await channel.queue_declare(where.queue, passive=True)
        except (OSError, TimeoutError, RuntimeError, exceptions.AMQPException) as error:
            raise self._explained(error) from error
        finally:
            await self.end()
        return f"exchange {where.exchange}" if where.exchange else f"queue {where.queue}"

    async def end(self) -> None:
        """Disconnect. It raises nothing."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with suppress(Exception):  # nothing is lost by a connection that does not close well
                async with asyncio.timeout(TIME):
                    await connection.close()

    async def _open(self) -> Any:
        """The channel; the first who finds it closed makes another."""
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                await self.end()
                self._connection = await aiormq.connect(
                    self._address.login, client_properties={"connection_name": "jollyae notifications"}
                )
                self._channel = await self._connection.channel(publisher_confirms=True)
            return self._channel

    def _explained(self, error: BaseException) -> Temporary:
        what, hint, reason = _meaning(error, self._address)
        return Temporary(f"{self.shown}: {what}", hint=hint, scope=Scope.DESTINATION, reason=reason)


def _properties(told: Message) -> commands.Basic.Properties:
    """By which it can be told and routed without reading it."""
    record = told.record
    return commands.Basic.Properties(
        content_type="application/json",
        delivery_mode=2,
        message_id=told.id,
        message_type=record["eventName"],
        headers={"bucket": names.encode(record["s3"]["bucket"]["name"])},
    )


def _meaning(error: BaseException, where: Address) -> tuple[str, str, str]:
    """What it is, what to do, and its reason: never the URL. All of these are the broker's, and none the message's."""
    made = f"Make the exchange {where.exchange}" if where.exchange else f"Make the queue {where.queue}"
    match error:
        case TimeoutError():
            return "no confirmation in time", "Check the network and the broker: is its disk or memory full?", "timeout"
        case exceptions.DeliveryError():
            hint = f"{made}, and bind a queue to it." if where.exchange else f"{made}; check its name."
            return "what was sent leads to no queue, or was refused", hint, "bucket"
        case exceptions.AuthenticationError() | exceptions.ProbableAuthenticationError():
            return "login refused", "Check user and password in the target's URL.", "credentials"
        case exceptions.InvalidFrameError() if "OpenOk" in str(error):  # what it says to a vhost is not passed on
            return "no such virtual host, or no right to it", "Check it in the target's URL.", "denied"
        case exceptions.ChannelNotFoundEntity():
            return "there is no such queue or exchange", f"{made}; check its name.", "bucket"
        case exceptions.ChannelAccessRefused():
            return "access refused", "The user must be allowed to write there.", "denied"
        case ssl.SSLError():
            return "no secure connection", "Add ?cafile=FILE to the URL, or use amqp://.", "tls"
    return _said(error) or "it cannot be reached", "It is connected again by itself. Does the broker run?", "network"


def _said(error: BaseException | None) -> str:
    """The error in one line, as the broker or the kernel says it."""
    match error:
        case exceptions.AMQPConnectionError() if error.__cause__ is not None or error.__context__ is not None:
            return _said(error.__cause__ or error.__context__)
        case OSError() if error.strerror:
            return error.strerror.partition("'")[0].rstrip(" (")
        case exceptions.AMQPError() if getattr(error, "reply_text", None) or error.args:
            return names.printable(str(getattr(error, "reply_text", None) or error.args[-1]))[:200]
    return ""
