"""A small S3 sink that notes when the first byte of each PUT came and when its body was whole.

    python -m bench.clock_sink LOG

It prints its port, serves until its stdin ends, and writes one line ``NAME FIRST WHOLE`` per PUT to LOG: the last part
of the key, and two instants of CLOCK_MONOTONIC in nanoseconds, which all processes of a machine share.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import cast
from urllib.parse import unquote

_ETAG = b'ETag: "d41d8cd98f00b204e9800998ecf8427e"\r\n'


class Connection(asyncio.Protocol):
    """One client; requests come one after another."""

    def __init__(self, seen: dict[str, tuple[int, int]]) -> None:
        self._seen = seen
        self._head = bytearray()
        self._left = -1  # bytes of the body still to come; -1: the head is not whole
        self._first = 0
        self._request = ("", "", False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """A piece of a request."""
        now = time.monotonic_ns()
        if self._left < 0:
            self._first = self._first or now
            self._head += data
            if (end := self._head.find(b"\r\n\r\n")) < 0:
                return
            data = bytes(self._head[end + 4 :])
            self._read_head(bytes(self._head[:end]))
            self._head.clear()
        self._left -= len(data)
        if self._left <= 0:
            self._answer()

    def _read_head(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self._left = int(headers.get("content-length", 0))
        self._request = (method, path, "if-none-match" in headers)
        if headers.get("expect"):
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _answer(self) -> None:
        method, path, conditional = self._request
        name = unquote(path.partition("?")[0].rsplit("/", 1)[-1])
        status, extra = b"200 OK", b""
        if method == "PUT":
            if conditional and name in self._seen:
                status = b"412 Precondition Failed"
            self._seen.setdefault(name, (self._first, time.monotonic_ns()))
            extra = _ETAG
        elif method == "HEAD" and name not in self._seen:
            status = b"404 Not Found"
        self._transport.write(b"HTTP/1.1 " + status + b"\r\n" + extra + b"Content-Length: 0\r\n\r\n")
        self._left, self._first = -1, 0


async def _serve(log: Path) -> None:
    seen: dict[str, tuple[int, int]] = {}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(seen), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()
    log.write_text("".join(f"{name} {first} {whole}\n" for name, (first, whole) in seen.items()))


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve(Path(sys.argv[1])))
