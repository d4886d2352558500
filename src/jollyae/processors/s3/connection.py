"""One HTTP/1.1 connection on the event loop: a request goes out, its answer is parsed, one at a time."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httptools
import msgspec

from .transport import NoAnswer, StoreError

MAX_ANSWER = 1 << 20
"""Bytes of an answer that are read: an S3 error has some hundred."""


class Unheard(StoreError):
    """The server closed a kept connection before it answered anything: it may be sent once more on a new one. That the
    server did so after acting on it is possible: the write is conditional, and its own 412 is recognised."""


class Answer(msgspec.Struct):
    """What came back. ``headers``: lower-case names."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    def header(self, name: bytes) -> str:
        """One header, '' where it is not there."""
        return self.headers.get(name, b"").decode("latin-1")

    def skew(self) -> float | None:
        """How far the server's clock is before ours, in seconds, where it tells."""
        from email.utils import parsedate_to_datetime  # only who is refused asks, and it takes a while to load

        try:
            return parsedate_to_datetime(self.header(b"date")).timestamp() - time.time()
        except (TypeError, ValueError):
            return None


Ended = Callable[[Answer | StoreError], None]
"""Called once when a request is over, by the event loop. It must not raise."""


class Connection(asyncio.Protocol):
    """One connection: sends a request, parses its answer, and gives itself back at its end."""

    __slots__ = (
        "_back",
        "_body",
        "_complete",
        "_ended",
        "_head_read",
        "_headers",
        "_lower",
        "_names",
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

    def __init__(self, back: Callable[["Connection"], None]) -> None:
        self._back = back
        self._transport: Any = None
        self._ended: Ended | None = None
        self._complete: Answer | None = None
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        # The parser calls these for each header and each piece of a body: no Python of ours is needed in between.
        self.on_header = self._headers.__setitem__
        self.on_body = self._body.append
        self._parser = httptools.HttpResponseParser(self)
        self._names: tuple[bytes, ...] = ()
        self._lower: list[bytes] = []
        self._head_read = False
        self._size = 0
        self.deadline = float("inf")
        self.idle_since = 0.0
        self.begun = False
        self.usable = False

    def expect(self, ended: Ended, deadline: float) -> None:
        """A request is going to be written; ``ended`` is called when it is over. ``deadline``: monotonic."""
        self._ended = ended
        self.deadline = deadline
        self.begun = False
        self._size = 0

    def write(self, data: bytes) -> None:
        """Write the request, unless it has failed by now."""
        if self._ended is None:
            return
        if self.usable:
            self._transport.write(data)
        else:
            self._fail(NoAnswer.CLOSED, "the connection was closed")

    def close(self) -> None:
        """Close it at once."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def give_up(self) -> None:
        """Nobody waits for the answer any more. It may still come, and would be taken for the next one's."""
        self._ended = _nobody
        self._fail(NoAnswer.CLOSED, "given up")

    def expire(self, now: float) -> None:
        """End the request if its deadline is over."""
        if self._ended is not None and now >= self.deadline:
            self._fail(NoAnswer.TIMEOUT, "no answer in time")

    def _fail(self, code: NoAnswer, why: str) -> None:
        self.close()
        kind = Unheard if code is NoAnswer.CLOSED and not self.begun else StoreError
        self._end(kind(None, code, why))

    def _end(self, outcome: Answer | StoreError) -> None:
        ended, self._ended = self._ended, None
        self.deadline = float("inf")
        self._head_read = False
        self._complete = None
        if ended is not None:
            self._back(self)
            ended(outcome)

    # --- asyncio's calls

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.usable = True

    def data_received(self, data: bytes) -> None:
        if self._ended is None:
            self.close()  # bytes that nobody asked for: they would be taken for the next answer
            return
        self.begun = True
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self._complete is None:
                self._fail(NoAnswer.CLOSED, f"the answer is no HTTP: {error}")
                return
            self.usable = False
        if self._complete is not None:
            self._end(self._complete)
        elif self._size > MAX_ANSWER:
            self.usable = False
            self._end_early("the answer has no end")

    def eof_received(self) -> bool:
        self.usable = False
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.usable = False
        self._end_early(str(error or "the server closed the connection"), whole=error is None and self._ends_by_eof())

    def _end_early(self, why: str, *, whole: bool = True) -> None:
        """No more will be read: what is there of an answer is the answer, if that makes it ``whole`` enough."""
        if self._ended is None:
            return
        if whole and self._head_read:
            self._end(self._read())
        else:
            self._fail(NoAnswer.CLOSED, why)

    def _ends_by_eof(self) -> bool:
        return {b"content-length", b"transfer-encoding"}.isdisjoint(name.lower() for name in self._headers)

    # --- the parser's calls

    def on_message_begin(self) -> None:
        if self._complete is not None:
            self.usable = False  # more than one answer; the first counts
        self._headers.clear()
        self._body.clear()
        self._head_read = False

    def on_headers_complete(self) -> None:
        self._head_read = self._parser.get_status_code() >= 200

    def on_message_complete(self) -> None:
        if not self._head_read or self._complete is not None:
            return  # 100 Continue and the like: the answer is still to come
        if not self._parser.should_keep_alive() or self._transport.get_write_buffer_size():
            # The second: it answered before it had read all, and the rest is in its way. (Over TLS asyncio does not
            # tell what is unsent. Then the next request waits behind it, until the server reads on or closes.)
            self.usable = False
        self._complete = self._read()

    def _read(self) -> Answer:
        sent = tuple(self._headers)
        if sent != self._names:  # a server names the same headers in all its answers
            self._names, self._lower = sent, [name.lower() for name in sent]
        headers = dict(zip(self._lower, self._headers.values(), strict=True))
        return Answer(self._parser.get_status_code(), headers, b"".join(self._body) if self._body else b"")


def _nobody(outcome: Answer | StoreError) -> None:
    pass
