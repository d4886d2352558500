"""The way without a task: it ends as the general way does, and whatever is not ordinary goes that way."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jollyae import Permanent, Temporary
from jollyae.processors.s3 import BucketDelivery, S3Options
from jollyae.spool.item import Item
from tests.faults.store import Fault, Object, Request, Store, checksum
from tests.processors.s3.fake import Bench

BODY = b"hello" * 100
Outcome = dict[str, Any] | Exception


class Caller:
    """A delivery to a store, with one kept connection, and what became of the items."""

    def __init__(self, store: Store, delivery: BucketDelivery) -> None:
        self.store = store
        self.delivery = delivery
        self.outcomes: list[tuple[Item, Outcome]] = []
        self._ended = asyncio.Event()

    def begin(self, *items: Item) -> list[Item]:
        """Begin; the items that were not begun."""
        begin = self.delivery.begin
        assert begin is not None
        rest = begin(list(items), self._over)
        assert not self.outcomes, "ended before begin() had returned"
        return rest

    def _over(self, item: Item, outcome: Outcome) -> None:
        self.outcomes.append((item, outcome))
        self._ended.set()

    async def outcome(self, item: Item) -> Outcome:
        """Begin with the item; what it ended with."""
        assert self.begin(item) == []
        await asyncio.wait_for(self._ended.wait(), 20)
        await asyncio.sleep(0.05)
        [(ended, outcome)] = self.outcomes  # once
        assert ended is item
        assert self.delivery._target.memory._used == 0
        return outcome

    def puts(self) -> int:
        """How many PUTs the store has seen of what is not the first object."""
        return sum(request.method == "PUT" and not request.key.startswith("first") for request, _ in self.store.seen)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store that can fail."""
    with Store() as made:
        for name, value in made.environment().items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Items."""
    with Bench(tmp_path) as made:
        yield made


@asynccontextmanager
async def caller(store: Store, bench: Bench, **options: Any) -> AsyncIterator[Caller]:
    """A delivery that has one connection, by a first object sent the general way."""
    delivery = BucketDelivery("s3://bucket", S3Options(endpoint_url=store.url, **options), concurrency=4)
    try:
        await delivery(bench.item(b"first", f"first-{len(store.seen)}"))  # it proves that If-None-Match is honoured
        store.accepted.clear()
        yield Caller(store, delivery)
    finally:
        delivery.close()


def once(fault: Fault) -> Any:
    """A plan: the fault befalls the next PUT of the item."""
    left = [fault]

    def plan(request: Request) -> Fault | None:
        return left.pop() if left and request.method == "PUT" else None

    return plan


def run(store: Store, bench: Bench, item: Item, fault: Fault | None = None, **options: Any) -> tuple[Outcome, int]:
    """One item by the direct way: what it ended with, and how many PUTs that took."""

    async def work() -> tuple[Outcome, int]:
        async with caller(store, bench, **options) as made:
            if fault is not None:
                store.plan = once(fault)
            return await made.outcome(item), made.puts()

    return asyncio.run(work())


@pytest.mark.parametrize("options", [{}, {"checksum_algorithm": "crc32"}, {"if_exists": "overwrite"}, {"verify": True}])
def test_it_ends_as_the_general_way(store: Store, bench: Bench, options: dict[str, Any]) -> None:
    """The same receipt, the same object; one PUT."""
    outcome, puts = run(store, bench, bench.item(BODY), **options)
    direct = store.objects.pop("a/b.txt")

    async def general() -> Outcome:
        async with caller(store, bench, **options) as made:
            return await made.delivery(bench.again())

    assert (outcome, puts) == (asyncio.run(general()), 1)
    assert direct == store.objects["a/b.txt"]


def test_the_same_bytes_are_there(store: Store, bench: Bench) -> None:
    """A 412 is looked into: done."""
    store.objects["a/b.txt"] = Object(BODY, "opaque", {}, {"sha256": checksum("sha256", BODY)})
    outcome, puts = run(store, bench, bench.item(BODY))
    assert isinstance(outcome, dict) and outcome["already_there"] is True
    assert puts == 1 and not store.accepted


def test_a_collision(store: Store, bench: Bench) -> None:
    """Other content is refused, or kept beside."""
    store.objects["a/b.txt"] = Object(b"other", "opaque", {}, {})
    outcome, _ = run(store, bench, bench.item(BODY))
    assert isinstance(outcome, Permanent) and "other content" in str(outcome)
    outcome, _ = run(store, bench, bench.again(), if_exists="keep-both")
    assert isinstance(outcome, dict) and outcome["url"].startswith("s3://bucket/a/b-")
    assert [one.key for one in store.accepted] == [outcome["url"].removeprefix("s3://bucket/")]


def test_our_own_lost_answer(store: Store, bench: Bench) -> None:
    """Written, and the answer lost: it is sent once more on another connection, and the 412 is recognised as ours."""
    outcome, puts = run(store, bench, bench.item(BODY), Fault.RESET_AFTER)
    assert isinstance(outcome, dict) and outcome["already_there"] is True
    assert puts == 2 and len(store.accepted) == 1


def test_a_kept_connection_that_was_closed(store: Store, bench: Bench) -> None:
    """Nobody heard it: it is sent once more on a new one."""
    outcome, puts = run(store, bench, bench.item(BODY), Fault.RESET_AT_ONCE)
    assert isinstance(outcome, dict) and "already_there" not in outcome
    assert puts == 2 and len(store.accepted) == 1


@pytest.mark.parametrize("fault", [Fault.SLOW_DOWN, Fault.INTERNAL, Fault.DENIED, Fault.HALF_BODY, Fault.NO_ETAG])
def test_one_attempt(store: Store, bench: Bench, fault: Fault) -> None:
    """A refusal is told as the general way tells it, and nothing is sent again."""
    outcome, puts = run(store, bench, bench.item(BODY), fault)
    assert isinstance(outcome, Temporary) and puts == 1


def test_what_is_not_ordinary_is_not_begun(store: Store, bench: Bench) -> None:
    """Too large, sent before and changed, unreadable, without a key, no connection: the general way has it."""

    async def work() -> None:
        async with caller(store, bench) as made:
            large = bench.item(bytes(300_000), "large")
            changed = bench.item(BODY, "changed")
            changed.superseded = {}
            closed = bench.item(BODY, "closed")
            closed.close()
            shrunk = bench.item(BODY, "shrunk")
            shrunk.path.write_bytes(b"")
            nameless = bench.item(BODY, "a" * 255 + "/" + "b" * 255)
            nameless.name = "/".join(["c" * 255] * 5)
            odd = [large, changed, closed, shrunk, nameless]
            assert made.begin(*odd) == odd
            plain = [bench.item(BODY, f"{number}") for number in range(3)]
            rest = made.begin(*plain)
            assert rest == plain[1:], "there was one connection"
            assert made.delivery._target.memory._used == len(BODY)
            while len(made.outcomes) < 1:
                await asyncio.sleep(0.01)
            assert made.delivery._target.memory._used == 0

    asyncio.run(work())


@pytest.mark.parametrize("options", [{"head_first": True}, {"transport": "boto3"}])
def test_some_options_need_the_general_way(store: Store, bench: Bench, options: dict[str, Any]) -> None:
    """HEAD before each PUT, another transport."""

    async def work() -> None:
        async with caller(store, bench, **options) as made:
            begin = made.delivery.begin
            item = bench.item(BODY)
            assert begin is None or begin([item], lambda *_: None) == [item]

    asyncio.run(work())


def test_connections_are_made_for_those_who_come_next(store: Store, bench: Bench) -> None:
    """What found none has one made, so that soon all go this way."""

    async def work() -> None:
        async with caller(store, bench) as made:
            items = [bench.item(BODY, f"{number}") for number in range(8)]
            left = made.begin(*items)
            while left:
                await asyncio.sleep(0.02)
                made.outcomes.clear()
                left = made.begin(*left)
            while len(store.accepted) < 8:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(work(), 30))
