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
from contextlib import suppress
from typing import Any

from .connection import Answer, Connection, Ended, Unheard
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
            loop.call_soon(self.flush)
        self._waiting.append((connection, data))

    def flush(self) -> None:
        """Write now."""
        waiting, self._waiting = self._waiting, []
        for connection, data in waiting:
            connection.write(data)


class Pool:
    """Connections to one origin. ``limit``: the most at a time; who comes later waits."""

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None, limit: int) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._limit = limit
        self._connecting = 0
        self._growing: set[asyncio.Task[Connection]] = set()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._outbox = Outbox()
        self.flush = self._outbox.flush
        self._addresses: deque[tuple[Any, ...]] = deque()
        self._resolved = float("-inf")
        self._resolving = asyncio.Lock()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def request(self, data: bytes) -> Answer:
        """Send ``data``, a whole request; its answer. Raises :class:`StoreError` where there is none."""
        self._loop = asyncio.get_running_loop()
        if not self._has_room():
            await self._wait_for_turn()
        connection = self.reserve()
        if connection is not None:
            with suppress(Unheard):
                return await self._exchange(connection, data)
        self._connecting += 1
        try:
            connection = await self._connect()
        except BaseException:
            self._connecting -= 1
            self._call_next()
            raise
        self._connecting -= 1
        self._busy.add(connection)
        return await self._exchange(connection, data)

    def reserve(self) -> Connection | None:
        """A kept connection, if one is free and it is nobody else's turn; for :meth:`send`, or to be given back by
        :meth:`take_back`."""
        if len(self._busy) + self._connecting >= self._limit:
            return None
        connection = self._reuse()
        if connection is not None:
            self._busy.add(connection)
        return connection

    def grow(self) -> None:
        """Make one more connection, to be kept for who comes next; that it cannot be made is told to nobody: who needs
        one will be."""
        if len(self._busy) + len(self._idle) + self._connecting >= self._limit or self._closed:
            return
        self._loop = asyncio.get_running_loop()
        self._connecting += 1
        growing = self._loop.create_task(self._connect())
        self._growing.add(growing)
        growing.add_done_callback(self._grown)

    def _grown(self, connected: "asyncio.Task[Connection]") -> None:
        self._connecting -= 1
        self._growing.discard(connected)
        self._keep(connected)
        self._call_next()

    def send(self, connection: Connection, data: bytes, ended: Ended) -> None:
        """Send ``data``, a whole request. ``ended`` is called when it is over, never before this returns; what is
        :class:`Unheard` may be sent once more by :meth:`request`."""
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP, self._sweep)
        connection.expect(ended, time.monotonic() + ANSWER + len(data) / SLOWEST)
        self._outbox.add(self._loop, connection, data, alone=len(self._busy) == 1)

    def _has_room(self) -> bool:
        return len(self._busy) + self._connecting < self._limit

    async def _wait_for_turn(self) -> None:
        while not self._has_room():
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
        answer: asyncio.Future[Answer] = self._loop.create_future()
        is_over = False

        def ended(outcome: Answer | StoreError) -> None:
            nonlocal is_over
            is_over = True
            if answer.done():
                return
            if isinstance(outcome, StoreError):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)

        self.send(connection, data, ended)
        try:
            return await answer
        except BaseException:
            if not is_over:  # else it is somebody else's by now
                connection.give_up()
            raise

    def take_back(self, connection: Connection) -> None:
        """The connection's request is over, or was never made."""
        self._busy.discard(connection)
        if connection.usable and not self._closed:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()
        if self._waiting:
            self._call_next()

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
                lambda: Connection(self.take_back), address[0], address[1], ssl=self._tls, server_hostname=server
            )
        return connection

    def _keep(self, connected: "asyncio.Task[Connection]") -> None:
        """A connection for a request that was given up meanwhile: it may be for the next one."""
        if connected.cancelled() or connected.exception() is not None:
            return
        if self._closed or len(self._idle) + len(self._busy) + self._connecting >= self._limit:
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
        for growing in self._growing:
            growing.cancel()
        for connection in [*self._idle, *self._busy]:
            connection.close()
        self._idle.clear()


def why(error: Exception) -> NoAnswer:
    """Why a connection could not be made."""
    if isinstance(error, ssl.SSLError):
        return NoAnswer.TLS
    return NoAnswer.TIMEOUT if isinstance(error, TimeoutError) else NoAnswer.REFUSED
