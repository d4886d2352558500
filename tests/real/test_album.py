"""The album end to end: photos through a spool into a real object store and out again, and the demo as a visitor sees
it."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jollyae.processors.photo.samples import make_samples

from .support import SOURCE, until
from .test_demo import alive

if TYPE_CHECKING:
    from .conftest import Rgw

pytestmark = pytest.mark.real

CHROMIUM = shutil.which("chromium") or ""


def _environment(home: Path, **more: str) -> dict[str, str]:
    found = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return found | {"HOME": str(home), "PYTHONPATH": str(SOURCE), "AWS_EC2_METADATA_DISABLED": "true"} | more


class Scene:
    """A spool, an album and a bucket."""

    def __init__(self, root: Path, rgw: "Rgw") -> None:
        self.root = root
        self.url = f"sqlite:///{root}/album.sqlite"
        self.bucket = rgw.bucket()
        self.rgw = rgw
        self.place = ["--originals", f"s3://{self.bucket}/p", "--endpoint-url", rgw.endpoint]
        self.environment = _environment(root, **rgw.environment)
        assert self("album", "init", self.url, "--user", "anna").returncode == 0
        assert self("init", str(root / "spool")).returncode == 0

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "jollyae", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, env=self.environment)
        assert "Traceback" not in done.stderr and self.rgw.secret_key not in done.stdout + done.stderr, done.stderr
        return done

    def work(self) -> subprocess.CompletedProcess[str]:
        """Take in what is there."""
        return self("run", str(self.root / "spool"), "--album", self.url, *self.place, "--once", "--settle", "0")

    def objects(self) -> dict[str, bytes]:
        """What the bucket has."""
        client = self.rgw.client()
        found = client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return {one["Key"]: client.get_object(Bucket=self.bucket, Key=one["Key"])["Body"].read() for one in found}


def test_photos_go_to_a_bucket_and_come_out_again(tmp_path: Path, rgw: "Rgw") -> None:
    """Ingest, audit, a copy of the originals, an export, an import of it into another album; and each fault of the
    bucket is found."""
    scene = Scene(tmp_path, rgw)
    photos = {path.name: path.read_bytes() for path in make_samples(tmp_path / "camera", 6, side=640)}
    for name in photos:
        assert scene("submit", str(tmp_path / "spool"), str(tmp_path / "camera" / name)).returncode == 0
    done = scene.work()
    assert done.returncode == 0, done.stderr
    objects = scene.objects()
    assert sorted(objects.values()) == sorted(photos.values())
    assert all(re.fullmatch(r"p/originals/([0-9a-f]{2})/\1[0-9a-f]{62}\.jpg", key) for key in objects)
    said = scene("album", "audit", scene.url, *scene.place)
    assert said.returncode == 0 and "6 photos, 6 originals" in said.stdout

    told = json.loads(
        scene("album", "sync-originals", scene.url, str(tmp_path / "copy"), *scene.place, "--json").stdout
    )
    assert (told["brought"], told["failed"]) == (6, {})
    told = json.loads(scene("album", "export", scene.url, str(tmp_path / "out"), *scene.place, "--json").stdout)
    assert (told["added"], told["failed"]) == (6, {})
    assert sorted(path.read_bytes() for path in (tmp_path / "out").rglob("*.jpg")) == sorted(photos.values())
    other = f"sqlite:///{tmp_path}/other.sqlite"
    assert scene("album", "init", other, "--user", "anna").returncode == 0
    told = json.loads(scene("album", "import", other, str(tmp_path / "out"), *scene.place, "--json").stdout)
    assert (told["added"], told["failed"], told["sidecars"]) == (6, {}, {})
    assert scene.objects() == objects  # they were there already

    client, (first, second, *_) = rgw.client(), objects
    client.delete_object(Bucket=scene.bucket, Key=first)
    client.put_object(Bucket=scene.bucket, Key=second, Body=b"X" * len(objects[second]))
    said = scene("album", "audit", scene.url, *scene.place, "--json")
    *faults, counts = map(json.loads, said.stdout.splitlines())
    assert said.returncode == 1 and counts["faults"] == 2
    expected = {Path(first).stem: "missing", Path(second).stem: "damaged"}
    assert {one["id"]: one["fault"] for one in faults} == expected
    # The copy brings the missing one back: the photo is there already, its original is not.
    lost = next((tmp_path / "copy").rglob(f"{Path(first).stem}.jpg"))
    assert scene("submit", str(tmp_path / "spool"), str(lost)).returncode == 0
    assert scene.work().returncode == 0
    assert scene.objects()[first] == objects[first]


def test_a_large_file_goes_in_parts(tmp_path: Path, rgw: "Rgw") -> None:
    """What is as long as a video is sent in parts under its key, and read back whole."""
    scene = Scene(tmp_path, rgw)
    (photo,) = make_samples(tmp_path / "camera", 1, side=640)
    body = photo.read_bytes() + os.urandom(66 << 20)
    photo.write_bytes(body)
    assert scene("submit", str(tmp_path / "spool"), str(photo)).returncode == 0
    done = scene.work()
    assert done.returncode == 0, done.stderr
    digest = hashlib.sha256(body).hexdigest()
    assert scene.objects() == {f"p/originals/{digest[:2]}/{digest}.jpg": body}
    (receipt,) = map(json.loads, scene("log", str(tmp_path / "spool"), "--json").stdout.splitlines())
    assert receipt["parts"] > 1 and receipt["document"] == receipt["sha256"] == digest
    assert scene("album", "audit", scene.url, *scene.place).returncode == 0


def test_the_store_goes_away_for_a_while(tmp_path: Path, rgw: "Rgw") -> None:
    """Nothing fails; no document is without its original; all goes on by itself."""
    scene = Scene(tmp_path, rgw)
    for path in make_samples(tmp_path / "camera", 3, side=480):
        assert scene("submit", str(tmp_path / "spool"), str(path)).returncode == 0
    rgw.down()
    timer = threading.Timer(8.0, rgw.up)
    timer.start()
    try:
        done = scene.work()
    finally:
        timer.join()
    assert done.returncode == 0 and "paused" in done.stderr and "resumed" in done.stderr, done.stderr
    assert len(scene.objects()) == 3 and not list((tmp_path / "spool" / "failed").iterdir())
    assert scene("album", "audit", scene.url, *scene.place).returncode == 0


# --- the demo


def _demo(*more: str) -> list[str]:
    return [sys.executable, "-m", "jollyae", "album", "demo", *more]


def test_the_demo_without_a_terminal(tmp_path: Path) -> None:
    """It draws, drops, looks and ends by itself, in a directory with a space in its name; a second time as well."""
    directory = tmp_path / "the demo"
    for _ in range(2):
        done = subprocess.run(
            _demo(str(directory)), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Checked: the album has each photo once" in done.stdout and "Nothing is left running" in done.stdout
    assert len(list((directory / "originals").rglob("*.jpg"))) == 27
    until(lambda: not alive(directory), "everything to end")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "precious").touch()
    refused = subprocess.run(_demo(str(tmp_path / "theirs")), capture_output=True, text=True, timeout=60)
    assert refused.returncode == 78 and "not empty" in refused.stderr and (tmp_path / "theirs" / "precious").exists()


@contextmanager
def _shown(root: Path, number: int = signal.SIGINT) -> Iterator[str]:
    """The demo while it stays; its address. At the end it is sent that signal, and nothing may be left of it."""
    told = root / "told"
    environment = dict(os.environ) | {"TMPDIR": str(root), "PYTHONPATH": str(SOURCE)}
    with told.open("wb") as output:
        child = subprocess.Popen(
            _demo("--stay"), stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
        )
    try:
        until(lambda: "Ctrl-C ends" in told.read_text() or child.poll() is not None, "the demo to be ready", 120)
        address = re.search(r"The album is at +(\S+)", told.read_text())
        assert address is not None, told.read_text()
        yield address.group(1).rstrip("/")
        child.send_signal(number)
        assert child.wait(30) == 0
        assert "Nothing is left running" in told.read_text()
        assert not list(root.glob("jollyae-album-*"))
        until(lambda: not alive(root / "jollyae-album-"), "everything to end")
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_as_a_visitor_sees_it(tmp_path: Path, number: int) -> None:
    """It says where the album is, its first page shows photos; Ctrl-C ends all of it and removes what it made."""
    with _shown(tmp_path, number) as address:
        with urllib.request.urlopen(address, timeout=30) as answer:
            page = answer.read().decode()
        image = re.search(r'src="(/image/thumb/[^"]+)"', page)
        assert image is not None
        with urllib.request.urlopen(address + image.group(1), timeout=30) as answer:
            assert answer.headers["Content-Type"] == "image/jpeg" and answer.read(3) == b"\xff\xd8\xff"


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium: tools/test-tools.sh installs it, as root on Debian")
def test_an_upload_goes_through_the_spool(tmp_path: Path) -> None:
    """In a browser, through a real spool and worker: the thumbnail of a photo appears, and its original can be had,
    byte by byte; of a broken one the reason is told."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (make setup)")
    (photo,) = make_samples(tmp_path / "camera", 1, side=700)
    (tmp_path / "cut off.jpg").write_bytes(photo.read_bytes()[:9000])
    digest, errors = hashlib.sha256(photo.read_bytes()).hexdigest(), []
    with _shown(tmp_path) as address, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page(base_url=address)
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.goto("/login")
        page.locator("input[name=name]").fill("demo")
        page.locator("input[name=password]").fill("demo-demo")
        page.locator("input[name=password]").press("Enter")
        page.wait_for_url("**/")
        page.goto("/upload")
        page.locator("input[type=file]").set_input_files([photo, tmp_path / "cut off.jpg"])
        page.locator("#uploads img").wait_for(timeout=60_000)
        page.wait_for_function("() => document.querySelector('#uploads img').naturalWidth > 0")
        page.get_by_text("cannot be decoded").wait_for(timeout=60_000)
        assert page.request.get(f"/original/{digest}").body() == photo.read_bytes()
        browser.close()
    assert errors == []
