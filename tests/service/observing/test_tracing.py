"""OpenTelemetry traces: real spans, sent over OTLP/HTTP to a small receiver."""

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from jollyae import Item, Permanent, Rules, Spool, Temporary, Worker
from jollyae.service.deliveries import Destination
from jollyae.service.observing import tracing
from jollyae.service.settings import ConfigurationError
from jollyae.spool.outcomes import Scope
from jollyae.worker.attempt import begin_of
from tests.helpers import drop

ROOT = Path(__file__).parents[3]
pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")

Span = dict[str, Any]


class Receiver:
    """A collector: what it was sent. ``status``: what it answers."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.status = 200

    def take(self, body: bytes) -> None:
        """One export."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = _attributes(resource.resource)
            self.services.add(named["service.name"])
            for scope in resource.scope_spans:
                for span in scope.spans:
                    told = {"name": span.name, "status": span.status.code, "message": span.status.message}
                    self.spans.append(
                        told | _attributes(span) | {"took": span.end_time_unix_nano - span.start_time_unix_nano}
                    )

    def by_item(self) -> dict[str, Span]:
        """The spans by the item they are of."""
        return {span["jollyae.item"]: span for span in self.spans}


def _attributes(thing: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in thing.attributes}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A collector that the environment names."""
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if made.status == 200:
                made.take(body)
            self.send_response(made.status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield made
        server.shutdown()
        thread.join()
    log = logging.getLogger("opentelemetry")
    log.handlers.clear()
    log.propagate = True


def _run(spool: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jollyae", "run", str(spool), *words, "--once", "--settle", "0"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("JOLLYAE_", "AWS_"))}
    more = {"PYTHONPATH": str(ROOT / "src"), **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=clean | more)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_span_per_attempt(spool: Spool, tmp_path: Path, receiver: Receiver, processes: str) -> None:
    """The program, one process or two: each attempt is a span with its item, where it went, and its delivery id, which
    is the receipt's; the standard environment names the service."""
    there = tmp_path / "there"
    (there / "taken").mkdir(parents=True)
    for name in ("one.txt", "two.txt", "taken"):
        drop(spool, name, f"this is {name}")
    told = _run(spool.places.control, "--to", f"file://{there}", "--processes", processes, OTEL_SERVICE_NAME="uploads")
    assert told.returncode == 1, told.stderr
    receipts = subprocess.run(
        [sys.executable, "-m", "jollyae", "log", str(spool.places.control), "--json"],
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    ).stdout.decode()
    found = receiver.by_item()
    assert set(found) == {"one.txt", "two.txt", "taken"} and receiver.services == {"uploads"}
    one = found["one.txt"]
    assert one["name"] == "jollyae.attempt" and one["status"] == 1 and one["took"] > 0
    assert one["jollyae.outcome"] == "done" and one["jollyae.attempt"] == 1 and one["jollyae.size_bytes"] == 15
    assert one["jollyae.url"] == f"file://{there}/one.txt" and one["jollyae.destination"] == f"file://{there}"
    assert f'"{one["jollyae.delivery_id"]}"' in receipts
    failed = found["taken"]
    assert failed["status"] == 2 and "is a directory" in failed["message"] and failed["jollyae.outcome"] == "fail"
    assert "jollyae.delivery_id" not in failed and failed["jollyae.url"].endswith("/taken")


def test_without_the_environment_nothing_is_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off by default: the destination is the very same, and OpenTelemetry is not even loaded."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    where = Destination("d", lambda item: None, lambda name, mtime: name)
    assert tracing.traced(where) is where
    program = "import sys, jollyae.service.compose; print([one for one in sys.modules if 'opentelemetry' in one])"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_a_collector_that_is_away_holds_nothing_up(spool: Spool, tmp_path: Path, receiver: Receiver) -> None:
    """All is delivered, and one line of the log says that the traces are not."""
    receiver.status = 400
    for number in range(5):
        drop(spool, f"{number}", "x")
    told = _run(spool.places.control, "--to", f"file://{tmp_path}/there")
    assert told.returncode == 0, told.stderr
    assert len(list((tmp_path / "there").iterdir())) == 5
    assert told.stderr.count("traces: ") == 1 and "Delivery goes on" in told.stderr


def test_the_extra_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    """Asked for and not installed: a configuration error, with the way out."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    where = Destination("d", lambda item: None, lambda name, mtime: name)
    with pytest.raises(ConfigurationError) as caught:
        tracing.traced(where)
    assert "jollyae[otel]" in caught.value.hint


class Fast:
    """A processor with a way without a task, as the one for S3 has."""

    def __init__(self) -> None:
        self.credentials_expiry = lambda: 5.0
        self.called: list[str] = []

    def begin(self, items: list[Item], ended: Any) -> list[Item]:
        """Begins all but those that are slow."""
        loop = asyncio.get_running_loop()
        for item in items:
            if "slow" not in item.name:
                outcome: Any = {"url": f"x://{item.name}"}
                if item.name == "later":
                    outcome = Temporary("busy", scope=Scope.ITEM, reason="timeout")
                loop.call_soon(ended, item, outcome)
        return [item for item in items if "slow" in item.name]

    async def __call__(self, item: Item) -> dict[str, Any]:
        self.called.append(item.name)
        return {"url": f"x://{item.name}", "already_there": True}


def _worked(spool: Spool, where: Destination) -> Destination:
    traced = tracing.traced(where, "photos")
    Worker(spool, traced.process, Rules(once=True, settle=0)).run()

    async def end() -> None:
        await traced.end()

    asyncio.run(end())
    return traced


def test_the_way_without_a_task(spool: Spool, receiver: Receiver) -> None:
    """What is begun by the fast way is one span, what it hands back is one span too; other attributes are there."""
    for name in ("fast", "later", "slow"):
        drop(spool, name, "x")
    fast = Fast()
    where = _worked(spool, Destination("x", fast, lambda name, mtime: f"x://{name}"))
    assert begin_of(where.process) and where.process.credentials_expiry() == 5.0  # type: ignore[union-attr]
    assert fast.called == ["slow"] and len(receiver.spans) == 3
    found = receiver.by_item()
    assert {name: span["jollyae.outcome"] for name, span in found.items()} == {
        "fast": "done",
        "later": "defer",
        "slow": "done",
    }
    assert found["later"]["error.type"] == "timeout" and found["slow"]["jollyae.already_there"] is True
    assert {span["jollyae.queue"] for span in receiver.spans} == {"photos"} and receiver.services == {"jollyae"}


def test_a_plain_function(spool: Spool, receiver: Receiver) -> None:
    """It is still run in a thread, and what it raises is still what it raised."""
    threads: list[str] = []

    def process(item: Item) -> None:
        threads.append(threading.current_thread().name)
        if item.name == "bad":
            raise Permanent("no", reason="content")
        if item.name == "odd":
            raise KeyError("odd")

    for name in ("good", "bad", "odd"):
        drop(spool, name, "x")
    where = _worked(spool, Destination("x", process, lambda name, mtime: f"x://{name}"))
    assert begin_of(where.process) is None
    assert all(name.startswith("jollyae") for name in threads)
    outcomes = {name: span["jollyae.outcome"] for name, span in receiver.by_item().items()}
    assert outcomes == {"good": "done", "bad": "fail", "odd": "defer"}
    assert receiver.by_item()["odd"]["error.type"] == "KeyError"
    assert [path.name for path in spool.places.failed.iterdir() if path.name[0] != "."] == ["bad"]
