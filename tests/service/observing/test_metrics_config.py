"""``[metrics]`` of a configuration file, on the real program: several queues on one page, loaded again at SIGHUP."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jollyae import Spool
from tests.helpers import until
from tests.service.observing.test_exporter import ask, up
from tests.service.observing.test_metrics import parsed

ROOT = Path(__file__).parents[3]


def _config(directory: Path, addr: str, more: str = "") -> Path:
    path = directory / "jollyae.toml"
    queues = "".join(
        f'[queue.{name}]\nspool = "{directory}/{name}"\nto = "file://{directory}/there-{name}"\nsettle = "0"\n'
        for name in ("photos", "logs")
    )
    path.write_text(f'[metrics]\naddr = "{addr}"\nfile = "jollyae.prom"\n{more}{queues}')
    return path


class Run:
    """``jollyae run -c FILE``, its log in a file."""

    def __init__(self, config: Path) -> None:
        self._log = config.with_suffix(".log")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "JOLLYAE_"))}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "jollyae", "run", "-c", str(config)],
                stderr=log,
                env=clean | {"PYTHONPATH": str(ROOT / "src")},
            )

    @property
    def log(self) -> str:
        """What it said so far."""
        return self._log.read_text()

    def said(self, text: str, times: int = 1) -> None:
        """Wait until it has said that so often."""
        until(lambda: self.log.count(text) >= times or self.process.poll() is not None, f"{text} in {self.log}")
        assert self.log.count(text) >= times, self.log

    def end(self) -> int:
        """Stop it; the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(60)


Start = Callable[[Path], Run]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the program, and ends it."""
    started: list[Run] = []

    def begin(config: Path) -> Run:
        started.append(Run(config))
        return started[-1]

    yield begin
    for one in started:
        one.end()


def _free() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def _delivered(addr: str, queue: str) -> float:
    return parsed(ask(addr, "/metrics")[2]).get(("jollyae_delivered_items_total", "queue", queue), -1)


def test_several_queues_and_a_reload(tmp_path: Path, start: Start) -> None:
    """Both queues are on one page. At SIGHUP another address is listened on and the counters go on; an address that is
    taken, or a mistake, leaves all as it was, and the page says that it was not read."""
    addr = _free()
    run = start(_config(tmp_path, addr))
    until(lambda: up(addr) and _delivered(addr, "logs") == 0, run.log)
    for queue, count in (("photos", 3), ("logs", 2)):
        for number in range(count):
            (tmp_path / queue / "incoming" / f"{number}").write_text("x")
    until(lambda: (_delivered(addr, "photos"), _delivered(addr, "logs")) == (3, 2), run.log)
    assert parsed(ask(addr, "/metrics")[2])[("jollyae_config_last_reload_successful",)] == 1
    until(lambda: (tmp_path / "jollyae.prom").exists(), run.log)

    other = _free()
    _config(tmp_path, other)
    run.process.send_signal(signal.SIGHUP)
    run.said("configuration loaded again")
    until(lambda: up(other) and _delivered(other, "photos") == 3, run.log)
    assert not up(addr)

    with socket.create_server(("127.0.0.1", 0)) as taken:
        _config(tmp_path, f"127.0.0.1:{taken.getsockname()[1]}")
        run.process.send_signal(signal.SIGHUP)
        run.said("not loaded again")
    assert "cannot listen on" in run.log and "Address already in use" in run.log
    until(lambda: parsed(ask(other, "/metrics")[2])[("jollyae_config_last_reload_successful",)] == 0, run.log)

    _config(tmp_path, other, 'adress = "x"\n')
    run.process.send_signal(signal.SIGHUP)
    run.said("not loaded again", 2)
    _config(tmp_path, other)
    run.process.send_signal(signal.SIGHUP)
    until(lambda: parsed(ask(other, "/metrics")[2])[("jollyae_config_last_reload_successful",)] == 1, run.log)
    assert _delivered(other, "logs") == 2 and run.end() == 0


def test_what_waits(tmp_path: Path, start: Start) -> None:
    """What alerts rest on: how many wait, how large they are, since when the oldest; a pause by hand; what is still
    being written is apart, and room is told."""
    addr = _free()
    path = _config(tmp_path, addr)
    spool = Spool(tmp_path / "photos")
    spool.pause("measuring")
    for number in range(50):
        (spool.places.incoming / f"{number}").write_bytes(bytes(number))
    oldest = min(one.stat().st_ctime for one in spool.places.incoming.iterdir())
    run = start(path)
    photos = ("queue", "photos")

    def value(name: str, *labels: str) -> float:
        return parsed(ask(addr, "/metrics")[2]).get((f"jollyae_{name}", *photos, *labels), -1)

    until(lambda: up(addr) and value("items", "place", "incoming") == 50, run.log)
    assert value("size_bytes", "place", "incoming") == sum(range(50))
    assert value("oldest_arrival_timestamp_seconds", "place", "incoming") == pytest.approx(oldest, abs=0.01)
    assert value("queue_paused") == 1 and value("delivered_items_total") == 0
    assert value("spool_free_bytes") > 0 and value("last_scan_timestamp_seconds") > oldest
    with (spool.places.incoming / "growing").open("w") as growing:
        growing.write("not yet")
        growing.flush()
        spool.resume()
        until(lambda: value("delivered_items_total") == 50, run.log)
        until(lambda: (value("items", "place", "incoming"), value("items", "place", "unready")) == (0, 1), run.log)
        assert value("oldest_arrival_timestamp_seconds", "place", "incoming") == -1
        assert value("queue_paused") == 0
    until(lambda: (value("delivered_items_total"), value("items", "place", "unready")) == (51, 0), run.log)
    until(lambda: value("items", "place", "finished") == 51, run.log)
    assert run.end() == 0


def test_items_that_are_put_off_again_and_again(tmp_path: Path, start: Start) -> None:
    """Too few to pause the destination, they wait since they arrived, whatever was tried since: an alert can see it.
    While a command runs, it is told since when nothing was heard of it."""
    addr = _free()
    path = _config(tmp_path, addr)
    text = path.read_text().replace(
        f'to = "file://{tmp_path}/there-logs"', "exec = \"sh -c 'sleep 0.3; exit 75' sh {}\""
    )
    path.write_text(text)
    spool = Spool(tmp_path / "logs")
    for name in ("a", "b"):
        (spool.places.incoming / name).write_text("x")
    arrived = min(one.stat().st_ctime for one in spool.places.incoming.iterdir())
    run = start(path)
    logs = ("queue", "logs")

    def value(name: str, *labels: str) -> float:
        return parsed(ask(addr, "/metrics")[2]).get((f"jollyae_{name}", *logs, *labels), -1)

    until(lambda: up(addr) and value("attempt_silent_since_timestamp_seconds") > arrived, run.log)
    until(
        lambda: value("attempts_total", "outcome", "defer") >= 4 and value("items", "place", "deferred") == 2, run.log
    )
    until(lambda: value("oldest_waiting_timestamp_seconds") == pytest.approx(arrived, abs=0.01), run.log)
    assert value("oldest_arrival_timestamp_seconds", "place", "deferred") == pytest.approx(arrived, abs=0.01)
    found = parsed(ask(addr, "/metrics")[2])
    assert not any(value for key, value in found.items() if key[0] == "jollyae_destination_paused")
    assert ("jollyae_oldest_waiting_timestamp_seconds", "queue", "photos") not in found
    assert run.end() == 0


def test_notifications_are_counted_by_target(tmp_path: Path, start: Start) -> None:
    """Two queues tell one target: their messages are a line each, and no queue among the queues. While it takes
    none they wait, and the queues are ready all the same."""
    addr = _free()
    path = _config(tmp_path, addr)
    text = path.read_text().replace('settle = "0"', 'settle = "0"\nnotify = ["told"]')
    path.write_text(f'{text}[notify.told]\nurl = "spool://{tmp_path}/told"\n')
    run = start(path)
    until(lambda: up(addr) and _delivered(addr, "logs") == 0, run.log)
    for queue in ("photos", "logs"):
        (tmp_path / queue / "incoming" / "one").write_text("x")
    of = [("queue", queue, "target", "told") for queue in ("photos", "logs")]

    def values(name: str, *more: str) -> list[float | None]:
        found = parsed(ask(addr, "/metrics")[2])
        return [found.get((f"jollyae_notifications_{name}", *one, *more)) for one in of]

    until(lambda: values("pending") == [1, 1] and None not in values("oldest_timestamp_seconds"), run.log)
    until(lambda: "notifications photos/told paused: " in ask(addr, "/readyz?verbose")[2], run.log)
    assert ask(addr, "/readyz")[0] == 200
    Spool(tmp_path / "told")
    until(lambda: values("total", "outcome", "done") == [1, 1], run.log)
    found = parsed(ask(addr, "/metrics")[2])
    assert {key[2] for key in found if key[0] == "jollyae_delivered_items_total"} == {"photos", "logs"}
    until(lambda: values("pending") == [0, 0] and values("oldest_timestamp_seconds") == [None, None], run.log)
    assert run.end() == 0


def test_metrics_that_nobody_wants_any_more(tmp_path: Path, start: Start) -> None:
    """A reload without [metrics] ends the companion, and nobody listens there any more; the queues go on."""
    addr = _free()
    path = _config(tmp_path, addr)
    run = start(path)
    until(lambda: up(addr) and _delivered(addr, "photos") == 0, run.log)
    path.write_text(path.read_text().partition("[queue.photos]")[2].join(["[queue.photos]", ""]))
    run.process.send_signal(signal.SIGHUP)
    run.said("configuration loaded again: no queue changed")
    until(lambda: not _is_open(addr), run.log)
    (tmp_path / "photos" / "incoming" / "one").write_text("x")
    until(lambda: (tmp_path / "there-photos" / "one").exists(), run.log)
    assert run.end() == 0


def _is_open(addr: str) -> bool:
    host, _, port = addr.partition(":")
    try:
        socket.create_connection((host, int(port)), 30).close()
    except ConnectionRefusedError:
        return False
    return True


def test_an_address_that_is_taken_at_the_start(tmp_path: Path, start: Start) -> None:
    """It is a fault of the configuration: 78, and nothing is begun."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = start(_config(tmp_path, f"127.0.0.1:{taken.getsockname()[1]}"))
        assert run.process.wait(60) == os.EX_CONFIG
    assert "cannot listen on" in run.log and "another port" in run.log


def test_a_companion_that_is_killed_comes_back(tmp_path: Path, start: Start) -> None:
    """It is started again on the same port, and knows what was delivered before."""
    addr = _free()
    run = start(_config(tmp_path, addr))
    until(lambda: up(addr) and _delivered(addr, "photos") == 0, run.log)
    (tmp_path / "photos" / "incoming" / "one").write_text("x")
    until(lambda: _delivered(addr, "photos") == 1, run.log)
    os.kill(_companion(run.process.pid, tmp_path), signal.SIGKILL)
    run.said("metrics on", 2)
    until(lambda: up(addr) and _delivered(addr, "photos") == 1, run.log)
    assert run.end() == 0


def _companion(parent: int, directory: Path) -> int:
    """The child of the parent that is no worker."""
    children = {int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()}
    workers = {int(path.name.split("-")[-2]) for path in directory.glob("*/working/*")}
    (found,) = children - workers
    return found


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_short_run_is_told_whole(tmp_path: Path, processes: str) -> None:
    """With --once from cron: however short the run, the textfile has all that it did."""
    spool = Spool(tmp_path / "spool")
    (tmp_path / "there" / "taken").mkdir(parents=True)
    for name in ("one", "two", "three", "taken"):
        (spool.places.incoming / name).write_text(name)
    file = tmp_path / "jollyae.prom"
    words = ["--to", f"file://{tmp_path}/there", "--once", "--settle", "0", "--processes", processes]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "JOLLYAE_"))}
    told = subprocess.run(
        [sys.executable, "-m", "jollyae", "run", str(spool.places.control), *words, "--metrics-file", str(file)],
        env=clean | {"PYTHONPATH": str(ROOT / "src")},
        timeout=60,
        check=False,
    )
    assert told.returncode == 1
    found = parsed(file.read_text())
    assert found["jollyae_delivered_items_total", "queue", "spool"] == 3
    assert found["jollyae_delivery_duration_seconds_count", "queue", "spool"] == 3
    failed = {key[-1]: value for key, value in found.items() if key[0] == "jollyae_failed_items_total" and value}
    assert sum(failed.values()) == 1
