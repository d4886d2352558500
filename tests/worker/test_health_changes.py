"""A change of the destination's state is one change, whatever was under way when it came."""

from jollyae.worker.health import Health


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


def fail(health: Health, began: float) -> bool:
    """An attempt ended with the destination's fault; whether that is news."""
    return health.failed("down", "", reason="unreachable", throttled=False, began=began)


def test_a_success_from_before_the_pause_does_not_end_it() -> None:
    """Seen with Ceph RGW: ten in flight, three fail, two more are acknowledged, five fail: one pause, no resumption."""
    health = Health(32, now=Clock())
    flying = [health.started() for _ in range(10)]
    assert [fail(health, began) for began in flying[:3]] == [True, False, False]
    assert not any(health.succeeded(5, began) for began in flying[3:5])
    assert not any(fail(health, began) for began in flying[5:])
    assert health.paused is not None


def test_only_the_probe_ends_it() -> None:
    """Its success resumes; nothing that was sent before moves the next probe."""
    clock = Clock()
    health = Health(32, now=clock, chance=lambda: 0.5)
    first, second, third = health.started(), health.started(), health.started()
    assert fail(health, first)
    clock.now += 5
    assert health.room(0)
    probe = health.started()
    fail(health, second)
    health.over(third)
    assert not health.room(0), "one probe at a time"
    assert health.paused is not None and health.paused.probes == 0
    assert health.succeeded(0, probe)
    assert health.paused is None


def test_a_failure_from_before_the_resumption_is_no_new_pause() -> None:
    """A request that timed out after the store was well again."""
    clock = Clock()
    health = Health(32, now=clock)
    first, slow = health.started(), health.started()
    assert fail(health, first)
    clock.now += 5
    assert health.succeeded(0, health.started())
    assert not fail(health, slow)
    assert health.paused is None
    assert fail(health, health.started())
