"""HTTP/1.1 on the event loop, as little of it as a PUT needs: connections that are kept, one request at a time on each,
a deadline for every step.

A pool is for one origin (scheme, host, port) and one identity; it uses all addresses of the host in turn and asks for
them anew every minute. Nothing is retried here but one thing: a kept connection that the server had closed before it
answered anything, whose request is sent once more on a new one.
"""

import asyncio
import socket
import ssl
import time
from collections import deque
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httptools

from .transport import NoAnswer, StoreError

CONNECT = 10.0
"""Seconds to connect, TLS included."""
ANSWER = 60.0
"""Seconds for sending and answer of one request, and one more for each SLOWEST bytes."""
SLOWEST = 64 * 1024
IDLE = 15.0
"""Seconds a connection is kept unused: less than what servers and their balancers allow."""
SWEEP = 1.0
"""Seconds from one look at the deadlines to the next."""
MOST_ADDRESSES = 3
"""Addresses that are tried for one request, so that it ends; the next one tries others."""
RESOLVE_EVERY = 60.0
"""Seconds until the host's addresses are asked for anew."""
MAX_ANSWER = 1 << 20
"""Bytes of an answer that are read: an S3 error has some hundred."""


@dataclass(slots=True)
class Answer:
    """What came back. ``headers``: lower-case names."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    def header(self, name: bytes) -> str:
        """One header, '' where it is not there."""
        return self.headers.get(name, b"").decode("latin-1")

    def skew(self) -> float | None:
        """How far the server's clock is before ours, in seconds, where it tells."""
        try:
            return parsedate_to_datetime(self.header(b"date")).timestamp() - time.time()
        except (TypeError, ValueError):
            return None


class Connection(asyncio.Protocol):
    """One connection: sends a request, parses its answer."""

    __slots__ = (
        "_answer",
        "_body",
        "_head_read",
        "_headers",
        "_parser",
        "_size",
        "_transport",
        "begun",
        "deadline",
        "idle_since",
        "on_body",
        "on_header",
        "usable",
    )

    def __init__(self) -> None:
        self._transport: Any = None
        self._answer: asyncio.Future[Answer] | None = None
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        # The parser calls these for each header and each piece of a body: no Python of ours is needed in between.
        self.on_header = self._headers.__setitem__
        self.on_body = self._body.append
        self._parser = httptools.HttpResponseParser(self)
        self._head_read = False
        self._size = 0
        self.deadline = float("inf")
        self.idle_since = 0.0
        self.begun = False
        self.usable = False

    def expect(self, loop: asyncio.AbstractEventLoop, deadline: float) -> "asyncio.Future[Answer]":
        """A request is going to be written; its answer, when it is there. ``deadline``: monotonic."""
        answer = self._answer = loop.create_future()
        self.deadline = deadline
        self.begun = False
        self._size = 0
        if not self.usable:
            self._fail(StoreError(None, NoAnswer.CLOSED, "the connection was closed"))
        return answer

    def write(self, data: bytes) -> None:
        """Write the request, unless it has failed by now."""
        if self.usable and self._answer is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Close it at once."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def expire(self, now: float) -> None:
        """End the request if its deadline is over."""
        if self._answer is not None and now >= self.deadline:
            self._fail(StoreError(None, NoAnswer.TIMEOUT, "no answer in time"))
            self.close()

    def _fail(self, error: Exception) -> None:
        answer, self._answer = self._answer, None
        self.deadline = float("inf")
        if answer is not None and not answer.done():
            answer.set_exception(error)

    # --- asyncio's calls

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.usable = True

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.close()  # bytes that nobody asked for: they would be taken for the next answer
            return
        self.begun = True
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(StoreError(None, NoAnswer.CLOSED, f"the answer is no HTTP: {error}"))
            self.close()
        if self._size > MAX_ANSWER and self._answer is not None:
            self._end_early("the answer has no end")
            self.close()

    def eof_received(self) -> bool:
        self.usable = False
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.usable = False
        self._end_early(str(error or "the server closed the connection"), whole=error is None and self._ends_by_eof())

    def _end_early(self, why: str, *, whole: bool = True) -> None:
        """No more will be read: what is there of an answer is the answer, if that makes it ``whole`` enough."""
        if whole and self._head_read:
            self._finish()
        else:
            self._fail(StoreError(None, NoAnswer.CLOSED, why))

    def _ends_by_eof(self) -> bool:
        return {b"content-length", b"transfer-encoding"}.isdisjoint(name.lower() for name in self._headers)

    # --- the parser's calls

    def on_message_begin(self) -> None:
        self._headers.clear()
        self._body.clear()
        self._head_read = False
        if self._answer is None:
            self.usable = False  # more than one answer

    def on_headers_complete(self) -> None:
        self._head_read = self._parser.get_status_code() >= 200

    def on_message_complete(self) -> None:
        if not self._head_read:
            return  # 100 Continue and the like: the answer is still to come
        if not self._parser.should_keep_alive() or self._transport.get_write_buffer_size():
            # The second: it answered before it had read all, and the rest is in its way. (Over TLS asyncio does not
            # tell what is unsent. Then the next request waits behind it, until the server reads on or closes.)
            self.usable = False
        self._finish()

    def _finish(self) -> None:
        answer, self._answer = self._answer, None
        self.deadline = float("inf")
        self._head_read = False
        if answer is not None and not answer.done():
            headers = {name.lower(): value for name, value in self._headers.items()}
            answer.set_result(Answer(self._parser.get_status_code(), headers, b"".join(self._body)))


class Outbox:
    """The writes of one turn of the event loop, made together at its end. On each write the kernel wakes the receiver
    if it sleeps, which costs more than the write; of many in a row only the first does."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Connection, bytes]] = []

    def add(self, loop: asyncio.AbstractEventLoop, connection: Connection, data: bytes, *, alone: bool) -> None:
        """Write ``data`` soon; at once, if it is the only request there is."""
        if alone:
            connection.write(data)
            return
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((connection, data))

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for connection, data in waiting:
            connection.write(data)


class Pool:
    """Connections to one origin. ``limit``: the most at a time; who comes later waits."""

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None, limit: int) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._free = limit
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._outbox = Outbox()
        self._addresses: deque[tuple[Any, ...]] = deque()
        self._resolved = float("-inf")
        self._resolving = asyncio.Lock()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def request(self, data: bytes) -> Answer:
        """Send ``data``, a whole request; its answer. Raises :class:`StoreError` where there is none."""
        self._loop = asyncio.get_running_loop()
        if self._free <= 0:
            await self._wait_for_turn()
        self._free -= 1
        try:
            connection = self._reuse()
            if connection is not None:
                try:
                    return await self._exchange(connection, data)
                except StoreError as error:
                    # The server had closed it while nobody looked. That it did so after acting on our request is
                    # possible: the write is conditional, and its own 412 is recognised.
                    if error.code != NoAnswer.CLOSED or connection.begun:
                        raise
            return await self._exchange(await self._connect(), data)
        finally:
            self._free += 1
            if self._waiting:
                self._call_next()

    async def _wait_for_turn(self) -> None:
        while self._free <= 0:
            turn = self._loop.create_future()
            self._waiting.append(turn)
            try:
                await turn
            except BaseException:  # cancelled: if it was our turn already, it is the next one's
                if turn.done() and not turn.cancelled():
                    self._call_next()
                raise

    def _call_next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    async def _exchange(self, connection: Connection, data: bytes) -> Answer:
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP, self._sweep)
        self._busy.add(connection)
        try:
            expected = connection.expect(self._loop, time.monotonic() + ANSWER + len(data) / SLOWEST)
            self._outbox.add(self._loop, connection, data, alone=len(self._busy) == 1)
            answer = await expected
        except BaseException:  # cancelled, too: its answer may still come, and would be taken for the next one's
            connection.close()
            raise
        finally:
            self._busy.discard(connection)
        if connection.usable and not self._closed:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def _reuse(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        """A new connection, to the next of the host's addresses that takes one."""
        last: Exception = OSError("the name has no address")
        for address in (await self._resolve())[:MOST_ADDRESSES]:
            self._refuse_if_closed()
            connecting = self._loop.create_task(self._connect_to(address))
            try:
                connection = await asyncio.shield(connecting)
            except asyncio.CancelledError:
                # uvloop tells of a fatal error where a TLS handshake is cancelled at a bad moment: it goes on alone.
                connecting.add_done_callback(self._keep)
                raise
            except (OSError, TimeoutError) as error:
                last = error
                if address in self._addresses:
                    self._addresses.remove(address)  # until the name is asked for again
                continue
            if self._closed:
                connection.close()
            self._refuse_if_closed()
            return connection
        raise StoreError(None, why(last), self._told(last)) from last

    async def _connect_to(self, address: tuple[Any, ...]) -> Connection:
        server = self._host if self._tls is not None else None
        async with asyncio.timeout(CONNECT):
            _, connection = await self._loop.create_connection(
                Connection, address[0], address[1], ssl=self._tls, server_hostname=server
            )
        return connection

    def _keep(self, connected: "asyncio.Task[Connection]") -> None:
        """A connection for a request that was given up meanwhile: it may be for the next one."""
        if connected.cancelled() or connected.exception() is not None:
            return
        if self._closed or len(self._idle) >= self._free:
            connected.result().close()
        else:
            self._give(connected.result())

    def _give(self, connection: Connection) -> None:
        connection.idle_since = time.monotonic()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP, self._sweep)

    async def addresses(self) -> list[tuple[Any, ...]]:
        """The host's addresses, another one first each time. Raises :class:`StoreError`."""
        self._loop = asyncio.get_running_loop()
        return await self._resolve()

    async def _resolve(self) -> list[tuple[Any, ...]]:
        async with self._resolving:
            if time.monotonic() - self._resolved > RESOLVE_EVERY or not self._addresses:
                await self._ask_for_addresses()
        self._addresses.rotate(-1)
        return list(self._addresses)

    async def _ask_for_addresses(self) -> None:
        """The name's addresses as they are now; those of before while no name server answers."""
        try:
            async with asyncio.timeout(CONNECT):
                found = await self._loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError, UnicodeError) as error:
            if not self._addresses:
                raise StoreError(None, NoAnswer.NAME, f"{self._host}: {error}") from error
        else:
            self._addresses = deque(dict.fromkeys(one[4] for one in found))
        self._resolved = time.monotonic()

    def _told(self, error: Exception) -> str:
        scheme = "https" if self._tls is not None else "http"
        return f"{scheme}://{self._host}:{self._port}: {error}".removesuffix(": ")

    def _sweep(self) -> None:
        """End what is over its deadline, close what has been idle for long."""
        now = time.monotonic()
        for connection in list(self._busy):
            connection.expire(now)
        idle, self._idle = self._idle, []
        for connection in idle:
            if connection.usable and now - connection.idle_since < IDLE:
                self._idle.append(connection)
            else:
                connection.close()
        some = self._idle or self._busy
        self._sweeper = self._loop.call_later(SWEEP, self._sweep) if some else None

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreError(None, NoAnswer.CLOSED, "no more requests are taken")

    def close(self) -> None:
        """Close all connections, and take no more requests. Those under way end with an error."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in [*self._idle, *self._busy]:
            connection.close()
        self._idle.clear()


def why(error: Exception) -> NoAnswer:
    """Why a connection could not be made."""
    if isinstance(error, ssl.SSLError):
        return NoAnswer.TLS
    return NoAnswer.TIMEOUT if isinstance(error, TimeoutError) else NoAnswer.REFUSED
