"""The parent of several queues, and companions beside their workers: real processes, some of which are killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from jollyae import Spool
from jollyae.service.settings import Settings
from tests.helpers import drop, until, whereabouts

ROOT = Path(__file__).parents[3]

PROGRAM = """
import json, os, selectors, sys
from jollyae.cli.output import set_up_logging
from jollyae.service.processes import companions, parent, team
from jollyae.service.settings import Queue, Settings
from jollyae.spool.places import Places
from jollyae.spool.spool import SpoolError
from jollyae.service.compose import prepared

def companion(feed, path):
    with open(path, "a") as file, selectors.DefaultSelector() as selector:
        selector.register(feed, selectors.EVENT_READ)
        while selector.select():
            for one in feed.reports():
                told = one and one.told
                print(json.dumps([os.getpid(), one and one.queue, told and [told.worker, told.delivered]]), file=file)
                file.flush()
                if one is None:
                    return

class Told(parent.Manager):
    def ready(self):
        print("ready", file=sys.stderr)

    def stopping(self):
        print("stops", file=sys.stderr)

def work(queue, *arguments, **more):
    if "dies" in queue.name:
        os.kill(os.getpid(), 9)
    return team.work_as_it_is(queue, *arguments, **more)

team.work_as_it_is, team.work = team.work, work
queues = [Queue(name, Places.under(root), Settings(**options)) for name, root, options in json.loads(sys.argv[1])]
for queue in queues:
    if "unseen" not in queue.name:
        prepared(queue.places, queue.settings)
set_up_logging(form="json", colour="never", verbose=0, quiet=0)
beside = tuple(companions.Companion("teller", companion, (path,)) for path in sys.argv[2:])
try:
    done = parent.Parent(parent.Plan(tuple(queues), beside), manager=Told()).run()
except SpoolError as error:
    sys.exit(f"refused: {error.message}")
print(json.dumps([[one.delivered, one.failed, one.waiting] for one in done]))
"""


class Run:
    """A parent of several queues, its log in a file."""

    def __init__(self, directory: Path, *queues: tuple[str, Spool, dict[str, Any]], beside: tuple[Path, ...] = ()):
        self._log, self._out = directory / "log", directory / "out"
        told = json.dumps([(name, str(spool.places.control), options) for name, spool, options in queues])
        with self._log.open("wb") as log, self._out.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-c", PROGRAM, told, *map(str, beside)],
                stdout=out,
                stderr=log,
                env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
            )

    @property
    def log(self) -> str:
        """What it said so far."""
        return self._log.read_text()

    def lines(self) -> list[dict[str, Any]]:
        """The log's lines."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    def end(self) -> Any:
        """Stop it; what it says at its end."""
        self.process.terminate()
        return self.wait()

    def wait(self) -> Any:
        """Wait for its end; what it says then."""
        assert self.process.wait(60) == 0, self.log
        return json.loads(self._out.read_text())


Start = Callable[..., Run]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """``start((name, spool, settings)…)``: a parent, ended at the test's end."""
    runs: list[Run] = []

    def start(*queues: Any, **more: Any) -> Run:
        runs.append(Run(tmp_path, *queues, **more))
        return runs[-1]

    yield start
    for run in runs:
        run.process.kill()  # its children end by that
        run.process.wait()


@pytest.fixture
def two(tmp_path: Path) -> tuple[Spool, Spool]:
    """Two spools."""
    return Spool(tmp_path / "one"), Spool(tmp_path / "two")


def pid_in(spool: Spool) -> int:
    """The one worker that works on the spool."""
    found: list[Path] = until(lambda: list(spool.places.working.glob("*/.state.json")))
    return int(found[0].parent.name.split("-")[-2])


def told(path: Path) -> list[Any]:
    """What a companion wrote down."""
    with suppress(FileNotFoundError):
        return [json.loads(line) for line in path.read_text().splitlines()]
    return []


def test_two_queues(two: tuple[Spool, Spool], start: Start, to: Path) -> None:
    """Each has its own worker and its own destination, and the log says which queue each line is of."""
    for spool in two:
        drop(spool, "item", spool.places.control.name)
    run = start(
        ("first", two[0], {"to": f"file://{to}/one", "settle": 0}),
        ("second", two[1], {"to": f"file://{to}/two", "settle": 0, "processes": 2}),
    )
    until(lambda: all(whereabouts(spool) == {"item": ["finished"]} for spool in two), run.log)
    until(lambda: "ready\n" in run.log)
    assert run.end() == [[1, 0, 0], [1, 0, 0]]
    assert [(to / name / "item").read_text() for name in ("one", "two")] == ["one", "two"]
    assert "stops\n" in run.log
    working = [(line["queue"], line["message"].split()[2]) for line in run.lines() if "working on" in line["message"]]
    expected = [("first", two[0])] + [("second", two[1])] * 2
    assert sorted(working) == [(name, str(spool.places.incoming)) for name, spool in expected]


def test_once(two: tuple[Spool, Spool], start: Start, to: Path) -> None:
    """With once it ends when all are drained, each with its own line."""
    for number in range(30):
        drop(two[number % 2], f"item-{number}")
    run = start(
        ("first", two[0], {"to": f"file://{to}/one", "settle": 0, "once": True}),
        ("second", two[1], {"exec": "false", "settle": 0, "once": True}),
    )
    assert run.wait() == [[15, 0, 0], [0, 15, 0]]
    ends = {line["queue"]: line["message"] for line in run.lines() if "left waiting" in line["message"]}
    assert ends == {
        "first": "delivered 15, failed 0, left waiting 0",
        "second": "delivered 0, failed 15, left waiting 0",
    }


def test_one_queue_dies_and_the_other_does_not_notice(two: tuple[Spool, Spool], start: Start, to: Path) -> None:
    """A worker that is killed again and again, and then finds its spool gone, is replaced; the other queue's worker
    stays the same and works on."""
    run = start(
        ("good", two[0], {"to": f"file://{to}/one", "settle": 0}),
        ("bad", two[1], {"to": f"file://{to}/two", "settle": 0}),
    )
    good = pid_in(two[0])
    os.kill(pid_in(two[1]), signal.SIGKILL)
    until(lambda: "was ended by signal 9" in run.log)
    two[1].places.control.rename(two[1].places.control.with_name("moved"))
    two[1].places.control.write_text("in the way")
    until(lambda: "cannot work" in run.log or "ended with exit code" in run.log, run.log)
    drop(two[0], "item")
    until(lambda: whereabouts(two[0]) == {"item": ["finished"]}, run.log)
    assert pid_in(two[0]) == good
    two[1].places.control.unlink()
    two[1].places.control.with_name("moved").rename(two[1].places.control)
    drop(two[1], "late")
    until(lambda: whereabouts(two[1]) == {"late": ["finished"]}, run.log)
    assert all(line.get("queue") == "bad" for line in run.lines() if "is started" in line["message"])
    assert run.end() == [[1, 0, 0], [1, 0, 0]]


def test_what_only_its_workers_see_refuses_the_start(two: tuple[Spool, Spool], start: Start, to: Path) -> None:
    """A queue that none of its workers can begin with ends all, with its name, and the others in order."""
    two[1].places.incoming.rmdir()
    two[1].places.incoming.write_text("in the way")
    run = start(("good", two[0], {"to": f"file://{to}"}), ("unseen", two[1], {"to": f"file://{to}"}))
    assert run.process.wait(60) == 1
    assert f"refused: queue unseen: {two[1].places.incoming} is in the way" in run.log
    assert not list(two[0].places.working.iterdir()), "the other one ended in order"


def test_deaths_in_a_row_end_one_queue_only(two: tuple[Spool, Spool], start: Start, to: Path) -> None:
    """A queue whose workers only die is tried again and again, and the other works as if nothing was."""
    drop(two[0], "item")
    drop(two[1], "item")
    options = {"settle": 0, "to": f"file://{to}"}
    run = start(("good", two[0], options), ("dies", two[1], options))
    until(lambda: whereabouts(two[0]) == {"item": ["finished"]}, run.log)
    good = pid_in(two[0])
    until(lambda: run.log.count("was ended by signal 9") >= 3, run.log)
    assert pid_in(two[0]) == good and "ready\n" in run.log, "one that dies keeps nobody from being ready"
    assert run.end() == [[1, 0, 0], [0, 0, 0]]
    assert whereabouts(two[1]) == {"item": ["incoming"]}


def test_a_companion_is_told_and_replaced(two: tuple[Spool, Spool], start: Start, to: Path, tmp_path: Path) -> None:
    """It hears of each queue; killed, another is started and told all anew; it sees the workers' end and ends last."""
    heard = tmp_path / "heard"
    options = {"to": f"file://{to}", "settle": 0}
    run = start(("first", two[0], options), ("second", two[1], options), beside=(heard,))
    drop(two[0], "item")
    until(lambda: [one for one in told(heard) if one[1:] == ["first", ["1 worker", 1]]], run.log)
    until(lambda: [one for one in told(heard) if one[1] == "second"])
    first = told(heard)[0][0]
    os.kill(first, signal.SIGTERM)  # comes to whole groups: it goes on
    drop(two[1], "item.2")
    until(lambda: [one for one in told(heard) if one == [first, "second", ["1 worker", 1]]], run.log)
    os.kill(first, signal.SIGKILL)
    until(lambda: "teller was ended by signal 9 (SIGKILL); it is started again in 0.5 s" in run.log)
    until(lambda: {one[1] for one in told(heard) if one[0] != first} == {"first", "second"}, run.log)
    assert run.end() == [[1, 0, 0], [1, 0, 0]]
    last = [one for one in told(heard) if one[0] != first]
    assert {one[1]: one[2] for one in last} == {"first": ["0 workers", 1], "second": ["0 workers", 1], None: None}
    assert last[-1][1] is None, "it was ended by the end of its feed"


def test_a_companion_that_does_not_read_holds_nobody_up(two: tuple[Spool, Spool], start: Start, to: Path) -> None:
    """Stopped for ever, it costs nothing but itself: items are delivered, and the end comes, with its own."""
    heard = to.parent / "heard"
    run = start(("first", two[0], {"to": f"file://{to}", "settle": 0}), beside=(heard,))
    until(lambda: told(heard))
    pid = told(heard)[0][0]
    os.kill(pid, signal.SIGSTOP)
    for number in range(200):
        drop(two[0], f"item-{number}")
    until(lambda: len(list(two[0].places.finished.iterdir())) == 200, run.log)
    assert run.end() == [[200, 0, 0]]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_machine_is_divided_among_all() -> None:
    """Of what all workers of a parent's share, each has its part, on one spool or on several."""
    from jollyae.worker.rules import Share

    assert Share(0, 1).of_machine(100) == 100
    assert Share(0, 4).of_machine(100) == Share(0, 1, is_led=True, among=4).of_machine(100) == 25
    assert Settings(concurrency=8).divided(Share(0, 1, is_led=True, among=4)).concurrency == 8
