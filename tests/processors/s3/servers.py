"""Small servers on the loopback that misbehave as they are told."""

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

Behaviour = Callable[["Visit"], None]


class Visit:
    """One connection as the server sees it. ``number`` counts from 1."""

    def __init__(self, connection: socket.socket, number: int, server: "Server") -> None:
        self.connection = connection
        self.number = number
        self.server = server
        self._buffer = b""

    def head(self) -> bytes:
        """Read to the end of a request's head; b'' at the end of the stream."""
        while b"\r\n\r\n" not in self._buffer:
            data = self.connection.recv(65536)
            if not data:
                return b""
            self._buffer += data
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head

    def body(self, head: bytes) -> bytes:
        """Read the body that belongs to the head."""
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0)
        while len(self._buffer) < length:
            data = self.connection.recv(65536)
            if not data:
                break
            self._buffer += data
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return body

    def request(self) -> bytes:
        """Read a request whole; its body, or b'' at the end of the stream."""
        head = self.head()
        body = self.body(head) if head else b""
        if head:
            self.server.requests.append((self.number, head, body))
        return body

    def send(self, data: bytes) -> None:
        """Send."""
        self.connection.sendall(data)

    def wait_for_end(self) -> None:
        """Wait until the client has closed."""
        while self.connection.recv(65536):
            pass
        self.server.ended.release()


class Server:
    """Runs ``behave`` for each connection, in a thread of its own, and closes it then."""

    def __init__(
        self, behave: Behaviour, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._behave = behave
        self._tls = tls
        self._listener = socket.create_server((host, port))
        self.port = int(self._listener.getsockname()[1])
        self.requests: list[tuple[int, bytes, bytes]] = []
        self.visits = 0
        self.ended = threading.Semaphore(0)
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Close all, and wait for the threads."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(30)
            self.visits += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._visit, args=(connection, self.visits), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _visit(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):  # the client is gone: what these tests are about
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                self._behave(Visit(connection, number, self))


def certificate(directory: Path) -> Path:
    """A self-made certificate with its key in one file, for localhost and 127.0.0.1."""
    key, cert, both = directory / "key.pem", directory / "cert.pem", directory / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    both.write_text(key.read_text() + cert.read_text())
    return both
