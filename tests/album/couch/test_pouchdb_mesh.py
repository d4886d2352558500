"""Three real servers of another implementation, npm's ``pouchdb-server``, along the links of a ring; one is killed.

It knows who it is (its uuid), keeps trees of revisions on its disk, and replicates by ``_replicate``; a document of
ours in ``_replicator`` kills it, because of the selector. So the links are ours, and the test has each done, again and
again, as CouchDB's scheduler would.
"""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from jollyae.album.couch.address import Address
from jollyae.album.couch.client import Client
from jollyae.album.couch.mesh import look
from jollyae.album.couch.store import CouchStore, open_couch
from jollyae.album.couch.topology import Kind, Link, Node, check, links
from jollyae.album.keeper import keep
from jollyae.album.store import StoreError
from tests.album.samples import id_of, photo, renditions

from .support import eventually, sync
from .test_mesh import agree, set_field
from .test_pouchdb import PROGRAM, free_port
from .test_pouchdb import pytestmark as pytestmark


class Pouch:
    """A server on a port and a directory of its own, which stay when it is killed and started."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.directory.mkdir()
        self.address = Address(f"http://127.0.0.1:{free_port()}", "album")
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Begin; return when it answers."""
        port = self.address.server.rpartition(":")[2]
        command = [str(PROGRAM), "--port", port, "--host", "127.0.0.1", "--dir", str(self.directory)]
        with (self.directory / "output").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        await eventually(lambda: look(self.address, at_database=False), "pouchdb-server")
        await eventually(self._answers, "pouchdb-server")

    async def _answers(self) -> bool:
        return not (await look(self.address, at_database=False)).away

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextlib.asynccontextmanager
async def three(directory: Path) -> AsyncIterator[tuple[list[Pouch], list[CouchStore]]]:
    """Three of them, with an album on each."""
    servers = [Pouch(directory / f"server{number}") for number in range(3)]
    stores: list[CouchStore] = []
    try:
        for number, server in enumerate(servers):
            await server.start()
            store = await open_couch(server.address, create=True, server=f"server{number}")
            store.multipart = False
            stores.append(store)
        yield servers, stores
    finally:
        for store in stores:
            await store.close()
        for server in servers:
            server.kill()


async def carry(link: Link) -> None:
    """Do once what CouchDB's scheduler does for ever; a server that is away is one of the next time."""
    order = {"source": link.source.url, "target": link.target.url}
    with contextlib.suppress(StoreError):
        async with Client(link.at) as client:
            await client.ask("POST", "_replicate", send=order, seconds=20.0)


async def converge(ways: list[Link], stores: list[CouchStore], number: int, **fields: Any) -> None:
    """Carry and merge until all agree."""

    async def once() -> bool:
        for link in ways:
            await carry(link)
        return await agree(stores, number, **fields)

    await eventually(once, f"all to have {fields}")


@sync
async def test_a_ring_of_three_of_which_one_is_killed(tmp_path: Path) -> None:
    """Edits on all three at once converge; two go on while the third is dead; it catches up, and so do they."""
    async with three(tmp_path) as (servers, stores):
        nodes = [await look(server.address) for server in servers]
        assert len({node.uuid for node in nodes}) == 3 and all(node.uuid for node in nodes)
        check(Kind.RING, nodes)
        ways = links(Kind.RING, nodes)
        await stores[0].add(photo(1), renditions(1))
        await converge(ways, stores, 1)
        whole: dict[str, Any] = {"title": "Sea", "descr": "calm", "rotate": 90}
        for number, (field, value) in enumerate(whole.items()):
            await set_field(stores[number], 1, number + 1, **{field: value})
        await converge(ways, stores, 1, **whole)
        servers[1].kill()
        away = await look(servers[1].address)
        assert str(servers[1].address) in away.away
        await set_field(stores[0], 1, 10, title="Lake")
        await set_field(stores[2], 1, 11, keywords=["water"])
        left = [link for link in ways if servers[1].address not in (link.source, link.target)]
        await converge(left, stores[::2], 1, title="Lake", keywords=["water"])
        await servers[1].start()
        assert (await look(servers[1].address)).uuid == nodes[1].uuid
        await set_field(stores[1], 1, 12, descr="waves")
        await converge(ways, stores, 1, title="Lake", keywords=["water"], descr="waves", rotate=90)
        assert [await store.conflicts() for store in stores] == [[], [], []]


@sync
async def test_one_field_on_all_three(tmp_path: Path) -> None:
    """Three titles of one photo: each server has all, and all show the same."""
    async with three(tmp_path) as (servers, stores):
        nodes = [Node(server.address, server.address) for server in servers]
        await stores[0].add(photo(1), renditions(1))
        await converge(links(Kind.STAR, nodes), stores, 1)
        titles = ["Sea", "Lake", "Pond"]
        for number, title in enumerate(titles):
            await set_field(stores[number], 1, number + 1, title=title)

        async def is_same() -> bool:
            for link in links(Kind.STAR, nodes):
                await carry(link)
            for store in stores:
                await keep(store, None, once=True)
            leaves = [await store.leaves(id_of(1)) for store in stores]
            return all(len(one) == 3 for one in leaves) and leaves[0] == leaves[1] == leaves[2]

        await eventually(is_same, "all to know all three")
        shown = await asyncio.gather(*(store.get(id_of(1)) for store in stores))
        assert shown[0] is not None and all(one == shown[0] for one in shown)
        assert sorted(leaf.document["title"] for leaf in await stores[2].leaves(id_of(1))) == sorted(titles)
