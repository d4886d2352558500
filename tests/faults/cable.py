"""The cable to a store: carries bytes, whatever they mean (TLS too), and can be cut or pulled out."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Self

BLOCK = 1 << 16

_End = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Cut = Callable[[int], int | None]
"""After how many bytes, of both directions, the n-th connection is reset; None: never."""


class Cable:
    """A TCP proxy to a port of this machine, in an event loop in a thread of its own; it is a context."""

    def __init__(self, port: int, cut: Cut | None = None) -> None:
        self.cut: Cut = cut or (lambda number: None)
        self.number = 0
        """How many connections there were."""
        self.cuts = 0
        self._upstream = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._listener: socket.socket | None = None
        self._talks: dict[asyncio.Task[None], socket.socket] = {}
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self.plug()
        return self

    def __exit__(self, *_: object) -> None:
        self.pull()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def plug(self) -> None:
        """Listen, on the same port as before."""
        self._call(self._plug())

    def pull(self) -> None:
        """Nobody listens any more, and what was connected is reset."""
        self._call(self._pull())

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _plug(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._loop.add_reader(self._listener, self._accept, self._listener)

    async def _pull(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        talks = dict(self._talks)
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await asyncio.sleep(0.01)  # for the transports to see that they are closed
        for client in talks.values():
            client.close()  # of a talk that was cancelled before it began

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            client, _ = listener.accept()
            client.setblocking(False)
            self.number += 1
            talk = self._loop.create_task(self._carry(client, self.cut(self.number)))
            self._talks[talk] = client
            talk.add_done_callback(self._talks.pop)

    async def _carry(self, client: socket.socket, left: int | None) -> None:
        ends = [await asyncio.open_connection(sock=client)]
        budget = [float("inf") if left is None else left]
        try:
            ends.append(await asyncio.open_connection("127.0.0.1", self._upstream))
            await self._exchange(ends, budget)
        except OSError:
            budget = [0.0]
        finally:
            for _, writer in ends:
                _reset(writer) if budget[0] <= 0 or self._listener is None else writer.close()

    async def _exchange(self, ends: list[_End], budget: list[float]) -> None:
        """Until one side closes, or the cable is cut."""
        (near, to_near), (far, to_far) = ends
        ways = [asyncio.ensure_future(_copy(*way, budget)) for way in ((near, to_far), (far, to_near))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            self.cuts += budget[0] <= 0
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: list[float]) -> None:
    with suppress(OSError):
        while block := await reader.read(BLOCK):
            budget[0] -= len(block)
            writer.write(block if budget[0] >= 0 else block[: int(budget[0])])
            await writer.drain()
            if budget[0] <= 0:
                return


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        plain: Any = writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # RST, not FIN
    writer.transport.abort()
