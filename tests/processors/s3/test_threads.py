"""Daemon threads and the memory budget."""

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from jollyae.processors.s3.budget import Budget
from jollyae.processors.s3.threads import Threads


def test_no_more_than_asked_for() -> None:
    """Jobs wait for one of the threads."""
    threads, names = Threads(3), set()

    def job() -> None:
        names.add(threading.current_thread().name)
        time.sleep(0.01)

    for future in [threads.submit(job) for _ in range(20)]:
        future.result()
    assert len(names) == 3
    threads.shutdown()


def test_an_idle_thread_is_used_again() -> None:
    """One after the other needs one."""
    threads = Threads(8)
    names = set()
    for _ in range(10):
        names.add(threads.submit(lambda: threading.current_thread().name).result())
        time.sleep(0.002)
    assert len(names) == 1
    threads.shutdown()


def test_an_error_comes_back() -> None:
    """And the thread lives on."""
    threads = Threads(1)
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 / 0).result()
    assert threads.submit(lambda: 1).result() == 1
    threads.shutdown()
    with pytest.raises(RuntimeError):
        threads.submit(lambda: 1)


def test_a_hanging_thread_does_not_keep_the_program() -> None:
    """A dead connection must not delay the exit by its time-out."""
    program = "import time; from jollyae.processors.s3.threads import Threads; Threads(1).submit(time.sleep, 60)"
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30, env={"PYTHONPATH": ":".join(sys.path)})
    assert time.monotonic() - started < 20


def test_the_budget() -> None:
    """Lent in order; more than there is means all, alone."""
    log: list[str] = []

    async def user(budget: Budget, name: str, size: int) -> None:
        if not budget.take_now(size):
            await budget.take(size)
        log.append(f"+{name}")
        await asyncio.sleep(0.01)
        log.append(f"-{name}")
        budget.give(size)

    async def run() -> None:
        budget = Budget(10)
        await asyncio.gather(user(budget, "a", 6), user(budget, "b", 100), user(budget, "c", 1), user(budget, "d", 9))

    asyncio.run(run())
    assert log == ["+a", "-a", "+b", "-b", "+c", "+d", "-c", "-d"]
