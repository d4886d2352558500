"""Minutes: what plots are drawn from is there after a restart, adds up over workers, and is no trouble."""

import errno
import os
import time
from pathlib import Path

import msgspec
import pytest

from jollyae import Rules, Spool
from jollyae.spool import fs
from jollyae.worker import minutes
from jollyae.worker.minutes import KEEP, Minutes
from jollyae.worker.state import DELIVERY_BOUNDS, Minute
from jollyae.worker.tally import Tally
from jollyae.worker.worker import Worker
from tests.helpers import drop

BUCKETS = len(DELIVERY_BOUNDS) + 1
T0 = int(time.time()) // 60 * 60


class Clock:
    """The time of day, as the test sets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = float(T0)
        monkeypatch.setattr("time.time", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands."""
    return Clock(monkeypatch)


def _deliver(tally: Tally, count: int) -> None:
    tally.deliver([10] * count, [0.002] * count, [0.002] * count, 0.0)


def test_a_minute_is_written_when_it_is_over(tmp_path: Path, clock: Clock) -> None:
    """What happened in it, and nothing for one in which nothing happened; the running one is told without a file."""
    tally = Tally()
    _deliver(tally, 5)
    made = Minutes(str(tmp_path), "w", tally)
    _deliver(tally, 2)
    tally.fail("key", 1)
    clock.now += 59
    made.look()
    running = made.running()
    assert running == Minute(T0, 2, 20, 1, 0, [0, 2, *[0] * (BUCKETS - 2)], 0.002), "not what was before"
    assert minutes.read(tmp_path, 0) == []
    clock.now += 1
    made.look()
    assert minutes.read(tmp_path, 0) == [running] and made.running() is None
    clock.now += 600
    made.look()
    tally.defer("other", 1)
    made.close()
    assert [(one.at, one.delivered, one.deferred) for one in minutes.read(tmp_path, 0)] == [
        (T0, 2, 0),
        (T0 + 660, 0, 1),
    ]
    assert [one.at for one in minutes.read(tmp_path, T0 + 1)] == [T0 + 660]


def test_the_slowest_is_told(tmp_path: Path, clock: Clock) -> None:
    """Of its own minute; and of several where each says it: a version before did not."""
    tally = Tally()
    made = Minutes(str(tmp_path), "w", tally)
    tally.deliver([1, 1], [301.25, 3.0], [0.1, 0.1], 0.0)
    clock.now += 60
    made.look()
    tally.deliver([1], [2.0], [0.1], 0.0)
    made.close()
    found = minutes.read(tmp_path, 0)
    assert [one.slowest for one in found] == [301.25, 2.0]
    assert minutes.together([*found, Minute(T0 + 120, failed=1)]).slowest == 301.25
    assert minutes.together([*found, Minute(T0 + 120, 1, delivery=[1])]).slowest == 0.0


def test_several_workers_add_up(tmp_path: Path, clock: Clock) -> None:
    """Each has its own file; a worker that is started again in the same minute loses nothing."""
    for worker in ("a", "b", "b"):
        tally = Tally()
        made = Minutes(str(tmp_path), worker, tally)
        _deliver(tally, 1)
        made.close()
    assert minutes.read(tmp_path, 0) == [Minute(T0, 3, 30, 0, 0, [0, 3, *[0] * (BUCKETS - 2)], 0.002)]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_full_disk_costs_only_the_plot(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where half a line came onto it: the next line is read again."""
    tally = Tally()
    made = Minutes(str(tmp_path), "w", tally)
    written: list[str] = []

    def observer(operation: str, path: str) -> None:
        if operation == "write" and not written:
            written.append(path)
            os.write(int(path), b'\n{"at":18')
            raise OSError(errno.ENOSPC, "full", path)

    monkeypatch.setattr(fs, "observer", observer)
    for _ in range(2):
        _deliver(tally, 1)
        clock.now += 60
        made.look()
    assert [(one.at, one.delivered) for one in minutes.read(tmp_path, 0)] == [(T0 + 60, 1)]


def test_they_are_kept_for_two_days(tmp_path: Path, clock: Clock) -> None:
    """A worker makes a new file each day, and removes old ones then, others' too; receipts stay."""
    for name, age in (("gone.minutes", KEEP + 1), ("there.minutes", KEEP - 1), ("old.jsonl", KEEP + 1)):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (clock.now - age, clock.now - age))
    tally = Tally()
    made = Minutes(str(tmp_path), "w", tally)
    _deliver(tally, 1)
    made.close()
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} == {"there.minutes", "old.jsonl", "w"}
    clock.now += 86400
    made.look()
    _deliver(tally, 1)
    made.close()
    assert len(list(tmp_path.glob("w-*.minutes"))) == 2
    assert len(minutes.read(tmp_path, 0)) == 2


def test_what_cannot_be_read_has_none(tmp_path: Path) -> None:
    """No directory, and lines of something else."""
    assert minutes.read(tmp_path / "gone", 0) == []
    (tmp_path / "x.minutes").write_text('{"at": "now"}\n[]\nnonsense\n\n{"at": 120, "delivered": 1, "unknown": 2}\n')
    assert minutes.read(tmp_path, 0) == [Minute(120, 1)]


def test_a_worker_writes_its_last_minute_at_its_end(spool: Spool) -> None:
    """What one short run delivered is in the plot."""
    drop(spool, "a", b"12345")
    Worker(spool, lambda item: None, Rules(once=True, settle=0)).run()
    [minute] = minutes.read(spool.places.receipts, 0)
    assert (minute.delivered, minute.bytes, minute.failed) == (1, 5, 0)


def test_the_last_hour_of_a_long_file_is_read_from_its_end(tmp_path: Path) -> None:
    """Whatever is asked for, nothing is missing, also where half a line stands at the cut."""
    minutes_ = [Minute(60 * number, number, delivery=[number] * 20) for number in range(1440)]
    path = tmp_path / "w-20260101T000000Z.minutes"
    path.write_bytes(b"".join(b"\n" + msgspec.json.encode(one) for one in minutes_))
    for since in (0, 60, 60 * 700, 60 * 1300, 60 * 1380, 60 * 1439, 60 * 1440):
        assert minutes.read(tmp_path, since) == [one for one in minutes_ if one.at >= since]
