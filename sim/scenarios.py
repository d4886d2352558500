"""What is asked of the simulation, each question by its name."""

from dataclasses import dataclass, replace

from .store import FULL, PARTITION_RATE, Model
from .world import DAY, Scenario


@dataclass(frozen=True, slots=True)
class Question:
    """A scenario with a name. ``about``: for the list; ``usual``: whether it runs if none is named."""

    name: str
    about: str
    scenario: Scenario
    usual: bool = True


def settled(items_per_day: float) -> int:
    """How many partitions a bucket has that took so much for long: doubled until none is hot.

    >>> [settled(items) for items in (1e6, 1e8, 5e8, 1e9)]
    [1, 1, 4, 8]
    """
    partitions = 1
    while items_per_day / DAY > partitions * PARTITION_RATE * FULL:
        partitions *= 2
    return partitions


def outage(hosts: int, items_per_day: float = 1e9, **more: object) -> Scenario:
    """An hour's outage of a bucket that had settled."""
    scenario = Scenario(hosts=hosts, items_per_day=items_per_day, model=Model(partitions=settled(items_per_day)))
    return replace(scenario, **more)  # type: ignore[arg-type]


def _cold(thin: int) -> Scenario:
    """A bucket that is new, with keys that begin with a hash."""
    return Scenario(thin=thin, model=Model(partitions=1), before=0.0, outage=0.0, after=5400.0, until_drained=False)


def _timed(thin: int) -> Scenario:
    """The same with keys that begin with the time: all are at the end of the key space, whatever is split."""
    return replace(_cold(thin), keys="time")


def _unsplit(thin: int) -> Scenario:
    return replace(outage(10_000, thin=thin), model=Model(partitions=settled(1e9), split_after=float("inf")))


_BIG = outage(10_000, thin=10)
_SHORT = outage(10_000, outage=120.0)

QUESTIONS = {
    one.name: one
    for one in (
        Question("outage", "10,000 hosts, an hour's outage; one host in ten, the store a tenth", _BIG),
        Question("whole", "the same with all of them: five minutes and more", replace(_BIG, thin=1), usual=False),
        Question("thin-1", "two minutes' outage, all 10,000 hosts", _SHORT),
        Question("thin-10", "two minutes' outage, one host in ten", replace(_SHORT, thin=10)),
        Question("thin-50", "two minutes' outage, one host in fifty", replace(_SHORT, thin=50)),
        Question("hosts-1", "one host, ten million items a day", outage(1, 1e7)),
        Question("hosts-10", "ten hosts, a hundred million; one in two", outage(10, 1e8, thin=2)),
        Question("hosts-100", "a hundred hosts, half a billion; one in five", outage(100, 5e8, thin=5)),
        Question("hosts-1000", "a thousand hosts, a billion; one in five", outage(1000, thin=5)),
        Question(
            "keys-host",
            "10,000 hosts, keys that begin with the host; one in twenty",
            replace(_BIG, keys="host", thin=20),
        ),
        Question("keys-cold", "10,000 hosts, a bucket of one partition; one in fifty", _cold(50)),
        Question("keys-time", "10,000 hosts, keys that begin with the time; one in fifty", _timed(50)),
        Question("no-split", "10,000 hosts, a store that never splits; one in twenty", _unsplit(20)),
        Question(
            "refused", "10,000 hosts, connections refused; one in fifty", replace(_BIG, answer="refused", thin=50)
        ),
        Question("503", "10,000 hosts, an hour of 503; one in fifty", replace(_BIG, answer="503", thin=50)),
    )
}
