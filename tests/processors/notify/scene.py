"""What the tests of notifications share: a message as an item, and a receiver that verifies signatures by itself."""

import base64
import hashlib
import hmac
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

from jollyae.processors.notify.message import message
from jollyae.spool.item import Item

RECEIPT: dict[str, Any] = {
    "id": "00112233445566778899",
    "name": "a/b.txt",
    "size": 3,
    "url": "s3://photos/a/b.txt",
    "sha256": hashlib.sha256(b"abc").hexdigest(),
    "etag": hashlib.md5(b"abc").hexdigest(),
    "arrived": "2026-11-21T10:00:00.000000Z",
    "claimed": "2026-11-21T10:00:00.000500Z",
    "finished": "2026-11-21T10:00:01.234567Z",
    "attempts": 1,
    "worker": "host-1-abc",
}
TOLERANCE = 300
"""Seconds by which a receiver lets a timestamp be off, by the standard."""


class _Holder:
    """Stands for a worker's directory: all that a command gets of it is the lock."""

    def __init__(self, lock: int) -> None:
        self.lock = lock


@contextmanager
def item(directory: Path, body: bytes = b"", **more: Any) -> Iterator[Item]:
    """A message (about RECEIPT with ``more``, or these bytes) as an item in work."""
    path = directory / f"{RECEIPT['id']}.json"
    path.write_bytes(body or message({**RECEIPT, **more}))
    descriptor, lock = os.open(path, os.O_RDONLY), os.open(path, os.O_RDONLY)
    made = Item(path.name, str(path), cast(Any, _Holder(lock)), descriptor, os.fstat(descriptor))
    try:
        yield made
    finally:
        made.close()
        os.close(lock)


def verify(secret: str, headers: Any, body: bytes) -> bool:
    """As a receiver does it, written after the standard's text and not after our code."""
    key = base64.b64decode(secret.split("_", 1)[1])
    if abs(time.time() - int(headers["webhook-timestamp"])) > TOLERANCE:
        return False
    signed = headers["webhook-id"].encode() + b"." + headers["webhook-timestamp"].encode() + b"." + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = [one.split(",", 1) for one in headers["webhook-signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(text, expected) for version, text in given)


@dataclass
class Received:
    """One request."""

    path: str
    headers: Any
    body: bytes


@dataclass
class Receiver:
    """A real HTTP server that keeps what it gets. ``answers``: status and headers for each request in turn, the last
    one for all further ones."""

    host: str = "127.0.0.1"
    port: int = 0
    secret: str = ""
    tls: ssl.SSLContext | None = None
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=lambda: [(204, {})])
    answer: Callable[[Received], tuple[int, dict[str, str]]] | None = None
    received: list[Received] = field(default_factory=list)
    refused: int = 0
    connections: int = 0

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}/hook?x=1"

    def __enter__(self) -> "Receiver":
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                receiver.connections += 1
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                got = Received(self.path, self.headers, body)
                if receiver.secret and not verify(receiver.secret, self.headers, body):
                    receiver.refused += 1
                    status, headers = 401, dict[str, str]()
                elif receiver.answer is not None:
                    status, headers = receiver.answer(got)
                else:
                    status, headers = receiver.answers[min(len(receiver.received), len(receiver.answers) - 1)]
                receiver.received.append(got)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((self.host, self.port), Handler)
        self._server.daemon_threads = True
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
