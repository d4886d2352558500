"""kill -9 at random while items flow to a real store: nothing is lost, nothing is doubled, nothing stays behind.

``JOLLYAE_KILLS`` and ``JOLLYAE_ITEMS``: how many (40 and 600; 500 and 5000 are the full thing);
``JOLLYAE_SEED``: which.
"""

import os
import random
import threading
import time
from collections import Counter
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.helpers import tells

from .faultproxy import FaultProxy, before
from .support import Process, Scene, body_of, repeated, same, sha256, until

pytestmark = [pytest.mark.real, pytest.mark.slow]

KILLS = int(os.environ.get("JOLLYAE_KILLS", "40"))
ITEMS = int(os.environ.get("JOLLYAE_ITEMS", "600"))
SEED = int(os.environ.get("JOLLYAE_SEED", "1"))
EARLIEST, LATEST = 0.05, 1.5
"""Seconds a worker lives."""
POISON = "the worker died three times with this"
PLACES = ("incoming", "working", "deferred", "finished", "failed")
LARGE = 66 << 20
"""Bytes of the few items that go in parts."""


class Flow:
    """A producer that adds the items evenly over the time that the kills will take."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._thread = threading.Thread(target=self._produce, daemon=True)
        self.expected: dict[str, str] = {}
        self.bytes = 0

    def _produce(self) -> None:
        chance = random.Random(SEED)
        every = KILLS * (EARLIEST + LATEST) / 2 / ITEMS
        began = time.monotonic()
        large = {ITEMS // 4, ITEMS // 2}
        for number in range(ITEMS):
            name = f"item-{number:05d}" if number % 7 else f"day {number % 5}/item-{number:05d}"
            body = body_of(name, LARGE if number in large else int(100_000 ** chance.random()) - 1)
            self._scene.drop(name, body)
            self.expected[name] = sha256(body)
            self.bytes += len(body)
            time.sleep(max(began + number * every - time.monotonic(), 0))

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait until all of them are there."""
        self._thread.join(120)
        assert len(self.expected) == ITEMS, "the producer did not end"


def places_of(scene: Scene) -> dict[str, list[str]]:
    """In which places each item lies."""
    found: dict[str, list[str]] = {}
    for place in PLACES:
        for name in scene.lying(place):
            first = name.partition("/")[2] if place == "working" else name
            found.setdefault(first, []).append(place)
    return found


def check_each_in_one_place(scene: Scene, names: list[str]) -> None:
    """At rest an item is in exactly one place."""
    found = places_of(scene)
    astray = {name: found.get(name, []) for name in names if len(found.get(name, [])) != 1}
    assert not astray, f"{len(astray)} items not in exactly one place: {dict(list(astray.items())[:10])}"


def test_killed_at_random(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """Each object right and written once, each item finished (or, killed three times, failed and brought by retry),
    nothing left in working/, and a repeated receipt has the id of the first."""
    chance = random.Random(SEED)
    flow = Flow(scene)
    began = time.monotonic()
    flow.start()
    for kill in range(KILLS):
        worker = scene.worker("-v")
        life = chance.uniform(EARLIEST, LATEST)
        if kill % 2:
            time.sleep(life)
        else:
            wait_for_the_rush(worker, LATEST)
            time.sleep(life / 30)
        assert worker.popen.poll() is None, f"it ended by itself: {worker.tail()}"
        worker.kill()
        if kill % 10 == 9:
            check_each_in_one_place(scene, list(flow.expected))
    flow.join()
    delivered_under_fire = len(scene.lying("finished"))
    took = time.monotonic() - began
    check_each_in_one_place(scene, list(flow.expected))

    first = scene.once("-v", seconds=300)
    assert sorted(os.listdir(scene.spool / "working")) == [], scene.where()
    poisoned = scene.reasons()
    assert set(poisoned.values()) <= {POISON}, {why for why in poisoned.values() if why != POISON}
    assert first.code == (1 if scene.lying("failed") and "died three times" in first.err else 0), first.err[-2000:]
    if poisoned:
        assert scene.jollyae("retry", str(scene.spool), "--all").code == 0, scene.where()
        assert scene.once("-v", seconds=300).code == 0, scene.where()

    same(
        flow.expected,
        {name: sha256((scene.spool / "finished" / name).read_bytes()) for name in scene.lying("finished")},
    )
    assert not (left := [place for place in PLACES if place != "finished" and scene.lying(place)]), (
        f"something in {left}"
    )
    same(flow.expected, scene.objects(), scene.where)
    repeats, there = check_receipts(scene, flow)
    with capsys.disabled():
        print(
            f"\n{KILLS} kills in {took:.0f} s, {ITEMS} items ({flow.bytes / 1e6:.0f} MB), {delivered_under_fire} of "
            f"them delivered between kills; sent again and found there: {there}; receipts repeated: {repeats}; "
            f"failed after three deaths: {len(poisoned)}"
        )


def wait_for_the_rush(worker: Process, seconds: float) -> None:
    """Wait until the worker delivers what had gathered while it started: there a kill meets most items at once."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not worker.lines("delivered"):
        time.sleep(0.002)


def check_receipts(scene: Scene, flow: Flow) -> tuple[int, int]:
    """Each item has a receipt, with the right digest; those of one item have one id, and at most one of them tells of
    a write, the others that the object was there. How many receipts are repeats, and how many tell so.

    The versions in the bucket would tell that better, but Ceph RGW 16 ignores If-None-Match in one that keeps them."""
    receipts = scene.receipts()
    written = repeated(one["name"] for one in receipts if not one.get("already_there"))
    assert not written, f"{len(written)} objects written more than once: {list(written.items())[:10]}"
    wrong = [one for one in receipts if not tells(one, (scene.spool / "finished" / one["name"]).read_bytes())]
    assert {one["name"] for one in receipts} == set(flow.expected) and not wrong, f"wrong digests: {wrong[:10]}"
    ids = Counter(one["name"] for one in {(one["name"], one["id"]): one for one in receipts}.values())
    other = [name for name, count in ids.items() if count > 1]
    assert not other, f"receipts of one item with several ids: {other[:10]}"
    return len(receipts) - len(ids), sum(bool(one.get("already_there")) for one in receipts)


def parts_sent(proxy: FaultProxy) -> list[int]:
    """The numbers of the parts that were sent through the proxy."""
    queries = [parse_qs(urlsplit(one.target).query) for one in proxy.seen if one.method == "PUT"]
    return sorted(int(query["partNumber"][0]) for query in queries if "partNumber" in query)


def created(proxy: FaultProxy) -> int:
    """How many multipart uploads were begun."""
    return sum(one.method == "POST" and urlsplit(one.target).query == "uploads" for one in proxy.seen)


def stored_parts(scene: Scene) -> set[int]:
    """The parts that the store has of the one upload that is under way."""
    uploads = scene.client.list_multipart_uploads(Bucket=scene.bucket).get("Uploads", [])
    found = set()
    for one in uploads:
        parts = scene.client.list_parts(Bucket=scene.bucket, Key=one["Key"], UploadId=one["UploadId"])
        found |= {part["PartNumber"] for part in parts.get("Parts", [])}
    return found


def test_a_large_upload_killed_half_way_sends_only_the_missing_parts(scene: Scene) -> None:
    """200 MB: what the store has is not sent again, by the store's and by the wire's account."""
    body = body_of("film", 200_000_000)
    scene.drop("film.bin", body)
    with before(scene.rgw.endpoint) as proxy:
        worker = scene.worker("--bandwidth", "40M", "--settle", "0", endpoint=proxy.url)
        until(lambda: len(stored_parts(scene)) >= 6, lambda: f"half of the parts: {worker.tail()}")
        worker.kill()
        time.sleep(0.5)  # what was on its way at that moment is stored, or is not
        kept = stored_parts(scene)
        assert 6 <= len(kept) < 12, kept
        assert [place for place in PLACES if scene.lying(place)] == ["working"]
        proxy.seen.clear()
        done = scene.once("--settle", "0", endpoint=proxy.url)
        assert done.code == 0, done.err
        assert parts_sent(proxy) == sorted({*range(1, 13)} - kept), f"the store had {sorted(kept)}"
        assert created(proxy) == 0, "another upload was begun"
        bytes_sent = sum(one.size for one in proxy.seen)
        assert bytes_sent < len(body) - (len(kept) - 1) * (16 << 20), f"{bytes_sent} bytes went over the wire"
    same({"film.bin": sha256(body)}, scene.objects(), scene.where)
    (receipt,) = scene.receipts()
    assert (receipt["parts"], receipt["parts_resumed"]) == (12, len(kept))
    assert stored_parts(scene) == set() and sorted(os.listdir(scene.spool / "working")) == []
