"""``run --processes``: real processes on real spools, some of which are killed."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from jollyae import Spool
from jollyae.service.processes.team import GIVE_UP
from jollyae.service.processes.together import together
from jollyae.service.settings import Settings
from jollyae.worker.rules import Share
from jollyae.worker.state import Flight, Paused, Snapshot
from jollyae.worker.tally import Tally
from tests.helpers import drop, until, whereabouts

ROOT = Path(__file__).parents[3]


class Run:
    """A ``jollyae run`` with several processes, its log in a file."""

    def __init__(self, spool: Spool, *words: str, terminal: int = -1) -> None:
        self.spool = spool
        self.root = spool.places.control
        self._log = self.root.parent / "log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "JOLLYAE_"))}
        command = [sys.executable, "-W", "error", "-m", "jollyae", "run", str(self.root), *words]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stderr=log if terminal < 0 else None,
                env=clean | {"PYTHONPATH": str(ROOT / "src"), "LC_ALL": "C.UTF-8"},
                preexec_fn=(lambda: os.login_tty(terminal)) if terminal >= 0 else None,
            )

    @property
    def log(self) -> str:
        """What it said so far."""
        return self._log.read_text(errors="replace")

    def workers(self) -> set[int]:
        """The worker processes that say they live, by their states in working/."""
        pids = {int(path.parent.name.split("-")[-2]) for path in self.spool.places.working.glob("*/.state.json")}
        return {pid for pid in pids if _parent_of(pid) == self.process.pid}

    def until_works(self, count: int) -> set[int]:
        """Wait until so many work; their process ids."""
        found: set[int] = until(lambda: (pids := self.workers()) and len(pids) == count and pids, self.log)
        return found

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        return self.process.wait(60)


def _parent_of(pid: int) -> int:
    """The parent of a process; 0 when it is gone or a zombie."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if state == "Z" else int(parent)


Start = Callable[..., Run]


@pytest.fixture
def start(spool: Spool) -> Iterator[Start]:
    """``start(words…)``: a run on the spool, ended at the test's end."""
    runs: list[Run] = []

    def start(*words: str, **more: Any) -> Run:
        runs.append(Run(spool, *words, **more))
        return runs[-1]

    yield start
    for run in runs:
        living = run.workers()
        run.process.kill()
        run.process.wait()
        for pid in living:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def receipts(spool: Spool) -> list[dict[str, Any]]:
    """All receipts."""
    files = spool.places.receipts.glob("*.jsonl")
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def fill(spool: Spool, count: int) -> list[str]:
    """Put items in; their names."""
    names = [f"item-{number:04d}" for number in range(count)]
    for name in names:
        drop(spool, name, name * 3)
    return names


# --- they share the work


def test_each_item_is_delivered_once(spool: Spool, start: Start, to: Path) -> None:
    """600 items, three processes: each has one object and one receipt, and the log sums all of it up in one line."""
    names = fill(spool, 600)
    run = start("--to", f"file://{to}", "--once", "--settle", "0", "--processes", "3")
    assert run.wait() == 0, run.log
    assert {path.name: path.read_text() for path in to.iterdir()} == {name: name * 3 for name in names}
    assert Counter(one["name"] for one in receipts(spool)) == Counter(names)
    assert len({one["worker"] for one in receipts(spool)}) == len(list(spool.places.receipts.glob("*.jsonl"))) == 3
    assert whereabouts(spool) == {name: ["finished"] for name in names}
    assert not list(spool.places.working.iterdir()), "who ends in order leaves nothing"
    assert re.findall(r"delivered \d+.*", run.log) == ["delivered 600, failed 0, left waiting 0"]
    assert run.log.count("delivering to") == 1


def test_what_lands_while_they_run(spool: Spool, start: Start, to: Path) -> None:
    """Hints reach all of them; each item is delivered once, and by the one whose own it is while all are idle. Each
    line of the log says whose it is."""
    run = start("--to", f"file://{to}", "--processes", "2", "--log-format", "json", "-v")
    run.until_works(2)
    until(lambda: run.log.count("working on") == 2)
    names = []
    for number in range(40):
        names.append(f"item-{number}")
        drop(spool, names[-1])
        until(lambda: len(receipts(spool)) == len(names), run.log)
    assert Counter(one["name"] for one in receipts(spool)) == Counter(names)
    own = Share(0, 2).own()
    assert own is not None
    shares = Counter((own(one["name"]), one["worker"]) for one in receipts(spool))
    (first, one), (second, two) = shares.most_common(2)
    assert first[0] != second[0] and first[1] != second[1] and one + two > 30, f"each takes its own names: {shares}"
    run.process.terminate()
    assert run.wait() == 0, run.log
    lines = [json.loads(line) for line in run.log.splitlines()]
    assert {one["worker"] for one in lines if one["message"] == "delivered"} == {first[1], second[1]}
    assert [one["message"] for one in lines if "worker" not in one] == [
        "stopping: 30 s for what is in flight; again: at once"
    ]


def test_commands(spool: Spool, start: Start) -> None:
    """--exec, some of which fail and some of which wait: 1, as with one process."""
    names = [*fill(spool, 20), "bad", "later"]
    for name in names[-2:]:
        drop(spool, name)
    script = 'case "$1" in */bad) exit 1;; */later) exit 75;; esac'
    run = start("--exec", f"sh -c '{script}' sh {{}}", "--once", "--settle", "0", "--processes", "2")
    assert run.wait() == 1, run.log
    found = whereabouts(spool)
    assert (found.pop("bad"), found.pop("later")) == (["failed"], ["deferred"])
    assert found == {name: ["finished"] for name in names[:-2]}
    assert "delivered 20, failed 1, left waiting 1" in run.log


def test_a_growing_file_waits_once(spool: Spool, start: Start, to: Path) -> None:
    """75: all of them see it grow, and it counts once."""
    with (spool.places.incoming / "growing").open("wb") as file:
        file.write(b"half")
        file.flush()
        drop(spool, "whole")
        run = start("--to", f"file://{to}", "--once", "--settle", "0.1", "--processes", "3")
        assert run.wait() == 75, run.log
    assert "left waiting 1 (still being written: growing)" in run.log
    assert whereabouts(spool) == {"growing": ["incoming"], "whole": ["finished"]}


def test_what_cannot_work_is_said_before_they_start(spool: Spool, start: Start, tmp_path: Path) -> None:
    """78, and one sentence."""
    run = start("--to", f"file://{spool.places.finished}", "--processes", "2")
    assert (run.wait(), run.log.count("lie in each other"), run.log.count("working on")) == (78, 1, 0)
    run = start("--to", "file://elsewhere/x", "--processes", "2")
    assert (run.wait(), run.log.count("cannot deliver")) == (78, 1)


@pytest.mark.parametrize("to", ["s3://bucket/prefix", "file:///TMP/out", "az://container"])
def test_what_is_forked_has_nothing_open(tmp_path: Path, to: str) -> None:
    """When the workers are forked their parent has one thread, no connection, and no boto3."""
    to = to.replace("/TMP", str(tmp_path))
    if to.startswith("az"):
        pytest.importorskip("obstore")
    script = f"""
import os, sys
from jollyae.service import compose, settings
from jollyae.spool.places import Places
compose.prepared(Places.under({str(tmp_path / "spool")!r}), settings.Settings(to={to!r}, processes=2))
links = [os.readlink(f.path) for f in os.scandir("/proc/self/fd") if os.path.islink(f.path)]
print(len(os.listdir("/proc/self/task")), "boto3" in sys.modules, [link for link in links if "socket" in link])
"""
    env = os.environ | {"PYTHONPATH": str(ROOT / "src"), "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    env |= {"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_ACCOUNT_KEY": "YQ=="}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "1 False []\n"


# --- some die


def test_one_is_killed(spool: Spool, start: Start) -> None:
    """kill -9: another is started, takes over what that one had in work, and nothing is lost."""
    names = fill(spool, 12)
    run = start("--exec", "sh -c 'sleep 0.3' {}", "--processes", "3", "--concurrency", "3")
    victim = run.until_works(3).pop()
    os.kill(victim, signal.SIGKILL)
    until(lambda: "was ended by signal 9 (SIGKILL); another is started in 0.5 s" in run.log, run.log)
    until(lambda: len(list(spool.places.finished.iterdir())) == len(names), run.log)
    assert victim not in run.until_works(3)
    run.process.terminate()
    assert run.wait() == 0, run.log
    assert whereabouts(spool) == {name: ["finished"] for name in names}
    assert not list(spool.places.working.iterdir())


def test_one_hangs(spool: Spool, start: Start, to: Path) -> None:
    """Items that are a stopped worker's own are taken by the other, the hinted and the scanned ones: none is left."""
    run = start("--to", f"file://{to}", "--processes", "2")
    victim = run.until_works(2).pop()
    os.kill(victim, signal.SIGSTOP)
    names = fill(spool, 40)
    (spool.places.tmp / "directory").mkdir()
    for number in range(40):
        (spool.places.tmp / "directory" / f"{number}").touch()
    (spool.places.tmp / "directory").rename(spool.places.incoming / "directory")
    until(lambda: len(receipts(spool)) == 80, run.log)
    assert {one["worker"].split("-")[-2] for one in receipts(spool)} == {str((run.workers() - {victim}).pop())}
    os.kill(victim, signal.SIGCONT)
    run.process.terminate()
    assert run.wait() == 0, run.log
    assert sorted(whereabouts(spool)) == sorted([*names, *(f"directory/{number}" for number in range(40))])


def test_items_that_kill_their_workers(spool: Spool, start: Start) -> None:
    """With --once: each kills three workers and is then in failed/; the others are delivered, and 1 is the end."""
    names = fill(spool, 30)
    for name in ("deadly-1", "deadly-2"):
        drop(spool, name)
    script = 'case "$1" in */deadly*) kill -9 $PPID;; esac'
    run = start("--exec", f"sh -c '{script}' sh {{}}", "--once", "--settle", "0", "--processes", "2")
    assert run.wait() == 1, run.log
    assert whereabouts(spool) == {name: ["finished"] for name in names} | {
        f"deadly-{number}": ["failed"] for number in (1, 2)
    }
    assert not list(spool.places.working.iterdir())
    assert "failed 2, left waiting 0" in run.log


def test_one_is_killed_when_the_others_are_done(spool: Spool, start: Start, tmp_path: Path) -> None:
    """With --once: what it had in work is done by a last round."""
    drop(spool, "item")
    seen = tmp_path / "seen"
    script = f"[ -e {seen} ] || {{ touch {seen}; kill -9 $PPID; }}"
    run = start("--exec", f"sh -c '{script}' sh {{}}", "--once", "--settle", "0", "--processes", "2")
    assert run.wait() == 0, run.log
    assert whereabouts(spool) == {"item": ["finished"]}
    assert "delivered 1, failed 0, left waiting 0" in run.log


def test_they_die_again_and_again(spool: Spool, to: Path) -> None:
    """With --once: where processes only die, before they do anything, that has an end: 75, and the items wait."""
    names = fill(spool, 5)
    script = f"""
import os, signal, sys
from jollyae.cli.main import run
from jollyae.service.processes import team
team.FIRST_AGAIN = team.LAST_AGAIN = 0.01
team.work = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
sys.exit(run(["run", {str(spool.places.control)!r}, "--to", "file://{to}", "--once", "--processes", "2"]))
"""
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 75, done.stderr
    assert f"{GIVE_UP}th in a row: no other is started" in done.stderr
    assert "left waiting 5 (gave up)" in done.stderr
    assert whereabouts(spool) == {name: ["incoming"] for name in names}


# --- signals


def test_a_signal_ends_all_in_order(spool: Spool, start: Start) -> None:
    """SIGTERM to the parent, or to all of them as systemd does: what is in flight is finished, and 0."""
    drop(spool, "item")
    run = start("--exec", "sh -c 'sleep 1' {}", "--processes", "2")
    pids = run.until_works(2)
    until(lambda: whereabouts(spool) == {"item": ["working"]})
    for pid in (*pids, run.process.pid):
        os.kill(pid, signal.SIGTERM)
    assert run.wait() == 0, run.log
    assert whereabouts(spool) == {"item": ["finished"]} and not list(spool.places.working.iterdir())
    assert run.log.count("stopping:") == 1 and "another is started" not in run.log


def test_one_is_told_to_stop(spool: Spool, start: Start, tmp_path: Path) -> None:
    """SIGTERM to one worker: it stops in order, and another takes its place and what it left. That counts for nothing
    at the end."""
    drop(spool, "left")
    script = f"[ -e {tmp_path}/seen ] || {{ touch {tmp_path}/seen; exec sleep 30; }}"
    run = start("--exec", f"sh -c '{script}' sh {{}}", "--processes", "2", "--grace", "0.1", "--settle", "0")
    run.until_works(2)
    until((tmp_path / "seen").exists)
    victim = int(next(spool.places.working.glob("*/left")).parent.name.split("-")[-2])
    os.kill(victim, signal.SIGTERM)
    until(lambda: "was told to stop while the others go on: another is started" in run.log, run.log)
    until(lambda: victim not in run.workers() and len(run.workers()) == 2)
    drop(spool, "item")
    until(lambda: whereabouts(spool) == {"item": ["finished"], "left": ["finished"]}, run.log)
    run.process.terminate()
    assert run.wait() == 0, run.log


@pytest.mark.parametrize(
    ("words", "code"), [((), 143), (("--once",), 143), (("--grace", "0.2"), 143)], ids=["twice", "once", "grace"]
)
def test_cut_short(spool: Spool, start: Start, words: tuple[str, ...], code: int) -> None:
    """A second signal ends all of them at once; so does the end of the grace time. What was in flight stays, without
    having counted as a death."""
    drop(spool, "item")
    run = start("--exec", "sh -c 'exec sleep 30' {}", "--processes", "2", *words)
    if "--once" not in words:  # there the one without an item may end before it is seen
        run.until_works(2)
    until(lambda: whereabouts(spool) == {"item": ["working"]}, run.log)
    began = time.monotonic()
    run.process.terminate()
    if "--grace" not in words:
        until(lambda: "stopping: " in run.log, run.log)
        run.process.terminate()
    assert run.wait() == code, run.log
    assert time.monotonic() - began < 20, "nobody waited for the command"
    assert whereabouts(spool) == {"item": ["working"]}
    note = json.loads(next(spool.places.working.glob("*/.item.note")).read_text())
    assert not note.get("started") and not note.get("adoptions"), note


def test_ctrl_c(spool: Spool, start: Start) -> None:
    """On a terminal the key reaches all processes of the foreground group, and that is still one signal: what is in
    flight is finished. The live line shows all of them as one, and is gone at the end."""
    master, slave = pty.openpty()
    drop(spool, "item")
    command = "sh -c 'trap \"\" INT; sleep 2' {}"
    run = start("--exec", command, "--once", "--settle", "0", "--processes", "2", terminal=slave)
    os.close(slave)
    said = b""

    def until_said(words: bytes) -> None:
        nonlocal said
        while words not in said:
            said += os.read(master, 4096)

    until_said("in flight 1 · delivered 0".encode())
    os.write(master, b"\x03")
    until_said(b"stopping: ")
    with suppress(OSError):  # EIO: all have closed it
        while data := os.read(master, 4096):
            said += data
    os.close(master)
    assert run.wait() == 130, said
    assert whereabouts(spool) == {"item": ["finished"]}
    text = said.decode()
    assert text.count("working on") == 2 and "delivered 1, failed 0, left waiting 0" in text
    assert text.rstrip("\r\n").endswith("left waiting 0"), "no live line is left"
    assert all(line.startswith("\x1b[2K") for line in re.split("[\r\n]", text) if "working on" in line)


def test_the_parent_dies(spool: Spool, start: Start) -> None:
    """kill -9 of the parent: the workers end in order by themselves, what is in flight is finished, nothing is lost."""
    names = fill(spool, 20)
    run = start("--exec", "sh -c 'sleep 0.5' {}", "--processes", "2", "--concurrency", "4")
    pids = run.until_works(2)
    until(lambda: "working" in str(whereabouts(spool)))
    run.process.kill()
    run.process.wait()
    until(lambda: not any(map(_parent_of, pids)), "the end of the orphans")
    assert not list(spool.places.working.iterdir()), "they ended in order"
    found = whereabouts(spool)
    assert sorted(found) == names and {tuple(places) for places in found.values()} <= {("incoming",), ("finished",)}
    assert run.log.count("the parent process is gone: stopping") == 2


# --- what each of them may, and what is seen of all


def test_what_is_divided() -> None:
    """Concurrency, bandwidth and memory are divided, and never become 0."""
    settings = Settings(to="s3://b", concurrency=5, bandwidth="1b", processes=3)
    parts = [settings.divided(Share(index, 3)) for index in range(3)]
    assert [part.concurrency for part in parts] == [2, 2, 1]
    assert [part.rules().concurrency for part in parts] == [2, 2, 1]
    limiters = [part.limiter() for part in parts]
    assert all(limiter and limiter.delay(1) == 0.0 and limiter.delay(1) > 0.5 for limiter in limiters)
    assert [Settings(concurrency=1).divided(Share(index, 2)).concurrency for index in range(2)] == [1, 1]


def _snapshot(worker: str, paused: Paused | None = None) -> Snapshot:
    return Snapshot(
        worker=worker,
        pid=1,
        started=5.0,
        destination="s3://b",
        watch="inotify",
        delivered=1,
        delivered_bytes=10,
        failed=0,
        deferred=0,
        unready=3,
        limit=4,
        in_flight=[Flight(worker, 10, 5)],
        held=2,
        paused=paused,
    )


def test_workers_seen_as_one() -> None:
    """Counts are of all, also of those that are gone; it is paused when all are, since the first was."""
    paused = [Paused("destination", "down", "", since) for since in (20.0, 10.0)]
    seen = together([_snapshot("a", paused[0]), _snapshot("b")], Tally([7, 70, 2, 1]))
    assert (seen.worker, seen.delivered, seen.delivered_bytes, seen.failed, seen.deferred) == ("2 workers", 7, 70, 2, 1)
    assert ([flight.name for flight in seen.in_flight], seen.held, seen.limit) == (["a", "b"], 4, 8)
    assert seen.unready == 3, "each of them sees the same ones"
    assert seen.paused is None
    assert together([_snapshot("a", paused[0]), _snapshot("b", paused[1])], Tally([7, 70, 2, 1])).paused == paused[1]


def test_siblings_know_together_what_lies_where(spool: Spool, start: Start) -> None:
    """The first counts the places once; what each delivers since is in its counts, without another walk."""
    drop(spool, "first")
    started = start("--processes", "2", "--exec", "true", "--settle", "0")
    started.until_works(2)

    def finished() -> int:
        states = [json.loads(path.read_text()) for path in spool.places.working.glob("*/.state.json")]
        counts = [state["places"] for state in states if state["places"].get("finished")]
        return counts[0]["finished"]["items"] if len(counts) == 1 else 0

    until(lambda: finished() == 1, started.log)
    for number in range(40):
        drop(spool, f"item{number}", "12345")
    until(lambda: finished() == 41, started.log)
    assert len({one["worker"] for one in receipts(spool)}) == 2
