"""The companion process for real: fed through a socket, asked over HTTP, its file read, its heart listened to."""

import http.client
import os
import pickle
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from jollyae.service.observing import exporter, metrics
from jollyae.service.observing.exporter import Heard, address, answer, listen, textfile, write_file
from jollyae.service.observing.metrics import Reload
from jollyae.service.processes.companions import Report
from jollyae.service.settings import ConfigurationError
from jollyae.worker.state import Counted, Paused, Snapshot
from tests.helpers import until
from tests.service.observing.test_metrics import check_with_promtool, parsed
from tests.service.snapshots import NOW, snapshot

ROOT = Path(__file__).parents[3]
_PROGRAM = """
import sys, socket
from jollyae.cli.output import set_up_logging
from jollyae.service.observing import exporter
from jollyae.service.processes.siblings import Line
set_up_logging(form="text", colour="never", verbose=0, quiet=0)
exporter.FILE_EVERY = exporter.BEAT_EVERY = exporter.BEAT_PATIENCE = 0.2
wanted = exporter.Wanted(addr=sys.argv[2] or None, file=sys.argv[3] or None, heartbeat_url=sys.argv[4] or None)
feed = Line(socket.socket(fileno=int(sys.argv[1])))
code = exporter.serve(feed, wanted, exporter.listen(wanted.addr) if wanted.addr else None)
feed.close()
sys.exit(code)
"""


class Companion:
    """The companion in a process of its own, and the parent's end of its feed."""

    def __init__(self, log: Path, *, addr: str = "", file: str = "", heartbeat_url: str = "") -> None:
        self.log = log
        self.feed, theirs = socket.socketpair()
        command = [sys.executable, "-W", "error", "-c", _PROGRAM, str(theirs.fileno()), addr, file, heartbeat_url]
        with theirs, log.open("ab") as told:
            self.process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stderr=told, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}
            )

    def tell(self, queue: str, told: Snapshot | Reload | None) -> None:
        """What the parent says."""
        data = pickle.dumps(Report(queue, told))
        self.feed.sendall(struct.pack(">I", len(data)) + data)

    def end(self) -> int:
        """The feed's end; the exit code."""
        self.feed.close()
        return self.process.wait(30)


Start = Callable[..., Companion]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts companions, and ends them."""
    started: list[Companion] = []

    def begin(**wanted: str) -> Companion:
        started.append(Companion(tmp_path / "log", **wanted))
        return started[-1]

    yield begin
    for one in started:
        one.feed.close()
        one.process.wait(30)


@pytest.fixture
def addr() -> str:
    """A free address on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


Reply = tuple[int, str, str]


def ask(addr: str, path: str, method: str = "GET", **headers: str) -> Reply:
    """Status, type and body."""
    connection = http.client.HTTPConnection(addr, timeout=30)
    try:
        connection.request(method, path, headers=headers)
        reply = connection.getresponse()
        return reply.status, reply.getheader("Content-Type", ""), reply.read().decode()
    finally:
        connection.close()


def up(addr: str) -> bool:
    """Whether it answers."""
    try:
        return ask(addr, "/")[0] == 200
    except OSError:
        return False


def now_seen(**changed: Any) -> Snapshot:
    """A worker that was just seen."""
    now = time.time()
    return snapshot(**{"last_scan": now, "last_delivery": now, "started": now - 60, "places": {}} | changed)


# --- the process


def test_it_tells_what_it_was_fed(start: Start, addr: str) -> None:
    """/metrics has each queue as it was told last; a queue that is gone is gone; OpenMetrics for who asks for it."""
    companion = start(addr=addr)
    companion.tell("photos", now_seen())
    companion.tell("logs", now_seen(delivered=1))
    companion.tell("logs", now_seen(delivered=99))
    companion.tell("gone", now_seen())
    companion.tell("gone", None)
    companion.tell("", Reload(True, NOW))
    until(lambda: up(addr) and "jollyae_config" in ask(addr, "/metrics")[2])
    status, kind, page = ask(addr, "/metrics")
    assert status == 200 and kind == "text/plain; version=0.0.4; charset=utf-8"
    found = parsed(page)
    assert found[("jollyae_delivered_items_total", "queue", "logs")] == 99
    assert found[("jollyae_config_last_reload_successful",)] == 1
    assert not [key for key in found if "gone" in key]
    _, kind, page = ask(addr, "/metrics", Accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text") and page.endswith("# EOF\n")
    assert companion.end() == 0
    assert "metrics on http://127.0.0.1:" in companion.log.read_text()


def test_it_promtool(start: Start, addr: str) -> None:
    """What comes over the wire is what promtool wants."""
    companion = start(addr=addr)
    companion.tell("photos", now_seen())
    companion.tell("photos/hook", now_seen())
    until(lambda: up(addr) and "jollyae_notifications" in ask(addr, "/metrics")[2])
    check_with_promtool(ask(addr, "/metrics")[2])


def test_a_connection_is_kept_and_junk_is_refused(start: Start, addr: str) -> None:
    """Scrapes on one connection; whatever else comes is answered or closed, and the next is served."""
    start(addr=addr)
    until(lambda: up(addr))
    connection = http.client.HTTPConnection(addr, timeout=30)
    for _ in range(3):
        connection.request("GET", "/metrics")
        assert connection.getresponse().read().startswith(b"# HELP")
    connection.close()
    assert [ask(addr, path, method)[0] for path, method in (("/x", "GET"), ("/metrics", "POST"))] == [404, 405]
    status, kind, body = ask(addr, "/metrics", "HEAD")
    assert (status, body) == (200, "") and kind.startswith("text/plain")
    host, port = address(addr)
    for junk in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET /metrics\r\n\r\n", b"\r\n\r\n", b"x" * 100_000):
        with socket.create_connection((host, port), 30) as raw:
            try:
                raw.sendall(junk)
                raw.shutdown(socket.SHUT_WR)
                assert raw.recv(12) in (b"HTTP/1.1 400", b"")
            except (ConnectionResetError, BrokenPipeError):
                pass
    assert up(addr)


def test_many_connections_that_ask_nothing_do_not_pile_up(start: Start, addr: str) -> None:
    """Beyond 64 a connection is closed, so memory is bounded; when some end there is room again."""
    start(addr=addr)
    until(lambda: up(addr))
    idle = [socket.create_connection(address(addr), 30) for _ in range(exporter._CONNECTIONS)]
    try:
        until(lambda: not up(addr))
    finally:
        for one in idle:
            one.close()
    until(lambda: up(addr))


def test_the_textfile(start: Start, tmp_path: Path) -> None:
    """It is whole whenever it is read, readable for all, ends with a newline, and lies alone in its directory; the last
    counts are told at the end."""
    path = tmp_path / "node" / "jollyae.prom"
    path.parent.mkdir()
    before = os.umask(0o077)
    try:
        companion = start(file=str(path))
    finally:
        os.umask(before)
    companion.tell("photos", now_seen(delivered=5))
    until(lambda: path.exists() and 'items_total{queue="photos"} 5' in path.read_text())
    companion.tell("photos", now_seen(delivered=6))
    until(lambda: 'items_total{queue="photos"} 6' in path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    check = path.read_text()
    companion.tell("photos", now_seen(delivered=77))
    assert companion.end() == 0
    assert 'items_total{queue="photos"} 77' in path.read_text() and path.read_text().endswith("\n")
    assert [one.name for one in path.parent.iterdir()] == ["jollyae.prom"]
    check_with_promtool(check)


def test_a_textfile_that_cannot_be_written_is_told_once(start: Start, tmp_path: Path) -> None:
    """The log says so, not every 15 s; and says when it goes again."""
    path = tmp_path / "later" / "jollyae.prom"
    companion = start(file=str(path))
    until(lambda: "cannot write" in companion.log.read_text())
    path.parent.mkdir()
    until(lambda: "well again" in companion.log.read_text() and path.exists())
    assert companion.log.read_text().count("No such file") == 1


class _Listener(BaseHTTPRequestHandler):
    """Who waits for a heartbeat."""

    beats: list[str]

    def do_GET(self) -> None:
        self.beats.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def beats() -> Iterator[tuple[str, list[str]]]:
    """A server that hears heartbeats: its URL, and what was asked."""
    heard: list[str] = []
    handler = type("Handler", (_Listener,), {"beats": heard})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/ping/secret", heard
        server.shutdown()
        thread.join()


def test_the_heartbeat_stops_with_a_queue(start: Start, beats: tuple[str, list[str]]) -> None:
    """It comes while all queues move; when one stands still it does not, and the log says which; then it does again."""
    url, heard = beats
    companion = start(heartbeat_url=url)
    until(lambda: "no queue has been heard of" in companion.log.read_text())
    assert not heard
    companion.tell("photos", now_seen())
    companion.tell("logs", now_seen())
    until(lambda: len(heard) > 2)
    assert set(heard) == {"/ping/secret"}
    companion.tell("logs", now_seen(last_scan=time.time() - 1000))
    until(lambda: "logs: no sign of life" in companion.log.read_text())
    count = len(heard)
    companion.tell("photos", now_seen())
    companion.tell("logs", now_seen())
    until(lambda: len(heard) > count)
    assert "secret" not in companion.log.read_text()


def test_a_heartbeat_that_nobody_takes(start: Start, addr: str) -> None:
    """Whoever answers with nonsense, or not at all, is told of once, and the rest goes on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        companion = start(addr=addr, heartbeat_url=f"http://127.0.0.1:{server.getsockname()[1]}/secret")
        companion.tell("photos", now_seen())
        for _ in range(4):
            peer, _ = server.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"220 mail.example ESMTP\r\n")
        until(lambda: "no heartbeat to 127.0.0.1: " in companion.log.read_text())
        until(lambda: up(addr))
        assert companion.log.read_text().count("no heartbeat") == 1
    assert "secret" not in companion.log.read_text()


def test_signals_do_not_end_it_before_the_feed(start: Start, addr: str) -> None:
    """A terminal or systemd tells all processes: while the workers finish, they are told of."""
    companion = start(addr=addr)
    until(lambda: up(addr))
    companion.process.terminate()
    companion.tell("photos", now_seen(delivered=41))
    until(lambda: 'items_total{queue="photos"} 41' in ask(addr, "/metrics")[2])
    assert companion.end() == 0


# --- its parts


def _heard(**changed: Any) -> Heard:
    heard = Heard()
    heard.hear("photos", snapshot(**changed))
    return heard


def test_liveness_never_looks_at_the_destination() -> None:
    """A store that is away makes it not ready, and leaves it alive: to start it again would change nothing."""
    heard = _heard(paused=Paused("destination", "connection refused: 10.0.0.1", reason="network"))
    assert answer(heard, "GET", "/livez", "", NOW)[0] == 200
    status, _, body = answer(heard, "GET", "/readyz", "", NOW)
    assert status == 503
    assert body == "[+]queue photos ok\n[-]destination of photos paused: network\nreadyz check failed\n"


def test_a_worker_that_looks_at_nothing_is_not_alive() -> None:
    """Two minutes without a look at the spool."""
    heard = _heard()
    assert answer(heard, "GET", "/livez", "", NOW + 100)[:1] == (200,)
    status, _, body = answer(heard, "GET", "/livez", "", NOW + 300)
    assert (status, body) == (503, "[-]queue photos silent for 301 s\nlivez check failed\n")


def test_the_checks_are_listed_where_asked_for() -> None:
    """?verbose lists them; without it a good answer is one word."""
    assert answer(_heard(), "GET", "/readyz", "", NOW)[2] == "ok\n"
    told = "[+]queue photos ok\n[+]destination of photos ok\nreadyz check passed\n"
    for query in ("verbose", "verbose=1", "x&verbose"):
        assert answer(_heard(), "GET", f"/readyz?{query}", "", NOW)[2] == told


def test_before_the_first_queue_it_is_alive_and_not_ready() -> None:
    """The start is no death."""
    assert answer(Heard(), "GET", "/livez", "", NOW)[0] == 200
    assert answer(Heard(), "GET", "/readyz", "", NOW)[0] == 503
    assert answer(Heard(), "GET", "/metrics", "", NOW)[2].endswith('jollyae_build_info{version="0.1.0"} 1\n')


def test_who_cannot_be_notified_is_no_reason() -> None:
    """A dead webhook neither makes us unready nor stops the heartbeat; that nobody tries it would."""
    heard = _heard(places={}, last_delivery=NOW)
    waiting = {"incoming": Counted(1, 1, NOW - 9999)}
    refused = Paused("destination", "no route", reason="network")
    heard.hear("photos/hook", snapshot(paused=refused, places=waiting, last_delivery=0.0, oldest_waiting=NOW - 9999))
    assert answer(heard, "GET", "/readyz", "", NOW)[0] == 200 and heard.why_still(NOW) == ""
    told = answer(heard, "GET", "/readyz?verbose", "", NOW)[2]
    assert "[+]notifications photos/hook paused: network; they wait, items do not\n" in told
    assert answer(heard, "GET", "/livez", "", NOW + 300)[0] == 503 and "photos/hook: no sign" in heard.why_still(
        NOW + 300
    )


def test_a_pause_by_hand_is_ready() -> None:
    """Somebody wants it so."""
    assert answer(_heard(paused=Paused("hand", "lunch")), "GET", "/readyz", "", NOW)[0] == 200


@pytest.mark.parametrize("text", ["", "host", "host:", "host:x", "::1:80", "1.2.3.4:99999", "h:٣"])
def test_no_address(text: str) -> None:
    """What is none says so."""
    with pytest.raises(ValueError, match=r"HOST:PORT|ADDRESS"):
        address(text)


def test_without_a_host_it_is_loopback() -> None:
    """Nobody opens a port to the world by leaving something out."""
    assert address("9464") == address(":9464") == ("127.0.0.1", 9464)


def test_a_textfile_has_its_ending() -> None:
    """The node exporter would not read another."""
    assert textfile("/x/jollyae.prom") == "/x/jollyae.prom"
    with pytest.raises(ValueError, match=r"must end with \.prom"):
        textfile("/x/jollyae.txt")


@pytest.mark.parametrize("text", ["", "example.com", "file:///etc/passwd", "https://"])
def test_no_heartbeat(text: str) -> None:
    """It is asked over HTTP and by nothing else."""
    with pytest.raises(ValueError, match="must be http"):
        exporter.heartbeat(text)
    assert exporter.heartbeat("https://hc.example/x") == "https://hc.example/x"


def test_an_address_that_is_taken_is_told(addr: str) -> None:
    """With what to do."""
    with listen(addr), pytest.raises(ConfigurationError, match="Address already in use") as caught:
        listen(addr)
    assert "another port" in caught.value.hint


def test_a_directory_that_is_full_leaves_the_last_file(tmp_path: Path) -> None:
    """What cannot be written whole does not replace what is there, and leaves nothing beside it."""
    path = tmp_path / "jollyae.prom"
    write_file(str(path), "old\n")
    with pytest.raises(UnicodeEncodeError):
        write_file(str(path), "\ud800")
    assert path.read_text() == "old\n"
    assert [one.name for one in tmp_path.iterdir()] == ["jollyae.prom"]


def test_the_page_is_metrics() -> None:
    """/metrics is the pure function of what was heard."""
    page = metrics.text([metrics.Seen("photos", snapshot())])
    assert answer(_heard(), "GET", "/metrics", "text/plain", NOW)[2] == page
