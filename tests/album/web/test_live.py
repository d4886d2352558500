"""The whole way, with nothing stood in for: a browser, the pages, the spool, a worker, originals, and the album."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.album.web.support import PASSWORD, jpeg
from tests.album.web.test_browser import Open, visit  # noqa: F401 - a fixture
from tests.browsing import pytestmark  # noqa: F401 - when to skip
from tests.helpers import PATIENCE


@dataclass
class Live:
    """An album that is served by ``jollyae album serve`` and fed by ``jollyae run``."""

    url: str
    root: Path


def _jollyae(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "jollyae", *arguments]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    """Its user is ann."""
    album, originals, spool = (
        f"sqlite:///{tmp_path}/album.db",
        (tmp_path / "originals").as_uri(),
        str(tmp_path / "spool"),
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JOLLYAE_")}
    environment |= {"PYTHONUNBUFFERED": "1", "JOLLYAE_USER_PASSWORD": PASSWORD}
    (tmp_path / "originals").mkdir()
    for once in (("init", spool), ("album", "init", album, "--user", "ann")):
        subprocess.run(_jollyae(*once), check=True, env=environment, capture_output=True)
    feed = ("run", spool, "--album", album, "--originals", originals, "--no-progress", "--grace", "3")
    show = ("album", "serve", album, "--spool", spool, "--originals", originals, "--port", "0")
    with ExitStack() as stack:
        for name, arguments in (("worker", feed), ("pages", show)):
            log = stack.enter_context((tmp_path / f"{name}.log").open("wb"))
            program = subprocess.Popen(_jollyae(*arguments), env=environment, stdout=log, stderr=log)
            stack.callback(program.wait, PATIENCE)
            stack.callback(program.terminate)
        yield Live(_address(tmp_path / "pages.log"), tmp_path)


def _address(log: Path) -> str:
    """What the pages said where they are."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if found := [word for word in log.read_text().split() if word.startswith("http://127.0.0.1:")]:
            return found[0].rstrip("/")
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def test_from_the_browser_through_the_spool_into_the_album(live: Live, visit: Open) -> None:  # noqa: F811 - the fixture
    """A photo that is uploaded appears, is edited, and its original comes back byte for byte; what is no picture says
    why it does not appear."""
    body = jpeg(1200, 800, 5)
    (live.root / "walk.jpg").write_bytes(body)
    (live.root / "broken.jpg").write_bytes(body[: len(body) // 2])
    page = visit(live, "ann")
    page.set_default_timeout(PATIENCE * 1000)
    page.goto("/upload")
    page.locator("input[type=file]").set_input_files([live.root / "walk.jpg", live.root / "broken.jpg"])
    page.locator("#uploads img").wait_for()
    page.get_by_text("cannot be decoded").wait_for()
    page.locator("#uploads a").click()
    page.locator("[name=title]").fill("A walk")
    page.locator("[name=keywords]").fill("beach")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="A walk").wait_for()
    page.goto("/tags/beach")
    page.locator(".grid a").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download original").click()
    assert download.value.suggested_filename == "walk.jpg"
    assert Path(download.value.path()).read_bytes() == body
    size = "image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
    assert page.locator(".stage img").evaluate(size) == [1200, 800]
