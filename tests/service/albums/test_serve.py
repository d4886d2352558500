"""album serve: what the pages are given, and the process as an operator sees it."""

import io
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from jollyae.album import originals
from jollyae.service.albums import serve as album_serve
from jollyae.spool import notes
from jollyae.spool.spool import Spool
from tests.album.scene import add, an_album, run

SOURCE = Path(__file__).parents[3] / "src"


def test_originals_for_the_pages(tmp_path: Path) -> None:
    """Bytes from and to; one that is not there is told before the first byte, a place that is gone is another fault."""

    async def go() -> None:
        async with an_album(tmp_path) as (store, place):
            photo = await add(store, place, b"0123456789")
            fetch = album_serve.fetch_from(place)
            assert b"".join([piece async for piece in fetch(photo, 2, 5)]) == b"234"
            Path(place.path(originals.key_of(photo))).unlink()
            with pytest.raises(FileNotFoundError):
                [piece async for piece in fetch(photo, 0, 10)]
            with pytest.raises(FileNotFoundError):
                [piece async for piece in fetch({"_id": "../x", "extension": "jpg"}, 0, 10)]
            (tmp_path / "photos").rename(tmp_path / "gone")
            with pytest.raises(OSError, match="not there"):
                [piece async for piece in fetch(photo, 0, 10)]

    run(go())


def test_uploads_and_their_troubles(tmp_path: Path) -> None:
    """What is uploaded is an item; why it does not appear is told as the spool knows it."""
    spool = Spool(tmp_path / "spool")
    album_serve.submit_to(spool.places)(io.BytesIO(b"x"), "a.jpg")
    assert (spool.places.incoming / "a.jpg").read_bytes() == b"x"
    with pytest.raises(FileExistsError):
        album_serve.submit_to(spool.places)(io.BytesIO(b"y"), "a.jpg")
    trouble = album_serve.trouble_in(spool.places)
    assert "no worker is running" in trouble("a.jpg")
    (spool.places.incoming / "a.jpg").rename(spool.places.failed / "a.jpg")
    note = notes.about("a.jpg", os.lstat(spool.places.failed / "a.jpg"))
    note.error, note.hint = "it is no picture", "Put only pictures here."
    notes.write(str(spool.places.failed / "a.jpg"), note)
    assert trouble("a.jpg") == "it is no picture. Put only pictures here."


def _serve(root: Path, *options: str) -> "subprocess.Popen[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JOLLYAE_")}
    command = [sys.executable, "-m", "jollyae", "album", "serve", f"sqlite:///{root}/album.sqlite", "--port", "0"]
    environment = clean | {"PYTHONPATH": str(SOURCE)}
    return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=environment)  # fmt: skip


@pytest.mark.parametrize("options", [(), ("--public",), ("--no-keeper",)])
def test_it_serves_until_it_is_told_to_stop(tmp_path: Path, options: tuple[str, ...]) -> None:
    """The address is on stdout once it answers; SIGTERM ends it in order, with 0 and nothing on stderr."""

    async def make() -> None:
        async with an_album(tmp_path) as (store, place):
            await add(store, place, b"one", cat="Public", title="The beach")

    run(make())
    with _serve(tmp_path, *options) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        try:
            with urllib.request.urlopen(line.split()[-1], timeout=30) as answer:
                assert answer.status == 200 and "The beach" in answer.read().decode()
        finally:
            child.send_signal(signal.SIGTERM)
        _, said = child.communicate(timeout=30)
    assert child.returncode == 0 and said == ""


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """One sentence, no traceback."""

    async def make() -> None:
        async with an_album(tmp_path):
            pass

    run(make())
    with _serve(tmp_path) as child:
        assert child.stdout is not None
        port = child.stdout.readline().strip().rstrip("/").rpartition(":")[2]
        try:
            with _serve(tmp_path, "--port", port) as other:
                _, said = other.communicate(timeout=30)
            assert other.returncode == 1 and "--port N" in said and "Traceback" not in said
        finally:
            child.send_signal(signal.SIGTERM)
            child.communicate(timeout=30)
