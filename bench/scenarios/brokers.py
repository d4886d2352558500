"""Messages of a RabbitMQ worked on: jollyae beside Celery and a bare consumer, on the same broker and the same store.

Measured while four fifths of a full queue go: from when a tenth of the messages has been delivered to when a tenth is
left, so nobody's start counts. Each does the same with a message, or says what it leaves out: GET of an object of 4 KiB
from the null sink, the work (nothing, or the command `true`), and the acknowledgement after it. The peers' GET is
unsigned and they check the length; jollyae's is signed, its MD5 is compared, it lies in a spool while it is worked on,
and a receipt is written.
"""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Callable
from hashlib import md5
from pathlib import Path
from typing import Any

import aiormq
from pamqp.commands import Basic

from tests import rabbit as brokers

from .. import ROOT, commands
from ..figures import Run
from ..goals import BARE, CALL, CALL_TWO, CELERY, CELERY_COMMAND, EXEC, EXEC_TWO
from ..lab import Contestant, Lab
from ..programs import Daemon, Failed
from ..sink import Unavailable

SIZE = 4096
PREFETCH = 512
"""Messages at a time with a consumer; two processes have half of them each."""
_LOOK = 0.02
_PATIENCE = 300.0


def run(lab: Lab) -> None:
    """All rounds."""
    directory = lab.memory / "rabbit"
    try:
        with brokers.serve(directory) as rabbit:
            _Brokers(lab, rabbit, lab.count(20_000, 40_000)).run()
    except brokers.Unavailable as error:
        raise Unavailable(str(error)) from error


class _Brokers:
    """The queue is filled anew for each."""

    def __init__(self, lab: Lab, rabbit: brokers.Rabbit, count: int) -> None:
        self.lab, self.rabbit, self.count = lab, rabbit, count
        self._number = 0

    def run(self) -> None:
        """All rounds."""
        self.lab.compete("brokers", self._contestants(), self.lab.rounds(3))

    def _contestants(self) -> list[Contestant]:
        plain, celery = self._plain, self._celery
        return [
            self._one(CALL, plain, self._jollyae("--call", "bench.brokers.calls:nothing")),
            self._one(CALL_TWO, plain, self._jollyae("--call", "bench.brokers.calls:nothing", "--processes", "2")),
            self._one(BARE, plain, self._bare(self.lab.sink.http)),
            self._one(CELERY, celery("fetch"), self._of_celery, "celery"),
            self._one(EXEC, plain, self._jollyae("--exec", "true")),
            self._one(EXEC_TWO, plain, self._jollyae("--exec", "true", "--processes", "2")),
            self._one(CELERY_COMMAND, celery("command"), self._of_celery, "celery"),
            self._one("aio-pika, bare, fetches nothing", plain, self._bare("-")),
            self._one("Celery, fetches nothing", celery("nothing"), self._of_celery, "celery"),
        ]

    def _one(
        self, who: str, fill: "_Fill", command: Callable[[str], tuple[list[str], dict[str, str]]], program: str = ""
    ) -> Contestant:
        return Contestant(who, lambda number: self._measured(who, number, fill, command), program)

    # --- messages

    def _plain(self, number: int) -> tuple[bytes, Basic.Properties]:
        body = b"x" * SIZE
        stored = {"key": f"{number:08d}.bin", "size": SIZE, "eTag": md5(body).hexdigest()}
        record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "bench"}, "object": stored}}
        return json.dumps({"Records": [record]}).encode(), Basic.Properties(delivery_mode=2)

    def _celery(self, task: str) -> "_Fill":
        def fill(number: int) -> tuple[bytes, Basic.Properties]:
            arguments = [["bench", f"{number:08d}.bin", SIZE], {}, {}]
            identity = str(uuid.UUID(int=number + 1))
            headers: dict[str, Any] = {"lang": "py", "task": task, "id": identity, "root_id": identity}
            properties = Basic.Properties(
                content_type="application/json",
                content_encoding="utf-8",
                headers=headers,
                correlation_id=identity,
                delivery_mode=2,
            )
            return json.dumps(arguments).encode(), properties

        return fill

    # --- who consumes

    def _jollyae(self, *work: str) -> Callable[[str], tuple[list[str], dict[str, str]]]:
        def command(queue: str) -> tuple[list[str], dict[str, str]]:
            workdir = self.lab.memory / f"work-{queue}"
            words = [sys.executable, "-m", "jollyae", "run", "--workdir", str(workdir), *work]
            words += ["--endpoint-url", self.lab.sink.http, "--no-progress", "-q", "--prefetch", str(PREFETCH)]
            paths = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
            return words, self.lab.environment(**paths, JOLLYAE_FROM=f"{self.rabbit.url}/{queue}")

        return command

    def _bare(self, endpoint: str) -> Callable[[str], tuple[list[str], dict[str, str]]]:
        def command(queue: str) -> tuple[list[str], dict[str, str]]:
            script = Path(__file__).parents[1] / "brokers/consumer.py"
            words = [*commands.peers_python(), str(script), self.rabbit.url, queue, endpoint, str(PREFETCH)]
            return words, self.lab.environment()

        return command

    def _of_celery(self, queue: str) -> tuple[list[str], dict[str, str]]:
        words = [
            *commands.program("celery"),
            "-A",
            "bench.brokers.tasks",
            "worker",
            "-Q",
            queue,
            "-c",
            "2",
            "-l",
            "error",
        ]
        words += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        words += ["--prefetch-multiplier", str(PREFETCH // 2)]
        about = {"BENCH_BROKER": self.rabbit.url, "BENCH_QUEUE": queue, "BENCH_ENDPOINT": self.lab.sink.http}
        return words, self.lab.environment(PYTHONPATH=str(ROOT), **about)

    # --- the measurement

    def _measured(
        self, who: str, number: int, fill: "_Fill", command: Callable[[str], tuple[list[str], dict[str, str]]]
    ) -> Run:
        self._number += 1
        queue = f"bench-{self._number}"
        asyncio.run(self._fill(queue, fill))
        words, environment = command(queue)
        with Daemon(words, environment, self.lab.output(who)) as consumer:
            seconds, cpu = asyncio.run(self._watch(queue, consumer))
            time.sleep(1.0 + 4 * PREFETCH * seconds / (self.count * 0.8))  # for the last ones, and what they tell
            peak = consumer.stop()
        if left := asyncio.run(self._left(queue)):
            raise Failed(f"{left} messages were not acknowledged: {consumer.told()[-300:]}")
        done = self.count * 0.8
        values = {"items_per_s": done / seconds, "cpu_us_per_item": cpu / done * 1e6}
        if who not in (EXEC, EXEC_TWO, CELERY_COMMAND):  # a sum over processes, of which these have thousands
            values["peak_mb"] = peak / 1e6
        return Run("brokers", who, number, self.count, self.count * SIZE, values)

    async def _fill(self, queue: str, fill: "_Fill") -> None:
        connection = await aiormq.connect(self.rabbit.url)
        channel: Any = await connection.channel(publisher_confirms=False)
        await channel.queue_declare(queue, durable=True)
        for number in range(self.count):
            body, properties = fill(number)
            await channel.basic_publish(body, routing_key=queue, properties=properties, wait=number % 500 == 0)
        await _until_ready(channel, queue, lambda ready: ready == self.count)
        await connection.close()

    async def _watch(self, queue: str, consumer: Daemon) -> tuple[float, float]:
        """Seconds, and seconds of CPU, while four fifths were delivered."""
        connection = await aiormq.connect(self.rabbit.url)
        channel = await connection.channel(publisher_confirms=False)

        def is_dead() -> None:
            if consumer.process.poll() is not None:
                raise Failed(f"it ended: {consumer.told()[-300:]}")

        await _until_ready(channel, queue, lambda ready: ready <= self.count * 0.9, is_dead)
        began, cpu = time.monotonic(), consumer.cpu()
        await _until_ready(channel, queue, lambda ready: ready <= self.count * 0.1, is_dead)
        seconds, cpu = time.monotonic() - began, consumer.cpu() - cpu
        await _until_ready(channel, queue, lambda ready: ready == 0, is_dead)
        await connection.close()
        return seconds, cpu

    async def _left(self, queue: str) -> int:
        connection = await aiormq.connect(self.rabbit.url)
        channel = await connection.channel(publisher_confirms=False)
        found = await channel.queue_declare(queue, passive=True)
        await channel.queue_delete(queue)
        await connection.close()
        return int(found.message_count or 0)


_Fill = Callable[[int], tuple[bytes, Basic.Properties]]


async def _until_ready(
    channel: Any, queue: str, condition: Callable[[int], bool], look: Callable[[], None] = lambda: None
) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition(int((await channel.queue_declare(queue, passive=True)).message_count)):
        look()
        if time.monotonic() > deadline:
            raise Failed(f"not in {_PATIENCE:.0f} s")
        await asyncio.sleep(_LOOK)
