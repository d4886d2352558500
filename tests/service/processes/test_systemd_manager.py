"""``jollyae run`` as systemd starts it: with a socket to notify, a watchdog, and commands that must know of neither."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from jollyae import Spool
from jollyae.service.processes.systemd_manager import line
from jollyae.worker.state import Counted, Paused, Snapshot
from tests.helpers import drop, until
from tests.service.processes.test_systemd import Manager

ROOT = Path(__file__).parents[3]
IMPATIENT = """
import sys
from jollyae.cli import main
from jollyae.service.processes import parent, team
parent.ASK_EVERY, team.SILENT = 0.2, 1.0
sys.argv[0] = "jollyae"
main.entry()
"""


class Service:
    """A run that systemd would have started."""

    def __init__(self, manager: Manager, spool: Spool | Path, *words: str, watchdog: float = 0) -> None:
        self.manager = manager
        self.said: list[str] = []
        root = spool.places.control if isinstance(spool, Spool) else spool
        self._log = root.parent / "log"
        what = [str(root)] if isinstance(spool, Spool) else ["-c", str(root)]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("JOLLYAE_", "AWS_"))}
        ours = {"NOTIFY_SOCKET": manager.path, "PYTHONPATH": str(ROOT / "src")}
        if watchdog:
            ours["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        command = [sys.executable, "-W", "error", "-c", IMPATIENT, "run", *what, *words]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, env=clean | ours, stdin=subprocess.DEVNULL, stderr=log)

    @property
    def log(self) -> str:
        """What it said in its log."""
        return self._log.read_text()

    def until_said(self, wanted: str) -> str:
        """Listen until a line that begins so; that line."""
        while True:
            for said in self.manager.heard():
                self.said.append(said)
                if said.startswith(wanted):
                    return said


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """A socket where systemd would listen."""
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.close()


@pytest.fixture
def services() -> Iterator[list[Service]]:
    """Those that were started, ended at the end."""
    made: list[Service] = []
    yield made
    for one in made:
        with suppress(ProcessLookupError):
            one.process.send_signal(signal.SIGCONT)
            one.process.kill()
        one.process.wait()


def _workers(spool: Spool) -> set[int]:
    return {int(path.parent.name.split("-")[-2]) for path in spool.places.working.glob("*/.state.json")}


@pytest.mark.parametrize("processes", ["1", "2"])
def test_the_life_of_a_service(
    spool: Spool, to: Path, manager: Manager, services: list[Service], processes: str
) -> None:
    """READY=1 when it works, a status, STOPPING=1 at SIGTERM, and an end in order."""
    service = Service(manager, spool, "--to", f"file://{to}", "--processes", processes, "--settle", "0")
    services.append(service)
    service.until_said("READY=1")
    assert "working on" in service.log, "ready is who works"
    for number in range(20):
        drop(spool, f"item-{number}")
    until(lambda: len(list(to.iterdir())) == 20, service.log)
    assert service.until_said("STATUS=delivering").startswith("STATUS=delivering ")
    service.process.terminate()
    service.until_said("STOPPING=1")
    assert service.process.wait(30) == 0, service.log
    assert not [said for said in service.said if said.startswith("WATCHDOG")], "nobody asked for it"


def test_commands_know_nothing_of_it(spool: Spool, tmp_path: Path, manager: Manager, services: list[Service]) -> None:
    """What --exec runs has neither the socket nor the watchdog in its environment."""
    command = tmp_path / "command"
    command.write_text(f'#!/bin/sh\nenv >"{tmp_path}/seen.part"; mv "{tmp_path}/seen.part" "{tmp_path}/seen"\n')
    command.chmod(0o755)
    services.append(Service(manager, spool, "--exec", str(command), "--settle", "0", watchdog=30))
    services[0].until_said("READY=1")
    drop(spool, "item")
    seen = until(lambda: (tmp_path / "seen").exists() and (tmp_path / "seen").read_text(), services[0].log)
    assert "JOLLYAE_NAME=item" in seen and "NOTIFY_SOCKET" not in seen and "WATCHDOG" not in seen


def test_the_watchdog_is_answered_while_the_parent_lives(
    spool: Spool, to: Path, manager: Manager, services: list[Service]
) -> None:
    """Again and again, with nothing to do; and no more when the parent hangs."""
    service = Service(manager, spool, "--to", f"file://{to}", watchdog=3)
    services.append(service)
    for _ in range(3):
        service.until_said("WATCHDOG=1")
    service.process.send_signal(signal.SIGSTOP)
    manager.settle(3.5)
    with pytest.raises(TimeoutError):
        service.until_said("WATCHDOG=1")


def test_a_worker_that_hangs_is_replaced(spool: Spool, to: Path, manager: Manager, services: list[Service]) -> None:
    """The parent kills it and starts another: the service goes on, and the watchdog is answered meanwhile."""
    service = Service(manager, spool, "--to", f"file://{to}", "--settle", "0", watchdog=1.5)
    services.append(service)
    service.until_said("READY=1")
    [first] = until(lambda: _workers(spool), service.log)
    os.kill(first, signal.SIGSTOP)
    drop(spool, "item")
    for _ in range(5):
        service.until_said("WATCHDOG=1")
    until(lambda: (to / "item").exists(), service.log)
    assert "does not answer for 1 s: it is killed" in service.log and first not in _workers(spool)
    assert service.process.poll() is None


CONFIG = """
[queue.one]
spool = "{root}/one"
to = "file://{root}/to-one"
settle = 0
[queue.two]
spool = "{root}/two"
to = "file://{root}/to-two"
settle = 0
"""


def test_a_reload_is_told(tmp_path: Path, manager: Manager, services: list[Service]) -> None:
    """RELOADING=1 with the time, and READY=1 when the new configuration works; a wrong one is no end: READY=1 again,
    and all goes on as before."""
    config = tmp_path / "jollyae.toml"
    config.write_text(CONFIG.format(root=tmp_path))
    service = Service(manager, config)
    services.append(service)
    service.until_said("READY=1")
    assert service.log.count("working on") == 2, "ready is when every queue works"
    for text, told in (("[queue.two]", "[queue.three]"), ("settle = 0", "settel = 0")):
        config.write_text(config.read_text().replace(text, told))
        service.process.send_signal(signal.SIGHUP)
        service.until_said("MONOTONIC_USEC=")
        assert service.said[-2] == "RELOADING=1"
        service.until_said("READY=1")
    assert "configuration loaded again" in service.log and "the old configuration stays" in service.log
    drop(Spool(tmp_path / "one"), "item")
    until(lambda: (tmp_path / "to-one" / "item").exists(), service.log)


def test_two_queues_end_together(tmp_path: Path, manager: Manager, services: list[Service]) -> None:
    """--idle-exit for a configuration: not before both have nothing to do; then with 0, and the manager is told."""
    config = tmp_path / "jollyae.toml"
    config.write_text(CONFIG.format(root=tmp_path))
    busy = Spool(tmp_path / "two")
    busy.pause("a test")
    service = Service(manager, config, "--idle-exit", "0.5")
    services.append(service)
    service.until_said("READY=1")
    with pytest.raises(subprocess.TimeoutExpired):
        service.process.wait(3)
    busy.resume()
    service.until_said("STOPPING=1")
    assert service.process.wait(30) == 0 and "ending: nothing was to do" in service.log


SNAPSHOT = Snapshot(
    worker="w",
    pid=1,
    started=0,
    destination="d",
    watch="",
    delivered=0,
    delivered_bytes=0,
    failed=0,
    deferred=0,
    unready=2,
    limit=1,
    in_flight=[],
    held=3,
    paused=None,
)


@pytest.mark.parametrize(
    ("seen", "rate", "told"),
    [
        ({"a": SNAPSHOT}, 0.0, "nothing on its way, 5 waiting"),
        ({"a": SNAPSHOT, "b": SNAPSHOT}, 12.3, "delivering 12/s, 10 waiting"),
        ({"a": SNAPSHOT}, 0.2, "delivering 12/min, 5 waiting"),
    ],
)
def test_the_line_of_status(seen: dict[str, Snapshot], rate: float, told: str) -> None:
    """What systemctl status shows, in few words."""
    assert line(seen, rate) == told


def test_the_line_of_status_names_trouble() -> None:
    """Where the places are counted, that is what waits; a pause is told with its queue and reason."""
    import msgspec

    places = {"incoming": Counted(1000, 1), "deferred": Counted(7, 1), "finished": Counted(10**6, 1)}
    paused = Paused(by="destination", error="503 Slow Down")
    trouble = msgspec.structs.replace(SNAPSHOT, places=places, paused=paused, failed=2)
    told = line({"a": SNAPSHOT, "photos": trouble}, 0)
    assert told == "nothing on its way, 1,012 waiting; 2 failed since the start; photos paused: 503 Slow Down"
