"""Statistics of paired runs: plain functions of values."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """One program, once: what it was measured at.

    ``size``: how many items (idle: seconds), ``nbytes`` their bytes; ``values`` by metric, see :data:`METRICS`.
    """

    scenario: str
    who: str
    round: int
    size: int
    nbytes: int
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Gap:
    """Something that was not measured, and why."""

    scenario: str
    who: str
    why: str


@dataclass(frozen=True)
class Metric:
    """How a value is shown. ``digits`` after the point."""

    title: str
    digits: int


METRICS = {
    "items_per_s": Metric("items/s", 0),
    "photos_per_s": Metric("photos/s", 1),
    "gb_per_s": Metric("GB/s", 2),
    "cpu_us_per_item": Metric("CPU µs/item", 0),
    "cpu_s_per_gb": Metric("CPU s/GB", 2),
    "core_mb": Metric("MB per core", 0),
    "peak_mb": Metric("peak MB", 0),
    "median_ms": Metric("median ms", 2),
    "p99_ms": Metric("p99 ms", 2),
    "first_s": Metric("first upload s", 2),
    "growth": Metric("backlog growth", 0),
    "requests": Metric("requests", 0),
    "cpu_percent": Metric("CPU %", 3),
    "seconds": Metric("seconds", 2),
}
"""Every metric, in the order of the columns. MB and GB are 10^6 and 10^9 bytes; CPU is user + system."""


def order(contestants: Sequence[T], number: int) -> list[T]:
    """Who runs after whom in a round: A B, B A, A B …, so that nobody is always first."""
    return list(contestants if number % 2 == 0 else reversed(contestants))


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that at least so many percent do not exceed (nearest rank).

    >>> percentile([4, 1, 3, 2], 50), percentile(range(1, 101), 99)
    (2, 99)
    """
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


def of(runs: Iterable[Run], scenario: str, who: str, metric: str) -> dict[int, float]:
    """The values of one program in one scenario, by round."""
    chosen = (run for run in runs if run.scenario == scenario and run.who == who)
    return {run.round: run.values[metric] for run in chosen if metric in run.values}


def ratios(ours: Mapping[int, float], theirs: Mapping[int, float]) -> list[float]:
    """Ours divided by theirs for each round in which both ran: what disturbs the machine disturbs both of a pair."""
    return [ours[number] / theirs[number] for number in sorted(ours) if theirs.get(number)]


def share(runs: Iterable[Run], ours: tuple[str, str, str], theirs: tuple[str, str, str]) -> float | None:
    """The median of one (scenario, program, metric) divided by that of another, which ran at another time."""
    runs = list(runs)
    one, other = middle(of(runs, *ours)), middle(of(runs, *theirs))
    return one / other if one is not None and other else None


def middle(values: Mapping[int, float]) -> float | None:
    """The median over the rounds; None where there is no round."""
    return median(values.values()) if values else None
