"""``check --health``: as a container's health check runs it, on workers that live, hang and are dead."""

import asyncio
import time
from pathlib import Path

import pytest

from jollyae import Item, Spool
from jollyae.cli import main as cli
from jollyae.service.observing import alive
from jollyae.service.observing.standing import SILENT, STILL, lives, why_still
from jollyae.spool.claims import Claims
from jollyae.spool.readiness import Readiness
from jollyae.worker import state
from jollyae.worker.state import StateFile
from tests.helpers import drop, eventually, working
from tests.service.snapshots import NOW, snapshot


def _health(spool: Spool, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = cli.main(["check", "--health", str(spool.places.control)])
    return code, capsys.readouterr().out


def test_where_nobody_works(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    """No worker: 1, and one line."""
    assert _health(spool, capsys) == (1, f"unhealthy: no worker is running on {spool.places.control}\n")


def test_all_queues_of_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With -c FILE each queue needs its worker."""
    file = tmp_path / "jollyae.toml"
    names = ("photos", "logs")
    file.write_text("".join(f'[queue.{name}]\nspool = "{name}"\nto = "file://{tmp_path}/x"\n' for name in names))
    workers = []
    for name, well in zip(names, (False, True), strict=True):
        spool = Spool(tmp_path / name)
        workers.append(Claims(spool.places, Readiness(0)))
        StateFile(workers[-1].directory).show(snapshot(last_scan=time.time()))
        assert cli.main(["check", "--health", "-c", str(file)]) == int(not well)
        assert capsys.readouterr().out == (
            f"healthy: 1 worker running on {tmp_path}/photos; 1 worker running on {tmp_path}/logs\n"
            if well
            else f"unhealthy: no worker is running on {tmp_path}/logs\n"
        )
    for worker in workers:
        worker.stop()


def test_where_there_is_no_spool(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    """Not a spool: 1 as well, for a health check knows nothing else."""
    code = cli.main(["check", "--health", str(spool.places.control / "elsewhere")])
    assert code == 1 and capsys.readouterr().out.startswith("unhealthy: no worker is running on ")


def test_a_worker_that_works(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    """A real one, whose destination is away: it lives all the same."""

    async def process(item: Item) -> None:
        raise ConnectionRefusedError

    async def play() -> tuple[int, str]:
        async with working(spool, process) as worker:
            await eventually(lambda: (spool.places.working / worker.name / state.FILE).exists())
            return await asyncio.to_thread(_health, spool, capsys)

    assert asyncio.run(play()) == (0, f"healthy: 1 worker running on {spool.places.control}\n")


def test_a_worker_that_died(spool: Spool) -> None:
    """Its directory, its item and what it last said are there; its lock is free."""
    claims = Claims(spool.places, Readiness(0))
    drop(spool, "f", "x")
    item = claims.take("f", renamed=True)
    assert isinstance(item, Item)
    StateFile(claims.directory).show(snapshot(last_scan=time.time()))
    claims.stop()
    assert (spool.places.working / claims.worker / state.FILE).exists()
    assert alive.look(spool.places)[0] is False


def test_a_worker_that_hangs(spool: Spool) -> None:
    """Its lock is held, and it has not looked at its spool for two minutes."""
    claims = Claims(spool.places, Readiness(0))
    StateFile(claims.directory).show(snapshot(last_scan=NOW))
    assert alive.look(spool.places, NOW + 100) == (True, f"1 worker running on {spool.places.control}")
    well, text = alive.look(spool.places, NOW + 200)
    assert not well and text == f"worker {claims.worker} has not looked at its spool for 200 s"
    claims.stop()


def test_a_worker_that_has_just_begun(spool: Spool) -> None:
    """It has said nothing yet."""
    claims = Claims(spool.places, Readiness(0))
    assert alive.look(spool.places)[0] is True
    assert alive.look(spool.places, time.time() + SILENT + 1)[0] is False
    claims.stop()


# --- standing


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({}, ""),
        ({"last_scan": NOW - SILENT - 1}, "no sign of life for 121 s"),
        ({"last_scan": 0.0, "started": NOW - 10}, ""),
        ({"last_delivery": NOW - 1000}, ""),
        ({"oldest_waiting": NOW - 400}, ""),
        (
            {"oldest_waiting": NOW - 400, "last_delivery": NOW - STILL - 1},
            "an item waits for 400 s and nothing is delivered",
        ),
        ({"oldest_waiting": NOW - 400, "last_delivery": 0.0, "started": NOW - 200}, ""),
        ({"oldest_waiting": NOW - 200, "last_delivery": 0.0}, ""),
        ({"oldest_waiting": 0.0, "last_delivery": 0.0}, ""),
    ],
)
def test_what_stands_still(changed: dict[str, object], why: str) -> None:
    """Silence; or an item that waits while nothing is delivered. Not: nothing to do, a start, a new one."""
    assert why_still(snapshot(**changed), NOW) == why


def test_a_clock_that_was_set_back_makes_nobody_dead() -> None:
    """A look in the future is a look."""
    assert lives(snapshot(last_scan=NOW + 3600), NOW)
