"""What links between servers do; on two fakes and, marked ``couchdb``, on two real servers."""

import os
import subprocess
from typing import Any

import pytest

from jollyae.album.couch.address import Address
from jollyae.album.couch.client import Client
from jollyae.album.couch.mesh import arrange
from jollyae.album.couch.replication import REPLICATOR, State, find_exposure, read_states, secure
from jollyae.album.couch.store import CouchStore, open_couch
from jollyae.album.couch.topology import Kind
from jollyae.album.store import StoreError
from tests.album.fakecouch import ADMIN, PASSWORD, FakeCouch

from .support import Site, closing, eventually, photo, renditions, sync

ALL = {"include_docs": True, "startkey": '""', "endkey": '"~"'}


async def connect(*sites: Site, name: str = "album") -> list[str]:
    """Connect the servers, each with each; what was done with each link."""
    return [step.done for step in await arrange(Kind.MESH, [site.address(name) for site in sites])]


async def has(store: CouchStore, id: str, **fields: Any) -> bool:
    """Whether the store has the document with these fields."""
    document = await store.get(id)
    return document is not None and all(document.get(name) == value for name, value in fields.items())


async def states(site: Site, *known: Address) -> list[State]:
    """Of the test's own links: a real server may hold others."""
    tag = site.address().database.removesuffix("album")
    return [state for state in await read_states(site.address(), known) if tag in state.source + state.target]


@sync
async def test_both_servers_have_what_one_of_them_got(sites: list[Site]) -> None:
    """New photos with their renditions, edits and deletions, in both directions; the index is each one's own."""
    one, other = await sites[0].open(), await sites[1].open()
    async with closing(one, other):
        assert await connect(*sites) == ["made", "made"]
        await one.add(photo(1), renditions())
        await other.add(photo(2), renditions())
        await eventually(lambda: has(other, photo(1)["_id"]))
        await eventually(lambda: has(one, photo(2)["_id"]))
        found = await other.rendition(photo(1)["_id"], "medium")
        assert found is not None
        assert found.body == renditions()["medium"].body
        document = await other.get(photo(1)["_id"])
        assert document
        await other.put(document | {"title": "edited over there"})
        await eventually(lambda: has(one, photo(1)["_id"], title="edited over there"))
        assert (await one.leaves(photo(1)["_id"])) == (await other.leaves(photo(1)["_id"]))
        gone = await one.get(photo(2)["_id"])
        assert gone
        await one.remove(gone["_id"], gone["_rev"])

        async def is_gone() -> bool:
            return await other.get(gone["_id"]) is None

        await eventually(is_gone)
        assert one.server != other.server
        told = await one.client.get(sites[0].address().database, "_design", "jollyae")
        assert told["_rev"].startswith("1-")


@sync
async def test_the_state_of_links_is_shown_without_secrets(sites: list[Site]) -> None:
    """Running, with nothing left to do."""
    one = await sites[0].open()
    async with closing(one):
        await (await sites[1].open()).close()
        await connect(*sites)
        await one.add(photo(1), {})

        async def is_through() -> list[State] | None:
            found = await states(sites[0], sites[0].address(), sites[1].address())
            return found if [state.lag for state in found] == [0, 0] else None

        found = await eventually(is_through)
        ends = [site.address().url for site in sites]
        assert {(state.source, state.target) for state in found} == {(ends[0], ends[1]), (ends[1], ends[0])}
        assert all(state.is_well for state in found), found
        assert sites[0].address().password not in repr(found)


@sync
async def test_a_link_that_cannot_work_says_why(sites: list[Site]) -> None:
    """The other database is gone: it is tried again, and the state has a reason and no secret."""
    one, other = await sites[0].open(), await sites[1].open()
    async with closing(one, other):
        await connect(*sites)
        await other.client.ask("DELETE", sites[1].address().database)

        async def is_crashing() -> State | None:
            found = await states(sites[0], *[sites[1].address()])
            return next((state for state in found if not state.is_well and state.error), None)

        # CouchDB notices at the latest when its checkpoint fails.
        mine = [state for state in [await eventually(is_crashing)] if state]
        assert sites[1].address().password not in repr(mine)


@sync
async def test_a_database_that_everybody_can_read_is_not_connected(sites: list[Site]) -> None:
    """A private one is refused with what to do; a public one may be open."""
    one, other = await sites[0].open(), await sites[1].open()
    async with closing(one, other):
        open_to_all: dict[str, Any] = {"admins": {"roles": ["_admin"]}, "members": {}}
        database = sites[1].address().database
        await other.client.ask("PUT", database, "_security", send=open_to_all)
        if not await find_exposure(sites[1].address()):
            pytest.skip("the server of COUCHDB_URL_2 lets nobody in without a password (require_valid_user)")
        with pytest.raises(StoreError, match="everybody") as caught:
            await connect(*sites)
        assert database in caught.value.message
        assert await states(sites[0]) == []
        assert await secure(sites[1].address(), members=["anna"])
        assert not await secure(sites[1].address(), members=["anna"])
        assert await find_exposure(sites[1].address()) == ""
        assert await connect(*sites) == ["made", "made"]
        security = await other.client.get(database, "_security")
        assert security["members"] == {"names": ["anna"], "roles": ["_admin"]}
        assert security["admins"]["roles"] == ["_admin"]


@sync
async def test_what_everybody_can_read_everybody_can_write_to(site: Site) -> None:
    """A local document, at least, whatever a validate function says: so only our own pages face the public."""
    store = await site.open()
    async with closing(store):
        database = site.address().database
        await store.client.ask("PUT", database, "_security", send={"admins": {"roles": ["_admin"]}, "members": {}})
        if not await find_exposure(site.address()):
            pytest.skip("the server of COUCHDB_URL lets nobody in without a password (require_valid_user)")
        async with Client(Address(site.address().server, database)) as anonymous:
            answer = await anonymous.ask("PUT", database, "_local", "x", send={"value": 1})
            assert answer.status_code == 201


@sync
async def test_a_public_server_receives_and_never_sends(sites: list[Site]) -> None:
    """What somebody writes there stays there."""
    source, target = await sites[0].open("public", public=True), await sites[1].open("public", public=True)
    async with closing(source, target):
        await arrange(Kind.PUBLISH, [sites[0].address("public"), sites[1].address("public")])
        await target.add(photo(9), {})
        await source.add(photo(1), renditions())
        await eventually(lambda: has(target, photo(1)["_id"]))
        assert await source.get(photo(9)["_id"]) is None
        (state,) = await states(sites[0])
        assert state.target == sites[1].address("public").url


@sync
async def test_credentials_are_in_the_auth_object_alone() -> None:
    """Not in an URL, and read by admins only; a wrong one is told, and another one is written."""
    with FakeCouch() as one, FakeCouch() as other:
        for fake in (one, other):
            await (await open_couch(fake.address("album"), create=True)).close()
        with pytest.raises(StoreError, match="does not let"):
            await arrange(Kind.MESH, [one.address("album"), other.address("album", ADMIN, "wrong")])
        await arrange(Kind.MESH, [one.address("album"), other.address("album")])
        async with Client(one.address(REPLICATOR)) as client:
            for row in (await client.get(REPLICATOR, "_all_docs", query=ALL))["rows"]:
                document = row["doc"]
                assert PASSWORD not in document["source"]["url"] + document["target"]["url"] + str(document["jollyae"])
                assert PASSWORD in str(document["source"]["auth"])
        async with Client(Address(one.url, REPLICATOR)) as anonymous:
            with pytest.raises(StoreError, match="does not let"):
                await anonymous.get(REPLICATOR, "_all_docs", query=ALL)
        other.users[ADMIN] = ("changed", ["_admin"])

        async def is_ill() -> bool:
            return not any(state.is_well for state in await read_states(one.address("album")))

        await eventually(is_ill)
        changed = await arrange(Kind.MESH, [one.address("album"), other.address("album", ADMIN, "changed")])
        assert [step.done for step in changed] == ["changed", "changed"]

        async def is_well() -> bool:
            return all(state.state == "running" for state in await read_states(one.address("album")))

        await eventually(is_well)


async def _kill_and_start(site: Site, then: Any) -> None:
    """kill -9 of the second server, something meanwhile, and its start."""
    if site.fake is not None:
        site.fake.kill()
        await then()
        site.fake.start()
        return
    kill, start = os.environ.get("COUCHDB_2_KILL", ""), os.environ.get("COUCHDB_2_START", "")
    subprocess.run(kill, shell=True, check=True, timeout=60)
    await then()
    subprocess.run(start, shell=True, check=True, timeout=60)


@sync
async def test_kill_9_in_the_middle_of_a_replication_loses_nothing(sites: list[Site]) -> None:
    """The other side comes back, and all is there, once, with its renditions; edits made meanwhile too."""
    if sites[1].fake is None and not (os.environ.get("COUCHDB_2_KILL") and os.environ.get("COUCHDB_2_START")):
        pytest.skip("COUCHDB_2_KILL and COUCHDB_2_START are not set: commands that kill -9 and start the second server")
    one, other = await sites[0].open(), await sites[1].open()
    async with closing(one, other):
        count = 60
        for number in range(count):
            await one.add(photo(number), renditions(str(number)))
        if sites[0].fake is not None:
            sites[0].fake.replication_pause = 0.005
        await connect(*sites)

        async def some() -> bool:
            return len([id async for id in other.ids()]) > 5

        await eventually(some)

        async def edit() -> None:
            """While the other side is dead."""
            document = await one.get(photo(0)["_id"])
            assert document
            await one.put(document | {"title": "meanwhile"})

        await _kill_and_start(sites[1], edit)

        async def all_there() -> bool:
            return len([id async for id in other.ids()]) == count and await has(
                other, photo(0)["_id"], title="meanwhile"
            )

        await eventually(all_there)
        for number in range(count):
            assert await other.leaves(photo(number)["_id"]) == await one.leaves(photo(number)["_id"])
            found = await other.rendition(photo(number)["_id"], "thumb")
            assert found is not None
            assert found.body == renditions(str(number))["thumb"].body
        assert await one.conflicts() == await other.conflicts() == []
