"""The album in CouchDB: what is the backend's own. What every store promises is in tests/album/conformance.py.

Each test runs on the fake and, marked ``couchdb``, on a real server.
"""

from dataclasses import replace
from typing import Any

import pytest

from jollyae.album.couch import views
from jollyae.album.couch.address import Address
from jollyae.album.couch.bodies import make_multipart
from jollyae.album.couch.client import Client, decode
from jollyae.album.couch.store import PUBLIC_REVS_LIMIT, CouchStore, open_couch
from jollyae.album.store import Audience, Leaf, Missing, Order, Query, Rendition, Stale, StoreError
from tests.album.fakecouch import LOST, FakeCouch

from .support import Site, closing, eventually, photo, renditions, rev, sync


async def raw(store: CouchStore, id: str, **query: Any) -> Any:
    """A document as CouchDB tells it."""
    return await store.client.get(store.client.address.database, id, query=query)


async def bodies(store: CouchStore, id: str, revision: str) -> dict[str, bytes]:
    """The renditions of a revision."""
    found = {}
    for name in (await raw(store, id, rev=revision)).get("_attachments", {}):
        path = (store.client.address.database, id, name)
        found[name] = (await store.client.ask("GET", *path, query={"rev": revision})).content
    return found


async def compact(store: CouchStore, id: str, revision: str) -> None:
    """Until that old revision holds nothing any more."""
    await store.compact()

    async def is_empty() -> bool:
        try:
            await raw(store, id, rev=revision)
        except Missing:
            return True
        return False

    await eventually(is_empty, "the compaction")


def contents(given: dict[str, Rendition]) -> dict[str, bytes]:
    """The bytes of renditions."""
    return {name: one.body for name, one in given.items()}


@sync
async def test_a_new_photo_is_one_revision_with_its_renditions(site: Site) -> None:
    """Not three: no reader sees the document without them, and no crash leaves it so."""
    store = await site.open()
    async with closing(store):
        document = photo(1, title="Grüße \U0001f600 \u2028")
        assert await store.add(document, renditions())
        told = await raw(store, document["_id"], revs=True)
        assert told["_rev"].startswith("1-")
        assert {one["revpos"] for one in told["_attachments"].values()} == {1}
        assert await store.get(document["_id"]) == document | {"_rev": told["_rev"]}
        found = await store.rendition(document["_id"], "thumb")
        assert found is not None
        assert (found.body, found.mime) == (renditions()["thumb"].body, "image/jpeg")
        assert await store.rendition(document["_id"], "large") is None


@sync
async def test_a_second_add_changes_nothing(site: Site) -> None:
    """Also when the first look came too early and the PUT itself is refused (409)."""
    store = await site.open()
    async with closing(store):
        assert await store.add(photo(1), renditions())
        before = await raw(store, photo(1)["_id"])
        assert not await store.add(photo(1, title="other"), renditions("other"))
        with pytest.raises(Stale):
            await store._write(photo(1, title="other"), renditions("other"))
        assert await raw(store, photo(1)["_id"]) == before


@sync
async def test_a_lost_answer_to_an_add_is_looked_up() -> None:
    """The photo is in, and nobody said so: it was this add that put it in. Nothing of the kind: it is tried later."""
    with FakeCouch() as fake:
        store = await open_couch(fake.address("album"), create=True)
        async with closing(store):
            fake.refuse.append(("PUT", LOST))
            assert await store.add(photo(1), renditions())
            fake.refuse.append(("PUT", 0))
            with pytest.raises(StoreError) as caught:
                await store.add(photo(2), renditions())
            assert caught.value.is_temporary
            assert [id async for id in store.ids()] == [photo(1)["_id"]]


@sync
async def test_an_edit_keeps_the_renditions(site: Site) -> None:
    """By stubs: no byte of them is sent again."""
    store = await site.open()
    async with closing(store):
        await store.add(photo(1), renditions())
        document = await store.get(photo(1)["_id"])
        assert document
        second = await store.put(document | {"title": "edited"})
        assert second.startswith("2-")
        assert await bodies(store, document["_id"], second) == contents(renditions())
        for stale in (document, document | {"_rev": rev(1, "never was")}):
            with pytest.raises(Stale):
                await store.put(stale | {"title": "too late"})
        with pytest.raises(Stale):
            await store.put(photo(1))  # without a revision: it is there
        with pytest.raises(Stale):
            await store.remove(document["_id"], document["_rev"])


@sync
async def test_a_repair_replaces_the_renditions(site: Site) -> None:
    """With the document as it is, in one revision."""
    store = await site.open()
    async with closing(store):
        with pytest.raises(Missing):
            await store.set_renditions(photo(1)["_id"], renditions())
        await store.add(photo(1), {})
        await store.set_renditions(photo(1)["_id"], renditions("new"))
        document = await store.get(photo(1)["_id"])
        assert document
        assert document["_rev"].startswith("2-")
        assert await bodies(store, document["_id"], document["_rev"]) == contents(renditions("new"))


@sync
async def test_what_was_deleted_comes_back_by_an_add(site: Site) -> None:
    """As a revision after its deletion, so it comes back on every server."""
    store = await site.open()
    async with closing(store):
        await store.add(photo(1), renditions())
        document = await store.get(photo(1)["_id"])
        assert document
        await store.remove(document["_id"], document["_rev"])
        assert await store.get(document["_id"]) is None
        assert await store.rendition(document["_id"], "thumb") is None
        (leaf,) = await store.leaves(document["_id"])
        assert leaf.document["_deleted"]
        with pytest.raises(Stale):
            await store.remove(document["_id"], document["_rev"])
        assert await store.add(photo(1), renditions())
        again = await store.get(document["_id"])
        assert again
        assert again["_rev"].startswith("3-")


@sync
async def test_a_leaf_is_taken_under_its_own_revision(site: Site) -> None:
    """With the renditions that it brings, or those of the leaf before it; twice is once."""
    store = await site.open()
    async with closing(store):
        id = photo(1)["_id"]
        first, second, third = rev(1, "a"), rev(2, "b"), rev(4, "d")
        leaf = Leaf(photo(1) | {"_rev": first}, (first,), renditions())
        for _ in range(2):
            await store.take(leaf)
        assert await bodies(store, id, first) == contents(renditions())
        await store.take(Leaf(photo(1, title="two") | {"_rev": second}, (second, first)))
        assert await bodies(store, id, second) == contents(renditions())
        # Revisions between may be unknown here.
        brought = {"thumb": renditions("x")["thumb"]}
        path = (third, rev(3, "c"), second, first)
        await store.take(Leaf(photo(1, title="four") | {"_rev": third}, path, brought))
        assert await bodies(store, id, third) == contents(renditions() | brought)
        (only,) = await store.leaves(id)
        assert only.revisions == path
        assert sorted(only.renditions) == ["medium", "thumb"]
        await store.take(Leaf(photo(1, title="two") | {"_rev": second}, (second, first)))
        assert [one.document["title"] for one in await store.leaves(id)] == ["four"]


@sync
async def test_a_leaf_beside_another_is_a_conflict_that_the_same_one_wins_everywhere(site: Site) -> None:
    """The longer path, then the greater text; the loser has the renditions of its nearest relative."""
    store = await site.open()
    async with closing(store):
        id = photo(1)["_id"]
        base, low, high = rev(1, "base"), *sorted((rev(2, "x"), rev(2, "y")))
        await store.take(Leaf(photo(1) | {"_rev": base}, (base,), renditions()))
        await store.take(Leaf(photo(1, title="low") | {"_rev": low}, (low, base)))
        assert await store.conflicts() == []
        await store.take(Leaf(photo(1, title="high") | {"_rev": high}, (high, base)))
        document = await store.get(id)
        assert document
        assert (document["title"], document["_conflicts"]) == ("high", [low])
        assert await store.conflicts() == [id]
        assert [leaf.document["title"] for leaf in await store.leaves(id)] == ["high", "low"]
        for one in (low, high):
            assert await bodies(store, id, one) == contents(renditions())
        # The end of the loser: the conflict is no more.
        end = rev(3, "end")
        await store.take(Leaf({"_id": id, "_rev": end, "_deleted": True}, (end, low, base)))
        assert await store.conflicts() == []
        document = await store.get(id)
        assert document
        assert "_conflicts" not in document


@sync
async def test_a_leaf_whose_ancestors_were_compacted_away_keeps_its_renditions(site: Site) -> None:
    """CouchDB has no body left to take a stub from: copies of its nearest relative's are sent."""
    store = await site.open()
    async with closing(store):
        id = photo(1)["_id"]
        base, one, other = rev(1, "base"), rev(2, "one"), rev(2, "other")
        await store.take(Leaf(photo(1) | {"_rev": base}, (base,), renditions()))
        await store.take(Leaf(photo(1, title="one") | {"_rev": one}, (one, base)))
        await compact(store, id, base)
        await store.take(Leaf(photo(1, title="other") | {"_rev": other}, (other, base)))
        for revision in (one, other):
            assert await bodies(store, id, revision) == contents(renditions())


@sync
async def test_a_deleted_leaf_is_taken_and_a_living_one_after_it(site: Site) -> None:
    """A photo leaves the public database and comes back: under the source's own revisions."""
    store = await site.open()
    async with closing(store):
        id = photo(1)["_id"]
        first, gone, back = rev(1, "a"), rev(2, "b"), rev(3, "c")
        await store.take(Leaf(photo(1, cat="Public") | {"_rev": first}, (first,), renditions()))
        await store.take(Leaf({"_id": id, "_rev": gone, "_deleted": True}, (gone, first)))
        assert await store.get(id) is None
        assert await store.rendition(id, "thumb") is None
        await store.take(Leaf(photo(1, cat="Public") | {"_rev": back}, (back, gone, first), renditions()))
        assert await bodies(store, id, back) == contents(renditions())


@sync
async def test_a_leaf_goes_from_one_store_to_another_as_it_is(site: Site) -> None:
    """What ``leaves`` gives, ``take`` holds."""
    one, other = await site.open("one"), await site.open("other")
    async with closing(one, other):
        await one.add(photo(1), renditions())
        document = await one.get(photo(1)["_id"])
        assert document
        await one.put(document | {"title": "two"})
        (leaf,) = await one.leaves(document["_id"])
        found = {name: await one.rendition(document["_id"], name) for name in leaf.renditions}
        await other.take(replace(leaf, renditions={name: body for name, body in found.items() if body}))
        assert await other.leaves(document["_id"]) == [leaf]
        assert await other.get(document["_id"]) == await one.get(document["_id"])


@sync
async def test_lists_are_read_in_pages_by_the_index(site: Site) -> None:
    """Forwards, backwards, by either time, with keywords wanted and not, camera and period: what Python would find."""
    store = await site.open()
    async with closing(store):
        documents = [
            photo(
                number,
                cat=("Private", "Friends/Family", "Public")[number % 3],
                keywords=sorted({f"k{number % 2}", f"m{number % 5}", "unprocessed", "_x" if number % 7 else "y"}),
                camera={"name": f"Camera {number % 4}"},
                taken=f"2026-{number % 3 + 10}-01T00:00:{number % 6:02}",
            )
            for number in range(40)
        ]
        for document in documents:
            await store.add(document, {})
        queries = [
            Query(),
            Query(Audience.PUBLIC),
            Query(Audience.FRIENDS, order=Order.ADDED),
            Query(having=("k1",)),
            Query(having=("k1", "m3"), order=Order.ADDED),
            Query(having=("k0",), lacking=("m1", "m2")),
            Query(lacking=("k0",)),
            Query(Audience.PUBLIC, having=("unprocessed",)),
            Query(Audience.PUBLIC, lacking=("unprocessed",)),
            Query(camera="Camera 2"),
            Query(camera="Camera 2", having=("m2",), period="2026-11"),
            Query(period="2026-11"),
            Query(period="2026-11", order=Order.ADDED),
            Query(having=("k0",), period="2026-1"),
            Query(period="2027"),
            Query(having=(",",)),
        ]
        for query in queries:
            wanted = _wanted(documents, query)
            for limit in (3, 60):
                assert await _walk(store, query, limit) == wanted, query
                assert await _walk(store, query, limit, backwards=True) == wanted[::-1], query
            assert await store.count(query) == len(wanted), query


def _wanted(documents: list[dict[str, Any]], query: Query) -> list[str]:
    """The ids that the query asks for, in order."""
    audiences = {"Private": 2, "Friends/Family": 1, "Public": 0}
    level = {Audience.PUBLIC: 0, Audience.FRIENDS: 1, Audience.ALL: 2}[query.audience]
    found = []
    for one in documents:
        words = [word for word in one["keywords"] if level == 2 or not (word[0] == "_" or word == "unprocessed")]
        if (
            audiences[one["cat"]] <= level
            and set(query.having) <= set(words)
            and not set(query.lacking) & set(words)
            and query.camera in ("", one["camera"]["name"])
            and one["taken"].startswith(query.period)
        ):
            found.append(one)
    by_id = sorted(found, key=lambda one: one["_id"])
    return [one["_id"] for one in sorted(by_id, key=lambda one: one[query.order.value], reverse=True)]


async def _walk(store: CouchStore, query: Query, limit: int, backwards: bool = False) -> list[str]:
    """All ids of a list, page by page."""
    found: list[str] = []
    place = None
    while cards := await store.photos(query, after=place, backwards=backwards, limit=limit):
        found += [card.id for card in cards]
        place = cards[-1].cursor(query.order)
    return found


@sync
async def test_names_are_counted_for_each_audience(site: Site) -> None:
    """A keyword of nothing but private photos is not known to the public; nor is the inbox."""
    store = await site.open()
    async with closing(store):
        await store.add(photo(1, keywords=["beach", "unprocessed"]), {})
        await store.add(photo(2, keywords=["beach", "Grüße", "_draft", "unprocessed"], cat="Public", camera={}), {})
        assert [(one.name, one.photos) for one in await store.keywords(Audience.ALL)] == [
            ("beach", 2),
            ("unprocessed", 2),
            ("Grüße", 1),
            ("_draft", 1),
        ]
        assert [one.name for one in await store.keywords(Audience.PUBLIC)] == ["Grüße", "beach"]
        assert [one.name for one in await store.cameras(Audience.ALL)] == ["Canon EOS R5"]
        assert await store.cameras(Audience.FRIENDS) == []
        assert [one.name for one in await store.months(Audience.ALL)] == ["2026-03", "2026-02"]
        assert [one.name for one in await store.months(Audience.PUBLIC)] == ["2026-03"]


@sync
async def test_changes_tell_each_document_once_with_its_last_state(site: Site) -> None:
    """Not the index itself; a sequence of another database begins anew; what is remembered is no change."""
    store, other = await site.open(), await site.open("other")
    async with closing(store, other):
        for number in (1, 2, 3):
            await store.add(photo(number), renditions())
        document = await store.get(photo(1)["_id"])
        assert document
        await store.put(document | {"title": "edited"})
        gone = await store.get(photo(2)["_id"])
        assert gone
        await store.remove(gone["_id"], gone["_rev"])
        await store.remember("place", {"seq": "7"})
        changes = [change async for change in store.changes()]
        assert sorted(change.document["_id"] for change in changes) == sorted(photo(n)["_id"] for n in (1, 2, 3))
        states = {change.document["_id"]: change for change in changes}
        assert states[photo(1)["_id"]].document == await store.get(photo(1)["_id"])
        assert states[photo(2)["_id"]].is_deleted
        assert set(states[photo(2)["_id"]].document) == {"_id", "_rev", "_deleted"}
        assert [change async for change in store.changes(changes[-1].seq)] == []
        assert len([change async for change in store.changes(changes[0].seq)]) == 2
        foreign = [change async for change in other.changes()]
        assert foreign == []


@sync
async def test_what_is_remembered_is_this_servers_own(site: Site) -> None:
    """Also the server's name: the first one that is chosen stays."""
    store = await site.open(server="kitchen")
    async with closing(store):
        assert store.server == "kitchen"
        assert await store.remembered("keeper") == {}
        for value in ({"seq": "1"}, {"seq": "2"}):
            await store.remember("keeper", value)
        assert await store.remembered("keeper") == {"seq": "2"}
        again = await site.open(server="cellar")
        async with closing(again):
            assert again.server == "kitchen"
            assert [change async for change in again.changes()] == []


@sync
async def test_the_index_is_replaced_only_when_it_is_another(site: Site) -> None:
    """Opening writes nothing where all is well; an older design gives way."""
    store = await site.open()
    async with closing(store):
        design = f"_design/{views.DESIGN}"
        path = (store.client.address.database, "_design", views.DESIGN)
        first = await store.client.get(*path)
        await (await site.open()).close()
        assert (await store.client.get(*path))["_rev"] == first["_rev"]
        old = {"_id": design, "_rev": first["_rev"], "version": "old", "views": {}}
        await store.client.ask("PUT", *path, send=old)

        async def is_missed() -> bool:
            try:
                await store.photos(Query())
            except StoreError as error:
                return "index is missing" in error.message and "album init" in error.hint
            return False  # CouchDB still has the one before in its cache

        await eventually(is_missed)
        await (await site.open()).close()
        assert views.is_same_design(await store.client.get(*path), views.make_design())
        assert await store.photos(Query()) == []


@sync
async def test_a_public_database_knows_few_old_revisions(site: Site) -> None:
    """And after a compaction nothing of what they held."""
    store = await site.open(public=True)
    async with closing(store):
        assert await store.client.get(store.client.address.database, "_revs_limit") == PUBLIC_REVS_LIMIT
        await store.add(photo(1, title="first"), renditions())
        first = await store.get(photo(1)["_id"])
        assert first
        await store.put(first | {"title": "second"})
        assert (await raw(store, first["_id"], rev=first["_rev"]))["title"] == "first"
        await compact(store, first["_id"], first["_rev"])
        path = (store.client.address.database, first["_id"], "thumb")
        with pytest.raises(Missing):
            await store.client.ask("GET", *path, query={"rev": first["_rev"]})


@sync
async def test_a_database_that_is_missing_is_not_made_unasked(site: Site) -> None:
    """A typing error in a URL is no new album."""
    with pytest.raises(StoreError, match="no such database"):
        await open_couch(site.address("never"))
    async with Client(site.address("never")) as client:
        assert (await client.ask("GET", site.address("never").database, accept=(404,))).status_code == 404


@sync
async def test_a_member_can_use_the_album_and_not_make_one(fake: FakeCouch) -> None:
    """Only the first set-up needs an admin."""
    fake.users["anna"] = ("secret", [])
    admin = await open_couch(fake.address("album"), create=True)
    async with closing(admin):
        security = {"admins": {"roles": ["_admin"]}, "members": {"names": ["anna"], "roles": ["_admin"]}}
        await admin.client.ask("PUT", "album", "_security", send=security)
        member = await open_couch(fake.address("album", "anna", "secret"), create=True)
        async with closing(member):
            assert await member.add(photo(1), renditions())
            with pytest.raises(StoreError, match="may not do that"):
                await member.compact()
            design = await admin.client.get("album", "_design", views.DESIGN)
            await admin.client.ask("DELETE", "album", "_design", views.DESIGN, query={"rev": design["_rev"]})
            with pytest.raises(StoreError, match="index is missing") as caught:
                await open_couch(fake.address("album", "anna", "secret"))
            assert "admin" in caught.value.hint
        with pytest.raises(StoreError, match="may not do that"):
            await open_couch(fake.address("other", "anna", "secret"), create=True)
        with pytest.raises(StoreError, match="anonymous"):
            await open_couch(Address(fake.url, "album"))


@pytest.mark.parametrize("damage", ["digest", "length"])
@sync
async def test_damage_on_the_way_is_seen_by_the_server(site: Site, damage: str) -> None:
    """The MD5 and the length of each rendition go with it."""
    store = await site.open()
    async with closing(store):
        mime, body = make_multipart(photo(1), renditions())
        if damage == "digest":
            body = body.replace(renditions()["thumb"].body, bytes(len(renditions()["thumb"].body)))
        else:
            body = body.replace(b'"length":', b'"length":1', 1)
        path = (store.client.address.database, photo(1)["_id"])
        with pytest.raises(StoreError):
            await store.client.ask("PUT", *path, body=body, mime=mime, seconds=10)
        assert await store.get(photo(1)["_id"]) is None


@sync
async def test_the_fake_is_as_strict_as_it_says() -> None:
    """An endpoint or parameter that it does not know fails the test that used it."""
    fake = FakeCouch()
    with pytest.raises(AssertionError, match="unknown"), fake:
        async with Client(fake.address("album")) as client:
            await client.ask("PUT", "album")
            for path, query in ((("album", "_find"), {}), (("album",), {"q": 1}), (("_all_dbs",), {})):
                with pytest.raises(StoreError):
                    await client.ask("GET", *path, query=query)
    assert len(fake.problems) == 3
    fake.problems.clear()


@sync
async def test_a_server_without_multipart_gets_renditions_inline(site: Site) -> None:
    """A third more bytes, the same document."""
    store = await site.open()
    async with closing(store):
        store.multipart = False
        assert await store.add(photo(1), renditions())
        document = await store.get(photo(1)["_id"])
        assert document
        assert await bodies(store, document["_id"], document["_rev"]) == contents(renditions())


@sync
async def test_the_protocol_is_what_the_fake_was_pinned_to(site: Site) -> None:
    """What we build on and no other test would notice, asked of the server itself."""
    store = await site.open()
    async with closing(store):
        database, id = store.client.address.database, photo(1)["_id"]
        first, second = rev(1, "a"), rev(2, "b")
        stub = {"_attachments": {"thumb": {"stub": True}}}
        given: dict[str, Any] = {"_id": id, "_revisions": {"start": 2, "ids": [second[2:], first[2:]]}, **stub}
        send = {"new_edits": False, "docs": [given]}
        answer = await store.client.ask("POST", database, "_bulk_docs", send=send, accept=(412,))
        assert (answer.status_code, decode(answer)["error"]) == (412, "missing_stub")
        answer = await store.client.ask("PUT", database, id, send={"_id": id, "_odd": 1}, accept=(400,))
        assert decode(answer)["error"] == "doc_validation"
        await store.take(Leaf(photo(1) | {"_rev": first}, (first,), renditions()))
        answer = await store.client.ask("POST", database, "_bulk_docs", send=send)
        assert (answer.status_code, decode(answer)) == (201, [])
        told = await raw(store, id, revs_info=True)
        assert [(one["rev"], one["status"]) for one in told["_revs_info"]] == [
            (second, "available"),
            (first, "available"),
        ]
        answer = await store.client.ask("GET", database, id, "thumb")
        assert answer.headers["Content-Security-Policy"] == "sandbox"
        assert answer.headers["ETag"].startswith('"')
        found = await store.client.ask("GET", database, id, query={"open_revs": [first, rev(9, "z")]})
        assert [set(one) for one in decode(found)] == [{"ok"}, {"missing"}]
        answer = await store.client.ask("GET", database, "nothing", query={"open_revs": "all"}, accept=(404,))
        assert answer.status_code == 404 or decode(answer) == []
