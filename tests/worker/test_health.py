"""One destination, one health, on a clock of the test's own."""

import pytest

from jollyae.worker.health import EPIDEMIC, FIRST_PROBE, LAST_PROBE, START_LIMIT, Health


class Clock:
    """Time as the test wants it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    """A destination of which nothing is known."""
    return Health(64, now=clock, chance=lambda: 0.5)


def _down(health: Health, reason: str = "down") -> bool:
    return health.failed("no route", "plug it in", reason=reason, throttled=False)


def test_a_pause_is_probed_by_one(health: Health, clock: Clock) -> None:
    """In a pause nothing starts but one probe at its time; the times double up to a limit; a success ends it."""
    assert health.room(5)
    assert _down(health) and not _down(health)
    assert not health.room(0)
    waits = []
    for _ in range(8):
        waits.append(health.next_probe() - clock.now)
        clock.now = health.next_probe()
        assert health.room(3)
        health.started()
        assert not health.room(0) and health.next_probe() == float("inf")
        assert not _down(health)
    assert waits[:4] == [FIRST_PROBE, 2, 4, 8] and waits[-1] == LAST_PROBE
    assert health.paused_for() > 40
    clock.now = health.next_probe()
    health.started()
    assert health.succeeded(1) and not health.succeeded(1)
    assert health.paused is None and health.room(0) and health.paused_for() == 0


def test_news_are_told_once(health: Health) -> None:
    """A pause is news, and again when its reason changes."""
    assert _down(health)
    assert not _down(health)
    assert _down(health, "credentials")
    assert not _down(health, "credentials")


def test_a_probe_that_says_nothing_frees_the_next(health: Health, clock: Clock) -> None:
    """A probe that failed for its own reason lets the next one go."""
    _down(health)
    clock.now += 10
    health.started()
    health.over()
    assert health.room(0)


def test_a_pause_may_last_for_days(health: Health, clock: Clock) -> None:
    """After three hours, at the 1,024th probe, the doubled time was too large a number, and the worker died of it."""
    _down(health)
    for _ in range(2000):
        clock.now += LAST_PROBE * 2
        assert health.room(0)
        health.started()
        assert not _down(health)
    assert clock.now < health.next_probe() <= clock.now + LAST_PROBE * 1.2


def test_epidemic(health: Health) -> None:
    """Three different items with a doubtful error and no success between."""
    assert [health.doubt(name) for name in "aab"] == [False, False, False]
    assert health.doubt("c")
    health.succeeded(1)
    assert [health.doubt(name) for name in "defg"] == [False, False, True, True]
    assert EPIDEMIC == 3


def test_the_limit_rises_and_is_halved(health: Health, clock: Clock) -> None:
    """It rises with success while it is used, to the ceiling; throttling halves it, at most once a second."""
    assert health.limit == START_LIMIT
    health.succeeded(1)
    assert health.limit == START_LIMIT  # it was not used up
    for _ in range(100):
        health.succeeded(health.limit)
    assert health.limit == 64
    for _ in range(5):
        health.failed("slow down", "", reason="throttled", throttled=True)
    assert health.limit == 32
    for _ in range(20):
        health.succeeded(health.limit, clock.now)
        clock.now += 2
        health.failed("slow down", "", reason="throttled", throttled=True)
    assert health.limit == 1 and Health(1).limit == 1


def test_the_destination_says_when(health: Health, clock: Clock) -> None:
    """A wish for a time (Retry-After) is respected: with jitter it is longer, and never shorter."""
    health.failed("slow down", "", reason="t", throttled=True, after=20.0)
    assert health.next_probe() == clock.now + 25
    for chance in (0.0, 0.999):
        hasty = Health(32, now=lambda: clock.now, chance=lambda chance=chance: chance)  # type: ignore[misc]
        hasty.failed("slow down", "", reason="t", throttled=True, after=20.0)
        assert 20 <= hasty.next_probe() - clock.now <= 30
