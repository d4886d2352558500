"""One HTTP exchange over a socket in a thread, for bodies that would hold the event loop.

The socket does not block; the thread waits in poll(2), for writing and for reading at once, so an answer that comes
before all is sent is seen while the server no longer reads. Every step has its deadline, and sending as a whole has
one: a server that takes or gives a byte now and then is ended as well. Sending, encrypting and receiving go on without
Python's lock. Whoever waits for the exchange may end it from another thread (:meth:`Connection.give_up`).
"""

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import httptools

from .connection import MAX_ANSWER, Answer
from .transport import NoAnswer, Progress, StoreError
from .wire import ANSWER, CONNECT, SLOWEST

Body = bytes | bytearray
Pace = Callable[[int], float]
"""Books so many bytes, and says for how many seconds to sleep before they are sent. Called from threads."""

BLOCK = 1 << 20
"""Bytes per send(2) or SSL_write. An early answer is looked for between them."""
PACED = 64 * 1024
"""Bytes that are booked at a time where the bandwidth is limited."""
STALL = 60.0
"""Seconds in which the server must take something of what is sent."""

_READABLE = select.POLLIN | select.POLLHUP | select.POLLERR | select.POLLNVAL


class Connection:
    """One connection, used by one thread at a time. ``usable``: another request may be sent on it; ``begun``: bytes of
    an answer to the last one have come."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._poll = select.poll()
        self._reading = _Reading()
        self._deadline = 0.0
        self._gone = threading.Event()
        self.usable = True
        self.idle_since = 0.0

    @property
    def begun(self) -> bool:
        """Whether anything of an answer has come."""
        return self._reading.size > 0

    def exchange(
        self,
        head: bytes,
        body: Body = b"",
        *,
        patience: float = ANSWER,
        pace: Pace | None = None,
        no_body: bool = False,
        progress: Progress = None,
    ) -> Answer:
        """Send a request; its answer. ``patience``: seconds from the last byte sent to the last of the answer;
        ``no_body``: it is HEAD, whose answer has none; ``progress`` is told how much of the body is sent. Raises
        :class:`StoreError`."""
        self._reading = reading = _Reading(no_body=no_body)
        self._deadline = time.monotonic() + ANSWER + len(body) / SLOWEST
        is_whole = False
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                is_whole = self._send(head) and self._send(body, pace, progress)
            self._deadline = time.monotonic() + patience
            while not reading.is_over:  # also when it does not take more: it may have said why
                self._wait(select.POLLIN, patience)
            answer = reading.answer()
            if not is_whole and answer.status < 300:  # no acknowledgement of what it has not got
                raise StoreError(None, NoAnswer.CLOSED, "the server closed the connection before it had read all")
        except OSError as error:
            self.usable = False
            raise StoreError(None, NoAnswer.CLOSED, str(error)) from error
        except StoreError:
            self.usable = False
            raise
        self.usable = is_whole and reading.keeps_alive and not self._gone.is_set()
        return answer

    def is_silent(self) -> bool:
        """Whether an idle connection may be used: nothing came that nobody asked for, and it is not closed."""
        self._reading = _Reading()
        try:
            self._look()
        except OSError:
            return False
        return not self._reading.is_over and not self.begun

    def give_up(self) -> None:
        """End the exchange at once, from any thread; it raises :class:`StoreError`."""
        self._gone.set()
        self.usable = False
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # not SSLSocket's, which forgets its encryption

    def close(self) -> None:
        """Close it. Only by the thread that uses it, or when none does."""
        self.usable = False
        self._socket.close()

    # --- sending

    def _send(self, data: Body, pace: Pace | None = None, progress: Progress = None) -> bool:
        """Send all of it; False if the server answered before."""
        view = memoryview(data)
        size = BLOCK if pace is None else PACED
        for start in range(0, len(view), size):
            block = view[start : start + size]
            if pace is not None:
                self._sleep(pace(len(block)))
            self._look()
            if not self._send_block(block):
                return False
            if progress is not None:
                progress(start + len(block))
        return True

    def _send_block(self, block: memoryview) -> bool:
        while block:
            if self._reading.is_refused:
                return False
            try:
                block = block[self._socket.send(block) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait(select.POLLIN | select.POLLOUT, STALL)
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN, STALL)
        return True

    def _sleep(self, seconds: float) -> None:
        if seconds > 0:
            self._deadline += seconds
            self._gone.wait(seconds)

    # --- receiving

    def _wait(self, events: int, patience: float) -> None:
        """Until something of ``events`` is possible. What can be read is read."""
        if self._gone.is_set():
            raise StoreError(None, NoAnswer.CLOSED, "given up")
        left = min(self._deadline - time.monotonic(), patience)
        self._poll.register(self._socket, events)
        found = self._poll.poll(left * 1000) if left > 0 else []
        if not found:
            raise StoreError(None, NoAnswer.TIMEOUT, "no answer in time")
        if found[0][1] & _READABLE:
            self._receive()

    def _look(self) -> None:
        """Read what is there already."""
        self._poll.register(self._socket, select.POLLIN)
        if self._poll.poll(0):
            self._receive()

    def _receive(self) -> None:
        try:
            data = self._socket.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return  # of TLS itself: a session ticket
        except OSError as error:
            self._reading.end(str(error), clean=False)
            return
        if data:
            self._reading.feed(data)
        else:
            self._reading.end("the server closed the connection", clean=True)


class _Reading:
    """An answer while it is read. ``is_refused``: the head of an answer that is no success, or the end of the stream,
    has come, so there is no sense in sending more. (Some servers say 200 before they have read all.)"""

    def __init__(self, *, no_body: bool = False) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._no_body = no_body
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._error: StoreError | None = None
        self._status = 0
        self.size = 0
        self.is_over = False
        self.is_refused = False
        self.keeps_alive = False

    def answer(self) -> Answer:
        """The answer, when it ``is_over``."""
        if self._error is not None:
            raise self._error
        return Answer(self._status, self._headers, b"".join(self._body))

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        self.size += len(data)
        if self.is_over:
            self.keeps_alive = False  # more than the answer
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.is_over:
                self._fail(f"the answer is no HTTP: {error}")
            self.keeps_alive = False
        if self.size > MAX_ANSWER and not self.is_over:
            self.end("the answer has no end", clean=True, whole=True)

    def end(self, why: str, *, clean: bool, whole: bool = False) -> None:
        """No more comes: what is there is the answer, if that makes it whole."""
        if self.is_over:
            self.keeps_alive = False
            self.is_refused = True
        elif clean and self._status and (whole or self._ends_by_eof()):
            self._finish(keeps_alive=False)
            self.is_refused = True
        else:
            self._fail(why)

    def _fail(self, why: str) -> None:
        self._error = StoreError(None, NoAnswer.CLOSED, why)
        self._finish(keeps_alive=False)
        self.is_refused = True

    def _ends_by_eof(self) -> bool:
        return b"content-length" not in self._headers and b"transfer-encoding" not in self._headers

    def _finish(self, *, keeps_alive: bool) -> None:
        self.is_over = True
        self.keeps_alive = keeps_alive

    # --- the parser's calls

    def on_message_begin(self) -> None:
        if self.is_over:
            self.keeps_alive = False  # more than one answer
        else:
            self._headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.is_over:
            self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self.is_over or status < 200:
            return  # 100 Continue and the like: the answer is still to come
        self._status = status
        self.is_refused = status >= 300
        if self._no_body:
            self._finish(keeps_alive=self._parser.should_keep_alive())

    def on_body(self, data: bytes) -> None:
        if not self.is_over:
            self._body.append(data)

    def on_message_complete(self) -> None:
        if self._status and not self.is_over:
            self._finish(keeps_alive=self._parser.should_keep_alive())


def connect(address: tuple[Any, ...], tls: ssl.SSLContext | None, host: str) -> Connection:
    """A new connection, TLS included, within CONNECT seconds. ``host``: the name in the certificate. Raises
    :class:`OSError`."""
    until = time.monotonic() + CONNECT
    connected = socket.create_connection(address[:2], timeout=CONNECT)
    try:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            connected.settimeout(max(until - time.monotonic(), 0.001))
            connected = tls.wrap_socket(connected, server_hostname=host)
        return Connection(connected)
    except BaseException:
        connected.close()
        raise
