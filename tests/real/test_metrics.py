"""Metrics under load against the truth: what was scraped is what the receipts and the places say."""

import http.client
import json
import os
import random
import shutil
import signal
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from jollyae.worker.state import DELIVERY_BOUNDS
from tests.service.observing.test_metrics import check_with_promtool, parsed

from .faultproxy import Mode, before
from .support import Process, Scene, body_of, until

pytestmark = [pytest.mark.real, pytest.mark.slow]

ITEMS, REFUSED = 2000, 40
QUEUE = ("queue", "spool")
RULES = Path(__file__).parents[2] / "src" / "jollyae" / "ops" / "jollyae-rules.yml"
DASHBOARD = RULES.with_name("grafana-dashboard.json")


def free() -> str:
    """A free address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


class Scraper:
    """Asks for metrics, and sees that no counter ever falls."""

    def __init__(self, addr: str) -> None:
        self.addr = addr
        self.page = ""
        self._last: dict[tuple[str, ...], float] = {}

    def __call__(self) -> dict[tuple[str, ...], float]:
        connection = http.client.HTTPConnection(self.addr, timeout=30)
        try:
            connection.request("GET", "/metrics")
            self.page = connection.getresponse().read().decode()
        finally:
            connection.close()
        found = parsed(self.page)
        for key, value in found.items():
            if key[0].endswith(("_total", "_bucket", "_count", "_sum")):
                assert value >= self._last.get(key, 0), f"{key} fell from {self._last[key]} to {value}"
        self._last |= found
        return found

    def value(self, name: str, *labels: str) -> float:
        """One sample; -1 where it is absent."""
        return self().get((f"jollyae_{name}", *labels), -1.0)


def _load(scene: Scene, first: int, last: int) -> None:
    for number in range(first, last):
        name = f"{number:04d}.bin"
        scene.drop(name, body_of(name, random.Random(number).randrange(4096)))


def _refuse(scene: Scene) -> list[str]:
    """Names whose keys are taken by something else."""
    names = [f"{number:04d}.bin" for number in range(0, ITEMS, ITEMS // REFUSED)]
    for name in names:
        scene.client.put_object(Bucket=scene.bucket, Key=f"p/{name}", Body=b"somebody else's")
    return names


def _seconds(receipt: dict[str, Any]) -> float:
    arrived, finished = (datetime.fromisoformat(receipt[key]) for key in ("arrived", "finished"))
    return (finished - arrived).total_seconds()


def test_the_counters_are_the_truth(scene: Scene) -> None:
    """2,000 items through two processes, of which one is told to stop and replaced, with a store that is unwell for a
    while and 40 collisions: each counter is what receipts and places say, and none ever falls."""
    refused = _refuse(scene)
    addr = free()
    with before(scene.rgw.endpoint) as proxy:
        options = ("--settle", "0", "--processes", "2", "--metrics-addr", addr)
        worker = scene.working(*options, endpoint=proxy.url)
        worker.until_says("metrics on")
        scrape = Scraper(addr)
        _load(scene, 0, ITEMS // 2)
        until(lambda: scrape.value("delivered_items_total", *QUEUE) > 200, lambda: scene.where())
        proxy.set(Mode.UNWELL)
        until(lambda: scrape.value("attempts_total", *QUEUE, "outcome", "hold") > 0, lambda: scrape.page)
        to = ("destination", scene.url, "reason", "server")
        until(lambda: scrape.value("destination_paused", *to) == 1, lambda: scrape.page)
        proxy.set(Mode.PASS)
        os.kill(int(next(iter((scene.spool / "working").iterdir())).name.split("-")[-2]), signal.SIGTERM)
        _load(scene, ITEMS // 2, ITEMS)

        def all_done() -> bool:
            found = scrape()
            assert worker.popen.poll() is None, worker.tail()
            done = found["jollyae_delivered_items_total", *QUEUE]
            failed = found["jollyae_failed_items_total", *QUEUE, "reason", "collision"]
            return done + failed == ITEMS

        until(all_done, lambda: f"{scene.where()}\n{scrape.page}", 120)
        receipts = scene.receipts()
        sizes = sum(receipt["size"] for receipt in receipts)
        assert scene.lying("failed") == refused and len(receipts) == ITEMS - REFUSED
        found = scrape()
        assert found["jollyae_delivered_items_total", *QUEUE] == len(receipts)
        assert found["jollyae_delivered_bytes_total", *QUEUE] == sizes
        assert _by_label(found, "jollyae_failed_items_total") == {"collision": REFUSED}
        attempts = _by_label(found, "jollyae_attempts_total")
        assert attempts["done"] == len(receipts) and attempts["fail"] == REFUSED and attempts["hold"] > 0
        assert found["jollyae_sent_bytes_total", "destination", scene.url] >= sizes
        assert _by_label(found, "jollyae_destination_paused") == {}
        _histograms_agree(found, scene.url, receipts)
        until(lambda: _places(scrape()) == _places_there(scene), lambda: f"{scrape.page}\n{scene.where()}", 90)
        check_with_promtool(scrape.page)
        assert worker.end().code == 0


def _by_label(found: dict[tuple[str, ...], float], name: str) -> dict[str, float]:
    """The samples that are not zero, by their last label."""
    return {key[-1]: value for key, value in found.items() if key[0] == name and value}


def _histograms_agree(found: dict[tuple[str, ...], float], url: str, receipts: list[dict[str, Any]]) -> None:
    name = "jollyae_delivery_duration_seconds"
    assert found[f"{name}_count", *QUEUE] == len(receipts)
    assert found["jollyae_attempt_duration_seconds_count", "destination", url] == len(receipts)
    took = [max(_seconds(receipt), 0) for receipt in receipts]
    assert found[f"{name}_sum", *QUEUE] == pytest.approx(sum(took), abs=0.002 * len(took))
    for bound in (0.1, 1, 10, 60):
        assert bound in DELIVERY_BOUNDS
        below = found[f"{name}_bucket", *QUEUE, "le", repr(float(bound))]
        near = 0.003  # receipts are written to the millisecond
        assert sum(one <= bound - near for one in took) <= below <= sum(one <= bound + near for one in took)


def _places(found: dict[tuple[str, ...], float]) -> dict[str, float]:
    named = {key[4]: value for key, value in found.items() if key[0] == "jollyae_items"}
    return {place: count for place, count in named.items() if place != "unready"}


def _places_there(scene: Scene) -> dict[str, float]:
    return {place: len(scene.lying(place)) for place in ("incoming", "working", "deferred", "finished", "failed")}


def test_counters_go_on_after_kill_9(scene: Scene) -> None:
    """A worker that is killed with items in flight takes no count with it; at the end no item is missing in it, and at
    most those that were under way are counted twice."""
    addr = free()
    worker = scene.working("--settle", "0", "--processes", "2", "--metrics-addr", addr)
    worker.until_says("metrics on")
    scrape = Scraper(addr)
    _load(scene, 0, 1000)
    until(lambda: scrape.value("delivered_items_total", *QUEUE) > 100, lambda: scene.where())
    before_kill = scrape.value("delivered_items_total", *QUEUE)
    os.kill(int(next(iter((scene.spool / "working").iterdir())).name.split("-")[-2]), signal.SIGKILL)
    worker.until_says("was ended by signal 9")
    assert scrape.value("delivered_items_total", *QUEUE) >= before_kill
    scene.until_delivered(1000)
    ids = {receipt["id"] for receipt in scene.receipts()}
    assert len(ids) == 1000
    until(lambda: scrape.value("in_flight_items", "destination", scene.url) == 0, lambda: scrape.page)
    assert 1000 - 64 <= scrape.value("delivered_items_total", *QUEUE) <= 1000 + 64
    assert worker.end().code == 0


# --- with Prometheus itself


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator["Prometheus"]:
    """A real Prometheus; the test is skipped where there is none."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("there is no Prometheus (Debian's package prometheus)")
    server = Prometheus(program, tmp_path / "prometheus")
    yield server
    server.process.kill()


class Prometheus:
    """It scrapes jollyae each second, and has our rules."""

    def __init__(self, program: str, directory: Path) -> None:
        directory.mkdir()
        self.target, self.addr = free(), free()
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "jollyae", "static_configs": [{"targets": [self.target]}]}],
        }
        (directory / "prometheus.yml").write_text(json.dumps(config))  # which is YAML
        command = [program, "--config.file", str(directory / "prometheus.yml"), "--log.level", "warn"]
        command += ["--web.listen-address", self.addr, "--storage.tsdb.path", str(directory / "data")]
        self.process = Process(command, dict(os.environ), directory / "output")

    def ask(self, path: str, **query: str) -> Any:
        """What its API answers; None while it does not."""
        url = f"http://{self.addr}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as error:
            pytest.fail(f"{query}: {error.read().decode()}")
        except OSError:
            return None

    def value(self, query: str) -> float:
        """The one value of an instant query; -1 where there is none."""
        found = self.ask("query", query=query)
        return float(found["result"][0]["value"][1]) if found and found["result"] else -1.0


def test_prometheus_scrapes_it(scene: Scene, prometheus: Prometheus) -> None:
    """A real Prometheus reads the page (it asks for OpenMetrics), knows the types, answers every query of the
    dashboard, and sees the truth; its alerts are silent, but for the one that fits."""
    refused = _refuse(scene)[:10]
    worker = scene.working("--settle", "0", "--metrics-addr", prometheus.target)
    until(lambda: prometheus.value("up") == 1, prometheus.process.tail)
    for name in refused:
        scene.drop(name, b"ours")
    _load(scene, 1, 40)
    done = "sum(jollyae_delivered_items_total)"
    until(lambda: prometheus.value(done) == 39, lambda: f"{prometheus.value(done)}\n{scene.where()}")
    failed = 'jollyae_failed_items_total{queue="spool",reason="collision"}'
    until(lambda: prometheus.value(failed) == 10, lambda: f"{prometheus.value(failed)}\n{scene.where()}")
    (target,) = prometheus.ask("targets")["activeTargets"]
    assert target["health"] == "up" and target["lastError"] == ""
    types = {name: one[0]["type"] for name, one in prometheus.ask("metadata").items() if name.startswith("jollyae_")}
    assert types["jollyae_delivery_duration_seconds"] == "histogram"
    assert types.get("jollyae_delivered_items") == "counter" or types.get("jollyae_delivered_items_total") == "counter"
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for query in panel.get("targets", ()):
            filled = query["expr"].replace("$__rate_interval", "5s")
            filled = filled.replace("$queue", ".*").replace("$destination", ".*")
            assert prometheus.ask("query", query=filled) is not None
    until(lambda: _firing(prometheus) == {"JollyaeFailing"}, lambda: str(_firing(prometheus)))
    assert worker.end().code == 0


def _firing(prometheus: Prometheus) -> set[str]:
    alerts = prometheus.ask("alerts")["alerts"]
    return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}
