"""The laws that a simulation of many hosts must keep, and what it shows of the worker's own code."""

from dataclasses import replace
from functools import cache

import pytest

import jollyae.worker.health
import jollyae.worker.retry
from jollyae.worker import health
from sim import host as sim_host
from sim.scenarios import outage
from sim.store import Model
from sim.world import Point, Result, Scenario, World, calm_after, run

SMALL = outage(10_000, thin=50, outage=1200.0)
"""200 hosts and a fiftieth of the store."""


@cache
def small() -> Result:
    """One run that several tests look at."""
    return run(SMALL)


def test_what_came_is_delivered_or_waits() -> None:
    """Items in = delivered + waiting + in flight, at the end and when it is broken off in the middle."""
    for result in (small(), run(replace(SMALL, outage=100.0, after=33.0))):
        assert result.arrived == result.delivered + result.waiting + result.flying
        assert result.delivered > 10_000


def test_littles_law() -> None:
    """The items that are there, added up over time, are the times of all items, added up."""
    result = small()
    assert result.wait == pytest.approx(result.dwelling, rel=0.005)


def test_no_partition_takes_more_than_it_can() -> None:
    """In no second more than its rate, and what may come at once."""
    model = SMALL.thinned().model
    assert 0.9 * model.partition_rate < small().most_admitted <= model.partition_rate * (1 + model.burst) + 1


def test_each_request_is_counted_once() -> None:
    """A request is delivered, refused, not reached, or in flight; each HEAD belongs to a PUT that was answered 412."""
    result = small()
    assert result.puts == result.delivered + result.refused + result.unreached + result.flying
    assert 0 < result.heads <= result.unreached


def test_one_seed_one_result() -> None:
    """The same seed gives the same numbers, another gives others."""
    short = replace(SMALL, outage=100.0, after=50.0)
    assert run(short).same() == run(short).same()
    assert run(short).same() != run(replace(short, seed=2)).same()


def test_it_is_the_workers_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """No copy: the classes are the worker's, and what is changed in them shows."""
    world = World(SMALL)
    assert {type(one.health) for one in world.hosts} == {jollyae.worker.health.Health}
    assert vars(sim_host)["retry"] is jollyae.worker.retry
    monkeypatch.setattr(health, "FIRST_PROBE", 300.0)
    monkeypatch.setattr(health, "LAST_PROBE", 300.0)
    probes = run(replace(SMALL, outage=600.0, after=0.0)).probes
    assert probes <= 4 * SMALL.thinned().hosts


def test_all_hosts_come_back_without_a_storm() -> None:
    """After the outage the 503s are under 1 % within five minutes, and no host waits for over twice the median."""
    result = small()
    assert result.calm_after is not None and result.calm_after <= 300
    assert result.last_drain is not None and result.median_drain is not None
    assert result.last_drain <= 2 * result.median_drain
    assert result.requests_per_item < 1.1


def test_as_it_was_there_was_a_storm(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the limit rising by one in each round and never under one, every fourth request was refused."""
    monkeypatch.setattr(health, "GROWTH", 1e9)
    monkeypatch.setattr(health, "LEAST", 1.0)
    result = run(SMALL)
    assert result.calm_after is None
    assert result.refused > 0.2 * result.delivered


@pytest.mark.parametrize("answer", ["refused", "503", "500"])
def test_whatever_the_outage_says(answer: str) -> None:
    """All come back, whatever they were told meanwhile."""
    result = run(replace(SMALL, outage=300.0, answer=answer))
    assert result.last_drain is not None
    assert result.calm_after is not None and result.calm_after <= 300


def test_one_host_alone_is_quick() -> None:
    """It finds within ten seconds (and a fifth) that the store is back, and then has all of it."""
    result = run(Scenario(hosts=1, items_per_day=1e6, model=Model(partitions=1), outage=900.0, answer="refused"))
    assert result.first_after is not None and result.first_after < 12.5
    assert result.last_drain is not None and result.last_drain < 25
    assert result.refused == 0


def test_calm_is_from_when_on_it_stays_so() -> None:
    """A minute of calm before another storm is none."""
    points = [Point(10.0 * (1 + at), requests=100, refused=refused) for at, refused in enumerate([9] * 6 + [0] * 9)]
    assert calm_after(points) == 60.0
    assert calm_after([*points, Point(160.0, requests=100, refused=50)]) is None
