"""The keeper: what the public album has after edits, conflicts, deletions and crashes, on each kind of store."""

import asyncio
import contextlib
import json
import random
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from jollyae.album import document as documents
from jollyae.album import keeper as module
from jollyae.album import public_album, revisions
from jollyae.album.copy import copy
from jollyae.album.keeper import keep
from jollyae.album.projection import is_public, whitelisted
from jollyae.album.sqlite import open_sqlite
from jollyae.album.store import Document, Leaf, Query, Stale, Store, StoreError

from .couch.support import Site, closing, eventually, sync
from .samples import NOW, edited, id_of, moment, photo, renditions

Open = Callable[[str], Any]


@pytest.fixture(params=["sqlite", "fakecouch", "mixed", pytest.param("couchdb", marks=pytest.mark.couchdb)])
def open_one(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens an album by name: 'main', 'public' (mixed: the public one is a CouchDB)."""

    async def sqlite(name: str) -> Store:
        return await open_sqlite(str(tmp_path / f"{name}.db"), create=True)

    if request.param == "sqlite":
        return sqlite
    site: Site = request.getfixturevalue("real_site" if request.param == "couchdb" else "fake_site")

    async def couch(name: str) -> Store:
        if request.param == "mixed" and name == "main":
            return await sqlite(name)
        return await site.open(name, public=name == "public")

    return couch


@contextlib.asynccontextmanager
async def both(open_one: Open) -> AsyncIterator[tuple[Store, Store]]:
    """The main and the public album."""
    main, public = await open_one("main"), await open_one("public")
    async with closing(main, public):
        yield main, public


async def get(store: Store, number: int = 1) -> Document:
    """A photo that is there."""
    found = await store.get(id_of(number))
    assert found is not None
    return found


async def edit(store: Store, number: int, seconds: int, **changes: Any) -> None:
    """Edit a photo."""
    await store.put(edited(await get(store, number), seconds, store.server, **changes))


async def check(main: Store, public: Store) -> None:
    """The public album shows exactly what the main one's leaves allow, and nobody has anything to add."""
    shown = {change.document["_id"] async for change in public.changes() if not change.is_deleted}
    wanted = set()
    async for change in main.changes():
        id = change.document["_id"]
        leaves = await main.leaves(id)
        if id.startswith("comment:"):
            if not change.is_deleted and is_public(await main.leaves(change.document["photo"])):
                wanted.add(id)
                found = await public.get(id)
                assert found is not None and revisions.content(found) == revisions.content(change.document)
        elif is_public(leaves):
            wanted.add(id)
            found = await public.get(id)
            assert found is not None and "_conflicts" not in found
            assert revisions.content(found) == revisions.content(whitelisted(change.document))
            for name in ("thumb", "medium"):
                mine, others = await main.rendition(id, name), await public.rendition(id, name)
                assert (mine and mine.body) == (others and others.body)
    assert shown == wanted
    before = [change.document async for change in public.changes()]
    kept = await keep(main, public, once=True)
    assert (kept.published, kept.withdrawn, kept.merged) == (0, 0, 0)
    assert [change.document async for change in public.changes()] == before


@sync
async def test_what_is_public_is_shown_and_nothing_else(open_one: Open) -> None:
    """Of it the whitelisted fields, under the source's own revision, with its renditions."""
    async with both(open_one) as (main, public):
        for number, cat in enumerate(documents.CATEGORIES):
            await main.add(photo(number, cat=cat, gps={"latitude": 47.1, "longitude": 8.1}), renditions(number))
        await main.put(documents.new_user("anna", "editor", "hash", now=NOW))
        kept = await keep(main, public, once=True)
        assert (kept.published, kept.withdrawn, kept.conflicts) == (1, 0, 0)
        assert [id async for id in public.ids()] == [id_of(2)]
        assert (await get(public, 2))["_rev"] == (await get(main, 2))["_rev"]
        assert "47.1" not in json.dumps(await get(public, 2))
        assert await public.users() == []
        await check(main, public)


@pytest.mark.parametrize("what", ["a private photo", "a user", "a public photo", "what a keeper keeps"])
@sync
async def test_an_album_is_never_taken_for_a_public_one(open_one: Open, what: str) -> None:
    """The same one, or the two the wrong way round: refused, and nothing in it changes."""
    async with both(open_one) as (main, other):
        await main.add(photo(1, cat="Public"), renditions(1))
        if what == "a user":
            await other.put(documents.new_user("anna", "editor", "hash", now=NOW))
        elif what.endswith("photo"):
            await other.add(photo(2, cat="Private" if "private" in what else "Public"), renditions(2))
        else:
            await other.add({key: value for key, value in photo(2, cat="Public").items() if key != "original"}, {})
            await keep(other, None, once=True)
        before = [change.document async for change in other.changes()]
        for public in (other, main):
            with pytest.raises(StoreError, match=r"no public album|its own public album"):
                await keep(main, public, once=True)
        assert [change.document async for change in other.changes()] == before
        assert await get(main, 1)


@sync
async def test_a_public_album_is_known_as_one(open_one: Open) -> None:
    """On each kind of store, where an older keeper made it from the next start on; a copy into it is refused."""
    async with both(open_one) as (main, public):
        await main.add(photo(1, cat="Public", gps={"latitude": 47.1, "longitude": 8.1}), renditions(1))
        await keep(main, public, once=True)
        await public.remember(public_album.MARK, {})
        await keep(main, public, once=True)
        before = [change.document async for change in public.changes()]
        with pytest.raises(StoreError, match="is the public album of"):
            await copy(main, public)
        assert [change.document async for change in public.changes()] == before
        await public_album.refuse(main)


@sync
async def test_the_copy_of_an_albums_file_is_no_public_album(tmp_path: Path) -> None:
    """It has another name than the one that was kept: what is not Public in it is not deleted."""
    main, other = str(tmp_path / "main.db"), str(tmp_path / "other.db")
    store = await open_sqlite(main, create=True)
    async with closing(store):
        await store.add(photo(1), renditions(1))
        await keep(store, None, once=True)
        await store.compact()
    shutil.copy(main, other)
    store, copied = await open_sqlite(main), await open_sqlite(other)
    async with closing(store, copied):
        assert await copied.count(Query()) == 1
        with pytest.raises(StoreError, match="no public album"):
            await keep(store, copied, once=True)
        assert await copied.count(Query()) == 1


@pytest.mark.parametrize("how", ["Private", "Friends/Family", "deleted"])
@sync
async def test_a_photo_that_leaves_public_is_gone(open_one: Open, how: str) -> None:
    """With its renditions and its comments, old revisions included; and it can come back."""
    async with both(open_one) as (main, public):
        await main.add(photo(1, cat="Public"), renditions(1))
        await main.put(documents.new_comment(id_of(1), "anna", "nice", now=NOW))
        await keep(main, public, once=True)
        assert len(await public.comments(id_of(1))) == 1
        before = (await get(public))["_rev"]
        if how == "deleted":
            await main.remove(id_of(1), before)
        else:
            await edit(main, 1, 1, cat=how)
        kept = await keep(main, public, once=True)
        assert kept.withdrawn == 2
        assert await public.get(id_of(1)) is None
        assert await public.comments(id_of(1)) == []
        assert await public.rendition(id_of(1), "thumb") is None

        async def is_compacted() -> bool:
            return await public.rendition(id_of(1), "thumb", before) is None

        await eventually(is_compacted)
        (mine,), (others,) = await main.leaves(id_of(1)), await public.leaves(id_of(1))
        assert others.revisions == mine.revisions, "deleted under the source's own revision"
        await check(main, public)
        if how == "deleted":
            await main.add(photo(1, cat="Public"), renditions(2))
        else:
            await edit(main, 1, 2, cat="Public")
        await keep(main, public, once=True)
        assert (await get(public))["_rev"] == (await get(main))["_rev"]
        assert len(await public.comments(id_of(1))) == 1
        await check(main, public)


@sync
async def test_an_edit_reaches_the_public_album(open_one: Open) -> None:
    """Also new renditions without any other change; what was never public leaves no trace there."""
    async with both(open_one) as (main, public):
        await main.add(photo(1, cat="Public"), renditions(1))
        await keep(main, public, once=True)
        await edit(main, 1, 1, title="Sea", gps=None, keywords=["beach", "_mine"])
        await keep(main, public, once=True)
        assert (await get(public))["keywords"] == ["beach"]
        await check(main, public)
        await main.set_renditions(id_of(1), renditions(5))
        await main.add(photo(2), renditions(2))
        await edit(main, 2, 3, title="only mine")
        await keep(main, public, once=True)
        assert [change.document["_id"] async for change in public.changes()] == [id_of(1)]
        await check(main, public)


@sync
async def test_a_leaf_that_is_not_public_withholds_the_photo(open_one: Open) -> None:
    """Whoever of two servers made it private is heard; when that is settled it is back, and goes on being edited."""
    async with both(open_one) as (main, public):
        await main.add(photo(1, cat="Public"), renditions(1))
        await edit(main, 1, 1, title="base")
        base = await get(main)
        await keep(main, public, once=True)
        path = (await main.leaves(id_of(1)))[0].revisions
        # Another server's edit of the same field as here, so that nobody can merge them.
        other = edited(base, 2, "other", cat="Private", title="theirs")
        rev = revisions.child([base["_rev"]], other, of=base["_rev"])
        await edit(main, 1, 3, title="ours")
        await main.take(Leaf(other | {"_rev": rev}, (rev, *path)))
        kept = await keep(main, public, once=True)
        assert kept.conflicts == 1
        assert await public.get(id_of(1)) is None
        await check(main, public)
        await main.remove(id_of(1), rev)
        await keep(main, public, once=True)
        assert (await get(public))["title"] == "ours"
        await check(main, public)
        await edit(main, 1, 5, title="later")
        await keep(main, public, once=True)
        assert (await get(public))["title"] == "later"
        await check(main, public)


@sync
async def test_edits_of_different_fields_are_merged(open_one: Open) -> None:
    """By the keeper of either side, into the same revision."""
    async with both(open_one) as (main, public):
        other = await open_one("other")
        async with closing(other):
            await main.add(photo(1, cat="Public"), renditions(1))
            base = await get(main)
            (leaf,) = await main.leaves(id_of(1))
            await other.take(Leaf(leaf.document, leaf.revisions, renditions(1)))
            await main.put(edited(base, 1, "one", title="Sea"))
            await other.put(edited(base, 2, "two", keywords=["beach"]))
            for source, target in ((main, other), (other, main)):
                for leaf in await source.leaves(id_of(1)):
                    await target.take(leaf)
            assert (await keep(main, public, once=True)).merged == 1
            assert (await keep(other, None, once=True)).merged == 1
            mine = await get(main)
            assert (mine["title"], mine["keywords"]) == ("Sea", ["beach"])
            assert await get(other) == mine
            assert await main.conflicts() == await other.conflicts() == []
            await check(main, public)


@sync
async def test_a_full_pass_mends_what_somebody_broke(open_one: Open) -> None:
    """What is not from the main album goes, what is missing comes. An edit of the public album itself looks like what
    another server published from a newer revision: it goes with the next edit of the photo."""
    async with both(open_one) as (main, public):
        for number in (1, 3):
            await main.add(photo(number, cat="Public"), renditions(number))
        await main.put(documents.new_comment(id_of(1), "anna", "nice", now=NOW))
        await keep(main, public, once=True)
        await public.add(photo(8, cat="Public"), renditions(8))
        await public.put(documents.new_comment(id_of(8), "eve", "spam", now=NOW))
        await public.put(await get(public, 1) | {"title": "defaced"})
        await main.add(photo(2, cat="Public"), renditions(2))
        rev = revisions.child([], "beside", of="1-a")
        await public.take(Leaf(photo(3, _rev=rev, title="beside", cat="Public"), (rev,)))
        await keep(main, public, once=True)
        assert (await get(public, 1))["title"] == "defaced"
        await edit(main, 1, 1, title="Sea")
        await keep(main, public, once=True)
        await check(main, public)


class Crash(BaseException):
    """The keeper dies."""


class Fragile:
    """A store that dies before its n-th write, or just after it."""

    def __init__(self, store: Store, deaths: list[int], *, after: bool) -> None:
        self.store, self.deaths, self.after = store, deaths, after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.store, name)
        if name not in ("take", "remember", "compact"):
            return found

        async def write(*args: Any) -> Any:
            self.deaths[0] -= 1
            if self.deaths[0] == 0 and not self.after:
                raise Crash
            done = await found(*args)
            if self.deaths[0] == 0:
                raise Crash
            return done

        return write


@pytest.mark.parametrize("after", [False, True])
@sync
async def test_a_crash_at_any_write_is_mended_by_the_next_run(tmp_path: Path, after: bool) -> None:
    """Nothing private is public in between, and the end is the same."""
    deaths = 0
    while True:
        deaths += 1
        directory = tmp_path / str(deaths)
        directory.mkdir()
        main = await open_sqlite(str(directory / "main.db"), create=True)
        public = await open_sqlite(str(directory / "public.db"), create=True)
        async with closing(main, public):
            await _prepare(main, public)
            left = [deaths]
            try:
                await keep(Fragile(main, left, after=after), Fragile(public, left, after=after), once=True)
                survived = True
            except Crash:
                survived = False
                for comment in (await public.comments(id_of(2)), await public.comments(id_of(3))):
                    assert not comment or await public.get(comment[0]["photo"]) is not None
            await keep(main, public, once=True)
            await check(main, public)
            assert (await get(main, 4))["title"] == "Sea"
        if survived:
            assert deaths > 8
            return


async def _prepare(main: Store, public: Store) -> None:
    """To do: publish, edit, withdraw with a comment, delete with a comment, merge."""
    for number in (1, 2, 3, 4):
        await main.add(photo(number, cat="Public"), renditions(number))
        await main.put(documents.new_comment(id_of(number), "anna", "nice", now=moment(number), token="x"))
    base = await get(main, 4)
    await keep(main, public, once=True)
    await main.add(photo(5, cat="Public"), renditions(5))
    await edit(main, 1, 1, title="Sea")
    await edit(main, 2, 2, cat="Private")
    await main.remove(id_of(3), (await get(main, 3))["_rev"])
    path = (await main.leaves(id_of(4)))[0].revisions
    await main.put(edited(base, 4, "one", title="Sea"))
    other = edited(base, 5, "two", keywords=["beach"])
    rev = revisions.child([base["_rev"]], other, of=base["_rev"])
    await main.take(Leaf(other | {"_rev": rev}, (rev, *path)))


@pytest.mark.parametrize("what", ["photo", "comment"])
@sync
async def test_what_became_private_meanwhile_is_not_published(tmp_path: Path, what: str) -> None:
    """Between reading and writing the owner made it private, and another keeper was done with that already."""
    main = await open_sqlite(str(tmp_path / "main.db"), create=True)
    public = await open_sqlite(str(tmp_path / "public.db"), create=True)
    async with closing(main, public):
        await main.add(photo(1, cat="Public"), renditions(1))
        if what == "comment":
            await keep(main, public, once=True)
        await main.put(documents.new_comment(id_of(1), "anna", "nice", now=NOW))

        class Late:
            """Its first take of such a document is late."""

            def __getattr__(self, name: str) -> Any:
                return getattr(public, name)

            async def take(self, leaf: Leaf) -> None:
                if leaf.document.get("type") == what and (await get(main))["cat"] == "Public":
                    await edit(main, 1, 1, cat="Private")
                    await keep(main, public, once=True)
                await public.take(leaf)

        await keep(main, Late(), once=True)
        assert await public.get(id_of(1)) is None
        assert await public.comments(id_of(1)) == []
        await check(main, public)


@sync
async def test_changes_are_followed_from_the_remembered_place(open_one: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done is not done again; a new public album begins from the beginning."""
    monkeypatch.setattr(module, "REMEMBER_SECONDS", 0.0)
    async with both(open_one) as (main, public):
        await main.add(photo(1, cat="Public"), renditions(1))
        async with following(main, public):
            await eventually(lambda: public.get(id_of(1)), "the photo to be published")
            await edit(main, 1, 1, cat="Private")

            async def is_gone() -> bool:
                return await public.get(id_of(1)) is None and bool(await public.remembered(module.PLACE))

            await eventually(is_gone)
        await main.add(photo(2, cat="Public"), renditions(2))
        place = await public.remembered(module.PLACE)
        assert place["source"] == main.server
        seen = []

        class Watched:
            """Tells where the changes are followed from."""

            def __getattr__(self, name: str) -> Any:
                return getattr(main, name)

            def changes(self, since: str = "", *, follow: bool = False) -> Any:
                seen.append(since)
                return main.changes(since, follow=follow)

        async with following(Watched(), public):
            await eventually(lambda: public.get(id_of(2)))
        assert seen == [place["seq"]]
        await public.remember(module.PLACE, {"source": "another server", "seq": place["seq"]})

        async def has_begun() -> bool:
            return len(seen) == 2

        async with following(Watched(), public):
            await eventually(has_begun)
        assert seen[1:] == [""]
        await check(main, public)


@contextlib.asynccontextmanager
async def following(main: Any, public: Store) -> AsyncIterator[None]:
    """While it is followed."""
    task = asyncio.create_task(keep(main, public))
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@sync
async def test_trouble_that_passes_is_waited_for(fake_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of the public album is killed while something must leave it: it leaves when it is back."""
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.1)
    fake = fake_site.fake
    assert fake is not None
    main, public = await fake_site.open("main"), await fake_site.open("public", public=True)
    async with closing(main, public):
        await main.add(photo(1, cat="Public"), renditions(1))
        async with following(main, public):
            await eventually(lambda: public.get(id_of(1)))
            await edit(main, 1, 1, cat="Private")
            fake.kill()
            await asyncio.sleep(0.3)
            fake.start()

            async def is_gone() -> bool:
                return await public.get(id_of(1)) is None

            await eventually(is_gone)
        path = "/" + fake_site.address("public").database
        fake.refuse += [("GET " + path, 403)]
        with pytest.raises(StoreError):
            await keep(main, public, once=True)
        # Who is no admin cannot compact; all else is done.
        await edit(main, 1, 2, cat="Public")
        fake.refuse += [("POST " + path + "/_compact", 403)]
        assert (await keep(main, public, once=True)).published == 1
        assert fake.refuse == []


@sync
async def test_any_history_ends_in_what_is_allowed(open_one: Open) -> None:
    """Random edits, conflicts, deletions, comments and passes; after each pass it is as it should be."""
    chance = random.Random(5)
    async with both(open_one) as (main, public):
        for step in range(80):
            number = chance.randrange(4)
            await _do_something(chance, main, number, step)
            if chance.random() < 0.3:
                await keep(main, public, once=True)
                await check(main, public)
        await keep(main, public, once=True)
        await check(main, public)


@sync
async def test_keepers_that_run_at_once_end_in_the_same(open_one: Open) -> None:
    """Two of them on the same albums, while the album is edited: neither undoes what the other did."""
    chance = random.Random(__import__("os").urandom(4))
    async with both(open_one) as (main, public), following(main, public), following(main, public):
        for step in range(60):
            with contextlib.suppress(Stale):  # a keeper merged it meanwhile, or what was removed had all of the rest
                await _do_something(chance, main, chance.randrange(3), step)
            await asyncio.sleep(0)

        async def is_settled() -> bool:
            try:
                await check(main, public)
            except AssertionError:
                return False
            return True

        await eventually(is_settled)


async def _do_something(chance: random.Random, main: Store, number: int, step: int) -> None:
    id = id_of(number)
    found = await main.get(id)
    what = chance.randrange(6)
    if found is None:
        await main.add(photo(number, cat=chance.choice(documents.CATEGORIES)), renditions(number))
    elif what == 0:
        await main.remove(id, found["_rev"])
    elif what == 1:
        await main.put(documents.new_comment(id, "anna", str(step), now=moment(step % 60), token=str(step)))
    elif what == 2:
        for comment in (await main.comments(id))[:1]:
            await main.remove(comment["_id"], comment["_rev"])
    elif what == 3:  # another server's edit of the leaf before
        leaf = chance.choice(await main.leaves(id))
        base = leaf.revisions[1:] or leaf.revisions
        changes: dict[str, Any] = {"title": f"theirs {step}", "cat": chance.choice(documents.CATEGORIES)}
        chosen = chance.choice(list(changes))
        other = edited(leaf.document, step % 60, "other", **{chosen: changes[chosen]})
        rev = revisions.child([base[0]], [step], of=base[0])
        await main.take(Leaf(revisions.content(other) | {"_id": id, "_rev": rev}, (rev, *base)))
    elif what == 4:
        await main.put(edited(found, step % 60, main.server, cat=chance.choice(documents.CATEGORIES)))
    else:
        await main.put(edited(found, step % 60, main.server, title=f"ours {step}"))
