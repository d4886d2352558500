"""What ``status`` says of workers that live, that are dead, and whose work another does now."""

import asyncio

import pytest

from jollyae import Item, Spool
from jollyae.cli import main as cli
from jollyae.service.status import look
from jollyae.service.why import Situation, explain
from jollyae.spool import owner
from jollyae.spool.claims import Claims
from jollyae.spool.readiness import Readiness
from jollyae.worker import state
from jollyae.worker.state import Paused, Snapshot, StateFile
from tests.helpers import drop, eventually, working

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
