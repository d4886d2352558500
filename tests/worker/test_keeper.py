"""A worker that keeps only so much, and watches the room: deliveries go on, and what is told is told once."""

import asyncio
import json
import logging
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from jollyae import Rules, Spool, Worker
from jollyae.spool import floor, fs
from jollyae.spool.floor import Amount, Floor, NoRoom
from jollyae.spool.item import Item
from jollyae.spool.keeping import Limit
from jollyae.spool.owner import items_below
from jollyae.worker import keeper
from jollyae.worker.keeper import Keeper
from jollyae.worker.rules import Share
from jollyae.worker.summary import Summary
from tests.helpers import drop, eventually, once, until, whereabouts, working

ALL_OF_IT = Floor(free=Amount(percent=100.0))
"""No disk with a file on it is above this one."""


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """A spool."""
    return Spool(tmp_path / "spool")


def _deliver(item: Item) -> None:
    pass


def test_once_prunes_too(spool: Spool) -> None:
    """For cron there is no later: what is too much is gone when the run is over."""
    for number in range(5):
        (spool.places.finished / f"old{number}").write_bytes(bytes(10))
    assert once(spool, _deliver, keep_finished=Limit(bytes=20)).exit_code == 0
    assert len(list(items_below(str(spool.places.finished)))) == 2
    once(spool, _deliver)
    assert len(list(items_below(str(spool.places.finished)))) == 2


@pytest.mark.parametrize("share", [Share(), Share(1, 2)], ids=["alone", "the second of two"])
def test_once_prunes_what_it_finished_itself(spool: Spool, share: Share) -> None:
    """After the last item, not only at the start; so does each sibling, for any of them may be the last to end."""
    for number in range(20):
        drop(spool, f"{number:02}", bytes(100))
    summary = once(spool, _deliver, keep_finished=Limit(bytes=500), share=share)
    assert (summary.delivered, summary.exit_code) == (20, 0)
    assert len(list(items_below(str(spool.places.finished)))) == 5


def test_once_that_is_cut_short_does_not_stay_to_prune(spool: Spool) -> None:
    """A signal says to end now; the next run prunes. The exit code says that not all was done."""
    (spool.places.finished / "old").write_text("x")

    async def main() -> Summary:
        rules = Rules(once=True, settle=0, keep_finished=Limit(bytes=0), share=Share(1, 2))
        worker: Worker

        def deliver(item: Item) -> None:
            worker.stop(signal.SIGTERM)

        worker = Worker(spool, deliver, rules)
        drop(spool, "item", "x")
        return await worker.serve()

    assert asyncio.run(main()).signal == signal.SIGTERM
    assert {path.name for path in spool.places.finished.iterdir()} == {"old", "item"}


def test_a_worker_prunes_while_it_works(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go while others are delivered; failed/ is never touched."""
    monkeypatch.setattr(keeper, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(keeper, "PRUNE_EVERY", 0.05)
    (spool.places.failed / "bad").write_bytes(bytes(1000))

    async def main() -> None:
        async with working(spool, _deliver, settle=0, keep_finished=Limit(bytes=1000), finished_by_date=True):
            for number in range(300):
                drop(spool, f"{number:03}", bytes(10))
            await eventually(lambda: whereabouts(spool).keys() >= {"bad"} and not any(spool.places.incoming.iterdir()))
            await eventually(lambda: len(list(items_below(str(spool.places.finished)))) <= 100)

    asyncio.run(main())
    assert (spool.places.failed / "bad").exists()
    assert len(list(items_below(str(spool.places.finished)))) == 100


def test_of_siblings_the_first_prunes(spool: Spool) -> None:
    """The others would only do the same again."""
    (spool.places.finished / "old").write_text("x")
    second = Keeper(spool.places, Rules(keep_finished=Limit(bytes=0), share=Share(1, 2)))
    second.start()
    assert not [thread for thread in threading.enumerate() if thread.name == "jollyae-keeper"]
    second.stop()
    assert (spool.places.finished / "old").exists()


# --- floors


def test_an_amount() -> None:
    """A number, or a share of all; nothing else."""
    for text in ("101%", "-1%", "many", "5 %%"):
        with pytest.raises(ValueError):
            Amount.parse(text)


def test_submit_refuses_below_the_floor(spool: Spool, tmp_path: Path) -> None:
    """It says how much there is and how much must stay; nothing is written. Without a floor it goes in."""
    (tmp_path / "f").write_text("x")
    floor.write(spool.places, ALL_OF_IT)
    with pytest.raises(NoRoom, match=r"takes nothing more: .* must stay. Free some room, or try again later") as caught:
        spool.submit(tmp_path / "f")
    assert "100%" in str(caught.value)
    assert whereabouts(spool) == {} and not any(spool.places.tmp.iterdir())
    floor.write(spool.places, Floor())
    assert not (spool.places.control / floor.FILE).exists()
    assert spool.submit(tmp_path / "f") == "f"


def test_what_would_go_below_the_floor_is_refused(spool: Spool, tmp_path: Path) -> None:
    """A file that is larger than what may still be used does not go in; a small one does."""
    found = os.statvfs(spool.places.incoming)
    with open(tmp_path / "large", "wb") as large:
        large.truncate(1 << 40)
    (tmp_path / "small").write_text("x")
    floor.write(spool.places, Floor(free=Amount(found.f_bavail * found.f_frsize // 2)))
    with pytest.raises(NoRoom, match="would be left"):
        spool.submit(tmp_path / "large")
    spool.submit(tmp_path / "small")


def test_a_floor_file_that_says_nothing_is_none(spool: Spool) -> None:
    """Written by hand, or half of it."""
    (spool.places.control / floor.FILE).write_text("free lots\n\xff\ninodes 5%\n")
    assert floor.read(spool.places) == Floor(inodes=Amount(percent=5.0))


def test_below_the_floor_deliveries_go_on(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once; finished/ is pruned before its time, as was allowed; the floor is the spool's."""
    monkeypatch.setattr(keeper, "LOOK_EVERY", 0.02)
    logging.getLogger("jollyae").propagate = True
    (spool.places.finished / "old").write_text("x")

    async def main() -> None:
        rules = {"floor": ALL_OF_IT, "keep_finished": Limit(age=1e9)}
        async with working(spool, _deliver, settle=0, **rules):
            await eventually(lambda: not (spool.places.finished / "old").exists())
            drop(spool, "new", "x")
            await eventually(lambda: not any(spool.places.incoming.iterdir()))
            with pytest.raises(NoRoom):
                spool.submit(__file__)
            os.unlink(spool.places.control / floor.FILE)
            await eventually(lambda: (spool.places.control / floor.FILE).exists())

    with caplog.at_level(25, "jollyae"):
        asyncio.run(main())
    told = [record for record in caplog.records if "below the floor" in record.getMessage()]
    assert len(told) == 1 and "submit refuses" in told[0].hint  # type: ignore[attr-defined]
    assert told[0].levelno == logging.WARNING  # producers are refused


def test_without_keep_finished_nothing_is_removed_for_room(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody allowed to be removed stays, however little room there is."""
    monkeypatch.setattr(keeper, "LOOK_EVERY", 0.01)
    (spool.places.finished / "old").write_text("x")
    one = Keeper(spool.places, Rules(floor=ALL_OF_IT))
    one.start()
    until(lambda: one._is_short)
    one.stop()
    assert (spool.places.finished / "old").exists()


def test_a_worker_without_a_floor_ends_that_of_one_before(spool: Spool) -> None:
    """What is no longer configured no longer holds; a run with --once beside a daemon changes nothing."""
    floor.write(spool.places, ALL_OF_IT)
    once(spool, _deliver)
    assert floor.read(spool.places) == ALL_OF_IT
    keeper = Keeper(spool.places, Rules())
    keeper.start()
    keeper.stop()
    assert not floor.read(spool.places)


# --- receipts


def test_receipts_are_kept_as_long_as_asked(spool: Spool) -> None:
    """By age and by size; a file's age is that of its last line, and files are smaller then, so they can go."""
    old = spool.places.receipts / "w-1.jsonl"
    old.write_text(json.dumps({"id": "1"}) + "\n")
    os.utime(old, (time.time() - 1000, time.time() - 1000))
    once(spool, _deliver, keep_receipts=Limit(age=2000))
    assert old.exists()
    once(spool, _deliver, keep_receipts=Limit(age=500))
    assert not old.exists()
    for number in range(20):
        drop(spool, f"{number}", "x")
    once(spool, _deliver, keep_receipts=Limit(bytes=1000), concurrency=1)
    files = list(spool.places.receipts.iterdir())
    assert len(files) > 1 and sum(path.stat().st_size for path in files) < 3000


def test_pruned_while_it_is_finished(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Directories that are emptied and removed in the very instant in which something is finished into them cost
    nothing: all is delivered once, and the spool is never taken for unwell."""
    monkeypatch.setattr(keeper, "LOOK_EVERY", 0.001)
    monkeypatch.setattr(keeper, "PRUNE_EVERY", 0.0)
    monkeypatch.setattr(keeper, "_SHARE", 0)
    monkeypatch.setattr(keeper, "_PAUSE", 0.0)
    logging.getLogger("jollyae").propagate = True
    seen: list[str] = []

    async def main() -> None:
        async with working(spool, lambda item: seen.append(item.name), settle=0, keep_finished=Limit(bytes=0)):
            for number in range(600):
                drop(spool, f"{number % 3}/{number % 5}/{number}", b"x")
                if number % 20 == 0:
                    await asyncio.sleep(0.005)
            await eventually(lambda: len(seen) == 600 and not list(items_below(str(spool.places.finished))))

    with caplog.at_level(25, "jollyae"):
        asyncio.run(main())
    assert len(set(seen)) == 600
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_others_can_read_the_floor(spool: Spool) -> None:
    """Whatever the worker's umask is."""
    before = os.umask(0o077)
    try:
        floor.write(spool.places, ALL_OF_IT)
    finally:
        os.umask(before)
    assert (spool.places.control / floor.FILE).stat().st_mode & 0o777 == 0o644


def test_what_cannot_be_pruned_is_told_once(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at each pass; and receipts are pruned all the same."""
    monkeypatch.setattr(keeper, "LOOK_EVERY", 0.001)
    monkeypatch.setattr(keeper, "PRUNE_EVERY", 0.01)
    monkeypatch.setattr(keeper, "_SHARE", 0)
    logging.getLogger("jollyae").propagate = True
    passes: list[int] = []

    def refuse(operation: str, path: str) -> None:
        if operation == "unlink" and "finished" in path:
            passes.append(1)
            raise PermissionError(13, "Permission denied", path)

    (spool.places.finished / "old").write_text("x")
    one = Keeper(spool.places, Rules(keep_finished=Limit(bytes=0)))
    monkeypatch.setattr(fs, "observer", refuse)
    with caplog.at_level(25, "jollyae"):
        one.start()
        until(lambda: len(passes) > 3)
        one.stop()
    assert [record.getMessage() for record in caplog.records] == [
        f"cannot prune: Permission denied: {spool.places.finished}/old"
    ]
