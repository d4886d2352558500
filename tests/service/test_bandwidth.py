"""The bandwidth limit, with a clock of the test's own."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from jollyae.service.bandwidth import Limiter
from jollyae.service.units import timetable


def test_what_exceeds_the_rate_waits_its_share() -> None:
    """At 1 MiB/s three bodies of 1 MiB go at 0, 1 and 2 seconds; after a rest the next goes at once."""
    now = [100.0]
    limiter = Limiter(timetable("1M"), now=lambda: now[0], local=time.gmtime)
    assert [limiter.delay(1 << 20) for _ in range(3)] == [0.0, 1.0, 2.0]
    now[0] = 200.0
    assert limiter.delay(1 << 20) == 0.0


def test_off_is_no_limit() -> None:
    """'off' never waits."""
    limiter = Limiter(timetable("off"))
    assert [limiter.delay(1 << 30) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_a_change_of_the_rate_counts_for_what_comes_after_it() -> None:
    """The timetable is asked at each booking; what was booked before keeps its time."""
    now, hour = [0.0], [9]
    at = lambda: time.struct_time((2026, 11, 21, hour[0], 0, 0, 5, 325, 0))  # noqa: E731 - shorter so
    limiter = Limiter(timetable("08:00,1M 12:00,2M 23:00,off"), now=lambda: now[0], local=at)
    assert [limiter.delay(1 << 20) for _ in range(2)] == [0.0, 1.0]
    hour[0] = 12
    assert [limiter.delay(1 << 20) for _ in range(2)] == [2.0, 2.5]
    hour[0] = 23
    assert limiter.delay(1 << 30) == 0.0, "no limit: nothing waits, and no debt is kept"


def test_blocks_are_paced() -> None:
    """A body that is booked in blocks has its rate within it: each block waits for the one before."""
    now = [0.0]
    limiter = Limiter(timetable("1M"), now=lambda: now[0], local=time.gmtime)
    sent = []
    for _ in range(16):
        now[0] += limiter.delay(256 << 10)  # the sleep
        sent.append(now[0])
    assert sent == [number * 0.25 for number in range(16)]


def test_threads_and_the_loop_share_one_rate() -> None:
    """However many threads book at once, no two get the same time: all bytes together have the rate."""
    limiter = Limiter(timetable("1M"), now=lambda: 0.0, local=time.gmtime)
    with ThreadPoolExecutor(8) as pool:
        delays = [*pool.map(limiter.delay, [1 << 10] * 1000)]
    assert sorted(delays) == [number / 1024 for number in range(1000)]


def test_a_real_rate() -> None:
    """By the real clock, half in threads and half on the loop: 40 KiB at 100 KiB/s are never sent faster."""
    limiter = Limiter(timetable("100k"))

    def block(_: int) -> None:
        time.sleep(limiter.delay(2048))

    async def bodies() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(4) as pool:
            blocks = [loop.run_in_executor(pool, block, number) for number in range(10)]
            await asyncio.gather(*blocks, *(limiter.take(2048) for _ in range(10)))

    began = time.monotonic()
    asyncio.run(bodies())
    assert time.monotonic() - began >= 0.38, "19 of 20 blocks of 20 ms each were waited for"


def test_a_part_of_a_rate() -> None:
    """Divided among three, each has a third at every time of the timetable; 'off' stays, and nothing becomes 0."""
    whole = timetable("08:00,3M 12:00,1b 23:00,off").divided(3)
    assert [rate for _, rate in whole.entries[:3]] == [1 << 20, 1, None]
