"""Ingest: whole pictures, their originals first, one document each; repeats and crashes change nothing."""

import asyncio
import hashlib
import io
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jollyae.album import originals
from jollyae.album.ingest import Ingest
from jollyae.album.store import Document, Query, Store
from jollyae.processors.photo.samples import make_samples
from jollyae.spool.spool import Spool
from jollyae.worker import receipts
from tests.album.scene import an_album, edit, run
from tests.processors.photo.makers import png, zeros

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Eight photos, one of each orientation."""
    return make_samples(tmp_path_factory.mktemp("samples"), 8, side=640)


def _environment(**more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("JOLLYAE_", "AWS_"))}
    return clean | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"} | more


class Scene:
    """A spool, an album and a directory of originals, and workers that are processes of their own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.spool = Spool(root / "spool")
        self.originals = root / "photos"
        self.url = f"sqlite:///{root}/album.sqlite"
        run(self._make())

    async def _make(self) -> None:
        async with an_album(self.root):
            pass

    def work(self, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a worker until all is done."""
        command = [sys.executable, "-m", "jollyae", "run", str(self.spool.places.control), "--album", self.url]
        command += ["--originals", f"file://{self.originals}", "--once", "--settle", "0", "-v", *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env=_environment(**environment))

    def photos(self) -> dict[str, Document]:
        """The album's photos by id."""

        async def look() -> dict[str, Document]:
            async with an_album(self.root) as (store, _):
                found = [await store.get(id) async for id in store.ids()]
                return {one["_id"]: one for one in found if one is not None}

        return run(look())

    def kept(self) -> dict[str, bytes]:
        """The originals by their digests."""
        return {path.stem: path.read_bytes() for path in self.originals.rglob("*") if path.is_file()}

    def check_whole(self) -> None:
        """Each photo has its original and both renditions, and nothing is half."""

        async def look() -> None:
            async with an_album(self.root) as (store, _):
                async for id in store.ids():
                    found = await store.get(id)
                    assert found is not None and found["original"]["sha256"] == id
                    for name in ("thumb", "medium"):
                        rendition = await store.rendition(id, name)
                        assert rendition is not None
                        Image.open(io.BytesIO(rendition.body)).load()
                    assert id in kept

        kept = self.kept()
        run(look())


def test_photos_come_in(tmp_path: Path, samples: list[Path]) -> None:
    """Each is a document with its original and its renditions; the receipt tells of both."""
    scene = Scene(tmp_path)
    for path in samples:
        scene.spool.submit(path)
    told = scene.work("--addedby", "anna")
    assert told.returncode == 0, told.stderr
    photos = scene.photos()
    assert scene.kept() == {id: (scene.spool.places.finished / one["name"]).read_bytes() for id, one in photos.items()}
    assert len(photos) == 8 and {one["addedby"] for one in photos.values()} == {"anna"}
    assert {one["cat"] for one in photos.values()} == {"Private"}
    assert all("unprocessed" in one["keywords"] for one in photos.values())
    scene.check_whole()
    for receipt in receipts.read(scene.spool.places.receipts):
        assert receipt["document"] == receipt["sha256"] and receipt["added"] is True
        assert receipt["url"] == photos[receipt["document"]]["original"]["url"]


def test_the_same_photo_again_changes_nothing(tmp_path: Path, samples: list[Path]) -> None:
    """Under another name, after an edit: one photo, one original, the edit stays; after a deletion it comes back."""
    scene = Scene(tmp_path)
    scene.spool.submit(samples[0])
    assert scene.work().returncode == 0
    (id,) = scene.photos()

    async def change() -> Document:
        async with an_album(tmp_path) as (store, _):
            return await edit(store, id, title="Mine", cat="Public")

    after = run(change())
    scene.spool.submit(samples[0], "another name.jpeg")
    assert scene.work().returncode == 0
    assert scene.photos() == {id: after} and len(scene.kept()) == 1
    assert [one["added"] for one in receipts.read(scene.spool.places.receipts)] == [True, False]

    async def remove() -> None:
        async with an_album(tmp_path) as (store, _):
            await store.remove(id, after["_rev"])

    run(remove())
    assert scene.photos() == {}
    scene.spool.submit(samples[0], "again.jpg")
    assert scene.work().returncode == 0
    (back,) = scene.photos().values()
    assert back["cat"] == "Private" and back["title"] != "Mine"
    scene.check_whole()


def test_what_is_no_picture_fails_and_nothing_of_it_is_kept(tmp_path: Path, samples: list[Path]) -> None:
    """Cut off, empty, text, another format's extension: failed/ has the file as it was, with the reason; the rest is
    taken in, and the wrong extension is put right."""
    scene = Scene(tmp_path)
    body = samples[0].read_bytes()
    bad = {"half.jpg": body[: len(body) // 2], "empty.jpg": b"", "text.jpg": b"hello\n" * 100}
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
        scene.spool.submit(tmp_path / name)
    scene.spool.submit(samples[1], "really a jpeg.png")
    told = scene.work()
    assert told.returncode == 1
    for name, data in bad.items():
        assert (scene.spool.places.failed / name).read_bytes() == data
        assert json.loads((scene.spool.places.failed / f".{name}.note").read_bytes())["error"]
    (only,) = scene.photos().values()
    assert only["extension"] == "jpg" and list(scene.kept()) == [only["_id"]]


KILLER = """
import os, signal, sys
from jollyae.album import ingest
from jollyae.cli.main import entry
point = os.environ["KILL_AT"]
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
if point == "before the original":
    ingest.originals.key = die
elif point == "before the document":
    ingest.document.new_photo = die
elif point == "after the document":
    from jollyae.album.sqlite.store import SqliteStore
    add = SqliteStore.add
    async def added(self, *given):
        await add(self, *given)
        die()
    SqliteStore.add = added
elif point == "in the original":
    from jollyae.processors import files
    files.fs.rename = die
entry()
"""


@pytest.mark.parametrize(
    "point", ["before the original", "in the original", "before the document", "after the document"]
)
def test_a_crash_leaves_no_photo_half_in(tmp_path: Path, samples: list[Path], point: str) -> None:
    """kill -9 at each step: what is in the album then is whole, and the next worker has it all in, once."""
    scene = Scene(tmp_path)
    for path in samples[:3]:
        scene.spool.submit(path)
    command = [sys.executable, "-c", KILLER, "run", str(scene.spool.places.control), "--album", scene.url]
    command += ["--originals", f"file://{scene.originals}", "--once", "--settle", "0"]
    told = subprocess.run(command, capture_output=True, timeout=120, env=_environment(KILL_AT=point))
    assert told.returncode == -signal.SIGKILL, told.stderr
    scene.check_whole()
    half = len(scene.photos()), len(scene.kept())
    assert half[0] <= half[1] and (point != "after the document" or half[0] >= 1)
    again = scene.work()
    assert again.returncode == 0, again.stderr
    assert len(scene.photos()) == 3 and len(scene.kept()) == 3
    scene.check_whole()


def test_killed_at_random(tmp_path: Path, samples: list[Path]) -> None:
    """kill -9 again and again, whenever: what is in the album is whole each time, and in the end all is in, once."""
    scene, chance = Scene(tmp_path), random.Random(11)
    bodies = [samples[number % 8].read_bytes() + b"%d" % number for number in range(40)]
    for number, body in enumerate(bodies):
        (tmp_path / "photo").write_bytes(body)
        scene.spool.submit(tmp_path / "photo", f"{number}.jpg")
    command = [sys.executable, "-m", "jollyae", "run", str(scene.spool.places.control), "--album", scene.url]
    command += ["--originals", f"file://{scene.originals}", "--settle", "0", "-q"]
    for _ in range(8):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=_environment()) as worker:
            time.sleep(chance.uniform(0.6, 2.0))
            worker.kill()
        scene.check_whole()
    assert scene.work().returncode == 0
    assert set(scene.photos()) == {hashlib.sha256(body).hexdigest() for body in bodies} == set(scene.kept())
    assert not list(scene.spool.places.failed.iterdir())
    scene.check_whole()


def test_an_original_that_is_damaged_is_not_believed(tmp_path: Path, samples: list[Path]) -> None:
    """Other bytes under its key: the photo fails and says what to do; nothing is overwritten, no document is made."""
    scene = Scene(tmp_path)
    digest = hashlib.sha256(samples[0].read_bytes()).hexdigest()
    there = scene.originals / originals.key(digest, "jpg")
    there.parent.mkdir(parents=True)
    there.write_bytes(b"damaged")
    scene.spool.submit(samples[0])
    told = scene.work()
    assert told.returncode == 1 and "what is there is damaged" in told.stderr
    assert there.read_bytes() == b"damaged" and scene.photos() == {}
    there.unlink()
    assert [what for _, what in scene.spool.retry()] == ["retried"]
    assert scene.work().returncode == 0 and len(scene.photos()) == 1


def test_an_album_that_cannot_be_written_is_waited_for(tmp_path: Path, samples: list[Path]) -> None:
    """Somebody locks the database for a while: nothing fails, nothing is lost, and all goes on by itself."""
    scene = Scene(tmp_path)
    for path in samples[:4]:
        scene.spool.submit(path)
    lock = sqlite3.connect(tmp_path / "album.sqlite", isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(12.0, lambda: lock.execute("ROLLBACK"))
    timer.start()
    try:
        told = scene.work()
    finally:
        timer.join()
        lock.close()
    assert told.returncode == 0, told.stderr
    assert len(scene.photos()) == 4 and not list(scene.spool.places.failed.iterdir())


def test_originals_that_are_gone_pause_it(tmp_path: Path, samples: list[Path]) -> None:
    """The originals' disk is not mounted any more: the item waits, and there is no document without its original."""
    scene = Scene(tmp_path)
    scene.spool.submit(samples[0])
    command = [sys.executable, "-m", "jollyae", "run", str(scene.spool.places.control), "--album", scene.url]
    command += ["--originals", f"file://{scene.originals}", "--settle", "0", "--log-format", "json", "--grace", "1"]
    scene.spool.pause("for a moment")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=_environment()) as worker:
        patience = threading.Timer(60.0, worker.kill)  # a line that never comes must not keep us
        patience.start()
        try:
            assert worker.stderr is not None
            lines = _messages(worker.stderr)
            assert any("working on" in line["message"] for line in lines)
            scene.originals.rename(tmp_path / "elsewhere")
            scene.spool.resume()
            assert any(line["level"] in ("warning", "error") and "photos" in line["message"] for line in lines)
            assert scene.photos() == {}
            (tmp_path / "elsewhere").rename(scene.originals)
            assert any(line["message"].startswith("resumed:") for line in lines)
        finally:
            patience.cancel()
            worker.send_signal(signal.SIGTERM)
            worker.communicate(timeout=30)
    assert scene.work().returncode == 0 and len(scene.photos()) == 1


def _messages(stream: Any) -> Iterator[dict[str, Any]]:
    for line in stream:
        yield json.loads(line)


def test_several_at_once_are_one_photo(tmp_path: Path, samples: list[Path]) -> None:
    """The same bytes under ten names, in flight together: one photo, one original."""
    scene = Scene(tmp_path)
    for number in range(10):
        scene.spool.submit(samples[2], f"{number}.jpg")
    assert scene.work().returncode == 0
    assert len(scene.photos()) == 1 and len(scene.kept()) == 1
    assert sum(one["added"] for one in receipts.read(scene.spool.places.receipts)) == 1


def test_two_processes_share_the_work(tmp_path: Path, samples: list[Path]) -> None:
    """--processes: each has its own children and its own connection to the album."""
    scene = Scene(tmp_path)
    for path in samples:
        scene.spool.submit(path)
    told = scene.work("--processes", "2")
    assert told.returncode == 0, told.stderr
    assert len(scene.photos()) == 8
    scene.check_whole()


def test_hostile_pictures_cost_themselves_alone(tmp_path: Path, samples: list[Path]) -> None:
    """Bombs, lies, noise and a hundred good ones among them: the bad ones fail with a reason, the others are in, and
    worker and child together never have 200 MB."""
    scene = Scene(tmp_path)
    chance, body = random.Random(7), samples[0].read_bytes()
    bad = {
        "bomb.png": png(50_000, 50_000, zeros(50_000 * 6_251), depth=1),
        "large.png": png(13_000, 13_000, zeros(13_000 * 39_001), colour=2),
        "huge.png": png(2**31 - 1, 2**31 - 1, b""),
        "empty.jpg": b"",
        "half.jpg": body[: len(body) // 2],
        "noise.jpg": chance.randbytes(200_000),
        "begun.jpg": body[:3] + chance.randbytes(100_000),
        "program.jpg": b"#!/bin/sh\necho hello\n",
    }
    for number in range(100):
        (scene.spool.places.incoming / f"good {number}.jpg").write_bytes(
            samples[number % 8].read_bytes() + b"%d" % number
        )
    for name, data in bad.items():
        (scene.spool.places.incoming / name).write_bytes(data)
    (scene.spool.places.incoming / "a picture.txt").write_bytes(samples[1].read_bytes() + b"another")
    command = [sys.executable, "-m", "jollyae", "run", str(scene.spool.places.control), "--album", scene.url]
    command += ["--originals", f"file://{scene.originals}", "--once", "--settle", "0", "-q", "--concurrency", "1"]
    peak = 0
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=_environment(), start_new_session=True) as worker:
        while worker.poll() is None:
            peak = max(peak, sum(map(_memory, _session(worker.pid))))
            time.sleep(0.02)
    assert worker.returncode == 1 and len(scene.photos()) == 101
    assert {path.name for path in scene.spool.places.failed.iterdir() if path.name[0] != "."} == set(bad)
    for name, data in bad.items():
        assert (scene.spool.places.failed / name).read_bytes() == data
        assert json.loads((scene.spool.places.failed / f".{name}.note").read_bytes())["error"]
    assert peak < 200_000_000, f"{peak:,} bytes"
    scene.check_whole()


def _session(leader: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if name.isdigit() and os.getsid(int(name)) == leader:
                found.append(int(name))
    return found


def _memory(pid: int) -> int:
    """Bytes of real memory."""
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def test_the_album_is_opened_once_and_again_after_a_refusal() -> None:
    """Items that come together wait for one opening; one that failed is tried again by the next item."""
    opened: list[int] = []

    store: Store = object()  # type: ignore[assignment]

    async def open_store() -> Store:
        opened.append(1)
        await asyncio.sleep(0.01)
        if len(opened) == 1:
            raise OSError("not yet")
        return store

    async def go() -> None:
        ingest = Ingest(lambda: None, None, open_store)  # type: ignore[arg-type, return-value]
        with pytest.raises(OSError, match="not yet"):
            await ingest.store()
        assert await asyncio.gather(*(ingest.store() for _ in range(5))) == [store] * 5
        assert len(opened) == 2

    run(go())


def test_a_query_counts_what_came_in(tmp_path: Path, samples: list[Path]) -> None:
    """What the pages ask sees it: the inbox has all that is new."""
    scene = Scene(tmp_path)
    for path in samples[:2]:
        scene.spool.submit(path)
    assert scene.work().returncode == 0

    async def count() -> int:
        async with an_album(tmp_path) as (store, _):
            return await store.count(Query(having=("unprocessed",)))

    assert run(count()) == 2
