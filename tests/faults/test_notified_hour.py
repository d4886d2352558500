"""A webhook is away for an hour, on a clock that is moved: every message waits and arrives, it is asked now and then
and not hammered, and the first one is there soon after its end."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jollyae import Rules, Spool, Worker
from jollyae.processors.notify import webhook
from jollyae.processors.notify.message import message
from jollyae.processors.notify.signature import secrets
from jollyae.processors.notify.webhook import Webhook
from jollyae.processors.s3.connection import Answer
from jollyae.processors.s3.transport import NoAnswer, StoreError
from jollyae.worker import health
from jollyae.worker.outbox import Outbox
from jollyae.worker.rules import OnDone
from tests.faults.clock import Clock
from tests.processors.notify.scene import RECEIPT

HOUR = 3600.0
BEFORE, WAITING, EVERY = 10, 30, 60.0
"""Messages before, those that come with the outage, and the seconds between those that come during it."""
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MOST_PROBES = health.START_LIMIT + 5 + int(HOUR / (0.8 * health.LAST_PROBE))


@dataclass(frozen=True)
class Outage:
    """What the receiver answers for an hour; ``hangs``: seconds until it says so; ``late``: seconds after its end until
    the first message at the latest; ``most``: requests in the hour."""

    answer: Answer | StoreError
    hangs: float = 0.0
    late: float = 1.2 * health.LAST_PROBE
    most: int = MOST_PROBES


OUTAGES = {
    "refused": Outage(StoreError(None, NoAnswer.REFUSED, "http://hook")),
    "hangs": Outage(Answer(204, {}, b""), hangs=1e9, late=1.2 * health.LAST_PROBE + webhook.TIME),
    "500": Outage(Answer(500, {}, b"")),
    "429": Outage(Answer(429, {b"retry-after": b"120"}, b""), late=150.0, most=60),
    "410": Outage(Answer(410, {}, b""), late=webhook.GONE * 1.3, most=30),
    "404": Outage(Answer(404, {}, b"")),
}


class Away:
    """Stands for the pool of connections: a receiver that is away from ``since`` on, for an hour."""

    def __init__(self, outage: Outage) -> None:
        self._outage = outage
        self.since = float("inf")
        self.asked = 0
        self.first = 0.0
        self.got: Counter[str] = Counter()

    async def request(self, data: bytes) -> Answer:
        began = time.monotonic()
        if self.since <= began < self.since + HOUR:
            self.asked += 1
            assert self.asked <= 2 * self._outage.most, "hammered"
            await asyncio.sleep(self._outage.hangs)
            if isinstance(self._outage.answer, StoreError):
                raise self._outage.answer
            return self._outage.answer
        if began > self.since:
            self.first = self.first or began
        head = data.partition(b"\r\n\r\n")[0].decode()
        self.got[head.partition("webhook-id: ")[2].split("\r\n")[0]] += 1
        return Answer(204, {}, b"")

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("name", OUTAGES)
def test_an_hour_without_the_webhook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every message arrives, each under its own id; how often it was asked is bounded, and told."""
    outage, clock, spool = OUTAGES[name], Clock(monkeypatch), Spool(tmp_path / "spool")
    hook, away = Webhook("https://hooks.example/x", secrets(SECRET)), Away(outage)
    monkeypatch.setattr(hook, "_pool", away)
    outbox = Outbox([spool.places], message, str(tmp_path))
    # The clock is the worker's and not the producer's: what is put in now is an hour old to a sweep.
    monkeypatch.setattr("jollyae.spool.sweep.sweep", lambda places: 0)
    worker = Worker(spool, hook, Rules(settle=0, concurrency=8, on_done=OnDone.DELETE))
    ids: list[str] = []

    def announce(count: int) -> None:
        fresh = [f"{len(ids) + number:020x}" for number in range(count)]
        outbox.write([{**RECEIPT, "id": one} for one in fresh])
        ids.extend(fresh)

    async def arrived(count: int) -> None:
        while len(away.got) < count:
            await asyncio.sleep(0.25)

    async def live() -> None:
        life = asyncio.create_task(worker.serve())
        announce(BEFORE)
        await arrived(BEFORE)
        away.since = time.monotonic()
        announce(WAITING)
        while time.monotonic() < away.since + HOUR - 1:
            await asyncio.sleep(EVERY)
            announce(1)
        async with asyncio.timeout(3 * HOUR):
            await arrived(len(ids))
        worker.stop()
        await life

    with asyncio.Runner(loop_factory=clock.loop) as runner:
        runner.run(live())
    late, all_after = away.first - (away.since + HOUR), time.monotonic() - (away.since + HOUR)
    with capsys.disabled():
        print(
            f"\nan hour of {name}: {away.asked} requests; after its end the first message in {late:.1f} s, all "
            f"{len(ids) - BEFORE} in {all_after:.0f} s (simulated)"
        )
    assert set(away.got) == set(ids)
    assert 2 < away.asked <= outage.most
    assert late <= outage.late
    left: list[Any] = [path for place in spool.places.for_items() for path in place.rglob("*") if path.is_file()]
    assert not left, left
