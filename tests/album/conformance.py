"""What every store promises: one suite, run over each of them.

A module that runs it has a class that inherits :class:`Promises` and a fixture ``backend``; ``test_conformance.py`` has
the list of those that are known. A backend opens albums by name: ``album`` is empty at first.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from jollyae.album import document as documents
from jollyae.album import merge, revisions
from jollyae.album.copy import copy
from jollyae.album.document import FRIENDS, PRIVATE, PUBLIC
from jollyae.album.store import (
    MEDIUM,
    THUMB,
    Audience,
    Card,
    Change,
    Count,
    Cursor,
    Document,
    Leaf,
    Missing,
    Order,
    Query,
    Stale,
    Store,
)

from .samples import NOW, edited, id_of, moment, photo, renditions

Check = Callable[[Store], Awaitable[None]]
PATIENCE = 20.0  # seconds for what takes less than one


class Backend:
    """Something that keeps albums."""

    async def open(self, name: str = "album") -> Store:
        """The album of that name, new and empty at the first time."""
        raise NotImplementedError

    def run(self, *checks: Check) -> None:
        """Each check with the same album, opened anew."""

        async def each() -> None:
            for check in checks:
                store = await self.open()
                try:
                    await check(store)
                finally:
                    await store.close()

        asyncio.run(each())

    def run_two(self, check: Callable[[Store, Store], Awaitable[None]]) -> None:
        """A check with two albums, each another server's."""

        async def both() -> None:
            one, other = await self.open("one"), await self.open("other")
            try:
                await check(one, other)
            finally:
                await one.close()
                await other.close()

        asyncio.run(both())


async def add(store: Store, number: int = 1, **fields: Any) -> Document:
    """Put in a photo; its document as the store has it."""
    assert await store.add(photo(number, **fields), renditions(number))
    return await get(store, id_of(number))


async def get(store: Store, id: str) -> Document:
    """What is there."""
    found = await store.get(id)
    assert found is not None
    return found


async def put(store: Store, before: Document, seconds: int, **changes: Any) -> Document:
    """Edit a photo; its document as the store has it."""
    rev = await store.put(edited(before, seconds, store.server, **changes))
    found = await get(store, before["_id"])
    assert found["_rev"] == rev
    return found


async def replicate(source: Store, target: Store) -> None:
    """As replication does: every leaf that the target does not know."""
    report = await copy(source, target)
    assert not report.wrong


async def listed(changes: AsyncIterator[Change]) -> list[Change]:
    """All of them."""
    return [change async for change in changes]


async def revs(store: Store, id: str) -> list[str]:
    """The revisions of a document's leaves."""
    return [leaf.document["_rev"] for leaf in await store.leaves(id)]


def without_revs(document: Document) -> Document:
    """What is the document's own."""
    return revisions.content(document)


class Promises:
    """Inherit it, and give a fixture ``backend``."""

    # --- writing

    def test_what_was_added_is_there(self, backend: Backend) -> None:
        """The document and its renditions, byte for byte, also for who opens the album later."""

        async def first(store: Store) -> None:
            assert await store.add(photo(1), renditions(1)) is True

        async def later(store: Store) -> None:
            found = await get(store, id_of(1))
            assert without_revs(found) == without_revs(photo(1))
            assert revisions.generation(found["_rev"]) == 1 and "_conflicts" not in found
            for name, one in renditions(1).items():
                kept = await store.rendition(id_of(1), name)
                assert kept is not None and (kept.body, kept.mime) == (one.body, "image/jpeg") and kept.digest
            assert await store.rendition(id_of(1), "other") is None
            assert await store.rendition(id_of(2), THUMB) is None
            assert await store.get(id_of(2)) is None and await store.get("") is None

        backend.run(first, later)

    def test_a_server_has_a_name_that_stays(self, backend: Backend) -> None:
        """It is chosen when the album is made; the URL names the album."""
        names = []

        async def check(store: Store) -> None:
            names.append(store.server)
            assert "://" in store.url

        async def others(one: Store, other: Store) -> None:
            assert one.server != other.server

        backend.run(check, check)
        backend.run_two(others)
        assert names[0] and names[0] == names[1]

    def test_the_same_photo_again_changes_nothing(self, backend: Backend) -> None:
        """Above all no edit."""

        async def check(store: Store) -> None:
            after = await put(store, await add(store), 1, title="Sea")
            assert await store.add(photo(1), {}) is False
            assert await store.add(photo(1), renditions(2)) is False
            assert await get(store, id_of(1)) == after
            kept = await store.rendition(id_of(1), THUMB)
            assert kept is not None and kept.body == renditions(1)[THUMB].body

        backend.run(check)

    def test_a_photo_without_renditions(self, backend: Backend) -> None:
        """It is there, and its card says that there is nothing to show."""

        async def check(store: Store) -> None:
            assert await store.add(photo(1, trouble="no codec"), {})
            assert await store.rendition(id_of(1), THUMB) is None
            [card] = await store.photos(Query())
            assert card.has_renditions is False
            await store.set_renditions(id_of(1), renditions(1))
            [card] = await store.photos(Query())
            assert card.has_renditions is True

        backend.run(check)

    def test_an_edit_replaces_the_revision_that_it_names(self, backend: Backend) -> None:
        """Once: the second is told that it is stale, and loses nothing."""

        async def check(store: Store) -> None:
            before = await add(store)
            after = await put(store, before, 1, title="first")
            assert revisions.generation(after["_rev"]) == 2 and after["edited"] == {"title": 2}
            with pytest.raises(Stale) as caught:
                await store.put(edited(before, 2, title="second"))
            assert caught.value.message and not caught.value.is_temporary
            assert await get(store, id_of(1)) == after
            kept = await store.rendition(id_of(1), MEDIUM)
            assert kept is not None and kept.body == renditions(1)[MEDIUM].body

        backend.run(check)

    def test_of_many_edits_of_one_revision_one_wins(self, backend: Backend) -> None:
        """The others are stale, however close they come."""

        async def check(store: Store) -> None:
            before = await add(store)
            edits = [store.put(edited(before, number, title=str(number))) for number in range(20)]
            told = await asyncio.gather(*edits, return_exceptions=True)
            [won] = [number for number, one in enumerate(told) if isinstance(one, str)]
            assert all(isinstance(one, Stale) for one in told if not isinstance(one, str))
            assert (await get(store, id_of(1)))["title"] == str(won)

        backend.run(check)

    def test_a_document_without_revision_is_new(self, backend: Backend) -> None:
        """Where it is not, it is refused."""

        async def check(store: Store) -> None:
            user = documents.new_user("anna", "editor", "hash", now=NOW)
            rev = await store.put(user)
            assert await get(store, "user:anna") == {**user, "_rev": rev}
            with pytest.raises(Stale):
                await store.put(user)
            with pytest.raises(Stale):
                await store.put(documents.new_user("otto", "friend", "hash", now=NOW) | {"_rev": rev})

        backend.run(check)

    def test_what_was_removed_is_gone(self, backend: Backend) -> None:
        """From everywhere; with its renditions."""

        async def check(store: Store) -> None:
            before = await add(store)
            after = await put(store, before, 1, title="Sea")
            with pytest.raises(Stale):
                await store.remove(id_of(1), before["_rev"])
            await store.remove(id_of(1), after["_rev"])
            assert await store.get(id_of(1)) is None
            assert await store.rendition(id_of(1), THUMB) is None
            assert await store.photos(Query()) == [] and await store.count(Query()) == 0
            assert await store.keywords(Audience.ALL) == await store.cameras(Audience.ALL) == []
            assert [id async for id in store.ids()] == []
            with pytest.raises((Stale, Missing)):
                await store.remove(id_of(1), after["_rev"])
            with pytest.raises((Stale, Missing)):
                await store.put(edited(after, 2, title="x"))
            with pytest.raises(Missing):
                await store.set_renditions(id_of(1), renditions(1))

        backend.run(check)

    def test_what_was_removed_can_come_back(self, backend: Backend) -> None:
        """As new, in a revision after its end."""

        async def check(store: Store) -> None:
            await store.remove(id_of(1), (await add(store))["_rev"])
            found = await add(store)
            assert revisions.generation(found["_rev"]) == 3 and without_revs(found) == without_revs(photo(1))
            kept = await store.rendition(id_of(1), THUMB)
            assert kept is not None and kept.body == renditions(1)[THUMB].body

        backend.run(check)

    def test_renditions_can_be_replaced(self, backend: Backend) -> None:
        """All at once, and the digest changes with the bytes; the document stays."""

        async def check(store: Store) -> None:
            before = await add(store)
            old = await store.rendition(id_of(1), THUMB)
            await store.set_renditions(id_of(1), {THUMB: renditions(2)[THUMB]})
            new = await store.rendition(id_of(1), THUMB)
            assert old is not None and new is not None
            assert new.body == renditions(2)[THUMB].body and new.digest != old.digest
            assert await store.rendition(id_of(1), MEDIUM) is None
            found = await get(store, id_of(1))
            assert without_revs(found) == without_revs(before)
            with pytest.raises(Missing):
                await store.set_renditions(id_of(9), renditions(9))

        backend.run(check)

    @pytest.mark.parametrize(
        "fields",
        [
            {"title": "<script>alert(1)</script> 'quoted' \"twice\" \\ %s ?1 &amp;"},
            {"title": "日本 👩‍👩‍👧 \u2028 \U0001fadf é", "keywords": ["日本", "_x", "'; DROP TABLE photo; --"]},
            {"camera": {}, "taken": "", "gps": None, "exif": {}},
            {"camera": {"name": "Ä/ö 5%"}, "taken": "1826-06-01T00:00:00", "title": "x" * 500},
            {"cat": "of another version", "keywords": ["a"] * 3, "new field": {"a": [1, 2.5, None, True]}},
        ],
    )
    def test_odd_documents(self, backend: Backend, fields: dict[str, Any]) -> None:
        """What goes in comes out, and lists show it."""

        async def check(store: Store) -> None:
            found = await add(store, 1, **fields)
            assert without_revs(found) == without_revs(photo(1, **fields))
            assert await store.photos(Query()) == [documents.card(found, True)]
            for word in dict.fromkeys(found["keywords"]):
                assert await store.count(Query(having=(word,))) == 1
                assert Count(word, 1) in await store.keywords(Audience.ALL)

        backend.run(check)

    # --- lists

    def test_lists_are_what_they_should_be(self, backend: Backend) -> None:
        """Every query, in each order, forwards and backwards, page by page: the photos that match, and their number."""

        async def check(store: Store) -> None:
            chance = random.Random(2026)
            there = [some_photo(chance, number) for number in range(60)]
            for document in there:
                assert await store.add(document, renditions(1) if document["width"] > 1 else {})
            for _ in range(120):
                query = some_query(chance)
                await compare(store, query, expected(there, query), chance.randint(1, 9))

        backend.run(check)

    def test_lists_after_edits_and_removals(self, backend: Backend) -> None:
        """They show the last state, of each photo once."""

        async def check(store: Store) -> None:
            chance = random.Random(22)
            there = {}
            for number in range(25):
                await store.add(some_photo(chance, number), {})
                there[id_of(number)] = await get(store, id_of(number))
            for step in range(60):
                id = chance.choice(list(there))
                if chance.random() < 0.2:
                    await store.remove(id, there.pop(id)["_rev"])
                    continue
                other = some_photo(chance, 1)
                changes = {field: other[field] for field in ("cat", "keywords", "title")}
                changes["taken"] = other["taken"] or "1999-12-31T23:59:59"
                there[id] = await put(store, there[id], step, **changes)
            for _ in range(40):
                query = some_query(chance)
                await compare(store, query, expected(there.values(), query, has_renditions=False), 7)
            for audience in Audience:
                await compare_counts(store, audience, list(there.values()))

        backend.run(check)

    def test_a_place_in_a_list_need_not_be_a_photo(self, backend: Backend) -> None:
        """It may be gone, or have been none; a page after the end is empty."""

        async def check(store: Store) -> None:
            for number, day in enumerate(("01", "02", "03")):
                await add(store, number, taken=f"2026-11-{day}T00:00:00")

            async def days(place: Cursor, backwards: bool = False) -> list[str]:
                return [one.taken[8:10] for one in await store.photos(Query(), after=place, backwards=backwards)]

            assert await days(Cursor("2026-11-02T12:00:00", "")) == ["02", "01"]
            assert await days(Cursor("2026-11-02T12:00:00", ""), backwards=True) == ["03"]
            assert await days(Cursor("2026-11-32", "")) == ["03", "02", "01"]
            assert await days(Cursor("2026-11-02T00:00:00", "")) == ["02", "01"]
            assert await days(Cursor("2026-11-02T00:00:00", "zz")) == ["01"]
            assert await days(Cursor("2026-11-02T00:00:00", "zz"), backwards=True) == ["02", "03"]
            assert await days(Cursor("2026-11-01T00:00:00", id_of(0))) == [] == await days(Cursor("", ""))
            assert await store.photos(Query(), limit=0) == []

        backend.run(check)

    def test_counts(self, backend: Backend) -> None:
        """Of keywords, cameras and months, for each audience, in their orders."""

        async def check(store: Store) -> None:
            chance = random.Random(11)
            there = [some_photo(chance, number) for number in range(50)]
            for document in there:
                await store.add(document, {})
            for audience in Audience:
                await compare_counts(store, audience, there)

        backend.run(check)

    def test_ids(self, backend: Backend) -> None:
        """Of photos only, in order, each once."""

        async def check(store: Store) -> None:
            for number in range(30):
                await store.add(photo(number), {})
            await store.put(documents.new_user("anna", "editor", "hash", now=NOW))
            await store.put(documents.new_comment(id_of(1), "anna", "nice", now=NOW))
            assert [id async for id in store.ids()] == sorted(map(id_of, range(30)))

        backend.run(check)

    def test_comments_and_users(self, backend: Backend) -> None:
        """Comments of their photo, oldest first; users by name. No photo list shows them."""

        async def check(store: Store) -> None:
            await add(store, 1)
            await add(store, 2)
            for second, text in ((5, "later"), (1, "first"), (3, "between")):
                await store.put(documents.new_comment(id_of(1), "anna", text, now=moment(second)))
            for name in ("otto", "anna"):
                await store.put(documents.new_user(name, "friend", "hash", now=NOW))
            found = await store.comments(id_of(1))
            assert [one["text"] for one in found] == ["first", "between", "later"]
            assert all(one["_rev"] for one in found) and await store.comments(id_of(2)) == []
            assert [one["name"] for one in await store.users()] == ["anna", "otto"]
            await store.remove(found[0]["_id"], found[0]["_rev"])
            assert [one["text"] for one in await store.comments(id_of(1))] == ["between", "later"]
            assert await store.count(Query()) == 2 == len(await store.photos(Query()))

        backend.run(check)

    # --- what replication brings

    def test_a_leaf_is_taken_as_it_is(self, backend: Backend) -> None:
        """Under its own revision, with all it brings; a second time it changes nothing."""

        async def check(store: Store) -> None:
            document = photo(1, _rev="3-ccc", title="from afar")
            leaf = Leaf(document, ("3-ccc", "2-bbb", "1-aaa"), renditions(1))
            for _ in range(2):
                await store.take(leaf)
                assert await get(store, id_of(1)) == document
                [found] = await store.leaves(id_of(1))
                assert found.revisions == leaf.revisions and found.document == document
                assert {name: one.mime for name, one in found.renditions.items()} == dict.fromkeys(
                    (THUMB, MEDIUM), "image/jpeg"
                )
                kept = await store.rendition(id_of(1), MEDIUM)
                assert kept is not None and kept.body == renditions(1)[MEDIUM].body
            await store.take(Leaf(photo(1, _rev="2-bbb", title="old"), ("2-bbb", "1-aaa")))
            assert await revs(store, id_of(1)) == ["3-ccc"]

        backend.run(check)

    def test_what_comes_after_a_leaf_replaces_it(self, backend: Backend) -> None:
        """And keeps its renditions, also over several revisions."""

        async def check(store: Store) -> None:
            await store.take(Leaf(photo(1, _rev="1-aaa"), ("1-aaa",), renditions(1)))
            await store.take(Leaf(photo(1, _rev="4-ddd", title="new"), ("4-ddd", "3-ccc", "2-bbb", "1-aaa")))
            found = await get(store, id_of(1))
            assert (found["title"], found["_rev"], "_conflicts" in found) == ("new", "4-ddd", False)
            kept = await store.rendition(id_of(1), THUMB)
            assert kept is not None and kept.body == renditions(1)[THUMB].body
            assert await revs(store, id_of(1)) == ["4-ddd"] and await store.conflicts() == []

        backend.run(check)

    @pytest.mark.parametrize("turned", [False, True])
    def test_the_winner_is_the_same_on_every_server(self, backend: Backend, turned: bool) -> None:
        """In whichever order the leaves come: not deleted, then the longer path, then the greater revision."""
        leaves = [
            Leaf(photo(1, _rev="2-aaa", title="a"), ("2-aaa", "1-111"), renditions(1)),
            Leaf(photo(1, _rev="2-ccc", title="c"), ("2-ccc", "1-111"), renditions(1)),
            Leaf(photo(1, _rev="3-bbb", title="b"), ("3-bbb", "2-bbb", "1-111"), renditions(1)),
            revisions.deleted(id_of(1), ("5-ddd", "4-ddd", "3-ddd", "2-ddd", "1-111")),
        ]

        async def check(store: Store) -> None:
            for leaf in reversed(leaves) if turned else leaves:
                await store.take(leaf)
            found = await get(store, id_of(1))
            assert (found["_rev"], sorted(found["_conflicts"])) == ("3-bbb", ["2-aaa", "2-ccc"])
            assert await revs(store, id_of(1)) == ["3-bbb", "2-ccc", "2-aaa"]
            assert await store.conflicts() == [id_of(1)]
            assert [one.title for one in await store.photos(Query())] == ["b"]
            for rev, title in (("3-bbb", "c"), ("2-ccc", "a"), ("2-aaa", "")):
                await store.remove(id_of(1), rev)
                if title:
                    assert (await get(store, id_of(1)))["title"] == title
            assert await store.get(id_of(1)) is None and await store.conflicts() == []
            [last] = await store.leaves(id_of(1))
            assert last.document == {"_id": id_of(1), "_rev": "5-ddd", "_deleted": True}
            assert last.revisions[:2] == ("5-ddd", "4-ddd")

        backend.run(check)

    def test_each_leaf_has_its_renditions(self, backend: Backend) -> None:
        """One leaf's may have been mended, another's not."""

        async def check(store: Store) -> None:
            await store.take(Leaf(photo(1, _rev="2-bbb"), ("2-bbb", "1-aaa"), renditions(1)))
            await store.take(Leaf(photo(1, _rev="2-aaa"), ("2-aaa", "1-aaa"), renditions(2)))
            for rev, number in (("", 1), ("2-bbb", 1), ("2-aaa", 2)):
                kept = await store.rendition(id_of(1), MEDIUM, rev)
                assert kept is not None and kept.body == renditions(number)[MEDIUM].body
            assert await store.rendition(id_of(1), MEDIUM, "1-aaa") is None
            digests = [leaf.renditions[THUMB].digest for leaf in await store.leaves(id_of(1))]
            assert len(set(digests)) == 2

        backend.run(check)

    def test_an_edit_meets_a_leaf_that_lost(self, backend: Backend) -> None:
        """It can be edited by its revision, and may win then."""

        async def check(store: Store) -> None:
            await store.take(Leaf(photo(1, _rev="2-aaa", title="a"), ("2-aaa", "1-111"), renditions(1)))
            await store.take(Leaf(photo(1, _rev="2-bbb", title="b"), ("2-bbb", "1-111"), renditions(1)))
            [loser] = [leaf for leaf in await store.leaves(id_of(1)) if leaf.document["_rev"] == "2-aaa"]
            rev = await store.put(edited(loser.document, 1, title="c"))
            found = await get(store, id_of(1))
            assert (found["_rev"], found["title"], found["_conflicts"]) == (rev, "c", ["2-bbb"])

        backend.run(check)

    def test_a_deletion_is_taken(self, backend: Backend) -> None:
        """Also under the very next revision, as the public database has it; and the photo may come again."""

        async def check(store: Store) -> None:
            await store.take(Leaf(photo(1, _rev="1-aaa"), ("1-aaa",), renditions(1)))
            await store.take(revisions.deleted(id_of(1), ("2-bbb", "1-aaa")))
            assert await store.get(id_of(1)) is None and await store.rendition(id_of(1), THUMB) is None
            [leaf] = await store.leaves(id_of(1))
            assert (leaf.document["_deleted"], leaf.revisions) == (True, ("2-bbb", "1-aaa"))
            await store.take(Leaf(photo(1, _rev="3-ccc"), ("3-ccc", "2-bbb", "1-aaa"), renditions(2)))
            kept = await store.rendition(id_of(1), THUMB)
            assert kept is not None and kept.body == renditions(2)[THUMB].body
            assert await revs(store, id_of(1)) == ["3-ccc"]

        backend.run(check)

    def test_two_servers_edit_different_fields(self, backend: Backend) -> None:
        """Both merge, and have the same revision with both edits and the renditions; no conflict is left."""

        async def check(one: Store, other: Store) -> None:
            before = await add(one)
            await replicate(one, other)
            await put(one, before, 1, title="Sea")
            await put(other, before, 2, keywords=["beach"])
            await replicate(one, other)
            await replicate(other, one)
            for store in (one, other):
                assert await store.conflicts() == [id_of(1)]
                found = merge.merged(await store.leaves(id_of(1)))
                assert found is not None
                for leaf in merge.leaves_to_take(found):
                    await store.take(leaf)
                assert await store.conflicts() == []
            mine, others = await get(one, id_of(1)), await get(other, id_of(1))
            assert mine == others and (mine["title"], mine["keywords"]) == ("Sea", ["beach"])
            assert revisions.generation(mine["_rev"]) == 3
            for store in (one, other):
                kept = await store.rendition(id_of(1), THUMB)
                assert kept is not None and kept.body == renditions(1)[THUMB].body

        backend.run_two(check)

    def test_two_servers_edit_the_same_field(self, backend: Backend) -> None:
        """Both see the conflict with both values; who chooses ends it everywhere."""

        async def check(one: Store, other: Store) -> None:
            before = await add(one)
            await replicate(one, other)
            await put(one, before, 1, title="Sea")
            await put(other, before, 2, title="Lake")
            await replicate(one, other)
            await replicate(other, one)
            for store in (one, other):
                leaves = await store.leaves(id_of(1))
                assert merge.merged(leaves) is None
                [difference] = merge.differing(leaves)
                assert {candidate.value for candidate in difference.candidates} == {"Sea", "Lake"}
            chosen = merge.resolved(
                await other.leaves(id_of(1)), {"title": "Sea, or a lake"}, now=moment(9), server=other.server
            )
            for leaf in merge.leaves_to_take(chosen):
                await other.take(leaf)
            await replicate(other, one)
            for store in (one, other):
                found = await get(store, id_of(1))
                assert found["title"] == "Sea, or a lake"
            await end_the_rest(one, other)

        backend.run_two(check)

    # --- changes

    def test_changes(self, backend: Backend) -> None:
        """Each document once, with its last state, oldest first; and from any place on."""

        async def check(store: Store) -> None:
            first, second, third = [await add(store, number) for number in (1, 2, 3)]
            first = await put(store, first, 1, title="Sea")
            await store.remove(id_of(2), second["_rev"])
            changes = await listed(store.changes())
            assert [change.document["_id"] for change in changes] == [id_of(3), id_of(1), id_of(2)]
            assert changes[0].document == third and changes[1].document == first
            assert changes[2].is_deleted and set(changes[2].document) == {"_id", "_rev", "_deleted"}
            rest = await listed(store.changes(changes[-1].seq))
            assert rest == []
            await add(store, 4)
            [new] = await listed(store.changes(changes[-1].seq))
            assert new.document["_id"] == id_of(4)

        backend.run(check)

    def test_changes_tell_of_conflicts(self, backend: Backend) -> None:
        """A leaf that loses is a change too."""

        async def check(store: Store) -> None:
            await store.take(Leaf(photo(1, _rev="2-bbb"), ("2-bbb", "1-aaa"), renditions(1)))
            [before] = await listed(store.changes())
            await store.take(Leaf(photo(1, _rev="2-aaa"), ("2-aaa", "1-aaa"), renditions(1)))
            [after] = await listed(store.changes(before.seq))
            assert (after.document["_rev"], after.document["_conflicts"]) == ("2-bbb", ["2-aaa"])

        backend.run(check)

    def test_changes_are_followed(self, backend: Backend) -> None:
        """What is written by another who has the album open, while one waits."""

        async def check(store: Store) -> None:
            await add(store, 1)
            other = await backend.open()
            changes = store.changes(follow=True)
            try:
                async with asyncio.timeout(PATIENCE):
                    first = await anext(changes)
                    waiting = asyncio.ensure_future(anext(changes))
                    await asyncio.sleep(0.3)
                    assert not waiting.done()
                    await add(other, 2)
                    second = await waiting
                assert [one.document["_id"] for one in (first, second)] == [id_of(1), id_of(2)]
            finally:
                await changes.aclose()  # type: ignore[attr-defined]
                await other.close()

        backend.run(check)

    # --- this server's own, and the rest

    def test_what_is_remembered(self, backend: Backend) -> None:
        """It is there later, and is no document: no change tells of it, no copy has it."""

        async def first(store: Store) -> None:
            assert await store.remembered("place") == {}
            await store.remember("place", {"seq": "5", "more": [1, None, "ä"]})
            await store.remember("place", {"seq": "6"})
            await store.remember("a/b c%", {"x": 1})

        async def later(store: Store) -> None:
            assert await store.remembered("place") == {"seq": "6"}
            assert await store.remembered("a/b c%") == {"x": 1}
            assert await listed(store.changes()) == []

        backend.run(first, later)

    def test_compacting_changes_nothing(self, backend: Backend) -> None:
        """What is there stays there."""

        async def check(store: Store) -> None:
            after = await put(store, await add(store), 1, gps=None)
            await store.compact()
            assert await get(store, id_of(1)) == after
            kept = await store.rendition(id_of(1), MEDIUM)
            assert kept is not None and kept.body == renditions(1)[MEDIUM].body

        backend.run(check)

    def test_a_copy_has_everything(self, backend: Backend) -> None:
        """Leaves that lost, their renditions, comments, users, what was deleted. A second copy finds nothing to do."""

        async def check(one: Store, other: Store) -> None:
            await put(one, await add(one, 1), 1, title="Sea")
            await one.take(Leaf(photo(1, _rev="2-aaa", title="Lake"), ("2-aaa", "1-aaa"), renditions(9)))
            await one.remove(id_of(2), (await add(one, 2))["_rev"])
            await one.put(documents.new_user("anna", "editor", "hash", now=NOW))
            await one.put(documents.new_comment(id_of(1), "anna", "nice", now=NOW))
            await one.add(photo(3, trouble="no codec"), {})
            await one.remember("mine", {"x": 1})
            told: list[tuple[str, int]] = []
            report = await copy(one, other, lambda step, number: told.append((step, number)))
            assert report.wrong == {} and report.total == 5
            assert report.documents == {"photo": 2, "deleted": 1, "user": 1, "comment": 1}
            assert (report.leaves, report.renditions) == (6, 4)
            assert told[-1] == ("verified", 5) and ("copied", 5) in told
            for id in (id_of(1), id_of(2), id_of(3), "user:anna"):
                mine, others = await one.leaves(id), await other.leaves(id)
                assert [(leaf.document, leaf.revisions) for leaf in mine] == [
                    (leaf.document, leaf.revisions) for leaf in others
                ]
            lost = await other.rendition(id_of(1), MEDIUM, "2-aaa")
            assert lost is not None and lost.body == renditions(9)[MEDIUM].body
            assert await other.comments(id_of(1)) == await one.comments(id_of(1))
            assert await other.remembered("mine") == {}
            before = [change.document for change in await listed(other.changes())]
            again = await copy(one, other)
            assert (again.leaves, again.renditions, again.wrong, again.total) == (0, 0, {}, 5)
            assert [change.document for change in await listed(other.changes())] == before

        backend.run_two(check)


# --- oracles


async def end_the_rest(*stores: Store) -> None:
    """Replicating goes on until all have one leaf, the same."""
    for _ in range(3):
        for source in stores:
            for target in stores:
                if source is not target:
                    await replicate(source, target)
        for store in stores:
            if found := merge.merged(await store.leaves(id_of(1))):
                for leaf in merge.leaves_to_take(found):
                    await store.take(leaf)
    assert len({rev for store in stores for rev in await revs(store, id_of(1))}) == 1


WORDS = ("beach", "anna", "night", "new york", "_mine", "unprocessed", "ä")
CAMERAS = ("Canon EOS R5", "Nikon D750", "")
TIMES = ("2026-11-21T15:04:05", "2026-11-21T15:04:05+01:00", "2026-10-01T00:00:00", "2025-11-30T23:59:59", "")


def some_photo(chance: random.Random, number: int) -> Document:
    """A photo; many have the same times."""
    return photo(
        number,
        title=f"photo {number}",
        cat=chance.choice((PRIVATE, FRIENDS, PUBLIC)),
        keywords=sorted(chance.sample(WORDS, chance.randint(0, 4))),
        camera={"name": name} if (name := chance.choice(CAMERAS)) else {},
        taken=chance.choice(TIMES),
        added=moment(chance.randint(0, 9)),
        width=chance.randint(1, 3),
    )


def some_query(chance: random.Random) -> Query:
    """A query; half have more than one condition."""
    words = chance.sample([*WORDS, "nobody has it"], chance.choice((0, 0, 1, 1, 2, 3)))
    cut = chance.randint(0, len(words))
    return Query(
        audience=chance.choice(list(Audience)),
        having=tuple(words[:cut]),
        lacking=tuple(words[cut:]),
        camera=chance.choice((*CAMERAS, "", "")),
        period=chance.choice(("", "", "", "2026", "2026-11", "2026-11-21", "1999")),
        order=chance.choice(list(Order)),
    )


def expected(there: Any, query: Query, has_renditions: bool | None = None) -> list[Card]:
    """The photos that match: newest first, equal times by id."""
    found = [
        documents.card(one, one["width"] > 1 if has_renditions is None else has_renditions)
        for one in there
        if documents.matches(one, query)
    ]
    found.sort(key=lambda card: card.id)
    return sorted(found, key=lambda card: card.cursor(query.order).time, reverse=True)


async def compare(store: Store, query: Query, wanted: list[Card], page: int) -> None:
    """The list at once, by pages forwards, by pages backwards, and its length."""
    assert await store.photos(query, limit=1000) == wanted
    assert await store.count(query) == len(wanted)
    assert await paged(store, query, page, backwards=False) == wanted
    if wanted:
        before = await paged(store, query, page, backwards=True, place=wanted[-1].cursor(query.order))
        assert [*reversed(before), wanted[-1]] == wanted


async def paged(store: Store, query: Query, page: int, *, backwards: bool, place: Cursor | None = None) -> list[Card]:
    """All photos after that place, by pages."""
    found: list[Card] = []
    while cards := await store.photos(query, after=place, backwards=backwards, limit=page):
        assert len(cards) <= page
        found += cards
        place = cards[-1].cursor(query.order)
    return found


async def compare_counts(store: Store, audience: Audience, there: list[Document]) -> None:
    """Keywords, cameras and months, as counted by hand."""
    shown = [one for one in there if documents.is_visible(one, audience)]
    words = [word for one in shown for word in documents.visible_keywords(one, audience)]
    cameras = [documents.camera_name(one) for one in shown]
    months = [documents.month(one) for one in shown]

    def most_first(names: list[str]) -> list[Count]:
        counts = [Count(name, names.count(name)) for name in set(names) if name]
        return sorted(counts, key=lambda count: (-count.photos, count.name))

    assert await store.keywords(audience) == most_first(words)
    assert await store.cameras(audience) == most_first(cameras)
    assert await store.months(audience) == sorted(most_first(months), key=lambda count: count.name, reverse=True)
