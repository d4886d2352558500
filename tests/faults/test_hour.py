"""The store is away for an hour, on a clock that is moved: everything is kept, it is probed now and then and not
hammered, and the first item is there soon after its end."""

import asyncio
import hashlib
import math
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from jollyae import Spool
from jollyae.processors.keys import KeyTemplate
from jollyae.processors.s3 import S3Delivery, S3Options
from jollyae.processors.s3.transport import NoAnswer, Put, Stored, StoreError
from jollyae.worker import health, retry
from jollyae.worker.rules import Rules
from jollyae.worker.worker import Worker
from tests.faults import history, oracle
from tests.faults.clock import Clock
from tests.faults.history import History
from tests.faults.planted import BUGS
from tests.faults.store import Accepted
from tests.faults.tier import scaled
from tests.processors.s3.fake import FakeTransport

HOUR = 3600.0
BEFORE, WAITING, EVERY = 20, 40, float(scaled(300, 60, 20))
"""Items that are delivered before, that come with the outage, and the seconds between those that come during it."""
MOST_PROBES = health.START_LIMIT + 5 + int(HOUR / (0.8 * health.LAST_PROBE))
"""What was in flight, those whose waits still double, and one each ten seconds (less a fifth) from then on."""
MOST_TRIES = 2 + int(math.log2(HOUR / 0.16))
"""Of an item that is deferred by itself: its first wait is 0.2 s, less a fifth, and waits double."""


@dataclass(frozen=True)
class Outage:
    """What the store says for an hour; ``hangs``: seconds until it says so."""

    error: StoreError
    hangs: float = 0.0
    is_pause: bool = True


OUTAGES = {
    "refused": Outage(StoreError(None, NoAnswer.REFUSED, "http://store")),
    "hangs": Outage(StoreError(None, NoAnswer.TIMEOUT, "no answer in time"), hangs=60.0),
    "500": Outage(StoreError(500, "InternalError")),
    "503": Outage(StoreError(503, "SlowDown")),
    "403": Outage(StoreError(403, "AccessDenied")),
    "expired": Outage(StoreError(400, "ExpiredToken")),
    "409": Outage(StoreError(409, "ConditionalRequestConflict"), is_pause=False),
}


class Away(FakeTransport):
    """A store in memory that is away from ``since`` on, for an hour."""

    def __init__(self, outage: Outage) -> None:
        super().__init__()
        self._outage = outage
        self.since = float("inf")
        self.tries: list[tuple[float, str]] = []
        self.accepted: list[Accepted] = []
        self.first = 0.0

    async def put(self, request: Put) -> Stored:
        """As the outage has it, else as S3."""
        began = time.monotonic()
        if self.since <= began < self.since + HOUR:
            self.tries.append((began, request.key))
            if len(self.tries) > (2 * MOST_PROBES if self._outage.is_pause else MOST_TRIES * (WAITING + HOUR / EVERY)):
                self.since = began - HOUR  # it is no use to go on
            await asyncio.sleep(self._outage.hangs)
            raise self._outage.error
        stored = await super().put(request)
        if began > self.since:
            self.first = self.first or began
        body = bytes(request.body)
        self.accepted.append(Accepted(request.key, hashlib.sha256(body).hexdigest(), len(body)))
        return stored


@dataclass
class Verdict:
    """What was wrong, and the figures. ``first``, ``all``: seconds after the end until the first, and the last item."""

    wrong: list[str]
    tries: int
    most: int
    first: float
    all: float


def run(directory: Path, outage: Outage, clock: Clock) -> Verdict:
    """An hour without the store."""
    store, spool, book = Away(outage), Spool(directory / "spool"), History(directory / "history")
    spool.make()
    delivery = S3Delivery(store, "bucket", KeyTemplate("{path}", ""), S3Options())
    worker = Worker(spool, delivery, Rules(settle=0))
    held: list[int] = []

    def submit(first: int, count: int) -> None:
        for number in range(first, first + count):
            book.submit(spool.places.control, f"item-{number:04}", f"{number}".encode() * 50)

    async def finished(count: int) -> None:
        while len(list(spool.places.finished.iterdir())) < count:
            await asyncio.sleep(0.25)

    async def live() -> None:
        life = asyncio.create_task(worker.serve())
        submit(0, BEFORE)
        await finished(BEFORE)
        store.since = time.monotonic()
        submit(BEFORE, WAITING)
        count = BEFORE + WAITING
        while time.monotonic() < store.since + HOUR - 1:
            await asyncio.sleep(EVERY)
            submit(count, 1)
            count += 1
        held.append(len(store.accepted))
        async with asyncio.timeout(2 * HOUR):
            await finished(count)
        held.append(count)
        worker.stop()
        await life

    with asyncio.Runner(loop_factory=clock.loop) as runner:
        runner.run(live())
    last = time.monotonic()
    items = history.read(book.path)
    wrong = oracle.judge(items, store.accepted, spool.places.control)
    tries = Counter(key for _, key in store.tries)
    most = max(tries.values(), default=0)
    if len(items) != held[1] or len(store.tries) < 3:
        wrong.append(f"no hour at all: {held}, {len(items)} items, {len(store.tries)} tries")
    if outage.is_pause and len(store.tries) > MOST_PROBES:
        wrong.append(f"hammering: {len(store.tries)} requests in an hour")
    if not outage.is_pause and most > MOST_TRIES:
        wrong.append(f"hammering: {most} requests for one item in an hour")
    end = store.since + HOUR
    if outage.is_pause and store.first - end > 1.2 * health.LAST_PROBE + outage.hangs:
        wrong.append(f"late: the first item {store.first - end:.0f} s after the end")
    return Verdict(wrong, len(store.tries), most, store.first - end, last - end)


@pytest.mark.parametrize("name", OUTAGES)
def test_an_hour_without_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is lost, all is delivered after it; how often it was asked is bounded, and told."""
    verdict = run(tmp_path, OUTAGES[name], Clock(monkeypatch))
    with capsys.disabled():
        print(
            f"\nan hour of {name}: {verdict.tries} requests, at most {verdict.most} for one item; after its end the "
            f"first item in {verdict.first:.1f} s, all in {verdict.all:.0f} s (simulated)"
        )
    assert not verdict.wrong, "\n".join(verdict.wrong)


@pytest.mark.parametrize(
    ("bug", "name"), [("retry_at_once", "409"), ("retry_at_once", "500"), ("retry_without_a_pause", "500")]
)
def test_a_planted_bug_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bug: str, name: str) -> None:
    """Who does not wait is seen; the hour is cut short then."""
    for owner, attribute in (
        (retry, "delay"),
        (health, "FIRST_PROBE"),
        (health, "LAST_PROBE"),
        (health.Health, "_spread"),
    ):
        monkeypatch.setattr(owner, attribute, getattr(owner, attribute))  # to be as it was afterwards
    BUGS[bug]()
    verdict = run(tmp_path, OUTAGES[name], Clock(monkeypatch))
    assert any(sentence.startswith("hammering") for sentence in verdict.wrong), verdict
