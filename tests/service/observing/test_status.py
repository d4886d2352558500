"""What ``status`` says of workers that live, that are dead, and whose work another does now."""

import asyncio
import os
import time

import msgspec
import pytest

from jollyae import Item, Spool
from jollyae.cli import main as cli
from jollyae.service.observing.status import MANY, look
from jollyae.service.observing.why import Situation, explain
from jollyae.spool import owner
from jollyae.spool.claims import Claims
from jollyae.spool.leases import Leases
from jollyae.spool.places import Place
from jollyae.spool.readiness import Readiness
from jollyae.worker import state
from jollyae.worker.state import Counted, Paused, Snapshot, StateFile
from tests.helpers import drop, eventually, working
from tests.web.spools import trouble

REFUSED = Paused("destination", "connection refused", "Start it.", 5.0)


def _snapshot(paused: Paused | None = None) -> Snapshot:
    return Snapshot(
        worker="w",
        pid=1,
        started=0.0,
        destination="d",
        watch="inotify",
        delivered=0,
        delivered_bytes=0,
        failed=0,
        deferred=0,
        unready=0,
        limit=1,
        in_flight=[],
        held=0,
        paused=paused,
    )


def test_a_dead_worker_is_not_shown_as_live(spool: Spool) -> None:
    """A worker that died in a pause, and whose item another works on, is neither counted nor quoted; that the item is
    in flight again is no trouble."""
    dead = Claims(spool.places, Readiness(0))
    drop(spool, "f", "x")
    item = dead.take("f", renamed=True)
    assert isinstance(item, Item)
    dead.keep(item, "no route", "plug it in")
    StateFile(dead.directory).show(_snapshot(REFUSED))
    dead.stop()
    assert "no worker is running" in look(spool)["why"] and look(spool)["troubles"]

    async def process(item: Item) -> None:
        busy.set()
        await release.wait()

    async def play() -> None:
        async with working(spool, process) as worker:
            await asyncio.wait_for(busy.wait(), 30)
            await eventually(lambda: (spool.places.working / worker.name / state.FILE).exists())
            seen = look(spool)
            assert seen["why"] == "1 worker running, 1 item to deliver"
            assert [one["worker"] for one in seen["workers"]] == [worker.name]
            assert owner.holder(dead.directory) == worker.name
            assert seen["troubles"] == []
            release.set()

    busy, release = asyncio.Event(), asyncio.Event()
    asyncio.run(play())


def test_a_shared_spool(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    """A worker with a lease lives by the time of that, and says how long one holds; a dead one is named."""
    claims = [
        Claims(spool.places, Readiness(0), ownership=Leases(str(spool.places.working), lease=7.0)) for _ in range(2)
    ]
    for one in claims:
        StateFile(one.directory).show(msgspec.structs.replace(_snapshot(), worker=one.worker, lease=one.lease))
    seen = look(spool)
    assert [worker["lease"] for worker in seen["workers"]] == [7.0, 7.0] and seen["dead"] == []
    os.utime(f"{claims[1].directory}/.lease", (1, 1))
    assert [worker["worker"] for worker in look(spool)["workers"]] == [claims[0].worker]
    assert cli.run(["status", str(spool.places.control)]) == 0
    said = capsys.readouterr().out
    assert "shared, lease 7 s" in said and f"dead worker {claims[1].worker}" in said


def test_what_is_held_in_a_pause_stays_a_trouble(spool: Spool) -> None:
    """An item that waits in hand for its destination is shown with the reason."""
    claims = Claims(spool.places, Readiness(0))
    drop(spool, "f", "x")
    item = claims.take("f", renamed=True)
    assert isinstance(item, Item)
    claims.keep(item, "no route", "plug it in")
    assert [one["error"] for one in look(spool)["troubles"]] == ["no route"]
    claims.begin(item)
    assert look(spool)["troubles"] == []
    claims.stop()


@pytest.mark.parametrize(
    ("snapshots", "live", "said"),
    [
        ([_snapshot(REFUSED)], 1, "paused: connection refused. Start it."),
        ([_snapshot(REFUSED), _snapshot(Paused("destination", "503", "", 9.0))], 2, "paused: con"),
        ([_snapshot(REFUSED), _snapshot()], 2, "2 workers running (1 of them paused: connection refused. Start it.)"),
        ([_snapshot(REFUSED)], 2, "2 workers running (1 of them paused: connection refused. Start it.), nothing waits"),
        ([], 0, "no worker is running"),
    ],
)
def test_paused_means_that_all_are(snapshots: list[Snapshot], live: int, said: str) -> None:
    """As long as one worker is not paused, items move; a paused one is named beside that."""
    assert explain(Situation("/s", {}, snapshots, live)).sentence.startswith(said)


def test_troubles_of_one_kind_are_one_pair_of_lines(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    """What differs from item to item (name, URL, the request's id) does not make ten reasons of one."""
    claims = Claims(spool.places, Readiness(0))
    for number in range(10):
        drop(spool, f"m{number}.txt", "x")
        item = claims.take(f"m{number}.txt", renamed=True)
        assert isinstance(item, Item)
        why = f"there is no such bucket: s3://nope/in/m{number}.txt: 404 NoSuchBucket (request tx00{number})"
        claims.keep(item, why, "Check the name in --to.")
    claims.stop()
    assert cli.run(["status", str(spool.places.control)]) == 0
    said = capsys.readouterr().out
    assert said.count("there is no such bucket") == said.count("Check the name") == 1 and " and 9 more" in said


def _large(spool: Spool, places: dict[str, Counted]) -> None:
    """A live worker tells that so much lies in the places."""
    claims = Claims(spool.places, Readiness(0))
    StateFile(claims.directory).show(msgspec.structs.replace(_snapshot(), worker=claims.worker, places=places))


def test_a_large_place_is_not_read_where_a_live_worker_knows_it(
    spool: Spool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its count is told as about right, and how old it is; the others are read; without the worker all are."""
    drop(spool, "a", "x")
    now = time.time()
    known = {"finished": Counted(MANY + 1, 5, now - 30, now - 12), "failed": Counted(3, 5, now, now)}
    assert look(spool)["places"]["finished"]["counted_s"] == 0
    _large(spool, known)
    seen = look(spool)["places"]
    assert (seen["finished"]["items"], seen["finished"]["bytes"]) == (MANY + 1, 5)
    assert 30 <= seen["finished"]["oldest_s"] < 60 and 12 <= seen["finished"]["counted_s"] < 40
    assert (seen["failed"]["items"], seen["failed"]["counted_s"], seen["incoming"]["items"]) == (0, 0, 1)
    assert cli.run(["status", str(spool.places.control)]) == 0
    assert "about: counted 1" in capsys.readouterr().out


def test_a_large_incoming_has_what_is_not_ready_too(spool: Spool) -> None:
    """A worker tells it apart; in this count it always was."""
    now = time.time()
    _large(spool, {"incoming": Counted(MANY + 1, 5, now, now), "unready": Counted(7, 0, None, now)})
    assert look(spool)["places"]["incoming"]["items"] == MANY + 8


def test_how_old_items_are(spool: Spool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In doubling steps, for each place, in text and JSON, and only when asked for; 80 columns are enough."""
    for name in ("a", "b", ".hidden"):
        drop(spool, name, "x")
    now = time.time()
    monkeypatch.setattr("jollyae.spool.survey.time.time", lambda: now + 550)
    assert look(spool)["ages"] is None
    ages = look(spool, ages=True)["ages"]
    assert ages["bounds_s"][:4] == (60, 300, 600, 1200) and len(ages["bounds_s"]) == 10
    assert ages["items"]["incoming"] == [0, 0, 2, *[0] * 8] and sum(ages["items"]["failed"]) == 0
    monkeypatch.setattr("jollyae.spool.survey.time.time", lambda: now + 1e6)
    assert look(spool, ages=True)["ages"]["items"]["incoming"] == [*[0] * 10, 2]
    assert cli.run(["status", "--ages", str(spool.places.control)]) == 0
    table = capsys.readouterr().out.partition("age up to")[2].splitlines()
    assert table[0].split() == ["1m", "5m", "10m", "20m", "40m", "80m", "160m", "320m", "640m", "1280m", "more"]
    assert table[1].split() == ["incoming", *["0"] * 10, "2"] and max(map(len, table)) <= 80


def test_a_pause_by_hand_that_is_over_is_over_at_once(spool: Spool) -> None:
    """What the worker wrote before it heard of it is not told: whoever resumed would believe that it did not help."""
    claims = Claims(spool.places, Readiness(0))
    drop(spool, "a", "x")
    told = msgspec.structs.replace(_snapshot(Paused("hand", "lunch")), worker=claims.worker, last_scan=time.time())
    StateFile(claims.directory).show(told)
    spool.pause("lunch")
    assert look(spool)["why"].startswith("paused by hand: lunch")
    spool.resume()
    seen = look(spool)
    assert (seen["level"], seen["why"]) == ("ok", "1 worker running, 1 item to deliver")
    claims.stop()


def test_a_deferred_item_tells_when_it_arrived(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    """Each try is told as well, and makes it no younger; of alike ones it is the oldest."""
    for name, age in (("a", 4000), ("b", 7300), ("c", 100)):
        trouble(spool, name, "403", place=Place.DEFERRED, arrived=time.time() - age, due=time.time() + 1000)
    assert cli.run(["status", str(spool.places.control)]) == 0
    said = capsys.readouterr().out
    assert "and 2 more  (arrived 2 h ago, tried 0 s ago, again in 1" in said
    assert len([one for one in look(spool)["troubles"] if one["arrived"]]) == 3


def test_who_waits_for_a_namesake_is_named(spool: Spool) -> None:
    """One that is in incoming/ for its earlier namesake is not taken, and status says why."""
    claims = Claims(spool.places, Readiness(0))
    StateFile(claims.directory).show(
        msgspec.structs.replace(_snapshot(), worker=claims.worker, last_scan=time.time(), next_attempt=time.time() + 99)
    )
    trouble(spool, "later33", "not yet", place=Place.DEFERRED)
    drop(spool, "later33", "x")
    assert "1 deferred; later33 waits for its earlier namesake in deferred/" in look(spool)["why"]
    drop(spool, "other", "x")
    assert "namesake" not in look(spool)["why"], "somebody else can be taken"
    claims.stop()


def test_what_is_in_hand_is_as_old_as_its_worker_says(spool: Spool) -> None:
    """At its first try it has no note, and its change time is that of the claim."""
    claims = Claims(spool.places, Readiness(0))
    drop(spool, "a", "x")
    assert isinstance(claims.take("a", renamed=True), Item)
    assert look(spool)["places"]["working"]["oldest_s"] < 60
    told = msgspec.structs.replace(_snapshot(), worker=claims.worker, oldest_in_hand=time.time() - 1000)
    StateFile(claims.directory).show(told)
    assert 1000 <= look(spool)["places"]["working"]["oldest_s"] < 1060
    claims.stop()
