"""Messages about deliveries: written whole and durably before the item is retired, and never in the loop's way."""

import asyncio
import errno
import json
import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from jollyae import Item, Rules, Spool, Temporary, Worker
from jollyae.spool import fs, notes
from jollyae.spool.places import Places
from jollyae.worker.outbox import Outbox, Receipt
from tests.helpers import PATIENCE, drop, eventually


def _outbox(spool: Spool, *names: str) -> tuple[Outbox, list[Places]]:
    """An outbox with these targets, whose messages are the receipts."""
    root = spool.places.control
    targets = [Places.under(root / "notify" / name) for name in names or ("hook",)]
    for places in targets:
        Spool(places=places)
    return Outbox(targets, lambda receipt: json.dumps(receipt).encode(), str(root)), targets


def _deliver(item: Item) -> dict[str, Any]:
    return {"url": f"s3://bucket/{item.name}"}


def _run(spool: Spool, outbox: Outbox, **rules: Any) -> int:
    return Worker(spool, _deliver, Rules(once=True, settle=0, **rules), outbox=outbox).run().exit_code


def _queued(places: Places) -> dict[str, Any]:
    """The queued messages, by the item's name."""
    told = {}
    for path in places.incoming.iterdir():
        receipt = json.loads(path.read_bytes())
        assert path.name == f"{receipt['id']}.json"
        told[receipt["name"]] = receipt
    return told


@pytest.mark.parametrize("on_done", ["keep", "delete"])
def test_each_delivery_has_a_message_in_each_target(spool: Spool, on_done: str) -> None:
    """Named by the delivery id, whole, and nothing is left in tmp/."""
    outbox, targets = _outbox(spool, "hook", "queue")
    names = {drop(spool, f"item-{number}", b"x").name for number in range(30)}
    assert _run(spool, outbox, on_done=on_done) == 0
    for places in targets:
        assert _queued(places).keys() == names
        assert not list(places.tmp.iterdir())


def test_messages_are_on_the_disk_before_any_item_goes(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each message an fsync of the file, then its rename, then an fsync of the directory; only then the item."""
    outbox, _ = _outbox(spool)
    drop(spool, "item", b"x")
    seen: list[str] = []

    def observe(operation: str, path: str) -> None:
        if "/notify/" in path or operation == "fsync":
            seen.append(operation)
        elif operation == "rename" and "/working/" in path and path.endswith("/item"):
            seen.append("retire")

    monkeypatch.setattr(fs, "observer", observe)
    assert _run(spool, outbox) == 0
    assert seen == ["create", "fsync", "rename", "fsync", "retire"]


def test_a_repeat_of_one_that_is_queued_changes_nothing(spool: Spool) -> None:
    """The same delivery announced twice is one message, the first."""
    outbox, (places,) = _outbox(spool)
    outbox.write([{"id": "00", "time": 1}])
    outbox.write([{"id": "00", "time": 2}, {"id": "01", "time": 2}])
    assert {path.name: json.loads(path.read_bytes())["time"] for path in places.incoming.iterdir()} == {
        "00.json": 1,
        "01.json": 2,
    }
    assert not list(places.tmp.iterdir())


def test_a_full_disk_keeps_the_items_in_hand(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """No item is retired without its message, nor delivered again for it; when there is room all goes on."""
    outbox, (places,) = _outbox(spool)
    full = True

    def refuse(operation: str, path: str) -> None:
        if full and operation == "create" and "/notify/" in path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr(fs, "observer", refuse)
    delivered: list[str] = []

    def process(item: Item) -> dict[str, Any]:
        delivered.append(item.name)
        return _deliver(item)

    worker = Worker(spool, process, Rules(settle=0), outbox=outbox)

    async def live() -> None:
        nonlocal full
        task = asyncio.ensure_future(worker.serve())
        drop(spool, "one", b"x")
        drop(spool, "two", b"x")
        await eventually(lambda: len(delivered) == 2)
        await asyncio.sleep(1.5)  # a probe of the disk that is still full
        assert not list(spool.places.finished.iterdir()) and not list(places.incoming.iterdir())
        full = False
        await eventually(lambda: len(list(spool.places.finished.iterdir())) == 2)
        worker.stop()
        await task

    asyncio.run(live())
    assert sorted(delivered) == ["one", "two"] and _queued(places).keys() == {"one", "two"}


def test_a_failed_fsync_of_one_message_keeps_all_items(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many that are brought to the disk at a time; none is published, and nothing stays in tmp/."""
    outbox, (places,) = _outbox(spool)
    seen: list[str] = []

    def refuse(operation: str, path: str) -> None:
        if operation == "fsync":
            seen.append(path)
            if len(seen) == 3:
                raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    monkeypatch.setattr(fs, "observer", refuse)
    with pytest.raises(OSError, match="Input/output"):
        outbox.write([{"id": f"{number:02}"} for number in range(20)])
    assert not list(places.incoming.iterdir()) and not list(places.tmp.iterdir())
    outbox.write([{"id": f"{number:02}"} for number in range(20)])
    assert len(list(places.incoming.iterdir())) == 20
    outbox.close()


class Slow(Outbox):
    """An outbox whose disk takes its time."""

    def __init__(self, outbox: Outbox) -> None:
        self.__dict__ |= outbox.__dict__
        self.may_go = threading.Event()
        self.batches: list[int] = []

    def write(self, receipts: Sequence[Receipt]) -> None:
        self.batches.append(len(receipts))
        assert self.may_go.wait(PATIENCE)
        super().write(receipts)


def test_a_slow_disk_holds_neither_the_loop_nor_more_items_than_may_be(spool: Spool) -> None:
    """While messages are written the loop goes on; no more is taken than twice what may be in flight; what came
    meanwhile is written together."""
    inner, (places,) = _outbox(spool)
    outbox = Slow(inner)
    taken: set[str] = set()

    async def process(item: Item) -> dict[str, Any]:
        taken.add(item.name)
        return _deliver(item)

    worker = Worker(spool, process, Rules(settle=0, concurrency=8), outbox=outbox)
    names = {drop(spool, f"item-{number}", b"x").name for number in range(100)}

    async def live() -> None:
        task = asyncio.ensure_future(worker.serve())
        await eventually(lambda: len(taken) >= 9)
        await asyncio.sleep(0.5)
        assert len(taken) <= 3 * 8
        outbox.may_go.set()
        await eventually(lambda: len(list(spool.places.finished.iterdir())) == 100)
        worker.stop()
        await task

    asyncio.run(live())
    assert _queued(places).keys() == names
    assert max(outbox.batches) > 1


def test_an_orderly_stop_waits_for_the_messages(spool: Spool) -> None:
    """What is acknowledged when the worker is told to stop is announced and retired."""
    inner, (places,) = _outbox(spool)
    outbox = Slow(inner)
    worker = Worker(spool, _deliver, Rules(settle=0), outbox=outbox)
    drop(spool, "item", b"x")

    async def live() -> None:
        task = asyncio.ensure_future(worker.serve())
        await eventually(lambda: outbox.batches)
        worker.stop()
        await asyncio.sleep(0.1)
        outbox.may_go.set()
        await task

    asyncio.run(live())
    assert _queued(places).keys() == {"item"}
    assert [path.name for path in spool.places.finished.iterdir()] == ["item"]


def test_what_the_grace_time_leaves_is_the_next_workers(spool: Spool) -> None:
    """A disk that does not answer keeps nobody from stopping; the next worker delivers again, under the same id."""
    inner, (places,) = _outbox(spool)
    outbox = Slow(inner)
    worker = Worker(spool, _deliver, Rules(settle=0, grace=0), outbox=outbox)
    drop(spool, "item", b"x")

    async def live() -> None:
        task = asyncio.ensure_future(worker.serve())
        await eventually(lambda: outbox.batches)
        worker.stop()
        await task
        assert not list(spool.places.finished.iterdir())
        outbox.may_go.set()
        await eventually(lambda: list(places.incoming.iterdir()))

    asyncio.run(live())
    first = _queued(places)["item"]["id"]
    again, _ = _outbox(spool)
    assert _run(spool, again) == 0
    assert [told["id"] for told in _queued(places).values()] == [first]
    assert [path.name for path in spool.places.finished.iterdir()] == ["item"]


def test_a_death_while_messages_are_written_is_not_the_items_doing(spool: Spool) -> None:
    """Its processing was over: an item with a past is not marked any more as being worked on."""
    inner, _ = _outbox(spool)
    outbox = Slow(inner)

    def process(item: Item) -> dict[str, Any]:
        if item.attempt == 1:
            raise Temporary("not now", after=0.01)
        return _deliver(item)

    worker = Worker(spool, process, Rules(settle=0), outbox=outbox)
    drop(spool, "item", b"x")

    async def live() -> None:
        task = asyncio.ensure_future(worker.serve())
        await eventually(lambda: outbox.batches)
        (item,) = worker._claims.items()
        note = notes.read(item.where)
        assert note is not None and not note.started and note.attempts == 1
        outbox.may_go.set()
        await eventually(lambda: list(spool.places.finished.iterdir()))
        worker.stop()
        await task

    asyncio.run(live())


def test_a_removed_target_is_made_again_but_not_a_spool_that_is_gone(spool: Spool, tmp_path: Path) -> None:
    """rm -r of a target is a way to be rid of its backlog; a spool that was moved away does not come to life again."""
    outbox, (places,) = _outbox(spool)
    shutil.rmtree(places.control)
    outbox.write([{"id": "00"}])
    assert [path.name for path in places.incoming.iterdir()] == ["00.json"]
    spool.places.control.rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError):
        outbox.write([{"id": "01"}])
    assert not spool.places.control.exists()


def test_a_message_that_cannot_be_made_is_a_trouble_and_no_loss(spool: Spool) -> None:
    """Whatever goes wrong with a message, its item is not retired without one."""

    def broken(receipt: Receipt) -> bytes:
        raise RuntimeError("a fault")

    outbox, (places,) = _outbox(spool)
    outbox._message = broken
    told = outbox.attempt([{"id": "00"}])
    assert isinstance(told, OSError) and "a fault" in str(told)
    assert not list(places.incoming.iterdir())
