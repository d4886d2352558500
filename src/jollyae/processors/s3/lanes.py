"""Blocking exchanges with one origin, in a few threads: bodies that would hold the event loop, and what is theirs.

As :class:`.wire.Pool` is for the loop: connections are kept, all addresses of the host are used in turn, and nothing is
retried but one thing, a kept connection that the server had closed before it answered anything. Who is cancelled leaves
no thread behind that still sends: its connection is shut down at once.
"""

import asyncio
import ssl
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from . import blocking
from .blocking import Body, Connection, Pace
from .connection import Answer
from .threads import Threads
from .transport import NoAnswer, Progress, StoreError
from .wire import ANSWER, IDLE, MOST_ADDRESSES, why

Address = tuple[Any, ...]

LANES = 4
"""Parts of large files in flight, of all files together: a file of 100 GB cannot take every connection."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is sent. ``patience``: seconds for the answer; ``no_body``: a HEAD; ``progress`` is told, in a thread,
    how much of the body is sent. The body is the caller's again when the exchange is over, also when it was cancelled:
    then nothing more of it is sent."""

    head: bytes
    body: Body = b""
    patience: float = ANSWER
    no_body: bool = False
    progress: Progress = None


class Lanes:
    """Connections to one origin. ``limit``: the most at a time; ``resolve`` gives the host's addresses; ``pace``: what
    bounds the bandwidth."""

    def __init__(
        self,
        host: str,
        *,
        tls: ssl.SSLContext | None,
        resolve: Callable[[], Awaitable[list[Address]]],
        limit: int,
        pace: Pace | None = None,
    ) -> None:
        self._host = host
        self._tls = tls
        self._resolve = resolve
        self._pace = pace
        self._threads = Threads(limit, "s3-send")
        self._idle: list[Connection] = []
        self._calls: set[_Call] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def ask(self, request: Request) -> Answer:
        """Send a request; its answer. Raises :class:`StoreError` where there is none."""
        self._refuse_if_closed()
        addresses = await self._resolve()
        self._refuse_if_closed()
        call = _Call()
        self._calls.add(call)
        try:
            return await self._threads.run(self._do, call, request, addresses[:MOST_ADDRESSES])
        finally:
            self._calls.discard(call)
            call.give_up()  # of one that is over this does nothing
            self._sweep_later()

    async def run(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Something else that would hold the event loop."""
        return await self._threads.run(fn, *args, **kwargs)

    # --- in a thread

    def _do(self, call: "_Call", request: Request, addresses: list[Address]) -> Answer:
        connection = self._reuse()
        if connection is not None:
            try:
                return self._exchange(call, connection, request)
            except StoreError as error:
                # The server had closed it while nobody looked. That it acted on the request is possible: parts are
                # numbered, other writes are conditional, and their own 412 is recognised.
                if error.code != NoAnswer.CLOSED or connection.begun or call.is_given_up:
                    raise
        return self._exchange(call, self._connect(call, addresses), request)

    def _exchange(self, call: "_Call", connection: Connection, request: Request) -> Answer:
        call.uses(connection)
        try:
            return connection.exchange(
                request.head,
                request.body,
                patience=request.patience,
                pace=self._pace,
                no_body=request.no_body,
                progress=request.progress,
            )
        finally:
            call.leaves()
            self._keep(connection)

    def _keep(self, connection: Connection) -> None:
        if connection.usable and not self._closed:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()

    def _reuse(self) -> Connection | None:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:  # no question before: another thread may take the last
                return None
            if time.monotonic() - connection.idle_since < IDLE and connection.is_silent():
                return connection
            connection.close()

    def _connect(self, call: "_Call", addresses: list[Address]) -> Connection:
        """A new connection, to the first of the addresses that takes one."""
        last: Exception = OSError("the name has no address")
        for address in addresses:
            call.refuse_if_given_up()
            try:
                return blocking.connect(address, self._tls, self._host)
            except OSError as error:
                last = error
        scheme = "https" if self._tls else "http"
        port = f":{addresses[0][1]}" if addresses else ""
        raise StoreError(None, why(last), f"{scheme}://{self._host}{port}: {last}".removesuffix(": ")) from last

    # --- on the loop

    def _sweep_later(self) -> None:
        if self._sweeper is None and not self._closed:
            self._sweeper = asyncio.get_running_loop().call_later(IDLE, self._sweep)

    def _sweep(self) -> None:
        """Close what has been idle for long."""
        self._sweeper = None
        for _ in range(len(self._idle)):
            connection = self._reuse()
            if connection is None:
                return
            self._idle.insert(0, connection)
        if self._idle:
            self._sweep_later()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreError(None, NoAnswer.CLOSED, "no more requests are taken")

    def close(self) -> None:
        """Close all connections, and take no more requests. Those under way end with an error; no thread is waited
        for."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for call in list(self._calls):
            call.give_up()
        while self._idle:
            self._idle.pop().close()
        self._threads.shutdown(wait=False)


class _Call:
    """A request on its way, which may be given up from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self.is_given_up = False

    def uses(self, connection: Connection) -> None:
        with self._lock:
            self._connection = connection
            if self.is_given_up:
                connection.give_up()

    def leaves(self) -> None:
        """The connection is another's now, or closed: its number may be another file's."""
        with self._lock:
            self._connection = None

    def give_up(self) -> None:
        with self._lock:
            self.is_given_up = True
            if self._connection is not None:
                self._connection.give_up()

    def refuse_if_given_up(self) -> None:
        if self.is_given_up:
            raise StoreError(None, NoAnswer.CLOSED, "given up")
