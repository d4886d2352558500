"""Servers for the tests: one or two fakes in this process, or those that the environment names."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.album.fakecouch import FakeCouch

from .couch.support import URLS, Site


@pytest.fixture
def fake() -> Iterator[FakeCouch]:
    """A fake CouchDB; what it does not know fails the test."""
    with FakeCouch() as server:
        yield server


def _servers(kind: str, count: int) -> Iterator[list[Site]]:
    if kind == "fake":
        with ExitStack() as stack:
            yield [Site(stack.enter_context(FakeCouch())) for _ in range(count)]
        return
    urls = [os.environ.get(name, "") for name in URLS[:count]]
    for name, url in zip(URLS, urls, strict=False):
        if not url:
            pytest.skip(f"{name} is not set: it names a CouchDB 3 server for tests, http://user:password@host:5984")
    sites = [Site(url=url) for url in urls]
    yield sites
    for site in sites:
        asyncio.run(site.clean())


BOTH = ["fake", pytest.param("couchdb", marks=pytest.mark.couchdb)]


@pytest.fixture(params=BOTH)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A server."""
    for (one,) in _servers(request.param, 1):
        yield one


@pytest.fixture(params=BOTH)
def sites(request: pytest.FixtureRequest) -> Iterator[list[Site]]:
    """Two servers that reach each other."""
    yield from _servers(request.param, 2)


@pytest.fixture(params=BOTH)
def three_sites(request: pytest.FixtureRequest) -> Iterator[list[Site]]:
    """Three servers that reach each other."""
    yield from _servers(request.param, 3)


@pytest.fixture
def fake_three() -> Iterator[list[Site]]:
    """Three fakes."""
    yield from _servers("fake", 3)


@pytest.fixture
def fake_site() -> Iterator[Site]:
    """A fake."""
    for (one,) in _servers("fake", 1):
        yield one


@pytest.fixture
def real_site() -> Iterator[Site]:
    """The server of COUCHDB_URL."""
    for (one,) in _servers("couchdb", 1):
        yield one
