"""``run -c FILE``: several queues of a configuration, which is loaded again at SIGHUP."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from jollyae import Spool
from tests.helpers import drop, until, whereabouts

ROOT = Path(__file__).parents[3]


class Run:
    """A ``jollyae run -c`` in a directory, its log in a file."""

    def __init__(self, directory: Path, *words: str, terminal: int = -1, **environment: str) -> None:
        self.directory = directory
        self.file = directory / "jollyae.toml"
        self._log = directory / "log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "JOLLYAE_"))}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "jollyae", "run", "-c", str(self.file), *words],
                stdin=subprocess.DEVNULL,
                stdout=log if terminal < 0 else None,
                stderr=log if terminal < 0 else None,
                env=clean | {"PYTHONPATH": str(ROOT / "src"), "LC_ALL": "C.UTF-8"} | environment,
                preexec_fn=(lambda: os.login_tty(terminal)) if terminal >= 0 else None,
            )

    @property
    def log(self) -> str:
        """What it said so far."""
        return self._log.read_text(errors="replace")

    def until_said(self, words: str, times: int = 1) -> None:
        """Wait until the log has that, so many times."""
        until(lambda: self.process.poll() is not None or self.log.count(words) >= times, f"{words}\n{self.log}")
        assert self.log.count(words) >= times, self.log

    def reload(self, text: str) -> None:
        """Write another configuration and send SIGHUP."""
        beside = self.file.with_name("new")
        beside.write_text(text)
        beside.rename(self.file)
        self.process.send_signal(signal.SIGHUP)

    def end(self) -> int:
        """Stop it; the exit code."""
        self.process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        return self.process.wait(60)


Start = Callable[..., Run]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """``start(text, words…)``: a run of that configuration, ended at the test's end."""
    runs: list[Run] = []

    def start(text: str, *words: str, **more: Any) -> Run:
        (tmp_path / "jollyae.toml").write_text(text)
        runs.append(Run(tmp_path, *words, **more))
        return runs[-1]

    yield start
    for run in runs:
        run.process.kill()  # its children end by that
        run.process.wait()


def queue(name: str, to: Path, *lines: str) -> str:
    """A queue of that name, delivered below ``to``."""
    return "\n".join([f"[queue.{name}]", f'spool = "{name}"', f'to = "file://{to}/{name}"', "settle = 0", *lines, ""])


def worker(spool: Spool) -> str:
    """The worker that works on the spool."""
    found: list[Path] = until(lambda: list(spool.places.working.glob("*/.state.json")))
    return found[0].parent.name


def until_finished(spool: Spool, names: list[str], run: Run) -> None:
    """Wait until exactly those are there, and all finished."""
    expected = {name: ["finished"] for name in names}
    until(lambda: run.process.poll() is not None or whereabouts(spool) == expected, run.log)
    assert whereabouts(spool) == expected, run.log


def metric(port: int, name: str) -> str:
    """The value of a metric without labels; '' where there is none."""
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        found = re.search(rf"^{name} (\S+)$", reply.read().decode(), re.MULTILINE)
        return found[1] if found else ""
    return ""


# --- several queues


def test_once_drains_all_and_ends_with_the_worst(tmp_path: Path, start: Start, to: Path) -> None:
    """--once counts for each queue; one failed item in one of them is 1. The log says whose each line is."""
    spools = {name: Spool(tmp_path / name) for name in ("good", "bad")}
    for number in range(20):
        drop(spools["good"], f"item-{number}")
    drop(spools["bad"], "item")
    text = queue("good", to) + '[queue.bad]\nspool = "bad"\nexec = "false"\n'
    run = start(text, "--once", "--settle", "0", "--log-format", "json")
    assert run.wait() == 1, run.log
    assert whereabouts(spools["bad"]) == {"item": ["failed"]}
    assert len(list((to / "good").iterdir())) == 20
    ends = {line["queue"]: line["message"] for line in map(json.loads, run.log.splitlines())}
    assert ends["good"] == "delivered 20, failed 0, left waiting 0"
    assert ends["bad"] == "delivered 0, failed 1, left waiting 0"


def test_what_the_command_line_says_counts_for_all(tmp_path: Path, start: Start, to: Path) -> None:
    """A flag wins over the environment, and that over the file, in every queue."""
    spool = Spool(tmp_path / "a")
    drop(spool, "x.1")
    drop(spool, "x.2")
    drop(spool, "x.3")
    run = start(queue("a", to, 'include = ["*.1"]'), "--once", "--on-done", "delete", JOLLYAE_INCLUDE="*.2,*.1")
    assert run.wait() == 0, run.log
    assert whereabouts(spool) == {"x.3": ["incoming"]}, "two were taken, and deleted"


def test_a_dry_run_says_of_all_queues(tmp_path: Path, start: Start, to: Path) -> None:
    """What would go where, and nothing is made or moved."""
    spool = Spool(tmp_path / "a")
    drop(spool, "x")
    run = start(queue("a", to) + queue("b", to), "--dry-run")
    assert run.wait() == 0
    assert f"a: x -> file://{to}/a/x" in run.log and f"b: there is no {tmp_path}/b/incoming yet" in run.log
    assert whereabouts(spool) == {"x": ["incoming"]} and not (tmp_path / "b").exists() and not list(to.iterdir())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[queue.a]\nbandwith = 1", "line 2: unknown key 'bandwith'. Did you mean: bandwidth"),
        ('[queue.a]\nspool = "a"\nto = "file://host/d"', "line 3: to: 'file://host/d' names no directory"),
        (
            '[queue.a]\nspool = "a"\nto = "file:///dev/null/d"',
            "line 1: queue a: cannot make /dev/null/d: Not a directory",
        ),
        ('[queue.a]\nspool = "jollyae.toml"\nto = "s3://b"', "line 1: queue a: "),
    ],
)
def test_a_queue_that_cannot_begin_refuses_the_start(start: Start, to: Path, text: str, said: str) -> None:
    """78, with the file, the line and the queue; and the others do not begin."""
    run = start(text + "\n" + queue("other", to))
    assert run.wait() == 78
    assert f"jollyae.toml {said}" in run.log and "working on" not in run.log and "Traceback" not in run.log


def test_the_live_line_shows_all_queues(tmp_path: Path, start: Start, to: Path) -> None:
    """In one line, and it is gone at the end."""
    master, slave = pty.openpty()
    drop(Spool(tmp_path / "a"), "item")
    run = start(queue("a", to) + queue("b", to), terminal=slave, COLUMNS="80")
    os.close(slave)
    said = b""
    while not re.search(rb"a: 1 done[^\r\n]* \xc2\xb7 b: 0 done", said):
        said += os.read(master, 4096)
    run.process.terminate()
    with suppress(OSError):  # EIO: all have closed it
        while data := os.read(master, 4096):
            said += data
    os.close(master)
    assert run.wait() == 0
    assert said.rstrip(b"\r\n").endswith(b"\x1b[2K"), "no live line is left"


# --- SIGHUP


def test_only_what_changed_begins_anew(tmp_path: Path, start: Start, to: Path) -> None:
    """One queue stays as it is, with its worker; one is changed; one goes; one is new."""
    run = start(queue("same", to) + queue("other", to) + queue("gone", to))
    same, other, gone = (Spool(tmp_path / name) for name in ("same", "other", "gone"))
    run.until_said("working on", 3)
    before = worker(same), worker(other)
    worker(gone)
    run.reload(queue("same", to) + queue("other", to, "concurrency = 3") + queue("new", to))
    run.until_said("configuration loaded again: 1 queue changed (other), 1 queue new (new), 1 queue gone (gone)")
    until(lambda: worker(other) != before[1])
    until(lambda: not list(gone.places.working.iterdir()), run.log)
    new = Spool(tmp_path / "new")
    for spool in (same, other, new, gone):
        drop(spool, "item")
    for spool in (same, other, new):
        until_finished(spool, ["item"], run)
    assert worker(same) == before[0]
    assert whereabouts(gone) == {"item": ["incoming"]}
    assert run.end() == 0, run.log


def test_what_stays_of_a_queue_that_goes_is_told(tmp_path: Path, start: Start, to: Path) -> None:
    """Where it is, how many in which place, and what to do; of what sends its messages, too, and of a spool that a
    queue has left. A queue that only got another name leaves nothing."""
    cannot = tmp_path / "cannot"
    cannot.write_text("#!/bin/sh\nexit 75\n")
    cannot.chmod(0o755)
    (tmp_path / "elsewhere").mkdir()
    old = [Spool(tmp_path / name) for name in ("gone", "moves", "old")]
    for spool in old:
        for name in ("one", "two"):
            drop(spool, name)
    drop(Spool(old[0].places.control / "notify" / "hook"), "message")
    (old[0].places.failed / "bad").write_text("x")

    def waits(name: str, spool: str, *lines: str) -> str:
        return "\n".join([f"[queue.{name}]", f'spool = "{spool}"', f'exec = "{cannot} {{}}"', "settle = 0", *lines, ""])

    hook = f'[notify.hook]\nurl = "exec:{cannot}"\n'
    run = start(hook + waits("gone", "gone", 'notify = ["hook"]') + waits("moves", "moves") + waits("old", "old"))
    until(lambda: all(len(list(spool.places.deferred.rglob("[!.]*"))) == 2 for spool in old), run.log)
    until(lambda: list((old[0].places.control / "notify" / "hook" / "failed").glob("message*")), run.log)
    run.reload(waits("moves", "elsewhere") + waits("renamed", "old") + queue("last", to))
    run.until_said(
        "configuration loaded again: 1 queue changed (moves), 2 queues new (renamed, last), 2 queues gone (gone, old)"
    )
    run.until_said("stay in ", 2)
    run.until_said("stays in ", 1)
    told = re.findall(r" warning (.*): nobody works on them any more queue=(.*)\n +(.*)\n", run.log)
    back = "Put the queue back and load the configuration again, or run it alone as it was: jollyae run"
    assert sorted(told, key=lambda one: str(one[1])) == [
        (f"3 items stay in {tmp_path}/gone (2 in deferred, 1 in failed)", "gone", f"{back} {tmp_path}/gone …"),
        (
            f"1 item stays in {tmp_path}/gone/notify/hook (1 in failed)",
            "gone/hook",
            "Put the target back into the notify of queue gone and load the configuration again: they are sent.",
        ),
        (f"2 items stay in {tmp_path}/moves (2 in deferred)", "moves", f"{back} {tmp_path}/moves …"),
    ]
    assert run.end() == 0, run.log


def test_what_is_wrong_changes_nothing(tmp_path: Path, start: Start, to: Path) -> None:
    """A file that is wrong, or a queue that cannot begin: the old configuration stays, an error says why, and the
    metric is 0 until one is right again."""
    port = _free_port()
    head = f'[metrics]\naddr = "127.0.0.1:{port}"\n'
    run = start(head + queue("a", to))
    spool = Spool(tmp_path / "a")
    before = worker(spool)
    success = "jollyae_config_last_reload_successful"
    until(lambda: metric(port, success) == "1", run.log)
    run.reload(head + queue("a", to, "concurency = 3", "settle = x"))
    run.until_said("error not loaded again, the old configuration stays")
    until(lambda: metric(port, success) == "0")
    run.reload(head + queue("a", to, "concurency = 3", 'grace = "x"'))
    run.until_said("unknown key 'concurency'. Did you mean: concurrency")
    run.until_said("grace: 'x' is no duration")
    run.reload(head + queue("a", to) + '[queue.b]\nspool = "b"\nto = "file:///dev/null/x"\n')
    run.until_said("queue b: cannot make /dev/null/x")
    assert not (tmp_path / "b").exists(), "what is not begun is not made"
    drop(spool, "item")
    until(lambda: whereabouts(spool) == {"item": ["finished"]}, run.log)
    assert (worker(spool), metric(port, success)) == (before, "0")
    run.reload(head + queue("a", to))
    run.until_said("configuration loaded again: no queue changed")
    until(lambda: metric(port, success) == "1")
    assert worker(spool) == before
    other = _free_port()
    run.reload(f'[metrics]\naddr = "127.0.0.1:{other}"\n' + queue("a", to))
    until(lambda: metric(other, success) == "1", run.log)
    until(lambda: not metric(port, success))
    assert run.end() == 0, run.log


def test_metrics_cannot_move_to_a_port_that_is_taken(tmp_path: Path, start: Start, to: Path) -> None:
    """The old configuration stays, the exporter too; and where that dies, it comes back on its port."""
    port = _free_port()
    run = start(f'[metrics]\naddr = "127.0.0.1:{port}"\n' + queue("a", to))
    success = "jollyae_config_last_reload_successful"
    until(lambda: metric(port, success) == "1", run.log)
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        run.reload(f'[metrics]\naddr = "127.0.0.1:{taken}"\n' + queue("a", to, "concurrency = 3"))
        run.until_said(f"the old configuration stays: cannot listen on 127.0.0.1:{taken}")
    until(lambda: metric(port, success) == "0")
    pid = int(worker(Spool(tmp_path / "a")).split("-")[-2])
    children = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children")
    two: list[str] = until(lambda: (found := children.read_text().split()) and len(found) == 2 and found)
    os.kill(next(int(child) for child in two if int(child) != pid), signal.SIGKILL)
    run.until_said("it is started again")
    until(lambda: metric(port, success) == "0", run.log)
    assert run.end() == 0, run.log


def test_a_log_that_is_written_otherwise(tmp_path: Path, start: Start, to: Path) -> None:
    """When [log] changes, all workers begin anew and write it so, and the parent does."""
    run = start(queue("a", to) + queue("b", to))
    run.until_said("working on", 2)
    drop(Spool(tmp_path / "a"), "quiet")
    until_finished(Spool(tmp_path / "a"), ["quiet"], run)
    run.reload('[log]\nformat = "json"\nlevel = "info"\n' + queue("a", to) + queue("b", to))
    run.until_said("configuration loaded again: 2 queues changed")
    run.until_said('"message": "working on', 2)
    drop(Spool(tmp_path / "b"), "told")
    run.until_said('"message": "delivered", "item": "told"')
    assert "item=quiet" not in run.log
    assert run.end() == 0, run.log


def test_what_cannot_be_read_in_time(tmp_path: Path, to: Path) -> None:
    """A file that does not come to an end, as on a server that does not answer: it is given up, and all goes on; what
    is right again is taken then."""
    file = tmp_path / "jollyae.toml"
    file.write_text(queue("a", to))
    program = """
import sys
from jollyae.cli.main import run
from jollyae.service.processes import loading
loading.LOAD_WITHIN = 0.5
sys.exit(run(["run", "-c", sys.argv[1]]))
"""
    log = tmp_path / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(file)],
            stderr=stream,
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        )
    try:
        until(lambda: "working on" in log.read_text())
        file.unlink()
        os.mkfifo(file)
        process.send_signal(signal.SIGHUP)
        until(lambda: "it could not be read and tried in 0.5 s" in log.read_text(), log.read_text())
        drop(Spool(tmp_path / "a"), "item")
        until(lambda: whereabouts(Spool(tmp_path / "a")) == {"item": ["finished"]})
        file.unlink()
        file.write_text(queue("a", to, "concurrency = 2"))
        process.send_signal(signal.SIGHUP)
        until(lambda: "1 queue changed" in log.read_text(), log.read_text())
        process.terminate()
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def test_reloads_while_items_flow(tmp_path: Path, start: Start, to: Path) -> None:
    """400 items land while the configuration changes five times, and SIGHUP comes twice: each is delivered once,
    whole."""
    run = start(queue("a", to) + queue("b", to))
    spools = [Spool(tmp_path / name) for name in ("a", "b")]
    names = [f"item-{number:03}" for number in range(200)]
    run.until_said("working on", 2)
    for number, name in enumerate(names):
        for spool in spools:
            drop(spool, name, name * 3)
        if number % 40 == 20:
            run.reload(queue("a", to, f"concurrency = {number + 1}") + queue("b", to, f"processes = {1 + number % 3}"))
            run.process.send_signal(signal.SIGHUP)
        if number % 40 == 39:
            run.until_said("configuration loaded again: 2 queues changed", 1 + number // 40)
    for spool in spools:
        until_finished(spool, names, run)
        written = [path.read_text() for path in spool.places.receipts.glob("*.jsonl")]
        told = [json.loads(line)["name"] for text in written for line in text.splitlines()]
        assert sorted(told) == names
        target = to / spool.places.control.name
        assert {path.name: path.read_text() for path in target.iterdir()} == {name: name * 3 for name in names}
    assert run.end() == 0, run.log
    assert "error" not in run.log
    assert not [one for spool in spools for one in spool.places.working.iterdir()]


def test_what_is_in_flight_is_finished_first(tmp_path: Path, start: Start) -> None:
    """A queue that is changed lets its command end, and only then does the new one begin; a signal meanwhile is
    heard."""
    spool = Spool(tmp_path / "a")
    command = f"sh -c 'sleep 1; echo WORD >> {tmp_path}/done' {{}}"
    text = f'[queue.a]\nspool = "a"\nsettle = 0\nexec = "{command}"\n'
    run = start(text.replace("WORD", "old"))
    drop(spool, "item")
    until(lambda: whereabouts(spool) == {"item": ["working"]}, run.log)
    run.reload(text.replace("WORD", "new"))
    run.until_said("1 queue changed")
    drop(spool, "next")
    until(lambda: whereabouts(spool) == {"item": ["finished"], "next": ["finished"]}, run.log)
    assert (tmp_path / "done").read_text() == "old\nnew\n"
    drop(spool, "last")
    until(lambda: whereabouts(spool).get("last") == ["working"], run.log)
    run.reload(text.replace("WORD", "newer"))
    run.until_said("1 queue changed", 2)
    assert run.end() == 0, run.log
    assert (tmp_path / "done").read_text() == "old\nnew\nnew\n"
    assert not list(spool.places.working.iterdir())


@pytest.mark.parametrize("words", [["--no-progress"], []], ids=["log", "live line"])
def test_a_terminal_that_is_closed_ends_it(tmp_path: Path, start: Start, to: Path, words: list[str]) -> None:
    """It hangs up, which is the same signal: all stop in order, and nothing runs on without anybody who sees it."""
    master, slave = pty.openpty()
    run = start(queue("a", to), *words, terminal=slave)
    os.close(slave)
    spool = Spool(tmp_path / "a")
    worker(spool)
    os.close(master)
    assert run.wait() in (0, 120), "120: Python, where what it said at its end has nobody to read it"
    until(lambda: not list(spool.places.working.iterdir()), "the worker's end")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_a_port_is_free_when_all_are_gone(tmp_path: Path, start: Start, to: Path) -> None:
    """The workers do not have the socket of the metrics: after kill -9 of the parent, with a worker that hangs, the
    next start gets the port."""
    port = _free_port()
    text = f'[metrics]\naddr = "127.0.0.1:{port}"\n' + queue("a", to)
    run = start(text)
    pid = int(worker(Spool(tmp_path / "a")).split("-")[-2])
    until(lambda: metric(port, "jollyae_config_last_reload_successful") == "1", run.log)
    os.kill(pid, signal.SIGSTOP)
    try:
        run.process.kill()
        run.process.wait()
        time.sleep(0.2)
        again = start(text)
        until(lambda: again.log.count("metrics on") == 2, again.log)
    finally:
        os.kill(pid, signal.SIGKILL)
    assert again.end() == 0, again.log
