"""Many hosts and one store through an outage and after it, until all is drained."""

import random
import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .host import Host, errors
from .store import Answer, Model, Store
from .wheel import Clock, Wheel

DAY = 86_400.0
BIN = 10
"""Seconds that one point of a series stands for."""
WINDOW = 60
"""Seconds over which the share of 503s is taken."""
CALM = 0.01
"""The share of 503s under which all is well again."""
_SPREAD = 0x9E3779B97F4A7C15  # the golden ratio in 64 bits: multiples of it are spread evenly (Knuth, volume 3, 6.4)
_WAKE = -1


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is simulated. ``thin``: only each so many-th host is there and the store is so much smaller, so that a host
    meets what it would meet among all. ``keys``: by what they are spread over the key space: ``item`` (a hash comes
    first), ``host`` (its name does) or ``time`` (all hosts write at the end of the same range, as with a date)."""

    hosts: int = 10_000
    items_per_day: float = 1e9
    model: Model = field(default_factory=Model)
    keys: str = "item"
    before: float = 60.0
    outage: float = 3600.0
    after: float = 7200.0
    """Seconds after the outage at which it is broken off, if it is not drained by then."""
    answer: str = "timeout"
    ceiling: int = 64
    thin: int = 1
    seed: int = 1
    until_drained: bool = True

    def thinned(self) -> "Scenario":
        """The same, with fewer hosts and a smaller store."""
        model = replace(self.model, partition_rate=self.model.partition_rate / self.thin)
        return replace(
            self, hosts=max(self.hosts // self.thin, 1), items_per_day=self.items_per_day / self.thin, model=model
        )


@dataclass(slots=True)
class Point:
    """What happened in :data:`BIN` seconds, and how it was at their end. ``at``: their end, seconds after the outage's;
    the rest is of all hosts, also where the scenario is thinned."""

    at: float
    requests: int = 0
    refused: int = 0
    unreached: int = 0
    delivered: int = 0
    waiting: int = 0
    flying: int = 0
    paused: int = 0
    partitions: int = 0


@dataclass(slots=True)
class Result:
    """What came of it. Times in seconds after the outage's end; None: not within the time."""

    scenario: Scenario
    points: list[Point]
    arrived: int
    delivered: int
    waiting: int
    flying: int
    wait: float
    """Seconds that delivered items were in the spool, in all."""
    dwelling: float
    """Items that were there, added up over all seconds."""
    puts: int
    heads: int
    refused: int
    unreached: int
    probes: int
    most_admitted: int
    calm_after: float | None
    first_after: float | None
    drained: list[float]
    """When each host that was drained was, in order."""
    took: float
    """Seconds of real time that the simulation took; no part of what two runs have in common."""

    @property
    def hosts(self) -> int:
        """How many were simulated."""
        return self.scenario.thinned().hosts

    @property
    def median_drain(self) -> float | None:
        """When half of the hosts were drained."""
        half = self.hosts // 2
        return self.drained[half] if half < len(self.drained) else None

    @property
    def last_drain(self) -> float | None:
        """When the last host was."""
        return self.drained[-1] if len(self.drained) == self.hosts else None

    @property
    def requests_per_item(self) -> float:
        """Requests of any kind for each delivered item."""
        return (self.puts + self.heads) / max(self.delivered, 1)

    def same(self) -> dict[str, Any]:
        """All that a second run with the same seed must have too."""
        return {name: value for name, value in asdict(self).items() if name != "took"}


class World:
    """One run of a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.told = scenario
        self.scenario = thin = scenario.thinned()
        chance = random.Random(scenario.seed)
        self.clock = Clock()
        self.wheel: Wheel[tuple[Host, int, int, float]] = Wheel(self.clock)
        self.recovery = thin.before + thin.outage
        self.store = Store(thin.model, chance, outage=(thin.before, self.recovery))
        rate = thin.items_per_day / DAY / thin.hosts
        self.hosts = [
            Host(number, rate, ceiling=thin.ceiling, now=self.clock, chance=chance) for number in range(thin.hosts)
        ]
        self.errors = errors(thin.answer)
        self.probes = 0
        self.dwelling = 0.0
        self.first: float | None = None
        self.points: list[Point] = []
        self._total = Point(0.0)
        self._left = thin.hosts

    def run(self) -> Result:
        """Through the outage, and until all hosts are drained or the time is over."""
        began = time.perf_counter()
        for host in self.hosts:
            self._wake(host, host.arrival(0))
        second = 0
        end = self.recovery + self.scenario.after
        while second < end and (self._left or not self.scenario.until_drained):
            second += 1
            for events in self.wheel.until(second):
                for event in events:
                    self._happen(*event)
            self.store.look()
            if second % BIN == 0:
                self._note(second)
        return self._result(time.perf_counter() - began)

    # --- events

    def _happen(self, host: Host, kind: int, item: int, began: float) -> None:
        now = self.clock.now
        if kind == Answer.STORED or kind == Answer.EXISTS:
            host.succeeded(item, began, now)
            if self.first is None and began >= self.recovery:
                self.first = now - self.recovery
        elif kind == _WAKE:
            if host.wake != began:
                return  # another wake took its place
            host.wake = float("inf")
            if item >= 0:
                host.held.append(item)
        else:
            deferred = host.failed(item, self.errors[Answer(kind)], began)
            if deferred:
                self.wheel.add(now + deferred, (host, _WAKE, item, host.wake))
        self._start(host, now)

    def _start(self, host: Host, now: float) -> None:
        """Start what is ready and has room, as the worker does; else see to it that it is looked at again."""
        health, store, add = host.health, self.store, self.wheel.add
        while (room := health.room(host.flying)) > 0:
            for _ in range(room):
                item = host.next(now)
                if item < 0:
                    if now >= self.recovery and host.drained_at == float("inf"):
                        host.drained_at = now - self.recovery
                        self._left -= 1
                    self._wake(host, host.arrival(host.taken))
                    return
                if health.paused is not None:
                    self.probes += 1
                host.flying += 1
                began = health.started()
                answer, when = store.put(host.number, item, self._position(host, item), now)
                add(when, (host, answer, item, began))
        self._wake(host, health.next_start(host.flying))

    def _wake(self, host: Host, when: float) -> None:
        """Look at the host then, if not before; another wake that was asked for is forgotten."""
        if when < float("inf") and when != host.wake:
            host.wake = when
            self.wheel.add(when, (host, _WAKE, -1, when))

    def _position(self, host: Host, item: int) -> float:
        match self.scenario.keys:
            case "item":
                return ((host.number * 0x1000003 + item) * _SPREAD & 0xFFFFFFFF) / 2**32
            case "host":
                return host.position
            case _:
                return 0.999999

    # --- figures

    def _note(self, second: int) -> None:
        thin, now, count = self.told.thin, float(second), self.store.count
        arrived = delivered = flying = paused = waiting = 0
        for host in self.hosts:
            arrived += host.arrived(now)
            delivered += host.delivered
            flying += host.flying
            paused += host.health.paused is not None
            waiting += host.waiting(now)
        self.dwelling += (arrived - delivered) * BIN
        total = Point(now, count.puts + count.heads, count.refused, count.unreached, delivered)
        before, self._total = self._total, total
        self.points.append(
            Point(
                now - self.recovery,
                (total.requests - before.requests) * thin,
                (total.refused - before.refused) * thin,
                (total.unreached - before.unreached) * thin,
                (total.delivered - before.delivered) * thin,
                waiting * thin,
                flying * thin,
                paused * thin,
                self.store.partitions,
            )
        )

    def _result(self, took: float) -> Result:
        now, count = self.clock.now, self.store.count
        hosts = self.hosts
        return Result(
            scenario=self.told,
            points=self.points,
            arrived=sum(host.arrived(now) for host in hosts),
            delivered=sum(host.delivered for host in hosts),
            waiting=sum(host.waiting(now) for host in hosts),
            flying=sum(host.flying for host in hosts),
            wait=sum(host.wait for host in hosts),
            dwelling=self.dwelling,
            puts=count.puts,
            heads=count.heads,
            refused=count.refused,
            unreached=count.unreached,
            probes=self.probes,
            most_admitted=count.most_admitted,
            calm_after=calm_after(self.points),
            first_after=self.first,
            drained=sorted(host.drained_at for host in hosts if host.drained_at < float("inf")),
            took=took,
        )


def share(points: list[Point]) -> float:
    """The share of 503s in the requests of these points.

    >>> share([Point(10.0, requests=90, refused=1), Point(20.0, requests=10, refused=0)])
    0.01
    """
    return sum(point.refused for point in points) / max(sum(point.requests for point in points), 1)


def calm_after(points: list[Point]) -> float | None:
    """From when on, in seconds after the outage, each window's share of 503s is under :data:`CALM`."""
    after = [point for point in points if point.at > 0]
    width = WINDOW // BIN
    calm: float | None = None
    for first in range(max(len(after) - width + 1, 0)):
        if share(after[first : first + width]) >= CALM:
            calm = None
        elif calm is None:
            calm = after[first].at - BIN
    return calm


def run(scenario: Scenario) -> Result:
    """One run."""
    return World(scenario).run()
