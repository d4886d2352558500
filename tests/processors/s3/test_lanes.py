"""Blocking exchanges against servers that misbehave: every one ends, none holds the loop, and nothing is sent twice."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jollyae.processors.s3 import blocking, lanes
from jollyae.processors.s3.connection import MAX_ANSWER, Answer
from jollyae.processors.s3.lanes import Lanes, Request
from jollyae.processors.s3.transport import NoAnswer, StoreError

from .servers import Server, Visit, certificate

OK = b'HTTP/1.1 200 OK\r\nETag: "abc"\r\nContent-Length: 2\r\n\r\nok'
NO = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
BODY = bytes(range(256)) * (48 * 1024)  # 12 MiB: more than the buffers of two sockets hold
Ask = Callable[..., Awaitable[Answer]]


def request(body: bytes | bytearray = b"hello", **more: Any) -> Request:
    """A PUT."""
    return Request(head=b"PUT /b/k HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n" % len(body), body=body, **more)


@contextmanager
def lanes_to(
    server: Server | int, *, tls: ssl.SSLContext | None = None, limit: int = 4, **more: Any
) -> Iterator[Lanes]:
    """Lanes to the server, and the end of them."""
    port = server if isinstance(server, int) else server.port

    async def resolve() -> list[tuple[Any, ...]]:
        return [("127.0.0.1", port)]

    made = Lanes("localhost", tls=tls, resolve=more.pop("resolve", resolve), limit=limit, **more)
    try:
        yield made
    finally:
        made.close()


def ask(server: Server | int, *requests: Request, **more: Any) -> list[Answer]:
    """The answers to requests, one after the other."""

    async def run() -> list[Answer]:
        with lanes_to(server, **more) as made:
            return [await made.ask(one) for one in requests]

    return asyncio.run(run())


def refused(server: Server | int, *requests: Request, **more: Any) -> StoreError:
    """The error that they end with."""
    with pytest.raises(StoreError) as caught:
        ask(server, *requests, **more)
    return caught.value


def always(answer: bytes) -> Callable[[Visit], None]:
    """A server that reads all, and answers this."""

    def behave(visit: Visit) -> None:
        while visit.request():
            visit.send(answer)

    return behave


@pytest.mark.parametrize("body", [b"x", BODY, bytearray(BODY)])
def test_one_after_the_other_on_one_connection(body: bytes | bytearray) -> None:
    """Every byte arrives, and the connection is kept."""
    with Server(always(OK)) as server:
        answers = ask(server, request(body), request(body))
    assert [(answer.status, answer.header(b"etag"), answer.body) for answer in answers] == [(200, '"abc"', b"ok")] * 2
    assert [(number, len(got), got == body) for number, _, got in server.requests] == [(1, len(body), True)] * 2


def test_connection_close() -> None:
    """It is heeded."""
    with Server(always(OK.replace(b"ETag", b"Connection: close\r\nETag"))) as server:
        ask(server, request(), request())
    assert server.visits == 2


def test_http_1_0_and_an_answer_that_ends_with_the_stream() -> None:
    """Without a length, the end of the stream is the end of the answer."""

    def behave(visit: Visit) -> None:
        visit.request()
        visit.send(b"HTTP/1.1 500 No\r\n\r\nall of it")

    with Server(behave) as server:
        [answer] = ask(server, request())
    assert (answer.status, answer.body) == (500, b"all of it")


def test_100_continue_is_no_answer() -> None:
    """The answer is what comes behind it."""
    with Server(always(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)) as server:
        assert [answer.status for answer in ask(server, request(), request())] == [200, 200]
    assert server.visits == 1


def test_a_head_has_no_body() -> None:
    """Its answer tells a length that does not follow."""
    with Server(always(b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\nETag: e\r\n\r\n")) as server:
        answers = ask(server, request(no_body=True), request(no_body=True))
    assert [(answer.header(b"content-length"), answer.body) for answer in answers] == [("77", b"")] * 2
    assert server.visits == 1


# --- connections that were kept


def close_after(answers: int) -> Callable[[Visit], None]:
    """Closes after so many answers, without a word."""

    def behave(visit: Visit) -> None:
        for _ in range(answers):
            if visit.request():
                visit.send(OK)

    return behave


def test_a_kept_connection_that_is_closed_is_not_used() -> None:
    """It is looked at first."""

    async def run(server: Server) -> None:
        with lanes_to(server) as made:
            await made.ask(request())
            await asyncio.sleep(0.1)
            await made.ask(request(BODY))

    with Server(close_after(1)) as server:
        asyncio.run(run(server))
    assert [(number, len(body)) for number, _, body in server.requests] == [(1, 5), (2, len(BODY))]


def hang_up_at_the_second(visit: Visit) -> None:
    """Closes when the second request on the first connection begins."""
    visit.request()
    visit.send(OK)
    if visit.number == 1:
        visit.connection.recv(1)
        return
    while visit.request():
        visit.send(OK)


def test_closed_before_any_answer_it_is_sent_once_more() -> None:
    """On a new connection: the server had given the old one up."""
    with Server(hang_up_at_the_second) as server:
        assert [answer.status for answer in ask(server, request(), request(BODY))] == [200, 200]
    assert [number for number, _, _ in server.requests] == [1, 2]


def test_but_once_only() -> None:
    """A new connection that is closed is an error."""

    def behave(visit: Visit) -> None:
        if visit.number == 1 and visit.request():
            visit.send(OK)
            visit.connection.recv(1)

    with Server(behave) as server:
        assert refused(server, request(), request(BODY)).code == NoAnswer.CLOSED
    assert server.visits == 2


def test_not_after_a_byte_of_an_answer() -> None:
    """It may have acted on it, and began to say so."""

    def behave(visit: Visit) -> None:
        if visit.request():
            visit.send(OK)
        if visit.request():
            visit.send(b"HTTP/1.1 2")

    with Server(behave) as server:
        assert refused(server, request(), request()).code == NoAnswer.CLOSED
    assert server.visits == 1


def test_what_nobody_asked_for_is_no_answer() -> None:
    """Bytes on an idle connection are not taken for the next request's answer."""

    def behave(visit: Visit) -> None:
        while visit.request():
            visit.send(OK + (NO if visit.number == 1 else b""))

    with Server(behave) as server:
        assert [answer.status for answer in ask(server, request(), request())] == [200, 200]
    assert server.visits == 2


# --- answers before all is read


@pytest.mark.parametrize("reads_on", [False, True])
def test_a_refusal_before_all_is_read(reads_on: bool) -> None:
    """Is the answer, whether the server closes or stands there and reads no more."""

    def behave(visit: Visit) -> None:
        visit.head()
        visit.send(NO)
        if reads_on:
            visit.connection.recv(100_000)
            visit.server.ended.acquire(timeout=20)

    with Server(behave) as server:
        [answer] = ask(server, request(BODY))
        server.ended.release()
        assert (answer.status, answer.body) == (403, b"no")


def test_a_200_before_all_is_read_is_believed_when_all_is_sent() -> None:
    """Some servers answer early; it counts when they have taken the rest."""

    def behave(visit: Visit) -> None:
        while head := visit.head():
            visit.send(OK)
            visit.server.requests.append((visit.number, head, visit.body(head)))
            visit.server.ended.release()

    with Server(behave) as server:
        assert [answer.status for answer in ask(server, request(BODY), request(BODY))] == [200, 200]
        for _ in range(2):
            assert server.ended.acquire(timeout=20)
    assert [len(body) for _, _, body in server.requests] == [len(BODY)] * 2


def test_a_200_of_one_that_did_not_read_all_is_none() -> None:
    """It acknowledges what it has not got."""

    def behave(visit: Visit) -> None:
        visit.head()
        visit.send(OK)

    with Server(behave) as server:
        assert refused(server, request(BODY)).code == NoAnswer.CLOSED


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 O",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"SSH-2.0-OpenSSH\r\n",
        b"\0" * 100,
    ],
)
def test_no_whole_answer(answer: bytes) -> None:
    """Closed, or no HTTP: an error, and no guess."""

    def behave(visit: Visit) -> None:
        visit.request()
        visit.send(answer)

    with Server(behave) as server:
        assert refused(server, request()).code == NoAnswer.CLOSED


def test_a_half_closed_connection() -> None:
    """A server that says no more is not waited for, though it would read on."""

    def behave(visit: Visit) -> None:
        visit.head()
        visit.connection.shutdown(socket.SHUT_WR)
        visit.wait_for_end()

    with Server(behave) as server:
        assert refused(server, request(BODY)).code == NoAnswer.CLOSED


@pytest.mark.parametrize("status", [b"200 OK", b"500 No"])
def test_an_answer_without_end(status: bytes) -> None:
    """Is not read without end."""

    def behave(visit: Visit) -> None:
        visit.request()
        visit.send(b"HTTP/1.1 %s\r\nContent-Length: 999999999\r\n\r\n" % status)
        while True:
            visit.send(b"x" * 65536)

    with Server(behave) as server:
        [answer] = ask(server, request())
    assert MAX_ANSWER // 2 < len(answer.body) < 2 * MAX_ANSWER


# --- deadlines


def test_a_server_that_never_answers() -> None:
    """Ends after the patience."""
    with Server(Visit.wait_for_end) as server:
        assert refused(server, request(patience=0.2)).code == NoAnswer.TIMEOUT


def test_a_server_that_drips() -> None:
    """A byte now and then does not make the patience longer."""
    over = threading.Event()

    def behave(visit: Visit) -> None:
        visit.request()
        for byte in OK:
            if over.wait(0.1):
                return
            visit.send(bytes([byte]))

    with Server(behave) as server:
        try:
            assert refused(server, request(patience=0.5)).code == NoAnswer.TIMEOUT
        finally:
            over.set()


def test_a_server_that_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must take something in a while."""
    monkeypatch.setattr(blocking, "STALL", 0.3)

    def behave(visit: Visit) -> None:
        visit.server.ended.acquire(timeout=20)

    with Server(behave) as server:
        assert refused(server, request(BODY)).code == NoAnswer.TIMEOUT
        server.ended.release()


def test_a_server_that_reads_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a time for the whole, too."""
    monkeypatch.setattr(blocking, "ANSWER", 0.5)
    monkeypatch.setattr(blocking, "SLOWEST", 1 << 30)
    over = threading.Event()

    def behave(visit: Visit) -> None:
        while not over.wait(0.05):
            visit.connection.recv(65536)

    with Server(behave) as server:
        try:
            assert refused(server, request(BODY)).code == NoAnswer.TIMEOUT
        finally:
            over.set()


# --- ends


@pytest.mark.parametrize("how", ["cancel", "close"])
def test_a_thread_ends_at_once(how: str) -> None:
    """Who is cancelled, or closed, leaves no thread that sends."""

    begun = threading.Semaphore(0)

    async def run(server: Server) -> None:
        with lanes_to(server) as made:
            task = asyncio.ensure_future(made.ask(request(BODY)))
            await asyncio.to_thread(begun.acquire)
            if how == "cancel":
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                made.close()
                with pytest.raises(StoreError):
                    await task
                with pytest.raises(StoreError):
                    await made.ask(request())
            await asyncio.to_thread(server.ended.acquire)  # the server sees the end of it

    def behave(visit: Visit) -> None:
        visit.head()
        begun.release()
        time.sleep(0.2)
        visit.wait_for_end()

    with Server(behave) as server:
        asyncio.run(run(server))


def test_a_cancelled_one_leaves_its_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one lane, the next request has it."""
    stuck = threading.Semaphore(0)

    async def run(server: Server) -> None:
        with lanes_to(server, limit=1) as made:
            task = asyncio.ensure_future(made.ask(request()))
            await asyncio.to_thread(stuck.acquire)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert (await made.ask(request())).status == 200

    def behave(visit: Visit) -> None:
        visit.request()
        if visit.number == 1:
            stuck.release()
            visit.wait_for_end()
        visit.send(OK)

    with Server(behave) as server:
        asyncio.run(run(server))


def test_the_loop_is_free_meanwhile() -> None:
    """A body on its way does not hold it: it turns while the server waits for its word."""
    go_on = threading.Event()

    def behave(visit: Visit) -> None:
        head = visit.head()
        go_on.wait(20)
        visit.body(head)
        visit.send(OK)

    async def run(server: Server) -> None:
        with lanes_to(server) as made:
            task = asyncio.ensure_future(made.ask(request(BODY)))
            await asyncio.sleep(0.05)
            go_on.set()
            assert (await task).status == 200

    with Server(behave) as server:
        asyncio.run(run(server))


def test_idle_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while nothing is open."""
    monkeypatch.setattr(lanes, "IDLE", 0.1)

    async def run(server: Server) -> None:
        with lanes_to(server) as made:
            await made.ask(request())
            await asyncio.to_thread(server.ended.acquire)

    def behave(visit: Visit) -> None:
        visit.request()
        visit.send(OK)
        visit.wait_for_end()

    with Server(behave) as server:
        asyncio.run(run(server))


# --- addresses, bandwidth, TLS


def test_all_addresses() -> None:
    """One that does not answer is no reason not to ask the next."""
    with Server(always(OK)) as server:

        async def resolve() -> list[tuple[Any, ...]]:
            return [("127.0.0.1", 1), ("127.0.0.1", server.port)]

        assert ask(server, request(), resolve=resolve)[0].status == 200


def test_nobody_there() -> None:
    """Refused; and a host without an address is none."""

    async def nowhere() -> list[tuple[Any, ...]]:
        return []

    error = refused(1, request())
    assert error.code == NoAnswer.REFUSED and error.message.startswith("http://localhost:1: ")
    assert refused(1, request(), resolve=nowhere).code == NoAnswer.REFUSED


def test_the_bandwidth_is_booked_within_a_body() -> None:
    """Block by block, to the last byte, and slept for."""
    booked: list[int] = []

    def pace(size: int) -> float:
        booked.append(size)
        return 0.0001

    with Server(always(OK)) as server:
        ask(server, request(BODY[: 1 << 20]), pace=pace)
    assert booked == [blocking.PACED] * ((1 << 20) // blocking.PACED)


def test_how_much_is_sent_is_told(both: Path) -> None:
    """Of a body, while it goes; of its last byte, too."""
    for tls in (None, ssl.create_default_context(cafile=str(both))):
        told: list[int] = []
        with Server(always(OK), tls=server_side(both) if tls else None) as server:
            ask(server, request(BODY, progress=told.append), tls=tls)
        assert told == sorted(told) and len(told) >= 12 and told[-1] == len(BODY)


def test_a_long_wait_for_bandwidth_is_no_reason_to_stay() -> None:
    """Cancelled while it sleeps, the thread ends."""
    asked = threading.Semaphore(0)

    def pace(size: int) -> float:
        asked.release()
        return 3600.0

    async def run(server: Server) -> None:
        with lanes_to(server, pace=pace) as made:
            task = asyncio.ensure_future(made.ask(request()))
            await asyncio.to_thread(asked.acquire)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.to_thread(server.ended.acquire)

    with Server(Visit.wait_for_end) as server:
        asyncio.run(run(server))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate and key."""
    return certificate(tmp_path_factory.mktemp("tls"))


def server_side(both: Path) -> ssl.SSLContext:
    """What the server needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls(both: Path, version: ssl.TLSVersion) -> None:
    """Every byte arrives, on one connection, whatever tickets come in between."""
    tls = server_side(both)
    tls.maximum_version = tls.minimum_version = version
    with Server(always(OK), tls=tls) as server:
        answers = ask(server, request(BODY), request(b"x"), tls=ssl.create_default_context(cafile=str(both)))
    assert [answer.status for answer in answers] == [200, 200]
    assert [(number, body == BODY or body == b"x") for number, _, body in server.requests] == [(1, True)] * 2


def test_a_refusal_over_tls_before_all_is_read(both: Path) -> None:
    """It is seen, though the server reads no more."""

    def behave(visit: Visit) -> None:
        visit.head()
        visit.send(NO)
        visit.server.ended.acquire(timeout=20)

    with Server(behave, tls=server_side(both)) as server:
        [answer] = ask(server, request(BODY), tls=ssl.create_default_context(cafile=str(both)))
        server.ended.release()
    assert answer.status == 403


def test_cancelled_over_tls(both: Path) -> None:
    """Nothing is sent in the clear after it, and the thread ends."""
    begun = threading.Semaphore(0)
    rest: list[bytes] = []

    def behave(visit: Visit) -> None:
        visit.head()
        begun.release()
        time.sleep(0.2)
        try:
            while data := visit.connection.recv(65536):
                rest.append(data)
        finally:
            visit.server.ended.release()

    async def run(server: Server) -> None:
        with lanes_to(server, tls=ssl.create_default_context(cafile=str(both))) as made:
            task = asyncio.ensure_future(made.ask(request(BODY)))
            await asyncio.to_thread(begun.acquire)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.to_thread(server.ended.acquire)

    with Server(behave, tls=server_side(both)) as server:
        asyncio.run(run(server))
    assert sum(map(len, rest)) < len(BODY)


def test_tls_errors(both: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that is not trusted, a server without TLS, one that never shakes hands."""
    trusting = ssl.create_default_context(cafile=str(both))
    with Server(always(OK), tls=server_side(both)) as server:
        assert refused(server, request(), tls=ssl.create_default_context()).code == NoAnswer.TLS
    with Server(lambda visit: visit.send(NO)) as plain:
        assert refused(plain, request(), tls=trusting).code == NoAnswer.TLS
    monkeypatch.setattr(blocking, "CONNECT", 0.3)
    with Server(Visit.wait_for_end) as silent:
        assert refused(silent, request(), tls=trusting).code == NoAnswer.TIMEOUT
