"""A small HTTP proxy before the store that can fail on demand, and tells what it saw.

Each request gets a connection of its own to the store. The Host header is passed on as it is, since SigV4 signs it:
clients use the proxy's address as their endpoint. At most 256 connections at a time; bodies are passed on in blocks.
"""

import asyncio
import itertools
import random
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

BLOCK = 1 << 16
CONNECTIONS = 256
HEAD = 64 << 10


class Mode(StrEnum):
    """What becomes of requests."""

    PASS = "pass"
    REFUSE = "refuse"
    """Nobody listens; what was connected is cut."""
    SLOW_DOWN = "503 SlowDown"
    DENIED = "403 AccessDenied"
    UNWELL = "500 InternalError"
    RESET_BEFORE = "reset, nothing passed on"
    RESET_AFTER = "reset, passed on"
    HANG_BEFORE = "no answer, nothing passed on"
    HANG_AFTER = "no answer, passed on"
    HALF_ANSWER = "half of the answer, passed on"
    GATEWAY_TIMEOUT = "504 GatewayTimeout, passed on"


_PASSED_ON = {Mode.RESET_AFTER, Mode.HANG_AFTER, Mode.HALF_ANSWER, Mode.GATEWAY_TIMEOUT}


@dataclass(frozen=True)
class Seen:
    """A request: method, path with query, bytes of its body, and what became of it."""

    method: str
    target: str
    size: int
    mode: Mode


class FaultProxy:
    """The proxy; it works in an event loop in a thread of its own."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or 80)
        self._mode = Mode.PASS
        self._share = 1.0
        self._chance = random.Random(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._listener: socket.socket | None = None
        self._clients: dict[asyncio.Task[None], socket.socket] = {}
        self._ids = itertools.count(1)
        self._port = 0
        self.seen: list[Seen] = []
        self.answered: list[tuple[Seen, int]] = []
        """What was passed on, with the store's own status."""

    @property
    def url(self) -> str:
        """The endpoint for clients; the same through all modes."""
        return f"http://127.0.0.1:{self._port}"

    def set(self, mode: Mode, share: float = 1.0) -> None:
        """From now on do this with requests, or with this share of them."""
        self._share = share
        self._call(self._set(mode))

    def start(self) -> None:
        """Listen, on a port that is free."""
        self._thread.start()
        self._call(self._listen())

    def stop(self) -> None:
        """End all of it."""
        self._call(self._deafen())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _set(self, mode: Mode) -> None:
        self._mode = mode
        if mode is Mode.REFUSE:
            await self._deafen()
        elif self._listener is None:
            await self._listen()

    async def _listen(self) -> None:
        # Neither asyncio.start_server nor sock_accept: deaf in the wrong instant, they forget a connection unclosed.
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=CONNECTIONS)
        self._listener.setblocking(False)
        self._port = self._listener.getsockname()[1]
        self._loop.add_reader(self._listener, self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:
            return  # it changed its mind
        if len(self._clients) >= CONNECTIONS:
            client.close()
            return
        client.setblocking(False)
        task = self._loop.create_task(self._talk(client))
        self._clients[task] = client
        task.add_done_callback(self._clients.pop)

    async def _deafen(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        talking = dict(self._clients)
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
        await asyncio.sleep(0.05)  # for the transports to see that they are closed
        for client in talking.values():
            client.close()  # of a task that was cancelled before it began

    async def _talk(self, client: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=client, limit=HEAD)
        try:
            while await self._serve(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass  # one side is gone
        finally:
            if self._mode is Mode.REFUSE:
                writer.transport.abort()
            else:
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection can have another."""
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head[:-4].decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        size = int(fields.get("content-length", 0))
        mode = self._mode if self._share == 1 or self._chance.random() < self._share else Mode.PASS
        seen = Seen(method, target, size, mode)
        self.seen.append(seen)
        if "expect" in fields:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if mode is Mode.PASS:
            kept = [line for line in lines if not line.lower().startswith(("expect:", "connection:"))]
            await self._pass("\r\n".join([*kept, "Connection: close", "", ""]), seen, reader, writer)
            return False
        if mode in _PASSED_ON:
            kept = [line for line in lines if not line.lower().startswith(("expect:", "connection:"))]
            answer = await self._ask("\r\n".join([*kept, "Connection: close", "", ""]), seen, reader)
        else:
            await _copy(reader, None, size)
            answer = b""
        if mode in (Mode.RESET_BEFORE, Mode.RESET_AFTER):
            return _reset(writer)
        if mode in (Mode.HANG_BEFORE, Mode.HANG_AFTER):
            await reader.read()  # until the client has enough of it
            return False
        writer.write(answer[: len(answer) // 2] if mode is Mode.HALF_ANSWER else self._refusal(mode, method))
        await writer.drain()
        return mode is not Mode.HALF_ANSWER

    async def _pass(self, head: str, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_store, to_store = await asyncio.open_connection(*self._upstream)
        try:
            to_store.write(head.encode("latin-1"))
            await _copy(reader, to_store, seen.size)
            status = await from_store.readuntil(b"\r\n")
            self.answered.append((seen, int(status.split()[1])))
            writer.write(status)
            while block := await from_store.read(BLOCK):
                writer.write(block)
                await writer.drain()
        finally:
            to_store.close()

    async def _ask(self, head: str, seen: Seen, reader: asyncio.StreamReader) -> bytes:
        """The store's whole answer."""
        from_store, to_store = await asyncio.open_connection(*self._upstream)
        try:
            to_store.write(head.encode("latin-1"))
            await _copy(reader, to_store, seen.size)
            answer = await from_store.read()
            self.answered.append((seen, int(answer.split(maxsplit=2)[1])))
            return answer
        finally:
            to_store.close()

    def _refusal(self, mode: Mode, method: str) -> bytes:
        status, code = mode.removesuffix(", passed on").split()
        request = f"tx{next(self._ids):08}"
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            f"<Error><Code>{code}</Code><Message>as the test asked</Message><RequestId>{request}</RequestId></Error>"
        )
        fields = f"HTTP/1.1 {status} Fault\r\nDate: {formatdate(usegmt=True)}\r\nx-amz-request-id: {request}\r\n"
        fields += f"Content-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
        return (fields + ("" if method == "HEAD" else body)).encode()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None, size: int) -> None:
    while size > 0:
        block = await reader.read(min(size, BLOCK))
        if not block:
            raise asyncio.IncompleteReadError(b"", size)
        size -= len(block)
        if writer is not None:
            writer.write(block)
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> bool:
    with suppress(OSError):
        plain: Any = writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # RST, not FIN
    writer.transport.abort()
    return False


@contextmanager
def before(upstream: str) -> Iterator[FaultProxy]:
    """A proxy before this URL, for the length of a block."""
    proxy = FaultProxy(upstream)
    proxy.start()
    try:
        yield proxy
    finally:
        with suppress(RuntimeError):
            proxy.stop()
