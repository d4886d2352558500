"""The store in one file: several processes, kills, full disks, and what it says when it cannot."""

import asyncio
import itertools
import random
import shutil
import sqlite3
import stat
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from jollyae.album import document as documents
from jollyae.album.revisions import LONGEST
from jollyae.album.sqlite import SqliteStore, connections, listing, open_sqlite, schema
from jollyae.album.store import MEDIUM, THUMB, Audience, Leaf, Order, Query, Stale, StoreError
from tests.album import writer
from tests.album.conformance import add, get, put, some_photo
from tests.album.samples import edited, id_of, photo, renditions

PATIENCE = 120  # seconds for what takes a few


def run(path: Path, check: Callable[[SqliteStore], Coroutine[Any, Any, None]]) -> None:
    """The check with the album there."""

    async def with_store() -> None:
        store = await open_sqlite(str(path), create=True)
        try:
            await check(store)
        finally:
            await store.close()

    asyncio.run(with_store())


def ask(path: Path, statement: str) -> list[tuple[Any, ...]]:
    """What is in the file, by SQLite itself."""
    db = sqlite3.connect(path)
    try:
        return db.execute(statement).fetchall()
    finally:
        db.close()


def check_file(path: Path) -> None:
    """It is whole: for SQLite, and what is counted is what is there."""
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    assert ask(path, "PRAGMA foreign_key_check") == []
    counted = {row[:3]: row[3] for row in ask(path, "SELECT * FROM tally WHERE photos != 0")}
    there = Counter(("keyword", *row) for row in ask(path, "SELECT keyword, level FROM tag"))
    for camera, month, level in ask(path, "SELECT camera, month, level FROM photo"):
        there.update([("photo", "", level), ("camera", camera, level), ("month", month, level)])
    assert counted == there
    assert ask(path, "SELECT key FROM blob WHERE key NOT IN (SELECT blob FROM rendition)") == []


async def check_photos(store: SqliteStore, acknowledged: set[int], possible: range) -> None:
    """All that were acknowledged are there; and each that is there is whole."""
    there = {id async for id in store.ids()}
    assert {id_of(number) for number in acknowledged} <= there <= {id_of(number) for number in possible}
    for number in possible:
        if id_of(number) in there:
            for name, wanted in writer.large(number).items():
                kept = await store.rendition(id_of(number), name)
                assert kept is not None and kept.body == wanted.body
    assert await store.count(Query()) == len(there) == len(await store.photos(Query(), limit=10_000))


def told(process: Any) -> list[list[str]]:
    """The words of each line that a process that ended well has printed."""
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    return [line.split(maxsplit=4) for line in output.splitlines()]


# --- several processes


def test_processes_that_make_and_fill_one_album(tmp_path: Path) -> None:
    """Four begin at once, on no file: one makes it, all write, another sees it all while they do."""
    path = tmp_path / "album.db"
    processes = [writer.start(what, path, first, 40) for first, what in ((0, "add"), (40, "add"), (80, "batches"))]
    processes.append(writer.start("follow", path, 0, 120))
    lines = [told(process) for process in processes]
    assert {line[1] for line in lines[3][1:]} == {id_of(number) for number in range(120)}
    run(path, lambda store: check_photos(store, set(range(120)), range(120)))
    check_file(path)


def test_edits_by_several_processes(tmp_path: Path) -> None:
    """Each edit names the revision it replaces: of three that count to thirty each, together it is ninety."""
    path = tmp_path / "album.db"

    async def first(store: SqliteStore) -> None:
        await add(store, 0, title="0")

    async def last(store: SqliteStore) -> None:
        found = await get(store, id_of(0))
        assert found["title"] == "90" and found["_rev"].startswith("91-")

    run(path, first)
    lines = [told(process) for process in [writer.start("count", path, 0, 30) for _ in range(3)]]
    assert sorted(int(line[1]) for one in lines for line in one) == list(range(1, 91))
    run(path, last)
    check_file(path)


@pytest.mark.parametrize("what", ["add", "batches"])
def test_a_process_that_is_killed(tmp_path: Path, what: str) -> None:
    """In the middle of writing, at six moments: what it was told is there, the rest is there whole or not at all, and
    the next process goes on at once."""
    path = tmp_path / "album.db"
    acknowledged: set[int] = set()
    possible = range(0, 6 * 200)

    async def check(store: SqliteStore) -> None:
        await check_photos(store, acknowledged, possible)

    chance = random.Random(9)
    for turn in range(6):
        with writer.start(what, path, turn * 200, 200) as process:
            assert process.stdout is not None
            lines = list(itertools.islice(process.stdout, chance.randint(1, 40)))
            time.sleep(chance.random() * 0.02)
            process.kill()
            lines += process.stdout.readlines()  # not communicate(): it knows nothing of what was read ahead
        acknowledged.update(int(line.split()[1]) for line in lines if line.startswith("added"))
        run(path, check)
        check_file(path)
    assert len(acknowledged) >= 6


def test_a_full_disk(tmp_path: Path) -> None:
    """What does not fit is not there at all, the error says so and is temporary; with room again it goes on."""
    path = tmp_path / "album.db"
    run(path, lambda store: check_photos(store, set(), range(0)))
    lines = told(writer.start("fill", path, 0, 60))
    [full] = [line for line in lines if line[0] == "full"]
    assert full[2:4] == ["True", "True"] and 3 < int(full[1]) < 59
    run(path, lambda store: check_photos(store, set(range(60)), range(60)))
    check_file(path)


def test_no_more_pages(tmp_path: Path) -> None:
    """SQLite's own "database or disk is full" is told as that."""

    async def check(store: SqliteStore) -> None:
        await add(store, 1)
        db = store._connections._writer
        [pages] = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match="the disk is full") as caught:
            await store.add(photo(2), writer.large(2))
        assert caught.value.is_temporary and "room" in caught.value.hint
        assert await store.get(id_of(2)) is None and await store.get(id_of(1)) is not None
        db.execute("PRAGMA max_page_count = 1000000")
        assert await store.add(photo(2), writer.large(2))

    run(tmp_path / "album.db", check)


def test_another_program_does_not_stop_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading goes on; a write waits, and is told to be tried again."""
    monkeypatch.setattr(connections, "PATIENCE", 0.2)

    async def check(store: SqliteStore) -> None:
        before = await add(store, 1)
        other = sqlite3.connect(tmp_path / "album.db", isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="another program") as caught:
                await store.put(edited(before, title="x"))
            assert caught.value.is_temporary
            assert await store.get(id_of(1)) == before
        finally:
            other.close()
        await store.put(edited(before, title="x"))

    run(tmp_path / "album.db", check)


# --- writes that come together


def test_one_bad_write_among_many(tmp_path: Path) -> None:
    """It fails alone; the others are committed."""

    async def check(store: SqliteStore) -> None:
        before = await add(store, 0)
        await store.put(edited(before, title="x"))
        works: list[Any] = [store.add(photo(number), renditions(number)) for number in range(1, 20)]
        works.insert(5, store.put(edited(before, title="stale")))
        works.insert(9, store.add(photo(90, size=float("nan")), renditions(90)))
        works.insert(12, store.add(photo(91, title="\ud800"), renditions(91)))
        works.insert(15, store.add(photo(92, width=1 << 70), renditions(92)))
        answers = await asyncio.gather(*works, return_exceptions=True)
        assert answers.count(True) == 19
        failed = [type(answer) for answer in answers if answer is not True]
        assert failed[:3] == [Stale, StoreError, StoreError] and issubclass(failed[3], Exception)
        assert await store.count(Query()) == 20

    run(tmp_path / "album.db", check)
    check_file(tmp_path / "album.db")


def test_who_is_cancelled_leaves_nothing_half(tmp_path: Path) -> None:
    """What was handed over is written whole, and the others get their answers."""

    async def check(store: SqliteStore) -> None:
        tasks = [asyncio.ensure_future(store.add(photo(number), writer.large(number))) for number in range(100)]
        await asyncio.sleep(0.005)
        for task in tasks[::2]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(answer is True for answer in answers[1::2])
        await check_photos(store, set(range(1, 100, 2)), range(100))

    run(tmp_path / "album.db", check)


def test_closing_waits_for_what_is_written(tmp_path: Path) -> None:
    """Nothing that was handed over before is lost."""
    path = tmp_path / "album.db"

    async def write() -> None:
        store = await open_sqlite(str(path), create=True)
        tasks = [asyncio.ensure_future(store.add(photo(number), {})) for number in range(200)]
        await asyncio.sleep(0)
        await store.close()
        assert all(await asyncio.gather(*tasks))

    asyncio.run(write())
    run(path, lambda store: _has(store, 200))


async def _has(store: SqliteStore, photos: int) -> None:
    assert await store.count(Query()) == photos


def test_nobody_waits_in_vain_when_the_loop_ends(tmp_path: Path) -> None:
    """Or when the store was closed before: they are told, and the next process finds the file well."""
    path = tmp_path / "album.db"

    async def leave() -> None:
        store = await open_sqlite(str(path), create=True)
        tasks.extend(asyncio.ensure_future(store.add(photo(number), writer.large(number))) for number in range(300))
        await asyncio.sleep(0.01)
        stores.append(store)

    async def after(store: SqliteStore) -> None:
        await store.close()
        with pytest.raises(RuntimeError):
            await store.add(photo(1), {})

    tasks: list[asyncio.Future[bool]] = []
    stores: list[SqliteStore] = []
    asyncio.run(leave())
    assert tasks and all(task.done() for task in tasks)
    asyncio.run(after(stores[0]))
    added = {number for number, task in enumerate(tasks) if not task.cancelled()}
    run(path, lambda store: check_photos(store, added, range(300)))


# --- what is in the file


def test_what_was_removed_is_not_in_the_file(tmp_path: Path) -> None:
    """Neither a place that an edit removed nor a photo that was deleted can be read from free pages."""
    secrets = {"place": "47.123456", "title": "a title nobody must see", "bytes": "thumbnail of somebody"}

    async def check(store: SqliteStore) -> None:
        before = await add(store, 1, gps={"latitude": 47.123456, "longitude": 1.0})
        shown = documents.rendition(secrets["bytes"].encode() * 5000)
        assert await store.add(photo(2, title=secrets["title"] * 500), {MEDIUM: shown})
        for number in range(10, 30):
            await add(store, number)
        await put(store, before, 1, gps=None)
        await store.remove(id_of(2), (await get(store, id_of(2)))["_rev"])
        await store.compact()
        for end in ("", "-wal"):
            there = (tmp_path / f"album.db{end}").read_bytes()
            assert not [what for what, secret in secrets.items() if secret.encode() in there]

    run(tmp_path / "album.db", check)


def test_compacting_gives_room_back(tmp_path: Path) -> None:
    """After photos were deleted the file is smaller."""
    path = tmp_path / "album.db"

    async def check(store: SqliteStore) -> None:
        for number in range(20):
            await store.add(photo(number), writer.large(number))
        await store.compact()
        before = path.stat().st_size
        for number in range(18):
            await store.remove(id_of(number), (await get(store, id_of(number)))["_rev"])
        await store.compact()
        assert path.stat().st_size < before / 4
        await check_photos(store, {18, 19}, range(18, 20))

    run(path, check)
    check_file(path)


def test_the_same_bytes_are_kept_once(tmp_path: Path) -> None:
    """By two leaves or two photos; they go with the last that has them."""
    path = tmp_path / "album.db"

    async def check(store: SqliteStore) -> None:
        for number in (1, 2):
            await store.add(photo(number), renditions(1))
        await store.take(Leaf(photo(1, _rev="2-aaa"), ("2-aaa", "1-aaa"), renditions(1)))
        assert ask(path, "SELECT count(*) FROM blob") == [(2,)]
        await store.set_renditions(id_of(2), renditions(2))
        assert ask(path, "SELECT count(*) FROM blob") == [(4,)]
        await store.remove(id_of(2), (await get(store, id_of(2)))["_rev"])
        assert ask(path, "SELECT count(*) FROM blob") == [(2,)]

    run(path, check)
    check_file(path)


def test_the_counts_are_right_after_anything(tmp_path: Path) -> None:
    """Adding, editing, deleting, taking, in any order."""
    path = tmp_path / "album.db"

    async def check(store: SqliteStore) -> None:
        chance = random.Random(5)
        for step in range(300):
            document = some_photo(chance, chance.randint(0, 20))
            there = await store.get(document["_id"])
            if there is None:
                await store.add(document, renditions(1))
            elif chance.random() < 0.3:
                await store.remove(document["_id"], there["_rev"])
            elif chance.random() < 0.5:
                await store.put(there | {key: document[key] for key in ("cat", "keywords", "camera", "taken")})
            else:
                rev = f"{chance.randint(1, 5)}-{step}"
                await store.take(Leaf(document | {"_rev": rev}, (rev, "0-0")))

    run(path, check)
    check_file(path)


def test_a_path_does_not_grow_for_ever(tmp_path: Path) -> None:
    """After a thousand edits the oldest are forgotten, as in CouchDB."""

    async def check(store: SqliteStore) -> None:
        found = await add(store, 1)
        path = (*(f"{number}-x" for number in range(LONGEST + 100, 1, -1)), found["_rev"])
        await store.take(Leaf(photo(1, _rev=path[0]), path))
        [leaf] = await store.leaves(id_of(1))
        assert leaf.revisions == path[:LONGEST]
        assert await store.put(edited(leaf.document, title="x")) == (await get(store, id_of(1)))["_rev"]

    run(tmp_path / "album.db", check)


@pytest.mark.parametrize("audience", list(Audience))
@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize(
    "more", [{}, {"having": ("beach",)}, {"having": ("beach",), "lacking": ("night",)}, {"camera": "X"}]
)
def test_a_page_is_read_in_the_order_of_an_index(
    tmp_path: Path, audience: Audience, order: Order, more: dict[str, Any]
) -> None:
    """Nothing is sorted and no table read from end to end: so a page costs what it shows."""

    async def check(store: SqliteStore) -> None:
        asked: list[str] = []
        db = sqlite3.connect(tmp_path / "album.db")
        db.set_trace_callback(asked.append)
        place = photo(1)
        for after, backwards in (
            (None, False),
            (documents.place(place, order), False),
            (documents.place(place, order), True),
        ):
            listing.photos(db, Query(audience, order=order, **more), after, backwards, 60)
            plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {asked[-1]}")]
            assert not [step for step in plan if "TEMP B-TREE" in step or ("SCAN" in step and "INDEX" not in step)], (
                plan
            )
        db.close()

    run(tmp_path / "album.db", check)


# --- opening


def test_a_new_album_is_for_its_owner_only(tmp_path: Path) -> None:
    """Whatever the umask is: there are private photos and hashed passwords in it."""
    path = tmp_path / "album.db"

    async def check(store: SqliteStore) -> None:
        await add(store, 1)
        for end in ("", "-wal", "-shm"):
            assert stat.S_IMODE(path.with_name(path.name + end).stat().st_mode) == 0o600
        assert store.url == f"sqlite:///{path}" and repr(store) == f"SqliteStore('sqlite:///{path}')"

    run(path, check)


def _no_file(path: Path) -> None:
    pass


def _empty(path: Path) -> None:
    path.touch()


def _text(path: Path) -> None:
    path.write_text("not a database, but long enough to be looked at\n" * 100)


def _directory(path: Path) -> None:
    path.mkdir()


def _of_others(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE cookies (name TEXT)")
    db.close()


def _of_the_future(path: Path) -> None:
    run(path, lambda store: _has(store, 0))
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()


@pytest.mark.parametrize(
    ("make", "create", "message", "hint"),
    [
        (_no_file, False, "there is no album at sqlite:///", "jollyae album init sqlite:///"),
        (_empty, False, "there is no album in sqlite:///", "jollyae album init"),
        (_text, True, "it is no SQLite database", "the path of an album"),
        (_text, False, "it is no SQLite database", "the path of an album"),
        (_directory, True, "it cannot be opened", "Is it a file"),
        (_of_others, True, "another program's database", "the path of an album"),
        (_of_the_future, False, "made by a newer jollyae", "Update"),
    ],
)
def test_what_is_no_album(tmp_path: Path, make: Callable[[Path], None], create: bool, message: str, hint: str) -> None:
    """It is said what it is, and what to do; and nothing is changed."""
    path = tmp_path / "a b.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError, match=message) as caught:
        asyncio.run(open_sqlite(str(path), create=create))
    assert hint in caught.value.hint
    assert (path.read_bytes() if path.is_file() else None) == before


def test_no_directory_is_made(tmp_path: Path) -> None:
    """A disk that is not mounted is not filled."""
    with pytest.raises(StoreError, match="the directory of"):
        asyncio.run(open_sqlite(str(tmp_path / "not mounted" / "album.db"), create=True))


def test_a_file_that_may_not_be_written(tmp_path: Path) -> None:
    """Whatever forbids it: the operator is told, and it is tried again."""

    async def check(store: SqliteStore) -> None:
        store._connections._writer.execute("PRAGMA query_only = ON")
        with pytest.raises(StoreError, match="cannot be written to") as caught:
            await store.add(photo(1), renditions(1))
        assert caught.value.is_temporary and "right" in caught.value.hint

    run(tmp_path / "album.db", check)


def test_a_damaged_file(tmp_path: Path) -> None:
    """It is told as that, and not tried again for ever."""
    path = tmp_path / "album.db"

    async def fill(store: SqliteStore) -> None:
        for number in range(50):
            await store.add(photo(number), renditions(number))

    async def check(store: SqliteStore) -> None:
        with pytest.raises(StoreError, match="it is damaged") as caught:
            for number in range(50):
                await store.get(id_of(number))
                await store.rendition(id_of(number), THUMB)
        assert not caught.value.is_temporary and ".recover" in caught.value.hint

    run(path, fill)
    body = bytearray(path.read_bytes())
    body[8192 * 3 :] = bytes(len(body) - 8192 * 3)
    path.write_bytes(body)
    run(path, check)


def test_an_older_file_is_brought_to_today(tmp_path: Path) -> None:
    """Step by step, in one transaction."""
    db = sqlite3.connect(tmp_path / "album.db", isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    schema.migrate(db)
    db.execute("COMMIT")
    assert db.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
    assert db.execute("PRAGMA application_id").fetchone() == (schema.APPLICATION_ID,)
    names = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'trigger')")}
    assert {"document", "leaf", "photo", "tag", "tally", "tag_goes", "photo_goes"} <= names
    schema.migrate(db)
    db.close()


def test_two_names_for_two_albums_of_one_machine(tmp_path: Path) -> None:
    """Servers are told apart by their names alone; one can be given."""

    async def check() -> None:
        stores = [await open_sqlite(str(tmp_path / name), create=True) for name in ("a", "b")]
        stores.append(await open_sqlite(str(tmp_path / "c"), create=True, server="attic"))
        assert len({store.server for store in stores}) == 3 and stores[2].server == "attic"
        for store in stores:
            await store.close()
        again = await open_sqlite(str(tmp_path / "c"), server="cellar")
        assert again.server == "attic"
        await again.close()

    asyncio.run(check())


def test_a_copied_file_is_another_server(tmp_path: Path) -> None:
    """With one name the later edit of the two would silently win. A moved file is the same server."""
    path = tmp_path / "album.db"
    names: list[str] = []

    async def check(store: SqliteStore) -> None:
        names.append(store.server)

    run(path, check)
    shutil.copy(path, tmp_path / "copy.db")
    path = path.rename(tmp_path / "moved.db")
    for one in (path, tmp_path / "copy.db", tmp_path / "copy.db"):
        run(one, check)
    assert names[0] == names[1] and names[1] != names[2] == names[3]


def test_a_place_that_is_none_of_ours(tmp_path: Path) -> None:
    """CouchDB's place in the changes means nothing here."""

    async def check(store: SqliteStore) -> None:
        with pytest.raises(StoreError, match="no place"):
            async for _ in store.changes("5-g1AAAAB"):
                pass

    run(tmp_path / "album.db", check)
