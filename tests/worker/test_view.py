"""What a live worker tells of itself: counts, places, pauses, since when it is idle; kept without walking."""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from jollyae import Permanent, Rules, Scope, Spool, Temporary
from jollyae.spool.item import Item
from jollyae.worker import state
from jollyae.worker.rules import Share
from jollyae.worker.state import Counted, Snapshot
from jollyae.worker.view import Situation, _waiting
from jollyae.worker.worker import Worker
from tests.helpers import drop, eventually, working


def _state(worker: Worker) -> Snapshot | None:
    return state.read(worker._claims.directory)


async def _told(worker: Worker, condition: Callable[[Snapshot], Any], what: str = "") -> Snapshot:
    """Wait until the worker's state is so."""
    found: Snapshot = await eventually(
        lambda: (seen := _state(worker)) if (seen := _state(worker)) and condition(seen) else None, what
    )
    return found


def _items(snapshot: Snapshot) -> dict[str, int]:
    return {place: counted.items for place, counted in snapshot.places.items()}


def test_what_it_did_and_what_lies_where(spool: Spool) -> None:
    """By outcome and reason, with bytes; places counted once and kept right by the moves; the next attempt; what is in
    flight since when; the running minute; room."""
    go = asyncio.Event()

    async def process(item: Item) -> None:
        match item.name.partition("-")[0]:
            case "bad":
                raise Permanent("no", reason="size")
            case "later":
                raise Temporary("not now", after=1000, reason="timeout")
            case "slow":
                item.progress(3)
                await go.wait()

    async def life() -> None:
        before = time.time()
        drop(spool, "good-0", b"12")
        async with working(spool, process, exclude=("no-*",)) as worker:
            await _told(worker, lambda seen: _items(seen).get("finished") == 1, "the first count")
            for name in ("good-1", "good-2", "bad-1", "later-1", "later-2", "slow-1", "no-1"):
                drop(spool, name, b"12345")
            seen = await _told(
                worker, lambda seen: seen.delivered + seen.failed + seen.deferred == 6 and seen.in_flight
            )
            assert _items(seen) == {
                "incoming": 0,
                "working": 1,
                "deferred": 2,
                "finished": 3,
                "failed": 1,
                "unready": 0,
            }
            assert [seen.places[place].bytes for place in ("finished", "deferred", "failed")] == [12, 10, 5]
            assert (seen.failed_by, seen.deferred_by) == ({"size": 1}, {"timeout": 2})
            assert seen.attempts == {"done": 3, "defer": 2, "fail": 1, "hold": 0}
            assert sum(seen.delivery.counts) == sum(seen.attempt.counts) == 3
            assert before < seen.last_delivery < time.time() and before < seen.last_scan < time.time()
            assert before + 1000 <= seen.next_attempt < time.time() + 1500
            [flight] = seen.in_flight
            assert (flight.attempt, flight.sent) == (1, 3) and before < flight.started < time.time()
            assert seen.idle_since == 0 and seen.minute is not None
            assert seen.free_bytes > 0 and seen.free_inodes != 0
            go.set()
            seen = await _told(worker, lambda seen: seen.delivered == 4 and seen.idle_since)
            assert before < seen.idle_since < time.time()
            assert _items(seen)["working"] == 0

    asyncio.run(life())


def test_it_is_not_idle_while_something_is_still_being_written(spool: Spool) -> None:
    """Such a file is told apart from what waits."""

    async def life() -> None:
        with (spool.places.incoming / "growing").open("wb"):
            async with working(spool, lambda item: None, settle=0) as worker:
                seen = await _told(worker, lambda seen: "incoming" in seen.places)
                assert (_items(seen)["unready"], _items(seen)["incoming"], seen.idle_since) == (1, 0, 0)

    asyncio.run(life())


@pytest.mark.parametrize(("given", "told"), [("timeout", "timeout"), ("printer", "other")])
def test_a_pause_has_a_reason_of_the_list_and_its_next_probe(spool: Spool, given: str, told: str) -> None:
    """The attempt counts as held; the time of the probe is one of the day's clock."""

    async def process(item: Item) -> None:
        raise Temporary("down", scope=Scope.DESTINATION, reason=given, after=300)

    async def life() -> None:
        drop(spool, "a")
        async with working(spool, process) as worker:
            seen = await _told(worker, lambda seen: seen.paused)
            assert seen.paused is not None and seen.paused.reason == told
            assert time.time() + 250 < seen.paused.next_probe < time.time() + 500
            assert (seen.attempts["hold"], seen.held) == (1, 1)

    asyncio.run(life())


def test_since_when_the_oldest_waits(spool: Spool) -> None:
    """Since it arrived, however often it was tried; what is being sent waits no more. Since when an attempt is silent:
    since it began, or since it sent something."""
    go = asyncio.Event()
    sending: list[Item] = []

    async def process(item: Item) -> None:
        if item.name.startswith("later"):
            raise Temporary("403", after=1.5)
        sending.append(item)
        await go.wait()

    async def life() -> None:
        before = time.time()
        drop(spool, "later")
        async with working(spool, process) as worker:
            drop(spool, "sent")
            seen = await _told(worker, lambda seen: seen.in_flight and seen.places and seen.attempts["defer"] > 1)
            assert before < seen.oldest_in_hand < before + 60
            began = seen.silent_since
            assert before < began < time.time()
            note = next(iter(spool.places.deferred.glob(".later.note")), None)
            seen = await _told(worker, lambda seen: _items(seen)["deferred"] and seen.attempts["defer"] > 2)
            arrived = seen.oldest_waiting
            assert note is not None and before - 1 < arrived < before + 1, "not the time of the third attempt"
            assert seen.places["deferred"].oldest == arrived and seen.silent_since == pytest.approx(began, abs=0.1)
            sending[0].progress(0)
            await asyncio.sleep(0.5)
            sending[0].progress(1)
            await _told(worker, lambda seen: seen.silent_since > began + 0.3)
            go.set()
            seen = await _told(worker, lambda seen: seen.delivered == 1 and not seen.in_flight)
            assert seen.silent_since == 0

    asyncio.run(life())


def test_what_a_probe_sends_waits_still(spool: Spool) -> None:
    """A destination that swallows everything has always something under way, and delivers nothing."""
    go = asyncio.Event()
    tries: list[str] = []

    async def process(item: Item) -> None:
        tries.append(item.name)
        if len(tries) > 1:
            await go.wait()
        raise Temporary("down", scope=Scope.DESTINATION, reason="timeout", after=0.1)

    async def life() -> None:
        before = time.time()
        drop(spool, "a")
        async with working(spool, process) as worker:
            seen = await _told(worker, lambda seen: seen.paused and seen.in_flight)
            assert before - 1 < seen.oldest_waiting < before + 60
            go.set()

    asyncio.run(life())


def test_another_workers_moves_count(spool: Spool) -> None:
    """What one worker delivered is in the counts of the other, long before that walks again."""

    async def life() -> None:
        async with working(spool, lambda item: None, include=("a*",)) as one:
            await _told(one, lambda seen: "finished" in seen.places)
            async with working(spool, lambda item: None, include=("b*",)):
                for number in range(5):
                    drop(spool, f"b{number}", b"123")
                await eventually(lambda: len(os.listdir(spool.places.finished)) == 5)
                number = 0
                while not ((seen := _state(one)) and _items(seen)["finished"] == 5 + seen.delivered):
                    drop(spool, f"a{number}")  # it tells of others when it has something to tell itself
                    await asyncio.sleep(0.1)
                    number += 1
                    assert number < 300
                assert seen.places["finished"].bytes == 15

    asyncio.run(life())


def test_a_worker_tells_when_the_credentials_expire(spool: Spool) -> None:
    """Where the processor knows."""

    class Process:
        def credentials_expiry(self) -> float:
            return 5.5

        async def __call__(self, item: Item) -> None:
            pass

    async def life() -> None:
        async with working(spool, Process()) as worker:
            assert (await _told(worker, lambda seen: True)).credentials_expiry == 5.5

    asyncio.run(life())


@pytest.mark.parametrize(
    ("is_empty", "unready", "passed_over", "items", "size", "oldest"),
    [
        (False, 0, 0, 10, 100, 50.0),
        (False, 4, 0, 6, 60, 50.0),
        (True, 4, 0, 0, 0, None),
        (True, 4, 2, 2, 20, 50.0),
        (False, 10, 0, 0, 0, None),
    ],
)
def test_what_waits(
    is_empty: bool, unready: int, passed_over: int, items: int, size: int, oldest: float | None
) -> None:
    """Of what lies in incoming/ only what is ready; and nothing when it was seen that nothing can be taken."""
    situation = Situation({}, None, is_empty, 20.0)
    assert _waiting(Counted(10, 100, 50.0, 1.0), situation, unready, passed_over) == Counted(items, size, oldest, 1.0)


def test_what_waits_is_no_older_than_when_all_was_taken() -> None:
    """The walk's oldest may have been delivered since: it came after the moment in which nothing was left."""
    situation = Situation({}, None, False, 70.0)
    assert _waiting(Counted(10, 100, 50.0, 1.0), situation, 0, 0).oldest == 70.0


def test_siblings_leave_counting_to_the_first(spool: Spool) -> None:
    """The others tell their moves only."""

    async def life() -> None:
        rules = Rules(share=Share(1, 2), settle=0)
        worker = Worker(spool, lambda item: None, rules)
        task = asyncio.ensure_future(worker.serve())
        await eventually(lambda: worker.name and _state(worker))
        drop(spool, "a", b"1")
        seen = await _told(worker, lambda seen: seen.delivered == 1)
        assert seen.places == {} and seen.moves["finished"] == (1, 1)
        worker.stop()
        await task

    asyncio.run(life())
