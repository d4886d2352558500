"""All queues at a glance: with real workers that work, are stopped, killed, or meet a spool that is gone."""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

import jollyae
from jollyae import Spool
from jollyae.cli import web
from jollyae.service.observing.past import Past
from jollyae.service.observing.status import Live
from jollyae.spool import owner
from jollyae.spool.places import Place
from jollyae.web.counts import Counting
from jollyae.web.model import Dashboard, QueueView, overview
from jollyae.web.pace import Pace
from jollyae.web.queue import Queue
from jollyae.web.views import Drain, Speed
from jollyae.worker.state import Counted, Flight, Minute, StateFile
from tests.children import Forks
from tests.helpers import drop, mount_namespace, needs_root, until
from tests.web.spools import queue, snapshot, trouble


@pytest.fixture
def dashboard(spool: Spool) -> Iterator[Dashboard]:
    """A dashboard of one queue."""
    found = Dashboard([queue(spool)])
    yield found
    found.close()


def look(dashboard: Dashboard) -> QueueView:
    """The only queue."""
    (found,) = dashboard.overview()
    return found


def test_without_a_worker_the_places_are_counted(spool: Spool, dashboard: Dashboard) -> None:
    """And it is said that nobody works, with the command that helps."""
    drop(spool, "a", "12345")
    drop(spool, ".hidden", "1")
    trouble(spool, "bad", "not an image", "Convert it.")
    seen = look(dashboard)
    assert [(one.name, one.items, one.bytes) for one in seen.places][:2] == [("incoming", 1, 5), ("working", 0, 0)]
    assert seen.place("failed").items == 1 and seen.backlog == 1 and seen.ignored == 1
    assert seen.place("incoming").oldest == pytest.approx(time.time(), abs=5) and seen.place("incoming").as_of
    assert (seen.level, seen.reason, seen.drain.state) == ("trouble", "absent", "still")
    assert seen.command == "" and "as it was started" in seen.sentence  # its other options are not known
    assert seen.destination == "s3://bucket/in" and not seen.workers


def test_a_queue_of_a_configuration_without_a_worker_is_trouble(spool: Spool, tmp_path: Path) -> None:
    """Also where nothing waits, and with the command that runs it as it shall be; not where it ends by itself."""
    one = Queue("photos", spool, "s3://bucket/in", str(tmp_path / "j.toml"), is_wanted=True)
    (seen,) = overview([one])
    assert (seen.level, seen.reason, seen.command) == ("trouble", "absent", f"jollyae run -c {tmp_path}/j.toml")
    (seen,) = overview([replace(one, is_wanted=False)])
    assert (seen.level, seen.command) == ("ok", "")


def test_a_live_worker_is_shown_and_its_end_too(spool: Spool, dashboard: Dashboard, forks: Forks, to: Path) -> None:
    """What it delivered, what it has in flight, that it was stopped and goes on, and that it was killed."""
    pid = forks.start(spool.places.control, to)
    drop(spool, "a.txt", "x")
    drop(spool, "slow.txt", "four")
    seen = until(lambda: (found := look(dashboard)).in_flight and found.workers[0].delivered and found)
    assert (seen.workers[0].delivered, seen.workers[0].pid, seen.in_flight_count) == (1, pid, 1)
    assert (seen.in_flight[0].name, seen.in_flight[0].size, seen.level) == ("slow.txt", 4, "ok")
    os.kill(pid, signal.SIGSTOP)
    seen = until(lambda: (found := look(dashboard)).reason == "silent" and found)
    assert seen.level == "trouble" and seen.command == f"kill -CONT {pid}" and seen.workers[0].silent
    os.kill(pid, signal.SIGCONT)
    until(lambda: look(dashboard).level == "ok")
    forks.kill(pid)
    seen = until(lambda: not (found := look(dashboard)).workers and found)
    assert (seen.reason, seen.in_flight_count) == ("absent", 0)
    until(lambda: "no worker is running, 1 item to deliver" in look(dashboard).sentence)  # counted anew


def test_an_item_that_kills_workers_is_named(spool: Spool, dashboard: Dashboard, forks: Forks, to: Path) -> None:
    """Before it is in failed/, and then by the reason there."""
    drop(spool, "deadly.txt", "x")
    for _ in range(3):
        forks.run(spool.places.control, to)
    seen = look(dashboard)
    assert "workers died 2 times with deadly.txt" in seen.sentence and seen.reason == "deadly"
    pid = forks.start(spool.places.control, to)
    seen = until(lambda: (found := look(dashboard)).reason == "failed" and found)
    assert "the worker died three times with this" in seen.sentence and seen.level == "trouble"
    forks.kill(pid, signal.SIGTERM)


def test_a_stopped_server_is_told(spool: Spool, dashboard: Dashboard, forks: Forks, tmp_path: Path) -> None:
    """By a real run against a port where nobody listens: the pause, its hint, and what to try."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    drop(spool, "a", "x")
    words = ["run", str(spool.places.control), "--to", "s3://b", "--endpoint-url", f"http://127.0.0.1:{port}"]
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1", "HOME": str(tmp_path)}
    pid = forks.jollyae(words, os.environ | keys, tmp_path / "run")
    seen = until(lambda: (found := look(dashboard)).pauses and found)
    assert seen.sentence.startswith("paused: connection refused") and "Is the store running" in seen.sentence
    assert (seen.pauses[0].by, seen.pauses[0].workers, seen.drain.state) == ("destination", 1, "still")
    forks.kill(pid, signal.SIGKILL)


def test_paused_by_hand(spool: Spool, dashboard: Dashboard) -> None:
    """With the reason, whatever bytes it has."""
    spool.pause("the bucket \x1b[2J moves")
    seen = look(dashboard)
    assert seen.paused_by_hand is not None and seen.level == "waits" and seen.command.startswith("jollyae resume ")


def test_a_spool_that_goes_and_comes_back(spool: Spool, dashboard: Dashboard) -> None:
    """It is told, and no number of before is shown."""
    drop(spool, "a", "x")
    assert look(dashboard).backlog == 1
    shutil.rmtree(spool.places.control)
    seen = look(dashboard)
    assert (seen.reason, seen.level, seen.backlog) == ("gone", "trouble", 0) and "jollyae init" in seen.sentence
    assert all(one.error for one in seen.places)
    spool.make()
    assert look(dashboard).reason != "gone"


@needs_root
def test_a_spool_of_somebody_else_is_told_with_whose_it_is(spool: Spool) -> None:
    """The dashboard runs as another user than the worker: no number is invented, and it says who is who."""
    for above in spool.places.control.parents:
        if len(above.parts) > 2 and not above.stat().st_mode & 0o001:
            os.chmod(above, 0o711)
    code = (
        "import os, sys; from jollyae import Spool; from jollyae.web.model import overview; "
        "from jollyae.web.queue import Queue; os.setgroups([]); os.setgid(65534); os.setuid(65534); "
        "seen, = overview([Queue('q', Spool(sys.argv[1], make=False))]); "
        "print(seen.reason, seen.backlog, seen.sentence)"
    )
    run = subprocess.run([sys.executable, "-c", code, spool.places.control], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("gone 0 ") and "cannot be read: Permission denied" in run.stdout
    assert "It belongs to user root (0)" in run.stdout and "(65534)" in run.stdout


def test_the_last_delivery_is_known_when_its_worker_is_gone(spool: Spool, dashboard: Dashboard) -> None:
    """From its minutes."""
    assert look(dashboard).last_delivery == 0
    at = int(time.time()) // 60 * 60 - 600
    minutes = [Minute(at, 5, delivery=[5]), Minute(at + 60, 0, failed=1)]
    lines = b"".join(b"\n" + msgspec.json.encode(one) for one in minutes)
    (spool.places.receipts / "w-20260101T000000Z.minutes").write_bytes(lines)
    assert look(dashboard).last_delivery == at + 59


def test_a_disk_that_does_not_answer_holds_only_its_own_queue(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of NFS is away: the others are shown, it is told, and it is asked once, not by a thread each second."""
    monkeypatch.setattr("jollyae.web.patience.PATIENCE", 2.0)
    answers, asked = threading.Event(), []

    def live_workers(of: Spool) -> list[Live]:
        if of.places != spool.places:
            asked.append(of)
            assert answers.wait(60)
        return []

    monkeypatch.setattr("jollyae.service.observing.status.live_workers", live_workers)
    dashboard = Dashboard([Queue("far", Spool(tmp_path / "far")), queue(spool)])
    for _ in range(3):
        far, near = dashboard.overview()
        assert (far.reason, far.level, near.reason) == ("hangs", "trouble", "absent")
    assert "does not answer for" in far.sentence and far.command.startswith("findmnt") and len(asked) == 1
    answers.set()
    until(lambda: dashboard.look("far").reason == "absent")
    dashboard.close()


def test_one_lost_queue_does_not_hide_the_others(spool: Spool, tmp_path: Path) -> None:
    """In the order that was given."""
    missing = Queue("missing", Spool(tmp_path / "missing", make=False))
    assert [(one.name, one.reason) for one in overview([missing, queue(spool)])] == [
        ("missing", "gone"),
        ("photos", "absent"),
    ]


def test_what_live_workers_count_is_believed(spool: Spool, dashboard: Dashboard) -> None:
    """Of several the one that walked last; the places are not walked then."""
    for number, at in ((1, time.time() - 40), (2, time.time() - 20)):
        own = owner.publish(str(spool.places.working))
        held = {place.value: Counted(number, 10 * number, at - 5, at) for place in Place}
        flights = [Flight(f"f{number}\u202e", 100, 50, time.time() - 10, 2)]
        told = snapshot(worker=own.name, places=held, last_scan=time.time(), in_flight=flights, unready=number)
        StateFile(own.path).show(told)
        os.dup(own.lock)
    seen = look(dashboard)
    assert [(one.items, one.bytes, one.old) for one in seen.places] == [(2, 20, False)] * 5
    assert len(seen.workers) == 2 and seen.unready == 2 and seen.in_flight_count == 2
    flight = seen.in_flight[0]
    assert flight.name.endswith("%E2%80%AE") and flight.rate == pytest.approx(5, rel=0.2) and flight.attempt == 2


def test_a_large_spool_does_not_hold_the_page(spool: Spool) -> None:
    """While the first walk lasts, places have no number, which is not zero; then they have."""
    for number in range(3000):
        drop(spool, f"m{number}")
    counting = Counting([queue(spool)])
    assert not counting.of("photos", wait=0).places
    until(lambda: (found := counting.of("photos", wait=0)).places and found.places["incoming"].items == 3000)
    drop(spool, "one more")
    counting.again("photos")
    until(lambda: counting.of("photos").places["incoming"].items == 3001)
    counting.close()


def test_while_the_first_walk_lasts_a_glance_tells_the_least(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that is not whole is shown as such, also in the sentence; nothing is taken for nothing."""
    monkeypatch.setattr("jollyae.web.counts.FIRST", 0.0)
    monkeypatch.setattr("jollyae.spool.census.SLICE", -1.0)
    for number in range(1500):
        drop(spool, f"m{number}", "12")
    dashboard = Dashboard([queue(spool)])
    seen = look(dashboard).place("incoming")
    assert (seen.items, seen.bytes, seen.at_least) == (1000, 2000, True)
    assert "at least 1,000 items to deliver" in look(dashboard).sentence and look(dashboard).drain.state == "unknown"
    assert not look(dashboard).place("failed").at_least
    until(lambda: (found := look(dashboard).place("incoming")).items == 1500 and not found.at_least)
    dashboard.close()


@pytest.mark.parametrize(
    ("backlogs", "delivered", "still", "said"),
    [
        ([0], 0, False, Drain("empty")),
        ([10], 0, True, Drain("still")),
        ([100], 0, False, Drain()),
        ([100, 90, 80, 70], 10, False, Drain("draining", 35.0, True)),
        ([100, 110, 120, 130], 10, False, Drain("growing", sure=True)),
        ([100, 100, 100, 100], 10, False, Drain("growing", sure=True)),
        ([100, 100, 100, 100], 0, False, Drain("still", sure=True)),
        ([100, 90], 10, False, Drain("draining", 18.0 / 2 * 5, True)),
        ([0, 0, 1000, 900, 800, 700], 20, False, Drain("draining", 35.0, True)),
    ],
)
def test_when_a_backlog_will_be_gone(backlogs: list[int], delivered: int, still: bool, said: Drain) -> None:
    """Only where less comes than goes; else it grows, and a time would be a lie."""
    pace, now = Pace(), 1000.0
    for number, backlog in enumerate(backlogs):
        now = 1000.0 + 5 * number
        pace.add(now, [snapshot(delivered=delivered * number)], backlog)
    speed = pace.speed(now, Past((), None), True)
    found = pace.drain(backlogs[-1], Speed(speed.now, speed.now), is_still=still)
    assert found == said


def test_speed_now_is_that_of_the_last_seconds() -> None:
    """Over all workers, also one that came and one that went."""
    pace = Pace()
    for second in range(30):
        workers = [snapshot(worker="a", delivered=second * 10, delivered_bytes=second * 100)]
        if second >= 28:
            workers.append(snapshot(worker="b", delivered=50))
        pace.add(1000.0 + second, workers, 5)
    assert pace.speed(1029.0, Past((), None), True).now == pytest.approx((50 + 50) / 5)
    assert pace.speed(1029.0, Past((), None), False).now == 0
    assert Pace().speed(0, Past((), None), True) == Speed()


@needs_root
def test_a_full_disk_is_told(tmp_path: Path) -> None:
    """On a really full disk: though the worker can hardly write it down; and that it goes on."""
    program = Path(__file__).with_name("full_disk.py")
    environment = {**os.environ, "PYTHONPATH": str(Path(jollyae.__file__).parents[1])}
    shell = f"mount -t tmpfs -o size=1m none '{tmp_path}' && exec '{sys.executable}' '{program}' '{tmp_path}'"
    run = subprocess.run([*mount_namespace(), "sh", "-c", shell], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    said = json.loads(run.stdout.splitlines()[-1])
    assert said["levels"] == ["ok", "trouble", "ok"]
    for sentence in (said["sentence"], said["status"]):  # how many wait is only about known at that moment
        assert sentence.startswith("the spool's disk is full: it has no room left") and "Free some" in sentence


def test_queues_that_come_later_are_found(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was there is the same, one that is gone is not shown; where nobody can say, nothing changes."""
    monkeypatch.setattr("jollyae.web.model.RENEW", 0.0)
    found: list[Queue] | None = [Queue("photos", spool)]
    dashboard = Dashboard([Queue("photos", spool)], lambda: found)
    failures = dashboard.failures["photos"]
    assert [view.name for view in dashboard.overview()] == ["photos"]
    found = [Queue("photos", spool), Queue("photos/hook", spool)]
    assert [view.name for view in dashboard.overview()] == ["photos", "photos/hook"]
    assert dashboard.failures["photos"] is failures
    found = None
    assert [view.name for view in dashboard.overview()] == ["photos", "photos/hook"]
    found = [Queue("photos/hook", spool)]
    assert [view.name for view in dashboard.overview()] == ["photos/hook"]
    dashboard.close()


def test_the_queue_of_a_notification_is_found_when_it_comes(spool: Spool) -> None:
    """Its directory comes later than the dashboard; a spool that is not there for a moment changes nothing."""
    find = web._finder(argparse.Namespace(spools=[str(spool.places.control)]), None)
    assert len(find() or ()) == 1
    (spool.places.control / "notify/hook/incoming").mkdir(parents=True)
    assert [one.name.rpartition("/")[2] for one in find() or ()][1:] == ["hook"]
    spool.places.control.rename(spool.places.control.with_name("away"))
    assert find() is None
