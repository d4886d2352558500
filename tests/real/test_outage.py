"""The store is stopped, then answers 503, then 403, all under load: nothing fails, and the log says each change once.

``JOLLYAE_OUTAGE``: seconds that each fault lasts (6; 30 is the full thing, which also tries them without a break).
"""

import itertools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .faultproxy import FaultProxy, Mode, before
from .support import Process, Scene, body_of, same, sha256, until

pytestmark = [pytest.mark.real, pytest.mark.slow]

SECONDS = float(os.environ.get("JOLLYAE_OUTAGE", "6"))
FULL = 30.0
SLOWEST_PROBE = 40.0
"""Seconds until a change is noticed at the most: probes are 10 s apart at last, and an attempt may hang for some."""
EVERY = 0.03
"""Seconds between two items of the load."""


class Load:
    """A producer that adds items all the time."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._produce, daemon=True)
        self.expected: dict[str, str] = {}

    def _produce(self) -> None:
        for number in itertools.count():
            name = f"item-{number:05d}"
            body = body_of(name, number * 37 % 20_000)
            self._scene.drop(name, body)
            self.expected[name] = sha256(body)
            if self._stop.wait(EVERY):
                return

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; returns when the last item is there."""
        self._stop.set()
        self._thread.join(30)


@contextmanager
def under_load(scene: Scene) -> Iterator[tuple[FaultProxy, Process, Load]]:
    """A worker that delivers through a proxy while items come in; when the block ends, all must be delivered."""
    with before(scene.rgw.endpoint) as proxy:
        worker = scene.working(endpoint=proxy.url)
        load = Load(scene)
        load.start()
        try:
            scene.until_delivered(20)
            yield proxy, worker, load
        finally:
            load.stop()
        scene.until_delivered(len(load.expected), SLOWEST_PROBE + 60)
        done = worker.end()
    assert done.code == 0, done.err
    assert scene.lying("failed") == [], scene.where()
    same(load.expected, scene.objects(), scene.where)


def changes(worker: Process) -> list[str]:
    """The changes of state that the log tells, in order: 'paused: …' and 'resumed: …'."""
    lines = (line.split(" ", 2)[-1] for line in worker.err().splitlines())
    return [line for line in lines if line.startswith(("paused", "resumed"))]


WORDS = {Mode.REFUSE: "connection", Mode.SLOW_DOWN: "503", Mode.DENIED: "403"}
FAULTS = (Mode.REFUSE, Mode.SLOW_DOWN, Mode.DENIED)


def test_each_outage_is_survived_and_told_once(scene: Scene) -> None:
    """Stopped, well, 503, well, 403, well: six changes, six lines in the log, and in between no noise."""
    with under_load(scene) as (proxy, worker, load):
        for count, fault in enumerate(FAULTS, 1):
            proxy.set(fault)
            time.sleep(SECONDS)
            assert len(changes(worker)) == 2 * count - 1, f"after {fault}: " + "\n".join(changes(worker))
            assert scene.lying("failed") == [], scene.where()
            before_it = len(load.expected)
            proxy.set(Mode.PASS)
            until(lambda n=2 * count: len(changes(worker)) >= n, worker.tail, SLOWEST_PROBE)  # type: ignore[misc]
            scene.until_delivered(before_it)
    told = changes(worker)
    assert [line.split(":")[0] for line in told] == ["paused", "resumed"] * 3, "\n".join(told)
    for line, fault in zip(told[::2], FAULTS, strict=True):
        assert WORDS[fault] in line, f"{fault}: {line}"
    tries = [one for one in proxy.seen if one.mode is not Mode.PASS]
    assert len(tries) < 200, f"{len(tries)} requests to a store that was down: a pause probes, it does not hammer"


@pytest.mark.skipif(SECONDS < FULL, reason=f"takes three minutes: set JOLLYAE_OUTAGE={FULL:.0f}")
def test_one_outage_becomes_another(scene: Scene) -> None:
    """Stopped, 503, 403 without a break: each is told once when it is noticed, and one resumption at the end."""
    with under_load(scene) as (proxy, worker, _):
        for count, fault in enumerate(FAULTS, 1):
            proxy.set(fault)
            time.sleep(SECONDS)
            until(lambda n=count: len(changes(worker)) >= n, worker.tail, SLOWEST_PROBE)  # type: ignore[misc]
            assert scene.lying("failed") == [], scene.where()
        proxy.set(Mode.PASS)
    told = changes(worker)
    assert [line.split(":")[0] for line in told] == ["paused", "paused", "paused", "resumed"], "\n".join(told)


def test_the_gateway_itself_is_stopped(scene: Scene) -> None:
    """Not a proxy's word but the server's process gone and back, with items in flight."""
    worker = scene.working()
    load = Load(scene)
    load.start()
    scene.until_delivered(20)
    scene.rgw.down()
    worker.until_says("paused")
    time.sleep(2)
    scene.rgw.up()
    load.stop()
    scene.until_delivered(len(load.expected), SLOWEST_PROBE + 60)
    assert worker.end().code == 0
    assert scene.lying("failed") == [], scene.where()
    assert [line.split(":")[0] for line in changes(worker)] == ["paused", "resumed"], "\n".join(changes(worker))
    same(load.expected, scene.objects(), scene.where)
