"""Two servers and a public one, as ALBUM.md promises them: on fakes and, marked ``couchdb``, on real servers.

The first server has the main album, its public database, and links to the second; the second has the main album too,
and is the public server. A server is offline while it has no links.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from jollyae.album import document as documents
from jollyae.album import merge
from jollyae.album.couch.address import Address
from jollyae.album.couch.client import decode
from jollyae.album.couch.mesh import arrange, dissolve
from jollyae.album.couch.store import CouchStore
from jollyae.album.couch.topology import Kind
from jollyae.album.keeper import keep
from jollyae.album.store import Audience, Document, Query
from tests.album.samples import edited, id_of, moment, photo, renditions

from .support import Site, closing, eventually, sync

SECRETS = {
    "gps": {"latitude": 47.123456, "longitude": 11.654321},
    "exif": {
        "FNumber": "2.8",
        "GPSLatitude": "47.123456",
        "BodySerialNumber": "SERIAL-77",
        "OwnerName": "OWNER-77",
        "MakerNote": "NOTE-77",
    },
    "camera": {"name": "Canon EOS R5", "serial": "SERIAL-77"},
    "name": "FILENAME-77.jpg",
    "addedby": "SOMEBODY-77",
    "original": {"url": "file:///ORIGINAL-77", "size": 1, "sha256": "a", "md5": "b"},
    "keywords": ["beach", "_KEYWORD-77", "unprocessed"],
}
PRIVATE_TEXTS = ("47.123456", "11.654321", "-77", "stamps", "edited", "gps", "unprocessed")
"""Nothing that the public server says has one of these in it."""


@dataclass
class World:
    """The servers and their stores."""

    sites: list[Site]
    one: CouchStore
    other: CouchStore
    public: CouchStore
    front: CouchStore

    @property
    def main(self) -> list[Address]:
        """The main albums."""
        return [site.address("main") for site in self.sites]

    async def link_front(self) -> None:
        """Link the first server to the public one."""
        await arrange(Kind.PUBLISH, [self.sites[0].address("public"), self.sites[1].address("front")])

    async def connect(self) -> None:
        """The main albums replicate until both know the same leaves."""
        await arrange(Kind.MESH, self.main)
        await eventually(self.is_same, "both servers to have the same")

    async def disconnect(self) -> None:
        """They are offline."""
        await dissolve(self.main)

    async def is_same(self) -> bool:
        """Whether both main albums have the same leaves of everything."""
        ids = {change.document["_id"] for store in (self.one, self.other) async for change in store.changes()}
        for id in ids:
            if await self.one.leaves(id) != await self.other.leaves(id):
                return False
        return True

    async def publish(self) -> None:
        """The keeper's work on the first server, and the way to the public one."""
        await keep(self.one, self.public, once=True)
        await self.link_front()

        async def has_arrived() -> bool:
            async for change in self.public.changes():
                id = change.document["_id"]
                if await self.public.leaves(id) != await self.front.leaves(id):
                    return False
            return True

        await eventually(has_arrived, "the public server to have it")


@asynccontextmanager
async def world(sites: list[Site]) -> AsyncIterator[World]:
    """All of it, with nothing in it and no links."""
    stores = [
        await sites[0].open("main", server="one"),
        await sites[1].open("main", server="other"),
        await sites[0].open("public", public=True),
        await sites[1].open("front", public=True),
    ]
    async with closing(*stores):
        yield World(sites, *stores)


async def get(store: CouchStore, number: int = 1) -> Document:
    """A photo that is there."""
    found = await store.get(id_of(number))
    assert found is not None
    return found


async def edit(store: CouchStore, number: int, seconds: int, **changes: Any) -> None:
    """Edit a photo."""
    await store.put(edited(await get(store, number), seconds, store.server, **changes))


async def everything_served(store: CouchStore) -> str:
    """All that the database says of all its documents (but its index, which names fields): each revision that is known
    of each leaf, with attachments, and the changes."""
    database = store.client.address.database
    changes = (await store.client.get(database, "_changes", query={"include_docs": True}))["results"]
    said: list[Any] = [row for row in changes if not row["id"].startswith("_design/")]
    for id in [row["id"] for row in said]:
        query: dict[str, Any] = {"open_revs": "all", "revs": True}
        leaves = decode(await store.client.ask("GET", database, id, query=query))
        told = [leaf["ok"]["_revisions"] for leaf in leaves]
        revs = {f"{one['start'] - back}-{hash}" for one in told for back, hash in enumerate(one["ids"])}
        queries = [{"open_revs": sorted(revs), "attachments": True}]
        for rev in revs:
            queries += [{"rev": rev, "revs_info": True, "conflicts": True}, {"rev": rev, "attachments": True}]
        answers = [await store.client.ask("GET", database, id, query=one, accept=(404,)) for one in queries]
        said += [leaves, *map(decode, answers)]
    return json.dumps(said, ensure_ascii=False)


async def private_texts(store: CouchStore) -> list[str]:
    """Those of :data:`PRIVATE_TEXTS` that it says."""
    served = await everything_served(store)
    return [text for text in PRIVATE_TEXTS if text in served]


@sync
async def test_a_photo_is_added_on_either_server_and_is_on_both(sites: list[Site]) -> None:
    """Also the same photo on both, offline: it is one photo, and its edits are not undone."""
    async with world(sites) as it:
        await it.one.add(photo(1), renditions(1))
        await it.other.add(photo(2), renditions(2))
        for store, who in ((it.one, "anna"), (it.other, "ben")):
            await store.add(photo(3, addedby=who), renditions(3))
        await edit(it.other, 3, 1, title="Sea")
        await it.connect()
        for store in (it.one, it.other):
            await keep(store, None, once=True)
        await eventually(it.is_same)
        for store in (it.one, it.other):
            assert await store.count(Query()) == 3
            assert (await get(store, 3))["title"] == "Sea"
            assert await store.conflicts() == []
            for number in (1, 2, 3):
                found = await store.rendition(id_of(number), "medium")
                assert found is not None and found.body == renditions(number)["medium"].body


@sync
async def test_both_edit_different_fields_offline(sites: list[Site]) -> None:
    """Both edits are in one revision, the same on both servers, whoever's keeper comes first."""
    async with world(sites) as it:
        await it.one.add(photo(1), renditions(1))
        await it.connect()
        await it.disconnect()
        await edit(it.one, 1, 1, title="Sea", cat="Public")
        await edit(it.other, 1, 2, keywords=["beach"], gps=None)
        await it.connect()
        assert await it.one.conflicts() == await it.other.conflicts() == [id_of(1)]
        await keep(it.one, None, once=True)
        await keep(it.other, None, once=True)
        await eventually(it.is_same)
        mine = await get(it.one)
        assert mine == await get(it.other)
        assert (mine["title"], mine["cat"], mine["keywords"], mine["gps"]) == ("Sea", "Public", ["beach"], None)
        assert "_conflicts" not in mine
        found = await it.other.rendition(id_of(1), "thumb")
        assert found is not None and found.body == renditions(1)["thumb"].body


@sync
async def test_both_edit_the_same_field_offline(sites: list[Site]) -> None:
    """A conflict that both show, with both values; who chooses ends it on both; nothing is lost before."""
    async with world(sites) as it:
        await it.one.add(photo(1), renditions(1))
        await it.connect()
        await it.disconnect()
        await edit(it.one, 1, 1, title="Sea")
        await edit(it.other, 1, 2, title="Lake")
        await it.connect()
        for store in (it.one, it.other):
            assert (await keep(store, None, once=True)).conflicts == 1
            assert await store.conflicts() == [id_of(1)]
            (difference,) = merge.differing(await store.leaves(id_of(1)))
            assert {one.value for one in difference.candidates} == {"Sea", "Lake"}
        assert await get(it.one) == await get(it.other), "both show the same one meanwhile"
        leaves = await it.other.leaves(id_of(1))
        chosen = merge.resolved(leaves, {"title": "Lake"}, now=moment(9), server=it.other.server)
        for leaf in merge.leaves_to_take(chosen):
            await it.other.take(leaf)
        await eventually(it.is_same)
        for store in (it.one, it.other):
            assert await store.conflicts() == []
            assert (await get(store))["title"] == "Lake"


@sync
async def test_an_edit_and_a_deletion_offline(sites: list[Site]) -> None:
    """The edit wins: a photo that somebody still works on is not lost."""
    async with world(sites) as it:
        await it.one.add(photo(1), renditions(1))
        await it.connect()
        await it.disconnect()
        await edit(it.one, 1, 1, title="Sea")
        await it.other.remove(id_of(1), (await get(it.other))["_rev"])
        await it.connect()
        for store in (it.one, it.other):
            await keep(store, None, once=True)
            assert (await get(store))["title"] == "Sea"
            found = await store.rendition(id_of(1), "medium")
            assert found is not None and found.body == renditions(1)["medium"].body


@pytest.mark.parametrize("row", ["made Private again", "made Friends/Family", "deleted"])
@sync
async def test_a_photo_that_leaves_public_leaves_the_public_server(sites: list[Site], row: str) -> None:
    """404 for it and its renditions, in lists, counts and comments too: whichever server it was done on."""
    async with world(sites) as it:
        await it.one.add(photo(1, cat="Public", **SECRETS), renditions(1))
        await it.one.put(documents.new_comment(id_of(1), "anna", "nice", now=moment(1)))
        await it.connect()
        await it.publish()
        assert (await it.front.rendition(id_of(1), "thumb")) is not None
        assert len(await it.front.comments(id_of(1))) == 1
        assert await private_texts(it.front) == []
        if row == "deleted":
            await it.other.remove(id_of(1), (await get(it.other))["_rev"])
        else:
            await edit(it.other, 1, 5, cat="Private" if "Private" in row else "Friends/Family")
        await eventually(it.is_same)
        await it.publish()
        assert await it.front.get(id_of(1)) is None
        assert await it.front.comments(id_of(1)) == []
        for name in ("thumb", "medium"):
            assert await it.front.rendition(id_of(1), name) is None
        for audience in Audience:
            assert await it.front.photos(Query(audience)) == []
            assert await it.front.keywords(audience) == []
        await it.front.compact()

        async def is_forgotten() -> bool:
            served = await everything_served(it.front)
            return "beach" not in served and "nice" not in served

        await eventually(is_forgotten, "old revisions to hold nothing")
        assert await private_texts(it.front) == []


@sync
async def test_gps_that_is_removed_was_never_readable(sites: list[Site]) -> None:
    """Not in an old revision, before or after a compaction: it never reached the public server."""
    async with world(sites) as it:
        await it.one.add(photo(1, cat="Public", **SECRETS), renditions(1))
        await edit(it.one, 1, 1, title="with a place")
        await it.publish()
        assert await private_texts(it.one) == list(PRIVATE_TEXTS)
        assert await private_texts(it.front) == []
        await edit(it.one, 1, 2, gps=None, title="without")
        await it.publish()
        assert (await get(it.front))["title"] == "without"
        assert await private_texts(it.front) == []
        assert await private_texts(it.public) == []
        for store in (it.public, it.front):
            await store.compact()
            assert await private_texts(store) == []


@sync
async def test_private_things_never_reach_the_public_server(sites: list[Site]) -> None:
    """Private and Friends/Family photos, users, comments on those: not even their ids."""
    async with world(sites) as it:
        await it.one.add(photo(1, **SECRETS), renditions(1))
        await it.one.add(photo(2, cat="Friends/Family", **SECRETS), renditions(2))
        await it.one.add(photo(3, cat="Public", **SECRETS), renditions(3))
        await it.one.put(documents.new_user("anna-77", "editor", "hash-77", now=moment(1)))
        await it.one.put(documents.new_comment(id_of(2), "anna-77", "nice", now=moment(1)))
        await it.publish()
        changes = [change.document["_id"] async for change in it.front.changes()]
        assert changes == [id_of(3)]
        assert await private_texts(it.front) == []
        shown = "added camera cat descr exif extension height keywords kind mime rotate taken title type width"
        assert sorted(await get(it.front, 3)) == ["_id", "_rev", *shown.split(" ")]


@sync
async def test_two_servers_that_project_make_one_revision(sites: list[Site]) -> None:
    """Each keeps a public database; both push to the public server; it has each photo once, with no conflict."""
    async with world(sites) as it:
        second = await it.sites[1].open("public", public=True)
        async with closing(second):
            await it.one.add(photo(1, cat="Public"), renditions(1))
            await it.other.add(photo(2, cat="Public"), renditions(2))
            await it.connect()
            await asyncio.gather(keep(it.one, it.public, once=True), keep(it.other, second, once=True))
            await it.link_front()
            await arrange(Kind.PUBLISH, [it.sites[1].address("public"), it.sites[1].address("front")])
            await it.publish()
            for number in (1, 2):
                leaves = [await store.leaves(id_of(number)) for store in (it.public, second, it.front)]
                assert leaves[0] == leaves[1] == leaves[2] and len(leaves[0]) == 1
            await edit(it.other, 1, 1, title="Sea")
            await edit(it.one, 2, 2, cat="Private")
            await eventually(it.is_same)
            await asyncio.gather(keep(it.one, it.public, once=True), keep(it.other, second, once=True))
            await it.publish()
            assert (await get(it.front))["title"] == "Sea"
            assert await it.front.get(id_of(2)) is None
            assert await it.front.conflicts() == []


@sync
async def test_the_keeper_follows_while_servers_replicate(sites: list[Site]) -> None:
    """Nothing is started by hand: an edit on one server is on the public one by itself, and gone when it is undone."""
    async with world(sites) as it:
        await arrange(Kind.MESH, it.main)
        await it.link_front()
        keepers = [asyncio.create_task(keep(it.one, it.public)), asyncio.create_task(keep(it.other, None))]
        try:
            await it.other.add(photo(1), renditions(1))
            await edit(it.other, 1, 1, cat="Public", title="Sea")
            shown = await eventually(lambda: it.front.get(id_of(1)), "it to be public")
            assert shown["title"] == "Sea"
            await edit(it.other, 1, 2, cat="Private")

            async def is_gone() -> bool:
                return await it.front.get(id_of(1)) is None

            await eventually(is_gone, "it to be gone")
            assert not any(task.done() for task in keepers)
        finally:
            for task in keepers:
                task.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
