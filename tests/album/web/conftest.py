"""An album with some photos and users, and those who look at it."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from starlette.applications import Starlette

from jollyae.album.store import Store
from jollyae.album.web import make_app
from tests.album.conformance import Backend
from tests.album.test_conformance import BACKENDS, MARKS
from tests.album.web.support import Shot, Surfer, add, add_user
from tests.browsing import browser, windows  # noqa: F401 - fixtures


@dataclass
class Served:
    """An app over an album, and what was uploaded to it."""

    runner: asyncio.Runner
    store: Store
    app: Starlette
    uploads: dict[str, bytes] = field(default_factory=dict)
    _surfers: list[Surfer] = field(default_factory=list)

    def surfer(self, name: str = "", base: str = "http://127.0.0.1") -> Surfer:
        """Somebody who looks at it, logged in where a name is given."""
        found = Surfer(self.runner, self.app, base)
        self._surfers.append(found)
        return found.login(name) if name else found

    def add(self, shot: Shot, **changes: Any) -> str:
        """Put a photo in; its id."""
        return self.runner.run(add(self.store, shot, **changes))

    def document(self, id: str) -> dict[str, Any]:
        """A document as it is now."""
        found = self.runner.run(self.store.get(id))
        assert found is not None
        return found

    def close(self) -> None:
        """End it."""
        for surfer in self._surfers:
            surfer.close()
        self.runner.run(self.store.close())


@pytest.fixture(params=[pytest.param(name, marks=MARKS.get(name, ())) for name in BACKENDS])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """What the album is kept in: each of the stores."""
    return BACKENDS[request.param](request, tmp_path)


@pytest.fixture
def serve_album(backend: Backend) -> Iterator[Callable[..., Served]]:
    """Makes an album and an app over it."""
    made: list[Served] = []
    with asyncio.Runner() as runner:

        def make(name: str = "album", **options: Any) -> Served:
            store = runner.run(backend.open(name))
            uploads: dict[str, bytes] = {}

            def submit(file: BinaryIO, name: str) -> None:
                if name in uploads:
                    raise FileExistsError(name)
                uploads[name] = file.read()

            options = {"spool": None if options.get("public") else submit, **options}
            served = Served(runner, store, make_app(store, **options), uploads)
            made.append(served)
            return served

        yield make
        for served in made:
            served.close()


@pytest.fixture
def album(serve_album: Callable[..., Served]) -> Served:
    """An album with the users ann (editor) and ben (friend)."""
    served = serve_album()
    served.runner.run(add_user(served.store, "ann", "editor"))
    served.runner.run(add_user(served.store, "ben", "friend"))
    return served
