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
from jollyae.spool import owner
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
    trouble(Spool(work / "3"), "c.txt", "no")
    worker = workers.start("--processes", "2")
    worker.until_says("2 items of an earlier run", f"{work} (1), {work}/2 (1)")
    worker.until_says("run once", "--processes 1 and --processes 3", "processes = 1, then 3")
    assert len(worker.lines("of an earlier run")) == 1
    until(lambda: all(one["workers"] for one in _status(work)[1:3]), lambda: worker.tail())
    whole, first, second, third, fourth = _status(work)
    assert (whole["level"], third["level"]) == ("trouble", "trouble") and first["level"] == second["level"] == "ok"
    assert str(third["why"]).startswith("1 item left by a run with another number of processes")
    assert str(fourth["why"]).startswith("1 failed, left by a run with another number of processes"), fourth
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


@pytest.mark.parametrize(
    ("left", "processes", "options"),
    [
        ("0", 1, "--processes 2 (in a configuration: processes = 2)"),
        ("02", 1, "--processes 3 (in a configuration: processes = 3)"),
        ("w", 2, "--processes 1 (in a configuration: processes = 1)"),
        ("w2", 2, "--processes 1 and --processes 3 (in a configuration: processes = 1, then 3)"),
    ],
)
def test_with_as_many_processes_all_of_it_is_worked_on(work: Path, left: str, processes: int, options: str) -> None:
    """One process works in the workdir itself and never in WORKDIR/0; the most works in all below."""
    for part in left:
        (work / ("" if part == "w" else part) / "incoming" / "a.txt").write_text("a")
    told = workdirs.left_behind(Places.under(work), Settings(source="sqs://q", processes=processes))
    assert told is not None and told[1].endswith(f"as many processes as before: {options}."), told


@pytest.mark.parametrize("by_name", [False, True])
def test_one_process_where_several_were_is_seen(work: Path, by_name: bool) -> None:
    """Idle, it works in the workdir itself: it is shown as running, and what failed in the others awaits no start. When
    it ends, a configuration that wants it says that it is missing."""
    trouble(Spool(work / "0"), "a.txt", "no")
    file = work.parent / "jollyae.toml"
    file.write_text(f'[queue.q]\nfrom = "sqs://q"\nworkdir = "{work}"\nexec = "true"\nprocesses = 1\n')
    words, called = (("-c", file), "q") if by_name else ((work,), str(work))
    own = owner.publish(str(work / "working"))
    try:
        seen = {one["queue"]: one for one in json.loads(call("status", *words, "--json").stdout)}
        assert list(seen) == [called, f"{called}/0", f"{called}/1", f"{called}/2"]
        assert seen[called]["level"] == seen[f"{called}/1"]["level"] == "ok", seen
        shown = one_line(call("status", *words).stdout)
        assert f"ok {called}: 1 worker running, nothing waits" in shown and "start it again" not in shown
        assert f"trouble {called}/0: no worker is running, 1 failed" in shown
    finally:
        own.remove()
    shown = one_line(call("status", *words).stdout)
    assert (f"trouble {called}: no worker is running: start it again" in shown) == by_name, shown
    assert shown.count("start it again") == by_name, shown


@pytest.mark.parametrize(("processes", "wanted"), [(1, ["q"]), (2, ["q/0", "q/1"])])
def test_the_dashboard_wants_a_worker_where_one_belongs(work: Path, processes: int, wanted: list[str]) -> None:
    """In the workdir itself if it is one process, else in the first of those below."""
    web = pytest.importorskip("jollyae.cli.web")
    from jollyae.web.queue import Queue as Shown

    queues = list(web._processes(Shown("q", Spool(work), "exec", "jollyae.toml", True), processes))
    assert [one.name for one in queues if one.is_wanted] == wanted


def test_a_note_beside_a_retried_item_is_no_litter(work: Path) -> None:
    """It is ours, and tells which object the item is; other dotfiles are counted."""
    trouble(Spool(work / "0"), "a.txt", "no", source="s3://photos/a.txt")
    assert call("retry", work, "--all").returncode == 0
    assert list((work / "0" / "incoming").glob(".*.note"))
    assert json.loads(call("status", work / "0", "--json").stdout)["ignored"] == 0
    (work / "0" / "incoming" / ".other").touch()
    assert json.loads(call("status", work / "0", "--json").stdout)["ignored"] == 1


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
