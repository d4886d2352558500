"""The bandwidth limit, with a clock of the test's own."""

import time

from jollyae.service.bandwidth import Limiter
from jollyae.service.units import timetable


def test_what_exceeds_the_rate_waits_its_share() -> None:
    """At 1 MiB/s three bodies of 1 MiB go at 0, 1 and 2 seconds; after a rest the next goes at once."""
    now = [100.0]
    limiter = Limiter(timetable("1M"), now=lambda: now[0], local=time.gmtime)
    assert [limiter.reserve(1 << 20) for _ in range(3)] == [0.0, 1.0, 2.0]
    now[0] = 200.0
    assert limiter.reserve(1 << 20) == 0.0


def test_off_is_no_limit() -> None:
    """'off' never waits."""
    limiter = Limiter(timetable("off"))
    assert [limiter.reserve(1 << 30) for _ in range(3)] == [0.0, 0.0, 0.0]
