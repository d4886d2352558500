"""A smoke test on another implementation of the protocol: npm's ``pouchdb-server``.

It is old, and kills itself on a multipart PUT, on ``_changes`` with a selector and on the end of a replication; it
drops revisions that a validate function refuses. So: inline renditions, the index, the long poll, and no more.
"""

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jollyae.album.couch.address import Address
from jollyae.album.couch.store import CouchStore, open_couch
from jollyae.album.store import Audience, Leaf, Query
from tests.album.samples import edited, id_of, photo, renditions

from .support import eventually, sync

PROGRAM = Path(__file__).parents[3] / ".venv" / "node" / "node_modules" / ".bin" / "pouchdb-server"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not PROGRAM.exists(), reason="pouchdb-server is not there; make test-tools installs it"),
]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[CouchStore]:
    """An album on a new server, in memory."""
    port = free_port()
    command = [str(PROGRAM), "--port", str(port), "--host", "127.0.0.1", "--in-memory"]
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        store = await eventually(lambda: _open(Address(f"http://127.0.0.1:{port}", "album")), "pouchdb-server")
        try:
            yield store
        finally:
            await store.close()
    finally:
        server.kill()
        server.wait()


async def _open(address: Address) -> CouchStore:
    store = await open_couch(address, create=True)
    store.multipart = False
    return store


@sync
async def test_the_album_works_on_another_implementation(tmp_path: Path) -> None:
    """Adding, editing, deleting, lists, counts, changes, conflicts."""
    async with opened(tmp_path) as store:
        for number in range(5):
            keywords = ["beach"] if number % 2 else ["unprocessed"]
            assert await store.add(photo(number, cat="Public", keywords=keywords), renditions(number))
            assert not await store.add(photo(number), {})
        document = await store.get(id_of(1))
        assert document is not None
        await store.put(edited(document, 1, title="Sea"))
        found = await store.rendition(id_of(1), "medium")
        assert found is not None and found.body == renditions(1)["medium"].body
        assert sorted(card.id for card in await store.photos(Query(having=("beach",)))) == sorted(map(id_of, (1, 3)))
        assert await store.count(Query(lacking=("beach",))) == 3
        assert [(one.name, one.photos) for one in await store.keywords(Audience.PUBLIC)] == [("beach", 2)]
        gone = await store.get(id_of(0))
        assert gone is not None
        await store.remove(id_of(0), gone["_rev"])
        assert await store.get(id_of(0)) is None
        (leaf,) = await store.leaves(id_of(2))
        rev = "1-" + "f" * 32
        await store.take(Leaf(photo(2, title="beside", _rev=rev), (rev,)))
        assert await store.conflicts() == [id_of(2)]
        assert {one.document["_rev"] for one in await store.leaves(id_of(2))} == {rev, leaf.document["_rev"]}


@sync
async def test_changes_are_waited_for_on_another_implementation(tmp_path: Path) -> None:
    """By the long poll."""
    async with opened(tmp_path) as store:
        await store.add(photo(1), renditions(1))
        feed = store.changes(follow=True)
        assert (await anext(feed)).document["_id"] == id_of(1)
        waiting = asyncio.ensure_future(anext(feed))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await store.add(photo(2), {})
        assert (await asyncio.wait_for(waiting, 30)).document["_id"] == id_of(2)
