"""Dashboards of spools, served and asked."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from jollyae import Spool
from jollyae.web.queue import Queue
from jollyae.web.serving import Serving, serve
from tests.browsing import browser, windows  # noqa: F401 - fixtures
from tests.processors.s3.servers import certificate


@dataclass
class Running:
    """A dashboard that is served, in a thread of its own."""

    url: str
    queues: dict[str, Queue] = field(default_factory=dict)

    def spool(self, name: str = "photos") -> Spool:
        """The spool of a queue."""
        return self.queues[name].spool


@contextmanager
def running(*queues: Queue, **options: object) -> Iterator[Running]:
    """A dashboard of these queues, on a port of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="dashboard")
    thread.start()
    told = threading.Event()
    addresses: list[str] = []

    def ready(address: str) -> None:
        addresses.append(address)
        told.set()

    stop = asyncio.Event()
    serving = Serving(port=0, **options)  # type: ignore[arg-type]
    served = asyncio.run_coroutine_threadsafe(serve(queues, serving, stop=stop, ready=ready), loop)
    try:
        assert told.wait(10), served.exception(0) if served.done() else "it does not come up"
        yield Running(addresses[0].rstrip("/"), {queue.name: queue for queue in queues})
    finally:
        loop.call_soon_threadsafe(stop.set)
        served.result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


Dashboards = Callable[..., Running]


@pytest.fixture
def dashboard(tmp_path: Path) -> Iterator[Dashboards]:
    """Serves new spools of these names, with the options of :class:`Serving`."""
    made: list[object] = []

    def make(*names: str, **options: object) -> Running:
        queues = [Queue(name, Spool(tmp_path / name)) for name in names or ("photos",)]
        one = running(*queues, **options)
        made.append(one)
        return one.__enter__()

    yield make
    for one in made:
        one.__exit__(None, None, None)  # type: ignore[attr-defined]


@pytest.fixture
def pem(tmp_path: Path) -> Callable[[], str]:
    """Makes certificates with their keys in one file."""
    made: list[Path] = []

    def make() -> str:
        directory = tmp_path / f"tls-{len(made)}"
        directory.mkdir()
        made.append(certificate(directory))
        return str(made[-1])

    return make
