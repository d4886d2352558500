"""drain --wait: returns when all that was there when it was called is delivered, and says what was not."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jollyae import Item, Permanent, Rules, Spool, Temporary, Worker
from jollyae.service import drain
from jollyae.service.drain import Drain
from jollyae.spool import survey
from jollyae.spool.places import Places
from tests.helpers import drop, once, until

ROOT = Path(__file__).parents[2]


@contextmanager
def working(spool: Spool, process: Any, **rules: Any) -> Iterator[Worker]:
    """A worker in a thread."""
    worker = Worker(spool, process, Rules(**{"settle": 0, **rules}))
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        until(lambda: list(spool.places.working.glob("*/.state.json")), "the worker")
        yield worker
    finally:
        worker._loop.call_soon_threadsafe(worker.stop)
        thread.join()


def _deliver(item: Item) -> None:
    return None


def test_nothing_there_is_done_at_once(spool: Spool) -> None:
    """No worker is needed for that."""
    done = Drain(spool.places).wait()
    assert (done.outcome, done.exit_code, done.asked) == (drain.DRAINED, 0, 0)


@pytest.mark.parametrize("on_done", ["keep", "delete"])
def test_it_waits_for_what_is_there_and_no_longer(spool: Spool, on_done: str) -> None:
    """What comes after the call is not waited for, though it never ends."""
    may_go, stopped = threading.Event(), threading.Event()

    def process(item: Item) -> None:
        if item.name.startswith("ours"):
            may_go.wait(30)

    def produce() -> None:
        number = 0
        while not stopped.wait(0.005):
            number += 1
            drop(spool, f"later-{number}", b"x")

    for number in range(20):
        drop(spool, f"ours/{number}", b"x")
    producer = threading.Thread(target=produce)
    with working(spool, process, on_done=on_done):
        asked = Drain(spool.places)
        producer.start()
        threading.Timer(0.5, may_go.set).start()
        began = time.monotonic()
        done = asked.wait(30)
        assert time.monotonic() - began >= 0.4
        left = [name for name in _lying(spool) if name.startswith("ours")]
        stopped.set()
        producer.join()
    assert (done.outcome, done.exit_code, done.delivered, left) == (drain.DRAINED, 0, 20, [])


def _lying(spool: Spool) -> list[str]:
    return [name for _, name, _ in survey.lying(spool.places)]


def test_what_failed_is_named(spool: Spool) -> None:
    """Under its first name, though failed/ had an item of it; deferred ones are waited for."""
    (spool.places.failed / "bad").write_text("an older one")

    def process(item: Item) -> None:
        if item.name == "bad":
            raise Permanent("no")
        if item.name == "later" and item.attempt == 1:
            raise Temporary("not now", after=0.3)

    for name in ("good", "bad", "later"):
        drop(spool, name, b"x")
    asked = Drain(spool.places)
    with working(spool, process):
        done = asked.wait(30)
    assert (done.outcome, done.exit_code) == (drain.FAILED, 1)
    assert (done.failed, done.gone, done.delivered) == (["bad"], [], 2)


def test_a_newer_item_of_the_same_name_is_another(spool: Spool) -> None:
    """By name and inode: the one that was there is delivered, the next one may wait for ever."""
    drop(spool, "name", b"first")
    asked = Drain(spool.places)
    assert once(spool, _deliver).delivered == 1
    drop(spool, "name", b"second")
    done = asked.wait(5)
    assert (done.outcome, done.delivered) == (drain.DRAINED, 1)


def test_without_a_worker_it_says_so(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody will deliver them: 75 after a moment, in which one might have been started."""
    monkeypatch.setattr(drain, "WITHOUT_WORKER", 0.3)
    drop(spool, "item", b"x")
    done = Drain(spool.places).wait()
    assert (done.outcome, done.exit_code, done.waiting, done.first) == (drain.ABSENT, 75, 1, ["item"])


def test_a_worker_that_comes_a_little_later_is_waited_for(spool: Spool) -> None:
    """Started in the same script, it need not be there yet."""
    drop(spool, "item", b"x")
    asked = Drain(spool.places)
    results: list[drain.Drained] = []
    waiting = threading.Thread(target=lambda: results.append(asked.wait(30)))
    waiting.start()
    time.sleep(0.5)
    with working(spool, _deliver):
        waiting.join()
    assert results[0].outcome == drain.DRAINED


def test_the_time_is_over(spool: Spool) -> None:
    """75, with how far it came."""

    def process(item: Item) -> None:
        if item.name == "stays":
            raise Temporary("never")

    for name in ("goes", "stays"):
        drop(spool, name, b"x")
    asked = Drain(spool.places)
    with working(spool, process):
        until(lambda: (spool.places.finished / "goes").exists())
        done = asked.wait(0.5)
    assert (done.outcome, done.exit_code) == (drain.WAITING, 75)
    assert (done.delivered, done.waiting, done.first) == (1, 1, ["stays"])


def test_what_somebody_took_away_is_not_called_delivered(spool: Spool) -> None:
    """Removed by hand, there is no receipt for it."""
    drop(spool, "taken", b"x")
    drop(spool, "good", b"x")
    asked = Drain(spool.places)
    (spool.places.incoming / "taken").unlink()
    once(spool, _deliver)
    done = asked.wait(5)
    assert (done.exit_code, done.gone, done.delivered) == (1, ["taken"], 1)


def test_copies_between_file_systems(tmp_path: Path) -> None:
    """There the inode changes on the way."""
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    elsewhere = shm / f"jollyae-{os.getpid()}-{tmp_path.name}"
    places = Places.under(tmp_path / "spool", incoming=elsewhere)
    try:
        spool = Spool(places=places, copy=True)
        (places.incoming / "item").write_text("x")
        (places.incoming / "bad").write_text("x")

        def process(item: Item) -> None:
            time.sleep(0.5)
            if item.name == "bad":
                raise Permanent("no")

        with working(spool, process):
            done = Drain(places).wait(30)
    finally:
        subprocess.run(["rm", "-rf", elsewhere], check=True)
    assert (done.delivered, done.failed, done.gone) == (1, ["bad"], [])


def test_it_does_not_poll_hotly(spool: Spool) -> None:
    """A look takes at most a twentieth of the time, however long it takes."""
    drop(spool, "item", b"x")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 5:
            (spool.places.incoming / "item").unlink()

    asked = Drain(spool.places)
    looks = asked._still_there

    def slow() -> Iterator[drain.Item]:
        time.sleep(0.05)
        yield from looks()

    asked._still_there = slow  # type: ignore[method-assign]
    asked.wait(60, sleep)
    assert all(one >= 0.05 * drain.SHARE for one in slept[:5])


# --- the verb


def _drain(spool: Spool, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "jollyae", "drain", str(spool.places.control), *words]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JOLLYAE_")}
    environment["PYTHONPATH"] = str(ROOT / "src")
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_without_wait_it_says_what_would_be_waited_for(spool: Spool) -> None:
    """And 75 where there is something, as --once does."""
    told = _drain(spool)
    assert (told.returncode, told.stdout) == (0, "nothing to wait for\n")
    drop(spool, "item", b"x")
    drop(spool, ".hidden", b"x")
    told = _drain(spool)
    assert (told.returncode, told.stdout) == (75, "1 item to wait for: 1 in incoming\n")
    assert json.loads(_drain(spool, "--json").stdout) == {"asked": 1, "incoming": 1, "working": 0, "deferred": 0}


def test_the_verb_waits_and_reports(spool: Spool) -> None:
    """Exit code, names on stderr, one line on stdout; with --json one object."""

    may_go = threading.Event()

    def process(item: Item) -> None:
        may_go.wait(30)
        if item.name == "bad":
            raise Permanent("no")

    drop(spool, "good", b"x")
    with working(spool, process):
        threading.Timer(2.0, may_go.set).start()
        told = _drain(spool, "--wait", "--timeout", "30")
        assert (told.returncode, told.stdout) == (0, "1 item delivered, 0 not\n")
        may_go.clear()
        drop(spool, "bad", b"x")
        threading.Timer(2.0, may_go.set).start()
        told = _drain(spool, "--wait", "--json")
    found = json.loads(told.stdout)
    assert told.returncode == 1
    assert {key: found[key] for key in ("outcome", "asked", "delivered", "failed", "waiting")} == {
        "outcome": "failed",
        "asked": 1,
        "delivered": 0,
        "failed": ["bad"],
        "waiting": 0,
    }


def test_no_worker_is_said(spool: Spool) -> None:
    """With the command that would help."""
    drop(spool, "item", b"x")
    told = _drain(spool, "--wait")
    assert told.returncode == 75
    assert "no worker is running" in told.stderr and "jollyae run" in told.stderr and "waits: item" in told.stderr
