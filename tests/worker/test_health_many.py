"""Many hosts on one store: what each of them does so that all come through, and that none is slow for it when it is
alone."""

import math

import pytest

from jollyae.worker.health import LAST_PROBE, Health

from .test_health import Clock


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    """A destination of which nothing is known."""
    return Health(64, now=clock, chance=lambda: 0.5)


def rounds(health: Health, clock: Clock, count: int, took: float = 0.03) -> None:
    """So many times the limit is used up, and all is acknowledged, another item going in the place of each."""
    for _ in range(count):
        began = clock.now
        clock.now += took
        for _ in range(health.limit):
            health.succeeded(health.limit - 1, began)


def throttle(health: Health, clock: Clock) -> None:
    """503, and the probe is well."""
    health.failed("slow down", "", reason="throttled", throttled=True, began=health.started())
    assert health.paused is not None
    clock.now = health.next_probe()
    assert health.room(0) == 1
    began = health.started()
    clock.now += 0.03
    assert health.succeeded(0, began)


def test_after_a_pause_it_begins_at_one_and_doubles(health: Health, clock: Clock) -> None:
    """Ten thousand hosts that come back at once do not send 64 each at once; one alone has all again in six rounds."""
    rounds(health, clock, 3)
    assert health.limit == 64
    health.failed("no route", "", reason="network", throttled=False)
    clock.now = health.next_probe()
    began = health.started()
    clock.now += 0.03
    assert health.succeeded(0, began)
    grown = []
    for _ in range(7):
        grown.append(health.limit)
        rounds(health, clock, 1)
    assert grown == [1, 2, 4, 8, 16, 32, 64]


def test_items_that_take_long_need_no_slow_start(health: Health, clock: Clock) -> None:
    """Where a probe takes ten minutes, doubling with each round would take an hour."""
    rounds(health, clock, 3)
    health.failed("no route", "", reason="network", throttled=False)
    clock.now = health.next_probe()
    began = health.started()
    clock.now += 600
    assert health.succeeded(0, began) and health.limit == 64


def test_an_hour_of_503_costs_one_halving(health: Health, clock: Clock) -> None:
    """Where nothing came through, that nothing comes through says nothing of the limit."""
    rounds(health, clock, 3)
    health.failed("slow down", "", reason="throttled", throttled=True, began=health.started())
    for _ in range(360):
        clock.now = health.next_probe()
        health.failed("slow down", "", reason="throttled", throttled=True, began=health.started())
    clock.now = health.next_probe()
    began = health.started()
    clock.now += 0.03
    health.succeeded(0, began)
    rounds(health, clock, 5)
    assert health.limit == 32


def test_one_alone_is_quick_again(health: Health, clock: Clock) -> None:
    """A single 503 among a thousand items a second is forgotten within ten seconds."""
    rounds(health, clock, 3)
    throttle(health, clock)
    rounds(health, clock, 5)
    assert health.limit == 32
    began = clock.now
    while health.limit < 64:
        rounds(health, clock, 1)
    assert clock.now - began < 10


def test_what_was_sent_before_is_no_second_reason(health: Health, clock: Clock) -> None:
    """Successes of before the halving do not make it halved again."""
    rounds(health, clock, 3)
    early = [health.started() for _ in range(2)]
    clock.now += 1
    health.failed("slow down", "", reason="throttled", throttled=True, began=early[0])
    health.succeeded(1, early[1])
    clock.now += 2
    health.failed("slow down", "", reason="throttled", throttled=True, began=health.started())
    assert health.limit == 32


def test_below_one_items_are_spaced(health: Health, clock: Clock) -> None:
    """Halved from one again and again, one is in flight for a part of the time; there is room for the next in time."""
    for _ in range(4):  # to eight; it begins at one again, and is halved three times
        throttle(health, clock)
        clock.now += 2
    assert health.limit == 1
    rounds(health, clock, 1, took=0.1)
    assert not health.room(0)
    wait = health.next_start(0) - clock.now
    assert 0.1 * 6 < wait < 0.1 * 8, "a limit of an eighth, and a little"
    assert health.next_start(1) == math.inf
    clock.now = health.next_start(0)
    assert health.room(0) == 1


def test_nobody_waits_for_longer_than_for_a_probe(health: Health, clock: Clock) -> None:
    """The spaces have an end, and so has the halving."""
    for _ in range(30):
        throttle(health, clock)
        clock.now += 20
    rounds(health, clock, 1)
    assert 6 < health.next_start(0) - clock.now < 8
    rounds(health, clock, 1, took=1.0)
    assert health.next_start(0) - clock.now == LAST_PROBE


def test_where_it_was_halved_nothing_is_in_the_way_any_more(health: Health, clock: Clock) -> None:
    """However low it was, it is at 64 again within four minutes when nobody else is there."""
    for _ in range(30):
        throttle(health, clock)
        clock.now += 2
    began = clock.now
    while health.limit < 64:
        rounds(health, clock, 1)
        if not health.room(0):
            clock.now = health.next_start(0)
    assert clock.now - began < 240


@pytest.mark.parametrize("took", [0.03, 5.0])
def test_it_never_grows_by_more_than_one_a_round(health: Health, clock: Clock, took: float) -> None:
    """As fast as TCP at most, once it was throttled."""
    throttle(health, clock)
    rounds(health, clock, 3)
    for _ in range(50):
        before = health.limit
        rounds(health, clock, 1, took)
        assert health.limit <= before + 1
