"""A queue of an AMQP 0-9-1 broker (RabbitMQ), by aiormq, the layer below aio-pika: connections that are made again are
the intake's affair here, and a message needs no object of two libraries.

A message is acknowledged by its delivery tag, on the connection that it came by; what a broken connection had
delivered comes again, so its messages count as lost. Acknowledgements of a turn of the event loop go together, as one
where they are of the oldest messages.
"""

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import aiormq
from aiormq import exceptions
from pamqp import commands

from ..processors.amqp import Address
from ..processors.amqp import AddressError as AddressError  # for who opens a source
from ..spool import names
from .source import Message, Seen, Why, away

CONNECT = 20.0
"""Seconds to connect, and for what is asked of the broker."""
_URL = "--from (in a configuration: from)"  # where the broker's URL is
_LONG = 1000  # characters of a reason in a header

logging.getLogger("aiormq").addHandler(logging.NullHandler())
logging.getLogger("aiormq").propagate = False  # it tells the URL, and what it tells the operator is told by us


class AmqpSource:
    """A :class:`.source.Source`. ``prefetch``: the most messages that are with us at a time; ``password``: tells that
    of the URL's user at each connection, where the URL has none; it raises :class:`Temporary`."""

    def __init__(self, url: str, *, prefetch: int, password: Callable[[], str] | None = None) -> None:
        self._address = Address(url)
        if password is not None and self._address.has_password:
            raise AddressError("there is a password in the URL, and a file of it: say only one of them")
        self._password = password
        self._prefetch = min(prefetch, 65535)
        self._connection: Any = None
        self._channel: Any = None
        self._publishing: Any = None
        self._consumer = ""
        self._outstanding: dict[int, Message] = {}
        self._done: dict[int, Message] = {}
        self._arrived: list[Message] = []
        self._news = asyncio.Event()
        self._over = ""
        self._flushing: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """See :class:`.source.Source`."""
        return self._address.name

    @property
    def keeps_for(self) -> float:
        """See :class:`.source.Source`."""
        return self._address.keeps_for

    # --- the connection

    async def open(self) -> None:
        """See :class:`.source.Source`."""
        await self._disconnect("the connection was given up")
        try:
            async with asyncio.timeout(CONNECT):
                await self._open()
        except (OSError, TimeoutError, exceptions.AMQPException) as error:
            await self._disconnect("")
            raise self._explained(error) from error

    async def _open(self) -> None:
        address = self._address
        await self._connect()
        self._channel = channel = await self._connection.channel(publisher_confirms=False)
        await channel.queue_declare(address.queue, passive=True)
        await channel.basic_qos(prefetch_count=self._prefetch)
        self._over = ""
        channel.closing.add_done_callback(lambda closing: self._ended(channel, closing))
        channel.on_consumer_cancel_callbacks.add(lambda frame: self._cancelled(channel))
        consuming = await channel.basic_consume(address.queue, self._take)
        self._consumer = consuming.consumer_tag

    async def _connect(self) -> None:
        address = self._address
        login = address.login if self._password is None else address.login_with(self._password())
        self._connection = await aiormq.connect(login, client_properties={"connection_name": "jollyae"})

    async def look(self) -> Seen:
        """See :class:`.source.Source`."""
        try:
            async with asyncio.timeout(CONNECT):
                await self._connect()
                channel = await self._connection.channel(publisher_confirms=False)
                found = await channel.queue_declare(self._address.queue, passive=True)
                dead = await self._look_for_dead(channel)
            return Seen(found.message_count or 0, found.consumer_count or 0, dead)
        except (OSError, TimeoutError, exceptions.AMQPException) as error:
            raise self._explained(error) from error
        finally:
            await self._disconnect("")

    async def _look_for_dead(self, channel: Any) -> str:
        """Where dead letters would go. Raises what the library does, also where there is no such exchange."""
        if exchange := self._address.dead_exchange:
            await channel.exchange_declare(exchange, passive=True)
            return f"the exchange {exchange} (whether that leads to a queue is not tried)"
        try:
            found = await channel.queue_declare(self._dead, passive=True)
        except exceptions.ChannelNotFoundEntity:
            return f"{self._dead}, which is made for the first"
        return f"{self._dead}, where {found.message_count} wait"

    def _ended(self, channel: Any, closing: "asyncio.Future[Any]") -> None:
        error = None if closing.cancelled() else closing.exception()
        if channel is self._channel:
            self._lose(_told(error) or "the connection was closed")

    def _cancelled(self, channel: Any) -> None:
        if channel is self._channel:
            self._lose("the queue was deleted, or moved")

    def _lose(self, why: str) -> None:
        """What the connection had delivered will come again."""
        for message in self._outstanding.values():
            message.lost = True
        self._outstanding.clear()
        self._done.clear()
        self._arrived.clear()
        if self._flushing is not None:  # a dead connection takes no more frames, and lets who has one wait for ever
            self._flushing.cancel()
            self._flushing = None
        self._over = why
        self._news.set()

    async def _disconnect(self, why: str) -> None:
        connection, self._connection, self._channel, self._publishing = self._connection, None, None, None
        self._lose(why)
        if connection is not None:
            with suppress(Exception):  # nothing is lost by a connection that does not close well
                async with asyncio.timeout(CONNECT):
                    await connection.close()

    async def close(self) -> None:
        """See :class:`.source.Source`."""
        with suppress(Exception):
            async with asyncio.timeout(CONNECT):
                if self._flushing is not None:
                    await self._flushing
                await self._flush()
        await self._disconnect("closed")

    # --- receiving

    async def _take(self, delivered: Any) -> None:
        delivery = delivered.delivery
        if delivered.channel is not self._channel:
            return
        count = (delivered.header.properties.headers or {}).get("x-delivery-count", 0)
        times = 1 + max(int(delivery.redelivered), count if isinstance(count, int) else 0)
        message = Message(
            delivered.body,
            str(delivered.header.properties.message_id or ""),
            times,
            (delivery.delivery_tag, delivered.header.properties),
            time.monotonic(),
        )
        self._outstanding[delivery.delivery_tag] = message
        self._arrived.append(message)
        self._news.set()

    async def receive(self) -> list[Message]:
        """See :class:`.source.Source`."""
        while not self._arrived:
            if self._over:
                raise self._away(self._over)
            self._news.clear()
            await self._news.wait()
        arrived, self._arrived = self._arrived, []
        return arrived

    async def pause(self) -> None:
        """See :class:`.source.Source`."""
        if self._channel is not None and self._consumer and not self._over:
            with suppress(Exception):
                async with asyncio.timeout(CONNECT):
                    await self._channel.basic_cancel(self._consumer)

    # --- telling

    def done(self, messages: Iterable[Message]) -> None:
        """See :class:`.source.Source`."""
        for message in messages:
            if not message.lost:
                self._done[message.handle[0]] = message
        if self._done and self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush_soon())

    async def _flush_soon(self) -> None:
        try:
            while self._done:
                await self._flush()
        except (OSError, RuntimeError, exceptions.AMQPException):
            return  # the connection is over, which its end tells
        finally:
            if self._flushing is asyncio.current_task():
                self._flushing = None

    async def _flush(self) -> None:
        """Acknowledge: the oldest with one frame, the others with one each."""
        done, self._done = self._done, {}
        oldest = 0
        for tag in self._outstanding:  # in the order of their tags
            if tag not in done:
                break
            oldest = tag
        for tag in done:
            self._outstanding.pop(tag, None)
        frames = [(oldest, True)] if oldest else []
        frames += [(tag, False) for tag in done if tag > oldest]
        for tag, multiple in frames:  # the last one is waited for: a connection that is closed drops what it has queued
            await self._channel.basic_ack(tag, multiple=multiple, wait=tag == frames[-1][0])

    async def again(self, messages: Iterable[Message]) -> None:
        """See :class:`.source.Source`."""
        try:
            async with asyncio.timeout(CONNECT):
                for message in messages:
                    if not message.lost:
                        message.lost = True
                        self._outstanding.pop(message.handle[0], None)
                        await self._channel.basic_nack(message.handle[0], requeue=True, wait=False)
        except (OSError, TimeoutError, RuntimeError, exceptions.AMQPException) as error:
            raise self._explained(error) from error

    async def dead(self, message: Message, why: Why) -> None:
        """See :class:`.source.Source`."""
        if message.lost:
            return
        try:
            async with asyncio.timeout(CONNECT):
                await self._bury(message, why)
        except (OSError, TimeoutError, RuntimeError, exceptions.AMQPException) as error:
            self._publishing = None
            raise self._explained(error) from error
        self.done([message])

    async def _bury(self, message: Message, why: Why) -> None:
        """Published first, confirmed, and only then acknowledged: a crash between makes two, and never none."""
        exchange = self._address.dead_exchange
        if self._publishing is None or self._publishing.is_closed:
            self._publishing = await self._connection.channel(publisher_confirms=True)
            if not exchange:
                await self._make_dead()
        was = message.handle[1]
        told = {"error": why.error, "hint": why.hint, "reason": why.reason, "queue": self._address.queue, **why.more}
        headers = {f"x-jollyae-{name}": names.printable(text)[:_LONG] for name, text in told.items() if text}
        properties = commands.Basic.Properties(
            content_type=was.content_type,
            headers={**(was.headers or {}), **headers},
            delivery_mode=2,
            message_id=was.message_id,
        )
        key = self._address.queue if exchange else self._dead
        await self._publishing.basic_publish(
            message.body, exchange=exchange, routing_key=key, properties=properties, mandatory=True
        )

    @property
    def _dead(self) -> str:
        return f"{self._address.queue}.dead"

    async def _make_dead(self) -> None:
        try:
            await self._publishing.queue_declare(self._dead, durable=True)
        except exceptions.ChannelPreconditionFailed:  # it is there, made otherwise
            self._publishing = await self._connection.channel(publisher_confirms=True)

    # --- errors

    def _away(self, what: str, hint: str = "", reason: str = "network") -> Exception:
        return away(f"{self.name}: {what}", hint or "It is connected again by itself. Does the broker run?", reason)

    def _explained(self, error: BaseException) -> Exception:
        """What the operator is told: never the URL, in which the password is."""
        match error:
            case TimeoutError():
                return self._away("no answer in time", "Check the network and the broker.", "timeout")
            case exceptions.PublishError():
                where = f"the exchange {self._address.dead_exchange}" if self._address.dead_exchange else self._dead
                return self._away(f"{where} leads to no queue", "Bind a queue to it: dead letters must not be lost.")
            case exceptions.AuthenticationError() | exceptions.ProbableAuthenticationError():
                return self._away(
                    "login refused", f"Check user and password in {_URL}, or in --from-password-file.", "credentials"
                )
            case (
                exceptions.ConnectionNotAllowed() | exceptions.InvalidFrameError()
            ):  # it closed where it should have opened
                return self._away("no such virtual host, or no right to it", f"Check it in {_URL}.", "denied")
            case exceptions.ChannelNotFoundEntity() if "no exchange" in _told(error):
                hint = "Make it, and bind a queue to it: dead letters must not be lost."
                return self._away(f"there is no exchange {self._address.dead_exchange}", hint, "bucket")
            case exceptions.ChannelNotFoundEntity():
                hint = f"Make it, and bind it to the exchange that the events go to; check the name in {_URL}."
                return self._away("there is no such queue", hint, "bucket")
            case exceptions.ChannelAccessRefused():
                hint = f"The user must be allowed to read {self._address.queue}, and to make and write {self._dead}."
                return self._away("access refused", hint, "denied")
        match _cause(error):
            case ssl.SSLError():
                hint = f"Does it speak TLS on this port? Then add ?cafile=FILE to {_URL}, else use amqp://."
                return self._away("no secure connection", hint, "tls")
            case FileNotFoundError() | PermissionError() | IsADirectoryError():
                hint = f"Correct cafile, certfile and keyfile in {_URL}."
                return self._away("a file that its URL names cannot be read", hint, "tls")
        return self._away(_told(error) or "cannot be reached")


def _cause(error: BaseException | None) -> BaseException | None:
    """What aiormq's error was made of."""
    while isinstance(error, exceptions.AMQPError) and (found := error.__cause__ or error.__context__) is not None:
        error = found
    return error


def _told(error: BaseException | None) -> str:
    """The error in one line, as the broker or the kernel tells it."""
    match error:
        case None | asyncio.CancelledError():
            return ""
        case exceptions.AMQPConnectionError() if error.__cause__ is not None or error.__context__ is not None:
            return _told(error.__cause__ or error.__context__)
        case OSError() if error.errno and error.errno > 0:
            return os.strerror(error.errno)  # not its own text: asyncio's has addresses in it
        case OSError() if error.strerror:  # of getaddrinfo
            return error.strerror
        case exceptions.AMQPError() if getattr(error, "reply_text", None) or error.args:
            return names.printable(str(getattr(error, "reply_text", None) or error.args[-1]))[:200]
    return ""
