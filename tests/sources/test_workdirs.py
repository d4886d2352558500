"""Several processes that take from a broker have a spool each: the verbs take their workdir for all of them, and what a
run with another number of them left is told."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from jollyae.service import workdirs
from jollyae.service.settings import Settings
from jollyae.spool.owner import items_below
from jollyae.spool.places import Places
from jollyae.spool.spool import Spool
from tests.real.support import until
from tests.sources.conftest import Store
from tests.sources.scene import Queue, Taking
from tests.web.spools import trouble

FAILING = f"{shlex.quote(sys.executable)} -c 'raise SystemExit(\"out of luck\")' {{}}"


def call(*words: object) -> "subprocess.CompletedProcess[str]":
    """What a verb says."""
    command = [sys.executable, "-m", "jollyae", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def one_line(text: str) -> str:
    """As if the terminal were wide."""
    return " ".join(text.split())


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A workdir as three processes leave it: the workdir itself, with nothing in it, and a spool for each."""
    for directory in ("work", "work/0", "work/1", "work/2"):
        Spool(tmp_path / directory)
    return tmp_path / "work"


def test_status_and_retry_of_several_processes(queue: Queue, store: Store, workers: Taking) -> None:
    """While they run, and afterwards: a line for each, the sum, and failed items retried wherever they are."""
    keys = [f"{number}.txt" for number in range(20)]
    queue.send(*(store.put(key, key.encode()) for key in keys))
    worker = workers.start("--processes", "2", "--prefetch", "8", "--exec", FAILING, copying=False)
    until(lambda: queue.waiting(f"{queue.name}.dead") == 20, lambda: worker.tail())
    work = workers.directory / "work"
    seen = json.loads(call("status", work, "--json").stdout)
    assert [one["queue"] for one in seen] == [f"{work}/0", f"{work}/1"]
    assert all(one["workers"] and one["workdir"] == str(work) for one in seen)
    assert sum(one["places"]["failed"]["items"] for one in seen) == 20
    assert worker.end().code == 0, worker.tail()
    said = one_line(call("status", work).stdout)
    assert f"{work}/0: no worker is running" in said and f"{work}/1: no worker" in said
    assert f"{work}, all together: incoming 0 items" in said and "failed 20 items" in said
    assert len(list(items_below(str(work / "1" / "failed")))) > 0
    name = next(items_below(str(work / "1" / "failed")))
    assert call("retry", work, name, "nope").returncode == 1
    assert (work / "1" / "incoming" / name).exists()
    assert call("retry", work, "--all").returncode == 0
    assert sum(len(list(items_below(str(work / part / "incoming")))) for part in "01") == 20


def test_a_run_with_fewer_processes_tells_what_the_others_left(queue: Queue, workers: Taking, work: Path) -> None:
    """In one warning at the start, by name and number, with what to do; status shows it in trouble for as long."""
    (work / "2" / "incoming" / "a.txt").write_text("a")
    (work / "incoming" / "b.txt").write_text("b")
    worker = workers.start("--processes", "2")
    worker.until_says("2 items of an earlier run", f"{work} (1), {work}/2 (1)")
    worker.until_says("run once", "--processes 1 and --processes 3")
    assert len(worker.lines("of an earlier run")) == 1
    until(lambda: all(one["workers"] for one in _status(work)[1:3]), lambda: worker.tail())
    whole, first, second, third = _status(work)
    assert (whole["level"], third["level"]) == ("trouble", "trouble") and first["level"] == second["level"] == "ok"
    assert str(third["why"]).startswith("1 item left by a run with another number of processes")
    assert worker.end().code == 0
    said = one_line(call("drain", work).stdout)
    assert f"{work}/2: 1 item to wait for" in said and f"{work}/0: nothing to wait for" in said


def _status(work: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(call("status", work, "--json").stdout)
    return found


@pytest.mark.parametrize(
    ("processes", "left"),
    [(3, []), (2, ["2"]), (1, ["0", "1", "2"]), (4, [])],
)
def test_what_is_left_behind(work: Path, processes: int, left: list[str]) -> None:
    """The spools beyond the processes that run; none where producers bring the items."""
    for part in "012":
        (work / part / "incoming" / "a.txt").write_text("a")
    told = workdirs.left_behind(Places.under(work), Settings(source="sqs://q", processes=processes))
    assert (told is not None) == bool(left)
    assert [part for part in "012" if told is not None and f"{work}/{part} (1)" in told[0]] == left
    assert workdirs.left_behind(Places.under(work), Settings(processes=processes)) is None


def test_what_is_in_the_workdir_itself_is_shown_too(work: Path) -> None:
    """What one process left there; an empty one is not."""
    whole = Places.under(work)
    assert [one.control.name for one in workdirs.spools(whole)] == ["0", "1", "2"]
    trouble(Spool(work), "a.txt", "no")
    assert [one.control.name for one in workdirs.spools(whole)] == ["work", "0", "1", "2"]
    assert [one.control.name for one in workdirs.spools(Places.under(work / "0"))] == ["0"]


def test_the_dashboard_shows_each(work: Path) -> None:
    """A queue for each process, those of earlier runs too."""
    web = pytest.importorskip("jollyae.cli.web")
    assert [one.name for one in web._of_spools([str(work)])] == ["work/0", "work/1", "work/2"]
