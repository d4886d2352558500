"""The promises of a store, over each of those that there are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from jollyae.album.sqlite import open_sqlite
from jollyae.album.store import Store

from .conformance import Backend, Promises
from .couch.support import Site


class Sqlite(Backend):
    """Files in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    async def open(self, name: str = "album") -> Store:
        return await open_sqlite(str(self.directory / f"{name}.db"), create=True)


class Couch(Backend):
    """Databases on a CouchDB server, or on the fake of one."""

    def __init__(self, site: Site) -> None:
        self.site = site

    async def open(self, name: str = "album") -> Store:
        return await self.site.open(name)


BACKENDS: dict[str, Callable[[pytest.FixtureRequest, Path], Backend]] = {
    "sqlite": lambda request, directory: Sqlite(directory),
    "fakecouch": lambda request, directory: Couch(request.getfixturevalue("fake_site")),
    "couchdb": lambda request, directory: Couch(request.getfixturevalue("real_site")),
}
"""By name: what makes a backend with no albums in it. It may ask for fixtures, and skip, naming the reason."""

MARKS = {"couchdb": pytest.mark.couchdb}


class TestPromises(Promises):
    """Over each of them."""

    @pytest.fixture(params=[pytest.param(name, marks=MARKS.get(name, ())) for name in BACKENDS])
    def backend(self, request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
        """One backend."""
        return BACKENDS[request.param](request, tmp_path)


class Between(Backend):
    """Two albums, each of another kind."""

    def __init__(self, one: Backend, other: Backend) -> None:
        self.backends = {"one": one, "other": other}

    async def open(self, name: str = "one") -> Store:
        return await self.backends[name].open(name)


OF_TWO = [
    Promises.test_a_copy_has_everything,
    Promises.test_two_servers_edit_different_fields,
    Promises.test_two_servers_edit_the_same_field,
]
"""The promises that are made of two albums."""


@pytest.mark.parametrize("promise", OF_TWO, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("couch", ["fakecouch", pytest.param("couchdb", marks=pytest.mark.couchdb)])
@pytest.mark.parametrize("turned", [False, True])
def test_promises_between_kinds(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    promise: Callable[[Promises, Backend], None],
    couch: str,
    turned: bool,
) -> None:
    """Copies from one kind to the other have everything, and merges on both make the same revisions."""
    backends = [BACKENDS["sqlite"](request, tmp_path), BACKENDS[couch](request, tmp_path)]
    promise(Promises(), Between(*(reversed(backends) if turned else backends)))
