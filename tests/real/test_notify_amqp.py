"""Notifications to RabbitMQ: what is confirmed outlives its death, and what cannot be sent says why, and no secret."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiormq
import pytest

from jollyae import Spool
from jollyae.processors.notify import UrlError
from jollyae.processors.notify.amqp import Amqp
from jollyae.spool.outcomes import Scope, Temporary
from tests.helpers import drop
from tests.processors.notify.scene import RECEIPT, item
from tests.rabbit import Rabbit
from tests.real.support import environment

pytestmark = pytest.mark.real


def _on_channel(rabbit: Rabbit, do: Callable[[Any], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        connection = await aiormq.connect(rabbit.url)
        try:
            return await do(await connection.channel())
        finally:
            await connection.close()

    return asyncio.run(run())


def _make(rabbit: Rabbit, queue: str) -> None:
    async def make(channel: Any) -> None:
        await channel.queue_declare(queue, durable=True)
        await channel.exchange_declare(f"{queue}-x", exchange_type="topic", durable=True)
        await channel.queue_bind(queue, f"{queue}-x", "photos.#")

    _on_channel(rabbit, make)


def _taken(rabbit: Rabbit, queue: str) -> list[Any]:
    """All messages of the queue."""

    async def take(channel: Any) -> list[Any]:
        found = []
        while (got := await channel.basic_get(queue, no_ack=True)).delivery.name == "Basic.GetOk":
            found.append(got)
        return found

    return list(_on_channel(rabbit, take))


async def _sent(url: str, directory: Path) -> dict[str, Any]:
    target = Amqp(url)
    try:
        with item(directory) as message:
            return await target(message)
    finally:
        await target.end()


@pytest.mark.parametrize("path", ["told", "photos.new?exchange=told-x"])
def test_a_message_is_in_the_queue_for_good(rabbit: Rabbit, tmp_path: Path, path: str) -> None:
    """By the queue's name, or by an exchange and a routing key: persistent, with the delivery's id, and as it was."""
    _make(rabbit, "told")
    receipt = asyncio.run(_sent(f"{rabbit.url}/{path}", tmp_path))
    assert receipt == {
        "notified": f"amqp://127.0.0.1:{rabbit.port}/{path.partition('?')[0]}",
        "delivery": RECEIPT["id"],
    }
    (got,) = _taken(rabbit, "told")
    properties = got.header.properties
    assert (properties.delivery_mode, properties.message_id) == (2, RECEIPT["id"])
    assert (properties.message_type, properties.headers) == ("ObjectCreated:Put", {"bucket": "photos"})
    assert json.loads(got.body)["Records"][0]["s3"]["object"]["key"] == "a/b.txt"


def test_a_broker_that_died_is_connected_again(rabbit: Rabbit, tmp_path: Path) -> None:
    """What was confirmed before its death is there after it; meanwhile the target is away; then it goes on again."""
    _make(rabbit, "kept")
    rabbit.settle()

    async def go() -> None:
        target = Amqp(f"{rabbit.url}/kept")
        with item(tmp_path) as message:
            await target(message)
            rabbit.kill()
            try:
                with pytest.raises(Temporary) as caught:
                    await target(message)
                assert (caught.value.scope, caught.value.reason) == (Scope.DESTINATION, "network")
            finally:
                rabbit.start()
            await target(message)
        await target.end()

    asyncio.run(go())
    assert len(_taken(rabbit, "kept")) == 2


def _wrong(rabbit: Rabbit) -> list[tuple[str, str]]:
    host = f"127.0.0.1:{rabbit.port}"
    return [
        (f"amqp://guest:guest@{host}/no-such-queue", "bucket"),
        (f"amqp://guest:guest@{host}/any?exchange=no-such-exchange", "bucket"),
        (f"amqp://guest:guest@{host}/key?exchange=amq.topic", "bucket"),
        (f"amqp://guest:asecret@{host}/told", "credentials"),
        (f"amqp://guest:guest@{host}/no-such-vhost/told", "denied"),
        ("amqp://guest:asecret@127.0.0.1:1/told", "network"),
    ]


@pytest.mark.parametrize("number", range(6))
def test_what_cannot_be_sent_says_why(rabbit: Rabbit, tmp_path: Path, number: int) -> None:
    """A queue, exchange or vhost that is not there, an exchange that leads nowhere, a wrong password, no broker: it
    is the target's fault, with something to do, and without the password."""
    url, reason = _wrong(rabbit)[number]
    with pytest.raises(Temporary) as caught:
        asyncio.run(_sent(url, tmp_path))
    error = caught.value
    assert (error.scope, error.reason) == (Scope.DESTINATION, reason), str(error)
    assert error.hint and "asecret" not in f"{error} {error.hint} {error!r}"


def test_it_looks_and_sends_nothing(rabbit: Rabbit) -> None:
    """check asks whether queue or exchange is there."""
    _make(rabbit, "looked")
    assert asyncio.run(Amqp(f"{rabbit.url}/looked").reach()) == "queue looked"
    assert asyncio.run(Amqp(f"{rabbit.url}/a.key?exchange=looked-x").reach()) == "exchange looked-x"
    with pytest.raises(Temporary, match="no such queue"):
        asyncio.run(Amqp(f"{rabbit.url}/not-there").reach())
    assert not _taken(rabbit, "looked")


@pytest.mark.parametrize("url", ["amqp://", "amqp://host", "amqp://host:port/q", "amqp://host/a/b/c"])
def test_a_url_that_names_no_queue(url: str) -> None:
    """Refused at once."""
    with pytest.raises(UrlError):
        Amqp(url)


def test_run_tells_of_each_delivery(rabbit: Rabbit, tmp_path: Path) -> None:
    """A message for each item of a run; the password is in no directory's name, log, note or receipt."""
    _make(rabbit, "all")
    rabbit.control("add_user", "teller", "asecret")
    rabbit.control("set_permissions", "teller", "", ".*", ".*")
    spool = Spool(tmp_path / "spool")
    (tmp_path / "to").mkdir()
    for number in range(20):
        drop(spool, f"{number}.txt", b"content")
    url = f"amqp://teller:asecret@127.0.0.1:{rabbit.port}/all"
    command = [sys.executable, "-m", "jollyae", "run", str(spool.places.control), "--to", f"file://{tmp_path}/to"]
    command += ["--once", "--settle", "0"]
    made = environment(tmp_path, JOLLYAE_NOTIFY=url)
    done = subprocess.run(command, env=made, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told = {json.loads(got.body)["jollyae"]["name"] for got in _taken(rabbit, "all")}
    assert told == {f"{number}.txt" for number in range(20)}
    written = [path for path in spool.places.control.rglob("*") if path.is_file()]
    texts = [done.stderr, done.stdout, *(path.read_text(errors="replace") for path in written), *map(str, written)]
    assert not [text for text in texts if "asecret" in text]
