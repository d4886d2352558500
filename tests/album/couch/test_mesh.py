"""Servers that replicate with each other: set up, changed, broken and mended; on three fakes and, marked ``couchdb``,
on real servers."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from jollyae.album.copy import copy
from jollyae.album.couch.address import Address
from jollyae.album.couch.client import Client
from jollyae.album.couch.mesh import MEMORY, RECEIVES, arrange, dissolve
from jollyae.album.couch.plan import CHANGED, FAILED, KEPT, MADE, REMOVED, WAITS, make_document
from jollyae.album.couch.replication import REPLICATOR, erase, read_held, read_states
from jollyae.album.couch.store import CouchStore
from jollyae.album.couch.topology import Kind, Link, Node
from jollyae.album.keeper import keep
from jollyae.album.store import Stale, StoreError
from tests.album.samples import edited, id_of, photo, renditions

from .support import Site, closing, eventually, sync

KINDS = pytest.mark.parametrize("kind", [Kind.MESH, Kind.RING, Kind.STAR])


@pytest.fixture(autouse=True)
def passwords(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an administrator has them: in a file, by which a server is found whose name is only remembered."""
    found = [name for name in ("three_sites", "fake_three") if name in request.fixturenames]
    addresses = [site.address() for name in found for site in request.getfixturevalue(name)]
    lines = "".join(f"{one.user}@{one.host} {one.password}\n" for one in addresses)
    (tmp_path / "passwords").write_text(lines)
    monkeypatch.setenv("JOLLYAE_ALBUM_PASSWORD_FILE", str(tmp_path / "passwords"))


async def opened(sites: list[Site], name: str = "album") -> list[CouchStore]:
    """Their albums, each with a name of its own."""
    return [await site.open(name, server=f"server{number}") for number, site in enumerate(sites)]


def albums(sites: list[Site], name: str = "album") -> list[Address]:
    """Where they are."""
    return [site.address(name) for site in sites]


async def done(kind: Kind, addresses: list[Address], **options: Any) -> list[str]:
    """Arrange; what was done with each link."""
    return [step.done for step in await arrange(kind, addresses, **options)]


async def held(site: Site) -> int:
    """How many links of the test's that server has."""
    at = site.address()
    mine = at.database.removesuffix("album")
    return sum(mine in "".join(one.urls) for one in await read_held(Node(at, at)))


async def set_field(store: CouchStore, number: int, seconds: int, **changes: Any) -> None:
    """Edit a photo; again, where replication was quicker."""
    while True:
        document = await store.get(id_of(number))
        assert document is not None
        try:
            await store.put(edited(document, seconds, store.server, **changes))
        except Stale:
            continue
        return


async def agree(stores: list[CouchStore], number: int, **fields: Any) -> bool:
    """Whether all have the same leaf of that photo, and one only, with these fields; each merges what it has."""
    for store in stores:
        await keep(store, None, once=True)
    leaves = [await store.leaves(id_of(number)) for store in stores]
    return (
        all(one == leaves[0] for one in leaves)
        and len(leaves[0]) == 1
        and all(leaves[0][0].document.get(name) == value for name, value in fields.items())
    )


@sync
async def test_edits_on_three_servers_at_once_converge(three_sites: list[Site]) -> None:
    """Of different fields of one photo: all servers have all of them, as one revision, in a ring as in a mesh."""
    for name, kind in (("one", Kind.RING), ("two", Kind.MESH), ("three", Kind.STAR)):
        stores = await opened(three_sites, name)
        async with closing(*stores):
            await stores[0].add(photo(1), renditions(1))
            await arrange(kind, albums(three_sites, name))
            await eventually(partial(agree, stores, 1), "all to have the photo")
            whole: dict[str, Any] = {"title": "Sea", "descr": "calm", "rotate": 90}
            for number, (field, value) in enumerate(whole.items()):
                await set_field(stores[number], 1, number + 1, **{field: value})
            await eventually(partial(agree, stores, 1, **whole), f"a {kind} to converge")


@sync
async def test_one_field_on_three_servers_at_once(three_sites: list[Site]) -> None:
    """Nothing is lost and nothing chosen: each server has the same three leaves, and shows the same one."""
    stores = await opened(three_sites)
    async with closing(*stores):
        await stores[0].add(photo(1), renditions(1))
        await arrange(Kind.RING, albums(three_sites))
        await eventually(lambda: agree(stores, 1), "all to have the photo")
        titles = ["Sea", "Lake", "Pond"]
        await dissolve(albums(three_sites))  # while nobody hears of the others
        for number, title in enumerate(titles):
            await set_field(stores[number], 1, number + 1, title=title)
        await arrange(Kind.RING, albums(three_sites))

        async def is_same() -> bool:
            for store in stores:
                await keep(store, None, once=True)
            leaves = [await store.leaves(id_of(1)) for store in stores]
            return all(one == leaves[0] for one in leaves) and len(leaves[0]) == 3

        await eventually(is_same, "all to know all three")
        leaves = await stores[1].leaves(id_of(1))
        assert sorted(leaf.document["title"] for leaf in leaves) == sorted(titles)
        shown = [await store.get(id_of(1)) for store in stores]
        assert shown[0] is not None and all(one == shown[0] for one in shown)


@sync
async def test_again_nothing_is_done(three_sites: list[Site]) -> None:
    """For each kind; not one document gets another revision, nor does what the servers remember."""
    stores = await opened(three_sites)
    async with closing(*stores):
        for kind, links in ((Kind.MESH, 6), (Kind.RING, 6), (Kind.STAR, 4)):
            await arrange(kind, albums(three_sites))
            before = [[one.document for one in await read_held(Node(at, at))] for at in albums(three_sites)]
            assert await done(kind, albums(three_sites)) == [KEPT] * links
            after = [[one.document for one in await read_held(Node(at, at))] for at in albums(three_sites)]
            assert _revisions(before) == _revisions(after)
            assert sum([await held(site) for site in three_sites]) == links


def _revisions(documents: list[list[Any]]) -> list[list[tuple[str, str]]]:
    """Of those that CouchDB itself does not change."""
    return [[(one["_id"], one["_rev"]) for one in found] for found in documents]


@sync
async def test_a_dry_run_changes_nothing(three_sites: list[Site]) -> None:
    """It says what would be done, and that is what is done then."""
    stores = await opened(three_sites)
    async with closing(*stores):
        planned = await done(Kind.STAR, albums(three_sites), dry_run=True)
        assert planned == [MADE] * 4
        assert [await held(site) for site in three_sites] == [0, 0, 0]
        assert [await store.remembered(MEMORY) for store in stores] == [{}, {}, {}]
        assert await done(Kind.STAR, albums(three_sites)) == planned
        steps = await dissolve(albums(three_sites), dry_run=True)
        assert [step.done for step in steps] == [REMOVED] * 4 and await held(three_sites[0]) == 4


@sync
async def test_a_server_that_leaves_the_list_and_comes_back(three_sites: list[Site]) -> None:
    """What connected it is ended, also what it holds itself; the others' link stays; and again it is as it was."""
    stores = await opened(three_sites)
    async with closing(*stores):
        first, second, third = albums(three_sites)
        assert await done(Kind.MESH, [first, second, third]) == [MADE] * 6
        assert [await held(site) for site in three_sites] == [4, 2, 0]
        assert sorted(await done(Kind.MESH, [second, third])) == sorted([KEPT] * 2 + [REMOVED] * 4)
        assert [await held(site) for site in three_sites] == [0, 2, 0]
        assert await done(Kind.MESH, [second, third]) == [KEPT] * 2
        assert sorted(await done(Kind.RING, [first, second, third])) == sorted([MADE] * 4 + [KEPT] * 2)
        assert [step.done for step in await dissolve([first, second, third])] == [REMOVED] * 6
        assert [await held(site) for site in three_sites] == [0, 0, 0]
        assert await dissolve([first, second, third]) == []
        assert [await store.remembered(MEMORY) for store in stores] == [{}, {}, {}]


@sync
async def test_another_topology(three_sites: list[Site]) -> None:
    """From a mesh to a star: only what differs is touched."""
    stores = await opened(three_sites)
    async with closing(*stores):
        await arrange(Kind.MESH, albums(three_sites))
        assert sorted(await done(Kind.STAR, albums(three_sites))) == sorted([KEPT] * 4 + [REMOVED] * 2)
        first, second, third = albums(three_sites)
        moved = await done(Kind.STAR, [third, first, second])
        assert sorted(moved) == sorted([KEPT] * 2 + [MADE] * 2 + [REMOVED] * 2)


@sync
async def test_one_server_under_two_addresses(sites: list[Site]) -> None:
    """Is told before anything is done."""
    stores = await opened(sites)
    async with closing(*stores):
        one, other = albums(sites)
        again = Address(one.server.replace("127.0.0.1", "localhost"), one.database, one.user, one.password)
        if again == one:
            pytest.skip("COUCHDB_URL names the server by no number, so it has no other name here")
        with pytest.raises(StoreError, match="same database of the same server"):
            await arrange(Kind.RING, [one, other, again])
        assert [await held(site) for site in sites] == [0, 0]


@sync
async def test_a_public_server_is_no_source(sites: list[Site]) -> None:
    """It receives what is public, and can be in no mesh; what is not public is not published."""
    stores = [await sites[0].open("public", public=True), await sites[1].open("front", public=True)]
    main = await sites[0].open("main")
    async with closing(*stores, main):
        await main.add(photo(1), renditions(1))
        source, front = sites[0].address("public"), sites[1].address("front")
        with pytest.raises(StoreError, match="not Public"):
            await arrange(Kind.PUBLISH, [sites[0].address("main"), front])
        assert await done(Kind.PUBLISH, [source, front]) == [MADE]
        assert (await stores[1].remembered(MEMORY))["role"] == RECEIVES
        for kind in (Kind.MESH, Kind.PUBLISH):
            with pytest.raises(StoreError, match="only receives"):
                await arrange(kind, [front, sites[0].address("main")])
        assert await done(Kind.PUBLISH, [source, front]) == [KEPT]
        assert [step.done for step in await dissolve([source, front])] == [REMOVED]
        assert await stores[1].remembered(MEMORY) == {}


@sync
async def test_an_album_is_not_connected_with_its_public_one(sites: list[Site]) -> None:
    """It would get all that is not public; public albums may be connected with each other."""
    main = [await site.open("main") for site in sites]
    public = [await site.open("public", public=True) for site in sites]
    async with closing(*main, *public):
        for one, other in zip(main, public, strict=True):
            await keep(one, other, once=True)
        with pytest.raises(StoreError, match="is a public album"):
            await arrange(Kind.MESH, [sites[0].address("main"), sites[1].address("public")])
        assert MADE in await done(Kind.MESH, albums(sites, "public"))


@sync
async def test_nothing_is_copied_into_a_public_server(sites: list[Site]) -> None:
    """It is known by what it remembers of replication."""
    public, front = await sites[0].open("public", public=True), await sites[1].open("front", public=True)
    async with closing(public, front):
        await arrange(Kind.PUBLISH, [sites[0].address("public"), sites[1].address("front")])
        with pytest.raises(StoreError, match="only receives"):
            await copy(public, front)


# --- what fails; with fakes, since a real server is not for us to stop


@sync
async def test_a_ring_holds_while_one_is_away(fake_three: list[Site]) -> None:
    """The two that are left tell each other, and the third catches up: with what it missed, and with what it has."""
    stores = await opened(fake_three)
    async with closing(*stores):
        await arrange(Kind.RING, albums(fake_three))
        await stores[0].add(photo(1), renditions(1))
        await eventually(lambda: agree(stores, 1), "all to have the photo")
        _kill(fake_three[1])
        await set_field(stores[0], 1, 1, title="Sea")
        await set_field(stores[2], 1, 2, descr="calm")
        await eventually(lambda: agree([stores[0], stores[2]], 1, title="Sea", descr="calm"), "the two that are left")
        _start(fake_three[1])
        await set_field(stores[1], 1, 3, rotate=90)
        await eventually(lambda: agree(stores, 1, title="Sea", descr="calm", rotate=90), "all three")


@sync
async def test_a_server_that_is_away_is_named_and_the_rest_is_done(fake_three: list[Site]) -> None:
    """What waits is done the next time; and it is no reason to change what is there."""
    stores = await opened(fake_three)
    async with closing(*stores):
        _kill(fake_three[2])
        steps = await arrange(Kind.MESH, albums(fake_three))
        assert sorted(step.done for step in steps) == sorted([MADE] * 2 + [WAITS] * 4)
        assert all(str(fake_three[2].address()) in step.why for step in steps if step.done == WAITS)
        assert await done(Kind.MESH, albums(fake_three)) == [step.done.replace(MADE, KEPT) for step in steps]
        _start(fake_three[2])
        assert sorted(await done(Kind.MESH, albums(fake_three))) == sorted([KEPT] * 2 + [MADE] * 4)
        _kill(fake_three[0])  # it holds its links with both others: nobody can look at them now
        assert sorted(await done(Kind.MESH, albums(fake_three))) == sorted([KEPT] * 2 + [WAITS] * 4)
        _start(fake_three[0])
        assert await done(Kind.MESH, albums(fake_three)) == [KEPT] * 6


@sync
async def test_a_server_that_left_while_it_was_away(fake_three: list[Site]) -> None:
    """What it holds is removed when it is back, since the others remember it; or it is forgotten, when it never is."""
    stores = await opened(fake_three)
    async with closing(*stores):
        first, second, third = albums(fake_three)
        await arrange(Kind.MESH, [first, second, third])
        _kill(fake_three[0])
        steps = await arrange(Kind.MESH, [second, third])
        assert [step.done for step in steps] == [KEPT, KEPT, WAITS] and str(first) in steps[-1].why
        _start(fake_three[0])
        assert sorted(await done(Kind.MESH, [second, third])) == sorted([KEPT] * 2 + [REMOVED] * 4)
        await arrange(Kind.MESH, [first, second, third])
        _kill(fake_three[0])
        assert await done(Kind.MESH, [second, third], forget=[str(first)]) == [KEPT, KEPT]
        assert await done(Kind.MESH, [second, third]) == [KEPT, KEPT]
        _start(fake_three[0])


@sync
async def test_a_server_that_goes_away_in_the_middle(fake_three: list[Site]) -> None:
    """What could not be written waits, what could is done, and the next time finishes it."""
    stores = await opened(fake_three)
    async with closing(*stores):
        holder = fake_three[0].fake
        assert holder is not None
        holder.refuse += [("PUT /_replicator/jollyae-", 503)]
        steps = await arrange(Kind.MESH, albums(fake_three))
        assert sorted(step.done for step in steps) == sorted([MADE] * 5 + [WAITS])
        holder.refuse += [("PUT /_replicator/jollyae-", 403)]
        steps = await arrange(Kind.MESH, albums(fake_three))
        assert sorted(step.done for step in steps) == sorted([KEPT] * 5 + [FAILED])
        assert "admin" in next(step.why for step in steps if step.done == FAILED)
        assert sorted(await done(Kind.MESH, albums(fake_three))) == sorted([KEPT] * 5 + [MADE])


@sync
async def test_links_of_an_older_jollyae(fake_three: list[Site]) -> None:
    """Under ids of their own: replaced, and the new ones run; so does one that CouchDB gave up, after the next time."""
    stores = await opened(fake_three)
    async with closing(*stores):
        one, other = albums(fake_three)[:2]
        for source, target in ((one, other), (other, one)):
            document = make_document(Link(source, target, one))
            del document["jollyae"]
            async with Client(one) as client:
                await client.ask("PUT", REPLICATOR, document["_id"], send=document)
        assert await done(Kind.MESH, [one, other]) == [REMOVED, REMOVED, MADE, MADE]

        async def states() -> list[str]:
            return [state.state for state in await read_states(one)]

        async def is_well() -> bool:
            return await states() == ["running", "running"]

        await eventually(is_well, "both to run")
        double = make_document(Link(one, other, one)) | {"_id": "by-hand"}
        first = next(held for held in await read_held(Node(one, one)) if held.urls == (one.url, other.url))
        await erase(one, first.id)
        async with Client(one) as client:
            await client.ask("PUT", REPLICATOR, "by-hand", send=double)
        assert sorted(await done(Kind.MESH, [one, other])) == [KEPT, MADE]
        assert "failed" in await states()
        await erase(one, "by-hand")
        assert sorted(await done(Kind.MESH, [one, other])) == [CHANGED, KEPT]
        await eventually(is_well, "both to run")


@sync
async def test_the_end_where_a_database_is_gone(fake_three: list[Site]) -> None:
    """Its server still holds links, which are ended."""
    stores = await opened(fake_three)
    async with closing(*stores):
        await arrange(Kind.MESH, albums(fake_three))
        await stores[0].client.ask("DELETE", fake_three[0].address().database)
        with pytest.raises(StoreError, match="no such database"):
            await arrange(Kind.MESH, albums(fake_three))
        assert [step.done for step in await dissolve(albums(fake_three))] == [REMOVED] * 6
        assert [await held(site) for site in fake_three] == [0, 0, 0]


@sync
async def test_a_member_replicates(fake_three: list[Site]) -> None:
    """In the documents is a user who is nobody's admin; one who cannot read is told before anything is done."""
    stores = await opened(fake_three)
    async with closing(*stores):
        for site in fake_three:
            assert site.fake is not None
            site.fake.users["carrier"] = (site.address().password, [])
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JOLLYAE_ALBUM_PASSWORD", fake_three[0].address().password)
            with pytest.raises(StoreError, match="carrier"):
                await arrange(Kind.RING, albums(fake_three), user="carrier")
            assert [await held(site) for site in fake_three] == [0, 0, 0]
            for site in fake_three:
                security = {"admins": {"roles": ["_admin"]}, "members": {"names": ["carrier"], "roles": ["_admin"]}}
                async with Client(site.address()) as client:
                    await client.ask("PUT", site.address().database, "_security", send=security)
            assert await done(Kind.RING, albums(fake_three), user="carrier") == [MADE] * 6
        users = {
            one.document[end]["auth"]["basic"]["username"]
            for at in albums(fake_three)
            for one in await read_held(Node(at, at))
            for end in ("source", "target")
        }
        assert users == {"carrier"}
        await stores[0].add(photo(1), renditions(1))
        await eventually(lambda: agree(stores, 1), "all to have the photo")
        assert await done(Kind.RING, albums(fake_three)) == [CHANGED] * 6


@sync
async def test_a_replicator_that_everybody_can_read(fake_three: list[Site]) -> None:
    """Is refused, with how to close it: users and addresses are in it."""
    stores = await opened(fake_three)
    async with closing(*stores):
        one = fake_three[0].fake
        assert one is not None
        one.databases[REPLICATOR].security = {"admins": {"roles": ["_admin"]}, "members": {}}
        with pytest.raises(StoreError, match="who replicates with whom") as caught:
            await arrange(Kind.MESH, albums(fake_three))
        assert "_security" in caught.value.hint


@sync
async def test_two_administrators_at_the_same_moment(fake_three: list[Site]) -> None:
    """Each with the list in an order of their own: each link is there once or, until the next time, twice."""
    stores = await opened(fake_three)
    async with closing(*stores):
        both = albums(fake_three), albums(fake_three)[::-1]
        await asyncio.gather(*(arrange(Kind.MESH, one) for one in both))
        again = await done(Kind.MESH, both[0])
        assert again.count(KEPT) == 6 and set(again) <= {KEPT, REMOVED}
        assert sum([await held(site) for site in fake_three]) == 6
        assert await done(Kind.MESH, both[1]) == [KEPT] * 6


def _kill(site: Site) -> None:
    assert site.fake is not None
    site.fake.kill()


def _start(site: Site) -> None:
    assert site.fake is not None
    site.fake.start()
