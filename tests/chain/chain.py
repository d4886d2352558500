"""The chain itself: producing hosts, the store, the broker, working hosts; and what can go wrong with each.

    north, east, south: SPOOL ─ jollyae run --to ─▶ RGW:uploads ─ its notifications ─▶ RabbitMQ:work
    RabbitMQ:work ─▶ left, right: two × jollyae run --from --exec work.sh ─▶ SPOOL ─ jollyae run --to ─▶ RGW:results

What is announced by RGW itself can be announced by jollyae's ``--notify`` instead: see :data:`WAYS`.
"""

import hashlib
import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from jollyae import Spool
from tests import rabbit as brokers
from tests.chain import broker
from tests.chain.network import Host, Network, network
from tests.chain.store import Starting, Store

PRODUCERS, WORKERS = ("north", "east", "south"), ("left", "right")
EACH = 2
"""Workers on each working host."""
WAYS = ("rgw", "jollyae")
"""Who announces: RGW, by its persistent notifications; or the producers' jollyae, by ``--notify``."""
ROOT = Path(__file__).parents[2]


class Service:
    """One jollyae on a host: it can be killed with all that it started, and started again."""

    def __init__(self, name: str, host: Host, words: list[str], environment: dict[str, str], log: Path) -> None:
        self.name = name
        self.host = host
        self._words = words
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.runs():
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.host.command(sys.executable, "-m", "jollyae", *self._words),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def runs(self) -> bool:
        """Whether it does."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """kill -9: it, and its children that are in its session's first group."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self, seconds: float = 60.0) -> None:
        """End it in order; what does not end is killed."""
        if self._process is not None and self.runs():
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        self.kill()


@dataclass
class Producer:
    """A host with a spool, whose items go to the store."""

    host: Host
    spool: Spool
    services: list[Service]


@dataclass
class Place:
    """A working host: its workers, the spool of their results, and each worker's log of what it worked on."""

    host: Host
    spool: Spool
    logs: list[Path]
    workdirs: list[Path]
    services: list[Service]

    def worked(self) -> list[str]:
        """The names of the items that were worked on, once for each time."""
        return [name for log in self.logs if log.exists() for name in log.read_text().splitlines()]


@dataclass(frozen=True)
class Servers:
    """What a chain stands on: the hosts' network, the store, the broker."""

    net: Network
    store: Store
    rabbit: brokers.Rabbit


@dataclass
class Chain:
    """All of it. ``name``: of its buckets and queues; ``announce``: one of :data:`WAYS`; ``submitted``: each item's
    content by its key, as soon as it is in its spool; ``digests``: its SHA-256; ``cut``: the hosts whose cable is
    pulled."""

    name: str
    announce: str
    servers: Servers
    producers: list[Producer] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    submitted: dict[str, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)

    @property
    def uploads(self) -> str:
        """The bucket of what was produced."""
        return f"{self.name}-uploads"

    @property
    def results(self) -> str:
        """The bucket of the results."""
        return f"{self.name}-results"

    @property
    def queue(self) -> broker.Queue:
        """Where the announcements go."""
        return broker.Queue(self.servers.rabbit, self.name)

    @property
    def sites(self) -> list[Producer | Place]:
        """What there is on each host, the producing ones first."""
        return [*self.producers, *self.places]

    @property
    def services(self) -> list[Service]:
        """All of jollyae, the producers' first."""
        return [service for site in self.sites for service in site.services]

    def start(self) -> None:
        """Start all of jollyae."""
        for service in self.services:
            service.start()

    def stop(self) -> None:
        """End it in order: all at once, then each is waited for."""
        threads = [threading.Thread(target=service.stop) for service in self.services]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def submit(self, number: int, body: bytes) -> None:
        """Submit an item, durably, on the host whose turn it is."""
        producer = self.producers[number % len(self.producers)]
        name = f"{number // 1000:02d}/item-{number:05d}.txt"
        producer.spool.submit(io.BytesIO(body), name)
        key = f"{producer.host.name}/{name}"
        self.digests[key] = hashlib.sha256(body).hexdigest()
        self.submitted[key] = md5(body)


def md5(body: bytes) -> str:
    """What the store has as the ETag of an object with this content."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


@contextmanager
def servers(directory: Path, *, plain: bool = False) -> Iterator[Servers]:
    """The network and the servers, as long as the context lasts. Raises :class:`brokers.Unavailable`."""
    with ExitStack() as stack:
        net = stack.enter_context(network(*PRODUCERS, *WORKERS, plain=plain))
        also = () if net.address == "127.0.0.1" else (net.address,)
        store = Starting(directory / "rgw", net.address)
        stack.callback(store.stop)
        rabbit = stack.enter_context(brokers.serve(directory / "rabbit", *also))
        yield Servers(net, store.wait(), rabbit)


@contextmanager
def chain(on: Servers, directory: Path, *, announce: str, name: str = "demo") -> Iterator[Chain]:
    """A chain of its own on these servers, ready to start; at the end all of jollyae that still runs is killed."""
    made = Chain(name, announce, on)
    made.queue.prepare()
    for bucket in (made.uploads, made.results):
        on.store.client.create_bucket(Bucket=bucket)
    if announce == "rgw":
        made.queue.have_rgw_tell(on.store, made.uploads)
    made.producers += [_producer(directory, made, on.net.host(name)) for name in PRODUCERS]
    made.places += [_place(directory, made, on.net.host(name)) for name in WORKERS]
    try:
        yield made
    finally:
        for service in made.services:
            service.kill()


def _producer(directory: Path, made: Chain, host: Host) -> Producer:
    home = _home(directory, host)
    spool = Spool(home / "spool")
    words = ["run", str(home / "spool"), "--to", f"s3://{made.uploads}/{host.name}"]
    if made.announce == "jollyae":
        words += ["--notify", made.queue.url(made.servers.net.address)]
    return Producer(host, spool, [_service(made, host, home, host.name, words)])


def _place(directory: Path, made: Chain, host: Host) -> Place:
    home = _home(directory, host)
    spool = Spool(home / "results")
    source = made.queue.url(made.servers.net.address)
    place = Place(host, spool, [], [], [])
    for number in range(1, EACH + 1):
        workdir, log = home / f"work{number}", home / f"worked{number}"
        words = ["run", "--from", source, "--workdir", str(workdir), "--on-done", "delete"]
        words += ["--exec", shlex.quote(str(ROOT / "tests/chain/work.sh"))]
        place.workdirs.append(workdir)
        place.logs.append(log)
        more = {"RESULTS": str(home / "results"), "LOG": str(log)}
        place.services.append(_service(made, host, home, f"{host.name}-{number}", words, **more))
    words = ["run", str(home / "results"), "--to", f"s3://{made.results}"]
    place.services.append(_service(made, host, home, f"{host.name}-results", words))
    return place


def _home(directory: Path, host: Host) -> Path:
    home = directory / host.name
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    return home


def _service(made: Chain, host: Host, home: Path, name: str, words: list[str], **more: str) -> Service:
    clean = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    environment = {
        **clean,
        "HOME": str(home),
        "PYTHONPATH": str(ROOT / "src"),
        "AWS_ENDPOINT_URL_S3": made.servers.store.at(made.servers.net.address),
        "AWS_EC2_METADATA_DISABLED": "true",
        **made.servers.store.keys,
        **more,
    }
    return Service(name, host, [*words, "--no-progress"], environment, home / f"{name}.log")
