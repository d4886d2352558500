"""An album on one machine, shown: a spool, a worker, SQLite, originals in a directory, and the pages in a browser.

The sample photos are drawn here, with what cameras write into their files: dates, orientations 1–8, places. They are
dropped into the spool as any would be, and the demo looks at what the album has then.
"""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

from ...album.document import FRIENDS, PUBLIC, edited
from ...album.store import Store
from ...spool.spool import Spool
from .. import children
from ..demo import DemoFailed, Say
from ..settings import ConfigurationError
from . import opening as album
from . import verbs as album_verbs

PHOTOS = 27
"""Sample photos: each scene three times."""
_MARK = ".jollyae-album-demo"
_PATIENCE = 120.0  # seconds for what takes some
_USER, _PASSWORD = "demo", "demo-demo"


class AlbumDemo:
    """The demo in ``directory`` (None: in a temporary one, which is removed), telling what it does by ``say``. ``port``
    0: any that is free."""

    def __init__(self, directory: Path | None, say: Say, *, port: int = 0) -> None:
        self._directory = directory
        self._say = say
        self._port = port
        self._children: list[tuple[str, Popen[bytes]]] = []
        self._log = Path()

    def run(self, *, stay: bool) -> None:
        """Show it; then, if ``stay``, until the visitor ends it (KeyboardInterrupt). Nothing is left running. Raises
        :class:`DemoFailed` and :class:`ConfigurationError`."""
        album.require()
        with self._place() as root:
            try:
                spool, address = self._show(root)
                if stay:
                    self._invite(spool, address)
                    self._keep()
            finally:
                for _, child in reversed(self._children):
                    children.stop(child)

    @contextmanager
    def _place(self) -> Iterator[Path]:
        if self._directory is None:
            with tempfile.TemporaryDirectory(prefix="jollyae-album-") as directory:
                yield Path(directory)
            return
        root = self._directory
        if root.exists():
            if not (root / _MARK).exists() and any(root.iterdir()):
                raise ConfigurationError(f"{root} is not empty", "Give another directory: jollyae album demo DIR")
            shutil.rmtree(root)
        root.mkdir(parents=True)
        (root / _MARK).touch()
        yield root

    def _show(self, root: Path) -> tuple[Spool, str]:
        """Set it up and fill it; the spool, and the pages' address."""
        spool = Spool(root / "spool")
        self._url = f"sqlite:///{quote(str(root))}/album.sqlite"
        originals = f"file://{quote(str(root))}/originals"
        asyncio.run(album_verbs.make(self._url))
        asyncio.run(album_verbs.set_user(self._url, _USER, "editor", _PASSWORD))
        self._start(root, "worker", "run", str(spool.places.control), "--album", self._url, "--originals", originals,
                    "--addedby", _USER, "--no-progress", "--grace", "3")  # fmt: skip
        address = self._serve(root, spool, originals)
        self._say(f"A spool is in {spool.places.control}, the album in {root}/album.sqlite,")
        self._say(f"and originals go to {root}/originals.")
        self._drop(root, spool)
        self._look(address)
        self._say("\nChecked: the album has each photo once, and its first page shows them.")
        return spool, address

    def _invite(self, spool: Spool, address: str) -> None:
        self._say(
            f"\nThe album is at    {address}\nLog in as          {_USER}\nwith the password  {_PASSWORD}\n\n"
            f"Not logged in, only Public photos are seen. Drop a photo of yours:\n"
            f"   cp PHOTO '{spool.places.incoming}/'\nor upload it in the browser. Ctrl-C ends all of it."
        )

    def _start(self, root: Path, name: str, *arguments: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "JOLLYAE_"))}
        command = [sys.executable, "-m", "jollyae", *arguments]
        child = children.start(command, log=root / f"{name}.log", env=clean | {"PYTHONUNBUFFERED": "1"})
        self._children.append((name, child))
        self._log = root

    def _serve(self, root: Path, spool: Spool, originals: str) -> str:
        """Start the pages; their address."""
        self._start(root, "web", "album", "serve", self._url, "--spool", str(spool.places.control), "--originals",
                    originals, "--port", str(self._port), "--title", "Demo album")  # fmt: skip
        log = root / "web.log"

        def address() -> str:
            words = log.read_text().split() if log.exists() else []
            return next((word for word in words if word.startswith("http://127.0.0.1:")), "")

        self._until(lambda: bool(address()), "the pages did not come up")
        return address()

    def _drop(self, root: Path, spool: Spool) -> None:
        """Make photos and put them in, as any producer would; one of them twice, and one that is cut off."""
        from ...processors.photo.samples import make_samples

        self._say(f"\nDrawing {PHOTOS} photos, and dropping each into the spool …")
        began = time.monotonic()
        for number, path in enumerate(make_samples(root / "camera", PHOTOS)):
            if number == 0:
                spool.submit(path, "the same again.jpg")
                (root / "half.jpg").write_bytes(path.read_bytes()[:20_000])
                spool.submit(root / "half.jpg", "cut off.jpg")
            spool.submit(path)
        self._until(lambda: self._count() >= PHOTOS, "not all photos came into the album")
        self._until(lambda: (spool.places.failed / "cut off.jpg").exists(), "a broken picture was taken for one")
        self._until(lambda: not any(spool.places.incoming.iterdir()), "the spool is not empty")
        self._say(f"   {PHOTOS} are in the album, {time.monotonic() - began:.0f} s after the first was drawn.")
        self._say("   The one that was dropped twice is there once; the one that is cut off lies in failed/, and why:")
        for line in self._log.joinpath("worker.log").read_text().splitlines():
            if "cut off" in line:
                self._say(f"   {line.strip()[:150]}")
                break

    def _count(self) -> int:
        async def count() -> int:
            async with album.opened(self._url) as store:
                return await _photos(store)

        return asyncio.run(count())

    def _look(self, address: str) -> None:
        """Make some of it public, and look at it as a visitor would."""
        asyncio.run(self._publish())
        try:
            with urlopen(address, timeout=30) as answer:
                page = answer.read().decode()
        except URLError as error:
            raise DemoFailed(f"the first page cannot be had: {error}") from error
        if "/image/thumb/" not in page:
            raise DemoFailed("the first page shows no photo")

    async def _publish(self) -> None:
        from ...album import times

        async with album.opened(self._url) as store:
            number = 0
            async for id in store.ids():
                found = await store.get(id)
                if found is None or found.get("type") != "photo" or number % 4 == 3:
                    number += 1
                    continue
                kept = [word for word in found["keywords"] if word != "unprocessed"]
                cat = FRIENDS if number % 4 == 2 else PUBLIC
                changed = edited(found, {"cat": cat, "keywords": kept}, now=times.now(), server=store.server)
                await store.put(changed)
                number += 1

    def _keep(self) -> None:
        while True:
            time.sleep(0.5)
            for name, child in self._children:
                if child.poll() is not None:
                    raise DemoFailed(f"the {name} ended")

    def _until(self, condition: Callable[[], bool], otherwise: str) -> None:
        end = time.monotonic() + _PATIENCE
        while not condition():
            for name, child in self._children:
                if child.poll() is not None:
                    raise DemoFailed(f"the {name} ended: {_last_words(self._log / f'{name}.log')}")
            if time.monotonic() > end:
                raise DemoFailed(otherwise)
            time.sleep(0.1)


async def _photos(store: Store) -> int:
    from ...album.store import Query

    return await store.count(Query())


def _last_words(log: Path) -> str:
    """The last that a child said, with its hint, which is a line that is indented."""
    lines = log.read_text().strip().splitlines() if log.exists() else []
    words: list[str] = []
    for line in reversed(lines):
        words.insert(0, line.strip())
        if not line.startswith(" "):
            break
    return " ".join(words) or "it said nothing"
