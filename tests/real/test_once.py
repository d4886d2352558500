"""``run --once``: drain what is there, and say by the exit code how it went."""

import os
import socket
import time

import pytest

from .faultproxy import Mode, before
from .support import Scene, body_of, same, sha256

pytestmark = pytest.mark.real

DAY = 86400


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_thousand_files(scene: Scene) -> None:
    """1,000 files, 0."""
    expected = {}
    for number in range(1000):
        name = f"{number % 10}/file-{number:04d}"
        body = body_of(name, number * 13 % 8192)
        expected[name] = sha256(body)
        scene.drop(name, body)
    began = time.monotonic()
    done = scene.once("--settle", "0", seconds=120)
    took = time.monotonic() - began
    assert done.code == 0, done.err
    assert done.out == ""
    same(expected, scene.objects(), scene.where)
    assert scene.lying("finished") == sorted(expected) and len(scene.receipts()) == 1000
    assert scene.lying("incoming") + scene.lying("working") + scene.lying("deferred") + scene.lying("failed") == []
    assert took < 60, f"{took:.0f} s"


def test_nothing_to_do(scene: Scene) -> None:
    """An empty spool: 0, at once, and no request but what the start needs."""
    with before(scene.rgw.endpoint) as proxy:
        done = scene.once(endpoint=proxy.url, seconds=15)
        assert (done.code, [one.target for one in proxy.seen]) == (0, [])


def test_a_refused_collision(scene: Scene) -> None:
    """1; the item is in failed/, its note and ``status`` say why and what to do; the object stays; others arrive."""
    scene.client.put_object(Bucket=scene.bucket, Key="p/report.csv", Body=b"other content")
    scene.drop("report.csv", b"ours")
    scene.drop("fine.csv", b"fine")
    done = scene.once("--settle", "0")
    assert done.code == 1, done.err
    assert scene.body("report.csv") == b"other content"
    assert scene.body("fine.csv") == b"fine"
    note = scene.note("failed", "report.csv")
    assert "refused" in note["error"] and "other content" in note["error"] and "--if-exists" in note["hint"], note
    assert "failed: refused" in done.err and "report.csv" in done.err
    status = scene.jollyae("status", str(scene.spool)).out
    assert "failed/report.csv" in status and "other content" in status and "--if-exists" in status, status
    assert scene.once().code == 0, "what failed before is no failure of this run"


def test_the_server_is_down(scene: Scene) -> None:
    """75, after 30 s of patience; the items wait, none failed, and the next run brings them."""
    for number in range(5):
        scene.drop(f"item-{number}", b"patience")
    began = time.monotonic()
    done = scene.once("--settle", "0", endpoint=f"http://127.0.0.1:{closed_port()}", seconds=90)
    took = time.monotonic() - began
    assert done.code == 75, done.err
    assert 28 < took < 50, f"{took:.0f} s"
    assert scene.lying("failed") == [], scene.where()
    assert len(scene.lying("incoming") + scene.lying("working") + scene.lying("deferred")) == 5, scene.where()
    assert "connection refused" in done.err
    done = scene.once()
    assert (done.code, len(scene.lying("finished"))) == (0, 5), done.err


def test_the_server_comes_back_in_time(scene: Scene) -> None:
    """Down for a few seconds: waited for, and 0."""
    scene.drop("item", b"patience")
    with before(scene.rgw.endpoint) as proxy:
        proxy.set(Mode.SLOW_DOWN)
        worker = scene.worker("--once", endpoint=proxy.url)
        worker.until_says("paused")
        proxy.set(Mode.PASS)
        assert worker.wait().code == 0, worker.tail()
    same({"item": sha256(b"patience")}, scene.objects())


def test_a_file_that_still_grows_is_left(scene: Scene) -> None:
    """75: a file that somebody holds open for writing is waited for once and counts as waiting; it stays."""
    with (scene.incoming / "growing").open("wb") as file:
        file.write(b"the first half, ")
        file.flush()
        scene.drop("whole", b"whole")
        done = scene.once("--settle", "0.2")
        assert done.code == 75, done.err
        assert scene.lying("incoming") == ["growing"]
        file.write(b"the second half")
    assert scene.once("--settle", "0.2").code == 0
    same({"whole": sha256(b"whole"), "growing": sha256(b"the first half, the second half")}, scene.objects())


@pytest.mark.parametrize(
    ("options", "code", "keys"),
    [
        ((), 1, {"report.csv"}),
        (("--key", "{date:%Y/%m/%d}/{path}"), 0, {"2026/11/20/report.csv", "2026/11/21/report.csv"}),
        (("--key", "{date:%Y-%m-%d}-{name}"), 0, {"2026-11-20-report.csv", "2026-11-21-report.csv"}),
        (("--if-exists", "overwrite"), 0, {"report.csv"}),
        (("--if-exists", "keep-both"), 0, {"report.csv", f"report-{sha256(b'day 2')[:8]}.csv"}),
    ],
    ids=["refuse", "date", "date-in-name", "overwrite", "keep-both"],
)
def test_a_daily_report(scene: Scene, options: tuple[str, ...], code: int, keys: set[str]) -> None:
    """The same name every day with other content: refused on the second day, unless a date, overwriting or keeping both
    was asked for."""
    first = 1_795_132_800  # 2026-11-20 00:00 UTC
    codes = []
    for day, body in enumerate((b"day 1", b"day 2")):
        scene.drop("report.csv", body)
        os.utime(scene.incoming / "report.csv", (first + day * DAY, first + day * DAY))
        codes.append(scene.once("--settle", "0", *options).code)
    assert codes == [0, code], scene.where()
    found = scene.objects()
    assert set(found) == keys
    newest = b"day 1" if code else b"day 2"
    assert sha256(newest) in found.values()
    assert ("overwrite" in options) != (sha256(b"day 1") in found.values())
    assert scene.lying("failed") == (["report.csv"] if code else [])
