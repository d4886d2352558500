"""How all links fare, as one server sees it: on three fakes and, marked ``couchdb``, on real servers."""

from dataclasses import replace
from pathlib import Path

import pytest

from jollyae.album.couch.address import Address
from jollyae.album.couch.client import Client
from jollyae.album.couch.mesh import MEMORY, arrange
from jollyae.album.couch.plan import Held, make_document
from jollyae.album.couch.replication import REPLICATOR, erase, read_held
from jollyae.album.couch.store import CouchStore
from jollyae.album.couch.topology import Kind, Link, Node
from jollyae.album.couch.watching import MISSING, SEEN, UNSEEN, Health, Watch
from jollyae.album.store import StoreError
from tests.album.fakecouch import FakeCouch
from tests.album.samples import photo, renditions

from .support import Site, closing, eventually, sync
from .test_mesh import albums, opened, passwords  # noqa: F401 - a fixture


def mine(health: Health, sites: list[Site]) -> Health:
    """Only the links of the test: a real server may hold others."""
    names = [site.address().database for site in sites]
    links = tuple(one for one in health.links if any(name in one.state.source for name in names))
    return replace(health, links=links)


async def well(store: CouchStore, sites: list[Site]) -> Health:
    """What is seen when all is well at last."""
    watch = Watch(store)

    async def look() -> Health | None:
        found = mine(await watch.look(), sites)
        return found if found.is_well and all(one.success for one in found.links) else None

    health = await eventually(look, "all to be well")
    assert isinstance(health, Health)
    return health


@sync
async def test_each_server_sees_all(three_sites: list[Site]) -> None:
    """The same servers and links, whoever looks; which one is ours; when each link was last through; no secret."""
    stores = await opened(three_sites)
    async with closing(*stores):
        await arrange(Kind.RING, albums(three_sites))
        await stores[0].add(photo(1), renditions(1))
        seen = [await well(store, three_sites) for store in stores]
        for number, health in enumerate(seen):
            assert health.kind == Kind.RING
            assert [one.url for one in health.servers] == [at.url for at in albums(three_sites)]
            assert [one.is_here for one in health.servers] == [place == number for place in range(3)]
            assert {(one.source, one.target) for one in health.links} == {
                (one, other) for one in range(3) for other in range(3) if one != other
            }
            assert all(one.advice == "" and one.state.lag == 0 for one in health.links)
            assert all(at.password not in repr(health) for at in albums(three_sites))
            found = health.between(1, 2)
            assert found is not None and found.state.source == three_sites[1].address().url
            assert health.between(1, 1) is None


@sync
async def test_who_replicates_with_nobody(site: Site) -> None:
    """Is alone, and all is well."""
    store = await site.open()
    async with closing(store):
        health = mine(await Watch(store).look(), [site])
        assert health.links == () and [one.is_here for one in health.servers] == [True]
        assert health.kind == "" and not health.servers[0].trouble


@sync
async def test_a_server_that_is_away(fake_three: list[Site]) -> None:
    """It is named, with the reason; what it holds cannot be seen; what the others hold with it is not well; and the
    time of the last success is kept, also for another one who looks later."""
    stores = await opened(fake_three)
    async with closing(*stores):
        await arrange(Kind.RING, albums(fake_three))
        watch = Watch(stores[0])

        async def is_through() -> bool:
            health = await watch.look()
            return health.is_well and all(one.success for one in health.links)

        await eventually(is_through, "all to be through")
        before = await stores[0].remembered(SEEN)
        assert len(before["links"]) == 6
        fake = fake_three[1].fake
        assert fake is not None
        fake.kill()

        async def is_told() -> Health | None:
            health = await watch.look()
            found = health.between(0, 1)
            return health if found and found.state.state == "crashing" else None

        health = await eventually(is_told, "it to be told")
        assert "cannot be reached" in health.servers[1].trouble and health.servers[1].hint
        assert [one.trouble for one in health.servers[::2]] == ["", ""]
        assert not health.is_well
        broken, unseen = health.between(0, 1), health.between(1, 2)
        assert broken.advice and broken.success == pytest.approx(watch.last and watch.last.between(0, 1).success)  # type: ignore[union-attr]
        assert unseen.state.state == UNSEEN and fake_three[1].address().url in unseen.advice
        assert health.between(0, 2).is_well
        later = await Watch(stores[0], writes=False).look()
        again = later.between(0, 1)
        assert (
            again is not None and again.success is not None and again.success == before["links"][again.state.id]["at"]
        )
        fake.start()
        await eventually(is_through, "it to catch up")


@sync
async def test_a_link_that_somebody_removed(fake_three: list[Site]) -> None:
    """Is missing, with what to do; and that is what mends it."""
    stores = await opened(fake_three)
    async with closing(*stores):
        await arrange(Kind.STAR, albums(fake_three))
        first = fake_three[0].address()
        gone = (await read_held(Node(first, first)))[0]
        await erase(first, gone.id)
        health = await Watch(stores[2]).look()
        (missing,) = (one for one in health.links if one.state.state == MISSING)
        assert (missing.state.source, missing.state.target) == gone.urls
        assert "album replicate" in missing.advice and not health.is_well
        await arrange(Kind.STAR, albums(fake_three))
        await well(stores[2], fake_three)


@sync
async def test_an_address_that_means_another_server(fake_three: list[Site]) -> None:
    """A localhost of somebody else's, say: it is told, and not mistaken for the server that is meant."""
    stores = await opened(fake_three)
    async with closing(*stores):
        await arrange(Kind.MESH, albums(fake_three))
        memory = await stores[0].remembered(MEMORY)
        wrong = [dict(one) for one in memory["servers"]]
        wrong[1]["url"] = str(fake_three[2].address())
        await stores[0].remember(MEMORY, memory | {"servers": wrong})
        health = await Watch(stores[0]).look()
        assert "another server" in health.servers[1].trouble and "localhost" in health.servers[1].hint
        assert health.servers[2].trouble == ""


@sync
async def test_a_member_sees_why_nothing_is_seen(fake_three: list[Site]) -> None:
    """Who is not the server's admin may not look into ``_replicator``: the server is named, with what to do."""
    stores = await opened(fake_three)
    async with closing(*stores):
        one = fake_three[0]
        assert one.fake is not None
        one.fake.users["reader"] = ("secret", [])
        one.fake.databases[one.address().database].security["members"] = {"names": ["reader"]}
        own = Address(one.address().server, one.address().database, "reader", "secret")
        async with Client(own) as client:
            health = await Watch(CouchStore(client, "")).look()
        assert "reader" in health.servers[0].trouble and "admin" in health.servers[0].hint
        assert not health.is_well


@sync
async def test_what_the_store_does_not_answer_is_raised(fake: FakeCouch) -> None:
    """Our own server is not one of many: without it nothing is known."""
    store = CouchStore(Client(fake.address("album")), "")
    async with closing(store):
        with pytest.raises(StoreError):
            await Watch(store).look()


@sync
async def test_a_link_that_was_made_by_an_older_jollyae(fake_three: list[Site], tmp_path: Path) -> None:
    """Or whose servers no list names: it is shown by its addresses."""
    stores = await opened(fake_three)
    async with closing(*stores):
        one, other = albums(fake_three)[:2]
        document = make_document(Link(other, one, one))
        del document["jollyae"]
        async with Client(one) as client:
            await client.ask("PUT", REPLICATOR, document["_id"], send=document)
        (link,) = (await Watch(stores[0]).look()).links
        assert (link.source, link.target) == (-1, 0)
        assert Held(Node(one, one), document).names == ("", "")
