"""A bucket, a queue and workers that take from it, as processes of their own."""

import asyncio
import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import aiormq
from pamqp.commands import Basic

from jollyae.spool.owner import items_below
from tests.rabbit import Rabbit
from tests.real.support import Process, environment

COPY = """import os, shutil, sys, uuid
path = os.path.join(sys.argv[2], uuid.uuid4().hex)
shutil.copy(sys.argv[1], path + ".part")
os.rename(path + ".part", path)"""
"""A command that keeps each item that it is given, under a name of its own."""


def event(bucket: str, key: str, body: bytes | None = None, *, name: str = "ObjectCreated:Put") -> dict[str, Any]:
    """A record of an S3 event about this object; ``body``: what was put."""
    stored: dict[str, Any] = {"key": quote_plus(key, safe="/")}
    if body is not None:
        stored |= {"size": len(body), "eTag": md5(body).hexdigest()}
    return {"eventSource": "aws:s3", "eventName": name, "s3": {"bucket": {"name": bucket}, "object": stored}}


def message(*records: dict[str, Any]) -> bytes:
    """A message with these records."""
    return json.dumps({"Records": list(records)}).encode()


class Queue:
    """A queue of RabbitMQ, as a test sees it."""

    def __init__(self, rabbit: Rabbit, name: str) -> None:
        self.rabbit = rabbit
        self.name = name
        self.url = f"{rabbit.url}/{name}"

        async def make(channel: Any) -> None:
            await channel.queue_declare(name, durable=True)

        self._do(make)

    def _do(self, act: Any) -> Any:
        async def do() -> Any:
            connection = await aiormq.connect(self.rabbit.url)
            try:
                return await act(await connection.channel())
            finally:
                await connection.close()

        return asyncio.run(do())

    def send(self, *bodies: bytes) -> None:
        """Put messages in, on the disk on return."""

        async def send(channel: Any) -> None:
            for body in bodies:
                await channel.basic_publish(body, routing_key=self.name, properties=Basic.Properties(delivery_mode=2))

        self._do(send)

    def waiting(self, name: str = "") -> int:
        """How many messages wait that nobody has; -1 where there is no such queue."""

        async def count(channel: Any) -> int:
            try:
                return int((await channel.queue_declare(name or self.name, passive=True)).message_count)
            except aiormq.exceptions.ChannelNotFoundEntity:
                return -1

        return int(self._do(count))

    def dead(self) -> list[tuple[bytes, dict[str, Any]]]:
        """The dead letters, taken out: bodies and headers."""

        async def take(channel: Any) -> list[tuple[bytes, dict[str, Any]]]:
            found = []
            while (got := await channel.basic_get(f"{self.name}.dead", no_ack=True)).delivery.name != "Basic.GetEmpty":
                found.append((got.body, dict(got.header.properties.headers or {})))
            return found

        return list(self._do(take))


class Taking:
    """Workers that take from a queue. ``store``: the environment by which a program reaches the objects."""

    def __init__(self, queue_url: str, store: dict[str, str], directory: Path) -> None:
        self.queue_url = queue_url
        self._store = store
        self.directory = directory
        self.out = directory / "out"
        self.out.mkdir()
        self.processes: list[Process] = []

    def start(self, *words: str, workdir: str = "work", copying: bool = True, **env: str) -> Process:
        """Start a worker; ``copying``: what comes is copied into :attr:`out`."""
        stem = self.directory / f"output-{len(self.processes)}"
        command = [sys.executable, "-m", "jollyae", "run", "--workdir", str(self.directory / workdir), *words]
        if copying:
            command += ["--exec", f"{shlex.quote(sys.executable)} -c '{COPY}' {{}} {self.out}"]
        given = environment(self.directory, JOLLYAE_FROM=self.queue_url, **self._store) | env
        self.processes.append(Process(command, given, stem))
        return self.processes[-1]

    def came(self) -> list[bytes]:
        """The bytes of all that was worked on, in no order."""
        return [path.read_bytes() for path in self.out.iterdir() if path.suffix != ".part"]

    def lying(self, workdir: str = "work") -> list[str]:
        """What lies in the worker's spool, but for what is finished or failed."""
        root = self.directory / workdir
        places = ("incoming", "working", "deferred", "tmp")
        return [f"{place}/{name}" for place in places for name in items_below(str(root / place))]

    def close(self) -> None:
        """End all that still run; none may have told the password."""
        for process in self.processes:
            process.kill()


@contextmanager
def taking(queue_url: str, store: dict[str, str], directory: Path) -> Iterator[Taking]:
    """Workers, ended at the end."""
    made = Taking(queue_url, store, directory)
    try:
        yield made
    finally:
        made.close()
