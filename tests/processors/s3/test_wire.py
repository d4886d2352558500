"""HTTP on the event loop against servers that do what servers do: close, stop, lie, or answer too early."""

import asyncio
import gc
import shutil
import socket
import ssl
import struct
import threading
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jollyae.processors.s3 import connection, wire
from jollyae.processors.s3.transport import NoAnswer, StoreError
from jollyae.worker.loop import loop_factory

from .servers import Behaviour, Server, Visit, certificate

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: "e"\r\n\r\nok'
Start = Callable[..., Server]


def request(body: bytes = b"hello") -> bytes:
    """A whole request."""
    return b"PUT /b/k HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def answering(*answers: bytes) -> Behaviour:
    """Answers one request after the other, the last answer to all that follow, until the client closes."""

    def behave(visit: Visit) -> None:
        number = 0
        while visit.request():
            visit.send(answers[min(number, len(answers) - 1)])
            number += 1
        visit.server.ended.release()

    return behave


def closing(answer: bytes) -> Behaviour:
    """Answers one request and closes."""

    def behave(visit: Visit) -> None:
        visit.request()
        visit.send(answer)

    return behave


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate")
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=["http", "https"])
def scheme(request: pytest.FixtureRequest) -> str:
    """Both."""
    return str(request.param)


@pytest.fixture
def start(scheme: str, request: pytest.FixtureRequest) -> Iterator[Start]:
    """Starts servers of this scheme; they are stopped at the end."""
    started: list[Server] = []

    def one(behave: Behaviour, **where: Any) -> Server:
        context = None
        if scheme == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(request.getfixturevalue("pem"))
        started.append(Server(behave, tls=context, **where))
        return started[-1]

    yield one
    for server in started:
        server.stop()


@pytest.fixture
def tls(scheme: str, request: pytest.FixtureRequest) -> ssl.SSLContext | None:
    """The client's context, which trusts our certificate."""
    return ssl.create_default_context(cafile=request.getfixturevalue("pem")) if scheme == "https" else None


class Ask:
    """Runs a coroutine with a pool, on asyncio's loop or uvloop, and sees that nothing is left."""

    def __init__(self, factory: Any, tls: ssl.SSLContext | None) -> None:
        self._factory = factory
        self.tls = tls

    def __call__(
        self, port: int, use: Callable[[wire.Pool], Awaitable[Any]], *, host: str = "127.0.0.1", limit: int = 4
    ) -> Any:
        """What ``use`` returns."""
        with asyncio.Runner(loop_factory=self._factory) as runner:
            result = runner.run(self._use(wire.Pool(host, port, tls=self.tls, limit=limit), use))
        gc.collect()  # what was not closed warns now, and warnings are errors
        return result

    async def _use(self, pool: wire.Pool, use: Callable[[wire.Pool], Awaitable[Any]]) -> Any:
        wrong: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: wrong.append(context))
        try:
            return await use(pool)
        finally:
            pool.close()
            await asyncio.sleep(0.02)
            assert not pool._busy and not pool._idle
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert not wrong


@pytest.fixture(params=["asyncio", "uvloop"])
def ask(request: pytest.FixtureRequest, tls: ssl.SSLContext | None) -> Ask:
    """Both loops."""
    if request.param == "asyncio":
        return Ask(asyncio.SelectorEventLoop, tls)
    if (factory := loop_factory()) is None:
        pytest.skip("no uvloop")
    return Ask(factory, tls)


async def once(pool: wire.Pool) -> connection.Answer:
    """One request."""
    return await pool.request(request())


def refused(ask: Ask, port: int, use: Callable[[wire.Pool], Awaitable[Any]] = once, **where: Any) -> StoreError:
    """The error of it."""
    with pytest.raises(StoreError) as caught:
        ask(port, use, **where)
    return caught.value


def times(count: int, pause: float = 0.0) -> Callable[[wire.Pool], Awaitable[list[connection.Answer]]]:
    """So many requests, one after the other."""

    async def use(pool: wire.Pool) -> list[connection.Answer]:
        answers = []
        for _ in range(count):
            answers.append(await pool.request(request()))
            await asyncio.sleep(pause)
        return answers

    return use


def test_a_connection_is_kept(start: Start, ask: Ask) -> None:
    """All requests go over one connection; header names are lower-case, the body is whole."""
    server = start(answering(OK))
    answers = ask(server.port, times(20))
    assert {(one.status, one.header(b"etag"), one.body) for one in answers} == {(200, '"e"', b"ok")}
    assert server.visits == 1 and [body for _, _, body in server.requests] == [b"hello"] * 20


def test_chunked(start: Start, ask: Ask) -> None:
    """An answer in chunks is whole, and its connection is kept."""
    server = start(answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3\r\nabc\r\n0\r\n\r\n"))
    assert [one.body for one in ask(server.port, times(2))] == [b"okabc"] * 2
    assert server.visits == 1


@pytest.mark.parametrize("version", [b"HTTP/1.1 200 OK\r\nConnection: close", b"HTTP/1.0 200 OK"])
def test_connection_close(start: Start, ask: Ask, version: bytes) -> None:
    """A connection that the server will close is not used again, though it is still open."""
    server = start(answering(version + b"\r\nContent-Length: 0\r\n\r\n"))
    ask(server.port, times(3))
    assert server.visits == 3


def test_an_idle_connection_was_closed(start: Start, ask: Ask) -> None:
    """A kept connection that the server has closed is noticed, and a new one is made."""
    server = start(closing(OK))
    assert len(ask(server.port, times(3, pause=0.05))) == 3
    assert server.visits == 3


def test_a_server_that_closes_at_once(start: Start, ask: Ask) -> None:
    """Whether the connection is lost before the request, while it is written or after it: 'closed', each time."""
    server = start(lambda visit: None)

    async def use(pool: wire.Pool) -> set[str]:
        codes = set()
        for _ in range(40):
            with pytest.raises(StoreError) as caught:
                await pool.request(request())
            codes.add(caught.value.code)
        return codes

    assert ask(server.port, use) <= {NoAnswer.CLOSED, NoAnswer.REFUSED, NoAnswer.TLS}


def test_closed_while_we_send(start: Start, ask: Ask) -> None:
    """The server closes a kept connection upon our request, without an answer: it is sent once more, on a new one."""

    def behave(visit: Visit) -> None:
        if visit.request():
            visit.send(OK)
        if visit.number == 1:
            visit.request()
        else:
            visit.wait_for_end()

    server = start(behave)
    assert [one.status for one in ask(server.port, times(2))] == [200, 200]
    assert [number for number, _, _ in server.requests] == [1, 1, 2]


def test_reset_while_we_send(start: Start, ask: Ask) -> None:
    """So it is when the connection is reset."""

    def behave(visit: Visit) -> None:
        visit.request()
        visit.send(OK)
        if visit.number == 1:
            visit.request()
            visit.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            visit.wait_for_end()

    server = start(behave)
    assert [one.status for one in ask(server.port, times(2))] == [200, 200]
    assert len(server.requests) == 3


def test_only_once_more(start: Start, ask: Ask) -> None:
    """The new connection is closed without an answer, too: that is an error."""

    def behave(visit: Visit) -> None:
        visit.request()
        if visit.number == 1:
            visit.send(OK)
            visit.request()

    server = start(behave)
    assert refused(ask, server.port, times(2)).code == NoAnswer.CLOSED
    assert len(server.requests) == 3


def test_a_first_request_is_not_repeated(start: Start, ask: Ask) -> None:
    """A new connection that is closed without an answer is the store's fault, not the pool's."""
    server = start(lambda visit: visit.request() and None)
    assert refused(ask, server.port).code == NoAnswer.CLOSED
    assert server.visits == 1


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", OK[:-1]])
def test_not_repeated_once_an_answer_has_begun(start: Start, ask: Ask, begun: bytes) -> None:
    """A byte of the answer shows that the store has acted: the caller must know."""

    def behave(visit: Visit) -> None:
        visit.request()
        visit.send(OK)
        visit.request()
        visit.send(begun)

    server = start(behave)
    assert refused(ask, server.port, times(2)).code == NoAnswer.CLOSED
    assert len(server.requests) == 2


@pytest.mark.parametrize("scheme", ["http"], indirect=True)  # TLS knows no half
def test_half_closed(start: Start, ask: Ask) -> None:
    """The server ends its side and never answers: that is noticed at once."""

    def behave(visit: Visit) -> None:
        visit.request()
        visit.connection.shutdown(socket.SHUT_WR)
        visit.wait_for_end()

    assert refused(ask, start(behave).port).code == NoAnswer.CLOSED


@pytest.mark.parametrize("scheme", ["http"], indirect=True)  # TLS knows no half
def test_half_closed_while_idle(start: Start, ask: Ask) -> None:
    """A kept connection whose other side has ended is not used again."""

    def behave(visit: Visit) -> None:
        visit.request()
        visit.send(OK)
        visit.connection.shutdown(socket.SHUT_WR)
        visit.wait_for_end()

    server = start(behave)
    ask(server.port, times(2, pause=0.05))
    assert server.visits == 2


@pytest.mark.parametrize("size", [10, 1 << 20])
def test_answer_before_the_body(start: Start, ask: Ask, size: int) -> None:
    """An early 403 is the answer, though the server has read nothing of the body, and its connection is given up."""

    def behave(visit: Visit) -> None:
        head = visit.head()
        visit.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        visit.body(head)
        visit.wait_for_end()

    server = start(behave)

    async def use(pool: wire.Pool) -> list[int]:
        return [(await pool.request(request(b"x" * size))).status for _ in range(2)]

    assert ask(server.port, use) == [403, 403]
    assert server.visits == 2


@pytest.mark.parametrize("scheme", ["http"], indirect=True)  # over TLS asyncio does not tell what is unsent
def test_answer_before_the_body_kept(start: Start, ask: Ask) -> None:
    """Where bytes of the body are still unsent, the connection is not used again even if the server would."""
    go = threading.Event()

    def behave(visit: Visit) -> None:
        visit.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        visit.head()
        visit.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        go.wait(10)

    server = start(behave)

    async def use(pool: wire.Pool) -> list[int]:
        return [(await pool.request(request(b"x" * (16 << 20)))).status for _ in range(2)]

    try:
        assert ask(server.port, use) == [403, 403]
    finally:
        go.set()
    assert server.visits == 2


@pytest.mark.parametrize("size", [10, 100_000, 1 << 20])
def test_early_answer_and_reset(start: Start, ask: Ask, size: int) -> None:
    """A server that answers early and closes at once resets the connection: its answer, or 'closed', and no hang."""

    def behave(visit: Visit) -> None:
        visit.connection.recv(100)
        visit.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    server = start(behave)

    async def use(pool: wire.Pool) -> object:
        try:
            return (await pool.request(request(b"x" * size))).status
        except StoreError as error:
            return error.code

    assert ask(server.port, use) in (403, NoAnswer.CLOSED)


def test_interim_answers(start: Start, ask: Ask) -> None:
    """100 and 103 come before the answer and are none; their headers are not the answer's."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    server = start(answering(interim + OK))
    answers = ask(server.port, times(2))
    assert [(one.status, one.header(b"link")) for one in answers] == [(200, ""), (200, "")]
    assert server.visits == 1


def test_single_bytes(start: Start, ask: Ask) -> None:
    """An answer may come in any pieces."""

    def behave(visit: Visit) -> None:
        visit.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while visit.request():
            for byte in b"HTTP/1.1 100 Continue\r\n\r\n" + OK:
                visit.send(bytes([byte]))
                time.sleep(0.0005)

    server = start(behave)
    assert [(one.status, one.body) for one in ask(server.port, times(2))] == [(200, b"ok")] * 2
    assert server.visits == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x15\x03\x01\x00\x02\x02\x16",
        b"SSH-2.0-OpenSSH\r\n",
        b"\0" * 1000,
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nzzz",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_garbage(start: Start, ask: Ask, garbage: bytes) -> None:
    """What is no HTTP is an error at once, and its connection is closed."""
    server = start(answering(garbage))
    error = refused(ask, server.port)
    assert (error.status, error.code) == (None, NoAnswer.CLOSED)
    assert server.ended.acquire(timeout=5)


def test_an_answer_that_ends_with_the_connection(start: Start, ask: Ask) -> None:
    """Without Content-Length the body goes to the end of the stream."""
    server = start(closing(b"HTTP/1.1 500 Oops\r\nx-amz-request-id: 1\r\n\r\n<Code>InternalError</Code>"))
    answers = ask(server.port, times(2))
    assert [(one.status, one.body) for one in answers] == [(500, b"<Code>InternalError</Code>")] * 2
    assert server.visits == 2


@pytest.mark.parametrize("more", [OK, OK[:10], b"H", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"])
@pytest.mark.parametrize("pause", [0.0, 0.05])
def test_an_answer_nobody_asked_for(start: Start, ask: Ask, more: bytes, pause: float) -> None:
    """It is not taken for the answer to the next request, be it with the first answer or after it."""
    second = OK.replace(b"200 OK", b"201 OK")

    def behave(visit: Visit) -> None:
        visit.request()
        visit.send((OK if visit.number == 1 else second) + (b"" if pause else more))
        time.sleep(pause / 2)
        visit.send(more if pause else b"")
        visit.wait_for_end()

    server = start(behave)
    assert [one.status for one in ask(server.port, times(2, pause=pause or 0.001))] == [200, 201]


def test_no_answer(start: Start, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline ends the request and its connection, on a new connection as on a kept one."""
    monkeypatch.setattr(wire, "ANSWER", 0.1)
    monkeypatch.setattr(wire, "SWEEP", 0.05)

    def behave(visit: Visit) -> None:
        visit.request()
        if visit.number == 1:
            visit.send(OK)
        visit.wait_for_end()

    server = start(behave)
    began = time.monotonic()
    error = refused(ask, server.port, times(2))
    assert (error.status, error.code) == (None, NoAnswer.TIMEOUT)
    assert refused(ask, server.port).code == NoAnswer.TIMEOUT
    assert time.monotonic() - began < 5
    assert server.ended.acquire(timeout=5) and server.ended.acquire(timeout=5)


def test_a_deadline_after_a_slow_connect(start: Start, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that took long to make has a deadline like every other."""
    monkeypatch.setattr(wire, "ANSWER", 0.1)
    monkeypatch.setattr(wire, "SWEEP", 0.02)
    quick = wire.Pool._connect_to

    async def slow(pool: wire.Pool, address: tuple[Any, ...]) -> connection.Connection:
        await asyncio.sleep(0.2)
        return await quick(pool, address)

    monkeypatch.setattr(wire.Pool, "_connect_to", slow)
    assert refused(ask, start(lambda visit: visit.wait_for_end()).port).code == NoAnswer.TIMEOUT


def test_an_answer_that_never_ends_is_in_time(start: Start, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that trickle do not postpone the deadline."""
    monkeypatch.setattr(wire, "ANSWER", 0.2)
    monkeypatch.setattr(wire, "SWEEP", 0.05)

    def behave(visit: Visit) -> None:
        visit.request()
        visit.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            visit.send(b"a: b\r\n")
            time.sleep(0.02)

    assert refused(ask, start(behave).port).code == NoAnswer.TIMEOUT


def test_a_server_that_does_not_read(start: Start, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sending has the same deadline."""
    monkeypatch.setattr(wire, "ANSWER", 0.2)
    monkeypatch.setattr(wire, "SLOWEST", 1 << 30)
    monkeypatch.setattr(wire, "SWEEP", 0.05)
    go = threading.Event()
    server = start(lambda visit: go.wait(10) and None)
    try:
        error = refused(ask, server.port, lambda pool: pool.request(request(b"x" * (16 << 20))))
    finally:
        go.set()
    assert error.code == NoAnswer.TIMEOUT


def test_a_server_that_does_not_accept(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting, with TLS's handshake, has a deadline, too."""
    monkeypatch.setattr(wire, "CONNECT", 0.2)
    monkeypatch.setattr(wire, "ANSWER", 0.2)
    monkeypatch.setattr(wire, "SWEEP", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        assert refused(ask, deaf.getsockname()[1]).code == NoAnswer.TIMEOUT


def unused_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_connection_refused(ask: Ask) -> None:
    """It names the origin."""
    port = unused_port()
    error = refused(ask, port)
    assert error.code == NoAnswer.REFUSED and f"://127.0.0.1:{port}: " in error.message


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70 + ".invalid"])
def test_unknown_name(ask: Ask, host: str) -> None:
    """The name cannot be found, or cannot be one."""
    error = refused(ask, 80, host=host)
    assert error.code == NoAnswer.NAME and host in error.message


def resolving(monkeypatch: pytest.MonkeyPatch, *rounds: list[str]) -> list[int]:
    """Names have these addresses, an empty list is a failure; how often they were asked for."""
    asked: list[int] = []

    async def ask(pool: wire.Pool) -> None:
        found = rounds[min(len(asked), len(rounds) - 1)]
        asked.append(1)
        if not found and not pool._addresses:
            raise StoreError(None, NoAnswer.NAME)
        pool._addresses.extend((one, pool._port) for one in found)
        pool._resolved = time.monotonic()

    monkeypatch.setattr(wire.Pool, "_ask_for_addresses", ask)
    return asked


def test_the_second_address(start: Start, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one address refuses, the next takes the request; the first is left alone until the name is asked again."""
    server = start(answering(OK), host="127.0.0.1")
    resolving(monkeypatch, ["127.0.0.3", "127.0.0.1", "127.0.0.2"])

    async def use(pool: wire.Pool) -> list[str]:
        for _ in range(3):
            await pool.request(request())
            for one in pool._idle:
                one.close()
        return sorted(str(one[0]) for one in pool._addresses)

    if ask.tls is not None:
        ask.tls.check_hostname = False
    assert "127.0.0.1" in ask(server.port, use, host="localhost")
    assert len(server.requests) == 3


def test_addresses_in_turn(start: Start, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """New connections are spread over all addresses of the name."""
    first = start(answering(OK), host="127.0.0.1")
    second = start(answering(OK), host="127.0.0.2", port=first.port)
    resolving(monkeypatch, ["127.0.0.1", "127.0.0.2"])

    async def use(pool: wire.Pool) -> None:
        await asyncio.gather(*(pool.request(request()) for _ in range(4)))

    ask(first.port, use, host="localhost")
    assert (first.visits, second.visits) == (2, 2)


def test_asked_for_again(start: Start, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is asked for when all its addresses refused, and after a while."""
    server = start(closing(OK))
    asked = resolving(monkeypatch, ["127.0.0.2"], ["127.0.0.1"])

    async def use(pool: wire.Pool) -> None:
        with pytest.raises(StoreError):
            await pool.request(request())
        assert len(asked) == 1
        await times(2, pause=0.02)(pool)
        assert len(asked) == 2
        monkeypatch.setattr(wire, "RESOLVE_EVERY", -1.0)
        await pool.request(request())
        assert len(asked) == 3

    ask(server.port, use, host="localhost")


def test_no_name_server_for_a_while(start: Start, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The addresses of before are used while the name cannot be resolved."""
    server = start(closing(OK))

    async def use(pool: wire.Pool) -> None:
        await pool.request(request())
        pool._resolved = float("-inf")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio.get_running_loop(), "getaddrinfo", no_name_server)
            await pool.request(request())

    async def no_name_server(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    ask(server.port, use)
    assert server.visits == 2


@pytest.mark.parametrize("scheme", ["https"], indirect=True)
@pytest.mark.parametrize("trusted", [False, True])
def test_an_untrusted_certificate(start: Start, ask: Ask, trusted: bool) -> None:
    """Neither one of an unknown authority nor one for another host is taken; nothing is sent to it."""
    server = start(answering(OK))
    if not trusted:
        ask.tls = ssl.create_default_context()
    if trusted:
        server = start(answering(OK), host="127.0.0.2")
    error = refused(ask, server.port, host="127.0.0.2" if trusted else "127.0.0.1")
    assert error.code == NoAnswer.TLS and "certificate" in error.message.lower()
    assert not server.requests


@pytest.mark.parametrize("scheme", ["https"], indirect=True)
def test_plain_http_where_tls_was_expected(ask: Ask) -> None:
    """A server that does not speak TLS is told as such."""
    with Server(lambda visit: visit.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as plain:
        assert refused(ask, plain.port).code == NoAnswer.TLS


def test_a_cancelled_request_closes_its_connection(start: Start, ask: Ask) -> None:
    """Its answer may still come and must not be the next request's."""

    def behave(visit: Visit) -> None:
        visit.request()
        if visit.number == 1:
            visit.wait_for_end()
        visit.send(OK)
        visit.wait_for_end()

    server = start(behave)

    async def use(pool: wire.Pool) -> int:
        task = asyncio.create_task(once(pool))
        while not server.requests:
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() and not pool._idle and not pool._busy
        return (await pool.request(request())).status

    assert ask(server.port, use) == 200
    assert server.ended.acquire(timeout=5)
    assert server.visits == 2


def test_cancelled_while_connecting(start: Start, ask: Ask) -> None:
    """Cancelled at any moment, nothing is left and the slot is free again."""
    server = start(answering(OK))

    async def use(pool: wire.Pool) -> int:
        for delay in range(30):
            task = asyncio.create_task(once(pool))
            await asyncio.sleep(delay * 0.0002)
            task.cancel()
            await asyncio.wait([task])
        return (await pool.request(request())).status

    assert ask(server.port, use, limit=1) == 200


def test_the_limit_of_connections(start: Start, ask: Ask) -> None:
    """No more than so many at a time; all are served."""
    now, most, lock = 0, 0, threading.Lock()

    def behave(visit: Visit) -> None:
        nonlocal now, most
        while visit.request():
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.005)
            with lock:
                now -= 1
            visit.send(OK)

    server = start(behave)

    async def use(pool: wire.Pool) -> list[int]:
        answers = await asyncio.gather(*(pool.request(request()) for _ in range(20)))
        return [one.status for one in answers]

    assert ask(server.port, use, limit=3) == [200] * 20
    assert server.visits == most == 3


def test_idle_connections_are_closed(start: Start, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while unused; then nothing wakes up any more, and a later request goes well."""
    monkeypatch.setattr(wire, "IDLE", 0.05)
    monkeypatch.setattr(wire, "SWEEP", 0.02)
    server = start(answering(OK))

    async def use(pool: wire.Pool) -> None:
        await pool.request(request())
        for _ in range(200):
            await asyncio.sleep(0.01)
            if pool._sweeper is None:
                break
        assert not pool._idle and pool._sweeper is None
        assert await asyncio.to_thread(server.ended.acquire, timeout=5)
        await pool.request(request())

    ask(server.port, use)
    assert server.visits == 2


def test_close_ends_all(start: Start, ask: Ask) -> None:
    """Idle connections are closed, requests under way and later ones end with an error, and at once."""

    def behave(visit: Visit) -> None:
        if visit.request() == b"first":
            visit.send(OK)
        visit.wait_for_end()

    server = start(behave)

    async def use(pool: wire.Pool) -> None:
        await pool.request(request(b"first"))
        tasks = [asyncio.create_task(once(pool)) for _ in range(6)]
        while len(server.requests) < 4:
            await asyncio.sleep(0.005)
        pool.close()
        results = await asyncio.gather(*tasks, once(pool), return_exceptions=True)
        assert {getattr(one, "code", one) for one in results} == {NoAnswer.CLOSED}

    ask(server.port, use)
    assert all(server.ended.acquire(timeout=5) for _ in range(server.visits))


@pytest.mark.parametrize(
    ("endless", "status"),
    [
        (b"HTTP/1.1 503 Slow\r\n\r\n", 503),
        (b"HTTP/1.1 503 Slow\r\nContent-Length: 100000000\r\n\r\n", 503),
        (b"HTTP/1.1 503 Slow\r\nX: ", None),
        (b"HTTP/1.1 503 Slow\r\nX: 1\r\nY", None),
    ],
)
def test_endless_answers(start: Start, ask: Ask, endless: bytes, status: int | None) -> None:
    """Of a huge answer no more than a MiB is read; its status counts all the same."""

    def behave(visit: Visit) -> None:
        visit.request()
        visit.send(endless)
        piece = b"x" * 65536
        for _ in range(1500):
            visit.send(piece)

    server = start(behave)

    async def use(pool: wire.Pool) -> int | None:
        try:
            answer = await pool.request(request())
        except StoreError as error:
            assert error.code == NoAnswer.CLOSED
            return None
        assert len(answer.body) < 2 * connection.MAX_ANSWER
        return answer.status

    tracemalloc.start()
    try:
        assert ask(server.port, use) == status
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_skew() -> None:
    """How far the server's clock is before ours, where it tells."""
    assert connection.Answer(200, {}, b"").skew() is None
    assert connection.Answer(200, {b"date": b"soon"}, b"").skew() is None
    skew = connection.Answer(200, {b"date": b"Thu, 01 Jan 1970 00:00:00 GMT"}, b"").skew()
    assert skew is not None and skew == pytest.approx(-time.time(), abs=2)
