"""What every source promises, asked of each: RabbitMQ, moto's SQS, and a server of SQS that keeps its times."""

import asyncio
import itertools
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from jollyae import Temporary
from jollyae.sources.source import Message, Seen, Source, Why
from jollyae.spool.outcomes import Scope
from tests import moto_server
from tests.real.support import until
from tests.sources.brokers import VISIBILITY, Amqp, Broker, Moto, Timed
from tests.sources.sqs_server import SqsServer

BODIES = ["plain", "ü 💡 \u202e", "x" * 200_000, '{"Records": []}', " "]
_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A moto server of our own."""
    with moto_server.serve(tmp_path_factory.mktemp("moto") / "log") as address:
        yield address


@pytest.fixture(scope="session")
def sqs() -> Iterator[SqsServer]:
    """Our own server of SQS."""
    with SqsServer() as server:
        yield server


@pytest.fixture(params=["rabbitmq", "moto", "timed"])
def broker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Broker:
    """A queue of each broker."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    name = f"conformance-{os.getpid()}-{next(_NUMBERS)}"
    if request.param == "rabbitmq":
        return Amqp(request.getfixturevalue("rabbit"), name)
    if request.param == "moto":
        return Moto(request.getfixturevalue("moto"), name)
    return Timed(request.getfixturevalue("sqs"), name)


def with_source(broker: Broker, act: Callable[[Source], Coroutine[Any, Any, Any]], prefetch: int = 100) -> Any:
    """Open a source, do something, and close it."""

    async def do() -> Any:
        source = broker.source(prefetch)
        await source.open()
        try:
            return await act(source)
        finally:
            await source.close()

    return asyncio.run(do())


async def take(source: Source, count: int) -> list[Message]:
    """So many messages."""
    found: list[Message] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            found += await source.receive()
    return found


async def is_empty(source: Source, seconds: float = 0.5) -> bool:
    """Whether nothing comes for so long."""
    try:
        async with asyncio.timeout(seconds):
            return not await source.receive()
    except TimeoutError:
        return True


def test_what_is_sent_comes_as_it_is(broker: Broker) -> None:
    """Each body once, byte by byte, at the first delivery."""
    broker.send(*(body.encode() for body in BODIES))

    async def act(source: Source) -> None:
        found = await take(source, len(BODIES))
        assert sorted(message.body.decode() for message in found) == sorted(BODIES)
        assert {message.deliveries for message in found} == {1}
        source.done(found)

    with_source(broker, act)


def test_a_look_takes_nothing(broker: Broker) -> None:
    """It says how many wait; who comes after it has all of them, and that as their first delivery."""
    broker.send(b"one", b"two")

    async def look() -> Seen:
        source = broker.source()
        try:
            return await source.look()
        finally:
            await source.close()

    until(lambda: asyncio.run(look()).waiting == 2, "two that wait")
    assert asyncio.run(look()).dead

    async def act(source: Source) -> None:
        assert {message.deliveries for message in await take(source, 2)} == {1}

    with_source(broker, act)


def test_what_is_done_never_comes_again(broker: Broker) -> None:
    """Also when the source is closed right after, and after the time for which it was hidden."""
    broker.send(*(str(number).encode() for number in range(25)))

    async def finish(source: Source) -> None:
        source.done(await take(source, 25))

    async def look(source: Source) -> None:
        assert await is_empty(source, VISIBILITY + 1 if broker.is_hiding else 0.5)

    with_source(broker, finish)
    with_source(broker, look)


def test_what_is_not_done_comes_again(broker: Broker) -> None:
    """A source that is closed gives back at once what it had, and the next one is told that it is a repeat."""
    broker.send(b"a", b"b", b"c")

    async def finish_one(source: Source) -> None:
        found = await take(source, 3)
        source.done([message for message in found if message.body == b"b"])

    async def look(source: Source) -> None:
        found = await take(source, 2)
        assert sorted(message.body for message in found) == [b"a", b"c"]
        assert all(message.deliveries > 1 for message in found)
        source.done(found)
        assert await is_empty(source)

    with_source(broker, finish_one)
    with_source(broker, look)


def test_what_is_given_back_comes_again_and_counts_as_lost(broker: Broker) -> None:
    """Nothing can be told of it any more."""
    broker.send(b"a")

    async def act(source: Source) -> None:
        (first,) = await take(source, 1)
        await source.again([first])
        assert first.lost
        (second,) = await take(source, 1)
        assert second.body == b"a" and second.deliveries > 1
        source.done([first, second])

    with_source(broker, act)


def test_a_dead_letter_tells_why(broker: Broker) -> None:
    """It is among the dead letters with the reason, whatever characters that has, and not in the queue."""
    broker.send(b"poison")

    async def bury(source: Source) -> None:
        (message,) = await take(source, 1)
        await source.dead(message, Why("no event: \x1b[2J \u202e ü", "Look at it.", "content"))
        assert await is_empty(source, VISIBILITY + 1 if broker.is_hiding else 0.5)

    with_source(broker, bury)
    ((body, error),) = until(broker.dead, "the dead letter")
    assert body == b"poison"
    assert error.startswith("no event: ") and "\x1b" not in error and "ü" in error


def test_no_more_messages_come_than_are_wanted(broker: Broker) -> None:
    """The bound is kept until some of them are done."""
    broker.send(*(str(number).encode() for number in range(30)))

    async def act(source: Source) -> None:
        found = await take(source, 12)
        assert len(found) == 12
        assert await is_empty(source)
        source.done(found[:5])
        more = await take(source, 5)
        assert len(more) == 5
        assert len({message.body for message in (*found, *more)}) == 17
        source.done([*found[5:], *more])
        source.done(await take(source, 12))
        source.done(await take(source, 1))

    with_source(broker, act, prefetch=12)


def test_a_wait_that_is_cancelled_loses_nothing(broker: Broker) -> None:
    """What comes meanwhile is there for the next wait."""

    async def act(source: Source) -> None:
        for number in range(5):
            waiting = asyncio.create_task(source.receive())
            await asyncio.sleep(0.02)
            if number == 2:
                await asyncio.to_thread(broker.send, b"a", b"b")
            waiting.cancel()
            await asyncio.wait((waiting,))
            if not waiting.cancelled():
                assert number >= 2
                source.done(got := waiting.result())
                if len(got) == 2:
                    return
                source.done(await take(source, 2 - len(got)))
                return
        found = await take(source, 2)
        assert sorted(message.body for message in found) == [b"a", b"b"]
        source.done(found)

    with_source(broker, act)


def test_what_is_kept_for_long_goes_to_nobody_else(broker: Broker) -> None:
    """While one source has it, another does not get it, however much longer than the visibility time that takes; when
    the first is closed, the other has it."""
    broker.send(b"slow")

    async def act(source: Source) -> None:
        (message,) = await take(source, 1)
        other = broker.source()
        await other.open()
        try:
            assert await is_empty(other, 2.5 * VISIBILITY)
            assert not message.lost
            await source.pause()
            await source.again([message])
            (again,) = await take(other, 1)
            other.done([again])
        finally:
            await other.close()

    with_source(broker, act)


def test_a_queue_that_is_missing_is_waited_for(broker: Broker) -> None:
    """That is the broker's fault, told with a hint and without a password."""
    broker.url += "-missing"
    if not isinstance(broker, Amqp):
        broker._name += "-missing"  # type: ignore[attr-defined]

    async def act() -> None:
        source = broker.source()
        try:
            with pytest.raises(Temporary) as caught:
                await source.open()
            assert caught.value.scope is Scope.DESTINATION
            assert caught.value.hint and caught.value.reason == "bucket"
            assert "guest:" not in f"{caught.value.message} {caught.value.hint} {source.name} {source!r}"
        finally:
            await source.close()

    asyncio.run(act())
