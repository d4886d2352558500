"""S3 as far as requests feel it: partitions of the key space with 3,500 PUT/s each, that split after a while; delays;
an outage.

What is assumed, and from where:

- 3,500 PUT/s for each partition of the key space: AWS, "Best practices design patterns: optimizing Amazon S3
  performance". Above it: 503 SlowDown. How S3 meters is not published: here it is a token bucket.
- S3 splits what is hot "gradually", with 503s meanwhile (same page). When is not published: here a partition splits in
  the middle of its keys when it was asked for three quarters of that for ``split_after`` seconds.
- Delays are lognormal, given by their median and their 99th percentile. Not published either.
- In the outage nothing is answered (or refused, or 500, or 503: ``answer``). What was under way when it began is
  answered no more; half of that is stored all the same, as the 412 of the next attempt tells.
"""

import math
import random
from bisect import bisect_right
from dataclasses import dataclass
from enum import IntEnum
from statistics import NormalDist

PARTITION_RATE = 3500.0
"""PUT/s (AWS S3 user guide, as above)."""
FULL = 0.75
"""Of its rate: from then on a partition is hot."""
_DELAYS = 8192
_REFUSAL = 0.5  # how long a refusal takes, as a part of an answer


class Answer(IntEnum):
    """What comes back of a request."""

    STORED = 0
    EXISTS = 1  # 412, and HEAD tells that it is ours
    SLOW_DOWN = 2
    NOT_REACHED = 3  # no answer in time, or refused, or 500: as the outage has it
    CLOSED = 4  # the outage began meanwhile


@dataclass(frozen=True, slots=True)
class Model:
    """The store's figures. Times in seconds, rates a second. ``partitions``: how many the keys have at the start."""

    partitions: int = 8
    partition_rate: float = PARTITION_RATE
    burst: float = 0.25
    """So many seconds' worth of requests may come at once."""
    split_after: float = 600.0
    most_partitions: int = 64
    median: float = 0.030
    p99: float = 0.200
    hanging: float = 10.0
    """For how long a request hangs in the outage (``wire.CONNECT`` of the transport)."""


@dataclass(slots=True)
class Partition:
    """A part of the key space, from ``start`` to the next one's."""

    start: float
    tokens: float
    at: float = 0.0
    offered: int = 0
    admitted: int = 0
    hot: float = 0.0


@dataclass(slots=True)
class Count:
    """What was asked and answered, in all."""

    puts: int = 0
    heads: int = 0
    refused: int = 0
    unreached: int = 0
    most_admitted: int = 0
    """The most that one partition took in one second."""


class Store:
    """One bucket. :meth:`put` says what comes of a request, and after how long; :meth:`look` is to be called once a
    second."""

    def __init__(self, model: Model, chance: random.Random, *, outage: tuple[float, float]) -> None:
        self.model = model
        self.outage = outage
        self.count = Count()
        self._random = chance.random
        self._depth = max(model.partition_rate * model.burst, 1.0)
        self._partitions = [Partition(number / model.partitions, self._depth) for number in range(model.partitions)]
        self._starts = [one.start for one in self._partitions]
        self._delays = delays(model.median, model.p99)
        self.written: set[tuple[int, int]] = set()
        """Items whose objects are there though nobody was told."""

    @property
    def partitions(self) -> int:
        """How many there are by now."""
        return len(self._partitions)

    @property
    def capacity(self) -> float:
        """PUT/s of all partitions."""
        return len(self._partitions) * self.model.partition_rate

    def put(self, host: int, item: int, position: float, now: float) -> tuple[Answer, float]:
        """A conditional PUT of ``item`` with its key at ``position`` of the key space (0 to 1). What, and when."""
        count = self.count
        count.puts += 1
        since, until = self.outage
        if since <= now < until:
            count.unreached += 1
            return Answer.NOT_REACHED, now + self.model.hanging
        delay = self._delays[int(self._random() * _DELAYS)]
        partition = self._partitions[bisect_right(self._starts, position) - 1]
        partition.offered += 1
        rate = self.model.partition_rate
        tokens = min(partition.tokens + (now - partition.at) * rate, self._depth)
        partition.at = now
        if tokens < 1.0:
            partition.tokens = tokens
            count.refused += 1
            return Answer.SLOW_DOWN, now + delay * _REFUSAL
        partition.tokens = tokens - 1.0
        partition.admitted += 1
        if (host, item) in self.written:
            count.heads += 1
            return Answer.EXISTS, now + delay + self._delays[int(self._random() * _DELAYS)]
        if now < since <= now + delay:
            if self._random() < 0.5:
                self.written.add((host, item))
            count.unreached += 1
            return Answer.CLOSED, since
        return Answer.STORED, now + delay

    def look(self) -> None:
        """A second is over: split what was hot for long enough."""
        full = FULL * self.model.partition_rate
        for partition in list(self._partitions):
            self.count.most_admitted = max(self.count.most_admitted, partition.admitted)
            partition.hot = partition.hot + 1 if partition.offered >= full else max(partition.hot - 1, 0)
            partition.offered = partition.admitted = 0
            if partition.hot >= self.model.split_after and len(self._partitions) < self.model.most_partitions:
                self._split(partition)

    def _split(self, partition: Partition) -> None:
        partition.hot = 0.0
        index = self._partitions.index(partition)
        end = self._starts[index + 1] if index + 1 < len(self._starts) else 1.0
        middle = (partition.start + end) / 2
        self._partitions.insert(index + 1, Partition(middle, 0.0, partition.at))
        self._starts.insert(index + 1, middle)


def delays(median: float, p99: float) -> list[float]:
    """Delays in seconds, each as likely as the others: lognormal, cut off at a minute."""
    sigma = math.log(p99 / median) / NormalDist().inv_cdf(0.99)
    shape = NormalDist(math.log(median), sigma)
    return [min(math.exp(shape.inv_cdf((number + 0.5) / _DELAYS)), 60.0) for number in range(_DELAYS)]
