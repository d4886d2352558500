"""What goes wrong: one thing at a time is killed or cut off, and after a while it is back."""

import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from tests.chain.chain import Chain, Service

KINDS = ("producer", "worker", "broker", "store", "host", "cable")
"""What can be struck. A producer's or a worker's jollyae is killed, the broker, the store's gateway; of a host all that
runs there; or its cable is pulled."""


@dataclass(frozen=True)
class Strike:
    """Something that was done. ``text``: in a few words; ``seconds``: until it is to be mended."""

    kind: str
    text: str
    seconds: float
    mend: Callable[[], None]


def possible(chain: Chain) -> tuple[str, ...]:
    """What can be struck here: plain hosts share all they have."""
    return KINDS[:4] if chain.servers.net.why_plain else KINDS


def strike(chain: Chain, kind: str, chance: random.Random) -> Strike:
    """Do it."""
    match kind:
        case "producer":
            return _kill_service(kind, chance, [service for one in chain.producers for service in one.services])
        case "worker":
            return _kill_service(kind, chance, [service for one in chain.places for service in one.services])
        case "broker":
            chain.servers.rabbit.kill()
            return Strike(kind, "kill -9 of RabbitMQ", chance.uniform(0, 1), chain.servers.rabbit.start)
        case "store":
            chain.servers.store.kill()
            return Strike(kind, "kill -9 of the store's gateway", chance.uniform(0, 3), chain.servers.store.start)
        case "host":
            return _kill_host(chain, chance)
    return _cut_off(chain, chance)


def _kill_service(kind: str, chance: random.Random, among: list[Service]) -> Strike:
    service = chance.choice(among)
    service.kill()
    return Strike(kind, f"kill -9 of {service.name}", chance.uniform(0, 1), service.start)


def _kill_host(chain: Chain, chance: random.Random) -> Strike:
    """All that runs there, the commands' processes too, as a power cut ends it (the disk keeps what it was told)."""
    one = chance.choice(chain.sites)
    for pid in one.host.processes():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def mend() -> None:
        for service in one.services:
            service.kill()  # reaps it
            service.start()

    return Strike("host", f"the host {one.host.name} dies", chance.uniform(0, 2), mend)


def _cut_off(chain: Chain, chance: random.Random) -> Strike:
    host = chance.choice(chain.servers.net.hosts)
    host.pull()
    chain.cut.add(host.name)

    def mend() -> None:
        host.plug()
        chain.cut.discard(host.name)

    return Strike("cable", f"the host {host.name} is cut off", chance.uniform(1, 6), mend)
